//! Anti-entropy now, because an operator says so.
//!
//! In its own time a node compares each partition with each other home within minutes, and believes its sums until the scrub
//! has been there. An operator who has put back a disk, or whom `verify` has told of differences, does not want to
//! wait for either. So a repair looks as `verify` does, at the objects themselves, and sets right every kept sum that
//! says something else. Then it waits once, for all partitions together, until whatever was on its way has
//! arrived, and has each pair of primaries exchange what differs still, both ways, by merge (T10).
//!
//! Pairs of one partition go one after the other: after (a, b) and (a, c), a has all that anybody had, and (b, c)
//! ends with b and c having it too.

use super::count::{Counted, NotCounted, all_leaves};
use super::look::{Look, Place};
use crate::env::Deadline;
use crate::node::Node;
use ringhold_core::id::NodeId;
use ringhold_core::ring::TreeId;
use ringhold_wire::message::peer::{LeavesRequest, MendRequest, Mended, Reply, Request};
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};

/// Partitions that are mended at once.
const PARTITIONS_AT_ONCE: usize = 8;
/// How long one answer may take, in microseconds.
const PATIENCE_US: u64 = 60_000_000;

/// What was done about one tree.
#[derive(Clone, Debug)]
pub struct Repaired {
    pub tree: TreeId,
    /// Pairs of primaries that were compared.
    pub exchanges: u64,
    /// Keys that differed and are equal now; a key that three primaries had differently may count twice.
    pub keys: u64,
    /// Keys that an end refused, or did not answer for.
    pub failed: u64,
    /// What the exchanges sent and received, encoded, in bytes.
    pub bytes_sent: u64,
    pub bytes_received: u64,
    /// Leaf sums that did not say what was there, and do now.
    pub sums_set_right: u64,
    /// Index rows that were missing, or that no object had, and are as they should be now.
    pub rows_set_right: u64,
    /// Records that could not be read when the objects were counted. Another primary's copy takes their place.
    pub unreadable: u64,
    /// Primaries that nothing was compared with, or not to the end.
    pub left_out: Vec<(NodeId, NotCounted)>,
}

impl Repaired {
    /// Whether all primaries took part, and everything that differed was mended.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.left_out.is_empty() && self.failed == 0
    }

    fn of(look: &Look) -> Self {
        let counted = || {
            look.primaries
                .iter()
                .filter_map(|(_, counted)| counted.as_ref().ok())
        };
        let homes = counted().count() as u64;
        let left_out = look.primaries.iter();
        let left_out = left_out.filter_map(|(node, counted)| {
            let rows = |counted: &Counted| counted.rows?.err();
            let reason = counted.as_ref().map_or_else(|reason| Some(*reason), rows);
            Some((*node, reason?))
        });
        Self {
            tree: look.place.tree,
            exchanges: homes * homes.saturating_sub(1) / 2,
            keys: 0,
            failed: 0,
            bytes_sent: 0,
            bytes_received: 0,
            sums_set_right: counted().map(Counted::wrong_sums).sum(),
            rows_set_right: counted().map(Counted::wrong_rows).sum(),
            unreadable: counted().map(Counted::unreadable).sum(),
            left_out: left_out.collect(),
        }
    }

    fn add(&mut self, mended: Mended) {
        self.keys += mended.keys;
        self.failed += mended.failed;
        self.bytes_sent += mended.bytes_sent;
        self.bytes_received += mended.bytes_received;
    }

    fn leave_out(&mut self, node: NodeId, reason: NotCounted) {
        if self.left_out.iter().all(|(known, _)| *known != node) {
            self.left_out.push((node, reason));
        }
    }
}

/// What there is to tell while partitions are repaired.
#[derive(Clone, Debug)]
pub enum RepairEvent {
    Repaired(Repaired),
    /// So many partitions differ, and are mended after this time.
    Waiting {
        partitions: usize,
        us: u64,
    },
}

