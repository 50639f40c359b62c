//! Bytes that are not what they should be (T29): cut short, damaged, made up.
//!
//! What must hold of any bytes is in [`ringhold_wire::fuzzing`]; here it is given the bytes.

use crate::samples::{self, messages, rings};
use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use ringhold_wire::frame::{FrameDecoder, append_reply};
use ringhold_wire::handshake::Handshake;
use ringhold_wire::message::peer::{Reply, Request};
use ringhold_wire::record::Record;
use ringhold_wire::{fuzzing, object, ring};

/// A valid encoding, whether some bytes decode as its format, and what must hold of any bytes.
struct Format {
    what: &'static str,
    valid: Bytes,
    decodes: fn(Bytes) -> bool,
    holds: fn(&[u8]),
}

fn formats() -> Vec<Format> {
    let mut formats = vec![
        Format {
            what: "object",
            valid: object::to_bytes(&samples::object()),
            decodes: |bytes| object::decode(bytes).is_ok(),
            holds: fuzzing::object,
        },
        Format {
            what: "record",
            valid: samples::record().encode(),
            decodes: |bytes| Record::decode(bytes).is_ok(),
            holds: fuzzing::record,
        },
        Format {
            what: "ring document",
            valid: ring::encode(&rings::document()),
            decodes: |bytes| ring::decode(bytes).is_ok(),
            holds: fuzzing::ring_document,
        },
        Format {
            what: "ring changes",
            valid: changes(),
            decodes: |bytes| ring::decode_changes(bytes, &fuzzing::founded()).is_ok(),
            holds: fuzzing::ring_changes,
        },
    ];
    let encoded = |encode: &dyn Fn(&mut BytesMut)| {
        let mut out = BytesMut::new();
        encode(&mut out);
        out.freeze()
    };
    formats.extend(
        messages::requests()
            .into_iter()
            .map(|(what, request)| Format {
                what,
                valid: encoded(&|out| request.encode(out)),
                decodes: |bytes| Request::decode(bytes).is_ok(),
                holds: fuzzing::message,
            }),
    );
    formats.extend(messages::replies().into_iter().map(|(_, reply)| Format {
        what: "reply",
        valid: encoded(&|out| reply.encode(out)),
        decodes: |bytes| Reply::decode(bytes).is_ok(),
        holds: fuzzing::message,
    }));
    formats.extend(
        samples::handshakes()
            .into_iter()
            .map(|(what, step)| Format {
                what,
                valid: encoded(&|out| step.encode(out)),
                decodes: |bytes| Handshake::decode(bytes).is_ok(),
                holds: fuzzing::message,
            }),
    );
    formats
}

/// To the founding document: another placement, and a section more.
fn changes() -> Bytes {
    let held = fuzzing::founded();
    let mut next = held.successor();
    next.placement.placement_number += 1;
    next.further = rings::document().further;
    ring::encode_changes(&next.sealed(), &held.section_hashes)
}

#[test]
fn what_is_cut_short_anywhere_is_an_error() {
    for Format {
        what,
        valid,
        decodes,
        ..
    } in formats()
    {
        assert!(decodes(valid.clone()), "{what}");
        for length in 0..valid.len() {
            assert!(!decodes(valid.slice(..length)), "{what} of {length} bytes");
        }
    }
}

#[test]
fn what_goes_on_after_its_end_is_an_error() {
    for Format {
        what,
        valid,
        decodes,
        ..
    } in formats()
    {
        let longer = [&valid[..], &[0]].concat();
        assert!(!decodes(Bytes::from(longer)), "{what}");
    }
}

/// Each byte replaced by some that are worth trying: the extremes, and its neighbours.
#[test]
fn damage_anywhere_never_panics() {
    for Format { valid, holds, .. } in formats() {
        for at in 0..valid.len() {
            let mut bytes = valid.to_vec();
            let was = bytes[at];
            for damaged in [
                0,
                1,
                0x7f,
                0x80,
                0xff,
                was ^ 1,
                was.wrapping_add(1),
                was.wrapping_sub(1),
            ] {
                bytes[at] = damaged;
                holds(&bytes);
            }
        }
    }
}

/// If any of these lengths were believed before it was checked, the process would not survive it.
#[test]
fn a_huge_length_anywhere_never_panics() {
    for Format { valid, holds, .. } in formats() {
        for at in 0..valid.len().saturating_sub(3) {
            for length in [u32::MAX, i32::MAX.unsigned_abs(), 1 << 31, 1 << 24] {
                let mut bytes = valid.to_vec();
                bytes[at..at + 4].copy_from_slice(&length.to_be_bytes());
                holds(&bytes);
            }
        }
    }
}

/// A frame that never ends is waited for, at no more cost than what came.
#[test]
fn a_frame_cut_short_anywhere_is_not_a_frame_yet() {
    let mut out = BytesMut::new();
    append_reply(&mut out, 1, &Reply::Fetched(samples::object())).unwrap();
    for length in 0..out.len() {
        let mut decoder = FrameDecoder::new();
        decoder.feed(&out[..length]);
        assert_eq!(decoder.next_frame(), Ok(None));
        assert_eq!(decoder.pending_bytes(), length);
    }
}

fn all_hold(bytes: &[u8]) {
    fuzzing::object(bytes);
    fuzzing::record(bytes);
    fuzzing::ring_document(bytes);
    fuzzing::ring_changes(bytes);
    fuzzing::message(bytes);
    fuzzing::gossiped(bytes);
    fuzzing::frames(bytes);
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..300)) {
        all_hold(&bytes);
    }

    #[test]
    fn random_bytes_behind_a_version_and_small_counts_never_panic(
        bytes in vec(prop_oneof![Just(0u8), Just(1), Just(2), 0..9u8, any::<u8>()], 0..300),
    ) {
        all_hold(&bytes);
        all_hold(&[&[1], &bytes[..]].concat());
    }

    #[test]
    fn valid_bytes_changed_and_cut_and_joined_never_panic(
        which: prop::sample::Index,
        other: prop::sample::Index,
        cut: (prop::sample::Index, prop::sample::Index),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let formats = formats();
        let (head, tail) = (which.get(&formats), other.get(&formats));
        let (to, from) = (cut.0.index(head.valid.len()), cut.1.index(tail.valid.len()));
        let mut bytes = [&head.valid[..to], &tail.valid[from..]].concat();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        all_hold(&bytes);
    }
}
