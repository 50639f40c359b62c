//! Medians over runs of the same settings, and how far the runs were apart.

use std::fmt;

use serde_json::{Map, Value, json};

use super::{Report, or_dash, short};
use crate::output::Table;

/// Runs of the same settings.
pub(crate) struct Group<'a> {
    pub(crate) runs: Vec<&'a Report>,
    /// Name, least, median, greatest.
    pub(crate) figures: Vec<(&'static str, Option<[f64; 3]>)>,
}

/// See the module.
pub(crate) struct Summary<'a> {
    pub(crate) groups: Vec<Group<'a>>,
}

impl<'a> Summary<'a> {
    pub(crate) fn of(runs: &'a [Report]) -> Self {
        let mut groups: Vec<(String, Vec<&'a Report>)> = Vec::new();
        for run in runs {
            let settings = run.settings();
            match groups.iter_mut().find(|(of, _)| *of == settings) {
                Some((_, runs)) => runs.push(run),
                None => groups.push((settings, vec![run])),
            }
        }
        let groups = groups.into_iter().map(|(_, runs)| Group::of(runs));
        Self {
            groups: groups.collect(),
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        let group = |group: &Group<'_>| {
            let mut figures = Map::new();
            for &(name, of_all) in &group.figures {
                let of_all = of_all.map(
                    |[least, median, greatest]| json!({ "least": least, "median": median, "greatest": greatest }),
                );
                figures.insert(name.to_owned(), of_all.unwrap_or_default());
            }
            json!({ "settings": group.name(), "runs": group.runs.len(), "figures": figures })
        };
        Value::Array(self.groups.iter().map(group).collect())
    }
}

impl<'a> Group<'a> {
    /// Of at least one run.
    fn of(runs: Vec<&'a Report>) -> Self {
        let all: Vec<_> = runs.iter().map(|run| run.figures()).collect();
        let figures = (0..all[0].len()).map(|at| {
            let values = all.iter().filter_map(|run| run[at].1).collect();
            (all[0][at].0, spread(values))
        });
        Self {
            figures: figures.collect(),
            runs,
        }
    }

    pub(crate) fn name(&self) -> String {
        self.runs[0].settings()
    }

    pub(crate) fn median(&self, figure: &str) -> Option<f64> {
        let mut figures = self.figures.iter();
        figures
            .find(|(name, _)| *name == figure)?
            .1
            .map(|[_, median, _]| median)
    }

    /// The run in the middle by throughput: what is drawn of a group is one run.
    pub(crate) fn middle(&self) -> &'a Report {
        let mut runs = self.runs.clone();
        runs.sort_by(|one, two| {
            one.operations_per_second
                .total_cmp(&two.operations_per_second)
        });
        runs[(runs.len() - 1) / 2]
    }
}

/// Least, median and greatest; of an even number the mean of the two in the middle.
fn spread(mut values: Vec<f64>) -> Option<[f64; 3]> {
    values.sort_by(f64::total_cmp);
    let (first, last) = (*values.first()?, *values.last()?);
    let middle = values.len() / 2;
    let median = match values.len() % 2 {
        1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    };
    Some([first, median, last])
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, group) in self.groups.iter().enumerate() {
            let gap = if at == 0 { "" } else { "\n" };
            writeln!(f, "{gap}{}; runs: {}\n", group.name(), group.runs.len())?;
            let mut table = Table::new(&["", "median", "least", "greatest"]);
            for &(name, of_all) in &group.figures {
                if let Some([least, median, greatest]) = of_all {
                    table.row([
                        name.to_owned(),
                        short(median),
                        short(least),
                        short(greatest),
                    ]);
                }
            }
            write!(f, "{table}")?;
        }
        let mut floors = self.groups.iter();
        if floors.any(|group| group.median(super::CPU_RATIO).is_some()) {
            writeln!(f, "\nthe whole over its floors (medians)\n")?;
            let mut table = Table::new(&["", "CPU", "latency"]);
            for group in &self.groups {
                let cells = [super::CPU_RATIO, super::LATENCY_RATIO];
                let cells = cells.map(|name| or_dash(group.median(name)));
                table.row([group.name()].into_iter().chain(cells));
            }
            write!(f, "{table}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn medians_are_of_runs_of_the_same_settings() {
        let runs: Vec<Report> = [5.0, 1.0, 3.0, 100.0]
            .into_iter()
            .enumerate()
            .map(|(at, rate)| {
                let mut run = sample();
                run.operations_per_second = rate;
                run.connections = if at == 3 { 1 } else { 64 };
                run
            })
            .collect();
        let summary = Summary::of(&runs);
        let medians: Vec<_> = summary
            .groups
            .iter()
            .map(|group| (group.runs.len(), group.figures[0].1))
            .collect();
        assert_eq!(medians, [(3, Some([1.0, 3.0, 5.0])), (1, Some([100.0; 3]))]);
        assert!((summary.groups[0].middle().operations_per_second - 3.0).abs() < 1e-9);
        assert_eq!(summary.to_json()[0]["runs"], 3);
    }

    #[test]
    fn medians_of_even_numbers_lie_between() {
        assert_eq!(spread(vec![4.0, 1.0, 2.0, 8.0]), Some([1.0, 3.0, 8.0]));
        assert_eq!(spread(Vec::new()), None);
    }
}
