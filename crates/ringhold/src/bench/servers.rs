//! CPU time, memory and disk writes of the servers' processes, from `/proc`: what a request costs its owner.

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

/// What these processes had written, in bytes, as the kernel counts what has to go to a disk some day; `None` where it does not tell.
pub(crate) fn written_bytes(pids: &[u32]) -> Option<u64> {
    let of = |&pid: &u32| {
        let io = std::fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
        let line = io
            .lines()
            .find_map(|line| line.strip_prefix("write_bytes: "))?;
        line.trim().parse::<u64>().ok()
    };
    pids.iter().map(of).sum()
}

/// Bytes of memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Without the pages of mapped files, which the kernel takes back when it needs them.
    pub(crate) anonymous: u64,
    pub(crate) resident: u64,
}

/// Watches how much memory these processes have in use, together.
pub(crate) struct MemoryWatch {
    most: Arc<[AtomicU64; 2]>,
    task: JoinHandle<()>,
}

impl MemoryWatch {
    pub(crate) fn start(pids: Vec<u32>) -> Self {
        let most: Arc<[AtomicU64; 2]> = Arc::default();
        let seen = Arc::clone(&most);
        let task = tokio::spawn(async move {
            loop {
                let memory = || pids.iter().filter_map(|&pid| memory_of(pid));
                let anonymous = memory().map(|memory| memory.anonymous).sum();
                let resident = memory().map(|memory| memory.resident).sum();
                seen[0].fetch_max(anonymous, Ordering::Relaxed);
                seen[1].fetch_max(resident, Ordering::Relaxed);
                tokio::time::sleep(MEMORY_PAUSE).await;
            }
        });
        Self { most, task }
    }

    /// The most at any look.
    pub(crate) fn stop(self) -> Memory {
        self.task.abort();
        let [anonymous, resident] = &*self.most;
        Memory {
            anonymous: anonymous.load(Ordering::Relaxed),
            resident: resident.load(Ordering::Relaxed),
        }
    }
}

fn memory_of(pid: u32) -> Option<Memory> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    memory_in(&status)
}

/// `RssAnon:      1234 kB`, and the same of `VmRSS`.
fn memory_in(status: &str) -> Option<Memory> {
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1024)
    };
    Some(Memory {
        anonymous: bytes("RssAnon:")?,
        resident: bytes("VmRSS:")?,
    })
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
    /// Absent where the node does not listen for it.
    pub(crate) pb: Option<String>,
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
        let memory = Memory {
            anonymous: 12 * 1024,
            resident: 19 * 1024,
        };
        assert_eq!(memory_in(status), Some(memory));
        for wrong in ["", "RssAnon: kB", "RssAnon: 12 pages", "RssAnon: x kB"] {
            assert_eq!(memory_in(&format!("VmRSS: 1 kB\n{wrong}")), None, "{wrong}");
        }
        let own = memory_of(std::process::id()).expect("this process has some");
        assert!(0 < own.anonymous && own.anonymous <= own.resident);
    }

    #[test]
    fn this_process_has_a_time_and_a_missing_one_is_an_error() {
        assert!(cpu_time(&[std::process::id()]).is_ok());
        assert!(cpu_time(&[u32::MAX]).is_err());
    }
}
