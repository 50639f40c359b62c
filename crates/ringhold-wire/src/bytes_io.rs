//! The primitive reader and writer that every format here is made of.
//!
//! Integers are big-endian and of fixed size, a byte string is its length as a `u32` and its bytes,
//! a list is its count as a `u32` and its items, an absent or present thing is one byte, 0 or 1.
//! There is exactly one encoding of a value: a decoder takes nothing that its encoder would not
//! have written, so whatever was decoded can be compared, hashed and passed on by its bytes.
//!
//! The bytes come from a socket or from a disk, and either may hold anything (T29). So:
//!
//! - A length is compared with the bytes that are there, and with the field's own limit, before it
//!   is used. Nothing is allocated for a byte string at all: it is a slice of the input, which
//!   stays alive as long as the slice does.
//! - A list allocates for `count` items only once `count` times the smallest item is known to be
//!   there. [`Reader::list`] holds at compile time that an item in memory is at most
//!   [`GROWTH_MAX`] times its smallest encoding; that is the bound on what a decoder allocates.
//! - Nothing recurses, and every failure is a [`DecodeError`] that names the field and its offset.
//!
//! Not here: versions of formats. Each format that has one begins with it.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::fmt;

/// A decoded list takes at most this many times the bytes that it was decoded from.
pub const GROWTH_MAX: usize = 8;

/// The limit of a byte string that only the size of its frame or record bounds.
pub const WITHOUT_LIMIT: usize = usize::MAX;

