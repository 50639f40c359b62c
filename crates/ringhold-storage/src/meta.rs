//! The store's own record: who it is, and which promises bind it.
//!
//! - The **store id** never changes; segments of another store are refused.
//! - The **incarnation** is new whenever the store's history is in doubt (T2).
//! - The **life** is new whenever somebody may have seen records that a crash then took back. While
//!   `exposed` is set such records may be about; a clean close takes the flag away.
//! - **Key epochs** below the ceiling are spent: an epoch is handed out only after a ceiling above it
//!   was flushed, so a crash loses epochs and never repeats one.
//! - The **fingerprint key** goes into every storage key, so it must not change while there are keys.
//! - **First segment**: the engine holds all that older segments say, and replay starts here.
//!
//! The record stands in the engine, written in one batch with each checkpoint, and in the log, at the
//! start of each segment and wherever it changes; the last one read counts.
//!
//! ```text
//! version u16 │ store id 16 │ incarnation 16 │ fingerprint key 16 │ life u64 │ exposed u8 │ ceiling u64 │ first segment u64
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

/// What an open store goes by. None of it changes while it is open.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StoreIdentity {
    /// The store on disk.
    pub store_id: StoreId,
    /// Half of the actor under which this store makes dots.
    pub incarnation: Incarnation,
    /// Counts the openings after which unflushed records may have been seen and lost.
    pub life: u64,
    /// The secret key of the fingerprints in storage keys.
    pub fingerprint_key: u128,
}

impl fmt::Debug for StoreIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreIdentity")
            .field("store_id", &self.store_id)
            .field("incarnation", &self.incarnation)
            .field("life", &self.life)
            .finish_non_exhaustive()
    }
}

/// The record itself.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct StoreMeta {
    pub(crate) store_id: StoreId,
    pub(crate) incarnation: Incarnation,
    pub(crate) fingerprint_key: u128,
    pub(crate) life: u64,
    pub(crate) exposed: bool,
    pub(crate) epoch_ceiling: u64,
    pub(crate) first_segment: u64,
}

impl fmt::Debug for StoreMeta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreMeta")
            .field("identity", &self.identity())
            .field("exposed", &self.exposed)
            .field("epoch_ceiling", &self.epoch_ceiling)
            .field("first_segment", &self.first_segment)
            .finish()
    }
}

/// What may happen to the record while the store is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MetaChange {
    /// Unflushed records may be seen from now on.
    Expose,
    /// All is flushed, and nothing will be written any more.
    CloseCleanly,
    /// Key epochs up to here are about to be handed out.
    RaiseEpochCeiling(u64),
}

impl StoreMeta {
    pub(crate) fn identity(&self) -> StoreIdentity {
        StoreIdentity {
            store_id: self.store_id,
            incarnation: self.incarnation,
            life: self.life,
            fingerprint_key: self.fingerprint_key,
        }
    }

    pub(crate) fn change(&mut self, change: MetaChange) {
        match change {
            MetaChange::Expose => self.exposed = true,
            MetaChange::CloseCleanly => self.exposed = false,
            MetaChange::RaiseEpochCeiling(to) => self.epoch_ceiling = self.epoch_ceiling.max(to),
        }
    }

    pub(crate) fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(80);
        bytes.put_u16_le(VERSION);
        bytes.put_u128_le(self.store_id.0);
        bytes.put_u128_le(self.incarnation.0);
        bytes.put_u128_le(self.fingerprint_key);
        bytes.put_u64_le(self.life);
        bytes.put_u8(u8::from(self.exposed));
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
            incarnation: Incarnation(bytes.try_get_u128_le().ok()?),
            fingerprint_key: bytes.try_get_u128_le().ok()?,
            life: bytes.try_get_u64_le().ok()?,
            exposed: match bytes.try_get_u8().ok()? {
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
            incarnation: Incarnation(2),
            fingerprint_key: 3,
            life: 4,
            exposed: true,
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
