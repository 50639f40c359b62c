//! Gossip in a whole cluster: everybody hears how everybody is, also of those whom it can't reach, and again after a restart and a cut.

use crate::scenario::{cluster_with, cut_off, pass, small_cluster};
use ringhold_core::ring::change::Change;
use ringhold_node::{MemberGossip, Node};
use ringhold_sim::cluster::Cluster;
use ringhold_sim::executor::Group;
use ringhold_wire::gossiped::RingKnown;
use std::sync::Arc;

const S: u64 = 1_000_000;

fn node(cluster: &Cluster, node: usize) -> Arc<Node> {
    cluster.node(node).expect("the node is up")
}

/// What one node has heard of another.
fn heard(cluster: &Cluster, at: usize, of: usize) -> MemberGossip {
    let id = node(cluster, of).id();
    let view = node(cluster, at).gossip_view();
    let row = view.into_iter().find(|row| row.node == id);
    row.expect("members are listed, heard of or not")
}

/// Whether each node has heard of each other within so many seconds.
fn all_hear_all(cluster: &Cluster, seconds: u64) -> bool {
    let nodes = cluster.plan().nodes;
    let mut pairs = (0..nodes).flat_map(|at| (0..nodes).map(move |of| (at, of)));
    pairs.all(|(at, of)| {
        let age_us = heard(cluster, at, of).heartbeat_age_us;
        at == of || age_us.is_some_and(|age_us| age_us < seconds * S)
    })
}

#[test]
fn everybody_hears_how_everybody_is() {
    let cluster = cluster_with(|plan| (plan.nodes, plan.replicas) = (7, 3));
    pass(&cluster, 20 * S);
    assert!(all_hear_all(&cluster, 8));
    let ring = node(&cluster, 0).ring();
    for (at, of) in [(0, 6), (3, 1), (5, 5)] {
        let row = heard(&cluster, at, of);
        assert_eq!(row.ring, Some(RingKnown::of(ring.document())));
        let load = row.load.expect("it is said at once");
        assert_eq!(load.partitions as usize, ring.partitions_owned(row.node));
    }
    let metrics = |of| node(&cluster, of).metrics().gossip_rounds.count();
    assert!((18..=24).contains(&metrics(0)), "{}", metrics(0));
    cluster.dissolve();
}

/// Two that can't reach each other hear of each other by the third, and it changes nothing about whom they ask (T27).
#[test]
fn a_member_that_can_not_be_reached_is_heard_of_by_others() {
    let cluster = small_cluster();
    cluster.network().set_blocked(0, 1, true);
    cluster.network().set_blocked(1, 0, true);
    pass(&cluster, 30 * S);
    assert!(all_hear_all(&cluster, 10));
    assert!(!node(&cluster, 0).is_reachable(node(&cluster, 1).id()));
    cluster.dissolve();
}

/// A document that is committed between two reaches the third though the one that had it committed can't, and no request needs it.
#[test]
fn a_ring_document_is_fetched_by_who_hears_of_it() {
    let cluster = small_cluster();
    cluster.network().set_blocked(0, 2, true);
    cluster.network().set_blocked(2, 0, true);
    pass(&cluster, 10 * S);
    let epoch = |of| node(&cluster, of).ring().document().epoch.0;
    let before = epoch(0);
    let proposer = node(&cluster, 0);
    let change = Change::Weigh {
        node: proposer.id(),
        weight: 2,
    };
    let task = async move {
        proposer.stage(change).await.expect("two of three agree");
    };
    let executor = &cluster.around().executor;
    executor.spawn(Group::WORLD, Box::pin(task));
    pass(&cluster, 10 * S);
    assert_eq!([0, 1, 2].map(epoch), [before + 1; 3]);
    let known = RingKnown::of(node(&cluster, 0).ring().document());
    for (at, of) in [(0, 2), (2, 0), (1, 2)] {
        assert_eq!(heard(&cluster, at, of).ring, Some(known));
    }
    cluster.dissolve();
}

#[test]
fn a_node_that_was_cut_off_is_heard_of_again_at_once() {
    let cluster = small_cluster();
    pass(&cluster, 5 * S);
    cut_off(&cluster, 1, true);
    pass(&cluster, 30 * S);
    for (at, of) in [(0, 1), (2, 1), (1, 0)] {
        let age_us = heard(&cluster, at, of).heartbeat_age_us;
        assert!(age_us.is_some_and(|age_us| age_us > 25 * S), "{age_us:?}");
    }
    cut_off(&cluster, 1, false);
    assert!(all_hear_all(&cluster, 5));
    cluster.dissolve();
}

#[test]
fn a_node_that_starts_again_is_in_a_later_generation_everywhere() {
    let cluster = small_cluster();
    pass(&cluster, 10 * S);
    let before = heard(&cluster, 0, 1).generation;
    cluster.kill(1);
    pass(&cluster, S);
    cluster.start(1);
    pass(&cluster, 10 * S);
    for at in [0, 1, 2] {
        let row = heard(&cluster, at, 1);
        assert!(row.generation > before, "{row:?}");
        assert_eq!(row.generation, heard(&cluster, 1, 1).generation);
    }
    assert!(all_hear_all(&cluster, 8));
    cluster.dissolve();
}
