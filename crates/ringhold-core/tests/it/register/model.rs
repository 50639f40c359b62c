//! Every execution of the register that a few nodes, proposers and ballots can have.
//!
//! A [`State`] holds what is on each node's disk, what each proposer is about, and every request ever sent. What
//! may happen next to it is each of:
//!
//! - a proposer begins its next attempt, whatever it was about: so it may time out, or crash and forget its
//!   proposal, at any moment, and it wants another document afterwards;
//! - a node carries out any request that was ever sent to it, and its answer is heard or lost: so messages are
//!   lost, late, repeated and reordered, and nodes crash between their disk and their answer;
//! - a proposer finds its document to be committed, and some node adopts it.
//!
//! Breadth first, with the set of the 128-bit fingerprints of all states seen; that two of some millions of
//! states share one is out of the question.
//!
//! Three things keep the number of states down and lose no execution that matters. A promise is heard when
//! it is made or never: a proposer does nothing with it but choose what to send, the choice depends on the set of promises
//! alone, and what it sends may be carried out as late as one likes. Receipts are heard together, at any later time: they are of
//! facts that stay true. Refusals are not heard, since all they can do is end an attempt, and it may end anyway; the next one may
//! be above every promise that anybody made. And a node that crashes before its disk is written has done nothing.

mod events;

use std::collections::{BTreeSet, VecDeque};
use std::hash::Hash;
use std::rc::Rc;

use ringhold_core::id::NodeId;
use ringhold_core::membership::register::{Acceptance, Ballot, Decree, Proposal};
use ringhold_core::ring::{Epoch, RingHash};
use xxhash_rust::xxh3::Xxh3;

use events::Event;

/// The document that everybody holds at first.
const HELD: Epoch = Epoch(6);
const HELD_NAME: u8 = 255;
/// The register that is explored.
const EPOCH: Epoch = Epoch(7);

/// Some nodes, by their numbers from 0 to 7: a bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Nodes(u8);

impl Nodes {
    const NONE: Self = Self(0);

    pub(crate) fn of(numbers: impl IntoIterator<Item = u8>) -> Self {
        Self(
            numbers
                .into_iter()
                .fold(0, |bits, number| bits | 1 << number),
        )
    }

    fn contains(self, number: u8) -> bool {
        self.0 >> number & 1 == 1
    }

    fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    fn has_majority_of(self, voters: Self) -> bool {
        2 * self.and(voters).0.count_ones() > voters.0.count_ones()
    }

    fn numbers(self) -> impl Iterator<Item = u8> {
        (0..8).filter(move |number| self.contains(*number))
    }

    fn ids(self) -> BTreeSet<NodeId> {
        self.numbers().map(id).collect()
    }
}

/// Identities are printed by their first digits.
fn id(number: u8) -> NodeId {
    NodeId(u128::from(number) << 96)
}

/// A document: a name and its voters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Document {
    name: u8,
    voters: Nodes,
    /// Whom the code under test is told that they are.
    claimed: Nodes,
}

impl Decree for Document {
    fn name(&self) -> RingHash {
        RingHash([self.name; 16])
    }

    fn epoch(&self) -> Epoch {
        if self.name == HELD_NAME { HELD } else { EPOCH }
    }

    fn voters(&self) -> BTreeSet<NodeId> {
        self.claimed.ids()
    }
}

/// Who votes, and who proposes what.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) voters: Nodes,
    /// Nodes, with the voters of the document that each wants at each attempt.
    pub(crate) proposers: Vec<(u8, Vec<Nodes>)>,
}

/// A rule that is broken, by the hosts and documents of this model around the real acceptor and proposer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    None,
    /// A crash makes an acceptor forget what it promised, back to what it accepted.
    PromiseForgotten,
    /// A crash makes an acceptor forget what it accepted.
    AcceptanceForgotten,
    /// An acceptor takes any ballot.
    PromiseIgnored,
    /// A proposer puts its own document forward whatever the promises bring.
    FoundIgnored,
    /// A proposer sends its document at once: the higher ballot wins.
    NoPrepare,
    /// The promises of the next document's voters free the proposer.
    PreparedByNextVoters,
    /// A majority of the next document's voters commits.
    CommittedByNextVoters,
    /// A majority of the previous document's voters commits.
    CommittedByPreviousVoters,
    /// Members that the next document removes are counted among its voters.
    RemovedStillVote,
    /// A proposer keeps its round in memory, and begins with the first again after a crash.
    BallotUsedTwice,
}

