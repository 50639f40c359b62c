//! Requests and replies.

use crate::samples::{self, messages};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use ringhold_core::id::OperationId;
use ringhold_core::version::{Content, Object, Timestamp};
use ringhold_wire::bytes_io::DecodeError;
use ringhold_wire::message::peer::{ObjectDigest, Reply, Request};
use ringhold_wire::message::{KEY_BYTES_MAX, NAME_BYTES_MAX, ObjectName};

proptest! {
    #[test]
    fn a_request_comes_back_from_its_bytes(request in messages::any_request()) {
        let mut out = BytesMut::new();
        request.encode(&mut out);
        prop_assert_eq!(Request::decode(out.freeze()), Ok(request));
    }

    #[test]
    fn a_reply_comes_back_from_its_bytes(reply in messages::any_reply()) {
        let mut out = BytesMut::new();
        reply.encode(&mut out);
        prop_assert_eq!(Reply::decode(out.freeze()), Ok(reply));
    }

    #[test]
    fn equal_digests_mean_equal_objects(
        left in samples::any_object(),
        right in samples::any_object(),
    ) {
        let (left, right) = (one_write_a_dot(&left), one_write_a_dot(&right));
        let mut merged = left.clone();
        merged.merge(&right);
        for (one, other) in [(&left, &right), (&left, &merged), (&right, &merged)] {
            prop_assert_eq!(ObjectDigest::of(one) == ObjectDigest::of(other), one == other);
        }
    }
}

/// The object with versions that follow from their dots, as they do wherever a dot names one write.
fn one_write_a_dot(object: &Object) -> Object {
    let mut versions = object.versions().to_vec();
    for version in &mut versions {
        version.timestamp = Timestamp(version.dot.counter);
        version.operation = OperationId(version.dot.counter.into());
        let value = Bytes::copy_from_slice(version.dot.to_string().as_bytes());
        version.content = Content::Value {
            bytes: value,
            metadata: Vec::new(),
        };
        version.hash = version.content.hash();
    }
    Object::from_parts(object.context().clone(), versions).expect("the dots are as they were")
}

fn fetch(key: Vec<u8>) -> Bytes {
    let name = ObjectName {
        key: Bytes::from(key),
        ..samples::name()
    };
    let mut out = BytesMut::new();
    Request::Fetch(name).encode(&mut out);
    out.freeze()
}

#[test]
fn a_key_may_grow_in_a_later_release_but_not_without_limit() {
    const { assert!(KEY_BYTES_MAX < NAME_BYTES_MAX) };
    assert!(Request::decode(fetch(vec![b'k'; NAME_BYTES_MAX])).is_ok());

    let mut bytes = fetch(vec![b'k'; NAME_BYTES_MAX]).to_vec();
    let length = bytes.len() - NAME_BYTES_MAX - 4;
    let longer = u32::try_from(NAME_BYTES_MAX + 1).unwrap();
    bytes[length..length + 4].copy_from_slice(&longer.to_be_bytes());
    bytes.push(b'k');
    let error = Request::decode(Bytes::from(bytes)).unwrap_err();
    assert!(
        matches!(error, DecodeError::TooLong { what: "key", .. }),
        "{error}"
    );
}

#[test]
#[should_panic(expected = "key of 4097 bytes")]
fn what_could_not_be_read_is_not_written() {
    drop(fetch(vec![b'k'; NAME_BYTES_MAX + 1]));
}

#[test]
fn a_message_ends_where_it_ends() {
    // Two kinds without fields.
    let (request, reply) = (Bytes::from_static(&[1, 0]), Bytes::from_static(&[6, 0]));
    let error = |what| DecodeError::Trailing {
        what,
        offset: 1,
        left: 1,
    };
    assert_eq!(Request::decode(request), Err(error("request")));
    assert_eq!(Reply::decode(reply), Err(error("reply")));
}
