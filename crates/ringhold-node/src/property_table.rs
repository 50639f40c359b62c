//! The properties of buckets, as this node knows them.
//!
//! What a bucket sets for itself is kept whole on every member, because every member coordinates: a change
//! is persisted here, sent to all members that can be reached, and only then answered. Members that were
//! away get everything when they connect, and those that missed it while they were there are told again until they
//! have it. Changes of one bucket are ordered by their time, then by a random
//! number, so whatever order they arrive in, all members end with the same one.
//!
//! What a bucket does not say for itself says its type: the default type is as this node is configured, the created ones stand in the ring document
//! (`bucket_types`), and change with it.
//!
//! A request looks its bucket up in an immutable table behind one pointer; only a change builds a new one.
//!
//! One property is not kept here: how many replicas a bucket has stands in the ring document, because keys move for it
//! (`replication`). A change that names it goes there first.

use crate::clock_guard::ClockState;
use crate::env::Deadline;
use crate::gather::Gather;
#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::node::Node;
use crate::properties::{Overrides, Properties, PropertiesError};
use crate::replica::writer::Row;
use bytes::{Bytes, BytesMut};
use ringhold_core::id::NodeId;
use ringhold_core::ring::{BucketType, BucketTypes, Ring, TypeState};
use ringhold_storage::{KeyRange, Keyspace, StorageKey, Store};
use ringhold_wire::bytes_io::{DecodeError, Reader, Writer};
use ringhold_wire::message::peer::{
    BucketProperties, OVERRIDES_BYTES_MAX, Refusal, Reply, Request,
};
use ringhold_wire::message::{DEFAULT_BUCKET_TYPE, NAME_BYTES_MAX, ObjectName};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::{Mutex, oneshot};

/// Buckets that may have properties of their own. The table is on every member, whole.
const BUCKETS_MAX: usize = 100_000;
/// How long a change waits for the other members, in microseconds.
const SPREAD_US: u64 = 2_000_000;
/// From one try to tell a member to the next, in microseconds.
const RETRY_US: u64 = 1_000_000;
/// Entries in one message to a member that connects.
const MESSAGE_ENTRIES: usize = 1_000;

/// The properties in the store can't be read.
#[derive(Debug)]
pub struct PropertyTableError(String);

impl std::fmt::Display for PropertyTableError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the bucket properties in the store can't be read: {}",
            self.0
        )
    }
}

impl std::error::Error for PropertyTableError {}

type Buckets = BTreeMap<(Bytes, Bytes), Entry>;

/// What is known at one moment.
#[derive(Clone)]
struct Table {
    buckets: Buckets,
    /// The section of the ring document that the types are from.
    types_from: BucketTypes,
    types: BTreeMap<Bytes, TypeEntry>,
    /// The N of keys where neither bucket nor type says another.
    n_val: u32,
}

#[derive(Clone)]
struct TypeEntry {
    is_active: bool,
    properties: Arc<Properties>,
}

#[derive(Clone)]
struct Entry {
    change: BucketProperties,
    resolved: Arc<Properties>,
}

pub(crate) struct PropertyTable {
    defaults: Arc<Properties>,
    table: RwLock<Arc<Table>>,
    /// Held from the look at what is known to the change of it, so that the later of two changes stays.
    changing: Mutex<()>,
    telling: Telling,
}

impl PropertyTable {
    pub(crate) fn load(
        store: &Store,
        ring: &Ring,
        defaults: Properties,
    ) -> Result<Self, PropertyTableError> {
        let failed = |error: &dyn std::fmt::Display| PropertyTableError(error.to_string());
        let start = StorageKey::FIRST
            .successor()
            .expect("the first key is not the last");
        let rows = store.range(Keyspace::Meta, &KeyRange { start, end: None }, BUCKETS_MAX);
        let rows = rows.map_err(|error| failed(&error))?;
        let defaults = Arc::new(defaults);
        let mut table = Table::of_types(ring);
        for (_, record) in rows {
            let change = decode(record).map_err(|error| failed(&error))?;
            table.insert(change, &defaults);
        }
        Ok(Self {
            defaults,
            table: RwLock::new(Arc::new(table)),
            changing: Mutex::new(()),
            telling: Telling::default(),
        })
    }

