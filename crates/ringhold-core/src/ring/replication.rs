//! How many replicas a key has: the cluster's N, and buckets that have another one (§4.3, §4.5).
//!
//! N decides who is a home of a key, so it is part of the placement: numbered with it, agreed on with it, and changed as it is, over
//! a `next` that is taken into use when all who have to hold more do. Were it anything that spreads by itself, two nodes
//! would look for one key in different places (T13, T16).
//!
//! Keys are told apart by no more than that: a [`Class`] is all keys with one N now and one N to come. There is one hash tree for each
//! partition and class ([`TreeId`]), because two homes can compare only what both should have. Buckets without an N of
//! their own are one class whatever the cluster's N, those with one are in a class with all others of that N. So classes are few, and
//! when a change is over its class is merged into another by adding up sums; only a bucket that *begins* to change has to be told from
//! its class by looking at objects.
//!
//! A bucket type may have an N as well: of all its buckets that are not listed. It is listed like a bucket, one without a name
//! ([`BucketName::of_type`]), so all that is true of buckets on the list is true of it.
//!
//! Invariants: a bucket is listed only if its N is not the one that it would have otherwise, its type's or the cluster's; N is at least 1 and at most [`N_MAX`].
//!
//! Not here: which nodes those are (`preference`, `moves`), and the sums (the store).

use super::position::Partition;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// No key has more replicas.
pub const N_MAX: u8 = 16;
/// The paper's N, and nearly everybody's.
pub const N_DEFAULT: u8 = 3;
/// So many buckets and types may have an N of their own: each is in every node's ring document.
pub const BUCKETS_MAX: usize = 1_024;

/// A bucket, by its type and its own name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketName {
    pub bucket_type: Bytes,
    pub bucket: Bytes,
}

impl BucketName {
    /// What stands for those buckets of a type that say nothing themselves: clients can't name a bucket by nothing.
    #[must_use]
    pub fn of_type(bucket_type: &Bytes) -> Self {
        Self {
            bucket_type: bucket_type.clone(),
            bucket: Bytes::new(),
        }
    }

    /// Whether this stands for a type.
    #[must_use]
    pub fn is_type(&self) -> bool {
        self.bucket.is_empty()
    }
}

/// The N of every bucket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Replication {
    /// Of buckets that are not listed.
    pub default: u8,
    /// Of those that are, and of types; never what they would have otherwise.
    pub buckets: BTreeMap<BucketName, u8>,
}

impl Default for Replication {
    fn default() -> Self {
        Self {
            default: N_DEFAULT,
            buckets: BTreeMap::new(),
        }
    }
}

impl Replication {
    /// The N of a bucket.
    #[must_use]
    pub fn of(&self, bucket: &BucketName) -> u8 {
        let own = self.buckets.get(bucket).copied();
        own.unwrap_or_else(|| self.otherwise(bucket))
    }

    /// The N that a bucket has if it says nothing itself: its type's, or the cluster's.
    #[must_use]
    pub fn otherwise(&self, bucket: &BucketName) -> u8 {
        let of_type = BucketName::of_type(&bucket.bucket_type);
        let of_type = self.buckets.get(&of_type).filter(|_| !bucket.is_type());
        of_type.copied().unwrap_or(self.default)
    }

    /// Gives a bucket an N, or all buckets of a type that have none themselves.
    pub fn set(&mut self, bucket: &BucketName, n: u8) {
        if n == self.otherwise(bucket) {
            self.buckets.remove(bucket);
        } else {
            self.buckets.insert(bucket.clone(), n);
        }
        if bucket.is_type() {
            let is_in =
                |other: &BucketName| other.bucket_type == bucket.bucket_type && !other.is_type();
            self.buckets.retain(|other, own| !is_in(other) || *own != n);
        }
    }

    /// Whether nothing is listed that need not be.
    #[must_use]
    pub fn is_terse(&self) -> bool {
        let mut listed = self.buckets.iter();
        listed.all(|(bucket, n)| *n != self.otherwise(bucket))
    }
}

/// How many replicas some keys have, and how many they will have once the placement change under way is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Replicas {
    pub now: u8,
    /// As many as now if no change is under way.
    pub next: u8,
}

/// Keys that have, and will have, as many replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class(pub u16);

impl Class {
    /// The keys of buckets that are not listed, now or next, and whose types are not.
    pub const DEFAULT: Self = Self(0);

    fn of(replicas: Replicas) -> Self {
        Self(u16::from(replicas.now) << 8 | u16::from(replicas.next))
    }
}

/// The hash tree over the keys of one class in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeId {
    pub partition: Partition,
    pub class: Class,
}

/// Which buckets are in which class, under one placement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classes {
    default: Replicas,
    buckets: BTreeMap<BucketName, Class>,
    all: BTreeMap<Class, Replicas>,
}

