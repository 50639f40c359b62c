//! Leaf sums: what the hash trees of anti-entropy stand on, kept true to the objects through any crash.
//!
//! The ring is cut into `2^leaf_bits` equal arcs, the leaves. For each the store keeps the sum of the digests of
//! the objects there, and how many there are. What a digest is the host says ([`Summarize`]); the trees above
//! the sums, and who compares them with whom, are the host's too.
//!
//! A tree that does not fit its store does harm in silence (T12): replicas look equal and are not, or differ
//! for ever. So a sum is never written beside the objects, only with them:
//!
//! ```text
//! stage       the writer knows what it replaces: change = digest(new) − digest(old)
//! publish     the flusher adds the changes, under the lock under which the buffer changes
//! freeze      what was changed since the last freeze is set aside, as of the same point of the log
//! checkpoint  it goes into the engine in the same atomic batch as the objects
//! open        the engine's sums, plus what the replayed buffers change about the engine's objects
//! ```
//!
//! The last line is why a crash needs no rebuild, and why nothing counts twice: replay does not add up what
//! each record once changed, but asks what the log's outcome changes about what the engine holds, and that is
//! nothing where the engine has it already. Only where what the engine says of the sums cannot be used (it is
//! damaged, made with another key, or the store's history is in doubt) are the objects counted.
//!
//! Sums lie in *pages* of 32, the leaves under one branch of a tree: one row of the engine, one allocation. A
//! row for each leaf would cost a checkpoint of small objects, which touches most leaves, three times the pages.
//!
//! An object that cannot be read any more is replaced by another without anybody knowing what its digest was.
//! Its leaf is *doubtful* from then on, which is written down with the sum; a recount settles it.
//!
//! Of each leaf there is a sum for every class of keys that are compared together ([`sorting`]). A store of which nobody says otherwise
//! has one class.
//!
//! | module | what |
//! | --- | --- |
//! | `sorting` | which keys are summed up together |
//! | `page` | 32 sums and their row in the engine |
//! | `kept` | the sums in memory: changed, frozen, read |
//! | `change` | what a writer's batch changes |
//! | `count` | counting objects |
//! | `load` | the sums at opening |
//! | `recount` | comparing sum and objects while the store is open |

pub(crate) mod change;
pub(crate) mod count;
pub(crate) mod kept;
pub(crate) mod load;
mod page;
pub(crate) mod recount;
pub(crate) mod sorting;

use std::ops::Range;

use bytes::Bytes;
use ringhold_core::ring::Class;
use ringhold_core::tree::{Digest, TreeTag};

use crate::key::{KeyRange, Keyspace, StorageKey};
use crate::rows::RowKey;
use sorting::Sorting;

/// The keyspace whose values are summed up.
pub(crate) const SUMMED: Keyspace = Keyspace::Objects;

/// Leaves on a page.
pub(crate) const PAGE_LEAVES: u64 = 32;
/// log2 of [`PAGE_LEAVES`].
const PAGE_BITS: u32 = 5;
/// More leaves than this have no use: it would take a terabyte to hold their sums.
const LEAF_BITS_MAX: u32 = 36;

/// What the store has to know of its objects to keep sums of them.
pub trait Summarize: Send + Sync {
    /// Names the way in which digests are made. Sums with another tag are thrown away at opening.
    fn tag(&self) -> TreeTag;

    /// log2 of the number of leaves around the ring: a leaf is the first so many bits of a position. At
    /// least five more than the partition's bits, and at most 36.
    fn leaf_bits(&self) -> u32;

    /// What a value of [`Keyspace::Objects`] adds to the sum of its leaf; none if it counts for nothing.
    /// Depends on nothing but its arguments, as it is asked again when the value is replaced.
    fn digest(&self, key: &StorageKey, value: &Bytes) -> Option<Digest>;

    /// The same, with the class of the value's bucket. Depends on nothing but its arguments, and all values of a key are of
    /// one bucket.
    fn sorted(
        &self,
        key: &StorageKey,
        value: &Bytes,
        _sorting: &Sorting,
    ) -> Option<(Class, Digest)> {
        Some((Class::DEFAULT, self.digest(key, value)?))
    }

