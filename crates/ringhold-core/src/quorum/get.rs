//! The tally of one get.
//!
//! R replicas have to answer, PR of them primaries, `node_confirms` of them different nodes. What is
//! an answer depends on the bucket. A replica that holds the key has answered. One that says "not
//! found" has answered where `notfound_ok` holds, the default. One that is rebuilding says "don't
//! know", and that is never an answer: it may be the one replica that had the key.
//!
//! Where `notfound_ok` is off, a missing key needs a way out of its own, or every get of it would
//! fail. The get is *met by absence* when no live value has turned up, no replica has failed
//! without a stand-in, and
//! - everybody asked has answered, and those are as many as R, PR and `node_confirms` ask for; or
//! - `basic_quorum` is on, a majority says "not found", and R, PR and `node_confirms` are not out
//!   of reach of the replicas that can still be heard.
//!
//! The answer is then "not found", which needs no status of its own: nothing live was heard, so
//! merging what was heard gives nothing live.
//!
//! The outcome order of Riak follows: enough answers, else absence, else PR, else R. In two places
//! this tally is more patient than Riak's. Without `basic_quorum` Riak answers "not found" as soon
//! as R replicas with the key have become impossible, which for R = N is after the first reply; here
//! the others are heard first, because one of them may hold the key. And a failed replica does not
//! count towards `basic_quorum`: giving up while R can still be met serves nobody.
//!
//! Invariants: those of the module above; absence is never concluded from "don't know".

use crate::id::NodeId;

use super::roll::{Entry, Outcome, Roll};
use super::spec::GetQuorum;
use super::{
    FailureCounts, FailureKind, Progress, ReplicaKind, Requirement, Status, Target, judge,
};

/// What a replica said about the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GetOutcome {
    /// It holds the key, with at least one live version (or a digest that says so).
    Found,
    /// It holds the key, and nothing but tombstones. Counts as `Found` does, and does not stand
    /// against absence.
    Deleted,
    /// It does not hold the key, and knows that it would if it had been written there.
    NotFound,
    /// It is rebuilding and cannot tell.
    Unknown,
    /// No usable answer.
    Failed(FailureKind),
}

impl GetOutcome {
    /// Whether the replica knows of the key, or knows that it does not hold it.
    pub fn is_answer(self) -> bool {
        match self {
            Self::Found | Self::Deleted | Self::NotFound => true,
            Self::Unknown | Self::Failed(_) => false,
        }
    }
}

impl Outcome for GetOutcome {
    fn failure(self) -> Option<FailureKind> {
        match self {
            Self::Failed(kind) => Some(kind),
            _ => None,
        }
    }

    fn gives_way_to(self, later: Self) -> bool {
        match self {
            Self::Found | Self::Deleted | Self::NotFound => false,
            Self::Unknown => later.is_answer(),
            Self::Failed(_) => later.failure().is_none(),
        }
    }
}

/// One reply to a get, or the coordinator's conclusion that none will come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GetReply {
    pub node: NodeId,
    /// For a node that was expected in another role, that role stands.
    pub kind: ReplicaKind,
    pub outcome: GetOutcome,
}

impl GetReply {
    fn target(&self) -> Target {
        Target {
            node: self.node,
            kind: self.kind,
        }
    }
}

/// How far a get has come. Replies after the verdict are in here too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GetCounts {
    /// Replies that count towards R.
    pub counted: u32,
    /// Those of them from primaries.
    pub primaries: u32,
    /// Different nodes behind them. Equal to `counted` as long as a node stands for its machine.
    pub nodes: u32,
    /// Replicas that do not hold the key, whether or not that counts.
    pub not_found: u32,
    /// Replicas that could not tell.
    pub unknown: u32,
}

/// The replies to one get, and the verdict on them.
#[derive(Debug, Clone)]
pub struct GetTally {
    quorum: GetQuorum,
    roll: Roll<GetOutcome>,
    status: Status,
}

impl GetTally {
    /// A tally of replies from these targets: all that will be asked before the get is given up,
    /// including those whose request is held back for a hedge. A node named twice is one target.
    ///
    /// Impossible from the start where they are too few, or too few of them primaries.
    pub fn new(quorum: GetQuorum, targets: impl IntoIterator<Item = Target>) -> Self {
        let mut tally = Self {
            quorum,
            roll: Roll::new(targets),
            status: Status::Pending,
        };
        tally.settle();
        tally
    }

    /// Notes one reply and returns the status after it. A node's first answer stands; a failure and
    /// a "don't know" give way to an answer that comes later.
    pub fn record(&mut self, reply: GetReply) -> Status {
        self.roll.hear(reply.target(), reply.outcome);
        self.settle()
    }

