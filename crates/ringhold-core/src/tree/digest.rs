//! The digest of one object, as the leaves of a hash tree sum it up.
//!
//! It covers what two replicas with equal objects agree on and nothing else: the names, the context, and of
//! each version the dot, timestamp, operation, kind and content hash. So two objects have one digest if and
//! only if they are equal, and whatever makes replicas differ makes their leaves differ; what is local to a
//! store, such as its right to go on counting on the key, is not in it (T12). A key that was never written
//! has no digest, so a replica that keeps nothing of it agrees with one that keeps an empty record.
//!
//! BLAKE3 with a key that all members derive from the cluster's secret. Sums of digests are only as good as
//! the digests are unpredictable, and clients choose most of what goes in; members are trusted. Layout of what
//! is hashed, all integers big-endian:
//!
//! ```text
//! u8   1, the version of this layout
//! u64  length and bytes: bucket type, bucket, key
//! u64  entries of the context, each: u128 incarnation, u64 epoch, u64 counter
//! u64  versions, each: u128 incarnation, u64 epoch, u64 counter, u64 timestamp, u128 operation,
//!      u8 kind (0 tombstone, 1 value), u128 content hash
//! ```
//!
//! A change of this layout, or of the secret, makes all digests differ between nodes that know of it and nodes
//! that don't. Each key has a [`TreeTag`] therefore: sums with different tags are never compared.

use crate::version::{Dot, Object};

const VERSION: u8 = 1;
const KIND_TOMBSTONE: u8 = 0;
const KIND_VALUE: u8 = 1;

const DOT_BYTES: usize = 16 + 8 + 8;
const VERSION_BYTES: usize = DOT_BYTES + 8 + 16 + 1 + 16;

/// What an object adds to the sum of its leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub u128);

/// Names a key and a layout without giving the key away. Sums are comparable if their tags are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeTag(pub u64);

/// The key of the digests: the same on all members of a cluster, and nobody else's.
#[derive(Clone)]
pub struct TreeKey {
    key: [u8; 32],
    tag: TreeTag,
}

impl std::fmt::Debug for TreeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TreeKey({:016x})", self.tag.0)
    }
}

impl TreeKey {
    /// The key that follows from the cluster's secret.
    #[must_use]
    pub fn new(cluster_secret: &[u8; 32]) -> Self {
        let key = blake3::derive_key("ringhold hash trees, version 1", cluster_secret);
        let mut tag = [0; 8];
        blake3::Hasher::new_derive_key("ringhold hash trees, tag of a key, version 1")
            .update(&key)
            .update(&[VERSION])
            .finalize_xof()
            .fill(&mut tag);
        let tag = TreeTag(u64::from_be_bytes(tag));
        Self { key, tag }
    }

    /// What tells this key and layout from others.
    #[must_use]
    pub fn tag(&self) -> TreeTag {
        self.tag
    }

    /// What stands for a bucket where its name would be too long. Nobody without the key finds two buckets with one.
    #[must_use]
    pub fn bucket(&self, bucket_type: &[u8], bucket: &[u8]) -> u64 {
        let mut bytes = Vec::with_capacity(1 + 2 * 8 + bucket_type.len() + bucket.len());
        // No layout of an object begins so.
        bytes.push(0);
        for name in [bucket_type, bucket] {
            put_length(&mut bytes, name.len());
            bytes.extend_from_slice(name);
        }
        let hash = blake3::keyed_hash(&self.key, &bytes);
        let (first, _) = hash
            .as_bytes()
            .split_first_chunk()
            .expect("a hash has 32 bytes");
        u64::from_be_bytes(*first)
    }

    /// The digest of an object under its three names; none if the object is absent.
    #[must_use]
    pub fn digest(
        &self,
        bucket_type: &[u8],
        bucket: &[u8],
        key: &[u8],
        object: &Object,
    ) -> Option<Digest> {
        if object.is_absent() {
            return None;
        }
        let entries = object.context().entries();
        let names = bucket_type.len() + bucket.len() + key.len();
        let lists = entries.len() * DOT_BYTES + object.versions().len() * VERSION_BYTES;
        let mut bytes = Vec::with_capacity(1 + 5 * 8 + names + lists);
        bytes.push(VERSION);
        for name in [bucket_type, bucket, key] {
            put_length(&mut bytes, name.len());
            bytes.extend_from_slice(name);
        }
        put_length(&mut bytes, entries.len());
        for &(actor, counter) in entries {
            put_dot(&mut bytes, Dot { actor, counter });
        }
        put_length(&mut bytes, object.versions().len());
        for version in object.versions() {
            put_dot(&mut bytes, version.dot);
            bytes.extend_from_slice(&version.timestamp.0.to_be_bytes());
            bytes.extend_from_slice(&version.operation.0.to_be_bytes());
            bytes.push(if version.content.is_tombstone() {
                KIND_TOMBSTONE
            } else {
                KIND_VALUE
            });
            bytes.extend_from_slice(&version.hash.0.to_be_bytes());
        }
        let hash = blake3::keyed_hash(&self.key, &bytes);
        let (first, _) = hash
            .as_bytes()
            .split_first_chunk()
            .expect("a hash has 32 bytes");
        Some(Digest(u128::from_be_bytes(*first)))
    }
}

