//! LMDB as the engine: a memory-mapped B-tree, copy on write, the heir of Berkeley DB (§5).
//!
//! It opens in a millisecond after any end of the process, has the fastest reads and scans of the
//! engines that were measured, and no threads of its own. Its weak side, a flush and many page writes
//! per small commit, does not show under the log: a checkpoint is one large sorted transaction.
//!
//! - One named database per keyspace and one for the rows, keys in their bytewise order.
//! - A commit writes its pages, syncs, and writes the meta page without syncing that (`MDB_NOMETASYNC`): a power cut may take back
//!   the last batch, never a part of one, since LMDB goes back to the older of two meta pages. `flush` syncs.
//! - Read transactions are not tied to threads: they are taken in tasks that move between them. They
//!   are short, because a long one keeps pages from being reused.
//! - The map size is the greatest size of the database; it costs address space, not memory. At the
//!   limit a checkpoint reports `Full` and nothing is changed.
//!
//! Opening and the advice about pages are the unsafe calls of the workspace; their reasons stand beside them.

use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, io};

use bytes::Bytes;
use heed::types::Bytes as Raw;
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, MdbError, RoTxn, WithoutTls};
use rustix::mm::{Advice, madvise};

use super::{Batch, Engine, EngineError};
use crate::key::{KeyRange, Keyspace, StorageKey};
use crate::rows::{RowKey, RowRange};

type Rows = Database<'static, Raw, Raw>;

/// Readers at one moment: tasks that are inside a `get` or a page of a scan.
const READERS_MAX: u32 = 1_024;
/// From this size on a value has pages enough to ask for them at once.
const LARGE_BYTES: usize = 16 << 10;
/// A read of a key that takes longer has waited for the disk.
const READ_WITHOUT_DISK: Duration = Duration::from_micros(60);
/// Pages that a disk is asked for at once: enough to keep it busy.
const READS_AT_ONCE: usize = 16;

/// An LMDB environment in a directory of its own.
pub struct LmdbEngine {
    env: Env<WithoutTls>,
    databases: [Rows; Keyspace::ALL.len()],
    index: Rows,
}

impl LmdbEngine {
    /// Opens the environment in a directory, made if it is not there.
    ///
    /// `map_bytes` is the greatest size that the database may take, a multiple of the page size.
    ///
    /// # Errors
    ///
    /// `Io` if the directory or the map cannot be had; `Broken` if the file is not LMDB's.
    pub fn open(directory: &Path, map_bytes: usize) -> Result<Self, EngineError> {
        fs::create_dir_all(directory).map_err(EngineError::Io)?;
        let env = open_environment(directory, map_bytes)?;
        let transaction = env.write_txn().map_err(engine_error)?;
        let names = ["objects", "hints", "trees", "meta", "members"];
        let opened = env.create_databases_and_commit(transaction, |opener, transaction| {
            let mut databases = Vec::with_capacity(names.len());
            for name in names {
                databases.push(opener.create_database::<Raw, Raw>(transaction, Some(name))?);
            }
            let index = opener.create_database::<Raw, Raw>(transaction, Some("rows"))?;
            let databases: [_; Keyspace::ALL.len()] = databases
                .try_into()
                .map_err(|_| heed::Error::Mdb(MdbError::Problem))?;
            Ok(CommitOrAbort::<_, ()>::Commit((databases, index)))
        });
        match opened.map_err(engine_error)?.commit() {
            Some((databases, index)) => Ok(Self {
                env,
                databases,
                index,
            }),
            None => Err(EngineError::Broken("the databases were not made".into())),
        }
    }

    fn rows(&self, keyspace: Keyspace) -> &Rows {
        match keyspace {
            Keyspace::Objects => &self.databases[0],
            Keyspace::Hints => &self.databases[1],
            Keyspace::Trees => &self.databases[2],
            Keyspace::Meta => &self.databases[3],
            Keyspace::Members => &self.databases[4],
        }
    }

    fn read(&self) -> Result<RoTxn<'_, WithoutTls>, EngineError> {
        self.env.read_txn().map_err(engine_error)
    }

    fn apply_in_transaction(&self, batch: &Batch) -> Result<(), heed::Error> {
        let mut transaction = self.env.write_txn()?;
        for (keyspace, range) in &batch.removed {
            self.rows(*keyspace)
                .delete_range(&mut transaction, &bounds(range))?;
        }
        for (keyspace, key, value) in &batch.changes {
            match value {
                Some(value) => self.rows(*keyspace).put(&mut transaction, &key.0, value)?,
                None => {
                    self.rows(*keyspace).delete(&mut transaction, &key.0)?;
                }
            }
        }
        for (key, value) in &batch.rows {
            match value {
                Some(value) => self.index.put(&mut transaction, key.bytes(), value)?,
                None => {
                    self.index.delete(&mut transaction, key.bytes())?;
                }
            }
        }
        transaction.commit()
    }
}

