//! What a home answers to those who compare their hash trees with its own.
//!
//! Nobody is answered whose tree is made with something else, or for other homes ([`TreeBasis`]); a node that is no home
//! of a partition answers nobody about it (T13). Lists are bounded, so an answer is an answer to the first part of what
//! was asked, and the asker goes on from there.

use super::Exchange;
use crate::env::Deadline;
use crate::gather::breath;
#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::node::Node;
use ringhold_core::ring::Partition;
use ringhold_core::tree::{
    FANOUT, Leaf, LeafSum, NodeHash, Tree, TreeBasis, leaf_arc, leaves_of_partition,
};
use ringhold_core::version::Object;
use ringhold_storage::{KeyRange, Keyspace};
use ringhold_wire::message::ObjectName;
use ringhold_wire::message::peer::{
    LeafEntry, LeafKeys, LeavesRequest, MendRequest, Mended, MergeRequest, Refusal,
};
use ringhold_wire::record::Record;
use std::fmt;
use std::sync::Arc;

/// Keys after which a list ends with the leaf that it is at.
const LISTED_KEYS: usize = 4_096;
/// Keys of one leaf that are listed. A leaf with more is left alone, and said so.
const LEAF_KEYS_MAX: usize = 65_536;
/// Bytes of values after which an answer with several objects ends.
pub(super) const OBJECTS_BYTES: usize = 1 << 20;
/// How long one request to mend is worked on, in microseconds, if there is as much time.
const MEND_US: u64 = 20_000_000;

/// A refusal in words.
pub(super) struct Refused(pub(super) Refusal);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Refusal::Overloaded => "overloaded",
            Refusal::Expired => "its turn came too late",
            Refusal::StoreFailed => "its store has failed",
            Refusal::Unreadable => "its store can't be read",
            Refusal::Rebuilding => "rebuilding",
            Refusal::Malformed => "it is no primary of this partition, or speaks otherwise",
            Refusal::PlacementBehind => "it knows a newer placement",
            Refusal::PlacementUnknown => "it knows an older placement only",
            Refusal::NotAMember => "this node is no member to it",
            Refusal::Starting => "it is starting",
            Refusal::DiskFull => "its disk is nearly full",
            Refusal::OlderProtocol => "it speaks an older protocol",
            Refusal::OtherBasis => "its hash trees are made otherwise, or its ring is another",
        })
    }
}

impl Node {
    /// What the tree of a partition is made with here, and for whom.
    pub(super) fn tree_basis(&self, partition: Partition) -> TreeBasis {
        let ring = self.ring();
        let document = ring.document();
        TreeBasis::new(
            self.tree_key.tag(),
            document.cluster_id,
            document.placement.placement_number,
            partition,
            &self.homes_of_partition(partition),
        )
    }

    /// The hash of all that this store has of a partition.
    pub(crate) fn root_of(&self, partition: Partition) -> u128 {
        self.tree(partition).root().0
    }

    /// The hash tree of a partition as it is in this store.
    pub(super) fn tree(&self, partition: Partition) -> Tree {
        Tree::new(self.store().leaf_sums(leaves_of_partition(partition)))
    }

    /// A partition of which this node is a home.
    pub(crate) fn own(&self, partition: u32) -> Result<Partition, Refusal> {
        let is_one = partition < self.ring().partition_count().count();
        let is_home = is_one
            && self
                .homes_of_partition(Partition(partition))
                .contains(&self.id);
        #[cfg(feature = "known-bad")]
        let is_home = is_home || (is_one && known_bad::is(Variant::ExchangeWithFallback));
        is_home
            .then_some(Partition(partition))
            .ok_or(Refusal::Malformed)
    }

    /// A partition of which this node is a home, and whose tree may be compared with the asker's.
    pub(super) fn own_tree(&self, partition: u32, theirs: TreeBasis) -> Result<Partition, Refusal> {
        let partition = self.own(partition)?;
        let ours = self.tree_basis(partition);
        if ours != theirs {
            self.metrics.exchanges_refused.add(1);
            tracing::warn!(
                partition = partition.0,
                same_digests = ours.tag == theirs.tag,
                "a comparison was refused: the other end's hash tree is made otherwise, or for other nodes"
            );
            return Err(Refusal::OtherBasis);
        }
        Ok(partition)
    }

