//! Leaf sums where something is wrong: damage, doubt, a store that was opened without them. That a plain crash
//! costs nothing is in `crash`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::ThreadId;
use std::time::Duration;

use bytes::Bytes;
use ringhold_core::tree::LeafSum;
use ringhold_storage::testing::block_on;
use ringhold_storage::{
    Batch, Durability, Engine, EngineError, Flusher, GroupWriter, KeyRange, Keyspace, MemoryEngine,
    OnDifference, Opened, Recounted, RowKey, RowRange, StorageKey, Store, StoreOptions, Write,
};

use crate::support::{Machine, Model, Random, Summing, key, open_with, put};

const OPTIONS: StoreOptions = StoreOptions {
    groups: 1,
    partition_bits: 1,
    segment_bytes: 1 << 20,
    epoch_lease: 10,
};

/// The first position of the `page`-th page of 32 leaves; there are eight.
fn at(page: u128) -> u128 {
    page << 125
}

fn whole() -> std::ops::Range<u64> {
    0..1 << summing().leaf_bits
}

fn summing() -> Summing {
    Summing::of(OPTIONS)
}

fn leaf_at(position: u128) -> u64 {
    u64::try_from(position >> (128 - summing().leaf_bits)).expect("few leaves")
}

#[track_caller]
fn assert_sums_fit(store: &Store, summing: Summing) {
    let counted = summing.recompute(&Model::read(store, |_| true));
    assert_eq!(summing.kept(store), counted);
}

async fn commit(writer: &mut GroupWriter, writes: Vec<Write>) {
    writes.into_iter().for_each(|write| writer.stage(write));
    let committed = writer.commit(Durability::Flushed).await;
    committed.expect("a good disk");
}

async fn checkpoint(store: &Store) {
    let begun = store.begin_checkpoint().await.expect("a good disk");
    let finished = store.finish_checkpoint(begun.expect("something")).await;
    finished.expect("a good engine");
}

/// Runs the writes against an open store; with a checkpoint after them, or without.
fn write_and_end(opened: Opened, writes: Vec<Write>, with_checkpoint: bool) {
    let Opened {
        store,
        mut writers,
        flusher,
        ..
    } = opened;
    let main = async {
        commit(&mut writers[0], writes).await;
        if with_checkpoint {
            checkpoint(&store).await;
        }
        store.close().await.expect("a good disk");
    };
    block_on(main, vec![Box::pin(flusher)]);
}

/// Three objects on three pages in the engine, of which the log replaces one and removes another.
fn filled() -> Machine {
    let machine = Machine::new();
    let opened = machine.open(OPTIONS, &mut Random(1)).expect("a new store");
    let writes = [0, 1, 5].map(|page| put(at(page), "in the engine"));
    write_and_end(opened, writes.to_vec(), true);
    let opened = machine.open(OPTIONS, &mut Random(2)).expect("in order");
    let writes = vec![
        put(at(1), "in the log"),
        Write::remove(Keyspace::Objects, key(at(5))),
    ];
    write_and_end(opened, writes, false);
    machine
}

fn reopened(machine: &Machine, summing: Option<Summing>) -> Opened {
    let opened = machine.open_with(OPTIONS, summing, &mut Random(3));
    opened.expect("a store that can be opened")
}

#[test]
fn a_clean_end_costs_nothing() {
    let opened = reopened(&filled(), Some(summing()));
    assert_eq!(opened.report.recounted, Recounted::Nothing);
    assert_sums_fit(&opened.store, summing());
    assert_eq!(summing().kept(&opened.store).len(), 2);
}

#[test]
fn the_number_of_groups_may_change() {
    let machine = filled();
    let options = StoreOptions {
        groups: 2,
        ..OPTIONS
    };
    let opened = machine.open(options, &mut Random(3)).expect("in order");
    assert_eq!(opened.report.recounted, Recounted::Nothing);
    assert_sums_fit(&opened.store, summing());
}

/// Whatever was written in between, and whether it reached the engine.
#[test]
fn a_store_that_was_opened_without_sums_is_counted_if_need_be() {
    for (with_checkpoint, expected) in [(false, Recounted::Nothing), (true, Recounted::Everything)]
    {
        let machine = filled();
        let writes = vec![
            put(at(0), "unseen"),
            Write::remove(Keyspace::Objects, key(at(1))),
        ];
        write_and_end(reopened(&machine, None), writes, with_checkpoint);
        let opened = reopened(&machine, Some(summing()));
        assert_eq!(opened.report.recounted, expected);
        assert_sums_fit(&opened.store, summing());
    }
}

