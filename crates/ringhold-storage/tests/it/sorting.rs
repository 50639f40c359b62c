//! Sums of classes: whatever is sorted how and when, a class that says something says what is there.

use std::collections::BTreeMap;

use ringhold_core::ring::Class;
use ringhold_core::tree::LeafSum;
use ringhold_storage::testing::block_on;
use ringhold_storage::{
    BucketTag, Durability, Keyspace, OnDifference, Opened, Recounted, Sorting, Store, StoreOptions,
    Summarize, Write,
};

use crate::support::{Machine, Model, Random, Summing, key, put, set_of};

const OPTIONS: StoreOptions = StoreOptions {
    groups: 2,
    partition_bits: 1,
    segment_bytes: 1 << 20,
    epoch_lease: 10,
};
/// Buckets, and classes, of which there are few.
const BUCKETS: u64 = 4;
const CLASSES: u64 = 4;

fn summing() -> Summing {
    Summing::of(OPTIONS)
}

/// Some buckets and sets of them in a class; mostly the default one, or their set's.
fn drawn(random: &mut Random) -> Sorting {
    let buckets = (0..BUCKETS).map(|bucket| (BucketTag(bucket), Some(set_of(bucket))));
    let sets = (0..BUCKETS).step_by(2).map(|first| (set_of(first), None));
    Sorting::new(buckets.chain(sets).filter_map(|(tag, within)| {
        let class = random.next() % (2 * CLASSES);
        let class = u16::try_from(class).expect("few classes");
        (u64::from(class) < CLASSES).then_some((tag, within, Class(class)))
    }))
}

/// Two positions of each bucket in a handful of leaves on three pages.
fn position(random: &mut Random) -> u128 {
    let leaf = [0, 1, 31, 32, 200][usize::try_from(random.next() % 5).expect("few")];
    let bucket = u128::from(random.next() % (2 * BUCKETS));
    (leaf << (128 - summing().leaf_bits)) + bucket
}

/// The sums of all leaves and classes, from the objects themselves.
fn recomputed(store: &Store, sorting: &Sorting) -> BTreeMap<(u64, Class), LeafSum> {
    let mut sums: BTreeMap<_, LeafSum> = BTreeMap::new();
    for ((keyspace, key), value) in &Model::read(store, |_| true).0 {
        if *keyspace == Keyspace::Objects
            && let Some((class, digest)) = summing().sorted(key, value, sorting)
        {
            let leaf = key.position() >> (128 - summing().leaf_bits);
            let leaf = u64::try_from(leaf).expect("few leaves");
            *sums.entry((leaf, class)).or_default() += LeafSum::of(Some(digest));
        }
    }
    sums
}

#[track_caller]
fn assert_classes_fit(store: &Store, sorting: &Sorting) {
    let counted = summing().recompute(&Model::read(store, |_| true));
    assert_eq!(summing().kept(store), counted, "all classes together");
    let (unsorted, counted) = (store.unsorted_leaves(), recomputed(store, sorting));
    for leaf in 0..1 << summing().leaf_bits {
        for class in (0..CLASSES).filter_map(|class| u16::try_from(class).ok()) {
            let class = Class(class);
            let kept = store.class_sums(leaf..leaf + 1, class, sorting);
            let there = counted.get(&(leaf, class)).copied();
            let expected = (!unsorted.contains(&leaf)).then(|| vec![there.unwrap_or_default()]);
            assert_eq!(kept, expected, "leaf {leaf}, {class:?}");
        }
    }
}

