//! fjall as the engine: a log-structured merge tree, in Rust.
//!
//! Such a tree gathers writes in a log and a table in memory, writes sorted tables now and then, and merges them in the
//! background (§5 leaves the engine open for such differences). The commit log and the buffer above an engine are that first
//! half already, and a checkpoint is a sorted table. So a batch here goes past fjall's own journal and memory: it is
//! *ingested*, written once as a sorted table that is synced and then named by the tree's next version. What fjall's journal
//! costs otherwise (each byte twice, a stall where it starts a new file, seconds of replay at opening) does not arise.
//!
//! - Everything lies in one tree, under keys with the keyspace's number in front: ingesting is atomic within a tree, not across trees.
//!   A crash before the version's file is renamed leaves tables that no version names; the next opening removes them.
//! - A batch is durable when `apply` returns. `flush` looks whether the merging thread has failed, which poisons.
//! - A tree has no removal of ranges: the keys of a range are read and removed one by one, and scans pay for the traces until they
//!   are merged away.
//! - Merging falls behind where batches come faster than it works. Every table that waits costs each read, so at
//!   [`WAITING_TABLES_MAX`] a batch waits for it, and the log above grows meanwhile.
//! - One thread merges: with more, fjall 3.1 has one of them turn in a circle while another works.
//!
//! It is a crate of its own because fjall draws in randomness and threads, which nothing that the simulator runs may link.
//!
//! Not here: separating large values from keys, compression, a tree per keyspace.

use std::iter::Peekable;
use std::ops::Bound;
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use bytes::Bytes;
use fjall::{Database, Keyspace as Tree, KeyspaceCreateOptions, LsmError, PersistMode, Slice};

use ringhold_storage::{
    Batch, Engine, EngineError, KeyRange, Keyspace, RowKey, RowRange, StorageKey,
};

/// What stands before the key of a row, where a keyspace's number stands before others.
const ROWS: u8 = 0x80;

/// So many unmerged tables, each of which a read may have to look into, and a batch waits.
const WAITING_TABLES_MAX: usize = 16;

/// How often a waiting batch looks.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A batch that has looked so often goes on: slow reads are better than a checkpoint that never ends.
const LOOKS_MAX: u32 = 6_000;

/// Values below this are copied, so that whoever holds one does not hold the block of the cache that it came from.
const COPIED_BELOW_BYTES: usize = 2_048;

/// A fjall database in a directory of its own.
pub struct FjallEngine {
    // Dropped in this order: closing the database waits for its threads.
    tree: Tree,
    database: Database,
}

impl FjallEngine {
    /// Opens the database in a directory, made if it is not there.
    ///
    /// `cache_bytes` is what blocks that were read may take in memory. What the system's page cache holds comes on top.
    ///
    /// # Errors
    ///
    /// `Io` if the directory can't be had; `Broken` if it holds something else, or another process has it.
    pub fn open(directory: &Path, cache_bytes: u64) -> Result<Self, EngineError> {
        fs::create_dir_all(directory).map_err(EngineError::Io)?;
        let database = Database::builder(directory)
            .cache_size(cache_bytes)
            .worker_threads(1)
            .open()
            .map_err(engine_error)?;
        let tree = database
            .keyspace("store", KeyspaceCreateOptions::default)
            .map_err(engine_error)?;
        Ok(Self { tree, database })
    }

    /// Fails where the merging thread has: tables would pile up unseen.
    fn check(&self) -> Result<(), EngineError> {
        self.database
            .persist(PersistMode::Buffer)
            .map_err(engine_error)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "on the thread of a checkpoint, for a thread of fjall's that tells nobody when it is done"
    )]
    fn wait_for_merging(&self) -> Result<(), EngineError> {
        for _ in 0..LOOKS_MAX {
            self.check()?;
            if self.tree.l0_table_count() < WAITING_TABLES_MAX {
                return Ok(());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// The keys of disjoint, ascending ranges, in order.
    fn keys_of<'a>(
        &'a self,
        ranges: &'a [Bounds],
    ) -> impl Iterator<Item = Result<Slice, EngineError>> + 'a {
        ranges.iter().flat_map(|range| {
            let keys = self.tree.range::<&[u8], _>(range.as_bounds());
            keys.map(|row| row.key().map_err(engine_error))
        })
    }

    fn ingest(&self, batch: &Batch) -> Result<(), EngineError> {
        let removed = disjoint(&batch.removed);
        let mut removed = self.keys_of(&removed).peekable();
        if batch.changes.is_empty() && batch.rows.is_empty() && removed.peek().is_none() {
            return Ok(());
        }
        let objects = batch.changes.iter();
        let objects =
            objects.map(|(keyspace, key, value)| (key_bytes(*keyspace, key), value.as_ref()));
        let rows = batch.rows.iter();
        let rows = rows.map(|(key, value)| (row_bytes(key.bytes()), value.as_ref()));
        let mut ingestion = self.tree.start_ingestion().map_err(engine_error)?;
        for (key, value) in objects.chain(rows) {
            while let Some(gone) = next_below(&mut removed, &key)? {
                ingestion.write_tombstone(gone).map_err(engine_error)?;
            }
            match value {
                Some(value) => ingestion.write(key, value.clone()),
                None => ingestion.write_tombstone(key),
            }
            .map_err(engine_error)?;
        }
        for gone in removed {
            ingestion.write_tombstone(gone?).map_err(engine_error)?;
        }
        ingestion.finish().map_err(engine_error)
    }
}

