//! The encodings of requests and answers.
//!
//! A message is one byte for its kind and then its fields, in the order in which the types declare
//! them. Every kind and every variant has a number here that is never given to anything else, not
//! even after the variant is gone. Writing and reading stand side by side as one [`Part`], a codec
//! of one type; where an enum has no fields, one table of codes makes both ([`codes`]).
//!
//! Messages carry no version of their own. A kind's layout never changes, and which kinds there are follows from the protocol that
//! the two ends agreed on in the handshake ([`protocol`](super::protocol)), so a message with something left over is an error. The
//! objects in them do carry theirs, because they outlive connections.
//!
//! Invariants: a value has one encoding; `decode(encode(m)) == m`; whatever can be encoded within a
//! frame can be decoded.
//!
//! Not here: deadlines, request ids and placement numbers, which the frame's header holds.

mod coordinate;
mod datatype;
mod explain;
mod gossip;
mod index;
mod membership;
mod peer;
mod reaping;
mod transfer;
mod trees;

use super::peer::{ClientPut, Reply, Request};
use super::{Change, NAME_BYTES_MAX, ObjectName, PutRequest};
use crate::bytes_io::{DecodeError, Reader, Writer, decode_whole};
use bytes::{Bytes, BytesMut};
use membership::{read_document, write_document};
use trees::{read_compared, write_compared};

/// A type that is part of a message.
pub(crate) trait Part: Sized {
    fn write(&self, writer: &mut Writer<'_>);

    /// # Errors
    /// If the bytes are not what `write` makes of some value.
    fn read(reader: &mut Reader) -> Result<Self, DecodeError>;
}

/// Gives the variants of an enum without fields their codes.
macro_rules! codes {
    ($what:literal, $type:ident { $($variant:ident = $code:literal),* $(,)? }) => {
        impl Part for $type {
            fn write(&self, writer: &mut Writer<'_>) {
                writer.u8(match self { $(Self::$variant => $code),* });
            }

            fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
                match reader.u8($what)? {
                    $($code => Ok(Self::$variant),)*
                    code => Err(reader.unknown_code($what, code)),
                }
            }
        }
    };
}
pub(super) use codes;

impl Request {
    /// Puts the encoding at the end of `out`.
    pub fn encode(&self, out: &mut BytesMut) {
        self.write(&mut Writer::new(out));
    }

    /// # Errors
    /// If the bytes are no request of this protocol. Nothing is known of what was asked.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        decode_whole("request", bytes, Self::read)
    }
}

impl Reply {
    /// Puts the encoding at the end of `out`.
    pub fn encode(&self, out: &mut BytesMut) {
        self.write(&mut Writer::new(out));
    }

    /// # Errors
    /// If the bytes are no reply of this protocol. Whether the request was carried out is unknown.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        decode_whole("reply", bytes, Self::read)
    }
}

