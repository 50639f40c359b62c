//! Getting the next ring document agreed on, and taking part when others do.
//!
//! The rules are `ringhold_core::membership::register`'s; here is the host. What this node has promised and accepted is a row of its
//! store, written before the word is given. An attempt asks the voters, waits for a while, and is dropped where it does not
//! come to its end; another one follows after a random pause, on whatever document is the newest by then: the draft is made
//! anew from it each time, so an operator's wish is either in the outcome or refused with the reason.
//!
//! A store that may have forgotten its own word must not give it again: see `voice`.

use crate::env::Deadline;
use crate::gather::Gather;
#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::membership::documents::NotAdopted;
use crate::membership::recovery::RecoveryWord;
use crate::membership::voice::Voice;
use crate::node::Node;
use crate::replica::writer::Row;
use bytes::Bytes;
use ringhold_core::id::NodeId;
use ringhold_core::membership::register::{
    AcceptReply, Acceptance, Accepted, Ballot, Denial, NotBegun, Opening, PrepareReply, Promise,
    Proposal, Step,
};
use ringhold_core::ring::{
    ChangeRefused, Epoch, RingDocument, RingHash, validate, validate_succession,
};
use ringhold_storage::{Keyspace, StorageKey, Store};
use ringhold_wire::bytes_io::{DecodeError, Reader, WITHOUT_LIMIT, decode_whole, encode_alone};
use ringhold_wire::message::membership::{AcceptRequest, PrepareRequest};
use ringhold_wire::message::peer::{Refusal, Reply, Request};
use ringhold_wire::ring as ring_format;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::Mutex;

/// How long voters are waited for in one phase of an attempt, in microseconds.
const PATIENCE_US: u64 = 1_500_000;
/// The longest pause after the first attempt that was outbid; it doubles with each.
const PAUSE_US: u64 = 100_000;
/// How long a change is tried, in microseconds.
const TRIED_US: u64 = 10_000_000;

const ROW_VERSION: u8 = 1;

pub(super) type Document = Arc<RingDocument>;

/// Why there is no next document of this making. What was tried may still be committed by others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotAgreed {
    /// The newest document does not allow it.
    Refused(ChangeRefused),
    /// No majority of voters has answered.
    NoMajority,
    /// Others have been faster each time.
    Outbid,
    /// Two documents under one number: people have to look.
    Contradiction,
    /// This node's store can't keep its word.
    Store(Refusal),
}

/// This node's part in the agreement.
pub(crate) struct Agreement {
    /// What it has promised and accepted. Held while that is written.
    acceptance: Mutex<Acceptance<Document>>,
    /// The epoch in whose register it may have given a word that can't be read any more.
    forgotten: Option<Epoch>,
    /// Whether it may speak at all.
    pub(super) voice: Voice,
    /// Its part in the recovery of a cluster that has lost its majority.
    pub(super) recovery: RecoveryWord,
    /// One attempt at a time.
    pub(super) proposing: Mutex<()>,
}

impl Agreement {
    /// As the store remembers it. What can't be read counts as a word that may be forgotten: no vote until the next epoch.
    pub(crate) fn of(store: &Store, me: NodeId, held: Epoch) -> Self {
        let row = store.get(Keyspace::Members, &row_key(me));
        let kept = row.map(|row| row.map(decode).transpose());
        let kept = kept.ok().and_then(Result::ok);
        let (acceptance, forgotten) = remembered(kept, held);
        Self {
            acceptance: Mutex::new(acceptance),
            forgotten,
            voice: Voice::default(),
            recovery: RecoveryWord::of(store, me, held),
            proposing: Mutex::new(()),
        }
    }
}

/// Where a node stands, and the epoch in which it must not speak, by what its store keeps: `None` if that can't be read.
fn remembered(
    kept: Option<Option<Acceptance<Document>>>,
    held: Epoch,
) -> (Acceptance<Document>, Option<Epoch>) {
    let fresh = Acceptance::after(held);
    let Some(kept) = kept else {
        let forgotten = Some(fresh.epoch);
        return (fresh, forgotten);
    };
    // A document was adopted after the last word was given.
    let acceptance = kept.filter(|kept| kept.epoch >= fresh.epoch);
    (acceptance.unwrap_or(fresh), None)
}

