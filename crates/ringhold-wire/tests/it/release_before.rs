//! What the release before sends and keeps is read, and written the same (T20).
//!
//! `golden/protocol-1` holds copies of that release's golden files, of the formats that travel between nodes. They are not written
//! anew with the others: a release that can't read them any more can't run beside it.

use bytes::{Bytes, BytesMut};
use ringhold_core::health::Reported;
use ringhold_core::ring::{Epoch, validate};
use ringhold_wire::gossiped::{Load, RingKnown, decode_addresses};
use ringhold_wire::handshake::{Handshake, ProtocolRange};
use ringhold_wire::message::peer::{Refusal, Reply, Request};
use ringhold_wire::record::Record;
use ringhold_wire::{object, ring};
use std::fs;
use std::path::PathBuf;

const PROTOCOL: u16 = 1;

/// The values of a file.
fn values(file: &str) -> Vec<Bytes> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/protocol-1");
    let text = fs::read_to_string(folder.join(file)).expect("a golden file of the release before");
    let values = crate::golden::parse(&text);
    assert!(!values.is_empty(), "{file}");
    values
}

#[test]
fn its_messages_mean_the_same_and_are_written_the_same() {
    for bytes in values("requests.hex") {
        let request = Request::decode(bytes.clone()).expect("a request of the release before");
        assert!(request.since() <= PROTOCOL, "{request:?}");
        let mut again = BytesMut::new();
        request.encode(&mut again);
        assert_eq!(again.freeze(), bytes, "{request:?}");
    }
    for bytes in values("replies.hex") {
        let reply = Reply::decode(bytes.clone()).expect("a reply of the release before");
        assert!(reply.since() <= PROTOCOL, "{reply:?}");
        let mut again = BytesMut::new();
        reply.in_protocol(PROTOCOL).encode(&mut again);
        assert_eq!(again.freeze(), bytes);
    }
}

#[test]
fn its_records_and_documents_are_read() {
    for bytes in values("object.hex") {
        object::decode(bytes).expect("an object");
    }
    for bytes in values("record.hex") {
        Record::decode(bytes).expect("a record");
    }
    for bytes in values("handshake.hex") {
        Handshake::decode(bytes).expect("a step of a handshake");
    }
    for bytes in values("ring-document.hex").into_iter().take(1) {
        let document = ring::decode(bytes).expect("a ring document");
        assert_eq!(validate(&document), Ok(()));
        assert_eq!(document.epoch.generation(), 0);
    }
    for bytes in values("gossiped.hex") {
        let is_read = decode_addresses(bytes.clone()).is_ok()
            || Load::decode(bytes.clone()).is_ok()
            || RingKnown::decode(bytes).is_ok();
        assert!(is_read);
    }
}

#[test]
fn it_is_told_nothing_that_it_does_not_know() {
    let reported = Reported::default();
    let epoch = Epoch(7);
    let here = Reply::Here { reported, epoch };
    assert_eq!(here.clone().in_protocol(PROTOCOL), Reply::Pong(reported));
    assert_eq!(here.clone().in_protocol(PROTOCOL + 1), here);
    let older = Reply::Refused(Refusal::OlderProtocol).in_protocol(PROTOCOL);
    assert!(older.since() <= PROTOCOL);
}

#[test]
fn two_releases_that_follow_each_other_speak_together() {
    let spoken = ProtocolRange::SPOKEN;
    assert_eq!(
        spoken.max - spoken.min,
        1,
        "this release's, and that of the one before"
    );
    let before = ProtocolRange {
        min: spoken.min,
        max: spoken.max - 1,
    };
    assert_eq!(spoken.agree(before), Some(before.max));
    let after = ProtocolRange {
        min: spoken.max,
        max: spoken.max + 1,
    };
    assert_eq!(spoken.agree(after), Some(spoken.max));
    assert_eq!(before.agree(ProtocolRange { min: 2, max: 3 }), None);
    assert_eq!(ProtocolRange::up_to(0), spoken);
    assert_eq!(ProtocolRange::up_to(1), ProtocolRange { min: 1, max: 1 });
    assert_eq!(spoken.to_string(), "1 to 2");
    assert_eq!(before.to_string(), "1");
}
