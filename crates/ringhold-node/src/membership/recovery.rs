//! Going on without a majority, at an operator's word.
//!
//! The rules are `ringhold_core::membership::recovery`'s and `ringhold_core::ring::generation`'s; here is the host. An operator names the
//! members that are given up. All others have to answer, to hold the same as the one that was asked, and to accept one
//! document durably; then it is adopted and spread like any other, and from there on the new voters agree as ever. Whoever was
//! given up and comes back finds out when it first asks anybody for anything, and ends (`news`).
//!
//! An attempt that breaks off leaves survivors that have accepted a document and wait for its outcome: they vote on nothing of the old
//! generation any more. Asking again, at any of them, finishes it.
//!
//! Not here: what a survivor answers ([`survivor`]), and how replicas are made whole again (`transfers`).

mod survivor;

use crate::env::Deadline;
use crate::gather::Gather;
#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::membership::agreement::{Document, NotAgreed};
use crate::node::Node;
use bytes::Bytes;
use ringhold_core::id::NodeId;
use ringhold_core::membership::recovery::{Basis, Pledge, PledgeRefused, basis};
use ringhold_core::membership::register::{Accepted, Ballot, Denial};
use ringhold_core::ring::{ChangeRefused, RecoveryPlan, RingDocument};
use ringhold_wire::message::membership::{AcceptRequest, RecoveryRequest};
use ringhold_wire::message::peer::{Refusal, Reply, Request};
use ringhold_wire::ring as ring_format;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

pub(crate) use survivor::RecoveryWord;

/// How long survivors are waited for in one phase of an attempt, in microseconds.
const PATIENCE_US: u64 = 2_000_000;
/// Between two attempts, in microseconds; as much again at most.
const PAUSE_US: u64 = 200_000;
/// How long a recovery is tried, in microseconds.
const TRIED_US: u64 = 15_000_000;

/// Why the cluster was not recovered. Survivors may have accepted a document; asking again finishes that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecoveryFailed {
    /// There is nothing to recover, or nobody would be left.
    Refused(ChangeRefused),
    /// Somebody who is to be given up can be reached.
    Lives { name: String, by: String },
    /// These survivors speak an older protocol, which has no recoveries.
    Outdated { names: Vec<String> },
    /// These survivors don't answer.
    Silent { names: Vec<String> },
    /// A survivor holds what came of another recovery.
    Parted { name: String },
    /// Another recovery was faster each time.
    Outbid,
    /// This node's store has failed.
    StoreFailed,
}

impl fmt::Display for RecoveryFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(reason) => reason.fmt(f),
            Self::Lives { name, by } => write!(
                f,
                "{by} can reach {name}, which is to be given up: only what is lost for good may be. Stop {name} for good, or \
                 leave it out; while enough members live, `ringhold cluster remove` does without giving up anything"
            ),
            Self::Outdated { names } => write!(
                f,
                "{} runs an older release, which can't take part in a recovery: upgrade it first, then try again",
                names.join(", ")
            ),
            Self::Silent { names } => write!(
                f,
                "{} does not answer, and everybody who is not given up has to: start it and try again, or give it up too \
                 (--give-up {})",
                names.join(", "),
                names.join(" --give-up ")
            ),
            Self::Parted { name } => write!(
                f,
                "{name} belongs to what came of another recovery: choose one of the two, stop the nodes of the other for good, \
                 and give them up here"
            ),
            Self::Outbid => {
                f.write_str("another recovery is going on: wait for its end and look at the status")
            }
            Self::StoreFailed => f.write_str("this node's store has failed"),
        }
    }
}

impl std::error::Error for RecoveryFailed {}

/// What came of one attempt.
enum Attempt {
    /// There is a later document now, or there may be one after a while.
    Again,
    Outbid(Ballot),
    Failed(RecoveryFailed),
}

impl Node {
    /// What giving these up would come to; by default all whom this node can't reach.
    #[must_use]
    pub fn recovery_plan(&self, given_up: Option<BTreeSet<NodeId>>) -> RecoveryPlan {
        let ring = self.ring();
        let present = ring.members().iter().filter(|m| !m.state.is_gone());
        let silent = present.filter(|m| m.id != self.id && !self.is_reachable(m.id));
        let silent = silent.map(|member| member.id);
        let given_up = given_up.unwrap_or_else(|| silent.collect());
        RecoveryPlan::of(&ring, &given_up)
    }