#[test]
fn sums_of_another_kind_are_made_anew() {
    let others = [
        Summing {
            tag: 2,
            ..summing()
        },
        Summing {
            leaf_bits: 9,
            ..summing()
        },
    ];
    for other in others {
        let machine = filled();
        let opened = reopened(&machine, Some(other));
        assert_eq!(opened.report.recounted, Recounted::Everything);
        assert_sums_fit(&opened.store, other);
        write_and_end(opened, vec![put(at(7), "more")], true);
        let opened = reopened(&machine, Some(other));
        assert_eq!(opened.report.recounted, Recounted::Nothing);
        assert_sums_fit(&opened.store, other);
    }
}

#[test]
fn damaged_rows_are_made_anew() {
    let rows = {
        let machine = filled();
        let rows = machine.engine.range(Keyspace::Trees, &KeyRange::ALL, 10);
        rows.expect("readable")
    };
    assert_eq!(rows.len(), 4, "three pages and the head");
    for (place, value) in rows {
        for byte in 0..value.len() {
            let machine = filled();
            let damaged = machine
                .engine
                .damage(Keyspace::Trees, &place, |bytes| bytes[byte] ^= 4);
            assert!(damaged);
            let opened = reopened(&machine, Some(summing()));
            let expected = if place == StorageKey::LAST {
                Recounted::Everything
            } else {
                Recounted::Leaves(32)
            };
            assert_eq!(opened.report.recounted, expected, "{place:?}, byte {byte}");
            assert_sums_fit(&opened.store, summing());
        }
    }
}

#[test]
fn a_doubt_has_everything_counted_once() {
    let machine = filled();
    let last = *machine
        .files
        .segments()
        .last()
        .expect("every store has one");
    machine.files.damage(last, |bytes| bytes[100] ^= 1);
    let opened = reopened(&machine, Some(summing()));
    assert!(!opened.report.doubts.is_empty());
    assert_eq!(opened.report.recounted, Recounted::Everything);
    assert_sums_fit(&opened.store, summing());
    drop(opened);
    // The sums went into the engine with the new incarnation.
    let opened = reopened(&machine, Some(summing()));
    assert_eq!(opened.report.recounted, Recounted::Nothing);
    assert_sums_fit(&opened.store, summing());
}

/// A store with one object in the engine, which cannot be read any more.
fn unreadable() -> (Machine, Opened) {
    let machine = Machine::new();
    let opened = machine.open(OPTIONS, &mut Random(1)).expect("a new store");
    let writes = vec![put(at(3), "sound"), put(at(3) + 1, "beside it")];
    write_and_end(opened, writes, true);
    let place = key(at(3));
    let damaged = machine
        .engine
        .damage(Keyspace::Objects, &place, |bytes| bytes[0] ^= 1);
    assert!(damaged);
    let opened = reopened(&machine, Some(summing()));
    (machine, opened)
}

/// Nobody knows what the damaged object's digest was; a recount settles it, at once or at the next opening.
#[test]
fn replacing_what_cannot_be_read_leaves_a_doubt() {
    let leaf = leaf_at(at(3));
    for replacement in [
        put(at(3), "new"),
        Write::remove(Keyspace::Objects, key(at(3))),
        Write::remove_range(Keyspace::Objects, KeyRange::new(key(at(3)), key(at(3) + 1))),
    ] {
        let (machine, opened) = unreadable();
        let Opened {
            store,
            mut writers,
            flusher,
            ..
        } = opened;
        let main = async {
            assert_eq!(store.doubtful_leaves(), []);
            commit(&mut writers[0], vec![replacement.clone()]).await;
            assert_eq!(store.doubtful_leaves(), [leaf]);
            checkpoint(&store).await;
        };
        block_on(main, vec![Box::pin(flusher)]);
        let opened = reopened(&machine, Some(summing()));
        assert_eq!(opened.report.recounted, Recounted::Leaves(1));
        assert_sums_fit(&opened.store, summing());

        let found = store
            .recount(leaf..leaf + 1, OnDifference::Repair)
            .expect("readable");
        assert_eq!(found.differences.len(), 1);
        assert!(found.differences[0].repaired);
        assert_eq!(store.doubtful_leaves(), []);
        assert_sums_fit(&store, summing());
    }
}

/// The log says what replaces a damaged object, and no checkpoint came in between.
#[test]
fn replay_over_what_cannot_be_read_counts_the_leaf() {
    let (machine, opened) = unreadable();
    write_and_end(opened, vec![put(at(3), "new")], false);
    let opened = reopened(&machine, Some(summing()));
    assert_eq!(opened.report.recounted, Recounted::Leaves(1));
    assert_sums_fit(&opened.store, summing());
}

