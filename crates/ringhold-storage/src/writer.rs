//! The single writer of one partition group.
//!
//! All changes to a group's keys go through one writer, in one task, so reading a value and writing
//! what follows from it needs no lock: nobody else writes there. Writes are *staged* into a batch that
//! only this writer sees, and *committed* together as one record of the log: after a crash all of a
//! batch is there or nothing.
//!
//! A commit whose future is dropped goes on without it. The writer remembers what it handed over, reads
//! through it, and waits for its outcome before it hands over more; so a cancelled task can neither
//! lose a write in between nor overtake itself.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_channel::oneshot;

use crate::buffer::{Buffer, Effect, Lookup};
use crate::error::{Poisoned, ReadError};
use crate::key::{Change, KeyRange, Keyspace, StorageKey, Write};
use crate::log::queue::{Commit, Item, Record};
use crate::log::record::{RecordHeader, RecordKind};
use crate::log::writes;
use crate::meta::{META_PLACE, MetaChange};
use crate::rows::{self, RowFaults, RowKey, RowRange};
use crate::store::Store;
use crate::sums::SUMMED;
use crate::sums::change::{SumChanges, of_staging as sums_of_staging};

/// Writers come back to the store's lease this many times per ceiling, so that one which needs few
/// epochs does not sit on most of them.
const EPOCH_BLOCKS: u64 = 16;

/// Objects that are read at a time where a range is emptied.
const KEYS_AT_ONCE: usize = 64;

/// When a commit is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// After a flush that began when the batch had been appended: it survives any crash.
    Flushed,
    /// After the append, with its flush to follow at once (§6.1): a power cut may take it back.
    Buffered,
}

/// Where in the log a batch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Committed {
    /// The segment.
    pub segment: u64,
    /// The record's number in it.
    pub number: u64,
}

/// See the module. Neither `Clone` nor shared: a group has one.
pub struct GroupWriter {
    store: Arc<Store>,
    group: usize,
    staged: Buffer,
    /// What is staged changes about the leaf sums.
    sums: SumChanges,
    committing: Option<Committing>,
    epochs: Range<u64>,
}

struct Committing {
    batch: Buffer,
    answer: oneshot::Receiver<Result<Committed, Poisoned>>,
}

impl GroupWriter {
    pub(crate) fn new(store: Arc<Store>, group: usize) -> Self {
        Self {
            store,
            group,
            staged: Buffer::default(),
            sums: SumChanges::new(),
            committing: None,
            epochs: 0..0,
        }
    }

    /// The store that this writes to.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Which group this is, from 0.
    #[must_use]
    pub fn group(&self) -> usize {
        self.group
    }

    /// The value of a key as this writer's next write would find it: what is staged, else what is
    /// being committed, else what is in the store.
    ///
    /// # Errors
    ///
    /// As for [`Store::get`].
    pub fn read(&self, keyspace: Keyspace, key: &StorageKey) -> Result<Option<Bytes>, ReadError> {
        let own = [
            Some(&self.staged),
            self.committing.as_ref().map(|committing| &committing.batch),
        ];
        for batch in own.into_iter().flatten() {
            match batch.lookup(keyspace, key) {
                Lookup::Value(value) => return Ok(Some(value)),
                Lookup::Removed => return Ok(None),
                Lookup::Unknown => {}
            }
        }
        self.store.get(keyspace, key)
    }

    /// Adds a write to the batch. Where the store keeps leaf sums, this reads what an object's write replaces;
    /// see [`GroupWriter::stage_over`].
    ///
    /// # Panics
    ///
    /// If the write is not this group's, spans partitions of several groups, or is to the store's own
    /// rows: whoever sends writes to writers has mixed them up.
    pub fn stage(&mut self, write: Write) {
        self.check(&write);
        let changes = sums_of_staging(self, &write, None);
        self.sums.extend(changes);
        self.stage_rows(&write, None);
        self.staged.write(write);
    }

