//! A stand-in for a node: a map of objects behind the door, with core's own rules for writes.
//!
//! Time, chance and the cluster's key are fixed, so that every answer has the same bytes in every run.

use bytes::Bytes;
use ringhold_core::crdt::{Kind, Precision};
use ringhold_core::datatype::{self, NewUpdate, NotUpdated};
use ringhold_core::id::{Incarnation, NodeId};
use ringhold_core::index::{Row, entry_row, key_row, place_of, term_order};
use ringhold_core::quorum::{
    Count, PutCounts, QuorumViolation, ReplicaKind, Requirement, Shortfall,
};
use ringhold_core::ring::{ChangeRefused, Position, TypeRefused};
use ringhold_core::version::{
    Actor, Content, Dot, KeyEpoch, LiveEpoch, NewVersion, Object, TokenKey, coordinate,
};
use ringhold_node::properties::{
    Overrides, Properties, PropertiesError, Refusal, check_type_update,
};
use ringhold_node::{
    Admitted, ChangeFailed, Errand, Found, Insisting, Query, QueryFailed, RecoveryFailed,
    RestoreRefused, TypeStage, TypeView,
};
use ringhold_server::edge::{
    Door, Ended, Job, JobRefused, Listed, OrderFailed, PbDoor, Place, Recovery, RingOrder,
    TypeOrder, Wish,
};
use ringhold_wire::backup::{Block, Head};
use ringhold_wire::message::explain::{Explanation, ReplyNote};
use ringhold_wire::message::{
    Change, GetAnswer, GetError, GetRequest, NotStarted, ObjectName, PutAnswer, PutError,
    PutRequest, Rejection, Uncertain,
};
use ringhold_wire::metadata::index_entries;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::mpsc;

const STORE: Incarnation = Incarnation(7);

/// 2015-01-02T00:00:00Z, in microseconds.
const START_US: u64 = 1_420_156_800_000_000;

#[derive(Default)]
struct State {
    objects: BTreeMap<ObjectName, (Object, Option<LiveEpoch>)>,
    buckets: BTreeMap<Bytes, Overrides>,
    types: BTreeMap<Bytes, (TypeStage, Overrides)>,
    drawn: u128,
    epochs: u64,
    seconds: u64,
    /// What the next get, put or change of properties comes to.
    next: Option<Failure>,
    siblings_returned: Vec<usize>,
    /// Partitions that queries do not cover.
    missing: BTreeSet<u32>,
}

/// What a test can make happen next.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    Get(GetError),
    Put(PutError),
    Properties(PropertiesError),
    NotReady,
    Panic,
}

#[derive(Clone)]
pub(crate) struct FakeDoor {
    state: Arc<Mutex<State>>,
    token_key: TokenKey,
}

