//! A backup of a running node, and what is in one entering again.
//!
//! A backup is a walk over the store in the order of the ring, in short transactions: writers are not stopped, and no
//! moment is the backup's. None is needed, because merges commute: every object that was acknowledged by this node
//! before the walk began is in it, as it was then or as it is later, and what is written meanwhile may be or not. What is
//! kept for others is in it too; it goes to its homes like everything else.
//!
//! Restoring is merging (T10). Each object goes to all homes that it has *now*, by this node's ring, so a backup of one
//! node comes back into a cluster of other nodes, nothing newer is lost, and doing it twice does no harm. Nobody gets a
//! right to go on counting with it: whoever coordinates next takes a fresh epoch (T2).
//!
//! Bucket types come first, as objects of a type that is not here would be of no use (`restored_types`).
//!
//! Two things are refused unless an operator insists:
//!
//! - the backup of *another cluster*. Its objects were never compared with what is here, so a key that both have keeps
//!   the versions of both, as siblings that no writer has seen together.
//! - a backup older than *the grace of tombstones*. What was deleted since may have been reaped: then nobody knows of
//!   the delete any more, and the backup brings the value back (T11).
//!
//! Not here: the file and its checksums (`ringhold_wire::backup`), and who may ask.

use crate::env::Deadline;
use crate::gather::Gather;
use crate::membership::ChangeFailed;
use crate::node::Node;
use bytes::Bytes;
use ringhold_core::health::Work;
use ringhold_core::id::{ClusterId, NodeId};
use ringhold_core::version::Object;
use ringhold_storage::{KeyRange, Keyspace, ReadError, StorageKey};
use ringhold_wire::backup::{BackupWriter, End, Head};
use ringhold_wire::message::ObjectName;
use ringhold_wire::message::peer::{BucketProperties, Refusal, Reply, Request};
use ringhold_wire::record::Record;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Bytes of values after which a block ends, and objects.
const BLOCK_BYTES: usize = 1 << 20;
const BLOCK_OBJECTS: usize = 1_024;
/// Rows that are read at a time.
const ROWS: usize = 64;
/// How long homes may take for a block, in microseconds.
const PATIENCE_US: u64 = 20_000_000;
/// Tries at homes that have no room at the moment, and the first pause between them, in microseconds.
const TRIES: u32 = 8;
const PAUSE_US: u64 = 50_000;

/// Why there is no whole backup. What was written so far is none.
#[derive(Debug)]
pub enum BackupFailed {
    /// The store can't be read.
    Store(ReadError),
    /// Nobody takes the bytes any more.
    Abandoned,
}

impl fmt::Display for BackupFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => write!(f, "the store can't be read: {error}"),
            Self::Abandoned => f.write_str("nobody takes the backup any more"),
        }
    }
}

impl std::error::Error for BackupFailed {}

/// What an operator insists on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Insisting {
    pub into_other_cluster: bool,
    pub older_than_grace: bool,
}

/// Why nothing of a backup was merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreRefused {
    OtherCluster {
        theirs: ClusterId,
        ours: ClusterId,
    },
    OlderThanGrace {
        age_us: u64,
        grace_us: u64,
    },
    /// A bucket type of the name is here, and something about it that can't be changed is not as it was.
    OtherType {
        name: String,
        property: &'static str,
        theirs: String,
        ours: String,
    },
    /// A later release has set something of a bucket type.
    TypeUnreadable {
        name: String,
    },
    /// The members have not agreed on a bucket type. Others may have been created; to be tried again.
    TypeNotRestored {
        name: String,
        reason: ChangeFailed,
    },
}

