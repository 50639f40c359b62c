//! Riak's messages: bytes that are known, and bytes that are anything.

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use ringhold_wire::fuzzing;
use ringhold_wire::riak::{
    Content, DtOp, DtUpdateReq, FieldType, FrameError, GetResp, Header, MapField, MapOp, MapUpdate,
    PutReq, Request, RequestError, Response, SetOp,
};

fn frame(response: &Response) -> Vec<u8> {
    let mut out = BytesMut::new();
    response.append_to(&mut out);
    out.to_vec()
}

#[test]
fn frames_are_length_code_message() {
    assert_eq!(frame(&Response::Ping), [0, 0, 0, 1, 2]);
    assert_eq!(frame(&Response::Get(GetResp::default())), [0, 0, 0, 1, 10]);
    let error = frame(&Response::error("no"));
    // Field 1, two bytes; field 2, zero, which is required and so never left out.
    assert_eq!(error, [0, 0, 0, 7, 0, 0x0a, 2, b'n', b'o', 0x10, 0]);
    let unchanged = Response::Get(GetResp {
        unchanged: Some(true),
        ..GetResp::default()
    });
    assert_eq!(frame(&unchanged), [0, 0, 0, 3, 10, 0x18, 1]);
}

#[test]
fn a_length_is_held_against_its_limit_before_anything_else() {
    assert_eq!(
        Header::read([0, 0, 0, 11, 9], 10),
        Ok(Header { code: 9, bytes: 10 })
    );
    let (bytes, limit) = (11, 10);
    assert_eq!(
        Header::read([0, 0, 0, 12, 9], 10),
        Err(FrameError::TooLarge { bytes, limit })
    );
    assert_eq!(Header::read([0, 0, 0, 0, 9], 10), Err(FrameError::Empty));
}

#[test]
fn requests_are_read_as_clients_write_them() {
    // bucket "b", key "k", r = all, and a field of a later release, which is skipped.
    let get = [
        0x0a, 1, b'b', 0x12, 1, b'k', 0x18, 0xfc, 0xff, 0xff, 0xff, 0x0f, 0xa0, 0x06, 1,
    ];
    let Ok(Request::Get(get)) = Request::decode(9, Bytes::copy_from_slice(&get)) else {
        panic!("not a get");
    };
    assert_eq!((&get.bucket[..], &get.key[..]), (&b"b"[..], &b"k"[..]));
    assert_eq!(get.r, Some(ringhold_wire::riak::symbolic::ALL));
    for unknown in [0, 2, 23, 27, 54, 90, 254] {
        let refused = Request::decode(unknown, Bytes::new());
        assert_eq!(refused, Err(RequestError::UnknownCode(unknown)));
    }
}

/// A put of which every part is there.
fn put() -> Vec<u8> {
    let text = |text: &'static str| Some(Bytes::from(text));
    let put = PutReq {
        bucket: Bytes::from("bucket"),
        key: text("key"),
        vclock: text("context"),
        content: Content {
            value: Bytes::from("value"),
            content_type: text("text/plain"),
            ..Content::default()
        },
        w: Some(2),
        r#type: text("type"),
        ..PutReq::default()
    };
    put.encode_to_vec()
}

/// An update of a map in a map.
fn update() -> Vec<u8> {
    let field = |name: &'static str, kind: FieldType| MapField {
        name: Bytes::from(name),
        r#type: kind.into(),
    };
    let set = MapUpdate {
        field: field("s", FieldType::Set),
        set_op: Some(SetOp {
            adds: vec![Bytes::from("a"), Bytes::from("b")],
            removes: vec![Bytes::from("c")],
        }),
        ..MapUpdate::default()
    };
    let flag = field("f", FieldType::Flag);
    let inner = MapUpdate {
        field: field("m", FieldType::Map),
        map_op: Some(MapOp {
            removes: vec![flag],
            updates: vec![set],
        }),
        ..MapUpdate::default()
    };
    let map_op = Some(MapOp {
        removes: Vec::new(),
        updates: vec![inner],
    });
    let update = DtUpdateReq {
        bucket: Bytes::from("bucket"),
        key: Some(Bytes::from("key")),
        r#type: Bytes::from("maps"),
        op: DtOp {
            map_op,
            ..DtOp::default()
        },
        return_body: Some(true),
        ..DtUpdateReq::default()
    };
    update.encode_to_vec()
}

proptest! {
    #[test]
    fn a_damaged_update_is_another_one_or_refused(
        cut in 0usize..70, at in 0usize..70, flip in 1u8..,
    ) {
        let mut message = update();
        prop_assert!(matches!(
            Request::decode(82, Bytes::from(message.clone())),
            Ok(Request::DtUpdate(_))
        ));
        message.truncate(message.len().saturating_sub(cut));
        if let Some(byte) = message.get_mut(at) {
            *byte ^= flip;
        }
        fuzzing::riak_request(&[&[82], &message[..]].concat());
    }

    #[test]
    fn any_bytes_are_a_request_or_refused(code in any::<u8>(), message in vec(any::<u8>(), 0..200)) {
        fuzzing::riak_request(&[&[code], &message[..]].concat());
    }

    #[test]
    fn a_damaged_put_is_another_put_or_refused(
        cut in 0usize..60, at in 0usize..60, flip in 1u8..,
    ) {
        let mut message = put();
        message.truncate(message.len().saturating_sub(cut));
        if let Some(byte) = message.get_mut(at) {
            *byte ^= flip;
        }
        fuzzing::riak_request(&[&[11], &message[..]].concat());
    }
}
