//! Ring documents.

use crate::samples::rings;
use bytes::Bytes;
use proptest::prelude::*;
use ringhold_core::ring::{FurtherSection, RingDocument};
use ringhold_wire::bytes_io::DecodeError;
use ringhold_wire::ring::{self, SECTIONS_MAX};

proptest! {
    #[test]
    fn a_document_comes_back_from_its_bytes(document in rings::any_document()) {
        let bytes = ring::encode(&document);
        prop_assert_eq!(ring::decode(bytes), Ok(document));
    }

    #[test]
    fn any_bit_flipped_in_a_document_is_noticed(at: prop::sample::Index, bit in 0..8u32) {
        let mut bytes = ring::encode(&rings::document()).to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1u8 << bit;
        prop_assert!(ring::decode(Bytes::from(bytes)).is_err());
    }
}

#[test]
fn only_what_changed_is_sent() {
    let (held, next) = (rings::document(), rings::successor());
    let changes = ring::encode_changes(&next, &held.section_hashes);
    assert_eq!(
        ring::decode_changes(changes.clone(), &held),
        Ok(next.clone())
    );
    let whole = ring::encode_changes(&next, &[]);
    assert_eq!(
        whole.len(),
        ring::encode(&next).len() + next.section_hashes.len()
    );
    assert!(changes.len() < whole.len() / 2);
    let contains = |text: &[u8]| changes.windows(text.len()).any(|window| window == text);
    assert!(contains(b"weather") && !contains(b"sunny") && !contains(b"node-1"));
    // Whoever holds something else by now can't read it, and asks again.
    let mut other = next;
    other.members.clear();
    let error = ring::decode_changes(changes, &other.sealed()).unwrap_err();
    let what = "section left out";
    assert!(
        matches!(error, DecodeError::Malformed { what: w, .. } if w == what),
        "{error}"
    );
}

proptest! {
    #[test]
    fn changes_to_any_document_make_the_other(
        held in rings::any_document(),
        next in rings::any_document(),
    ) {
        for (held, next) in [(&held, &next), (&held, &held)] {
            let changes = ring::encode_changes(next, &held.section_hashes);
            prop_assert_eq!(&ring::decode_changes(changes, held), &Ok(next.clone()));
        }
    }
}

/// T20: a section that nobody here knows outlives being received, changed around, stored and sent
/// on.
#[test]
fn an_unknown_section_outlives_a_node_that_does_not_know_it() {
    let received = ring::decode(ring::encode(&rings::document())).unwrap();
    let mut next = received.successor();
    next.placement.placement_number += 1;
    let stored = ring::decode(ring::encode(&next.sealed())).unwrap();
    let weather = FurtherSection {
        name: "weather".to_owned(),
        bytes: Bytes::from_static(b"sunny"),
    };
    assert_eq!(stored.further, [weather]);
}

fn with_further(names: impl Iterator<Item = String>) -> RingDocument {
    let further = names.map(|name| FurtherSection {
        name,
        bytes: Bytes::new(),
    });
    RingDocument {
        further: further.collect(),
        ..rings::document()
    }
    .sealed()
}

#[test]
fn a_section_name_occurs_once() {
    let document = with_further(["types-1", "types-2"].map(str::to_owned).into_iter());
    let mut bytes = ring::encode(&document).to_vec();
    let name = bytes
        .windows(7)
        .position(|window| window == b"types-2")
        .unwrap();
    bytes[name + 6] = b'1';
    let error = ring::decode(Bytes::from(bytes)).unwrap_err();
    assert!(
        matches!(
            error,
            DecodeError::Malformed {
                what: "sections",
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn there_are_not_many_sections() {
    let document = with_further((4..=SECTIONS_MAX).map(|number| number.to_string()));
    let valid = ring::encode(&document);
    assert_eq!(ring::decode(valid.clone()).as_ref(), Ok(&document));

    let (count, hash) = (1 + 16 + 8 + 16, valid.len() - 16);
    let one_more = u32::try_from(SECTIONS_MAX + 1).unwrap().to_be_bytes();
    let section = [&[0, 0, 0, 1, b'x'][..], &[0; 16], &[0; 4]].concat();
    let (before, sections) = (&valid[..count], &valid[count + 4..hash]);
    let bytes = [before, &one_more, sections, &section, &valid[hash..]].concat();
    let error = ring::decode(Bytes::from(bytes)).unwrap_err();
    assert!(
        matches!(
            error,
            DecodeError::TooMany {
                what: "sections",
                ..
            }
        ),
        "{error}"
    );
}

#[test]
#[should_panic(expected = "two sections of one name")]
fn a_document_that_could_not_be_read_is_not_written() {
    drop(ring::encode(&with_further(
        ["types", "types"].map(str::to_owned).into_iter(),
    )));
}

#[test]
#[should_panic(expected = "sealed")]
fn a_document_that_was_changed_after_sealing_is_not_written() {
    let mut document = rings::document();
    document.placement.target_n += 1;
    drop(ring::encode(&document));
}

#[test]
fn a_damaged_section_is_named_as_such() {
    let mut bytes = ring::encode(&rings::document()).to_vec();
    let zone = bytes
        .windows(5)
        .position(|window| window == b"north")
        .unwrap();
    bytes[zone] ^= 1;
    let error = ring::decode(Bytes::from(bytes)).unwrap_err();
    assert!(
        matches!(
            error,
            DecodeError::HashMismatch {
                what: "section",
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_damaged_heading_is_named_as_such() {
    let mut bytes = ring::encode(&rings::document()).to_vec();
    bytes[1 + 16 + 7] ^= 1;
    let error = ring::decode(Bytes::from(bytes)).unwrap_err();
    assert!(
        matches!(
            error,
            DecodeError::HashMismatch {
                what: "ring document",
                ..
            }
        ),
        "{error}"
    );
}
