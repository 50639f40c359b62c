//! The set whose elements can be removed, and adding wins.
//!
//! Each element stands on the dot of the update that added it last: the observed-remove set without tombstones of
//! Bieniusa et al. (2012), in the form of Almeida et al. (2018, section 7.3). Adding an element that is there gives it a
//! new dot *in place of* those that were seen. So a remove that had not seen the new dot leaves it, and an element has as many
//! dots as there were adds that knew nothing of each other, mostly one.

use super::causal::CausalContext;
use super::dotted::Dotted;
#[cfg(any(test, feature = "known-bad"))]
use super::known_bad::{Variant, is_on};
use super::meeting::Meeting;
use crate::version::Dot;
use bytes::Bytes;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Elements {
    /// No element without a dot.
    pub(super) entries: BTreeMap<Bytes, Dotted<()>>,
}

impl Elements {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The dots on which an element stands.
    pub(super) fn dots_of(&self, element: &[u8]) -> CausalContext {
        let dots = self.entries.get(element).into_iter();
        dots.flat_map(Dotted::dots).collect()
    }

    pub(super) fn remove_element(&mut self, element: &Bytes, dots: &CausalContext) {
        let Some(left) = self.entries.get_mut(element) else {
            return;
        };
        left.remove(dots);
        #[cfg(any(test, feature = "known-bad"))]
        if is_on(Variant::RemoveWins) {
            *left = Dotted::default();
        }
        if left.is_empty() {
            self.entries.remove(element);
        }
    }

    pub(super) fn remove(&mut self, dots: &CausalContext) {
        self.entries.retain(|_, left| {
            left.remove(dots);
            !left.is_empty()
        });
    }

    pub(super) fn join(&mut self, other: &Self, meeting: &Meeting<'_>) {
        if !meeting.common.is_empty() {
            self.entries.retain(|element, dots| {
                if !other.entries.contains_key(element) {
                    dots.remove(&meeting.common);
                }
                !dots.is_empty()
            });
        }
        for (element, theirs) in &other.entries {
            let ours = self.entries.entry(element.clone()).or_default();
            ours.join(theirs, meeting);
            if ours.is_empty() {
                self.entries.remove(element);
            }
        }
    }

    pub(super) fn rename(&mut self, from: Dot, to: Dot) {
        let entries = self.entries.values_mut();
        entries.for_each(|dots| dots.rename(from, to));
    }

    pub(super) fn members(&self) -> Vec<Bytes> {
        self.entries.keys().cloned().collect()
    }
}
