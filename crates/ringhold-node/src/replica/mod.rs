//! One node's copies: the records of the keys that live here.
//!
//! Partitions are dealt to a few groups, and each group has one [`writer`]: a task that owns the
//! read-before-write, the dots and the batches of its partitions. So no key needs a lock, and the
//! batch that the writer takes from its queue is the group commit. Plain reads don't queue behind it: they
//! take what has been published, which is what has been flushed or, in a buffered bucket, appended.
//!
//! A replica does two things to an object, and no third: it coordinates (makes one dot), or it merges.

mod commit_latency;
mod hint_rows;
pub(crate) mod operations;
pub(crate) mod removal;
mod updates;
pub(crate) mod writer;

use crate::disk_guard::{DiskGuard, use_of_copy, use_of_put, use_of_update};
use crate::env::{Deadline, Environment};
use crate::hints::{HintChange, HintGauge};
#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::metrics::Metrics;
use crate::properties::Durability;
use bytes::Bytes;
use commit_latency::CommitLatency;
pub(crate) use removal::Removal;
use ringhold_core::crdt::Precision;
use ringhold_core::fingerprint::fingerprint;
use ringhold_core::health::Reported;
use ringhold_core::version::{Context, Dot, Object};
use ringhold_storage::{GroupWriter, Keyspace, ReadError, RowFaults, RowKey, StorageKey, Store};
use ringhold_wire::message::peer::{FollowRequest, MergeRequest, Refusal};
use ringhold_wire::message::{ObjectName, PutRequest, Rejection};
use ringhold_wire::record::Record;
use std::sync::Arc;
use tokio::sync::{Notify, mpsc, oneshot};
use writer::{Job, Row, Writer};

/// Jobs that may wait for one writer. About 50 ms of work at the speed of a disk; more would only be
/// answered after their clients gave up.
const QUEUE_JOBS_MAX: usize = 1_000;

/// A write for the replica that coordinates it.
#[derive(Debug)]
pub(crate) struct CoordinateJob {
    pub(crate) request: PutRequest,
    /// The bucket shows one version, and keeps this many more that its writers had not seen.
    pub(crate) hidden_versions: Option<usize>,
    /// What is there stays, if anything is.
    pub(crate) write_once: bool,
    /// Of an estimate that begins.
    pub(crate) hll_precision: Precision,
    /// The answer waits for the flush, unless nobody flushes.
    pub(crate) durability: Durability,
    pub(crate) kept: Kept,
    pub(crate) limits: ObjectLimits,
}

/// What an object may grow to.
#[derive(Clone, Copy, Debug)]
pub struct ObjectLimits {
    /// One value with its metadata, of a native client.
    pub value_bytes: usize,
    /// All siblings together, encoded.
    pub object_bytes: usize,
    pub siblings: usize,
}

impl Default for ObjectLimits {
    fn default() -> Self {
        Self {
            value_bytes: 5 << 20,
            object_bytes: 50 << 20,
            siblings: 100,
        }
    }
}

/// As what a node takes an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    AsHome,
    /// For others, as long as all its hints have no more than so many bytes.
    AsHint {
        bytes_max: u64,
    },
}

/// A write that has its dot and is in this replica.
#[derive(Debug)]
pub(crate) struct Coordinated {
    pub(crate) dot: Dot,
    pub(crate) object: Object,
    /// Whether a flush covers it.
    pub(crate) durable: bool,
    /// Of an update: what other replicas need to do the same.
    pub(crate) follow: Option<Box<FollowRequest>>,
}

/// What another replica sent to be merged.
#[derive(Debug)]
pub(crate) enum Incoming {
    Whole(MergeRequest),
    /// What it did, for those who hold the same.
    Update(Box<FollowRequest>),
}

impl Incoming {
    pub(crate) fn name(&self) -> &ObjectName {
        match self {
            Self::Whole(request) => &request.name,
            Self::Update(request) => &request.name,
        }
    }

    fn flushed(&self) -> bool {
        match self {
            Self::Whole(request) => request.flushed,
            Self::Update(request) => request.flushed,
        }
    }
}

/// Why a replica did not coordinate a write.
#[derive(Debug)]
pub(crate) enum CoordinateError {
    /// Nothing was written.
    Refused(Refusal),
    /// Nothing was written, and nothing like it will be.
    Rejected(Rejection),
    /// The store failed on the way: the write may come back when it is reopened.
    Unknown,
}

pub(crate) struct Replica {
    store: Arc<Store>,
    queues: Vec<mpsc::Sender<Job>>,
    hints: Arc<HintGauge>,
    disk: Arc<DiskGuard>,
    commit_latencies: Vec<Arc<CommitLatency>>,
    metrics: Arc<Metrics>,
}