    /// The properties of a bucket for clients; `None` if its type is not active.
    pub(crate) fn of(&self, bucket_type: &Bytes, bucket: &Bytes) -> Option<Arc<Properties>> {
        self.find(bucket_type, bucket, |one| one.is_active)
    }

    /// The properties of a bucket for other members, who may know already that its type is active; `None` if this node has never heard of
    /// the type.
    pub(crate) fn known(&self, bucket_type: &Bytes, bucket: &Bytes) -> Option<Arc<Properties>> {
        self.find(bucket_type, bucket, |_| true)
    }

    fn find(
        &self,
        bucket_type: &Bytes,
        bucket: &Bytes,
        serves: impl Fn(&TypeEntry) -> bool,
    ) -> Option<Arc<Properties>> {
        let table = self.snapshot();
        let of_type = if bucket_type == DEFAULT_BUCKET_TYPE {
            &self.defaults
        } else {
            let known = table.types.get(bucket_type);
            &known.filter(|one| serves(one))?.properties
        };
        if table.buckets.is_empty() {
            return Some(Arc::clone(of_type));
        }
        let entry = table.buckets.get(&(bucket_type.clone(), bucket.clone()));
        Some(Arc::clone(entry.map_or(of_type, |entry| &entry.resolved)))
    }

    /// The properties that a created type has, active or not.
    pub(crate) fn of_type(&self, bucket_type: &Bytes) -> Option<Arc<Properties>> {
        let table = self.snapshot();
        let known = table.types.get(bucket_type)?;
        Some(Arc::clone(&known.properties))
    }

    /// Takes the types from a ring document that comes into use.
    pub(crate) fn follow(&self, ring: &Ring) {
        let new = Table::of_types(ring);
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if (&new.types_from, new.n_val) == (&table.types_from, table.n_val) {
            return;
        }
        let entries = table.buckets.values();
        let resolved = entries.fold(new, |mut new, entry| {
            new.insert(entry.change.clone(), &self.defaults);
            new
        });
        *table = Arc::new(resolved);
    }

    /// Everything that buckets have set, for a member that connects.
    pub(crate) fn changes(&self) -> Vec<BucketProperties> {
        self.snapshot()
            .buckets
            .values()
            .map(|entry| entry.change.clone())
            .collect()
    }

    fn snapshot(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a change is later than what is known of its bucket.
    fn is_news(&self, change: &BucketProperties) -> bool {
        #[cfg(feature = "known-bad")]
        if known_bad::is(Variant::LateChangeWins) {
            return true;
        }
        let known = self.snapshot();
        let bucket = (change.bucket_type.clone(), change.bucket.clone());
        let known = known.buckets.get(&bucket);
        known.is_none_or(|entry| {
            (entry.change.changed_us, entry.change.changed_by)
                < (change.changed_us, change.changed_by)
        })
    }

    /// Later than what is known of the bucket, whatever the clock says.
    fn time_of_change(&self, bucket_type: &Bytes, bucket: &Bytes, wall_us: u64) -> u64 {
        let table = self.snapshot();
        let known = table.buckets.get(&(bucket_type.clone(), bucket.clone()));
        known.map_or(wall_us, |entry| {
            wall_us.max(entry.change.changed_us.saturating_add(1))
        })
    }

    fn adopt(&self, change: BucketProperties) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut table).insert(change, &self.defaults);
    }
}

impl Table {
    /// With the types of a ring, and no bucket that has set anything.
    fn of_types(ring: &Ring) -> Self {
        let document = ring.document();
        let n_val = u32::from(document.placement.replication.default);
        let types_from = document.bucket_types().expect("the document was validated");
        let types = types_from.iter().map(|(name, one)| {
            let entry = TypeEntry {
                is_active: one.state == TypeState::Active,
                properties: Arc::new(Properties::of_type(n_val, &set_by(one))),
            };
            (name.clone(), entry)
        });
        Self {
            buckets: Buckets::new(),
            types: types.collect(),
            types_from,
            n_val,
        }
    }

