//! Frames, in whatever pieces they come.

use crate::samples::{self, messages};
use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use ringhold_core::health::Reported;
use ringhold_wire::bytes_io::DecodeError;
use ringhold_wire::frame::{
    FRAME_BYTES_MAX, Frame, FrameDecoder, FrameTooLarge, HANDSHAKE_FRAME_BYTES_MAX, READ_BYTES,
    append_handshake, append_reply, append_request,
};
use ringhold_wire::message::peer::{BucketProperties, OVERRIDES_BYTES_MAX, Reply, Request};

fn established() -> FrameDecoder {
    let mut decoder = FrameDecoder::new();
    decoder.established();
    decoder
}

proptest! {
    #[test]
    fn frames_do_not_depend_on_the_pieces_they_come_in(
        requests in vec(messages::any_request(), 1..5),
        reply in messages::any_reply(),
        piece in 1..200usize,
    ) {
        let mut out = BytesMut::new();
        for request in &requests {
            append_request(&mut out, samples::request_header(), request).unwrap();
        }
        append_reply(&mut out, 9, &reply).unwrap();

        let mut decoder = established();
        let mut frames = Vec::new();
        for piece in out.chunks(piece) {
            decoder.feed(piece);
            frames.extend(std::iter::from_fn(|| decoder.next_frame().unwrap()));
        }
        prop_assert_eq!(decoder.pending_bytes(), 0);
        let Some(Frame::Reply { id: 9, body }) = frames.pop() else {
            panic!("the reply comes last")
        };
        prop_assert_eq!(Reply::decode(body), Ok(reply));
        let read = frames.into_iter().map(|frame| match frame {
            Frame::Request { header, body } if header == samples::request_header() => {
                Request::decode(body).unwrap()
            }
            other => panic!("no request: {other:?}"),
        });
        prop_assert_eq!(read.collect::<Vec<_>>(), requests);
    }

    #[test]
    fn any_bit_flipped_behind_the_length_is_noticed(
        request in messages::any_request(), at: prop::sample::Index, bit in 0..8u32,
    ) {
        let mut out = BytesMut::new();
        append_request(&mut out, samples::request_header(), &request).unwrap();
        let at = 4 + at.index(out.len() - 4);
        out[at] ^= 1u8 << bit;
        let mut decoder = established();
        decoder.feed(&out);
        let error = decoder.next_frame().unwrap_err();
        prop_assert!(matches!(error, DecodeError::HashMismatch { what: "frame", .. }), "{}", error);
    }
}

#[test]
fn a_body_is_a_slice_of_what_was_received() {
    let mut decoder = established();
    append_request(decoder.space(), samples::request_header(), &Request::Ping).unwrap();
    let start = decoder.space().as_ptr();
    let Ok(Some(Frame::Request { body, .. })) = decoder.next_frame() else {
        panic!("a request")
    };
    assert_eq!(body.as_ptr().addr() - start.addr(), 4 + 4 + 1 + 8 + 4 + 8);
}

#[test]
fn a_stranger_may_send_little_and_costs_no_more_than_it_sent() {
    let claim = |bytes: usize| u32::try_from(bytes - 4).unwrap().to_be_bytes();
    let mut decoder = FrameDecoder::new();
    decoder.feed(&claim(HANDSHAKE_FRAME_BYTES_MAX));
    assert_eq!(decoder.next_frame(), Ok(None));

    let mut decoder = FrameDecoder::new();
    let bytes = HANDSHAKE_FRAME_BYTES_MAX + 1;
    let error = DecodeError::TooLong {
        what: "frame",
        offset: 0,
        bytes,
        limit: bytes - 1,
    };
    decoder.feed(&claim(bytes));
    assert_eq!(decoder.next_frame(), Err(error));
    decoder.established();
    assert_eq!(decoder.next_frame(), Err(error), "there is no way back");

    let mut decoder = established();
    decoder.feed(&claim(FRAME_BYTES_MAX));
    assert_eq!(decoder.next_frame(), Ok(None));
    assert!(
        decoder.capacity() < READ_BYTES,
        "64 MiB are claimed, 4 bytes are there"
    );

    let mut decoder = established();
    decoder.feed(&claim(FRAME_BYTES_MAX + 1));
    assert!(matches!(
        decoder.next_frame(),
        Err(DecodeError::TooLong { .. })
    ));

    let mut decoder = established();
    decoder.feed(b"GET / HTTP/1.1\r\n\r\n");
    assert!(matches!(
        decoder.next_frame(),
        Err(DecodeError::TooLong { .. })
    ));
}

#[test]
fn every_step_of_a_handshake_fits_a_strangers_frame() {
    let mut out = BytesMut::new();
    let steps = samples::handshakes();
    steps
        .iter()
        .for_each(|(_, step)| append_handshake(&mut out, step));
    let mut decoder = FrameDecoder::new();
    decoder.feed(&out);
    let frames: Vec<_> = std::iter::from_fn(|| decoder.next_frame().unwrap()).collect();
    assert_eq!(frames.len(), steps.len());
}

#[test]
fn a_message_too_large_for_a_frame_leaves_the_buffer_as_it_was() {
    let properties = BucketProperties {
        bucket_type: Bytes::new(),
        bucket: Bytes::new(),
        changed_us: 0,
        changed_by: 0,
        overrides: Bytes::from(vec![0; OVERRIDES_BYTES_MAX]),
    };
    let request = Request::Properties(vec![properties; FRAME_BYTES_MAX / OVERRIDES_BYTES_MAX]);
    let mut out = BytesMut::from(&b"frames before"[..]);
    let error = append_request(&mut out, samples::request_header(), &request).unwrap_err();
    assert!(
        matches!(
            error,
            FrameTooLarge {
                limit: FRAME_BYTES_MAX,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(out, &b"frames before"[..]);
}

#[test]
fn a_frame_without_a_kind_is_no_frame() {
    let mut out = BytesMut::new();
    append_reply(&mut out, 1, &Reply::Pong(Reported::default())).unwrap();
    for length in 0..4u32 {
        let mut decoder = established();
        decoder.feed(&length.to_be_bytes());
        decoder.feed(&out[4..]);
        assert!(decoder.next_frame().is_err(), "length {length}");
    }
}
