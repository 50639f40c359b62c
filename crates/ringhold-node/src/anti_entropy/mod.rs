//! Replicas that find out what they differ in, and mend just that (§4.7).
//!
//! Every write reaches its homes by itself, or by a hint, or by a repair after a read. What all three have
//! missed (a lost hint holder, a disk that was put back from a copy, a record that rotted away) is found
//! here. For each partition of which it is a home, a node compares its hash tree with the tree of each other
//! home in turn:
//!
//! ```text
//! branches: 32 hashes → leaves of the branches that differ → wait → the same leaves again
//!   → keys and digests of the leaves that still differ → objects of the keys that differ, both ways, by merge
//! ```
//!
//! The wait is longer than a put may take, so that writes on their way are not mistaken for differences. It costs
//! 32 hashes where nothing differs, and otherwise what the difference costs. Both ends merge, so nothing is
//! decided here and a mistake could only cost work (T10).
//!
//! Only homes take part, both by their own ring (T13): what a fallback keeps is a hint's business. All buckets have
//! one N today; with several there will be a tree for each.

mod count;
mod look;
mod verify;

use crate::env::{Deadline, Environment};
use crate::gather::Gather;
#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::node::Node;
use crate::pages::readable_rows;
use crate::replica::Kept;
use ringhold_core::health::Work;
use ringhold_core::id::NodeId;
use ringhold_core::ring::Partition;
use ringhold_core::tree::{
    FANOUT, Leaf, LeafSum, NodeHash, Tree, TreeBasis, differing, leaves_of_partition,
};
use ringhold_storage::{KeyRange, Keyspace, StorageKey};
use ringhold_wire::message::ObjectName;
use ringhold_wire::message::peer::{LeafEntry, MergeRequest, Refusal, Reply, Request};
use ringhold_wire::record::Record;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Weak};
use tokio::sync::Semaphore;

pub use count::NotCounted;
pub use verify::{Agreement, Holds, Verdict, VerifyEvent};

/// How long one question may take, in microseconds.
const PATIENCE_US: u64 = 5_000_000;
/// Keys of one leaf that are listed. A leaf with more is left alone, and said so.
pub(crate) const LEAF_KEYS_MAX: usize = 65_536;
/// Exchanges under way at once, most of them waiting for their second look.
const EXCHANGES_MAX: usize = 64;
/// Objects on their way at once.
const OBJECTS_MAX: usize = 16;

/// How often and how patiently, in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two exchanges of this node; 0 for none at all.
    pub pause_us: u64,
    /// Between the first look at a leaf and the second. Longer than any put takes.
    pub settle_us: u64,
    /// Between two steps of the scrub, of 32 leaves each; 0 for none at all.
    pub scrub_us: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            pause_us: 200_000,
            settle_us: 12_000_000,
            // 8,192 steps for the default 256 partitions: once a week.
            scrub_us: 74_000_000,
        }
    }
}

/// Exchanges for as long as the node lives: each partition with each of its other homes, again and again.
pub(crate) async fn run(node: Weak<Node>, environment: Arc<dyn Environment>, pace: Pace) {
    #[cfg(feature = "known-bad")]
    if known_bad::is(Variant::NeverExchanges) {
        return;
    }
    if pace.pause_us == 0 {
        return;
    }
    let mut turn = 0;
    let under_way = Arc::new(Semaphore::new(EXCHANGES_MAX));
    loop {
        environment
            .sleep_until(environment.now_us().saturating_add(pace.pause_us))
            .await;
        let Some(node) = node.upgrade() else {
            return;
        };
        let pairs = pairs(&node);
        if pairs.is_empty() {
            return;
        }
        let (partition, peer) = pairs[turn % pairs.len()];
        turn += 1;
        if !node.is_reachable(peer) {
            continue;
        }
        // Where all are waiting for a second look, the next first look waits too.
        let Ok(permit) = Arc::clone(&under_way).acquire_owned().await else {
            return;
        };
        environment.spawn(Box::pin(async move {
            let exchange = Exchange {
                node: &node,
                partition,
                peer,
            };
            exchange.run(pace.settle_us).await;
            drop(permit);
        }));
    }
}

/// The partitions of which this node is a home, each with each other home.
fn pairs(node: &Node) -> Vec<(Partition, NodeId)> {
    let count = node.ring.partition_count().count();
    let mut pairs = Vec::new();
    for partition in (0..count).map(Partition) {
        let homes = node.homes_of_partition(partition);
        if homes.contains(&node.id) {
            let others = homes.into_iter().filter(|home| *home != node.id);
            pairs.extend(others.map(|other| (partition, other)));
        }
    }
    pairs
}

