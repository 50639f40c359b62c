//! The increments of a counter, each under its dot.
//!
//! A counter inside a map can be reset, by whoever holds a context from some moment. To take away exactly what
//! that context has seen, each increment has to be told from the next: a running total of an actor
//! (Riak's embedded counter, and the one of Almeida et al.) can only go as a whole or stay as a whole. So every
//! increment is kept until it is removed; `docs/decisions/0019` weighs that. Equal increments by consecutive dots
//! are one run, and an increment of zero is nothing.

use super::causal::CausalContext;
use super::meeting::Meeting;
use super::runs::{Run, Runs};
use crate::version::{Actor, Dot};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Amounts {
    /// No actor without a run, no run of zeros.
    actors: BTreeMap<Actor, Runs<i64>>,
}

impl Amounts {
    pub(super) fn is_empty(&self) -> bool {
        self.actors.is_empty()
    }

    pub(super) fn actors(&self) -> impl ExactSizeIterator<Item = (Actor, &Runs<i64>)> {
        self.actors.iter().map(|(actor, runs)| (*actor, runs))
    }

    pub(super) fn add(&mut self, actor: Actor, run: Run<i64>) {
        if run.payload != 0 {
            self.actors.entry(actor).or_default().add(run);
        }
    }

    pub(super) fn amount(&self, dot: Dot) -> i64 {
        let runs = self.actors.get(&dot.actor);
        runs.and_then(|runs| runs.payload(dot.counter)).unwrap_or(0)
    }

    /// Says what the increment under `dot` is, whatever it was.
    pub(super) fn replace(&mut self, dot: Dot, amount: i64) {
        self.remove(&CausalContext::from_iter([dot]));
        let counter = dot.counter;
        let run = Run {
            first: counter,
            last: counter,
            payload: amount,
        };
        self.add(dot.actor, run);
    }

    pub(super) fn remove(&mut self, dots: &CausalContext) {
        self.actors.retain(|actor, runs| {
            if let Some(gone) = dots.runs(*actor) {
                *runs = runs.minus(gone);
            }
            !runs.is_empty()
        });
    }

    pub(super) fn join(&mut self, other: &Self, meeting: &Meeting<'_>) {
        if !meeting.common.is_empty() {
            self.actors.retain(|actor, runs| {
                if let Some(common) = meeting.common.runs(*actor) {
                    let theirs = other.actors.get(actor);
                    let gone = theirs.map_or_else(|| common.clone(), |theirs| common.minus(theirs));
                    *runs = runs.minus(&gone);
                }
                !runs.is_empty()
            });
        }
        for (actor, theirs) in &other.actors {
            let new = match meeting.ours.runs(*actor) {
                Some(seen) => theirs.minus(seen),
                None => theirs.clone(),
            };
            if !new.is_empty() {
                self.actors.entry(*actor).or_default().add_all(&new);
            }
        }
    }

    /// The sum of the increments that `removed` does not have, or nothing if it is outside of `i128`.
    pub(super) fn sum_without(&self, removed: &CausalContext) -> Option<i128> {
        self.actors.iter().try_fold(0_i128, |total, (actor, runs)| {
            let part = match removed.runs(*actor) {
                Some(removed) => sum(&runs.minus(removed)),
                None => sum(runs),
            };
            total.checked_add(part?)
        })
    }

    /// The sum of all increments, or nothing if it is outside of `i128`.
    pub(super) fn sum(&self) -> Option<i128> {
        self.sum_without(&CausalContext::new())
    }

    /// Takes the increments of `actor` up to `last` out; the sum of those that come after `after`.
    pub(super) fn take_sum(&mut self, actor: Actor, after: u64, last: u64) -> i128 {
        let Some(runs) = self.actors.get_mut(&actor).filter(|_| last > 0) else {
            return 0;
        };
        let mut below = CausalContext::new();
        below.add(actor, 1, last);
        let below = below.runs(actor).expect("just added");
        let mut taken = runs.within(below);
        *runs = runs.minus(below);
        if runs.is_empty() {
            self.actors.remove(&actor);
        }
        if after > 0 {
            let mut known = CausalContext::new();
            known.add(actor, 1, after);
            taken = taken.minus(known.runs(actor).expect("just added"));
        }
        sum(&taken).expect("at most 2⁶⁴ increments of at most 2⁶³ each")
    }
}

/// No run overflows: fewer than 2⁶⁴ counters of at most 2⁶³ each.
fn sum(runs: &Runs<i64>) -> Option<i128> {
    runs.as_slice().iter().try_fold(0_i128, |total, run| {
        let count = i128::from(run.last - run.first) + 1;
        total.checked_add(count * i128::from(run.payload))
    })
}
