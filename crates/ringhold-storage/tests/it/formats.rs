//! Golden files of the formats on disk: a change of format must be meant.
//!
//! `RINGHOLD_BLESS=1` writes them anew.

use std::fmt::Write as _;
use std::path::PathBuf;

use ringhold_storage::testing::block_on;
use ringhold_storage::{
    Durability, Engine, KeyRange, Keyspace, Opened, StorageKey, StoreOptions, Write,
};

use crate::support::{Machine, Random, key, put, text};

const OPTIONS: StoreOptions = StoreOptions {
    groups: 1,
    partition_bits: 0,
    segment_bytes: 1 << 20,
    epoch_lease: 10,
};

#[test]
fn a_segment_and_the_store_record_are_as_released() {
    let machine = Machine::new();
    let Opened {
        store,
        mut writers,
        flusher,
        ..
    } = machine
        .open_with(OPTIONS, None, &mut Random(42))
        .expect("a new store");
    let writer = &mut writers[0];
    let main = async {
        writer.stage(put(1, "one"));
        writer.stage(Write::remove(Keyspace::Hints, key(2)));
        writer
            .commit(Durability::Flushed)
            .await
            .expect("a good disk");
        assert_eq!(writer.fresh_epoch().await, Ok(0));
        writer.stage(Write::remove_range(
            Keyspace::Objects,
            KeyRange::new(key(3), key(9)),
        ));
        writer.stage(Write::remove_range(
            Keyspace::Trees,
            KeyRange::from_start(key(3)),
        ));
        writer
            .commit(Durability::Buffered)
            .await
            .expect("a good disk");
        store.close().await.expect("a good disk");
    };
    block_on(main, vec![Box::pin(flusher)]);
    let segment = machine.files.bytes(1).expect("the first segment");
    check("segment-v1.hex", &segment);
    let record = machine
        .engine
        .get(Keyspace::Meta, &StorageKey::FIRST)
        .expect("readable");
    check("store-record-v1.hex", &record.expect("made with the store"));
}

/// The rows of leaf sums, and the head that vouches for them.
#[test]
fn leaf_sums_are_as_released() {
    let machine = Machine::new();
    let Opened {
        store,
        mut writers,
        flusher,
        ..
    } = machine.open(OPTIONS, &mut Random(42)).expect("a new store");
    let main = async {
        writers[0].stage(put(1, "one"));
        writers[0]
            .commit(Durability::Flushed)
            .await
            .expect("a good disk");
        let begun = store.begin_checkpoint().await.expect("a good disk");
        store
            .finish_checkpoint(begun.expect("something"))
            .await
            .expect("a good engine");
    };
    block_on(main, vec![Box::pin(flusher)]);
    let rows = machine
        .engine
        .range(Keyspace::Trees, &KeyRange::ALL, 10)
        .expect("readable");
    let rows: Vec<u8> = rows
        .iter()
        .flat_map(|(key, value)| [&key.0[..], value].concat())
        .collect();
    check("leaf-sums-v1.hex", &rows);
}

/// The released files can still be opened, whatever is written today.
#[test]
fn the_released_files_open() {
    let machine = Machine::new();
    drop(machine.open(OPTIONS, &mut Random(42)).expect("a new store"));
    let segment = released("segment-v1.hex");
    machine.files.damage(1, |bytes| *bytes = segment);
    let record = released("store-record-v1.hex");
    assert!(
        machine
            .engine
            .damage(Keyspace::Meta, &StorageKey::FIRST, |bytes| *bytes = record)
    );
    let opened = machine
        .open(OPTIONS, &mut Random(1))
        .expect("the released store");
    assert!(opened.report.doubts.is_empty() && !opened.report.new_incarnation);
    assert_eq!(opened.report.replayed_batches, 2);
    assert_eq!(text(&opened.store, 1).as_deref(), Some("one"));
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

fn check(name: &str, bytes: &[u8]) {
    let mut hex = String::new();
    for line in bytes.chunks(32) {
        let digits: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(hex, "{}", digits.join(" ")).expect("a string grows");
    }
    if std::env::var_os("RINGHOLD_BLESS").is_some() {
        std::fs::write(path(name), &hex).expect("the golden file can be written");
    }
    let golden = std::fs::read_to_string(path(name)).expect("the golden file is there");
    assert_eq!(hex, golden, "{name} has changed");
}

fn released(name: &str) -> Vec<u8> {
    let golden = std::fs::read_to_string(path(name)).expect("the golden file is there");
    let digits = golden.split_whitespace();
    digits
        .map(|byte| u8::from_str_radix(byte, 16).expect("hexadecimal"))
        .collect()
}
