//! The backing store under the log: anything sorted that takes large atomic batches.
//!
//! The log has already decided durability and latency when an engine is asked for anything, so an
//! engine has one hard duty: a batch is applied as a whole or not at all, also across a crash, and is
//! there for good once `flush` has returned. It is written by one checkpoint at a time and read by
//! everybody. The paper's nodes ran Berkeley DB, MySQL or memory under the same local interface (§5);
//! here the B-tree's heir LMDB is the first, memory with a durable shadow the one for tests.
//!
//! Values arrive sealed (see `seal`): an engine returns what it was given, and whether that is still
//! what was put is judged above.

pub mod lmdb;
pub mod memory;

use std::{fmt, io};

use bytes::Bytes;

use crate::key::{KeyRange, Keyspace, StorageKey};
use crate::rows::{RowChanges, RowKey, RowRange};

/// A sorted map per keyspace, with atomic batches.
pub trait Engine: Send + Sync {
    /// What people call it.
    fn name(&self) -> &'static str;

    /// The value of a key.
    ///
    /// # Errors
    ///
    /// The engine could not tell; never to be taken for "not found".
    fn get(&self, keyspace: Keyspace, key: &StorageKey) -> Result<Option<Bytes>, EngineError>;

    /// The first `limit` keys of a range with their values, in order.
    ///
    /// # Errors
    ///
    /// As for `get`.
    fn range(
        &self,
        keyspace: Keyspace,
        range: &KeyRange,
        limit: usize,
    ) -> Result<Vec<(StorageKey, Bytes)>, EngineError>;

    /// The first `limit` rows of a range with their values, in order.
    ///
    /// # Errors
    ///
    /// As for `get`.
    fn rows(&self, range: &RowRange, limit: usize) -> Result<Vec<(RowKey, Bytes)>, EngineError>;

    /// Applies a batch as a whole: first its range removals, then its changes.
    ///
    /// # Errors
    ///
    /// Nothing of the batch was applied, now or after a crash.
    fn apply(&self, batch: &Batch) -> Result<(), EngineError>;

    /// Makes every applied batch survive a power cut.
    ///
    /// # Errors
    ///
    /// After a crash the engine is as of any batch from the last flush on.
    fn flush(&self) -> Result<(), EngineError>;

    /// Whether a checkpoint may come as many small batches, so that there can be rests between them. An engine that writes whatever
    /// it gets once and in order wants few and large ones.
    fn takes_parts(&self) -> bool {
        true
    }

    /// Does some reading, of so many keys, and says how many more threads would be of use for what is like it: none where it
    /// did not wait for a disk.
    fn helpers_for(&self, _keys: usize, read: &mut dyn FnMut()) -> usize {
        read();
        0
    }

    /// Bytes on disk, or in memory for an engine without one.
    ///
    /// # Errors
    ///
    /// The size could not be told.
    fn size_bytes(&self) -> Result<u64, EngineError>;
}

/// What a checkpoint hands to an engine.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Ranges to empty, before anything else.
    pub removed: Vec<(Keyspace, KeyRange)>,
    /// Values to put, or keys to remove where there is none; strictly ascending by keyspace and key.
    pub changes: Vec<(Keyspace, StorageKey, Option<Bytes>)>,
    /// The same for rows; strictly ascending.
    pub rows: RowChanges,
}

impl Batch {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.changes.is_empty() && self.rows.is_empty()
    }

    /// Whether the changes ascend strictly, as engines may rely on.
    #[must_use]
    pub fn is_sorted(&self) -> bool {
        self.changes.is_sorted_by(|a, b| (a.0, a.1) < (b.0, b.1))
            && self.rows.is_sorted_by(|a, b| a.0 < b.0)
    }
}

/// Why an engine could not do what it was asked.
#[derive(Debug)]
pub enum EngineError {
    /// The engine's configured size is used up. Nothing was changed; reads go on, and a larger map,
    /// or removals, make room.
    Full,
    /// The file system refused. Nothing of the batch at hand is applied.
    Io(io::Error),
    /// The engine reports that its own structures are damaged, or that it stopped after an earlier
    /// error. What it holds is in doubt.
    Broken(Box<dyn std::error::Error + Send + Sync>),
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the engine is full"),
            Self::Io(error) => write!(f, "the engine's file system: {error}"),
            Self::Broken(error) => write!(f, "the engine is broken: {error}"),
        }
    }
}

impl std::error::Error for EngineError {}
