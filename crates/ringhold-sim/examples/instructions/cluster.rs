//! Operations of one client in a cluster of three, one after the other.
//!
//! N=3, R=W=2, flushed, anti-entropy on, no faults. Time goes on from event to event until an operation has its answer; what the third
//! replica does with it falls into the time of the next one, as do the watchers and the gossip of that while. Operations
//! go to the nodes in turn.

use crate::value;
use bytes::Bytes;
use ringhold_core::coverage::Share;
use ringhold_core::crdt::Update;
use ringhold_core::index::{Span, term_order};
use ringhold_core::version::{Content, ContextToken};
use ringhold_node::Query;
use ringhold_node::env::Deadline;
use ringhold_node::properties::Durability;
use ringhold_sim::books::SharedBooks;
use ringhold_sim::cluster::{Cluster, Surroundings};
use ringhold_sim::executor::{Executor, Group};
use ringhold_sim::plan::{Plan, Profile};
use ringhold_sim::random::Random;
use ringhold_sim::trace::Trace;
use ringhold_sim::value::operation_id;
use ringhold_wire::message::peer::{ClientPut, Reply, Request};
use ringhold_wire::message::{
    Change, GetOptions, GetRequest, ObjectName, PutOptions, PutRequest, TypeUpdate,
};
use ringhold_wire::metadata::{Metadata, NamedValue};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

const NODES: usize = 3;
const SEED: u64 = 1;
const SECOND_US: u64 = 1_000_000;
/// Until all have found each other.
const WARM_UP_US: u64 = 3 * SECOND_US;
/// No operation takes longer in a cluster without faults.
const PATIENCE_US: u64 = SECOND_US;
/// Objects that are there before anything is counted, where a kind needs some.
const STOCK: usize = 300;
/// Keys of counters.
const COUNTERS: usize = 4;
/// Keys with an index entry, and rows that a query finds of them.
const INDEXED: usize = 60;
const TERMS: usize = 3;
const FIELD: &[u8] = b"turn_int";

pub(crate) fn put(count: usize) -> Option<()> {
    let room = Room::new();
    (0..count).try_for_each(|number| room.put(number, number, Bytes::new()))
}

/// At most [`STOCK`] times: every key once.
pub(crate) fn put_with_context(count: usize) -> Option<()> {
    let room = Room::stocked()?;
    let contexts: Option<Vec<Bytes>> = (0..STOCK).map(|number| room.get(number)).collect();
    let contexts = contexts?.into_iter().take(count).enumerate();
    let mut done = 0;
    for (key, context) in contexts {
        room.put(key, STOCK + key, context)?;
        done += 1;
    }
    (done == count).then_some(())
}

pub(crate) fn get(count: usize) -> Option<()> {
    let room = Room::stocked()?;
    (0..count).try_for_each(|number| {
        let context = room.get(number % STOCK)?;
        (!context.is_empty()).then_some(())
    })
}

pub(crate) fn get_missing(count: usize) -> Option<()> {
    let room = Room::stocked()?;
    (0..count).try_for_each(|number| room.get(STOCK + number).map(drop))
}

pub(crate) fn count_up(count: usize) -> Option<()> {
    let room = Room::new();
    (0..count).try_for_each(|number| {
        let update = TypeUpdate {
            update: Update::Counter(1),
            context: None,
        };
        room.write(number % COUNTERS, number, update.into(), Bytes::new())
    })
}

pub(crate) fn query(count: usize) -> Option<()> {
    let room = Room::new();
    (0..INDEXED).try_for_each(|number| {
        let entry = NamedValue {
            name: Bytes::from_static(FIELD),
            value: (number % TERMS).to_string().into(),
        };
        let metadata = Metadata {
            indexes: vec![entry],
            ..Metadata::default()
        };
        let content = Content::Value {
            bytes: value(number),
            metadata: metadata.to_fields(),
        };
        room.write(number, number, content.into(), Bytes::new())
    })?;
    room.pass(SECOND_US);
    (0..count).try_for_each(|number| room.query(number))
}

/// So many seconds in which no client does anything.
pub(crate) fn idle(seconds: usize) -> Option<()> {
    let room = Room::stocked()?;
    (0..seconds).for_each(|_| room.pass(SECOND_US));
    Some(())
}

/// The machine room.
struct Room(Cluster);

impl Room {
    fn new() -> Self {
        let executor = Executor::new(Random::new(SEED));
        let trace = Trace::new(executor.clone(), None);
        let around = Surroundings {
            executor,
            trace,
            books: SharedBooks::default(),
            rare: Arc::default(),
        };
        let cluster = Cluster::new(around, plan());
        cluster.around().books.lock().add_nodes(NODES);
        (0..NODES).for_each(|node| cluster.start(node));
        let room = Self(cluster);
        room.pass(WARM_UP_US);
        room
    }

