//! The store's own record: who it is, and which promises bind it.
//!
//! - The **store id** never changes; segments of another store are refused.
//! - The **incarnation** is half of the name under which this store makes dots, so it goes on only where the
//!   store remembers all that it named (T2): after a clean close, and never after any other end. `open`
//!   stands from the opening to the clean close. A copy of the files that was taken in between is open
//!   too, so it never goes on with a name that its original uses.
//! - The **boot number** counts openings. It tells a clean copy that is older than the others remember.
//! - The **lineage** is what engine and log have in common: new when recovery had to settle a doubt, so
//!   that segments from before are known for what they are.
//! - **Key epochs** below the ceiling are spent: an epoch is handed out only after a ceiling above it
//!   was flushed, so a crash loses epochs and never repeats one.
//! - The **fingerprint key** goes into every storage key, so it must not change while there are keys.
//! - **First segment**: the engine holds all that older segments say, and replay starts here.
//!
//! The record stands in the engine, written in one batch with each checkpoint, and in the log, at the
//! start of each segment and wherever it changes; the last one read counts.
//!
//! ```text
//! version u16 │ store id 16 │ lineage 16 │ fingerprint key 16 │ incarnation 16 │ boot number u64 │ open u8
//! ceiling u64 │ first segment u64
//! ```

use std::fmt;

use bytes::{Buf, BufMut, Bytes};
use ringhold_core::id::Incarnation;

use crate::key::{Keyspace, StorageKey};

/// Where the record stands in the engine.
pub(crate) const META_PLACE: (Keyspace, StorageKey) = (Keyspace::Meta, StorageKey::FIRST);

const VERSION: u16 = 1;

/// One store on disk, from its creation on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(pub u128);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreId({self})")
    }
}

/// One story that engine and log tell together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lineage(pub u128);

impl fmt::Display for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lineage({self})")
    }
}

/// What an open store goes by. While it is open only the incarnation may change, once; see
/// [`Store::renew_incarnation`](crate::Store::renew_incarnation).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StoreIdentity {
    /// The store on disk.
    pub store_id: StoreId,
    /// New whenever recovery had to settle a doubt: something that had been flushed could not be read.
    pub lineage: Lineage,
    /// Half of the actor under which this store makes dots.
    pub incarnation: Incarnation,
    /// Counts the openings, from 1.
    pub boot_number: u64,
    /// The secret key of the fingerprints in storage keys.
    pub fingerprint_key: u128,
}

impl fmt::Debug for StoreIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreIdentity")
            .field("store_id", &self.store_id)
            .field("incarnation", &self.incarnation)
            .field("boot_number", &self.boot_number)
            .finish_non_exhaustive()
    }
}

/// The record itself.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct StoreMeta {
    pub(crate) store_id: StoreId,
    pub(crate) lineage: Lineage,
    pub(crate) fingerprint_key: u128,
    pub(crate) incarnation: Incarnation,
    pub(crate) boot_number: u64,
    pub(crate) open: bool,
    pub(crate) epoch_ceiling: u64,
    pub(crate) first_segment: u64,
}

impl fmt::Debug for StoreMeta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreMeta")
            .field("identity", &self.identity())
            .field("lineage", &self.lineage)
            .field("open", &self.open)
            .field("epoch_ceiling", &self.epoch_ceiling)
            .field("first_segment", &self.first_segment)
            .finish()
    }
}

/// What may happen to the record while the store is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MetaChange {
    /// The history of this incarnation is in doubt after all.
    Renew(Incarnation),
    /// All is flushed, and nothing will be written any more.
    CloseCleanly,
    /// Key epochs up to here are about to be handed out.
    RaiseEpochCeiling(u64),
}

impl StoreMeta {
    pub(crate) fn identity(&self) -> StoreIdentity {
        StoreIdentity {
            store_id: self.store_id,
            lineage: self.lineage,
            incarnation: self.incarnation,
            boot_number: self.boot_number,
            fingerprint_key: self.fingerprint_key,
        }
    }

    pub(crate) fn change(&mut self, change: MetaChange) {
        match change {
            MetaChange::Renew(incarnation) => self.incarnation = incarnation,
            MetaChange::CloseCleanly => self.open = false,
            MetaChange::RaiseEpochCeiling(to) => self.epoch_ceiling = self.epoch_ceiling.max(to),
        }
    }

    /// A new opening. Whoever was not closed may have named writes that this store does not remember.
    pub(crate) fn open_again(&mut self, draw_random: &mut (dyn FnMut() -> u128 + Send)) {
        self.boot_number += 1;
        if std::mem::replace(&mut self.open, true) {
            self.incarnation = Incarnation(draw_random());
        }
    }

    pub(crate) fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(96);
        bytes.put_u16_le(VERSION);
        bytes.put_u128_le(self.store_id.0);
        bytes.put_u128_le(self.lineage.0);
        bytes.put_u128_le(self.fingerprint_key);
        bytes.put_u128_le(self.incarnation.0);
        bytes.put_u64_le(self.boot_number);
        bytes.put_u8(u8::from(self.open));
        bytes.put_u64_le(self.epoch_ceiling);
        bytes.put_u64_le(self.first_segment);
        bytes.into()
    }

    /// The record in these bytes; none if they are not one of a known version.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        if bytes.try_get_u16_le().ok()? != VERSION {
            return None;
        }
        let meta = Self {
            store_id: StoreId(bytes.try_get_u128_le().ok()?),
            lineage: Lineage(bytes.try_get_u128_le().ok()?),
            fingerprint_key: bytes.try_get_u128_le().ok()?,
            incarnation: Incarnation(bytes.try_get_u128_le().ok()?),
            boot_number: bytes.try_get_u64_le().ok()?,
            open: match bytes.try_get_u8().ok()? {
                0 => false,
                1 => true,
                _ => return None,
            },
            epoch_ceiling: bytes.try_get_u64_le().ok()?,
            first_segment: bytes.try_get_u64_le().ok()?,
        };
        bytes.is_empty().then_some(meta)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> StoreMeta {
        StoreMeta {
            store_id: StoreId(1),
            lineage: Lineage(2),
            fingerprint_key: 3,
            incarnation: Incarnation(7),
            boot_number: 4,
            open: true,
            epoch_ceiling: 5,
            first_segment: 6,
        }
    }

    #[test]
    fn it_reads_back() {
        let bytes = meta().encode();
        assert_eq!(StoreMeta::decode(&bytes), Some(meta()));
        for length in 0..bytes.len() {
            assert_eq!(StoreMeta::decode(&bytes[..length]), None);
        }
    }

    #[test]
    fn only_a_clean_close_keeps_the_incarnation() {
        let mut meta = meta();
        let mut draw = || 99;
        meta.change(MetaChange::CloseCleanly);
        meta.open_again(&mut draw);
        assert_eq!((meta.incarnation, meta.boot_number), (Incarnation(7), 5));
        meta.open_again(&mut draw);
        assert_eq!((meta.incarnation, meta.boot_number), (Incarnation(99), 6));
    }

    #[test]
    fn a_ceiling_never_falls() {
        let mut meta = meta();
        meta.change(MetaChange::RaiseEpochCeiling(3));
        assert_eq!(meta.epoch_ceiling, 5);
    }

    #[test]
    fn the_fingerprint_key_is_not_shown() {
        let mut meta = meta();
        meta.fingerprint_key = 0xdead_beef;
        let shown = format!("{meta:?}");
        assert!(!shown.contains("dead") && !shown.contains(&0xdead_beef_u128.to_string()));
    }
}
