//! A checkpoint in parts, each a batch of the engine.
//!
//! One batch of everything would be simplest, and was: the engine then writes hundreds of megabytes and flushes them at once,
//! and every flush of the log waits behind that. With parts the host can leave time between them.
//!
//! What has to be in one batch is what lies in one partition: objects, the index rows that follow from them, the pages of their leaf
//! sums, and removed ranges. A part is a run of partitions. After a crash in between, some partitions are as of the
//! freeze and others older; the record still names the old segments, so the log brings all of them to the same point, and
//! sums are compared key by key with what the engine has (see `sums`).
//!
//! What concerns the whole store makes it one part: removed ranges of several partitions, and sums that are sorted or written anew, since
//! their head speaks of all pages.

use crate::buffer::Frozen;
use crate::engine::Batch;
use crate::key::{KeyRange, StorageKey};
use crate::meta::{META_PLACE, StoreMeta};
use crate::seal::seal;

/// How large parts are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PartLayout {
    /// log2 of the number of partitions.
    pub(crate) partition_bits: u32,
    /// About so much of what was buffered is a part, in bytes; more where a partition has more.
    pub(crate) part_bytes: u64,
}

impl PartLayout {
    /// Everything in one part.
    pub(crate) const WHOLE: Self = Self {
        partition_bits: 0,
        part_bytes: u64::MAX,
    };
}

/// The batches that bring what is frozen and the store record into the engine, the record in the last one.
pub(crate) fn parts_of(frozen: &Frozen, meta: &StoreMeta, layout: PartLayout) -> Vec<Batch> {
    let bytes: usize = frozen.buffers.iter().map(|buffer| buffer.bytes()).sum();
    let batch = batch_of(frozen);
    let mut parts = match frozen.sums.are_as_before() {
        true => split(batch, layout, u64::try_from(bytes).unwrap_or(u64::MAX)),
        false => vec![batch],
    };
    #[cfg(feature = "known-bad")]
    known_bad_order(&mut parts);
    let (keyspace, key) = META_PLACE;
    let record = (keyspace, key, Some(seal(keyspace, &key, &meta.encode())));
    let last = parts.last_mut().expect("at least one part");
    let place = last
        .changes
        .partition_point(|(keyspace, key, _)| (*keyspace, *key) < META_PLACE);
    last.changes.insert(place, record);
    #[cfg(feature = "known-bad")]
    known_bad_record(&mut parts);
    assert!(
        parts.iter().all(Batch::is_sorted),
        "no key is in two groups"
    );
    parts
}

/// One sorted batch of all that is frozen, with its leaf sums.
fn batch_of(frozen: &Frozen) -> Batch {
    let mut batch = Batch::default();
    for buffer in &frozen.buffers {
        batch.removed.extend_from_slice(buffer.removed());
        let entries = buffer
            .entries()
            .map(|((keyspace, key), value)| (*keyspace, *key, value.cloned()));
        batch.changes.extend(entries);
        let rows = buffer.all_rows().iter();
        batch
            .rows
            .extend(rows.map(|(key, value)| (key.clone(), value.clone())));
    }
    frozen.sums.put_into(&mut batch);
    batch
        .changes
        .sort_unstable_by_key(|(keyspace, key, _)| (*keyspace, *key));
    batch.rows.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    batch
}

/// Runs of partitions, at least one; what does not fit between their bounds keeps the batch whole.
fn split(batch: Batch, layout: PartLayout, bytes: u64) -> Vec<Batch> {
    let partitions = 1_u128 << layout.partition_bits;
    let wanted = u128::from(bytes.div_ceil(layout.part_bytes.max(1)));
    let count = wanted.clamp(1, partitions);
    let part_of = |partition: u128| {
        usize::try_from(partition * count / partitions).expect("a part for each so many bytes")
    };
    let of_key = |key: &StorageKey| part_of(key.partition(layout.partition_bits));
    let of_range = |range: &KeyRange| {
        let last = range.last()?;
        (of_key(&range.start) == of_key(&last)).then(|| of_key(&last))
    };
    if batch
        .removed
        .iter()
        .any(|(_, range)| of_range(range).is_none())
    {
        return vec![batch];
    }
    let mut parts = vec![Batch::default(); part_of(partitions - 1) + 1];
    for (keyspace, range) in batch.removed {
        let part = of_range(&range).expect("looked at above");
        parts[part].removed.push((keyspace, range));
    }
    for change in batch.changes {
        parts[of_key(&change.1)].changes.push(change);
    }
    for row in batch.rows {
        let part = part_of(u128::from(row.0.partition(layout.partition_bits)));
        parts[part].rows.push(row);
    }
    parts.retain(|part| !part.is_empty());
    if parts.is_empty() {
        parts.push(Batch::default());
    }
    parts
}