/// Why bytes are not what they should be. Whoever gets this has nothing of the value.
///
/// `what` is the field, `offset` where it begins, counted from the start of what was decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes end within the field.
    Truncated {
        what: &'static str,
        offset: usize,
        needed: usize,
        left: usize,
    },
    /// The field is longer than any that is accepted.
    TooLong {
        what: &'static str,
        offset: usize,
        bytes: usize,
        limit: usize,
    },
    /// The list claims more items than the bytes after it can hold, or than are accepted.
    TooMany {
        what: &'static str,
        offset: usize,
        count: usize,
        left: usize,
    },
    /// A code that this program gives no meaning to.
    UnknownCode {
        what: &'static str,
        offset: usize,
        code: u32,
    },
    /// A version of the format that this program does not read.
    UnknownVersion { what: &'static str, version: u8 },
    /// Something that the encoder never writes: out of order, a reference to nothing, a broken
    /// invariant.
    Malformed { what: &'static str, offset: usize },
    /// The bytes are not those that were hashed: damage.
    HashMismatch { what: &'static str, offset: usize },
    /// Bytes are left over after the value.
    Trailing {
        what: &'static str,
        offset: usize,
        left: usize,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Truncated {
                what,
                offset,
                needed,
                left,
            } => {
                write!(
                    f,
                    "{what} at byte {offset} needs {needed} bytes, {left} are left"
                )
            }
            Self::TooLong {
                what,
                offset,
                bytes,
                limit,
            } => {
                write!(
                    f,
                    "{what} at byte {offset} has {bytes} bytes, the limit is {limit}"
                )
            }
            Self::TooMany {
                what,
                offset,
                count,
                left,
            } => {
                write!(
                    f,
                    "{what} at byte {offset} claims {count} items in {left} bytes"
                )
            }
            Self::UnknownCode { what, offset, code } => {
                write!(f, "{what} at byte {offset} has the unknown code {code}")
            }
            Self::UnknownVersion { what, version } => {
                write!(f, "{what} has the unknown format version {version}")
            }
            Self::Malformed { what, offset } => write!(f, "{what} at byte {offset} is malformed"),
            Self::HashMismatch { what, offset } => {
                write!(
                    f,
                    "{what} at byte {offset} is damaged: its hash does not match"
                )
            }
            Self::Trailing { what, offset, left } => {
                write!(f, "{left} bytes are left after {what}, at byte {offset}")
            }
        }
    }
}

impl std::error::Error for DecodeError {}

/// Takes fields off the front of some bytes.
///
/// After an error the reader stands at an unspecified place and is of no further use.
#[derive(Debug)]
pub struct Reader {
    rest: Bytes,
    /// How many bytes there were at first.
    total: usize,
}

impl Reader {
    #[must_use]
    pub fn new(bytes: Bytes) -> Self {
        let total = bytes.len();
        Self { rest: bytes, total }
    }

    /// How many bytes were taken so far.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.total - self.rest.len()
    }

    /// How many bytes are left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// # Errors
    /// If fewer than `N` bytes are left.
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let Some(&array) = self.rest.first_chunk::<N>() else {
            return Err(self.truncated(what, N));
        };
        self.rest.advance(N);
        Ok(array)
    }

    /// # Errors
    /// If too few bytes are left.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        Ok(u8::from_be_bytes(self.array(what)?))
    }

    /// # Errors
    /// If too few bytes are left.
    pub fn u16(&mut self, what: &'static str) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array(what)?))
    }

    /// # Errors
    /// If too few bytes are left.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array(what)?))
    }

    /// # Errors
    /// If too few bytes are left.
    pub fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array(what)?))
    }

    /// # Errors
    /// If too few bytes are left.
    pub fn u128(&mut self, what: &'static str) -> Result<u128, DecodeError> {
        Ok(u128::from_be_bytes(self.array(what)?))
    }

    /// One byte, 0 or 1.
    ///
    /// # Errors
    /// If it is neither, or missing.
    pub fn flag(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        match self.u8(what)? {
            0 => Ok(false),
            1 => Ok(true),
            code => Err(self.unknown_code(what, code)),
        }
    }

    /// A `u32` that counts or measures something in memory.
    fn length(&mut self, what: &'static str) -> Result<usize, DecodeError> {
        let length = self.u32(what)?;
        Ok(usize::try_from(length).expect("addresses have at least 32 bits"))
    }

    /// A byte string with its length before it, as a slice of the input.
    ///
    /// # Errors
    /// If its length is above `limit` or more than is left.
    pub fn bytes(&mut self, what: &'static str, limit: usize) -> Result<Bytes, DecodeError> {
        let offset = self.offset();
        let bytes = self.length(what)?;
        if bytes > limit {
            return Err(DecodeError::TooLong {
                what,
                offset,
                bytes,
                limit,
            });
        }
        if bytes > self.rest.len() {
            return Err(self.truncated(what, bytes));
        }
        Ok(self.rest.split_to(bytes))
    }

    /// A list with its count before it. `ITEM_BYTES_MIN` is the size of the smallest item.
    ///
    /// # Errors
    /// If the bytes left can't hold that many, or an item is wrong.
    pub fn list<T, const ITEM_BYTES_MIN: usize>(
        &mut self,
        what: &'static str,
        mut read: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        const { assert!(ITEM_BYTES_MIN >= 1 && size_of::<T>() <= GROWTH_MAX * ITEM_BYTES_MIN) };
        let offset = self.offset();
        let count = self.length(what)?;
        if count > self.rest.len() / ITEM_BYTES_MIN {
            return Err(DecodeError::TooMany {
                what,
                offset,
                count,
                left: self.rest.len(),
            });
        }
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(read(self)?);
        }
        Ok(items)
    }

    /// A flag and, if it is set, a value.
    ///
    /// # Errors
    /// If either is wrong.
    pub fn option<T>(
        &mut self,
        what: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if self.flag(what)? {
            read(self).map(Some)
        } else {
            Ok(None)
        }
    }

    /// All that is left, still to be read.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.rest
    }

    /// Takes all that is left.
    #[must_use]
    pub fn take_rest(&mut self) -> Bytes {
        self.rest.split_to(self.rest.len())
    }

    /// The end of the value: nothing may be left.
    ///
    /// # Errors
    /// If something is.
    pub fn finish(self, what: &'static str) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(DecodeError::Trailing {
            what,
            offset: self.offset(),
            left: self.rest.len(),
        })
    }

    /// The error for a one-byte code, just read, that means nothing.
    pub(crate) fn unknown_code(&self, what: &'static str, code: u8) -> DecodeError {
        DecodeError::UnknownCode {
            what,
            offset: self.offset() - 1,
            code: code.into(),
        }
    }

    fn truncated(&self, what: &'static str, needed: usize) -> DecodeError {
        DecodeError::Truncated {
            what,
            offset: self.offset(),
            needed,
            left: self.rest.len(),
        }
    }
}

/// Decodes a value that takes up all of `bytes`.
/// Reads a value that takes all of some bytes.
///
/// # Errors
/// If `read` fails, or leaves something over.
pub fn decode_whole<T>(
    what: &'static str,
    bytes: Bytes,
    read: impl FnOnce(&mut Reader) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let mut reader = Reader::new(bytes);
    let value = read(&mut reader)?;
    reader.finish(what)?;
    Ok(value)
}

/// Puts fields at the end of a buffer that belongs to the caller.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut BytesMut,
    /// Where in the buffer this writer began.
    start: usize,
}

impl<'a> Writer<'a> {
    #[must_use]
    pub fn new(out: &'a mut BytesMut) -> Self {
        let start = out.len();
        Self { out, start }
    }

