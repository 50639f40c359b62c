//! One segment file: its header, and reading it back from whatever the disk returns.
//!
//! ```text
//! magic 8 │ version u32 │ 0 u32 │ store id 16 │ lineage 16 │ sequence u64 │ previous end u64 │ checksum u64
//! append = mark │ record …
//! append = mark │ record …
//! ```
//!
//! The header names the store and its lineage, so a file from elsewhere is refused
//! and not replayed. `previous end` says how much of the segment before counts: what lies beyond was
//! never promised to anybody, or stands again in this segment. So a torn end is cut off by what is
//! written next and not by changing what was written before, and a sealed segment that has become
//! shorter than it says is seen as damaged although each of its records is whole.
//!
//! A segment's header and its first append, which begins with the store's own record, are written and
//! flushed together. A last segment without a whole first append is therefore *unborn*: the crash
//! came before anybody could rely on it.
//!
//! A file may be longer than what was written: zeros are put there ahead (`files`). Zeros up to the end of the file
//! are therefore where a segment ends, and no fault; zeros with anything behind them are one.
//!
//! [`scan`] takes arbitrary bytes and never fails: it reports what is whole, where the first fault
//! is, and how far the marks prove that the segment had been flushed. What follows from that is
//! decided in `recovery`.

use bytes::{BufMut, Bytes};
use xxhash_rust::xxh3::xxh3_64;

use super::record::{HEADER_BYTES, Mark, RecordHeader, RecordKind};
use super::writes::{self, WriteSet};
use crate::meta::{Lineage, StoreId, StoreMeta};

/// Bytes of a segment's header.
pub(crate) const SEGMENT_HEADER_BYTES: usize = 72;
const MAGIC: &[u8; 8] = b"RINGHOLD";
const VERSION: u32 = 1;
const CHECKED_BYTES: usize = 64;

/// Who wrote a segment, and which one of theirs it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentIdentity {
    pub(crate) store_id: StoreId,
    pub(crate) lineage: Lineage,
    pub(crate) sequence: u64,
}

impl SegmentIdentity {
    pub(crate) fn of(meta: &StoreMeta, sequence: u64) -> Self {
        Self {
            store_id: meta.store_id,
            lineage: meta.lineage,
            sequence,
        }
    }

    /// What binds records to this segment.
    pub(crate) fn seed(&self) -> u64 {
        let mut bytes = [0; 40];
        let mut rest = &mut bytes[..];
        rest.put_u128_le(self.store_id.0);
        rest.put_u128_le(self.lineage.0);
        rest.put_u64_le(self.sequence);
        xxh3_64(&bytes)
    }
}

/// The start of a segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) identity: SegmentIdentity,
    /// How many bytes of the segment before this one count; 0 where none is to be read before it.
    pub(crate) previous_end: u64,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(SEGMENT_HEADER_BYTES);
        bytes.put_slice(MAGIC);
        bytes.put_u32_le(VERSION);
        bytes.put_u32_le(0);
        bytes.put_u128_le(self.identity.store_id.0);
        bytes.put_u128_le(self.identity.lineage.0);
        bytes.put_u64_le(self.identity.sequence);
        bytes.put_u64_le(self.previous_end);
        bytes.put_u64_le(xxh3_64(&bytes));
        bytes.into()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeaderFault> {
        let header = bytes
            .get(..SEGMENT_HEADER_BYTES)
            .ok_or(HeaderFault::Damaged)?;
        let bytes_at =
            |at: usize| -> [u8; 16] { header[at..at + 16].try_into().expect("inside the header") };
        let id_at = |at: usize| u128::from_le_bytes(bytes_at(at));
        let long_at = |at: usize| {
            u64::from_le_bytes(header[at..at + 8].try_into().expect("inside the header"))
        };
        if xxh3_64(&header[..CHECKED_BYTES]) != long_at(CHECKED_BYTES) || &header[..8] != MAGIC {
            return Err(HeaderFault::Damaged);
        }
        let version = u32::from_le_bytes(header[8..12].try_into().expect("inside the header"));
        if version != VERSION {
            return Err(HeaderFault::UnknownVersion { version });
        }
        let identity = SegmentIdentity {
            store_id: StoreId(id_at(16)),
            lineage: Lineage(id_at(32)),
            sequence: long_at(48),
        };
        Ok(Self {
            identity,
            previous_end: long_at(56),
        })
    }
}

/// Why a segment's header is not usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    /// Too short, or its checksum does not fit.
    Damaged,
    /// Whole, and written by a version of this program that this one does not know.
    UnknownVersion {
        /// The format version that the header names.
        version: u32,
    },
}

/// A whole record, with where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FoundRecord {
    pub(crate) offset: u64,
    pub(crate) end: u64,
    pub(crate) body: Bytes,
    pub(crate) content: Content,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Mark(Mark),
    Writes(WriteSet),
    Meta(StoreMeta),
}

impl Content {
    fn decode(kind: RecordKind, body: &Bytes) -> Option<Self> {
        match kind {
            RecordKind::Mark => Mark::decode(body).map(Self::Mark),
            RecordKind::Writes => writes::decode(body).map(Self::Writes),
            RecordKind::Meta => StoreMeta::decode(body).map(Self::Meta),
        }
    }
}

/// What a segment's bytes say.
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    pub(crate) header: Result<SegmentHeader, HeaderFault>,
    /// Every whole record, in order, those after a fault included.
    pub(crate) records: Vec<FoundRecord>,
    /// Where the unbroken run of records from the start ends: the first fault, or the end of file.
    pub(crate) unbroken_end: u64,
    /// Up to where some mark proves that the segment had been flushed.
    pub(crate) proven_end: u64,
    /// Where the first append ends, by its mark; none if that mark is not there.
    first_append_end: Option<u64>,
    /// Bytes in the file, without the zeros ahead of what was written.
    pub(crate) length: u64,
}

