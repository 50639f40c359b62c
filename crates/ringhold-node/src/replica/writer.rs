//! The single writer of a partition group.
//!
//! It takes all jobs that wait, decides each against the records as the jobs before it leave them, stages
//! the results, and commits the batch: one append and one flush for all, shared with the other groups. Only
//! then does anybody get an answer, and only then can anybody else read the records.
//!
//! Between the read of a record and its staging nothing awaits (a key epoch is drawn before), and nobody
//! else writes this group; that is all the isolation there is and all that is needed.

use super::commit_latency::CommitLatency;
use super::operations::RecentOperations;
use super::updates;
use super::{
    CoordinateError, CoordinateJob, Coordinated, Incoming, Kept, Removal, record_of, refusal_of,
};
use crate::env::{Deadline, Environment};
use crate::hints::{HintChange, HintGauge};
#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::metrics::Metrics;
use crate::properties::Durability;
use bytes::Bytes;
use ringhold_core::version::coordinate::live_after_merge;
use ringhold_core::version::truncate::CONTEXT_ENTRIES_ALARM;
use ringhold_core::version::{Context, Dot, KeyEpoch, Object};
use ringhold_storage::{
    self as storage, Change, GroupWriter, Keyspace, RowFaults, RowKey, StorageKey, Store, Write,
};
use ringhold_wire::message::peer::Refusal;
use ringhold_wire::message::{Change as Asked, ObjectName, PutRequest, Rejection};
use ringhold_wire::record::Record;
use std::sync::Arc;
use tokio::sync::{Notify, mpsc, oneshot};

/// Jobs in one commit. A bound on how long the first of them waits for the last.
const BATCH_JOBS_MAX: usize = 256;
/// Bytes in one commit, give or take its last job. Far below what the log takes in one append.
const BATCH_BYTES_MAX: usize = 64 << 20;

/// A record of the node's own, whole.
pub(crate) struct Row {
    pub(crate) keyspace: Keyspace,
    pub(crate) key: StorageKey,
    pub(crate) value: Bytes,
}

