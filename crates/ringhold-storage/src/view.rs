//! Reading a range through buffers and engine as if they were one sorted map.
//!
//! The buffers are looked at first and the engine afterwards, because rows only ever move from
//! buffer to engine: the other way round, a row that moves in between would be missed. What the
//! buffers say about a key wins over the engine.
//!
//! A page of `limit` rows must not cost a walk over all that is buffered behind it. So each group
//! gives only its entries up to its `limit`-th live one. Behind that the overlay is incomplete, but
//! with as many live rows before it the page is full there at the latest.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::buffer::Layers;
use crate::engine::Engine;
use crate::error::ReadError;
use crate::key::{KeyRange, Keyspace, StorageKey};
use crate::meta::META_PLACE;
use crate::seal::unseal;

/// What the buffers say about the first part of a range.
pub(crate) struct Overlay {
    keyspace: Keyspace,
    range: KeyRange,
    limit: usize,
    entries: BTreeMap<StorageKey, Option<Bytes>>,
    removed: Vec<KeyRange>,
}

impl Overlay {
    pub(crate) fn new(keyspace: Keyspace, range: KeyRange, limit: usize) -> Self {
        let (entries, removed) = (BTreeMap::new(), Vec::new());
        Self {
            keyspace,
            range,
            limit,
            entries,
            removed,
        }
    }

    /// Adds what one group knows.
    pub(crate) fn add(&mut self, layers: &Layers) {
        let frozen = layers.frozen.as_deref();
        for buffer in [Some(&layers.active), frozen].into_iter().flatten() {
            let own = buffer
                .removed()
                .iter()
                .filter(|(keyspace, _)| *keyspace == self.keyspace);
            self.removed.extend(own.map(|(_, range)| *range));
        }
        let mut newer = layers.active.range(self.keyspace, &self.range).peekable();
        let mut older = frozen
            .into_iter()
            .flat_map(|frozen| frozen.range(self.keyspace, &self.range))
            .peekable();
        let mut live = 0;
        while live < self.limit {
            let from_older = match (newer.peek(), older.peek()) {
                (None, None) => return,
                (Some((new, _)), Some((old, _))) => old < new,
                (None, Some(_)) => true,
                (Some(_), None) => false,
            };
            let (key, value) = if from_older {
                older.next()
            } else {
                newer.next()
            }
            .expect("peeked");
            if from_older && layers.active.removes(self.keyspace, key) {
                continue;
            }
            if !from_older && older.peek().is_some_and(|(old, _)| *old == key) {
                older.next();
            }
            live += usize::from(value.is_some());
            self.entries.insert(*key, value.cloned());
        }
    }

    /// What was added: entries, and ranges of the engine that are hidden.
    pub(crate) fn into_parts(self) -> (BTreeMap<StorageKey, Option<Bytes>>, Vec<KeyRange>) {
        (self.entries, self.removed)
    }

    /// The first `limit` rows of the range.
    pub(crate) fn read(
        mut self,
        engine: &dyn Engine,
    ) -> Result<Vec<(StorageKey, Bytes)>, ReadError> {
        let mut buffered = std::mem::take(&mut self.entries).into_iter().peekable();
        let mut rows = Vec::new();
        let mut rest = self.range;
        while rows.len() < self.limit {
            let page = engine
                .range(self.keyspace, &rest, self.limit)
                .map_err(ReadError::Engine)?;
            let last = page
                .last()
                .map(|(key, _)| *key)
                .filter(|_| page.len() == self.limit);
            for (key, sealed) in page {
                while let Some((key, value)) = buffered.next_if(|(buffered, _)| *buffered < key) {
                    self.push(&mut rows, key, value)?;
                }
                match buffered.next_if(|(buffered, _)| *buffered == key) {
                    Some((key, value)) => self.push(&mut rows, key, value)?,
                    None if self.removed.iter().any(|range| range.contains(&key)) => {}
                    None => self.push(&mut rows, key, Some(sealed))?,
                }
            }
            let Some(next) = last.and_then(|last| last.successor()) else {
                break;
            };
            rest.start = next;
        }
        for (key, value) in buffered {
            self.push(&mut rows, key, value)?;
        }
        Ok(rows)
    }

    /// Adds a row if it is live, the page is not full, and it is not the store's own record.
    fn push(
        &self,
        rows: &mut Vec<(StorageKey, Bytes)>,
        key: StorageKey,
        sealed: Option<Bytes>,
    ) -> Result<(), ReadError> {
        let Some(sealed) =
            sealed.filter(|_| rows.len() < self.limit && (self.keyspace, key) != META_PLACE)
        else {
            return Ok(());
        };
        rows.push((key, opened(self.keyspace, key, &sealed)?));
        Ok(())
    }
}

/// The value under a seal, or the error for a damaged one.
pub(crate) fn opened(
    keyspace: Keyspace,
    key: StorageKey,
    sealed: &Bytes,
) -> Result<Bytes, ReadError> {
    unseal(keyspace, &key, sealed).ok_or(ReadError::Corrupt { keyspace, key })
}