impl Scan {
    /// Whether this cannot have been relied on by anybody: the first append is not whole, and
    /// nothing proves that it ever was. Only a last segment can be unborn.
    pub(crate) fn is_unborn(&self) -> bool {
        let unreadable = self.header == Err(HeaderFault::Damaged);
        self.proven_end == 0 && (unreadable || !self.has_whole_first_append())
    }

    /// Whether nothing would be lost without it: it is unborn, or its first append is all there is,
    /// without a batch of writes.
    pub(crate) fn says_nothing(&self) -> bool {
        let empty = self
            .records
            .iter()
            .all(|record| !matches!(record.content, Content::Writes(_)));
        self.is_unborn() || (empty && self.first_append_end == Some(self.length))
    }

    /// The file is named as another segment than its header says: all that should be here is lost.
    pub(crate) fn disown(&mut self) {
        self.header = Err(HeaderFault::Damaged);
        self.records.clear();
        (self.unbroken_end, self.proven_end) = (0, self.length);
    }

    fn has_whole_first_append(&self) -> bool {
        self.first_append_end
            .is_some_and(|end| end <= self.unbroken_end)
    }

    fn note(&mut self, record: FoundRecord) {
        if let Content::Mark(mark) = &record.content {
            self.proven_end = self.proven_end.max(mark.flushed);
            if record.offset == offset(SEGMENT_HEADER_BYTES) {
                self.first_append_end = record.offset.checked_add(mark.append_bytes);
            }
        }
        self.records.push(record);
    }
}

/// Reads a segment. `expected` tells how its records are bound where its own header is damaged.
pub(crate) fn scan(bytes: &Bytes, expected: Option<SegmentIdentity>) -> Scan {
    let header = SegmentHeader::decode(bytes);
    let written = written(bytes);
    let mut scan = Scan {
        header,
        records: Vec::new(),
        unbroken_end: 0,
        proven_end: 0,
        first_append_end: None,
        length: offset(written),
    };
    let Some(identity) = header.ok().map(|header| header.identity).or(expected) else {
        return scan;
    };
    let mut broken = header.is_err();
    let mut reader = Reader::new(bytes, written, identity.seed());
    loop {
        if !broken {
            // The last record may end in zeros of its own.
            scan.unbroken_end = offset(reader.at);
            scan.length = scan.length.max(scan.unbroken_end);
        }
        if reader.at >= written || reader.is_blank() {
            return scan;
        }
        match reader.next() {
            Next::Whole(record) => scan.note(record),
            Next::BadBody => broken = true,
            Next::BadHeader => {
                broken = true;
                reader.skip_to_mark();
            }
        }
    }
}

/// Where the zeros at the end of the file begin.
fn written(bytes: &[u8]) -> usize {
    let last = bytes.iter().rposition(|byte| *byte != 0);
    last.map_or(0, |last| last + 1)
}

enum Next {
    Whole(FoundRecord),
    /// The record was stepped over.
    BadBody,
    /// Nobody knows where the next record begins.
    BadHeader,
}

struct Reader<'a> {
    bytes: &'a Bytes,
    /// Nothing but zeros from here on.
    written: usize,
    seed: u64,
    at: usize,
    /// The number of the next record.
    number: u64,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a Bytes, written: usize, seed: u64) -> Self {
        Self {
            bytes,
            written,
            seed,
            at: SEGMENT_HEADER_BYTES.min(bytes.len()),
            number: 0,
        }
    }

    /// What a reader may not do: take zeros for the end while there is something behind them.
    #[cfg(feature = "known-bad")]
    fn is_blank(&self) -> bool {
        use crate::known_bad::{Variant, is};
        is(Variant::ZerosEndTheLog) && self.bytes[self.at..].starts_with(&[0; HEADER_BYTES])
    }

    #[cfg(not(feature = "known-bad"))]
    fn is_blank(&self) -> bool {
        false
    }

    /// Reads the record here. Goes forward unless its header is bad.
    fn next(&mut self) -> Next {
        let start = self.at;
        let header = RecordHeader::decode(&self.bytes[start..], self.seed);
        let Some(header) = header.filter(|header| header.number == self.number) else {
            return Next::BadHeader;
        };
        let body_start = start + HEADER_BYTES;
        let end = body_start.saturating_add(header.body_bytes());
        if end > self.bytes.len() {
            return Next::BadHeader;
        }
        let body = self.bytes.slice(body_start..end);
        self.at = end;
        self.number += 1;
        if xxh3_64(&body) != header.body_checksum {
            return Next::BadBody;
        }
        match Content::decode(header.kind, &body) {
            // A mark claims no more than lies before it.
            Some(Content::Mark(mark)) if mark.flushed > offset(start) => Next::BadBody,
            Some(content) => Next::Whole(FoundRecord {
                offset: offset(start),
                end: offset(end),
                body,
                content,
            }),
            None => Next::BadBody,
        }
    }

    /// After a bad header, goes to the next mark there is, or to the end.
    fn skip_to_mark(&mut self) {
        while self.at < self.written {
            self.at += 1;
            let rest = &self.bytes[self.at..];
            // How each mark begins: 16 bytes long, kind 1. That rules out most places unhashed.
            if !rest.starts_with(&[16, 0, 0, 0, 1, 0, 0, 0]) {
                continue;
            }
            let header = RecordHeader::decode(rest, self.seed);
            if let Some(header) = header.filter(|header| header.number >= self.number) {
                self.number = header.number;
                return;
            }
        }
    }
}

fn offset(length: usize) -> u64 {
    u64::try_from(length).expect("memory is smaller than 2^64 bytes")
}
