//! Checkpoints: what the buffers say goes into the engine, and the log behind it goes away (§6.1).
//!
//! 1. *Begin*: the flusher starts a new log segment and, at that exact point of the log, freezes the
//!    buffers of all groups.
//! 2. *Finish*: everything frozen becomes one sorted atomic batch, together with the store record
//!    that names the new segment as the first to replay; the engine flushes it; only then are the
//!    older segments removed and the frozen buffers dropped.
//!
//! A crash at any point leaves either the old state of the engine and all segments, or the new state
//! and segments that are no longer needed. Replaying something twice changes nothing.
//!
//! A checkpoint that fails for lack of room, or whose future is dropped, stays frozen: beginning
//! again returns the same one. Only one is under way at a time.
//!
//! A [`Snapshot`](crate::Snapshot) is a copy of the buffers over the engine as it stands, so it *pins*
//! the engine: the batch of a freeze that the snapshot has not seen waits until the snapshot is gone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use futures_channel::oneshot;

use crate::buffer::Frozen;
use crate::engine::{Batch, Engine, EngineError};
use crate::files::Files;
use crate::meta::{META_PLACE, StoreMeta};
use crate::seal::seal;

/// A frozen state of the buffers on its way into the engine; see [`Store`](crate::Store).
#[derive(Debug)]
pub struct Checkpoint {
    pub(crate) first_segment: u64,
}

impl Checkpoint {
    /// The segment from which a reopening replays once this checkpoint is finished.
    #[must_use]
    pub fn first_segment(&self) -> u64 {
        self.first_segment
    }
}

/// Where the store is with its checkpoint.
#[derive(Clone, Debug)]
enum Phase {
    Idle,
    /// The flusher was asked for a new segment.
    Rotating,
    /// The groups are frozen; the record is the one that goes into the engine with them.
    Frozen(StoreMeta),
    /// The engine is at it.
    Applying,
}

/// What to do about beginning.
pub(crate) enum Begin {
    Rotate,
    Again(Checkpoint),
    Nothing,
}

/// The state of checkpoints, shared by the store and the flusher.
pub(crate) struct Checkpoints {
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    /// The segments that a reopening would replay, ascending.
    segments: Vec<u64>,
    /// Segments that nobody needs and that could not be removed yet.
    stale: Vec<u64>,
    /// Counts freezes that were handed to the engine.
    generation: u64,
    /// How many snapshots were taken in which generation.
    pins: BTreeMap<u64, usize>,
    /// Who waits for pins to go.
    waiting: Vec<oneshot::Sender<()>>,
}

impl Checkpoints {
    pub(crate) fn new(segments: Vec<u64>) -> Self {
        let state = State {
            phase: Phase::Idle,
            segments,
            stale: Vec::new(),
            generation: 0,
            pins: BTreeMap::new(),
            waiting: Vec::new(),
        };
        Self {
            state: Mutex::new(state),
        }
    }

    pub(crate) fn segments(&self) -> usize {
        self.lock().segments.len()
    }

