//! Two runs side by side: ratios, and where the conditions differ, so that nobody takes one machine's speed for another commit's.

use std::fmt;

use serde_json::{Value, json};

use super::{Report, or_dash, short};
use crate::output::Table;

/// Runs that differ by less were as long, or the machine as busy.
const SECONDS_DIFFERENCE: f64 = 1.0;
const LOAD_DIFFERENCE: f64 = 1.0;

/// See the module.
#[derive(Debug, PartialEq)]
pub(crate) struct Comparison {
    figures: Vec<(&'static str, Option<f64>, Option<f64>)>,
    /// What is not the same: name, before, after.
    differences: Vec<(&'static str, String, String)>,
}

impl Comparison {
    pub(crate) fn of(before: &Report, after: &Report) -> Self {
        let figures = before.figures().into_iter().zip(after.figures());
        let conditions = conditions(before).into_iter().zip(conditions(after));
        let mut differences: Vec<_> = conditions
            .filter(|((_, one), (_, two))| one != two)
            .map(|((name, one), (_, two))| (name, one, two))
            .collect();
        let near: [(&'static str, f64, f64, f64); 2] = [
            ("seconds", before.seconds, after.seconds, SECONDS_DIFFERENCE),
            (
                "load average",
                before.conditions.load_average,
                after.conditions.load_average,
                LOAD_DIFFERENCE,
            ),
        ];
        for (name, one, two, difference) in near {
            if (one - two).abs() >= difference {
                differences.push((name, short(one), short(two)));
            }
        }
        Self {
            figures: figures
                .map(|((name, one), (_, two))| (name, one, two))
                .collect(),
            differences,
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        let figures = self.figures.iter().map(|&(name, before, after)| {
            let ratio = ratio(before, after);
            json!({ "figure": name, "before": before, "after": after, "ratio": ratio })
        });
        let differences = self.differences.iter().map(
            |(name, before, after)| json!({ "condition": name, "before": before, "after": after }),
        );
        json!({
            "figures": figures.collect::<Vec<_>>(),
            "differences": differences.collect::<Vec<_>>(),
        })
    }
}

/// Whatever should be the same for a comparison to mean something. What was built is expected to differ, and told.
fn conditions(report: &Report) -> Vec<(&'static str, String)> {
    let conditions = &report.conditions;
    let replication = conditions.replication.as_ref();
    let replication = replication.map_or_else(String::new, |replication| {
        format!(
            "{} members, N={} R={} W={}, {}",
            replication.members,
            replication.n,
            replication.r,
            replication.w,
            replication.durability
        )
    });
    vec![
        ("settings", report.settings()),
        ("replication", replication),
        ("processor", conditions.processor.clone()),
        ("cores", conditions.cores.to_string()),
        ("memory bytes", conditions.memory_bytes.to_string()),
        ("kernel", conditions.kernel.clone()),
        ("version", conditions.version.clone()),
        ("build", conditions.build.clone()),
    ]
}

fn ratio(before: Option<f64>, after: Option<f64>) -> Option<f64> {
    let (before, after) = before.zip(after)?;
    (before > 0.0).then(|| after / before)
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&["", "before", "after", "ratio"]);
        for &(name, before, after) in &self.figures {
            if before.is_some() || after.is_some() {
                let cells = [before, after, ratio(before, after)].map(or_dash);
                table.row([name.to_owned()].into_iter().chain(cells));
            }
        }
        write!(f, "{table}")?;
        if !self.differences.is_empty() {
            writeln!(f, "\nwarning: not under the same conditions")?;
        }
        for (name, before, after) in &self.differences {
            writeln!(f, "  {name}: {before:?}, then {after:?}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn the_same_run_twice_differs_in_nothing() {
        let report = sample();
        let comparison = Comparison::of(&report, &report);
        assert_eq!(comparison.differences, []);
        assert!(!comparison.to_string().contains("warning"));
        let ratios = comparison.figures.iter();
        let mut ratios = ratios.filter_map(|&(_, before, after)| ratio(before, after));
        assert!(ratios.all(|ratio| (ratio - 1.0).abs() < 1e-9));
    }

    #[test]
    fn ratios_are_of_the_second_to_the_first() {
        let (before, mut after) = (sample(), sample());
        after.operations_per_second = before.operations_per_second * 3.0;
        let comparison = Comparison::of(&before, &after);
        let (name, one, two) = comparison.figures[0];
        assert_eq!(name, "operations a second");
        assert!(ratio(one, two).is_some_and(|ratio| (ratio - 3.0).abs() < 1e-9));
        assert_eq!(ratio(Some(0.0), Some(1.0)), None);
        assert_eq!(ratio(None, Some(1.0)), None);
        assert_eq!(comparison.to_json()["figures"][0]["ratio"], 3.0);
    }

    #[test]
    fn other_conditions_are_told() {
        let (before, mut after) = (sample(), sample());
        after.connections = 7;
        after.conditions.kernel = "9.9".to_owned();
        after.conditions.load_average += 5.0;
        let comparison = Comparison::of(&before, &after);
        let names: Vec<_> = comparison
            .differences
            .iter()
            .map(|(name, ..)| *name)
            .collect();
        assert_eq!(names, ["settings", "kernel", "load average"]);
        let text = comparison.to_string();
        assert!(
            text.contains("warning: not under the same conditions"),
            "{text}"
        );
        assert!(text.contains("then \"9.9\""), "{text}");
    }
}
