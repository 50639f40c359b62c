//! Counting what is really there, at whoever is asked.
//!
//! The sums under the hash trees say what should be in the store. An operator who asks whether all primaries agree
//! wants to know what *is* there: so a primary reads every object of the leaves that it is asked for, verifies
//! the checksum on the way, and adds up the digests anew (T12). The kept sums are compared with that, never used.
//!
//! A partition may hold millions of objects. An answer covers as many leaves as were counted in the time that its
//! requester waits, and at least one; who wants more asks again. Between leaves the task steps back, so that
//! others get their turn on its thread.

use super::answers::Refused;
use crate::env::{CallError, Deadline};
use crate::gather::breath;
#[cfg(feature = "known-bad")]
use crate::known_bad;
use crate::node::Node;
use bytes::Bytes;
use ringhold_core::id::NodeId;
use ringhold_core::ring::TreeId;
use ringhold_core::tree::{LEAVES, Leaf, LeafSum};
use ringhold_storage::{OnDifference, RowFaults};
use ringhold_wire::message::index::{CheckRowsRequest, CheckedRows};
use ringhold_wire::message::peer::{
    CountRequest, CountedLeaves, LeafFault, Refusal, Reply, Request,
};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// How long one answer is waited for, in microseconds.
const PATIENCE_US: u64 = 15_000_000;
/// How long one answer is worked on, in microseconds, if there is as much time.
const WORK_US: u64 = 1_000_000;

/// What one primary counted in some leaves of a partition.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted {
    /// Of each leaf that was asked for, in order.
    pub(super) sums: Vec<LeafSum>,
    /// What is wrong with a leaf by itself.
    pub(super) faults: BTreeMap<u16, LeafFault>,
    /// What was wrong with the index rows of all keys; none in a look at some of the leaves.
    pub(super) rows: Option<Result<RowFaults, NotCounted>>,
}

impl Counted {
    /// Records that can't be read.
    pub(super) fn unreadable(&self) -> u64 {
        let faults = self.faults.values();
        faults.map(|fault| u64::from(fault.unreadable)).sum()
    }

    /// Leaves whose kept sum said something else than the objects.
    pub(super) fn wrong_sums(&self) -> u64 {
        let faults = self.faults.values();
        faults.map(|fault| u64::from(fault.wrong_sum)).sum()
    }

    /// Index rows that are missing, or that no object has.
    pub(super) fn wrong_rows(&self) -> u64 {
        let faults = self.rows.and_then(Result::ok).unwrap_or_default();
        faults.missing + faults.strange
    }
}

/// Why a primary's objects were not counted. What it has is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotCounted {
    /// Nothing could be sent to it.
    Unreachable,
    /// It did not answer in time, or the connection broke.
    NoAnswer,
    /// It is filling its store from the others, or it failed, or it is of another opinion about the ring.
    Refused(Refusal),
    /// Its answer makes no sense.
    Malformed,
}

impl fmt::Display for NotCounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => f.write_str("unreachable"),
            Self::NoAnswer => f.write_str("no answer"),
            Self::Refused(refusal) => Refused(*refusal).fmt(f),
            Self::Malformed => f.write_str("an answer that makes no sense"),
        }
    }
}

impl From<CallError> for NotCounted {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NotSent => Self::Unreachable,
            CallError::NoAnswer => Self::NoAnswer,
        }
    }
}

/// The numbers of all leaves of a partition.
pub(super) fn all_leaves() -> Vec<u16> {
    (0..u16::try_from(LEAVES).expect("there are 1,024")).collect()
}

impl Node {
    /// What a primary of a tree's keys holds in these leaves, asked for in as many requests as it takes.
    pub(super) async fn count_at(
        self: &Arc<Self>,
        home: NodeId,
        tree: TreeId,
        leaves: &[u16],
        set_right: bool,
    ) -> Result<Counted, NotCounted> {
        let mut counted = Counted::default();
        while counted.sums.len() < leaves.len() {
            let rest = &leaves[counted.sums.len()..];
            let request = Request::Count(CountRequest {
                basis: self.tree_basis(tree),
                partition: tree.partition.0,
                leaves: rest.to_vec(),
                set_right,
            });
            let deadline = Deadline::after(&*self.environment, PATIENCE_US);
            let page = match self.call(home, request, deadline).await? {
                Reply::Counted(page) => page,
                Reply::Refused(refusal) => return Err(NotCounted::Refused(refusal)),
                _ => return Err(NotCounted::Malformed),
            };
            if page.sums.is_empty() || page.sums.len() > rest.len() {
                return Err(NotCounted::Malformed);
            }
            counted.sums.extend(page.sums);
            let faults = page.faults.into_iter();
            counted
                .faults
                .extend(faults.map(|fault| (fault.leaf, fault)));
        }
        Ok(counted)
    }

