//! What must hold for any bytes whatever, one function for each format.
//!
//! Two callers: the fuzz targets in `fuzz/`, which search for hours, and this crate's tests, which
//! give the same functions random and damaged bytes on every run. A function returns if all is well
//! and panics if not.
//!
//! What is claimed is more than that decoders don't panic. A value has one encoding, so bytes that
//! a decoder takes are exactly the bytes that its encoder makes; a decoder that overlooks a byte,
//! or takes two spellings of a value, is found.

use crate::frame::{self, FRAME_BYTES_MAX, Frame, FrameDecoder, READ_BYTES};
use crate::handshake::Handshake;
use crate::message::peer::{Reply, Request};
use crate::record::Record;
use crate::{gossiped, metadata::Metadata, object, riak, ring};
use bytes::{BufMut, Bytes, BytesMut};
use ringhold_core::id::{ClusterId, NodeId};
use ringhold_core::ring::{Addresses, Member, MemberState, PartitionCount, RingDocument};
use ringhold_core::version::Content;
use xxhash_rust::xxh3::xxh3_64;

/// Any bytes as an object.
pub fn object(bytes: &[u8]) {
    let Ok(object) = object::decode(Bytes::copy_from_slice(bytes)) else {
        return;
    };
    assert_eq!(object::to_bytes(&object), bytes);
    assert_eq!(object::encoded_bytes(&object), bytes.len());
    for version in object.versions() {
        let Content::Value { metadata, .. } = &version.content else {
            continue;
        };
        let Ok(metadata) = Metadata::from_fields(metadata) else {
            continue;
        };
        assert_eq!(Metadata::from_fields(&metadata.to_fields()), Ok(metadata));
    }
}

/// Any bytes as a record, as they are and with the checksum that they should have, which no search
/// would hit upon.
pub fn record(bytes: &[u8]) {
    let checksum = xxh3_64(bytes).to_be_bytes();
    any_record(bytes);
    any_record(&[bytes, &checksum].concat());
}

fn any_record(bytes: &[u8]) {
    let Ok(record) = Record::decode(Bytes::copy_from_slice(bytes)) else {
        return;
    };
    assert_eq!(record.encode(), bytes);
}

/// Any bytes as a message of Riak's, the first of them its code. Protocol Buffers spell one value in many ways, so all that is
/// claimed is that nothing panics and that no field is larger than what came.
pub fn riak_request(bytes: &[u8]) {
    let Some((&code, message)) = bytes.split_first() else {
        return;
    };
    let decoded = riak::Request::decode(code, Bytes::copy_from_slice(message));
    if let Ok(riak::Request::Put(put)) = decoded {
        assert!(put.content.value.len() + put.bucket.len() <= message.len());
    }
}

/// Any bytes as a ring document.
pub fn ring_document(bytes: &[u8]) {
    let Ok(document) = ring::decode(Bytes::copy_from_slice(bytes)) else {
        return;
    };
    assert_eq!(ring::encode(&document), bytes);
}

/// Any bytes as what a node says of itself in gossip. A later release may have added something at the end.
pub fn gossiped(bytes: &[u8]) {
    let given = || Bytes::copy_from_slice(bytes);
    if let Ok(known) = gossiped::RingKnown::decode(given()) {
        assert!(bytes.starts_with(&known.encode()));
    }
    if let Ok(load) = gossiped::Load::decode(given()) {
        assert!(bytes.starts_with(&load.encode()));
    }
    if let Ok(addresses) = gossiped::decode_addresses(given()) {
        assert!(bytes.starts_with(&gossiped::encode_addresses(&addresses)));
    }
}

/// Any bytes as the changes to [`founded`]. What is left out might be there all the same, so not the bytes
/// come back but the document.
pub fn ring_changes(bytes: &[u8]) {
    let held = founded();
    let Ok(document) = ring::decode_changes(Bytes::copy_from_slice(bytes), &held) else {
        return;
    };
    assert_eq!(
        ring::decode(ring::encode(&document)).as_ref(),
        Ok(&document)
    );
    let changes = ring::encode_changes(&document, &held.section_hashes);
    assert!(changes.len() <= bytes.len());
    assert_eq!(ring::decode_changes(changes, &held), Ok(document));
}

