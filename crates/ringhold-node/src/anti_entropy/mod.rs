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
//! Only homes take part, both by their own ring (T13): what a fallback keeps is a hint's business. Buckets with another N
//! have other homes, so each partition has a tree for every N that some bucket has (`ringhold_core::ring::replication`).

mod answers;
mod count;
mod exchange;
mod look;
mod repair;
mod verify;

use crate::env::{Environment, alive_after};
#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::node::Node;
use ringhold_core::id::NodeId;
use ringhold_core::ring::TreeId;
use ringhold_wire::message::peer::Mended;
use std::sync::{Arc, Weak};
use tokio::sync::Semaphore;

pub use count::NotCounted;
pub(crate) use exchange::Exchange;
pub use repair::{RepairEvent, Repaired};
pub use verify::{Agreement, Holds, Verdict, VerifyEvent};

/// Exchanges under way at once, most of them waiting for their second look.
const EXCHANGES_MAX: usize = 64;

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
    while let Some(node) = alive_after(&node, &*environment, pace.pause_us).await {
        let pairs = pairs(&node);
        if pairs.is_empty() {
            continue;
        }
        let (tree, peer) = pairs[turn % pairs.len()];
        turn += 1;
        if !node.is_reachable(peer) {
            continue;
        }
        // Where all are waiting for a second look, the next first look waits too.
        let Ok(permit) = Arc::clone(&under_way).acquire_owned().await else {
            return;
        };
        environment.spawn(Box::pin(async move {
            node.exchange(tree, peer, pace.settle_us).await;
            drop(permit);
        }));
    }
}

impl Node {
    /// Compares a tree with that of another home of its keys, now, and mends what differs again after so many microseconds. Tells
    /// what that took.
    pub async fn exchange(self: &Arc<Self>, tree: TreeId, peer: NodeId, settle_us: u64) -> Mended {
        Exchange::new(self, tree, peer).run(settle_us).await
    }
}

/// The trees of whose keys this node is a home, each with each other home.
fn pairs(node: &Node) -> Vec<(TreeId, NodeId)> {
    let ring = node.ring();
    let mut pairs = Vec::new();
    for tree in ring.trees() {
        let homes = ring.homes_of(tree);
        if homes.contains(&node.id) {
            #[cfg(feature = "known-bad")]
            let homes = known_bad::homes_and_a_fallback(homes, || {
                ring.partition_preference_list(tree.partition)
            });
            let others = homes.iter().filter(|home| **home != node.id);
            pairs.extend(others.map(|other| (tree, *other)));
        }
    }
    pairs
}
