//! CPU time of the servers' processes, from `/proc/PID/stat`: what a request costs its owner.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use crate::output::Failure;

/// The kernel tells times in hundredths of a second on every architecture that has a `/proc`.
const TICK: Duration = Duration::from_millis(10);

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
    fn this_process_has_a_time_and_a_missing_one_is_an_error() {
        assert!(cpu_time(&[std::process::id()]).is_ok());
        assert!(cpu_time(&[u32::MAX]).is_err());
    }
}
