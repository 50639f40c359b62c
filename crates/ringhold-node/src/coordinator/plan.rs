//! Who takes part in a request, decided before anything is sent.
//!
//! The preference list of a key names all members; its first N are the primaries, the others fallbacks in
//! order. The targets of a request are the first N *healthy* nodes of the list (§4.6): where a primary is
//! down, the next fallback stands in for it. A request may insist on primaries. A cluster of fewer
//! members than N has as many replicas as members.

#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::peer_health::Nearness;
use crate::properties::{Durability, Properties};
use ringhold_core::health::Standing;
use ringhold_core::id::NodeId;
use ringhold_core::quorum::{
    Count, GetQuorum, PutQuorum, PutSpec, QuorumViolation, ReplicaKind, Target,
};
use ringhold_core::ring::{Replicas, Ring};
use ringhold_wire::message::{Flush, GetOptions, ObjectName, PutOptions};
use std::collections::VecDeque;
use std::sync::Arc;

/// A request's part of the ring.
#[derive(Clone, Debug)]
pub(crate) struct Placement {
    pub(crate) ring: Arc<Ring>,
    pub(crate) name: ObjectName,
    pub(crate) n: u32,
    /// The first N healthy nodes: the primaries among them, nearest first (this node, then those that are up,
    /// then those that are slow, each by how fast they answer), then their stand-ins in ring order.
    pub(crate) targets: Vec<Target>,
    /// The primaries that are down.
    pub(crate) absent: Vec<Target>,
    /// Further fallbacks, in ring order, for targets that turn out not to answer.
    pub(crate) spares: VecDeque<Target>,
    /// Who is to become a home of the key by the placement change under way.
    pub(crate) comers: Vec<NodeId>,
    /// Whether this node is a target.
    pub(crate) is_here: bool,
}

impl Placement {
    pub(crate) fn new(
        ring: Arc<Ring>,
        me: NodeId,
        nearness: impl Fn(NodeId) -> Nearness,
        name: ObjectName,
        replicas: Replicas,
        primaries_only: bool,
    ) -> Self {
        let partition = ring.partition_of(name.position());
        let list = ring.partition_preference_list(partition);
        #[cfg(feature = "known-bad")]
        let list = match ring.next_preference_list(partition) {
            Some(next) if known_bad::is(Variant::IncomingCountsAsOwner) => next,
            _ => list,
        };
        #[cfg(feature = "known-bad")]
        let replicas = known_bad::counted_replicas(replicas);
        let n = usize::from(replicas.now).min(list.len());
        let mut primaries: Vec<(Nearness, NodeId)> = list[..n]
            .iter()
            .map(|&node| (nearness(node), node))
            .collect();
        // Stable, so that equally near nodes stay in ring order.
        primaries.sort_by_key(|&(nearness, node)| (node != me, nearness));
        let as_primary = |&(_, node): &(Nearness, NodeId)| Target {
            node,
            kind: ReplicaKind::Primary,
        };
        let (healthy, down): (Vec<_>, Vec<_>) = primaries
            .into_iter()
            .partition(|((standing, _), _)| *standing != Standing::Down);
        let mut targets: Vec<Target> = healthy.iter().map(as_primary).collect();
        let mut spares = VecDeque::new();
        if !primaries_only {
            let is_healthy = |node| nearness(node).0 != Standing::Down;
            let fallbacks = list[n..].iter().filter(|&&node| is_healthy(node));
            spares.extend(fallbacks.map(|&node| Target {
                node,
                kind: ReplicaKind::Fallback,
            }));
            while targets.len() < n
                && let Some(stand_in) = spares.pop_front()
            {
                targets.push(stand_in);
            }
        }
        Self {
            n: u32::try_from(n).expect("a ring has fewer than 2^32 members"),
            is_here: targets.iter().any(|target| target.node == me),
            absent: down.iter().map(as_primary).collect(),
            comers: ring.comers(partition, replicas).collect(),
            ring,
            name,
            targets,
            spares,
        }
    }