impl Replica {
    /// Starts one writer task for each partition group.
    pub(crate) fn start(
        environment: &Arc<dyn Environment>,
        store: Arc<Store>,
        writers: Vec<GroupWriter>,
        hints: Arc<HintGauge>,
        disk: Arc<DiskGuard>,
        metrics: Arc<Metrics>,
        checkpoint_due: &Arc<Notify>,
    ) -> Self {
        let mut commit_latencies = Vec::with_capacity(writers.len());
        let queues = writers.into_iter().map(|group| {
            let commit_latency = Arc::new(CommitLatency::default());
            commit_latencies.push(Arc::clone(&commit_latency));
            let (sender, queue) = mpsc::channel(QUEUE_JOBS_MAX);
            let writer = Writer {
                environment: Arc::clone(environment),
                store: Arc::clone(&store),
                group,
                hints: Arc::clone(&hints),
                hint_change: HintChange::default(),
                metrics: Arc::clone(&metrics),
                commit_latency,
                checkpoint_due: Arc::clone(checkpoint_due),
                operations: operations::RecentOperations::default(),
                spare_epoch: None,
            };
            environment.spawn_vital(Box::pin(writer.run(queue)));
            sender
        });
        let queues = queues.collect();
        Self {
            store,
            queues,
            hints,
            disk,
            commit_latencies,
            metrics,
        }
    }

    pub(crate) fn hints(&self) -> &HintGauge {
        &self.hints
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// How this replica is: its longest queue, its slowest disk, how full that is, and what the clock on the wall shows.
    pub(crate) fn reported(&self, environment: &dyn Environment) -> Reported {
        let queued = |queue: &mpsc::Sender<Job>| queue.max_capacity() - queue.capacity();
        let longest = self.queues.iter().map(queued).max().unwrap_or(0);
        let latencies = self.commit_latencies.iter();
        Reported {
            queue_jobs: u32::try_from(longest).unwrap_or(u32::MAX),
            disk_latency_us: latencies
                .map(|latency| latency.us(environment.now_us()))
                .max()
                .unwrap_or(0),
            disk: self.disk.level(),
            wall_us: environment.wall_us(),
        }
    }

    /// The object as it is here; absent if the key was never written here. A record that can't be
    /// read is a refusal, never an absence (T2).
    pub(crate) fn fetch(&self, name: &ObjectName) -> Result<Object, Refusal> {
        let key = self.key_of(name);
        let read = self.store.get(Keyspace::Objects, &key);
        record_of(name.clone(), read, &self.metrics).map(|record| record.object)
    }

    /// Makes the dot of a write and keeps the result, once.
    pub(crate) async fn coordinate(
        &self,
        job: CoordinateJob,
        deadline: Deadline,
    ) -> Result<Coordinated, CoordinateError> {
        if !self.disk.takes(use_of_put(&job.request.change)) {
            return Err(CoordinateError::Refused(Refusal::DiskFull));
        }
        let key = self.key_of(&job.request.name);
        let (reply, answer) = oneshot::channel();
        let queued = self.enqueue(
            key,
            Job::Coordinate {
                key,
                job: Box::new(job),
                deadline,
                reply,
            },
        );
        queued.map_err(CoordinateError::Refused)?;
        answer.await.unwrap_or(Err(CoordinateError::Unknown))
    }

    /// The record under a key, whosever it is; none if there is none.
    pub(crate) fn record_at(&self, key: StorageKey) -> Result<Option<Record>, Refusal> {
        let read = self.store.get(Keyspace::Objects, &key);
        let bytes = read.map_err(|error| refusal_of(&error))?;
        bytes
            .map(Record::decode)
            .transpose()
            .map_err(|_| Refusal::Unreadable)
    }

    /// Drops a hint, and the object with it unless this node is a home by now, if `delivered` covers the object
    /// as it is. Answers whether it did.
    pub(crate) async fn drop_hint(
        &self,
        key: StorageKey,
        delivered: Context,
        is_home: bool,
    ) -> Result<bool, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.enqueue(
            key,
            Job::DropHint {
                key,
                delivered,
                is_home,
                reply,
            },
        )?;
        answer.await.unwrap_or(Err(Refusal::StoreFailed))
    }

    /// Merges what another replica sent. Answers whether a flush covers the result.
    pub(crate) async fn merge(
        &self,
        incoming: Incoming,
        kept: Kept,
        deadline: Deadline,
    ) -> Result<bool, Refusal> {
        let answer = self.enqueue_merge(incoming, kept, deadline)?;
        answer.await.unwrap_or(Err(Refusal::StoreFailed))
    }

    /// The same for several at once, in their order: they wait for one commit or a few.
    pub(crate) async fn merge_all(
        &self,
        requests: Vec<(MergeRequest, Kept)>,
        deadline: Deadline,
    ) -> Vec<Result<bool, Refusal>> {
        let queued: Vec<_> = requests
            .into_iter()
            .map(|(request, kept)| self.enqueue_merge(Incoming::Whole(request), kept, deadline))
            .collect();
        let mut outcomes = Vec::with_capacity(queued.len());
        for answer in queued {
            outcomes.push(match answer {
                Ok(answer) => answer.await.unwrap_or(Err(Refusal::StoreFailed)),
                Err(refusal) => Err(refusal),
            });
        }
        outcomes
    }

