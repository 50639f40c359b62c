//! Reading and writing an open store.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use ringhold_core::id::Incarnation;
use ringhold_storage::testing::block_on;
use ringhold_storage::{
    CheckpointError, Durability, Flusher, GroupWriter, Grouping, KeyRange, Keyspace, MemoryEngine,
    Opened, StorageKey, Store, StoreOptions, Write,
};

use crate::support::{Machine, Model, Random, SlowFlush, key, open, put, text};

const ONE_GROUP: StoreOptions = StoreOptions {
    groups: 1,
    partition_bits: 3,
    segment_bytes: 10_000,
    epoch_lease: 100,
};

fn opened(machine: &Machine) -> (Arc<Store>, GroupWriter, Flusher) {
    let Opened {
        store,
        mut writers,
        flusher,
        ..
    } = machine
        .open(ONE_GROUP, &mut Random(1))
        .expect("a new store");
    (store, writers.remove(0), flusher)
}

async fn commit(writer: &mut GroupWriter, writes: Vec<Write>) {
    writes.into_iter().for_each(|write| writer.stage(write));
    writer
        .commit(Durability::Flushed)
        .await
        .expect("a good disk");
}

async fn checkpoint(store: &Store) {
    if let Some(checkpoint) = store.begin_checkpoint().await.expect("a good disk") {
        store
            .finish_checkpoint(checkpoint)
            .await
            .expect("a good engine");
    }
}

#[test]
fn only_its_writer_sees_a_batch_before_it_is_committed() {
    let (store, mut writer, flusher) = opened(&Machine::new());
    let main = async {
        writer.stage(put(1, "one"));
        assert_eq!(
            writer
                .read(Keyspace::Objects, &key(1))
                .expect("whole")
                .as_deref(),
            Some(&b"one"[..])
        );
        assert_eq!(text(&store, 1), None);
        writer
            .commit(Durability::Flushed)
            .await
            .expect("a good disk");
        assert_eq!(text(&store, 1).as_deref(), Some("one"));
        writer.stage(Write::remove(Keyspace::Objects, key(1)));
        assert_eq!(
            writer.read(Keyspace::Objects, &key(1)).expect("whole"),
            None
        );
        writer.discard();
        assert_eq!(
            writer
                .read(Keyspace::Objects, &key(1))
                .expect("whole")
                .as_deref(),
            Some(&b"one"[..])
        );
    };
    block_on(main, vec![Box::pin(flusher)]);
}

#[test]
fn a_dropped_commit_goes_on_and_stays_visible_to_its_writer() {
    let (store, mut writer, mut flusher) = opened(&Machine::new());
    writer.stage(put(1, "one"));
    {
        let mut context = Context::from_waker(Waker::noop());
        let commit = pin!(writer.commit(Durability::Flushed));
        assert!(commit.poll(&mut context).is_pending());
    }
    assert_eq!(text(&store, 1), None, "not flushed");
    assert_eq!(
        writer
            .read(Keyspace::Objects, &key(1))
            .expect("whole")
            .as_deref(),
        Some(&b"one"[..])
    );
    writer.stage(put(2, "two"));
    let second = block_on(
        writer.commit(Durability::Flushed),
        vec![Box::pin(&mut flusher)],
    );
    second.expect("a good disk");
    assert_eq!(
        (text(&store, 1).as_deref(), text(&store, 2).as_deref()),
        (Some("one"), Some("two"))
    );
}

/// Hosts move these between threads.
#[test]
fn futures_can_be_sent() {
    fn sendable<T: Send>(value: T) -> T {
        value
    }
    let (store, mut writer, flusher) = opened(&Machine::new());
    let flusher = sendable(flusher);
    let main = async {
        sendable(writer.commit(Durability::Flushed))
            .await
            .expect("a good disk");
        sendable(writer.fresh_epoch()).await.expect("a good disk");
        let renewed = store.renew_incarnation(Incarnation(7));
        sendable(renewed).await.expect("a good disk");
        drop(sendable(store.snapshot()));
        if let Some(begun) = sendable(store.begin_checkpoint())
            .await
            .expect("a good disk")
        {
            sendable(store.finish_checkpoint(begun))
                .await
                .expect("a good engine");
        }
        sendable(store.close()).await.expect("a good disk");
    };
    block_on(main, vec![Box::pin(flusher)]);
    let machine = Machine::new();
    let (files, engine) = (Arc::new(machine.files), Box::new(machine.engine));
    let mut draw = || 1;
    let opening = sendable(Store::open(files, engine, ONE_GROUP, None, &mut draw));
    assert!(block_on(opening, Vec::new()).is_ok());
}

