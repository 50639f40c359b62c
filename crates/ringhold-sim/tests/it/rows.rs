//! Index rows that are parted from their objects, and who brings them back (X1).
//!
//! A small cluster checkpoints all the time, so rows lie in the engine, where the simulated disk can lose them. What the scrub does about that,
//! and what an administrator is told and can do, is shown with the scrub on and off.

use crate::scenario::{cluster_with, name, pass, put, send, set_blocked, verify};
use bytes::Bytes;
use ringhold_core::index::key_row;
use ringhold_core::version::Content;
use ringhold_node::Agreement;
use ringhold_sim::administrator;
use ringhold_sim::cluster::Cluster;
use ringhold_sim::executor::Group;
use ringhold_sim::invariants::index_rows;
use ringhold_storage::{RowFaults, RowRange};

/// Time for the scrub to have been everywhere twice, or for an administrator's job, in microseconds.
const WHILE_US: u64 = 30_000_000;
const NODE: usize = 0;
const NOTHING: RowFaults = RowFaults {
    missing: 0,
    strange: 0,
};

/// A cluster with one key in it, whose rows are in the engines.
fn cluster(scrubs: bool) -> Cluster {
    let cluster = cluster_with(|plan| {
        (plan.anti_entropy, plan.mixed_releases) = (scrubs, false);
    });
    assert!(put(&cluster, NODE, 1));
    pass(&cluster, 1_000_000);
    for node in 0..3 {
        assert_eq!(rows(&cluster, node), [row()], "n{node}");
        assert_eq!(cluster.disk(node).index_rows().len(), 1, "n{node}");
    }
    cluster
}

/// The one row of the key: it stands in the list of its bucket.
fn row() -> Bytes {
    let name = name();
    key_row(&name.bucket_type, &name.bucket, &name.key)
}

/// All rows that a node's store shows.
fn rows(cluster: &Cluster, node: usize) -> Vec<Bytes> {
    let node = cluster.node(node).expect("all are up");
    let bits = node.ring().partition_count().bits();
    let partitions = 0..node.ring().partition_count().count();
    let rows = partitions.flat_map(|partition| {
        let range = RowRange::new(partition, bits, b"", None);
        let rows = node.store().rows(&range, 100);
        rows.expect("none is damaged").into_iter()
    });
    rows.map(|(row, _)| row.tail()).collect()
}

/// Whether the rows of a store are those of its objects, and can be read.
fn is_right(cluster: &Cluster, node: usize) -> bool {
    let partitions = cluster.plan().partitions;
    let node = cluster.node(node).expect("all are up");
    let differing = index_rows::differing(node.store(), partitions);
    differing.expect("objects can be read").is_empty()
}

fn forget_rows(cluster: &Cluster, node: usize) {
    let disk = cluster.disk(node);
    disk.index_rows()
        .iter()
        .for_each(|row| disk.forget_row(row));
    assert!(!is_right(cluster, node));
}

/// The object goes, and what was of it in the index stays.
fn forget_object(cluster: &Cluster, node: usize) {
    // Nobody brings it back.
    set_blocked(cluster, (node, 1), true);
    set_blocked(cluster, (node, 2), true);
    let place = cluster.place(node, &name()).expect("it is up");
    assert!(cluster.disk(node).forget(&place, 0), "it is in the engine");
    assert!(!is_right(cluster, node));
}

/// The same in the other direction: a row loses a bit.
fn damage_row(cluster: &Cluster, node: usize) {
    let disk = cluster.disk(node);
    let rows = disk.index_rows();
    assert!(rows.iter().all(|row| disk.rot_row(row)));
    assert!(!is_right(cluster, node));
}

/// How many index rows a repair has set right.
fn repair(cluster: &Cluster) -> u64 {
    let before = set_right(cluster);
    let (repairing, node) = (cluster.clone(), cluster.node(1).expect("all are up"));
    let task = async move {
        assert!(
            administrator::repair(&repairing, node).await,
            "all took part"
        );
    };
    let executor = &cluster.around().executor;
    executor.spawn(Group::WORLD, Box::pin(task));
    pass(cluster, WHILE_US);
    set_right(cluster) - before
}

/// Objects whose rows nodes have set right so far.
fn set_right(cluster: &Cluster) -> u64 {
    let nodes = (0..3).filter_map(|node| cluster.node(node));
    nodes
        .map(|node| node.metrics().rows_set_right.count())
        .sum()
}

