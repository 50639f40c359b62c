//! Which keys are summed up together: classes within a leaf.
//!
//! A leaf is an arc of the ring, and not all keys of an arc have the same homes: a bucket may have another number of replicas. So there
//! is a sum for each *class* of keys in a leaf. Which bucket is in which class the host says, and may say otherwise at any time.
//!
//! Sums are residues: whatever they are called, all classes of a leaf together are the sum of its objects, and stay so. What a
//! new sorting changes is only where the shares belong. Where every bucket of a class goes to one and the same class,
//! its sum goes there as a whole. Where a class falls apart, nobody knows which part of its sum is whose: its leaves are *unsorted* from
//! then on, and their classes say nothing until the objects there have been counted. Nothing of that has to be written down by itself: an
//! opening finds the pages and the sorting by which they were made in one row each of one batch, and the host says again what it
//! wants.
//!
//! Not here: what a class is for.

use bytes::{Buf, BufMut};
use ringhold_core::ring::Class;
use std::collections::{BTreeMap, BTreeSet};

/// What stands for a bucket: a hash of its names, by a key that clients don't know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BucketTag(pub u64);

/// The class of every bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sorting {
    /// Those that are not in the default class.
    buckets: BTreeMap<BucketTag, Class>,
}

impl Sorting {
    /// All buckets but these are in the default class.
    #[must_use]
    pub fn new(buckets: impl IntoIterator<Item = (BucketTag, Class)>) -> Self {
        let buckets = buckets.into_iter();
        let others = buckets.filter(|(_, class)| *class != Class::DEFAULT);
        Self {
            buckets: others.collect(),
        }
    }

    /// The class of a bucket.
    #[must_use]
    pub fn of(&self, bucket: BucketTag) -> Class {
        let class = self.buckets.get(&bucket).copied();
        class.unwrap_or(Class::DEFAULT)
    }

    /// Whether all keys are in the default class.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.buckets.is_empty()
    }

    /// Where all that is in a class goes by another sorting; none if it falls apart.
    pub(super) fn fate(&self, class: Class, next: &Self) -> Option<Class> {
        #[cfg(feature = "known-bad")]
        if crate::known_bad::is(crate::known_bad::Variant::SortedByTheOldMap) {
            return Some(class);
        }
        if class == Class::DEFAULT {
            let mut listed = next.buckets.keys();
            let stays = listed.all(|bucket| self.buckets.contains_key(bucket));
            return stays.then_some(Class::DEFAULT);
        }
        let members = self.buckets.iter().filter(|(_, of)| **of == class);
        let fates: BTreeSet<Class> = members.map(|(bucket, _)| next.of(*bucket)).collect();
        match fates.len() {
            1 => fates.first().copied(),
            _ => None,
        }
    }

    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        for (bucket, class) in &self.buckets {
            bytes.put_u64_le(bucket.0);
            bytes.put_u16_le(class.0);
        }
    }

    /// None if these are no sorting's bytes.
    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut sorting = Self::default();
        while !bytes.is_empty() {
            let bucket = BucketTag(bytes.try_get_u64_le().ok()?);
            let class = Class(bytes.try_get_u16_le().ok()?);
            sorting.buckets.insert(bucket, class);
        }
        Some(sorting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorting(buckets: &[(u64, u16)]) -> Sorting {
        Sorting::new(buckets.iter().map(|(b, c)| (BucketTag(*b), Class(*c))))
    }

    #[test]
    fn a_class_whose_buckets_stay_together_goes_as_a_whole() {
        let before = sorting(&[(1, 5), (2, 5), (3, 7)]);
        let fates = |next: &[(u64, u16)]| {
            let next = sorting(next);
            [0, 5, 7].map(|class| before.fate(Class(class), &next).map(|class| class.0))
        };
        assert_eq!(
            fates(&[(1, 5), (2, 5), (3, 7)]),
            [Some(0), Some(5), Some(7)]
        );
        assert_eq!(
            fates(&[(1, 9), (2, 9), (3, 9)]),
            [Some(0), Some(9), Some(9)]
        );
        assert_eq!(fates(&[(1, 5), (2, 7), (3, 7)]), [Some(0), None, Some(7)]);
        assert_eq!(fates(&[(1, 5), (2, 5)]), [Some(0), Some(5), Some(0)]);
        assert_eq!(
            fates(&[(1, 5), (2, 5), (3, 7), (4, 7)]),
            [None, Some(5), Some(7)],
            "what is new on the list was in the default class"
        );
        assert_eq!(fates(&[]), [Some(0), Some(0), Some(0)]);
    }

    #[test]
    fn a_sorting_reads_back() {
        let sorting = sorting(&[(1, 5), (u64::MAX, 0x305)]);
        let mut bytes = Vec::new();
        sorting.encode(&mut bytes);
        assert_eq!(Sorting::decode(&bytes), Some(sorting));
        assert_eq!(Sorting::decode(&bytes[1..]), None);
        assert_eq!(Sorting::decode(&[]), Some(Sorting::default()));
    }
}