#[test]
fn one_flush_serves_all_that_waits() {
    let machine = Machine::new();
    let options = StoreOptions {
        groups: 8,
        ..ONE_GROUP
    };
    let Opened {
        store,
        writers,
        flusher,
        ..
    } = machine.open(options, &mut Random(1)).expect("a new store");
    let before = store.figures();
    let tasks = writers
        .into_iter()
        .map(|mut writer| -> ringhold_storage::testing::Task<'_> {
            Box::pin(async move {
                let position = (writer.group() as u128) << 125;
                commit(&mut writer, vec![put(position, "value")]).await;
            })
        })
        .collect();
    ringhold_storage::testing::drive(tasks, vec![Box::pin(flusher)], &mut |_| 0);
    let after = store.figures();
    assert_eq!(
        (
            after.commits,
            after.flushes - before.flushes,
            after.append_items_max
        ),
        (8, 1, 8)
    );
}

#[test]
fn a_write_of_another_group_is_refused() {
    let options = StoreOptions {
        groups: 2,
        ..ONE_GROUP
    };
    let opened = Machine::new()
        .open(options, &mut Random(1))
        .expect("a new store");
    for write in [
        put(1 << 125, "partition 1"),
        Write::remove_range(Keyspace::Objects, KeyRange::ALL),
    ] {
        let mut writers = machine_writers(options);
        let staged =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| writers[0].stage(write)));
        assert!(staged.is_err());
    }
    drop(opened);
}

fn machine_writers(options: StoreOptions) -> Vec<GroupWriter> {
    Machine::new()
        .open(options, &mut Random(1))
        .expect("a new store")
        .writers
}

#[test]
fn a_store_with_checkpoints_reads_as_a_map() {
    for seed in 0..20 {
        let options = StoreOptions {
            groups: 3,
            ..ONE_GROUP
        };
        let opened = Machine::new().open(options, &mut Random(1));
        let Opened {
            store,
            mut writers,
            flusher,
            ..
        } = opened.expect("a new store");
        let mut random = Random(seed);
        let main = async {
            let mut model = Model::default();
            for _ in 0..80 {
                let group = random.below(3);
                let writes = random_writes(group, &mut random);
                model.apply(&writes);
                commit(&mut writers[group], writes).await;
                match random.below(8) {
                    0 => checkpoint(&store).await,
                    // Frozen and left so for a while.
                    1 => drop(store.begin_checkpoint().await.expect("a good disk")),
                    _ => {}
                }
                assert_eq!(Model::read(&store, |_| true), model, "seed {seed}");
                let (start, end) = (spread(random.below(40)), spread(random.below(40)));
                let (range, limit) = (KeyRange::new(start, end), random.below(12));
                let rows = store
                    .range(Keyspace::Objects, &range, limit)
                    .expect("whole");
                assert_eq!(
                    rows,
                    model.range(Keyspace::Objects, &range, limit),
                    "seed {seed}"
                );
                let found = store.get(Keyspace::Objects, &start).expect("whole");
                let expected = model.0.get(&(Keyspace::Objects, start)).cloned();
                assert_eq!(found, expected, "seed {seed}");
            }
        };
        block_on(main, vec![Box::pin(flusher)]);
    }
}

/// Forty keys, five in each of the eight partitions.
fn spread(number: usize) -> StorageKey {
    let number = u128::try_from(number).expect("small");
    key(((number % 8) << 125) + number)
}

/// Writes to keys of one of three groups.
fn random_writes(group: usize, random: &mut Random) -> Vec<Write> {
    let grouping = Grouping {
        groups: 3,
        partition_bits: 3,
    };
    let keyspace = [Keyspace::Objects, Keyspace::Hints][random.below(2)];
    let mut writes = Vec::new();
    while writes.len() < 6 {
        let number = random.below(40);
        let place = spread(number);
        if grouping.group_of(&place) != group {
            continue;
        }
        writes.push(match random.below(8) {
            0 => {
                let end = spread(number % 8 + 8 * random.below(5));
                Write::remove_range(keyspace, KeyRange::new(place, end))
            }
            1 | 2 => Write::remove(keyspace, place),
            _ => Write::put(keyspace, place, Bytes::from(vec![7; random.below(50)])),
        });
    }
    writes
}

#[test]
fn a_checkpoint_moves_everything_and_drops_the_log() {
    let machine = Machine::new();
    let (store, mut writer, flusher) = opened(&machine);
    let main = async {
        assert!(
            store
                .begin_checkpoint()
                .await
                .expect("a good disk")
                .is_none(),
            "nothing to write back"
        );
        commit(&mut writer, vec![put(1, &"x".repeat(20_000))]).await;
        assert!(store.checkpoint_due());
        checkpoint(&store).await;
        assert!(!store.checkpoint_due());
        let figures = store.figures();
        assert_eq!(
            (figures.segments, figures.buffer_bytes, figures.checkpoints),
            (1, 0, 1)
        );
        assert_eq!(machine.files.segments(), [2]);
        assert_eq!(text(&store, 1).map(|value| value.len()), Some(20_000));
    };
    block_on(main, vec![Box::pin(flusher)]);
}

