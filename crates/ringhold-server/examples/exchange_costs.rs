//! What anti-entropy costs, by how much differs.
//!
//! `cargo run --release -p ringhold-server --example exchange_costs -- [KEYS] [VALUE_BYTES] [DIRECTORY]`
//!
//! Three nodes in one process, N=3, 256 partitions, each with a log and LMDB in the directory. Calls between them are
//! encoded, decoded and carried out as on a connection, without a network under them. All get the same keys; then one
//! node gets newer versions of some, and every partition is compared once between each two homes, eight partitions
//! at a time, without the pause between the two looks. That pause (12 s by default) comes once to each comparison in which
//! anything differs; up to 64 wait for it together.

use bytes::{Bytes, BytesMut};
use ringhold_core::id::{BootId, ClusterId, Incarnation, NodeId, OperationId};
use ringhold_core::ring::{
    Addresses, Class, Member, MemberState, Partition, PartitionCount, Ring, RingDocument, TreeId,
};
use ringhold_core::tree::TreeKey;
use ringhold_core::version::{
    Actor, Content, Context, Dot, KeyEpoch, Object, Timestamp, TokenKey, Version,
};
use ringhold_node::env::{BoxFuture, CallError, Deadline, Environment, Peers};
use ringhold_node::trees::RecordDigests;
use ringhold_node::{Node, Pace, Parts, Sender, Tuning};
use ringhold_server::TokioEnvironment;
use ringhold_storage::{LmdbEngine, Opened, OsFiles, Store, StoreOptions};
use ringhold_wire::message::ObjectName;
use ringhold_wire::message::peer::{Mended, Reply, Request};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use tokio::task::JoinSet;

const PARTITIONS: u32 = 256;
const SECRET: [u8; 32] = [7; 32];
const AT_ONCE: usize = 8;
const BATCH: u64 = 500;
const PATIENCE_US: u64 = 60_000_000;
const MAP_BYTES: usize = 64 << 30;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u64| match arguments.next() {
        Some(text) => text.parse().expect("a number"),
        None => default,
    };
    let (keys, value_bytes) = (number(1_000_000), number(100));
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let directory = arguments.next();
    let directory = directory.as_ref().map_or(temporary.path(), Path::new);
    let nodes = start(directory).await;

    let began = Instant::now();
    put(&nodes, 0..keys, 1, value_bytes).await;
    println!(
        "{keys} keys with values of {value_bytes} bytes on three nodes, written in {:.1} s",
        began.elapsed().as_secs_f64()
    );
    println!("differing  mended  exchanges      sent  received   seconds");
    for (round, differing) in (2..).zip([0, 1, 100, 10_000]) {
        put(&nodes[..1], spread(keys, differing), round, value_bytes).await;
        let began = Instant::now();
        let (exchanges, sum) = compare_all(&nodes).await;
        println!(
            "{differing:>9}  {:>6}  {exchanges:>9}  {:>8}  {:>8}  {:>8.2}",
            sum.keys,
            sum.bytes_sent,
            sum.bytes_received,
            began.elapsed().as_secs_f64()
        );
        let (_, again) = compare_all(&nodes).await;
        assert_eq!((again.keys, again.failed), (0, 0), "everything is equal");
    }
}

/// So many of the keys, evenly.
fn spread(keys: u64, count: u64) -> impl Iterator<Item = u64> {
    let step = keys / count.max(1);
    (0..count).map(move |number| number * step)
}

/// Every partition, between each two homes, once.
async fn compare_all(nodes: &[Arc<Node>]) -> (u64, Mended) {
    let mut pairs = Vec::new();
    let class = Class::DEFAULT;
    for partition in (0..PARTITIONS).map(Partition) {
        let tree = TreeId { partition, class };
        for (at, one) in nodes.iter().enumerate() {
            for other in &nodes[at + 1..] {
                pairs.push((Arc::clone(one), tree, other.id()));
            }
        }
    }
    let exchanges = pairs.len() as u64;
    let (mut running, mut sum) = (JoinSet::new(), Mended::default());
    let mut pairs = pairs.into_iter();
    loop {
        while running.len() < AT_ONCE
            && let Some((node, tree, other)) = pairs.next()
        {
            running.spawn(async move { node.exchange(tree, other, 0).await });
        }
        let Some(mended) = running.join_next().await else {
            return (exchanges, sum);
        };
        let mended = mended.expect("no exchange panics");
        sum.keys += mended.keys;
        sum.failed += mended.failed;
        sum.bytes_sent += mended.bytes_sent;
        sum.bytes_received += mended.bytes_received;
    }
}

/// Gives nodes a version of each of these keys that replaces those before it.
async fn put(
    nodes: &[Arc<Node>],
    keys: impl IntoIterator<Item = u64>,
    round: u64,
    value_bytes: u64,
) {
    let mut keys = keys.into_iter();
    loop {
        let batch = (0..BATCH).map_while(|_| keys.next());
        let batch: Vec<_> = batch.map(|key| object(key, round, value_bytes)).collect();
        if batch.is_empty() {
            return;
        }
        for node in nodes {
            let mut left = batch.clone();
            while !left.is_empty() {
                let deadline = Deadline::after(&**node.environment(), PATIENCE_US);
                let request = Request::MergeMany(left.clone());
                let reply = node.answer(None, request, deadline).await;
                let Reply::MergedMany(outcomes) = reply else {
                    panic!("{reply:?}")
                };
                let mut outcomes = outcomes.into_iter();
                left.retain(|_| outcomes.next().is_some_and(|outcome| outcome.is_err()));
            }
        }
    }
}

