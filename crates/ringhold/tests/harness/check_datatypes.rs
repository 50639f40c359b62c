//! Data types at a scenario's end, operation by operation.
//!
//! - An acknowledged item that nobody took out is there, and what an acknowledged removal had read is not; what was refused is not either.
//! - A counter is the sum of all acknowledged increments and of some whose end nobody knows, each once, however often it was tried.
//! - A map's update counts and adds its item in one. So which updates happened can be told by the items: those that are there, and those
//!   that somebody has read and taken out. The counter is the sum of exactly these.

use crate::check::Verdict;
use crate::client::Outcome;
use crate::datatypes::{self, Kind, Shown};
use crate::history::Books;
use std::collections::BTreeSet;
use std::net::SocketAddr;

/// What all nodes show of a key, if they show the same.
pub(crate) fn read_everywhere(key: usize, nodes: &[SocketAddr]) -> Result<Shown, String> {
    let mut all: Option<Shown> = None;
    for &node in nodes {
        let mut shown = datatypes::get(node, key, "&r=all&pr=all")
            .map_err(|label| format!("through {node}: {label}"))?;
        shown.context = None;
        match &all {
            Some(all) if *all != shown => {
                return Err(format!("through {node}: {shown:?}, before: {all:?}"));
            }
            _ => all = Some(shown),
        }
    }
    all.ok_or_else(|| "there are no nodes".to_owned())
}

/// Holds what one key shows in the end against the books.
pub(crate) fn judge(verdict: &mut Verdict, books: &Books, key: usize, shown: &Shown) {
    let violations = &mut verdict.violations;
    let (added, removed) = books.updates_of(key);
    let kind = Kind::of(key);
    if kind == Kind::Counter {
        judge_count(violations, key, &added, shown.count);
        return;
    }
    let strange = shown.items.iter();
    let strange = strange.filter(|item| !books.may_have_added(key, **item));
    violations.extend(strange.map(|item| format!("key {key} has item {item} of nobody")));
    let removals_of = |item: usize| {
        let removals = removed.iter().filter(move |(taken, _)| *taken == item);
        removals.map(|(_, outcome)| *outcome)
    };
    for (item, outcome) in added.iter().copied() {
        let may_be_gone = removals_of(item).any(|outcome| outcome != Outcome::Refused);
        let must_be_gone = removals_of(item).any(|outcome| outcome == Outcome::Acknowledged);
        match (shown.items.contains(&item), outcome) {
            (false, Outcome::Acknowledged) if !may_be_gone => verdict.lost.push(item),
            (true, Outcome::Refused) => {
                violations.push(format!("key {key}: item {item} was refused and is there"));
            }
            (true, _) if must_be_gone => {
                violations.push(format!("key {key}: item {item} was taken out and is there"));
            }
            _ => {}
        }
    }
    if kind == Kind::Map {
        let taken = removed.iter().map(|(item, _)| *item);
        let happened: BTreeSet<usize> = shown.items.iter().copied().chain(taken).collect();
        let due: usize = happened.into_iter().map(datatypes::amount_of).sum();
        if due != shown.count {
            violations.push(format!("key {key} counts {}, not {due}", shown.count));
        }
    }
}

fn judge_count(violations: &mut Vec<String>, key: usize, added: &[(usize, Outcome)], count: usize) {
    let amounts = |wanted: Outcome| {
        let some = added.iter().filter(move |(_, outcome)| *outcome == wanted);
        some.map(|(operation, _)| datatypes::amount_of(*operation))
    };
    let least: usize = amounts(Outcome::Acknowledged).sum();
    let mut sums = BTreeSet::from([least]);
    for amount in amounts(Outcome::Unknown) {
        let with: Vec<usize> = sums.iter().map(|sum| sum + amount).collect();
        sums.extend(with);
    }
    if !sums.contains(&count) {
        let unknown = amounts(Outcome::Unknown).count();
        violations.push(format!(
            "key {key} counts {count}, which is not {least} and some of {unknown} amounts that nobody knows of"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Operation;
    use Outcome::{Acknowledged, Refused, Unknown};

    fn key_of(kind: Kind) -> usize {
        let mut keys = datatypes::KEYS;
        keys.find(|key| Kind::of(*key) == kind)
            .expect("there are keys of all kinds")
    }

    /// Operations on a key of this kind, of which some took out what others had added.
    fn verdict(
        kind: Kind,
        outcomes: &[Outcome],
        removals: &[(usize, usize)],
        count: usize,
        items: &[usize],
    ) -> Verdict {
        let key = key_of(kind);
        let operation = |&outcome| Operation {
            client: 0,
            key,
            outcome,
        };
        let books = Books {
            operations: outcomes.iter().map(operation).collect(),
            removals: removals.iter().copied().collect(),
            ..Books::default()
        };
        let shown = Shown {
            is_there: true,
            count,
            items: items.iter().copied().collect(),
            context: None,
        };
        let mut verdict = Verdict::default();
        judge(&mut verdict, &books, key, &shown);
        verdict
    }

    fn sum(operations: &[usize]) -> usize {
        let operations = operations.iter().copied();
        operations.map(datatypes::amount_of).sum()
    }

    #[test]
    fn each_increment_counts_once() {
        let outcomes = [Acknowledged, Unknown, Refused, Unknown];
        let judge = |count| verdict(Kind::Counter, &outcomes, &[], count, &[]);
        for right in [&[0][..], &[0, 1], &[0, 3], &[0, 1, 3]] {
            assert_eq!(judge(sum(right)), Verdict::default());
        }
        for wrong in [&[][..], &[1, 3], &[0, 0], &[0, 1, 1], &[0, 2]] {
            assert_eq!(judge(sum(wrong)).violations.len(), 1, "{wrong:?}");
        }
    }

    #[test]
    fn what_was_added_stays_until_it_is_taken_out() {
        let outcomes = [Acknowledged, Acknowledged, Acknowledged, Unknown];
        let judge = |items: &[usize]| verdict(Kind::Set, &outcomes, &[(2, 0), (3, 1)], 0, items);
        assert_eq!(judge(&[1]), Verdict::default());
        assert_eq!(judge(&[]), Verdict::default(), "nobody knows of 3");
        assert_eq!(judge(&[0]).violations.len(), 1, "2 took it out");
        assert_eq!(judge(&[7]).violations.len(), 1, "nobody put it in");
        let judge = |outcomes: &[Outcome], items: &[usize]| {
            let verdict = verdict(Kind::Set, outcomes, &[], 0, items);
            (verdict.lost.len(), verdict.violations.len())
        };
        assert_eq!(judge(&[Acknowledged], &[]), (1, 0));
        assert_eq!(judge(&[Refused], &[0]), (0, 1));
    }

    #[test]
    fn a_map_counts_what_its_items_say() {
        let outcomes = [Acknowledged, Unknown, Unknown, Acknowledged];
        let judge = |count: &[usize], items: &[usize]| {
            verdict(Kind::Map, &outcomes, &[(3, 1)], sum(count), items)
        };
        // Whoever took 1 out had read it.
        assert_eq!(judge(&[0, 1], &[0]), Verdict::default());
        assert_eq!(judge(&[0, 1, 2], &[0, 2]), Verdict::default());
        for (count, items) in [
            (&[0][..], &[0][..]),
            (&[0, 1, 1], &[0]),
            (&[0, 1, 2], &[0]),
            (&[0, 1], &[0, 2]),
        ] {
            assert_eq!(judge(count, items).violations.len(), 1, "{count:?}");
        }
    }
}
