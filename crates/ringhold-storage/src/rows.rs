//! Rows: what an index says of the objects, sorted by keys of any length.
//!
//! A row follows from an object and from nothing else: the host says which rows a value has
//! ([`Summarize::rows`](crate::Summarize::rows)). So nobody writes rows. Whoever stages an object stages the
//! difference between the rows of what was there and of what comes, in the same batch; rows move, are merged and
//! go with their objects without anybody thinking of them, and after a crash both are there or neither is. A write that changes
//! no row (another value under the same entries) adds nothing to the log.
//!
//! ```text
//! row key = partition, u32 big-endian, as the top bits of a position ‖ what the host likes, up to 500 bytes
//! ```
//!
//! The partition comes first, so rows lie in the writer group of their objects and one partition's rows are one
//! contiguous range. A key is cut by the host where it would be longer; what it stood for is in the row's value then.
//!
//! Where nobody can tell which rows the old value had (it is damaged), they stay behind. So a row may be too much,
//! never too few of those of an object that can be read, and [`GroupWriter::restage_rows`](crate::GroupWriter::restage_rows)
//! sets right what a walk has found.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;

use crate::buffer::{Buffer, Layers};
use crate::engine::Engine;
use crate::error::ReadError;
use crate::key::Grouping;
use crate::seal::{seal_row, unseal_row};

/// The longest key of a row: what LMDB takes, less a little.
pub const ROW_KEY_BYTES_MAX: usize = 504;

/// The bytes of the partition in front.
const PARTITION_BYTES: usize = 4;

/// Where a row lies.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey(Bytes);

impl RowKey {
    /// The key of a row in the partition of a position; `tail` is the host's.
    ///
    /// # Panics
    ///
    /// If that is longer than [`ROW_KEY_BYTES_MAX`].
    #[must_use]
    pub fn new(position: u128, partition_bits: u32, tail: &[u8]) -> Self {
        let length = PARTITION_BYTES + tail.len();
        assert!(length <= ROW_KEY_BYTES_MAX, "the host cuts what is longer");
        let partition = position.checked_shr(128 - partition_bits).unwrap_or(0);
        let partition = u32::try_from(partition).expect("a ring has at most 2^32 partitions");
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(&first_of(partition, partition_bits));
        bytes.extend_from_slice(tail);
        Self(bytes.into())
    }

    /// What the host put behind the partition.
    #[must_use]
    pub fn tail(&self) -> Bytes {
        self.0.slice(PARTITION_BYTES..)
    }

    /// All of it.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The key that these bytes are; none if they are too short or too long.
    #[must_use]
    pub fn from_bytes(bytes: Bytes) -> Option<Self> {
        (PARTITION_BYTES..=ROW_KEY_BYTES_MAX)
            .contains(&bytes.len())
            .then_some(Self(bytes))
    }

    /// The partition that it lies in, of a ring with `2^partition_bits` of them.
    #[must_use]
    pub fn partition(&self, partition_bits: u32) -> u32 {
        self.top().checked_shr(32 - partition_bits).unwrap_or(0)
    }

    fn top(&self) -> u32 {
        let (first, _) = self.0.split_at(PARTITION_BYTES);
        u32::from_be_bytes(first.try_into().expect("split there"))
    }

    fn group(&self, grouping: Grouping) -> usize {
        grouping.group_of_top(self.top())
    }
}

impl fmt::Debug for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row {:?}", self.0)
    }
}

fn first_of(partition: u32, partition_bits: u32) -> [u8; PARTITION_BYTES] {
    let shift = 32 - partition_bits;
    partition.checked_shl(shift).unwrap_or(0).to_be_bytes()
}

/// A run of rows of one partition: from `start` up to but not including `end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowRange {
    /// The first key that belongs to it.
    pub start: RowKey,
    /// The first bytes after it; none where it reaches to the end of the store.
    pub end: Option<Bytes>,
}