/// What must never be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// Two documents are committed, or taken to be.
    TwoDocuments,
    /// A majority of the previous voters accepted a document, and a later ballot is used for another.
    NotFound,
    /// A promise went back.
    PromiseWentBack,
    /// What a proposer took for committed is not.
    NotCommitted,
    /// A majority of the voters of a document taken for committed has none who keeps it.
    NotKept,
    /// A proposer met two documents under one ballot.
    Contradiction,
}

pub(crate) const ALL_VIOLATIONS: [Violation; 6] = [
    Violation::TwoDocuments,
    Violation::NotFound,
    Violation::PromiseWentBack,
    Violation::NotCommitted,
    Violation::NotKept,
    Violation::Contradiction,
];

/// A request that was sent: to all that it concerns, and any number of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Sent {
    proposer: usize,
    ballot: Ballot,
    to: Nodes,
    /// Of an accept.
    document: Option<Document>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Proposer {
    /// How many it has begun.
    attempts: usize,
    proposal: Option<Proposal<Document>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    disks: Vec<Acceptance<Document>>,
    proposers: Vec<Proposer>,
    /// In order.
    sent: Vec<Sent>,
    /// Who ever accepted which document under which ballot, in order.
    accepted: Vec<(Ballot, Document, Nodes)>,
    /// What a proposer took for committed.
    announced: Option<Document>,
    adopted: Nodes,
}

impl State {
    /// Whether the proposal that this request belongs to is still under way.
    fn is_current(&self, sent: &Sent) -> bool {
        let proposal = self.proposers[sent.proposer].proposal.as_ref();
        proposal.is_some_and(|proposal| proposal.ballot() == sent.ballot)
    }

    /// Whether anything can come of a node's carrying this request out.
    fn has_effect(&self, sent: &Sent, node: u8) -> bool {
        let disk = &self.disks[usize::from(node)];
        if disk.promised > sent.ballot {
            return false;
        }
        let open = disk.epoch == EPOCH;
        match (&sent.document, &disk.accepted) {
            // A promise may be heard again, or that the epoch is decided.
            (None, _) => self.is_current(sent) || open && disk.promised < sent.ballot,
            (Some(_), Some(accepted)) => open && accepted.ballot < sent.ballot,
            (Some(_), None) => open,
        }
    }
}

/// How a state came about, last event first.
struct Trail {
    event: Event,
    before: Option<Rc<Trail>>,
}

/// What an exploration went through.
#[derive(Debug, Default)]
pub(crate) struct Explored {
    pub(crate) states: usize,
    /// Times that a document was taken for committed.
    pub(crate) announcements: usize,
    /// Those of documents that another proposer, or another attempt, had begun.
    pub(crate) finished_for_another: usize,
    /// Times that a proposer heard that the epoch is decided.
    pub(crate) fetches: usize,
    /// The first violation in breadth-first order, and the events that lead to it.
    pub(crate) violation: Option<(Violation, String)>,
}

/// A scenario under a mistake.
pub(crate) struct Model<'a> {
    scenario: &'a Scenario,
    mistake: Mistake,
    watched: &'a [Violation],
    explored: Explored,
}

impl<'a> Model<'a> {
    /// Goes through every state, up to the first of the `watched` violations.
    pub(crate) fn explore(
        scenario: &'a Scenario,
        mistake: Mistake,
        watched: &'a [Violation],
    ) -> Explored {
        let explored = Explored::default();
        let mut model = Self {
            scenario,
            mistake,
            watched,
            explored,
        };
        let first = model.first();
        let mut seen = BTreeSet::from([fingerprint(&first)]);
        let mut queue: VecDeque<(State, Option<Rc<Trail>>)> = VecDeque::from([(first, None)]);
        while let Some((state, before)) = queue.pop_front() {
            model.explored.states += 1;
            for event in model.events(&state) {
                let mut after = state.clone();
                let outcome = model.apply(&mut after, event);
                let outcome = outcome.and_then(|()| model.judge(&state, &after));
                let trail = || {
                    let before = before.clone();
                    Rc::new(Trail { event, before })
                };
                if let Err(violation) = outcome {
                    model.explored.violation = Some((violation, story(&trail())));
                    return model.explored;
                }
                if model.mistake == Mistake::None {
                    model.forget_the_dead(&mut after);
                }
                if seen.insert(fingerprint(&after)) {
                    queue.push_back((after, Some(trail())));
                }
            }
        }
        model.explored
    }

