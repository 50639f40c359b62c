//! What a member answers who is asked about keys that may be reaped.
//!
//! An answer is about the store as the partition's writer will leave it: what the writer has taken in and not yet
//! committed is waited for, or an older copy could be on its way to the disk while this node says that it has none.
//! A primary's yes is about what has been flushed, or a power cut could take its tombstone back and leave the
//! older value.
//!
//! A member that is no home says yes only if nothing of the key is here and nothing of it went home from here lately,
//! and nobody says yes soon after having stood still ([`super::homecomings`]).

use crate::clock_guard::ClockState;
#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::node::Node;
use crate::replica::Removal;
use ringhold_core::reaping::{dead_since_us, is_past_grace};
use ringhold_core::ring::{Partition, Position};
use ringhold_core::version::Object;
use ringhold_storage::{Keyspace, StorageKey};
use ringhold_wire::message::ObjectName;
use ringhold_wire::message::peer::{LeafEntry, ReapRequest, Refusal, StraysRequest};
use ringhold_wire::metadata::expires_at_us;

/// Keys that a partition's writer removes at once. Few, so that puts do not wait for long.
const REMOVED_AT_ONCE: usize = 32;

impl Node {
    pub(crate) fn grace_us(&self) -> u64 {
        #[cfg(feature = "known-bad")]
        if known_bad::is(Variant::ReapsBeforeGrace) {
            return 0;
        }
        self.tuning.reaping.grace_us
    }

    pub(crate) fn object_digest(&self, name: &ObjectName, object: &Object) -> Option<u128> {
        let ObjectName {
            bucket_type,
            bucket,
            key,
        } = name;
        let digest = self.tree_key.digest(bucket_type, bucket, key, object)?;
        Some(digest.0)
    }

    /// For each key, whether nothing of it is left on this node, which is no home of it.
    ///
    /// # Errors
    /// If this node is a home by its own ring, or its store is not able to tell.
    pub(crate) async fn lacks(&self, request: StraysRequest) -> Result<Vec<bool>, Refusal> {
        let names = request.names.iter();
        let partition = self.placed(request.partition, names.clone(), false)?;
        // Whatever was taken in before the question is looked at as well.
        self.replica.settle(self.start_of(partition)).await?;
        let now_us = self.environment.now_us();
        let went_on = self.standstill.is_past(request.quiet_us, now_us);
        let is_clean = |name: &ObjectName| {
            let key = self.replica.key_of(name);
            let is_quiet = self.homecomings.is_quiet(key, request.quiet_us, now_us);
            went_on && is_quiet && self.has_nothing_of(name)
        };
        Ok(names.map(is_clean).collect())
    }

    fn has_nothing_of(&self, name: &ObjectName) -> bool {
        let is_absent = self
            .replica
            .fetch(name)
            .is_ok_and(|object| object.is_absent());
        is_absent && self.has_no_hint(name)
    }

    fn has_no_hint(&self, name: &ObjectName) -> bool {
        let row = self
            .store()
            .get(Keyspace::Hints, &self.replica.key_of(name));
        row.is_ok_and(|row| row.is_none())
    }

    /// For each key, whether this primary has exactly that object, flushed, and it may go by its own clock.
    ///
    /// # Errors
    /// If this node is no home, is rebuilding, or its store is not able to tell.
    pub(crate) async fn vouch(&self, request: ReapRequest) -> Result<Vec<bool>, Refusal> {
        let names = request.entries.iter().map(|entry| &entry.name);
        let partition = self.placed(request.partition, names, true)?;
        if !request
            .entries
            .iter()
            .all(|entry| self.vouches_for(&entry.name))
        {
            return Err(Refusal::Rebuilding);
        }
        let settle_us = self.tuning.reaping.settle_us;
        let went_on = self
            .standstill
            .is_past(settle_us, self.environment.now_us());
        let entries = request.entries.iter();
        // A clock that is wrong can't tell how old anything is (T26).
        let knows_time = self.clock() == ClockState::Trusted;
        let may_go = entries.map(|entry| went_on && knows_time && self.reapable(entry).is_some());
        let answers = may_go.collect();
        self.replica.settle(self.start_of(partition)).await?;
        Ok(answers)
    }

    /// The object of an entry, if it is the one that is meant, and may go.
    fn reapable(&self, LeafEntry { name, digest }: &LeafEntry) -> Option<Object> {
        let object = self.replica.fetch(name).ok()?;
        let is_same = self.object_digest(name, &object) == Some(*digest);
        let wall_us = self.environment.wall_us();
        let is_old = dead_since_us(&object, expires_at_us)
            .is_some_and(|since_us| is_past_grace(since_us, self.grace_us(), wall_us));
        #[cfg(feature = "known-bad")]
        let is_old = is_old || known_bad::is(Variant::ReapsOnOneClock);
        (is_same && is_old && self.has_no_hint(name)).then_some(object)
    }

    /// Removes what all have vouched for. For each key, whether it is gone.
    ///
    /// # Errors
    /// If this node is no home, or its store has failed.
    pub(crate) async fn reap(&self, request: ReapRequest) -> Result<Vec<bool>, Refusal> {
        let names = request.entries.iter().map(|entry| &entry.name);
        let partition = self.placed(request.partition, names, true)?;
        let mut answers = Vec::with_capacity(request.entries.len());
        for entries in request.entries.chunks(REMOVED_AT_ONCE) {
            let removal = |entry: &LeafEntry| Removal {
                key: self.replica.key_of(&entry.name),
                object: self.to_be_removed(entry),
            };
            let removals = entries.iter().map(removal).collect();
            let gone = self
                .replica
                .remove(self.start_of(partition), removals)
                .await?;
            let count = gone.iter().filter(|gone| **gone).count() as u64;
            self.metrics.tombstones_reaped.add(count);
            answers.extend(gone);
        }
        Ok(answers)
    }

    fn to_be_removed(&self, entry: &LeafEntry) -> Option<Object> {
        let object = self.reapable(entry);
        #[cfg(feature = "known-bad")]
        if known_bad::is(Variant::ReapsUnconditionally) {
            return object.or_else(|| Some(Object::new()));
        }
        object
    }

    /// The partition of a question, if all names are in it and this node is, or is not, a home of each.
    fn placed<'a>(
        &self,
        partition: u32,
        names: impl Iterator<Item = &'a ObjectName>,
        as_home: bool,
    ) -> Result<Partition, Refusal> {
        let ring = self.ring();
        let partition = Partition(partition);
        if partition.0 >= ring.partition_count().count() {
            return Err(Refusal::Malformed);
        }
        for name in names {
            let tree = Self::tree_of(&ring, name);
            if tree.partition != partition {
                return Err(Refusal::Malformed);
            }
            if ring.homes_of(tree).contains(&self.id) != as_home {
                return Err(Refusal::PlacementUnknown);
            }
        }
        if self.is_changing() {
            return Err(Refusal::PlacementUnknown);
        }
        Ok(partition)
    }

    /// A key of the partition, for finding its writer.
    fn start_of(&self, partition: Partition) -> StorageKey {
        let Position(start) = *self.ring().partition_count().arc(partition).start();
        StorageKey::new(start, 0)
    }
}
