//! The writer's part of hinted handoff: hint and object come and go together.
//!
//! Both are staged into one batch, so after a crash there is a hint for every object that is not at home, and
//! no hint without its object. Whether a hint may go is decided here, by the one who writes the key: a
//! delivery only says what the homes have confirmed, and the object may have changed since it was sent.

use super::writer::{Before, Writer};
use super::{Kept, refusal_of};
use crate::hints::row::HintRow;
#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use ringhold_core::version::{Context, Object};
use ringhold_storage::{Change, Keyspace, StorageKey, Write};
use ringhold_wire::message::peer::Refusal;
use ringhold_wire::record::Record;

impl Writer {
    /// Puts a hint beside an object that is kept for others, in the same batch.
    pub(super) fn stage_hint(
        &mut self,
        key: StorageKey,
        kept: Kept,
        bytes: u64,
    ) -> Result<(), Refusal> {
        if kept == Kept::AsHome {
            return Ok(());
        }
        let known = self.hint(key)?;
        if let Some(known) = known {
            self.hint_change.goes(known.bytes);
        }
        self.hint_change.comes(bytes);
        let since_us = known.map_or_else(|| self.environment.wall_us(), |known| known.since_us);
        let value = HintRow { since_us, bytes }.encode();
        self.group.stage(Write {
            keyspace: Keyspace::Hints,
            change: Change::Put { key, value },
        });
        Ok(())
    }

    /// Puts a hint beside each object that is there and has none. Nothing is too much for this: what is here already is not
    /// refused.
    pub(super) fn owe(&mut self, keys: &[StorageKey]) -> Result<(), Refusal> {
        for &key in keys {
            let record = self.group.read(Keyspace::Objects, &key);
            let record = record.map_err(|error| refusal_of(&error))?;
            if let Some(record) = record
                && self.hint(key)?.is_none()
            {
                let bytes_max = u64::MAX;
                self.stage_hint(key, Kept::AsHint { bytes_max }, record.len() as u64)?;
            }
        }
        Ok(())
    }

    fn hint(&self, key: StorageKey) -> Result<Option<HintRow>, Refusal> {
        let row = self.group.read(Keyspace::Hints, &key);
        let row = row.map_err(|_| Refusal::StoreFailed)?;
        row.map(HintRow::decode)
            .transpose()
            .map_err(|_| Refusal::Unreadable)
    }

    /// Stages the end of a hint, if what was delivered covers the object as it is now.
    pub(super) fn drop_hint(
        &mut self,
        key: StorageKey,
        delivered: &Context,
        is_home: bool,
    ) -> Result<bool, Refusal> {
        let Some(hint) = self.hint(key)? else {
            return Ok(false);
        };
        let record = self.group.read(Keyspace::Objects, &key);
        let record = record.map_err(|error| refusal_of(&error))?;
        let object = record
            .clone()
            .map(Record::decode)
            .transpose()
            .map_err(|_| Refusal::Unreadable)?
            .map_or_else(Object::new, |record| record.object);
        let covered = delivered.includes(object.context());
        #[cfg(feature = "known-bad")]
        let covered = covered || known_bad::is(Variant::HintDroppedUnseen);
        if !covered {
            return Ok(false);
        }
        self.group.stage(Write::remove(Keyspace::Hints, key));
        if !is_home {
            // What goes was read above: a second read could fail, and leave its index rows behind.
            let write = Write::remove(Keyspace::Objects, key);
            self.stage_over(write, &Before::Known(record));
        }
        self.hint_change.goes(hint.bytes);
        Ok(true)
    }
}
