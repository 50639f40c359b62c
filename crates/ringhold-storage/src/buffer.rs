//! The in-memory buffer over the engine: one sorted map a group, active or frozen (§6.1).
//!
//! Writes land in a group's *active* buffer. A checkpoint *freezes* it: it becomes immutable, a new
//! one takes its place, and when the engine holds all that the frozen one says, it goes. A key is
//! looked up in active, frozen, engine, in this order, and the first that knows anything about it
//! decides; "removed" is knowledge.
//!
//! A range removal cannot be spelled out as entries, since only the engine knows the keys. It drops
//! the entries that it covers and stays beside them in a list. Within one buffer ranges apply first
//! and entries after them, so an entry that is there was put after every range that covers it.
//!
//! The same shape serves as a writer's batch before it is committed. There values are as the writer
//! gave them; in a group's buffers they are sealed.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;

use crate::key::{Change, Grouping, KeyRange, Keyspace, StorageKey, Write};
use crate::log::writes::WriteSet;
use crate::rows::{self, RowKey, RowRange};
use crate::sums::Summarize;
use crate::sums::change::SumChanges;
use crate::sums::count::Buffered;
use crate::sums::kept::{FrozenSums, Sums};

/// What an entry costs beside its value: key, links and the map's slack, roughly.
const ENTRY_BYTES: usize = 96;

/// What a buffer knows of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// It has this value.
    Value(Bytes),
    /// It has none, whatever lies below.
    Removed,
    /// Nothing: ask what lies below.
    Unknown,
}

/// Entries and removed ranges. See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffer {
    entries: BTreeMap<(Keyspace, StorageKey), Option<Bytes>>,
    removed: Vec<(Keyspace, KeyRange)>,
    rows: BTreeMap<RowKey, Option<Bytes>>,
    bytes: usize,
}

impl Buffer {
    pub(crate) fn write(&mut self, write: Write) {
        let keyspace = write.keyspace;
        match write.change {
            Change::Put { key, value } => self.insert(keyspace, key, Some(value)),
            Change::Remove { key } => self.insert(keyspace, key, None),
            Change::RemoveRange { range } => self.remove_range(keyspace, range),
        }
    }

    pub(crate) fn apply(&mut self, writes: WriteSet) {
        for (keyspace, range) in writes.ranges {
            self.remove_range(keyspace, range);
        }
        for (keyspace, key, value) in writes.entries {
            self.insert(keyspace, key, value);
        }
        for (key, value) in writes.rows {
            self.insert_row(key, value);
        }
    }

    pub(crate) fn insert_row(&mut self, key: RowKey, value: Option<Bytes>) {
        let key_bytes = key.bytes().len();
        self.bytes += key_bytes + entry_bytes(value.as_ref());
        if let Some(before) = self.rows.insert(key, value) {
            self.bytes -= key_bytes + entry_bytes(before.as_ref());
        }
    }

    /// The rows of a range, in order; those that are gone have no value.
    pub(crate) fn rows(&self, range: &RowRange) -> impl Iterator<Item = (&RowKey, Option<&Bytes>)> {
        let from = self.rows.range(range.start.clone()..);
        let inside = from.take_while(|(key, _)| range.contains(key));
        inside.map(|(key, value)| (key, value.as_ref()))
    }

    #[cfg(feature = "known-bad")]
    pub(crate) fn without_rows(&self) -> Self {
        Self {
            rows: BTreeMap::new(),
            ..self.clone()
        }
    }

    pub(crate) fn all_rows(&self) -> &BTreeMap<RowKey, Option<Bytes>> {
        &self.rows
    }

    pub(crate) fn insert(&mut self, keyspace: Keyspace, key: StorageKey, value: Option<Bytes>) {
        self.bytes += entry_bytes(value.as_ref());
        if let Some(before) = self.entries.insert((keyspace, key), value) {
            self.bytes -= entry_bytes(before.as_ref());
        }
    }

    pub(crate) fn remove_range(&mut self, keyspace: Keyspace, range: KeyRange) {
        if range.is_empty() {
            return;
        }
        let covered: Vec<StorageKey> = self.range(keyspace, &range).map(|(key, _)| *key).collect();
        for key in covered {
            if let Some(value) = self.entries.remove(&(keyspace, key)) {
                self.bytes -= entry_bytes(value.as_ref());
            }
        }
        self.removed
            .retain(|(of, older)| *of != keyspace || !range.covers(older));
        self.removed.push((keyspace, range));
    }

    pub(crate) fn lookup(&self, keyspace: Keyspace, key: &StorageKey) -> Lookup {
        match self.entries.get(&(keyspace, *key)) {
            Some(Some(value)) => Lookup::Value(value.clone()),
            Some(None) => Lookup::Removed,
            None if self.removes(keyspace, key) => Lookup::Removed,
            None => Lookup::Unknown,
        }
    }

