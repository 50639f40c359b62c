//! How a node learns that there is a newer ring document.
//!
//! Whoever has a document committed sends it to all members. Who misses that hears of it by gossip, from a member that it
//! connects to, or because a request does not fit: each carries the placement number that its sender knows. A receiver that
//! is behind fetches the document from the sender before it goes about the request, since what it thinks are a key's homes may
//! not be any more. A sender that is behind is told so, fetches, and asks again. Documents that leave the placement as it is
//! make no request wait.
//!
//! Invariant: no request between members is carried out under two placements. A member that was removed gets the document that
//! says so, and nothing else (T17).

use crate::env::{BoxFuture, CallError, Deadline};
use crate::gather::{Gather, until};
#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::node::Node;
use bytes::Bytes;
use ringhold_core::id::NodeId;
use ringhold_core::ring::{Epoch, RingDocument};
use ringhold_wire::bytes_io::DecodeError;
use ringhold_wire::message::membership::RingRequest;
use ringhold_wire::message::peer::{ClientRing, Refusal, Reply, Request};
use ringhold_wire::ring as ring_format;
use std::sync::Arc;
use tokio::sync::oneshot;

/// How long the members are given to take a new document, before whoever had it committed goes on. Microseconds.
const SPREAD_US: u64 = 1_000_000;
/// How long a document is waited for, in microseconds.
const FETCH_US: u64 = 2_000_000;

/// The member that sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    pub id: NodeId,
    /// Of the placement by which it asks.
    pub placement_number: u64,
}

impl Node {
    /// Fetches the document of a member that may have a newer one; whether this node has a newer one afterwards. Taking it into
    /// use goes on when nobody waits for it any longer.
    pub(crate) async fn catch_up(self: &Arc<Self>, from: NodeId, deadline: Deadline) -> bool {
        let before = self.ring().document().epoch;
        let (done, is_done) = oneshot::channel();
        let node = Arc::clone(self);
        self.environment.spawn(Box::pin(async move {
            node.fetch_ring(from).await;
            // Whoever asked may have gone.
            done.send(()).ok();
        }));
        until(&*self.environment, deadline, is_done).await;
        self.ring().document().epoch > before
    }

    async fn fetch_ring(self: &Arc<Self>, from: NodeId) {
        let ring = self.ring();
        let held = ring.document();
        let deadline = Deadline::after(&*self.environment, FETCH_US);
        let request = Request::RingFetch(RingRequest {
            epoch: held.epoch,
            sections: held.section_hashes.clone(),
        });
        let reply = self.call_as_is(from, request, deadline).await;
        if let Ok(Reply::RingFetched(Some(changes))) = reply {
            let document = ring_format::decode_changes(changes, held);
            self.hear_of(from, document).await;
        }
    }