/// What an administrator is told about a node's rows, and whether a repair brings them back, where nobody scrubs.
fn by_hand(damage: fn(&Cluster, usize)) -> (RowFaults, Agreement, bool) {
    let cluster = cluster(false);
    let before = verify(&cluster);
    assert_eq!(before.row_faults(), NOTHING);
    assert_eq!(before.agreement(), Agreement::Agrees);
    damage(&cluster, NODE);
    pass(&cluster, WHILE_US);
    assert!(!is_right(&cluster, NODE), "nobody scrubs");
    let told = verify(&cluster);
    assert!(!is_right(&cluster, NODE), "who verifies changes nothing");
    let mended = repair(&cluster);
    let is_right = is_right(&cluster, NODE);
    assert_eq!(mended, u64::from(is_right));
    if is_right {
        assert_eq!(verify(&cluster).agreement(), Agreement::Agrees);
    }
    cluster.dissolve();
    (told.row_faults(), told.agreement(), is_right)
}

#[test]
fn an_administrator_hears_of_rows_that_are_missing_and_has_them_back() {
    let one_missing = RowFaults {
        missing: 1,
        ..NOTHING
    };
    for damage in [forget_rows, damage_row] {
        let expected = (one_missing, Agreement::Differs, true);
        assert_eq!(by_hand(damage), expected);
    }
}

/// Without the object there is nothing but the row; the other homes are where the object comes back from.
#[test]
fn an_administrator_hears_of_rows_without_an_object() {
    let cluster = cluster(false);
    let place = cluster.place(NODE, &name()).expect("it is up");
    assert!(cluster.disk(NODE).forget(&place, 0), "it is in the engine");
    let strange = RowFaults {
        strange: 1,
        ..NOTHING
    };
    assert_eq!(verify(&cluster).row_faults(), strange);
    repair(&cluster);
    assert!(is_right(&cluster, NODE));
    assert_eq!(rows(&cluster, NODE), [row()], "with its object");
    cluster.dissolve();
}

/// Whether the scrub, and nobody else, sets a node's rows right.
fn by_itself(damage: fn(&Cluster, usize)) -> bool {
    let cluster = cluster(true);
    damage(&cluster, NODE);
    pass(&cluster, WHILE_US);
    let is_right = is_right(&cluster, NODE);
    assert_eq!(set_right(&cluster), u64::from(is_right));
    cluster.dissolve();
    is_right
}

#[test]
fn the_scrub_brings_back_rows_that_are_missing() {
    assert!(by_itself(forget_rows));
}

#[test]
fn the_scrub_brings_back_rows_that_cannot_be_read() {
    assert!(by_itself(damage_row));
}

#[test]
fn the_scrub_takes_out_rows_without_an_object() {
    assert!(by_itself(forget_object));
}

/// A release without indexes has written objects and no rows, on all nodes. Another value under the same key does not bring the
/// row: a write changes what it changes. The scrub does.
#[test]
fn objects_of_a_release_without_indexes_come_into_them_with_the_scrub() {
    for scrubs in [false, true] {
        let cluster = cluster(scrubs);
        for node in 0..3 {
            cluster.kill(node);
            let disk = cluster.disk(node);
            disk.index_rows()
                .iter()
                .for_each(|row| disk.forget_row(row));
        }
        (0..3).for_each(|node| cluster.start(node));
        // Before anybody has scrubbed anything.
        pass(&cluster, 40_000);
        let all_lack = (0..3).all(|node| rows(&cluster, node).is_empty());
        assert!(all_lack, "they start without rows");
        if !scrubs {
            pass(&cluster, 2_000_000);
            let content = Content::Value {
                bytes: "another value".into(),
                metadata: Vec::new(),
            };
            send(&cluster, NODE, 2, content);
        }
        pass(&cluster, WHILE_US);
        let expected = if scrubs { vec![row()] } else { Vec::new() };
        for node in 0..3 {
            assert_eq!(rows(&cluster, node), expected, "n{node}, scrubs: {scrubs}");
        }
        cluster.dissolve();
    }
}

#[cfg(feature = "known-bad")]
mod mistakes {
    use super::*;
    use ringhold_node::known_bad::{Variant, activate};

    #[test]
    fn without_the_scrub_rows_stay_away() {
        activate(Some(Variant::NeverScrubs));
        let mended = [forget_rows, damage_row, forget_object].map(by_itself);
        activate(None);
        assert_eq!(mended, [false; 3]);
    }

    #[test]
    fn who_does_not_look_says_that_all_is_well() {
        activate(Some(Variant::RowsNotCompared));
        let told = by_hand(forget_rows);
        activate(None);
        assert_eq!(told, (NOTHING, Agreement::Agrees, false));
    }
}