    /// Adds a target, for a hedge beyond the planned ones. Does nothing for a node already on the
    /// list. A verdict that has fallen stays.
    pub fn expect_more(&mut self, target: Target) {
        self.roll.expect(target);
        self.settle();
    }

    /// Notes that a target gave no answer and that another one has been asked in its place, in one
    /// step: a failure noted first could end the get before its stand-in is counted. The failure
    /// no longer stands against absence, unless the stand-in was a target already.
    ///
    /// # Panics
    /// If the outcome is an answer; an answer needs no stand-in.
    pub fn retargeted(&mut self, failed: GetReply, stand_in: Target) -> Status {
        let answered = failed.outcome.is_answer();
        assert!(!answered, "a stand-in for an answer: {failed:?}");
        let joined = self.roll.expect(stand_in);
        self.roll.hear(failed.target(), failed.outcome);
        if joined {
            self.roll.replace(failed.target());
        }
        self.settle()
    }

    pub fn status(&self) -> Status {
        self.status
    }

    pub fn quorum(&self) -> &GetQuorum {
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

    pub fn counts(&self) -> GetCounts {
        let said = |outcome| move |entry: &Entry<_>| entry.outcome == Some(outcome);
        let counted = self.roll.count(|entry| self.is_counted(entry));
        GetCounts {
            counted,
            primaries: self
                .roll
                .count(|entry| self.is_counted(entry) && entry.is_primary()),
            nodes: counted,
            not_found: self.roll.count(said(GetOutcome::NotFound)),
            unknown: self.roll.count(said(GetOutcome::Unknown)),
        }
    }

    fn settle(&mut self) -> Status {
        if self.status == Status::Pending {
            self.status = self.verdict();
        }
        self.status
    }

    fn verdict(&self) -> Status {
        let by_count = judge(&self.progress(|entry| self.is_counted(entry)));
        if by_count == Status::Met || self.quorum.notfound_ok {
            return by_count;
        }
        match self.absence() {
            Absence::Established => Status::Met,
            Absence::Open => Status::Pending,
            Absence::Excluded => by_count,
        }
    }

    fn absence(&self) -> Absence {
        let too_few = matches!(
            judge(&self.progress(Entry::is_answer)),
            Status::Impossible(_)
        );
        if too_few || self.roll.count(stands_against_absence) > 0 {
            return Absence::Excluded;
        }
        let basic = self.quorum.basic_quorum
            && self.counts().not_found >= self.quorum.basic_quorum_required();
        let heard_all = self.roll.outstanding().next().is_none();
        if basic || heard_all {
            return Absence::Established;
        }
        Absence::Open
    }

    /// The three requirements, in the order in which a shortfall is reported.
    fn progress(&self, counts: impl Fn(&Entry<GetOutcome>) -> bool) -> [Progress; 3] {
        let helpful = |entry: &Entry<_>| counts(entry) || entry.is_outstanding();
        let row = |requirement, required, primaries_only: bool| {
            let eligible = |entry: &Entry<_>| !primaries_only || entry.is_primary();
            Progress {
                requirement,
                required,
                obtained: self.roll.count(|entry| eligible(entry) && counts(entry)),
                attainable: self.roll.count(|entry| eligible(entry) && helpful(entry)),
            }
        };
        [
            row(Requirement::PR, self.quorum.pr, true),
            row(Requirement::R, self.quorum.replies_required(), false),
            row(Requirement::NodeConfirms, self.quorum.node_confirms, false),
        ]
    }

    fn is_counted(&self, entry: &Entry<GetOutcome>) -> bool {
        match entry.outcome {
            Some(GetOutcome::NotFound) => self.quorum.notfound_ok,
            Some(GetOutcome::Found | GetOutcome::Deleted) => true,
            Some(GetOutcome::Unknown | GetOutcome::Failed(_)) | None => false,
        }
    }
}

/// Whether "there is no such key" can be answered where `notfound_ok` is off.
#[derive(Debug, Clone, Copy)]
enum Absence {
    Established,
    /// Not yet, but if all those outstanding say "not found" it will be.
    Open,
    /// Whatever they say.
    Excluded,
}

impl Entry<GetOutcome> {
    fn is_answer(&self) -> bool {
        self.outcome.is_some_and(GetOutcome::is_answer)
    }
}

/// A live value, or a replica that might have held one and that nobody stood in for.
fn stands_against_absence(entry: &Entry<GetOutcome>) -> bool {
    match entry.outcome {
        Some(GetOutcome::Found) => true,
        Some(GetOutcome::Unknown | GetOutcome::Failed(_)) => !entry.replaced,
        Some(GetOutcome::Deleted | GetOutcome::NotFound) | None => false,
    }
}