    /// A member says that this is the ring document.
    pub(crate) async fn hear_of(
        self: &Arc<Self>,
        from: NodeId,
        document: Result<RingDocument, DecodeError>,
    ) {
        let adopted = match document {
            Ok(document) => self
                .adopt(Arc::new(document))
                .await
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = adopted {
            tracing::error!(member = %from, error, "a member's ring document is not taken into use");
        }
    }

    /// What this node's document has that a member's has not; none if that is as late.
    pub(crate) fn ring_for(&self, request: &RingRequest) -> Option<Bytes> {
        let ring = self.ring();
        let document = ring.document();
        let is_later = document.epoch > request.epoch;
        is_later.then(|| ring_format::encode_changes(document, &request.sections))
    }

    /// What a native client needs to go to the homes of a key by itself, which has the document of some epoch (§6.4).
    pub(crate) fn ring_for_client(&self, held: Epoch) -> ClientRing {
        let ring = self.ring();
        let document = ring.document();
        let present = ring
            .members()
            .iter()
            .filter(|member| !member.state.is_gone());
        let addresses = present.map(|member| (member.id, self.addresses_of(member).native.into()));
        ClientRing {
            document: (document.epoch > held).then(|| ring_format::encode(document)),
            addresses: addresses
                .filter(|(_, address): &(NodeId, Bytes)| !address.is_empty())
                .collect(),
        }
    }

    /// Whether a client that knows this placement is told to catch up before it is served: it knows an older one, and has come to a
    /// node that is no home of the key now. One that has come to a home is served, however old its ring; one that knows no
    /// placement, and says 0, goes to any node.
    #[must_use]
    pub fn misleads(&self, placement_number: u64, request: &Request) -> bool {
        let ring = self.ring();
        if placement_number == 0 || placement_number >= ring.placement_number() {
            return false;
        }
        let name = match request {
            Request::Get(get) => &get.name,
            Request::Put(put) => &put.request.name,
            _ => return false,
        };
        let replicas = ring.classes().replicas_of(&name.bucket_type, &name.bucket);
        let list = ring.preference_list(name.position());
        !list
            .iter()
            .take(replicas.now.into())
            .any(|home| *home == self.id)
    }

    /// A member is said to know an epoch. Fetches its document, if that is newer than the one in use.
    pub(crate) async fn ring_news(self: &Arc<Self>, from: NodeId, epoch: u64) {
        if epoch > self.ring().document().epoch.0 {
            let deadline = Deadline::after(&*self.environment, FETCH_US);
            self.catch_up(from, deadline).await;
        }
    }

    /// Hands a new document to all members that it or the one before names.
    pub(super) async fn spread_ring(self: &Arc<Self>, document: &Arc<RingDocument>) {
        let deadline = Deadline::after(&*self.environment, SPREAD_US);
        let mut calls = Gather::until(Arc::clone(&self.environment), deadline);
        let encoded = ring_format::encode(document);
        for member in &document.members {
            if member.id != self.id && self.is_reachable(member.id) {
                let request = Request::RingIs(encoded.clone());
                calls.ask(member.id, self.call_as_is(member.id, request, deadline));
            }
        }
        while calls.next().await.is_some() {}
    }

    /// Hands the document in use to all members that can be reached, and waits a while for them to take it: the last thing that a
    /// node does which was removed. Whoever had its removal committed may be this node, and nobody else may know yet.
    pub async fn hand_on_ring(self: &Arc<Self>) {
        let document = Arc::new(self.ring().document().clone());
        self.spread_ring(&document).await;
    }

    /// Whether a request of a member may be carried out by this node's ring. This node catches up first, if it has to.
    pub(crate) async fn fits(
        self: &Arc<Self>,
        from: Sender,
        deadline: Deadline,
    ) -> Result<(), Refusal> {
        #[cfg(feature = "known-bad")]
        if known_bad::is(Variant::PlacementIgnored) {
            return Ok(());
        }
        loop {
            let ring = self.ring();
            let is_member = ring.member(from.id).is_some_and(|m| !m.state.is_gone());
            if from.placement_number < ring.placement_number() {
                return Err(if is_member {
                    Refusal::PlacementBehind
                } else {
                    Refusal::NotAMember
                });
            }
            if from.placement_number == ring.placement_number() {
                return if is_member {
                    Ok(())
                } else {
                    Err(Refusal::NotAMember)
                };
            }
            if deadline.has_passed(&*self.environment) || !self.catch_up(from.id, deadline).await {
                return Err(Refusal::PlacementUnknown);
            }
        }
    }

    /// Asks another node, and once more by its ring if this one turns out to be old.
    pub(crate) fn call_in_step(
        self: &Arc<Self>,
        to: NodeId,
        request: Request,
        deadline: Deadline,
    ) -> BoxFuture<'static, Result<Reply, CallError>> {
        let first = self.call_as_is(to, request.clone(), deadline);
        let node = Arc::clone(self);
        Box::pin(async move {
            let reply = first.await;
            match reply {
                Ok(Reply::Refused(Refusal::PlacementBehind)) => {
                    node.metrics.placements_behind.add(1);
                    node.catch_up(to, deadline).await;
                    node.call_as_is(to, request, deadline).await
                }
                Ok(Reply::Refused(Refusal::NotAMember)) => {
                    // It knows of a removal that this node has missed: its own.
                    node.catch_up(to, deadline).await;
                    reply
                }
                reply => reply,
            }
        })
    }
}
