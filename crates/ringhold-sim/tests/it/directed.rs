//! Mistakes that seeds seldom meet, step by step.

use crate::scenario::{holds, name, pass, put, set_blocked, small_cluster};
use ringhold_core::id::OperationId;
use ringhold_core::version::Dot;
use ringhold_sim::cluster::Cluster;
use std::collections::BTreeMap;

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
