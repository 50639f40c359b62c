//! The bytes of each released format, so that no change to a layout goes unnoticed.
//!
//! A golden file is a list of `# label` lines, each followed by the hexadecimal bytes of one value.
//! With `RINGHOLD_BLESS=1` in the environment the files are rewritten; whoever does that to a
//! format that was released has made a new version of it.

use crate::backups;
use crate::samples::{self, gossip, messages, rings};
use bytes::{Bytes, BytesMut};
use ringhold_wire::frame::{self, Frame, FrameDecoder};
use ringhold_wire::gossiped::{self, Load, RingKnown};
use ringhold_wire::handshake::Handshake;
use ringhold_wire::message::peer::{Reply, Request};
use ringhold_wire::record::Record;
use ringhold_wire::{object, ring};
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

/// Label and bytes of each value of one file.
type Entries = Vec<(String, Bytes)>;

fn render(entries: &Entries) -> String {
    let mut text = String::new();
    for (label, bytes) in entries {
        writeln!(text, "# {label}").expect("a string takes all");
        for line in bytes.chunks(32) {
            let hexadecimal: String = line.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(text, "{hexadecimal}").expect("a string takes all");
        }
    }
    text
}

pub(crate) fn parse(text: &str) -> Vec<Bytes> {
    let mut values: Vec<Vec<u8>> = Vec::new();
    for line in text.lines() {
        if line.starts_with('#') {
            values.push(Vec::new());
            continue;
        }
        let value = values.last_mut().expect("a label comes first");
        value.extend(
            (0..line.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&line[at..at + 2], 16).expect("hexadecimal digits")),
        );
    }
    values.into_iter().map(Bytes::from).collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one switch of the tests; nothing released reads it"
)]
fn blessing() -> bool {
    std::env::var_os("RINGHOLD_BLESS").is_some()
}

/// Compares with the file, and returns the file's values.
fn check(file: &str, entries: &Entries) -> Vec<Bytes> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(file);
    let rendered = render(entries);
    if blessing() {
        fs::write(&path, &rendered).expect("the golden file can be written");
    }
    let golden = fs::read_to_string(&path).expect("a golden file; RINGHOLD_BLESS=1 writes it");
    assert_eq!(
        rendered, golden,
        "{file} differs; a released format does not change"
    );
    parse(&golden)
}

fn encoded(encode: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::new();
    encode(&mut out);
    out.freeze()
}

#[test]
fn object_and_record() {
    let entries = vec![(
        "two siblings".to_owned(),
        object::to_bytes(&samples::object()),
    )];
    for bytes in check("object.hex", &entries) {
        assert_eq!(object::decode(bytes), Ok(samples::object()));
    }
    let entries = vec![(
        "a record with a live epoch".to_owned(),
        samples::record().encode(),
    )];
    for bytes in check("record.hex", &entries) {
        assert_eq!(Record::decode(bytes), Ok(samples::record()));
    }
}

#[test]
fn backup() {
    let blocks = backups::blocks();
    let labels = [
        "head",
        "types",
        "properties",
        "objects",
        "more objects",
        "end",
    ];
    let entries = labels.map(str::to_owned).into_iter();
    let golden = check(
        "backup.hex",
        &entries.zip(backups::written(&blocks)).collect(),
    );
    let read = backups::read(&golden.concat(), 4_096).expect("a backup of this release");
    assert_eq!(read.0, blocks);
}

#[test]
fn ring_document() {
    let document = rings::document();
    let entries = vec![(
        "four members, one section more".to_owned(),
        ring::encode(&document),
    )];
    for bytes in check("ring-document.hex", &entries) {
        assert_eq!(ring::decode(bytes).as_ref(), Ok(&document));
    }
}

#[test]
fn gossiped() {
    let values = [
        ("epoch", gossip::RING_KNOWN.encode()),
        ("load", gossip::LOAD.encode()),
        (
            "addresses",
            gossiped::encode_addresses(&gossip::addresses()),
        ),
    ];
    let entries = values.map(|(label, bytes)| (label.to_owned(), bytes));
    let golden = check("gossiped.hex", &entries.to_vec());
    assert_eq!(RingKnown::decode(golden[0].clone()), Ok(gossip::RING_KNOWN));
    assert_eq!(Load::decode(golden[1].clone()), Ok(gossip::LOAD));
    let addresses = gossiped::decode_addresses(golden[2].clone());
    assert_eq!(addresses, Ok(gossip::addresses()));
}

#[test]
fn requests() {
    let requests = messages::requests();
    let entries = requests
        .iter()
        .map(|(label, r)| ((*label).to_owned(), encoded(|out| r.encode(out))));
    let golden = check("requests.hex", &entries.collect());
    for ((label, request), bytes) in requests.into_iter().zip(golden) {
        assert_eq!(Request::decode(bytes), Ok(request), "{label}");
    }
}

#[test]
fn replies() {
    let replies = messages::replies();
    let entries = replies
        .iter()
        .map(|(label, r)| (label.clone(), encoded(|out| r.encode(out))));
    let golden = check("replies.hex", &entries.collect());
    for ((label, reply), bytes) in replies.into_iter().zip(golden) {
        assert_eq!(Reply::decode(bytes), Ok(reply), "{label}");
    }
}

#[test]
fn handshakes() {
    let steps = samples::handshakes();
    let entries = steps
        .iter()
        .map(|(label, s)| ((*label).to_owned(), encoded(|out| s.encode(out))));
    let golden = check("handshake.hex", &entries.collect());
    for ((label, step), bytes) in steps.into_iter().zip(golden) {
        assert_eq!(Handshake::decode(bytes), Ok(step), "{label}");
    }
}

#[test]
fn frames() {
    let header = samples::request_header();
    let confirm = samples::handshakes().pop().expect("the last step").1;
    let request = encoded(|out| {
        frame::append_request(out, header, &Request::Ping).expect("a small frame");
    });
    let reply = encoded(|out| {
        frame::append_reply(out, header.id, &Reply::Pong(messages::REPORTED))
            .expect("a small frame");
    });
    let handshake = encoded(|out| frame::append_handshake(out, &confirm));
    let entries = [
        ("handshake", handshake),
        ("request", request),
        ("reply", reply),
    ];
    let entries = entries
        .map(|(label, bytes)| (label.to_owned(), bytes))
        .to_vec();

    let mut decoder = FrameDecoder::new();
    check("frame.hex", &entries)
        .iter()
        .for_each(|bytes| decoder.feed(bytes));
    let Ok(Some(Frame::Handshake(body))) = decoder.next_frame() else {
        panic!("a handshake")
    };
    assert_eq!(Handshake::decode(body), Ok(confirm));
    let Ok(Some(Frame::Request { header: read, body })) = decoder.next_frame() else {
        panic!("a request")
    };
    assert_eq!((read, Request::decode(body)), (header, Ok(Request::Ping)));
    let Ok(Some(Frame::Reply { id, body })) = decoder.next_frame() else {
        panic!("a reply")
    };
    assert_eq!(
        (id, Reply::decode(body)),
        (header.id, Ok(Reply::Pong(messages::REPORTED)))
    );
    assert_eq!(decoder.next_frame(), Ok(None));
}