    /// The index rows of a value of [`Keyspace::Objects`], each in the partition of its key and each once. Depends on nothing
    /// but its arguments.
    fn rows(&self, _key: &StorageKey, _value: &Bytes) -> Vec<(RowKey, Bytes)> {
        Vec::new()
    }
}

/// How leaves and pages lie on the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    leaf_bits: u32,
}

impl Shape {
    /// Panics unless each page lies in one partition.
    pub(crate) fn new(leaf_bits: u32, partition_bits: u32) -> Self {
        assert!(
            (partition_bits + PAGE_BITS..=LEAF_BITS_MAX).contains(&leaf_bits),
            "{leaf_bits} leaf bits with {partition_bits} partition bits"
        );
        Self { leaf_bits }
    }

    pub(crate) fn leaves(self) -> Range<u64> {
        0..1 << self.leaf_bits
    }

    pub(crate) fn leaf_of(self, key: &StorageKey) -> u64 {
        let leaf = key.position() >> (u128::BITS - self.leaf_bits);
        u64::try_from(leaf).expect("at most 36 bits are left")
    }

    /// The first key of a leaf.
    pub(crate) fn start_of(self, leaf: u64) -> StorageKey {
        assert!(self.leaves().contains(&leaf), "no leaf {leaf}");
        StorageKey::new(u128::from(leaf) << (u128::BITS - self.leaf_bits), 0)
    }

    /// The keys of these leaves.
    pub(crate) fn arc(self, leaves: &Range<u64>) -> KeyRange {
        let start = self.start_of(leaves.start);
        if leaves.end == self.leaves().end {
            return KeyRange::from_start(start);
        }
        KeyRange::new(start, self.start_of(leaves.end))
    }

    /// The leaves that lie in a range as a whole.
    pub(crate) fn within(self, range: &KeyRange) -> Range<u64> {
        let first = self.leaf_of(&range.start);
        let whole_from_start = self.start_of(first) == range.start;
        let start = first + u64::from(!whole_from_start);
        let end = range
            .end
            .map_or(self.leaves().end, |end| self.leaf_of(&end));
        start..end.max(start)
    }
}

/// The leaves of a page.
pub(crate) fn leaves_of_page(page: u64) -> Range<u64> {
    page * PAGE_LEAVES..(page + 1) * PAGE_LEAVES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(position: u128) -> StorageKey {
        StorageKey::new(position, 0)
    }

    #[test]
    fn arcs_hold_the_keys_of_their_leaves() {
        let shape = Shape::new(9, 2);
        for leaf in [0, 1, 200, 511] {
            let arc = shape.arc(&(leaf..leaf + 1));
            assert_eq!(shape.leaf_of(&arc.start), leaf);
            assert_eq!(shape.leaf_of(&arc.last().expect("not empty")), leaf);
        }
        assert_eq!(shape.arc(&shape.leaves()), KeyRange::ALL);
    }

    #[test]
    fn whole_leaves_of_a_range() {
        let shape = Shape::new(9, 2);
        let at = |leaf: u64, more: u128| key(shape.start_of(leaf).position() + more);
        let rows = [
            (KeyRange::ALL, 0..512),
            (KeyRange::new(at(3, 0), at(5, 0)), 3..5),
            (KeyRange::new(at(3, 1), at(5, 0)), 4..5),
            (KeyRange::new(at(3, 1), at(5, 9)), 4..5),
            (KeyRange::new(at(3, 1), at(3, 9)), 4..4),
            (KeyRange::new(at(3, 0), at(3, 9)), 3..3),
            (KeyRange::from_start(at(511, 0)), 511..512),
            (KeyRange::from_start(at(511, 1)), 512..512),
        ];
        for (range, leaves) in rows {
            assert_eq!(shape.within(&range), leaves, "{range:?}");
        }
    }
}