/// A cluster of one, on the smallest ring.
#[must_use]
pub fn founded() -> RingDocument {
    let member = Member {
        id: NodeId(1),
        name: "a".to_owned(),
        addresses: Addresses::default(),
        zone: String::new(),
        rack: String::new(),
        weight: 1,
        state: MemberState::Up,
    };
    let founded = RingDocument::found(ClusterId(7), vec![member], PartitionCount::MIN, 1);
    founded.expect("one full member")
}

/// Any bytes as a request, a reply and a step of the handshake.
pub fn message(bytes: &[u8]) {
    let mut out = BytesMut::new();
    if let Ok(request) = Request::decode(Bytes::copy_from_slice(bytes)) {
        request.encode(&mut out);
        assert_eq!(out, bytes);
    }
    out.clear();
    if let Ok(reply) = Reply::decode(Bytes::copy_from_slice(bytes)) {
        reply.encode(&mut out);
        assert_eq!(out, bytes);
    }
    out.clear();
    if let Ok(step) = Handshake::decode(Bytes::copy_from_slice(bytes)) {
        step.encode(&mut out);
        assert_eq!(out, bytes);
    }
}

/// Any bytes as what a connection brings, in pieces whose size the first byte chooses, and once
/// more with the head that would make one frame of them. The frames must not depend on the pieces,
/// and the decoder must not hold much more than it was given.
pub fn frames(bytes: &[u8]) {
    let Some((&piece, bytes)) = bytes.split_first() else {
        return;
    };
    let mut framed = BytesMut::new();
    let fits = frame::append(&mut framed, FRAME_BYTES_MAX, |out| out.put_slice(bytes));
    any_frames(piece, bytes);
    if fits.is_ok() {
        any_frames(piece, &framed);
    }
}

fn any_frames(piece: u8, bytes: &[u8]) {
    for established in [false, true] {
        let whole = frames_of(bytes.chunks(bytes.len().max(1)), established);
        let pieces = frames_of(bytes.chunks(usize::from(piece) + 1), established);
        assert_eq!(whole, pieces);
        whole.iter().for_each(check_frame);
    }
}

fn frames_of<'a>(pieces: impl Iterator<Item = &'a [u8]>, established: bool) -> Vec<Frame> {
    let mut decoder = FrameDecoder::new();
    if established {
        decoder.established();
    }
    let (mut frames, mut given) = (Vec::new(), 0);
    for piece in pieces {
        decoder.feed(piece);
        given += piece.len();
        while let Ok(Some(frame)) = decoder.next_frame() {
            frames.push(frame);
        }
        assert!(
            decoder.capacity() <= 2 * given + READ_BYTES,
            "memory follows what was received"
        );
    }
    frames
}

/// What a frame holds, if it is a message, makes the same frame's body again.
fn check_frame(decoded: &Frame) {
    let mut out = BytesMut::new();
    match decoded {
        Frame::Handshake(body) => {
            let Ok(step) = Handshake::decode(body.clone()) else {
                return;
            };
            frame::append_handshake(&mut out, &step);
        }
        Frame::Request { header, body } => {
            let Ok(request) = Request::decode(body.clone()) else {
                return;
            };
            frame::append_request(&mut out, *header, &request).expect("it came in a frame");
        }
        Frame::Reply { id, body } => {
            let Ok(reply) = Reply::decode(body.clone()) else {
                return;
            };
            frame::append_reply(&mut out, *id, &reply).expect("it came in a frame");
        }
    }
    let mut decoder = FrameDecoder::new();
    decoder.established();
    decoder.feed(&out);
    assert_eq!(decoder.next_frame(), Ok(Some(decoded.clone())));
}
