//! What this node's objects add to the leaves of its hash trees (§4.7), and to its indexes.
//!
//! The store keeps the sums, true to its records through any crash, and does not know what a record means. Here
//! is what it asks: which leaf sizes the cluster's trees have, the digest of a record, and which of the classes of keys that are
//! compared with different homes it belongs to. A record that does not
//! decode counts for nothing, like one that cannot be read: replicas that have it will look different, and
//! bring it back.

use crate::coverage::rows_of;
use bytes::Bytes;
use ringhold_core::ring::{Class, PartitionCount};
use ringhold_core::tree::{Digest, LEAF_BITS, TreeKey, TreeTag};
use ringhold_storage::{BucketTag, RowKey, Sorting, StorageKey, Summarize};
use ringhold_wire::record::Record;

/// The digests of a cluster's records.
#[derive(Clone, Debug)]
pub struct RecordDigests {
    key: TreeKey,
    partitions: PartitionCount,
}

impl RecordDigests {
    /// Digests with the cluster's key, in the trees of a ring with so many partitions.
    #[must_use]
    pub fn new(key: TreeKey, partitions: PartitionCount) -> Self {
        Self { key, partitions }
    }
}

impl Summarize for RecordDigests {
    fn tag(&self) -> TreeTag {
        self.key.tag()
    }

    fn leaf_bits(&self) -> u32 {
        self.partitions.bits() + LEAF_BITS
    }

    fn digest(&self, key: &StorageKey, value: &Bytes) -> Option<Digest> {
        let sorted = self.sorted(key, value, &Sorting::default());
        sorted.map(|(_, digest)| digest)
    }

    fn rows(&self, key: &StorageKey, value: &Bytes) -> Vec<(RowKey, Bytes)> {
        let record = Record::decode(value.clone());
        record.map_or_else(
            |_| Vec::new(),
            |record| rows_of(key, &record, self.partitions.bits()),
        )
    }

    fn sorted(&self, _: &StorageKey, value: &Bytes, sorting: &Sorting) -> Option<(Class, Digest)> {
        let Record { name, object, .. } = Record::decode(value.clone()).ok()?;
        let digest = self
            .key
            .digest(&name.bucket_type, &name.bucket, &name.key, &object)?;
        if sorting.is_plain() {
            return Some((Class::DEFAULT, digest));
        }
        // As a ring names a type: by a bucket without a name.
        let tag = |bucket: &[u8]| BucketTag(self.key.bucket(&name.bucket_type, bucket));
        Some((sorting.of(tag(&name.bucket), || tag(b"")), digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringhold_core::id::Incarnation;
    use ringhold_core::version::{Actor, Context, Dot, KeyEpoch, LiveEpoch, Object};
    use ringhold_wire::message::ObjectName;

    fn record(seen: u64) -> Record {
        let mut context = Context::new();
        let actor = Actor {
            incarnation: Incarnation(1),
            epoch: KeyEpoch(1),
        };
        context.observe(Dot {
            actor,
            counter: seen,
        });
        Record {
            name: ObjectName {
                bucket_type: "default".into(),
                bucket: "carts".into(),
                key: "alice".into(),
            },
            live: None,
            object: Object::from_parts(context, Vec::new()).expect("no versions"),
        }
    }

    #[test]
    fn what_is_local_to_a_store_does_not_count() {
        let digests = RecordDigests::new(TreeKey::new(&[1; 32]), PartitionCount::default());
        let digest = |record: &Record| digests.digest(&StorageKey::FIRST, &record.encode());
        let live = LiveEpoch {
            epoch: KeyEpoch(1),
            counter: 2,
        };
        let with_mark = Record {
            live: Some(live),
            ..record(2)
        };
        assert!(digest(&record(2)).is_some());
        assert_eq!(digest(&record(2)), digest(&with_mark));
        assert_ne!(digest(&record(2)), digest(&record(3)));
        let absent = Record {
            object: Object::new(),
            ..record(2)
        };
        assert_eq!(digest(&absent), None);
        let no_record = Bytes::from_static(b"no record");
        assert_eq!(digests.digest(&StorageKey::FIRST, &no_record), None);
    }
}
