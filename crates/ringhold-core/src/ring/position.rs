//! Positions, partitions, and how many of them there are.
//!
//! The ring is the circle of all 128-bit numbers. A key has one place on it, its [`Position`]:
//! the MD5 of its three names (bucket type, bucket, key), read as a big-endian number. MD5 is
//! here for its spread, as in the paper (§4.2), never for secrecy: whoever may write may choose
//! positions, and a position proves nothing about who wrote.
//!
//! The circle is cut into Q equal arcs, the [`Partition`]s (§6.2, strategy 3). Q is a power of two
//! and fixed when the cluster is founded, so that a partition is the top log2 Q bits of a
//! position. Objects are stored in order of position: each partition is one contiguous range of
//! the store whatever Q is, and placement can change without rewriting a single key.
//!
//! Invariants: each position lies in exactly one partition; the arcs of partitions 0, 1, … Q−1
//! follow each other without a gap or an overlap and cover the circle; two different triples of
//! names never feed the hash with the same bytes, because each name is preceded by its length.
//!
//! Not here: who owns a partition (`assignment`), and who serves a position (`preference`).

use std::fmt;
use std::ops::RangeInclusive;

use md5::{Digest, Md5};

/// A point on the ring: where a key lives. Unsigned, 128 bits; the order is the ring's, clockwise.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u128);

impl Position {
    /// The position of a key: MD5 over the three names, each preceded by its length as a 32-bit
    /// big-endian number, read as a big-endian number (§4.2).
    ///
    /// Panics if a name is 4 GiB or longer: names are capped far below that where they come in.
    pub fn of(bucket_type: &[u8], bucket: &[u8], key: &[u8]) -> Self {
        let mut hasher = Md5::new();
        for name in [bucket_type, bucket, key] {
            let length = u32::try_from(name.len()).expect("names are capped where they come in");
            hasher.update(length.to_be_bytes());
            hasher.update(name);
        }
        Self(u128::from_be_bytes(hasher.finalize().into()))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Position({:08x}…)", self.0 >> 96)
    }
}

/// One of the Q equal arcs of the ring, counted clockwise from position 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(pub u32);

impl Partition {
    /// The partition's place in a table with a row for each partition.
    pub fn index(self) -> usize {
        usize::try_from(self.0).expect("a usize holds 32 bits")
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number of partitions that no ring can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidPartitionCount {
    pub count: u32,
}

impl fmt::Display for InvalidPartitionCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a ring cannot have {} partitions: choose a power of two from {} to {}",
            self.count,
            PartitionCount::MIN.0,
            PartitionCount::MAX.0
        )
    }
}

impl std::error::Error for InvalidPartitionCount {}

/// Q, the number of partitions: a power of two from 8 to 65,536, fixed at founding.
///
/// At least ten times the members that are expected, so that each one's share can be fine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionCount(u32);

impl PartitionCount {
    /// Enough for three nodes to have a share each.
    pub const MIN: Self = Self(8);
    /// A table of this many owners is a megabyte, which is as much as gossip should carry.
    pub const MAX: Self = Self(65_536);

    /// A checked count: fails unless it is a power of two from [`Self::MIN`] to [`Self::MAX`].
    pub fn new(count: u32) -> Result<Self, InvalidPartitionCount> {
        let possible = count.is_power_of_two() && (Self::MIN.0..=Self::MAX.0).contains(&count);
        if !possible {
            return Err(InvalidPartitionCount { count });
        }
        Ok(Self(count))
    }

    /// Q as a number.
    pub fn count(self) -> u32 {
        self.0
    }

    /// Q as the length of a table with a row for each partition.
    pub fn rows(self) -> usize {
        usize::try_from(self.0).expect("a usize holds 32 bits")
    }

    /// log2 Q: how many leading bits of a position name its partition. From 3 to 16.
    pub fn bits(self) -> u32 {
        self.0.trailing_zeros()
    }

    /// The partition that a position lies in: the top [`Self::bits`] bits of it.
    pub fn partition_of(self, position: Position) -> Partition {
        let top = position.0 >> (u128::BITS - self.bits());
        Partition(u32::try_from(top).expect("at most 16 bits are left"))
    }

    /// The positions of a partition, both ends included.
    ///
    /// Panics if the partition is not one of this ring's.
    pub fn arc(self, partition: Partition) -> RangeInclusive<Position> {
        assert!(
            partition.0 < self.0,
            "partition {partition} is not one of {}",
            self.0
        );
        let width_bits = u128::BITS - self.bits();
        let start = u128::from(partition.0) << width_bits;
        let end = start | (u128::MAX >> self.bits());
        Position(start)..=Position(end)
    }

    /// All partitions, clockwise from position 0.
    pub fn partitions(self) -> impl ExactSizeIterator<Item = Partition> + DoubleEndedIterator {
        (0..self.0).map(Partition)
    }
}

impl Default for PartitionCount {
    /// 256: good for up to 25 nodes.
    fn default() -> Self {
        Self(256)
    }
}

impl TryFrom<u32> for PartitionCount {
    type Error = InvalidPartitionCount;

    fn try_from(count: u32) -> Result<Self, InvalidPartitionCount> {
        Self::new(count)
    }
}

impl fmt::Display for PartitionCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_the_md5_of_the_names_with_their_lengths() {
        // printf '\0\0\0\7default\0\0\0\5carts\0\0\0\5alice' | md5sum
        let position = Position::of(b"default", b"carts", b"alice");
        assert_eq!(position.to_string(), "ec0ef084e07a6bbcc04c50aebd152a0e");
    }

    #[test]
    fn names_that_run_together_do_not_collide() {
        let positions = [
            Position::of(b"ab", b"c", b"d"),
            Position::of(b"a", b"bc", b"d"),
            Position::of(b"a", b"b", b"cd"),
            Position::of(b"", b"abc", b"d"),
            Position::of(b"abcd", b"", b""),
        ];
        for (index, position) in positions.iter().enumerate() {
            assert!(!positions[..index].contains(position));
        }
    }

    #[test]
    fn only_powers_of_two_from_8_to_65536_are_counts() {
        for count in [0, 1, 2, 4, 7, 9, 100, 255, 257, 131_072, u32::MAX] {
            assert_eq!(
                PartitionCount::new(count),
                Err(InvalidPartitionCount { count })
            );
        }
        for bits in 3..=16 {
            let count = PartitionCount::new(1 << bits).expect("a power of two within bounds");
            assert_eq!((count.count(), count.bits()), (1 << bits, bits));
        }
        assert_eq!(PartitionCount::default().count(), 256);
    }

    #[test]
    fn the_arcs_cover_the_circle_without_gap_or_overlap() {
        for bits in [3, 8, 16] {
            let count = PartitionCount::new(1 << bits).expect("within bounds");
            let mut next = 0_u128;
            for partition in count.partitions() {
                let (start, end) = count.arc(partition).into_inner();
                assert_eq!(start.0, next);
                assert_eq!(count.partition_of(start), partition);
                assert_eq!(count.partition_of(end), partition);
                next = end.0.wrapping_add(1);
            }
            assert_eq!(next, 0, "the last arc ends where the first begins");
        }
    }

    #[test]
    #[should_panic(expected = "not one of 8")]
    fn there_is_no_arc_past_the_last_partition() {
        let arc = PartitionCount::MIN.arc(Partition(8));
        assert!(arc.is_empty(), "not reached");
    }
}
