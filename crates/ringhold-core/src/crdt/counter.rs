//! A counter by itself: increments and decrements that are never taken back.
//!
//! A counter that is a whole value is never reset (deleting the key replaces the value), so what an actor has
//! added is one total, as in the PN-counter of Shapiro et al. (2011), and the size follows the actors and not the increments.
//! An actor's increment is its total after it, which is also the delta.
//!
//! A key is deleted and written anew, and then the same actor counts on; and a value of before may come back, because
//! somebody updated it who knew nothing of the delete. So an actor's total is that of a *stretch*: its increments from `first` to `last`,
//! each made on the one before. Whoever makes an increment where the one before it is not in the value, begins a stretch with it. The
//! first of a stretch names it, so what two values have of a stretch is more of the same or less, and values of different lives just add up.
//!
//! Invariants: the stretches of an actor have no dot in common; the same stretch up to the same dot has the same total everywhere, because
//! a dot names one increment and its maker alone decides on which it is made. So the longer is right, and joining takes it.
//!
//! The ends: an increment that would take the value beyond 64 bits, as the replica that takes it knows the value, is refused. Replicas
//! that are apart can each stay within and be beyond together; that sum is exact, in 128 bits. Nothing wraps.

#[cfg(any(test, feature = "known-bad"))]
use super::known_bad::{Variant, is_on};
use crate::version::{Actor, Dot};
use std::collections::BTreeMap;

/// Increments of an actor, each made on the one before. By its first dot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stretch {
    pub(super) actor: Actor,
    pub(super) first: u64,
}

/// How far a stretch is known, and what its increments sum up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Total {
    pub(super) last: u64,
    pub(super) sum: i128,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counter {
    pub(super) stretches: BTreeMap<Stretch, Total>,
}

impl Counter {
    /// The value, or nothing if it is outside of `i128`, which increments of 64 bits do not reach.
    pub(super) fn value(&self) -> Option<i128> {
        let mut totals = self.stretches.values();
        totals.try_fold(0_i128, |sum, total| sum.checked_add(total.sum))
    }

    pub(super) fn actors(&self) -> impl Iterator<Item = Actor> {
        self.stretches.keys().map(|stretch| stretch.actor)
    }

    /// The actor's last stretch that begins at a dot or before it.
    fn before(&self, dot: Dot) -> Option<(Stretch, Total)> {
        let Dot { actor, counter } = dot;
        let first = counter;
        let mut stretches = self.stretches.range(..=Stretch { actor, first });
        let (&stretch, &total) = stretches.next_back()?;
        (stretch.actor == actor).then_some((stretch, total))
    }

    pub(super) fn has(&self, dot: Dot) -> bool {
        self.before(dot)
            .is_some_and(|(_, total)| dot.counter <= total.last)
    }

    /// An increment that is not here, as what it makes of its stretch; nothing if the total is outside of `i128`.
    pub(super) fn added(&self, dot: Dot, by: i64) -> Option<Self> {
        assert!(dot.counter >= 1, "counters start at 1");
        let goes_on =
            |(_, total): &(Stretch, Total)| total.last.checked_add(1) == Some(dot.counter);
        let (actor, first) = (dot.actor, dot.counter);
        let (stretch, sum) = match self.before(dot).filter(goes_on) {
            Some((stretch, total)) => (stretch, total.sum),
            None => (Stretch { actor, first }, 0),
        };
        let sum = sum.checked_add(i128::from(by))?;
        let last = dot.counter;
        Some(Self {
            stretches: BTreeMap::from([(stretch, Total { last, sum })]),
        })
    }

    pub(super) fn join(&mut self, other: &Self) {
        for (stretch, theirs) in &other.stretches {
            let ours = self.stretches.entry(*stretch).or_insert(*theirs);
            #[cfg(any(test, feature = "known-bad"))]
            if is_on(Variant::RetryCountsTwice) && ours.last != theirs.last {
                ours.sum += theirs.sum;
            }
            *ours = (*ours).max(*theirs);
        }
    }
}
