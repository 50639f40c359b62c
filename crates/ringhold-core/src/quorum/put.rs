//! The tally of one put.
//!
//! W nodes have to acknowledge, DW of them from disk, PW of them primaries, `node_confirms` of them
//! different nodes (§4.5; the last three are what a sloppy quorum and acknowledgements from memory,
//! §6.1, leave to be asked). An acknowledgement has two properties, its node's role and whether it
//! is durable, and every requirement counts the nodes with a given property. Nothing is weighed.
//!
//! What an impossible put means is narrower than it sounds. The replicas that acknowledged keep the
//! write, the rest may still get it, and a later read may show it (T7): the answer to the client is
//! "unknown", with the counts, and never "failed".
//!
//! A replica that acknowledged from memory and is on disk later may say so; the tally takes the
//! better news and never waits for it.
//!
//! Invariants: those of the module above; durable and primary acknowledgements are each at most all
//! acknowledgements.
//!
//! Not here: the dot, the bucket's durability (it decides what replicas are asked to say, and with
//! it which DW makes sense), and the tail: the replicas that answer after the verdict.

use crate::id::NodeId;

use super::roll::{Entry, Outcome, Roll};
use super::spec::PutQuorum;
use super::{
    FailureCounts, FailureKind, Progress, ReplicaKind, Requirement, Status, Target, judge,
};

/// What a replica said about the write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PutOutcome {
    /// Stored, and a flush that covers it has succeeded.
    Durable,
    /// Stored in memory; a crash of that node may lose it.
    InMemory,
    /// Refused, or not heard of. Whether it is stored is known only for some kinds.
    Failed(FailureKind),
}

impl Outcome for PutOutcome {
    fn failure(self) -> Option<FailureKind> {
        match self {
            Self::Failed(kind) => Some(kind),
            Self::Durable | Self::InMemory => None,
        }
    }

    fn gives_way_to(self, later: Self) -> bool {
        match self {
            Self::Durable => false,
            Self::InMemory => later == Self::Durable,
            Self::Failed(_) => later.failure().is_none(),
        }
    }
}

/// One reply to a put, or the coordinator's conclusion that none will come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PutReply {
    pub node: NodeId,
    /// For a node that was expected in another role, that role stands.
    pub kind: ReplicaKind,
    pub outcome: PutOutcome,
}

impl PutReply {
    fn target(&self) -> Target {
        Target {
            node: self.node,
            kind: self.kind,
        }
    }
}

/// What a put has achieved, for its answer. Acknowledgements after the verdict are in here too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PutCounts {
    /// Nodes that acknowledged.
    pub acknowledged: u32,
    /// Those of them that did so from disk.
    pub durable: u32,
    /// Those of them that are primaries.
    pub primaries: u32,
    /// Different nodes. Equal to `acknowledged` as long as a node stands for its machine.
    pub nodes: u32,
}

/// The acknowledgements of one put, and the verdict on them.
#[derive(Debug, Clone)]
pub struct PutTally {
    quorum: PutQuorum,
    roll: Roll<PutOutcome>,
    status: Status,
}

impl PutTally {
    /// A tally of acknowledgements from these targets, the coordinator among them. A node named
    /// twice is one target.
    ///
    /// Impossible from the start where they are too few, or too few of them primaries.
    pub fn new(quorum: PutQuorum, targets: impl IntoIterator<Item = Target>) -> Self {
        let mut tally = Self {
            quorum,
            roll: Roll::new(targets),
            status: Status::Pending,
        };
        tally.settle();
        tally
    }

    /// Notes one reply and returns the status after it. A node's word is replaced only by a better
    /// one: a failure by an acknowledgement, an acknowledgement from memory by one from disk.
    pub fn record(&mut self, reply: PutReply) -> Status {
        self.roll.hear(reply.target(), reply.outcome);
        self.settle()
    }

    /// Adds a target, such as the stand-in for a slow one. Does nothing for a node already on the
    /// list. A verdict that has fallen stays.
    pub fn expect_more(&mut self, target: Target) {
        self.roll.expect(target);
        self.settle();
    }

    /// Notes that a target did not take the write and that another one has been asked in its place,
    /// in one step: a failure noted first could end the put before its stand-in is counted.
    ///
    /// # Panics
    /// If the outcome is an acknowledgement; that needs no stand-in.
    pub fn retargeted(&mut self, failed: PutReply, stand_in: Target) -> Status {
        let refused = failed.outcome.failure().is_some();
        assert!(refused, "a stand-in for an acknowledgement: {failed:?}");
        self.roll.expect(stand_in);
        self.roll.hear(failed.target(), failed.outcome);
        self.settle()
    }

    pub fn status(&self) -> Status {
        self.status
    }

    pub fn quorum(&self) -> &PutQuorum {
        &self.quorum
    }

    /// Targets that have not been heard of, in the order of asking.
    pub fn outstanding(&self) -> impl Iterator<Item = Target> + '_ {
        self.roll.outstanding()
    }

    /// Failures so far. With the status impossible and one of them overloaded, the client should be
    /// told of the overload.
    pub fn failures(&self) -> FailureCounts {
        self.roll.failures()
    }

    pub fn counts(&self) -> PutCounts {
        let acknowledged = self.roll.count(is_acknowledged);
        let counts = PutCounts {
            acknowledged,
            durable: self.roll.count(is_durable),
            primaries: self
                .roll
                .count(|entry| is_acknowledged(entry) && entry.is_primary()),
            nodes: acknowledged,
        };
        assert!(counts.durable <= acknowledged && counts.primaries <= acknowledged);
        counts
    }

    fn settle(&mut self) -> Status {
        if self.status == Status::Pending {
            self.status = judge(&self.progress());
        }
        self.status
    }

    /// The four requirements, in the order in which a shortfall is reported.
    fn progress(&self) -> [Progress; 4] {
        let counts = self.counts();
        let outstanding = self.roll.count(Entry::is_outstanding);
        let primaries_outstanding = self
            .roll
            .count(|entry| entry.is_outstanding() && entry.is_primary());
        let row = |requirement, required, obtained, outstanding| Progress {
            requirement,
            required,
            obtained,
            attainable: obtained + outstanding,
        };
        let quorum = &self.quorum;
        let acknowledgements = quorum.acknowledgements_required();
        [
            row(
                Requirement::PW,
                quorum.pw,
                counts.primaries,
                primaries_outstanding,
            ),
            row(Requirement::DW, quorum.dw, counts.durable, outstanding),
            row(
                Requirement::W,
                acknowledgements,
                counts.acknowledged,
                outstanding,
            ),
            row(
                Requirement::NodeConfirms,
                quorum.node_confirms,
                counts.nodes,
                outstanding,
            ),
        ]
    }
}

fn is_acknowledged(entry: &Entry<PutOutcome>) -> bool {
    matches!(
        entry.outcome,
        Some(PutOutcome::Durable | PutOutcome::InMemory)
    )
}

fn is_durable(entry: &Entry<PutOutcome>) -> bool {
    entry.outcome == Some(PutOutcome::Durable)
}
