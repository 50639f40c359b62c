//! X1: the index rows in a store are those of the objects in it, after any crash.

use super::Violation;
use crate::books::Books;
use ringhold_core::index::Row;
use ringhold_core::ring::PartitionCount;
use ringhold_core::tree::TreeKey;
use ringhold_node::trees::RecordDigests;
use ringhold_storage::{KeyRange, Keyspace, ReadError, RowKey, RowRange, Store, Summarize};
use ringhold_wire::message::ObjectName;
use std::collections::{BTreeMap, BTreeSet};

/// More than a run has.
const ALL: usize = 100_000;

/// A record that a disk lost or damaged behind the store's back leaves its rows until the scrub comes by.
///
/// # Errors
/// If a row is missing, or is there and no object has it.
pub fn check(books: &Books, node: usize, store: &Store, partitions: u32) -> Result<(), Violation> {
    let Some(differences) = differences(store, partitions) else {
        return Ok(());
    };
    for (row, what) in differences {
        let whose = name_in(&row);
        if whose.is_some_and(|name| is_excused(books, node, &name)) {
            continue;
        }
        return Err(Violation::new(
            "X1",
            format!("n{node} {what} an index row against its objects: {row:?}"),
        ));
    }
    Ok(())
}

/// The objects whose rows in a store are not theirs, or can't be read; none if the objects can't be read.
#[must_use]
pub fn differing(store: &Store, partitions: u32) -> Option<BTreeSet<ObjectName>> {
    let differences = differences(store, partitions)?;
    Some(differences.keys().filter_map(name_in).collect())
}

/// Rows that differ, with what the store does against its objects.
fn differences(store: &Store, partitions: u32) -> Option<BTreeMap<RowKey, &'static str>> {
    let count = PartitionCount::new(partitions).expect("plans have powers of two");
    let rows_of = RecordDigests::new(TreeKey::new(&[0; 32]), count);
    let objects = store.range(Keyspace::Objects, &KeyRange::ALL, ALL).ok()?;
    let mut due = BTreeMap::new();
    for (key, value) in objects {
        due.extend(rows_of.rows(&key, &value));
    }
    let mut differing = BTreeMap::new();
    for partition in 0..partitions {
        let mut rest = RowRange::new(partition, count.bits(), b"", None);
        loop {
            let (rows, damaged) = match store.rows(&rest, ALL) {
                Ok(rows) => (rows, None),
                Err(ReadError::CorruptRow { key }) => {
                    (store.rows(&rest.before(&key), ALL).ok()?, Some(key))
                }
                Err(_) => return None,
            };
            for (row, value) in rows {
                if due.remove(&row) != Some(value) {
                    differing.insert(row, "keeps");
                }
            }
            let Some(damaged) = damaged else { break };
            let behind = [&damaged.tail()[..], &[0]].concat();
            rest = RowRange::new(partition, count.bits(), &behind, None);
            due.remove(&damaged);
            differing.insert(damaged, "can't read");
        }
    }
    differing.extend(due.into_keys().map(|row| (row, "lacks")));
    Some(differing)
}

fn name_in(row: &RowKey) -> Option<ObjectName> {
    let Row {
        bucket_type,
        bucket,
        key,
        ..
    } = Row::read(&row.tail())?;
    Some(ObjectName {
        bucket_type,
        bucket,
        key,
    })
}

fn is_excused(books: &Books, node: usize, name: &ObjectName) -> bool {
    let number = books.key_of(name);
    let mut losses = books.losses.iter();
    losses.any(|loss| loss.node == node && loss.key.is_some() && loss.key == number)
}
