//! What a benchmark tells: one structure, and from it the table, the JSON, the page and the comparison.
//!
//! The structure is what `--output json` prints, and reads back: whoever compares runs, or makes a page of many, needs nothing but those
//! files. Names that stand at its top are flat so that a script finds them with `sed`.
//!
//! A *request* is a get or a put; an *operation* is what the workload does again and again, which is a request, or with `rmw` a get
//! and a put. Costs are per operation, latencies are told for both.
//!
//! | module | |
//! | --- | --- |
//! | `table` | for people at a terminal |
//! | `page` | one page of HTML without anything from elsewhere |
//! | `svg` | its plots |
//! | `compare` | two runs |
//! | `summary` | medians over runs of the same settings |

pub(crate) mod compare;
pub(crate) mod page;
pub(crate) mod summary;
mod svg;
mod table;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bench::conditions::Conditions;
use crate::bench::floors::Floors;
use crate::bench::measured::Measured;
use crate::bench::nodes::Counts;
use crate::bench::servers::Memory;
use crate::cli::{BenchArgs, KeysDistribution, Protocol, Workload};
use crate::latency::{Coarse, Latencies};
use crate::output::Failure;

/// Names of figures that are looked for.
pub(crate) const CPU: &str = "CPU µs an operation";
pub(crate) const P50: &str = "p50 µs";
pub(crate) const P99: &str = "p99 µs";
pub(crate) const P99_9: &str = "p99.9 µs";
pub(crate) const ANONYMOUS: &str = "MiB in use";
pub(crate) const WRITTEN: &str = "bytes written for each byte put";
pub(crate) const FLUSHES: &str = "flushes a put";
pub(crate) const CPU_RATIO: &str = "CPU over store and frames";
pub(crate) const LATENCY_RATIO: &str = "latency over flush and round trips";

/// What was counted at the servers during the run; each as far as their processes or listeners are known.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Servers {
    pub(crate) cpu: Option<Duration>,
    pub(crate) memory: Option<Memory>,
    pub(crate) written_bytes: Option<u64>,
    pub(crate) counts: Option<Counts>,
}

/// See the module.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) workload: Workload,
    /// Of a mixed workload.
    pub(crate) gets_percent: Option<u8>,
    pub(crate) with_context: bool,
    pub(crate) protocol: Protocol,
    pub(crate) value_bytes: usize,
    pub(crate) keys: u64,
    pub(crate) keys_distribution: KeysDistribution,
    pub(crate) zipf_theta: Option<f64>,
    pub(crate) connections: u16,
    pub(crate) nodes: usize,
    /// Of an open loop, a second.
    pub(crate) rate: Option<f64>,
    pub(crate) seconds: f64,
    pub(crate) operations: u64,
    pub(crate) operations_per_second: f64,
    pub(crate) in_time_ms: u64,
    pub(crate) in_time: u64,
    pub(crate) in_time_per_second: f64,
    pub(crate) in_time_by_seconds: Vec<u64>,
    pub(crate) failures: BTreeMap<String, u64>,
    pub(crate) never_started: usize,
    /// Gets by how many versions they found.
    pub(crate) versions_seen: BTreeMap<usize, u64>,
    pub(crate) servers_cpu_seconds: Option<f64>,
    pub(crate) servers_cpu_us_per_operation: Option<f64>,
    /// The most memory that the servers had in use during the run, together, without mapped files.
    pub(crate) servers_bytes_max: Option<u64>,
    /// With them.
    pub(crate) servers_resident_bytes_max: Option<u64>,
    pub(crate) servers_written_bytes: Option<u64>,
    /// Over all replicas, for each byte of a value put.
    pub(crate) written_per_byte_put: Option<f64>,
    /// Of all nodes' logs.
    pub(crate) flushes: Option<u64>,
    pub(crate) flushes_per_put: Option<f64>,
    /// Records in the logs; each replica of a put writes one.
    pub(crate) log_writes: Option<u64>,
    pub(crate) log_writes_per_flush: Option<f64>,
    pub(crate) puts_forwarded: Option<u64>,
    pub(crate) get: Kind,
    pub(crate) put: Kind,
    pub(crate) rmw: Kind,
    pub(crate) by_second: Vec<Second>,
    pub(crate) floors: Option<Floors>,
    pub(crate) conditions: Conditions,
}

