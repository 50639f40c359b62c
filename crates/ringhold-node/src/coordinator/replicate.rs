//! A put after it is written here: the other replicas get it, are counted, and are replaced where they fail (§4.6).
//!
//! What is sent is the merged object, or, of a data type's update, what was done and on what
//! ([why](../../../../docs/decisions/0025-how-does-a-data-type-live-in-versions.md)); whatever is delivered twice or late is harmless.
//!
//! Not here: who they are, and what was written: [`super::put`].

use super::explain::Notes;
use super::plan::Placement;
use super::views::dots_of;
use crate::env::{BoxFuture, CallError, Deadline};
use crate::gather::{Arrival, Gather};
#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::node::Node;
use crate::properties::Durability;
use crate::replica::{CoordinateJob, Coordinated};
use ringhold_core::crdt::Precision;
use ringhold_core::id::NodeId;
use ringhold_core::quorum::{
    FailureKind, PutOutcome, PutReply, PutTally, ReplicaKind, Status, Target,
};
use ringhold_wire::message::peer::{FollowRequest, MergeRequest, Refusal, Reply, Request};
use ringhold_wire::message::{PutError, PutRequest, Uncertain};
use ringhold_wire::object::encoded_bytes;
use std::sync::Arc;

/// What is not larger goes as it is: asking whether it has to would cost more.
const SENT_WHOLE_BYTES_MAX: usize = 512;

/// One put on its way.
pub(super) struct Putting {
    pub(super) node: Arc<Node>,
    pub(super) placement: Placement,
    pub(super) hidden_versions: Option<usize>,
    pub(super) write_once: bool,
    pub(super) hll_precision: Precision,
    pub(super) durability: Durability,
    pub(super) tally: PutTally,
    pub(super) calls: Gather<Target, Result<Reply, CallError>>,
    pub(super) notes: Notes,
    /// The silence after which a fallback is asked as well.
    pub(super) hedge_us: u64,
    pub(super) tail: Deadline,
    /// What is sent, once it is written here.
    pub(super) merge: Option<MergeRequest>,
    /// What is sent in its place to those who may hold what an update was carried out on.
    pub(super) follow: Option<FollowRequest>,
}

impl Putting {
    /// What this node writes itself.
    pub(super) fn job(&self, request: PutRequest) -> CoordinateJob {
        CoordinateJob {
            kept: self.node.kept(&request.name),
            request,
            hidden_versions: self.hidden_versions,
            write_once: self.write_once,
            hll_precision: self.hll_precision,
            durability: self.durability,
            limits: self.node.tuning.limits,
        }
    }

    /// Counts this node's own write and sends the object to the other replicas.
    pub(super) fn replicate(&mut self, written: &Coordinated) {
        let is_large = encoded_bytes(&written.object) > SENT_WHOLE_BYTES_MAX;
        let follow = written.follow.as_deref().filter(|_| is_large);
        self.follow = follow.cloned();
        self.merge = Some(MergeRequest {
            name: self.placement.name.clone(),
            object: written.object.clone(),
            flushed: self.durability == Durability::Flushed,
        });
        for target in self.placement.absent.clone() {
            self.notes.reply(target, "unreachable", Vec::new);
        }
        for target in self.placement.targets.clone() {
            if target.node != self.node.id {
                self.send(target);
                continue;
            }
            let outcome = if written.durable {
                PutOutcome::Durable
            } else {
                PutOutcome::InMemory
            };
            self.count(target, outcome, || dots_of(&written.object));
        }
        self.send_to_comers();
    }

    /// To those who are to become homes of the key. They count for nothing: what does not arrive is made good before they
    /// are homes.
    fn send_to_comers(&self) {
        #[cfg(feature = "known-bad")]
        if known_bad::is(Variant::ComersMissWrites) {
            return;
        }
        let targets = self.placement.targets.iter();
        let targets: Vec<NodeId> = targets.map(|target| target.node).collect();
        let comers = self.placement.comers.iter().copied();
        let (node, merge) = (&self.node, self.merge.as_ref());
        for comer in comers.filter(|comer| !targets.contains(comer) && *comer != node.id) {
            let merge = merge.expect("written before it is sent").clone();
            let call = node.call(comer, Request::Merge(merge), self.tail);
            let task = async move { drop(call.await) };
            node.environment.spawn(Box::pin(task));
        }
    }

    fn send(&mut self, target: Target) {
        let merge = self.merge.clone().expect("written before it is sent");
        let whole = Request::Merge(merge);
        // Who stands in mostly holds nothing.
        let is_home = target.kind == ReplicaKind::Primary;
        let call = match self.follow.clone().filter(|_| is_home) {
            None => self.node.call(target.node, whole, self.tail),
            Some(follow) => self.follow_or_merge(target.node, follow, whole),
        };
        self.calls.ask(target, call);
    }

