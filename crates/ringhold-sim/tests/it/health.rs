//! What a node comes to think of its peers when one of them is silent, slow or gone, and when it stood still itself.

use crate::scenario::{pass, put, small_cluster};
use ringhold_core::health::Standing;
use ringhold_node::Node;
use ringhold_sim::cluster::Cluster;
use std::sync::Arc;

const S: u64 = 1_000_000;

fn node(cluster: &Cluster, node: usize) -> Arc<Node> {
    cluster.node(node).expect("the node is up")
}

/// What one node thinks of another.
fn standing(cluster: &Cluster, of: usize, to: usize) -> Standing {
    node(cluster, of).standing(node(cluster, to).id())
}

/// The same by experience alone, connected or not.
fn experience(cluster: &Cluster, of: usize, to: usize) -> Standing {
    let view = node(cluster, of).peer_view(node(cluster, to).id());
    view.expect("a peer").standing
}

/// Passes until one node thinks so of another; how long that took.
fn until(cluster: &Cluster, of: usize, to: usize, wanted: Standing) -> u64 {
    let began_us = cluster.around().executor.now_us();
    while standing(cluster, of, to) != wanted {
        pass(cluster, 50_000);
        let took_us = cluster.around().executor.now_us() - began_us;
        assert!(took_us < 60 * S, "n{to} is never {wanted:?} to n{of}");
    }
    cluster.around().executor.now_us() - began_us
}

#[test]
fn heartbeats_make_a_cluster_without_load_known() {
    let cluster = small_cluster();
    pass(&cluster, 10 * S);
    for (of, to) in [(0, 1), (1, 2), (2, 0)] {
        let view = node(&cluster, of).peer_view(node(&cluster, to).id());
        let view = view.expect("a peer");
        assert_eq!(view.standing, Standing::Up);
        assert!(view.phi < 8.0 && view.reported.is_some(), "{view:?}");
        assert!((100..5_000).contains(&view.latency_us.expect("it answered")));
        let me = node(&cluster, of);
        assert!(me.peer_view(me.id()).is_none());
    }
    cluster.dissolve();
}

/// Its connection stands and everything on it takes seconds: signs of life arrive, answers don't in time.
#[test]
fn who_answers_after_every_deadline_is_down_and_comes_back() {
    let cluster = small_cluster();
    pass(&cluster, 5 * S);
    cluster.network().set_slowness(0, 1, 2_000);
    cluster.network().set_slowness(1, 0, 2_000);
    let took_us = until(&cluster, 0, 1, Standing::Down);
    assert!(took_us < 5 * S, "{took_us}");
    assert_eq!(standing(&cluster, 0, 2), Standing::Up);
    pass(&cluster, 20 * S);
    assert_eq!(standing(&cluster, 0, 1), Standing::Down);
    assert!(put(&cluster, 0, 1), "the other two are enough");
    cluster.network().heal();
    let took_us = until(&cluster, 0, 1, Standing::Up);
    assert!(took_us < 12 * S, "{took_us}");
    cluster.dissolve();
}

/// Nobody tells n0 that n1 lives, though n2 could (T27).
#[test]
fn a_way_that_is_cut_between_two_is_down_for_these_two_only() {
    let cluster = small_cluster();
    pass(&cluster, 5 * S);
    cluster.network().set_blocked(1, 0, true);
    until(&cluster, 0, 1, Standing::Down);
    pass(&cluster, 10 * S);
    assert_eq!(standing(&cluster, 0, 1), Standing::Down);
    assert_eq!(standing(&cluster, 2, 1), Standing::Up);
    assert_eq!(standing(&cluster, 2, 0), Standing::Up);
    cluster.network().set_blocked(1, 0, false);
    assert!(until(&cluster, 0, 1, Standing::Up) < 2 * S);
    cluster.dissolve();
}

#[test]
fn a_node_that_stood_still_blames_nobody() {
    let cluster = small_cluster();
    pass(&cluster, 10 * S);
    for pause_us in [3 * S, 10 * S] {
        cluster.pause(0);
        pass(&cluster, pause_us);
        cluster.resume(0);
        for _ in 0..100 {
            pass(&cluster, 10_000);
            for peer in [1, 2] {
                assert_eq!(experience(&cluster, 0, peer), Standing::Up);
                let view = node(&cluster, 0).peer_view(node(&cluster, peer).id());
                let phi = view.expect("a peer").phi;
                assert!(phi < 8.0, "{phi}");
            }
        }
        pass(&cluster, 5 * S);
    }
    cluster.dissolve();
}

#[test]
fn a_node_whose_disk_hangs_is_slow_to_its_peers_and_then_is_not() {
    let cluster = small_cluster();
    pass(&cluster, 5 * S);
    cluster.disk(1).set_slowness(20_000);
    put(&cluster, 0, 1);
    until(&cluster, 0, 1, Standing::Slow);
    assert_eq!(standing(&cluster, 0, 2), Standing::Up);
    cluster.disk(1).set_slowness(1);
    pass(&cluster, 30 * S);
    for operation in 2..20 {
        put(&cluster, 0, operation);
    }
    until(&cluster, 0, 1, Standing::Up);
    cluster.dissolve();
}