    /// Whether a removed range covers the key.
    pub(crate) fn removes(&self, keyspace: Keyspace, key: &StorageKey) -> bool {
        self.removed
            .iter()
            .any(|(of, range)| *of == keyspace && range.contains(key))
    }

    /// The entries of a range, in order.
    pub(crate) fn range(
        &self,
        keyspace: Keyspace,
        range: &KeyRange,
    ) -> impl Iterator<Item = (&StorageKey, Option<&Bytes>)> {
        let last = range.last();
        let bounds = last.map(|last| (keyspace, range.start)..=(keyspace, last));
        let entries = bounds.map(|bounds| self.entries.range(bounds));
        entries
            .into_iter()
            .flatten()
            .map(|((_, key), value)| (key, value.as_ref()))
    }

    pub(crate) fn entries(
        &self,
    ) -> impl Iterator<Item = (&(Keyspace, StorageKey), Option<&Bytes>)> {
        self.entries
            .iter()
            .map(|(place, value)| (place, value.as_ref()))
    }

    pub(crate) fn removed(&self) -> &[(Keyspace, KeyRange)] {
        &self.removed
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.removed.is_empty() && self.rows.is_empty()
    }

    /// Roughly what it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.removed.len() * ENTRY_BYTES
    }
}

fn entry_bytes(value: Option<&Bytes>) -> usize {
    ENTRY_BYTES + value.map_or(0, Bytes::len)
}

/// The buffers of one group, the younger first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layers {
    pub(crate) active: Buffer,
    pub(crate) frozen: Option<Arc<Buffer>>,
}

impl Layers {
    pub(crate) fn lookup(&self, keyspace: Keyspace, key: &StorageKey) -> Lookup {
        match (self.active.lookup(keyspace, key), &self.frozen) {
            (Lookup::Unknown, Some(frozen)) => frozen.lookup(keyspace, key),
            (known, _) => known,
        }
    }
}

/// What becomes visible with a commit.
pub(crate) struct Effect {
    pub(crate) writes: WriteSet,
    pub(crate) sums: SumChanges,
}

/// What a freeze set aside for the engine.
pub(crate) struct Frozen {
    pub(crate) buffers: Vec<Arc<Buffer>>,
    pub(crate) sums: FrozenSums,
}

/// The buffers of all groups with their leaf sums, read by everybody and written by the flusher alone.
pub(crate) struct Buffers {
    grouping: Grouping,
    groups: Vec<RwLock<Layers>>,
    sums: Sums,
}

impl Buffers {
    pub(crate) fn new(grouping: Grouping, summarize: Option<Arc<dyn Summarize>>) -> Self {
        assert!(grouping.groups > 0, "a store has at least one group");
        assert!(
            grouping.partition_bits <= 32,
            "a ring has at most 2^32 partitions"
        );
        let groups = (0..grouping.groups).map(|_| RwLock::default()).collect();
        let sums = Sums::new(grouping, summarize);
        Self {
            grouping,
            groups,
            sums,
        }
    }

    pub(crate) fn grouping(&self) -> Grouping {
        self.grouping
    }

    pub(crate) fn sums(&self) -> &Sums {
        &self.sums
    }

