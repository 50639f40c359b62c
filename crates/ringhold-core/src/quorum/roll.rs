//! The roll call under both tallies: who was asked, and what each said.
//!
//! One entry to a node, so whatever is counted over the roll counts nodes and not replies (T8). A
//! node's standing only rises: its first real answer stands, while a failure (which is often no
//! more than our own impatience) gives way to an answer that arrives after all. What counts as
//! better news is the operation's to say, in [`Outcome::gives_way_to`]. A tally may profit
//! from such a rise but never waits for one: whoever has failed is not outstanding.
//!
//! The entries are few, so a list in the order of asking beats any map, and gives every loop over
//! it one order.

use super::{FailureCounts, FailureKind, ReplicaKind, Target};

/// What a node can say.
pub(super) trait Outcome: Copy {
    /// Why there was no answer, if there was none.
    fn failure(self) -> Option<FailureKind>;

    /// Whether a later word of the same node replaces this one.
    fn gives_way_to(self, later: Self) -> bool;
}

/// One node that was asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<O> {
    pub(super) target: Target,
    /// `None` while outstanding.
    pub(super) outcome: Option<O>,
    /// Another node was asked in its place, so its failure leaves no gap.
    pub(super) replaced: bool,
}

impl<O> Entry<O> {
    pub(super) fn is_primary(&self) -> bool {
        self.target.kind == ReplicaKind::Primary
    }

    pub(super) fn is_outstanding(&self) -> bool {
        self.outcome.is_none()
    }
}

/// Everybody who was asked, in the order of asking.
#[derive(Debug, Clone)]
pub(super) struct Roll<O> {
    entries: Vec<Entry<O>>,
}

impl<O: Outcome> Roll<O> {
    pub(super) fn new(targets: impl IntoIterator<Item = Target>) -> Self {
        let mut roll = Self {
            entries: Vec::new(),
        };
        for target in targets {
            roll.expect(target);
        }
        roll
    }

    /// Adds a target; false if the node is on the roll already, which changes nothing.
    pub(super) fn expect(&mut self, target: Target) -> bool {
        let known = self.position(target).is_some();
        if !known {
            self.entries.push(Entry {
                target,
                outcome: None,
                replaced: false,
            });
        }
        !known
    }

    /// Notes what a node said. A node not on the roll is added; one that is keeps its role.
    pub(super) fn hear(&mut self, target: Target, outcome: O) {
        self.expect(target);
        let at = self.position(target).expect("it was just added");
        let entry = &mut self.entries[at];
        match entry.outcome {
            Some(earlier) if !earlier.gives_way_to(outcome) => {}
            _ => entry.outcome = Some(outcome),
        }
    }

    /// Notes that a stand-in took this node's place.
    pub(super) fn replace(&mut self, target: Target) {
        if let Some(at) = self.position(target) {
            self.entries[at].replaced = true;
        }
    }

    pub(super) fn count(&self, mut counts: impl FnMut(&Entry<O>) -> bool) -> u32 {
        self.entries
            .iter()
            .fold(0, |sum, entry| sum + u32::from(counts(entry)))
    }

    pub(super) fn outstanding(&self) -> impl Iterator<Item = Target> + '_ {
        let waiting = self.entries.iter().filter(|entry| entry.is_outstanding());
        waiting.map(|entry| entry.target)
    }

    pub(super) fn failures(&self) -> FailureCounts {
        let mut counts = FailureCounts::default();
        for entry in &self.entries {
            if let Some(kind) = entry.outcome.and_then(Outcome::failure) {
                counts.add(kind);
            }
        }
        counts
    }

    fn position(&self, target: Target) -> Option<usize> {
        self.entries
            .iter()
            .position(|entry| entry.target.node == target.node)
    }
}
