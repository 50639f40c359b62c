//! Read repair: replicas that a get found behind receive what they lack (§5).
//!
//! By merge, never by overwriting, so a repair that arrives late or meets a newer write does no
//! harm (T10). In the background, bounded, and dropped when there is too much of it: a later read finds
//! the difference again. A bucket may ask for it before the answer (`blocking_repair`): then it is part of the get, and what one
//! get has shown, a later one that asks enough replicas shows too.

use crate::coordinator::plan::Placement;
use crate::env::{CallError, Deadline};
use crate::gather::{Arrival, Gather};
#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::node::Node;
use ringhold_core::quorum::{ReplicaKind, Requirement, Shortfall, Target};
use ringhold_core::version::Object;
use ringhold_wire::message::GetError;
use ringhold_wire::message::peer::{MergeRequest, Reply, Request};
use std::sync::Arc;

/// The replicas of a get, and those of them that lack some of its answer.
pub(crate) struct Behind<'a> {
    /// How many have said what they hold.
    pub(crate) counted: u32,
    /// How many of them have to hold the answer: as many as the get had to hear.
    pub(crate) required: u32,
    pub(crate) stale: &'a [Target],
}

impl Node {
    pub(crate) fn repair(
        self: &Arc<Self>,
        placement: &Placement,
        object: &Object,
        stale: &[Target],
    ) {
        #[cfg(feature = "known-bad")]
        let stale = if known_bad::is(Variant::NeverRepairs) {
            &[]
        } else {
            stale
        };
        // What a fallback keeps for others comes home by its hint.
        let stale: Vec<Target> = stale
            .iter()
            .copied()
            .filter(|target| target.kind == ReplicaKind::Primary)
            .collect();
        if stale.is_empty() || object.is_absent() {
            return;
        }
        let Ok(permit) = Arc::clone(&self.repairs).try_acquire_owned() else {
            self.metrics.read_repairs_dropped.add(1);
            return;
        };
        let mut merges = self.send_repairs(placement, object, &stale);
        self.environment.spawn(Box::pin(async move {
            while merges.next().await.is_some() {}
            drop(permit);
        }));
    }

    /// Repairs before the get is answered: whoever asks a quorum afterwards meets at least one replica that holds
    /// what this answer says. Fallbacks are repaired too, since they were counted.
    ///
    /// # Errors
    /// If too few of the replicas can be brought to hold the answer in time. It is not given then, because a later get could
    /// know less.
    pub(crate) async fn repair_first(
        self: &Arc<Self>,
        placement: &Placement,
        object: &Object,
        behind: Behind<'_>,
        deadline: Deadline,
    ) -> Result<(), GetError> {
        let stale = u32::try_from(behind.stale.len()).unwrap_or(u32::MAX);
        let mut holders = behind.counted.saturating_sub(stale);
        #[cfg(feature = "known-bad")]
        if known_bad::is(Variant::RepairDoesNotBlock) {
            return Ok(());
        }
        if stale == 0 {
            return Ok(());
        }
        // What was read long ago may have been reaped meanwhile (T11).
        if deadline.has_passed(&*self.environment) {
            return Err(GetError::TimedOut);
        }
        let mut merges = self.send_repairs(placement, object, behind.stale);
        while holders < behind.required {
            let left_us = deadline.left_us(&*self.environment);
            match merges.next_within(Some(left_us)).await {
                Arrival::Reply(_, Ok(Reply::Merged { durable: true })) => holders += 1,
                Arrival::Reply(..) => {}
                Arrival::Silence => return Err(GetError::TimedOut),
                Arrival::Nothing => {
                    return Err(GetError::QuorumNotMet(Shortfall {
                        requirement: Requirement::R,
                        required: behind.required,
                        obtained: holders,
                    }));
                }
            }
        }
        // The others get it too, if they can.
        self.environment.spawn(Box::pin(
            async move { while merges.next().await.is_some() {} },
        ));
        Ok(())
    }

    fn send_repairs(
        self: &Arc<Self>,
        placement: &Placement,
        object: &Object,
        stale: &[Target],
    ) -> Gather<Target, Result<Reply, CallError>> {
        self.metrics.read_repairs.add(stale.len() as u64);
        let deadline = Deadline::after(&*self.environment, self.tuning.put_tail_us);
        let mut merges = Gather::until(Arc::clone(&self.environment), deadline);
        for &target in stale {
            let (name, object) = (placement.name.clone(), object.clone());
            let request = Request::Merge(MergeRequest {
                name,
                object,
                flushed: true,
            });
            merges.ask(target, self.call(target.node, request, deadline));
        }
        merges
    }
}