    /// What a bucket says lies over what its type says. A type that this node has not heard of yet says nothing.
    fn insert(&mut self, change: BucketProperties, defaults: &Properties) {
        let of_type = self.types.get(&change.bucket_type);
        let of_type = of_type.map_or(defaults, |one| &one.properties);
        let entry = Entry::new(change, of_type);
        self.buckets.insert(entry.bucket(), entry);
    }
}

/// What a type has set. It was read when it was proposed; what a later release has set and this one can't read has no effect.
pub(crate) fn set_by(one: &BucketType) -> Overrides {
    Overrides::decode(one.properties.clone()).unwrap_or_else(|error| {
        tracing::error!(%error, "the properties of a bucket type can't be read; it has the defaults");
        Overrides::default()
    })
}

impl Entry {
    /// Overrides that this version of the program can't read are kept and passed on, and change nothing here.
    fn new(change: BucketProperties, defaults: &Properties) -> Self {
        let overrides = Overrides::decode(change.overrides.clone()).unwrap_or_else(|error| {
            tracing::error!(%error, "the properties of a bucket can't be read; it has the defaults");
            Overrides::default()
        });
        Self {
            resolved: Arc::new(Properties::resolve(defaults, &overrides)),
            change,
        }
    }

    fn bucket(&self) -> (Bytes, Bytes) {
        (self.change.bucket_type.clone(), self.change.bucket.clone())
    }
}

impl Node {
    /// The properties of a bucket, with the number of replicas that it is to have; `None` for an unknown bucket type.
    #[must_use]
    pub fn properties(&self, bucket_type: &Bytes, bucket: &Bytes) -> Option<Arc<Properties>> {
        let properties = self.properties.of(bucket_type, bucket)?;
        let n_val = u32::from(self.replicas_wanted(bucket_type, bucket));
        if n_val == properties.n_val {
            return Some(properties);
        }
        Some(Arc::new(Properties {
            n_val,
            ..Properties::clone(&properties)
        }))
    }

    /// What the bucket has set itself.
    #[must_use]
    pub fn overrides(&self, bucket_type: &Bytes, bucket: &Bytes) -> Overrides {
        let table = self.properties.snapshot();
        let entry = table.buckets.get(&(bucket_type.clone(), bucket.clone()));
        entry
            .and_then(|entry| Overrides::decode(entry.change.overrides.clone()).ok())
            .unwrap_or_default()
    }

    /// Lays a change over what a bucket has set itself; `None` resets the bucket. Returns once this node has
    /// it on disk and every member that can be reached has too. Another number of replicas is on its way then, which takes as long as
    /// copying takes; whether it can begin is waited for until the deadline.
    ///
    /// # Errors
    /// See [`PropertiesError`]; each says what is known of the change.
    pub async fn change_properties(
        self: &Arc<Self>,
        bucket_type: &Bytes,
        bucket: &Bytes,
        change: Option<&Overrides>,
        deadline: Deadline,
    ) -> Result<(), PropertiesError> {
        let (sender, done) = oneshot::channel();
        let (node, bucket_type, bucket) = (Arc::clone(self), bucket_type.clone(), bucket.clone());
        let change = change.cloned();
        // In a task of its own: a change that is on disk must come into force, whoever hangs up.
        self.environment.spawn(Box::pin(async move {
            let changed = node
                .change_and_spread(&bucket_type, &bucket, change, deadline)
                .await;
            sender.send(changed).ok();
        }));
        done.await.unwrap_or(Err(PropertiesError::StoreFailed))
    }

