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

/// Cuts a node off from all others, or brings it back.
fn isolate(cluster: &Cluster, alone: usize, blocked: bool) {
    for other in (0..cluster.plan().nodes).filter(|other| *other != alone) {
        cluster.network().set_blocked(alone, other, blocked);
        cluster.network().set_blocked(other, alone, blocked);
    }
    // Long enough for all to notice.
    pass(cluster, 5_000_000);
}

fn is_back(cluster: &Cluster) -> bool {
    (0..cluster.plan().nodes).any(|node| {
        let object = cluster.held(node, &name()).expect("the node is up");
        object.has_value()
    })
}

/// A primary is away while the key is deleted, for longer than tombstones are kept. Whether the value is back.
fn a_primary_missed_the_delete() -> bool {
    let cluster = reaping_cluster();
    // The first of them is the one that reaps.
    let homes = cluster.primaries(&name());
    assert!(put(&cluster, homes[0], 1));
    isolate(&cluster, homes[2], true);
    delete(&cluster, homes[0], 2);
    pass(&cluster, LONG_US);
    isolate(&cluster, homes[2], false);
    pass(&cluster, LONG_US / 2);
    let is_back = is_back(&cluster);
    cluster.dissolve();
    is_back
}

/// A stand-in keeps the value for a primary that was away, and is away itself while the key is deleted.
fn a_stand_in_missed_the_delete() -> bool {
    let cluster = cluster_with(|plan| {
        (plan.reaping, plan.anti_entropy, plan.nodes) = (true, true, 4);
    });
    let homes = cluster.primaries(&name());
    let stand_in = (0..4)
        .find(|node| !homes.contains(node))
        .expect("three of four are homes");
    isolate(&cluster, homes[2], true);
    assert!(put(&cluster, homes[0], 1));
    assert!(held(&cluster, stand_in).is_some(), "it stands in");
    isolate(&cluster, stand_in, true);
    // The two do not meet: what was kept for the one can't go home.
    (0..2).for_each(|home| set_blocked(&cluster, (homes[home], homes[2]), false));
    delete(&cluster, homes[0], 2);
    pass(&cluster, LONG_US);
    isolate(&cluster, stand_in, false);
    pass(&cluster, LONG_US / 2);
    let is_back = is_back(&cluster);
    cluster.dissolve();
    is_back
}

#[test]
fn whoever_missed_a_delete_brings_nothing_back() {
    assert!(!a_primary_missed_the_delete());
    assert!(!a_stand_in_missed_the_delete());
}

#[cfg(feature = "known-bad")]
#[test]
fn whoever_was_not_asked_brings_the_value_back() {
    use ringhold_node::known_bad::{Variant, activate};
    activate(Some(Variant::ReapsWithPrimaryDown));
    let by_primary = a_primary_missed_the_delete();
    activate(Some(Variant::ReapsWithAbsentMember));
    let by_stand_in = a_stand_in_missed_the_delete();
    activate(None);
    assert!(by_primary && by_stand_in, "{by_primary} {by_stand_in}");
}