#[test]
fn a_recount_tells_of_damaged_objects() {
    let (_machine, opened) = unreadable();
    let found = opened
        .store
        .recount(whole(), OnDifference::Report)
        .expect("readable");
    assert_eq!(found.rows, 1);
    assert_eq!(found.unreadable, [key(at(3))]);
    let differing: Vec<u64> = found.differences.iter().map(|found| found.leaf).collect();
    assert_eq!(differing, [leaf_at(at(3))]);
}

/// Digests that changed behind the store's back stand for whatever makes sums wrong.
fn salted() -> Summing {
    Summing {
        salt: 77,
        ..summing()
    }
}

#[test]
fn a_recount_finds_what_is_wrong_and_puts_it_right() {
    let machine = filled();
    let opened = reopened(&machine, Some(salted()));
    let store = Arc::clone(&opened.store);
    let counted = salted().recompute(&Model::read(&store, |_| true));
    // That of the object which the log removed is wrong by what was there.
    let wrong = [0, 1, 5].map(|page| leaf_at(at(page)));
    for (on_difference, repaired) in [(OnDifference::Report, false), (OnDifference::Repair, true)] {
        let found = store.recount(whole(), on_difference).expect("readable");
        let leaves: Vec<u64> = found.differences.iter().map(|found| found.leaf).collect();
        assert_eq!(leaves, wrong);
        for difference in &found.differences {
            let sum = counted.get(&difference.leaf).copied();
            assert_eq!(difference.counted, sum.unwrap_or(LeafSum::ZERO));
            assert_eq!(difference.repaired, repaired);
        }
    }
    assert_sums_fit(&store, salted());
    let again = store.recount(whole(), OnDifference::Report);
    assert_eq!(again.expect("readable").differences, []);
    write_and_end(opened, vec![put(at(6), "more")], true);
    let opened = reopened(&machine, Some(salted()));
    assert_eq!(opened.report.recounted, Recounted::Nothing);
    assert_sums_fit(&opened.store, salted());
}

/// An engine that wants helpers, and whose reads after the first ones wait until another thread reads as well.
struct ReadByMany {
    inner: MemoryEngine,
    reads: AtomicUsize,
    readers: Arc<(Mutex<Vec<ThreadId>>, Condvar)>,
}

impl ReadByMany {
    /// No helper is there yet.
    const FIRST_READS: usize = 256;

    fn read(&self) {
        let (readers, another) = &*self.readers;
        let mut readers = readers.lock().expect("nobody panics with it");
        let own = std::thread::current().id();
        if !readers.contains(&own) {
            readers.push(own);
            another.notify_all();
        }
        if self.reads.fetch_add(1, Ordering::Relaxed) < Self::FIRST_READS {
            return;
        }
        let alone = |readers: &mut Vec<ThreadId>| readers.len() < 2;
        let (readers, waited) = another
            .wait_timeout_while(readers, Duration::from_secs(60), alone)
            .expect("nobody panics with it");
        drop(readers);
        assert!(!waited.timed_out(), "nobody helps");
    }
}

impl Engine for ReadByMany {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn get(&self, keyspace: Keyspace, key: &StorageKey) -> Result<Option<Bytes>, EngineError> {
        if keyspace == Keyspace::Objects {
            self.read();
        }
        self.inner.get(keyspace, key)
    }

    fn range(
        &self,
        keyspace: Keyspace,
        range: &KeyRange,
        limit: usize,
    ) -> Result<Vec<(StorageKey, Bytes)>, EngineError> {
        self.inner.range(keyspace, range, limit)
    }

    fn rows(&self, range: &RowRange, limit: usize) -> Result<Vec<(RowKey, Bytes)>, EngineError> {
        self.inner.rows(range, limit)
    }

    fn apply(&self, batch: &Batch) -> Result<(), EngineError> {
        self.inner.apply(batch)
    }

    fn flush(&self) -> Result<(), EngineError> {
        self.inner.flush()
    }

    fn helpers_for(&self, _keys: usize, read: &mut dyn FnMut()) -> usize {
        read();
        3
    }

    fn size_bytes(&self) -> Result<u64, EngineError> {
        self.inner.size_bytes()
    }
}