/// Leaf sums by themselves, before everything else.
#[cfg(feature = "known-bad")]
fn known_bad_order(parts: &mut Vec<Batch>) {
    use crate::key::Keyspace;
    use crate::known_bad::{Variant, is};
    if !is(Variant::TreeOutsideBatch) {
        return;
    }
    let mut first = Batch::default();
    for part in parts.iter_mut() {
        let trees = part
            .removed
            .extract_if(.., |(of, _)| *of == Keyspace::Trees);
        first.removed.extend(trees);
        let trees = part
            .changes
            .extract_if(.., |(of, _, _)| *of == Keyspace::Trees);
        first.changes.extend(trees);
    }
    parts.insert(0, first);
}

/// The record with the first part.
#[cfg(feature = "known-bad")]
fn known_bad_record(parts: &mut [Batch]) {
    use crate::known_bad::{Variant, is};
    if is(Variant::RecordWithFirstPart) {
        parts.reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Keyspace;
    use crate::rows::RowKey;
    use bytes::Bytes;

    const LAYOUT: PartLayout = PartLayout {
        partition_bits: 3,
        part_bytes: 10,
    };

    fn change(partition: u128, low: u128) -> (Keyspace, StorageKey, Option<Bytes>) {
        let key = StorageKey::new((partition << 125) + low, 7);
        (Keyspace::Objects, key, Some(Bytes::from_static(b"value")))
    }

    fn batch() -> Batch {
        let rows = (0..8_u128).map(|partition| {
            let key = RowKey::new(partition << 125, 3, b"row");
            (key, Some(Bytes::new()))
        });
        Batch {
            removed: vec![(Keyspace::Hints, KeyRange::of_partition(2, 3))],
            changes: (0..8)
                .flat_map(|partition| [change(partition, 0), change(partition, 9)])
                .collect(),
            rows: rows.collect(),
        }
    }

    #[test]
    fn parts_are_runs_of_whole_partitions() {
        for (bytes, parts) in [
            (0, 1),
            (10, 1),
            (11, 2),
            (40, 4),
            (50, 5),
            (80, 8),
            (9_999, 8),
        ] {
            let split = split(batch(), LAYOUT, bytes);
            assert_eq!(split.len(), parts, "of {bytes} bytes");
            let mut owners = std::collections::BTreeMap::new();
            for (at, part) in split.iter().enumerate() {
                assert!(part.is_sorted());
                let of_objects = part.changes.iter().map(|(_, key, _)| key.partition(3));
                let of_rows = part
                    .rows
                    .iter()
                    .map(|(key, _)| u128::from(key.partition(3)));
                let of_ranges = part
                    .removed
                    .iter()
                    .map(|(_, range)| range.start.partition(3));
                for partition in of_objects.chain(of_rows).chain(of_ranges) {
                    assert_eq!(*owners.entry(partition).or_insert(at), at);
                }
            }
            assert_eq!(owners.len(), 8);
            assert!(owners.values().is_sorted(), "in the order of the ring");
            let count = |of: fn(&Batch) -> usize| split.iter().map(of).sum::<usize>();
            assert_eq!(count(|part| part.changes.len()), 16);
            assert_eq!(count(|part| part.rows.len()), 8);
            assert_eq!(count(|part| part.removed.len()), 1);
        }
    }

    #[test]
    fn a_range_over_several_parts_keeps_it_whole() {
        let mut batch = batch();
        let across = KeyRange::new(change(1, 5).1, change(2, 5).1);
        batch.removed.push((Keyspace::Objects, across));
        assert_eq!(split(batch.clone(), LAYOUT, 80).len(), 1);
        assert_eq!(
            split(batch, LAYOUT, 20).len(),
            2,
            "1 and 2 are in one part there"
        );
    }

    #[test]
    fn nothing_is_a_part_too() {
        assert_eq!(split(Batch::default(), LAYOUT, 80).len(), 1);
    }
}
