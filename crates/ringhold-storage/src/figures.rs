//! Counts and sizes, for metrics and for the benchmark. Nothing is decided by them but when a
//! checkpoint is due.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a store has done since it was opened, and what it holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Physical appends to the log.
    pub appends: u64,
    /// Successful flushes of the log, those of new segments included.
    pub flushes: u64,
    /// Batches committed.
    pub commits: u64,
    /// Writes committed, after each batch was collapsed.
    pub writes: u64,
    /// The most commits and store records that went into one append.
    pub append_items_max: u64,
    /// Bytes in the log segment being written, headers included.
    pub segment_bytes: u64,
    /// Log segments that a reopening would replay.
    pub segments: u64,
    /// Bytes that the buffers take in memory, roughly.
    pub buffer_bytes: u64,
    /// Bytes that the engine takes.
    pub engine_bytes: u64,
    /// Checkpoints finished.
    pub checkpoints: u64,
    /// Damaged segments that opening put aside.
    pub quarantined_segments: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    appends: AtomicU64,
    flushes: AtomicU64,
    commits: AtomicU64,
    writes: AtomicU64,
    append_items_max: AtomicU64,
    segment_bytes: AtomicU64,
    checkpoints: AtomicU64,
}

impl Counters {
    pub(crate) fn appended(&self, items: usize) {
        self.appends.fetch_add(1, Ordering::Relaxed);
        self.append_items_max
            .fetch_max(count(items), Ordering::Relaxed);
    }

    pub(crate) fn flushed(&self, segment_bytes: u64) {
        self.flushes.fetch_add(1, Ordering::Relaxed);
        self.segment_bytes.store(segment_bytes, Ordering::Relaxed);
    }

    pub(crate) fn committed(&self, writes: usize) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.writes.fetch_add(count(writes), Ordering::Relaxed);
    }

    pub(crate) fn checkpointed(&self) {
        self.checkpoints.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn segment_bytes(&self) -> u64 {
        self.segment_bytes.load(Ordering::Relaxed)
    }

    /// The counts; sizes are added by who knows them.
    pub(crate) fn figures(&self) -> Figures {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Figures {
            appends: load(&self.appends),
            flushes: load(&self.flushes),
            commits: load(&self.commits),
            writes: load(&self.writes),
            append_items_max: load(&self.append_items_max),
            segment_bytes: load(&self.segment_bytes),
            checkpoints: load(&self.checkpoints),
            ..Figures::default()
        }
    }
}

pub(crate) fn count(items: usize) -> u64 {
    u64::try_from(items).expect("memory is smaller than 2^64 items")
}
