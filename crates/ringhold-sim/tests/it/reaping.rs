//! Tombstones that go, step by step.

use crate::scenario::{ask, cluster_with, name, pass, put, send_write, set_blocked};
use ringhold_core::version::{Content, Dot};
use ringhold_sim::cluster::Cluster;
use ringhold_wire::message::peer::{Reply, Request};
use ringhold_wire::message::{GetOptions, GetRequest};

/// Longer than the dead are kept, looked for and looked at twice.
const LONG_US: u64 = 90_000_000;

fn reaping_cluster() -> Cluster {
    cluster_with(|plan| (plan.reaping, plan.anti_entropy) = (true, true))
}

/// Reads the key and deletes what it found.
fn delete(cluster: &Cluster, node: usize, operation: usize) {
    let get = GetRequest {
        name: name(),
        options: GetOptions::default(),
        explain: false,
    };
    let read = ask(cluster, node, &Request::Get(get));
    pass(cluster, 1_000_000);
    let reply = read.lock().expect("nobody panics with it").take();
    let Some(Ok(Reply::Got(Ok(got)))) = reply else {
        panic!("not read: {reply:?}");
    };
    let deleted = send_write(cluster, node, operation, Content::Tombstone, got.context);
    pass(cluster, 1_500_000);
    let reply = deleted.lock().expect("nobody panics with it").take();
    let done = matches!(reply, Some(Ok(Reply::Coordinated(Ok(_)))));
    assert!(done, "not deleted: {reply:?}");
}

/// The dots that a node holds of the key, if it holds anything.
fn held(cluster: &Cluster, node: usize) -> Option<Vec<Dot>> {
    let object = cluster.held(node, &name()).expect("the node is up");
    let dots = object.versions().iter().map(|version| version.dot);
    (!object.is_absent()).then(|| dots.collect())
}

#[test]
fn a_key_that_was_reaped_begins_anew_under_another_epoch() {
    let cluster = reaping_cluster();
    assert!(put(&cluster, 0, 1));
    let before = held(&cluster, 0).expect("just written")[0];
    delete(&cluster, 0, 2);
    assert!((0..3).all(|node| held(&cluster, node).is_some()));
    pass(&cluster, LONG_US);
    assert!((0..3).all(|node| held(&cluster, node).is_none()));
    assert!(put(&cluster, 0, 3));
    let after = held(&cluster, 0).expect("just written")[0];
    assert_eq!(after.actor.incarnation, before.actor.incarnation);
    assert!(after.actor.epoch > before.actor.epoch && after.counter == 1);
    cluster.dissolve();
}

#[test]
fn nothing_goes_while_a_primary_is_away() {
    let cluster = reaping_cluster();
    assert!(put(&cluster, 0, 1));
    set_blocked(&cluster, (0, 2), true);
    set_blocked(&cluster, (1, 2), true);
    delete(&cluster, 0, 2);
    pass(&cluster, 4 * LONG_US);
    assert!(held(&cluster, 0).is_some() && held(&cluster, 1).is_some());
    set_blocked(&cluster, (0, 2), false);
    set_blocked(&cluster, (1, 2), false);
    pass(&cluster, 2 * LONG_US);
    assert!((0..3).all(|node| held(&cluster, node).is_none()));
    cluster.dissolve();
}
