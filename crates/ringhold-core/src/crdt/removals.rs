//! Removes: which dots are to go from which place, said once and carried out wherever they are.
//!
//! In the delta of Almeida et al. a remove is a context: "these dots were seen and are no longer here". That needs a dot for
//! each thing that can be removed by itself, while an update of Ringhold has one dot for all that it did, a dozen elements or a map of
//! fields; and it cannot say "of this element, whatever of *your* context I have not seen yet". So a remove is a fact of its own, a
//! place and a set of dots. Where the dots are, they go; where they have not arrived, the fact waits for them, which is also what Riak
//! calls a deferred operation. A dot that was carried out everywhere it was seen needs no fact any more: the context tells.
//!
//! Invariant of a state: the dots of a fact are dots that the state has not seen. A set of (place, dot) is joined by union, and
//! carrying out is a closure over it, so the laws of a lattice survive (`docs/decisions/0019`).

use super::causal::CausalContext;
use super::map::Field;
use crate::version::Dot;
use bytes::Bytes;
use std::collections::BTreeMap;

/// What of a place is meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// The field with all that is in it.
    Field,
    /// The field's own dots.
    Presence,
    /// A flag's enablings, not its presence.
    Enablings,
    /// One element of a set.
    Element(Bytes),
}

/// A field of the map, or of a map in it; without fields, the value itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) fields: Vec<Field>,
    pub(super) target: Target,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Removals {
    /// No place without a dot.
    pub(super) places: BTreeMap<Place, CausalContext>,
}

impl Removals {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn add(&mut self, place: Place, dots: &CausalContext) {
        if !dots.is_empty() {
            self.places.entry(place).or_default().join(dots);
        }
    }

    pub(super) fn join(&mut self, other: &Self) {
        for (place, dots) in &other.places {
            self.places.entry(place.clone()).or_default().join(dots);
        }
    }

    /// What is to go by the one dot is to go by the other.
    pub(super) fn rename(&mut self, from: Dot, to: Dot) {
        for dots in self.places.values_mut().filter(|dots| dots.contains(from)) {
            dots.observe(to);
        }
    }

    /// Drops what was seen, and so carried out.
    pub(super) fn forget(&mut self, seen: &CausalContext) {
        self.places.retain(|_, dots| {
            *dots = dots.minus(seen);
            !dots.is_empty()
        });
    }

    /// How many places wait for dots that are not in `seen`.
    pub(super) fn waiting(&self, seen: &CausalContext) -> usize {
        let waiting = self.places.values().filter(|dots| !seen.includes(dots));
        waiting.count()
    }
}
