//! What opening makes of disks that lie.

use bytes::Bytes;
use proptest::prelude::*;
use ringhold_storage::testing::block_on;
use ringhold_storage::{
    Doubt, Durability, Engine, KeyRange, Keyspace, OpenError, Opened, ReadError, StorageKey,
    StoreIdentity, StoreOptions,
};

use crate::support::{Machine, Model, Random, key, put, text};

const OPTIONS: StoreOptions = StoreOptions {
    groups: 1,
    partition_bits: 0,
    segment_bytes: 1 << 20,
    epoch_lease: 10,
};

/// A mark, and a record with one entry whose value is "value 5" and its seal.
const LAST_APPEND_BYTES: usize = (32 + 16) + 32 + (8 + 1 + 1 + 32 + 4) + 7 + 8;

/// A store with `before` values in the engine and `after` more in the log, each of its own append.
fn filled(before: u128, after: u128) -> (Machine, StoreIdentity) {
    let machine = Machine::new();
    let Opened {
        store,
        mut writers,
        flusher,
        ..
    } = machine.open(OPTIONS, &mut Random(42)).expect("a new store");
    let main = async {
        for position in 1..=before + after {
            writers[0].stage(put(position, &format!("value {position}")));
            writers[0]
                .commit(Durability::Flushed)
                .await
                .expect("a good disk");
            if position == before {
                let begun = store.begin_checkpoint().await.expect("a good disk");
                store
                    .finish_checkpoint(begun.expect("something"))
                    .await
                    .expect("a good engine");
            }
        }
    };
    block_on(main, vec![Box::pin(flusher)]);
    (machine, store.identity())
}

fn last_segment(machine: &Machine) -> u64 {
    *machine
        .files
        .segments()
        .last()
        .expect("every store has one")
}

fn positions(opened: &Opened) -> Vec<u128> {
    Model::read(&opened.store, |_| true)
        .0
        .keys()
        .map(|(_, key)| key.position())
        .collect()
}

#[test]
fn a_torn_tail_is_cut_and_is_no_doubt() {
    let (machine, before) = filled(2, 3);
    let segment = last_segment(&machine);
    let whole = machine.files.bytes(segment).expect("it is there").len();
    for cut in 1..=LAST_APPEND_BYTES {
        let (machine, _) = filled(2, 3);
        machine
            .files
            .damage(segment, |bytes| bytes.truncate(whole - cut));
        let opened = machine
            .open(OPTIONS, &mut Random(7))
            .expect("a torn tail is no error");
        assert!(
            opened.report.doubts.is_empty(),
            "{cut} bytes cut: {:?}",
            opened.report
        );
        let store_id = opened.store.identity().store_id;
        assert_eq!(store_id, before.store_id, "{cut} bytes cut");
        assert_eq!(positions(&opened), [1, 2, 3, 4], "{cut} bytes cut");
        assert!(machine.files.quarantined().is_empty());
        drop(opened);
        let again = machine
            .open(OPTIONS, &mut Random(8))
            .expect("what was cut stays cut");
        assert_eq!(
            (positions(&again), again.report.doubts.len()),
            (vec![1, 2, 3, 4], 0)
        );
    }
}

#[test]
fn damage_in_the_middle_keeps_what_reads_and_is_a_doubt() {
    let (machine, _) = filled(2, 3);
    let segment = last_segment(&machine);
    let whole = machine.files.bytes(segment).expect("it is there").len();
    let mut damaged = 0;
    for at in 0..whole {
        let (machine, before) = filled(2, 3);
        machine.files.damage(segment, |bytes| bytes[at] ^= 0x10);
        let opened = machine
            .open(OPTIONS, &mut Random(7))
            .expect("damage is no error");
        let after = opened.store.identity();
        assert_eq!(
            (after.store_id, after.fingerprint_key),
            (before.store_id, before.fingerprint_key)
        );
        let there = positions(&opened);
        assert!(there.starts_with(&[1, 2]), "byte {at}: the engine has them");
        if opened.report.doubts.is_empty() {
            assert!(
                at >= whole - LAST_APPEND_BYTES,
                "byte {at} had been flushed, and its damage went unnoticed"
            );
            assert_eq!(there, [1, 2, 3, 4], "byte {at}");
        } else {
            damaged += 1;
            assert_ne!(after.incarnation, before.incarnation, "byte {at}");
            assert_eq!(
                opened.report.doubts,
                [Doubt::DamagedSegment(segment)],
                "byte {at}"
            );
            assert_eq!(opened.report.quarantined, [segment], "byte {at}");
            assert_eq!(machine.files.quarantined().len(), 1, "byte {at}");
            assert!(
                there.len() >= 4 && there.contains(&5),
                "byte {at}: only one value may be lost"
            );
        }
        drop(opened);
        let again = machine
            .open(OPTIONS, &mut Random(8))
            .expect("a store in order");
        assert!(
            again.report.doubts.is_empty(),
            "byte {at}: the doubt is settled"
        );
        assert_eq!(positions(&again), there, "byte {at}");
    }
    assert!(
        damaged > whole / 2,
        "most of the segment is proven to have been flushed"
    );
}

