//! Agreement on the next ring document: one write-once register to an epoch.
//!
//! Dynamo let every node change the ring and gossip sort it out (§4.8.1). Two joins at once then make
//! two rings, and merging them afterwards gave partitions two owners or none (T14). So the document
//! of each epoch is *decided*, by single-decree Paxos (Lamport, "Paxos Made Simple", 2001). It needs
//! no leader and no log: ring changes are rare, each stands on the one before, and whoever wants one
//! proposes it.
//!
//! **The register of epoch E+1** belongs to the *voters* of document E: its members that are up, leaving or
//! down. Its value is a whole document, with voters of its own. A *ballot* is a number that one proposer uses
//! for one value.
//!
//! 1. *Prepare*: the proposer asks for a promise to take nothing below its ballot any more. Promises of a
//!    majority of document E's voters free it to go on, and bind it: of the values that these have accepted
//!    it must propose the one with the highest ballot, and only if there is none, its own.
//! 2. *Accept*: the value goes to the voters of both documents. It is **committed** once a majority of E's
//!    voters and a majority of the value's own voters durably accepted it under *one* ballot.
//!
//! **Why never two.** The first majority alone decides which value it can be. If a majority of E's voters
//! accepted v under b, every proposer of a later ballot hears a promise from one of them; by induction over
//! the ballots between, the highest ballot it hears of carries v, and v is what it proposes. The second
//! majority takes nothing from this: it can delay the commit, never turn it. A value that only *its own* voters
//! accepted was not decided, and that is why their word does not bind a proposer.
//!
//! **What the second majority is for.** The old voters may be switched off once a change is committed. Those who
//! decide epoch E+2 are the new voters, and a majority of them must meet one who keeps E+1. A document decided
//! by the old majority whose own majority cannot be reached would block its epoch for ever; so a proposer puts
//! its own value forward only when a majority of that value's voters has answered its prepare too. That is
//! no rule of safety. A value it has *found* it must finish whatever the new voters say.
//!
//! **What must be durable.** [`Acceptance`], before a promise or an acceptance is sent; and the proposer's own
//! promise before its ballot is used, which is what keeps a restarted proposer from using a ballot twice. A node whose
//! disk may have gone back in time (see [`boot`](crate::boot)) neither answers nor proposes in a register in which it may have
//! spoken. Where voters change by one at a time, and a majority of document M's knows no later one, these are the registers up
//! to M+2: it may have been the first to adopt M+1.
//!
//! Invariants: one committed value to an epoch; a value that a majority of E's voters accepted is what every later ballot
//! carries; a promise never goes back; every majority of the next voters has one who keeps what was
//! committed. `tests/it/register.rs` goes through every execution that a few nodes and ballots can have, and
//! shows that it finds each of these rules missing. Two that look alike are less: to have only the previous voters commit, or
//! to count removed members among the next ones, never makes two documents, but leaves one that its own voters
//! may not know. And where voters change by one, promises of the next voters would do for those of the previous, since
//! their majorities meet; with a member replaced they don't.
//!
//! Not here: sending, pauses between attempts (random ones, of the host's making: two proposers can outbid
//! each other for ever), whether a document makes sense (`ring::validation`, before anything is accepted or proposed), and
//! who tells the others. Rejected: a replicated log, which needs a leader to be quick and quickness nobody needs;
//! and the lease of a claimant, which needs clocks.

mod acceptance;
mod proposal;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::id::NodeId;
use crate::ring::{Epoch, RingDocument, RingHash};

pub use acceptance::{Acceptance, Answer, ROUND_LEAP_MAX};
pub use proposal::{NotBegun, Opening, Proposal, Step};

/// A proposer's number for one attempt at one register. Ordered by round, then by proposer, so no two
/// proposers share one; a proposer uses none twice because its own [`Acceptance`] remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ballot {
    /// From 1 on.
    pub round: u64,
    pub proposer: NodeId,
}

impl Ballot {
    /// Below every ballot; nobody proposes under it.
    pub const NONE: Self = Self {
        round: 0,
        proposer: NodeId(0),
    };
}

impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.round, self.proposer)
    }
}

impl Default for Ballot {
    fn default() -> Self {
        Self::NONE
    }
}

/// A value under the ballot with which it was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Accepted<V> {
    pub ballot: Ballot,
    pub value: V,
}

/// What can be decided on. In the cluster a [`RingDocument`]; the register looks no further into it.
pub trait Decree: Clone {
    /// Equal for equal values only.
    fn name(&self) -> RingHash;

    /// The epoch that it is for.
    fn epoch(&self) -> Epoch;

    /// Who votes on what follows this value. A value without voters is never committed.
    fn voters(&self) -> BTreeSet<NodeId>;
}

impl Decree for RingDocument {
    fn name(&self) -> RingHash {
        self.hash()
    }

    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn voters(&self) -> BTreeSet<NodeId> {
        self.voters()
    }
}

impl<D: Decree> Decree for Arc<D> {
    fn name(&self) -> RingHash {
        self.as_ref().name()
    }

    fn epoch(&self) -> Epoch {
        Decree::epoch(self.as_ref())
    }

    fn voters(&self) -> BTreeSet<NodeId> {
        self.as_ref().voters()
    }
}

/// An acceptor's word that it takes nothing below `ballot` any more. It is durable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Promise<V> {
    pub epoch: Epoch,
    pub ballot: Ballot,
    /// What it accepted before, if anything.
    pub accepted: Option<Accepted<V>>,
}

/// An acceptor's word that it keeps the value of `ballot`. It is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Receipt {
    pub epoch: Epoch,
    pub ballot: Ballot,
}

/// Why an acceptor does not do as it was asked. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Denial {
    /// It has promised this ballot, which is not below the one it was asked for (and equal only if that was
    /// used for another value). Also said, with a ballot far below, of what nobody asks honestly: a round out of all
    /// proportion, a value of another epoch.
    Outbid { by: Ballot },
    /// The epoch is decided: the acceptor holds its document, or a later one. The asker fetches that.
    Behind { committed: Epoch },
    /// The acceptor holds an earlier document than the one whose voters are asked. It has to fetch first, best
    /// from the asker and before it answers at all.
    Ahead { held: Epoch },
}

/// The answer to a prepare.
pub type PrepareReply<V> = Result<Promise<V>, Denial>;
/// The answer to an accept.
pub type AcceptReply = Result<Receipt, Denial>;

/// How many of so many voters are a majority. Of none, one: nobody can decide.
pub(crate) fn majority(voters: usize) -> usize {
    voters / 2 + 1
}
