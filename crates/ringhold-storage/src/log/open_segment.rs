//! The segment that is being written, and putting an append together.
//!
//! An append is a mark followed by records. The mark says how long the append is and how far the
//! segment is known to be flushed, so its bytes are only known when all records are: the parts are
//! collected first, without copying bodies, and the mark goes in front at the end.

use std::io;

use bytes::Bytes;

use super::record::{HEADER_BYTES, Mark, RecordHeader, RecordKind};
use super::segment::{SegmentHeader, SegmentIdentity};
use crate::figures::count;
use crate::files::Files;
use crate::meta::StoreMeta;

/// The segment that is being written.
pub(crate) struct OpenSegment {
    identity: SegmentIdentity,
    length: u64,
    flushed: u64,
    next_number: u64,
}

/// The parts of one physical append, while it is put together.
pub(crate) struct Append {
    parts: Vec<Bytes>,
    bytes: u64,
    /// The number of the next record.
    number: u64,
    seed: u64,
}

impl Append {
    /// Adds a record; returns its number in the segment.
    pub(crate) fn record(&mut self, header: RecordHeader, body: Bytes) -> u64 {
        let header = RecordHeader {
            number: self.number,
            ..header
        };
        self.number += 1;
        self.bytes += u64::from(header.length) + count(HEADER_BYTES);
        self.parts
            .push(Bytes::copy_from_slice(&header.encode(self.seed)));
        self.parts.push(body);
        header.number
    }

    /// Adds the store's own record.
    pub(crate) fn meta(&mut self, meta: &StoreMeta) {
        let body = meta.encode();
        self.record(RecordHeader::of(RecordKind::Meta, &body, 0), body);
    }

    /// The number that the next record will have.
    pub(crate) fn next_number(&self) -> u64 {
        self.number
    }

    /// Whether there is nothing in it but its mark.
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.len() == 1
    }
}

impl OpenSegment {
    /// A new segment: its file, header and first append, flushed. The first append is the store's
    /// record and what of an older segment is to be said again.
    pub(crate) async fn create(
        files: &dyn Files,
        meta: &StoreMeta,
        sequence: u64,
        previous_end: u64,
        again: Vec<(RecordKind, Bytes)>,
    ) -> io::Result<Self> {
        let identity = SegmentIdentity::of(meta, sequence);
        let header = SegmentHeader {
            identity,
            previous_end,
        }
        .encode();
        let mut segment = Self {
            identity,
            length: count(header.len()),
            flushed: 0,
            next_number: 0,
        };
        let mut append = segment.start_append();
        append.meta(meta);
        for (kind, body) in again {
            append.record(RecordHeader::of(kind, &body, 0), body);
        }
        let mut parts = segment.finish_append(append);
        parts.insert(0, header);
        files.create(sequence).await?;
        files.append_flushed(sequence, parts).await?;
        segment.flushed = segment.length;
        Ok(segment)
    }

    /// Its number.
    pub(crate) fn sequence(&self) -> u64 {
        self.identity.sequence
    }

    /// Bytes appended.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn is_flushed(&self) -> bool {
        self.flushed == self.length
    }

    /// A flush that began when the segment was `covers` long has succeeded.
    pub(crate) fn note_flush(&mut self, covers: u64) {
        assert!(
            self.flushed <= covers && covers <= self.length,
            "a flush covers what was appended"
        );
        self.flushed = covers;
    }

    pub(crate) fn start_append(&self) -> Append {
        Append {
            parts: vec![Bytes::new()],
            bytes: count(Mark::RECORD_BYTES),
            number: self.next_number + 1,
            seed: self.identity.seed(),
        }
    }

    /// Puts the mark in front, and counts the append as made.
    pub(crate) fn finish_append(&mut self, mut append: Append) -> Vec<Bytes> {
        assert!(
            self.flushed <= self.length,
            "nothing is flushed before it is appended"
        );
        let mark = Mark {
            flushed: self.flushed,
            append_bytes: append.bytes,
        };
        append.parts[0] = Bytes::copy_from_slice(&mark.record(self.next_number, append.seed));
        self.length += append.bytes;
        self.next_number = append.number;
        append.parts
    }
}