/// Latencies of one kind of request; microseconds, absent where there was none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kind {
    pub(crate) count: u64,
    pub(crate) per_second: f64,
    #[serde(flatten)]
    pub(crate) latency: Percentiles,
    /// Of a closed loop, with those who would have come during long waits: see [`Latencies::corrected`].
    pub(crate) corrected: Option<Percentiles>,
    /// Nines and microseconds, for drawing; the corrected ones of a closed loop.
    pub(crate) curve: Vec<(f64, u64)>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Percentiles {
    pub(crate) mean_us: Option<f64>,
    pub(crate) p50_us: Option<f64>,
    pub(crate) p95_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    pub(crate) p99_9_us: Option<f64>,
    pub(crate) max_us: Option<f64>,
}

/// What was answered in one second of the run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Second {
    pub(crate) requests: u64,
    pub(crate) p50_us: Option<u64>,
    pub(crate) p99_us: Option<u64>,
    pub(crate) p99_9_us: Option<u64>,
}

impl Percentiles {
    fn of(latencies: &Latencies) -> Self {
        let us = |latency: Option<Duration>| latency.map(|latency| latency.as_micros() as f64);
        Self {
            mean_us: us(latencies.mean()),
            p50_us: us(latencies.at(0.5)),
            p95_us: us(latencies.at(0.95)),
            p99_us: us(latencies.at(0.99)),
            p99_9_us: us(latencies.at(0.999)),
            max_us: us(latencies.max()),
        }
    }

    /// With their headings.
    pub(crate) fn named(&self) -> [(&'static str, Option<f64>); 6] {
        [
            ("mean", self.mean_us),
            ("p50", self.p50_us),
            ("p95", self.p95_us),
            ("p99", self.p99_us),
            ("p99.9", self.p99_9_us),
            ("max", self.max_us),
        ]
    }
}

impl Kind {
    /// `pace` is the mean time between two requests of this kind on a connection, in a closed loop.
    fn of(latencies: &Latencies, seconds: f64, pace: Option<Duration>) -> Self {
        let corrected = pace.map(|pace| latencies.corrected(pace));
        Self {
            count: latencies.count(),
            per_second: latencies.count() as f64 / seconds,
            latency: Percentiles::of(latencies),
            curve: corrected.as_ref().unwrap_or(latencies).curve(),
            corrected: corrected.as_ref().map(Percentiles::of),
        }
    }

    /// What is nearest to what many independent clients would have seen.
    pub(crate) fn honest(&self) -> &Percentiles {
        self.corrected.as_ref().unwrap_or(&self.latency)
    }
}

impl Second {
    fn of(second: &Coarse) -> Self {
        Self {
            requests: second.count(),
            p50_us: second.at(0.5),
            p99_us: second.at(0.99),
            p99_9_us: second.at(0.999),
        }
    }
}

impl Report {
    pub(crate) fn new(
        arguments: &BenchArgs,
        nodes: usize,
        measured: &Measured,
        servers: Servers,
        conditions: Conditions,
    ) -> Self {
        let seconds = measured.elapsed.as_secs_f64().max(1e-6);
        let is_rmw = arguments.workload == Workload::Rmw;
        let operations = match is_rmw {
            true => measured.rmw.count(),
            false => measured.requests(),
        };
        let in_time = measured.in_time.iter().sum::<u64>();
        let ratio = |part: f64, whole: u64| (whole > 0).then(|| part / whole as f64);
        let puts = measured.put.count();
        let bytes_put = puts * arguments.value_bytes as u64;
        let counts = servers.counts;
        // Each connection of a closed loop asks as soon as it is answered.
        let waited = measured.elapsed.as_secs_f64() * f64::from(arguments.connections);
        let kind = |latencies: &Latencies| {
            let pace = Duration::from_secs_f64(waited / latencies.count().max(1) as f64);
            Kind::of(latencies, seconds, arguments.rate.is_none().then_some(pace))
        };
        let zipf = arguments.keys_distribution == KeysDistribution::Zipf;
        Self {
            workload: arguments.workload,
            gets_percent: (arguments.workload == Workload::Mixed).then_some(arguments.gets_percent),
            with_context: arguments.with_context || is_rmw,
            protocol: arguments.protocol,
            value_bytes: arguments.value_bytes,
            keys: arguments.keys,
            keys_distribution: arguments.keys_distribution,
            zipf_theta: zipf.then_some(arguments.zipf_theta),
            connections: arguments.connections,
            nodes,
            rate: arguments.rate,
            seconds,
            operations,
            operations_per_second: operations as f64 / seconds,
            in_time_ms: arguments.in_time_ms,
            in_time,
            in_time_per_second: in_time as f64 / seconds,
            in_time_by_seconds: measured.in_time.clone(),
            failures: measured.failures.clone(),
            never_started: measured.never_started,
            versions_seen: measured.versions.clone(),
            servers_cpu_seconds: servers.cpu.map(|cpu| cpu.as_secs_f64()),
            servers_cpu_us_per_operation: servers
                .cpu
                .and_then(|cpu| ratio(cpu.as_secs_f64() * 1e6, operations)),
            servers_bytes_max: servers.memory.map(|memory| memory.anonymous),
            servers_resident_bytes_max: servers.memory.map(|memory| memory.resident),
            servers_written_bytes: servers.written_bytes,
            written_per_byte_put: servers
                .written_bytes
                .and_then(|bytes| ratio(bytes as f64, bytes_put)),
            flushes: counts.map(|counts| counts.flushes),
            flushes_per_put: counts.and_then(|counts| ratio(counts.flushes as f64, puts)),
            log_writes: counts.map(|counts| counts.writes),
            log_writes_per_flush: counts
                .and_then(|counts| ratio(counts.writes as f64, counts.flushes)),
            puts_forwarded: counts.map(|counts| counts.forwarded),
            get: kind(&measured.get),
            put: kind(&measured.put),
            rmw: kind(&measured.rmw),
            by_second: measured.seconds.iter().map(Second::of).collect(),
            floors: None,
            conditions,
        }
    }

