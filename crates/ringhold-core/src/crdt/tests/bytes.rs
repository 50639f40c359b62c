//! Bytes: one form for each state, and nothing else is read.

use super::histories::{any_history, run};
use super::sample::{Replica, dot, set};
use crate::crdt::counter::{Stretch, Total};
use crate::crdt::map::Content;
use crate::crdt::runs::Run;
use crate::crdt::state::Body;
use crate::crdt::*;
use crate::version::Timestamp;
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// Whatever the bytes, reading ends, and what is read is written as it was.
fn check_read(bytes: &Bytes) {
    if let Ok(mut state) = State::from_bytes(bytes) {
        assert_eq!(state.to_bytes(), *bytes);
        let value = state.value();
        let copy = state.clone();
        state.join(&copy).expect("of one kind");
        assert_eq!((&state, state.value()), (&copy, value));
    }
    if let Ok(context) = CausalContext::from_bytes(bytes) {
        assert_eq!(context.to_bytes(), *bytes);
    }
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Counter), Just(Kind::Set), Just(Kind::Map)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_bytes_are_read_or_refused(kind in 0..7_u8, bytes in vec(any::<u8>(), 0..300)) {
        let bytes = [vec![FORMAT_VERSION, kind], bytes].concat();
        check_read(&bytes.into());
    }

    /// Small numbers, so that counts are believable and it goes deep.
    #[test]
    fn small_bytes_are_read_or_refused(kind in 1..6_u8, bytes in vec(0..4_u8, 0..60)) {
        let bytes = [vec![FORMAT_VERSION, kind, 0], bytes].concat();
        check_read(&bytes.into());
    }

    #[test]
    fn what_is_cut_or_damaged_is_refused_or_is_another_state(
        history in any_kind().prop_flat_map(|kind| any_history(kind, kind.has_context())),
        pick in any::<Index>(), at in any::<Index>(), flip in 1..=255_u8,
    ) {
        let states = run(&history)?.into_states();
        let state = pick.get(&states);
        let bytes = state.to_bytes();
        for end in 0..bytes.len() {
            prop_assert!(State::from_bytes(&bytes.slice(..end)).is_err());
        }
        let longer = Bytes::from([&bytes[..], &[0]].concat());
        prop_assert!(State::from_bytes(&longer).is_err());
        let mut damaged = bytes.to_vec();
        damaged[at.index(bytes.len())] ^= flip;
        let damaged = Bytes::from(damaged);
        check_read(&damaged);
        let read = State::from_bytes(&damaged);
        prop_assert_ne!(read.as_ref(), Ok(state));
        // A damaged state may say anything, but joining it is no danger.
        if let Ok(mut damaged) = read {
            let _ignored = damaged.join(state).is_ok();
            check_read(&damaged.to_bytes());
        }
        let context = state.context().to_bytes();
        prop_assert_eq!(&CausalContext::from_bytes(&context), &Ok(state.context().clone()));
    }
}

/// `version, kind, actors …`: what a set with one element of one update looks like.
#[test]
fn the_layout_is_what_the_module_says() {
    let mut a = Replica::new(0, Kind::Set);
    let delta = a.set("x", "", None);
    let actor = [&1_u128.to_be_bytes()[..], &1_u64.to_be_bytes()].concat();
    let (actors, seen) = ([&[1], &actor[..]].concat(), [1, 0, 0]);
    let body = [1, 1, b'x', 1, 0, 1];
    let want = [&[1, 2], &actors[..], &seen, &[0], &body].concat();
    assert_eq!(delta.to_bytes(), want);
}