impl Node {
    /// Answers a proposer's first question.
    pub(crate) async fn prepare(&self, request: PrepareRequest) -> PrepareReply<Bytes> {
        let PrepareRequest { epoch, ballot } = request;
        let mut acceptance = self.acceptance_now().await;
        if !self.may_vote(epoch) {
            return Err(Denial::Ahead {
                held: Epoch(epoch.0.saturating_sub(2)),
            });
        }
        let answer = acceptance.prepare(epoch, ballot);
        if let Some(next) = answer.persist
            && !self.keep_word(&mut acceptance, next).await
        {
            return Err(Denial::Outbid { by: ballot });
        }
        answer.reply.map(|promise| Promise {
            epoch: promise.epoch,
            ballot: promise.ballot,
            accepted: promise.accepted.as_ref().map(encoded),
        })
    }

    /// Answers a proposer's second question.
    pub(crate) async fn accept(&self, request: AcceptRequest) -> Result<AcceptReply, Refusal> {
        let AcceptRequest {
            epoch,
            ballot,
            document,
        } = request;
        let value = ring_format::decode(document).map_err(|_| Refusal::Malformed)?;
        Ok(self.accept_document(epoch, ballot, Arc::new(value)).await)
    }

    async fn accept_document(&self, epoch: Epoch, ballot: Ballot, value: Document) -> AcceptReply {
        let mut acceptance = self.acceptance_now().await;
        let held = self.ring();
        let follows = validate(&value).is_ok()
            && (value.epoch != Epoch(held.document().epoch.0 + 1)
                || validate_succession(held.document(), &value).is_ok());
        if !self.may_vote(epoch) || !follows || value.epoch != epoch {
            return Err(Denial::Ahead {
                held: Epoch(epoch.0.saturating_sub(2)),
            });
        }
        let answer = acceptance.accept(epoch, ballot, value);
        if let Some(next) = answer.persist
            && !self.keep_word(&mut acceptance, next).await
        {
            return Err(Denial::Outbid { by: ballot });
        }
        answer.reply
    }

