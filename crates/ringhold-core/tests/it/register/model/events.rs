//! What can happen to a [`State`], and what each mistake makes of it.

use std::collections::BTreeSet;

use ringhold_core::id::NodeId;
use ringhold_core::membership::register::{
    Acceptance, Accepted, Ballot, Denial, Promise, Proposal, Receipt, Step,
};

use super::{Document, EPOCH, HELD_NAME, Mistake, Model, Nodes, Sent, State, Violation, id};

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// A proposer begins an attempt; what it was about before is forgotten.
    Begin { proposer: usize },
    /// A node carries out a prepare or an accept, and the promise, if it is one, is heard or not.
    Carry { sent: Sent, node: u8, heard: bool },
    /// A proposer hears all receipts that there are.
    Conclude { proposer: usize },
    /// A node replaces its document by what was announced.
    Adopt { node: u8 },
    /// A node crashes and forgets what it did not keep.
    Crash { node: u8 },
}

impl Model<'_> {
    pub(super) fn events(&self, state: &State) -> Vec<Event> {
        let mut events = Vec::new();
        for (proposer, now) in state.proposers.iter().enumerate() {
            let (node, documents) = &self.scenario.proposers[proposer];
            if now.attempts < documents.len() && !state.adopted.contains(*node) {
                events.push(Event::Begin { proposer });
            }
            if now.proposal.is_some() {
                events.push(Event::Conclude { proposer });
            }
        }
        for &sent in &state.sent {
            let may_hear = sent.document.is_none() && state.is_current(&sent);
            for node in sent.to.numbers() {
                for heard in [true, false] {
                    // Whom this mistake counts is whoever promised, so all have to be heard.
                    let counted = may_hear && self.mistake == Mistake::PreparedByNextVoters;
                    if heard && may_hear || !heard && !counted {
                        events.push(Event::Carry { sent, node, heard });
                    }
                }
            }
        }
        let forgets = [Mistake::PromiseForgotten, Mistake::AcceptanceForgotten];
        for node in (0..8).take(state.disks.len()) {
            if state.announced.is_some() && !state.adopted.contains(node) {
                events.push(Event::Adopt { node });
            }
            if forgets.contains(&self.mistake) {
                events.push(Event::Crash { node });
            }
        }
        events
    }

    pub(super) fn apply(&mut self, state: &mut State, event: Event) -> Result<(), Violation> {
        match event {
            Event::Begin { proposer } => self.begin(state, proposer),
            Event::Carry { sent, node, heard } => match sent.document {
                None => self.prepare(state, &sent, node, heard),
                Some(document) => {
                    self.accept(state, sent.ballot, node, document);
                    Ok(())
                }
            },
            Event::Conclude { proposer } => self.conclude(state, proposer),
            Event::Adopt { node } => {
                state.disks[usize::from(node)] = Acceptance::after(EPOCH);
                state.adopted = state.adopted.or(Nodes::of([node]));
                Ok(())
            }
            Event::Crash { node } => {
                let disk = &mut state.disks[usize::from(node)];
                if self.mistake == Mistake::PromiseForgotten {
                    let accepted = disk.accepted.as_ref();
                    disk.promised = accepted.map_or(Ballot::NONE, |accepted| accepted.ballot);
                } else {
                    disk.accepted = None;
                }
                Ok(())
            }
        }
    }

    fn begin(&mut self, state: &mut State, index: usize) -> Result<(), Violation> {
        let (node, documents) = &self.scenario.proposers[index];
        let (node, voters) = (*node, self.scenario.voters);
        let proposer = &mut state.proposers[index];
        let next = documents[proposer.attempts];
        let document = Document {
            name: u8::try_from(10 * index + proposer.attempts).expect("few attempts"),
            voters: next,
            claimed: match self.mistake {
                Mistake::CommittedByPreviousVoters => voters,
                Mistake::RemovedStillVote => voters.or(next),
                _ => next,
            },
        };
        let held = Document {
            name: HELD_NAME,
            voters,
            claimed: voters,
        };
        let highest = state.disks.iter().map(|disk| disk.promised).max();
        let outbid_by = highest.filter(|_| proposer.attempts > 0);
        let disk = &mut state.disks[usize::from(node)];
        let (mut own, mut outbid_by) = (disk.clone(), outbid_by.unwrap_or_default());
        if self.mistake == Mistake::BallotUsedTwice {
            (own.promised, outbid_by) = (Ballot::NONE, Ballot::NONE);
        }
        let opening = Proposal::begin(&own, id(node), &held, document, outbid_by)
            .expect("there are ballots enough");
        if opening.persist.promised > disk.promised {
            *disk = opening.persist;
        }
        proposer.attempts += 1;
        proposer.proposal = Some(opening.proposal);
        self.follow(state, index, opening.step)?;
        if self.mistake == Mistake::NoPrepare {
            self.forge_promises(state, index, voters.or(next))?;
        }
        Ok(())
    }

    fn prepare(
        &mut self,
        state: &mut State,
        sent: &Sent,
        node: u8,
        heard: bool,
    ) -> Result<(), Violation> {
        let disk = &mut state.disks[usize::from(node)];
        let answer = disk.prepare(EPOCH, sent.ballot);
        if let Some(persist) = answer.persist {
            *disk = persist;
        }
        let mut reply = answer.reply;
        if !heard || matches!(reply, Err(Denial::Outbid { .. })) {
            return Ok(());
        }
        if self.mistake == Mistake::FoundIgnored
            && let Ok(promise) = &mut reply
        {
            promise.accepted = None;
        }
        let Some(proposal) = &mut state.proposers[sent.proposer].proposal else {
            return Ok(());
        };
        let step = proposal.heard_prepare(id(node), reply);
        self.follow(state, sent.proposer, step)?;
        if self.mistake == Mistake::PreparedByNextVoters {
            let attempt = state.proposers[sent.proposer].attempts - 1;
            let next = self.scenario.proposers[sent.proposer].1[attempt];
            let promised = state.disks.iter().zip(0..);
            let promised = promised.filter(|(disk, _)| disk.promised == sent.ballot);
            if Nodes::of(promised.map(|(_, node)| node)).has_majority_of(next) {
                self.forge_promises(state, sent.proposer, self.scenario.voters)?;
            }
        }
        Ok(())
    }

    fn accept(&self, state: &mut State, ballot: Ballot, node: u8, document: Document) {
        let disk = &mut state.disks[usize::from(node)];
        let answer = disk.accept(EPOCH, ballot, document);
        let mut persist = answer.persist;
        let outbid = matches!(answer.reply, Err(Denial::Outbid { .. }));
        if self.mistake == Mistake::PromiseIgnored && outbid {
            let value = document;
            persist = Some(Acceptance {
                accepted: Some(Accepted { ballot, value }),
                ..disk.clone()
            });
        }
        let Some(persist) = persist else {
            return;
        };
        *disk = persist;
        let node = Nodes::of([node]);
        let mut known = state.accepted.iter_mut();
        match known.find(|(b, d, _)| (*b, *d) == (ballot, document)) {
            Some((_, _, by)) => *by = by.or(node),
            None => {
                state.accepted.push((ballot, document, node));
                state.accepted.sort_unstable();
            }
        }
    }

    /// The proposer hears everybody who accepted its document under its ballot.
    fn conclude(&mut self, state: &mut State, index: usize) -> Result<(), Violation> {
        let Some(proposal) = &state.proposers[index].proposal else {
            return Ok(());
        };
        let (mut proposal, ballot) = (proposal.clone(), proposal.ballot());
        let mut accepted = state.accepted.iter();
        let Some((_, document, by)) = accepted.find(|(earlier, _, _)| *earlier == ballot) else {
            return Ok(());
        };
        let mut by = *by;
        if self.mistake == Mistake::CommittedByNextVoters && by.has_majority_of(document.voters) {
            by = by.or(self.scenario.voters);
        }
        let epoch = EPOCH;
        for node in by.numbers() {
            let step = proposal.heard_accept(id(node), Ok(Receipt { epoch, ballot }));
            if let Step::Chosen { .. } = step {
                return self.follow(state, index, step);
            }
        }
        Ok(())
    }

    /// The proposer is made to believe that these promised, and have accepted nothing.
    fn forge_promises(
        &mut self,
        state: &mut State,
        index: usize,
        from: Nodes,
    ) -> Result<(), Violation> {
        for node in from.numbers() {
            let Some(proposal) = &mut state.proposers[index].proposal else {
                return Ok(());
            };
            let promise = Promise {
                epoch: EPOCH,
                ballot: proposal.ballot(),
                accepted: None,
            };
            let step = proposal.heard_prepare(id(node), Ok(promise));
            self.follow(state, index, step)?;
        }
        Ok(())
    }

    /// What the proposer does next.
    fn follow(
        &mut self,
        state: &mut State,
        index: usize,
        step: Step<Document>,
    ) -> Result<(), Violation> {
        match step {
            Step::Wait => return Ok(()),
            Step::SendPrepares { to } => {
                send(state, index, to, None);
                return Ok(());
            }
            Step::SendAccepts { to, value } => {
                let ballot = send(state, index, to, Some(value));
                let other_is_decided = state.accepted.iter().any(|(earlier, document, by)| {
                    *earlier < ballot
                        && document.name != value.name
                        && by.has_majority_of(self.scenario.voters)
                });
                return self.forbid(Violation::NotFound, other_is_decided);
            }
            Step::Chosen { value, ours } => {
                self.explored.announcements += 1;
                self.explored.finished_for_another += usize::from(!ours);
                let two = state.announced.is_some_and(|other| other != value);
                self.forbid(Violation::TwoDocuments, two)?;
                state.announced = Some(value);
            }
            Step::Lost { .. } | Step::OutOfReach => {}
            Step::Fetch { .. } => self.explored.fetches += 1,
            Step::Contradiction { .. } => self.forbid(Violation::Contradiction, true)?,
        }
        state.proposers[index].proposal = None;
        Ok(())
    }
}

/// Sends a request of this proposer; gives its ballot.
fn send(
    state: &mut State,
    proposer: usize,
    to: BTreeSet<NodeId>,
    document: Option<Document>,
) -> Ballot {
    let proposal = state.proposers[proposer].proposal.as_ref();
    let ballot = proposal.map_or(Ballot::NONE, Proposal::ballot);
    let to = to.into_iter();
    let sent = Sent {
        proposer,
        ballot,
        to: Nodes::of(to.map(|id| u8::try_from(id.0 >> 96).expect("few nodes"))),
        document,
    };
    if let Err(at) = state.sent.binary_search(&sent) {
        state.sent.insert(at, sent);
    }
    ballot
}