#[test]
fn what_is_not_in_its_one_form_is_refused() {
    let refused = |bytes: &[u8]| State::from_bytes(&Bytes::from(bytes.to_vec())).unwrap_err();
    assert_eq!(
        refused(&[]),
        DecodeError::Truncated {
            what: "version",
            offset: 0
        }
    );
    assert_eq!(
        refused(&[2, 2, 0, 0, 0]),
        DecodeError::UnknownVersion { version: 2 }
    );
    assert!(State::from_bytes(&Bytes::from_static(&[1, 2, 0, 0, 0])).is_ok());
    let longer_zero = [1, 2, 0, 0, 0x80, 0];
    assert_eq!(refused(&longer_zero), DecodeError::NotCanonical);
    let (unsorted, twice) = (
        [1, 3, 0, 0, 2, 1, b'y', 1, b'x'],
        [1, 3, 0, 0, 2, 1, b'x', 1, b'x'],
    );
    assert_eq!(refused(&unsorted), DecodeError::NotCanonical);
    assert_eq!(refused(&twice), DecodeError::NotCanonical);
    let many = [1, 3, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    assert_eq!(
        refused(&many),
        DecodeError::Malformed {
            what: "elements",
            offset: 10
        }
    );
    let dense_and_empty = [&[1, 4, 0, 0, 4, 1][..], &[0; 16]].concat();
    assert_eq!(refused(&dense_and_empty), DecodeError::NotCanonical);
}

/// A set whose element stands on a dot that was not seen, and a removal of a dot that was.
#[test]
fn what_breaks_an_invariant_is_refused() {
    let mut a = Replica::new(0, Kind::Set);
    a.set("x", "", None);
    let mut unseen = a.state.clone();
    unseen.seen = CausalContext::from_iter([dot(0, 2)]);
    let refused = State::from_bytes(&unseen.to_bytes()).expect_err("not seen");
    assert!(matches!(
        refused,
        DecodeError::Malformed { what: "dot", .. }
    ));

    let waits = CausalContext::from_iter([dot(0, 2)]);
    let update = Update::Set(set("", "x"));
    let mut b = Replica::new(1, Kind::Set);
    b.take(&update, Some(&waits)).expect("it waits");
    assert_eq!(State::from_bytes(&b.state.to_bytes()), Ok(b.state.clone()));
    b.state.seen.observe(dot(0, 2));
    let refused = State::from_bytes(&b.state.to_bytes()).expect_err("was carried out");
    assert!(matches!(
        refused,
        DecodeError::Malformed {
            what: "removal",
            ..
        }
    ));
}

/// 65,536 registers of which all are set are written whole, and three of them are not.
#[test]
fn an_estimate_is_written_in_the_shorter_form() {
    let mut h = Replica::new(0, Kind::Hll);
    h.state = State::hll(Precision::new(4).expect("in range"));
    for count in 0..200_u32 {
        let element = Bytes::from(count.to_be_bytes().to_vec());
        h.take(&Update::Hll(vec![element]), None).expect("taken");
        let bytes = h.state.to_bytes();
        assert!(bytes.len() <= 6 + 16);
        assert_eq!(State::from_bytes(&bytes), Ok(h.state.clone()));
    }
    assert_eq!(h.state.to_bytes().len(), 6 + 16);
}

/// Totals and runs as large as bytes can say: they are read, joined and refused as values, and nothing overflows.
#[test]
fn a_counter_made_up_beyond_all_range_is_an_error_and_no_panic() {
    let actor = |replica| dot(replica, 1).actor;
    let mut made_up = State::new(Kind::Counter);
    let mut fields = Replica::new(0, Kind::Map);
    fields.update("c", FieldUpdate::Counter(1));
    for replica in 1..4 {
        let (first, last) = (2, u64::MAX);
        let Body::Counter(counter) = &mut made_up.body else {
            panic!("a counter");
        };
        let sum = i128::from(last - first + 1) * i128::from(i64::MIN);
        let actor = actor(replica);
        let stretch = Stretch { actor, first };
        counter.stretches.insert(stretch, Total { last, sum });
        let Body::Map(map) = &mut fields.state.body else {
            panic!("a map");
        };
        let entry = map.entries.values_mut().next().expect("the counter");
        let Content::Counter(amounts) = &mut entry.content else {
            panic!("a counter");
        };
        let payload = i64::MIN;
        let run = Run {
            first,
            last,
            payload,
        };
        amounts.add(actor, run);
        fields.state.seen.add(actor, first, last);
    }
    for state in [&mut made_up, &mut fields.state] {
        let bytes = state.to_bytes();
        let mut read = State::from_bytes(&bytes).expect("nothing is wrong with its form");
        read.join(state).expect("of one kind");
        assert_eq!((&read, read.value()), (&*state, Err(CounterOutOfRange)));
    }
    let refused = made_up.apply(&Update::Counter(1), dot(9, 1), Timestamp(0), None);
    assert_eq!(refused, Err(Refused::CounterOverflow));
}
