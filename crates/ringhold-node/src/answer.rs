//! What this node does for its peers and for native clients.

use crate::env::Deadline;
use crate::front_door::Errand;
use crate::membership::Sender;
use crate::node::Node;
use crate::replica::Incoming;
use ringhold_core::boot::Boot;
use ringhold_core::crdt::CausalContext;
use ringhold_core::id::NodeId;
use ringhold_core::version::token::{TokenError, TokenScope};
use ringhold_core::version::{Content, ContextToken, Object};
use ringhold_wire::message::peer::{ClientGot, ClientPut, ObjectDigest, Refusal, Reply, Request};
use ringhold_wire::message::{
    Change, GetError, GetRequest, NotStarted, ObjectName, PutAnswer, PutError, PutRequest,
    Rejection,
};
use ringhold_wire::ring as ring_format;
use std::sync::Arc;

impl Node {
    /// Carries out one request. `from` is the member that sent it; `None` for a native client, or for
    /// this node itself.
    pub async fn answer(
        self: &Arc<Self>,
        from: Option<Sender>,
        request: Request,
        deadline: Deadline,
    ) -> Reply {
        if deadline.has_passed(&*self.environment) {
            return Reply::Refused(Refusal::Expired);
        }
        // What is said about the ring itself comes before any agreement on it.
        let request = match self.answer_on_ring(from, request).await {
            Ok(reply) => return reply,
            Err(request) => request,
        };
        if let Some(from) = from
            && let Err(refusal) = self.fits(from, deadline).await
        {
            return Reply::Refused(refusal);
        }
        let from = from.map(|from| from.id);
        let request = match self.answer_on_partition(request, deadline).await {
            Ok(reply) => return reply,
            Err(request) => request,
        };
        match request {
            Request::Fetch(name) => self
                .vouched(&name)
                .map_or_else(Reply::Refused, Reply::Fetched),
            Request::Digest(name) => match self.vouched(&name) {
                Ok(object) => Reply::Digested(ObjectDigest::of(&object)),
                Err(refusal) => Reply::Refused(refusal),
            },
            Request::Merge(request) => self.merge(Incoming::Whole(request), deadline).await,
            Request::Follow(request) => {
                self.merge(Incoming::Update(Box::new(request)), deadline)
                    .await
            }
            Request::Coordinate(request) => {
                let started_us = self.environment.now_us();
                let answer = self.coordinate(request, from, deadline).await;
                self.note_foreground(started_us);
                Reply::Coordinated(answer)
            }
            Request::Properties(changes) => match self.keep_properties(changes).await {
                Ok(()) => Reply::PropertiesKept,
                Err(refusal) => Reply::Refused(refusal),
            },
            Request::FetchMany(names) => Reply::FetchedMany(self.fetch_many(&names)),
            Request::MergeMany(_) if !self.takes_writes() => Reply::Refused(Refusal::Starting),
            Request::MergeMany(objects) => {
                Reply::MergedMany(self.merge_many(objects, deadline).await)
            }
            Request::Testify(boot) => self.testified(from, boot).await,
            Request::Ping
            | Request::RingPrepare(_)
            | Request::RingAccept(_)
            | Request::RingFetch(_)
            | Request::RingIs(_)
            | Request::Recover(_)
            | Request::RecoveryIs(_)
            | Request::GossipDigest(_)
            | Request::GossipDeltas(_)
            | Request::Branches { .. }
            | Request::Leaves { .. }
            | Request::LeafKeys(_)
            | Request::Mend(_)
            | Request::Objects(_)
            | Request::Count(_)
            | Request::Rows(_)
            | Request::CountKeys(_)
            | Request::CheckRows(_)
            | Request::ClientRing(_)
            | Request::Strays(_)
            | Request::Vouch(_)
            | Request::Reap(_)
            | Request::Receipts => unreachable!("answered before"),
            Request::Get(request) => Reply::Got(self.get_for_client(request, deadline).await),
            Request::Put(put) => Reply::Coordinated(self.put_for_client(put, deadline).await),
        }
    }