impl FakeDoor {
    pub(crate) fn new() -> Self {
        Self {
            state: Arc::default(),
            token_key: TokenKey::new(&[7; 32], None),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// From now on these partitions are missing from all queries.
    pub(crate) fn miss(&self, missing: &[u32]) {
        self.state().missing = missing.iter().copied().collect();
    }

    /// All rows of the objects that a query wants, in order.
    fn rows(&self, query: &Query) -> Vec<Found> {
        let state = self.state();
        let mut rows = BTreeSet::new();
        for (name, (object, _)) in &state.objects {
            let (of_type, bucket, key) = (&name.bucket_type, &name.bucket, &name.key);
            if query.bucket.is_none() {
                rows.insert(key_row(of_type, bucket, b""));
                continue;
            }
            for version in object
                .versions()
                .iter()
                .filter(|v| !v.content.is_tombstone())
            {
                rows.insert(key_row(of_type, bucket, key));
                for entry in index_entries(version) {
                    let field = entry.name.to_ascii_lowercase();
                    let term = term_order(&field, &entry.value).expect("checked");
                    rows.insert(entry_row(of_type, bucket, &field, &term, key));
                }
            }
        }
        let rows = rows.into_iter().filter(|row| query.span.contains(row));
        let found = rows.map(|whole| Found {
            row: Row::read(&whole).expect("a row"),
            place: place_of(&whole),
        });
        let position = |found: &Found| {
            let Row {
                bucket_type,
                bucket,
                key,
                ..
            } = &found.row;
            Position::of(bucket_type, bucket, key)
        };
        let found = found.filter(|found| query.share.contains(position(found)));
        let after = found.filter(|found| found.place > query.after);
        let wanted = |found: &Found| {
            query
                .filter
                .as_ref()
                .is_none_or(|wanted| wanted(&found.row))
        };
        after.filter(wanted).collect()
    }

    pub(crate) fn fail_next(&self, failure: Failure) {
        self.state().next = Some(failure);
    }

    /// How many keys were ever written.
    pub(crate) fn keys(&self) -> usize {
        self.state().objects.len()
    }

    /// How many versions each get has shown.
    pub(crate) fn siblings_returned(&self) -> Vec<usize> {
        self.state().siblings_returned.clone()
    }

    /// By the name that the texts of the tests give it.
    pub(crate) fn failure(name: &str) -> Failure {
        let short = |requirement| Shortfall {
            requirement,
            required: 2,
            obtained: 1,
        };
        let not_started = |reason| Failure::Put(PutError::NotStarted(reason));
        let unknown = |reason| Failure::Put(PutError::Unknown(reason));
        let rejected = |reason| Failure::Put(PutError::Rejected(reason));
        match name {
            "get: short of r" => Failure::Get(GetError::QuorumNotMet(short(Requirement::R))),
            "get: short of pr" => Failure::Get(GetError::QuorumNotMet(short(Requirement::PR))),
            "get: timed out" => Failure::Get(GetError::TimedOut),
            "get: overloaded" => Failure::Get(GetError::Overloaded),
            "put: overloaded" => not_started(NotStarted::Overloaded),
            "put: no replica" => not_started(NotStarted::NoReplica),
            "put: store failed" => not_started(NotStarted::StoreFailed),
            "put: few primaries" => not_started(NotStarted::TooFewPrimaries {
                required: 3,
                obtained: 1,
            }),
            "put: short of dw" => unknown(Uncertain::QuorumNotMet(short(Requirement::DW))),
            "put: timed out" => unknown(Uncertain::TimedOut),
            "put: interrupted" => unknown(Uncertain::Interrupted),
            "put: too large" => rejected(Rejection::ObjectTooLarge {
                bytes: 900,
                limit: 800,
            }),
            "put: too many siblings" => rejected(Rejection::TooManySiblings {
                siblings: 100,
                limit: 100,
            }),
            "put: modified" => rejected(Rejection::Modified),
            "props: unconfirmed" => Failure::Properties(PropertiesError::Unconfirmed {
                confirmed: 1,
                reachable: 2,
            }),
            "not ready" => Failure::NotReady,
            "panic" => Failure::Panic,
            other => panic!("no failure is called {other:?}"),
        }
    }
}

fn check(value: Count, requirement: Requirement, n: u32) -> Result<(), QuorumViolation> {
    match value {
        Count::Exact(value) if value > n => Err(QuorumViolation {
            requirement,
            value,
            n,
        }),
        _ => Ok(()),
    }
}

fn explained(wanted: bool, dots: Vec<Dot>) -> Option<Box<Explanation>> {
    let reply = ReplyNote {
        node: NodeId(2),
        kind: ReplicaKind::Primary,
        after_us: 250,
        outcome: Bytes::from_static(b"found"),
        dots,
    };
    wanted.then(|| {
        Box::new(Explanation {
            coordinator: NodeId(1),
            forwarded_by: Some(NodeId(3)),
            partition: 12,
            preference_list: vec![NodeId(1), NodeId(2)],
            n: 2,
            required: vec![(Requirement::R, 2)],
            replies: vec![reply],
            met_after_us: Some(300),
        })
    })
}

impl Door for FakeDoor {
    async fn get(&self, request: GetRequest, _: u64) -> Result<GetAnswer, GetError> {
        let mut state = self.state();
        match state.next.take() {
            Some(Failure::Get(error)) => return Err(error),
            Some(Failure::Panic) => panic!("a test asked for this"),
            other => state.next = other,
        }
        check(request.options.quorum.r, Requirement::R, 3).map_err(GetError::Violation)?;
        check(request.options.quorum.pr, Requirement::PR, 3).map_err(GetError::Violation)?;
        let object = state
            .objects
            .get(&request.name)
            .map(|(object, _)| object.clone());
        let object = object.unwrap_or_default();
        let dots = object
            .versions()
            .iter()
            .map(|version| version.dot)
            .collect();
        Ok(GetAnswer {
            explanation: explained(request.explain, dots),
            object,
        })
    }

    fn query(&self, query: Query, _: u64) -> mpsc::Receiver<Listed> {
        let (sender, listed) = mpsc::channel(4);
        let mut rows = self.rows(&query);
        let rows_max = query
            .rows_max
            .map_or(usize::MAX, |max| usize::try_from(max).expect("small"));
        rows.truncate(rows_max);
        let ended = Ended {
            missing: self.state().missing.clone(),
            partitions: 64,
        };
        tokio::spawn(async move {
            for some in rows.chunks(2) {
                sender.send(Listed::Rows(some.to_vec())).await.ok();
            }
            sender.send(Listed::Ended(ended)).await.ok();
        });
        listed
    }

    /// Eight partitions of three nodes, the last of which speaks no Protocol Buffers.
    fn homes_to_ask(&self, _: &Bytes, _: &Bytes) -> Vec<Vec<NodeId>> {
        let homes = |first: u128| (first..first + 2).map(|number| NodeId(1 + number % 3));
        (0..8).map(|at| homes(at).collect()).collect()
    }

    fn pb_doors(&self) -> BTreeMap<NodeId, PbDoor> {
        let door = |number: u16| PbDoor {
            name: format!("node{number}"),
            ip: "127.0.0.1".to_owned(),
            port: 8_000 + number,
        };
        (1..3)
            .map(|number| (NodeId(number.into()), door(number)))
            .collect()
    }

    async fn count_keys(
        &self,
        bucket_type: &Bytes,
        bucket: &Bytes,
        _: u64,
    ) -> Result<(u64, Ended), QueryFailed> {
        let objects = &self.state().objects;
        let names = objects.keys();
        let inside =
            names.filter(|name| name.bucket_type == *bucket_type && name.bucket == *bucket);
        Ok((inside.count() as u64, Ended::default()))
    }

    async fn put(&self, request: PutRequest, _: u64) -> Result<PutAnswer, PutError> {
        let properties = self.properties(&request.name.bucket_type, &request.name.bucket);
        let single = properties.is_some_and(|properties| !properties.allow_mult);
        let mut state = self.state();
        match state.next.take() {
            Some(Failure::Put(error)) => return Err(error),
            other => state.next = other,
        }
        for (count, requirement) in [
            (request.options.quorum.w, Requirement::W),
            (request.options.quorum.dw, Requirement::DW),
            (request.options.quorum.pw, Requirement::PW),
        ] {
            let checked = check(count, requirement, 3);
            checked.map_err(|violation| PutError::Rejected(Rejection::Violation(violation)))?;
        }
        state.seconds += 1;
        state.epochs += 1;
        let (seconds, epoch) = (state.seconds, state.epochs);
        let (object, live) = state.objects.entry(request.name).or_default();
        let unchanged_since = request.unchanged_since.as_ref();
        if unchanged_since.is_some_and(|since| !since.includes(object.context())) {
            return Err(PutError::Rejected(Rejection::Modified));
        }
        let wall_us = START_US + seconds * 1_000_000;
        let done = match request.change {
            Change::Content(content) => {
                let write = NewVersion {
                    seen: if single {
                        object.context().clone()
                    } else {
                        request.seen.context
                    },
                    seen_timestamp: request.seen.timestamp,
                    operation: request.operation,
                    content,
                    wall_us,
                };
                coordinate(object, *live, STORE, write, || KeyEpoch(epoch))
            }
            Change::Update(_) if single => {
                return Err(PutError::Rejected(Rejection::SiblingsOff));
            }
            Change::Update(asked) => {
                let write = NewUpdate {
                    update: &asked.update,
                    context: asked.context.as_ref(),
                    operation: request.operation,
                    precision: Precision::DEFAULT,
                    wall_us,
                };
                let done = datatype::update(object, *live, STORE, &write, || KeyEpoch(epoch));
                let done = done.map_err(|why| {
                    PutError::Rejected(match why {
                        NotUpdated::Refused(refused) => Rejection::Update(refused),
                        NotUpdated::NoValue(_) => Rejection::NotADataType,
                    })
                });
                done?.coordinated
            }
        };
        *live = done.live;
        Ok(PutAnswer {
            dot: done.dot,
            counts: counts(),
            object: request.return_object.then(|| object.clone()),
            explanation: explained(request.explain, vec![done.dot]),
        })
    }

    fn properties(&self, bucket_type: &Bytes, bucket: &Bytes) -> Option<Arc<Properties>> {
        let state = self.state();
        let overrides = state.buckets.get(bucket).cloned().unwrap_or_default();
        let of_type = match state.types.get(bucket_type) {
            _ if bucket_type == "default" => Properties::default(),
            Some((TypeStage::Active, set)) => Properties::of_type(3, set),
            Some(_) => return None,
            None => of_data_type(bucket_type)?,
        };
        Some(Arc::new(Properties::resolve(&of_type, &overrides)))
    }

    async fn change_properties(
        &self,
        _: &Bytes,
        bucket: &Bytes,
        change: Option<Overrides>,
        _: u64,
    ) -> Result<(), PropertiesError> {
        let mut state = self.state();
        if let Some(Failure::Properties(error)) = state.next.take() {
            return Err(error);
        }
        let known = state.buckets.remove(bucket).unwrap_or_default();
        if let Some(change) = change {
            state
                .buckets
                .insert(bucket.clone(), known.changed_by(&change));
        }
        Ok(())
    }

    fn bucket_types(&self) -> Vec<TypeView> {
        let known = self.state().types.clone();
        let view = |(name, (stage, set)): (Bytes, (TypeStage, Overrides))| TypeView {
            name,
            stage,
            properties: Arc::new(Properties::of_type(3, &set)),
            missing: Vec::new(),
        };
        known.into_iter().map(view).collect()
    }

    fn claimant(&self) -> String {
        self.own_name()
    }

    async fn type_order(&self, name: &Bytes, order: TypeOrder) -> Result<(), ChangeFailed> {
        let refused = |refused: TypeRefused| Err(ChangeFailed::Refused(refused.into()));
        let text = String::from_utf8_lossy(name).into_owned();
        let mut state = self.state();
        match order {
            TypeOrder::Create { set } => {
                state.types.insert(name.clone(), (TypeStage::Ready, set));
            }
            _ if name == "default" => return refused(TypeRefused::DefaultType),
            TypeOrder::Activate => match state.types.get_mut(name) {
                Some((stage, _)) => *stage = TypeStage::Active,
                None => return refused(TypeRefused::Unknown { name: text }),
            },
            TypeOrder::Update { change, .. } => {
                let Some((_, set)) = state.types.get_mut(name) else {
                    return refused(TypeRefused::Unknown { name: text });
                };
                match check_type_update(set, &change) {
                    Ok(after) => *set = after,
                    Err(refusals) => {
                        let told = |one: &Refusal| (one.property.clone(), one.reason.to_string());
                        let refusals = refusals.iter().map(told).collect();
                        return refused(TypeRefused::Properties { refusals });
                    }
                }
            }
        }
        Ok(())
    }

    fn token_key(&self) -> &TokenKey {
        &self.token_key
    }

    fn random(&self) -> u128 {
        let mut state = self.state();
        state.drawn += 1;
        state
            .drawn
            .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
    }

    fn own_name(&self) -> String {
        "node 1".to_owned()
    }

    fn node_name(&self, node: NodeId) -> String {
        format!("node{}", node.0)
    }

    fn status(&self) -> serde_json::Value {
        json!({ "node": "node1" })
    }

    fn ring(&self) -> serde_json::Value {
        json!({ "partitions": 64 })
    }

    fn rebuild_without(&self, member: &str) -> Result<(), String> {
        Err(format!("no member is called {member}\n"))
    }

    fn join_token(&self, ttl_s: u64) -> serde_json::Value {
        json!({ "token": "rhjoin_00", "expires_at": ttl_s })
    }

    async fn order(&self, order: RingOrder) -> Result<serde_json::Value, OrderFailed> {
        let refused = |reason| Err(OrderFailed::Failed(ChangeFailed::Refused(reason)));
        match order {
            RingOrder::Stage(Wish::Weigh { weight: 0, node }) => {
                refused(ChangeRefused::ZeroWeight { name: node })
            }
            RingOrder::Stage(Wish::Remove {
                node,
                yes_it_is_dead: false,
            }) => Err(OrderFailed::StillThere { name: node }),
            RingOrder::Stage(Wish::Leave { node }) if node != "node1" => {
                let names = vec!["node1".to_owned()];
                Err(OrderFailed::NoSuchMember { name: node, names })
            }
            RingOrder::Stage(_) => Ok(json!({ "epoch": 2 })),
            RingOrder::Commit => Err(OrderFailed::Failed(ChangeFailed::NoMajority)),
            RingOrder::Abort => refused(ChangeRefused::NothingStaged),
        }
    }

    async fn recovery(&self, recovery: Recovery) -> Result<serde_json::Value, OrderFailed> {
        if recovery.carry_out {
            let names = recovery.give_up.unwrap_or_default();
            return Err(OrderFailed::NotRecovered(RecoveryFailed::Silent { names }));
        }
        Ok(json!({ "give_up": recovery.give_up }))
    }

    async fn plan(&self) -> Result<serde_json::Value, OrderFailed> {
        Ok(json!({ "state": "staged" }))
    }

    async fn transfers(&self) -> serde_json::Value {
        json!({ "comers": [] })
    }

    async fn explain(&self, name: ObjectName, _: u64) -> serde_json::Value {
        json!({ "key": String::from_utf8_lossy(&name.key) })
    }

    fn preference_list(&self, name: ObjectName) -> Option<Vec<Place>> {
        let place = |node: u8| Place {
            partition: 12,
            node: format!("node{node}"),
            is_primary: node < 3,
        };
        (name.bucket_type == "default").then(|| (1..=3).map(place).collect())
    }

    fn stats(&self) -> serde_json::Value {
        json!({ "nodename": "node 1", "riak_kv_version": "3.2.3" })
    }

    fn start(&self, job: Job) -> Result<mpsc::Receiver<Bytes>, JobRefused> {
        let partition = match job {
            Job::Verify { partition } | Job::Repair { partition } => partition,
            Job::Backup => None,
        };
        if let Some(partition @ 64..) = partition {
            let count = 64;
            return Err(JobRefused::NoSuchPartition { partition, count });
        }
        let (lines, reader) = mpsc::channel(2);
        for line in ["{\"type\":\"start\"}\n", "{\"type\":\"end\"}\n"] {
            lines.try_send(line.into()).expect("there is room for two");
        }
        Ok(reader)
    }

    async fn restore(
        &self,
        _: Head,
        _: Block,
        _: Insisting,
    ) -> Result<serde_json::Value, RestoreRefused> {
        Ok(json!({}))
    }

    fn ready(&self) -> Result<(), String> {
        match self.state().next.take() {
            Some(Failure::NotReady) => Err("the store is recovering".to_owned()),
            _ => Ok(()),
        }
    }

    fn metrics(&self) -> String {
        "ringhold_partitions_owned 64\n".to_owned()
    }

    fn note_siblings_returned(&self, versions: usize) {
        self.state().siblings_returned.push(versions);
    }

    fn is_full(&self, _: Errand) -> bool {
        false
    }

    fn admit(&self, _: Errand) -> Option<Admitted> {
        Some(Admitted::uncounted())
    }

    fn note_request_shed(&self) {}
}

/// `the-sets` holds sets, and so on, without anybody having created it.
fn of_data_type(bucket_type: &[u8]) -> Option<Properties> {
    let name = std::str::from_utf8(bucket_type).ok()?;
    Some(Properties {
        datatype: Some(Kind::from_name(
            name.strip_prefix("the-")?.strip_suffix('s')?,
        )?),
        ..Properties::default()
    })
}

fn counts() -> PutCounts {
    PutCounts {
        acknowledged: 2,
        durable: 2,
        primaries: 2,
        nodes: 2,
    }
}

/// A write that came in by another way than HTTP, with content that HTTP could not have brought.
pub(crate) fn write_past_http(door: &FakeDoor, name: ObjectName, content: Content) {
    let dot = Dot {
        actor: Actor {
            incarnation: Incarnation(9),
            epoch: KeyEpoch(1),
        },
        counter: 1,
    };
    let mut context = ringhold_core::version::Context::new();
    context.observe(dot);
    let version = ringhold_core::version::Version {
        dot,
        timestamp: ringhold_core::version::Timestamp(u64::MAX),
        operation: ringhold_core::id::OperationId(1),
        hash: content.hash(),
        content,
    };
    let object = Object::from_parts(context, vec![version]).expect("one version and its dot");
    door.state().objects.insert(name, (object, None));
}