    fn first(&self) -> State {
        let documents = self.scenario.proposers.iter().flat_map(|(_, next)| next);
        let nodes = documents.fold(self.scenario.voters, |all, next| all.or(*next));
        let count = nodes
            .numbers()
            .max()
            .map_or(0, |last| usize::from(last) + 1);
        let idle = Proposer {
            attempts: 0,
            proposal: None,
        };
        State {
            disks: vec![Acceptance::after(HELD); count],
            proposers: vec![idle; self.scenario.proposers.len()],
            sent: Vec::new(),
            accepted: Vec::new(),
            announced: None,
            adopted: Nodes::NONE,
        }
    }

    /// Leaves out what can have no effect any more, so that states that differ in nothing else are one: requests
    /// that a node would refuse or has carried out, and acceptances that can't become a majority. Holds only
    /// where promises do.
    fn forget_the_dead(&self, state: &mut State) {
        for index in 0..state.sent.len() {
            let sent = state.sent[index];
            let to = sent
                .to
                .numbers()
                .filter(|node| state.has_effect(&sent, *node));
            state.sent[index].to = Nodes::of(to);
        }
        let underway = |ballot: Ballot| {
            let of_it = |sent: &&Sent| sent.ballot == ballot && sent.document.is_some();
            state
                .sent
                .iter()
                .find(of_it)
                .map_or(Nodes::NONE, |sent| sent.to)
        };
        state.accepted.retain(|(ballot, _, by)| {
            let may_be = by.or(underway(*ballot));
            may_be.has_majority_of(self.scenario.voters)
        });
        state.sent.retain(|sent| sent.to != Nodes::NONE);
        state.sent.sort_unstable();
    }

    fn forbid(&self, violation: Violation, happened: bool) -> Result<(), Violation> {
        if happened && self.watched.contains(&violation) {
            return Err(violation);
        }
        Ok(())
    }

    /// What must hold of a state, and between it and the one before.
    fn judge(&self, before: &State, after: &State) -> Result<(), Violation> {
        let mut disks = before.disks.iter().zip(&after.disks);
        let went_back = disks.any(|(b, a)| (a.epoch, a.promised) < (b.epoch, b.promised));
        self.forbid(Violation::PromiseWentBack, went_back)?;
        let committed: BTreeSet<u8> = after
            .accepted
            .iter()
            .filter(|(_, document, by)| {
                by.has_majority_of(self.scenario.voters) && by.has_majority_of(document.voters)
            })
            .map(|(_, document, _)| document.name)
            .collect();
        self.forbid(Violation::TwoDocuments, committed.len() > 1)?;
        let Some(announced) = after.announced else {
            return Ok(());
        };
        let two = committed.iter().any(|name| *name != announced.name);
        self.forbid(Violation::TwoDocuments, two)?;
        let one = committed.contains(&announced.name);
        self.forbid(Violation::NotCommitted, !one)?;
        let keeps = |(disk, _): &(&Acceptance<Document>, u8)| {
            let kept = disk.accepted.as_ref();
            kept.is_some_and(|accepted| accepted.value.name == announced.name)
        };
        let keepers = after.disks.iter().zip(0..).filter(keeps);
        let keepers = Nodes::of(keepers.map(|(_, node)| node)).or(after.adopted);
        let ignorant = announced.voters.without(keepers);
        let not_kept = ignorant.has_majority_of(announced.voters);
        self.forbid(Violation::NotKept, not_kept)
    }
}

fn fingerprint(state: &State) -> u128 {
    let mut hasher = Xxh3::new();
    state.hash(&mut hasher);
    hasher.digest128()
}

fn story(last: &Rc<Trail>) -> String {
    let mut events = Vec::new();
    let mut next = Some(last);
    while let Some(trail) = next {
        events.push(format!("{:?}", trail.event));
        next = trail.before.as_ref();
    }
    events.reverse();
    events.join("\n")
}
