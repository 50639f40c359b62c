//! One machine's disk: the log's segments and the engine's rows, and all that can happen to them.
//!
//! A [`Disk`] outlives the processes that use it; each life of a process gets [`SimFiles`] and a
//! [`SimEngine`] onto it, and what an earlier life still had under way has no effect any more. The real log,
//! buffers, checkpoints and recovery run on top.
//!
//! Operations take time, in three queues as on a real machine: the log's, the stand-alone flushes', and the
//! engine's jobs. An effect happens at the end of its time. A flush covers exactly the bytes that had been
//! appended when it began; nothing else makes bytes safe.
//!
//! What a power cut leaves of unflushed bytes is nothing, all, a prefix, or blocks of 512 bytes of which some
//! are zeros; the engine comes back as of the last finished checkpoint or of the one under way, never between.
//! A failed flush is Linux's (T21): the bytes are never written, later flushes succeed all the same, reads see
//! them until the power goes. A full disk finishes the block that it is in and takes no other; what it holds stays
//! readable, and no write to it is ever called done.
//!
//! The disk also tells the books which operations it holds for certain, by looking for their ids in what was
//! flushed (see [`crate::value`]).

mod engine;
mod files;
mod image;
mod rows;
mod segment;

pub use engine::SimEngine;
pub use files::SimFiles;
pub use image::DiskImage;

use crate::books::{Loss, SharedBooks};
use crate::executor::Executor;
use crate::process::{CrashPoint, Trips};
use crate::random::SharedRandom;
use crate::rare::{Rare, RareCounts};
use crate::trace::{Trace, Who};
use crate::value::operations_in;
use ringhold_core::health::DiskSpace;
use ringhold_core::id::NodeId;
use ringhold_storage::{Batch, Engine, Keyspace, MemoryEngine, StorageKey};
use segment::Segment;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

/// Durations of an ordinary disk, in microseconds.
const APPEND_US: u64 = 20;
const FLUSH_US: u64 = 250;
const DIRECTORY_US: u64 = 400;
const READ_US: u64 = 100;
const JOB_US: u64 = 4_000;
/// No operation takes longer, on the slowest disk.
const DURATION_US_MAX: u64 = 3_000_000;

/// Something that goes wrong with the next operation of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// A flush fails, and what it should have covered is lost although reads see it.
    Flush,
    /// An append fails half way.
    Append,
}

/// How much more a disk takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Room {
    #[default]
    Enough,
    /// So many per cent are used; all that is written finds room still.
    Used(u8),
    /// The engine has used up its size; the log still finds room.
    LogOnly,
    /// Nothing more is written: no log, no new segment, no checkpoint.
    None,
}

/// See the module. Clones are the same disk.
#[derive(Clone)]
pub struct Disk(Arc<Shared>);

struct Shared {
    node: usize,
    executor: Executor,
    trace: Trace,
    books: SharedBooks,
    rare: Arc<RareCounts>,
    random: SharedRandom,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The node whose data directory is on it.
    owner: Option<NodeId>,
    /// Counts the lives of processes on this disk.
    life: u64,
    trips: Option<Trips>,
    segments: BTreeMap<u64, Segment>,
    quarantined: Vec<u64>,
    rows: MemoryEngine,
    /// A checkpoint was applied and is not flushed.
    checkpoint_under_way: bool,
    log_busy_until_us: u64,
    flush_busy_until_us: u64,
    jobs_busy_until_us: u64,
    slowness: u64,
    failing: Option<DiskFault>,
    room: Room,
    may_be_doubted: bool,
    /// Reads of the engine that fail, in a million.
    unreadable: u32,
}

impl Disk {
    #[must_use]
    pub fn new(
        node: usize,
        executor: Executor,
        trace: Trace,
        books: SharedBooks,
        rare: Arc<RareCounts>,
        random: SharedRandom,
    ) -> Self {
        let state = Mutex::new(State {
            slowness: 1,
            ..State::default()
        });
        Self(Arc::new(Shared {
            node,
            executor,
            trace,
            books,
            rare,
            random,
            state,
        }))
    }

    /// A process starts to use the disk.
    #[must_use]
    pub fn mount(&self, trips: Trips) -> (SimFiles, SimEngine) {
        let mut state = self.lock();
        state.life += 1;
        state.trips = Some(trips);
        let rows = state.rows.clone();
        let life = state.life;
        drop(state);
        (
            SimFiles::new(self.clone(), life),
            SimEngine::new(self.clone(), life, rows),
        )
    }