    /// What is wrong with a primary's index rows of a tree's keys, asked for in as many requests as it takes.
    pub(super) async fn check_rows_at(
        self: &Arc<Self>,
        home: NodeId,
        tree: TreeId,
        set_right: bool,
    ) -> Result<RowFaults, NotCounted> {
        let mut sum = RowFaults::default();
        let mut after = Bytes::new();
        loop {
            let request = Request::CheckRows(CheckRowsRequest {
                basis: self.tree_basis(tree),
                partition: tree.partition.0,
                after: after.clone(),
                set_right,
            });
            let deadline = Deadline::after(&*self.environment, PATIENCE_US);
            let checked = match self.call(home, request, deadline).await? {
                Reply::CheckedRows(checked) => checked,
                Reply::Refused(refusal) => return Err(NotCounted::Refused(refusal)),
                _ => return Err(NotCounted::Malformed),
            };
            sum.missing = sum.missing.saturating_add(checked.missing);
            sum.strange = sum.strange.saturating_add(checked.strange);
            let Some(next) = checked.next else {
                return Ok(sum);
            };
            // Whoever does not get on never ends.
            if next <= after {
                return Err(NotCounted::Malformed);
            }
            after = next;
        }
    }

    /// Checks this node's index rows of a tree of whose keys it is a home.
    pub(crate) async fn check_rows(
        &self,
        request: &CheckRowsRequest,
        deadline: Deadline,
    ) -> Result<CheckedRows, Refusal> {
        let tree = self.own_tree(request.partition, request.basis)?;
        self.checked_rows(request, tree, deadline).await
    }

    /// Counts this node's objects in some leaves of a tree of whose keys it is a home.
    pub(crate) async fn count_leaves(
        &self,
        request: CountRequest,
        deadline: Deadline,
    ) -> Result<CountedLeaves, Refusal> {
        let tree = self.own_tree(request.partition, request.basis)?;
        if !request.set_right && !self.vouches_for_tree(tree) {
            // What is missing here says nothing yet.
            return Err(Refusal::Rebuilding);
        }
        let on_difference = if request.set_right {
            OnDifference::Repair
        } else {
            OnDifference::Report
        };
        let left_us = deadline.left_us(&*self.environment);
        let work = Deadline::after(&*self.environment, WORK_US.min(left_us / 2));
        let mut counted = CountedLeaves {
            sums: Vec::with_capacity(request.leaves.len().min(LEAVES)),
            faults: Vec::new(),
        };
        for leaf in request.leaves {
            let number = Leaf::new(leaf)
                .ok_or(Refusal::Malformed)?
                .across_the_ring(tree.partition);
            let recount = self.store().recount(number..number + 1, on_difference);
            let recount = recount.map_err(|_| Refusal::Unreadable)?;
            let mut sum = LeafSum::ZERO;
            recount
                .counted
                .iter()
                .for_each(|sums| sum += sums.of(tree.class));
            #[cfg(feature = "known-bad")]
            let sum = known_bad::counted(sum, || Some(self.tree_sums(tree)?[usize::from(leaf)]));
            counted.sums.push(sum);
            let fault = LeafFault {
                leaf,
                unreadable: u32::try_from(recount.unreadable.len()).unwrap_or(u32::MAX),
                wrong_sum: !recount.differences.is_empty(),
            };
            #[cfg(feature = "known-bad")]
            let fault = known_bad::fault(fault);
            if fault.unreadable > 0 || fault.wrong_sum {
                counted.faults.push(fault);
            }
            let set_right = fault.wrong_sum && request.set_right;
            self.metrics.leaves_set_right.add(u64::from(set_right));
            if self.environment.now_us() >= work.at_us {
                break;
            }
            if recount.rows > 0 {
                breath().await;
            }
        }
        Ok(counted)
    }
}