impl fmt::Display for RestoreRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAY_US: u64 = 86_400_000_000;
        match self {
            Self::OtherCluster { theirs, ours } => write!(
                f,
                "this is a backup of cluster {theirs}, and the node is of cluster {ours}: keys that both have would keep \
                 the versions of both; --into-other-cluster does it"
            ),
            Self::OlderThanGrace { age_us, grace_us } => write!(
                f,
                "the backup is {} days old, and tombstones are kept for {}: what was deleted since would come back; \
                 --older-than-grace does it",
                age_us / DAY_US,
                grace_us / DAY_US
            ),
            Self::OtherType {
                name,
                property,
                theirs,
                ours,
            } => write!(
                f,
                "the bucket type {name} has {property} {theirs} in the backup and {ours} here, which can't be changed; \
                 nothing was restored"
            ),
            Self::TypeUnreadable { name } => write!(
                f,
                "a later release has written what the bucket type {name} has set; nothing was restored"
            ),
            Self::TypeNotRestored { name, reason } => {
                write!(f, "the bucket type {name} is not restored: {reason}")
            }
        }
    }
}

impl std::error::Error for RestoreRefused {}

/// What became of the objects of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// On the disks of all their homes.
    pub whole: u64,
    /// On the disk of one home at least; anti-entropy brings it to the others.
    pub partly: u64,
    /// Nowhere: no home took it. To be tried again.
    pub failed: u64,
}

impl Node {
    /// Writes a backup of this node's store, block by block.
    ///
    /// # Errors
    /// There is no end block then, so what was written is no backup.
    pub async fn backup(&self, blocks: &mpsc::Sender<Bytes>) -> Result<End, BackupFailed> {
        let give = async |block| {
            let given = blocks.send(block).await;
            given.map_err(|_| BackupFailed::Abandoned)
        };
        let ring = self.ring();
        let document = ring.document();
        let (mut writer, first) = BackupWriter::begin(Head {
            cluster: document.cluster_id,
            node: self.id,
            epoch: document.epoch.0,
            began_us: self.environment.wall_us(),
        });
        give(first).await?;
        let types = self.types_to_back_up();
        if !types.is_empty() {
            give(writer.types(&types)).await?;
        }
        let buckets = self.properties.changes();
        if !buckets.is_empty() {
            give(writer.properties(&buckets)).await?;
        }
        let mut walk = Walk::default();
        while !walk.is_over {
            let turn = self.background.turn(Work::Repair).await;
            let objects = self.next_objects(&mut walk).map_err(BackupFailed::Store)?;
            drop(turn);
            if !objects.is_empty() {
                give(writer.objects(&objects)).await?;
            }
        }
        let (last, end) = writer.end(walk.unreadable);
        give(last).await?;
        Ok(end)
    }

    /// The objects of the next block.
    fn next_objects(&self, walk: &mut Walk) -> Result<Vec<(ObjectName, Object)>, ReadError> {
        let mut objects = Vec::new();
        let mut bytes = 0;
        while bytes < BLOCK_BYTES && objects.len() < BLOCK_OBJECTS && !walk.is_over {
            for row in self.next_rows(walk)? {
                bytes += row.len();
                match Record::decode(row) {
                    Ok(record) => objects.push((record.name, record.object)),
                    Err(_) => walk.unreadable += 1,
                }
            }
        }
        Ok(objects)
    }

    fn next_rows(&self, walk: &mut Walk) -> Result<Vec<Bytes>, ReadError> {
        let range = KeyRange::from_start(walk.next);
        let read = self.store().readable(Keyspace::Objects, &range, ROWS)?;
        walk.unreadable += read.unreadable;
        match read.next {
            Some(next) => walk.next = next,
            None => walk.is_over = true,
        }
        Ok(read.rows.into_iter().map(|(_, row)| row).collect())
    }

    /// Whether a backup may enter here.
    ///
    /// # Errors
    /// What stands against it.
    pub fn may_restore(&self, head: &Head, insisting: Insisting) -> Result<(), RestoreRefused> {
        let (theirs, ours) = (head.cluster, self.ring().document().cluster_id);
        if theirs != ours && !insisting.into_other_cluster {
            return Err(RestoreRefused::OtherCluster { theirs, ours });
        }
        let age_us = self.environment.wall_us().saturating_sub(head.began_us);
        let grace_us = self.tuning.reaping.grace_us;
        if age_us >= grace_us && !insisting.older_than_grace {
            return Err(RestoreRefused::OlderThanGrace { age_us, grace_us });
        }
        Ok(())
    }