    /// Begins a new generation without some members. The document in use afterwards does not count them.
    ///
    /// # Errors
    /// See [`RecoveryFailed`].
    pub async fn recover(
        self: &Arc<Self>,
        given_up: &BTreeSet<NodeId>,
    ) -> Result<Arc<RingDocument>, RecoveryFailed> {
        let _proposing = self.agreement.proposing.lock().await;
        let until = Deadline::after(&*self.environment, TRIED_US);
        let began = self.ring().document().epoch.generation();
        let id = self.environment.random();
        let mut outbid_by = Ballot::NONE;
        tracing::warn!(
            ?given_up,
            "an operator has the cluster go on without a majority"
        );
        loop {
            let ring = self.ring();
            let held = ring.document();
            let is_done = held.epoch.generation() > began
                && given_up.iter().all(|node| {
                    let member = held.member(*node);
                    member.is_none_or(|member| member.state.is_gone())
                });
            if is_done {
                return Ok(Arc::new(held.clone()));
            }
            let failed = match self
                .try_to_recover(held, given_up, id, outbid_by, until)
                .await
            {
                Attempt::Again => RecoveryFailed::Outbid,
                Attempt::Outbid(by) => {
                    outbid_by = outbid_by.max(by);
                    RecoveryFailed::Outbid
                }
                Attempt::Failed(RecoveryFailed::Silent { names }) => {
                    RecoveryFailed::Silent { names }
                }
                Attempt::Failed(failed) => return Err(failed),
            };
            if until.has_passed(&*self.environment) {
                return Err(failed);
            }
            let drawn =
                u64::try_from(self.environment.random() % u128::from(PAUSE_US)).unwrap_or(0);
            let now_us = self.environment.now_us();
            let pause_us = now_us.saturating_add(PAUSE_US + drawn);
            self.environment.sleep_until(pause_us).await;
        }
    }

    async fn try_to_recover(
        self: &Arc<Self>,
        held: &RingDocument,
        given_up: &BTreeSet<NodeId>,
        id: u128,
        outbid_by: Ballot,
        until: Deadline,
    ) -> Attempt {
        let refused = |reason| Attempt::Failed(RecoveryFailed::Refused(reason));
        let draft = match held.recovering(given_up, id) {
            Ok(draft) => draft,
            Err(reason) => return refused(reason),
        };
        let present = held.members.iter().filter(|m| !m.state.is_gone());
        let survivors = present.filter(|member| !given_up.contains(&member.id));
        let survivors: Vec<NodeId> = survivors.map(|member| member.id).collect();
        if !survivors.contains(&self.id) {
            let name = self.name_of(self.id);
            let by = name.clone();
            return Attempt::Failed(RecoveryFailed::Lives { name, by });
        }
        #[cfg(feature = "known-bad")]
        if known_bad::is(Variant::RecoversAlone) {
            self.adopted(&Arc::new(draft)).await.ok();
            return Attempt::Again;
        }
        let (epoch, ballot) = (draft.epoch, self.next_ballot(outbid_by).await);
        let request = Request::Recover(RecoveryRequest {
            epoch,
            ballot,
            given_up: given_up.iter().copied().collect(),
        });
        let pledges = match self.pledges_of(&survivors, &request, until).await {
            Ok(pledges) => pledges,
            Err(attempt) => return attempt,
        };
        let value = match basis(held.epoch, &pledges) {
            Basis::Finish(value) => value,
            Basis::Fetch { from, .. } => return self.again_after(from, until).await,
            Basis::Upon(value) => match value.recovering(given_up, id) {
                Ok(draft) => Arc::new(draft),
                Err(reason) => return refused(reason),
            },
            Basis::Held => Arc::new(draft),
        };
        let request = Request::RecoveryIs(AcceptRequest {
            epoch,
            ballot,
            document: ring_format::encode(&value),
        });
        if let Err(attempt) = self.accepted_by(&survivors, &request, until).await {
            return attempt;
        }
        match self.adopted(&value).await {
            Ok(()) => {}
            Err(NotAgreed::Store(_)) => return Attempt::Failed(RecoveryFailed::StoreFailed),
            // Another generation has come between.
            Err(_) => return Attempt::Again,
        }
        tracing::warn!(
            epoch = %value.epoch,
            "the cluster goes on in a new generation; those that were given up are no members any more"
        );
        self.spread_ring(&value).await;
        Attempt::Again
    }

    /// Above all that this node has promised, and above the one that it lost to.
    async fn next_ballot(&self, outbid_by: Ballot) -> Ballot {
        let promised = self.recovery_word().await.promised;
        Ballot {
            round: promised.max(outbid_by).round.saturating_add(1),
            proposer: self.id,
        }
    }

