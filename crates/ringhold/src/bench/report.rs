//! What a benchmark tells.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::bench::load::Measured;
use crate::cli::BenchArgs;
use crate::latency::Latencies;
use crate::output::Table;

/// The result, with what it was a result of.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pub(crate) arguments: &'a BenchArgs,
    pub(crate) nodes: usize,
    pub(crate) measured: Measured,
    /// CPU time of the servers during the run, if their processes are known.
    pub(crate) servers_cpu: Option<Duration>,
    /// The most memory that the servers had in use during the run, together.
    pub(crate) servers_bytes: Option<u64>,
}

impl Report<'_> {
    fn per_second(&self, operations: u64) -> f64 {
        operations as f64 / self.measured.elapsed.as_secs_f64().max(1e-6)
    }

    fn in_time(&self) -> u64 {
        self.measured.in_time.iter().sum()
    }

    /// Microseconds of the servers' CPU time for each operation.
    fn cpu_us_per_operation(&self) -> Option<f64> {
        let operations = self.measured.operations().max(1) as f64;
        Some(self.servers_cpu?.as_secs_f64() * 1e6 / operations)
    }

    fn workload(&self) -> String {
        let arguments = self.arguments;
        let puts = if arguments.with_context {
            "with"
        } else {
            "without"
        };
        let arrival = match arguments.rate {
            Some(rate) => format!("open loop at {rate} a second, latency from the intended start"),
            None => "closed loop".to_owned(),
        };
        format!(
            "{:?}, puts {puts} context, {} B values, {} keys, {} connections to {} nodes, {arrival}",
            arguments.workload,
            arguments.value_bytes,
            arguments.keys,
            arguments.connections,
            self.nodes
        )
        .to_lowercase()
    }

    fn kinds(&self) -> [(&'static str, &Latencies); 2] {
        [("get", &self.measured.get), ("put", &self.measured.put)]
    }

    pub(crate) fn to_json(&self) -> Value {
        let measured = &self.measured;
        let arguments = self.arguments;
        let mut out = json!({
            "workload": format!("{:?}", arguments.workload).to_lowercase(),
            "with_context": arguments.with_context,
            "protocol": format!("{:?}", arguments.protocol).to_lowercase(),
            "value_bytes": arguments.value_bytes,
            "keys": arguments.keys,
            "connections": arguments.connections,
            "nodes": self.nodes,
            "rate": arguments.rate,
            "seconds": measured.elapsed.as_secs_f64(),
            "operations": measured.operations(),
            "operations_per_second": self.per_second(measured.operations()),
            "in_time_ms": arguments.in_time_ms,
            "in_time": self.in_time(),
            "in_time_per_second": self.per_second(self.in_time()),
            "in_time_by_seconds": measured.in_time,
            "servers_bytes_max": self.servers_bytes,
            "failures": measured.failures,
            "never_started": measured.never_started,
            "versions_seen": measured.versions.iter().map(|(versions, reads)| (versions.to_string(), json!(reads))).collect::<serde_json::Map<_, _>>(),
            "servers_cpu_seconds": self.servers_cpu.map(|time| time.as_secs_f64()),
            "servers_cpu_us_per_operation": self.cpu_us_per_operation(),
        });
        for (name, latencies) in self.kinds() {
            let mut kind = latencies.to_json();
            kind["per_second"] = json!(self.per_second(latencies.count()));
            out[name] = kind;
        }
        out
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let measured = &self.measured;
        writeln!(f, "{}\n", self.workload())?;
        let mut headings = vec!["", "operations", "a second"];
        headings.extend(Latencies::headings());
        let mut table = Table::new(&headings);
        for (name, latencies) in self
            .kinds()
            .into_iter()
            .filter(|(_, latencies)| latencies.count() > 0)
        {
            let rate = format!("{:.0}", self.per_second(latencies.count()));
            let cells = [name.to_owned(), latencies.count().to_string(), rate];
            table.row(cells.into_iter().chain(latencies.cells()));
        }
        writeln!(f, "{table}")?;
        writeln!(
            f,
            "{} operations in {:.1} s: {:.0} a second",
            measured.operations(),
            measured.elapsed.as_secs_f64(),
            self.per_second(measured.operations())
        )?;
        let by_seconds: Vec<String> = measured.in_time.iter().map(u64::to_string).collect();
        writeln!(
            f,
            "in time, within {} ms: {}, {:.0} a second; by seconds: {}",
            self.arguments.in_time_ms,
            self.in_time(),
            self.per_second(self.in_time()),
            by_seconds.join(" ")
        )?;
        let found: Vec<String> = measured
            .versions
            .iter()
            .map(|(versions, reads)| format!("{versions}: {reads}"))
            .collect();
        if !found.is_empty() {
            writeln!(f, "versions seen by gets: {}", found.join(", "))?;
        }
        if let (Some(cpu), Some(us)) = (self.servers_cpu, self.cpu_us_per_operation()) {
            writeln!(
                f,
                "CPU of the servers: {:.2} s, {us:.1} µs an operation",
                cpu.as_secs_f64()
            )?;
        }
        if let Some(bytes) = self.servers_bytes {
            let mib = bytes / (1024 * 1024);
            writeln!(
                f,
                "memory of the servers, mapped files aside: {mib} MiB at most"
            )?;
        }
        if measured.never_started > 0 {
            writeln!(
                f,
                "never started: {} operations were due and found no free connection; the rate is not kept",
                measured.never_started
            )?;
        }
        for (kind, count) in &measured.failures {
            writeln!(f, "failed: {count} × {kind}")?;
        }
        Ok(())
    }
}