    /// The register that follows the document in use.
    pub(super) async fn acceptance_now(&self) -> tokio::sync::MutexGuard<'_, Acceptance<Document>> {
        let mut acceptance = self.agreement.acceptance.lock().await;
        let fresh = Acceptance::after(self.ring().document().epoch);
        if acceptance.epoch < fresh.epoch {
            *acceptance = fresh;
        }
        acceptance
    }

    /// Takes this for what it has promised and accepted; false if the store failed.
    pub(super) async fn take_word(&self, word: Acceptance<Document>) -> bool {
        let mut acceptance = self.acceptance_now().await;
        self.keep_word(&mut acceptance, word).await
    }

    /// On disk first, then in memory; false if the store failed.
    async fn keep_word(
        &self,
        acceptance: &mut Acceptance<Document>,
        next: Acceptance<Document>,
    ) -> bool {
        self.keep_word_at(row_key(self.id), acceptance, next).await
    }

    /// The same for the word in any register.
    pub(super) async fn keep_word_at(
        &self,
        key: StorageKey,
        acceptance: &mut Acceptance<Document>,
        next: Acceptance<Document>,
    ) -> bool {
        let row = Row {
            keyspace: Keyspace::Members,
            key,
            value: encode(&next),
        };
        let kept = self.replica.keep_row(row).await.is_ok();
        if kept {
            *acceptance = next;
        }
        kept
    }

    /// Has the next document agreed on: what `draft` makes of the newest one. The document in use afterwards includes it.
    pub(crate) async fn agree(
        self: &Arc<Self>,
        draft: impl Fn(&RingDocument) -> Result<RingDocument, ChangeRefused>,
    ) -> Result<Document, NotAgreed> {
        let _proposing = self.agreement.proposing.lock().await;
        let until = Deadline::after(&*self.environment, TRIED_US);
        let mut tried: BTreeSet<RingHash> = BTreeSet::new();
        let (mut outbid_by, mut pause_us) = (Ballot::NONE, PAUSE_US);
        loop {
            let held = self.ring();
            let held = held.document();
            // A draft of an earlier attempt may have been finished by another proposer.
            if tried.contains(&held.hash()) {
                return Ok(Arc::new(held.clone()));
            }
            let value = Arc::new(draft(held).map_err(NotAgreed::Refused)?);
            tried.insert(value.hash());
            #[cfg(feature = "known-bad")]
            if known_bad::is(Variant::LaterDocumentWins) {
                self.adopted(&value).await?;
                self.spread_ring(&value).await;
                return Ok(value);
            }
            let end = self.attempt(value, outbid_by).await?;
            match end {
                Step::Chosen { value, ours } => {
                    self.adopted(&value).await?;
                    self.spread_ring(&value).await;
                    if ours {
                        return Ok(value);
                    }
                    outbid_by = Ballot::NONE;
                    continue;
                }
                Step::Fetch { from, .. } => {
                    self.catch_up(from, until).await;
                    outbid_by = Ballot::NONE;
                }
                Step::Lost { to } => outbid_by = to,
                Step::Contradiction { .. } => return Err(NotAgreed::Contradiction),
                _ => {}
            }
            if until.has_passed(&*self.environment) {
                return Err(match outbid_by {
                    Ballot::NONE => NotAgreed::NoMajority,
                    _ => NotAgreed::Outbid,
                });
            }
            let drawn = u64::try_from(self.environment.random() & 0xffff).unwrap_or(0);
            let pause = pause_us / 2 + drawn * pause_us / 0x1_0000;
            let now_us = self.environment.now_us();
            self.environment
                .sleep_until(now_us.saturating_add(pause))
                .await;
            pause_us = (pause_us * 2).min(TRIED_US / 4);
        }
    }

    pub(super) async fn adopted(self: &Arc<Self>, value: &Document) -> Result<(), NotAgreed> {
        match self.adopt(Arc::clone(value)).await {
            Ok(_) => Ok(()),
            Err(NotAdopted::Store(refusal)) => Err(NotAgreed::Store(refusal)),
            Err(error) => {
                tracing::error!(%error, "a committed ring document can't be taken into use");
                Err(NotAgreed::Contradiction)
            }
        }
    }

    /// One attempt, to its end.
    async fn attempt(
        self: &Arc<Self>,
        value: Document,
        outbid_by: Ballot,
    ) -> Result<Step<Document>, NotAgreed> {
        let mut acceptance = self.acceptance_now().await;
        // May be another one by now than that on which the value was drafted.
        let held = Arc::new(self.ring().document().clone());
        if !self.may_vote(value.epoch) {
            return Ok(Step::OutOfReach);
        }
        let opening = Proposal::begin(&acceptance, self.id, &held, value, outbid_by);
        let Opening {
            persist,
            mut proposal,
            mut step,
        } = match opening {
            Ok(opening) => opening,
            Err(NotBegun::OtherEpoch) => return Ok(Step::OutOfReach),
            Err(NotBegun::NoBallotLeft) => return Err(NotAgreed::Outbid),
        };
        if !self.keep_word(&mut acceptance, persist).await {
            return Err(NotAgreed::Store(Refusal::StoreFailed));
        }
        drop(acceptance);
        let (epoch, ballot) = (proposal.epoch(), proposal.ballot());
        loop {
            step = match step {
                Step::SendPrepares { to } => {
                    let request = Request::RingPrepare(PrepareRequest { epoch, ballot });
                    self.ask_voters(&mut proposal, to, &request).await
                }
                Step::SendAccepts { to, value } => {
                    let document = ring_format::encode(&value);
                    let request = Request::RingAccept(AcceptRequest {
                        epoch,
                        ballot,
                        document,
                    });
                    self.ask_voters(&mut proposal, to, &request).await
                }
                Step::Wait => return Ok(Step::OutOfReach),
                end => return Ok(end),
            };
        }
    }

    /// Puts one question to all voters, until the proposal knows what comes next.
    async fn ask_voters(
        self: &Arc<Self>,
        proposal: &mut Proposal<Document>,
        to: BTreeSet<NodeId>,
        request: &Request,
    ) -> Step<Document> {
        let deadline = Deadline::after(&*self.environment, PATIENCE_US);
        let mut calls = Gather::until(Arc::clone(&self.environment), deadline);
        for &voter in &to {
            calls.ask(voter, self.call(voter, request.clone(), deadline));
        }
        while let Some((voter, reply)) = calls.next().await {
            let step = match reply {
                Ok(Reply::RingPromised(reply)) => match decoded(reply) {
                    Some(reply) => proposal.heard_prepare(voter, reply),
                    None => proposal.failed(voter),
                },
                Ok(Reply::RingAccepted(reply)) => proposal.heard_accept(voter, reply),
                _ => proposal.failed(voter),
            };
            if step != Step::Wait {
                return step;
            }
        }
        let silent: Vec<NodeId> = calls.outstanding().copied().collect();
        for voter in silent {
            let step = proposal.failed(voter);
            if step != Step::Wait {
                return step;
            }
        }
        Step::Wait
    }

    /// Whether this node may speak in the register of an epoch.
    fn may_vote(&self, epoch: Epoch) -> bool {
        let agreement = &self.agreement;
        // Whoever helped to begin a generation is done with the one before.
        let is_bound = agreement.recovery.binds(self.ring().document().epoch);
        !is_bound && agreement.forgotten != Some(epoch) && agreement.voice.speaks()
    }
}