#[test]
fn a_long_log_is_looked_up_by_many_where_reads_wait_and_comes_to_the_same_sums() {
    let machine = Machine::new();
    let position = |n: u128| n << 114;
    let old = (0..3_000).map(|n| put(position(n), "in the engine"));
    let opened = machine.open(OPTIONS, &mut Random(1)).expect("a new store");
    write_and_end(opened, old.collect(), true);
    let news = (0..6_000).filter_map(|n| match n % 4 {
        0 => Some(put(position(n), "in the log")),
        1 => Some(Write::remove(Keyspace::Objects, key(position(n)))),
        2 => Some(put(position(n), "in the engine")),
        _ => None,
    });
    let opened = machine.open(OPTIONS, &mut Random(2)).expect("in order");
    write_and_end(opened, news.collect(), false);
    let readers = Arc::default();
    let engine = ReadByMany {
        inner: machine.engine.clone(),
        reads: AtomicUsize::new(0),
        readers: Arc::clone(&readers),
    };
    let (files, summing) = (Arc::new(machine.files.clone()), summing());
    let opened = open_with(
        files,
        Box::new(engine),
        OPTIONS,
        Some(summing),
        &mut Random(3),
    );
    let opened = opened.expect("in order");
    assert!(readers.0.lock().expect("nobody panics with it").len() > 1);
    assert_eq!(opened.report.recounted, Recounted::Nothing);
    assert_sums_fit(&opened.store, summing);
}

/// An engine in which something else happens while objects are being read.
#[derive(Clone)]
struct Meanwhile {
    inner: MemoryEngine,
    happens: Arc<Mutex<Option<Happening>>>,
}

type Happening = Box<dyn FnOnce() + Send>;

impl Engine for Meanwhile {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn get(&self, keyspace: Keyspace, key: &StorageKey) -> Result<Option<Bytes>, EngineError> {
        self.inner.get(keyspace, key)
    }

    fn range(
        &self,
        keyspace: Keyspace,
        range: &KeyRange,
        limit: usize,
    ) -> Result<Vec<(StorageKey, Bytes)>, EngineError> {
        let happens = self.happens.lock().expect("nobody panics").take();
        if let Some(happens) = happens {
            happens();
        }
        self.inner.range(keyspace, range, limit)
    }

    fn rows(&self, range: &RowRange, limit: usize) -> Result<Vec<(RowKey, Bytes)>, EngineError> {
        self.inner.rows(range, limit)
    }

    fn apply(&self, batch: &Batch) -> Result<(), EngineError> {
        self.inner.apply(batch)
    }

    fn flush(&self) -> Result<(), EngineError> {
        self.inner.flush()
    }

    fn size_bytes(&self) -> Result<u64, EngineError> {
        self.inner.size_bytes()
    }
}

fn happening(mut writer: GroupWriter, flusher: Flusher, writes: Vec<Write>) -> Happening {
    Box::new(move || block_on(commit(&mut writer, writes), vec![Box::pin(flusher)]))
}

/// Between the look at the buffers and the repair, whatever a writer can do to the leaf.
#[test]
fn writes_during_a_recount_are_neither_lost_nor_counted_twice() {
    let leaf_range = KeyRange::new(key(at(1)), key(at(2)));
    let meanwhile = [
        vec![put(at(1), "another"), put(at(1) + 1, "beside it")],
        vec![Write::remove(Keyspace::Objects, key(at(1)))],
        vec![Write::remove_range(Keyspace::Objects, leaf_range)],
        vec![
            Write::remove_range(Keyspace::Objects, leaf_range),
            put(at(1) + 9, "afterwards"),
        ],
    ];
    for writes in meanwhile {
        let machine = filled();
        let engine = Meanwhile {
            inner: machine.engine.clone(),
            happens: Arc::default(),
        };
        let opened = open_with(
            Arc::new(machine.files.clone()),
            Box::new(engine.clone()),
            OPTIONS,
            Some(salted()),
            &mut Random(3),
        );
        let Opened {
            store,
            mut writers,
            flusher,
            ..
        } = opened.expect("in order");
        let happens = happening(writers.remove(0), flusher, writes.clone());
        *engine.happens.lock().expect("nobody panics") = Some(happens);
        let leaf = leaf_at(at(1));
        let found = store
            .recount(leaf..leaf + 1, OnDifference::Repair)
            .expect("readable");
        assert!(engine.happens.lock().expect("nobody panics").is_none());
        drop(found);
        let counted = salted().recompute(&Model::read(&store, |_| true));
        let counted = counted.get(&leaf).copied().unwrap_or(LeafSum::ZERO);
        assert_eq!(store.leaf_sums(leaf..leaf + 1), [counted], "{writes:?}");
    }
}
