//! What a client says of a value besides its bytes: type, links, index entries, expiry.
//!
//! A version carries metadata as a list of tagged fields, and nodes pass that list on and hash it
//! without looking in. Only the edge, which speaks with clients, needs its meaning: [`Metadata`] is
//! that meaning, and this module turns one into the other.
//!
//! | tag | field | bytes |
//! | --- | --- | --- |
//! | 1 | content type | as given, without the charset |
//! | 2 | charset | as given |
//! | 3 | content encoding | as given |
//! | 4 | a user's pair | name, value: each a `u32` length and its bytes |
//! | 5 | a link | bucket, key, tag: likewise |
//! | 6 | an index entry | field, value: likewise |
//! | 7 | expiry | `u64`, microseconds since 1970 |
//! | 8 | time to live | `u64`, microseconds from the version's timestamp on; without effect beside an expiry |
//! | 16 | the value is a data type | `u8`, its kind: 1 counter, 2 set, 3 gset, 4 hll, 5 map |
//!
//! The fields of one metadata always come in one order, by tag and then as the client gave them:
//! equal metadata has equal bytes, and with it an equal content hash, at whichever node a retry
//! enters.
//!
//! Tags that are not in the table are kept, after the others and in their own order, so that a
//! client that reads with an older node and writes back what it got does not lose what a newer one
//! said (T20). The layout of a tag never changes; what needs another layout gets another tag.
//!
//! An expiry is a moment and not a span, so it is the same wherever and whenever a copy arrives (T11). A bucket's
//! time to live is kept as a span beside the version's timestamp, which never changes either: the moment itself
//! would differ from one try of a put to the next, and make them two writes (T6). [`expires_at_us`] reads both.
//!
//! Only nodes write data types. Who reads the bytes of one as a value sees the content type that Riak gives them, and what is written
//! back is an ordinary value.
//!
//! Not here: the vtag, which follows from a version's dot, and last-modified, which is its
//! timestamp.

use crate::bytes_io::{DecodeError, Reader, WITHOUT_LIMIT, decode_whole, encode_alone};
use crate::message::codec::Part;
use bytes::Bytes;
use ringhold_core::crdt::Kind;
use ringhold_core::version::{Content, MetadataField, Version};

/// The tags that this release gives out; see the module.
pub mod tag {
    pub const CONTENT_TYPE: u16 = 1;
    pub const CHARSET: u16 = 2;
    pub const CONTENT_ENCODING: u16 = 3;
    pub const USER: u16 = 4;
    pub const LINK: u16 = 5;
    pub const INDEX: u16 = 6;
    pub const EXPIRES_AT: u16 = 7;
    pub const TIME_TO_LIVE: u16 = 8;
    pub const DATA_TYPE: u16 = ringhold_core::datatype::TAG;
}

/// A named value: what a user attached, or an entry in an index of that name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamedValue {
    pub name: Bytes,
    pub value: Bytes,
}

/// A pointer to another object, with a word for what it means.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link {
    pub bucket: Bytes,
    pub key: Bytes,
    pub tag: Bytes,
}

/// Everything that is said of one value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    pub content_type: Option<Bytes>,
    pub charset: Option<Bytes>,
    pub content_encoding: Option<Bytes>,
    pub user: Vec<NamedValue>,
    pub links: Vec<Link>,
    pub indexes: Vec<NamedValue>,
    /// Microseconds since 1970 from which on the value is hidden.
    pub expires_at_us: Option<u64>,
    /// How long the value is shown, from its timestamp on, if it has no `expires_at_us`; microseconds.
    pub time_to_live_us: Option<u64>,
    /// Fields with tags that this program does not know.
    pub unknown: Vec<MetadataField>,
}

impl Metadata {
    /// Finds the meaning of a version's fields, in whatever order they are.
    ///
    /// # Errors
    /// If a field with a known tag has another layout, or one that may occur once occurs twice.
    pub fn from_fields(fields: &[MetadataField]) -> Result<Self, DecodeError> {
        let mut metadata = Self::default();
        for field in fields {
            metadata.take(field)?;
        }
        Ok(metadata)
    }

    fn take(&mut self, field: &MetadataField) -> Result<(), DecodeError> {
        let bytes = field.bytes.clone();
        match field.tag {
            tag::CONTENT_TYPE => return once("content type", &mut self.content_type, bytes),
            tag::DATA_TYPE => {
                let kind = decode_whole("data type", bytes, Kind::read)?;
                let content_type = format!("application/riak_{}", kind.name());
                return once("content type", &mut self.content_type, content_type.into());
            }
            tag::CHARSET => return once("charset", &mut self.charset, bytes),
            tag::CONTENT_ENCODING => {
                return once("content encoding", &mut self.content_encoding, bytes);
            }
            tag::EXPIRES_AT => {
                let time_us = decode_whole("expiry", bytes, |reader| reader.u64("expiry"))?;
                return once("expiry", &mut self.expires_at_us, time_us);
            }
            tag::TIME_TO_LIVE => {
                let time_us = decode_whole("time to live", bytes, |reader| reader.u64("time"))?;
                return once("time to live", &mut self.time_to_live_us, time_us);
            }
            tag::USER => self
                .user
                .push(decode_whole("user metadata", bytes, read_named)?),
            tag::LINK => self.links.push(decode_whole("link", bytes, read_link)?),
            tag::INDEX => self
                .indexes
                .push(decode_whole("index entry", bytes, read_named)?),
            _ => self.unknown.push(field.clone()),
        }
        Ok(())
    }