    async fn change_and_spread(
        self: &Arc<Self>,
        bucket_type: &Bytes,
        bucket: &Bytes,
        change: Option<Overrides>,
        deadline: Deadline,
    ) -> Result<(), PropertiesError> {
        if let ClockState::Off { .. } = self.clock() {
            return Err(PropertiesError::ClockOff);
        }
        let properties = self
            .properties(bucket_type, bucket)
            .ok_or(PropertiesError::UnknownBucketType)?;
        if let Some(change) = &change {
            let fits = properties.check_change(change);
            fits.map_err(PropertiesError::Refused)?;
        }
        let replicas = match &change {
            Some(change) => change.replicas(),
            None => Some(self.replicas_otherwise(bucket_type, bucket)),
        };
        if let Some(n) = replicas {
            let replicated = self.replicate(bucket_type, bucket, n, deadline).await;
            replicated.map_err(PropertiesError::Replicas)?;
        }
        let change = change.map(|change| change.without_replicas().without_fixed());
        if change.as_ref().is_some_and(Overrides::is_empty) {
            return Ok(());
        }
        let changing = self.properties.changing.lock().await;
        let overrides = change.map_or_else(Overrides::default, |change| {
            let before = self.overrides(bucket_type, bucket);
            before.without_replicas().changed_by(&change)
        });
        let changed_us =
            self.properties
                .time_of_change(bucket_type, bucket, self.environment.wall_us());
        let change = BucketProperties {
            bucket_type: bucket_type.clone(),
            bucket: bucket.clone(),
            changed_us,
            changed_by: self.environment.random(),
            overrides: overrides.encode(),
        };
        self.keep(change.clone())
            .await
            .map_err(|_| PropertiesError::StoreFailed)?;
        drop(changing);
        self.spread(vec![change]).await
    }

    /// Takes changes that are news.
    pub(crate) async fn keep_properties(
        &self,
        changes: Vec<BucketProperties>,
    ) -> Result<(), Refusal> {
        let _changing = self.properties.changing.lock().await;
        for change in changes {
            if self.properties.is_news(&change) {
                self.keep(change).await?;
            }
        }
        Ok(())
    }

    /// On disk first, then in force. Only for who holds `changing`.
    async fn keep(&self, change: BucketProperties) -> Result<(), Refusal> {
        let (bucket_type, bucket) = (change.bucket_type.clone(), change.bucket.clone());
        let key: StorageKey = self.replica.key_of(&ObjectName {
            bucket_type,
            bucket,
            key: Bytes::new(),
        });
        let (keyspace, value) = (Keyspace::Meta, encode(&change));
        self.replica
            .keep_row(Row {
                keyspace,
                key,
                value,
            })
            .await?;
        self.properties.adopt(change);
        Ok(())
    }

