//! A few dots, each with what its update said: the leaf of every type that can forget.
//!
//! This is the dot store of Almeida, Shoker and Baquero (2018, section 7.1). A dot is here as long as what its update
//! said still stands; whether a missing dot was removed or has not arrived yet, the causal context tells.
//! The rule for joining follows: a dot stays if both sides have it, or if the side that lacks it has not seen it.

use super::causal::CausalContext;
use super::meeting::Meeting;
use crate::version::Dot;

/// Sorted by dot, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dotted<T> {
    entries: Vec<(Dot, T)>,
}

impl<T> Default for Dotted<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
        }
    }
}

impl<T: Clone + Ord> Dotted<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn entries(&self) -> &[(Dot, T)] {
        &self.entries
    }

    /// A dot that is here already gets the new payload.
    pub(super) fn insert(&mut self, dot: Dot, payload: T) {
        match self.place(dot) {
            Ok(at) => self.entries[at].1 = payload,
            Err(at) => self.entries.insert(at, (dot, payload)),
        }
    }

    pub(super) fn remove(&mut self, dots: &CausalContext) {
        self.entries.retain(|(dot, _)| !dots.contains(*dot));
    }

    pub(super) fn join(&mut self, other: &Self, meeting: &Meeting<'_>) {
        let gone = |dot: Dot| meeting.common.contains(dot) && !other.has(dot);
        self.entries.retain(|(dot, _)| !gone(*dot));
        for (dot, payload) in &other.entries {
            if !meeting.ours.contains(*dot) {
                self.insert(*dot, payload.clone());
            } else if let Ok(at) = self.place(*dot) {
                self.keep_least(at, payload);
            }
        }
    }

    /// Calls what stands on one dot by another.
    pub(super) fn rename(&mut self, from: Dot, to: Dot) {
        let Ok(at) = self.place(from) else {
            return;
        };
        let (_, payload) = self.entries.remove(at);
        match self.place(to) {
            Ok(at) => self.keep_least(at, &payload),
            Err(at) => self.entries.insert(at, (to, payload)),
        }
    }

    /// A dot says one thing, unless it stands for twins: of what those say, the least.
    fn keep_least(&mut self, at: usize, payload: &T) {
        if *payload < self.entries[at].1 {
            self.entries[at].1 = payload.clone();
        }
    }

    fn place(&self, dot: Dot) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&dot, |(dot, _)| *dot)
    }

    fn has(&self, dot: Dot) -> bool {
        self.place(dot).is_ok()
    }

    pub(super) fn dots(&self) -> impl Iterator<Item = Dot> {
        self.entries.iter().map(|(dot, _)| *dot)
    }
}
