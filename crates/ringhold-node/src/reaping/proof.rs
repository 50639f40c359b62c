//! Looking twice, and removing.
//!
//! A question goes to all whom it concerns at once, some keys at a time. Whoever can't be reached, does not answer in
//! time or refuses ends the matter for all keys of the partition; a key that somebody says no to
//! stays alone. Candidates that fail are forgotten here and found again by the next walk.

use super::{Candidates, Obstacle};
use crate::env::{CallError, Deadline};
use crate::gather::Gather;
#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::node::Node;
use ringhold_core::id::NodeId;
use ringhold_core::reaping::Look;
use ringhold_core::ring::TreeId;
use ringhold_wire::message::peer::{
    LeafEntry, ReapRequest, Refusal, Reply, Request, StraysRequest,
};
use std::sync::Arc;

/// How long one question may take, in microseconds.
const PATIENCE_US: u64 = 5_000_000;
/// Keys in one question.
const KEYS_MAX: usize = 256;

/// Candidates that passed the first look.
pub(super) struct Pending {
    candidates: Candidates,
    /// The placement by which they were looked at: another one has other homes, and the proof begins anew.
    placement_number: u64,
    /// When they are looked at again.
    pub(super) due_us: u64,
}

impl Pending {
    /// Looks for the first time; none if nothing passes.
    pub(super) async fn begin(node: &Arc<Node>, candidates: Candidates) -> Option<Self> {
        let placement_number = node.ring().placement_number();
        let candidates = looked_at(node, candidates).await?;
        #[cfg(feature = "known-bad")]
        if known_bad::is(Variant::ReapsAtFirstLook) {
            remove(node, candidates).await;
            return None;
        }
        let settle_us = node.tuning.reaping.settle_us;
        Some(Self {
            candidates,
            placement_number,
            due_us: node.environment.now_us().saturating_add(settle_us),
        })
    }

    pub(super) fn keys(&self) -> usize {
        self.candidates.entries.len()
    }

    /// Looks again, and has removed what passes.
    pub(super) async fn finish(self, node: &Arc<Node>) {
        #[cfg(feature = "known-bad")]
        if known_bad::is(Variant::ReapsUnconditionally) {
            return remove(node, self.candidates).await;
        }
        if let Some(proven) = looked_at(node, self.candidates).await
            && node.ring().placement_number() == self.placement_number
        {
            remove(node, proven).await;
        }
    }
}

/// Has every primary remove what it still has as it was proven.
async fn remove(node: &Arc<Node>, Candidates { tree, entries }: Candidates) {
    let homes = node.homes_of(tree);
    for entries in entries.chunks(KEYS_MAX) {
        let request = Request::Reap(ReapRequest {
            partition: tree.partition.0,
            entries: entries.to_vec(),
        });
        // Whoever does not hear of it keeps what it has, and brings it back.
        answers(node, &homes, &request, |_, _| {}).await;
    }
}

/// Those of the candidates that pass one look; none if a member stands in the way or nothing passes.
async fn looked_at(node: &Arc<Node>, candidates: Candidates) -> Option<Candidates> {
    let Candidates { tree, entries } = candidates;
    let mut passing = Vec::with_capacity(entries.len());
    for entries in entries.chunks(KEYS_MAX) {
        match look(node, tree, entries).await {
            Ok(verdict) => {
                let passed = entries.iter().zip(verdict).filter(|(_, passes)| *passes);
                passing.extend(passed.map(|(entry, _)| entry.clone()));
            }
            Err(obstacle) => {
                let kept = entries.len() as u64;
                node.metrics.reaping_obstructed.add(kept);
                node.reaping.stopped(tree.partition, obstacle);
                return None;
            }
        }
    }
    node.reaping.went_on(tree.partition);
    (!passing.is_empty()).then_some(Candidates {
        tree,
        entries: passing,
    })
}

