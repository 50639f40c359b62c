//! The encoding of an object, the same on the wire and on disk.
//!
//! A replica stores what it received, so one encoding serves both (the local mark that a store
//! keeps beside it is in [`crate::record`]). Layout of format version 1:
//!
//! ```text
//! u8       1, the format version
//! u32      entries of the context, each: u128 incarnation, u64 epoch, u64 counter
//! u32      versions, each:
//!   u32      which entry of the context holds the actor of the dot
//!   u64      counter of the dot
//!   u64      timestamp, u128 operation id, u128 content hash
//!   u8       0 tombstone, 1 value; a value goes on:
//!   u32      metadata fields, each: u16 tag, u32 length, bytes
//!   u32      length of the value, bytes
//! ```
//!
//! A dot's actor is always in the context, so a version refers to it and saves 20 of 24 bytes; a
//! version that the context does not cover can't be written down.
//!
//! Invariants, checked on decoding: those of [`Object`], and that each version's hash is the hash
//! of its content. A damaged value is therefore an error here and never an answer, a repair or a
//! merge.
//!
//! **Fields that this program does not know (T20).** What a later release wants to say of one
//! *version* it says in a metadata field. Fields are kept and passed on whatever their tag, and
//! hashed with the content; tags from [`EXTENSION_TAG_MIN`] up are set aside for it. What it wants
//! to say of an *object* changes how objects merge, and a program that merges without knowing would
//! be wrong in silence; so that is a new format version, which this program refuses to read, and
//! which no release writes before every member is known to read it.
//!
//! Not here: limits on sizes. A merge never refuses, so whatever was stored can be read back; puts
//! are bounded where they enter.

use crate::bytes_io::{DecodeError, Reader, WITHOUT_LIMIT, Writer, decode_whole, encode_alone};
use bytes::{Bytes, BytesMut};
use ringhold_core::id::{Incarnation, OperationId};
use ringhold_core::version::{
    Actor, Content, ContentHash, Context, Dot, KeyEpoch, MetadataField, Object, Timestamp, Version,
};

/// The version of the format that is written, and the only one that is read.
pub const FORMAT_VERSION: u8 = 1;

/// Metadata tags from here up are for later releases: kept, passed on, hashed, never understood.
pub const EXTENSION_TAG_MIN: u16 = 0x8000;

const KIND_TOMBSTONE: u8 = 0;
const KIND_VALUE: u8 = 1;

const HEADER_BYTES: usize = 1 + 4 + 4;
const ENTRY_BYTES: usize = 16 + 8 + 8;
const VERSION_BYTES_MIN: usize = 4 + 8 + 8 + 16 + 16 + 1;
const VALUE_BYTES_MIN: usize = 4 + 4;
const FIELD_BYTES_MIN: usize = 2 + 4;

/// Puts the encoding of an object at the end of `out`.
pub fn encode(object: &Object, out: &mut BytesMut) {
    out.reserve(encoded_bytes(object));
    write(&mut Writer::new(out), object);
}

/// The encoding of an object by itself.
#[must_use]
pub fn to_bytes(object: &Object) -> Bytes {
    encode_alone(encoded_bytes(object), |writer| write(writer, object))
}

/// The size of the encoding, without making it.
#[must_use]
pub fn encoded_bytes(object: &Object) -> usize {
    let versions: usize = object.versions().iter().map(version_bytes).sum();
    HEADER_BYTES + object.context().len() * ENTRY_BYTES + versions
}

fn version_bytes(version: &Version) -> usize {
    match &version.content {
        Content::Tombstone => VERSION_BYTES_MIN,
        Content::Value { bytes, metadata } => {
            let fields: usize = metadata
                .iter()
                .map(|field| FIELD_BYTES_MIN + field.bytes.len())
                .sum();
            VERSION_BYTES_MIN + VALUE_BYTES_MIN + fields + bytes.len()
        }
    }
}

/// Decodes an object that takes up all of `bytes`. Its values and metadata are slices of them.
///
/// # Errors
/// If the bytes are no encoding of an object, or a content does not match its hash.
pub fn decode(bytes: Bytes) -> Result<Object, DecodeError> {
    decode_whole("object", bytes, read)
}

pub(crate) fn write(writer: &mut Writer<'_>, object: &Object) {
    writer.u8(FORMAT_VERSION);
    write_context(writer, object.context());
    let entries = object.context().entries();
    writer.list(object.versions(), |writer, version| {
        let actor = entries.binary_search_by_key(&version.dot.actor, |&(actor, _)| actor);
        let entry = actor.expect("an object's context covers its dots");
        writer.u32(u32::try_from(entry).expect("a context has fewer than 2³² entries"));
        write_version(writer, version);
    });
}

