//! Counting keys where a node says nothing.

use crate::scenario::{name, pass, put, small_cluster};
use ringhold_node::KeyCount;
use ringhold_node::env::Deadline;
use ringhold_sim::executor::Group;
use std::sync::{Arc, Mutex};

/// Longer than a count waits for a silent node before it asks the next, and shorter than it takes until that one is down.
const A_WHILE_US: u64 = 3_500_000;
const PATIENCE_US: u64 = 60_000_000;

#[test]
fn a_count_does_not_wait_for_a_silent_node() {
    let cluster = small_cluster();
    assert!(put(&cluster, 0, 1));
    for (from, to) in [(0, 1), (1, 0)] {
        cluster.network().set_blocked(from, to, true);
    }
    let counted = Arc::new(Mutex::new(None));
    let (slot, node) = (Arc::clone(&counted), cluster.node(0).expect("it is up"));
    let task = async move {
        let name = name();
        let deadline = Deadline::after(&**node.environment(), PATIENCE_US);
        let answer = node
            .count_bucket(&name.bucket_type, &name.bucket, deadline)
            .await;
        *slot.lock().expect("nobody panics with it") = Some(answer);
    };
    let executor = &cluster.around().executor;
    executor.spawn(Group::WORLD, Box::pin(task));
    pass(&cluster, A_WHILE_US);
    let expected = KeyCount {
        keys: 1,
        ..KeyCount::default()
    };
    let answer = counted.lock().expect("nobody panics with it").take();
    assert_eq!(answer, Some(Ok(expected)));
    cluster.dissolve();
}