/// One comparison of one partition with one peer.
pub(crate) struct Exchange<'a> {
    pub(crate) node: &'a Arc<Node>,
    pub(crate) partition: Partition,
    pub(crate) peer: NodeId,
}

impl Exchange<'_> {
    /// Mends what differs in two looks. Ends early where the peer does not answer: the next turn comes.
    async fn run(&self, settle_us: u64) {
        let turn = self.node.background.turn(Work::Repair).await;
        let Some(first) = self.differing_leaves().await else {
            return;
        };
        drop(turn);
        self.node.metrics.exchanges.add(1);
        if first.is_empty() {
            return;
        }
        let environment = &self.node.environment;
        environment
            .sleep_until(environment.now_us().saturating_add(settle_us))
            .await;
        let Some(second) = self.differing_leaves().await else {
            return;
        };
        for leaf in second.intersection(&first) {
            self.mend(*leaf).await;
        }
    }

    async fn ask(&self, request: Request) -> Option<Reply> {
        let deadline = Deadline::after(&*self.node.environment, PATIENCE_US);
        self.node.call(self.peer, request, deadline).await.ok()
    }

    /// The leaves in which the two differ at this moment; none if the peer does not answer.
    pub(crate) async fn differing_leaves(&self) -> Option<BTreeSet<Leaf>> {
        let partition = self.partition.0;
        let Some(Reply::Branches(theirs)) = self.ask(Request::Branches { partition }).await else {
            return None;
        };
        let mut tree = self.node.tree(self.partition);
        let ours = tree.branches();
        let mut leaves = BTreeSet::new();
        for branch in differing(&ours, &theirs) {
            let number = u8::try_from(branch).expect("there are 32");
            let request = Request::Leaves {
                partition,
                branch: number,
            };
            let Some(Reply::Leaves(theirs)) = self.ask(request).await else {
                return None;
            };
            let differing = differing(&tree.leaves_of(branch), &theirs).into_iter();
            leaves.extend(differing.filter_map(|at| leaf_at(branch, at)));
        }
        Some(leaves)
    }

    /// Brings each end what the other has of the keys that differ.
    async fn mend(&self, leaf: Leaf) {
        let request = Request::LeafKeys {
            partition: self.partition.0,
            leaf: u16::try_from(leaf.index()).expect("there are 1,024"),
        };
        let Some(Reply::LeafKeys(theirs)) = self.ask(request).await else {
            return;
        };
        let Ok(ours) = self.node.leaf_keys(self.partition, leaf) else {
            return;
        };
        let map = |entries: Vec<LeafEntry>| -> BTreeMap<ObjectName, u128> {
            entries
                .into_iter()
                .map(|entry| (entry.name, entry.digest))
                .collect()
        };
        let (ours, theirs) = (map(ours), map(theirs));
        let names: BTreeSet<&ObjectName> = ours.keys().chain(theirs.keys()).collect();
        let differing: Vec<&ObjectName> = names
            .into_iter()
            .filter(|name| ours.get(*name) != theirs.get(*name))
            .collect();
        for some in differing.chunks(OBJECTS_MAX) {
            let _turn = self.node.background.turn(Work::Repair).await;
            self.pull(some.iter().filter(|name| theirs.contains_key(**name)))
                .await;
            self.push(some).await;
            self.node.metrics.keys_mended.add(some.len() as u64);
        }
    }

    async fn pull<'b>(&self, names: impl Iterator<Item = &'b &'b ObjectName>) {
        let deadline = Deadline::after(&*self.node.environment, PATIENCE_US);
        let mut calls = Gather::until(Arc::clone(&self.node.environment), deadline);
        for name in names {
            let request = Request::Fetch((*name).clone());
            calls.ask(
                (*name).clone(),
                self.node.call(self.peer, request, deadline),
            );
        }
        while let Some((name, reply)) = calls.next().await {
            let Ok(Reply::Fetched(object)) = reply else {
                continue;
            };
            let merge = MergeRequest {
                name,
                object,
                flushed: true,
            };
            // What is refused here differs the next time as well.
            self.node
                .replica
                .merge(merge, Kept::AsHome, deadline)
                .await
                .ok();
        }
    }

    async fn push(&self, names: &[&ObjectName]) {
        let deadline = Deadline::after(&*self.node.environment, PATIENCE_US);
        let mut calls = Gather::until(Arc::clone(&self.node.environment), deadline);
        for name in names {
            let Ok(object) = self.node.replica.fetch(name) else {
                continue;
            };
            if object.is_absent() {
                continue;
            }
            let request = Request::Merge(MergeRequest {
                name: (*name).clone(),
                object,
                flushed: true,
            });
            calls.ask((), self.node.call(self.peer, request, deadline));
        }
        while calls.next().await.is_some() {}
    }
}