    /// Has a replica do what was done here; if it can't, it is sent the whole.
    fn follow_or_merge(
        &self,
        to: NodeId,
        follow: FollowRequest,
        whole: Request,
    ) -> BoxFuture<'static, Result<Reply, CallError>> {
        let (node, tail) = (Arc::clone(&self.node), self.tail);
        Box::pin(async move {
            let followed = node.call(to, Request::Follow(follow), tail).await;
            match followed {
                Ok(Reply::Refused(Refusal::OtherBase | Refusal::OlderProtocol)) => {
                    node.metrics.updates_sent_whole.add(1);
                    node.call(to, whole, tail).await
                }
                other => other,
            }
        })
    }

    /// The next fallback, if it is to be asked.
    fn stand_in(&mut self, is_paid_for: bool) -> Option<Target> {
        if self.placement.spares.is_empty() || (is_paid_for && !self.node.health.spend()) {
            return None;
        }
        self.node.metrics.stand_ins.add(1);
        self.placement.spares.pop_front()
    }

    /// Nobody has answered for a while: one more node is asked, if the budget has it.
    fn hedge(&mut self) {
        self.hedge_us = self.hedge_us.saturating_mul(2);
        if let Some(stand_in) = self.stand_in(true) {
            self.tally.expect_more(stand_in);
            self.send(stand_in);
        }
    }

    pub(super) async fn wait_for_quorum(&mut self, deadline: Deadline) -> Result<(), PutError> {
        loop {
            #[cfg(feature = "known-bad")]
            if known_bad::is(Variant::QuorumOfOne) {
                return Ok(());
            }
            match self.tally.status() {
                Status::Met => return Ok(()),
                Status::Impossible(shortfall) => {
                    return Err(PutError::Unknown(Uncertain::QuorumNotMet(shortfall)));
                }
                Status::Pending => {}
            }
            let left_us = deadline.left_us(&*self.node.environment);
            let pause_us = if self.placement.spares.is_empty() {
                left_us
            } else {
                left_us.min(self.hedge_us)
            };
            match self.calls.next_within(Some(pause_us)).await {
                Arrival::Reply(target, reply) => self.take(target, &reply),
                Arrival::Silence if pause_us < left_us => self.hedge(),
                Arrival::Silence | Arrival::Nothing => {
                    return Err(PutError::Unknown(Uncertain::TimedOut));
                }
            }
        }
    }

    /// Waits for the replicas that had not answered when the client was.
    pub(super) async fn see_through(mut self) {
        while let Some((target, reply)) = self.calls.next().await {
            self.take(target, &reply);
        }
        let failed = self.tally.failures().total();
        if failed > 0 {
            tracing::debug!(failed, "replicas lack a write until they are repaired");
        }
    }

    fn take(&mut self, target: Target, reply: &Result<Reply, CallError>) {
        let outcome = match reply {
            Ok(Reply::Merged { durable: true }) => PutOutcome::Durable,
            #[cfg(feature = "known-bad")]
            Ok(Reply::Merged { .. }) if known_bad::is(Variant::MemoryCountsAsDurable) => {
                PutOutcome::Durable
            }
            #[cfg(feature = "known-bad")]
            Err(CallError::NoAnswer) if known_bad::is(Variant::SilenceIsConsent) => {
                PutOutcome::Durable
            }
            Ok(Reply::Merged { durable: false }) => PutOutcome::InMemory,
            Ok(Reply::Refused(Refusal::Overloaded)) => PutOutcome::Failed(FailureKind::Overloaded),
            Ok(_) => PutOutcome::Failed(FailureKind::Error),
            Err(CallError::NotSent) => PutOutcome::Failed(FailureKind::Unreachable),
            Err(CallError::NoAnswer) => PutOutcome::Failed(FailureKind::TimedOut),
        };
        let PutOutcome::Failed(kind) = outcome else {
            return self.count(target, outcome, Vec::new);
        };
        // Whoever can't take it because it has too much to do is a reason to do less.
        let is_paid_for = kind == FailureKind::Overloaded;
        let Some(stand_in) = self.stand_in(is_paid_for) else {
            return self.count(target, outcome, Vec::new);
        };
        // Expected before the failure is counted, which could end the put.
        self.tally.expect_more(stand_in);
        self.send(stand_in);
        self.count(target, outcome, Vec::new);
    }

    fn count(
        &mut self,
        target: Target,
        outcome: PutOutcome,
        dots: impl FnOnce() -> Vec<ringhold_core::version::Dot>,
    ) {
        let word = match outcome {
            PutOutcome::Durable => "stored durably",
            PutOutcome::InMemory => "stored in memory",
            PutOutcome::Failed(FailureKind::Unreachable) => "unreachable",
            PutOutcome::Failed(FailureKind::TimedOut) => "no answer",
            PutOutcome::Failed(FailureKind::Overloaded) => "overloaded",
            PutOutcome::Failed(FailureKind::Error) => "refused",
        };
        self.notes.reply(target, word, dots);
        #[cfg(feature = "known-bad")]
        if let Some(node) = known_bad::another(
            target.node,
            self.placement.targets.iter().map(|target| target.node),
        ) {
            self.tally.record(PutReply {
                node,
                kind: target.kind,
                outcome,
            });
        }
        self.tally.record(PutReply {
            node: target.node,
            kind: target.kind,
            outcome,
        });
    }
}
