//! The frame of one log record.
//!
//! ```text
//! length u32 │ kind u8 │ 0 0 0 │ number u64 │ body checksum u64 │ header checksum u64 │ body …
//! ```
//!
//! The header checksum is seeded with the identity of the segment (store, lineage, sequence
//! number) and covers the record's number within it, so a record proves not only that its bytes are
//! whole but that it belongs to this place: a block that the disk brings back from another file, or
//! from an older life of this one, does not pass. The body's checksum is unseeded, so that a writer
//! computes it before anybody knows where the record will go; the header binds it to the place.
//!
//! A *mark* opens each physical append. It says how long the append is, and up to which offset the
//! segment was known to be flushed when it was made. That is the proof on which recovery stands: a bad
//! record below such an offset had been safe once and was damaged since; above all of them, it is the
//! torn end of a write that nobody was promised (T21).

use bytes::BufMut;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The bytes in front of each body.
pub(crate) const HEADER_BYTES: usize = 32;
const CHECKED_BYTES: usize = 24;

/// The greatest body: what a length field claims beyond it is not believed.
pub(crate) const BODY_BYTES_MAX: usize = 1 << 30;

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordKind {
    /// The start of a physical append; see [`Mark`].
    Mark,
    /// One committed batch of writes.
    Writes,
    /// The store's own record, as it is from here on.
    Meta,
}

impl RecordKind {
    fn number(self) -> u8 {
        match self {
            Self::Mark => 1,
            Self::Writes => 2,
            Self::Meta => 3,
        }
    }

    fn from_number(number: u8) -> Option<Self> {
        [Self::Mark, Self::Writes, Self::Meta]
            .into_iter()
            .find(|kind| kind.number() == number)
    }
}

/// What stands in front of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) kind: RecordKind,
    /// Bytes of the body.
    pub(crate) length: u32,
    /// The record's place in its segment, from 0.
    pub(crate) number: u64,
    pub(crate) body_checksum: u64,
}

impl RecordHeader {
    /// The header of a body at a place.
    ///
    /// # Panics
    ///
    /// If the body is longer than [`BODY_BYTES_MAX`]; whoever fills batches bounds them.
    pub(crate) fn of(kind: RecordKind, body: &[u8], number: u64) -> Self {
        assert!(
            body.len() <= BODY_BYTES_MAX,
            "a batch is bounded by who fills it"
        );
        let length = u32::try_from(body.len()).expect("bounded above");
        Self {
            kind,
            length,
            number,
            body_checksum: xxh3_64(body),
        }
    }

    pub(crate) fn encode(&self, seed: u64) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut rest = &mut bytes[..];
        rest.put_u32_le(self.length);
        rest.put_u8(self.kind.number());
        rest.put_bytes(0, 3);
        rest.put_u64_le(self.number);
        rest.put_u64_le(self.body_checksum);
        let checksum = xxh3_64_with_seed(&bytes[..CHECKED_BYTES], seed);
        bytes[CHECKED_BYTES..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The header at the start of `bytes`, if its checksum fits and it claims nothing absurd.
    pub(crate) fn decode(bytes: &[u8], seed: u64) -> Option<Self> {
        let bytes: &[u8; HEADER_BYTES] = bytes.get(..HEADER_BYTES)?.try_into().ok()?;
        let kind = RecordKind::from_number(bytes[4])?;
        let length = u32::from_le_bytes(bytes[..4].try_into().ok()?);
        let long_at = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let whole = xxh3_64_with_seed(&bytes[..CHECKED_BYTES], seed) == long_at(CHECKED_BYTES)?;
        let header = Self {
            kind,
            length,
            number: long_at(8)?,
            body_checksum: long_at(16)?,
        };
        let believable = bytes[5..8] == [0; 3] && header.body_bytes() <= BODY_BYTES_MAX;
        (whole && believable).then_some(header)
    }

    pub(crate) fn body_bytes(&self) -> usize {
        usize::try_from(self.length).unwrap_or(usize::MAX)
    }
}

/// The start of a physical append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The segment was known to be flushed up to this offset when the append was made.
    pub(crate) flushed: u64,
    /// Bytes of the append, this mark included.
    pub(crate) append_bytes: u64,
}

impl Mark {
    const BODY_BYTES: usize = 16;
    /// Bytes of a mark with its header.
    pub(crate) const RECORD_BYTES: usize = HEADER_BYTES + Self::BODY_BYTES;

    /// The mark as a whole record.
    pub(crate) fn record(&self, number: u64, seed: u64) -> [u8; Self::RECORD_BYTES] {
        let mut record = [0; Self::RECORD_BYTES];
        let (header, body) = record.split_at_mut(HEADER_BYTES);
        let mut rest = &mut *body;
        rest.put_u64_le(self.flushed);
        rest.put_u64_le(self.append_bytes);
        let encoded = RecordHeader::of(RecordKind::Mark, body, number).encode(seed);
        header.copy_from_slice(&encoded);
        record
    }

    pub(crate) fn decode(body: &[u8]) -> Option<Self> {
        let body: &[u8; Self::BODY_BYTES] = body.try_into().ok()?;
        let (flushed, append_bytes) = body.split_at(8);
        Some(Self {
            flushed: u64::from_le_bytes(flushed.try_into().ok()?),
            append_bytes: u64::from_le_bytes(append_bytes.try_into().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_only_in_its_place() {
        let header = RecordHeader::of(RecordKind::Writes, b"body", 7);
        let bytes = header.encode(1);
        assert_eq!(RecordHeader::decode(&bytes, 1), Some(header));
        assert_eq!(RecordHeader::decode(&bytes, 2), None, "another segment");
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(RecordHeader::decode(&damaged, 1), None, "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert_eq!(RecordHeader::decode(&bytes[..length], 1), None);
        }
    }

    #[test]
    fn an_absurd_length_is_not_believed() {
        let header = RecordHeader {
            kind: RecordKind::Writes,
            length: u32::MAX,
            number: 0,
            body_checksum: 0,
        };
        assert_eq!(RecordHeader::decode(&header.encode(1), 1), None);
    }

    #[test]
    fn a_mark_reads_back() {
        let mark = Mark {
            flushed: 72,
            append_bytes: 1_000,
        };
        let record = mark.record(3, 9);
        let header = RecordHeader::decode(&record, 9).expect("just encoded");
        assert_eq!((header.kind, header.number), (RecordKind::Mark, 3));
        assert_eq!(Mark::decode(&record[HEADER_BYTES..]), Some(mark));
        assert_eq!(Mark::decode(&record), None);
    }
}
