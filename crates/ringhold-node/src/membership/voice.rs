//! Whether a node's word counts in the agreement on ring documents.
//!
//! A voter must remember what it has promised and accepted. A store that was emptied, or put back from a copy, does not. So a
//! start is silent at first, until the other members have said what they know of this node's earlier starts (see `admission`):
//!
//! - a new store in a place where none was has no word to forget, and speaks;
//! - one of which at least half of the others know no later start speaks again. (Had it given its word in one, it would have told
//!   half of them of that start before. That half and this one may miss each other: a disk that is put back while the very members are away that
//!   knew better is beyond this. Asking for more would keep a cluster of three from removing a dead member after a restart.)
//! - one that is contradicted, or lost, has to *regain* its voice.
//!
//! **Regaining** is the first phase of a ballot that nobody has used. Of every majority in which the lost word took part, at least one
//! other voter is left, and among any n - m + 1 others (m being a majority of n voters) there is one of those. So a promise from so many
//! others brings back whatever was accepted with the lost word's help; and by taking the new ballot for its own promise, far above
//! all that they have seen, the node refuses whatever it may have promised to take and has not been sent yet.
//!
//! Not here: what is done about the data that such a store has lost (`rebuild`). A cluster of which so many voters have lost their
//! stores that nobody can regain a voice can't change its ring; its reads and writes go on.

use crate::env::Deadline;
use crate::gather::Gather;
#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::node::Node;
use ringhold_core::boot::Inquiry;
use ringhold_core::id::NodeId;
use ringhold_core::membership::register::{Acceptance, Accepted, Ballot, Denial};
use ringhold_core::rebuild::{Newness, newness};
use ringhold_core::ring::Epoch;
use ringhold_wire::message::membership::PrepareRequest;
use ringhold_wire::message::peer::{Reply, Request};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How long the others may take, in microseconds.
const PATIENCE_US: u64 = 1_500_000;
/// Between two tries, in microseconds.
const PAUSE_US: u64 = 1_000_000;
/// So far above what the others have promised is the ballot: no proposer of an honest attempt comes near it.
const LEAP: u64 = 1 << 20;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Voice {
    speaks: AtomicBool,
    /// It has to be regained, and somebody sees to that.
    is_lost: AtomicBool,
}

impl Voice {
    pub(crate) fn speaks(&self) -> bool {
        self.speaks.load(Ordering::Acquire)
    }

    /// What was forgotten does not matter any more: a new generation has begun, and this very process helped to begin it.
    pub(super) fn begin_anew(&self) {
        self.is_lost.store(false, Ordering::Release);
        self.speaks.store(true, Ordering::Release);
    }
}

/// What one try came to.
enum Try {
    Regained,
    /// Somebody has promised this, or nobody something higher than before.
    Outbid(u64),
}

impl Node {
    /// Draws the conclusions from what the others have said of this start so far.
    pub(crate) fn consider_voice(self: &Arc<Self>, inquiry: &Inquiry) {
        let voice = &self.agreement.voice;
        #[cfg(feature = "known-bad")]
        if known_bad::is(Variant::ForgetfulVoterSpeaks) {
            return voice.speaks.store(true, Ordering::Release);
        }
        let is_lost = inquiry.is_contradicted()
            || (self.rebuild.in_doubt() && newness(inquiry) == Newness::Known);
        if is_lost && !voice.is_lost.swap(true, Ordering::AcqRel) {
            voice.speaks.store(false, Ordering::Release);
            let node = Arc::clone(self);
            self.environment
                .spawn(Box::pin(async move { node.regain_voice().await }));
        }
        let heard = inquiry.confirming() + inquiry.ignorant();
        let is_heard = 2 * heard >= inquiry.members();
        if is_heard && !self.rebuild.in_doubt() && !voice.is_lost.load(Ordering::Acquire) {
            voice.speaks.store(true, Ordering::Release);
        }
    }

    async fn regain_voice(self: Arc<Self>) {
        tracing::warn!(
            "this node may have forgotten what it agreed to: it asks the other voters before it votes again"
        );
        let mut above = 0;
        loop {
            let is_regained = !self.agreement.voice.is_lost.load(Ordering::Acquire);
            if is_regained || self.store().poisoned().is_some() || self.is_removed() {
                return;
            }
            match self.try_to_regain(above).await {
                Try::Regained => {
                    tracing::info!("this node votes on the ring again");
                    self.agreement.voice.speaks.store(true, Ordering::Release);
                    return;
                }
                Try::Outbid(by) => above = by,
            }
            let now_us = self.environment.now_us();
            self.environment
                .sleep_until(now_us.saturating_add(PAUSE_US))
                .await;
        }
    }

    /// Asks all other voters for a promise, by a ballot whose round is far above `above`.
    async fn try_to_regain(self: &Arc<Self>, above: u64) -> Try {
        let ring = self.ring();
        let held = ring.document();
        let voters = held.voters();
        let needed = voters.len() - (voters.len() / 2 + 1) + 1;
        let epoch = Epoch(held.epoch.0 + 1);
        let chance = u64::try_from(self.environment.random() % u128::from(LEAP)).unwrap_or(0);
        let ballot = Ballot {
            round: above.saturating_add(LEAP + chance),
            proposer: self.id,
        };
        let deadline = Deadline::after(&*self.environment, PATIENCE_US);
        let mut calls = Gather::until(Arc::clone(&self.environment), deadline);
        for &voter in voters.iter().filter(|voter| **voter != self.id) {
            let request = Request::RingPrepare(PrepareRequest { epoch, ballot });
            calls.ask(voter, self.call(voter, request, deadline));
        }
        let (mut promised, mut highest, mut accepted) = (BTreeSet::<NodeId>::new(), above, None);
        while let Some((voter, reply)) = calls.next().await {
            let Ok(Reply::RingPromised(reply)) = reply else {
                continue;
            };
            let Some(reply) = super::agreement::decoded(reply) else {
                continue;
            };
            match reply {
                Ok(promise) if (promise.epoch, promise.ballot) == (epoch, ballot) => {
                    promised.insert(voter);
                    let later = promise.accepted.filter(|found| {
                        let best = accepted.as_ref();
                        let best = best.map_or(Ballot::NONE, |best: &Accepted<_>| best.ballot);
                        found.ballot > best
                    });
                    accepted = later.or(accepted);
                }
                Ok(_) | Err(Denial::Ahead { .. }) => {}
                Err(Denial::Outbid { by }) => highest = highest.max(by.round),
                Err(Denial::Behind { .. }) => drop(self.catch_up(voter, deadline).await),
            }
        }
        if promised.len() < needed || self.ring().document().epoch != held.epoch {
            return Try::Outbid(highest);
        }
        let word = Acceptance {
            epoch,
            promised: ballot,
            accepted,
        };
        if self.take_word(word).await {
            Try::Regained
        } else {
            Try::Outbid(highest)
        }
    }
}