/// Which of these keys may go, if all are there who have to be asked.
async fn look(
    node: &Arc<Node>,
    tree: TreeId,
    entries: &[LeafEntry],
) -> Result<Vec<bool>, Obstacle> {
    let ring = node.ring();
    let homes = ring.homes_of(tree).to_vec();
    let members = ring.members().iter();
    let members = members.filter(|member| !member.state.is_gone());
    let others: Vec<NodeId> = members
        .map(|member| member.id)
        .filter(|member| !homes.contains(member))
        .collect();
    #[cfg(feature = "known-bad")]
    let (homes, others) = known_bad::asked(node, homes, others);
    let mut everybody = homes.iter().chain(&others);
    if let Some(&away) = everybody.find(|&&member| !node.is_reachable(member)) {
        return Err(Obstacle {
            member: away,
            why: "cannot be reached",
        });
    }
    let strays = Request::Strays(StraysRequest {
        partition: tree.partition.0,
        quiet_us: node.tuning.reaping.settle_us,
        names: entries.iter().map(|entry| entry.name.clone()).collect(),
    });
    let clean = ask(node, &others, &strays, entries.len()).await?;
    let vouch = Request::Vouch(ReapRequest {
        partition: tree.partition.0,
        entries: entries.to_vec(),
    });
    let vouched = ask(node, &homes, &vouch, entries.len()).await?;
    let count = |answers: &[bool]| answers.iter().filter(|answer| !**answer).count() as u64;
    node.metrics.reaping_strays.add(count(&clean));
    node.metrics.reaping_unlike.add(count(&vouched));
    let both = clean.iter().zip(vouched);
    Ok(both.map(|(clean, vouched)| *clean && vouched).collect())
}

/// Puts a question to all of them. An answer is yes or no for each of so many keys.
async fn ask(
    node: &Arc<Node>,
    members: &[NodeId],
    request: &Request,
    keys: usize,
) -> Result<Vec<bool>, Obstacle> {
    let mut look = Look::new(keys, members.iter().copied());
    let mut refused = None;
    answers(node, members, request, |member, reply| match reply {
        Ok(Reply::Said(answers)) => look.hear(member, &answers),
        Ok(Reply::Refused(refusal)) => refused = Some((member, why(refusal))),
        Ok(_) | Err(CallError::NotSent | CallError::NoAnswer) => {}
    })
    .await;
    #[cfg(feature = "known-bad")]
    if known_bad::is(Variant::ReapsWithAbsentMember) && matches!(request, Request::Strays(_)) {
        members
            .iter()
            .for_each(|member| look.hear(*member, &vec![true; keys]));
    }
    look.verdict().map_err(|silent| {
        let (member, why) = refused.unwrap_or((silent, "does not answer"));
        Obstacle { member, why }
    })
}

async fn answers(
    node: &Arc<Node>,
    members: &[NodeId],
    request: &Request,
    mut hear: impl FnMut(NodeId, Result<Reply, CallError>),
) {
    let deadline = Deadline::after(&*node.environment, PATIENCE_US);
    let mut calls = Gather::until(Arc::clone(&node.environment), deadline);
    for &member in members {
        calls.ask(member, node.call(member, request.clone(), deadline));
    }
    while let Some((member, reply)) = calls.next().await {
        hear(member, reply);
    }
}

fn why(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Overloaded => "is overloaded",
        Refusal::Expired => "is too slow",
        Refusal::StoreFailed => "has a store that failed",
        Refusal::Unreadable => "has records that can't be read",
        Refusal::Rebuilding => "is rebuilding",
        Refusal::Starting => "is starting",
        Refusal::DiskFull => "has a disk that is nearly full",
        Refusal::OlderProtocol => "speaks an older protocol",
        Refusal::Malformed
        | Refusal::PlacementBehind
        | Refusal::PlacementUnknown
        | Refusal::NotAMember
        | Refusal::Sorting
        | Refusal::OtherBase
        | Refusal::OtherBasis => "has another ring",
    }
}