async fn step(
    store: &Store,
    writers: &mut [ringhold_storage::GroupWriter],
    sorting: &mut Sorting,
    random: &mut Random,
) {
    match random.next() % 9 {
        0 => {
            *sorting = drawn(random);
            store.sort(sorting.clone());
        }
        1 => {
            if let Some(begun) = store.begin_checkpoint().await.expect("a good disk") {
                store.finish_checkpoint(begun).await.expect("a good engine");
            }
        }
        2 => {
            for leaf in store.unsorted_leaves().into_iter().take(3) {
                let found = store.recount(leaf..leaf + 1, OnDifference::Repair);
                assert_eq!(found.expect("readable").differences, []);
            }
        }
        kind => {
            let key = key(position(random));
            let write = if kind == 3 {
                Write::remove(Keyspace::Objects, key)
            } else {
                put(key.position(), &random.next().to_string())
            };
            let writer = &mut writers[store.grouping().group_of(&key)];
            writer.stage(write);
            // What was staged by one sorting is published by another.
            if random.next().is_multiple_of(4) {
                *sorting = drawn(random);
                store.sort(sorting.clone());
            }
            let committed = writer.commit(Durability::Flushed).await;
            committed.expect("a good disk");
        }
    }
}

/// Power cuts included: the sorting that an opening finds need not be the last one.
#[test]
fn a_class_says_what_is_there_or_nothing() {
    for seed in 0..50 {
        let mut random = Random(seed);
        let (machine, mut sorting) = (Machine::new(), Sorting::default());
        for life in 0..4 {
            let opened = machine.open(OPTIONS, &mut random).expect("in order");
            let Opened {
                store,
                mut writers,
                flusher,
                report,
                ..
            } = opened;
            assert_eq!(
                report.recounted,
                Recounted::Nothing,
                "a crash costs nothing"
            );
            store.sort(sorting.clone());
            let main = async {
                assert_classes_fit(&store, &sorting);
                for _ in 0..25 {
                    step(&store, &mut writers, &mut sorting, &mut random).await;
                    assert_classes_fit(&store, &sorting);
                }
            };
            block_on(main, vec![Box::pin(flusher)]);
            assert!(life == 0 || !summing().kept(&store).is_empty());
            drop((store, writers));
            machine.crash(&mut random);
        }
    }
}

#[test]
fn what_is_sorted_stays_sorted_over_a_restart() {
    let machine = Machine::new();
    let (one, two) = (
        Sorting::new([(BucketTag(1), None, Class(2))]),
        Sorting::new([(BucketTag(1), None, Class(3))]),
    );
    let opened = machine.open(OPTIONS, &mut Random(1)).expect("a new store");
    let Opened {
        store,
        mut writers,
        flusher,
        ..
    } = opened;
    let main = async {
        writers[0].stage(put(5, "before"));
        let committed = writers[0].commit(Durability::Flushed).await;
        committed.expect("a good disk");
        assert_eq!(store.unsorted_leaves(), [], "nobody has sorted anything");
        assert_classes_fit(&store, &Sorting::default());
        let gone = Write::remove(Keyspace::Objects, key(5));
        writers[0].stage(gone);
        let committed = writers[0].commit(Durability::Flushed).await;
        committed.expect("a good disk");
        store.sort(one.clone());
        for position in [0, 1] {
            let writer = &mut writers[0];
            writer.stage(put(position, "here"));
            writer
                .commit(Durability::Flushed)
                .await
                .expect("a good disk");
        }
        let begun = store.begin_checkpoint().await.expect("a good disk");
        let finished = store.finish_checkpoint(begun.expect("something")).await;
        finished.expect("a good engine");
        store.close().await.expect("a good disk");
    };
    block_on(main, vec![Box::pin(flusher)]);
    let opened = machine.open(OPTIONS, &mut Random(2)).expect("in order");
    opened.store.sort(one.clone());
    assert_eq!(opened.store.unsorted_leaves(), []);
    assert_classes_fit(&opened.store, &one);
    assert_eq!(opened.store.class_sums(0..1, Class(2), &two), None);
    opened.store.sort(two.clone());
    assert_eq!(
        opened.store.unsorted_leaves(),
        [],
        "a class that goes as a whole"
    );
    assert_classes_fit(&opened.store, &two);
    opened.store.sort(Sorting::default());
    assert_eq!(opened.store.unsorted_leaves(), []);
    opened.store.sort(one);
    assert_eq!(opened.store.unsorted_leaves(), [0], "one that falls apart");
}
