//! What a store keeps of one key.
//!
//! A store finds records by ring position and a fingerprint of the names, so the record holds the
//! names themselves, to be compared on every read: two keys with one fingerprint must be an error
//! and never an overwrite. Beside the object lies what is this store's own: the [`LiveEpoch`], the
//! right to go on counting on the key, which is never sent and never merged. Layout of format
//! version 1:
//!
//! ```text
//! u8       1, the format version
//! u32 …    bucket type, bucket, key: each its length and its bytes
//! u8       1 if the store may go on counting: u64 epoch, u64 counter; else 0
//! …        the object, encoded as in `object`, up to the checksum
//! u64      XXH3 of all bytes before it
//! ```
//!
//! The checksum covers what the content hashes do not: names, contexts, dots. A damaged context is
//! worse than a damaged value, because it may claim to have seen writes that it never saw and
//! swallow them when they arrive (T3).
//!
//! Reading has two steps. [`StoredRecord::open`] checks the bytes and gives the names and the local
//! mark; [`StoredRecord::decode`] builds the object, for those who want more than to pass it on:
//! [`StoredRecord::object`] holds it encoded, as it goes over the wire.
//!
//! Not here: where records lie and in which order (that is the store's), and a local part beyond
//! the mark, which would be a new format version.

use crate::bytes_io::{DecodeError, Reader, Writer, encode_alone};
use crate::message::ObjectName;
use crate::object;
use bytes::Bytes;
use ringhold_core::version::{KeyEpoch, LiveEpoch, Object};
use xxhash_rust::xxh3::xxh3_64;

/// The version of the format that is written, and the only one that is read.
pub const FORMAT_VERSION: u8 = 1;

const CHECKSUM_BYTES: usize = 8;
const LIVE_BYTES: usize = 8 + 8;

/// A record as it is worked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub name: ObjectName,
    /// This store's right to go on counting on the key; local to it.
    pub live: Option<LiveEpoch>,
    pub object: Object,
}

impl Record {
    /// # Panics
    /// If a name is longer than any name that is taken in.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        encode(&self.name, self.live, &self.object)
    }

    /// Opens and decodes at once.
    ///
    /// # Errors
    /// If the bytes are no record, or are damaged.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        StoredRecord::open(bytes)?.decode()
    }
}

/// A record's bytes, from parts that belong to somebody else.
///
/// # Panics
/// If a name is longer than any name that is taken in.
#[must_use]
pub fn encode(name: &ObjectName, live: Option<LiveEpoch>, object: &Object) -> Bytes {
    let names = name.bucket_type.len() + name.bucket.len() + name.key.len();
    let local = 1 + LIVE_BYTES;
    let bytes = 1 + 3 * 4 + names + local + object::encoded_bytes(object) + CHECKSUM_BYTES;
    encode_alone(bytes, |writer| {
        writer.u8(FORMAT_VERSION);
        name.write_names(writer);
        writer.option(live, write_live);
        object::write(writer, object);
        writer.u64(xxh3_64(writer.written()));
    })
}

/// A record whose bytes were checked, with the object still encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    pub name: ObjectName,
    /// This store's right to go on counting on the key; local to it.
    pub live: Option<LiveEpoch>,
    /// The encoding of the object.
    pub object: Bytes,
}

impl StoredRecord {
    /// Checks the bytes and reads all but the object.
    ///
    /// # Errors
    /// If the bytes are no record, or are damaged. Neither means that the key was never written.
    pub fn open(mut bytes: Bytes) -> Result<Self, DecodeError> {
        check_version(&bytes)?;
        let Some(body) = bytes.len().checked_sub(CHECKSUM_BYTES) else {
            let (needed, left) = (CHECKSUM_BYTES, bytes.len());
            return Err(DecodeError::Truncated {
                what: "checksum",
                offset: 0,
                needed,
                left,
            });
        };
        let checksum = Reader::new(bytes.split_off(body)).u64("checksum")?;
        if xxh3_64(&bytes) != checksum {
            return Err(DecodeError::HashMismatch {
                what: "record",
                offset: 0,
            });
        }
        let mut reader = Reader::new(bytes);
        reader.u8("record")?;
        let name = ObjectName::read_names(&mut reader)?;
        let live = reader.option("live epoch", read_live)?;
        Ok(Self {
            name,
            live,
            object: reader.take_rest(),
        })
    }

    /// # Errors
    /// If what was stored is no object.
    pub fn decode(self) -> Result<Record, DecodeError> {
        let object = object::decode(self.object)?;
        Ok(Record {
            name: self.name,
            live: self.live,
            object,
        })
    }
}

fn check_version(bytes: &Bytes) -> Result<(), DecodeError> {
    match bytes.first() {
        Some(&FORMAT_VERSION) => Ok(()),
        Some(&version) => Err(DecodeError::UnknownVersion {
            what: "record",
            version,
        }),
        None => Err(DecodeError::Truncated {
            what: "record",
            offset: 0,
            needed: 1,
            left: 0,
        }),
    }
}

fn write_live(writer: &mut Writer<'_>, live: LiveEpoch) {
    writer.u64(live.epoch.0);
    writer.u64(live.counter);
}

fn read_live(reader: &mut Reader) -> Result<LiveEpoch, DecodeError> {
    Ok(LiveEpoch {
        epoch: KeyEpoch(reader.u64("key epoch")?),
        counter: reader.u64("counter")?,
    })
}
