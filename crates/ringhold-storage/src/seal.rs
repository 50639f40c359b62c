//! The seal on a value: eight bytes that say "this is what was put under this key".
//!
//! Disks return wrong bytes now and then (T21: a few drives in a hundred a year), and they also
//! return the right bytes of another place. So the checksum covers the keyspace and the key as well
//! as the value, is made once when a write is committed, travels with the value through log, buffer
//! and engine unchanged, and is checked on every read. A value that fails it is an error and never
//! "not found": a coordinator that took damage for absence would reuse a dot (T2).
//!
//! Shape: value ‖ xxh3_64 (little-endian), seeded with the hash of keyspace and key.

use bytes::{BufMut, Bytes};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::key::{Keyspace, StorageKey};

/// The number of the rows among the keyspaces.
const ROWS_NUMBER: u64 = 6;

/// How much longer a sealed value is than the value.
pub(crate) const SEAL_BYTES: usize = 8;

/// Appends the value and its seal.
pub(crate) fn put_sealed(into: &mut Vec<u8>, keyspace: Keyspace, key: &StorageKey, value: &[u8]) {
    into.put_slice(value);
    into.put_u64_le(checksum(keyspace, key, value));
}

/// The value, with its seal, as bytes of its own.
pub(crate) fn seal(keyspace: Keyspace, key: &StorageKey, value: &[u8]) -> Bytes {
    let mut sealed = Vec::with_capacity(value.len() + SEAL_BYTES);
    put_sealed(&mut sealed, keyspace, key, value);
    sealed.into()
}

/// The value under the seal; none if the seal does not fit it.
pub(crate) fn unseal(keyspace: Keyspace, key: &StorageKey, sealed: &Bytes) -> Option<Bytes> {
    let length = sealed.len().checked_sub(SEAL_BYTES)?;
    let value = sealed.slice(..length);
    let stored = u64::from_le_bytes(sealed[length..].try_into().ok()?);
    (checksum(keyspace, key, &value) == stored).then_some(value)
}

/// A row's value with its seal.
pub(crate) fn seal_row(key: &[u8], value: &[u8]) -> Bytes {
    let mut sealed = Vec::with_capacity(value.len() + SEAL_BYTES);
    sealed.put_slice(value);
    sealed.put_u64_le(row_checksum(key, value));
    sealed.into()
}

/// The value of a row under its seal; none if the seal does not fit it.
pub(crate) fn unseal_row(key: &[u8], sealed: &Bytes) -> Option<Bytes> {
    let length = sealed.len().checked_sub(SEAL_BYTES)?;
    let value = sealed.slice(..length);
    let stored = u64::from_le_bytes(sealed[length..].try_into().ok()?);
    (row_checksum(key, &value) == stored).then_some(value)
}

fn row_checksum(key: &[u8], value: &[u8]) -> u64 {
    xxh3_64_with_seed(value, xxh3_64_with_seed(key, ROWS_NUMBER))
}

fn checksum(keyspace: Keyspace, key: &StorageKey, value: &[u8]) -> u64 {
    let place = xxh3_64_with_seed(&key.0, u64::from(keyspace.number()));
    xxh3_64_with_seed(value, place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_fits_one_value_in_one_place() {
        let key = StorageKey::new(7, 9);
        let sealed = seal(Keyspace::Objects, &key, b"value");
        assert_eq!(
            unseal(Keyspace::Objects, &key, &sealed).as_deref(),
            Some(&b"value"[..])
        );
        assert_eq!(unseal(Keyspace::Hints, &key, &sealed), None);
        assert_eq!(
            unseal(Keyspace::Objects, &StorageKey::new(7, 10), &sealed),
            None
        );
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                unseal(Keyspace::Objects, &key, &damaged.into()),
                None,
                "bit {bit}"
            );
        }
        assert_eq!(
            unseal(Keyspace::Objects, &key, &Bytes::from_static(b"short")),
            None
        );
    }
}
