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
///
/// A bucket may be in a larger set of buckets, its type, which has a tag and may have a class as well: of all in it that are not listed themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sorting {
    /// Those whose class does not follow from anything else.
    listed: BTreeMap<BucketTag, Listed>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Listed {
    class: Class,
    /// The set that it is in; none if it is such a set.
    within: Option<BucketTag>,
}

impl Sorting {
    /// Of buckets, and of sets of them, each with the set that it is in and its class. All other buckets are in the default class.
    #[must_use]
    pub fn new(listed: impl IntoIterator<Item = (BucketTag, Option<BucketTag>, Class)>) -> Self {
        let listed = listed.into_iter();
        let listed = listed.map(|(tag, within, class)| (tag, Listed { class, within }));
        Self {
            listed: listed.collect(),
        }
    }

    /// The class of a bucket; `within` is the set that it is in.
    #[must_use]
    pub fn of(&self, bucket: BucketTag, within: impl FnOnce() -> BucketTag) -> Class {
        let found = self.listed.get(&bucket);
        let found = found.or_else(|| self.listed.get(&within()));
        found.map_or(Class::DEFAULT, |listed| listed.class)
    }

    /// Whether all keys are in the default class.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.listed.is_empty()
    }

    /// Where all that is in a class goes by another sorting; none if it falls apart.
    pub(super) fn fate(&self, class: Class, next: &Self) -> Option<Class> {
        #[cfg(feature = "known-bad")]
        if crate::known_bad::is(crate::known_bad::Variant::SortedByTheOldMap) {
            return Some(class);
        }
        // What neither of the two lists stays in the default class; what one of them lists goes from here to there, with all in it that is not listed.
        let of = |sorting: &Self, tag: BucketTag, within: Option<BucketTag>| {
            sorting.of(tag, || within.unwrap_or(tag))
        };
        let listed = self.listed.iter().chain(&next.listed);
        let here = listed.filter(|(tag, listed)| of(self, **tag, listed.within) == class);
        let there = here.map(|(tag, listed)| of(next, *tag, listed.within));
        let unlisted = (class == Class::DEFAULT).then_some(Class::DEFAULT);
        let fates: BTreeSet<Class> = there.chain(unlisted).collect();
        match fates.len() {
            1 => fates.first().copied(),
            _ => None,
        }
    }

    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        for (tag, Listed { class, within }) in &self.listed {
            bytes.put_u64_le(tag.0);
            bytes.put_u16_le(class.0);
            bytes.put_u8(within.is_some().into());
            bytes.put_u64_le(within.map_or(0, |within| within.0));
        }
    }

    /// None if these are no sorting's bytes.
    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut sorting = Self::default();
        while !bytes.is_empty() {
            let tag = BucketTag(bytes.try_get_u64_le().ok()?);
            let class = Class(bytes.try_get_u16_le().ok()?);
            let is_in = bytes.try_get_u8().ok()?;
            let within = BucketTag(bytes.try_get_u64_le().ok()?);
            let within = match is_in {
                0 => None,
                1 => Some(within),
                _ => return None,
            };
            sorting.listed.insert(tag, Listed { class, within });
        }
        Some(sorting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Buckets below 100 are in the sets 100 and 101, the even ones and the odd ones.
    fn sorting(buckets: &[(u64, u16)]) -> Sorting {
        Sorting::new(buckets.iter().map(|&(tag, class)| {
            let within = (tag < 100).then_some(BucketTag(100 + tag % 2));
            (BucketTag(tag), within, Class(class))
        }))
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
    fn what_is_in_a_set_goes_with_it_unless_it_is_listed() {
        let fate = |before: &[(u64, u16)], next: &[(u64, u16)], class: u16| {
            let fate = sorting(before).fate(Class(class), &sorting(next));
            fate.map(|class| class.0)
        };
        let set = |class| (100, class);
        assert_eq!(fate(&[], &[set(5)], 0), None, "the rest stays");
        assert_eq!(fate(&[set(5)], &[set(7)], 5), Some(7));
        assert_eq!(fate(&[set(5)], &[], 5), Some(0));
        assert_eq!(fate(&[set(5)], &[set(5), (2, 7)], 5), None);
        assert_eq!(
            fate(&[set(5)], &[set(5), (2, 7)], 0),
            Some(0),
            "bucket 2 was with its set"
        );
        assert_eq!(fate(&[set(5)], &[set(5), (1, 7)], 0), None);
        assert_eq!(fate(&[set(5)], &[set(5), (1, 7)], 5), Some(5));
        assert_eq!(
            fate(&[(2, 7), set(5)], &[set(5)], 7),
            Some(5),
            "bucket 2 goes to its set"
        );
        assert_eq!(fate(&[(2, 7), (1, 7), set(5)], &[set(5)], 7), None);
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
