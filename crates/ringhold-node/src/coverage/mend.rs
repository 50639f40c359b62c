//! Are the index rows those of the objects? The slow walk over all of them, and the answer to who asks about a tree.
//!
//! Rows follow every write of their object, in its batch. What can part them is damage: an object that can't be read
//! leaves its rows when it is replaced, a row that can't be read is missing, and a log that lost a record has lost what that changed. And an
//! object that was written by a release without indexes has none: also a new value under the same entries leaves that so, since only
//! what a write changes is written.
//!
//! So at the scrub's pace everything is looked at ([`super::differences`]), and what differs is written again by the writer of the
//! key, from the object as it is then. An operator who does not want to wait for that verifies or repairs: then each home of a tree
//! is asked about that tree's keys, in as many requests as it takes, and answers for as long as its asker waits.

use super::differences::{Doubtful, Stretch};
use crate::env::{Deadline, Environment, alive_after};
use crate::gather::breath;
#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::node::Node;
use ringhold_core::health::Work;
use ringhold_core::ring::TreeId;
use ringhold_wire::message::index::{CheckRowsRequest, CheckedRows};
use ringhold_wire::message::peer::Refusal;
use std::sync::{Arc, Weak};

/// How long one answer is worked on, in microseconds, if there is as much time.
const WORK_US: u64 = 1_000_000;

/// Walks for as long as the node lives, a step each so many microseconds; not at all if 0.
pub(crate) async fn run(node: Weak<Node>, environment: Arc<dyn Environment>, pause_us: u64) {
    #[cfg(feature = "known-bad")]
    if known_bad::is(Variant::NeverScrubs) {
        return;
    }
    if pause_us == 0 {
        return;
    }
    let mut at: Option<Stretch> = None;
    let mut partition = 0;
    while let Some(node) = alive_after(&node, &*environment, pause_us).await {
        let _turn = node.background.turn(Work::Scrub).await;
        let count = node.ring().partition_count();
        let stretch = at.take().unwrap_or_else(|| {
            partition = (partition + 1) % count.count();
            Stretch::whole(partition, count.bits())
        });
        let mut doubtful = Doubtful::new();
        // What can't be read now is come back to when all else was looked at.
        at = node.look_on(stretch, None, &mut doubtful).ok().flatten();
        let objects = doubtful.len();
        match node.settle_rows(doubtful, true).await {
            Ok(faults) if faults.is_empty() => {}
            Ok(faults) => tracing::warn!(
                objects,
                missing = faults.missing,
                strange = faults.strange,
                "index rows were not those of their objects"
            ),
            // What fails now is found again.
            Err(refusal) => tracing::debug!(?refusal, "index rows could not be checked"),
        }
    }
}

impl Node {
    /// Looks at this node's rows of a tree of whose keys it is a home, and sets them right if that is asked for.
    pub(crate) async fn checked_rows(
        &self,
        request: &CheckRowsRequest,
        tree: TreeId,
        deadline: Deadline,
    ) -> Result<CheckedRows, Refusal> {
        let mut checked = CheckedRows::default();
        #[cfg(feature = "known-bad")]
        if known_bad::is(Variant::RowsNotCompared) {
            return Ok(checked);
        }
        let bits = self.ring().partition_count().bits();
        let mut at = Stretch::decode(tree.partition.0, bits, &request.after);
        if at.is_none() {
            return Err(Refusal::Malformed);
        }
        let left_us = deadline.left_us(&*self.environment);
        let work = Deadline::after(&*self.environment, WORK_US.min(left_us / 2));
        while let Some(stretch) = at {
            let mut doubtful = Doubtful::new();
            let of_objects = stretch.is_of_objects();
            let rest = self.look_on(stretch, Some(tree.class), &mut doubtful);
            at = rest.map_err(|_| Refusal::Unreadable)?;
            let faults = self.settle_rows(doubtful, request.set_right).await?;
            // What a row that can't be read says is missing was missed at its object before.
            checked.missing += if of_objects { faults.missing } else { 0 };
            checked.strange += faults.strange;
            if self.environment.now_us() >= work.at_us {
                break;
            }
            breath().await;
        }
        checked.next = at.map(|stretch| stretch.encode());
        Ok(checked)
    }
}
