//! An engine in memory with a durable shadow, for tests and the simulator.
//!
//! What `apply` changes is visible at once; what `flush` has covered is copied to the shadow. A
//! simulated crash throws the visible state away and comes back with the shadow, or, because a disk
//! may have finished a write whose completion nobody heard of, with the state after the last applied
//! batch: checkpoint n or n+1, never anything between. Real engines are tested by killing processes;
//! what this one gives is the choice at every step of a seeded run.
//!
//! Clones share one memory, as two openings of one directory would.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;

use super::{Batch, Engine, EngineError};
use crate::key::{KeyRange, Keyspace, StorageKey};
use crate::rows::{RowKey, RowRange};
use crate::testing::Steps;

type Rows = BTreeMap<(Keyspace, StorageKey), Bytes>;

/// Sorted rows in memory. See the module.
#[derive(Clone, Default)]
pub struct MemoryEngine {
    state: Arc<RwLock<State>>,
    steps: Steps,
}

#[derive(Default)]
struct State {
    rows: Rows,
    shadow: Rows,
    index: BTreeMap<RowKey, Bytes>,
    index_shadow: BTreeMap<RowKey, Bytes>,
}

impl MemoryEngine {
    /// An empty engine whose operations count as steps at which a test may stop.
    #[must_use]
    pub fn with_steps(steps: Steps) -> Self {
        Self {
            state: Arc::default(),
            steps,
        }
    }

    /// A power cut: back to the last flushed state, or to the last applied one.
    pub fn crash(&self, applied_survives: bool) {
        let mut state = self.write();
        if applied_survives {
            state.shadow = state.rows.clone();
            state.index_shadow = state.index.clone();
        } else {
            state.rows = state.shadow.clone();
            state.index = state.index_shadow.clone();
        }
    }

    /// Changes a stored value in place, as a failing disk would; false if there is no such key.
    pub fn damage(
        &self,
        keyspace: Keyspace,
        key: &StorageKey,
        change: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        let mut state = self.write();
        let Some(value) = state.rows.get_mut(&(keyspace, *key)) else {
            return false;
        };
        let mut bytes = value.to_vec();
        change(&mut bytes);
        *value = bytes.into();
        state.shadow = state.rows.clone();
        true
    }

    /// The same to an index row.
    pub fn damage_row(&self, row: &RowKey, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut state = self.write();
        let Some(value) = state.index.get_mut(row) else {
            return false;
        };
        let mut bytes = value.to_vec();
        change(&mut bytes);
        *value = bytes.into();
        state.index_shadow = state.index.clone();
        true
    }

    /// Another engine with the same rows, all of them safe.
    #[must_use]
    pub fn copy(&self) -> Self {
        let (rows, index) = {
            let state = self.read();
            (state.rows.clone(), state.index.clone())
        };
        let state = State {
            shadow: rows.clone(),
            index_shadow: index.clone(),
            rows,
            index,
        };
        Self {
            state: Arc::new(RwLock::new(state)),
            steps: self.steps.clone(),
        }
    }

    /// Forgets everything, as a replaced disk would.
    pub fn wipe(&self) {
        *self.write() = State::default();
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().expect("no holder of this lock panics")
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().expect("no holder of this lock panics")
    }

    /// Does something between two steps, so that a test can stop before it or after it.
    fn stepped(&self, effect: impl FnOnce(&mut State)) -> Result<(), EngineError> {
        let stopped = |()| EngineError::Io(io::ErrorKind::Interrupted.into());
        self.steps.take().map_err(stopped)?;
        effect(&mut self.write());
        self.steps.take().map_err(stopped)
    }
}

impl Engine for MemoryEngine {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn get(&self, keyspace: Keyspace, key: &StorageKey) -> Result<Option<Bytes>, EngineError> {
        Ok(self.read().rows.get(&(keyspace, *key)).cloned())
    }

    fn range(
        &self,
        keyspace: Keyspace,
        range: &KeyRange,
        limit: usize,
    ) -> Result<Vec<(StorageKey, Bytes)>, EngineError> {
        let state = self.read();
        let rows = state
            .rows
            .range((keyspace, range.start)..=(keyspace, StorageKey::LAST));
        let inside = rows.take_while(|((_, key), _)| range.contains(key));
        Ok(inside
            .take(limit)
            .map(|((_, key), value)| (*key, value.clone()))
            .collect())
    }

    fn rows(&self, range: &RowRange, limit: usize) -> Result<Vec<(RowKey, Bytes)>, EngineError> {
        let state = self.read();
        let rows = state.index.range(range.start.clone()..);
        let inside = rows.take_while(|(key, _)| range.contains(key)).take(limit);
        Ok(inside
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }

    fn apply(&self, batch: &Batch) -> Result<(), EngineError> {
        assert!(batch.is_sorted(), "a batch is sorted");
        self.stepped(|state| {
            for (keyspace, range) in &batch.removed {
                state
                    .rows
                    .retain(|(of, key), _| of != keyspace || !range.contains(key));
            }
            for (keyspace, key, value) in &batch.changes {
                match value {
                    Some(value) => state.rows.insert((*keyspace, *key), value.clone()),
                    None => state.rows.remove(&(*keyspace, *key)),
                };
            }
            for (key, value) in &batch.rows {
                match value {
                    Some(value) => state.index.insert(key.clone(), value.clone()),
                    None => state.index.remove(key),
                };
            }
        })
    }

    fn flush(&self) -> Result<(), EngineError> {
        self.stepped(|state| {
            state.shadow = state.rows.clone();
            state.index_shadow = state.index.clone();
        })
    }

    fn size_bytes(&self) -> Result<u64, EngineError> {
        let state = self.read();
        let objects = state.rows.values();
        let bytes: usize = objects
            .map(|value| size_of::<StorageKey>() + value.len())
            .sum();
        let rows = state.index.iter();
        let rows: usize = rows
            .map(|(key, value)| key.bytes().len() + value.len())
            .sum();
        Ok(u64::try_from(bytes + rows).expect("memory is smaller than 2^64 bytes"))
    }
}
