//! What this node does for its peers and for native clients.

use crate::env::Deadline;
use crate::node::Node;
use ringhold_core::id::NodeId;
use ringhold_wire::message::peer::{ObjectDigest, Refusal, Reply, Request};
use std::sync::Arc;

impl Node {
    /// Carries out one request. `from` is the member that sent it; `None` for a native client, or for
    /// this node itself.
    pub async fn answer(self: &Arc<Self>, from: Option<NodeId>, request: Request, deadline: Deadline) -> Reply {
        if deadline.has_passed(&*self.environment) {
            return Reply::Refused(Refusal::Expired);
        }
        match request {
            Request::Ping => Reply::Pong,
            Request::Fetch(name) => self.replica.fetch(&name).map_or_else(Reply::Refused, Reply::Fetched),
            Request::Digest(name) => match self.replica.fetch(&name) {
                Ok(object) => Reply::Digested(ObjectDigest::of(&object)),
                Err(refusal) => Reply::Refused(refusal),
            },
            Request::Merge(request) => match self.replica.merge(request, deadline).await {
                Ok(durable) => Reply::Merged { durable },
                Err(refusal) => Reply::Refused(refusal),
            },
            Request::Coordinate(request) => Reply::Coordinated(self.coordinate(request, from, deadline).await),
            Request::Properties(changes) => match self.keep_properties(changes).await {
                Ok(()) => Reply::PropertiesKept,
                Err(refusal) => Reply::Refused(refusal),
            },
            Request::Get(request) => Reply::Got(self.get(request, deadline).await),
            Request::Put(request) => Reply::Coordinated(self.put(request, deadline).await),
        }
    }
}