fn put_length(bytes: &mut Vec<u8>, length: usize) {
    bytes.extend_from_slice(&(length as u64).to_be_bytes());
}

fn put_dot(bytes: &mut Vec<u8>, dot: Dot) {
    bytes.extend_from_slice(&dot.actor.incarnation.0.to_be_bytes());
    bytes.extend_from_slice(&dot.actor.epoch.0.to_be_bytes());
    bytes.extend_from_slice(&dot.counter.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Incarnation, OperationId};
    use crate::version::{Actor, Content, Context, KeyEpoch, Timestamp, Version};
    use bytes::Bytes;

    fn dot(counter: u64) -> Dot {
        let actor = Actor {
            incarnation: Incarnation(3),
            epoch: KeyEpoch(2),
        };
        Dot { actor, counter }
    }

    /// One version at `counter`, changed by the caller, in a context that has seen `seen`.
    fn object(seen: u64, counter: u64, change: impl FnOnce(&mut Version)) -> Object {
        let mut context = Context::new();
        context.observe(dot(seen));
        let content = Content::Value {
            bytes: Bytes::from_static(b"milk"),
            metadata: Vec::new(),
        };
        let mut version = Version {
            dot: dot(counter),
            timestamp: Timestamp(7),
            operation: OperationId(8),
            hash: content.hash(),
            content,
        };
        change(&mut version);
        Object::from_parts(context, vec![version]).expect("one version, covered")
    }

    fn digest(object: &Object) -> Option<Digest> {
        TreeKey::new(&[9; 32]).digest(b"default", b"carts", b"alice", object)
    }

    #[test]
    fn whatever_makes_objects_differ_makes_digests_differ() {
        let nothing = |_: &mut Version| {};
        let base = object(2, 2, nothing);
        let mut seen_only = Context::new();
        seen_only.observe(dot(2));
        let others = [
            object(3, 2, nothing),
            object(2, 1, nothing),
            object(2, 2, |version| version.timestamp.0 += 1),
            object(2, 2, |version| version.operation.0 += 1),
            object(2, 2, |version| version.hash.0 += 1),
            object(2, 2, |version| version.content = Content::Tombstone),
            Object::from_parts(seen_only, Vec::new()).expect("no versions"),
        ];
        for other in &others {
            assert_ne!(digest(&base), digest(other), "{other:?}");
        }
        assert_eq!(digest(&base), digest(&base.clone()));
    }

    #[test]
    fn names_and_key_matter() {
        let object = object(1, 1, |_| {});
        let key = TreeKey::new(&[9; 32]);
        let base = key.digest(b"t", b"b", b"k", &object);
        let others = [
            key.digest(b"", b"tb", b"k", &object),
            key.digest(b"t", b"", b"bk", &object),
            key.digest(b"t", b"b", b"l", &object),
            TreeKey::new(&[8; 32]).digest(b"t", b"b", b"k", &object),
        ];
        for other in others {
            assert_ne!(base, other);
        }
        assert_ne!(TreeKey::new(&[8; 32]).tag(), key.tag());
    }

    #[test]
    fn an_absent_object_has_none() {
        assert_eq!(digest(&Object::new()), None);
    }

    /// Members of one cluster must agree on it across releases.
    #[test]
    fn layout_version_1_keeps_its_digests() {
        let digest = digest(&object(2, 2, |_| {})).expect("not absent");
        assert_eq!(
            format!("{:032x}", digest.0),
            "4f89ce9c639667ba50ae4805987242c5"
        );
        assert_eq!(
            format!("{:016x}", TreeKey::new(&[9; 32]).tag().0),
            "e747bedd12da3987"
        );
    }
}
