//! The set that only grows: its join is the union.
//!
//! Nothing can be removed, so nothing has to be told apart: no dots, no context, and a retry adds what is there
//! already. A delta holds the elements that the replica did not have.

#[cfg(any(test, feature = "known-bad"))]
use super::known_bad::{Variant, is_on};
use bytes::Bytes;
use std::collections::BTreeSet;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct GrowingSet {
    pub(super) elements: BTreeSet<Bytes>,
}

impl GrowingSet {
    pub(super) fn join(&mut self, other: &Self) {
        #[cfg(any(test, feature = "known-bad"))]
        if is_on(Variant::GrowingSetReplaced) {
            self.elements.clear();
        }
        self.elements.extend(other.elements.iter().cloned());
    }

    /// Those of `elements` that are not here.
    pub(super) fn missing(&self, elements: &[Bytes]) -> Self {
        let new = elements
            .iter()
            .filter(|element| !self.elements.contains(*element));
        Self {
            elements: new.cloned().collect(),
        }
    }
}
