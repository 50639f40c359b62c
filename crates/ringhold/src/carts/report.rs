//! What is told after carts were filled and checked.
//!
//! The last line is for scripts: `N carts, N items, N lost, N doubled`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use ringhold_client::ClientError;
use serde_json::{Value, json};

use crate::carts::cart::Difference;
use crate::carts::shop::Operation;
use crate::latency::Latencies;
use crate::output::{Table, failure_kind};

/// Counted while carts are filled and checked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Measurements {
    get: Latencies,
    put: Latencies,
    /// How many reads of an add found this many versions (§6.3).
    versions: BTreeMap<usize, u64>,
    /// Attempts that failed and were tried again, by what was wrong.
    failures: BTreeMap<String, u64>,
}

impl Measurements {
    pub(crate) fn answered(&mut self, what: Operation, latency: Duration) {
        match what {
            Operation::Get => self.get.record(latency),
            Operation::Put => self.put.record(latency),
        }
    }

    pub(crate) fn saw(&mut self, versions: usize) {
        *self.versions.entry(versions).or_default() += 1;
    }

    pub(crate) fn failed(&mut self, error: &ClientError) {
        *self.failures.entry(failure_kind(error)).or_default() += 1;
    }

    fn operations(&self) -> u64 {
        self.get.count() + self.put.count()
    }
}

/// Everything that is told.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub(crate) carts: u64,
    pub(crate) items: u64,
    /// Filling alone, without the check.
    pub(crate) filling: Duration,
    /// While the carts were filled.
    pub(crate) measurements: Measurements,
    pub(crate) difference: Difference,
}

impl Report {
    /// Every cart holds exactly its lines.
    pub(crate) fn is_exact(&self) -> bool {
        self.difference.is_none()
    }

    /// The line for scripts.
    pub(crate) fn last_line(&self) -> String {
        format!(
            "{} carts, {} items, {} lost, {} doubled",
            self.carts, self.items, self.difference.lost, self.difference.doubled
        )
    }

    fn operations_per_second(&self) -> f64 {
        let operations = self.measurements.operations() as f64;
        operations / self.filling.as_secs_f64().max(1e-6)
    }

    pub(crate) fn to_json(&self) -> Value {
        let measurements = &self.measurements;
        let versions: serde_json::Map<String, Value> = measurements
            .versions
            .iter()
            .map(|(versions, reads)| (versions.to_string(), json!(reads)))
            .collect();
        json!({
            "carts": self.carts,
            "items": self.items,
            "lost": self.difference.lost,
            "changed": self.difference.changed,
            "doubled": self.difference.doubled,
            "seconds": self.filling.as_secs_f64(),
            "operations": measurements.operations(),
            "operations_per_second": self.operations_per_second(),
            "get": measurements.get.to_json(),
            "put": measurements.put.to_json(),
            "versions_seen": versions,
            "failed_attempts": measurements.failures,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let measurements = &self.measurements;
        writeln!(
            f,
            "{} carts of {} items filled in {:.1} s: {} gets and puts, {:.0} a second\n",
            self.carts,
            self.items,
            self.filling.as_secs_f64(),
            measurements.operations(),
            self.operations_per_second()
        )?;
        let mut headings = vec!["latency"];
        headings.extend(Latencies::headings());
        let mut table = Table::new(&headings);
        for (name, latencies) in [("get", &measurements.get), ("put", &measurements.put)] {
            table.row(std::iter::once(name.to_owned()).chain(latencies.cells()));
        }
        writeln!(f, "{table}")?;
        let reads: u64 = measurements.versions.values().sum();
        let mut table = Table::new(&["versions seen", "reads", "share"]);
        for (versions, &count) in &measurements.versions {
            let share = 100.0 * count as f64 / reads.max(1) as f64;
            table.row([
                versions.to_string(),
                count.to_string(),
                format!("{share:.2} %"),
            ]);
        }
        writeln!(f, "{table}")?;
        if !measurements.failures.is_empty() {
            let mut table = Table::new(&["tried again after", "times"]);
            for (kind, count) in &measurements.failures {
                table.row([kind.clone(), count.to_string()]);
            }
            writeln!(f, "{table}")?;
        }
        if self.difference.changed > 0 {
            writeln!(
                f,
                "{} of the lost lines are there with another content: had these carts been loaded \
                 before, from another file or with other --products?\n",
                self.difference.changed
            )?;
        }
        writeln!(f, "{}", self.last_line())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(difference: Difference) -> Report {
        let mut measurements = Measurements::default();
        measurements.saw(0);
        measurements.saw(2);
        measurements.answered(Operation::Get, Duration::from_millis(2));
        measurements.answered(Operation::Put, Duration::from_millis(4));
        let url = "http://a:1".to_owned();
        measurements.failed(&ClientError::Status {
            url,
            status: 503,
            text: "overload\nx".to_owned(),
        });
        let filling = Duration::from_secs(2);
        Report {
            carts: 1,
            items: 2,
            filling,
            measurements,
            difference,
        }
    }

    #[test]
    fn the_last_line_is_for_scripts() {
        let report = report(Difference::default());
        assert!(report.is_exact());
        let text = report.to_string();
        assert!(
            text.ends_with("\n1 carts, 2 items, 0 lost, 0 doubled\n"),
            "{text}"
        );
        assert!(
            text.contains("503 overload") && text.contains("1 a second"),
            "{text}"
        );
    }

    #[test]
    fn json_says_the_same() {
        let report = report(Difference {
            lost: 1,
            changed: 1,
            doubled: 0,
        });
        assert!(!report.is_exact());
        let json = report.to_json();
        assert_eq!(json["lost"], 1);
        assert!(report.to_string().contains("1 of the lost lines are there"));
        assert_eq!(json["versions_seen"], json!({ "0": 1, "2": 1 }));
        assert_eq!(json["operations_per_second"], 1.0);
        assert_eq!(json["failed_attempts"]["503 overload"], 1);
    }
}
