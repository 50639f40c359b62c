//! What is stored under what: keyspaces, keys, ranges and changes.
//!
//! The ring is stored as it is walked. A key is the ring position of an object (16 bytes, big-endian)
//! followed by a keyed fingerprint of its names (16 bytes), so bytewise order is ring order: a
//! partition, a transfer and a Merkle leaf are each one contiguous range, and the ring can be split
//! without rewriting anything (§6.2 of the paper, strategy 3). The names themselves are inside the
//! value; a collision of fingerprints is the node's to notice.
//!
//! Values are opaque here. A change puts or removes one key or removes a range; a range has an
//! inclusive start and an exclusive end, where no end means "to the end of the ring", because the
//! position after the last one cannot be written in 16 bytes.

use std::fmt;
use std::ops::RangeInclusive;

use bytes::Bytes;

/// The address of a value: ring position (16 bytes, big-endian) ‖ fingerprint (16 bytes).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorageKey(pub [u8; 32]);

impl StorageKey {
    /// The least key there is.
    pub const FIRST: Self = Self([0; 32]);
    /// The greatest key there is.
    pub const LAST: Self = Self([u8::MAX; 32]);

    /// The key at a ring position with a fingerprint.
    #[must_use]
    pub fn new(position: u128, fingerprint: u128) -> Self {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&position.to_be_bytes());
        bytes[16..].copy_from_slice(&fingerprint.to_be_bytes());
        Self(bytes)
    }

    /// The ring position, the upper half.
    #[must_use]
    pub fn position(&self) -> u128 {
        self.halves().0
    }

    /// The fingerprint, the lower half.
    #[must_use]
    pub fn fingerprint(&self) -> u128 {
        self.halves().1
    }

    /// The next key, where a scan that returned this one resumes; none after the last.
    #[must_use]
    pub fn successor(&self) -> Option<Self> {
        let (position, fingerprint) = self.halves();
        match fingerprint.checked_add(1) {
            Some(next) => Some(Self::new(position, next)),
            None => Some(Self::new(position.checked_add(1)?, 0)),
        }
    }

    /// The key before this one; none before the first.
    #[must_use]
    pub fn predecessor(&self) -> Option<Self> {
        let (position, fingerprint) = self.halves();
        match fingerprint.checked_sub(1) {
            Some(previous) => Some(Self::new(position, previous)),
            None => Some(Self::new(position.checked_sub(1)?, u128::MAX)),
        }
    }

    /// The partition of this key where the ring has `2^partition_bits` of them.
    pub(crate) fn partition(&self, partition_bits: u32) -> u128 {
        self.position()
            .checked_shr(128 - partition_bits)
            .unwrap_or(0)
    }

    fn halves(&self) -> (u128, u128) {
        let (position, fingerprint) = self.0.split_at(16);
        let half = |bytes: &[u8]| u128::from_be_bytes(bytes.try_into().expect("half of 32 bytes"));
        (half(position), half(fingerprint))
    }
}

impl fmt::Debug for StorageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}‖{:032x}", self.position(), self.fingerprint())
    }
}

/// A sorted map of its own in the store. The number is on disk and never changes; 6 is that of [`rows`](crate::RowKey), whose
/// keys are of any length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Keyspace {
    /// Objects: contexts with their versions.
    Objects,
    /// Index rows of objects that are kept for others.
    Hints,
    /// Sums of the leaves of hash trees: the store's own, where it keeps them.
    Trees,
    /// Small records of the node; the store keeps its own at [`StorageKey::FIRST`].
    Meta,
    /// What the node remembers of the cluster's members, by their ids.
    Members,
}

impl Keyspace {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] = [
        Self::Objects,
        Self::Hints,
        Self::Trees,
        Self::Meta,
        Self::Members,
    ];

    /// The number on disk.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Objects => 1,
            Self::Hints => 2,
            Self::Trees => 3,
            Self::Meta => 4,
            Self::Members => 5,
        }
    }

    /// The keyspace of a number from disk.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|keyspace| keyspace.number() == number)
    }
}

/// A contiguous run of keys: from `start` up to but not including `end`, or to the last key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key that belongs to the range.
    pub start: StorageKey,
    /// The first key after the range; `None` where it reaches the end of the ring.
    pub end: Option<StorageKey>,
}

impl KeyRange {
    /// Every key.
    pub const ALL: Self = Self {
        start: StorageKey::FIRST,
        end: None,
    };

    /// From `start` up to but not including `end`.
    #[must_use]
    pub fn new(start: StorageKey, end: StorageKey) -> Self {
        Self {
            start,
            end: Some(end),
        }
    }

    /// From `start` to the end of the ring.
    #[must_use]
    pub fn from_start(start: StorageKey) -> Self {
        Self { start, end: None }
    }

    /// All keys at these ring positions, the last one included.
    #[must_use]
    pub fn of_positions(positions: RangeInclusive<u128>) -> Self {
        let (first, last) = positions.into_inner();
        Self {
            start: StorageKey::new(first, 0),
            end: last.checked_add(1).map(|next| StorageKey::new(next, 0)),
        }
    }

    /// All keys of one partition of a ring with `2^partition_bits` partitions.
    ///
    /// # Panics
    ///
    /// If the ring has no such partition.
    #[must_use]
    pub fn of_partition(partition: u32, partition_bits: u32) -> Self {
        assert!(partition_bits <= 32, "a ring has at most 2^32 partitions");
        assert!(
            u64::from(partition) < 1 << partition_bits,
            "no such partition"
        );
        let first = |partition: u128| match partition >> partition_bits {
            0 => partition.checked_shl(128 - partition_bits).or(Some(0)),
            _ => None,
        };
        let key = |position| StorageKey::new(position, 0);
        let start = first(u128::from(partition)).expect("checked above");
        Self {
            start: key(start),
            end: first(u128::from(partition) + 1).map(key),
        }
    }

