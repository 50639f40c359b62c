//! What must hold when everything is well again.
//!
//! Every key is read through every node with all of its primaries answering, until two rounds show the same on all nodes.
//! Then:
//!
//! - durability: every acknowledged operation is in the final read (I1);
//! - no invention: everything in it was written to this key, and nothing of an operation that was refused, which promised
//!   to have left nothing (I2);
//! - convergence: all nodes answer with the same siblings (I5);
//! - counters: the sum is at least what was acknowledged, at most that and what is unknown;
//! - data types and indexes: what `check_datatypes` and `check_indexes` say.

use crate::check_datatypes;
use crate::check_indexes::{self, Expected};
use crate::client::{self, Found, Outcome};
use crate::datatypes;
use crate::history::{Books, History};
use crate::watchdog::Watchdog;
use crate::workload::{self, Kind};
use ringhold_sim::value::Value;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// For all keys together. Read repair is all that heals today; it takes a read or two.
const CONVERGENCE: Duration = Duration::from_secs(60);

/// What a scenario ends with.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Acknowledged and not there.
    pub(crate) lost: Vec<usize>,
    /// Everything else that must not be.
    pub(crate) violations: Vec<String>,
}

/// Reads all keys and checks the history against them.
pub(crate) fn check(
    history: &History,
    keys: usize,
    nodes: &[SocketAddr],
    watchdog: &Watchdog,
) -> Verdict {
    let mut verdict = Verdict::default();
    let mut expected = Expected::default();
    let until = Instant::now() + CONVERGENCE;
    for key in 0..keys {
        match converged(until, watchdog, || read_everywhere(key, nodes)) {
            Ok(found) => {
                judge(&mut verdict, &history.books(), key, &found);
                let values = found.siblings.iter();
                let values = values.filter_map(|bytes| Value::decode(bytes));
                values.for_each(|value| expected.value(&value));
            }
            Err(latest) => verdict.does_not_converge(key, &latest),
        }
    }
    for key in datatypes::KEYS {
        let read = || check_datatypes::read_everywhere(key, nodes);
        match converged(until, watchdog, read) {
            Ok(shown) => {
                check_datatypes::judge(&mut verdict, &history.books(), key, &shown);
                if shown.is_there {
                    expected.data_type(key);
                }
            }
            Err(latest) => verdict.does_not_converge(key, &latest),
        }
    }
    if verdict.violations.is_empty() {
        let differing = check_indexes::check(&expected, nodes, watchdog);
        verdict.violations.extend(differing);
    }
    verdict
        .violations
        .extend(history.books().violations.iter().cloned());
    verdict
}

impl Verdict {
    fn does_not_converge(&mut self, key: usize, latest: &str) {
        let violation = format!("key {key} does not converge: {latest}");
        self.violations.push(violation);
    }
}

/// Reads until two rounds in a row find the same everywhere; what was the matter, if that does not come.
fn converged<T: PartialEq>(
    until: Instant,
    watchdog: &Watchdog,
    read: impl Fn() -> Result<T, String>,
) -> Result<T, String> {
    let mut result = Err(String::new());
    let patience = until.saturating_duration_since(Instant::now());
    watchdog.within(patience, || {
        result = match (read(), read()) {
            (Ok(first), Ok(second)) if first == second => Ok(first),
            (Ok(_), Ok(_)) => Err("it still changes".to_owned()),
            (Err(reason), _) | (_, Err(reason)) => Err(reason),
        };
        result.is_ok()
    });
    result
}

/// What all nodes say of a key, if they say the same.
fn read_everywhere(key: usize, nodes: &[SocketAddr]) -> Result<Found, String> {
    let mut all: Option<Found> = None;
    for &node in nodes {
        let mut found = client::get(node, key, "&r=all&pr=all")
            .map_err(|label| format!("through {node}: {label}"))?;
        // It is sealed, and may be so in more than one way.
        found.context = None;
        match &all {
            Some(all) if *all != found => {
                return Err(format!(
                    "through {node}: {} siblings, before: {}",
                    found.siblings.len(),
                    all.siblings.len()
                ));
            }
            _ => all = Some(found),
        }
    }
    all.ok_or_else(|| "there are no nodes".to_owned())
}

