//! The value of a key as a replica has it, which is also what a delta is.
//!
//! A state is what was *seen* (dots), what of it still *stands* (the body), and what is to go once it is seen (the
//! removals). Joining unites what was seen; of the dots that stand on one side only, those stay that the
//! other side has not seen; then each removal takes what it names.
//!
//! **Why this is a lattice.** Think of a state as three sets that only grow: dots seen, (place, dot) pairs that are gone, and (place, dot)
//! pairs that are to go. The body is "seen and not gone", and its payloads follow from their dots. Joining is union, then the closure: a
//! pair that is to go and whose dot was seen is gone. A closure over a union is commutative, associative and idempotent, and leaving out the
//! removals whose dots were seen leaves out only what the closure would bring back. `tests` asks for the laws on random states.

use super::causal::CausalContext;
use super::counter::Counter;
use super::gset::GrowingSet;
use super::hll::{Hll, Precision};
#[cfg(any(test, feature = "known-bad"))]
use super::known_bad::{Variant, is_on};
use super::map::Fields;
use super::meeting::Meeting;
use super::removals::{Removals, Target};
use super::set::Elements;
use super::update::Kind;
use super::value::{CounterOutOfRange, Value, map_value};
use crate::version::Dot;
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Empty for what knows no removes: counters, growing sets and estimates.
    pub(super) seen: CausalContext,
    /// None of its dots was seen.
    pub(super) removals: Removals,
    /// All of its dots were seen.
    pub(super) body: Body,
}

/// A state that holds what one update changed, and joins like any other.
pub type Delta = State;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Counter(Counter),
    Set(Elements),
    GrowingSet(GrowingSet),
    Hll(Hll),
    Map(Fields),
}

/// Two states of different kinds do not join. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindMismatch {
    pub ours: Kind,
    pub theirs: Kind,
}

impl fmt::Display for KindMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ours, theirs } = self;
        write!(f, "a {} and a {} do not join", ours.name(), theirs.name())
    }
}

impl std::error::Error for KindMismatch {}

impl State {
    /// The value of a key before its first update. An estimate has the default precision.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self::of(match kind {
            Kind::Counter => Body::Counter(Counter::default()),
            Kind::Set => Body::Set(Elements::default()),
            Kind::GrowingSet => Body::GrowingSet(GrowingSet::default()),
            Kind::Hll => Body::Hll(Hll::new(Precision::DEFAULT)),
            Kind::Map => Body::Map(Fields::default()),
        })
    }

    /// An estimate before its first update. Joining it to another lowers that one's precision to this one's, never the reverse.
    #[must_use]
    pub fn hll(precision: Precision) -> Self {
        Self::of(Body::Hll(Hll::new(precision)))
    }

    /// The value of a key that held another value before, whose updates were `seen`: its own dots go on from there, and contexts of the old
    /// value have nothing to wait for in it. Of a set or a map that is joined with it, what was seen goes.
    #[must_use]
    pub fn succeeding(kind: Kind, seen: &CausalContext) -> Self {
        let mut state = Self::new(kind);
        if kind.has_context() {
            state.seen = seen.clone();
        }
        state
    }

    /// The state that changes nothing when this one is joined with it.
    #[must_use]
    pub(super) fn unchanged(&self) -> Self {
        match &self.body {
            Body::Hll(hll) => Self::hll(hll.precision),
            _ => Self::new(self.kind()),
        }
    }

    pub(super) fn of(body: Body) -> Self {
        Self {
            seen: CausalContext::new(),
            removals: Removals::default(),
            body,
        }
    }

    #[must_use]
    pub fn kind(&self) -> Kind {
        match &self.body {
            Body::Counter(_) => Kind::Counter,
            Body::Set(_) => Kind::Set,
            Body::GrowingSet(_) => Kind::GrowingSet,
            Body::Hll(_) => Kind::Hll,
            Body::Map(_) => Kind::Map,
        }
    }

    /// Which updates this state has, with gaps; what a client that reads it now has seen.
    #[must_use]
    pub fn context(&self) -> &CausalContext {
        &self.seen
    }

    /// How many removes wait for what they remove.
    #[must_use]
    pub fn deferred(&self) -> usize {
        self.removals.len()
    }

    /// Takes in what another state or a delta has. In any order, in any grouping, any number of times: the outcome is the same.
    ///
    /// Costs what `other` holds, if none of its dots was seen before; else it goes once through both.
    ///
    /// # Errors
    /// If it is a value of another kind.
    pub fn join(&mut self, other: &Self) -> Result<(), KindMismatch> {
        let meeting = Meeting::of(&self.seen, &other.seen);
        match (&mut self.body, &other.body) {
            (Body::Counter(ours), Body::Counter(theirs)) => ours.join(theirs),
            (Body::Set(ours), Body::Set(theirs)) => ours.join(theirs, &meeting),
            (Body::GrowingSet(ours), Body::GrowingSet(theirs)) => ours.join(theirs),
            (Body::Hll(ours), Body::Hll(theirs)) => ours.join(theirs),
            (Body::Map(ours), Body::Map(theirs)) => ours.join(theirs, &meeting),
            _ => {
                return Err(KindMismatch {
                    ours: self.kind(),
                    theirs: other.kind(),
                });
            }
        }
        self.seen.join(&other.seen);
        self.removals.join(&other.removals);
        self.carry_out_removals();
        Ok(())
    }

    /// Calls what one dot did by another, a twin's: what stands on it, what was seen of it and what is to go of it.
    pub(super) fn rename(&mut self, from: Dot, to: Dot) {
        match &mut self.body {
            Body::Set(elements) => elements.rename(from, to),
            Body::Map(fields) => fields.rename(from, to),
            Body::Counter(_) | Body::GrowingSet(_) | Body::Hll(_) => return,
        }
        if self.seen.contains(from) {
            self.seen.observe(to);
        }
        self.removals.rename(from, to);
    }

    fn carry_out_removals(&mut self) {
        for (place, dots) in &self.removals.places {
            match (&mut self.body, &place.target) {
                (Body::Set(elements), Target::Element(element)) => {
                    elements.remove_element(element, dots);
                }
                (Body::Map(fields), target) => fields.remove_at(&place.fields, target, dots),
                _ => {}
            }
        }
        self.removals.forget(&self.seen);
        #[cfg(any(test, feature = "known-bad"))]
        if is_on(Variant::DeferredDropped) {
            self.removals = Removals::default();
        }
    }

    /// What a client sees.
    ///
    /// # Errors
    /// If a counter is beyond 128 bits, which no updates reach.
    pub fn value(&self) -> Result<Value, CounterOutOfRange> {
        Ok(match &self.body {
            Body::Counter(counter) => Value::Counter(counter.value().ok_or(CounterOutOfRange)?),
            Body::Set(elements) => Value::Set(elements.members()),
            Body::GrowingSet(set) => Value::GrowingSet(set.elements.iter().cloned().collect()),
            Body::Hll(hll) => Value::Hll(hll.estimate()),
            Body::Map(fields) => Value::Map(map_value(fields)?),
        })
    }
}