    /// The process is gone; what it wrote is in the machine's cache.
    pub fn unmount(&self) {
        let mut state = self.lock();
        state.life += 1;
        state.trips = None;
        let now_us = self.0.executor.now_us();
        state.log_busy_until_us = now_us;
        state.flush_busy_until_us = now_us;
        state.jobs_busy_until_us = now_us;
    }

    /// The power goes, with the process.
    pub fn cut_power(&self) {
        self.unmount();
        let mut random = self.0.random.lock();
        let mut state = self.lock();
        for segment in state.segments.values_mut() {
            segment.cut_power(&mut random);
        }
        let applied_survives = random.chance(500_000);
        if std::mem::take(&mut state.checkpoint_under_way) {
            self.0.rare.hit(Rare::CheckpointTorn);
        }
        state.rows.crash(applied_survives);
        drop(state);
        drop(random);
        self.lost(None, false);
    }

    /// An empty disk takes this one's place.
    pub fn wipe(&self) {
        self.unmount();
        let mut state = self.lock();
        state.segments.clear();
        state.owner = None;
        state.rows = MemoryEngine::default();
        state.checkpoint_under_way = false;
        drop(state);
        self.0.rare.hit(Rare::DiskReplaced);
        self.note_loss(None, true, true);
    }

    /// A row of the engine disappears; false if it has none of this key.
    pub fn forget(&self, place: &StorageKey, key: usize) -> bool {
        let rows = self.lock().rows.clone();
        let there = rows
            .get(Keyspace::Objects, place)
            .is_ok_and(|row| row.is_some());
        if there {
            let batch = Batch {
                removed: Vec::new(),
                changes: vec![(Keyspace::Objects, *place, None)],
                rows: Vec::new(),
            };
            rows.apply(&batch)
                .and_then(|()| rows.flush())
                .expect("memory takes every batch");
            self.0.rare.hit(Rare::KeyForgotten);
            self.lost(Some(key), true);
        }
        there
    }

    /// A bit of a row of the engine flips; false if it has none of this key.
    pub fn rot(&self, place: &StorageKey, at: usize, key: usize) -> bool {
        let rows = self.lock().rows.clone();
        let there = rows.damage(Keyspace::Objects, place, |bytes| {
            let length = bytes.len();
            bytes[at % length] ^= 1;
        });
        if there {
            self.lost(Some(key), true);
        }
        there
    }

    pub fn fail_next(&self, fault: DiskFault) {
        self.lock().failing = Some(fault);
    }

    pub fn set_room(&self, room: Room) {
        self.lock().room = room;
    }

    /// What it says of itself when it is asked.
    #[must_use]
    pub fn space(&self) -> DiskSpace {
        let used_percent = match self.lock().room {
            Room::Enough => 50,
            Room::Used(percent) => percent.min(100),
            Room::LogOnly => 99,
            Room::None => 100,
        };
        DiskSpace {
            total_bytes: 1_000,
            available_bytes: 1_000 - u64::from(used_percent) * 10,
        }
    }

    /// A process ended while it was opening the store.
    pub fn note_interrupted_opening(&self) {
        self.lock().may_be_doubted = true;
    }

    /// Whether a flush or an append ever failed here, or an opening was interrupted: then a segment may be
    /// in the machine's cache whose very beginning was never flushed, and its loss is taken for damage.
    #[must_use]
    pub fn may_be_doubted(&self) -> bool {
        self.lock().may_be_doubted
    }

    /// Everything takes so many times as long.
    pub fn set_slowness(&self, factor: u64) {
        self.lock().slowness = factor;
    }

    /// So many reads of the engine in a million fail.
    pub fn set_unreadable(&self, per_million: u32) {
        self.lock().unreadable = per_million;
    }