    /// What this writer has written.
    #[must_use]
    pub fn written(&self) -> &[u8] {
        &self.out[self.start..]
    }

    /// Bytes as they are, without a length.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.put_slice(bytes);
    }

    pub fn u8(&mut self, number: u8) {
        self.out.put_u8(number);
    }

    pub fn u16(&mut self, number: u16) {
        self.out.put_u16(number);
    }

    pub fn u32(&mut self, number: u32) {
        self.out.put_u32(number);
    }

    pub fn u64(&mut self, number: u64) {
        self.out.put_u64(number);
    }

    pub fn u128(&mut self, number: u128) {
        self.out.put_u128(number);
    }

    pub fn flag(&mut self, set: bool) {
        self.out.put_u8(u8::from(set));
    }

    fn length(&mut self, length: usize) {
        let length = u32::try_from(length).expect("nothing of 4 GiB is taken in");
        self.out.put_u32(length);
    }

    /// A byte string with its length before it.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.out.put_slice(bytes);
    }

    /// A byte string that no reader takes above `limit`.
    ///
    /// # Panics
    /// If it is longer: whatever takes such a thing in must have refused it.
    pub fn bytes_within(&mut self, what: &'static str, bytes: &[u8], limit: usize) {
        assert!(
            bytes.len() <= limit,
            "{what} of {} bytes, the limit is {limit}",
            bytes.len()
        );
        self.bytes(bytes);
    }

    /// A list with its count before it.
    pub fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.length(items.len());
        for item in items {
            write(self, item);
        }
    }

    /// A flag and, if there is one, a value.
    pub fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }
}

/// Encodes into a buffer of its own.
/// What `write` writes, in a buffer of about so many bytes.
pub fn encode_alone(bytes: usize, write: impl FnOnce(&mut Writer<'_>)) -> Bytes {
    let mut out = BytesMut::with_capacity(bytes);
    write(&mut Writer::new(&mut out));
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(bytes: &'static [u8]) -> Reader {
        Reader::new(Bytes::from_static(bytes))
    }

    #[test]
    fn a_length_is_checked_before_it_is_believed() {
        let claimed = [0xff; 4];
        let mut numbers = reader(&[0xff; 4]);
        let error = numbers
            .list::<u64, 8>("numbers", |r| r.u64("number"))
            .unwrap_err();
        let count = usize::try_from(u32::from_be_bytes(claimed)).unwrap();
        assert_eq!(
            error,
            DecodeError::TooMany {
                what: "numbers",
                offset: 0,
                count,
                left: 0
            }
        );

        let error = reader(b"\0\0\0\x05abcd").bytes("name", 4).unwrap_err();
        assert_eq!(
            error,
            DecodeError::TooLong {
                what: "name",
                offset: 0,
                bytes: 5,
                limit: 4
            }
        );
        let error = reader(b"\0\0\0\x05abcd").bytes("name", 5).unwrap_err();
        assert_eq!(
            error,
            DecodeError::Truncated {
                what: "name",
                offset: 4,
                needed: 5,
                left: 4
            }
        );
    }

    #[test]
    fn a_count_is_held_against_the_smallest_items_that_there_could_be() {
        let counted = |count: u32, items: usize| {
            let bytes = [&count.to_be_bytes()[..], &vec![7; items]].concat();
            let read = |r: &mut Reader| r.u64("number");
            Reader::new(Bytes::from(bytes)).list::<u64, 8>("numbers", read)
        };
        assert_eq!(counted(2, 16).map(|numbers| numbers.len()), Ok(2));
        let error = DecodeError::TooMany {
            what: "numbers",
            offset: 0,
            count: 2,
            left: 15,
        };
        assert_eq!(counted(2, 15), Err(error));
    }

    #[test]
    fn a_byte_string_is_a_slice_of_the_input() {
        let input = Bytes::from_static(b"\0\0\0\x03abcd");
        let mut reader = Reader::new(input.clone());
        let slice = reader.bytes("name", 3).unwrap();
        assert_eq!(slice, &b"abc"[..]);
        assert_eq!(slice.as_ptr(), input[4..].as_ptr());
        assert_eq!(
            reader.finish("names"),
            Err(DecodeError::Trailing {
                what: "names",
                offset: 7,
                left: 1
            })
        );
    }

    #[test]
    fn a_flag_is_zero_or_one() {
        assert_eq!(reader(&[1]).flag("flag"), Ok(true));
        let error = DecodeError::UnknownCode {
            what: "flag",
            offset: 0,
            code: 2,
        };
        assert_eq!(reader(&[2]).flag("flag"), Err(error));
    }
}
