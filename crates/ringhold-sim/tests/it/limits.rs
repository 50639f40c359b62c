//! What a node does whose clock is wrong or whose disk is nearly full, and when its clients never rest.

use crate::scenario::{
    Outcome, cluster_with, cut_off, holds, name, pass, put, send, send_put, small_cluster,
};
use ringhold_core::health::{DiskLevel, Work};
use ringhold_core::id::Incarnation;
use ringhold_core::version::Content;
use ringhold_node::ClockState;
use ringhold_node::env::CallError;
use ringhold_sim::cluster::Cluster;
use ringhold_sim::disk::Room;
use ringhold_sim::value::operation_id;
use ringhold_wire::message::peer::Reply;
use ringhold_wire::message::{NotStarted, PutError};

const S: u64 = 1_000_000;
const YEAR_US: i64 = 365 * 86_400 * 1_000_000;

fn jump(cluster: &Cluster, node: usize, by_us: i64) {
    cluster.clock(node).jump(by_us);
}

fn clock(cluster: &Cluster, node: usize) -> ClockState {
    cluster.node(node).expect("the node is up").clock()
}

/// Who made the dot of an operation that n0 holds.
fn maker_of(cluster: &Cluster, operation: usize) -> Option<usize> {
    let held = cluster.held(0, &name()).expect("n0 is up");
    let id = operation_id(operation);
    let version = held.versions().iter().find(|v| v.operation == id)?;
    let made_by = |node: &usize| incarnation(cluster, *node) == version.dot.actor.incarnation;
    (0..3).find(made_by)
}

fn incarnation(cluster: &Cluster, node: usize) -> Incarnation {
    let node = cluster.node(node).expect("the node is up");
    node.store().identity().incarnation
}

/// The reply to a blind put by way of a node.
fn reply_of_put(
    cluster: &Cluster,
    node: usize,
    operation: usize,
) -> Option<Result<Reply, CallError>> {
    let outcome = send_put(cluster, node, operation);
    pass(cluster, 1_500_000);
    let mut outcome = outcome.lock().expect("nobody panics with it");
    outcome.take()
}

fn is_refused(reply: &Option<Result<Reply, CallError>>, why: NotStarted) -> bool {
    matches!(
        reply,
        Some(Ok(Reply::Coordinated(Err(PutError::NotStarted(reason))))) if *reason == why
    )
}

/// The eighth scenario that no test plan may miss.
#[test]
fn a_clock_that_is_wrong_by_years_from_boot_on_makes_no_timestamp_and_its_node_merges() {
    let cluster = small_cluster();
    cluster.kill(1);
    jump(&cluster, 1, 3 * YEAR_US);
    cluster.start(1);
    // From its first moment on, before anybody has told it anything.
    for operation in 0..20 {
        let by_way_of_it = put(&cluster, 1, operation);
        if by_way_of_it {
            assert_ne!(maker_of(&cluster, operation), Some(1), "{operation}");
        }
    }
    assert!(matches!(clock(&cluster, 1), ClockState::Off { median_us } if median_us < 0));
    assert!(put(&cluster, 1, 20), "another node coordinates");
    assert!(holds(&cluster, 1, 20), "and this one keeps it");
    jump(&cluster, 1, -3 * YEAR_US);
    assert_eq!(clock(&cluster, 1), ClockState::Trusted);
    assert!(put(&cluster, 1, 21));
    assert_eq!(maker_of(&cluster, 21), Some(1));
    cluster.dissolve();
}

#[test]
fn a_clock_that_jumps_is_found_out_before_the_next_put() {
    let cluster = small_cluster();
    assert!(put(&cluster, 2, 0));
    assert_eq!(maker_of(&cluster, 0), Some(2));
    for (operation, by_us, maker_is_n2) in [
        (1, 6_000_000, false),
        (2, -6_000_000, true),
        (3, 4_000_000, true),
        (4, -YEAR_US, false),
    ] {
        jump(&cluster, 2, by_us);
        assert!(put(&cluster, 2, operation), "{operation}");
        let maker = maker_of(&cluster, operation);
        assert_eq!(maker == Some(2), maker_is_n2, "{operation} by {maker:?}");
    }
    cluster.dissolve();
}

#[test]
fn where_no_primary_has_a_clock_that_is_right_a_put_says_so() {
    let cluster = small_cluster();
    jump(&cluster, 0, 9_000_000);
    // Who is left alone has its witnesses' word for another minute.
    cut_off(&cluster, 0, true);
    let reply = reply_of_put(&cluster, 0, 0);
    assert!(is_refused(&reply, NotStarted::ClockOff), "{reply:?}");
    cut_off(&cluster, 0, false);
    assert!(put(&cluster, 0, 1));
    cluster.dissolve();
}

fn set_used(cluster: &Cluster, nodes: std::ops::Range<usize>, percent: u8) {
    nodes.for_each(|node| cluster.disk(node).set_room(Room::Used(percent)));
    pass(cluster, 2 * S);
}

fn level(cluster: &Cluster, node: usize) -> DiskLevel {
    cluster.node(node).expect("the node is up").disk_level()
}

