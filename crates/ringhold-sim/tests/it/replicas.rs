//! A bucket whose number of replicas changes, step by step.

use crate::scenario::{cluster_with, holds, name, pass, put, set_blocked};
use ringhold_core::ring::ChangeRefused;
use ringhold_node::ChangeFailed;
use ringhold_node::env::Deadline;
use ringhold_sim::cluster::Cluster;
use ringhold_sim::executor::Group;
use std::sync::{Arc, Mutex};

/// No change takes longer here, in microseconds.
const CHANGE_US: u64 = 120_000_000;
const STEP_US: u64 = 100_000;

/// Five nodes, and as many replicas of each key; nobody compares anything by himself.
fn five() -> Cluster {
    cluster_with(|plan| {
        (plan.nodes, plan.replicas) = (5, 5);
        plan.anti_entropy = false;
    })
}

/// What asking for another number of replicas came to.
type Outcome = Arc<Mutex<Option<Result<(), ChangeFailed>>>>;

/// Asks one node for another number of replicas, for somebody who has so much time.
fn ask(cluster: &Cluster, at: usize, n: u8, within_us: u64) -> Outcome {
    let node = cluster.node(at).expect("all are up");
    let outcome = Outcome::default();
    let slot = Arc::clone(&outcome);
    let task = async move {
        let name = name();
        let deadline = Deadline::after(&**node.environment(), within_us);
        let changed = node
            .replicate(&name.bucket_type, &name.bucket, n, deadline)
            .await;
        *slot.lock().expect("nobody panics with it") = Some(changed);
    };
    let executor = &cluster.around().executor;
    executor.spawn(Group::WORLD, Box::pin(task));
    outcome
}

fn told(outcome: &Outcome) -> Option<Result<(), ChangeFailed>> {
    outcome.lock().expect("nobody panics with it").clone()
}

/// Stops at the first moment at which some node serves by this number of replicas.
fn pass_until_served(cluster: &Cluster, n: u8) {
    let executor = &cluster.around().executor;
    let until_us = executor.now_us() + CHANGE_US;
    loop {
        pass(cluster, STEP_US);
        let name = name();
        let ring = cluster.ring();
        let replicas = ring.classes().replicas_of(&name.bucket_type, &name.bucket);
        if replicas.now == n {
            return;
        }
        assert!(executor.now_us() < until_us, "it never ends: {replicas:?}");
    }
}

/// Gives the bucket another number of replicas, and stops at the first moment at which some node serves by it.
fn change(cluster: &Cluster, n: u8) {
    let outcome = ask(cluster, 0, n, CHANGE_US);
    pass_until_served(cluster, n);
    assert_eq!(told(&outcome), Some(Ok(())));
}

/// Three of five homes have acknowledged a write that the other two never heard of, and then it is the three that go. Whether the two
/// have it when they are all the homes that are left.
fn what_only_goers_had() -> bool {
    let cluster = five();
    let homes = cluster.primaries(&name());
    for stays in [0, 1] {
        for goes in 2..5 {
            set_blocked(&cluster, (homes[goes], homes[stays]), true);
        }
    }
    assert!(put(&cluster, homes[2], 1));
    let lacks = |home: usize| !holds(&cluster, homes[home], 1);
    assert!(lacks(0) && lacks(1) && !lacks(3) && !lacks(4));
    for stays in [0, 1] {
        for goes in 2..5 {
            set_blocked(&cluster, (homes[goes], homes[stays]), false);
        }
    }
    assert!(lacks(0) && lacks(1), "nobody compares");
    change(&cluster, 2);
    assert_eq!(cluster.primaries(&name()), homes[..2]);
    let have_it = !lacks(0) && !lacks(1);
    cluster.dissolve();
    have_it
}

#[test]
fn who_stays_has_what_only_those_who_go_had() {
    assert!(what_only_goers_had());
}

#[cfg(feature = "known-bad")]
#[test]
fn who_takes_nothing_over_lacks_it() {
    use ringhold_node::known_bad::{Variant, activate};
    activate(Some(Variant::ShrinksWithoutReceipts));
    let have_it = what_only_goers_had();
    activate(None);
    assert!(!have_it);
}

/// Down to two and up again: the goers have nothing left at last, and get everything back.
#[test]
fn copies_go_and_come_with_the_number_of_replicas() {
    let cluster = five();
    let homes = cluster.primaries(&name());
    assert!(put(&cluster, homes[0], 1));
    change(&cluster, 2);
    pass(&cluster, 40_000_000);
    let holders = |cluster: &Cluster| (0..5).filter(|node| holds(cluster, *node, 1)).count();
    assert_eq!(holders(&cluster), 2, "what the goers had left is at home");
    change(&cluster, 4);
    assert_eq!(holders(&cluster), 4, "as soon as they count");
    cluster.dissolve();
}

#[test]
fn one_change_waits_for_the_other_as_long_as_there_is_time() {
    let cluster = five();
    let first = ask(&cluster, 0, 4, CHANGE_US);
    pass(&cluster, STEP_US);
    assert_eq!(told(&first), Some(Ok(())), "it is under way");
    let hurried = ask(&cluster, 1, 2, STEP_US);
    let patient = ask(&cluster, 2, 3, CHANGE_US);
    pass(&cluster, 3 * STEP_US);
    let under_way = ChangeFailed::Refused(ChangeRefused::ChangeUnderWay);
    assert_eq!(told(&hurried), Some(Err(under_way)));
    assert_eq!(told(&patient), None);
    pass_until_served(&cluster, 4);
    pass_until_served(&cluster, 3);
    assert_eq!(told(&patient), Some(Ok(())));
    cluster.dissolve();
}