fn write_version(writer: &mut Writer<'_>, version: &Version) {
    writer.u64(version.dot.counter);
    writer.u64(version.timestamp.0);
    writer.u128(version.operation.0);
    writer.u128(version.hash.0);
    write_content(writer, &version.content);
}

pub(crate) fn write_content(writer: &mut Writer<'_>, content: &Content) {
    match content {
        Content::Tombstone => writer.u8(KIND_TOMBSTONE),
        Content::Value { bytes, metadata } => {
            writer.u8(KIND_VALUE);
            writer.list(metadata, |writer, field| {
                writer.u16(field.tag);
                writer.bytes(&field.bytes);
            });
            writer.bytes(bytes);
        }
    }
}

pub(crate) fn write_context(writer: &mut Writer<'_>, context: &Context) {
    writer.list(context.entries(), |writer, &(actor, counter)| {
        write_dot(writer, Dot { actor, counter });
    });
}

pub(crate) fn write_dot(writer: &mut Writer<'_>, dot: Dot) {
    writer.u128(dot.actor.incarnation.0);
    writer.u64(dot.actor.epoch.0);
    writer.u64(dot.counter);
}

pub(crate) fn read(reader: &mut Reader) -> Result<Object, DecodeError> {
    let version = reader.u8("object")?;
    if version != FORMAT_VERSION {
        return Err(DecodeError::UnknownVersion {
            what: "object",
            version,
        });
    }
    let context = read_context(reader)?;
    let offset = reader.offset();
    let versions =
        reader.list::<_, VERSION_BYTES_MIN>("versions", |reader| read_version(reader, &context))?;
    Object::from_parts(context, versions).map_err(|_| DecodeError::Malformed {
        what: "versions",
        offset,
    })
}

fn read_version(reader: &mut Reader, context: &Context) -> Result<Version, DecodeError> {
    let offset = reader.offset();
    let entry = usize::try_from(reader.u32("actor")?).ok();
    let Some(&(actor, _)) = entry.and_then(|entry| context.entries().get(entry)) else {
        return Err(DecodeError::Malformed {
            what: "actor",
            offset,
        });
    };
    let counter = reader.u64("counter")?;
    if counter == 0 {
        return Err(DecodeError::Malformed {
            what: "counter",
            offset,
        });
    }
    let timestamp = Timestamp(reader.u64("timestamp")?);
    let operation = OperationId(reader.u128("operation id")?);
    let hash = ContentHash(reader.u128("content hash")?);
    let offset = reader.offset();
    let content = read_content(reader)?;
    if content.hash() != hash {
        return Err(DecodeError::HashMismatch {
            what: "content",
            offset,
        });
    }
    Ok(Version {
        dot: Dot { actor, counter },
        timestamp,
        operation,
        hash,
        content,
    })
}

pub(crate) fn read_content(reader: &mut Reader) -> Result<Content, DecodeError> {
    match reader.u8("content")? {
        KIND_TOMBSTONE => Ok(Content::Tombstone),
        KIND_VALUE => {
            let metadata = reader.list::<_, FIELD_BYTES_MIN>("metadata", read_field)?;
            let bytes = reader.bytes("value", WITHOUT_LIMIT)?;
            Ok(Content::Value { bytes, metadata })
        }
        code => Err(reader.unknown_code("content", code)),
    }
}

fn read_field(reader: &mut Reader) -> Result<MetadataField, DecodeError> {
    let tag = reader.u16("metadata tag")?;
    let bytes = reader.bytes("metadata field", WITHOUT_LIMIT)?;
    Ok(MetadataField { tag, bytes })
}

pub(crate) fn read_context(reader: &mut Reader) -> Result<Context, DecodeError> {
    let offset = reader.offset();
    let entries = reader.list::<_, ENTRY_BYTES>("context", |reader| {
        let dot = read_dot(reader)?;
        Ok((dot.actor, dot.counter))
    })?;
    Context::from_sorted(entries).map_err(|_| DecodeError::Malformed {
        what: "context",
        offset,
    })
}

/// The counter may be 0 here; where that has no meaning, the caller refuses it.
pub(crate) fn read_dot(reader: &mut Reader) -> Result<Dot, DecodeError> {
    let incarnation = Incarnation(reader.u128("incarnation")?);
    let epoch = KeyEpoch(reader.u64("key epoch")?);
    let counter = reader.u64("counter")?;
    Ok(Dot {
        actor: Actor { incarnation, epoch },
        counter,
    })
}
