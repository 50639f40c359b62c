//! Checkpoints: what the buffers say goes into the engine, and the log behind it goes away (§6.1).
//!
//! 1. *Begin*: the flusher starts a new log segment and, at that exact point of the log, freezes the
//!    buffers of all groups.
//! 2. *Finish*: everything frozen goes to the engine in sorted atomic batches, the *parts* ([`parts`]). The
//!    last one has the store record, which names the new segment as the first to replay; the engine flushes
//!    it; only then are the older segments removed and the frozen buffers dropped.
//!
//! A crash at any point leaves either an engine whose record still names the old segments, all of which are
//! there, or the new state and segments that are no longer needed. Replaying what some of the parts brought already
//! changes nothing.
//!
//! A checkpoint that fails for lack of room, or whose future is dropped, stays frozen: beginning
//! again returns the same one. Only one is under way at a time.
//!
//! A [`Snapshot`](crate::Snapshot) is a copy of the buffers over the engine as it stands, so it *pins*
//! the engine: the batch of a freeze that the snapshot has not seen waits until the snapshot is gone.

pub(crate) mod parts;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use futures_channel::oneshot;

use self::parts::{PartLayout, parts_of};
use crate::BoxFuture;
use crate::buffer::Frozen;
use crate::engine::{Engine, EngineError};
use crate::files::Files;
use crate::meta::StoreMeta;

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

/// What the host does between two parts of a checkpoint: wait, so that the disk is left to those who are waited for.
pub type BetweenParts<'a> = &'a mut (dyn FnMut(PartsLeft) -> BoxFuture<'static, ()> + Send);

/// How far a checkpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartsLeft {
    /// Parts that the engine has.
    pub done: usize,
    /// Parts that it has not.
    pub left: usize,
}

/// Without a pause.
pub(crate) fn at_once(_: PartsLeft) -> BoxFuture<'static, ()> {
    Box::pin(std::future::ready(()))
}

/// Brings frozen buffers and the store record into the engine, durably, off the caller's task. None
/// if a job was lost with its thread.
pub(crate) async fn write_back(
    files: &dyn Files,
    engine: &Arc<dyn Engine>,
    frozen: Frozen,
    meta: &StoreMeta,
    layout: PartLayout,
    between: BetweenParts<'_>,
) -> Option<Result<(), EngineError>> {
    let meta = meta.clone();
    let parts = offloaded(files, move || parts_of(&frozen, &meta, layout)).await?;
    let all = parts.len();
    for (at, part) in parts.into_iter().enumerate() {
        let (engine, is_last) = (Arc::clone(engine), at + 1 == all);
        let job = move || {
            engine.apply(&part)?;
            if is_last { engine.flush() } else { Ok(()) }
        };
        if let Err(error) = offloaded(files, job).await? {
            return Some(Err(error));
        }
        if !is_last {
            let (done, left) = (at + 1, all - at - 1);
            between(PartsLeft { done, left }).await;
        }
    }
    Some(Ok(()))
}

/// The outcome of a job on a thread that may block; none if the thread is gone.
async fn offloaded<T: Send + 'static>(
    files: &dyn Files,
    job: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let result = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&result);
    let job = move || {
        let outcome = job();
        *slot.lock().expect("no holder of this lock panics") = Some(outcome);
    };
    files.offload(Box::new(job)).await;
    result.lock().expect("no holder of this lock panics").take()
}