impl Engine for LmdbEngine {
    fn name(&self) -> &'static str {
        "lmdb"
    }

    fn get(&self, keyspace: Keyspace, key: &StorageKey) -> Result<Option<Bytes>, EngineError> {
        let transaction = self.read()?;
        let value = self
            .rows(keyspace)
            .get(&transaction, &key.0)
            .map_err(engine_error)?;
        Ok(value.map(copied))
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
        let transaction = self.read()?;
        let rows = self
            .rows(keyspace)
            .range(&transaction, &bounds(range))
            .map_err(engine_error)?;
        rows.take(limit)
            .map(|row| {
                let (key, value) = row.map_err(engine_error)?;
                let key = key
                    .try_into()
                    .map_err(|_| EngineError::Broken("a key that is not 32 bytes".into()))?;
                Ok((StorageKey(key), copied(value)))
            })
            .collect()
    }

    fn rows(&self, range: &RowRange, limit: usize) -> Result<Vec<(RowKey, Bytes)>, EngineError> {
        use std::ops::Bound;
        if range
            .end
            .as_ref()
            .is_some_and(|end| end <= range.start.bytes())
        {
            return Ok(Vec::new());
        }
        let end = range.end.as_ref();
        let end = end.map_or(Bound::Unbounded, |end| Bound::Excluded(&end[..]));
        let bounds = (Bound::Included(&range.start.bytes()[..]), end);
        let transaction = self.read()?;
        let rows = self.index.range(&transaction, &bounds);
        let rows = rows.map_err(engine_error)?.take(limit).map(|row| {
            let (key, value) = row.map_err(engine_error)?;
            let key = RowKey::from_bytes(Bytes::copy_from_slice(key))
                .ok_or_else(|| EngineError::Broken("a row whose key is none".into()))?;
            Ok((key, Bytes::copy_from_slice(value)))
        });
        rows.collect()
    }

    fn apply(&self, batch: &Batch) -> Result<(), EngineError> {
        assert!(batch.is_sorted(), "a batch is sorted");
        self.apply_in_transaction(batch).map_err(engine_error)
    }

    fn flush(&self) -> Result<(), EngineError> {
        self.env.force_sync().map_err(engine_error)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "who reads depends on it, and not what is read"
    )]
    fn helpers_for(&self, keys: usize, read: &mut dyn FnMut()) -> usize {
        let began = Instant::now();
        read();
        let keys = u32::try_from(keys).unwrap_or(u32::MAX).max(1);
        let waited = began.elapsed() >= READ_WITHOUT_DISK.saturating_mul(keys);
        if waited { READS_AT_ONCE - 1 } else { 0 }
    }

    fn size_bytes(&self) -> Result<u64, EngineError> {
        self.env.real_disk_size().map_err(engine_error)
    }
}

#[expect(unsafe_code, reason = "a memory map of a file: see SAFETY")]
fn open_environment(directory: &Path, map_bytes: usize) -> Result<Env<WithoutTls>, EngineError> {
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    let databases = u32::try_from(Keyspace::ALL.len() + 1).expect("few keyspaces");
    options
        .map_size(map_bytes)
        .max_dbs(databases)
        .max_readers(READERS_MAX);
    // Keys are placed by their hash: what lies beside a page in the file has nothing to do with what is asked for next.
    let flags = EnvFlags::NO_META_SYNC | EnvFlags::NO_READ_AHEAD;
    // SAFETY: the map is sound as long as nobody changes the file but LMDB under its own lock. The
    // directory belongs to this process alone, which holds the log's directory lock, and LMDB's lock
    // file is left in its place. NO_META_SYNC leaves the last commit to `flush`, and no more than that.
    let opened = unsafe { options.flags(flags).open(directory) };
    opened.map_err(engine_error)
}

/// A value out of the map. One of many pages is asked for as a whole: without read-ahead they would come from the disk one by one.
fn copied(value: &[u8]) -> Bytes {
    if value.len() >= LARGE_BYTES {
        fetch_pages(value);
    }
    Bytes::copy_from_slice(value)
}

/// Has the kernel begin to read the pages of a value that lies in the map. Advice: where it is not taken, nothing is different.
#[expect(unsafe_code, reason = "advice about a memory map: see SAFETY")]
fn fetch_pages(value: &[u8]) {
    let start = value.as_ptr();
    let before = start.addr() % rustix::param::page_size();
    let page = start.wrapping_sub(before).cast_mut().cast();
    // SAFETY: the pages are of LMDB's map, which lives as long as the transaction that lent the value, and WILLNEED changes
    // nothing of what they hold.
    unsafe { madvise(page, before + value.len(), Advice::WillNeed) }.ok();
}

/// A range as LMDB's interface wants it.
fn bounds(range: &KeyRange) -> (std::ops::Bound<&[u8]>, std::ops::Bound<&[u8]>) {
    use std::ops::Bound;
    let end = range
        .end
        .as_ref()
        .map_or(Bound::Unbounded, |end| Bound::Excluded(&end.0[..]));
    (Bound::Included(&range.start.0[..]), end)
}

fn engine_error(error: heed::Error) -> EngineError {
    match error {
        heed::Error::Mdb(MdbError::MapFull) => EngineError::Full,
        heed::Error::Io(error) => EngineError::Io(error),
        heed::Error::Mdb(MdbError::Other(code)) => {
            EngineError::Io(io::Error::from_raw_os_error(code))
        }
        other => EngineError::Broken(Box::new(other)),
    }
}
