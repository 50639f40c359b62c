//! The engine, as one life of a process sees it: memory with a durable shadow, reads that may fail, and a size that
//! may be used up.

use super::{Disk, Room};
use crate::rare::Rare;
use bytes::Bytes;
use ringhold_storage::{
    Batch, Engine, EngineError, KeyRange, Keyspace, MemoryEngine, RowKey, RowRange, StorageKey,
};
use std::io;

/// See [`super`].
pub struct SimEngine {
    disk: Disk,
    life: u64,
    rows: MemoryEngine,
}

impl SimEngine {
    pub(super) fn new(disk: Disk, life: u64, rows: MemoryEngine) -> Self {
        Self { disk, life, rows }
    }

    fn fails(&self) -> Result<(), EngineError> {
        let unreadable = self.disk.lock().unreadable;
        if unreadable > 0 && self.disk.0.random.lock().chance(unreadable) {
            self.disk.0.rare.hit(Rare::UnreadableRecord);
            return Err(EngineError::Io(io::Error::other("the disk failed")));
        }
        Ok(())
    }
}

impl Engine for SimEngine {
    fn name(&self) -> &'static str {
        self.rows.name()
    }

    fn get(&self, keyspace: Keyspace, key: &StorageKey) -> Result<Option<Bytes>, EngineError> {
        self.fails()?;
        self.rows.get(keyspace, key)
    }

    fn range(
        &self,
        keyspace: Keyspace,
        range: &KeyRange,
        limit: usize,
    ) -> Result<Vec<(StorageKey, Bytes)>, EngineError> {
        self.rows.range(keyspace, range, limit)
    }

    fn rows(&self, range: &RowRange, limit: usize) -> Result<Vec<(RowKey, Bytes)>, EngineError> {
        self.rows.rows(range, limit)
    }

    fn apply(&self, batch: &Batch) -> Result<(), EngineError> {
        if self.disk.lock().life != self.life {
            return Err(EngineError::Io(io::ErrorKind::BrokenPipe.into()));
        }
        if matches!(self.disk.lock().room, Room::LogOnly | Room::None) {
            self.disk.0.rare.hit(Rare::CheckpointPutOff);
            return Err(EngineError::Full);
        }
        self.rows.apply(batch)?;
        self.disk.lock().checkpoint_under_way = true;
        Ok(())
    }

    /// Only noted: the job that asks for it ends later, and then it is true.
    fn flush(&self) -> Result<(), EngineError> {
        Ok(())
    }

    fn size_bytes(&self) -> Result<u64, EngineError> {
        self.rows.size_bytes()
    }
}
