//! How much this node holds, for estimates of what a placement change moves.
//!
//! Objects are counted by the sums of the hash trees, which cost nothing to read. Their size is a sample: positions are
//! hashes of names, so the first objects in the order of the ring are as good as any drawn by lot.
//!
//! Nothing is decided by these numbers.

use crate::node::Node;
use ringhold_core::ring::TreeId;
use ringhold_storage::{KeyRange, Keyspace, StorageKey};
use std::collections::BTreeMap;

/// Objects in the sample, and its bytes, after which it ends.
const SAMPLE_OBJECTS: u64 = 256;
const SAMPLE_BYTES: u64 = 4 << 20;
/// Rows that are read at a time.
const ROWS: usize = 16;

/// What a node holds of the keys of which it is a home.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stock {
    pub objects: BTreeMap<TreeId, u64>,
    /// Of an object with all that is stored with it; none without objects.
    pub mean_object_bytes: Option<u64>,
    /// So long a comer waits at least for puts that were under way when the change began, in microseconds.
    pub settle_us: u64,
}

impl Node {
    /// What this node holds at the moment.
    #[must_use]
    pub fn stock(&self) -> Stock {
        let ring = self.ring();
        let own = ring
            .trees()
            .filter(|tree| ring.homes_of(*tree).contains(&self.id));
        let counted = own.filter_map(|tree| {
            let sums = self.tree_sums(tree)?;
            Some((tree, sums.iter().map(|sum| sum.keys).sum()))
        });
        Stock {
            objects: counted.collect(),
            mean_object_bytes: self.sample_object_bytes(),
            settle_us: self.tuning.anti_entropy.settle_us,
        }
    }

    fn sample_object_bytes(&self) -> Option<u64> {
        let (mut objects, mut bytes) = (0, 0);
        let mut next = Some(StorageKey::FIRST);
        while let Some(start) = next.filter(|_| objects < SAMPLE_OBJECTS && bytes < SAMPLE_BYTES) {
            let range = KeyRange {
                start,
                ..KeyRange::ALL
            };
            let page = self
                .store()
                .readable(Keyspace::Objects, &range, ROWS)
                .ok()?;
            for (_, value) in &page.rows {
                objects += 1;
                bytes += value.len() as u64;
            }
            next = page.next;
        }
        (objects > 0).then(|| bytes / objects)
    }
}