    /// Whether the key belongs to the range.
    #[must_use]
    pub fn contains(&self, key: &StorageKey) -> bool {
        *key >= self.start && self.end.is_none_or(|end| *key < end)
    }

    /// Whether no key belongs to it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end.is_some_and(|end| end <= self.start)
    }

    /// Whether each key of `other` belongs to this range.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let ends_later = match (self.end, other.end) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(others)) => own >= others,
        };
        other.is_empty() || (self.start <= other.start && ends_later)
    }

    /// The last key that belongs to it; none if it is empty.
    pub(crate) fn last(&self) -> Option<StorageKey> {
        match self.end {
            _ if self.is_empty() => None,
            None => Some(StorageKey::LAST),
            Some(end) => end.predecessor(),
        }
    }
}

/// What happens to one key, or to a range of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The key has this value from now on.
    Put {
        /// Where it goes.
        key: StorageKey,
        /// The value; opaque here.
        value: Bytes,
    },
    /// The key has no value from now on.
    Remove {
        /// Which key.
        key: StorageKey,
    },
    /// No key of the range has a value from now on. Where there are several groups the range lies
    /// within one partition: another group's keys are not this writer's to remove.
    RemoveRange {
        /// Which keys.
        range: KeyRange,
    },
}

/// A change in a keyspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Where it happens.
    pub keyspace: Keyspace,
    /// What happens.
    pub change: Change,
}

impl Write {
    /// The key has this value from now on.
    #[must_use]
    pub fn put(keyspace: Keyspace, key: StorageKey, value: Bytes) -> Self {
        Self {
            keyspace,
            change: Change::Put { key, value },
        }
    }

    /// The key has no value from now on.
    #[must_use]
    pub fn remove(keyspace: Keyspace, key: StorageKey) -> Self {
        Self {
            keyspace,
            change: Change::Remove { key },
        }
    }

    /// No key of the range has a value from now on.
    #[must_use]
    pub fn remove_range(keyspace: Keyspace, range: KeyRange) -> Self {
        Self {
            keyspace,
            change: Change::RemoveRange { range },
        }
    }
}

/// How keys are dealt to the partition groups: by partition, modulo the number of groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grouping {
    /// How many groups, each with one writer.
    pub groups: usize,
    /// log2 of the number of partitions of the ring.
    pub partition_bits: u32,
}

impl Grouping {
    /// The group whose writer owns this key.
    #[must_use]
    pub fn group_of(&self, key: &StorageKey) -> usize {
        let groups = u128::try_from(self.groups).expect("a group count fits");
        let group = key.partition(self.partition_bits) % groups;
        usize::try_from(group).expect("less than the number of groups")
    }

    /// The group of the keys whose positions begin with these 32 bits.
    pub(crate) fn group_of_top(&self, top: u32) -> usize {
        self.group_of(&StorageKey::new(u128::from(top) << 96, 0))
    }

    /// The one group whose keys a range touches; none where it may touch several.
    pub(crate) fn group_of_range(&self, range: &KeyRange) -> Option<usize> {
        let last = range.last().unwrap_or(range.start);
        let one = self.groups == 1
            || range.start.partition(self.partition_bits) == last.partition(self.partition_bits);
        one.then(|| self.group_of(&range.start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_ring_order() {
        let key = StorageKey::new(1, u128::MAX);
        assert!(key < StorageKey::new(2, 0));
        assert_eq!(key.successor(), Some(StorageKey::new(2, 0)));
        assert_eq!(StorageKey::new(2, 0).predecessor(), Some(key));
        assert_eq!(StorageKey::LAST.successor(), None);
        assert_eq!(StorageKey::FIRST.predecessor(), None);
    }

    #[test]
    fn partitions_tile_the_ring() {
        for bits in [0, 1, 3, 8] {
            let mut start = StorageKey::FIRST;
            for partition in 0..(1 << bits) {
                let range = KeyRange::of_partition(partition, bits);
                assert_eq!(range.start, start);
                assert_eq!(range.start.partition(bits), u128::from(partition));
                let last = range.last().expect("no partition is empty");
                assert_eq!(last.partition(bits), u128::from(partition));
                start = range.end.unwrap_or(StorageKey::LAST);
            }
            assert_eq!(start, StorageKey::LAST, "the last partition has no end");
        }
    }

    #[test]
    fn a_range_within_a_partition_has_one_group() {
        let grouping = Grouping {
            groups: 3,
            partition_bits: 3,
        };
        assert_eq!(
            grouping.group_of_range(&KeyRange::of_partition(5, 3)),
            Some(2)
        );
        assert_eq!(grouping.group_of_range(&KeyRange::ALL), None);
        let single = Grouping {
            groups: 1,
            partition_bits: 3,
        };
        assert_eq!(single.group_of_range(&KeyRange::ALL), Some(0));
    }

    #[test]
    fn keyspace_numbers_are_fixed() {
        let numbers: Vec<u8> = Keyspace::ALL
            .iter()
            .map(|keyspace| keyspace.number())
            .collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5]);
        assert_eq!(Keyspace::from_number(0), None);
    }
}
