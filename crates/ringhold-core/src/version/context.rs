//! A causal past: for each actor, how many of its writes were seen (a version vector).
//!
//! Entries are sorted by actor and counters are at least 1, so equal pasts have equal bytes. The
//! size is bounded by the stores that coordinated the key, not by the clients that wrote it.

use super::actor::{Actor, Dot};
use crate::id::Incarnation;

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Context {
    /// Sorted by actor, each once, each counter ≥ 1.
    entries: Vec<(Actor, u64)>,
}

/// Entries that are not sorted, name an actor twice, or count from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MalformedContext;

impl Context {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes entries as they were stored or received.
    ///
    /// # Errors
    /// If they are not in the one form that a context has.
    pub fn from_sorted(entries: Vec<(Actor, u64)>) -> Result<Self, MalformedContext> {
        let ordered = entries.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if !ordered || entries.iter().any(|&(_, counter)| counter == 0) {
            return Err(MalformedContext);
        }
        Ok(Self { entries })
    }

    #[must_use]
    pub fn entries(&self) -> &[(Actor, u64)] {
        &self.entries
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The number of actors in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many writes of `actor` it has seen; 0 if none.
    #[must_use]
    pub fn counter(&self, actor: Actor) -> u64 {
        match self.entries.binary_search_by_key(&actor, |&(a, _)| a) {
            Ok(at) => self.entries[at].1,
            Err(_) => 0,
        }
    }

    #[must_use]
    pub fn covers(&self, dot: Dot) -> bool {
        self.counter(dot.actor) >= dot.counter
    }

    /// Whether everything `other` has seen was seen here too.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        other
            .entries
            .iter()
            .all(|&(actor, counter)| self.counter(actor) >= counter)
    }

    /// The newest entry of an incarnation: its highest epoch, and the counter in it.
    #[must_use]
    pub fn newest_of(&self, incarnation: Incarnation) -> Option<(Actor, u64)> {
        let end = self
            .entries
            .partition_point(|(actor, _)| actor.incarnation <= incarnation);
        let newest = *self.entries[..end].last()?;
        (newest.0.incarnation == incarnation).then_some(newest)
    }

    /// Notes that a write was seen, and with it all before it by the same actor.
    pub fn observe(&mut self, dot: Dot) {
        assert!(dot.counter >= 1, "counters start at 1");
        match self.entries.binary_search_by_key(&dot.actor, |&(a, _)| a) {
            Ok(at) => self.entries[at].1 = self.entries[at].1.max(dot.counter),
            Err(at) => self.entries.insert(at, (dot.actor, dot.counter)),
        }
    }

    /// Joins another past into this one: the larger counter of each actor.
    pub fn join(&mut self, other: &Self) {
        if other.is_empty() || self == other {
            return;
        }
        let mut joined = Vec::with_capacity(self.entries.len().max(other.entries.len()));
        let (mut ours, mut theirs) = (
            self.entries.iter().peekable(),
            other.entries.iter().peekable(),
        );
        loop {
            let next = match (ours.peek(), theirs.peek()) {
                (Some(&&a), Some(&&b)) if a.0 == b.0 => {
                    ours.next();
                    theirs.next();
                    (a.0, a.1.max(b.1))
                }
                (Some(&&a), Some(&&b)) if a.0 < b.0 => {
                    ours.next();
                    a
                }
                (Some(&&a), None) => {
                    ours.next();
                    a
                }
                (_, Some(&&b)) => {
                    theirs.next();
                    b
                }
                (None, None) => break,
            };
            joined.push(next);
        }
        self.entries = joined;
    }

    /// Drops the entries that `keep` refuses. Only truncation has a reason to.
    pub(super) fn retain(&mut self, keep: impl FnMut(&(Actor, u64)) -> bool) {
        self.entries.retain(keep);
    }
}

#[cfg(test)]
mod tests {
    use super::super::actor::KeyEpoch;
    use super::*;

    fn actor(incarnation: u128, epoch: u64) -> Actor {
        Actor {
            incarnation: Incarnation(incarnation),
            epoch: KeyEpoch(epoch),
        }
    }

    fn context(entries: &[(u128, u64, u64)]) -> Context {
        let mut context = Context::new();
        for &(incarnation, epoch, counter) in entries {
            context.observe(Dot {
                actor: actor(incarnation, epoch),
                counter,
            });
        }
        context
    }

    #[test]
    fn join_takes_the_larger_counter_of_each_actor() {
        let rows: &[(&[_], &[_], &[_])] = &[
            (&[], &[(1, 1, 1)], &[(1, 1, 1)]),
            (
                &[(1, 1, 3)],
                &[(1, 1, 2), (2, 1, 1)],
                &[(1, 1, 3), (2, 1, 1)],
            ),
            (
                &[(1, 2, 1), (3, 1, 9)],
                &[(1, 1, 5), (2, 1, 1)],
                &[(1, 1, 5), (1, 2, 1), (2, 1, 1), (3, 1, 9)],
            ),
        ];
        for (left, right, want) in rows {
            let mut joined = context(left);
            joined.join(&context(right));
            assert_eq!(joined, context(want));
            let mut mirrored = context(right);
            mirrored.join(&context(left));
            assert_eq!(mirrored, context(want));
        }
    }

    #[test]
    fn the_newest_entry_of_an_incarnation_is_its_highest_epoch() {
        let past = context(&[(1, 9, 1), (2, 3, 7), (2, 5, 2), (3, 1, 1)]);
        assert_eq!(past.newest_of(Incarnation(2)), Some((actor(2, 5), 2)));
        assert_eq!(past.newest_of(Incarnation(4)), None);
        assert_eq!(past.newest_of(Incarnation(0)), None);
    }

    #[test]
    fn entries_in_another_form_are_refused() {
        let (a, b) = (actor(1, 1), actor(2, 1));
        assert!(Context::from_sorted(vec![(a, 1), (b, 1)]).is_ok());
        for entries in [vec![(b, 1), (a, 1)], vec![(a, 1), (a, 2)], vec![(a, 0)]] {
            assert_eq!(Context::from_sorted(entries), Err(MalformedContext));
        }
    }
}