    /// What `--output json` printed.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let name = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::usage(format!("can't read {name}: {error}")))?;
        serde_json::from_str(&text).map_err(|error| {
            Failure::usage(format!(
                "{name} is not what `bench --output json` prints: {error}"
            ))
        })
    }

    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("a report has names for keys, and numbers that are some")
    }

    /// The kinds of which there were any.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = (&'static str, &Kind)> {
        let kinds = [("get", &self.get), ("put", &self.put), ("rmw", &self.rmw)];
        kinds.into_iter().filter(|(_, kind)| kind.count > 0)
    }

    /// The kind that the workload is about; of a mixed one the puts.
    pub(crate) fn main_kind(&self) -> &Kind {
        match self.workload {
            Workload::Get => &self.get,
            Workload::Rmw => &self.rmw,
            Workload::Put | Workload::Mixed => &self.put,
        }
    }

    /// What runs are compared by, always the same names in the same order. Percentiles are those of the main kind, corrected where that
    /// is needed.
    pub(crate) fn figures(&self) -> Vec<(&'static str, Option<f64>)> {
        let latency = self.main_kind().honest();
        let mib = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64 / f64::from(1 << 20));
        let floors = self.floors.as_ref();
        vec![
            ("operations a second", Some(self.operations_per_second)),
            (CPU, self.servers_cpu_us_per_operation),
            (P50, latency.p50_us),
            (P99, latency.p99_us),
            (P99_9, latency.p99_9_us),
            (ANONYMOUS, mib(self.servers_bytes_max)),
            (
                "MiB in use with mapped files",
                mib(self.servers_resident_bytes_max),
            ),
            (WRITTEN, self.written_per_byte_put),
            (FLUSHES, self.flushes_per_put),
            ("log writes to a flush", self.log_writes_per_flush),
            ("store alone, CPU µs", floors.map(|floors| floors.store_us)),
            (
                "frames alone, CPU µs",
                floors.map(|floors| floors.frames_us),
            ),
            (CPU_RATIO, floors.map(|floors| floors.cpu_ratio)),
            ("one flush, µs", floors.map(|floors| floors.flush_p50_us)),
            (
                "round trips, µs",
                floors.map(|floors| floors.round_trips_p50_us),
            ),
            (LATENCY_RATIO, floors.map(|floors| floors.latency_ratio)),
        ]
    }

    /// What was done, in words.
    pub(crate) fn settings(&self) -> String {
        let what = match (self.workload, self.gets_percent) {
            (Workload::Mixed, Some(percent)) => format!("mixed, {percent} % gets"),
            (workload, _) => format!("{workload:?}").to_lowercase(),
        };
        let puts = match self.with_context {
            true => "with",
            false => "without",
        };
        let drawn = match self.zipf_theta {
            Some(theta) => format!("drawn by Zipf at {theta}"),
            None => "drawn evenly".to_owned(),
        };
        let arrival = match self.rate {
            Some(rate) => format!("open loop at {rate} a second, latency from the intended start"),
            None => "closed loop".to_owned(),
        };
        let protocol = format!("{:?}", self.protocol).to_lowercase();
        format!(
            "{what} over {protocol}, puts {puts} context, {} B values, {} keys {drawn}, {} connections to {} nodes, {arrival}",
            self.value_bytes, self.keys, self.connections, self.nodes
        )
    }
}