impl Node {
    /// Makes the primaries of these trees' keys equal, and tells of each that is done. Ends early if nobody listens.
    pub async fn repair_trees(
        self: &Arc<Self>,
        trees: Vec<TreeId>,
        events: mpsc::Sender<RepairEvent>,
    ) {
        let leaves = all_leaves();
        let place = |tree| Place {
            tree,
            leaves: leaves.clone(),
            rows: true,
        };
        let mut looks = self.look_at(trees.into_iter().map(place).collect(), true);
        let mut differing = Vec::new();
        while let Some(look) = looks.recv().await {
            if !look.differing().is_empty() {
                differing.push(look);
                continue;
            }
            let repaired = RepairEvent::Repaired(Repaired::of(&look));
            if events.send(repaired).await.is_err() {
                return;
            }
        }
        if differing.is_empty() {
            return;
        }
        let (partitions, us) = (differing.len(), self.tuning.anti_entropy.settle_us);
        let waiting = RepairEvent::Waiting { partitions, us };
        if events.send(waiting).await.is_err() {
            return;
        }
        let until_us = self.environment.now_us().saturating_add(us);
        self.environment.sleep_until(until_us).await;
        self.mend_all(differing, &events).await;
    }

    async fn mend_all(self: &Arc<Self>, looks: Vec<Look>, events: &mpsc::Sender<RepairEvent>) {
        let at_once = Arc::new(Semaphore::new(PARTITIONS_AT_ONCE));
        for look in looks {
            let Ok(permit) = Arc::clone(&at_once).acquire_owned().await else {
                return;
            };
            if events.is_closed() {
                return;
            }
            let (node, events) = (Arc::clone(self), events.clone());
            self.environment.spawn(Box::pin(async move {
                let repaired = node.mend_pairs(&look).await;
                // Whoever wanted to know may be gone.
                events.send(RepairEvent::Repaired(repaired)).await.ok();
                drop(permit);
            }));
        }
    }

    /// Has each pair of the primaries that answered exchange what differs.
    async fn mend_pairs(self: &Arc<Self>, look: &Look) -> Repaired {
        let mut repaired = Repaired::of(look);
        let leaves = look.differing();
        let homes = look.primaries.iter();
        let homes = homes.filter(|(_, counted)| counted.is_ok());
        let homes: Vec<NodeId> = homes.map(|(home, _)| *home).collect();
        for (at, one) in homes.iter().enumerate() {
            for other in &homes[at + 1..] {
                if let Err((node, reason)) = self
                    .mend_pair(look.place.tree, [*one, *other], &leaves, &mut repaired)
                    .await
                {
                    repaired.leave_out(node, reason);
                }
            }
        }
        self.settle_doubts(look, &mut repaired).await;
        repaired
    }

    /// What took the place of a record that could not be read has left its leaf in doubt, because nobody knows what it
    /// had added to the sum: such leaves are counted once more. Nor does anybody know which index rows it had left, so these are looked at
    /// once more, too.
    async fn settle_doubts(self: &Arc<Self>, look: &Look, repaired: &mut Repaired) {
        for (home, counted) in &look.primaries {
            let faults = counted.iter().flat_map(|counted| counted.faults.values());
            let unreadable = faults.filter(|fault| fault.unreadable > 0);
            let leaves: Vec<u16> = unreadable.map(|fault| fault.leaf).collect();
            if leaves.is_empty() {
                continue;
            }
            let tree = look.place.tree;
            if let Err(reason) = self.count_at(*home, tree, &leaves, true).await {
                repaired.leave_out(*home, reason);
            }
            match self.check_rows_at(*home, tree, true).await {
                Ok(faults) => repaired.rows_set_right += faults.missing + faults.strange,
                Err(reason) => repaired.leave_out(*home, reason),
            }
        }
    }

    /// Has one primary exchange with another, in as many requests as it takes. Who did not answer, if somebody did not.
    async fn mend_pair(
        self: &Arc<Self>,
        tree: TreeId,
        [one, other]: [NodeId; 2],
        leaves: &[u16],
        repaired: &mut Repaired,
    ) -> Result<(), (NodeId, NotCounted)> {
        let mut done = 0;
        while done < leaves.len() {
            let at = LeavesRequest {
                basis: self.tree_basis(tree),
                partition: tree.partition.0,
                leaves: leaves[done..].to_vec(),
            };
            let deadline = Deadline::after(&*self.environment, PATIENCE_US);
            let request = Request::Mend(MendRequest { with: other, at });
            let mended = match self.call(one, request, deadline).await {
                Ok(Reply::Mended(mended)) => mended,
                Ok(Reply::Refused(refusal)) => return Err((one, NotCounted::Refused(refusal))),
                Ok(_) => return Err((one, NotCounted::Malformed)),
                Err(error) => return Err((one, error.into())),
            };
            repaired.add(mended);
            if mended.leaves == 0 {
                return Err((other, NotCounted::NoAnswer));
            }
            done += usize::from(mended.leaves);
        }
        Ok(())
    }
}