    async fn pledges_of(
        self: &Arc<Self>,
        survivors: &[NodeId],
        request: &Request,
        until: Deadline,
    ) -> Result<BTreeMap<NodeId, Pledge<Document>>, Attempt> {
        let mut pledges = BTreeMap::new();
        for (survivor, reply) in self.ask_all(survivors, request).await {
            match reply {
                Reply::Pledged(Ok(pledge)) => {
                    if let Some(pledge) = decoded(pledge) {
                        pledges.insert(survivor, pledge);
                    }
                }
                Reply::Pledged(Err(PledgeRefused::Lives { member })) => {
                    let (name, by) = (self.name_of(member), self.name_of(survivor));
                    return Err(Attempt::Failed(RecoveryFailed::Lives { name, by }));
                }
                Reply::Pledged(Err(PledgeRefused::Outbid { by })) => {
                    return Err(Attempt::Outbid(by));
                }
                Reply::Pledged(Err(PledgeRefused::Behind { .. })) => {
                    return Err(self.again_after(survivor, until).await);
                }
                Reply::Refused(Refusal::OlderProtocol) => {
                    let names = vec![self.name_of(survivor)];
                    return Err(Attempt::Failed(RecoveryFailed::Outdated { names }));
                }
                Reply::Pledged(Err(PledgeRefused::Ahead { .. })) => {
                    self.spread_ring(&Arc::new(self.ring().document().clone()))
                        .await;
                    return Err(Attempt::Again);
                }
                _ => {}
            }
        }
        self.all_heard(survivors, &pledges.keys().copied().collect())?;
        Ok(pledges)
    }

    async fn accepted_by(
        self: &Arc<Self>,
        survivors: &[NodeId],
        request: &Request,
        until: Deadline,
    ) -> Result<(), Attempt> {
        let mut accepted = BTreeSet::new();
        for (survivor, reply) in self.ask_all(survivors, request).await {
            match reply {
                Reply::RecoveryAccepted(Ok(_)) => {
                    accepted.insert(survivor);
                }
                Reply::RecoveryAccepted(Err(Denial::Outbid { by })) => {
                    return Err(Attempt::Outbid(by));
                }
                Reply::RecoveryAccepted(Err(Denial::Behind { .. })) => {
                    return Err(self.again_after(survivor, until).await);
                }
                _ => {}
            }
        }
        self.all_heard(survivors, &accepted)
    }

    fn all_heard(&self, survivors: &[NodeId], heard: &BTreeSet<NodeId>) -> Result<(), Attempt> {
        let silent = survivors
            .iter()
            .filter(|survivor| !heard.contains(survivor));
        let names: Vec<String> = silent.map(|survivor| self.name_of(*survivor)).collect();
        if names.is_empty() {
            return Ok(());
        }
        Err(Attempt::Failed(RecoveryFailed::Silent { names }))
    }

    /// What all of them answer that do.
    async fn ask_all(
        self: &Arc<Self>,
        survivors: &[NodeId],
        request: &Request,
    ) -> Vec<(NodeId, Reply)> {
        let deadline = Deadline::after(&*self.environment, PATIENCE_US);
        let mut calls = Gather::until(Arc::clone(&self.environment), deadline);
        for &survivor in survivors {
            calls.ask(survivor, self.call(survivor, request.clone(), deadline));
        }
        let mut answers = Vec::new();
        while let Some((survivor, reply)) = calls.next().await {
            answers.extend(reply.ok().map(|reply| (survivor, reply)));
        }
        answers
    }

    /// A survivor holds a later document than this node, of the same history unless it is of no use.
    async fn again_after(self: &Arc<Self>, from: NodeId, until: Deadline) -> Attempt {
        let before = self.ring().document().epoch;
        if !self.catch_up(from, until).await && self.ring().document().epoch == before {
            let name = self.name_of(from);
            return Attempt::Failed(RecoveryFailed::Parted { name });
        }
        Attempt::Again
    }
}

/// With the documents that are in it; none if they can't be read.
fn decoded(pledge: Pledge<Bytes>) -> Option<Pledge<Document>> {
    let document = |accepted: Accepted<Bytes>| {
        let value = Arc::new(ring_format::decode(accepted.value).ok()?);
        let ballot = accepted.ballot;
        Some(Accepted { ballot, value })
    };
    let both = [pledge.accepted, pledge.recovery].map(|accepted| match accepted {
        None => Some(None),
        Some(accepted) => document(accepted).map(Some),
    });
    let [accepted, recovery] = both;
    Some(Pledge {
        ballot: pledge.ballot,
        held: pledge.held,
        accepted: accepted?,
        recovery: recovery?,
    })
}