    /// Whether nothing waits for this disk.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let state = self.lock();
        let busy_until_us = state
            .log_busy_until_us
            .max(state.flush_busy_until_us)
            .max(state.jobs_busy_until_us);
        busy_until_us <= self.0.executor.now_us()
    }

    pub fn heal(&self) {
        let mut state = self.lock();
        state.slowness = 1;
        state.unreadable = 0;
        state.failing = None;
        state.room = Room::Enough;
    }

    /// The segments there are, with their lengths: for whoever looks on.
    #[must_use]
    pub fn segments(&self) -> Vec<(u64, usize)> {
        self.lock()
            .segments
            .iter()
            .map(|(number, segment)| (*number, segment.length()))
            .collect()
    }

    /// When an operation that begins now, or when its queue is free, is done.
    fn schedule(&self, queue: Queue, median_us: u64) -> u64 {
        let now_us = self.0.executor.now_us();
        let mut took_us = self.0.random.lock().around(median_us);
        let mut state = self.lock();
        took_us = (took_us * state.slowness).min(DURATION_US_MAX);
        let busy_until_us = match queue {
            Queue::Log => &mut state.log_busy_until_us,
            Queue::Flush => &mut state.flush_busy_until_us,
            Queue::Jobs => &mut state.jobs_busy_until_us,
        };
        *busy_until_us = now_us.max(*busy_until_us) + took_us;
        *busy_until_us
    }

    /// Has an effect at the moment given, unless the process that asked for it is gone by then.
    async fn take_effect<T: Send + 'static>(
        &self,
        life: u64,
        at_us: u64,
        effect: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> T {
        let outcome = Arc::new(Mutex::new(None));
        let (disk, slot) = (self.clone(), Arc::clone(&outcome));
        self.0.executor.call_at(at_us, move || {
            if disk.lock().life == life {
                let effect = effect(&disk);
                *slot.lock().expect("no holder of this lock panics") = Some(effect);
            }
        });
        self.0.executor.sleep_until(at_us).await;
        loop {
            if let Some(done) = outcome
                .lock()
                .expect("no holder of this lock panics")
                .take()
            {
                return done;
            }
            // Either the call of this very moment is still to come, or the process is being killed.
            self.0.executor.yield_now().await;
        }
    }

    fn append(&self, number: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        let failed = state.failing == Some(DiskFault::Append);
        if failed {
            state.failing = None;
            state.may_be_doubted = true;
        }
        let room = state.room;
        let segment = state
            .segments
            .get_mut(&number)
            .ok_or(io::ErrorKind::NotFound)?;
        let outcome = match (failed, room) {
            (true, _) => Err(io::Error::other("the disk failed")),
            (false, Room::None) => Err(io::ErrorKind::StorageFull.into()),
            (false, Room::LogOnly | Room::Used(_) | Room::Enough) => Ok(()),
        };
        let kept = match &outcome {
            Ok(()) => bytes.len(),
            Err(_) if failed => bytes.len() / 2,
            Err(_) => segment.room_in_block().min(bytes.len()),
        };
        segment.append(&bytes[..kept]);
        drop(state);
        self.0.trace.event(Who::Node(self.0.node), "append", || {
            format!("{kept} bytes to segment {number}")
        });
        if room == Room::None {
            self.0.rare.hit(Rare::AppendRefused);
        }
        self.trip(CrashPoint::AfterAppend);
        outcome
    }

    /// A new segment, if there is room for one.
    fn create(&self, number: u64) -> io::Result<()> {
        let mut state = self.lock();
        if state.segments.contains_key(&number) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if state.room == Room::None {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.segments.insert(number, Segment::default());
        Ok(())
    }

    fn length(&self, number: u64) -> usize {
        self.lock().segments.get(&number).map_or(0, Segment::length)
    }

    /// Makes the first `covers` bytes of a segment safe.
    fn flush(&self, number: u64, covers: usize) -> io::Result<()> {
        let mut state = self.lock();
        let failed = state.failing == Some(DiskFault::Flush);
        if failed {
            state.failing = None;
            state.may_be_doubted = true;
        }
        let segment = state
            .segments
            .get_mut(&number)
            .ok_or(io::ErrorKind::NotFound)?;
        if failed {
            segment.forget_unflushed();
            drop(state);
            self.0.trace.event(Who::Node(self.0.node), "flush", || {
                format!("segment {number} failed")
            });
            return Err(io::Error::other("the disk failed"));
        }
        let operations: Vec<usize> = operations_in(&segment.flush(covers)).collect();
        drop(state);
        self.0.books.lock().became_durable(self.0.node, operations);
        self.0.trace.event(Who::Node(self.0.node), "flush", || {
            format!("segment {number} to {covers} bytes")
        });
        self.trip(CrashPoint::AfterFlush);
        Ok(())
    }

    fn lost(&self, key: Option<usize>, flushed_too: bool) {
        self.note_loss(key, flushed_too, false);
    }

    fn note_loss(&self, key: Option<usize>, flushed_too: bool, replaced: bool) {
        let at_us = self.0.executor.now_us();
        self.0.books.lock().lost(Loss {
            node: self.0.node,
            at_us,
            key,
            flushed_too,
            replaced,
        });
    }

    fn trip(&self, point: CrashPoint) {
        let trips = self.lock().trips.clone();
        if let Some(trips) = trips {
            trips.passes(point);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no holder of this lock panics")
    }
}

#[derive(Clone, Copy)]
enum Queue {
    Log,
    Flush,
    Jobs,
}
