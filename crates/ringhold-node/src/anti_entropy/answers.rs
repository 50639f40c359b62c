//! What a home answers to those who compare their hash trees with its own.
//!
//! Nobody is answered whose tree is made with something else, or for other homes ([`TreeBasis`]); a node that is no home
//! of a tree's keys answers nobody about it (T13), and one that has still to tell them from others answers nobody yet. Lists are bounded, so an answer is an answer to the first part of what
//! was asked, and the asker goes on from there.

use super::Exchange;
use crate::env::Deadline;
use crate::gather::breath;
#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::node::Node;
use ringhold_core::ring::{Class, Partition, TreeId};
use ringhold_core::tree::{FANOUT, Leaf, LeafSum, NodeHash, TreeBasis, leaf_arc};
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
            Refusal::Sorting => "it is still sorting its keys into hash trees",
            Refusal::OlderProtocol => "it speaks an older protocol",
            Refusal::OtherBase => "it holds something else",
            Refusal::OtherBasis => "its hash trees are made otherwise, or its ring is another",
        })
    }
}

impl Node {
    /// What a tree is made with here, and for whom.
    pub(super) fn tree_basis(&self, tree: TreeId) -> TreeBasis {
        let ring = self.ring();
        let document = ring.document();
        TreeBasis::new(
            self.tree_key.tag(),
            document.cluster_id,
            document.placement.placement_number,
            tree,
            ring.homes_of(tree),
        )
    }

    /// A tree of whose keys this node is a home.
    pub(crate) fn own(&self, partition: u32, class: Class) -> Result<TreeId, Refusal> {
        let is_one = partition < self.ring().partition_count().count();
        let partition = Partition(partition);
        let tree = TreeId { partition, class };
        let is_home = is_one && self.homes_of(tree).contains(&self.id);
        #[cfg(feature = "known-bad")]
        let is_home = is_home || (is_one && known_bad::is(Variant::ExchangeWithFallback));
        is_home.then_some(tree).ok_or(Refusal::Malformed)
    }

    /// A tree of whose keys this node is a home, and which may be compared with the asker's.
    pub(super) fn own_tree(&self, partition: u32, theirs: TreeBasis) -> Result<TreeId, Refusal> {
        let tree = self.own(partition, theirs.class)?;
        let ours = self.tree_basis(tree);
        if ours != theirs {
            self.metrics.exchanges_refused.add(1);
            tracing::warn!(
                partition,
                same_digests = ours.tag == theirs.tag,
                "a comparison was refused: the other end's hash tree is made otherwise, or for other nodes"
            );
            return Err(Refusal::OtherBasis);
        }
        Ok(tree)
    }

    pub(crate) fn branches(
        &self,
        basis: TreeBasis,
        partition: u32,
    ) -> Result<[NodeHash; FANOUT], Refusal> {
        let tree = self.tree(self.own_tree(partition, basis)?);
        Ok(tree.ok_or(Refusal::Sorting)?.branches())
    }

    pub(crate) fn leaves(
        &self,
        basis: TreeBasis,
        partition: u32,
        branches: u32,
    ) -> Result<Vec<[LeafSum; FANOUT]>, Refusal> {
        let tree = self.tree(self.own_tree(partition, basis)?);
        let tree = tree.ok_or(Refusal::Sorting)?;
        let branches = (0..FANOUT).filter(|branch| branches & 1 << branch != 0);
        Ok(branches.map(|branch| tree.leaves_of(branch)).collect())
    }

    pub(crate) async fn listed_leaves(&self, request: LeavesRequest) -> Result<LeafKeys, Refusal> {
        let tree = self.own_tree(request.partition, request.basis)?;
        let mut keys = LeafKeys {
            leaves: 0,
            entries: Vec::new(),
        };
        for leaf in request.leaves {
            let leaf = Leaf::new(leaf).ok_or(Refusal::Malformed)?;
            keys.entries.append(&mut self.leaf_keys(tree, leaf)?);
            keys.leaves += 1;
            if keys.entries.len() >= LISTED_KEYS {
                break;
            }
            breath().await;
        }
        Ok(keys)
    }

    /// The keys of a leaf with their digests. Records that can't be read are left out, so they differ.
    pub(super) fn leaf_keys(&self, tree: TreeId, leaf: Leaf) -> Result<Vec<LeafEntry>, Refusal> {
        let ring = self.ring();
        let arc = leaf_arc(ring.partition_count(), tree.partition, leaf);
        let mut range = KeyRange::of_positions(arc.start().0..=arc.end().0);
        let mut entries = Vec::new();
        loop {
            let read = self.store().readable(Keyspace::Objects, &range, 1_000);
            let read = read.map_err(|_| Refusal::StoreFailed)?;
            for (_, row) in read.rows {
                let Ok(Record { name, object, .. }) = Record::decode(row) else {
                    continue;
                };
                if Self::tree_of(&ring, &name) != tree {
                    continue;
                }
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
        let tree = self.own_tree(at.partition, at.basis)?;
        if with == self.id || !self.homes_of(tree).contains(&with) {
            return Err(Refusal::Malformed);
        }
        let left_us = deadline.left_us(&*self.environment);
        let until = Deadline::after(&*self.environment, MEND_US.min(left_us / 2));
        let exchange = Exchange::new(self, tree, with);
        let mended = exchange.mend_what_differs(&at.leaves, until).await;
        Ok(mended)
    }
}
