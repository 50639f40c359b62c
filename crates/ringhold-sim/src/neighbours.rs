//! Another cluster beside this one (T19).
//!
//! It has the same node ids, names, addresses and secret, as a copy of a cluster has that somebody founded over again from
//! the same machines: all that tells the two apart is the cluster's id. Its nodes call ours and are called by them, because addresses were used again and
//! operators mix up seeds; its later ring document is handed to our nodes as if a member had sent it. None of that may have any effect
//! (I19).
//!
//! Not here: its data. What can't connect can't send any; and a disk of another node's is refused by its name
//! (`cluster::life`), that of another cluster's by its ring document (`tests/it/neighbours.rs`).

use crate::cluster::Cluster;
use crate::invariants::i19_isolation;
use crate::random::Random;
use crate::rare::Rare;
use ringhold_core::id::ClusterId;
use ringhold_core::ring::{Epoch, RingDocument, RingHash};
use ringhold_node::env::Deadline;
use ringhold_node::{Node, Sender};
use ringhold_wire::handshake::NodeCard;
use ringhold_wire::message::peer::Request;
use ringhold_wire::ring as ring_format;
use std::sync::Arc;

/// What tells the other cluster's id from this one's.
const OTHER: u128 = 0x19;

/// The other cluster's ring: as ours, but that it is not ours, and later.
#[must_use]
pub fn foreign(document: &RingDocument, ahead: u64) -> RingDocument {
    RingDocument {
        cluster_id: ClusterId(document.cluster_id.0 ^ OTHER),
        epoch: Epoch(document.epoch.0 + ahead),
        previous: RingHash([0x19; 16]),
        ..document.clone()
    }
    .sealed()
}

/// Somebody confuses the two clusters, at one node.
pub async fn mix_up(cluster: &Cluster, at: usize, node: &Arc<Node>, random: &mut Random) {
    let around = cluster.around();
    around.rare.hit(Rare::ClustersMixedUp);
    let ring = node.ring();
    let others: Vec<usize> = cluster.members().into_iter().filter(|m| *m != at).collect();
    let Some(&other) = others.get(random.index(others.len().max(1))) else {
        return;
    };
    let own = node.card("ours");
    let theirs = NodeCard {
        cluster: ClusterId(own.cluster.0 ^ OTHER),
        node: cluster.id_of(other),
        ..node.card("theirs")
    };
    for met in [
        cluster.network().meet_by_mistake(&theirs, &own, random),
        cluster.network().meet_by_mistake(&own, &theirs, random),
    ] {
        if let Err(violation) = i19_isolation::check_met(at, &met) {
            around.books.lock().fail(violation);
        }
    }
    let document = foreign(ring.document(), random.between(1, 3));
    let from = Sender {
        id: cluster.id_of(other),
        placement_number: ring.placement_number(),
    };
    let request = Request::RingIs(ring_format::encode(&document));
    let deadline = Deadline::after(&**node.environment(), 1_000_000);
    node.answer(Some(from), request, deadline).await;
}