    /// The answer to who asks about a partition or several keys of it: to compare, to copy, to count, to list, to reap. The request if it is about
    /// something else.
    async fn answer_on_partition(
        self: &Arc<Self>,
        request: Request,
        deadline: Deadline,
    ) -> Result<Reply, Request> {
        Ok(match request {
            Request::Branches { basis, partition } => self
                .branches(basis, partition)
                .map_or_else(Reply::Refused, |branches| {
                    Reply::Branches(Box::new(branches))
                }),
            Request::Leaves {
                basis,
                partition,
                branches,
            } => self
                .leaves(basis, partition, branches)
                .map_or_else(Reply::Refused, Reply::Leaves),
            Request::LeafKeys(request) => self
                .listed_leaves(request)
                .await
                .map_or_else(Reply::Refused, Reply::LeafKeys),
            Request::Mend(request) => self
                .mend_with(request, deadline)
                .await
                .map_or_else(Reply::Refused, Reply::Mended),
            Request::Objects(page) => self
                .page_in_turn(&page, deadline)
                .await
                .map_or_else(Reply::Refused, Reply::Objects),
            Request::Count(request) => self
                .count_leaves(request, deadline)
                .await
                .map_or_else(Reply::Refused, Reply::Counted),
            Request::Rows(request) => self
                .rows_page(&request, deadline)
                .await
                .map_or_else(Reply::Refused, Reply::Rows),
            Request::CountKeys(request) => self
                .count_keys(&request, deadline)
                .await
                .map_or_else(Reply::Refused, Reply::CountedKeys),
            Request::CheckRows(request) => self
                .check_rows(&request, deadline)
                .await
                .map_or_else(Reply::Refused, Reply::CheckedRows),
            Request::Strays(request) => said(self.lacks(request).await),
            Request::Vouch(request) => said(self.vouch(request).await),
            Request::Reap(request) => said(self.reap(request).await),
            Request::Receipts => Reply::Receipts(self.receipts()),
            other => return Err(other),
        })
    }

    /// The answer to a member that asks about the ring, or the request if it is about something else.
    async fn answer_on_ring(
        self: &Arc<Self>,
        from: Option<Sender>,
        request: Request,
    ) -> Result<Reply, Request> {
        Ok(match request {
            Request::RingPrepare(request) => Reply::RingPromised(self.prepare(request).await),
            Request::RingAccept(request) => match self.accept(request).await {
                Ok(reply) => Reply::RingAccepted(reply),
                Err(refusal) => Reply::Refused(refusal),
            },
            Request::RingFetch(request) => Reply::RingFetched(self.ring_for(&request)),
            Request::Recover(request) => Reply::Pledged(self.pledge(request).await),
            Request::RecoveryIs(request) => match self.accept_recovery(request).await {
                Ok(reply) => Reply::RecoveryAccepted(reply),
                Err(refusal) => Reply::Refused(refusal),
            },
            Request::RingIs(document) => {
                if let Some(from) = from {
                    self.hear_of(from.id, ring_format::decode(document)).await;
                }
                Reply::RingTaken
            }
            Request::GossipDigest(digest) => self.answer_gossip(from, &digest),
            Request::GossipDeltas(deltas) => self.answer_deltas(from, deltas),
            // Signs of life are taken from anybody who is of the cluster.
            Request::Ping => Reply::Here {
                reported: self.replica.reported(&*self.environment),
                epoch: self.ring().document().epoch,
            },
            Request::ClientRing(held) => Reply::ClientRing(self.ring_for_client(held)),
            other => return Err(other),
        })
    }

    async fn testified(self: &Arc<Self>, from: Option<NodeId>, boot: Boot) -> Reply {
        // Only a member has starts that anybody remembers.
        let Some(member) = from else {
            return Reply::Refused(Refusal::Malformed);
        };
        let testimony = self.testify(member, boot).await;
        testimony.map_or_else(Reply::Refused, Reply::Testimony)
    }

    /// An object as it is here, if this store can be believed that there is no more to it (T18).
    fn vouched(&self, name: &ObjectName) -> Result<Object, Refusal> {
        if !self.vouches_for(name) {
            self.metrics.reads_in_doubt.add(1);
            return Err(Refusal::Rebuilding);
        }
        self.replica.fetch(name)
    }

