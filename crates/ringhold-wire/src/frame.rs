//! Frames: how messages share one connection.
//!
//! ```text
//! u32   length of all that follows
//! u32   checksum: XXH3 of all that follows it, the low half
//! u8    kind: 1 handshake, 2 request, 3 reply
//!       request: u64 id, u32 remaining ms, u64 placement number
//!       reply:   u64 id
//! …     the message
//! ```
//!
//! Many requests are on their way at once, and replies come in any order; the id, which the side
//! that asks gives out, says what a reply answers. A request carries what is left of its deadline,
//! because clocks differ and durations don't, and the placement number that its sender knows.
//!
//! **Reading.** [`FrameDecoder`] is given bytes as they come and gives complete frames back. A
//! length is believed only up to a cap: 8 KiB as long as the other side is a stranger,
//! [`FRAME_BYTES_MAX`] after the handshake (T29). It never allocates by a length: its buffer grows
//! with what was received. The body of a frame is a slice of that buffer and keeps all of it alive;
//! what is to be kept for long is encoded anew (as stores do with records).
//!
//! **Writing.** Frames are put at the end of a buffer that belongs to the caller, so that all that
//! waits goes out in one write. A message that makes the frame too large leaves the buffer as it
//! was.
//!
//! Invariants: a frame that [`append_request`] or [`append_reply`] made is one that a decoder
//! takes; after an error a decoder gives nothing but that error, because it no longer knows where
//! frames begin. The checksum finds damage, not forgery.
//!
//! Not here: sockets, and which request waits for which reply.

use crate::bytes_io::{DecodeError, Reader, Writer, decode_whole};
use crate::handshake::Handshake;
use crate::message::peer::{Reply, Request};
use bytes::{Bytes, BytesMut};
use std::fmt;
use xxhash_rust::xxh3::xxh3_64;

/// No frame is longer, its length field included. Room for the merge of several objects, each as large
/// as an object may be: replicas that wrote apart must be able to send each other what they have.
pub const FRAME_BYTES_MAX: usize = 256 * 1_024 * 1_024;
/// No frame of a stranger is longer.
pub const HANDSHAKE_FRAME_BYTES_MAX: usize = 8 * 1_024;
/// How much room [`FrameDecoder::space`] makes for what a socket may have.
pub const READ_BYTES: usize = 16 * 1_024;

const LENGTH_BYTES: usize = 4;
const CHECKSUM_BYTES: usize = 4;
const HEAD_BYTES: usize = LENGTH_BYTES + CHECKSUM_BYTES;

const KIND_HANDSHAKE: u8 = 1;
const KIND_REQUEST: u8 = 2;
const KIND_REPLY: u8 = 3;

/// What a request says besides its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// Given out by the side that asks; comes back with the reply.
    pub id: u64,
    /// What is left of the deadline, in milliseconds.
    pub remaining_ms: u32,
    /// The placement that the sender knows.
    pub placement_number: u64,
}

/// One frame. The body is still encoded: see [`Request::decode`], [`Reply::decode`] and
/// [`Handshake::decode`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    Handshake(Bytes),
    Request { header: RequestHeader, body: Bytes },
    Reply { id: u64, body: Bytes },
}

impl Frame {
    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        match reader.u8("frame kind")? {
            KIND_HANDSHAKE => Ok(Self::Handshake(reader.take_rest())),
            KIND_REQUEST => {
                let header = RequestHeader {
                    id: reader.u64("request id")?,
                    remaining_ms: reader.u32("remaining time")?,
                    placement_number: reader.u64("placement number")?,
                };
                Ok(Self::Request {
                    header,
                    body: reader.take_rest(),
                })
            }
            KIND_REPLY => {
                let id = reader.u64("request id")?;
                Ok(Self::Reply {
                    id,
                    body: reader.take_rest(),
                })
            }
            code => Err(reader.unknown_code("frame kind", code)),
        }
    }
}

/// A message does not fit into a frame. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameTooLarge {
    /// What the frame would have.
    pub bytes: usize,
    pub limit: usize,
}

impl fmt::Display for FrameTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a frame of {} bytes, the limit is {}",
            self.bytes, self.limit
        )
    }
}

impl std::error::Error for FrameTooLarge {}

/// Puts a step of the handshake at the end of `out`. Only what a joiner is given may be longer than a stranger's frame.
///
/// # Panics
/// If a ring document is larger than any frame.
pub fn append_handshake(out: &mut BytesMut, step: &Handshake) {
    let limit = match step {
        Handshake::Enrolled(_) => FRAME_BYTES_MAX,
        _ => HANDSHAKE_FRAME_BYTES_MAX,
    };
    let appended = append(out, limit, |out| {
        Writer::new(out).u8(KIND_HANDSHAKE);
        step.encode(out);
    });
    appended.expect("names and extensions in a handshake are capped far below its frame");
}

