//! What a node's store is told of its objects, for benches of the store alone: as much work as a node makes of it.
#![allow(dead_code, reason = "one of the benches keeps no rows")]

use bytes::Bytes;
use ringhold_core::id::{Incarnation, OperationId};
use ringhold_core::tree::{Digest, LEAF_BITS, TreeKey, TreeTag};
use ringhold_core::version::{Actor, Content, Context, Dot, KeyEpoch, Object, Timestamp, Version};
use ringhold_storage::{RowKey, StorageKey, StoreOptions, Summarize};

/// A digest of an object with two entries and one version, whatever the value says, and perhaps a row that repeats the key.
pub(crate) struct AsNode {
    key: TreeKey,
    object: Object,
    rows: bool,
}

impl AsNode {
    /// Sums alone.
    pub(crate) fn new() -> Self {
        let mut context = Context::new();
        let dots = [1, 2].map(|epoch| Dot {
            actor: Actor {
                incarnation: Incarnation(1),
                epoch: KeyEpoch(epoch),
            },
            counter: 1,
        });
        dots.iter().for_each(|dot| context.observe(*dot));
        let version = Version {
            dot: dots[0],
            timestamp: Timestamp(1),
            operation: OperationId(1),
            hash: Content::Tombstone.hash(),
            content: Content::Tombstone,
        };
        let object = Object::from_parts(context, vec![version]).expect("covered");
        let key = TreeKey::new(&[1; 32]);
        Self {
            key,
            object,
            rows: false,
        }
    }

    /// Sums, and an index row for each key.
    pub(crate) fn with_rows() -> Self {
        Self {
            rows: true,
            ..Self::new()
        }
    }
}

impl Summarize for AsNode {
    fn tag(&self) -> TreeTag {
        self.key.tag()
    }

    fn leaf_bits(&self) -> u32 {
        StoreOptions::default().partition_bits + LEAF_BITS
    }

    fn digest(&self, key: &StorageKey, _: &Bytes) -> Option<Digest> {
        self.key.digest(b"default", b"bench", &key.0, &self.object)
    }

    fn rows(&self, key: &StorageKey, _: &Bytes) -> Vec<(RowKey, Bytes)> {
        if !self.rows {
            return Vec::new();
        }
        let bits = StoreOptions::default().partition_bits;
        let tail = [&b"default\0bench\0$key\0"[..], &key.0].concat();
        let row = RowKey::new(key.position(), bits, &tail);
        vec![(row, Bytes::copy_from_slice(&key.0[..24]))]
    }
}
