//! What a batch changes about the sums, worked out by its writer.
//!
//! The writer is the one who knows what a write replaces: it reads before it writes, and nobody else writes
//! there. So the digests are made on its task, and what is left for the flusher is adding numbers.
//!
//! Changes are steps in the order of the writes. A range is not spelled out where it can be helped: the leaves
//! that lie in it as a whole are cleared, and only the ends are looked at key by key.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use ringhold_core::ring::Class;
use ringhold_core::tree::{Digest, LeafSum};

use super::SUMMED;
use super::kept::Keeping;
use super::sorting::Sorting;
use crate::key::{Change, KeyRange, StorageKey, Write};
use crate::writer::GroupWriter;

/// Rows that are read at a time at the ends of a removed range.
const KEYS_AT_ONCE: usize = 64;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SumChange {
    /// The sum of a leaf's class grows by this.
    Add {
        leaf: u64,
        class: Class,
        difference: LeafSum,
    },
    /// These leaves have no keys any more.
    Clear { leaves: Range<u64> },
    /// Nobody knows what was replaced in this leaf.
    Doubt { leaf: u64 },
}

/// The steps of a batch, in order, each with the sorting by which its writer knew the class.
pub(crate) type SumChanges = Vec<(Arc<Sorting>, SumChange)>;

/// The step for one key, if there is any: it had one value and has another. `before` is none where that
/// could not be read.
pub(crate) fn of_key(
    Keeping { summarize, shape }: &Keeping,
    sorting: &Sorting,
    key: &StorageKey,
    before: Option<Option<&Bytes>>,
    after: Option<&Bytes>,
) -> Option<SumChange> {
    let leaf = shape.leaf_of(key);
    let Some(before) = before else {
        return Some(SumChange::Doubt { leaf });
    };
    if before == after {
        return None;
    }
    let sorted = |value: Option<&Bytes>| value.and_then(|v| summarize.sorted(key, v, sorting));
    let (before, after) = (sorted(before), sorted(after));
    let class = before.or(after).map(|(class, _)| class)?;
    if after.is_some_and(|(other, _)| other != class) {
        return Some(SumChange::Doubt { leaf });
    }
    let digest = |sorted: Option<(Class, Digest)>| sorted.map(|(_, digest)| digest);
    let mut difference = LeafSum::ZERO;
    difference.change(digest(before), digest(after));
    (!difference.is_zero()).then_some(SumChange::Add {
        leaf,
        class,
        difference,
    })
}

/// The steps for a write that is about to be staged. `before` is what it replaces, where the caller knows.
///
/// None for what is not summed up, or where nobody asked for sums.
pub(crate) fn of_staging(
    writer: &GroupWriter,
    write: &Write,
    before: Option<Option<&Bytes>>,
) -> SumChanges {
    let Some(keeping) = writer.store().buffers.sums().keeping() else {
        return SumChanges::new();
    };
    if write.keyspace != SUMMED {
        return SumChanges::new();
    }
    let sorting = writer.store().buffers.sums().sorting();
    let staging = Staging {
        writer,
        keeping,
        sorting: &sorting,
    };
    let (key, after) = match &write.change {
        Change::Put { key, value } => (key, Some(value)),
        Change::Remove { key } => (key, None),
        Change::RemoveRange { range } => return dated(&sorting, staging.range(range)),
    };
    let change = match before {
        Some(before) => of_key(keeping, &sorting, key, Some(before), after),
        None => staging.key(key, after),
    };
    dated(&sorting, change)
}

fn dated(sorting: &Arc<Sorting>, changes: impl IntoIterator<Item = SumChange>) -> SumChanges {
    let changes = changes.into_iter();
    changes
        .map(|change| (Arc::clone(sorting), change))
        .collect()
}

struct Staging<'a> {
    writer: &'a GroupWriter,
    keeping: &'a Keeping,
    sorting: &'a Sorting,
}

impl Staging<'_> {
    /// The step for a key that has what the writer reads.
    fn key(&self, key: &StorageKey, after: Option<&Bytes>) -> Option<SumChange> {
        let before = self.writer.read(SUMMED, key).ok();
        let before = before.as_ref().map(Option::as_ref);
        of_key(self.keeping, self.sorting, key, before, after)
    }

    /// The steps for a range that is emptied.
    fn range(&self, range: &KeyRange) -> Vec<SumChange> {
        if range.is_empty() {
            return Vec::new();
        }
        let shape = self.keeping.shape;
        let leaves = shape.within(range);
        if leaves.is_empty() {
            return self.keys(range);
        }
        let before = KeyRange::new(range.start, shape.start_of(leaves.start));
        let mut changes = self.keys(&before);
        if leaves.end < shape.leaves().end {
            let start = shape.start_of(leaves.end);
            let end = range.end;
            changes.append(&mut self.keys(&KeyRange { start, end }));
        }
        changes.push(SumChange::Clear { leaves });
        changes
    }

    /// The steps for the keys of a range, one by one.
    fn keys(&self, range: &KeyRange) -> Vec<SumChange> {
        let mut keys: BTreeSet<StorageKey> =
            self.writer.own_keys(SUMMED, range).into_iter().collect();
        let mut rest = *range;
        while !rest.is_empty() {
            let last = match self.writer.store().range(SUMMED, &rest, KEYS_AT_ONCE) {
                Ok(rows) => {
                    let last = rows.last().map(|(key, _)| *key);
                    keys.extend(rows.into_iter().map(|(key, _)| key));
                    last
                }
                // Whatever else is there cannot be told from what is damaged.
                Err(_) => return self.doubts(range),
            };
            let Some(next) = last.and_then(|last| last.successor()) else {
                break;
            };
            rest.start = next;
        }
        keys.iter().filter_map(|key| self.key(key, None)).collect()
    }

    fn doubts(&self, range: &KeyRange) -> Vec<SumChange> {
        let shape = self.keeping.shape;
        let last = range.last().unwrap_or(range.start);
        let leaves = shape.leaf_of(&range.start)..=shape.leaf_of(&last);
        leaves.map(|leaf| SumChange::Doubt { leaf }).collect()
    }
}