/// Puts a request at the end of `out`.
///
/// # Errors
/// If it is too large for any frame; `out` is then as it was.
pub fn append_request(
    out: &mut BytesMut,
    header: RequestHeader,
    request: &Request,
) -> Result<(), FrameTooLarge> {
    append(out, FRAME_BYTES_MAX, |out| {
        let mut writer = Writer::new(out);
        writer.u8(KIND_REQUEST);
        writer.u64(header.id);
        writer.u32(header.remaining_ms);
        writer.u64(header.placement_number);
        request.encode(out);
    })
}

/// Puts the reply to request `id` at the end of `out`.
///
/// # Errors
/// If it is too large for any frame; `out` is then as it was.
pub fn append_reply(out: &mut BytesMut, id: u64, reply: &Reply) -> Result<(), FrameTooLarge> {
    append(out, FRAME_BYTES_MAX, |out| {
        let mut writer = Writer::new(out);
        writer.u8(KIND_REPLY);
        writer.u64(id);
        reply.encode(out);
    })
}

/// Writes the frame with its head left empty, then fills in the head.
pub(crate) fn append(
    out: &mut BytesMut,
    limit: usize,
    write: impl FnOnce(&mut BytesMut),
) -> Result<(), FrameTooLarge> {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD_BYTES]);
    write(out);
    let bytes = out.len() - start;
    if bytes > limit {
        out.truncate(start);
        return Err(FrameTooLarge { bytes, limit });
    }
    let length = u32::try_from(bytes - LENGTH_BYTES).expect("a frame is at most 64 MiB");
    let (head, rest) = out[start..].split_at_mut(HEAD_BYTES);
    head[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
    head[LENGTH_BYTES..].copy_from_slice(&checksum(rest));
    Ok(())
}

/// The low half of the hash, big-endian.
fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let [.., a, b, c, d] = xxh3_64(bytes).to_be_bytes();
    [a, b, c, d]
}

/// Finds frames in bytes that come in pieces.
#[derive(Debug)]
pub struct FrameDecoder {
    received: BytesMut,
    frame_bytes_max: usize,
    failed: Option<DecodeError>,
}

impl Default for FrameDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl FrameDecoder {
    /// For a connection on which nobody has said who they are.
    #[must_use]
    pub fn new() -> Self {
        let received = BytesMut::new();
        Self {
            received,
            frame_bytes_max: HANDSHAKE_FRAME_BYTES_MAX,
            failed: None,
        }
    }

    /// The handshake is over: frames of any permitted size from here on.
    pub fn established(&mut self) {
        self.frame_bytes_max = FRAME_BYTES_MAX;
    }

    /// Where to put what is received, with room for [`READ_BYTES`]. Only append to it.
    pub fn space(&mut self) -> &mut BytesMut {
        self.received.reserve(READ_BYTES);
        &mut self.received
    }

    /// Takes a copy of what was received.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
    }

    /// How many bytes were received and not yet given out as frames. If there are some when the
    /// connection ends, it ended within a frame.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.received.len()
    }

    /// How much memory is held for bytes received.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.received.capacity()
    }

    /// The next complete frame; `None` until more is received.
    ///
    /// # Errors
    /// If what was received is no frame. The connection is of no further use, and every later call
    /// gives the same error.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, DecodeError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let next = self.take_frame();
        self.failed = next.as_ref().err().copied();
        next
    }

    fn take_frame(&mut self) -> Result<Option<Frame>, DecodeError> {
        let Some(&length) = self.received.first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(length);
        let bytes =
            LENGTH_BYTES + usize::try_from(length).expect("addresses have at least 32 bits");
        if bytes > self.frame_bytes_max {
            let limit = self.frame_bytes_max;
            return Err(DecodeError::TooLong {
                what: "frame",
                offset: 0,
                bytes,
                limit,
            });
        }
        if self.received.len() < bytes {
            return Ok(None);
        }
        let frame = self.received.split_to(bytes).freeze();
        decode_whole("frame", frame, read_checked).map(Some)
    }
}

fn read_checked(reader: &mut Reader) -> Result<Frame, DecodeError> {
    reader.u32("frame length")?;
    let expected: [u8; CHECKSUM_BYTES] = reader.array("frame checksum")?;
    if checksum(reader.rest()) != expected {
        return Err(DecodeError::HashMismatch {
            what: "frame",
            offset: HEAD_BYTES,
        });
    }
    Frame::read(reader)
}
