//! What may be lost at the very moment of an acknowledgement, for each durability of a bucket (§6.1).
//!
//! A put goes by way of n1, which coordinates it. As soon as its acknowledgement is at the client, and before anything else
//! happens, power goes everywhere, with or without n1's disk. What counts is who has the write when all have started again.

use crate::scenario::{cluster_with, holds, pass, send_put};
use ringhold_node::properties::Durability;
use ringhold_sim::cluster::Cluster;
use ringhold_wire::message::peer::Reply;

/// Moments that are tried; a power cut leaves anything between nothing and all of what was not flushed.
const ROUNDS: u64 = 30;

/// What happens to n1, which coordinates.
#[derive(Clone, Copy, PartialEq)]
enum Coordinator {
    LosesPower,
    LosesItsDisk,
}

#[test]
fn where_all_flush_a_power_cut_of_all_leaves_each_write_twice() {
    let left = copies_left(Durability::Flushed, Coordinator::LosesPower);
    assert!(left.iter().all(|&copies| copies >= 2), "{left:?}");
}

#[test]
fn where_one_flushes_a_power_cut_of_all_loses_nothing() {
    let left = copies_left(Durability::One, Coordinator::LosesPower);
    assert!(left.iter().all(|&copies| copies >= 1), "{left:?}");
}

#[test]
fn where_one_flushes_its_disk_and_power_together_may_lose_a_write() {
    let left = copies_left(Durability::One, Coordinator::LosesItsDisk);
    assert!(left.contains(&0), "then it is as safe as flushed: {left:?}");
    let left = copies_left(Durability::Flushed, Coordinator::LosesItsDisk);
    assert!(left.iter().all(|&copies| copies >= 1), "{left:?}");
}

#[test]
fn where_none_flushes_a_power_cut_of_all_may_lose_a_write() {
    let left = copies_left(Durability::Buffered, Coordinator::LosesPower);
    assert!(left.contains(&0), "then it is as safe as one: {left:?}");
}

/// How many nodes have each of some writes after the power cut that followed its acknowledgement.
fn copies_left(durability: Durability, coordinator: Coordinator) -> Vec<usize> {
    let after_a_cut = |seed: u64| {
        let cluster = cluster_with(|plan| {
            plan.durability = durability;
            plan.seed = seed;
            plan.anti_entropy = false;
            plan.segment_bytes = 1 << 20;
        });
        // Answers are at the client long before the flushes that nobody waits for are done.
        (0..3).for_each(|node| cluster.disk(node).set_slowness(100));
        assert!(is_acknowledged(&cluster));
        (0..3).for_each(|node| cluster.disk(node).set_slowness(1));
        for node in 0..3 {
            cluster.cut_power(node);
        }
        if coordinator == Coordinator::LosesItsDisk {
            cluster.wipe(1);
        }
        (0..3).for_each(|node| cluster.start(node));
        pass(&cluster, 2_000_000);
        let copies = (0..3).filter(|&node| holds(&cluster, node, 1));
        let copies = copies.count();
        cluster.dissolve();
        copies
    };
    (0..ROUNDS).map(after_a_cut).collect()
}

/// Sends a put by way of n1 and goes on until the event that brings its answer.
fn is_acknowledged(cluster: &Cluster) -> bool {
    let executor = &cluster.around().executor;
    let outcome = send_put(cluster, 1, 1);
    let until_us = executor.now_us() + 1_500_000;
    while executor.step(until_us) {
        if let Some(reply) = outcome.lock().expect("nobody panics with it").take() {
            return matches!(reply, Ok(Reply::Coordinated(Ok(_))));
        }
    }
    false
}
