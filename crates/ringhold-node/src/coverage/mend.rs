//! The slow walk over index rows: are they those of the objects?
//!
//! Rows follow every write of their object, in its batch. What can part them is damage: an object that can't be read
//! leaves its rows when it is replaced, a row that can't be read is missing, and a log that lost a record has lost what that changed.
//! So at the scrub's pace a few rows of a partition are held against their objects, and a few objects against their rows, and what
//! differs is staged again by the writer of the key, from the object as it is then.

use super::rows::rows_of;
use crate::env::{Environment, alive_after};
#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::node::Node;
use bytes::Bytes;
use ringhold_core::health::Work;
use ringhold_core::index::Row;
use ringhold_storage::{KeyRange, Keyspace, ReadError, RowKey, RowRange, StorageKey};
use ringhold_wire::message::ObjectName;
use ringhold_wire::record::Record;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

/// Rows, and objects, that are looked at in one turn.
const AT_ONCE: usize = 64;

/// What is to be staged again: for each object, the rows that may not be its.
pub(crate) type Doubtful = BTreeMap<StorageKey, Vec<RowKey>>;

/// Walks for as long as the node lives, a step each so many microseconds; not at all if 0.
pub(crate) async fn run(node: Weak<Node>, environment: Arc<dyn Environment>, pause_us: u64) {
    #[cfg(feature = "known-bad")]
    if known_bad::is(Variant::NeverScrubs) {
        return;
    }
    if pause_us == 0 {
        return;
    }
    let mut walk = Walk::default();
    while let Some(node) = alive_after(&node, &*environment, pause_us).await {
        let _turn = node.background.turn(Work::Scrub).await;
        let doubtful = walk.step(&node);
        if doubtful.is_empty() {
            continue;
        }
        tracing::warn!(
            objects = doubtful.len(),
            "index rows were not those of their objects"
        );
        node.metrics.rows_set_right.add(doubtful.len() as u64);
        for (key, rows) in doubtful {
            // What fails now is found again.
            node.replica.restage(key, rows).await.ok();
        }
    }
}

/// Where the walk is: in a partition's objects, and in its rows.
#[derive(Default)]
struct Walk {
    partition: u32,
    objects: Option<KeyRange>,
    rows: Option<RowRange>,
}

impl Walk {
    /// Looks at a few more; a partition after the other, for ever.
    fn step(&mut self, node: &Node) -> Doubtful {
        let mut doubtful = Doubtful::new();
        let count = node.ring().partition_count();
        if self.objects.is_none() && self.rows.is_none() {
            self.partition = (self.partition + 1) % count.count();
            self.objects = Some(KeyRange::of_partition(self.partition, count.bits()));
            self.rows = Some(RowRange::new(self.partition, count.bits(), b"", None));
        }
        if let Some(range) = self.objects.take() {
            self.objects = node.rows_lacking(&range, count.bits(), &mut doubtful);
        } else if let Some(range) = self.rows.take() {
            self.rows = node.rows_too_many(&range, count.bits(), &mut doubtful);
        }
        doubtful
    }
}

impl Node {
    /// Objects that lack rows, or whose rows can't be read. Returns what is left of the range.
    fn rows_lacking(
        &self,
        range: &KeyRange,
        bits: u32,
        doubtful: &mut Doubtful,
    ) -> Option<KeyRange> {
        let page = self
            .store()
            .readable(Keyspace::Objects, range, AT_ONCE)
            .ok()?;
        for (key, value) in page.rows {
            let Ok(record) = Record::decode(value) else {
                continue;
            };
            let rows = rows_of(&key, &record, bits);
            if rows.iter().any(|(row, value)| !self.has_row(row, value)) {
                doubtful.entry(key).or_default();
            }
        }
        let next = page.next.filter(|next| range.contains(next))?;
        Some(KeyRange {
            start: next,
            end: range.end,
        })
    }

    fn has_row(&self, row: &RowKey, value: &[u8]) -> bool {
        let range = RowRange {
            start: row.clone(),
            end: None,
        };
        let there = self.store().rows(&range, 1);
        there.is_ok_and(|rows| {
            rows.first()
                .is_some_and(|(key, found)| key == row && found == value)
        })
    }

    /// Rows that their objects don't have. Returns what is left of the range.
    fn rows_too_many(
        &self,
        range: &RowRange,
        bits: u32,
        doubtful: &mut Doubtful,
    ) -> Option<RowRange> {
        let (rows, damaged) = match self.store().rows(range, AT_ONCE) {
            Ok(rows) => (rows, None),
            Err(ReadError::CorruptRow { key }) => (Vec::new(), Some(key)),
            Err(_) => return None,
        };
        let is_full = rows.len() == AT_ONCE;
        let last = rows.last().map(|(key, _)| key.clone());
        if let Some(damaged) = &damaged
            && let Some(key) = self.object_of(&damaged.tail())
        {
            doubtful.entry(key).or_default().push(damaged.clone());
        }
        for (row, value) in rows {
            let whole = super::rows::read(&row, value.clone(), false, 0);
            let Ok(Some(whole)) = whole else { continue };
            let Some(key) = self.object_of(&whole) else {
                continue;
            };
            let record = match self.replica.record_at(key) {
                Ok(record) => record,
                // The object is damaged: it is brought back by others, and the walk comes again.
                Err(_) => continue,
            };
            let own = record.map_or_else(Vec::new, |record| rows_of(&key, &record, bits));
            if !own.iter().any(|(own, _)| *own == row) {
                doubtful.entry(key).or_default().push(row);
            }
        }
        let behind = damaged.or(last.filter(|_| is_full))?;
        let next = [&behind.tail()[..], &[0]].concat();
        Some(RowRange {
            start: RowRange::new(behind.partition(bits), bits, &next, None).start,
            end: range.end.clone(),
        })
    }

    /// Where the object of a row lies.
    fn object_of(&self, whole: &Bytes) -> Option<StorageKey> {
        let Row {
            bucket_type,
            bucket,
            key,
            ..
        } = Row::read(whole)?;
        let name = ObjectName {
            bucket_type,
            bucket,
            key,
        };
        Some(self.replica.key_of(&name))
    }
}
