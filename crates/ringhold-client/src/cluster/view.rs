//! What the client knows of the cluster at a moment: the ring, and a link to each node. Replaced as a whole.
//!
//! It comes from the nodes themselves ([`ClientRing`]): the ring document, checked here as every node checks it, and where members are
//! reached by their own last word, which may be elsewhere than the document says. A document goes forward only: one of a lower
//! epoch, or of another cluster, is not taken.

use super::link::Link;
use super::route::{Coordination, Known, candidates};
use crate::error::ClientError;
use crate::native::NativeClient;
use ringhold_core::id::{ClusterId, NodeId};
use ringhold_core::ring::{Epoch, Ring};
use ringhold_wire::message::ObjectName;
use ringhold_wire::message::peer::ClientRing;
use ringhold_wire::ring as ring_format;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) ring: Option<Arc<Ring>>,
    /// In order of identity.
    nodes: Vec<NodeId>,
    links: BTreeMap<NodeId, Arc<Link>>,
}

impl View {
    /// Of nodes that don't tell their ring.
    pub(crate) fn of_links(links: impl IntoIterator<Item = Arc<Link>>) -> Self {
        let links = links.into_iter().map(|link| (link.node, link));
        let links: BTreeMap<NodeId, Arc<Link>> = links.collect();
        Self {
            ring: None,
            nodes: links.keys().copied().collect(),
            links,
        }
    }

    /// With what the node at the other end of a connection has told; none if that is nothing new.
    pub(crate) fn updated(
        &self,
        connection: &NativeClient,
        told: ClientRing,
    ) -> Result<Option<Self>, ClientError> {
        let malformed = |problem: String| ClientError::Malformed {
            url: connection.address().to_owned(),
            problem,
        };
        let ring = match told.document {
            None => self.ring.clone(),
            Some(bytes) => {
                let document = ring_format::decode(bytes).map_err(|e| malformed(e.to_string()))?;
                let is_ours = self
                    .cluster()
                    .is_none_or(|ours| ours == document.cluster_id);
                if !is_ours {
                    return Err(malformed("a ring of another cluster".to_owned()));
                }
                let ring = Ring::new(document).map_err(|error| malformed(error.to_string()))?;
                let is_later = ring.document().epoch > self.epoch();
                if is_later {
                    Some(Arc::new(ring))
                } else {
                    self.ring.clone()
                }
            }
        };
        let cluster = ring.as_ref().map(|ring| ring.document().cluster_id);
        let mut links = BTreeMap::new();
        for (node, address) in told.addresses {
            let address = String::from_utf8_lossy(&address);
            let kept = self.links.get(&node).filter(|link| link.address == address);
            let made = || {
                let is_this = connection.card().node == node && connection.address() == address;
                let link = match is_this {
                    true => Link::connected(connection.clone()),
                    false => Link::new(node, &address, cluster),
                };
                Arc::new(link)
            };
            links.insert(node, kept.cloned().unwrap_or_else(made));
        }
        let is_same = |(node, link): (&NodeId, &Arc<Link>)| {
            self.links
                .get(node)
                .is_some_and(|kept| Arc::ptr_eq(kept, link))
        };
        let nothing_new = self.epoch() == epoch_of(ring.as_deref())
            && links.len() == self.links.len()
            && links.iter().all(is_same);
        let nodes = links.keys().copied().collect();
        Ok((!nothing_new).then_some(Self { ring, nodes, links }))
    }

    /// Of the document that is held; 0 if none is.
    pub(crate) fn epoch(&self) -> Epoch {
        epoch_of(self.ring.as_deref())
    }

    fn cluster(&self) -> Option<ClusterId> {
        self.ring.as_ref().map(|ring| ring.document().cluster_id)
    }

    /// 0 if there is no ring.
    pub(crate) fn placement_number(&self) -> u64 {
        self.ring.as_ref().map_or(0, |ring| ring.placement_number())
    }

    pub(crate) fn links(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.links.values()
    }

    pub(crate) fn link(&self, node: NodeId) -> Option<&Arc<Link>> {
        self.links.get(&node)
    }

    /// The nodes for a request on a key, each once.
    pub(crate) fn candidates(
        &self,
        coordination: Coordination,
        name: &ObjectName,
        turn: usize,
    ) -> Vec<NodeId> {
        let known = Known {
            ring: self.ring.as_deref(),
            nodes: &self.nodes,
        };
        candidates(&known, coordination, name, turn)
    }
}

fn epoch_of(ring: Option<&Ring>) -> Epoch {
    ring.map_or(Epoch(0), |ring| ring.document().epoch)
}
