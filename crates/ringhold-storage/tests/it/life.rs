//! Identity, lives, key epochs, and poisoning.

use std::collections::BTreeSet;

use ringhold_storage::testing::{Operation, block_on};
use ringhold_storage::{Durability, OpenReport, Opened, PoisonedStep, StoreIdentity, StoreOptions};

use crate::support::{Machine, Model, Random, put, text};

const OPTIONS: StoreOptions = StoreOptions {
    groups: 2,
    partition_bits: 1,
    segment_bytes: 1 << 20,
    epoch_lease: 40,
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Crash,
    CleanClose,
    Dropped,
}

/// Opens, commits one value as told, and ends as told.
fn live(
    machine: &Machine,
    random: &mut Random,
    commit: Option<Durability>,
    end: End,
) -> (StoreIdentity, OpenReport) {
    let Opened {
        store,
        mut writers,
        flusher,
        report,
    } = machine.open(OPTIONS, random).expect("one store");
    let main = async {
        if let Some(durability) = commit {
            writers[0].stage(put(1, "value"));
            writers[0].commit(durability).await.expect("a good disk");
        }
        if end == End::CleanClose {
            store.close().await.expect("a good disk");
            let refused = writers[0]
                .commit(Durability::Flushed)
                .await
                .expect_err("it is closed");
            assert_eq!(refused.step, PoisonedStep::Closed);
        }
    };
    block_on(main, vec![Box::pin(flusher)]);
    if end == End::Crash {
        machine.crash(random);
    }
    (store.identity(), report)
}

#[test]
fn a_life_ends_only_where_something_was_exposed_and_not_closed() {
    use Durability::{Buffered, Flushed};
    let table = [
        (None, End::Crash, false),
        (Some(Flushed), End::Crash, false),
        (Some(Flushed), End::Dropped, false),
        (Some(Flushed), End::CleanClose, false),
        (Some(Buffered), End::Crash, true),
        (Some(Buffered), End::Dropped, true),
        (Some(Buffered), End::CleanClose, false),
    ];
    for (row, (commit, end, expected)) in table.into_iter().enumerate() {
        for seed in 0..20 {
            let (machine, mut random) = (Machine::new(), Random(seed));
            let (before, created) = live(&machine, &mut random, commit, end);
            assert!(created.created && before.life == 1);
            let (after, report) = live(&machine, &mut random, None, End::Crash);
            assert_eq!(report.new_life, expected, "row {row}, seed {seed}");
            assert_eq!(
                after.life,
                before.life + u64::from(expected),
                "row {row}, seed {seed}"
            );
            assert!(
                report.doubts.is_empty(),
                "row {row}, seed {seed}: {report:?}"
            );
            let same = (before.store_id, before.incarnation, before.fingerprint_key);
            assert_eq!(
                (after.store_id, after.incarnation, after.fingerprint_key),
                same
            );
            let (third, _) = live(&machine, &mut random, None, End::Crash);
            assert_eq!(third.life, after.life, "the flag was for one life");
        }
    }
}

#[test]
fn exposing_is_flushed_before_it_returns() {
    for stop in 0..6 {
        let (machine, mut random) = (Machine::new(), Random(stop));
        let Opened { store, flusher, .. } =
            machine.open(OPTIONS, &mut random).expect("a new store");
        machine.steps.stop_after(stop);
        let exposed = block_on(store.expose(), vec![Box::pin(flusher)]).is_ok();
        machine.crash(&mut random);
        let (_, report) = live(&machine, &mut random, None, End::Crash);
        assert!(report.new_life || !exposed, "stopped after {stop}");
    }
}

#[test]
fn epochs_are_never_issued_twice() {
    let (machine, mut random) = (Machine::new(), Random(5));
    let mut issued = BTreeSet::new();
    for _ in 0..40 {
        let Opened {
            store,
            mut writers,
            flusher,
            report,
        } = machine.open(OPTIONS, &mut random).expect("one store");
        assert!(report.doubts.is_empty());
        machine.steps.stop_after(random.next() % 20);
        let take = random.below(60);
        let main = async {
            for _ in 0..take {
                let writer = &mut writers[random.below(2)];
                match writer.fresh_epoch().await {
                    Ok(epoch) => assert!(issued.insert(epoch), "epoch {epoch} was issued twice"),
                    Err(poisoned) => {
                        assert_eq!(store.poisoned(), Some(poisoned));
                        break;
                    }
                }
            }
        };
        block_on(main, vec![Box::pin(flusher)]);
        machine.crash(&mut random);
    }
    assert!(issued.len() > 100, "the test has seen enough of them");
}

