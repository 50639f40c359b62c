//! What is known of one actor's dots, as runs of consecutive counters.
//!
//! The dots of an actor are numbered 1, 2, 3 …, and what a value keeps of them tends to be long
//! stretches: all that was seen, all increments by one. So both the causal context (a set of
//! counters, `T = ()`) and the increments of a counter (an amount for each counter, `T = i64`) are a
//! sorted list of runs, and cost what their gaps cost, not what they count.
//!
//! Invariants: runs are sorted and disjoint, `1 ≤ first ≤ last`, and two runs that touch have
//! different payloads. So equal functions have equal runs.

/// The same payload for each counter from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run<T> {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) payload: T,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Runs<T> {
    runs: Vec<Run<T>>,
}

impl<T> Default for Runs<T> {
    fn default() -> Self {
        Self { runs: Vec::new() }
    }
}

impl<T: Copy + Eq> Runs<T> {
    pub(super) fn as_slice(&self) -> &[Run<T>] {
        &self.runs
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub(super) fn payload(&self, counter: u64) -> Option<T> {
        let at = self.runs.partition_point(|run| run.last < counter);
        let run = self.runs.get(at).filter(|run| run.first <= counter)?;
        Some(run.payload)
    }

    /// Adds a run of counters that have no payload yet; whatever has one keeps it.
    pub(super) fn add(&mut self, run: Run<T>) {
        assert!(
            1 <= run.first && run.first <= run.last,
            "counters start at 1"
        );
        let before = self.runs.partition_point(|old| old.last < run.first);
        let overlaps = self
            .runs
            .get(before)
            .is_some_and(|old| old.first <= run.last);
        if !overlaps {
            return self.insert(before, run);
        }
        let alone = Self { runs: vec![run] };
        for piece in alone.minus(self).runs {
            let before = self.runs.partition_point(|old| old.last < piece.first);
            self.insert(before, piece);
        }
    }

    /// Puts a run that overlaps none before the run at `before`, and unites it with its neighbours.
    fn insert(&mut self, before: usize, mut run: Run<T>) {
        let joins = |left: &Run<T>, right: &Run<T>| {
            left.payload == right.payload && left.last.checked_add(1) == Some(right.first)
        };
        let mut replaced = before..before;
        if let Some(next) = self.runs.get(before).filter(|next| joins(&run, next)) {
            run.last = next.last;
            replaced.end += 1;
        }
        let previous = before.checked_sub(1).map(|at| self.runs[at]);
        if let Some(previous) = previous.filter(|previous| joins(previous, &run)) {
            run.first = previous.first;
            replaced.start -= 1;
        }
        if replaced.len() == 1 {
            self.runs[replaced.start] = run;
        } else {
            self.runs.splice(replaced, [run]);
        }
    }

    /// Adds what `other` has and this lacks.
    pub(super) fn add_all(&mut self, other: &Self) {
        for run in &other.runs {
            self.add(*run);
        }
    }

    /// What is here and not in `other`.
    pub(super) fn minus<U>(&self, other: &Runs<U>) -> Self {
        let mut left = Vec::new();
        let mut cuts = other.runs.iter().peekable();
        for run in &self.runs {
            let mut first = run.first;
            loop {
                while cuts.next_if(|cut| cut.last < first).is_some() {}
                let cut = cuts.peek().filter(|cut| cut.first <= run.last);
                let Some(cut) = cut else {
                    left.push(Run { first, ..*run });
                    break;
                };
                if first < cut.first {
                    let last = cut.first - 1;
                    left.push(Run {
                        first,
                        last,
                        ..*run
                    });
                }
                if run.last <= cut.last {
                    break;
                }
                first = cut.last + 1;
            }
        }
        Self { runs: left }
    }

    /// What is here and in `other` too, with the payloads of here.
    pub(super) fn within<U>(&self, other: &Runs<U>) -> Self {
        self.minus(&self.minus(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// The payload follows from the counter, as an increment follows from its dot.
    fn amount(counter: u64) -> i64 {
        i64::from(counter.is_multiple_of(3))
    }

    fn runs_of(counters: &[u64]) -> (Runs<i64>, BTreeMap<u64, i64>) {
        let mut runs = Runs::default();
        for &counter in counters {
            runs.add(Run {
                first: counter,
                last: counter,
                payload: amount(counter),
            });
        }
        (runs, counters.iter().map(|&c| (c, amount(c))).collect())
    }

    fn check(runs: &Runs<i64>, want: &BTreeMap<u64, i64>) {
        for counter in 1..40 {
            assert_eq!(
                runs.payload(counter),
                want.get(&counter).copied(),
                "{runs:?}"
            );
        }
        for pair in runs.as_slice().windows(2) {
            assert!(pair[0].last < pair[1].first);
            let touch = pair[0].last + 1 == pair[1].first;
            assert!(!touch || pair[0].payload != pair[1].payload, "{runs:?}");
        }
    }

    proptest! {
        #[test]
        fn runs_are_maps_of_counters(a in vec(1..32u64, 0..24), b in vec(1..32u64, 0..24)) {
            let ((left, left_map), (right, right_map)) = (runs_of(&a), runs_of(&b));
            check(&left, &left_map);
            let minus = |x: &BTreeMap<u64, i64>, y: &BTreeMap<u64, i64>| {
                x.iter().filter(|(c, _)| !y.contains_key(c)).map(|(c, v)| (*c, *v)).collect()
            };
            let difference: BTreeMap<u64, i64> = minus(&left_map, &right_map);
            check(&left.minus(&right), &difference);
            check(&left.within(&right), &minus(&left_map, &difference));
            let mut union = left.clone();
            union.add_all(&right);
            let mut union_map = left_map.clone();
            union_map.extend(&right_map);
            check(&union, &union_map);
        }
    }

    #[test]
    fn the_last_counter_there_is_does_not_overflow() {
        let end = |first| Run {
            first,
            last: u64::MAX,
            payload: (),
        };
        let mut runs = Runs::default();
        runs.add(end(5));
        runs.add(end(2));
        assert_eq!(runs.as_slice(), [end(2)]);
        let mut upper = Runs::default();
        upper.add(end(u64::MAX));
        assert_eq!(runs.minus(&upper).as_slice()[0].last, u64::MAX - 1);
        assert_eq!(runs.within(&upper), upper);
    }
}