    fn enqueue_merge(
        &self,
        incoming: Incoming,
        kept: Kept,
        deadline: Deadline,
    ) -> Result<oneshot::Receiver<Result<bool, Refusal>>, Refusal> {
        let is_for = match &incoming {
            Incoming::Whole(request) => use_of_copy(&request.object, kept),
            Incoming::Update(_) => use_of_update(kept),
        };
        if !self.disk.takes(is_for) {
            return Err(Refusal::DiskFull);
        }
        let key = self.key_of(incoming.name());
        let (reply, answer) = oneshot::channel();
        let job = Job::Merge {
            key,
            incoming,
            kept,
            deadline,
            reply,
        };
        self.enqueue(key, job)?;
        Ok(answer)
    }

    /// Keeps a record of the node's own. Its flush is behind it when this returns.
    pub(crate) async fn keep_row(&self, row: Row) -> Result<(), Refusal> {
        let (reply, answer) = oneshot::channel();
        self.enqueue(row.key, Job::KeepRow { row, reply })?;
        answer.await.unwrap_or(Err(Refusal::StoreFailed))
    }

    /// Marks objects of one partition as kept for its homes, those that are there and have no mark.
    pub(crate) async fn owe(&self, keys: Vec<StorageKey>) -> Result<(), Refusal> {
        let Some(&first) = keys.first() else {
            return Ok(());
        };
        let (reply, answer) = oneshot::channel();
        self.enqueue(first, Job::Owe { keys, reply })?;
        answer.await.unwrap_or(Err(Refusal::StoreFailed))
    }

    /// How an object's index rows differ from those that it should have; of `doubtful`, those that are there and not its. If they do, and
    /// that is wanted, they are written anew.
    pub(crate) async fn check_rows(
        &self,
        key: StorageKey,
        doubtful: Vec<RowKey>,
        set_right: bool,
    ) -> Result<RowFaults, Refusal> {
        let (reply, answer) = oneshot::channel();
        let job = Job::CheckRows {
            key,
            doubtful,
            set_right,
            reply,
        };
        self.enqueue(key, job)?;
        answer.await.unwrap_or(Err(Refusal::StoreFailed))
    }

    /// Ends once all that this key's writer had taken in is committed and flushed.
    pub(crate) async fn settle(&self, key: StorageKey) -> Result<(), Refusal> {
        let (reply, answer) = oneshot::channel();
        self.enqueue(key, Job::Settle { reply })?;
        answer.await.unwrap_or(Err(Refusal::StoreFailed))
    }

    /// Removes records of one partition, of which `key` is one key. For each, whether it is gone from the disk.
    pub(crate) async fn remove(
        &self,
        key: StorageKey,
        removals: Vec<Removal>,
    ) -> Result<Vec<bool>, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.enqueue(key, Job::Remove { removals, reply })?;
        answer.await.unwrap_or(Err(Refusal::StoreFailed))
    }

    /// Position, then a fingerprint that only this store can compute.
    pub(crate) fn key_of(&self, name: &ObjectName) -> StorageKey {
        let ObjectName {
            bucket_type,
            bucket,
            key,
        } = name;
        let fingerprint = fingerprint(
            self.store.identity().fingerprint_key,
            bucket_type,
            bucket,
            key,
        );
        StorageKey::new(name.position().0, fingerprint)
    }

    fn enqueue(&self, key: StorageKey, job: Job) -> Result<(), Refusal> {
        let queue = &self.queues[self.store.grouping().group_of(&key)];
        queue.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                self.metrics.requests_shed.replica.add(1);
                Refusal::Overloaded
            }
            mpsc::error::TrySendError::Closed(_) => Refusal::StoreFailed,
        })
    }
}

/// The record of exactly this name, empty if there is none. Another name under the same key is an error,
/// not an absence, and so is a record that can't be read.
fn record_of(
    name: ObjectName,
    read: Result<Option<Bytes>, ReadError>,
    metrics: &Metrics,
) -> Result<Record, Refusal> {
    #[cfg(feature = "known-bad")]
    let read = if known_bad::is(Variant::ReadErrorIsAbsence) {
        Ok(read.unwrap_or(None))
    } else {
        read
    };
    let unreadable = |error: &dyn std::fmt::Display| {
        tracing::error!(%error, "a record can't be read");
        metrics.unreadable_records.add(1);
    };
    let bytes = read.map_err(|error| {
        unreadable(&error);
        refusal_of(&error)
    })?;
    let Some(bytes) = bytes else {
        let object = Object::new();
        return Ok(Record {
            name,
            live: None,
            object,
        });
    };
    match Record::decode(bytes) {
        Ok(record) if record.name == name => Ok(record),
        Ok(_) => {
            tracing::error!("two names share one storage key");
            Err(Refusal::Malformed)
        }
        Err(error) => {
            unreadable(&error);
            Err(Refusal::Unreadable)
        }
    }
}

/// A damaged record stays damaged until another replica's copy replaces it; an engine that could not tell
/// may tell the next time, and its record is still there.
fn refusal_of(error: &ReadError) -> Refusal {
    match error {
        ReadError::Corrupt { .. } | ReadError::CorruptRow { .. } => Refusal::Unreadable,
        ReadError::Engine(_) => Refusal::StoreFailed,
    }
}
