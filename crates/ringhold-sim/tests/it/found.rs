//! What the simulator has found, as scenarios of their own: seeds rot when code changes.

use bytes::Bytes;
use ringhold_core::version::Object;
use ringhold_sim::books::SharedBooks;
use ringhold_sim::cluster::{Cluster, Surroundings};
use ringhold_sim::executor::{Executor, Group};
use ringhold_sim::plan::{Plan, Profile};
use ringhold_sim::random::Random;
use ringhold_sim::trace::Trace;
use ringhold_sim::value::operation_id;
use ringhold_wire::message::peer::{ClientPut, Reply, Request};
use ringhold_wire::message::{ObjectName, PutOptions, PutRequest};
use std::sync::{Arc, Mutex};

/// Three nodes that checkpoint all the time, and nobody else.
fn small_cluster() -> Cluster {
    let executor = Executor::new(Random::new(1));
    let trace = Trace::new(executor.clone(), None);
    let around = Surroundings {
        executor,
        trace,
        books: SharedBooks::default(),
        rare: Arc::default(),
    };
    let mut plan = Plan::draw(1, Profile::All);
    plan.faults.clear();
    (plan.nodes, plan.replicas, plan.clients, plan.segment_bytes) = (3, 3, 1, 1);
    (plan.last_write_wins, plan.buffered, plan.writer_groups) = (false, false, 1);
    let cluster = Cluster::new(around, plan);
    cluster.around().books.lock().add_nodes(3);
    (0..3).for_each(|node| cluster.start(node));
    pass(&cluster, 2_000_000);
    cluster
}

fn pass(cluster: &Cluster, us: u64) {
    let executor = &cluster.around().executor;
    let until_us = executor.now_us() + us;
    while executor.step(until_us) {}
}

fn name() -> ObjectName {
    ObjectName {
        bucket_type: "default".into(),
        bucket: "found".into(),
        key: "key".into(),
    }
}

/// A blind put by way of a node; whether it was acknowledged.
fn put(cluster: &Cluster, node: usize, operation: usize) -> bool {
    let content = ringhold_core::version::Content::Value {
        bytes: format!("value {operation}").into(),
        metadata: Vec::new(),
    };
    let request = PutRequest {
        name: name(),
        seen: Default::default(),
        operation: operation_id(operation),
        content,
        unchanged_since: None,
        options: PutOptions::default(),
        return_object: false,
        explain: false,
    };
    let request = Request::Put(ClientPut {
        request,
        context: Bytes::new(),
    });
    let executor = cluster.around().executor.clone();
    let call = cluster
        .network()
        .call(3, node, &request, executor.now_us() + 1_000_000, 0)
        .expect("a simulated run does what it is told");
    let reply = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&reply);
    executor.spawn(
        Group::WORLD,
        Box::pin(async move {
            *slot.lock().expect("a simulated run does what it is told") = Some(call.await);
        }),
    );
    pass(cluster, 1_000_000);
    let reply = reply
        .lock()
        .expect("a simulated run does what it is told")
        .take();
    matches!(reply, Some(Ok(Reply::Coordinated(Ok(_)))))
}

fn operations(object: &Object) -> Vec<u128> {
    object
        .versions()
        .iter()
        .map(|version| version.operation.0)
        .collect()
}

/// A merge met a record that could not be read for once, took it for lost, and put what it was sent in
/// its place: an acknowledged write was gone from a healthy disk.
#[test]
fn a_read_that_fails_for_once_costs_no_record() {
    let cluster = small_cluster();
    assert!(put(&cluster, 0, 1));
    // The record is in the engine and nowhere else.
    pass(&cluster, 1_000_000);
    cluster.disk(1).set_unreadable(1_000_000);
    assert!(put(&cluster, 0, 2), "two healthy replicas are enough");
    cluster.disk(1).set_unreadable(0);
    let held = cluster
        .held(1, &name())
        .expect("a simulated run does what it is told");
    assert!(
        operations(&held).contains(&operation_id(1).0),
        "the first write is gone"
    );
    cluster.dissolve();
}

/// A process was killed between a checkpoint's batch and its flush; the next one saw the batch, removed the
/// log that said the same, and a power cut then took the batch back.
#[test]
fn an_engine_that_was_not_flushed_is_not_built_upon() {
    let cluster = small_cluster();
    assert!(put(&cluster, 0, 1));
    let mut lost = Vec::new();
    // At each of many moments of a checkpoint.
    for delay_us in (0..20_000).step_by(500) {
        put(
            &cluster,
            0,
            2 + usize::try_from(delay_us).expect("a simulated run does what it is told"),
        );
        pass(&cluster, delay_us);
        cluster.kill(1);
        cluster.start(1);
        pass(&cluster, 300_000);
        cluster.cut_power(1);
        cluster.start(1);
        pass(&cluster, 1_000_000);
        let held = cluster
            .held(1, &name())
            .expect("a simulated run does what it is told");
        if !operations(&held).contains(&operation_id(1).0) {
            lost.push(delay_us);
        }
    }
    assert!(lost.is_empty(), "lost when killed after {lost:?} µs");
    cluster.dissolve();
}
