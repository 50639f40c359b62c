//! The proposer: one attempt, under one ballot, to have a document committed.
//!
//! Told who answered what, a [`Proposal`] says what to do next, like the tallies of
//! [`quorum`](crate::quorum). The host sends, waits, and reports silence as [`failed`](Proposal::failed). It keeps
//! at most one proposal at a time, and nothing of it on disk: an attempt that is dropped at any moment is as
//! if its messages had been lost. What it may have got accepted is found by whoever asks next.
//!
//! An attempt ends early only when it can't succeed any more. One refusal does not end it: with five voters,
//! two may have promised a higher ballot to somebody who has since died.
//!
//! Invariants: the value of a ballot is chosen once; a promise counts only from a voter of the previous document, and
//! with what it brings; replies of another epoch, another ballot, or from nodes that were not asked
//! change nothing; after the end nothing does.
//!
//! Not here: what follows an end. After [`Step::Lost`] the host waits for a random while, longer each time, and
//! begins again above the ballot that it lost to; after [`Step::Fetch`] the operator's change is made anew
//! on the document fetched, or found to be in it.

use std::collections::BTreeSet;

use super::acceptance::Acceptance;
use super::{AcceptReply, Accepted, Ballot, Decree, Denial, PrepareReply, Promise, majority};
use crate::id::NodeId;
use crate::ring::{Epoch, RingHash};

/// What a proposer does next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step<V> {
    /// Nothing: answers are outstanding, or the attempt is over.
    Wait,
    /// Ask these for a promise.
    SendPrepares { to: BTreeSet<NodeId> },
    /// Ask these to accept the value, this node among them where it is named.
    SendAccepts { to: BTreeSet<NodeId>, value: V },
    /// Committed: adopt the value, tell the others. The attempt is over.
    Chosen {
        value: V,
        /// Whether it is what this proposer wanted, and not what another had begun.
        ours: bool,
    },
    /// Another proposer was faster: wait, then begin above this ballot. The attempt is over; what it got
    /// accepted may still be committed by another.
    Lost { to: Ballot },
    /// The epoch is decided. The attempt is over.
    Fetch { from: NodeId, epoch: Epoch },
    /// So many are silent or left behind that no majority can come. The attempt is over; what it got accepted may
    /// still be committed by another.
    OutOfReach,
    /// Two values under one ballot: a disk that went back in time, or a lie. Nothing that is done next is
    /// safe; no ring change should be attempted before people have looked. The attempt is over.
    Contradiction {
        ballot: Ballot,
        values: [RingHash; 2],
    },
}

/// One attempt. See the module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Proposal<V> {
    epoch: Epoch,
    ballot: Ballot,
    /// The voters of the previous document.
    voters: BTreeSet<NodeId>,
    phase: Phase<V>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase<V> {
    Preparing {
        own: V,
        /// Of the promises, the accepted value with the highest ballot.
        found: Option<Accepted<V>>,
        heard: Heard,
    },
    Accepting {
        value: V,
        ours: bool,
        heard: Heard,
    },
    Over,
}

/// A new attempt.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[must_use = "the ballot may be used only once it is on disk"]
pub struct Opening<V> {
    /// Replaces the Acceptance on disk and then in memory, before anything is sent.
    pub persist: Acceptance<V>,
    pub proposal: Proposal<V>,
    pub step: Step<V>,
}

/// Why an attempt is not begun. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotBegun {
    /// Acceptance, document held and value are not of three epochs that belong together: this node adopted another
    /// document meanwhile. To count the votes of one epoch in the register of another could make two documents.
    OtherEpoch,
    /// The rounds are used up.
    NoBallotLeft,
}

