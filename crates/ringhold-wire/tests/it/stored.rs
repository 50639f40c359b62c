//! Objects, records and metadata.

use crate::samples::{self, text};
use bytes::Bytes;
use proptest::prelude::*;
use ringhold_core::version::{Content, MetadataField, Object};
use ringhold_wire::bytes_io::DecodeError;
use ringhold_wire::metadata::{Metadata, tag};
use ringhold_wire::record::{Record, StoredRecord};
use ringhold_wire::{object, record};

proptest! {
    #[test]
    fn an_object_comes_back_from_its_bytes(object in samples::any_object()) {
        let bytes = object::to_bytes(&object);
        prop_assert_eq!(bytes.len(), object::encoded_bytes(&object));
        prop_assert_eq!(object::decode(bytes), Ok(object));
    }

    #[test]
    fn a_record_comes_back_from_its_bytes(record in samples::any_record()) {
        let bytes = record.encode();
        let stored = StoredRecord::open(bytes.clone()).unwrap();
        prop_assert_eq!(&stored.name, &record.name);
        prop_assert_eq!(stored.live, record.live);
        prop_assert_eq!(&stored.object, &object::to_bytes(&record.object));
        prop_assert_eq!(Record::decode(bytes), Ok(record));
    }

    #[test]
    fn metadata_comes_back_from_its_fields(metadata in samples::any_metadata()) {
        let fields = metadata.to_fields();
        let read = Metadata::from_fields(&fields).unwrap();
        prop_assert_eq!(read.to_fields(), fields);
        prop_assert_eq!(read, metadata);
    }

    #[test]
    fn any_bit_flipped_in_a_record_is_noticed(
        record in samples::any_record(), at: prop::sample::Index, bit in 0..8u32,
    ) {
        let mut bytes = record.encode().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1u8 << bit;
        prop_assert!(StoredRecord::open(Bytes::from(bytes)).is_err());
    }
}

#[test]
fn a_damaged_value_is_no_object() {
    let mut bytes = object::to_bytes(&samples::object()).to_vec();
    let value = bytes
        .windows(5)
        .position(|window| window == b"items")
        .unwrap();
    bytes[value] ^= 1;
    let error = object::decode(Bytes::from(bytes)).unwrap_err();
    assert!(
        matches!(
            error,
            DecodeError::HashMismatch {
                what: "content",
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_dot_counts_from_one_and_its_actor_is_in_the_context() {
    let valid = object::to_bytes(&samples::object());
    let dot = 1 + 4 + 3 * 32 + 4;
    for (actor, counter, what) in [(3u32, 2u64, "actor"), (1, 0, "counter"), (1, 3, "versions")] {
        let mut bytes = valid.to_vec();
        bytes[dot..dot + 4].copy_from_slice(&actor.to_be_bytes());
        bytes[dot + 4..dot + 12].copy_from_slice(&counter.to_be_bytes());
        let error = object::decode(Bytes::from(bytes)).unwrap_err();
        assert!(
            matches!(error, DecodeError::Malformed { what: w, .. } if w == what),
            "{error}"
        );
    }
}

#[test]
fn the_order_of_fields_does_not_depend_on_the_order_they_came_in() {
    let metadata = samples::metadata();
    let mut fields = metadata.to_fields();
    fields.reverse();
    assert_eq!(
        Metadata::from_fields(&fields).unwrap().to_fields(),
        metadata.to_fields()
    );
}

#[test]
fn fields_of_the_wrong_layout_are_refused() {
    let field = |tag, bytes| MetadataField {
        tag,
        bytes: text(bytes),
    };
    let rows = [
        vec![field(tag::CHARSET, "a"), field(tag::CHARSET, "b")],
        vec![field(tag::EXPIRES_AT, "1234567")],
        vec![field(tag::EXPIRES_AT, "123456789")],
        vec![field(tag::LINK, "")],
        vec![field(tag::USER, "\0\0\0\u{1}")],
    ];
    for fields in rows {
        assert!(Metadata::from_fields(&fields).is_err(), "{fields:?}");
    }
}

/// T20: what a later release says of a version survives a node of today, which stores it, merges
/// it, shows it to a client as metadata and takes it back.
#[test]
fn an_unknown_tag_outlives_a_node_that_does_not_know_it() {
    let field = MetadataField {
        tag: 0x8123,
        bytes: text("said by a later release"),
    };
    let decoded = object::decode(object::to_bytes(&samples::object())).unwrap();
    let Content::Value { bytes, metadata } = &decoded.versions()[0].content else {
        panic!("the first version is a value");
    };
    let mut known = Metadata::from_fields(metadata).unwrap();
    known.unknown = vec![field.clone()];
    let content = Content::Value {
        bytes: bytes.clone(),
        metadata: known.to_fields(),
    };

    let mut versions = decoded.versions().to_vec();
    versions[0].hash = content.hash();
    versions[0].content = content;
    let newer = Object::from_parts(decoded.context().clone(), versions).unwrap();

    let mut kept = Object::new();
    kept.merge(&object::decode(object::to_bytes(&newer)).unwrap());
    let stored = record::encode(&samples::name(), None, &kept);
    let read = Record::decode(stored).unwrap().object;
    let Content::Value { metadata, .. } = &read.versions()[0].content else {
        panic!("the first version is a value");
    };
    assert_eq!(metadata.last(), Some(&field));
    assert_eq!(Metadata::from_fields(metadata).unwrap().unknown, [field]);
    assert_eq!(read.versions()[0].hash, newer.versions()[0].hash);
}

#[test]
fn a_later_format_version_is_refused_by_name() {
    let mut bytes = object::to_bytes(&samples::object()).to_vec();
    bytes[0] = 2;
    let error = DecodeError::UnknownVersion {
        what: "object",
        version: 2,
    };
    assert_eq!(object::decode(Bytes::from(bytes)), Err(error));

    let mut bytes = samples::record().encode().to_vec();
    bytes[0] = 2;
    let error = DecodeError::UnknownVersion {
        what: "record",
        version: 2,
    };
    assert_eq!(Record::decode(Bytes::from(bytes)), Err(error));
}