/// With the document that was accepted; none if that is none.
pub(super) fn decoded(reply: PrepareReply<Bytes>) -> Option<PrepareReply<Document>> {
    let promise = match reply {
        Err(denial) => return Some(Err(denial)),
        Ok(promise) => promise,
    };
    let accepted = match promise.accepted {
        None => None,
        Some(Accepted { ballot, value }) => {
            let value = Arc::new(ring_format::decode(value).ok()?);
            Some(Accepted { ballot, value })
        }
    };
    Some(Ok(Promise {
        epoch: promise.epoch,
        ballot: promise.ballot,
        accepted,
    }))
}

/// Beside the rows of the ring and of completeness.
fn row_key(me: NodeId) -> StorageKey {
    StorageKey::new(me.0, 2)
}

/// With its document as it travels.
pub(super) fn encoded(accepted: &Accepted<Document>) -> Accepted<Bytes> {
    Accepted {
        ballot: accepted.ballot,
        value: ring_format::encode(&accepted.value),
    }
}

/// `version u8 │ epoch u64 │ promised │ accepted?`, where a ballot is `round u64 │ proposer u128`, and what is accepted a
/// ballot and a document.
pub(super) fn encode(acceptance: &Acceptance<Document>) -> Bytes {
    encode_alone(64, |writer| {
        writer.u8(ROW_VERSION);
        writer.u64(acceptance.epoch.0);
        writer.u64(acceptance.promised.round);
        writer.u128(acceptance.promised.proposer.0);
        writer.option(acceptance.accepted.as_ref(), |writer, accepted| {
            writer.u64(accepted.ballot.round);
            writer.u128(accepted.ballot.proposer.0);
            writer.bytes(&ring_format::encode(&accepted.value));
        });
    })
}

pub(super) fn decode(row: Bytes) -> Result<Acceptance<Document>, DecodeError> {
    decode_whole("acceptance row", row, |reader: &mut Reader| {
        let version = reader.u8("acceptance row")?;
        if version != ROW_VERSION {
            return Err(DecodeError::UnknownVersion {
                what: "acceptance row",
                version,
            });
        }
        Ok(Acceptance {
            epoch: Epoch(reader.u64("epoch")?),
            promised: read_ballot(reader)?,
            accepted: reader.option("accepted", |reader| {
                let ballot = read_ballot(reader)?;
                let document = reader.bytes("ring document", WITHOUT_LIMIT)?;
                let value = Arc::new(ring_format::decode(document)?);
                Ok(Accepted { ballot, value })
            })?,
        })
    })
}

fn read_ballot(reader: &mut Reader) -> Result<Ballot, DecodeError> {
    Ok(Ballot {
        round: reader.u64("round")?,
        proposer: NodeId(reader.u128("proposer")?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(epoch: u64, round: u64) -> Acceptance<Document> {
        Acceptance {
            epoch: Epoch(epoch),
            promised: Ballot {
                round,
                proposer: NodeId(3),
            },
            accepted: None,
        }
    }

    #[test]
    fn a_word_comes_back_from_its_row() {
        assert_eq!(decode(encode(&word(7, 5))), Ok(word(7, 5)));
        assert!(decode(encode(&word(7, 5)).slice(1..)).is_err());
    }

    #[test]
    fn a_word_holds_until_the_epoch_is_decided() {
        let none = Acceptance::after(Epoch(6));
        assert_eq!(remembered(Some(None), Epoch(6)), (none.clone(), None));
        assert_eq!(
            remembered(Some(Some(word(7, 5))), Epoch(6)),
            (word(7, 5), None)
        );
        assert_eq!(remembered(Some(Some(word(6, 5))), Epoch(6)), (none, None));
    }

    #[test]
    fn who_cannot_read_its_word_gives_none_in_that_epoch() {
        let (_, forgotten) = remembered(None, Epoch(6));
        assert_eq!(forgotten, Some(Epoch(7)));
    }
}
