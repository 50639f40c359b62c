//! A counter by itself: increments and decrements that are never taken back.
//!
//! A counter that is a whole value is never reset (deleting the key replaces the value), so what an actor has
//! added without a gap is one *settled* total, as in the PN-counter of Shapiro et al. (2011); only
//! increments beyond a gap are kept one by one until it closes. So the size follows the actors and not the increments.
//!
//! Invariants, with the value's causal context: an actor's settled total is the sum of its increments from 1 to its
//! entry in the vector, and is left out when it is zero; a loose increment is one that was seen and lies above that entry. A dot adds to
//! the sum once, when the context first has it: retries and repeated deltas change nothing.
//!
//! The ends: an increment that would take the value beyond 64 bits, as the replica that takes it knows the value, is refused. Replicas
//! that are apart can each stay within and be beyond together; that sum is exact, in 128 bits. Nothing wraps.

use super::amounts::Amounts;
use super::causal::CausalContext;
#[cfg(test)]
use super::known_bad::{Variant, is_on};
use super::meeting::Meeting;
use crate::version::Actor;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counter {
    /// No zeros.
    pub(super) settled: BTreeMap<Actor, i128>,
    pub(super) loose: Amounts,
}

impl Counter {
    /// The value, or nothing if it is outside of `i128`, which increments of 64 bits do not reach.
    pub(super) fn value(&self) -> Option<i128> {
        let settled = self
            .settled
            .values()
            .try_fold(0_i128, |sum, total| sum.checked_add(*total));
        settled?.checked_add(self.loose.sum()?)
    }

    /// `joined` is what both have seen together.
    pub(super) fn join(&mut self, other: &Self, meeting: &Meeting<'_>, joined: &CausalContext) {
        for (actor, _) in meeting.theirs.actors() {
            if meeting.theirs.vector(actor) > meeting.ours.vector(actor) {
                let total = other.settled.get(&actor).copied().unwrap_or(0);
                self.settle(actor, total);
            }
        }
        for (actor, runs) in other.loose.actors() {
            for run in runs.as_slice() {
                self.loose.add(actor, *run);
            }
        }
        for (actor, _) in joined.actors() {
            let known = meeting.ours.vector(actor).max(meeting.theirs.vector(actor));
            #[cfg(test)]
            let known = if is_on(Variant::RetryCountsTwice) {
                0
            } else {
                known
            };
            let more = self.loose.take_sum(actor, known, joined.vector(actor));
            let total = self.settled.get(&actor).copied().unwrap_or(0);
            let total = total.checked_add(more);
            self.settle(
                actor,
                total.expect("at most 2⁶⁴ increments of at most 2⁶³ each"),
            );
        }
    }

    /// Brings a counter made by hand into its form: what lies in the vector becomes settled.
    pub(super) fn settle_all(&mut self, seen: &CausalContext) {
        for (actor, _) in seen.actors() {
            let more = self.loose.take_sum(actor, 0, seen.vector(actor));
            self.settle(actor, self.settled.get(&actor).copied().unwrap_or(0) + more);
        }
    }

    fn settle(&mut self, actor: Actor, total: i128) {
        if total == 0 {
            self.settled.remove(&actor);
        } else {
            self.settled.insert(actor, total);
        }
    }
}