#[test]
fn a_failed_flush_or_append_poisons_for_good() {
    for (operation, step) in [
        (Operation::Flush, PoisonedStep::Flush),
        (Operation::Append, PoisonedStep::Append),
    ] {
        let (machine, mut random) = (Machine::new(), Random(5));
        let Opened {
            store,
            mut writers,
            flusher,
            ..
        } = machine.open(OPTIONS, &mut random).expect("a new store");
        let main = async {
            store.expose().await.expect("a good disk");
            let [first, second] = &mut writers[..] else {
                panic!("two groups")
            };
            first.stage(put(1, "kept"));
            first
                .commit(Durability::Flushed)
                .await
                .expect("a good disk");
            machine.files.fail_next(operation);
            first.stage(put(2, "unknown"));
            let poisoned = first
                .commit(Durability::Flushed)
                .await
                .expect_err("the disk failed");
            assert_eq!(poisoned.step, step);
            // The disk works again; the store does not.
            second.stage(put(1 << 127, "refused"));
            assert_eq!(second.commit(Durability::Flushed).await, Err(poisoned));
            assert_eq!(second.commit(Durability::Buffered).await, Err(poisoned));
            assert_eq!(first.fresh_epoch().await, Err(poisoned));
            assert_eq!(store.begin_checkpoint().await.err(), Some(poisoned));
            assert_eq!(store.close().await, Err(poisoned));
            assert_eq!(store.poisoned(), Some(poisoned));
            assert_eq!(
                (text(&store, 1).as_deref(), text(&store, 2)),
                (Some("kept"), None)
            );
        };
        block_on(main, vec![Box::pin(flusher)]);
    }
}

/// After a failed flush the kernel takes the pages for written. A reopening in the same boot reads
/// them, so it must not rely on their being on disk.
#[test]
fn what_a_reopening_reads_after_a_failed_flush_is_written_again() {
    let (machine, mut random) = (Machine::new(), Random(5));
    let Opened {
        mut writers,
        flusher,
        ..
    } = machine.open(OPTIONS, &mut random).expect("a new store");
    let main = async {
        writers[0].stage(put(1, "in the page cache"));
        machine.files.fail_next(Operation::Flush);
        writers[0]
            .commit(Durability::Flushed)
            .await
            .expect_err("the disk failed");
    };
    block_on(main, vec![Box::pin(flusher)]);
    let reopened = machine.open(OPTIONS, &mut random).expect("the same store");
    let seen = Model::read(&reopened.store, |_| true);
    assert_eq!(seen.0.len(), 1, "the pages can be read");
    drop(reopened);
    machine.crash(&mut random);
    let again = machine.open(OPTIONS, &mut random).expect("the same store");
    assert!(again.report.doubts.is_empty(), "{:?}", again.report);
    assert_eq!(
        Model::read(&again.store, |_| true),
        seen,
        "what could be read once stays"
    );
}

#[test]
fn a_dropped_flusher_leaves_nobody_waiting() {
    let (machine, mut random) = (Machine::new(), Random(5));
    let Opened {
        store,
        mut writers,
        flusher,
        ..
    } = machine.open(OPTIONS, &mut random).expect("a new store");
    writers[0].stage(put(1, "one"));
    drop(flusher);
    let poisoned =
        block_on(writers[0].commit(Durability::Flushed), Vec::new()).expect_err("nobody serves it");
    assert_eq!(poisoned.step, PoisonedStep::FlusherEnded);
    assert_eq!(store.poisoned(), Some(poisoned));
}

#[test]
fn the_flusher_ends_when_the_store_is_gone() {
    let Opened {
        store,
        writers,
        flusher,
        ..
    } = Machine::new()
        .open(OPTIONS, &mut Random(5))
        .expect("a new store");
    drop((store, writers));
    block_on(flusher, Vec::new());
}
