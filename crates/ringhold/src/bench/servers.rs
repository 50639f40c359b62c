//! CPU time and memory of the servers' processes, from `/proc`: what a request costs its owner.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

use serde::Deserialize;

use crate::output::Failure;

/// The kernel tells times in hundredths of a second on every architecture that has a `/proc`.
const TICK: Duration = Duration::from_millis(10);
/// Between two looks at the memory.
const MEMORY_PAUSE: Duration = Duration::from_millis(200);

/// CPU time, user and system, of all these processes since they started.
pub(crate) fn cpu_time(pids: &[u32]) -> Result<Duration, Failure> {
    pids.iter().map(|&pid| cpu_time_of(pid)).sum()
}

fn cpu_time_of(pid: u32) -> Result<Duration, Failure> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).map_err(|error| {
        Failure::failed(format!(
            "can't read {path}: {error}; is process {pid} still running?"
        ))
    })?;
    let ticks = ticks(&stat)
        .ok_or_else(|| Failure::failed(format!("{path} does not look like a process: {stat}")))?;
    Ok(TICK.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX)))
}

/// Watches how much memory these processes have in use, together.
pub(crate) struct MemoryWatch {
    most: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl MemoryWatch {
    pub(crate) fn start(pids: Vec<u32>) -> Self {
        let most = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&most);
        let task = tokio::spawn(async move {
            loop {
                let bytes: u64 = pids.iter().filter_map(|&pid| resident_bytes(pid)).sum();
                seen.fetch_max(bytes, Ordering::Relaxed);
                tokio::time::sleep(MEMORY_PAUSE).await;
            }
        });
        Self { most, task }
    }

    /// The most at any look.
    pub(crate) fn stop(self) -> u64 {
        self.task.abort();
        self.most.load(Ordering::Relaxed)
    }
}

fn resident_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    resident_of(&status)
}

/// `RssAnon:      1234 kB`: without the pages of mapped files, which the kernel takes back when it needs them.
fn resident_of(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Fields 14 and 15, counted behind the name, which may hold anything, parentheses too.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

/// The nodes of a `dev` cluster.
#[derive(Debug, Deserialize)]
pub(crate) struct ClusterFile {
    pub(crate) nodes: Vec<ClusterNode>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ClusterNode {
    pub(crate) pid: u32,
    /// `HOST:PORT`.
    pub(crate) http: String,
    pub(crate) native: String,
}

/// Reads `cluster.json`.
pub(crate) fn cluster(path: &Path) -> Result<ClusterFile, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::usage(format!(
            "can't read {}: {error}; is `ringhold dev` running there?",
            path.display()
        ))
    })?;
    serde_json::from_str(&text).map_err(|error| {
        Failure::usage(format!("{} is not a cluster.json: {error}", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = |name: &str| format!("42 ({name}) S 1 2 3 4 5 6 7 8 9 10 120 30 0 0 20 0");
        assert_eq!(ticks(&stat("ringhold")), Some(150));
        assert_eq!(ticks(&stat("a) S 1 (b")), Some(150));
        for wrong in [
            "",
            "42 (x)",
            "42 (x) S 1 2",
            "42 (x) S 1 2 3 4 5 6 7 8 9 10 a b",
        ] {
            assert_eq!(ticks(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn memory_is_what_is_resident() {
        let status = "Name:\tringhold\nVmRSS:\t  19 kB\nRssAnon:\t    12 kB\nThreads:\t4\n";
        assert_eq!(resident_of(status), Some(12 * 1024));
        for wrong in ["", "RssAnon: kB", "RssAnon: 12 pages", "RssAnon: x kB"] {
            assert_eq!(resident_of(wrong), None, "{wrong}");
        }
        assert!(resident_bytes(std::process::id()).is_some_and(|bytes| bytes > 0));
    }

    #[test]
    fn this_process_has_a_time_and_a_missing_one_is_an_error() {
        assert!(cpu_time(&[std::process::id()]).is_ok());
        assert!(cpu_time(&[u32::MAX]).is_err());
    }
}
