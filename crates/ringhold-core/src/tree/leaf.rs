//! Leaves: equal arcs of a partition, and the sum over what lies in one.
//!
//! A partition is the first log2 Q bits of a position, its leaf the ten bits after them. So leaves follow each
//! other clockwise like the keys in the store, and each is one contiguous range of it. Counted through all
//! partitions they have one number, which is how a store knows them: see [`Leaf::across_the_ring`].

use super::digest::Digest;
use crate::ring::{Partition, PartitionCount, Position};
use std::ops::{AddAssign, Range, RangeInclusive, SubAssign};

/// How many children a node of the tree has.
pub const FANOUT: usize = 32;
/// How many leaves the tree of one partition has: with a million keys in it, about a thousand keys a leaf.
pub const LEAVES: usize = FANOUT * FANOUT;
/// log2 of [`LEAVES`].
pub const LEAF_BITS: u32 = 10;

/// A leaf of a partition's tree, counted clockwise from the partition's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Leaf(u16);

impl Leaf {
    /// The leaf of this number; none from [`LEAVES`] up.
    #[must_use]
    pub fn new(number: u16) -> Option<Self> {
        (usize::from(number) < LEAVES).then_some(Self(number))
    }

    /// The leaf's place in a list of all leaves of its tree.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The branch that it hangs on, from 0 to [`FANOUT`] − 1.
    #[must_use]
    pub fn branch(self) -> usize {
        self.index() / FANOUT
    }

    /// Its number if leaves are counted through all partitions: the first log2 Q + [`LEAF_BITS`] bits of the
    /// positions in it.
    #[must_use]
    pub fn across_the_ring(self, partition: Partition) -> u64 {
        leaves_of_partition(partition).start + u64::from(self.0)
    }
}

/// The numbers that a partition's leaves have if leaves are counted through all partitions.
#[must_use]
pub fn leaves_of_partition(partition: Partition) -> Range<u64> {
    let first = u64::from(partition.0) << LEAF_BITS;
    first..first + (1 << LEAF_BITS)
}

/// The partition that a position lies in, and its leaf there.
#[must_use]
pub fn leaf_of(partitions: PartitionCount, position: Position) -> (Partition, Leaf) {
    let after_the_partition = position.0 << partitions.bits();
    let number = after_the_partition >> (u128::BITS - LEAF_BITS);
    let leaf = u16::try_from(number).expect("ten bits are left");
    (partitions.partition_of(position), Leaf(leaf))
}

/// The positions of a leaf, both ends included.
///
/// # Panics
/// If the partition is not one of this ring's.
#[must_use]
pub fn leaf_arc(
    partitions: PartitionCount,
    partition: Partition,
    leaf: Leaf,
) -> RangeInclusive<Position> {
    let partition_start = partitions.arc(partition).start().0;
    let bits = partitions.bits() + LEAF_BITS;
    let start = partition_start | u128::from(leaf.0) << (u128::BITS - bits);
    Position(start)..=Position(start | u128::MAX >> bits)
}

/// What a leaf says of the keys in it. Zero if there are none.
///
/// Both parts are residues, of 2^128 and 2^64, so a difference of two sums is one too, and a sum that took
/// a wrong turn once is off by the same from then on instead of ending the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LeafSum {
    /// The sum of the keys' digests.
    pub sum: u128,
    /// How many keys have a digest.
    pub keys: u64,
}

impl LeafSum {
    /// A leaf without keys.
    pub const ZERO: Self = Self { sum: 0, keys: 0 };

    /// A key had the one digest and has the other now; none stands for a key that is not there.
    pub fn change(&mut self, old: Option<Digest>, new: Option<Digest>) {
        *self -= Self::of(old);
        *self += Self::of(new);
    }

    /// The sum over one key, or none.
    #[must_use]
    pub fn of(digest: Option<Digest>) -> Self {
        digest.map_or(Self::ZERO, |Digest(sum)| Self { sum, keys: 1 })
    }

    #[must_use]
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }
}

impl AddAssign for LeafSum {
    fn add_assign(&mut self, other: Self) {
        self.sum = self.sum.wrapping_add(other.sum);
        self.keys = self.keys.wrapping_add(other.keys);
    }
}

impl SubAssign for LeafSum {
    fn sub_assign(&mut self, other: Self) {
        self.sum = self.sum.wrapping_sub(other.sum);
        self.keys = self.keys.wrapping_sub(other.keys);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_tile_their_partition() {
        for bits in [3, 8, 16] {
            let partitions = PartitionCount::new(1 << bits).expect("within bounds");
            for partition in [Partition(0), Partition(5), Partition((1 << bits) - 1)] {
                let (mut next, end) = partitions.arc(partition).into_inner();
                for number in 0..u16::try_from(LEAVES).expect("few") {
                    let leaf = Leaf::new(number).expect("one of them");
                    let (first, last) = leaf_arc(partitions, partition, leaf).into_inner();
                    assert_eq!(first, next);
                    assert_eq!(leaf_of(partitions, first), (partition, leaf));
                    assert_eq!(leaf_of(partitions, last), (partition, leaf));
                    let across = leaf.across_the_ring(partition);
                    assert_eq!(
                        u128::from(across),
                        last.0 >> (u128::BITS - bits - LEAF_BITS)
                    );
                    next = Position(last.0.wrapping_add(1));
                }
                assert_eq!(next.0, end.0.wrapping_add(1));
            }
        }
        assert_eq!(Leaf::new(1_024), None);
    }

    #[test]
    fn sums_wrap() {
        let mut sum = LeafSum::ZERO;
        sum.change(Some(Digest(1)), None);
        assert_eq!((sum.sum, sum.keys), (u128::MAX, u64::MAX));
        sum.change(None, Some(Digest(1)));
        assert!(sum.is_zero());
    }
}