impl Part for Request {
    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Ping => writer.u8(1),
            Self::Coordinate(put) => kind(writer, if is_update(put) { 52 } else { 2 }, put),
            Self::Merge(merge) => kind(writer, 3, merge),
            Self::Follow(request) => kind(writer, 54, request),
            Self::Fetch(name) => kind(writer, 4, name),
            Self::Digest(name) => kind(writer, 5, name),
            Self::Properties(buckets) => kind(writer, 6, buckets),
            Self::Get(get) => kind(writer, 7, get),
            Self::Put(put) => kind(writer, if is_update(&put.request) { 53 } else { 8 }, put),
            Self::Testify(boot) => kind(writer, 9, boot),
            Self::Branches { basis, partition } => {
                writer.u8(10);
                write_compared(writer, *basis, *partition);
            }
            Self::Leaves {
                basis,
                partition,
                branches,
            } => {
                writer.u8(11);
                write_compared(writer, *basis, *partition);
                writer.u32(*branches);
            }
            Self::LeafKeys(request) => kind(writer, 12, request),
            Self::FetchMany(names) => kind(writer, 14, names),
            Self::MergeMany(objects) => kind(writer, 15, objects),
            Self::Mend(request) => kind(writer, 16, request),
            Self::Objects(page) => kind(writer, 20, page),
            Self::Count(request) => kind(writer, 13, request),
            Self::Strays(request) => kind(writer, 21, request),
            Self::Vouch(request) => kind(writer, 17, request),
            Self::Reap(request) => kind(writer, 18, request),
            Self::GossipDigest(digest) => kind(writer, 22, digest),
            Self::GossipDeltas(deltas) => kind(writer, 23, deltas),
            Self::RingIs(document) => {
                writer.u8(27);
                write_document(writer, document);
            }
            Self::Receipts => writer.u8(28),
            Self::RingPrepare(request) => kind(writer, 24, request),
            Self::RingAccept(request) => kind(writer, 25, request),
            Self::RingFetch(request) => kind(writer, 26, request),
            Self::Recover(request) => kind(writer, 32, request),
            Self::RecoveryIs(request) => kind(writer, 33, request),
            Self::Rows(request) => kind(writer, 44, request),
            Self::CountKeys(request) => kind(writer, 45, request),
            Self::CheckRows(request) => kind(writer, 60, request),
            Self::ClientRing(epoch) => kind(writer, 63, epoch),
        }
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match reader.u8("request")? {
            1 => Self::Ping,
            2 => Self::Coordinate(of_sort(reader, false, |put| put)?),
            52 => Self::Coordinate(of_sort(reader, true, |put| put)?),
            3 => Self::Merge(Part::read(reader)?),
            54 => Self::Follow(Part::read(reader)?),
            4 => Self::Fetch(Part::read(reader)?),
            5 => Self::Digest(Part::read(reader)?),
            6 => Self::Properties(Part::read(reader)?),
            7 => Self::Get(Part::read(reader)?),
            8 => Self::Put(of_sort(reader, false, |put: &ClientPut| &put.request)?),
            53 => Self::Put(of_sort(reader, true, |put: &ClientPut| &put.request)?),
            9 => Self::Testify(Part::read(reader)?),
            10 => {
                let (basis, partition) = read_compared(reader)?;
                Self::Branches { basis, partition }
            }
            11 => {
                let (basis, partition) = read_compared(reader)?;
                let branches = reader.u32("branches")?;
                Self::Leaves {
                    basis,
                    partition,
                    branches,
                }
            }
            12 => Self::LeafKeys(Part::read(reader)?),
            14 => Self::FetchMany(Part::read(reader)?),
            15 => Self::MergeMany(Part::read(reader)?),
            16 => Self::Mend(Part::read(reader)?),
            20 => Self::Objects(Part::read(reader)?),
            13 => Self::Count(Part::read(reader)?),
            21 => Self::Strays(Part::read(reader)?),
            17 => Self::Vouch(Part::read(reader)?),
            18 => Self::Reap(Part::read(reader)?),
            22 => Self::GossipDigest(Part::read(reader)?),
            23 => Self::GossipDeltas(Part::read(reader)?),
            27 => Self::RingIs(read_document(reader)?),
            28 => Self::Receipts,
            24 => Self::RingPrepare(Part::read(reader)?),
            25 => Self::RingAccept(Part::read(reader)?),
            26 => Self::RingFetch(Part::read(reader)?),
            32 => Self::Recover(Part::read(reader)?),
            33 => Self::RecoveryIs(Part::read(reader)?),
            44 => Self::Rows(Part::read(reader)?),
            45 => Self::CountKeys(Part::read(reader)?),
            60 => Self::CheckRows(Part::read(reader)?),
            63 => Self::ClientRing(Part::read(reader)?),
            code => return Err(reader.unknown_code("request", code)),
        })
    }
}

