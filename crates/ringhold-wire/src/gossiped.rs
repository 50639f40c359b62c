//! What a node says of itself in gossip: the values of some keys.
//!
//! ```text
//! addresses   u8 1 │ peer, http, pb, native: each u32 length, text
//! load        u8 1 │ u32 partitions owned │ u64 bytes stored │ u64 bytes kept for others
//! epoch       u8 1 │ u64 epoch │ 16 B hash │ u64 placement number
//! protocols   u8 1 │ u16 lowest │ u16 highest
//! ```
//!
//! Gossip carries values as bytes, through nodes of every release, and nobody but the author encodes them. So each begins with a
//! version, and what a later release adds at the end is left alone here (T20). A version that is not read is an error: the reader knows
//! nothing of that key then, and passes it on all the same.
//!
//! Not here: how values spread (`ringhold_core::membership::gossip`), and the ring document that an epoch names.

use crate::bytes_io::{DecodeError, Reader, WITHOUT_LIMIT, Writer, encode_alone};
use crate::handshake::ProtocolRange;
use bytes::Bytes;
use ringhold_core::ring::{Addresses, Epoch, RingDocument, RingHash};

const VERSION: u8 = 1;

/// Which ring document a node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingKnown {
    pub epoch: Epoch,
    pub hash: RingHash,
    pub placement_number: u64,
}

/// How much a node has to bear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    pub partitions: u32,
    /// What its store takes on its disk and in memory, in bytes.
    pub stored_bytes: u64,
    /// The objects that it keeps for others, in bytes.
    pub hint_bytes: u64,
}

impl RingKnown {
    #[must_use]
    pub fn of(document: &RingDocument) -> Self {
        Self {
            epoch: document.epoch,
            hash: document.hash(),
            placement_number: document.placement.placement_number,
        }
    }

    #[must_use]
    pub fn encode(&self) -> Bytes {
        value(|writer| {
            writer.u64(self.epoch.0);
            writer.raw(&self.hash.0);
            writer.u64(self.placement_number);
        })
    }

    /// # Errors
    /// If the bytes are no such value, or of a version that this release does not read.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        read("epoch", bytes, |reader| {
            Ok(Self {
                epoch: Epoch(reader.u64("epoch")?),
                hash: RingHash(reader.array("ring hash")?),
                placement_number: reader.u64("placement number")?,
            })
        })
    }
}

/// The protocols that a node speaks.
#[must_use]
pub fn encode_protocols(protocols: ProtocolRange) -> Bytes {
    value(|writer| {
        writer.u16(protocols.min);
        writer.u16(protocols.max);
    })
}

/// # Errors
/// If the bytes are no such value, or of a version that this release does not read.
pub fn decode_protocols(bytes: Bytes) -> Result<ProtocolRange, DecodeError> {
    read("protocols", bytes, |reader| {
        Ok(ProtocolRange {
            min: reader.u16("protocol")?,
            max: reader.u16("protocol")?,
        })
    })
}

impl Load {
    #[must_use]
    pub fn encode(&self) -> Bytes {
        value(|writer| {
            writer.u32(self.partitions);
            writer.u64(self.stored_bytes);
            writer.u64(self.hint_bytes);
        })
    }

    /// # Errors
    /// If the bytes are no such value, or of a version that this release does not read.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        read("load", bytes, |reader| {
            Ok(Self {
                partitions: reader.u32("partitions")?,
                stored_bytes: reader.u64("bytes stored")?,
                hint_bytes: reader.u64("bytes of hints")?,
            })
        })
    }
}

/// Where a node is reached.
#[must_use]
pub fn encode_addresses(addresses: &Addresses) -> Bytes {
    let Addresses {
        peer,
        http,
        pb,
        native,
    } = addresses;
    value(|writer| {
        for address in [peer, http, pb, native] {
            writer.bytes(address.as_bytes());
        }
    })
}

/// # Errors
/// If the bytes are no addresses, or of a version that this release does not read.
pub fn decode_addresses(bytes: Bytes) -> Result<Addresses, DecodeError> {
    read("addresses", bytes, |reader| {
        Ok(Addresses {
            peer: address(reader)?,
            http: address(reader)?,
            pb: address(reader)?,
            native: address(reader)?,
        })
    })
}

fn address(reader: &mut Reader) -> Result<String, DecodeError> {
    let offset = reader.offset();
    let bytes = reader.bytes("address", WITHOUT_LIMIT)?;
    String::from_utf8(bytes.into()).map_err(|_| DecodeError::Malformed {
        what: "address",
        offset,
    })
}

fn value(write: impl FnOnce(&mut Writer<'_>)) -> Bytes {
    encode_alone(64, |writer| {
        writer.u8(VERSION);
        write(writer);
    })
}

/// Reads what this release knows of a value and leaves the rest.
fn read<T>(
    what: &'static str,
    bytes: Bytes,
    fields: impl FnOnce(&mut Reader) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let mut reader = Reader::new(bytes);
    match reader.u8(what)? {
        VERSION => fields(&mut reader),
        version => Err(DecodeError::UnknownVersion { what, version }),
    }
}