impl<V: Decree> Proposal<V> {
    /// Begins an attempt with the next ballot above all that this node promised and above `outbid_by`, the
    /// ballot to which the attempt before was lost ([`Ballot::NONE`] if there was none).
    ///
    /// `own` is this node's Acceptance, `held` the document that it follows, and `value` what is wanted to follow that,
    /// validated. A node need not be a voter to propose.
    pub fn begin(
        own: &Acceptance<V>,
        proposer: NodeId,
        held: &V,
        value: V,
        outbid_by: Ballot,
    ) -> Result<Opening<V>, NotBegun> {
        if Acceptance::<V>::after(held.epoch()).epoch != own.epoch || value.epoch() != own.epoch {
            return Err(NotBegun::OtherEpoch);
        }
        let voters = held.voters();
        let ballot = next_ballot(own, proposer, outbid_by).ok_or(NotBegun::NoBallotLeft)?;
        let promised = own.prepare(own.epoch, ballot);
        let persist = promised.persist.ok_or(NotBegun::NoBallotLeft)?;
        let mut to: BTreeSet<NodeId> = voters.union(&value.voters()).copied().collect();
        to.remove(&proposer);
        let mut proposal = Self {
            epoch: own.epoch,
            ballot,
            voters,
            phase: Phase::Preparing {
                own: value,
                found: None,
                heard: Heard::default(),
            },
        };
        let step = match proposal.heard_prepare(proposer, promised.reply) {
            Step::Wait => Step::SendPrepares { to },
            step => step,
        };
        Ok(Opening {
            persist,
            proposal,
            step,
        })
    }

    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub fn ballot(&self) -> Ballot {
        self.ballot
    }

    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// A node's answer to this attempt's prepare.
    pub fn heard_prepare(&mut self, node: NodeId, reply: PrepareReply<V>) -> Step<V> {
        if !self.is_asked(node) {
            return Step::Wait;
        }
        let promise = match reply {
            Err(denial) => return self.denied(node, denial),
            Ok(promise) => promise,
        };
        if (promise.epoch, promise.ballot) != (self.epoch, self.ballot) {
            return Step::Wait;
        }
        let Phase::Preparing { found, heard, .. } = &mut self.phase else {
            return Step::Wait;
        };
        if let Some(accepted) = promise
            .accepted
            .as_ref()
            .filter(|a| a.ballot >= self.ballot)
        {
            // Nobody can have accepted what was not sent yet: the ballot is not ours alone.
            let by = accepted.ballot;
            return self.denied(node, Denial::Outbid { by });
        }
        heard.yes(node);
        if self.voters.contains(&node)
            && let Err(contradiction) = learn(found, promise)
        {
            self.phase = Phase::Over;
            return contradiction;
        }
        self.settle()
    }

    /// A node's answer to this attempt's accept.
    pub fn heard_accept(&mut self, node: NodeId, reply: AcceptReply) -> Step<V> {
        if !self.is_asked(node) {
            return Step::Wait;
        }
        let receipt = match reply {
            Err(denial) => return self.denied(node, denial),
            Ok(receipt) => receipt,
        };
        if (receipt.epoch, receipt.ballot) != (self.epoch, self.ballot) {
            return Step::Wait;
        }
        let Phase::Accepting { heard, .. } = &mut self.phase else {
            return Step::Wait;
        };
        heard.yes(node);
        self.settle()
    }

    /// A node can't be reached, is silent, or gave an answer that makes no sense. If it answers after all, that counts.
    pub fn failed(&mut self, node: NodeId) -> Step<V> {
        if !self.is_asked(node) {
            return Step::Wait;
        }
        match &mut self.phase {
            Phase::Preparing { heard, .. } | Phase::Accepting { heard, .. } => heard.no(node),
            Phase::Over => return Step::Wait,
        }
        self.settle()
    }

    fn denied(&mut self, node: NodeId, denial: Denial) -> Step<V> {
        let (Phase::Preparing { heard, .. } | Phase::Accepting { heard, .. }) = &mut self.phase
        else {
            return Step::Wait;
        };
        match denial {
            Denial::Behind { committed } if committed >= self.epoch => {
                self.phase = Phase::Over;
                return Step::Fetch {
                    from: node,
                    epoch: committed,
                };
            }
            Denial::Outbid { by } if by >= self.ballot => heard.outbid_by = heard.outbid_by.max(by),
            Denial::Behind { .. } | Denial::Ahead { .. } | Denial::Outbid { .. } => {}
        }
        self.failed(node)
    }

    fn is_asked(&self, node: NodeId) -> bool {
        let next = match &self.phase {
            Phase::Preparing { own: value, .. } | Phase::Accepting { value, .. } => value,
            Phase::Over => return false,
        };
        self.voters.contains(&node) || next.voters().contains(&node)
    }