    /// Whether a checkpoint could begin, or begin again.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.lock().phase, Phase::Idle | Phase::Frozen(_))
    }

    /// Whether one waits to be finished.
    pub(crate) fn is_frozen(&self) -> bool {
        matches!(self.lock().phase, Phase::Frozen(_))
    }

    pub(crate) fn begin(&self, buffers_are_empty: bool) -> Begin {
        let mut state = self.lock();
        match &state.phase {
            Phase::Idle if buffers_are_empty && state.segments.len() == 1 => Begin::Nothing,
            Phase::Idle => {
                state.phase = Phase::Rotating;
                Begin::Rotate
            }
            Phase::Frozen(meta) => Begin::Again(Checkpoint {
                first_segment: meta.first_segment,
            }),
            Phase::Rotating | Phase::Applying => Begin::Nothing,
        }
    }

    /// The flusher has started a segment and frozen the groups.
    pub(crate) fn rotated(&self, segment: u64, meta: &StoreMeta) {
        let mut state = self.lock();
        assert!(
            matches!(state.phase, Phase::Rotating),
            "a segment is started for a checkpoint"
        );
        state.segments.push(segment);
        state.phase = Phase::Frozen(StoreMeta {
            first_segment: segment,
            ..meta.clone()
        });
    }

    /// The checkpoint that is frozen at present, if any.
    pub(crate) fn frozen(&self) -> Option<Checkpoint> {
        match &self.lock().phase {
            Phase::Frozen(meta) => Some(Checkpoint {
                first_segment: meta.first_segment,
            }),
            _ => None,
        }
    }

    /// Claims a frozen checkpoint for applying; none if somebody else did.
    pub(crate) fn claim(self: &Arc<Self>, checkpoint: &Checkpoint) -> Option<Claim> {
        let mut state = self.lock();
        let Phase::Frozen(meta) = &state.phase else {
            return None;
        };
        if meta.first_segment != checkpoint.first_segment {
            return None;
        }
        let meta = meta.clone();
        state.phase = Phase::Applying;
        // Snapshots from here on contain what is frozen, so they need not be waited for.
        state.generation += 1;
        let generation = state.generation;
        Some(Claim {
            checkpoints: Arc::clone(self),
            meta,
            generation,
            finished: false,
        })
    }

    /// Keeps the engine from what buffers that are copied now do not hold, until the pin is dropped.
    pub(crate) fn pin(self: &Arc<Self>) -> Pin {
        let mut state = self.lock();
        let generation = state.generation;
        *state.pins.entry(generation).or_default() += 1;
        Pin {
            checkpoints: Arc::clone(self),
            generation,
        }
    }

    fn unpin(&self, generation: u64) {
        let mut state = self.lock();
        let count = state.pins.get_mut(&generation).expect("pinned before");
        *count -= 1;
        if *count == 0 {
            state.pins.remove(&generation);
        }
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        for waiting in waiting {
            // A checkpoint that gave up waiting is not there to be told.
            waiting.send(()).ok();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

/// While it lives, no freeze that came after it gets into the engine.
pub(crate) struct Pin {
    checkpoints: Arc<Checkpoints>,
    generation: u64,
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.checkpoints.unpin(self.generation);
    }
}

/// The right to apply a frozen checkpoint. Dropped unfinished, it leaves the checkpoint frozen.
pub(crate) struct Claim {
    checkpoints: Arc<Checkpoints>,
    pub(crate) meta: StoreMeta,
    generation: u64,
    finished: bool,
}

impl Claim {
    /// Waits until no snapshot is left that lacks what this checkpoint brings.
    pub(crate) async fn unpinned(&self) {
        loop {
            let gone = {
                let mut state = self.checkpoints.lock();
                if state.pins.range(..self.generation).next().is_none() {
                    return;
                }
                let (waiting, gone) = oneshot::channel();
                state.waiting.push(waiting);
                gone
            };
            // Told or dropped, look again.
            gone.await.ok();
        }
    }

    /// The engine holds it all. Returns the segments that nobody needs any more.
    pub(crate) fn finish(mut self) -> Vec<u64> {
        self.finished = true;
        let mut state = self.checkpoints.lock();
        let first = self.meta.first_segment;
        let (kept, mut old): (Vec<u64>, Vec<u64>) = state
            .segments
            .iter()
            .partition(|segment| **segment >= first);
        state.segments = kept;
        state.phase = Phase::Idle;
        old.append(&mut state.stale);
        old
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.finished {
            self.checkpoints.lock().phase = Phase::Frozen(self.meta.clone());
        }
    }
}

impl Checkpoints {
    /// These could not be removed; the next checkpoint tries again.
    pub(crate) fn keep_stale(&self, mut segments: Vec<u64>) {
        self.lock().stale.append(&mut segments);
    }
}

/// Brings frozen buffers and the store record into the engine, durably, off the caller's task. None
/// if the job was lost with its thread.
pub(crate) async fn write_back(
    files: &dyn Files,
    engine: &Arc<dyn Engine>,
    frozen: Frozen,
    meta: &StoreMeta,
) -> Option<Result<(), EngineError>> {
    let result = Arc::new(Mutex::new(None));
    let (slot, engine, meta) = (Arc::clone(&result), Arc::clone(engine), meta.clone());
    let job = move || {
        let batch = batch_of(&frozen, &meta);
        #[cfg(feature = "known-bad")]
        let batch = match known_bad_first_batch(&*engine, batch) {
            Ok(rest) => rest,
            Err(error) => return *slot.lock().expect("nobody panics") = Some(Err(error)),
        };
        let outcome = engine.apply(&batch).and_then(|()| engine.flush());
        *slot.lock().expect("no holder of this lock panics") = Some(outcome);
    };
    files.offload(Box::new(job)).await;
    result.lock().expect("no holder of this lock panics").take()
}

/// One sorted batch of all that is frozen, with its leaf sums, and of the store record.
fn batch_of(frozen: &Frozen, meta: &StoreMeta) -> Batch {
    let mut batch = Batch::default();
    for buffer in &frozen.buffers {
        batch.removed.extend_from_slice(buffer.removed());
        let entries = buffer
            .entries()
            .map(|((keyspace, key), value)| (*keyspace, *key, value.cloned()));
        batch.changes.extend(entries);
        let rows = buffer.all_rows().iter();
        batch
            .rows
            .extend(rows.map(|(key, value)| (key.clone(), value.clone())));
    }
    frozen.sums.put_into(&mut batch);
    let (keyspace, key) = META_PLACE;
    batch
        .changes
        .push((keyspace, key, Some(seal(keyspace, &key, &meta.encode()))));
    batch
        .changes
        .sort_unstable_by_key(|(keyspace, key, _)| (*keyspace, *key));
    batch.rows.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    assert!(batch.is_sorted(), "no key is in two groups");
    batch
}

/// Applies a part of a batch by itself, in the variant that does so; returns the rest.
#[cfg(feature = "known-bad")]
fn known_bad_first_batch(engine: &dyn Engine, mut batch: Batch) -> Result<Batch, EngineError> {
    use crate::key::Keyspace;
    use crate::known_bad::{Variant, is};
    if !is(Variant::TreeOutsideBatch) {
        return Ok(batch);
    }
    let is_tree = |keyspace: Keyspace| keyspace == Keyspace::Trees;
    let first = Batch {
        removed: batch
            .removed
            .extract_if(.., |(of, _)| !is_tree(*of))
            .collect(),
        changes: batch
            .changes
            .extract_if(.., |(of, _, _)| !is_tree(*of))
            .collect(),
        rows: std::mem::take(&mut batch.rows),
    };
    engine.apply(&first)?;
    Ok(batch)
}
