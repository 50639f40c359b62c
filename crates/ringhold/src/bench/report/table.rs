//! The report at a terminal.

use std::fmt;

use super::{Percentiles, Report, milliseconds, short};
use crate::output::Table;

const MIB: u64 = 1 << 20;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.settings())?;
        latencies(self, f)?;
        writeln!(
            f,
            "{} operations in {:.1} s: {:.0} a second",
            self.operations, self.seconds, self.operations_per_second
        )?;
        let by_seconds: Vec<String> = self.in_time_by_seconds.iter().map(u64::to_string).collect();
        writeln!(
            f,
            "in time, within {} ms: {}, {:.0} a second; by seconds: {}",
            self.in_time_ms,
            self.in_time,
            self.in_time_per_second,
            by_seconds.join(" ")
        )?;
        if !self.versions_seen.is_empty() {
            let row = |(versions, gets): (&usize, &u64)| format!("{versions}: {gets}");
            let found: Vec<String> = self.versions_seen.iter().map(row).collect();
            writeln!(f, "versions seen by gets: {}", found.join(", "))?;
        }
        costs(self, f)?;
        if self.never_started > 0 {
            writeln!(
                f,
                "never started: {} operations were due and found no free connection; the rate is not kept",
                self.never_started
            )?;
        }
        for (kind, count) in &self.failures {
            writeln!(f, "failed: {count} × {kind}")?;
        }
        if let Some(floors) = &self.floors {
            write!(f, "\n{floors}")?;
        }
        Ok(())
    }
}

fn latencies(report: &Report, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let headings = Percentiles::default().named().map(|(heading, _)| heading);
    let mut all = vec!["", "count", "a second"];
    all.extend(headings);
    let mut table = Table::new(&all);
    for (name, kind) in report.kinds() {
        let rate = format!("{:.0}", kind.per_second);
        let cells = [name.to_owned(), kind.count.to_string(), rate];
        table.row(cells.into_iter().chain(cells_of(&kind.latency)));
        if let Some(corrected) = &kind.corrected {
            let cells = [format!("{name}, corrected"), "-".to_owned(), "-".to_owned()];
            table.row(cells.into_iter().chain(cells_of(corrected)));
        }
    }
    writeln!(f, "{table}")
}

fn cells_of(percentiles: &Percentiles) -> impl Iterator<Item = String> {
    percentiles
        .named()
        .into_iter()
        .map(|(_, us)| milliseconds(us))
}

fn costs(report: &Report, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if let (Some(seconds), Some(us)) = (
        report.servers_cpu_seconds,
        report.servers_cpu_us_per_operation,
    ) {
        writeln!(
            f,
            "CPU of the servers: {seconds:.2} s, {us:.1} µs an operation"
        )?;
    }
    if let (Some(anonymous), Some(resident)) =
        (report.servers_bytes_max, report.servers_resident_bytes_max)
    {
        writeln!(
            f,
            "memory of the servers: {} MiB at most, {} MiB with mapped files",
            anonymous / MIB,
            resident / MIB
        )?;
    }
    if let (Some(bytes), Some(ratio)) = (report.servers_written_bytes, report.written_per_byte_put)
    {
        writeln!(
            f,
            "written to disk by the servers: {} MiB, {} bytes for each byte put",
            bytes / MIB,
            short(ratio)
        )?;
    }
    if let (Some(flushes), Some(per_put), Some(per_flush)) = (
        report.flushes,
        report.flushes_per_put,
        report.log_writes_per_flush,
    ) {
        writeln!(
            f,
            "flushes of the servers: {flushes}, {} for each put; {} log writes share one",
            short(per_put),
            short(per_flush)
        )?;
    }
    Ok(())
}
