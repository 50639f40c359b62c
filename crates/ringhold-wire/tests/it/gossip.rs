//! Messages of gossip: their sizes, and what they refuse.

use crate::samples::gossip::{LOAD, RING_KNOWN, any_deltas, any_digest};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use ringhold_core::membership::gossip::{Digest, VALUE_BYTES_MAX};
use ringhold_wire::bytes_io::DecodeError;
use ringhold_wire::gossiped::{self, Load, RingKnown};
use ringhold_wire::message::peer::{Reply, Request};

fn encoded(encode: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::new();
    encode(&mut out);
    out.freeze()
}

proptest! {
    /// How much goes into a message is decided by these sizes.
    #[test]
    fn messages_are_as_large_as_they_say(deltas in any_deltas(), digest in any_digest()) {
        let (deltas_bytes, digest_bytes) = (deltas.wire_bytes(), digest.wire_bytes());
        let request = Request::GossipDigest(digest.clone());
        prop_assert_eq!(encoded(|out| request.encode(out)).len(), 1 + digest_bytes);
        let request = Request::GossipDeltas(deltas.clone());
        prop_assert_eq!(encoded(|out| request.encode(out)).len(), 1 + deltas_bytes);
        let reply = Reply::Gossip { deltas, wanted: digest };
        prop_assert_eq!(encoded(|out| reply.encode(out)).len(), 1 + deltas_bytes + digest_bytes);
    }
}

/// A request of gossip: its code, and what follows.
fn request(code: u8, numbers: &[&[u8]]) -> Result<Request, DecodeError> {
    Request::decode([&[code][..], &numbers.concat()].concat().into())
}

fn malformed(what: &'static str, offset: usize) -> Result<Request, DecodeError> {
    Err(DecodeError::Malformed { what, offset })
}

#[test]
fn what_a_digest_or_a_delta_promises_is_held_when_it_is_read() {
    let count = |count: u32| count.to_be_bytes();
    let node = |node: u128| node.to_be_bytes();
    let number = |number: u64| number.to_be_bytes();
    let mark = |id: u128| [&node(id)[..], &number(1), &number(1)].concat();
    let digest = |ids: &[u128; 2]| request(22, &[&count(2), &mark(ids[0]), &mark(ids[1])]);
    assert!(digest(&[1, 2]).is_ok());
    assert_eq!(digest(&[2, 1]), malformed("marks", 1));
    assert_eq!(digest(&[1, 1]), malformed("marks", 1));
    assert_eq!(
        request(22, &[&count(0)]),
        Ok(Request::GossipDigest(Digest::default()))
    );

    let entry = |key: u8, version: u64| [&[key][..], &number(version), &count(0)].concat();
    let delta = |after: u64, entries: &[Vec<u8>]| {
        let head = [&count(1)[..], &node(1), &number(1), &number(after)].concat();
        let entries_count = u32::try_from(entries.len()).unwrap();
        request(23, &[&head, &count(entries_count), &entries.concat()])
    };
    let offset = 1 + 4 + 16 + 8 + 8;
    assert!(delta(0, &[entry(1, 1), entry(2, 2)]).is_ok());
    for (after, entries) in [
        (0, vec![entry(1, 2), entry(2, 1)]),
        (0, vec![entry(1, 1), entry(1, 2)]),
        (1, vec![entry(1, 1)]),
    ] {
        assert_eq!(delta(after, &entries), malformed("entries", offset));
    }
    let empty = delta(0, &[]).unwrap_err();
    assert!(
        matches!(empty, DecodeError::TooMany { what: "deltas", .. }),
        "{empty}"
    );

    let bytes = VALUE_BYTES_MAX + 1;
    let long = [&[1][..], &number(1), &count(u32::try_from(bytes).unwrap())].concat();
    let long = delta(0, &[[long, vec![0; bytes]].concat()]).unwrap_err();
    assert!(
        matches!(long, DecodeError::TooLong { what: "value", .. }),
        "{long}"
    );
}

#[test]
fn what_a_later_release_adds_to_a_value_is_left_alone() {
    let longer = |value: Bytes| Bytes::from([&value[..], b"more"].concat());
    assert_eq!(
        RingKnown::decode(longer(RING_KNOWN.encode())),
        Ok(RING_KNOWN)
    );
    assert_eq!(Load::decode(longer(LOAD.encode())), Ok(LOAD));
}

#[test]
fn a_value_that_is_not_read_is_an_error() {
    let mut other = RING_KNOWN.encode().to_vec();
    other[0] = 2;
    let error = DecodeError::UnknownVersion {
        what: "epoch",
        version: 2,
    };
    assert_eq!(RingKnown::decode(other.into()), Err(error));
    for length in 0..LOAD.encode().len() {
        assert!(Load::decode(LOAD.encode().slice(..length)).is_err());
    }
    let no_text = [&[1, 0, 0, 0, 1, 0xff][..], &[0; 12]].concat();
    let error = DecodeError::Malformed {
        what: "address",
        offset: 1,
    };
    assert_eq!(gossiped::decode_addresses(no_text.into()), Err(error));
}
