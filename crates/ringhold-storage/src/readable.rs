//! Scans that do not stop at what can't be read.
//!
//! Whoever asks for one key must be told that it can't be read: it is not absent (T2). Whoever walks over many (a backup, a
//! comparison, hints that go home) must not be held up by one of them for ever: it leaves out what is damaged, counts it, and goes on
//! behind it.

use bytes::Bytes;

use crate::error::ReadError;
use crate::key::{KeyRange, Keyspace, StorageKey};
use crate::store::Store;

/// A page of a scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readable {
    /// Keys with their values, in order; those that are damaged left out.
    pub rows: Vec<(StorageKey, Bytes)>,
    /// Where the next page begins, if there may be more.
    pub next: Option<StorageKey>,
    /// Damaged values that were left out.
    pub unreadable: u64,
}

impl Store {
    /// The first rows of a range that can be read, at most `limit`; fewer where one in between can't.
    ///
    /// # Errors
    ///
    /// If the engine fails. A damaged value is none.
    pub fn readable(
        &self,
        keyspace: Keyspace,
        range: &KeyRange,
        limit: usize,
    ) -> Result<Readable, ReadError> {
        let (rows, damaged) = match self.range(keyspace, range, limit) {
            Ok(rows) => (rows, None),
            Err(ReadError::Corrupt { key, .. }) => {
                let before = KeyRange::new(range.start, key);
                (self.range(keyspace, &before, limit)?, Some(key))
            }
            Err(error) => return Err(error),
        };
        let is_full = rows.len() == limit;
        let after_last = rows.last().and_then(|(key, _)| key.successor());
        // A full page ends before the damaged value, which the next page meets.
        let damaged = damaged.filter(|_| !is_full);
        let next = match damaged {
            Some(key) => key.successor(),
            None => after_last.filter(|_| is_full),
        };
        Ok(Readable {
            rows,
            next,
            unreadable: u64::from(damaged.is_some()),
        })
    }
}