pub(crate) enum Job {
    Coordinate {
        key: StorageKey,
        job: Box<CoordinateJob>,
        deadline: Deadline,
        reply: oneshot::Sender<Result<Coordinated, CoordinateError>>,
    },
    Merge {
        key: StorageKey,
        incoming: Incoming,
        kept: Kept,
        deadline: Deadline,
        reply: oneshot::Sender<Result<bool, Refusal>>,
    },
    DropHint {
        key: StorageKey,
        delivered: Context,
        is_home: bool,
        reply: oneshot::Sender<Result<bool, Refusal>>,
    },
    /// Objects that turn out to be others'.
    Owe {
        keys: Vec<StorageKey>,
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    KeepRow {
        row: Row,
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Nothing but to have committed all jobs before it.
    Settle {
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// An object's index rows are to be held against it, and perhaps written anew.
    CheckRows {
        key: StorageKey,
        doubtful: Vec<RowKey>,
        set_right: bool,
        reply: oneshot::Sender<Result<RowFaults, Refusal>>,
    },
    Remove {
        removals: Vec<Removal>,
        reply: oneshot::Sender<Result<Vec<bool>, Refusal>>,
    },
}

/// What waits for the commit, and what it is told then.
enum Waiting {
    Coordinated(
        Coordinated,
        oneshot::Sender<Result<Coordinated, CoordinateError>>,
    ),
    Merged(oneshot::Sender<Result<bool, Refusal>>),
    /// A row of the node's own, or nothing at all, is on disk.
    Settled(oneshot::Sender<Result<(), Refusal>>),
    Removed(Vec<bool>, oneshot::Sender<Result<Vec<bool>, Refusal>>),
    RowsWritten(RowFaults, oneshot::Sender<Result<RowFaults, Refusal>>),
}

/// The bytes that a write replaces, for the sums of hash trees.
pub(super) enum Before {
    /// These, or none.
    Known(Option<Bytes>),
    /// They could not be read.
    Unknown,
}

/// One batch: who waits for it, and whether any of them waits for the flush.
#[derive(Default)]
struct Batch {
    waiting: Vec<Waiting>,
    flushed: bool,
}

#[cfg(feature = "known-bad")]
impl Batch {
    /// Those who are told before the commit, in variants that do so, are not there when it is done.
    fn answered_early(mut self) -> Self {
        let durable = self.flushed;
        for waiting in std::mem::take(&mut self.waiting) {
            match waiting {
                Waiting::Coordinated(done, reply) if known_bad::is(Variant::SendsBeforeCommit) => {
                    answer(reply, Ok(Coordinated { durable, ..done }));
                }
                Waiting::Merged(reply) if known_bad::is(Variant::AcknowledgesBeforeCommit) => {
                    answer(reply, Ok(durable));
                }
                other => self.waiting.push(other),
            }
        }
        self
    }
}

pub(crate) struct Writer {
    pub(crate) environment: Arc<dyn Environment>,
    pub(crate) store: Arc<Store>,
    pub(crate) group: GroupWriter,
    pub(crate) hints: Arc<HintGauge>,
    /// What the staged batch does to them.
    pub(crate) hint_change: HintChange,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) commit_latency: Arc<CommitLatency>,
    pub(crate) checkpoint_due: Arc<Notify>,
    pub(crate) operations: RecentOperations,
    pub(crate) spare_epoch: Option<u64>,
}

impl Writer {
    pub(crate) async fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut jobs = Vec::with_capacity(BATCH_JOBS_MAX);
        while queue.recv_many(&mut jobs, BATCH_JOBS_MAX).await > 0 {
            let mut batch = Batch::default();
            for job in jobs.drain(..) {
                self.decide(job, &mut batch).await;
                if self.group.staged_bytes() >= BATCH_BYTES_MAX {
                    self.commit(std::mem::take(&mut batch)).await;
                }
            }
            self.commit(batch).await;
        }
    }

    async fn decide(&mut self, job: Job, batch: &mut Batch) {
        match job {
            Job::Coordinate {
                key,
                job,
                deadline,
                reply,
            } => {
                let flushed = job.durability > Durability::Buffered;
                match self.coordinate(key, *job, deadline).await {
                    Ok(coordinated) => {
                        batch.flushed |= flushed;
                        batch.waiting.push(Waiting::Coordinated(coordinated, reply));
                    }
                    Err(error) => answer(reply, Err(error)),
                }
            }
            Job::Merge {
                key,
                incoming,
                kept,
                deadline,
                reply,
            } => match self.merge(key, &incoming, kept, deadline) {
                Ok(()) => {
                    batch.flushed |= incoming.flushed();
                    batch.waiting.push(Waiting::Merged(reply));
                }
                Err(refusal) => answer(reply, Err(refusal)),
            },
            Job::DropHint {
                key,
                delivered,
                is_home,
                reply,
            } => match self.drop_hint(key, &delivered, is_home) {
                Ok(true) => {
                    batch.flushed = true;
                    batch.waiting.push(Waiting::Merged(reply));
                }
                other => answer(reply, other),
            },
            Job::Owe { keys, reply } => match self.owe(&keys) {
                Ok(()) => batch.waiting.push(Waiting::Settled(reply)),
                Err(refusal) => answer(reply, Err(refusal)),
            },
            Job::KeepRow { row, reply } => {
                let Row {
                    keyspace,
                    key,
                    value,
                } = row;
                let change = Change::Put { key, value };
                self.group.stage(Write { keyspace, change });
                batch.flushed = true;
                batch.waiting.push(Waiting::Settled(reply));
            }
            Job::CheckRows {
                key,
                doubtful,
                set_right,
                reply,
            } => match self.check_rows(&key, &doubtful, set_right) {
                Ok(faults) if set_right && !faults.is_empty() => {
                    batch.waiting.push(Waiting::RowsWritten(faults, reply));
                }
                other => answer(reply, other),
            },
            Job::Settle { reply } => {
                batch.flushed = true;
                batch.waiting.push(Waiting::Settled(reply));
            }
            Job::Remove { removals, reply } => {
                batch.flushed = true;
                let gone = self.remove(removals);
                batch.waiting.push(Waiting::Removed(gone, reply));
            }
        }
    }

    async fn commit(&mut self, batch: Batch) {
        if batch.waiting.is_empty() {
            return;
        }
        #[cfg(feature = "known-bad")]
        let batch = batch.answered_early();
        let durability = if batch.flushed {
            storage::Durability::Flushed
        } else {
            storage::Durability::Buffered
        };
        self.metrics
            .group_commit_batch_size
            .observe(batch.waiting.len() as u64);
        self.commit_latency.began(self.environment.now_us());
        let committed = self.group.commit(durability).await.is_ok();
        self.commit_latency.ended(self.environment.now_us());
        let hint_change = std::mem::take(&mut self.hint_change);
        if committed {
            self.hints.change(hint_change);
        } else {
            // The store has failed and takes nothing any more.
            self.group.discard();
        }
        for waiting in batch.waiting {
            match waiting {
                Waiting::Coordinated(done, reply) if committed => {
                    answer(
                        reply,
                        Ok(Coordinated {
                            durable: batch.flushed,
                            ..done
                        }),
                    );
                }
                Waiting::Coordinated(_, reply) => answer(reply, Err(CoordinateError::Unknown)),
                Waiting::Merged(reply) if committed => answer(reply, Ok(batch.flushed)),
                Waiting::Merged(reply) => answer(reply, Err(Refusal::StoreFailed)),
                Waiting::Settled(reply) if committed => answer(reply, Ok(())),
                Waiting::Settled(reply) => answer(reply, Err(Refusal::StoreFailed)),
                Waiting::Removed(gone, reply) if committed => answer(reply, Ok(gone)),
                Waiting::Removed(_, reply) => answer(reply, Err(Refusal::StoreFailed)),
                Waiting::RowsWritten(faults, reply) if committed => answer(reply, Ok(faults)),
                Waiting::RowsWritten(_, reply) => answer(reply, Err(Refusal::StoreFailed)),
            }
        }
        if self.store.checkpoint_due() {
            self.checkpoint_due.notify_one();
        }
    }

    /// Adds a write to the record and stages the result.
    async fn coordinate(
        &mut self,
        key: StorageKey,
        job: CoordinateJob,
        deadline: Deadline,
    ) -> Result<Coordinated, CoordinateError> {
        self.check_admission(job.kept, deadline)
            .map_err(CoordinateError::Refused)?;
        let epoch = self.spare_epoch().await.map_err(CoordinateError::Refused)?;
        let (limits, kept) = (job.limits, job.kept);
        let record = self.record(key, job.request.name.clone());
        let (record, before) = record.map_err(CoordinateError::Refused)?;
        let Record {
            name,
            live,
            mut object,
        } = record;
        // A retry comes first: whatever has changed since its first try, its answer stands (T6).
        let operation = job.request.operation;
        let hash = updates::hash_of(&job.request.change);
        let stands =
            stays_written(&job, &object).or_else(|| self.dot_of_retry(key, &object, &job.request));
        if let Some(dot) = stands {
            self.metrics.operations_repeated.add(1);
            self.stage(
                key,
                &Record {
                    name,
                    live,
                    object: object.clone(),
                },
                &before,
            );
            return Ok(Coordinated {
                dot,
                object,
                durable: false,
                follow: None,
            });
        }
        let incarnation = self.store.identity().incarnation;
        #[cfg(feature = "known-bad")]
        let live = known_bad::live(&object, live, incarnation);
        let wall_us = self.environment.wall_us();
        let fresh_epoch = || {
            self.spare_epoch = None;
            KeyEpoch(epoch)
        };
        let done = updates::carry_out(job, &mut object, live, incarnation, wall_us, fresh_epoch);
        let done = done.map_err(CoordinateError::Rejected)?;
        let (done, follow) = (done.coordinated, done.follow);
        if done.repeated {
            self.metrics.operations_repeated.add(1);
        }
        let record = Record {
            name,
            live: done.live,
            object,
        };
        let encoded = record.encode();
        if encoded.len() > limits.object_bytes {
            let (bytes, limit) = (encoded.len() as u64, limits.object_bytes as u64);
            return Err(CoordinateError::Rejected(Rejection::ObjectTooLarge {
                bytes,
                limit,
            }));
        }
        self.note(&record.object, done.epoch_restarted, done.own_dot_ahead);
        self.operations.note(operation, key, hash, done.dot);
        self.stage_hint(key, kept, encoded.len() as u64)
            .map_err(CoordinateError::Refused)?;
        self.stage_encoded(key, encoded, &before);
        Ok(Coordinated {
            dot: done.dot,
            object: record.object,
            durable: false,
            follow,
        })
    }

    /// Whether a job whose turn has come is still wanted, and there is room for what it writes.
    fn check_admission(&self, kept: Kept, deadline: Deadline) -> Result<(), Refusal> {
        if deadline.has_passed(&*self.environment) {
            return Err(Refusal::Expired);
        }
        if self.store.is_behind() {
            return Err(Refusal::Overloaded);
        }
        match kept {
            Kept::AsHint { bytes_max } if self.hints.bytes() >= bytes_max => {
                Err(Refusal::Overloaded)
            }
            Kept::AsHint { .. } | Kept::AsHome => Ok(()),
        }
    }

    /// The dot of the first try, if this is a retry: among the living versions, or among the operations of late.
    fn dot_of_retry(&self, key: StorageKey, object: &Object, request: &PutRequest) -> Option<Dot> {
        #[cfg(feature = "known-bad")]
        if known_bad::is(Variant::ForgetsOperations) {
            return None;
        }
        let known = || {
            self.operations
                .dot_of(request.operation, key, updates::hash_of(&request.change))
                .filter(|dot| object.context().covers(*dot))
        };
        updates::living_dot(object, request).or_else(known)
    }

    /// Joins what another replica sent into the record and stages the result.
    fn merge(
        &mut self,
        key: StorageKey,
        incoming: &Incoming,
        kept: Kept,
        deadline: Deadline,
    ) -> Result<(), Refusal> {
        self.check_admission(kept, deadline)?;
        let (record, before) = match self.record(key, incoming.name().clone()) {
            Ok(found) => found,
            // What is damaged is lost here; the others' copies heal it, and without its mark this store
            // starts a fresh epoch on the key. A read that merely failed has lost nothing, so it must not
            // cost the record.
            Err(Refusal::Unreadable) => {
                let (name, object) = (incoming.name().clone(), Object::new());
                let live = None;
                (Record { name, live, object }, Before::Unknown)
            }
            Err(refusal) => return Err(refusal),
        };
        let Record {
            name,
            live,
            mut object,
        } = record;
        match incoming {
            Incoming::Whole(request) => {
                object.merge(&request.object);
                #[cfg(feature = "known-bad")]
                known_bad::merge(&mut object, &request.object);
                // So a retry is known here too, also when a later update has taken its version's place.
                for (operation, hash, dot) in updates::updates_in(&request.object) {
                    self.operations.note(operation, key, hash, dot);
                }
            }
            Incoming::Update(request) => {
                let done = updates::follow(&mut object, request);
                done.map_err(|_| Refusal::OtherBase)?;
                let (hash, dot) = (updates::OF_UPDATES, request.record.dot);
                self.operations.note(request.operation, key, hash, dot);
            }
        }
        let live = live_after_merge(&object, live, self.store.identity().incarnation);
        // Staged even if nothing changed: the sender wants a flush that covers what is here.
        let encoded = Record { name, live, object }.encode();
        self.stage_hint(key, kept, encoded.len() as u64)?;
        self.stage_encoded(key, encoded, &before);
        Ok(())
    }

    /// The record as the jobs before this one leave it, empty if there is none; with its bytes.
    fn record(&self, key: StorageKey, name: ObjectName) -> Result<(Record, Before), Refusal> {
        let read = self.group.read(Keyspace::Objects, &key);
        let before = match &read {
            Ok(value) => Before::Known(value.clone()),
            Err(_) => Before::Unknown,
        };
        Ok((record_of(name, read, &self.metrics)?, before))
    }

    /// What is wrong with an object's index rows; they are staged anew if they are to be set right.
    fn check_rows(
        &mut self,
        key: &StorageKey,
        doubtful: &[RowKey],
        set_right: bool,
    ) -> Result<RowFaults, Refusal> {
        let refused = |error| refusal_of(&error);
        let faults = self.group.row_faults(key, doubtful).map_err(refused)?;
        if set_right && !faults.is_empty() {
            self.group.restage_rows(key, doubtful).map_err(refused)?;
        }
        Ok(faults)
    }

    /// A key epoch that no write has used, drawn ahead so that coordinating itself awaits nothing.
    async fn spare_epoch(&mut self) -> Result<u64, Refusal> {
        if let Some(epoch) = self.spare_epoch {
            return Ok(epoch);
        }
        let epoch = self
            .group
            .fresh_epoch()
            .await
            .map_err(|_| Refusal::StoreFailed)?;
        self.spare_epoch = Some(epoch);
        Ok(epoch)
    }

    fn stage(&mut self, key: StorageKey, record: &Record, before: &Before) {
        self.stage_encoded(key, record.encode(), before);
    }

    fn stage_encoded(&mut self, key: StorageKey, value: Bytes, before: &Before) {
        #[cfg(feature = "known-bad")]
        if known_bad::is(Variant::DeleteRemoves)
            && Record::decode(value.clone()).is_ok_and(|record| !record.object.has_value())
        {
            return self.group.stage(Write {
                keyspace: Keyspace::Objects,
                change: Change::Remove { key },
            });
        }
        self.stage_over(Write::put(Keyspace::Objects, key, value), before);
    }

    /// Stages what takes the place of a record whose bytes are known, or not.
    pub(super) fn stage_over(&mut self, write: Write, before: &Before) {
        match before {
            Before::Known(before) => self.group.stage_over(write, before.as_ref()),
            Before::Unknown => self.group.stage(write),
        }
    }

    fn note(&self, object: &Object, epoch_restarted: bool, own_dot_ahead: bool) {
        if epoch_restarted {
            self.metrics.epochs_restarted.add(1);
        }
        if own_dot_ahead {
            tracing::warn!("a client has seen writes of this store that the store has forgotten");
            self.metrics.own_dot_ahead.add(1);
        }
        if object.context().len() >= CONTEXT_ENTRIES_ALARM {
            tracing::warn!(
                entries = object.context().len(),
                "a context has grown large"
            );
        }
    }
}

/// The dot of the value that stays, if the job would write another one where keys are written once.
fn stays_written(job: &CoordinateJob, object: &Object) -> Option<Dot> {
    let is_value =
        matches!(&job.request.change, Asked::Content(content) if !content.is_tombstone());
    let first = object
        .first_written()
        .filter(|_| job.write_once && is_value);
    first.map(|version| version.dot)
}

/// Whoever asked may have gone; then nobody wants the answer.
fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    reply.send(value).ok();
}