    /// The fields, in the one order that they have.
    #[must_use]
    pub fn to_fields(&self) -> Vec<MetadataField> {
        let texts = [
            (tag::CONTENT_TYPE, &self.content_type),
            (tag::CHARSET, &self.charset),
            (tag::CONTENT_ENCODING, &self.content_encoding),
        ];
        let field = |tag, bytes| MetadataField { tag, bytes };
        let texts = texts
            .into_iter()
            .filter_map(|(tag, text)| Some(field(tag, text.clone()?)));
        let users = self
            .user
            .iter()
            .map(|pair| field(tag::USER, named_bytes(pair)));
        let links = self
            .links
            .iter()
            .map(|link| field(tag::LINK, link_bytes(link)));
        let indexes = self
            .indexes
            .iter()
            .map(|entry| field(tag::INDEX, named_bytes(entry)));
        let expiry = self.expires_at_us.map(u64::to_be_bytes);
        let expiry = expiry.map(|time| field(tag::EXPIRES_AT, Bytes::copy_from_slice(&time)));
        let life = self.time_to_live_us.map(time_to_live);
        let known = texts.chain(users).chain(links).chain(indexes);
        let known = known.chain(expiry).chain(life);
        known.chain(self.unknown.iter().cloned()).collect()
    }
}

/// The field that says how long a value is shown, in microseconds.
#[must_use]
pub fn time_to_live(time_us: u64) -> MetadataField {
    MetadataField {
        tag: tag::TIME_TO_LIVE,
        bytes: Bytes::copy_from_slice(&time_us.to_be_bytes()),
    }
}

/// From when on a version is hidden, in microseconds since 1970; none if it is not, or if what says so has another
/// layout. The same on every node and at every time: it follows from what is in the version.
#[must_use]
pub fn expires_at_us(version: &Version) -> Option<u64> {
    let Content::Value { metadata, .. } = &version.content else {
        return None;
    };
    let time_us = |tag| {
        let field = metadata.iter().find(|field| field.tag == tag)?;
        Some(u64::from_be_bytes(field.bytes[..].try_into().ok()?))
    };
    let lives_us = || time_us(tag::TIME_TO_LIVE).map(|us| version.timestamp.0.saturating_add(us));
    time_us(tag::EXPIRES_AT).or_else(lives_us)
}

/// The index entries of a version, as its client gave them; without those that have another layout.
pub fn index_entries(version: &Version) -> impl Iterator<Item = NamedValue> {
    let fields = match &version.content {
        Content::Value { metadata, .. } => &metadata[..],
        Content::Tombstone => &[],
    };
    let entries = fields.iter().filter(|field| field.tag == tag::INDEX);
    entries.filter_map(|field| decode_whole("index entry", field.bytes.clone(), read_named).ok())
}

/// Fills a place that may be filled once.
fn once<T>(what: &'static str, place: &mut Option<T>, value: T) -> Result<(), DecodeError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(DecodeError::Malformed { what, offset: 0 }),
    }
}

fn read_named(reader: &mut Reader) -> Result<NamedValue, DecodeError> {
    let name = reader.bytes("name", WITHOUT_LIMIT)?;
    let value = reader.bytes("value", WITHOUT_LIMIT)?;
    Ok(NamedValue { name, value })
}

fn read_link(reader: &mut Reader) -> Result<Link, DecodeError> {
    let bucket = reader.bytes("bucket", WITHOUT_LIMIT)?;
    let key = reader.bytes("key", WITHOUT_LIMIT)?;
    let tag = reader.bytes("tag", WITHOUT_LIMIT)?;
    Ok(Link { bucket, key, tag })
}

fn named_bytes(pair: &NamedValue) -> Bytes {
    strings(&[&pair.name, &pair.value])
}

fn link_bytes(link: &Link) -> Bytes {
    strings(&[&link.bucket, &link.key, &link.tag])
}

fn strings(parts: &[&Bytes]) -> Bytes {
    let bytes = parts.iter().map(|part| 4 + part.len()).sum();
    encode_alone(bytes, |writer| {
        for part in parts {
            writer.bytes(part);
        }
    })
}