impl Part for Reply {
    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Pong(reported) => kind(writer, 1, reported),
            Self::Here { reported, epoch } => {
                kind(writer, 34, reported);
                epoch.write(writer);
            }
            Self::Coordinated(result) => kind(writer, 2, result),
            Self::Merged { durable } => kind(writer, 3, durable),
            Self::Fetched(object) => kind(writer, 4, object),
            Self::Digested(digest) => kind(writer, 5, digest),
            Self::PropertiesKept => writer.u8(6),
            Self::Got(result) => kind(writer, 7, result),
            Self::Refused(refusal) => kind(writer, 8, refusal),
            Self::Testimony(testimony) => kind(writer, 9, testimony),
            Self::Branches(branches) => kind(writer, 10, branches),
            Self::Leaves(leaves) => kind(writer, 11, leaves),
            Self::LeafKeys(keys) => kind(writer, 12, keys),
            Self::FetchedMany(objects) => kind(writer, 14, objects),
            Self::MergedMany(outcomes) => kind(writer, 15, outcomes),
            Self::Mended(mended) => kind(writer, 16, mended),
            Self::Objects(page) => kind(writer, 20, page),
            Self::Counted(counted) => kind(writer, 13, counted),
            Self::Said(answers) => kind(writer, 21, answers),
            Self::Gossip { deltas, wanted } => {
                kind(writer, 22, deltas);
                wanted.write(writer);
            }
            Self::GossipTaken => writer.u8(23),
            Self::RingTaken => writer.u8(27),
            Self::Receipts(receipts) => kind(writer, 28, receipts),
            Self::RingPromised(reply) => kind(writer, 24, reply),
            Self::RingAccepted(reply) => kind(writer, 25, reply),
            Self::RingFetched(changes) => kind(writer, 26, changes),
            Self::Pledged(reply) => kind(writer, 32, reply),
            Self::RecoveryAccepted(reply) => kind(writer, 33, reply),
            Self::Rows(page) => kind(writer, 44, page),
            Self::CountedKeys(counted) => kind(writer, 45, counted),
            Self::CheckedRows(checked) => kind(writer, 60, checked),
            Self::ClientRing(ring) => kind(writer, 63, ring),
        }
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match reader.u8("reply")? {
            1 => Self::Pong(Part::read(reader)?),
            34 => Self::Here {
                reported: Part::read(reader)?,
                epoch: Part::read(reader)?,
            },
            2 => Self::Coordinated(Part::read(reader)?),
            3 => Self::Merged {
                durable: Part::read(reader)?,
            },
            4 => Self::Fetched(Part::read(reader)?),
            5 => Self::Digested(Part::read(reader)?),
            6 => Self::PropertiesKept,
            7 => Self::Got(Part::read(reader)?),
            8 => Self::Refused(Part::read(reader)?),
            9 => Self::Testimony(Part::read(reader)?),
            10 => Self::Branches(Part::read(reader)?),
            11 => Self::Leaves(Part::read(reader)?),
            12 => Self::LeafKeys(Part::read(reader)?),
            14 => Self::FetchedMany(Part::read(reader)?),
            15 => Self::MergedMany(Part::read(reader)?),
            16 => Self::Mended(Part::read(reader)?),
            20 => Self::Objects(Part::read(reader)?),
            13 => Self::Counted(Part::read(reader)?),
            21 => Self::Said(Part::read(reader)?),
            22 => Self::Gossip {
                deltas: Part::read(reader)?,
                wanted: Part::read(reader)?,
            },
            23 => Self::GossipTaken,
            27 => Self::RingTaken,
            28 => Self::Receipts(Part::read(reader)?),
            24 => Self::RingPromised(Part::read(reader)?),
            25 => Self::RingAccepted(Part::read(reader)?),
            26 => Self::RingFetched(Part::read(reader)?),
            32 => Self::Pledged(Part::read(reader)?),
            33 => Self::RecoveryAccepted(Part::read(reader)?),
            44 => Self::Rows(Part::read(reader)?),
            45 => Self::CountedKeys(Part::read(reader)?),
            60 => Self::CheckedRows(Part::read(reader)?),
            63 => Self::ClientRing(Part::read(reader)?),
            code => return Err(reader.unknown_code("reply", code)),
        })
    }
}

/// Updates of data types have kinds of their own: an older release reads neither.
fn is_update(put: &PutRequest) -> bool {
    matches!(put.change, Change::Update(_))
}

/// Reads a put that has to be an update, or must not be one.
fn of_sort<T: Part>(
    reader: &mut Reader,
    updates: bool,
    put: impl Fn(&T) -> &PutRequest,
) -> Result<T, DecodeError> {
    let offset = reader.offset();
    let read = T::read(reader)?;
    if is_update(put(&read)) == updates {
        return Ok(read);
    }
    let what = "change";
    Err(DecodeError::Malformed { what, offset })
}

fn kind(writer: &mut Writer<'_>, code: u8, part: &impl Part) {
    writer.u8(code);
    part.write(writer);
}

impl Part for bool {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.flag(*self);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        reader.flag("flag")
    }
}

impl Part for u32 {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.u32(*self);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        reader.u32("number")
    }
}

impl Part for u64 {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.u64(*self);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        reader.u64("number")
    }
}

impl<T: Part> Part for Option<T> {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.option(self.as_ref(), |writer, value| value.write(writer));
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        reader.option("option", T::read)
    }
}

impl<T: Part> Part for Box<T> {
    fn write(&self, writer: &mut Writer<'_>) {
        T::write(self, writer);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        T::read(reader).map(Box::new)
    }
}

/// One byte, 0 for an error and 1 for a success, and then the one or the other.
impl<T: Part, E: Part> Part for Result<T, E> {
    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Err(error) => kind(writer, 0, error),
            Ok(value) => kind(writer, 1, value),
        }
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        if reader.flag("result")? {
            T::read(reader).map(Ok)
        } else {
            E::read(reader).map(Err)
        }
    }
}

impl Part for ObjectName {
    fn write(&self, writer: &mut Writer<'_>) {
        self.write_names(writer);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Self::read_names(reader)
    }
}

impl ObjectName {
    /// # Panics
    /// If a name is longer than [`NAME_BYTES_MAX`].
    pub(crate) fn write_names(&self, writer: &mut Writer<'_>) {
        write_name(writer, "bucket type", &self.bucket_type);
        write_name(writer, "bucket", &self.bucket);
        write_name(writer, "key", &self.key);
    }

    pub(crate) fn read_names(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            bucket_type: reader.bytes("bucket type", NAME_BYTES_MAX)?,
            bucket: reader.bytes("bucket", NAME_BYTES_MAX)?,
            key: reader.bytes("key", NAME_BYTES_MAX)?,
        })
    }
}

fn write_name(writer: &mut Writer<'_>, what: &'static str, name: &Bytes) {
    writer.bytes_within(what, name, NAME_BYTES_MAX);
}
