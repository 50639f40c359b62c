//! The acceptor: what a node keeps of the register that follows the document it holds.
//!
//! An [`Acceptance`] is a promise and at most one accepted value. It is small, and it is the whole memory
//! of the protocol: everything else may be lost at any time. So no method changes it in place. Each says
//! what to answer and, if that answer binds, the Acceptance that must be **on disk before the answer is sent**;
//! the host writes it, flushes, replaces the one in memory, and only then replies. If the write fails
//! it sends nothing: what may or may not be on disk is then more than anybody was told, which is harmless.
//!
//! A node that adopts the document of epoch E drops the Acceptance of E, in the same durable step, and
//! starts that of E+1 with [`Acceptance::after`]. It loses nothing by that: from then on it answers
//! [`Denial::Behind`], which says more than any promise.
//!
//! Invariants: `promised` never falls; `accepted.ballot <= promised`; a ballot carries one value; rounds rise by at most
//! [`ROUND_LEAP_MAX`], so no single message can use them up.

use super::{AcceptReply, Accepted, Ballot, Decree, Denial, PrepareReply, Promise, Receipt};
use crate::ring::Epoch;

/// No acceptor follows a ballot whose round is further above what it promised. An honest proposer is one
/// round above what somebody promised, so an acceptor is left behind only if it missed more attempts than can be made.
pub const ROUND_LEAP_MAX: u64 = 1 << 32;

/// What an acceptor keeps durably for one epoch. See the module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acceptance<V> {
    /// The epoch to be decided: one more than that of the document held.
    pub epoch: Epoch,
    /// Nothing below this is taken any more.
    pub promised: Ballot,
    /// What was accepted last, under a ballot not above `promised`.
    pub accepted: Option<Accepted<V>>,
}

/// What to say, and what has to be on disk first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[must_use = "what is not kept before it is said breaks the promise"]
pub struct Answer<R, V> {
    pub reply: R,
    /// Replaces the Acceptance on disk and then in memory, before the reply is sent. `None` if nothing changes.
    pub persist: Option<Acceptance<V>>,
}

impl<R, V> Answer<R, V> {
    fn unchanged(reply: R) -> Self {
        Self {
            reply,
            persist: None,
        }
    }
}

impl<V> Acceptance<V> {
    /// The beginning of the register that follows the document of epoch `held`. Only for a node that adopts this
    /// document instead of an earlier one: begun twice, it has forgotten what it promised.
    #[must_use]
    pub fn after(held: Epoch) -> Self {
        Self {
            epoch: Epoch(held.0.saturating_add(1)),
            promised: Ballot::NONE,
            accepted: None,
        }
    }

    /// The epoch of the document held.
    fn held(&self) -> Epoch {
        Epoch(self.epoch.0.saturating_sub(1))
    }

    /// Why a ballot of an epoch is not even looked at, if so.
    fn denial(&self, epoch: Epoch, ballot: Ballot) -> Option<Denial> {
        if epoch < self.epoch {
            return Some(Denial::Behind {
                committed: self.held(),
            });
        }
        if epoch > self.epoch {
            return Some(Denial::Ahead { held: self.held() });
        }
        let within = ballot.round > 0 && !self.leaps(ballot);
        let taken = within && ballot >= self.promised;
        (!taken).then_some(Denial::Outbid { by: self.promised })
    }

    /// Whether a ballot is too far above what was promised to be honest.
    pub(super) fn leaps(&self, ballot: Ballot) -> bool {
        ballot.round.saturating_sub(self.promised.round) > ROUND_LEAP_MAX
    }
}

impl<V: Decree> Acceptance<V> {
    /// Asked to promise. The same ballot may ask again, in case the answer was lost.
    pub fn prepare(&self, epoch: Epoch, ballot: Ballot) -> Answer<PrepareReply<V>, V> {
        if let Some(denial) = self.denial(epoch, ballot) {
            return Answer::unchanged(Err(denial));
        }
        let reply = Ok(Promise {
            epoch,
            ballot,
            accepted: self.accepted.clone(),
        });
        if ballot == self.promised {
            return Answer::unchanged(reply);
        }
        let persist = Some(Self {
            promised: ballot,
            ..self.clone()
        });
        Answer { reply, persist }
    }

    /// Asked to accept a value, which the host has validated as a successor of the document it holds.
    ///
    /// An acceptor needs no prepare before: who was not among the majority that promised, or does
    /// not vote on this epoch at all, takes the value just the same.
    pub fn accept(&self, epoch: Epoch, ballot: Ballot, value: V) -> Answer<AcceptReply, V> {
        if let Some(denial) = self.denial(epoch, ballot) {
            return Answer::unchanged(Err(denial));
        }
        if value.epoch() != epoch {
            return Answer::unchanged(Err(Denial::Outbid { by: self.promised }));
        }
        let reply = Ok(Receipt { epoch, ballot });
        match &self.accepted {
            Some(accepted) if accepted.ballot == ballot => {
                let same = accepted.value.name() == value.name();
                let outbid = Denial::Outbid { by: self.promised };
                Answer::unchanged(if same { reply } else { Err(outbid) })
            }
            _ => Answer {
                reply,
                persist: Some(Self {
                    epoch,
                    promised: ballot,
                    accepted: Some(Accepted { ballot, value }),
                }),
            },
        }
    }
}