impl RowRange {
    /// The rows of a partition whose tails are at least `from` and, where there is one, below `to`.
    ///
    /// # Panics
    ///
    /// If the ring has no such partition, or `from` is too long for a key.
    #[must_use]
    pub fn new(partition: u32, partition_bits: u32, from: &[u8], to: Option<&[u8]>) -> Self {
        let position = u128::from(partition)
            .checked_shl(128 - partition_bits)
            .unwrap_or(0);
        let start = RowKey::new(position, partition_bits, from);
        let end = match to {
            Some(to) => Some([&first_of(partition, partition_bits), to].concat()),
            None => partition
                .checked_add(1)
                .filter(|next| u64::from(*next) < 1 << partition_bits)
                .map(|next| first_of(next, partition_bits).to_vec()),
        };
        Self {
            start,
            end: end.map(Into::into),
        }
    }

    /// One row and no other.
    #[must_use]
    pub fn of_one(row: &RowKey) -> Self {
        Self {
            start: row.clone(),
            end: Some([row.bytes(), &[0][..]].concat().into()),
        }
    }

    /// What of it is before a row.
    #[must_use]
    pub fn before(&self, row: &RowKey) -> Self {
        Self {
            start: self.start.clone(),
            end: Some(row.bytes().clone()),
        }
    }

    /// Whether a key belongs to it.
    #[must_use]
    pub fn contains(&self, key: &RowKey) -> bool {
        *key >= self.start && self.end.as_ref().is_none_or(|end| key.0 < *end)
    }
}

/// How the rows of one object differ from those that it should have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowFaults {
    /// Rows that are not there, say something else, or can't be read.
    pub missing: u64,
    /// Rows that it does not have.
    pub strange: u64,
}

impl RowFaults {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// Rows with their values; a value that is none is a row that goes.
pub type RowChanges = Vec<(RowKey, Option<Bytes>)>;

/// The group of a row's writer.
pub(crate) fn group_of(grouping: Grouping, key: &RowKey) -> usize {
    key.group(grouping)
}

/// What becomes of rows when those of `before` give way to those of `after`; both in any order.
pub(crate) fn difference(before: Vec<(RowKey, Bytes)>, after: Vec<(RowKey, Bytes)>) -> RowChanges {
    let mut changes: BTreeMap<RowKey, Option<Bytes>> = BTreeMap::new();
    let before: BTreeMap<RowKey, Bytes> = before.into_iter().collect();
    let after: BTreeMap<RowKey, Bytes> = after.into_iter().collect();
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        changes.insert(key.clone(), None);
    }
    for (key, value) in after {
        if before.get(&key) != Some(&value) {
            changes.insert(key, Some(value));
        }
    }
    changes.into_iter().collect()
}

/// The first `limit` rows of a range, in order: what a group's buffers say ([`overlay`]), and the engine below it.
pub(crate) fn read(
    known: BTreeMap<RowKey, Option<Bytes>>,
    engine: &dyn Engine,
    range: &RowRange,
    limit: usize,
) -> Result<Vec<(RowKey, Bytes)>, ReadError> {
    let mut buffered = known.into_iter().peekable();
    let mut rows = Vec::new();
    let mut rest = range.clone();
    while rows.len() < limit {
        let page = engine.rows(&rest, limit).map_err(ReadError::Engine)?;
        let last = page.last().filter(|_| page.len() == limit);
        let next = last.map(|(key, _)| successor(key));
        for (key, sealed) in page {
            while let Some(row) = buffered.next_if(|(buffered, _)| *buffered < key) {
                push(&mut rows, limit, row)?;
            }
            match buffered.next_if(|(buffered, _)| *buffered == key) {
                Some(row) => push(&mut rows, limit, row)?,
                None => push(&mut rows, limit, (key, Some(sealed)))?,
            }
        }
        match next.and_then(RowKey::from_bytes) {
            Some(next) => rest.start = next,
            None => break,
        }
    }
    for row in buffered {
        push(&mut rows, limit, row)?;
    }
    Ok(rows)
}