    /// All primaries, whether or not they can be reached.
    pub(crate) fn primaries(&self) -> impl Iterator<Item = Target> + '_ {
        let here = self.targets.iter().chain(&self.absent);
        here.copied()
            .filter(|target| target.kind == ReplicaKind::Primary)
    }

    pub(crate) fn get_quorum(
        &self,
        options: &GetOptions,
        properties: &Properties,
    ) -> Result<GetQuorum, QuorumViolation> {
        options.quorum.resolve(self.n, &properties.get)
    }

    /// See [`resolve_put`].
    pub(crate) fn put_quorum(
        &self,
        options: &PutOptions,
        properties: &Properties,
    ) -> Result<(PutQuorum, Durability), QuorumViolation> {
        resolve_put(self.n, options, properties)
    }
}

/// The counts of a put, and who flushes: as many as the bucket or the request wants, whichever wants more. The bucket's DW is of
/// flushed acknowledgements; where they are one or none, DW is as many. A request that names a greater DW has all flush.
fn resolve_put(
    n: u32,
    options: &PutOptions,
    properties: &Properties,
) -> Result<(PutQuorum, Durability), QuorumViolation> {
    let durability = properties.durability.max(asked(options));
    let (dw, at_least) = match durability {
        Durability::Flushed => (properties.put.dw, 0),
        Durability::One => (Count::One, 1),
        Durability::Buffered => (Count::Exact(0), 0),
    };
    let bucket = PutSpec {
        dw,
        ..properties.put
    };
    let mut quorum = options.quorum.resolve(n, &bucket)?;
    quorum.dw = quorum.dw.max(at_least);
    #[cfg(feature = "known-bad")]
    if durability == Durability::One && known_bad::is(Variant::OneIsNone) {
        quorum.dw = 0;
        return Ok((quorum, Durability::Buffered));
    }
    Ok((quorum, durability))
}

/// What a request itself wants flushed: by its options, or by naming how many acknowledgements are to be durable.
fn asked(options: &PutOptions) -> Durability {
    let named = match options.quorum.dw {
        Count::Default | Count::Exact(0) => Durability::Buffered,
        Count::One | Count::Exact(1) => Durability::One,
        Count::Exact(_) | Count::Quorum | Count::All => Durability::Flushed,
    };
    named.max(match options.flush {
        Flush::AsBucket => Durability::Buffered,
        Flush::One => Durability::One,
        Flush::Counted => Durability::Flushed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stricter_of_bucket_and_request_flushes() {
        use {Durability as D, Flush as F};
        let default = Count::Default;
        let rows = [
            (D::Flushed, default, F::AsBucket, (D::Flushed, 2)),
            (D::Flushed, default, F::One, (D::Flushed, 2)),
            (D::Flushed, Count::Exact(0), F::AsBucket, (D::Flushed, 0)),
            (D::One, default, F::AsBucket, (D::One, 1)),
            (D::One, Count::Exact(0), F::AsBucket, (D::One, 1)),
            (D::One, Count::One, F::AsBucket, (D::One, 1)),
            (D::One, Count::Exact(2), F::AsBucket, (D::Flushed, 2)),
            (D::One, Count::All, F::AsBucket, (D::Flushed, 3)),
            (D::One, default, F::Counted, (D::Flushed, 2)),
            (D::Buffered, default, F::AsBucket, (D::Buffered, 0)),
            (D::Buffered, Count::Exact(1), F::AsBucket, (D::One, 1)),
            (D::Buffered, default, F::One, (D::One, 1)),
            (D::Buffered, Count::Quorum, F::One, (D::Flushed, 2)),
        ];
        for (durability, dw, flush, (expected, disks)) in rows {
            let properties = Properties {
                durability,
                ..Properties::default()
            };
            let options = PutOptions {
                quorum: PutSpec {
                    dw,
                    ..PutSpec::default()
                },
                flush,
                ..PutOptions::default()
            };
            let resolved = resolve_put(3, &options, &properties).expect("none is above N");
            let what = format!("{durability}, dw={dw}, {flush:?}");
            assert_eq!((resolved.1, resolved.0.dw), (expected, disks), "{what}");
        }
    }
}