#[test]
fn a_node_whose_disk_is_nearly_full_leaves_puts_to_others_and_takes_them_again() {
    let cluster = small_cluster();
    set_used(&cluster, 0..1, 91);
    assert_eq!(level(&cluster, 0), DiskLevel::Full);
    assert!(put(&cluster, 0, 0));
    assert_ne!(maker_of(&cluster, 0), Some(0));
    assert!(
        holds(&cluster, 0, 0),
        "it is a home, and there is room for that"
    );
    set_used(&cluster, 0..1, 96);
    assert_eq!(level(&cluster, 0), DiskLevel::Exhausted);
    assert!(put(&cluster, 0, 1));
    assert!(!holds(&cluster, 0, 1));
    set_used(&cluster, 0..1, 40);
    assert!(put(&cluster, 0, 2));
    assert_eq!(maker_of(&cluster, 2), Some(0));
    cluster.dissolve();
}

#[test]
fn where_all_disks_are_nearly_full_puts_are_refused_and_deletes_are_not() {
    let cluster = small_cluster();
    assert!(put(&cluster, 0, 0));
    for (operation, percent) in [(1, 91), (3, 96)] {
        set_used(&cluster, 0..3, percent);
        let reply = reply_of_put(&cluster, 0, operation);
        assert!(is_refused(&reply, NotStarted::DiskFull), "{reply:?}");
        let tombstone = Content::Tombstone;
        let deleted = send(&cluster, 0, operation + 1, tombstone);
        pass(&cluster, 1_500_000);
        let reply = deleted.lock().expect("nobody panics with it").take();
        let done = matches!(reply, Some(Ok(Reply::Coordinated(Ok(_)))));
        assert!(done, "at {percent} %: {reply:?}");
    }
    set_used(&cluster, 0..3, 80);
    assert!(put(&cluster, 0, 5));
    cluster.dissolve();
}

/// The ninth scenario that no test plan may miss: clients that never rest, and are never answered fast enough.
#[test]
fn under_lasting_load_hints_come_home() {
    let cluster = cluster_with(|plan| (plan.replicas, plan.pressed) = (2, true));
    let homes = cluster.primaries(&name());
    let (away, [stays, stands_in]) = (homes[1], [homes[0], 3 - homes[0] - homes[1]]);
    cut_off(&cluster, away, true);
    assert!(put(&cluster, stays, 0));
    let hints = || {
        let holder = cluster.node(stands_in).expect("the node is up");
        holder.hints_kept().0
    };
    assert_eq!(hints(), 1);
    // By way of the one that keeps the hint: it is the one whose clients are slow.
    let mut operation = 1;
    let mut work = || {
        drop(send_put(&cluster, stands_in, operation));
        pass(&cluster, 50_000);
        operation += 1;
    };
    (0..400).for_each(|_| work());
    assert_eq!(hints(), 1);
    for other in [stays, stands_in] {
        cluster.network().set_blocked(away, other, false);
        cluster.network().set_blocked(other, away, false);
    }
    let began_us = cluster.around().executor.now_us();
    while hints() > 0 {
        work();
        let took_us = cluster.around().executor.now_us() - began_us;
        assert!(took_us < 60 * S, "the hint is still there");
    }
    let holder = cluster.node(stands_in).expect("the node is up");
    let share = holder.background_share_thousandths(Work::Hints);
    assert!(share <= 100, "there was load: {share}");
    cluster.dissolve();
}

/// Puts by way of all nodes in turn, a hundred a second for so long; how long the slowest of a hundred took, and the slowest
/// of all but those of the first seconds.
fn high_latency_us(cluster: &Cluster, seconds: usize, operation: &mut usize) -> u64 {
    let executor = &cluster.around().executor;
    let mut waiting: Vec<(u64, Outcome)> = Vec::new();
    let mut took_us = Vec::new();
    for n in 0..seconds * 100 {
        let node = n % cluster.plan().nodes;
        waiting.push((executor.now_us(), send_put(cluster, node, *operation)));
        *operation += 1;
        for _ in 0..20 {
            pass(cluster, 500);
            waiting.retain(|(since_us, outcome)| {
                let ended = outcome.lock().expect("nobody panics with it").is_some();
                if ended {
                    took_us.push(executor.now_us() - since_us);
                }
                !ended
            });
        }
    }
    took_us.extend(
        waiting
            .iter()
            .map(|(since_us, _)| executor.now_us() - since_us),
    );
    took_us.sort_unstable();
    took_us[took_us.len() * 99 / 100]
}

#[test]
fn one_slow_disk_does_not_carry_the_cluster() {
    for (nodes, slowness) in [(3, 20), (3, 400), (3, 8_000), (5, 20), (5, 400), (5, 8_000)] {
        let cluster = cluster_with(|plan| {
            (plan.nodes, plan.replicas, plan.segment_bytes) = (nodes, 3, 1 << 20);
            (plan.anti_entropy, plan.last_write_wins) = (false, true);
        });
        let mut operation = 0;
        let calm_us = high_latency_us(&cluster, 20, &mut operation);
        let victim = cluster.primaries(&name())[0];
        cluster.disk(victim).set_slowness(slowness);
        // A heartbeat or two until the others have heard of it.
        high_latency_us(&cluster, 3, &mut operation);
        let slow_us = high_latency_us(&cluster, 20, &mut operation);
        assert!(
            slow_us < 3 * calm_us,
            "{nodes} nodes, a disk {slowness} times as slow: {calm_us} µs, then {slow_us} µs"
        );
        cluster.dissolve();
    }
}
