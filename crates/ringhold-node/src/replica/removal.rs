//! The writer's part of reaping: a record goes if it is still what everybody vouched for.
//!
//! Whatever was written since then is a job before this one in the same queue, so the comparison sees it, and
//! the record stays. The record goes as a whole, and with it the mark that lets this store go on counting on
//! the key; its share of the leaf sum goes in the same batch.

use super::writer::{Before, Writer};
#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use ringhold_core::version::Object;
use ringhold_storage::{Change, Keyspace, StorageKey, Write};
use ringhold_wire::record::Record;

/// A key to be removed.
#[derive(Debug)]
pub(crate) struct Removal {
    pub(crate) key: StorageKey,
    /// If it still holds exactly this; none if it is to stay.
    pub(crate) object: Option<Object>,
}

impl Writer {
    /// Stages the removals that are still right; for each, whether it is one.
    pub(super) fn remove(&mut self, removals: Vec<Removal>) -> Vec<bool> {
        let removals = removals.into_iter();
        removals.map(|removal| self.remove_one(&removal)).collect()
    }

    fn remove_one(&mut self, Removal { key, object }: &Removal) -> bool {
        let Some(expected) = object else {
            return false;
        };
        let Ok(Some(bytes)) = self.group.read(Keyspace::Objects, key) else {
            return false;
        };
        let record = Record::decode(bytes.clone());
        let is_same = record.is_ok_and(|record| record.object == *expected);
        #[cfg(feature = "known-bad")]
        let is_same = is_same || known_bad::is(Variant::ReapsUnconditionally);
        let hint = self.group.read(Keyspace::Hints, key);
        if !is_same || !hint.is_ok_and(|hint| hint.is_none()) {
            return false;
        }
        let write = Write {
            keyspace: Keyspace::Objects,
            change: Change::Remove { key: *key },
        };
        self.stage_over(write, &Before::Known(Some(bytes)));
        true
    }
}