    /// With [`STOCK`] objects, and no work left over from their puts.
    fn stocked() -> Option<Self> {
        let room = Self::new();
        (0..STOCK).try_for_each(|number| room.put(number, number, Bytes::new()))?;
        room.pass(SECOND_US);
        Some(room)
    }

    fn pass(&self, us: u64) {
        let executor = &self.0.around().executor;
        let until_us = executor.now_us() + us;
        while executor.step(until_us) {}
    }

    fn put(&self, key: usize, operation: usize, context: Bytes) -> Option<()> {
        let content = Content::Value {
            bytes: value(operation),
            metadata: Vec::new(),
        };
        self.write(key, operation, content.into(), context)
    }

    /// None unless it is acknowledged.
    fn write(&self, key: usize, operation: usize, change: Change, context: Bytes) -> Option<()> {
        let request = PutRequest {
            name: name(key),
            seen: ContextToken::default(),
            operation: operation_id(operation),
            change,
            unchanged_since: None,
            options: PutOptions::default(),
            return_object: false,
            explain: false,
        };
        let put = Request::Put(ClientPut { request, context });
        let reply = self.ask(operation, &put)?;
        matches!(reply, Reply::Coordinated(Ok(_))).then_some(())
    }

    /// The context of what was read; empty if nothing is there.
    fn get(&self, key: usize) -> Option<Bytes> {
        let request = GetRequest {
            name: name(key),
            options: GetOptions::default(),
            explain: false,
        };
        let Reply::Got(Ok(got)) = self.ask(key, &Request::Get(request))? else {
            return None;
        };
        let is_there = got.answer.object.has_value();
        Some(if is_there { got.context } else { Bytes::new() })
    }

    /// None unless it finds what is there.
    fn query(&self, number: usize) -> Option<()> {
        let order = term_order(FIELD, (number % TERMS).to_string().as_bytes())?;
        let name = name(0);
        let query = Query {
            bucket_type: name.bucket_type.clone(),
            bucket: Some(name.bucket.clone()),
            span: Span::of_terms(&name.bucket_type, &name.bucket, FIELD, &order, &order),
            after: Bytes::new(),
            filter: None,
            share: Share::new(0, 0)?,
            rows_max: None,
        };
        let node = self.0.node(number % NODES)?;
        let found = self.wait(async move {
            let deadline = Deadline::after(&**node.environment(), PATIENCE_US);
            let mut coverage = node.query(query, deadline).await.ok()?;
            let mut rows = 0;
            while let Some(found) = coverage.next_rows().await.ok()? {
                rows += found.len();
            }
            coverage.missing().is_empty().then_some(rows)
        })??;
        (found == INDEXED / TERMS).then_some(())
    }

    /// What the nodes answer, asked in turn.
    fn ask(&self, turn: usize, request: &Request) -> Option<Reply> {
        let deadline_us = self.0.around().executor.now_us() + PATIENCE_US;
        let call = self
            .0
            .network()
            .call(NODES, turn % NODES, request, deadline_us, 0);
        self.wait(call.ok()?)?.ok()
    }

    /// Goes on until this has ended; none if it does not in time.
    fn wait<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let executor = &self.0.around().executor;
        let outcome = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&outcome);
        let task = async move {
            let ended = task.await;
            *slot.lock().expect("nobody panics with it") = Some(ended);
        };
        executor.spawn(Group::WORLD, Box::pin(task));
        let until_us = executor.now_us() + PATIENCE_US;
        loop {
            let ended = outcome.lock().expect("nobody panics with it").take();
            if ended.is_some() || !executor.step(until_us) {
                return ended;
            }
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.0.dissolve();
    }
}

/// All that could make a difference is set here, whatever a seed would draw.
fn plan() -> Plan {
    let mut plan = Plan::draw(SEED, Profile::All);
    plan.faults.clear();
    plan.operations.clear();
    (plan.nodes, plan.replicas, plan.clients) = (NODES, 3, 1);
    (plan.partitions, plan.writer_groups) = (64, 1);
    (plan.segment_bytes, plan.epoch_lease) = (1 << 20, 1_000);
    plan.astray = Some(BTreeSet::new());
    plan.anti_entropy = true;
    plan.durability = Durability::Flushed;
    for switch in [
        &mut plan.last_write_wins,
        &mut plan.primaries_only,
        &mut plan.blocking_repair,
        &mut plan.pressed,
        &mut plan.reaping,
        &mut plan.expiry,
        &mut plan.liveness,
        &mut plan.administrator,
        &mut plan.mixed_releases,
        &mut plan.types,
    ] {
        *switch = false;
    }
    plan
}

fn name(key: usize) -> ObjectName {
    ObjectName {
        bucket_type: "default".into(),
        bucket: "counted".into(),
        key: format!("key {key:06}").into(),
    }
}
