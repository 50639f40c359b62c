//! Agreement among survivors: the first document of a generation.
//!
//! What the survivors of a lost majority agree on is a register too, one to a generation, and its acceptors are
//! [`Acceptance`](super::register::Acceptance)s like those of an epoch. What differs is who has to say yes: not a majority, but *everybody* whom the
//! operator does not give up. There is no larger number to ask for, and nothing less would do: whoever is left out of the
//! answer may hold what was committed last, or may be told to recover on its own.
//!
//! 1. *Prepare*: each survivor promises to take no lower ballot, and says which document it holds, what it has accepted in the
//!    register that follows that, and what of an earlier attempt to recover. It refuses if it can reach one of those who are
//!    to be given up.
//! 2. The [`basis`] follows from these answers: an attempt that may have come about is finished; a later document is
//!    fetched first; a document that some survivor had accepted may have been committed by the lost ones, and counts as if it had been.
//! 3. *Accept*: every survivor keeps the new document durably. From then on it votes in no register of the generation that it leaves, until it
//!    has a document of the next one.
//!
//! **Why never two.** Two attempts that share a survivor are two ballots of one register, and what the higher one hears from that survivor
//! carries what the lower one may have decided. Two attempts that share none are two halves that give each other up: what each
//! makes is told apart by its random bits ([`generation`](crate::ring::generation)).
//!
//! Not here: sending, and who is asked.

use super::register::{Accepted, Ballot, Decree};
use crate::id::NodeId;
use crate::ring::Epoch;
use std::collections::BTreeMap;
use std::fmt;

/// A survivor's word that it takes part in no earlier attempt any more. It is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pledge<V> {
    pub ballot: Ballot,
    /// The epoch of the document that it holds.
    pub held: Epoch,
    /// What it accepted to follow that document, if anything.
    pub accepted: Option<Accepted<V>>,
    /// What it accepted in an earlier attempt to recover.
    pub recovery: Option<Accepted<V>>,
}

/// Why a survivor takes no part. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PledgeRefused {
    /// It has promised this ballot.
    Outbid { by: Ballot },
    /// It holds a document of the generation that is to begin, or of a later one.
    Behind { committed: Epoch },
    /// It holds one of an earlier generation than the one that is to end, and has to fetch first.
    Ahead { held: Epoch },
    /// It can reach one that is to be given up, or is one itself.
    Lives { member: NodeId },
}

impl fmt::Display for PledgeRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outbid { by } => write!(f, "it takes part in another recovery, ballot {by}"),
            Self::Behind { committed } => write!(f, "it holds epoch {committed} already"),
            Self::Ahead { held } => write!(f, "it holds epoch {held} only"),
            Self::Lives { member } => write!(f, "it can reach {member}"),
        }
    }
}

/// The answer to a prepare.
pub type PledgeReply<V> = Result<Pledge<V>, PledgeRefused>;

/// What the new generation begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Basis<V> {
    /// An earlier attempt may have come about: exactly this is proposed.
    Finish(V),
    /// A survivor holds a later document: that first.
    Fetch { from: NodeId, epoch: Epoch },
    /// This may have been committed: the draft is made of it.
    Upon(V),
    /// The draft is made of the document that the proposer holds.
    Held,
}

/// What follows from the pledges of all survivors, for a proposer that holds the document of epoch `held`.
#[must_use]
pub fn basis<V: Decree>(held: Epoch, pledges: &BTreeMap<NodeId, Pledge<V>>) -> Basis<V> {
    let of_recovery = pledges
        .values()
        .filter_map(|pledge| pledge.recovery.as_ref());
    if let Some(value) = highest(of_recovery) {
        return Basis::Finish(value);
    }
    let newest = pledges
        .iter()
        .map(|(node, pledge)| (pledge.held, *node))
        .max();
    if let Some((epoch, from)) = newest.filter(|(epoch, _)| *epoch > held) {
        return Basis::Fetch { from, epoch };
    }
    let next = Epoch(held.0.saturating_add(1));
    let as_late = pledges.values().filter(|pledge| pledge.held == held);
    let accepted = as_late.filter_map(|pledge| pledge.accepted.as_ref());
    let accepted = accepted.filter(|accepted| accepted.value.epoch() == next);
    highest(accepted).map_or(Basis::Held, Basis::Upon)
}

fn highest<'a, V: Decree + 'a>(found: impl Iterator<Item = &'a Accepted<V>>) -> Option<V> {
    let highest = found.max_by_key(|accepted| accepted.ballot);
    highest.map(|accepted| accepted.value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::RingHash;
    use std::collections::BTreeSet;

    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Value(u64, u8);

    impl Decree for Value {
        fn name(&self) -> RingHash {
            RingHash([self.1; 16])
        }

        fn epoch(&self) -> Epoch {
            Epoch(self.0)
        }

        fn voters(&self) -> BTreeSet<NodeId> {
            BTreeSet::new()
        }
    }

    fn accepted(round: u64, epoch: u64, name: u8) -> Option<Accepted<Value>> {
        let proposer = NodeId(1);
        Some(Accepted {
            ballot: Ballot { round, proposer },
            value: Value(epoch, name),
        })
    }

    type Found = Option<Accepted<Value>>;

    /// Of each survivor: the epoch that it holds, and what it has accepted.
    fn of(pledges: &[(u64, Found, Found)]) -> Basis<Value> {
        let ballot = Ballot {
            round: 9,
            proposer: NodeId(1),
        };
        let pledge = |(held, accepted, recovery): &(u64, _, _)| Pledge::<Value> {
            ballot,
            held: Epoch(*held),
            accepted: Option::clone(accepted),
            recovery: Option::clone(recovery),
        };
        let pledges = (1..).map(NodeId).zip(pledges.iter().map(pledge)).collect();
        basis(Epoch(5), &pledges)
    }

    #[test]
    fn nothing_that_may_have_been_decided_is_passed_over() {
        assert_eq!(of(&[(5, None, None), (4, None, None)]), Basis::Held);
        let from = NodeId(2);
        let epoch = Epoch(7);
        assert_eq!(
            of(&[(5, None, None), (7, None, None)]),
            Basis::Fetch { from, epoch }
        );
        let two = [
            (5, accepted(1, 6, b'a'), None),
            (5, accepted(2, 6, b'b'), None),
        ];
        assert_eq!(of(&two), Basis::Upon(Value(6, b'b')));
        // Whoever is behind has accepted what was settled since.
        let behind = [(5, None, None), (4, accepted(9, 5, b'a'), None)];
        assert_eq!(of(&behind), Basis::Held);
        let begun = [
            (5, accepted(9, 6, b'a'), accepted(1, 1 << 32, b'r')),
            (7, None, None),
        ];
        assert_eq!(of(&begun), Basis::Finish(Value(1 << 32, b'r')));
    }
}
