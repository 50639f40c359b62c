//! Tombstones that go, step by step.

use crate::scenario::{ask, cluster_with, name, pass, put, send_write, set_blocked};
use ringhold_core::version::{Content, Dot, Object};
use ringhold_sim::cluster::Cluster;
use ringhold_sim::network::Weather;
use ringhold_wire::message::peer::{MergeRequest, Reply, Request};
use ringhold_wire::message::{GetOptions, GetRequest};

/// Longer than the dead are kept, looked for and looked at twice.
const LONG_US: u64 = 90_000_000;
/// Between two looks, as the simulator sets it.
const SETTLE_US: u64 = 18_000_000;

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

/// How long the late copy is on its way: longer than anything but the time between two looks.
const LATE_US: u64 = 10_000_000;
const LATE_COPY_BEFORE_LOOK_US: u64 = LATE_US / 2;
const SECOND_US: u64 = 1_000_000;

/// Seconds until nobody holds anything of a deleted key, which is there at first.
fn seconds_until_reaped(cluster: &Cluster) -> u64 {
    let is_held = || (0..4).any(|node| held(cluster, node).is_some());
    let mut seconds = 0;
    while is_held() {
        pass(cluster, SECOND_US);
        seconds += 1;
        assert!(seconds < 600, "it is never reaped");
    }
    seconds
}

/// Sends the object as it was before the delete from a member that is no home to one that is, so that it takes its time.
fn send_late_copy(cluster: &Cluster, (from, to): (usize, usize), object: Object) {
    let network = cluster.network();
    let whole = Weather {
        reordering: true,
        ..Weather::default()
    };
    network.set_weather(whole);
    network.set_longest_delay(LATE_US);
    network.set_slowness(from, to, u64::from(u32::MAX));
    let request = Request::Merge(MergeRequest {
        name: name(),
        object,
        flushed: false,
    });
    let now_us = cluster.around().executor.now_us();
    let call = network.call(from, to, &request, now_us + LATE_US, 0);
    drop(call.expect("the two are connected"));
    network.set_slowness(from, to, 1);
}

/// A copy that was read before the first look is still on its way then. `looked_us` is how long before the removal that look
/// is. Whether the value is back.
fn a_copy_was_on_its_way(looked_us: u64) -> bool {
    let four = || {
        cluster_with(|plan| {
            (plan.reaping, plan.anti_entropy, plan.nodes) = (true, true, 4);
        })
    };
    let deleted = |cluster: &Cluster| {
        let homes = cluster.primaries(&name());
        assert!(put(cluster, homes[0], 1));
        let before = cluster.held(homes[1], &name()).expect("the node is up");
        assert!(before.has_value(), "a home has it");
        delete(cluster, homes[0], 2);
        (homes, before)
    };
    let cluster = four();
    deleted(&cluster);
    let removed_us = seconds_until_reaped(&cluster) * SECOND_US;
    cluster.dissolve();

    let cluster = four();
    let (homes, before) = deleted(&cluster);
    let stand_in = (0..4).find(|node| !homes.contains(node));
    let way = (stand_in.expect("three of four are homes"), homes[1]);
    pass(&cluster, removed_us - looked_us - LATE_COPY_BEFORE_LOOK_US);
    send_late_copy(&cluster, way, before);
    pass(&cluster, looked_us + 2 * LATE_US);
    let is_back = is_back(&cluster);
    cluster.dissolve();
    is_back
}

#[test]
fn what_was_on_its_way_at_the_first_look_brings_nothing_back() {
    assert!(!a_copy_was_on_its_way(SETTLE_US));
}

#[cfg(feature = "known-bad")]
#[test]
fn without_a_second_look_what_was_on_its_way_brings_the_value_back() {
    use ringhold_node::known_bad::{Variant, activate};
    activate(Some(Variant::ReapsAtFirstLook));
    let is_back = a_copy_was_on_its_way(0);
    activate(None);
    assert!(is_back);
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