impl Engine for FjallEngine {
    fn name(&self) -> &'static str {
        "fjall"
    }

    fn get(&self, keyspace: Keyspace, key: &StorageKey) -> Result<Option<Bytes>, EngineError> {
        let value = self.tree.get(key_bytes(keyspace, key));
        Ok(value.map_err(engine_error)?.map(detached))
    }

    fn range(
        &self,
        keyspace: Keyspace,
        range: &KeyRange,
        limit: usize,
    ) -> Result<Vec<(StorageKey, Bytes)>, EngineError> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let bounds = Bounds::of(keyspace, range);
        let rows = self.tree.range::<&[u8], _>(bounds.as_bounds()).take(limit);
        rows.map(|row| {
            let (key, value) = row.into_inner().map_err(engine_error)?;
            let key = key.get(1..).and_then(|key| key.try_into().ok());
            let key =
                key.ok_or_else(|| EngineError::Broken("a key that is not 32 bytes".into()))?;
            Ok((StorageKey(key), detached(value)))
        })
        .collect()
    }

    fn rows(&self, range: &RowRange, limit: usize) -> Result<Vec<(RowKey, Bytes)>, EngineError> {
        let end = match &range.end {
            Some(end) if end <= range.start.bytes() => return Ok(Vec::new()),
            Some(end) => row_bytes(end),
            None => vec![ROWS + 1],
        };
        let bounds = Bounds {
            start: row_bytes(range.start.bytes()),
            end,
        };
        let rows = self.tree.range::<&[u8], _>(bounds.as_bounds()).take(limit);
        rows.map(|row| {
            let (key, value) = row.into_inner().map_err(engine_error)?;
            let key = RowKey::from_bytes(Bytes::copy_from_slice(&key[1..]));
            let key = key.ok_or_else(|| EngineError::Broken("a row whose key is none".into()))?;
            Ok((key, detached(value)))
        })
        .collect()
    }

    fn apply(&self, batch: &Batch) -> Result<(), EngineError> {
        assert!(batch.is_sorted(), "a batch is sorted");
        self.wait_for_merging()?;
        self.ingest(batch)
    }

    fn flush(&self) -> Result<(), EngineError> {
        self.check()
    }

    /// Each batch is a table, and 64 small ones would be merged at once.
    fn takes_parts(&self) -> bool {
        false
    }

    fn size_bytes(&self) -> Result<u64, EngineError> {
        Ok(self.tree.disk_space())
    }
}

/// From the first key up to but not including the second; the first is the lower one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Bounds {
    start: Vec<u8>,
    end: Vec<u8>,
}

impl Bounds {
    fn of(keyspace: Keyspace, range: &KeyRange) -> Self {
        let end = match &range.end {
            Some(end) => key_bytes(keyspace, end),
            None => vec![keyspace.number() + 1],
        };
        Self {
            start: key_bytes(keyspace, &range.start),
            end,
        }
    }

    fn as_bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (Bound::Included(&self.start), Bound::Excluded(&self.end))
    }
}

/// The same keys as these ranges, each once, ascending.
fn disjoint(ranges: &[(Keyspace, KeyRange)]) -> Vec<Bounds> {
    let ranges = ranges.iter().filter(|(_, range)| !range.is_empty());
    let mut sorted: Vec<Bounds> = ranges
        .map(|(keyspace, range)| Bounds::of(*keyspace, range))
        .collect();
    sorted.sort_unstable();
    let mut disjoint: Vec<Bounds> = Vec::new();
    for range in sorted {
        match disjoint.last_mut() {
            Some(last) if range.start <= last.end => last.end = range.end.max(last.end.clone()),
            _ => disjoint.push(range),
        }
    }
    disjoint
}

/// The next of the removed keys that lies before `key`. `key` itself, if it is among them, is passed over: its change says what becomes
/// of it.
fn next_below(
    removed: &mut Peekable<impl Iterator<Item = Result<Slice, EngineError>>>,
    key: &[u8],
) -> Result<Option<Slice>, EngineError> {
    let next = removed.next_if(|next| next.as_ref().map_or(true, |next| &next[..] <= key));
    let next = next.transpose()?;
    Ok(next.filter(|next| &next[..] != key))
}

fn key_bytes(keyspace: Keyspace, key: &StorageKey) -> Vec<u8> {
    [&[keyspace.number()][..], &key.0].concat()
}

fn row_bytes(key: &[u8]) -> Vec<u8> {
    [&[ROWS][..], key].concat()
}

fn detached(value: Slice) -> Bytes {
    if value.len() < COPIED_BELOW_BYTES {
        Bytes::copy_from_slice(&value)
    } else {
        value.into()
    }
}

fn engine_error(error: impl Into<fjall::Error>) -> EngineError {
    match error.into() {
        fjall::Error::Io(error) | fjall::Error::Storage(LsmError::Io(error)) => {
            EngineError::Io(error)
        }
        fjall::Error::Locked => EngineError::Io(io::ErrorKind::WouldBlock.into()),
        other => EngineError::Broken(Box::new(other)),
    }
}