    /// Tells every member that can be reached, and waits for them a little while. Whoever misses it is told again
    /// in the background, or when it reconnects.
    async fn spread(
        self: &Arc<Self>,
        changes: Vec<BucketProperties>,
    ) -> Result<(), PropertiesError> {
        let deadline = Deadline::after(&*self.environment, SPREAD_US);
        let mut calls = Gather::until(Arc::clone(&self.environment), deadline);
        let (mut reachable, mut missing) = (0, BTreeSet::new());
        let ring = self.ring();
        let members = ring.members().iter();
        for member in members.filter(|member| member.id != self.id && self.is_reachable(member.id))
        {
            calls.ask(
                member.id,
                self.call(member.id, Request::Properties(changes.clone()), deadline),
            );
            reachable += 1;
            missing.insert(member.id);
        }
        while let Some((member, reply)) = calls.next().await {
            if reply == Ok(Reply::PropertiesKept) {
                missing.remove(&member);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let confirmed = reachable - u32::try_from(missing.len()).expect("no more than were asked");
        for member in missing {
            let node = Arc::clone(self);
            self.environment
                .spawn(Box::pin(async move { node.greet(member).await }));
        }
        Err(PropertiesError::Unconfirmed {
            confirmed,
            reachable,
        })
    }

    /// Gives a member whatever buckets have set: one that has just been connected to, or one that has missed
    /// something. Tries until the member has it; should the connection break, the next one begins with this.
    pub async fn greet(self: &Arc<Self>, member: NodeId) {
        let deadline = Deadline::after(&*self.environment, SPREAD_US);
        self.catch_up(member, deadline).await;
        if !self.properties.telling.begins(member) {
            return;
        }
        loop {
            let told = self.tell(member).await;
            let is_over = || told || !self.peers.connected(member);
            if self.properties.telling.ends(member, is_over) {
                return;
            }
            if !told {
                let again_us = self.environment.now_us().saturating_add(RETRY_US);
                self.environment.sleep_until(again_us).await;
            }
        }
    }

    /// One try; whether the member has everything.
    pub(crate) async fn tell(self: &Arc<Self>, member: NodeId) -> bool {
        for changes in self.properties.changes().chunks(MESSAGE_ENTRIES) {
            let deadline = Deadline::after(&*self.environment, SPREAD_US);
            let told = self
                .call(member, Request::Properties(changes.to_vec()), deadline)
                .await;
            if told != Ok(Reply::PropertiesKept) {
                tracing::debug!(%member, "a member did not take the bucket properties");
                return false;
            }
        }
        true
    }
}

/// The members that are being told, each by one task, and whether something has changed since its last try began.
#[derive(Default)]
struct Telling(std::sync::Mutex<BTreeMap<NodeId, bool>>);

impl Telling {
    /// False if somebody is at it; then that one will try once more.
    fn begins(&self, member: NodeId) -> bool {
        let mut telling = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = telling.contains_key(&member);
        telling.insert(member, before);
        !before
    }

    /// A try has ended. True if nothing is left to do.
    fn ends(&self, member: NodeId, is_over: impl FnOnce() -> bool) -> bool {
        let mut telling = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked at under the lock: a member that comes back after this look finds nobody at it.
        let ends = telling.get(&member) != Some(&true) && is_over();
        if ends {
            telling.remove(&member);
        } else {
            telling.insert(member, false);
        }
        ends
    }
}

/// The version of the record in which a store keeps a bucket's properties.
const RECORD_VERSION: u8 = 1;

/// `u8` version, bucket type, bucket, `u64` microseconds, `u128` tie-breaker, overrides.
fn encode(change: &BucketProperties) -> Bytes {
    let mut out = BytesMut::new();
    let mut writer = Writer::new(&mut out);
    writer.u8(RECORD_VERSION);
    writer.bytes(&change.bucket_type);
    writer.bytes(&change.bucket);
    writer.u64(change.changed_us);
    writer.u128(change.changed_by);
    writer.bytes(&change.overrides);
    out.freeze()
}

fn decode(record: Bytes) -> Result<BucketProperties, DecodeError> {
    let mut reader = Reader::new(record);
    let version = reader.u8("record version")?;
    if version != RECORD_VERSION {
        return Err(DecodeError::UnknownVersion {
            what: "bucket properties",
            version,
        });
    }
    let change = BucketProperties {
        bucket_type: reader.bytes("bucket type", NAME_BYTES_MAX)?,
        bucket: reader.bytes("bucket", NAME_BYTES_MAX)?,
        changed_us: reader.u64("time of change")?,
        changed_by: reader.u128("author of change")?,
        overrides: reader.bytes("overrides", OVERRIDES_BYTES_MAX)?,
    };
    reader.finish("bucket properties")?;
    Ok(change)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_keeps_its_layout() {
        let change = BucketProperties {
            bucket_type: "default".into(),
            bucket: "b".into(),
            changed_us: 258,
            changed_by: 3,
            overrides: Bytes::from_static(&[1, 0]),
        };
        let record = encode(&change);
        let golden = [
            &[1, 0, 0, 0, 7][..],
            b"default",
            &[0, 0, 0, 1],
            b"b",
            &[0, 0, 0, 0, 0, 0, 1, 2],
            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3],
            &[0, 0, 0, 2, 1, 0],
        ];
        assert_eq!(record, golden.concat());
        assert_eq!(decode(record.clone()), Ok(change));
        for end in 0..record.len() {
            assert!(decode(record.slice(..end)).is_err());
        }
    }
}