    /// Adds a write of one key to the batch, whose value as [`GroupWriter::read`] gave it is `before`. Saves
    /// reading it again for the leaf sums.
    ///
    /// # Panics
    ///
    /// As for [`GroupWriter::stage`].
    pub fn stage_over(&mut self, write: Write, before: Option<&Bytes>) {
        self.check(&write);
        let changes = sums_of_staging(self, &write, Some(before));
        self.sums.extend(changes);
        self.stage_rows(&write, Some(before));
        self.staged.write(write);
    }

    /// Stages what an object's write changes about the index rows. `before` is what it replaces, where the caller knows.
    fn stage_rows(&mut self, write: &Write, before: Option<Option<&Bytes>>) {
        let store = Arc::clone(&self.store);
        let Some(keeping) = store.buffers.sums().keeping() else {
            return;
        };
        if write.keyspace != SUMMED {
            return;
        }
        let rows = |key: &StorageKey, value: Option<&Bytes>| {
            value.map_or_else(Vec::new, |value| keeping.summarize.rows(key, value))
        };
        let (key, after) = match &write.change {
            Change::Put { key, value } => (key, Some(value)),
            Change::Remove { key } => (key, None),
            Change::RemoveRange { range } => {
                for key in keys_of(self, range) {
                    self.stage_rows(&Write::remove(SUMMED, key), None);
                }
                return;
            }
        };
        // What can't be read leaves its rows behind; see the module `rows`.
        let read = before
            .is_none()
            .then(|| self.read(SUMMED, key).ok().flatten());
        let before = before.flatten().or(read.as_ref().and_then(Option::as_ref));
        if before == after {
            return;
        }
        let rows_before = rows(key, before);
        #[cfg(feature = "known-bad")]
        let rows_before = match crate::known_bad::is(crate::known_bad::Variant::OldRowsStay) {
            true => Vec::new(),
            false => rows_before,
        };
        for (key, value) in rows::difference(rows_before, rows(key, after)) {
            self.staged.insert_row(key, value);
        }
    }

    /// Writes all rows of an object anew, as they are now, and takes out those of `doubtful` that it does not have. For rows that a walk
    /// found to be others than the object's.
    ///
    /// # Errors
    ///
    /// As for [`Store::get`]; nothing is staged then.
    ///
    /// # Panics
    ///
    /// If the key, or a row, is not this group's.
    pub fn restage_rows(&mut self, key: &StorageKey, doubtful: &[RowKey]) -> Result<(), ReadError> {
        let own = self.own_rows(key, doubtful)?;
        if self.store.buffers.sums().keeping().is_none() {
            return Ok(());
        }
        for row in doubtful {
            self.staged.insert_row(row.clone(), None);
        }
        for (row, value) in own {
            self.staged.insert_row(row, Some(value));
        }
        Ok(())
    }

    /// How an object's rows, as this writer's next write would find them, differ from those that it should have; of rows that are not its, those
    /// in `doubtful` are looked for. Nobody else writes here, so what is found is so, whatever else goes on.
    ///
    /// # Errors
    ///
    /// The object can't be read, or the engine can't tell.
    ///
    /// # Panics
    ///
    /// If the key, or a row, is not this group's.
    pub fn row_faults(
        &self,
        key: &StorageKey,
        doubtful: &[RowKey],
    ) -> Result<RowFaults, ReadError> {
        let own = self.own_rows(key, doubtful)?;
        let mut faults = RowFaults::default();
        for (row, value) in &own {
            let is_right = match self.read_row(row) {
                Ok(found) => found.as_ref() == Some(value),
                Err(ReadError::CorruptRow { .. }) => false,
                Err(error) => return Err(error),
            };
            faults.missing += u64::from(!is_right);
        }
        let doubtful: BTreeSet<&RowKey> = doubtful.iter().collect();
        for row in doubtful {
            if own.contains_key(row) {
                continue;
            }
            let is_there = match self.read_row(row) {
                Ok(found) => found.is_some(),
                Err(ReadError::CorruptRow { .. }) => true,
                Err(error) => return Err(error),
            };
            faults.strange += u64::from(is_there);
        }
        Ok(faults)
    }

