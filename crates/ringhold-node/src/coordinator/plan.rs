//! Who takes part in a request, decided before anything is sent.
//!
//! The preference list of a key names all members; its first N are the primaries. Until fallbacks take
//! writes for absent primaries, only primaries are targets. A cluster of fewer members
//! than N has as many replicas as members.

use crate::peer_health::Nearness;
use crate::properties::{Durability, Properties};
use ringhold_core::id::NodeId;
use ringhold_core::quorum::{
    Count, GetQuorum, PutQuorum, PutSpec, QuorumViolation, ReplicaKind, Target,
};
use ringhold_core::ring::Ring;
use ringhold_wire::message::{GetOptions, ObjectName, PutOptions};
use std::sync::Arc;

/// A request's part of the ring.
#[derive(Clone, Debug)]
pub(crate) struct Placement {
    pub(crate) ring: Arc<Ring>,
    pub(crate) name: ObjectName,
    pub(crate) n: u32,
    /// The primaries, nearest first: this node, then those that are up, those that are slow and those that are
    /// down, each by how fast they answer.
    pub(crate) targets: Vec<Target>,
    /// Whether this node is a primary.
    pub(crate) is_here: bool,
}

impl Placement {
    pub(crate) fn new(
        ring: Arc<Ring>,
        me: NodeId,
        nearness: impl Fn(NodeId) -> Nearness,
        name: ObjectName,
        n_val: u32,
    ) -> Self {
        let list = ring.preference_list(name.position());
        let n = usize::try_from(n_val).map_or(list.len(), |n| n.min(list.len()));
        let mut primaries = list[..n].to_vec();
        // Stable, so that equally near nodes stay in ring order.
        primaries.sort_by_cached_key(|&node| (node != me, nearness(node)));
        let targets = primaries
            .iter()
            .map(|&node| Target {
                node,
                kind: ReplicaKind::Primary,
            })
            .collect();
        let n = u32::try_from(n).expect("a ring has fewer than 2^32 members");
        let is_here = primaries.first() == Some(&me);
        Self {
            ring,
            name,
            n,
            targets,
            is_here,
        }
    }

    pub(crate) fn get_quorum(
        &self,
        options: &GetOptions,
        properties: &Properties,
    ) -> Result<GetQuorum, QuorumViolation> {
        options.quorum.resolve(self.n, &properties.get)
    }

    /// The counts of a put, and whether acknowledgements wait for a flush. In a buffered bucket nothing
    /// is durable when it is acknowledged, so DW is asked for only by a request that names it, and that request
    /// flushes.
    pub(crate) fn put_quorum(
        &self,
        options: &PutOptions,
        properties: &Properties,
    ) -> Result<(PutQuorum, bool), QuorumViolation> {
        let names_dw = !matches!(options.quorum.dw, Count::Default | Count::Exact(0));
        let flushed = properties.durability == Durability::Flushed || options.flushed || names_dw;
        let bucket = if flushed {
            properties.put
        } else {
            PutSpec {
                dw: Count::Exact(0),
                ..properties.put
            }
        };
        let quorum = options.quorum.resolve(self.n, &bucket)?;
        Ok((quorum, flushed))
    }
}