/// Holds one key's final read against the books.
fn judge(verdict: &mut Verdict, books: &Books, key: usize, found: &Found) {
    let mut items = BTreeSet::new();
    for bytes in &found.siblings {
        match books.understand(key, bytes) {
            Ok(value) => items.extend(value.items),
            Err(violation) => verdict.violations.push(violation),
        }
    }
    let items: BTreeSet<usize> = items
        .into_iter()
        .filter_map(|item| usize::try_from(item).ok())
        .collect();
    let of_key = |outcome: Outcome| {
        let operations = books.operations.iter().enumerate();
        operations
            .filter(move |(_, operation)| operation.key == key && operation.outcome == outcome)
            .map(|(number, _)| number)
    };
    let lost = of_key(Outcome::Acknowledged).filter(|number| !items.contains(number));
    verdict.lost.extend(lost);
    let refused = of_key(Outcome::Refused).filter(|number| items.contains(number));
    verdict.violations.extend(
        refused.map(|number| format!("key {key}: operation {number} was refused and is there")),
    );
    if workload::kind_of(key) == Kind::Counter {
        let sum: usize = items.iter().copied().map(workload::amount_of).sum();
        let low: usize = of_key(Outcome::Acknowledged).map(workload::amount_of).sum();
        let high: usize = low
            + of_key(Outcome::Unknown)
                .map(workload::amount_of)
                .sum::<usize>();
        if !(low..=high).contains(&sum) {
            let violation = format!("key {key} counts {sum}, not from {low} to {high}");
            verdict.violations.push(violation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Operation;

    fn books(outcomes: &[Outcome]) -> Books {
        let operation = |&outcome| Operation {
            client: 0,
            key: 2,
            outcome,
        };
        Books {
            operations: outcomes.iter().map(operation).collect(),
            ..Books::default()
        }
    }

    /// A final read of key 2, a counter.
    fn found(items: &[u64]) -> Found {
        let value = Value {
            operation: 0,
            client: 0,
            key: 2,
            items: items.iter().copied().collect(),
            filler_bytes: 5,
        };
        Found {
            siblings: vec![value.encode().to_vec()],
            ..Found::default()
        }
    }

    fn verdict(outcomes: &[Outcome], found: &Found) -> Verdict {
        let mut verdict = Verdict::default();
        judge(&mut verdict, &books(outcomes), 2, found);
        verdict
    }

    use Outcome::{Acknowledged, Refused, Unknown};

    #[test]
    fn what_was_promised_passes() {
        let outcomes = [Acknowledged, Unknown, Refused, Unknown];
        assert_eq!(verdict(&outcomes, &found(&[0, 1])), Verdict::default());
    }

    #[test]
    fn a_loss_is_found() {
        let verdict = verdict(&[Acknowledged, Acknowledged], &found(&[0]));
        assert_eq!(verdict.lost, [1]);
        assert_eq!(verdict.violations.len(), 1, "the counter, too: {verdict:?}");
    }

    #[test]
    fn what_was_refused_must_not_be_there() {
        let verdict = verdict(&[Acknowledged, Refused], &found(&[0, 1]));
        assert_eq!(verdict.lost, [0; 0]);
        assert_eq!(verdict.violations.len(), 2, "the counter, too: {verdict:?}");
    }

    #[test]
    fn what_nobody_wrote_is_found() {
        let outcomes = [Acknowledged];
        assert_eq!(verdict(&outcomes, &found(&[0, 7])).violations.len(), 2);
        let mut damaged = found(&[0]);
        let last = damaged.siblings[0].len() - 1;
        damaged.siblings[0][last] ^= 1;
        let verdict = verdict(&outcomes, &damaged);
        assert!(verdict.violations[0].contains("damaged"), "{verdict:?}");
        assert_eq!(verdict.lost, [0]);
    }
}
