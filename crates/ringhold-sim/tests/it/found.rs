//! What the simulator has found, as scenarios of their own: seeds rot when code changes.

use crate::scenario::{cut_off, holds, pass, put, send_put, small_cluster};
use bytes::Bytes;
use ringhold_node::env::Deadline;
use ringhold_node::properties::{Overrides, Value};
use ringhold_sim::cluster::Cluster;
use ringhold_sim::disk::Room;
use ringhold_sim::executor::Group;
use ringhold_sim::network::Weather;

/// A merge met a record that could not be read for once, took it for lost, and put what it was sent in
/// its place: an acknowledged write was gone from a healthy disk.
#[test]
fn a_read_that_fails_for_once_costs_no_record() {
    let cluster = small_cluster();
    cut_off(&cluster, 0, true);
    assert!(put(&cluster, 1, 1), "two replicas are enough");
    assert!(holds(&cluster, 1, 1) && !holds(&cluster, 0, 1));
    cut_off(&cluster, 0, false);
    // By now the first write is in the engine of n1 and nowhere else; n0 has never heard of it.
    cluster.disk(1).set_unreadable(1_000_000);
    put(&cluster, 0, 2);
    cluster.disk(1).set_unreadable(0);
    assert!(holds(&cluster, 1, 1), "the first write is gone");
    cluster.dissolve();
}

/// A process was killed between a checkpoint's batch and its flush; the next one saw the batch, removed the
/// log that said the same, and a power cut then took the batch back.
#[test]
fn an_engine_that_was_not_flushed_is_not_built_upon() {
    for delay_us in (0..20_000).step_by(500) {
        let cluster = small_cluster();
        let outcome = send_put(&cluster, 1, 1);
        pass(&cluster, delay_us);
        cluster.kill(1);
        cluster.start(1);
        pass(&cluster, 300_000);
        let held_before = holds(&cluster, 1, 1);
        cluster.cut_power(1);
        cluster.start(1);
        pass(&cluster, 300_000);
        assert!(
            !held_before || holds(&cluster, 1, 1),
            "lost when killed after {delay_us} µs"
        );
        drop(outcome);
        cluster.dissolve();
    }
}

/// A checkpoint that the engine had no room for was tried again with the next write; and as soon as the log had
/// grown by two segments, no write was let in any more. When there was room again, nobody noticed.
#[test]
fn a_checkpoint_that_was_put_off_is_made_up_for() {
    let cluster = small_cluster();
    cluster.disk(1).set_room(Room::LogOnly);
    let mut writes = 1..;
    let refused = writes.by_ref().take(20).find(|&write| {
        let known_to_others = put(&cluster, 1, write);
        assert!(known_to_others, "two other replicas are enough");
        !holds(&cluster, 1, write)
    });
    let refused = refused.expect("a store that is behind refuses");
    cluster.disk(1).set_room(Room::Enough);
    pass(&cluster, 3_000_000);
    let next = refused + 1;
    assert!(put(&cluster, 1, next) && holds(&cluster, 1, next));
    cluster.dissolve();
}

/// A log that finds no room ends the store's writing; what it was promised is there when the process, having tried
/// for a while, starts again.
#[test]
fn a_full_disk_costs_nothing_that_was_flushed() {
    let cluster = small_cluster();
    assert!(put(&cluster, 1, 1) && holds(&cluster, 1, 1));
    cluster.disk(1).set_room(Room::None);
    put(&cluster, 1, 2);
    pass(&cluster, 5_000_000);
    assert!(!cluster.is_serving(1), "it can't start a segment");
    cluster.disk(1).set_room(Room::Enough);
    pass(&cluster, 5_000_000);
    assert!(cluster.is_serving(1) && holds(&cluster, 1, 1));
    assert!(put(&cluster, 1, 3) && holds(&cluster, 1, 3));
    cluster.dissolve();
}

/// A member that missed a change of bucket properties, because a message was lost on a connection that stayed or
/// because it was too slow, was not told again before it happened to reconnect.
#[test]
fn a_member_that_missed_a_change_of_properties_is_told_again() {
    let cluster = small_cluster();
    let everything_lost = Weather {
        lost: 1_000_000,
        ..Weather::default()
    };
    cluster.network().set_weather(everything_lost);
    let changed = Overrides::propose([("r", Value::Integer(1))]).expect("a count");
    let (node, change) = (cluster.node(0).expect("it is up"), changed.clone());
    let task = async move {
        let at_once = Deadline { at_us: 0 };
        let answer = node
            .change_properties(&"default".into(), &bucket(), Some(&change), at_once)
            .await;
        assert!(answer.is_err(), "nobody can have confirmed it");
    };
    let executor = &cluster.around().executor;
    executor.spawn(Group::WORLD, Box::pin(task));
    pass(&cluster, 200_000);
    assert_eq!(properties_at(&cluster, 0), changed);
    assert_ne!(properties_at(&cluster, 1), changed);
    cluster.network().set_weather(Weather::default());
    pass(&cluster, 6_000_000);
    for other in [1, 2] {
        assert_eq!(properties_at(&cluster, other), changed, "at n{other}");
    }
    cluster.dissolve();
}

fn bucket() -> Bytes {
    Bytes::from_static(b"found")
}

fn properties_at(cluster: &Cluster, node: usize) -> Overrides {
    let node = cluster.node(node).expect("it is up");
    node.overrides(&"default".into(), &bucket())
}
