//! The operations that this writer saw last, so that a retry gets the dot of its first try (T6).
//!
//! A retry whose version is still alive finds it in the object. This table is for the others: the
//! first try was acknowledged (or not), somebody overwrote it, and the retry must not bring it back.
//! It is bounded; a retry that comes after thousands of other writes makes a new version, which is
//! the safe direction.

use ringhold_core::id::OperationId;
use ringhold_core::version::{ContentHash, Dot};
use ringhold_storage::StorageKey;
use std::collections::{BTreeMap, VecDeque};

/// Enough for every write of a minute at a few hundred a second.
const OPERATIONS_MAX: usize = 16_384;

#[derive(Default)]
pub(crate) struct RecentOperations {
    dots: BTreeMap<(OperationId, StorageKey), (Dot, ContentHash)>,
    order: VecDeque<(OperationId, StorageKey)>,
}

impl RecentOperations {
    /// The dot of an earlier try of the same operation with the same content on this key.
    pub(crate) fn dot_of(
        &self,
        operation: OperationId,
        key: StorageKey,
        hash: ContentHash,
    ) -> Option<Dot> {
        self.dots
            .get(&(operation, key))
            .filter(|(_, known)| *known == hash)
            .map(|(dot, _)| *dot)
    }

    pub(crate) fn note(
        &mut self,
        operation: OperationId,
        key: StorageKey,
        hash: ContentHash,
        dot: Dot,
    ) {
        if self.dots.insert((operation, key), (dot, hash)).is_some() {
            return;
        }
        self.order.push_back((operation, key));
        if self.order.len() > OPERATIONS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.dots.remove(&oldest);
        }
        assert!(
            self.dots.len() == self.order.len(),
            "each operation has one place in the order"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringhold_core::id::Incarnation;
    use ringhold_core::version::{Actor, KeyEpoch};

    #[test]
    fn the_oldest_goes_when_the_table_is_full() {
        let mut table = RecentOperations::default();
        let key = StorageKey::new(1, 1);
        let actor = Actor {
            incarnation: Incarnation(1),
            epoch: KeyEpoch(1),
        };
        let hash = ContentHash(1);
        let operations = u128::try_from(OPERATIONS_MAX).expect("fits") + 1;
        for operation in 0..operations {
            table.note(OperationId(operation), key, hash, Dot { actor, counter: 1 });
        }
        assert_eq!(table.dot_of(OperationId(0), key, hash), None);
        assert!(table.dot_of(OperationId(1), key, hash).is_some());
        assert!(
            table
                .dot_of(OperationId(1), StorageKey::new(2, 1), hash)
                .is_none(),
            "another key"
        );
        assert!(
            table.dot_of(OperationId(1), key, ContentHash(2)).is_none(),
            "another content"
        );
        assert_eq!(table.dots.len(), OPERATIONS_MAX);
    }
}
