//! When enough replicas have answered (the paper's §4.5).
//!
//! A get needs R answers and a put W acknowledgements out of the N replicas of a key. Around these
//! two numbers stand the ones that a sloppy quorum makes necessary: how many of the answers come
//! from primaries (PR, PW), how many acknowledgements are on disk (DW), and how many different
//! nodes are behind them (`node_confirms`).
//!
//! | module | holds |
//! | --- | --- |
//! | [`spec`] | what a request asks for, resolved against N and the bucket's defaults |
//! | [`get`] | [`GetTally`]: the replies to one get |
//! | [`put`] | [`PutTally`]: the acknowledgements of one put |
//!
//! A tally is told who is asked and who said what, and holds one of three [`Status`]es. It says
//! *impossible* the moment no answer of those still outstanding could help, so that a client hears
//! of a failure when it is certain and not when a deadline passes.
//!
//! Invariants:
//! - The status is monotone: once `Met` or `Impossible` it stays, whatever arrives later. Replies
//!   after the verdict are still counted, for repair and for the answer's figures.
//! - A node counts once, however many replies it sends and in whichever role (T8).
//! - `Impossible` means that no reply of the outstanding targets can bring `Met`; `Pending` means
//!   that some would. The tests enumerate this against every completion.
//!
//! Not here: deadlines, hedging and the choice of stand-ins (the coordinator decides these and
//! reports a deadline as a failed reply), and what the replies contain (see `version`). Sleeping
//! on the whole question until all replies or a timeout are in was the alternative; it turns every
//! dead replica into the longest possible wait.

pub mod get;
pub mod put;
mod roll;
pub mod spec;

use std::fmt;

use crate::id::NodeId;

pub use get::{GetCounts, GetOutcome, GetReply, GetTally};
pub use put::{PutCounts, PutOutcome, PutReply, PutTally};
pub use spec::{Count, GetQuorum, GetSpec, ParseCountError, PutQuorum, PutSpec, QuorumViolation};

/// One of the numbers that a quorum consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Requirement {
    /// Answers to a get.
    R,
    /// Answers to a get from primaries.
    PR,
    /// Acknowledgements of a put.
    W,
    /// Acknowledgements of a put that is on disk.
    DW,
    /// Acknowledgements of a put by primaries.
    PW,
    /// Different nodes behind the answers or acknowledgements.
    NodeConfirms,
}

impl fmt::Display for Requirement {
    /// The name as Riak's clients spell it in a request: `r`, `pr`, `node_confirms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::R => "r",
            Self::PR => "pr",
            Self::W => "w",
            Self::DW => "dw",
            Self::PW => "pw",
            Self::NodeConfirms => "node_confirms",
        })
    }
}

/// Where a get or a put stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Undecided: those still outstanding can bring it about.
    Pending,
    /// Enough was heard to answer.
    Met,
    /// No answer of those still outstanding can help. Says nothing about the replicas that did
    /// acknowledge: what they stored stays stored.
    Impossible(Shortfall),
}

/// The requirement that cannot be met, and how far it got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortfall {
    pub requirement: Requirement,
    /// How many were needed.
    pub required: u32,
    /// How many there were when it became impossible; always below `required`.
    pub obtained: u32,
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} not met: {} of {}",
            self.requirement, self.obtained, self.required
        )
    }
}

/// In which role a node is asked for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReplicaKind {
    /// One of the first N nodes of the preference list.
    Primary,
    /// A stand-in: a node further down the preference list.
    Fallback,
}

/// A node whose answer counts, and its role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    pub node: NodeId,
    pub kind: ReplicaKind,
}

/// Why a target gave no usable answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureKind {
    /// The request provably did not reach it.
    Unreachable,
    /// No answer in time; the request may have been carried out.
    TimedOut,
    /// It refused at once, because its queue is full.
    Overloaded,
    /// It answered that it could not: no disk space, a damaged record, a refused placement number.
    Error,
}

/// How many targets failed, by kind. A node whose answer arrived after all is no longer in here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FailureCounts {
    pub unreachable: u32,
    pub timed_out: u32,
    /// More than none makes an unmet quorum an overload, which a client should answer by waiting.
    pub overloaded: u32,
    pub error: u32,
}

impl FailureCounts {
    /// All failures together.
    pub fn total(&self) -> u32 {
        self.unreachable + self.timed_out + self.overloaded + self.error
    }

    fn add(&mut self, kind: FailureKind) {
        let count = match kind {
            FailureKind::Unreachable => &mut self.unreachable,
            FailureKind::TimedOut => &mut self.timed_out,
            FailureKind::Overloaded => &mut self.overloaded,
            FailureKind::Error => &mut self.error,
        };
        *count += 1;
    }
}

/// One requirement while it is being counted.
#[derive(Debug, Clone, Copy)]
struct Progress {
    requirement: Requirement,
    required: u32,
    obtained: u32,
    /// What `obtained` becomes if every outstanding target answers as one would wish.
    attainable: u32,
}

impl Progress {
    fn is_met(&self) -> bool {
        self.obtained >= self.required
    }

    fn shortfall(&self) -> Option<Shortfall> {
        assert!(self.obtained <= self.attainable, "{self:?}");
        (self.attainable < self.required).then_some(Shortfall {
            requirement: self.requirement,
            required: self.required,
            obtained: self.obtained,
        })
    }
}

/// The status that a set of requirements is in; of several shortfalls the first is named.
///
/// One pass is enough, because one completion serves all requirements best: the one in which every
/// outstanding target gives the answer that counts most.
fn judge(progress: &[Progress]) -> Status {
    if let Some(shortfall) = progress.iter().find_map(Progress::shortfall) {
        return Status::Impossible(shortfall);
    }
    if progress.iter().all(Progress::is_met) {
        return Status::Met;
    }
    Status::Pending
}