#[test]
fn opening_again_and_again_copies_no_more_than_the_last_append() {
    let (machine, _) = filled(2, 20);
    for seed in 0..5 {
        drop(
            machine
                .open(OPTIONS, &mut Random(seed))
                .expect("a store in order"),
        );
        let last = machine
            .files
            .bytes(last_segment(&machine))
            .expect("just made");
        assert!(
            last.len() < 300 + LAST_APPEND_BYTES,
            "{} bytes in the new segment",
            last.len()
        );
    }
    let opened = machine
        .open(OPTIONS, &mut Random(9))
        .expect("a store in order");
    assert_eq!(positions(&opened), (1..=22).collect::<Vec<u128>>());
}

#[test]
fn zeros_behind_what_was_written_are_where_it_ends() {
    let (machine, _) = filled(2, 3);
    let opened = machine
        .open(OPTIONS, &mut Random(7))
        .expect("a store in order");
    assert_eq!(
        (opened.report.torn_bytes, opened.report.doubts),
        (0, vec![])
    );
}

/// Opens a store in whose last segment one append was zeroed, of which a later one says that it had been flushed.
fn opened_after_zeroing() -> (Vec<Doubt>, Vec<u128>) {
    let (machine, _) = filled(2, 4);
    machine.files.damage(last_segment(&machine), |bytes| {
        let end = bytes.len() - 2 * LAST_APPEND_BYTES;
        bytes[end - LAST_APPEND_BYTES..end].fill(0);
    });
    let opened = machine
        .open(OPTIONS, &mut Random(7))
        .expect("damage is no error");
    let there = positions(&opened);
    (opened.report.doubts, there)
}

#[test]
fn zeros_with_something_behind_them_are_damage() {
    let (doubts, there) = opened_after_zeroing();
    assert!(
        matches!(doubts[..], [Doubt::DamagedSegment(_)]),
        "{doubts:?}"
    );
    assert_eq!(there, [1, 2, 3, 5, 6]);
}

#[cfg(feature = "known-bad")]
#[test]
fn who_takes_any_zeros_for_the_end_loses_writes_in_silence() {
    use ringhold_storage::known_bad::{Variant, activate};
    activate(Some(Variant::ZerosEndTheLog));
    let (doubts, there) = opened_after_zeroing();
    activate(None);
    assert!(doubts.is_empty(), "{doubts:?}");
    assert_eq!(there, [1, 2, 3]);
}

/// Blocks that the disk wrote in the wrong place are whole, and of this very segment.
#[test]
fn an_older_record_in_the_place_of_a_later_one_is_damage() {
    let (machine, before) = filled(2, 4);
    let segment = last_segment(&machine);
    machine.files.damage(segment, |bytes| {
        let end = bytes.len();
        let append = |from_last: usize| end - (from_last + 1) * LAST_APPEND_BYTES;
        bytes.copy_within(append(3)..append(2), append(1));
    });
    let opened = machine
        .open(OPTIONS, &mut Random(7))
        .expect("damage is no error");
    assert_eq!(opened.report.doubts, [Doubt::DamagedSegment(segment)]);
    assert_ne!(opened.store.identity().incarnation, before.incarnation);
    assert_eq!(positions(&opened), [1, 2, 3, 4, 6]);
}