impl Classes {
    /// With what is to come, if anything is.
    pub(super) fn new(now: &Replication, next: Option<&Replication>) -> Self {
        let next = next.unwrap_or(now);
        let default = Replicas {
            now: now.default,
            next: next.default,
        };
        let listed: BTreeSet<&BucketName> = now.buckets.keys().chain(next.buckets.keys()).collect();
        let mut all = BTreeMap::from([(Class::DEFAULT, default)]);
        let mut buckets = BTreeMap::new();
        for bucket in listed {
            let replicas = Replicas {
                now: now.of(bucket),
                next: next.of(bucket),
            };
            let class = Class::of(replicas);
            all.insert(class, replicas);
            buckets.insert(bucket.clone(), class);
        }
        Self {
            default,
            buckets,
            all,
        }
    }

    /// The class of a bucket's keys.
    #[must_use]
    pub fn of(&self, bucket_type: &Bytes, bucket: &Bytes) -> Class {
        if self.buckets.is_empty() {
            return Class::DEFAULT;
        }
        let mut bucket = BucketName {
            bucket_type: bucket_type.clone(),
            bucket: bucket.clone(),
        };
        if let Some(class) = self.buckets.get(&bucket) {
            return *class;
        }
        bucket.bucket = Bytes::new();
        self.buckets.get(&bucket).copied().unwrap_or(Class::DEFAULT)
    }

    /// The buckets and types whose class does not follow from anything else.
    pub fn buckets(&self) -> impl Iterator<Item = (&BucketName, Class)> {
        self.buckets.iter().map(|(bucket, class)| (bucket, *class))
    }

    /// Every class that a bucket is in, the default first.
    pub fn all(&self) -> impl Iterator<Item = Class> {
        self.all.keys().copied()
    }

    /// How many replicas a class has; none if no bucket is in it.
    #[must_use]
    pub fn replicas(&self, class: Class) -> Option<Replicas> {
        self.all.get(&class).copied()
    }

    /// How many replicas the keys of a bucket have.
    #[must_use]
    pub fn replicas_of(&self, bucket_type: &Bytes, bucket: &Bytes) -> Replicas {
        let class = self.of(bucket_type, bucket);
        self.all.get(&class).copied().unwrap_or(self.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(name: &'static str) -> BucketName {
        BucketName {
            bucket_type: "default".into(),
            bucket: name.into(),
        }
    }

    #[test]
    fn a_bucket_with_the_clusters_n_is_not_listed() {
        let mut replication = Replication::default();
        replication.set(&bucket("five"), 5);
        assert_eq!(replication.of(&bucket("five")), 5);
        assert_eq!(replication.of(&bucket("other")), 3);
        replication.set(&bucket("five"), 3);
        assert_eq!(replication, Replication::default());
    }

    #[test]
    fn buckets_of_one_n_are_one_class_and_a_bucket_that_changes_is_in_another() {
        let mut now = Replication::default();
        now.set(&bucket("a"), 5);
        now.set(&bucket("b"), 5);
        let of = |classes: &Classes, name| {
            let BucketName {
                bucket_type,
                bucket,
            } = bucket(name);
            (
                classes.of(&bucket_type, &bucket),
                classes.replicas_of(&bucket_type, &bucket),
            )
        };
        let still = Classes::new(&now, None);
        assert_eq!(of(&still, "a"), of(&still, "b"));
        assert_eq!(of(&still, "c").0, Class::DEFAULT);
        assert_eq!(still.all().count(), 2);
        let mut next = now.clone();
        next.set(&bucket("b"), 3);
        next.set(&bucket("c"), 2);
        let moving = Classes::new(&now, Some(&next));
        let replicas = |name| of(&moving, name).1;
        assert_eq!(replicas("a"), Replicas { now: 5, next: 5 });
        assert_eq!(replicas("b"), Replicas { now: 5, next: 3 });
        assert_eq!(replicas("c"), Replicas { now: 3, next: 2 });
        assert_eq!(replicas("d"), Replicas { now: 3, next: 3 });
        let over = Classes::new(&next, None);
        assert_eq!(of(&over, "b").0, Class::DEFAULT);
    }

    #[test]
    fn a_type_has_an_n_for_all_its_buckets_that_have_none() {
        let of_type = BucketName::of_type(&"default".into());
        let mut now = Replication::default();
        now.set(&bucket("four"), 4);
        now.set(&bucket("five"), 5);
        now.set(&of_type, 5);
        assert_eq!(now.buckets.len(), 2, "one bucket has what its type has");
        now.set(&bucket("three"), 3);
        let all = ["four", "five", "three", "other"];
        let of = |replication: &Replication| all.map(|name| replication.of(&bucket(name)));
        assert_eq!(of(&now), [4, 5, 3, 5]);
        assert!(now.is_terse());
        let elsewhere = BucketName {
            bucket_type: "carts".into(),
            bucket: "four".into(),
        };
        assert_eq!(now.of(&elsewhere), 3);
        let mut next = now.clone();
        next.set(&of_type, 3);
        assert_eq!(of(&next), [4, 3, 3, 3]);
        assert!(next.is_terse() && next.buckets.len() == 1);
        let classes = Classes::new(&now, Some(&next));
        let replicas = all.map(|name| {
            let Replicas { now, next } = classes.replicas_of(&"default".into(), &name.into());
            (now, next)
        });
        assert_eq!(replicas, [(4, 4), (5, 3), (3, 3), (5, 3)]);
    }
}
