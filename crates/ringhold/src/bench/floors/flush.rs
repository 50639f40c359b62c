//! The third floor: one flush.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::latency::Latencies;

const APPEND_BYTES: usize = 4_096;
/// Other work on the disk comes and goes, so the flushes are in groups, and the group that met the least of it counts.
const GROUPS: u32 = 8;
const FLUSHES: u32 = 50;

/// An append of 4 KiB and its flush: the least of the medians of some groups of them. Blocks.
pub(super) fn p50(path: &Path) -> io::Result<Duration> {
    let mut file = File::create(path)?;
    let bytes = [7; APPEND_BYTES];
    let mut least = Duration::MAX;
    for _ in 0..GROUPS {
        let mut latencies = Latencies::default();
        for _ in 0..FLUSHES {
            let start = Instant::now();
            file.write_all(&bytes)?;
            file.sync_data()?;
            latencies.record(start.elapsed());
        }
        least = least.min(latencies.at(0.5).expect("some were recorded"));
    }
    Ok(least)
}