#[test]
fn a_sealed_segment_that_is_shorter_than_promised_is_damaged() {
    let (machine, before) = filled(0, 3);
    let segment = last_segment(&machine);
    drop(
        machine
            .open(OPTIONS, &mut Random(7))
            .expect("a store in order"),
    );
    // Whole records are missing at its end: only the next segment knows.
    machine
        .files
        .damage(segment, |bytes| bytes.truncate(72 + 48 + 32 + 75));
    let opened = machine
        .open(OPTIONS, &mut Random(8))
        .expect("damage is no error");
    assert_eq!(opened.report.doubts, [Doubt::DamagedSegment(segment)]);
    assert_ne!(opened.store.identity().incarnation, before.incarnation);
    // The last one stands again in the segment that followed.
    assert_eq!(positions(&opened), [3]);
}

type Lose = fn(&Machine);

#[test]
fn missing_pieces_are_a_doubt() {
    let table: [(&str, Lose, Doubt, &[u128]); 3] = [
        (
            "the log",
            |machine| machine.files.lose(2),
            Doubt::MissingSegment(2),
            &[1, 2],
        ),
        (
            "a segment in the middle",
            lose_the_middle,
            Doubt::MissingSegment(3),
            &[1, 2, 3],
        ),
        (
            "the store record",
            lose_the_record,
            Doubt::StoreRecordLost,
            &[1, 2, 3],
        ),
    ];
    for (what, lose, doubt, left) in table {
        let (machine, before) = filled(2, 1);
        lose(&machine);
        let opened = machine
            .open(OPTIONS, &mut Random(8))
            .expect("missing pieces are no error");
        assert_eq!(opened.report.doubts, [doubt], "{what}");
        let after = opened.store.identity();
        assert_ne!(after.incarnation, before.incarnation, "{what}");
        assert_eq!(
            (after.store_id, after.fingerprint_key),
            (before.store_id, before.fingerprint_key),
            "{what}"
        );
        assert_eq!(positions(&opened), left, "{what}");
    }
}

fn lose_the_middle(machine: &Machine) {
    for seed in 0..2 {
        drop(
            machine
                .open(OPTIONS, &mut Random(seed))
                .expect("a store in order"),
        );
    }
    machine.files.lose(3);
}

fn lose_the_record(machine: &Machine) {
    assert!(
        machine
            .engine
            .damage(Keyspace::Meta, &StorageKey::FIRST, |bytes| bytes[20] ^= 1)
    );
}

#[test]
fn pieces_of_two_stores_are_refused_and_left_alone() {
    let (ours, _) = filled(2, 1);
    let other = Machine::new();
    drop(other.open(OPTIONS, &mut Random(99)).expect("another store"));
    let theirs = other.files.bytes(1).expect("it is there");
    ours.files
        .damage(3, |bytes| bytes.extend_from_slice(&theirs));
    let error = ours
        .open(OPTIONS, &mut Random(1))
        .err()
        .expect("it is foreign");
    assert!(
        matches!(error, OpenError::ForeignSegment { segment: 3, .. }),
        "{error}"
    );
    assert_eq!(ours.files.segments(), [2, 3], "nothing was touched");
}

#[test]
fn an_engine_from_a_backup_is_refused() {
    let (machine, _) = filled(2, 3);
    let place = (Keyspace::Meta, StorageKey::FIRST);
    let old = machine
        .engine
        .get(place.0, &place.1)
        .expect("readable")
        .expect("made with the store");
    machine.files.lose(2);
    let Opened {
        mut writers,
        flusher,
        report,
        ..
    } = machine.open(OPTIONS, &mut Random(7)).expect("a doubt");
    assert_eq!(report.doubts.len(), 1);
    let main = async {
        writers[0].stage(put(9, "of the new lineage"));
        writers[0]
            .commit(Durability::Flushed)
            .await
            .expect("a good disk");
    };
    block_on(main, vec![Box::pin(flusher)]);
    assert!(
        machine
            .engine
            .damage(place.0, &place.1, |bytes| *bytes = old.to_vec())
    );
    let error = machine
        .open(OPTIONS, &mut Random(1))
        .err()
        .expect("two lineages");
    assert!(matches!(error, OpenError::ForeignLineage { .. }), "{error}");
}

