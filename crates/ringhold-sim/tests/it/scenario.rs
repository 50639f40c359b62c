//! A cluster with nobody in it but the test: steps instead of seeds.
//!
//! Three nodes without faults, a clock that goes on only when the test says so, and one key. A scenario says what
//! happens in which order, so it shows what it shows for as long as the rule that it is about exists, whatever
//! becomes of the seeds.

use bytes::Bytes;
use ringhold_core::version::{Content, ContextToken};
use ringhold_node::Verdict;
use ringhold_node::env::CallError;
use ringhold_node::properties::Durability;
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

/// Time for an administrator's look at everything, in microseconds.
const VERIFIES_US: u64 = 30_000_000;

/// Three nodes that checkpoint all the time, and nobody else.
pub(crate) fn small_cluster() -> Cluster {
    cluster_with(|_| {})
}

/// The same, with something changed about it.
pub(crate) fn cluster_with(change: impl FnOnce(&mut Plan)) -> Cluster {
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
    plan.astray = Some(std::collections::BTreeSet::new());
    (plan.last_write_wins, plan.writer_groups) = (false, 1);
    plan.durability = Durability::Flushed;
    change(&mut plan);
    let nodes = plan.nodes;
    let cluster = Cluster::new(around, plan);
    cluster.around().books.lock().add_nodes(nodes);
    (0..nodes).for_each(|node| cluster.start(node));
    pass(&cluster, 2_000_000);
    cluster
}

pub(crate) fn pass(cluster: &Cluster, us: u64) {
    let executor = &cluster.around().executor;
    let until_us = executor.now_us() + us;
    while executor.step(until_us) {}
}

pub(crate) fn name() -> ObjectName {
    ObjectName {
        bucket_type: "default".into(),
        bucket: "found".into(),
        key: "key".into(),
    }
}

pub(crate) type Outcome = Arc<Mutex<Option<Result<Reply, CallError>>>>;

/// Sends a blind put by way of a node.
pub(crate) fn send_put(cluster: &Cluster, node: usize, operation: usize) -> Outcome {
    let content = Content::Value {
        bytes: format!("value {operation}").into(),
        metadata: Vec::new(),
    };
    send(cluster, node, operation, content)
}

/// Sends a blind put of this content.
pub(crate) fn send(cluster: &Cluster, node: usize, operation: usize, content: Content) -> Outcome {
    send_write(cluster, node, operation, content, Bytes::new())
}

/// Sends a write with a sealed context.
pub(crate) fn send_write(
    cluster: &Cluster,
    node: usize,
    operation: usize,
    content: Content,
    context: Bytes,
) -> Outcome {
    let request = PutRequest {
        name: name(),
        seen: ContextToken::default(),
        operation: operation_id(operation),
        change: content.into(),
        unchanged_since: None,
        options: PutOptions::default(),
        return_object: false,
        explain: false,
    };
    ask(cluster, node, &Request::Put(ClientPut { request, context }))
}

/// Sends a request to a node, as a client.
pub(crate) fn ask(cluster: &Cluster, node: usize, request: &Request) -> Outcome {
    let executor = &cluster.around().executor;
    let until_us = executor.now_us() + 1_000_000;
    let client = cluster.plan().nodes;
    let call = cluster.network().call(client, node, request, until_us, 0);
    let call = call.expect("a client's way is always open");
    let outcome = Outcome::default();
    let slot = Arc::clone(&outcome);
    let task = async move {
        let reply = call.await;
        *slot.lock().expect("nobody panics with it") = Some(reply);
    };
    executor.spawn(Group::WORLD, Box::pin(task));
    outcome
}

/// Whether a blind put by way of a node is acknowledged.
pub(crate) fn put(cluster: &Cluster, node: usize, operation: usize) -> bool {
    let outcome = send_put(cluster, node, operation);
    pass(cluster, 1_500_000);
    let reply = outcome.lock().expect("nobody panics with it").take();
    matches!(reply, Some(Ok(Reply::Coordinated(Ok(_)))))
}

/// What is said of the key's tree by a node that verifies it.
pub(crate) fn verify(cluster: &Cluster) -> Verdict {
    let verdicts = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&verdicts);
    let (verifying, node) = (cluster.clone(), cluster.node(1).expect("all are up"));
    let task = async move {
        let told = ringhold_sim::administrator::verify(&verifying, node).await;
        *slot.lock().expect("nobody panics with it") = Some(told);
    };
    let executor = &cluster.around().executor;
    executor.spawn(Group::WORLD, Box::pin(task));
    pass(cluster, VERIFIES_US);
    let verdicts = verdicts.lock().expect("nobody panics with it").take();
    let verdicts = verdicts.expect("it ends");
    let ring = cluster.ring();
    let partition = ring.partition_of(name().position());
    let mut of_key = verdicts
        .into_values()
        .filter(|verdict| verdict.tree.partition == partition && verdict.keys() > 0);
    of_key.next().expect("somebody holds the key")
}

pub(crate) fn holds(cluster: &Cluster, node: usize, operation: usize) -> bool {
    let held = cluster.held(node, &name()).expect("the node is up");
    let id = operation_id(operation);
    held.versions()
        .iter()
        .any(|version| version.operation == id)
}

pub(crate) fn cut_off(cluster: &Cluster, node: usize, blocked: bool) {
    for other in (0..3).filter(|other| *other != node) {
        cluster.network().set_blocked(node, other, blocked);
        cluster.network().set_blocked(other, node, blocked);
    }
    // Long enough for either side to notice.
    pass(cluster, 5_000_000);
}

/// Cuts, or opens, the two ways between two nodes.
pub(crate) fn set_blocked(cluster: &Cluster, (one, other): (usize, usize), blocked: bool) {
    cluster.network().set_blocked(one, other, blocked);
    cluster.network().set_blocked(other, one, blocked);
    pass(cluster, 5_000_000);
}
