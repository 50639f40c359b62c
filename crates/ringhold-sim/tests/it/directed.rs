//! Mistakes that seeds seldom meet, step by step.

use crate::scenario::{
    cluster_with, cut_off, holds, name, pass, put, send, set_blocked, small_cluster, verify,
};
use bytes::Bytes;
use ringhold_core::coverage::Share;
use ringhold_core::id::OperationId;
use ringhold_core::index::Span;
use ringhold_core::version::{Content, Dot};
use ringhold_node::env::Deadline;
use ringhold_node::{Agreement, Query};
use ringhold_sim::cluster::Cluster;
use ringhold_sim::executor::Group;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// n0 loses the record of a key and gets it back from n1, as n1 knows it: with the first of the two writes that n0
/// had made, and not with the second, which only n2 still has. Then n0 makes a third.
///
/// The context has an entry of n0's own incarnation, but it is not n0's own record that says so (T2): whoever counts
/// on from it makes the second dot once more. Returns a dot that names two operations, if there is one.
fn a_record_comes_back_from_elsewhere() -> Option<Dot> {
    let cluster = small_cluster();
    assert!(put(&cluster, 0, 1));
    set_blocked(&cluster, (0, 1), true);
    assert!(put(&cluster, 0, 2));
    assert!(holds(&cluster, 2, 2) && !holds(&cluster, 1, 2));

    let place = cluster.place(0, &name()).expect("n0 is up");
    assert!(cluster.disk(0).forget(&place, 0), "it is in the engine");
    assert!(!holds(&cluster, 0, 1) && !holds(&cluster, 0, 2));
    set_blocked(&cluster, (0, 2), true);
    set_blocked(&cluster, (0, 1), false);

    assert!(put(&cluster, 1, 3));
    assert!(holds(&cluster, 0, 1) && !holds(&cluster, 0, 2) && holds(&cluster, 0, 3));
    assert!(put(&cluster, 0, 4));
    pass(&cluster, 1_000_000);
    let reused = dot_of_two_operations(&cluster);
    cluster.dissolve();
    reused
}

/// I3, over what all nodes hold.
fn dot_of_two_operations(cluster: &Cluster) -> Option<Dot> {
    let mut named: BTreeMap<Dot, OperationId> = BTreeMap::new();
    for node in 0..3 {
        let held = cluster.held(node, &name()).expect("all are up");
        for version in held.versions() {
            let known = *named.entry(version.dot).or_insert(version.operation);
            if known != version.operation {
                return Some(version.dot);
            }
        }
    }
    None
}

#[test]
fn a_store_does_not_count_on_from_an_entry_that_others_gave_back() {
    assert_eq!(a_record_comes_back_from_elsewhere(), None);
}

#[cfg(feature = "known-bad")]
#[test]
fn a_store_that_does_makes_a_dot_twice() {
    use ringhold_node::known_bad::{Variant, activate};
    activate(Some(Variant::ExtendsForeignEntry));
    let reused = a_record_comes_back_from_elsewhere();
    activate(None);
    assert!(reused.is_some());
}

/// A node that missed a put is asked for the keys of the bucket, when all can be reached again. It keeps a copy itself, and is the nearest
/// of those who do. Returns the keys.
fn keys_listed_where_a_put_was_missed() -> Vec<Bytes> {
    let cluster = cluster_with(|plan| plan.anti_entropy = false);
    cut_off(&cluster, 2, true);
    assert!(put(&cluster, 0, 1));
    cut_off(&cluster, 2, false);
    pass(&cluster, 10_000_000);
    assert!(!holds(&cluster, 2, 1), "nobody brought it");
    let node = cluster.node(2).expect("it is up");
    let listed = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&listed);
    let task = async move {
        let name = name();
        let query = Query {
            bucket_type: name.bucket_type.clone(),
            bucket: Some(name.bucket.clone()),
            span: Span::of_bucket(&name.bucket_type, &name.bucket),
            after: Bytes::new(),
            filter: None,
            share: Share::ALL,
            rows_max: None,
        };
        let deadline = Deadline::after(&**node.environment(), 20_000_000);
        let mut keys = Vec::new();
        let mut coverage = node.query(query, deadline).await.expect("all are up");
        while let Some(rows) = coverage.next_rows().await.expect("all are up") {
            keys.extend(rows.into_iter().map(|found| found.row.key));
        }
        assert!(coverage.missing().is_empty(), "it says that this is all");
        *slot.lock().expect("nobody panics with it") = Some(keys);
    };
    let executor = &cluster.around().executor;
    executor.spawn(Group::WORLD, Box::pin(task));
    pass(&cluster, 20_000_000);
    let keys = listed.lock().expect("nobody panics with it").take();
    cluster.dissolve();
    keys.expect("it ends")
}

#[test]
fn a_listing_has_what_the_asked_node_missed() {
    assert_eq!(keys_listed_where_a_put_was_missed(), [name().key]);
}

/// A disk loses a record that has no index rows, a tombstone, and the sums beside it still count it.
fn what_is_said_of_a_record_that_a_disk_lost() -> Agreement {
    let cluster = cluster_with(|plan| {
        (plan.anti_entropy, plan.mixed_releases, plan.reaping) = (false, false, false);
    });
    send(&cluster, 0, 1, Content::Tombstone);
    pass(&cluster, 2_000_000);
    assert_eq!(verify(&cluster).agreement(), Agreement::Agrees);
    let place = cluster.place(0, &name()).expect("it is up");
    assert!(cluster.disk(0).forget(&place, 0), "it is in the engine");
    let told = verify(&cluster).agreement();
    cluster.dissolve();
    told
}

#[test]
fn who_verifies_looks_at_objects_and_not_at_sums() {
    let told = what_is_said_of_a_record_that_a_disk_lost();
    assert_eq!(told, Agreement::Differs);
}

#[cfg(feature = "known-bad")]
#[test]
fn a_query_of_one_home_and_a_verdict_from_sums_say_what_is_not_so() {
    use ringhold_node::known_bad::{Variant, activate};
    activate(Some(Variant::QueryAsksOne));
    let listed = keys_listed_where_a_put_was_missed();
    activate(Some(Variant::VerifyTrustsSums));
    let told = what_is_said_of_a_record_that_a_disk_lost();
    activate(None);
    assert!(listed.is_empty());
    assert_eq!(told, Agreement::Agrees);
}