#[test]
fn a_scan_goes_on_behind_what_is_damaged() {
    let (machine, _) = filled(6, 0);
    let intact = {
        let opened = machine.open(OPTIONS, &mut Random(8)).expect("in order");
        let rows = opened.store.range(Keyspace::Objects, &KeyRange::ALL, 9);
        rows.expect("nothing is damaged yet")
    };
    for damaged in [&[2][..], &[0], &[5], &[1, 2], &[0, 5]] {
        let (machine, _) = filled(6, 0);
        let places: Vec<StorageKey> = damaged.iter().map(|at| intact[*at].0).collect();
        for place in &places {
            let bitten = machine
                .engine
                .damage(Keyspace::Objects, place, |bytes| bytes[0] ^= 1);
            assert!(bitten);
        }
        let opened = machine.open(OPTIONS, &mut Random(8)).expect("in order");
        for limit in 1..=7 {
            let (mut range, mut rows, mut unreadable) = (KeyRange::ALL, Vec::new(), 0);
            loop {
                let page = opened.store.readable(Keyspace::Objects, &range, limit);
                let page = page.expect("the engine reads");
                assert!(page.rows.len() <= limit);
                rows.extend(page.rows);
                unreadable += page.unreadable;
                match page.next {
                    Some(next) => range.start = next,
                    None => break,
                }
            }
            let expected = intact.iter().filter(|(key, _)| !places.contains(key));
            let whole = format!("{damaged:?} damaged, {limit} at a time");
            assert!(rows.iter().eq(expected), "{whole}: {rows:?}");
            assert_eq!(unreadable, damaged.len() as u64, "{whole}");
        }
    }
}

#[test]
fn a_damaged_value_is_an_error_and_never_absent() {
    let (machine, _) = filled(3, 0);
    assert!(
        machine
            .engine
            .damage(Keyspace::Objects, &key(2), |bytes| bytes[0] ^= 1)
    );
    let opened = machine
        .open(OPTIONS, &mut Random(8))
        .expect("a store in order");
    let store = &opened.store;
    let corrupt = |error: ReadError| match error {
        ReadError::Corrupt { keyspace, key } => (keyspace, key),
        ReadError::CorruptRow { key } => panic!("a row: {key:?}"),
        ReadError::Engine(error) => panic!("{error}"),
    };
    let read = store.get(Keyspace::Objects, &key(2)).map_err(corrupt);
    assert_eq!(read, Err((Keyspace::Objects, key(2))));
    let scanned = store
        .range(Keyspace::Objects, &KeyRange::ALL, 9)
        .map_err(corrupt);
    assert_eq!(scanned, Err((Keyspace::Objects, key(2))));
    assert_eq!(
        opened.writers[0]
            .read(Keyspace::Objects, &key(2))
            .map_err(corrupt),
        Err((Keyspace::Objects, key(2)))
    );
    let rest = KeyRange::from_start(key(2).successor().expect("not the last"));
    assert_eq!(
        store
            .range(Keyspace::Objects, &rest, 9)
            .map_err(corrupt)
            .map(|rows| rows.len()),
        Ok(1)
    );
    assert_eq!(text(store, 1).as_deref(), Some("value 1"));
    assert!(
        machine
            .engine
            .damage(Keyspace::Objects, &key(3), Vec::clear)
    );
    assert!(
        store.get(Keyspace::Objects, &key(3)).is_err(),
        "too short for a seal"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever stands in a segment's place, opening neither panics nor takes it for values.
    #[test]
    fn random_bytes_as_a_segment(
        bytes in proptest::collection::vec(any::<u8>(), 0..2_000),
        keep in 0_usize..300,
        replace in any::<bool>(),
    ) {
        let (machine, _) = filled(1, 2);
        let segment = last_segment(&machine) + u64::from(!replace);
        machine.files.damage(segment, |old| {
            old.truncate(keep);
            old.extend_from_slice(&bytes);
        });
        let opened = machine.open(OPTIONS, &mut Random(8)).expect("strange bytes are no error");
        let there = Model::read(&opened.store, |_| true);
        for ((_, key), value) in there.0 {
            prop_assert_eq!(value, Bytes::from(format!("value {}", key.position())));
        }
    }

    /// A record whose checksums are right and whose body is not: length fields of all sizes.
    #[test]
    fn random_changes_of_a_segment(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)) {
        let (machine, _) = filled(1, 3);
        machine.files.damage(last_segment(&machine), |old| {
            for (at, to) in changes {
                let length = old.len();
                old[at.index(length)] = to;
            }
        });
        let opened = machine.open(OPTIONS, &mut Random(8)).expect("strange bytes are no error");
        let there = Model::read(&opened.store, |_| true);
        for ((_, key), value) in there.0 {
            prop_assert_eq!(value, Bytes::from(format!("value {}", key.position())));
        }
    }
}

