//! A survivor's part in a recovery: what it promises, accepts and remembers.
//!
//! What it has accepted is a row of its store, written before it says so, beside its word in the agreement on epochs. It needs no
//! voice here (`voice`): those who could give it back are the ones who are lost. One that was put back from a copy in the very moment of
//! a recovery could thus accept two; that is part of what an operator takes upon himself.
//!
//! Invariant: from the moment that it has accepted a document of the next generation it votes in no register of its own one.

use crate::membership::agreement::{self, Document};
use crate::node::Node;
use bytes::Bytes;
use ringhold_core::id::NodeId;
use ringhold_core::membership::recovery::{Pledge, PledgeRefused, PledgeReply};
use ringhold_core::membership::register::{AcceptReply, Acceptance, Ballot, Denial};
use ringhold_core::ring::{Descent, Epoch, RingDocument, RingHash, validate};
use ringhold_storage::{Keyspace, StorageKey, Store};
use ringhold_wire::message::membership::{AcceptRequest, RecoveryRequest};
use ringhold_wire::message::peer::Refusal;
use ringhold_wire::ring as ring_format;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use tokio::sync::{Mutex, MutexGuard};

/// What a node has promised and accepted in the register of the generation that follows its own.
pub(crate) struct RecoveryWord {
    /// Held while it is written.
    word: Mutex<Acceptance<Document>>,
    /// The first epoch of a generation that it has helped to begin; 0 if there is none.
    accepted: AtomicU64,
    /// What this very process has accepted.
    accepted_here: StdMutex<Option<RingHash>>,
}

impl RecoveryWord {
    /// As the store remembers it.
    pub(crate) fn of(store: &Store, me: NodeId, held: Epoch) -> Self {
        let row = store.get(Keyspace::Members, &row_key(me)).ok().flatten();
        let kept = row.and_then(|row| agreement::decode(row).ok());
        let fresh = fresh(held);
        let word = kept.filter(|kept| kept.epoch == fresh.epoch);
        let word = word.unwrap_or(fresh);
        let accepted = word.accepted.as_ref().map_or(0, |_| word.epoch.0);
        Self {
            word: Mutex::new(word),
            accepted: AtomicU64::new(accepted),
            accepted_here: StdMutex::default(),
        }
    }

    /// Whether it has helped to begin a generation after a document that it holds.
    pub(crate) fn binds(&self, held: Epoch) -> bool {
        self.accepted.load(Ordering::Acquire) > held.0
    }

    fn accepted_here(&self) -> std::sync::MutexGuard<'_, Option<RingHash>> {
        let accepted = self.accepted_here.lock();
        accepted.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Node {
    /// Answers the first question of a recovery.
    pub(crate) async fn pledge(&self, request: RecoveryRequest) -> PledgeReply<Bytes> {
        let RecoveryRequest {
            epoch,
            ballot,
            given_up,
        } = request;
        let mut word = self.recovery_word().await;
        let ring = self.ring();
        let held = ring.document().epoch;
        if epoch < word.epoch {
            return Err(PledgeRefused::Behind { committed: held });
        }
        if epoch > word.epoch {
            return Err(PledgeRefused::Ahead { held });
        }
        let lives = |member: &&NodeId| **member == self.id || self.is_reachable(**member);
        if let Some(&member) = given_up.iter().find(lives) {
            return Err(PledgeRefused::Lives { member });
        }
        let answer = word.prepare(epoch, ballot);
        let promise = match answer.reply {
            Ok(promise) => promise,
            Err(Denial::Outbid { by }) => return Err(PledgeRefused::Outbid { by }),
            Err(_) => return Err(PledgeRefused::Ahead { held }),
        };
        if let Some(next) = answer.persist
            && !self.keep_recovery_word(&mut word, next).await
        {
            return Err(PledgeRefused::Outbid { by: ballot });
        }
        let accepted = self.acceptance_now().await.accepted.clone();
        Ok(Pledge {
            ballot,
            held,
            accepted: accepted.as_ref().map(agreement::encoded),
            recovery: promise.accepted.as_ref().map(agreement::encoded),
        })
    }

    /// Answers the second question of a recovery.
    pub(crate) async fn accept_recovery(
        &self,
        request: AcceptRequest,
    ) -> Result<AcceptReply, Refusal> {
        let AcceptRequest {
            epoch,
            ballot,
            document,
        } = request;
        let value = ring_format::decode(document).map_err(|_| Refusal::Malformed)?;
        let mut word = self.recovery_word().await;
        let ring = self.ring();
        let held = ring.document();
        if epoch < word.epoch {
            let committed = held.epoch;
            return Ok(Err(Denial::Behind { committed }));
        }
        let follows = value.cluster_id == held.cluster_id
            && value.descent(held) == Descent::Follows
            && validate(&value).is_ok();
        if !follows {
            return Err(Refusal::Malformed);
        }
        let name = value.hash();
        let answer = word.accept(epoch, ballot, Arc::new(value));
        if let Some(next) = answer.persist
            && !self.keep_recovery_word(&mut word, next).await
        {
            return Ok(Err(Denial::Outbid { by: ballot }));
        }
        if answer.reply.is_ok() {
            let recovery = &self.agreement.recovery;
            recovery.accepted.store(epoch.0, Ordering::Release);
            *recovery.accepted_here() = Some(name);
        }
        Ok(answer.reply)
    }

    /// A document was taken into use.
    pub(in crate::membership) fn recovered(&self, document: &RingDocument) {
        let accepted = self.agreement.recovery.accepted_here().take();
        if accepted == Some(document.hash()) {
            self.agreement.voice.begin_anew();
        }
    }

    /// The word in the register of the next generation.
    pub(super) async fn recovery_word(&self) -> MutexGuard<'_, Acceptance<Document>> {
        let mut word = self.agreement.recovery.word.lock().await;
        let fresh = fresh(self.ring().document().epoch);
        if word.epoch != fresh.epoch {
            *word = fresh;
        }
        word
    }

    /// On disk first, then in memory; false if the store failed.
    async fn keep_recovery_word(
        &self,
        word: &mut Acceptance<Document>,
        next: Acceptance<Document>,
    ) -> bool {
        self.keep_word_at(row_key(self.id), word, next).await
    }
}

/// Nothing said yet in the register of the generation after that of a document.
fn fresh(held: Epoch) -> Acceptance<Document> {
    let epoch = held.of_next_generation().unwrap_or(held);
    Acceptance {
        epoch,
        promised: Ballot::NONE,
        accepted: None,
    }
}

/// Beside the word in the agreement on epochs.
fn row_key(me: NodeId) -> StorageKey {
    StorageKey::new(me.0, 3)
}
