//! Every dot that a run has seen, and sets of them.
//!
//! The simulator sees every message and every store, so it can keep what no node can: one table of all
//! dots, with the write that each of them named. A dot gets a small number when it first shows itself; a
//! [`DotSet`] is a bitmap over those numbers, which makes the model's happens-before a matter of a few words.

use ringhold_core::version::{ContentHash, Context, Dot, Timestamp};
use std::collections::BTreeMap;

/// The number of a dot in the order of its first appearance.
pub type DotNumber = usize;

/// What a dot names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    pub dot: Dot,
    /// The number of the key.
    pub key: usize,
    /// The number of the client operation that wrote it.
    pub operation: usize,
    pub hash: ContentHash,
    pub timestamp: Timestamp,
    pub is_tombstone: bool,
}

/// All dots of a run.
#[derive(Debug, Default)]
pub struct DotTable {
    numbers: BTreeMap<Dot, DotNumber>,
    named: Vec<Named>,
    of_key: BTreeMap<usize, Vec<DotNumber>>,
}

impl DotTable {
    /// Notes what a dot names. `Err` with what it named before, if that was something else (I3).
    pub fn note(&mut self, named: Named) -> Result<DotNumber, Named> {
        let next = self.named.len();
        let number = *self.numbers.entry(named.dot).or_insert(next);
        if number == next {
            self.named.push(named);
            self.of_key.entry(named.key).or_default().push(number);
            return Ok(number);
        }
        let known = self.named[number];
        if known == named {
            Ok(number)
        } else {
            Err(known)
        }
    }

    #[must_use]
    pub fn number(&self, dot: Dot) -> Option<DotNumber> {
        self.numbers.get(&dot).copied()
    }

    #[must_use]
    pub fn named(&self, number: DotNumber) -> &Named {
        &self.named[number]
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.named.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// The dots on one key.
    #[must_use]
    pub fn of_key(&self, key: usize) -> &[DotNumber] {
        self.of_key.get(&key).map_or(&[], Vec::as_slice)
    }

    /// The dots on a key that a context covers.
    pub fn covered<'a>(
        &'a self,
        key: usize,
        context: &'a Context,
    ) -> impl Iterator<Item = DotNumber> + 'a {
        self.of_key(key)
            .iter()
            .copied()
            .filter(|&number| context.covers(self.named[number].dot))
    }
}

/// A set of dots, by their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DotSet(Vec<u64>);

impl DotSet {
    pub fn insert(&mut self, number: DotNumber) {
        let word = number / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (number % 64);
    }

    #[must_use]
    pub fn contains(&self, number: DotNumber) -> bool {
        self.0
            .get(number / 64)
            .is_some_and(|word| word & (1 << (number % 64)) != 0)
    }

    pub fn join(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (ours, theirs) in self.0.iter_mut().zip(&other.0) {
            *ours |= theirs;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringhold_core::id::Incarnation;
    use ringhold_core::version::{Actor, KeyEpoch};

    fn named(counter: u64, operation: usize) -> Named {
        let actor = Actor {
            incarnation: Incarnation(1),
            epoch: KeyEpoch(1),
        };
        let (hash, timestamp) = (ContentHash(5), Timestamp(1));
        Named {
            dot: Dot { actor, counter },
            key: 3,
            operation,
            hash,
            timestamp,
            is_tombstone: false,
        }
    }

    #[test]
    fn a_dot_names_one_write() {
        let mut table = DotTable::default();
        assert_eq!(table.note(named(1, 7)), Ok(0));
        assert_eq!(table.note(named(2, 8)), Ok(1));
        assert_eq!(table.note(named(1, 7)), Ok(0));
        assert_eq!(table.note(named(1, 8)), Err(named(1, 7)));
        assert_eq!(table.of_key(3), [0, 1]);
    }

    #[test]
    fn sets_hold_what_was_put_in() {
        let (mut low, mut high) = (DotSet::default(), DotSet::default());
        low.insert(3);
        high.insert(200);
        low.join(&high);
        assert!(low.contains(3) && low.contains(200) && !low.contains(4) && !low.contains(1_000));
    }
}