/// Up to three digits that matter.
pub(crate) fn short(number: f64) -> String {
    match number.abs() {
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

/// Microseconds as milliseconds, or a dash.
pub(crate) fn milliseconds(us: Option<f64>) -> String {
    us.map_or_else(|| "-".to_owned(), |us| format!("{:.2} ms", us / 1e3))
}

/// A dash for what is not known.
pub(crate) fn or_dash(number: Option<f64>) -> String {
    number.map_or_else(|| "-".to_owned(), short)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    /// A closed loop of 2 s: 100 gets of 1 ms, 100 puts of 2 ms and one of 1.9 s.
    pub(super) fn sample() -> Report {
        sample_of(&["--connections", "4"])
    }

    fn sample_of(more: &[&str]) -> Report {
        let cli = Cli::parse_from([&["ringhold", "bench"], more].concat());
        let Command::Bench(arguments) = cli.command else {
            panic!("it is a benchmark")
        };
        let mut measured = Measured {
            elapsed: Duration::from_secs(2),
            in_time: vec![150, 50],
            seconds: vec![Coarse::default(); 2],
            ..Measured::default()
        };
        for _ in 0..100 {
            measured.get.record(Duration::from_millis(1));
            measured.put.record(Duration::from_millis(2));
            measured.seconds[0].record(Duration::from_millis(1));
        }
        measured.put.record(Duration::from_millis(1_900));
        let servers = Servers {
            cpu: Some(Duration::from_micros(20_100)),
            memory: Some(Memory {
                anonymous: 1 << 20,
                resident: 2 << 20,
            }),
            written_bytes: Some(101 * 1024 * 5),
            counts: Some(Counts {
                flushes: 101,
                writes: 303,
                ..Counts::default()
            }),
        };
        Report::new(&arguments, 3, &measured, servers, Conditions::default())
    }

    fn near(one: Option<f64>, two: f64) -> bool {
        one.is_some_and(|one| (one - two).abs() < 1e-9)
    }

    #[test]
    fn costs_are_for_each_operation_and_put() {
        let report = sample();
        assert_eq!(report.operations, 201);
        assert!(near(report.servers_cpu_us_per_operation, 100.0));
        assert!(near(report.written_per_byte_put, 5.0));
        assert!(near(report.flushes_per_put, 1.0));
        assert!(near(report.log_writes_per_flush, 3.0));
        assert!(near(Some(report.operations_per_second), 100.5));
        // Of a get and its put, half as many.
        let rmw = sample_of(&["--workload", "rmw"]);
        assert_eq!(
            (rmw.operations, rmw.servers_cpu_us_per_operation),
            (0, None)
        );
    }

    #[test]
    fn a_closed_loop_is_corrected_by_its_pace_and_an_open_one_is_not() {
        let closed = sample();
        let corrected = closed.put.corrected.expect("a closed loop");
        // Four connections, 101 puts, 2 s: one each 79 ms, so the stall stands for 22 more.
        assert!(corrected.p95_us > Some(1_000_000.0), "{corrected:?}");
        assert!(closed.put.latency.p95_us < Some(3_000.0));
        assert_eq!(
            closed.get.corrected.and_then(|get| get.max_us),
            closed.get.latency.max_us
        );
        let open = sample_of(&["--rate", "100"]);
        assert_eq!(open.put.corrected, None);
        assert_eq!(open.put.honest(), &open.put.latency);
    }

    #[test]
    fn what_is_printed_is_read_back() {
        let report = sample();
        let text = report.to_json().to_string();
        let back: Report = serde_json::from_str(&text).expect("it is a report");
        assert_eq!(back.to_json(), report.to_json());
        assert_eq!(report.to_json()["get"]["p99_9_us"], 1_000.0);
    }

    #[test]
    fn pages_need_nothing_from_elsewhere() {
        let runs = [
            sample(),
            sample_of(&["--protocol", "pb", "--keys-distribution", "zipf"]),
        ];
        let summary = summary::Summary::of(&runs);
        for page in [page::of_run(&runs[0]), page::of_summary(&summary)] {
            assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
            for outside in ["<script", "src=", "href=", "url(", "@import", "<link"] {
                assert!(!page.contains(outside), "{outside}");
            }
            assert!(page.len() < 150_000, "{} bytes", page.len());
            assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
            assert!(page.contains("<polyline"));
        }
    }
}