    /// The rows that an object should have; none without anything that says so.
    fn own_rows(
        &self,
        key: &StorageKey,
        doubtful: &[RowKey],
    ) -> Result<BTreeMap<RowKey, Bytes>, ReadError> {
        let grouping = self.store.grouping();
        let groups = doubtful.iter().map(|row| rows::group_of(grouping, row));
        let mut groups = groups.chain([grouping.group_of(key)]);
        assert!(
            groups.all(|group| group == self.group),
            "rows go to their group's writer"
        );
        let object = self.read(SUMMED, key)?;
        let rows = self.store.buffers.sums().keeping().zip(object);
        let rows = rows.map(|(keeping, object)| keeping.summarize.rows(key, &object));
        Ok(rows.into_iter().flatten().collect())
    }

    /// The value of a row as this writer's next write would find it.
    fn read_row(&self, row: &RowKey) -> Result<Option<Bytes>, ReadError> {
        let committing = self.committing.as_ref().map(|committing| &committing.batch);
        let mut own = [Some(&self.staged), committing].into_iter().flatten();
        if let Some(value) = own.find_map(|batch| batch.all_rows().get(row)) {
            return Ok(value.clone());
        }
        let mut rows = self.store.rows(&RowRange::of_one(row), 1)?;
        Ok(rows.pop().map(|(_, value)| value))
    }

    /// A write of another group, or of a row that is the store's own, is a mistake of whoever sent it here.
    fn check(&self, write: &Write) {
        let keeps_sums = self.store.buffers.sums().keeping().is_some();
        assert!(
            !(keeps_sums && write.keyspace == Keyspace::Trees),
            "the store's own keyspace"
        );
        let grouping = self.store.grouping();
        let group = match &write.change {
            Change::Put { key, .. } | Change::Remove { key } => {
                assert!(
                    (write.keyspace, *key) != META_PLACE,
                    "the store's own record"
                );
                Some(grouping.group_of(key))
            }
            Change::RemoveRange { range } => grouping.group_of_range(range),
        };
        assert_eq!(
            group,
            Some(self.group),
            "a write goes to its group's writer"
        );
    }

    /// The keys of a range that this writer's batches know of, whatever they say.
    pub(crate) fn own_keys(&self, keyspace: Keyspace, range: &KeyRange) -> Vec<StorageKey> {
        let committing = self.committing.as_ref().map(|committing| &committing.batch);
        let own = [Some(&self.staged), committing].into_iter().flatten();
        own.flat_map(|batch| batch.range(keyspace, range))
            .map(|(key, _)| *key)
            .collect()
    }

    /// Roughly how large the batch is, in bytes of memory; whoever fills it bounds it by this.
    #[must_use]
    pub fn staged_bytes(&self) -> usize {
        self.staged.bytes()
    }

    /// Drops what is staged.
    pub fn discard(&mut self) {
        self.staged = Buffer::default();
        self.sums.clear();
    }

    /// Commits what is staged, as one record. With nothing staged, `Flushed` waits until everything
    /// that this writer committed before is flushed.
    ///
    /// # Errors
    ///
    /// The batch may or may not be there after a reopening; nobody has seen it.
    pub async fn commit(&mut self, durability: Durability) -> Result<Committed, Poisoned> {
        self.settle().await?;
        let batch = std::mem::take(&mut self.staged);
        let sums = std::mem::take(&mut self.sums);
        let record = (!batch.is_empty()).then(|| record_of(&batch, sums));
        let (reply, answer) = oneshot::channel();
        self.committing = Some(Committing { batch, answer });
        self.store.log.submit(Item::Commit(Commit {
            group: self.group,
            record,
            durability,
            reply,
        }))?;
        match self.settle().await? {
            Some(committed) => Ok(committed),
            None => unreachable!("submitted just now"),
        }
    }

