//! The third floor: one flush.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::latency::Latencies;

const WRITE_BYTES: usize = 4_096;
/// Other work on the disk comes and goes, so the flushes are in groups, and the group that met the least of it counts.
const GROUPS: u32 = 8;
const FLUSHES: u32 = 50;

/// 4 KiB written where zeros were, and their flush, as the log has it: the least of the medians of some groups of them. Blocks.
pub(super) fn p50(path: &Path) -> io::Result<Duration> {
    let mut file = File::create(path)?;
    for _ in 0..GROUPS * FLUSHES {
        file.write_all(&[0; WRITE_BYTES])?;
    }
    file.sync_all()?;
    file.rewind()?;
    let bytes = [7; WRITE_BYTES];
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