#[test]
fn a_snapshot_stays_as_it_was_and_holds_a_checkpoint_back() {
    let (store, mut writer, flusher) = opened(&Machine::new());
    let main = async {
        commit(&mut writer, vec![put(1, "first"), put(2, "gone later")]).await;
        checkpoint(&store).await;
        commit(&mut writer, vec![put(1, "second")]).await;
        let snapshot = store.snapshot();
        commit(
            &mut writer,
            vec![put(1, "third"), Write::remove(Keyspace::Objects, key(2))],
        )
        .await;
        let begun = store
            .begin_checkpoint()
            .await
            .expect("a good disk")
            .expect("there is something");
        {
            let mut finish = pin!(store.finish_checkpoint(begun));
            let mut context = Context::from_waker(Waker::noop());
            assert!(
                finish.as_mut().poll(&mut context).is_pending(),
                "it waits for the snapshot"
            );
            assert_eq!(
                snapshot
                    .get(Keyspace::Objects, &key(1))
                    .expect("whole")
                    .as_deref(),
                Some(&b"second"[..])
            );
            assert_eq!(
                snapshot
                    .range(Keyspace::Objects, &KeyRange::ALL, 9)
                    .expect("whole")
                    .len(),
                2
            );
            drop(snapshot);
            finish.await.expect("a good engine");
        }
        assert_eq!(text(&store, 1).as_deref(), Some("third"));
        assert_eq!(text(&store, 2), None);
    };
    block_on(main, vec![Box::pin(flusher)]);
}

#[test]
fn a_snapshot_of_what_is_frozen_holds_nothing_back() {
    let (store, mut writer, flusher) = opened(&Machine::new());
    let main = async {
        commit(&mut writer, vec![put(1, "first")]).await;
        let old = store.snapshot();
        let begun = store
            .begin_checkpoint()
            .await
            .expect("a good disk")
            .expect("there is something");
        let mut finish = Box::pin(store.finish_checkpoint(begun));
        let mut context = Context::from_waker(Waker::noop());
        assert!(finish.as_mut().poll(&mut context).is_pending());
        let new = store.snapshot();
        drop(old);
        finish.await.expect("the new one has seen what is frozen");
        assert_eq!(
            new.get(Keyspace::Objects, &key(1))
                .expect("whole")
                .as_deref(),
            Some(&b"first"[..])
        );
    };
    block_on(main, vec![Box::pin(flusher)]);
}

#[test]
fn a_checkpoint_that_was_given_up_can_be_taken_up_again() {
    let machine = Machine::new();
    let (store, mut writer, flusher) = opened(&machine);
    let main = async {
        commit(&mut writer, vec![put(1, "one")]).await;
        let first = store
            .begin_checkpoint()
            .await
            .expect("a good disk")
            .expect("there is something");
        assert!(store.checkpoint_due(), "one waits");
        let again = store
            .begin_checkpoint()
            .await
            .expect("a good disk")
            .expect("the same");
        assert_eq!(first.first_segment(), again.first_segment());
        store.finish_checkpoint(again).await.expect("a good engine");
        let error = store
            .finish_checkpoint(first)
            .await
            .expect_err("it is finished");
        assert!(matches!(error, CheckpointError::Superseded));
        assert_eq!(machine.files.segments(), [2]);
    };
    block_on(main, vec![Box::pin(flusher)]);
}

/// Three writers over files whose flushes end when the test says so.
fn slow() -> (SlowFlush, Opened) {
    let files = SlowFlush::default();
    let options = StoreOptions {
        groups: 3,
        ..ONE_GROUP
    };
    let engine = Box::new(MemoryEngine::default());
    let opened = open(Arc::new(files.clone()), engine, options, &mut Random(1));
    (files, opened.expect("a new store"))
}

fn poll_once<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Option<T> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

#[test]
fn a_flush_acknowledges_only_what_was_appended_before_it_began() {
    let (
        files,
        Opened {
            store,
            mut writers,
            flusher,
            ..
        },
    ) = slow();
    let [first, second, _] = &mut writers[..] else {
        panic!("three groups")
    };
    let mut flusher = pin!(flusher);
    files.hold();
    first.stage(put(0, "first"));
    second.stage(put(1 << 125, "second"));
    let mut first = pin!(first.commit(Durability::Flushed));
    let mut second = pin!(second.commit(Durability::Flushed));
    assert!(poll_once(first.as_mut()).is_none());
    assert!(
        poll_once(flusher.as_mut()).is_none(),
        "the first flush is in flight"
    );
    assert!(poll_once(second.as_mut()).is_none());
    assert!(poll_once(flusher.as_mut()).is_none());
    assert_eq!(
        store.figures().appends,
        1,
        "the second waits for the next append"
    );
    files.end_one();
    assert!(
        poll_once(flusher.as_mut()).is_none(),
        "the second flush is in flight"
    );
    assert!(poll_once(first.as_mut()).expect("its flush ended").is_ok());
    assert!(
        poll_once(second.as_mut()).is_none(),
        "it came after the first flush had begun"
    );
    assert_eq!(
        (text(&store, 0).as_deref(), text(&store, 1 << 125)),
        (Some("first"), None)
    );
    files.end_one();
    assert!(poll_once(flusher.as_mut()).is_none());
    assert!(poll_once(second.as_mut()).expect("its flush ended").is_ok());
    assert_eq!(store.figures().appends, 2);
}