    pub(crate) fn branches(
        &self,
        basis: TreeBasis,
        partition: u32,
    ) -> Result<[NodeHash; FANOUT], Refusal> {
        Ok(self.tree(self.own_tree(partition, basis)?).branches())
    }

    pub(crate) fn leaves(
        &self,
        basis: TreeBasis,
        partition: u32,
        branches: u32,
    ) -> Result<Vec<[LeafSum; FANOUT]>, Refusal> {
        let tree = self.tree(self.own_tree(partition, basis)?);
        let branches = (0..FANOUT).filter(|branch| branches & 1 << branch != 0);
        Ok(branches.map(|branch| tree.leaves_of(branch)).collect())
    }

    pub(crate) async fn listed_leaves(&self, request: LeavesRequest) -> Result<LeafKeys, Refusal> {
        let partition = self.own_tree(request.partition, request.basis)?;
        let mut keys = LeafKeys {
            leaves: 0,
            entries: Vec::new(),
        };
        for leaf in request.leaves {
            let leaf = Leaf::new(leaf).ok_or(Refusal::Malformed)?;
            keys.entries.append(&mut self.leaf_keys(partition, leaf)?);
            keys.leaves += 1;
            if keys.entries.len() >= LISTED_KEYS {
                break;
            }
            breath().await;
        }
        Ok(keys)
    }

    /// The keys of a leaf with their digests. Records that can't be read are left out, so they differ.
    pub(super) fn leaf_keys(
        &self,
        partition: Partition,
        leaf: Leaf,
    ) -> Result<Vec<LeafEntry>, Refusal> {
        let arc = leaf_arc(self.ring().partition_count(), partition, leaf);
        let mut range = KeyRange::of_positions(arc.start().0..=arc.end().0);
        let mut entries = Vec::new();
        loop {
            let read = self.store().readable(Keyspace::Objects, &range, 1_000);
            let read = read.map_err(|_| Refusal::StoreFailed)?;
            for (_, row) in read.rows {
                let Ok(Record { name, object, .. }) = Record::decode(row) else {
                    continue;
                };
                let digest =
                    self.tree_key
                        .digest(&name.bucket_type, &name.bucket, &name.key, &object);
                let digest = digest.map_or(0, |digest| digest.0);
                entries.push(LeafEntry { name, digest });
            }
            match read.next {
                Some(next) if entries.len() < LEAF_KEYS_MAX => range.start = next,
                Some(_) => {
                    let keys = entries.len();
                    tracing::warn!(keys, "a leaf has too many keys to be listed");
                    return Err(Refusal::Overloaded);
                }
                None => return Ok(entries),
            }
        }
    }

    /// The objects of the first of these names.
    pub(crate) fn fetch_many(&self, names: &[ObjectName]) -> Vec<Result<Object, Refusal>> {
        let mut objects = Vec::new();
        let mut bytes = 0;
        for name in names {
            let object = self.replica.fetch(name);
            bytes += object.as_ref().map_or(0, Object::value_bytes);
            objects.push(object);
            if bytes >= OBJECTS_BYTES {
                break;
            }
        }
        objects
    }

    /// Merges objects into this replica; the flush of those that were taken is behind them.
    pub(crate) async fn merge_many(
        &self,
        objects: Vec<(ObjectName, Object)>,
        deadline: Deadline,
    ) -> Vec<Result<(), Refusal>> {
        let merges = objects.into_iter().map(|(name, object)| {
            let kept = self.kept(&name);
            let flushed = true;
            let merge = MergeRequest {
                name,
                object,
                flushed,
            };
            (merge, kept)
        });
        let merged = self.replica.merge_all(merges.collect(), deadline).await;
        merged.into_iter().map(|merged| merged.map(drop)).collect()
    }

    /// Mends what differs between this home and another in some leaves, as far as the time goes.
    pub(crate) async fn mend_with(
        self: &Arc<Self>,
        request: MendRequest,
        deadline: Deadline,
    ) -> Result<Mended, Refusal> {
        let MendRequest { with, at } = request;
        let partition = self.own_tree(at.partition, at.basis)?;
        if with == self.id || !self.homes_of_partition(partition).contains(&with) {
            return Err(Refusal::Malformed);
        }
        let left_us = deadline.left_us(&*self.environment);
        let until = Deadline::after(&*self.environment, MEND_US.min(left_us / 2));
        let exchange = Exchange::new(self, partition, with);
        let mended = exchange.mend_what_differs(&at.leaves, until).await;
        Ok(mended)
    }
}
