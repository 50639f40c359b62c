//! The machine that a node runs on, as Linux tells it.

use super::Stats;
use ringhold_core::health::DiskSpace;
use serde_json::json;
use std::fs;

/// Adds what can be found out.
pub(super) fn note(stats: &mut Stats, disk: DiskSpace) {
    let mut add = |name: &str, value| stats.push((name.to_owned(), value));
    if let Ok(processors) = std::thread::available_parallelism() {
        add("cpu_nprocs", json!(processors.get()));
    }
    let loads = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    for (name, load) in ["cpu_avg1", "cpu_avg5", "cpu_avg15"]
        .into_iter()
        .zip(loads_of(&loads))
    {
        add(name, json!(load));
    }
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    if let Some((total, allocated)) = memory_of(&memory) {
        add("mem_total", json!(total));
        add("mem_allocated", json!(allocated));
    }
    // Of the file system of the data directory, in KiB and percent.
    let used = disk.used_thousandths().div_ceil(10);
    add(
        "disk",
        json!([{ "id": "data_dir", "size": disk.total_bytes / 1024, "used": used }]),
    );
}

/// In 256ths, as Erlang has them.
fn loads_of(text: &str) -> impl Iterator<Item = u64> + '_ {
    text.split_whitespace().take(3).filter_map(|load| {
        let (whole, hundredths) = load.split_once('.')?;
        let whole: u64 = whole.parse().ok()?;
        let hundredths: u64 = hundredths.parse().ok()?;
        Some(
            whole
                .saturating_mul(256)
                .saturating_add(hundredths * 256 / 100),
        )
    })
}

/// All of it, and what is not free, in bytes.
fn memory_of(text: &str) -> Option<(u64, u64)> {
    let bytes = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        kib.checked_mul(1024)
    };
    let (total, free) = (bytes("MemTotal:")?, bytes("MemFree:")?);
    Some((total, total.saturating_sub(free)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_says() {
        let loads: Vec<u64> = loads_of("0.50 1.25 12.00 2/345 6789\n").collect();
        assert_eq!(loads, [128, 320, 3072]);
        assert_eq!(loads_of("nonsense").count(), 0);
        let memory = "MemTotal:        1000 kB\nMemFree:          400 kB\n";
        assert_eq!(memory_of(memory), Some((1_024_000, 614_400)));
        assert_eq!(memory_of("MemTotal: some kB\n"), None);
    }
}
