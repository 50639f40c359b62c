//! The causal context inside a value: which dots it has seen, gaps and all.
//!
//! A version vector alone says "all up to n", so a replica that is sent the delta of an actor's fifth
//! update before the fourth could either not take it in, or would claim the fourth and refuse it for ever
//! when it comes. Almeida, Shoker and Baquero (2018, section 7.2) put a *dot cloud* beside the vector:
//! single dots above it, which the vector swallows when the gap closes. Here both are one list of runs
//! for each actor: the run that begins at 1 is the vector's entry, all others are the cloud. The gap closes
//! by itself when two runs touch, so the form is unique, and the bound is on gaps and not on updates: a value
//! whose first dot is an actor's hundredth has one run from 100 on, for ever and at no cost.
//!
//! A client holds one of these between a read and the remove that it was for.

#[cfg(any(test, feature = "known-bad"))]
use super::known_bad::{Variant, is_on};
use super::runs::{Run, Runs};
use crate::version::{Actor, Context, Dot};
use std::collections::BTreeMap;

/// A set of dots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CausalContext {
    /// No actor without a run.
    actors: BTreeMap<Actor, Runs<()>>,
}

impl CausalContext {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.actors.is_empty()
    }

    #[must_use]
    pub fn contains(&self, dot: Dot) -> bool {
        let runs = self.actors.get(&dot.actor);
        runs.is_some_and(|runs| runs.payload(dot.counter).is_some())
    }

    /// Whether every dot of `other` is here too.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        other.minus(self).is_empty()
    }

    /// Notes one dot, and no other.
    ///
    /// # Panics
    /// If its counter is 0: no dot's is.
    pub fn observe(&mut self, dot: Dot) {
        #[cfg(any(test, feature = "known-bad"))]
        if is_on(Variant::CloudIsVector) {
            return self.add(dot.actor, 1, dot.counter);
        }
        self.add(dot.actor, dot.counter, dot.counter);
    }

    /// Notes the dots of `actor` from `first` to `last`.
    pub(super) fn add(&mut self, actor: Actor, first: u64, last: u64) {
        let run = Run {
            first,
            last,
            payload: (),
        };
        self.actors.entry(actor).or_default().add(run);
    }

    pub fn join(&mut self, other: &Self) {
        for (actor, runs) in &other.actors {
            self.actors.entry(*actor).or_default().add_all(runs);
        }
    }

    /// The dots that are here and not in `other`.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let left = self.actors.iter().map(|(actor, runs)| {
            let left = other.runs(*actor).map(|seen| runs.minus(seen));
            (*actor, left.unwrap_or_else(|| runs.clone()))
        });
        Self {
            actors: left.filter(|(_, runs)| !runs.is_empty()).collect(),
        }
    }

    /// The dots that are in both.
    #[must_use]
    pub fn within(&self, other: &Self) -> Self {
        let common = self.actors.iter().filter_map(|(actor, runs)| {
            let common = runs.within(other.runs(*actor)?);
            (!common.is_empty()).then_some((*actor, common))
        });
        Self {
            actors: common.collect(),
        }
    }

    /// The vector's entry: how many of the actor's dots were seen without a gap; 0 if not even the first.
    #[must_use]
    pub fn vector(&self, actor: Actor) -> u64 {
        let first = self.runs(actor).and_then(|runs| runs.as_slice().first());
        first.filter(|run| run.first == 1).map_or(0, |run| run.last)
    }

    /// Whether there is no cloud: a version vector says the same.
    #[must_use]
    pub fn is_vector(&self) -> bool {
        self.actors
            .iter()
            .all(|(actor, runs)| runs.as_slice().len() == 1 && self.vector(*actor) > 0)
    }

    pub(super) fn runs(&self, actor: Actor) -> Option<&Runs<()>> {
        self.actors.get(&actor)
    }

    pub(super) fn actors(&self) -> impl ExactSizeIterator<Item = (Actor, &Runs<()>)> {
        self.actors.iter().map(|(actor, runs)| (*actor, runs))
    }
}

impl From<&Context> for CausalContext {
    fn from(context: &Context) -> Self {
        let mut all = Self::new();
        for &(actor, counter) in context.entries() {
            all.add(actor, 1, counter);
        }
        all
    }
}

impl FromIterator<Dot> for CausalContext {
    fn from_iter<I: IntoIterator<Item = Dot>>(dots: I) -> Self {
        let mut all = Self::new();
        for dot in dots {
            all.add(dot.actor, dot.counter, dot.counter);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Incarnation;
    use crate::version::KeyEpoch;

    fn dot(counter: u64) -> Dot {
        let (incarnation, epoch) = (Incarnation(7), KeyEpoch(1));
        let actor = Actor { incarnation, epoch };
        Dot { actor, counter }
    }

    #[test]
    fn a_dot_after_a_gap_claims_nothing_before_it() {
        let mut seen: CausalContext = [dot(1), dot(2), dot(5)].into_iter().collect();
        assert!(seen.contains(dot(5)) && !seen.contains(dot(3)) && !seen.contains(dot(4)));
        assert!(seen.vector(dot(1).actor) == 2 && !seen.is_vector());
        seen.observe(dot(4));
        seen.observe(dot(3));
        assert!(seen.is_vector(), "the gap is closed");
        assert_eq!(seen.vector(dot(1).actor), 5);
        assert_eq!(
            seen.actors().next().expect("one actor").1.as_slice().len(),
            1
        );
    }

    #[test]
    fn a_million_dots_are_one_run() {
        let seen: CausalContext = (100..1_000_100).map(dot).collect();
        assert_eq!(
            seen.actors().next().expect("one actor").1.as_slice().len(),
            1
        );
        assert_eq!(seen.vector(dot(1).actor), 0);
    }
}