/// The first bytes behind a key: a key of the greatest length has none of its own that a range may start with, so the last byte
/// that can grow does.
fn successor(key: &RowKey) -> Bytes {
    let mut bytes = key.0.to_vec();
    if bytes.len() < ROW_KEY_BYTES_MAX {
        bytes.push(0);
        return bytes.into();
    }
    while bytes.pop_if(|last| *last == u8::MAX).is_some() {}
    if let Some(last) = bytes.last_mut() {
        *last += 1;
    }
    bytes.into()
}

/// What the buffers of a group know of the first rows of a range: its entries up to the `limit`-th that is live.
pub(crate) fn overlay(
    layers: &Layers,
    range: &RowRange,
    limit: usize,
) -> BTreeMap<RowKey, Option<Bytes>> {
    let none = Buffer::default();
    let frozen = layers.frozen.as_deref().unwrap_or(&none);
    let mut newer = layers.active.rows(range).peekable();
    let mut older = frozen.rows(range).peekable();
    let mut known = BTreeMap::new();
    let mut live = 0;
    while live < limit {
        let from_older = match (newer.peek(), older.peek()) {
            (None, None) => break,
            (Some((new, _)), Some((old, _))) => old < new,
            (None, Some(_)) => true,
            (Some(_), None) => false,
        };
        let next = if from_older {
            older.next()
        } else {
            newer.next()
        };
        let (key, value) = next.expect("peeked");
        if !from_older && older.peek().is_some_and(|(old, _)| *old == key) {
            older.next();
        }
        live += usize::from(value.is_some());
        known.insert(key.clone(), value.cloned());
    }
    known
}

fn push(
    rows: &mut Vec<(RowKey, Bytes)>,
    limit: usize,
    (key, sealed): (RowKey, Option<Bytes>),
) -> Result<(), ReadError> {
    let Some(sealed) = sealed.filter(|_| rows.len() < limit) else {
        return Ok(());
    };
    match unseal_row(key.bytes(), &sealed) {
        Some(value) => rows.push((key, value)),
        None => return Err(ReadError::CorruptRow { key }),
    }
    Ok(())
}

/// A row's value as it lies in buffers and engines.
pub(crate) fn sealed(key: &RowKey, value: &[u8]) -> Bytes {
    seal_row(key.bytes(), value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(position: u128, tail: &str) -> RowKey {
        RowKey::new(position, 8, tail.as_bytes())
    }

    #[test]
    fn rows_lie_with_the_partition_of_their_objects() {
        let grouping = Grouping {
            groups: 3,
            partition_bits: 8,
        };
        for partition in [0_u32, 1, 5, 255] {
            let position = u128::from(partition) << 120 | 77;
            let key = row(position, "a");
            let object = crate::key::StorageKey::new(position, 1);
            assert_eq!(group_of(grouping, &key), grouping.group_of(&object));
            let range = RowRange::new(partition, 8, b"", None);
            assert!(range.contains(&key), "{partition}");
            assert_eq!(range.end.is_none(), partition == 255);
            assert!(!range.contains(&row(position ^ (1 << 120), "a")));
        }
    }

    #[test]
    fn only_what_changes_is_written() {
        let value = |text: &'static str| Bytes::from_static(text.as_bytes());
        let before = vec![(row(0, "kept"), value("")), (row(0, "gone"), value(""))];
        let after = vec![(row(0, "kept"), value("")), (row(0, "new"), value("1"))];
        let changes = difference(before.clone(), after);
        let expected = vec![(row(0, "gone"), None), (row(0, "new"), Some(value("1")))];
        assert_eq!(changes, expected);
        assert_eq!(difference(before.clone(), before), Vec::new());
    }

    #[test]
    fn nothing_lies_between_a_key_and_its_successor() {
        let longest = RowKey::new(0, 8, &[u8::MAX; ROW_KEY_BYTES_MAX - 4]);
        for key in [row(0, ""), row(0, "a"), longest] {
            let next = successor(&key);
            assert!(next > key.0);
            assert!(next.len() <= ROW_KEY_BYTES_MAX);
        }
    }
}
