//! Index rows are those of the objects, whatever happens to batches, buffers and machines.
//!
//! The host of these tests takes the words of a value for its rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use ringhold_core::tree::{Digest, TreeKey, TreeTag};
use ringhold_storage::testing::block_on;
use ringhold_storage::{
    Durability, Engine as _, KeyRange, Keyspace, Opened, RowFaults, RowKey, RowRange, StorageKey,
    Store, StoreOptions, Summarize, Write,
};

use crate::support::{Machine, Random, key, open_summing};

const BITS: u32 = 2;
const OPTIONS: StoreOptions = StoreOptions {
    groups: 2,
    partition_bits: BITS,
    segment_bytes: 1 << 20,
    epoch_lease: 10,
};

/// Each word of a value is a row, and its value says how often it comes.
struct Words;

impl Summarize for Words {
    fn tag(&self) -> TreeTag {
        TreeKey::new(&[7; 32]).tag()
    }

    fn leaf_bits(&self) -> u32 {
        BITS + 5
    }

    fn digest(&self, _: &StorageKey, _: &Bytes) -> Option<Digest> {
        None
    }

    fn rows(&self, key: &StorageKey, value: &Bytes) -> Vec<(RowKey, Bytes)> {
        let mut words: BTreeMap<String, u64> = BTreeMap::new();
        for word in std::str::from_utf8(value).expect("text").split(' ') {
            *words.entry(word.to_owned()).or_default() += 1;
        }
        let rows = words.into_iter().filter(|(word, _)| !word.is_empty());
        rows.map(|(word, count)| (row(key, &word), Bytes::from(count.to_string())))
            .collect()
    }
}

fn row(key: &StorageKey, word: &str) -> RowKey {
    let tail = [word.as_bytes(), b"/", &key.0[..]].concat();
    RowKey::new(key.position(), BITS, &tail)
}

fn open(machine: &Machine) -> Opened {
    let (files, engine) = (machine.files.clone(), machine.engine.clone());
    open_summing(
        Arc::new(files),
        Box::new(engine),
        OPTIONS,
        Some(Arc::new(Words)),
        &mut Random(1),
    )
    .expect("a good disk")
}

/// All rows, read a few at a time.
fn rows_of(store: &Store) -> BTreeSet<(RowKey, Bytes)> {
    let mut found = BTreeSet::new();
    for partition in 0..1 << BITS {
        let mut range = RowRange::new(partition, BITS, b"", None);
        loop {
            let page = store.rows(&range, 3).expect("readable");
            let ordered = page.is_sorted_by(|a, b| a.0 < b.0);
            assert!(ordered, "rows come in order");
            let Some((last, _)) = page.last().cloned() else {
                break;
            };
            found.extend(page);
            let next = [&last.tail()[..], &[0]].concat();
            range = RowRange::new(partition, BITS, &next, None);
        }
    }
    found
}

/// The rows that the objects of a store have.
fn expected(store: &Store) -> BTreeSet<(RowKey, Bytes)> {
    let objects = store
        .range(Keyspace::Objects, &KeyRange::ALL, usize::MAX)
        .expect("readable");
    let rows = objects
        .iter()
        .flat_map(|(key, value)| Words.rows(key, value));
    rows.collect()
}

fn random_write(random: &mut Random) -> Write {
    let at = key(u128::try_from(random.below(24)).expect("small") << 123);
    let words = ["red", "green", "blue", "red red", "blue green", "", "black"];
    match random.below(12) {
        0 | 1 => Write::remove(Keyspace::Objects, at),
        2 => {
            let partition = u32::try_from(random.below(1 << BITS)).expect("few");
            let range = KeyRange::of_partition(partition, BITS);
            Write::remove_range(Keyspace::Objects, range)
        }
        _ => {
            let value = words[random.below(words.len())];
            Write::put(Keyspace::Objects, at, Bytes::from_static(value.as_bytes()))
        }
    }
}

fn group_of(store: &Store, write: &Write) -> usize {
    let grouping = store.grouping();
    match &write.change {
        ringhold_storage::Change::Put { key, .. } | ringhold_storage::Change::Remove { key } => {
            grouping.group_of(key)
        }
        ringhold_storage::Change::RemoveRange { range } => grouping.group_of(&range.start),
    }
}

