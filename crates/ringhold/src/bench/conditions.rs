//! Under what a run took place: a figure without them can't be compared with any other.

use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::bench::nodes::Replication;
use crate::cli::BenchArgs;

/// Options whose values are places on this machine, which are nobody's business.
const PATH_OPTIONS: [&str; 3] = ["--cluster", "--report", "--floors-dir"];

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Conditions {
    /// Seconds since 1970.
    pub(crate) at_s: u64,
    pub(crate) version: String,
    /// What was built, as whoever ran it says.
    pub(crate) build: String,
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
    /// Of the minute before the run.
    pub(crate) load_average: f64,
    /// Without places.
    pub(crate) command: String,
    /// What the keys were drawn by; absent in reports of before it was told.
    #[serde(default)]
    pub(crate) random_seed: Option<u64>,
    /// Absent where no node was asked.
    pub(crate) replication: Option<Replication>,
}

impl Conditions {
    pub(crate) fn now(arguments: &BenchArgs, replication: Option<Replication>) -> Self {
        let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let load = file("/proc/loadavg");
        let memory_kib = labelled(&file("/proc/meminfo"), "MemTotal")
            .and_then(|text| text.trim_end_matches("kB").trim().parse::<u64>().ok());
        Self {
            at_s: since_1970.map_or(0, |since| since.as_secs()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            build: arguments.build.clone(),
            processor: labelled(&file("/proc/cpuinfo"), "model name").unwrap_or_default(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_bytes: memory_kib.unwrap_or(0) * 1024,
            kernel: file("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_average: load
                .split(' ')
                .next()
                .and_then(|load| load.parse().ok())
                .unwrap_or(0.0),
            command: command(std::env::args()),
            random_seed: arguments.random_seed,
            replication,
        }
    }
}

/// `label   : text` of a file in /proc.
fn labelled(text: &str, label: &str) -> Option<String> {
    let (_, text) = text.lines().find_map(|line| {
        let (name, text) = line.split_once(':')?;
        (name.trim() == label).then_some((name, text))
    })?;
    Some(text.trim().to_owned())
}

/// The command line, with no more of a place than its last part.
fn command(arguments: impl Iterator<Item = String>) -> String {
    let last = |path: &str| {
        let name = Path::new(path).file_name();
        name.map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    };
    let mut told = Vec::new();
    let mut place_follows = true;
    for argument in arguments {
        let option = argument.split_once('=');
        told.push(match option {
            _ if place_follows => last(&argument),
            Some((name, path)) if PATH_OPTIONS.contains(&name) => format!("{name}={}", last(path)),
            _ => argument.clone(),
        });
        place_follows = PATH_OPTIONS.contains(&&*argument);
    }
    told.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_no_places() {
        let arguments = [
            "/home/a/ringhold",
            "bench",
            "--cluster",
            "/home/a/d/cluster.json",
            "--report=/tmp/x.html",
            "--keys",
            "9",
        ];
        let told = command(arguments.map(str::to_owned).into_iter());
        assert_eq!(
            told,
            "ringhold bench --cluster cluster.json --report=x.html --keys 9"
        );
    }

    #[test]
    fn files_of_the_kernel_have_labels() {
        let text = "processor\t: 0\nmodel name\t: A 2.5 GHz: fast\nMemTotal:  12 kB\n";
        assert_eq!(
            labelled(text, "model name").as_deref(),
            Some("A 2.5 GHz: fast")
        );
        assert_eq!(labelled(text, "MemTotal").as_deref(), Some("12 kB"));
        assert_eq!(labelled(text, "model"), None);
    }
}