    /// Merges bucket properties of a backup into those of all members; how many members did not take them.
    pub async fn restore_properties(self: &Arc<Self>, buckets: Vec<BucketProperties>) -> u64 {
        let deadline = Deadline::after(&*self.environment, PATIENCE_US);
        let mut calls = Gather::until(Arc::clone(&self.environment), deadline);
        for member in self.ring().members() {
            let request = Request::Properties(buckets.clone());
            calls.ask((), self.call(member.id, request, deadline));
        }
        let mut missing = self.ring().members().len() as u64;
        while let Some(((), reply)) = calls.next().await {
            missing -= u64::from(reply == Ok(Reply::PropertiesKept));
        }
        missing
    }

    /// Merges objects of a backup into all their homes.
    pub async fn restore(self: &Arc<Self>, objects: Vec<(ObjectName, Object)>) -> Restored {
        let homes: Vec<Vec<NodeId>> = objects.iter().map(|(name, _)| self.homes(name)).collect();
        let mut left: BTreeMap<NodeId, Vec<usize>> = BTreeMap::new();
        for (at, homes) in homes.iter().enumerate() {
            for home in homes {
                left.entry(*home).or_default().push(at);
            }
        }
        let mut taken = vec![0; objects.len()];
        for attempt in 0..TRIES {
            left.retain(|_, wanted| !wanted.is_empty());
            if left.is_empty() {
                break;
            }
            if attempt > 0 {
                let pause_us = PAUSE_US << attempt;
                let until_us = self.environment.now_us().saturating_add(pause_us);
                self.environment.sleep_until(until_us).await;
            }
            self.merge_at_homes(&objects, &mut left, &mut taken).await;
        }
        let mut restored = Restored::default();
        for (taken, homes) in taken.into_iter().zip(&homes) {
            match taken {
                0 => restored.failed += 1,
                some if some < homes.len() => restored.partly += 1,
                _ => restored.whole += 1,
            }
        }
        restored
    }

    /// One try at all homes; what may be tried again stays in `left`.
    async fn merge_at_homes(
        self: &Arc<Self>,
        objects: &[(ObjectName, Object)],
        left: &mut BTreeMap<NodeId, Vec<usize>>,
        taken: &mut [usize],
    ) {
        let deadline = Deadline::after(&*self.environment, PATIENCE_US);
        let mut calls = Gather::until(Arc::clone(&self.environment), deadline);
        for (home, wanted) in left.iter_mut() {
            let wanted = std::mem::take(wanted);
            let batch = wanted.iter().map(|at| objects[*at].clone()).collect();
            let call = self.call(*home, Request::MergeMany(batch), deadline);
            calls.ask((*home, wanted), call);
        }
        while let Some(((home, wanted), reply)) = calls.next().await {
            let outcomes = match reply {
                Ok(Reply::MergedMany(outcomes)) => outcomes,
                Ok(Reply::Refused(refusal)) => vec![Err(refusal); wanted.len()],
                // Who can't be reached is not waited for: anti-entropy will do.
                _ => continue,
            };
            for (at, outcome) in wanted.into_iter().zip(outcomes) {
                match outcome {
                    Ok(()) => taken[at] += 1,
                    Err(Refusal::Overloaded | Refusal::Starting) => {
                        left.entry(home).or_default().push(at);
                    }
                    Err(_) => {}
                }
            }
        }
    }
}

/// How far the walk over the store has come.
struct Walk {
    next: StorageKey,
    is_over: bool,
    unreadable: u64,
}

impl Default for Walk {
    fn default() -> Self {
        Self {
            next: StorageKey::new(0, 0),
            is_over: false,
            unreadable: 0,
        }
    }
}