    /// Looks whether the phase has come to its end.
    fn settle(&mut self) -> Step<V> {
        match &self.phase {
            Phase::Preparing { own, found, heard } => {
                let previous = heard.standing(&self.voters);
                // A document is put forward only where it can be finished; one that was found has to be.
                let ready = match found {
                    Some(_) => Standing::Met,
                    None => heard.standing(&own.voters()),
                };
                if (previous, ready) == (Standing::Met, Standing::Met) {
                    let value = found.as_ref().map_or(own, |accepted| &accepted.value);
                    let ours = value.name() == own.name();
                    return self.send_accepts(value.clone(), ours);
                }
                let hopeless = previous == Standing::Impossible
                    || ready == Standing::Impossible && heard.all_of(&self.voters);
                self.end_if(hopeless)
            }
            Phase::Accepting { value, ours, heard } => {
                let standings = [
                    heard.standing(&self.voters),
                    heard.standing(&value.voters()),
                ];
                if standings == [Standing::Met; 2] {
                    let (value, ours) = (value.clone(), *ours);
                    self.phase = Phase::Over;
                    return Step::Chosen { value, ours };
                }
                self.end_if(standings.contains(&Standing::Impossible))
            }
            Phase::Over => Step::Wait,
        }
    }

    fn send_accepts(&mut self, value: V, ours: bool) -> Step<V> {
        let to = self.voters.union(&value.voters()).copied().collect();
        self.phase = Phase::Accepting {
            value: value.clone(),
            ours,
            heard: Heard::default(),
        };
        Step::SendAccepts { to, value }
    }

    fn end_if(&mut self, hopeless: bool) -> Step<V> {
        let outbid_by = match &self.phase {
            Phase::Preparing { heard, .. } | Phase::Accepting { heard, .. } if hopeless => {
                heard.outbid_by
            }
            _ => return Step::Wait,
        };
        self.phase = Phase::Over;
        if outbid_by == Ballot::NONE {
            return Step::OutOfReach;
        }
        Step::Lost { to: outbid_by }
    }
}

/// One round above what was promised here and, unless that is out of all proportion, elsewhere.
fn next_ballot<V>(own: &Acceptance<V>, proposer: NodeId, outbid_by: Ballot) -> Option<Ballot> {
    let above = |ballot: Ballot| {
        let round = ballot.round.checked_add(1)?;
        let ballot = Ballot { round, proposer };
        (!own.leaps(ballot)).then_some(ballot)
    };
    above(own.promised.max(outbid_by)).or_else(|| above(own.promised))
}

/// Takes what a promise brings, if it is of a higher ballot than what was found before.
fn learn<V: Decree>(found: &mut Option<Accepted<V>>, promise: Promise<V>) -> Result<(), Step<V>> {
    let Some(accepted) = promise.accepted else {
        return Ok(());
    };
    match found {
        Some(best) if best.ballot > accepted.ballot => {}
        Some(best) if best.ballot == accepted.ballot => {
            let values = [best.value.name(), accepted.value.name()];
            if values[0] != values[1] {
                let ballot = best.ballot;
                return Err(Step::Contradiction { ballot, values });
            }
        }
        _ => *found = Some(accepted),
    }
    Ok(())
}

/// Who has answered in one phase. A node counts once; its yes stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Heard {
    yes: BTreeSet<NodeId>,
    no: BTreeSet<NodeId>,
    /// The highest ballot that somebody promised instead.
    outbid_by: Ballot,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Pending,
    Met,
    Impossible,
}

impl Heard {
    fn yes(&mut self, node: NodeId) {
        self.no.remove(&node);
        self.yes.insert(node);
    }

    fn no(&mut self, node: NodeId) {
        if !self.yes.contains(&node) {
            self.no.insert(node);
        }
    }

    fn all_of(&self, voters: &BTreeSet<NodeId>) -> bool {
        voters
            .iter()
            .all(|voter| self.yes.contains(voter) || self.no.contains(voter))
    }

    /// Whether a majority of these said yes.
    fn standing(&self, voters: &BTreeSet<NodeId>) -> Standing {
        let required = majority(voters.len());
        if voters.intersection(&self.yes).count() >= required {
            return Standing::Met;
        }
        if voters.difference(&self.no).count() < required {
            return Standing::Impossible;
        }
        Standing::Pending
    }
}