    /// The next key epoch, which no other call ever returned or will, in this opening or another.
    /// Waits for a flush where the lease is used up.
    ///
    /// # Errors
    ///
    /// No epoch can be leased any more.
    pub async fn fresh_epoch(&mut self) -> Result<u64, Poisoned> {
        loop {
            if let Some(epoch) = self.epochs.next() {
                return Ok(epoch);
            }
            let ceiling = match self.take_epochs() {
                Ok(epochs) => {
                    self.epochs = epochs;
                    continue;
                }
                Err(ceiling) => ceiling,
            };
            #[cfg(feature = "known-bad")]
            if crate::known_bad::is(crate::known_bad::Variant::LeaseNotFlushed) {
                let mut lease = self
                    .store
                    .lease
                    .lock()
                    .expect("no holder of this lock panics");
                lease.raise(ceiling);
                continue;
            }
            let change = MetaChange::RaiseEpochCeiling(ceiling);
            self.store
                .log
                .ask(|reply| Item::Meta { change, reply })
                .await?;
            self.store
                .lease
                .lock()
                .expect("no holder of this lock panics")
                .raise(ceiling);
        }
    }

    fn take_epochs(&self) -> Result<Range<u64>, u64> {
        let mut lease = self
            .store
            .lease
            .lock()
            .expect("no holder of this lock panics");
        lease.take_block(EPOCH_BLOCKS)
    }

    /// Waits for the outcome of what was handed over, if there is such.
    async fn settle(&mut self) -> Result<Option<Committed>, Poisoned> {
        let Some(committing) = &mut self.committing else {
            return Ok(None);
        };
        let answer = (&mut committing.answer).await;
        self.committing = None;
        answer
            .unwrap_or_else(|_| Err(self.store.log.ended()))
            .map(Some)
    }
}

/// The keys of objects in a range, in the store or in the writer's batches.
fn keys_of(writer: &GroupWriter, range: &KeyRange) -> BTreeSet<StorageKey> {
    let mut keys: BTreeSet<StorageKey> = writer.own_keys(SUMMED, range).into_iter().collect();
    let mut rest = *range;
    loop {
        // An engine that can't tell now leaves rows behind, which a walk finds.
        let Ok(page) = writer.store.readable(SUMMED, &rest, KEYS_AT_ONCE) else {
            return keys;
        };
        keys.extend(page.rows.iter().map(|(key, _)| *key));
        match page.next {
            Some(next) if range.contains(&next) => rest.start = next,
            _ => return keys,
        }
    }
}

fn record_of(batch: &Buffer, sums: SumChanges) -> Record {
    let body = writes::encode(batch);
    #[cfg(feature = "known-bad")]
    if crate::known_bad::is(crate::known_bad::Variant::RowsOutsideBatch) {
        return known_bad_record(batch, sums);
    }
    let header = RecordHeader::of(RecordKind::Writes, &body, 0);
    // Read back what was encoded: the buffer keeps slices of it, and recovery will see the same.
    let writes = writes::decode(&body).expect("just encoded");
    Record {
        header,
        body,
        effect: Effect { writes, sums },
    }
}

/// A record that lacks the rows, which become visible all the same.
#[cfg(feature = "known-bad")]
fn known_bad_record(batch: &Buffer, sums: SumChanges) -> Record {
    let body = writes::encode(&batch.without_rows());
    let header = RecordHeader::of(RecordKind::Writes, &body, 0);
    let mut writes = writes::decode(&body).expect("just encoded");
    let rows = batch.all_rows().iter();
    let sealed = rows.map(|(key, value)| {
        let value = value.as_ref().map(|value| rows::sealed(key, value));
        (key.clone(), value)
    });
    writes.rows = sealed.collect();
    Record {
        header,
        body,
        effect: Effect { writes, sums },
    }
}
