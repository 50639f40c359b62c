//! What two hash trees must have in common to be worth comparing (T13).
//!
//! Trees differ for ever if their digests are made with different keys or layouts, and compare what should not be
//! compared if the two ends disagree about whose the partition is: an owner of old, or a fallback, would be filled
//! with what is not its own. So whoever asks for a tree says what its own is made of, and gets nothing
//! where that is not the other's.
//!
//! Two keys of one partition may have different homes, where a bucket has an N of its own. So a basis names the
//! [class](crate::ring::replication) of the keys that its tree is over.

use super::digest::TreeTag;
use crate::id::{ClusterId, NodeId};
use crate::ring::{Class, TreeId};

/// What the tree of one partition is made with, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TreeBasis {
    /// The key and the layout of the digests.
    pub tag: TreeTag,
    /// Which keys of the partition the tree is over.
    pub class: Class,
    /// A hash of the cluster, the placement number, the partition and its primaries in their order.
    pub homes: u64,
}

impl TreeBasis {
    /// The basis of a partition's tree under one placement.
    #[must_use]
    pub fn new(
        tag: TreeTag,
        cluster: ClusterId,
        placement_number: u64,
        tree: TreeId,
        homes: &[NodeId],
    ) -> Self {
        let mut bytes = Vec::with_capacity(16 + 8 + 4 + 2 + homes.len() * 16);
        bytes.extend_from_slice(&cluster.0.to_be_bytes());
        bytes.extend_from_slice(&placement_number.to_be_bytes());
        bytes.extend_from_slice(&tree.partition.0.to_be_bytes());
        // As a release says it that knows one class only.
        if tree.class != Class::DEFAULT {
            bytes.extend_from_slice(&tree.class.0.to_be_bytes());
        }
        for home in homes {
            bytes.extend_from_slice(&home.0.to_be_bytes());
        }
        let homes = xxhash_rust::xxh3::xxh3_64(&bytes);
        let class = tree.class;
        Self { tag, class, homes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::Partition;

    #[test]
    fn everything_matters() {
        let homes = [NodeId(1), NodeId(2), NodeId(3)];
        let base = |tag, cluster, number, partition, homes: &[NodeId]| {
            TreeBasis::new(
                TreeTag(tag),
                ClusterId(cluster),
                number,
                TreeId {
                    partition: Partition(partition),
                    class: Class(7),
                },
                homes,
            )
        };
        let one = base(1, 1, 1, 1, &homes);
        assert_eq!(one, base(1, 1, 1, 1, &homes));
        let others = [
            base(2, 1, 1, 1, &homes),
            base(1, 2, 1, 1, &homes),
            base(1, 1, 2, 1, &homes),
            base(1, 1, 1, 2, &homes),
            base(1, 1, 1, 1, &homes[..2]),
            base(1, 1, 1, 1, &[NodeId(1), NodeId(3), NodeId(2)]),
        ];
        for other in others {
            assert_ne!(one, other);
        }
    }
}