    async fn get_for_client(
        self: &Arc<Self>,
        request: GetRequest,
        deadline: Deadline,
    ) -> Result<ClientGot, GetError> {
        let admitted = self.admit(Errand::Read).ok_or(GetError::Overloaded)?;
        let name = request.name.clone();
        let answer = self.get(request, deadline).await?;
        admitted.served();
        self.metrics
            .siblings_returned
            .observe(answer.object.siblings().len() as u64);
        let object = &answer.object;
        let token = ContextToken {
            context: object.context().clone(),
            timestamp: object.greatest_timestamp(),
        };
        let context = if object.is_absent() {
            Vec::new()
        } else {
            self.token_key().seal(scope_of(&name), &token)
        };
        Ok(ClientGot {
            answer,
            context: context.into(),
        })
    }

    async fn put_for_client(
        self: &Arc<Self>,
        put: ClientPut,
        deadline: Deadline,
    ) -> Result<PutAnswer, PutError> {
        let overloaded = PutError::NotStarted(NotStarted::Overloaded);
        let admitted = self.admit(Errand::Write).ok_or(overloaded)?;
        let ClientPut {
            mut request,
            context,
        } = put;
        check_size(&request, self.tuning.limits.value_bytes).map_err(PutError::Rejected)?;
        let opened = self.open_context(&mut request, &context);
        opened.map_err(|_| PutError::Rejected(Rejection::ContextRefused))?;
        let answer = self.put(request, deadline).await?;
        admitted.served();
        Ok(answer)
    }
}

impl Node {
    async fn merge(&self, incoming: Incoming, deadline: Deadline) -> Reply {
        let kept = self.kept(incoming.name());
        if !self.takes_writes() {
            return Reply::Refused(Refusal::Starting);
        }
        match self.replica.merge(incoming, kept, deadline).await {
            Ok(durable) => Reply::Merged { durable },
            Err(refusal) => Reply::Refused(refusal),
        }
    }

    /// Puts what a client has seen into its put, by the token that it was given.
    fn open_context(&self, request: &mut PutRequest, sealed: &[u8]) -> Result<(), TokenError> {
        request.seen = ContextToken::default();
        let scope = scope_of(&request.name);
        match &mut request.change {
            Change::Update(update) if sealed.is_empty() => update.context = None,
            Change::Update(update) => {
                // The token of a get will do as well: whoever has read the object has seen what its context covers.
                let past = match self.token_key().open_past(scope, sealed) {
                    Err(TokenError::UnknownVersion(_)) => {
                        let token = self.token_key().open(scope, sealed)?;
                        CausalContext::from(&token.context)
                    }
                    opened => opened?,
                };
                update.context = Some(past);
            }
            Change::Content(_) if sealed.is_empty() => {}
            Change::Content(_) => request.seen = self.token_key().open(scope, sealed)?,
        }
        Ok(())
    }
}

fn said(answers: Result<Vec<bool>, Refusal>) -> Reply {
    answers.map_or_else(Reply::Refused, Reply::Said)
}

/// A client's value and metadata may be as large as over HTTP, and no larger.
fn check_size(request: &PutRequest, limit: usize) -> Result<(), Rejection> {
    let Change::Content(Content::Value { bytes, metadata }) = &request.change else {
        return Ok(());
    };
    let size = bytes.len()
        + metadata
            .iter()
            .map(|field| field.bytes.len())
            .sum::<usize>();
    if size > limit {
        return Err(Rejection::ObjectTooLarge {
            bytes: size as u64,
            limit: limit as u64,
        });
    }
    Ok(())
}

fn scope_of(name: &ObjectName) -> TokenScope<'_> {
    #[cfg(feature = "known-bad")]
    if crate::known_bad::is(crate::known_bad::Variant::ContextOfAnyKey) {
        return TokenScope {
            bucket_type: b"",
            bucket: b"",
            key: b"",
        };
    }
    TokenScope {
        bucket_type: &name.bucket_type,
        bucket: &name.bucket,
        key: &name.key,
    }
}
