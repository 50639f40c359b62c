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

/// The increments of one actor, and their sum: fewer than 2⁶⁴ of at most 2⁶³ each, so it fits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tally {
    runs: Runs<i64>,
    sum: i128,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Amounts {
    /// No actor without a run, no run of zeros.
    actors: BTreeMap<Actor, Tally>,
}

impl Tally {
    fn of(runs: Runs<i64>) -> Self {
        let sum = sum(&runs);
        Self { runs, sum }
    }

    fn add(&mut self, run: Run<i64>) {
        let new = self.runs.add(run);
        self.sum += i128::from(new) * i128::from(run.payload);
    }
}

impl Amounts {
    pub(super) fn is_empty(&self) -> bool {
        self.actors.is_empty()
    }

    pub(super) fn actors(&self) -> impl ExactSizeIterator<Item = (Actor, &Runs<i64>)> {
        let tallies = self.actors.iter();
        tallies.map(|(actor, tally)| (*actor, &tally.runs))
    }

    pub(super) fn add(&mut self, actor: Actor, run: Run<i64>) {
        if run.payload != 0 {
            self.actors.entry(actor).or_default().add(run);
        }
    }

    pub(super) fn amount(&self, dot: Dot) -> i64 {
        let tally = self.actors.get(&dot.actor);
        tally
            .and_then(|tally| tally.runs.payload(dot.counter))
            .unwrap_or(0)
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
        self.actors.retain(|actor, tally| {
            if let Some(gone) = dots.runs(*actor) {
                *tally = Tally::of(tally.runs.minus(gone));
            }
            !tally.runs.is_empty()
        });
    }

    pub(super) fn join(&mut self, other: &Self, meeting: &Meeting<'_>) {
        if !meeting.common.is_empty() {
            self.actors.retain(|actor, tally| {
                if let Some(common) = meeting.common.runs(*actor) {
                    let gone = match other.actors.get(actor) {
                        Some(theirs) => common.minus(&theirs.runs),
                        None => common.clone(),
                    };
                    *tally = Tally::of(tally.runs.minus(&gone));
                }
                !tally.runs.is_empty()
            });
        }
        for (actor, theirs) in other.actors() {
            let new = match meeting.ours.runs(actor) {
                Some(seen) => theirs.minus(seen),
                None => theirs.clone(),
            };
            new.as_slice().iter().for_each(|run| self.add(actor, *run));
        }
    }

    /// The sum of the increments that `removed` does not have, or nothing if it is outside of `i128`.
    pub(super) fn sum_without(&self, removed: &CausalContext) -> Option<i128> {
        self.actors
            .iter()
            .try_fold(0_i128, |total, (actor, tally)| {
                let part = match removed.runs(*actor) {
                    Some(removed) => sum(&tally.runs.minus(removed)),
                    None => tally.sum,
                };
                total.checked_add(part)
            })
    }

    /// The sum of all increments, or nothing if it is outside of `i128`.
    pub(super) fn sum(&self) -> Option<i128> {
        self.sum_without(&CausalContext::new())
    }

    /// Calls the increment of one dot by another.
    pub(super) fn rename(&mut self, from: Dot, to: Dot) {
        let amount = self.amount(from);
        if amount == 0 {
            return;
        }
        self.remove(&CausalContext::from_iter([from]));
        if self.amount(to) == 0 {
            self.replace(to, amount);
        }
    }
}

fn sum(runs: &Runs<i64>) -> i128 {
    let parts = runs.as_slice().iter().map(|run| {
        let count = i128::from(run.last - run.first) + 1;
        count * i128::from(run.payload)
    });
    parts.sum()
}
