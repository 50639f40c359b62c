//! The slow walk over everything: are the sums under the hash trees those of the objects (T12)?
//!
//! A sum follows every write, so it says what *should* be in the store. What has disappeared from the disk without
//! a write is still in the sum, and replicas that agree by their sums would never look. So every object is read
//! once in a while, its checksum verified on the way, and a leaf whose sum is wrong is set right. From
//! then on it differs from the other homes' leaf, and anti-entropy brings back what is missing. Leaves of which the store itself
//! knows that their sum is in doubt come first.

use crate::env::{Environment, alive_after};
#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::node::Node;
use ringhold_core::health::Work;
use ringhold_core::tree::{FANOUT, LEAVES};
use ringhold_storage::OnDifference;
use std::ops::Range;
use std::sync::{Arc, Weak};

/// Walks for as long as the node lives, a step each so many microseconds; not at all if 0.
pub(crate) async fn run(node: Weak<Node>, environment: Arc<dyn Environment>, pause_us: u64) {
    #[cfg(feature = "known-bad")]
    if known_bad::is(Variant::NeverScrubs) {
        return;
    }
    if pause_us == 0 {
        return;
    }
    let mut at = 0;
    while let Some(node) = alive_after(&node, &*environment, pause_us).await {
        let _turn = node.background.turn(Work::Scrub).await;
        let leaves = u64::from(node.ring().partition_count().count()) * LEAVES as u64;
        let end = at + FANOUT as u64;
        let doubtful = node.store().doubtful_leaves();
        for leaf in doubtful.into_iter().take(FANOUT) {
            scrub(&node, leaf..leaf + 1);
        }
        scrub(&node, at..end);
        at = end % leaves;
    }
}

/// Counts the objects of some leaves, and sets right the sums that say something else.
fn scrub(node: &Node, leaves: Range<u64>) {
    match node.store().recount(leaves, OnDifference::Repair) {
        Ok(recount) if recount.differences.is_empty() => {}
        Ok(recount) => {
            let leaves = recount.differences.len() as u64;
            tracing::warn!(
                leaves,
                "the store had lost or found objects without a write"
            );
            node.metrics.leaves_set_right.add(leaves);
        }
        Err(error) => tracing::warn!(%error, "a part of the store could not be scrubbed"),
    }
}