fn leaf_at(branch: usize, at: usize) -> Option<Leaf> {
    Leaf::new(u16::try_from(branch * FANOUT + at).ok()?)
}

/// A refusal in words.
struct Refused(Refusal);

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
            Refusal::Starting => "it is starting",
            Refusal::OtherBasis => "its hash trees are made otherwise, or its ring is another",
        })
    }
}

impl Node {
    /// What the tree of a partition is made with here, and for whom.
    fn tree_basis(&self, partition: Partition) -> TreeBasis {
        let document = self.ring.document();
        TreeBasis::new(
            self.tree_key.tag(),
            document.cluster_id,
            document.placement.placement_number,
            partition,
            &self.homes_of_partition(partition),
        )
    }

    /// A partition of which this node is a home, and whose tree may be compared with the asker's (T13).
    fn own_tree(&self, partition: u32, theirs: TreeBasis) -> Result<Partition, Refusal> {
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

    /// The hash tree of a partition as it is in this store.
    fn tree(&self, partition: Partition) -> Tree {
        Tree::new(self.store().leaf_sums(leaves_of_partition(partition)))
    }

    /// What a peer asks of a partition's tree; refused if this node is no home of it.
    pub(crate) fn branches(&self, partition: u32) -> Result<[NodeHash; FANOUT], Refusal> {
        Ok(self.tree(self.own(partition)?).branches())
    }

    pub(crate) fn leaves(&self, partition: u32, branch: u8) -> Result<[LeafSum; FANOUT], Refusal> {
        let partition = self.own(partition)?;
        if usize::from(branch) >= FANOUT {
            return Err(Refusal::Malformed);
        }
        Ok(self.tree(partition).leaves_of(usize::from(branch)))
    }

    pub(crate) fn listed_leaf(&self, partition: u32, leaf: u16) -> Result<Vec<LeafEntry>, Refusal> {
        let partition = self.own(partition)?;
        self.leaf_keys(partition, Leaf::new(leaf).ok_or(Refusal::Malformed)?)
    }

    /// A partition of which this node is a home.
    pub(crate) fn own(&self, partition: u32) -> Result<Partition, Refusal> {
        let is_one = partition < self.ring.partition_count().count();
        let is_home = is_one
            && self
                .homes_of_partition(Partition(partition))
                .contains(&self.id);
        is_home
            .then_some(Partition(partition))
            .ok_or(Refusal::Malformed)
    }

    /// The keys of a leaf with their digests. Records that can't be read are left out, so they differ.
    fn leaf_keys(&self, partition: Partition, leaf: Leaf) -> Result<Vec<LeafEntry>, Refusal> {
        let count = self.ring.partition_count();
        let arc = ringhold_core::tree::leaf_arc(count, partition, leaf);
        let mut range = KeyRange {
            start: StorageKey::new(arc.start().0, 0),
            end: arc
                .end()
                .0
                .checked_add(1)
                .map(|next| StorageKey::new(next, 0)),
        };
        let mut entries = Vec::new();
        loop {
            let rows = readable_rows(self.store(), Keyspace::Objects, &range, 1_000);
            let (rows, next) = rows.map_err(|_| Refusal::StoreFailed)?;
            for (_, row) in &rows {
                let Ok(record) = Record::decode(row.clone()) else {
                    continue;
                };
                let Record { name, object, .. } = record;
                let digest =
                    self.tree_key
                        .digest(&name.bucket_type, &name.bucket, &name.key, &object);
                let digest = digest.map_or(0, |digest| digest.0);
                entries.push(LeafEntry { name, digest });
            }
            match next {
                Some(next) if entries.len() < LEAF_KEYS_MAX => range.start = next,
                Some(_) => {
                    tracing::warn!(
                        keys = entries.len(),
                        "a leaf has too many keys to be listed"
                    );
                    return Err(Refusal::Overloaded);
                }
                None => return Ok(entries),
            }
        }
    }
}