/// An opening that settles a doubt is itself stopped at each of its steps: nothing that could be read
/// is lost on the way, and the old incarnation never comes back.
#[test]
fn a_doubt_is_settled_whatever_interrupts_it() {
    let damaged = || {
        let (machine, before) = filled(2, 4);
        machine
            .files
            .damage(last_segment(&machine), |bytes| bytes[300] ^= 1);
        (machine, before)
    };
    let (machine, _) = damaged();
    let already = machine.steps.taken();
    let there = positions(
        &machine
            .open(OPTIONS, &mut Random(7))
            .expect("damage is no error"),
    );
    assert_eq!(there, [1, 2, 4, 5, 6]);
    let steps = machine.steps.taken() - already;
    for stop in 0..=steps {
        for seed in 0..8 {
            let (machine, before) = damaged();
            let mut random = Random(seed * 1_000 + stop);
            machine.steps.stop_after(stop);
            let interrupted = machine.open(OPTIONS, &mut random);
            assert_eq!(interrupted.is_err(), stop < steps, "stopped after {stop}");
            drop(interrupted);
            machine.crash(&mut random);
            let opened = machine
                .open(OPTIONS, &mut random)
                .expect("damage is no error");
            assert_eq!(
                positions(&opened),
                there,
                "stopped after {stop}, seed {seed}"
            );
            let after = opened.store.identity();
            assert_ne!(
                after.incarnation, before.incarnation,
                "stopped after {stop}, seed {seed}"
            );
            assert_eq!(
                machine.files.quarantined().len(),
                1,
                "stopped after {stop}, seed {seed}"
            );
        }
    }
}

#[test]
fn damage_to_the_last_commit_before_a_clean_close_is_no_torn_tail() {
    let (machine, mut random) = (Machine::new(), Random(7));
    let opened = machine.open(OPTIONS, &mut random).expect("a new store");
    let (store, mut writers) = (opened.store, opened.writers);
    let mut length = 0;
    let main = async {
        for position in 1..=2 {
            writers[0].stage(put(position, "acknowledged"));
            writers[0]
                .commit(Durability::Flushed)
                .await
                .expect("a good disk");
        }
        length = usize::try_from(store.figures().segment_bytes).expect("a short log");
        store.close().await.expect("a good disk");
    };
    block_on(main, vec![Box::pin(opened.flusher)]);
    let before = store.identity();
    let last = *machine.files.segments().last().expect("there is a log");
    machine.files.damage(last, |bytes| bytes[length - 3] ^= 1);

    let reopened = machine
        .open(OPTIONS, &mut random)
        .expect("it opens, in doubt");
    assert_eq!(reopened.report.doubts, vec![Doubt::DamagedSegment(last)]);
    assert_ne!(reopened.store.identity().incarnation, before.incarnation);
    assert_eq!(text(&reopened.store, 1).as_deref(), Some("acknowledged"));
}

#[test]
fn idle_restarts_do_not_copy_the_log() {
    let (machine, mut random) = (Machine::new(), Random(8));
    let mut read = Vec::new();
    for round in 0..12 {
        let opened = machine.open(OPTIONS, &mut random).expect("a good disk");
        let (store, mut writers) = (opened.store, opened.writers);
        read.push(opened.report.log_bytes);
        let main = async {
            for position in 1..=if round == 0 { 50 } else { 0 } {
                writers[0].stage(put(position, &"x".repeat(1_000)));
                writers[0]
                    .commit(Durability::Flushed)
                    .await
                    .expect("a good disk");
            }
            store.close().await.expect("a good disk");
        };
        block_on(main, vec![Box::pin(opened.flusher)]);
    }
    assert!(
        read[11] < read[1] + 12 * 1_000,
        "bytes read at each opening: {read:?}"
    );
}