fn object(key: u64, round: u64, value_bytes: u64) -> (ObjectName, Object) {
    let name = ObjectName {
        bucket_type: "default".into(),
        bucket: "costs".into(),
        key: format!("key {key}").into(),
    };
    let actor = Actor {
        incarnation: Incarnation(1),
        epoch: KeyEpoch(1),
    };
    let dot = Dot {
        actor,
        counter: round,
    };
    let mut context = Context::new();
    context.observe(dot);
    let length = usize::try_from(value_bytes).expect("it fits in memory");
    let content = Content::Value {
        bytes: Bytes::from(vec![u8::try_from(round).unwrap_or(0); length]),
        metadata: Vec::new(),
    };
    let version = Version {
        dot,
        timestamp: Timestamp(round),
        operation: OperationId(u128::from(key)),
        hash: content.hash(),
        content,
    };
    let object = Object::from_parts(context, vec![version]).expect("one version, covered");
    (name, object)
}

/// Three nodes that know each other.
async fn start(directory: &Path) -> Vec<Arc<Node>> {
    let ids = [NodeId(1), NodeId(2), NodeId(3)];
    let member = |id: NodeId| Member {
        id,
        name: format!("node{}", id.0),
        addresses: Addresses::default(),
        zone: String::new(),
        rack: String::new(),
        weight: 1,
        state: MemberState::Up,
    };
    let partitions = PartitionCount::new(PARTITIONS).expect("a power of two");
    let members = ids.map(member).into();
    let document = RingDocument::found(ClusterId(1), members, partitions, 3);
    let document = document.expect("three equal members make a ring");
    let ring = Arc::new(Ring::new(document).expect("a founded ring is valid"));
    let runtime = tokio::runtime::Handle::current();
    let environment: Arc<dyn Environment> =
        Arc::new(TokioEnvironment::new(runtime, directory.to_owned()));
    let directory_of: Arc<OnceLock<Vec<Arc<Node>>>> = Arc::default();
    let mut nodes = Vec::new();
    for id in ids {
        let path = directory.join(format!("node{}", id.0));
        let environment = Arc::clone(&environment);
        let opened = open(&path, partitions, &environment).await;
        let node = Node::start(Parts {
            addresses: None,
            id,
            ring: Arc::clone(&ring),
            peers: Arc::new(InProcess {
                me: id,
                nodes: Arc::clone(&directory_of),
                environment: Arc::clone(&environment),
            }),
            boot: BootId(environment.random()),
            environment,
            opened,
            token_key: TokenKey::new(&SECRET, None),
            tree_key: TreeKey::new(&SECRET),
            tuning: Tuning {
                anti_entropy: Pace {
                    pause_us: 0,
                    scrub_us: 0,
                    ..Pace::default()
                },
                ..Tuning::default()
            },
        });
        nodes.push(node.expect("a new node starts"));
    }
    assert!(directory_of.set(nodes.clone()).is_ok(), "it was empty");
    while !nodes
        .iter()
        .all(|node| node.is_admitted() && node.rebuild_progress().is_none())
    {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    nodes
}

/// A new store in a directory.
async fn open(
    path: &Path,
    partitions: PartitionCount,
    environment: &Arc<dyn Environment>,
) -> Opened {
    let files = OsFiles::open(path.join("log")).expect("the directory is free");
    let engine = LmdbEngine::open(&path.join("engine"), MAP_BYTES).expect("LMDB opens");
    let options = StoreOptions {
        partition_bits: partitions.bits(),
        ..StoreOptions::default()
    };
    let digests = RecordDigests::new(TreeKey::new(&SECRET), partitions);
    let mut random = || environment.random();
    let opened = Store::open(
        Arc::new(files),
        Box::new(engine),
        options,
        Some(Arc::new(digests)),
        &mut random,
    );
    opened.await.expect("a new store opens")
}

/// The others, by way of their encodings.
struct InProcess {
    me: NodeId,
    nodes: Arc<OnceLock<Vec<Arc<Node>>>>,
    environment: Arc<dyn Environment>,
}

impl Peers for InProcess {
    fn call(
        &self,
        to: NodeId,
        placement_number: u64,
        request: Request,
        deadline: Deadline,
    ) -> BoxFuture<'static, Result<Reply, CallError>> {
        let node = self.nodes.get().and_then(|nodes| {
            let node = nodes.iter().find(|node| node.id() == to);
            node.cloned()
        });
        let Some(node) = node else {
            return Box::pin(std::future::ready(Err(CallError::NotSent)));
        };
        let mut bytes = BytesMut::new();
        request.encode(&mut bytes);
        let (reply, answer) = tokio::sync::oneshot::channel();
        let me = self.me;
        self.environment.spawn(Box::pin(async move {
            let request = Request::decode(bytes.freeze()).expect("what was encoded decodes");
            let answer = node
                .answer(
                    Some(Sender {
                        id: me,
                        placement_number,
                    }),
                    request,
                    deadline,
                )
                .await;
            let mut bytes = BytesMut::new();
            answer.encode(&mut bytes);
            // Whoever asked may have gone.
            reply.send(bytes.freeze()).ok();
        }));
        Box::pin(async move {
            let bytes = answer.await.map_err(|_| CallError::NoAnswer)?;
            Ok(Reply::decode(bytes).expect("what was encoded decodes"))
        })
    }

    fn follow(&self, _members: &[ringhold_core::ring::Member]) {}

    fn connected(&self, _: NodeId) -> bool {
        self.nodes.get().is_some()
    }
}
