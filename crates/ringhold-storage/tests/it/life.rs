//! Identity, incarnations, key epochs, and poisoning.

use std::collections::BTreeSet;

use ringhold_core::id::Incarnation;
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
            store.confirm_incarnation();
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
fn only_a_clean_close_keeps_the_incarnation() {
    use Durability::{Buffered, Flushed};
    let table = [
        (None, End::Crash, true),
        (None, End::CleanClose, false),
        (Some(Flushed), End::Crash, true),
        (Some(Flushed), End::Dropped, true),
        (Some(Flushed), End::CleanClose, false),
        (Some(Buffered), End::Crash, true),
        (Some(Buffered), End::Dropped, true),
        (Some(Buffered), End::CleanClose, false),
    ];
    for (row, (commit, end, expected)) in table.into_iter().enumerate() {
        for seed in 0..20 {
            let (machine, mut random) = (Machine::new(), Random(seed));
            let (before, created) = live(&machine, &mut random, commit, end);
            assert!(created.created && before.boot_number == 1);
            let (after, report) = live(&machine, &mut random, None, End::CleanClose);
            assert_eq!(report.new_incarnation, expected, "row {row}, seed {seed}");
            let changed = after.incarnation != before.incarnation;
            assert_eq!(changed, expected, "row {row}, seed {seed}");
            assert!(
                report.doubts.is_empty(),
                "row {row}, seed {seed}: {report:?}"
            );
            let same = (before.store_id, before.fingerprint_key);
            assert_eq!((after.store_id, after.fingerprint_key), same);
            let (third, _) = live(&machine, &mut random, None, End::Crash);
            assert_eq!(third.incarnation, after.incarnation, "it was closed");
            assert_eq!((after.boot_number, third.boot_number), (2, 3));
        }
    }
}

/// Whoever was told of the new name finds it after any crash, or an even newer one.
#[test]
fn a_renewed_incarnation_is_flushed_before_it_returns() {
    for stop in 0..6 {
        let (machine, mut random) = (Machine::new(), Random(stop));
        let (before, _) = live(&machine, &mut random, None, End::CleanClose);
        let Opened { store, flusher, .. } = machine.open(OPTIONS, &mut random).expect("one store");
        assert_eq!(store.identity().incarnation, before.incarnation);
        machine.steps.stop_after(stop);
        let renewed = block_on(
            store.renew_incarnation(Incarnation(7)),
            vec![Box::pin(flusher)],
        )
        .is_ok();
        let expected = if renewed {
            Incarnation(7)
        } else {
            before.incarnation
        };
        assert_eq!(
            store.identity().incarnation,
            expected,
            "stopped after {stop}"
        );
        machine.crash(&mut random);
        let (after, report) = live(&machine, &mut random, None, End::Crash);
        assert!(report.new_incarnation);
        assert!(after.incarnation != before.incarnation && after.incarnation != Incarnation(7));
    }
}

/// Whoever goes on after a clean close and closes again before that is settled is not closed cleanly: it may
/// be one of two copies, and the next boot number would be believed.
#[test]
fn an_unsettled_store_does_not_close_cleanly() {
    let (machine, mut random) = (Machine::new(), Random(3));
    let (before, _) = live(&machine, &mut random, None, End::CleanClose);
    let Opened { store, flusher, .. } = machine.open(OPTIONS, &mut random).expect("one store");
    assert_eq!(store.identity().incarnation, before.incarnation);
    block_on(store.close(), vec![Box::pin(flusher)]).expect("a good disk");
    drop(store);
    let (after, report) = live(&machine, &mut random, None, End::Crash);
    assert!(report.new_incarnation && after.incarnation != before.incarnation);
}

/// A copy of the files of an open store is open too, whatever its original does afterwards.
#[test]
fn a_copy_never_shares_a_name_with_its_open_original() {
    let (machine, mut random) = (Machine::new(), Random(3));
    let original = machine.open(OPTIONS, &mut random).expect("a new store");
    let copy = machine
        .open(OPTIONS, &mut random)
        .expect("the files as they are");
    assert_ne!(
        copy.store.identity().incarnation,
        original.store.identity().incarnation
    );
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
    for (operation, durability, step) in [
        (Operation::Flush, Durability::Flushed, PoisonedStep::Flush),
        (
            Operation::Append,
            Durability::Buffered,
            PoisonedStep::Append,
        ),
    ] {
        let (machine, mut random) = (Machine::new(), Random(5));
        let Opened {
            store,
            mut writers,
            flusher,
            ..
        } = machine.open(OPTIONS, &mut random).expect("a new store");
        let main = async {
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
            let poisoned = first.commit(durability).await.expect_err("the disk failed");
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