/// Batches, checkpoints and power cuts in any order: after each of them the rows are the objects'.
#[test]
fn rows_are_those_of_the_objects() {
    for seed in 1..60 {
        let mut random = Random(seed);
        let machine = Machine::new();
        for _ in 0..4 {
            let Opened {
                store,
                mut writers,
                flusher,
                ..
            } = open(&machine);
            assert_eq!(rows_of(&store), expected(&store), "seed {seed}, as opened");
            let main = async {
                for _ in 0..20 {
                    for _ in 0..random.below(6) {
                        let write = random_write(&mut random);
                        writers[group_of(&store, &write)].stage(write);
                    }
                    let durability = match random.below(2) {
                        0 => Durability::Flushed,
                        _ => Durability::Buffered,
                    };
                    for writer in &mut writers {
                        writer.commit(durability).await.expect("a good disk");
                    }
                    if random.below(4) == 0
                        && let Some(checkpoint) = store.begin_checkpoint().await.expect("good")
                        && random.below(3) > 0
                    {
                        store.finish_checkpoint(checkpoint).await.expect("room");
                    }
                    assert_eq!(rows_of(&store), expected(&store), "seed {seed}");
                }
            };
            block_on(main, vec![Box::pin(flusher)]);
            drop((store, writers));
            machine.crash(&mut random);
        }
    }
}

/// What changes no row adds none to the batch.
#[test]
fn the_same_rows_are_not_written_again() {
    let machine = Machine::new();
    let mut opened = open(&machine);
    let writer = &mut opened.writers[0];
    let put = |text: &'static str| {
        Write::put(
            Keyspace::Objects,
            key(0),
            Bytes::from_static(text.as_bytes()),
        )
    };
    writer.stage(put("red"));
    let first = writer.staged_bytes();
    writer.stage(put(" red"));
    assert_eq!(writer.staged_bytes(), first + 1, "one more byte of a value");
}

/// Rows that do not belong to their object are set right.
#[test]
fn rows_are_staged_again_from_the_object() {
    let machine = Machine::new();
    let Opened {
        store,
        mut writers,
        flusher,
        ..
    } = open(&machine);
    let writer = &mut writers[0];
    let main = async {
        writer.stage(Write::put(
            Keyspace::Objects,
            key(0),
            Bytes::from_static(b"red blue"),
        ));
        writer.commit(Durability::Flushed).await.expect("good");
        let (alien, own) = (row(&key(0), "green"), row(&key(0), "red"));
        let doubtful = [alien, own.clone()];
        let faults = writer.row_faults(&key(0), &doubtful).expect("readable");
        assert!(faults.is_empty(), "{faults:?}");
        writer.restage_rows(&key(0), &doubtful).expect("readable");
        writer.commit(Durability::Flushed).await.expect("good");
        assert_eq!(rows_of(&store), expected(&store));
    };
    block_on(main, vec![Box::pin(flusher)]);
}

/// What is wrong with an object's rows is told by its writer: what is staged counts, and what is in nobody's doubt is not looked for.
#[test]
fn rows_that_are_not_those_of_their_object_are_counted() {
    let machine = Machine::new();
    let Opened {
        store,
        mut writers,
        flusher,
        ..
    } = open(&machine);
    let writer = &mut writers[0];
    let put = |text: &'static str| {
        let value = Bytes::from_static(text.as_bytes());
        Write::put(Keyspace::Objects, key(0), value)
    };
    let main = async {
        writer.stage(put("red blue"));
        writer.commit(Durability::Flushed).await.expect("good");
        let checkpoint = store.begin_checkpoint().await.expect("good");
        let checkpoint = checkpoint.expect("there is something to write back");
        store.finish_checkpoint(checkpoint).await.expect("room");

        // One row can't be read, and of another object one is left.
        let (red, green) = (row(&key(0), "red"), row(&key(1), "green"));
        assert!(machine.engine.damage_row(&red, |bytes| bytes[0] ^= 1));
        let batch = ringhold_storage::Batch {
            rows: vec![(green.clone(), Some(Bytes::from_static(b"not sealed")))],
            ..Default::default()
        };
        machine.engine.apply(&batch).expect("memory");
        let faults = |missing, strange| RowFaults { missing, strange };
        let count = |writer: &ringhold_storage::GroupWriter, doubtful: &[RowKey]| {
            writer.row_faults(&key(0), doubtful).expect("readable")
        };
        assert_eq!(count(writer, &[]), faults(1, 0));
        let doubtful = [red, green.clone(), green.clone()];
        assert_eq!(count(writer, &doubtful), faults(1, 1));
        writer.stage(put("blue"));
        assert_eq!(count(writer, &doubtful), faults(0, 1), "it has red no more");
        writer
            .restage_rows(&key(0), &doubtful)
            .expect("the object can be read");
        assert_eq!(count(writer, &doubtful), faults(0, 0), "as it is staged");
        writer.commit(Durability::Flushed).await.expect("good");
        assert_eq!(rows_of(&store), expected(&store));
    };
    block_on(main, vec![Box::pin(flusher)]);
}