    pub(crate) fn read(&self, group: usize) -> RwLockReadGuard<'_, Layers> {
        self.groups[group]
            .read()
            .expect("no holder of this lock panics")
    }

    fn write(&self, group: usize) -> RwLockWriteGuard<'_, Layers> {
        self.groups[group]
            .write()
            .expect("no holder of this lock panics")
    }

    /// All groups at one moment.
    pub(crate) fn read_all(&self) -> Vec<RwLockReadGuard<'_, Layers>> {
        (0..self.groups.len())
            .map(|group| self.read(group))
            .collect()
    }

    pub(crate) fn lookup(&self, keyspace: Keyspace, key: &StorageKey) -> Lookup {
        self.read(self.grouping.group_of(key)).lookup(keyspace, key)
    }

    /// A committed batch of one group becomes visible.
    pub(crate) fn publish(&self, group: usize, effect: Effect) {
        let mut layers = self.write(group);
        layers.active.apply(effect.writes);
        self.sums.apply(group, effect.sums);
    }

    /// What all of them know of the objects that are summed up.
    pub(crate) fn buffered(&self) -> Buffered {
        let groups = self.read_all();
        Buffered::of(groups.iter().map(|layers| &**layers), &KeyRange::ALL)
    }

    /// A batch from the log, whose groups may have been others.
    pub(crate) fn replay(&self, writes: WriteSet) {
        for (keyspace, range) in writes.ranges {
            let groups = self
                .grouping
                .group_of_range(&range)
                .map_or(0..self.groups.len(), |one| one..one + 1);
            for group in groups {
                self.write(group).active.remove_range(keyspace, range);
            }
        }
        for (keyspace, key, value) in writes.entries {
            self.write(self.grouping.group_of(&key))
                .active
                .insert(keyspace, key, value);
        }
        for (key, value) in writes.rows {
            let group = rows::group_of(self.grouping, &key);
            self.write(group).active.insert_row(key, value);
        }
    }

    /// Each group's active buffer becomes its frozen one.
    pub(crate) fn freeze(&self) {
        let _stays_sorted = self.sums.stays_sorted();
        for group in 0..self.groups.len() {
            let mut layers = self.write(group);
            assert!(layers.frozen.is_none(), "one checkpoint at a time");
            layers.frozen = Some(Arc::new(std::mem::take(&mut layers.active)));
            self.sums.freeze_group(group);
        }
        self.sums.frozen_all();
    }

    /// What is frozen at present.
    pub(crate) fn frozen(&self) -> Frozen {
        let buffers = (0..self.groups.len())
            .filter_map(|group| self.read(group).frozen.clone())
            .collect();
        let sums = self.sums.frozen();
        Frozen { buffers, sums }
    }

    /// The engine holds what was frozen.
    pub(crate) fn drop_frozen(&self) {
        for group in 0..self.groups.len() {
            // Freed after the lock is given back.
            let frozen = self.write(group).frozen.take();
            drop(frozen);
        }
        self.sums.drop_frozen();
    }

    /// Whether a checkpoint would have nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.sums.is_untouched()
            && self
                .read_all()
                .iter()
                .all(|layers| layers.active.is_empty() && layers.frozen.is_none())
    }

    /// Roughly what all buffers take in memory.
    pub(crate) fn bytes(&self) -> usize {
        let frozen = |layers: &Layers| layers.frozen.as_ref().map_or(0, |frozen| frozen.bytes());
        self.read_all()
            .iter()
            .map(|layers| layers.active.bytes() + frozen(layers))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(position: u128) -> StorageKey {
        StorageKey::new(position, 0)
    }

    fn value(text: &'static str) -> Option<Bytes> {
        Some(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn ranges_first_then_entries() {
        let mut buffer = Buffer::default();
        buffer.insert(Keyspace::Objects, key(1), value("old"));
        buffer.insert(Keyspace::Hints, key(1), value("elsewhere"));
        buffer.remove_range(Keyspace::Objects, KeyRange::new(key(0), key(9)));
        buffer.insert(Keyspace::Objects, key(2), value("new"));
        let lookup = |position| buffer.lookup(Keyspace::Objects, &key(position));
        assert_eq!(lookup(1), Lookup::Removed);
        assert_eq!(lookup(2), Lookup::Value(Bytes::from_static(b"new")));
        assert_eq!(
            lookup(9),
            Lookup::Unknown,
            "the end is not part of the range"
        );
        assert_eq!(
            buffer.lookup(Keyspace::Hints, &key(1)),
            Lookup::Value(Bytes::from_static(b"elsewhere"))
        );
    }

    #[test]
    fn covered_ranges_and_bytes_do_not_pile_up() {
        let mut buffer = Buffer::default();
        for _ in 0..100 {
            buffer.insert(Keyspace::Objects, key(1), value("again"));
            buffer.remove_range(Keyspace::Objects, KeyRange::new(key(0), key(9)));
        }
        assert_eq!(buffer.removed().len(), 1);
        assert_eq!(buffer.bytes(), ENTRY_BYTES);
    }

    #[test]
    fn the_active_buffer_hides_the_frozen_one() {
        let grouping = Grouping {
            groups: 1,
            partition_bits: 0,
        };
        let buffers = Buffers::new(grouping, None);
        let put = |position, text| Effect {
            writes: WriteSet {
                ranges: Vec::new(),
                entries: vec![(Keyspace::Objects, key(position), value(text))],
                rows: Vec::new(),
            },
            sums: Vec::new(),
        };
        buffers.publish(0, put(1, "old"));
        buffers.publish(0, put(2, "kept"));
        buffers.freeze();
        buffers.publish(0, put(1, "new"));
        let lookup = |position| buffers.lookup(Keyspace::Objects, &key(position));
        assert_eq!(lookup(1), Lookup::Value(Bytes::from_static(b"new")));
        assert_eq!(lookup(2), Lookup::Value(Bytes::from_static(b"kept")));
        buffers.drop_frozen();
        assert_eq!(lookup(2), Lookup::Unknown);
    }
}