#[test]
fn a_buffered_commit_does_not_wait_for_a_flush() {
    let (
        files,
        Opened {
            store,
            mut writers,
            flusher,
            ..
        },
    ) = slow();
    let [first, second, third] = &mut writers[..] else {
        panic!("three groups")
    };
    let mut flusher = pin!(flusher);
    files.hold();
    first.stage(put(0, "flushed"));
    second.stage(put(1 << 125, "buffered"));
    third.stage(put(2 << 125, "flushed too"));
    let mut first = pin!(first.commit(Durability::Flushed));
    let mut second = pin!(second.commit(Durability::Buffered));
    let mut third = pin!(third.commit(Durability::Flushed));
    assert!(poll_once(first.as_mut()).is_none());
    assert!(
        poll_once(flusher.as_mut()).is_none(),
        "the first flush is in flight"
    );
    assert!(poll_once(second.as_mut()).is_none());
    assert!(poll_once(third.as_mut()).is_none());
    assert!(
        poll_once(flusher.as_mut()).is_none(),
        "the flush is still in flight"
    );
    assert!(
        poll_once(second.as_mut())
            .expect("acknowledged from memory")
            .is_ok()
    );
    assert_eq!(text(&store, 1 << 125).as_deref(), Some("buffered"));
    assert!(
        poll_once(third.as_mut()).is_none(),
        "it shared the append, and waits for a flush"
    );
    assert_eq!((text(&store, 0), text(&store, 2 << 125)), (None, None));
    files.end_one();
    assert!(
        poll_once(flusher.as_mut()).is_none(),
        "the next flush is in flight"
    );
    assert!(poll_once(first.as_mut()).expect("its flush ended").is_ok());
    assert!(
        poll_once(third.as_mut()).is_none(),
        "that flush began before its append"
    );
    files.end_one();
    assert!(poll_once(flusher.as_mut()).is_none());
    assert!(poll_once(third.as_mut()).expect("its flush ended").is_ok());
}

#[test]
fn an_empty_flushed_commit_waits_for_what_went_before() {
    let (
        files,
        Opened {
            mut writers,
            flusher,
            ..
        },
    ) = slow();
    let writer = &mut writers[0];
    let mut flusher = pin!(flusher);
    files.hold();
    writer.stage(put(0, "buffered"));
    block_on(
        writer.commit(Durability::Buffered),
        vec![Box::pin(flusher.as_mut())],
    )
    .expect("a good disk");
    let mut barrier = pin!(writer.commit(Durability::Flushed));
    assert!(poll_once(barrier.as_mut()).is_none());
    assert!(poll_once(flusher.as_mut()).is_none());
    assert!(
        poll_once(barrier.as_mut()).is_none(),
        "the buffered commit is not flushed"
    );
    files.release();
    assert!(poll_once(flusher.as_mut()).is_none());
    assert!(
        poll_once(barrier.as_mut())
            .expect("its flush ended")
            .is_ok()
    );
}

#[test]
fn the_number_of_groups_may_change_between_openings() {
    let machine = Machine::new();
    let mut random = Random(1);
    let mut expected = Model::default();
    for groups in [1, 3, 2] {
        let options = StoreOptions {
            groups,
            ..ONE_GROUP
        };
        let Opened {
            store,
            mut writers,
            flusher,
            ..
        } = machine.open(options, &mut random).expect("the same store");
        assert_eq!(Model::read(&store, |_| true), expected);
        let main = async {
            for partition in 0..8_u128 {
                let write = put((partition << 125) + groups as u128, "value");
                let group = partition as usize % groups;
                expected.apply(std::slice::from_ref(&write));
                commit(&mut writers[group], vec![write]).await;
            }
            let range = KeyRange::of_partition(5, 3);
            let write = Write::remove_range(Keyspace::Objects, range);
            expected.apply(std::slice::from_ref(&write));
            commit(&mut writers[5 % groups], vec![write]).await;
        };
        block_on(main, vec![Box::pin(flusher)]);
    }
}
