//! X1: the index rows in a store are those of the objects in it, after any crash.

use super::Violation;
use crate::books::Books;
use ringhold_core::index::Row;
use ringhold_core::ring::PartitionCount;
use ringhold_core::tree::TreeKey;
use ringhold_node::trees::RecordDigests;
use ringhold_storage::{KeyRange, Keyspace, RowRange, Store, Summarize};
use ringhold_wire::message::ObjectName;
use std::collections::BTreeMap;

/// More than a run has.
const ALL: usize = 100_000;

/// A record that a disk lost or damaged behind the store's back leaves its rows until the scrub comes by.
///
/// # Errors
/// If a row is missing, or is there and no object has it.
pub fn check(books: &Books, node: usize, store: &Store, partitions: u32) -> Result<(), Violation> {
    let count = PartitionCount::new(partitions).expect("plans have powers of two");
    let rows_of = RecordDigests::new(TreeKey::new(&[0; 32]), count);
    let Ok(objects) = store.range(Keyspace::Objects, &KeyRange::ALL, ALL) else {
        return Ok(());
    };
    let mut due = BTreeMap::new();
    for (key, value) in objects {
        due.extend(rows_of.rows(&key, &value));
    }
    let mut there = BTreeMap::new();
    for partition in 0..partitions {
        let range = RowRange::new(partition, count.bits(), b"", None);
        let Ok(rows) = store.rows(&range, ALL) else {
            return Ok(());
        };
        there.extend(rows);
    }
    let strange = there
        .iter()
        .find(|(row, value)| due.get(*row) != Some(*value));
    let missing = due.iter().find(|(row, _)| !there.contains_key(*row));
    for (what, row) in [("keeps", strange), ("lacks", missing)] {
        let Some((row, _)) = row else { continue };
        if is_excused(books, node, &row.tail()) {
            continue;
        }
        return Err(Violation::new(
            "X1",
            format!("n{node} {what} an index row against its objects: {row:?}"),
        ));
    }
    Ok(())
}

fn is_excused(books: &Books, node: usize, row: &bytes::Bytes) -> bool {
    let Some(Row {
        bucket_type,
        bucket,
        key,
        ..
    }) = Row::read(row)
    else {
        return false;
    };
    let name = ObjectName {
        bucket_type,
        bucket,
        key,
    };
    let number = books.key_of(&name);
    let mut losses = books.losses.iter();
    losses.any(|loss| loss.node == node && loss.key.is_some() && loss.key == number)
}
