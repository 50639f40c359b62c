//! I20: after any crash the store is the model after some prefix of what was submitted, one that
//! contains all that was acknowledged as flushed.
//!
//! Two writers and a checkpointer run in a random interleaving, on a machine that stops at a chosen
//! step of append, flush, creation, removal or engine; the unflushed rest is lost or torn, the engine
//! comes back at one checkpoint or the next, and recovery is itself stopped and crashed. This goes on
//! for several lives. A harness is worth what it finds: two wrong stores are shown to it at the end.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use ringhold_storage::testing::{MemoryFiles, Task, drive};
use ringhold_storage::{
    Batch, BoxFuture, Change, Durability, Engine, EngineError, Files, GroupWriter, KeyRange,
    Keyspace, MemoryEngine, OpenError, Opened, Recounted, RowKey, RowRange, StorageKey, Store,
    StoreIdentity, StoreOptions, Write,
};

use crate::support::{Machine, Model, Random, Summing, open};

const GROUPS: usize = 2;
const PARTITION_BITS: u32 = 2;
const OPTIONS: StoreOptions = StoreOptions {
    groups: GROUPS,
    partition_bits: PARTITION_BITS,
    // Checkpoints go to the engine in many parts.
    segment_bytes: 1 << 10,
    epoch_lease: 3,
};

/// One thing that a writer does.
#[derive(Clone, Debug)]
enum Step {
    Put { slot: u8, bytes: u16 },
    Remove { slot: u8 },
    RemoveRange { upper: bool, part: bool },
    Commit { durability: Durability },
    Epoch,
}

/// From one opening to the next crash.
#[derive(Clone, Debug)]
struct Life {
    scripts: [Vec<Step>; GROUPS],
    checkpoints: u8,
    close: bool,
    /// Where each of some openings before the good one is stopped.
    stopped_openings: Vec<u64>,
    /// Where the machine stops after the good opening; never, if none.
    stop_after: Option<u64>,
}

/// What wrong stores replace.
struct Variant {
    files: fn(MemoryFiles) -> Arc<dyn Files>,
    engine: fn(MemoryEngine) -> Box<dyn Engine>,
}

const RIGHT: Variant = Variant {
    files: |files| Arc::new(files),
    engine: |engine| Box::new(engine),
};

/// What the outside knows about one life.
#[derive(Default)]
struct Witness {
    submitted: [Vec<Vec<Write>>; GROUPS],
    /// Batches up to which a flush was acknowledged.
    acknowledged: [usize; GROUPS],
    /// Some commits waited for no flush, so what was seen of them may be gone.
    buffered: bool,
    closing: bool,
}

/// What the outside knows about the store.
struct History {
    random: Random,
    machine: Machine,
    base: [Model; GROUPS],
    witness: Witness,
    /// What everybody could see at the end of the last life.
    visible: [Model; GROUPS],
    identity: Option<StoreIdentity>,
    epochs: BTreeSet<u64>,
}

impl History {
    fn new(seed: u64) -> Self {
        Self {
            random: Random(seed),
            machine: Machine::new(),
            base: Default::default(),
            witness: Witness::default(),
            visible: Default::default(),
            identity: None,
            epochs: BTreeSet::new(),
        }
    }

    fn open(&mut self, variant: &Variant) -> Result<Opened, OpenError> {
        let files = (variant.files)(self.machine.files.clone());
        let engine = (variant.engine)(self.machine.engine.clone());
        open(files, engine, OPTIONS, &mut self.random)
    }

    /// Openings that are stopped, then one that is not.
    fn reopen(&mut self, life: &Life, variant: &Variant) -> Result<Opened, String> {
        for stop in &life.stopped_openings {
            self.machine.steps.stop_after(*stop);
            let opened = self.open(variant).map(drop);
            if let Err(error) = opened
                && !self.machine.steps.stopped()
            {
                return Err(format!("an opening failed: {error}"));
            }
            self.machine.crash(&mut self.random);
        }
        let opened = self
            .open(variant)
            .map_err(|error| format!("an opening failed: {error}"))?;
        self.check(&opened)?;
        Ok(opened)
    }

    /// The store is what some prefix of the last life made of it.
    fn check(&mut self, opened: &Opened) -> Result<(), String> {
        if !opened.report.doubts.is_empty() {
            return Err(format!(
                "a plain crash is no doubt: {:?}",
                opened.report.doubts
            ));
        }
        let identity = opened.store.identity();
        let before = self.identity.replace(identity);
        let witness = std::mem::take(&mut self.witness);
        let renewed = before.is_some_and(|before| before.incarnation != identity.incarnation);
        if let Some(before) = before {
            if identity.store_id != before.store_id {
                return Err("a plain crash changed the store".into());
            }
            if !witness.closing && !renewed {
                return Err("the store was not closed and goes on under its old name".into());
            }
            if identity.boot_number <= before.boot_number {
                return Err("a boot number came twice".into());
            }
        }
        for group in 0..GROUPS {
            let states = states(&self.base[group], &witness.submitted[group]);
            let seen = states
                .iter()
                .position(|state| *state == self.visible[group]);
            let seen = seen.ok_or("what could be seen was no prefix of what was submitted")?;
            let taken_back = witness.buffered && renewed;
            let least = if taken_back { 0 } else { seen }.max(witness.acknowledged[group]);
            let found = contents(&opened.store, group);
            if !states[least..].contains(&found) {
                let batches = states.len() - 1;
                return Err(format!(
                    "group {group}: not one of the prefixes from {least} to {batches} of the last life"
                ));
            }
            self.base[group] = found.clone();
            self.visible[group] = found;
        }
        if opened.report.recounted != Recounted::Nothing {
            return Err("a plain crash cost the leaf sums".into());
        }
        check_sums(&opened.store)
    }

    /// Lives, stops and crashes.
    fn live(&mut self, life: &Life, opened: Opened) -> Result<(), String> {
        let Opened {
            store,
            writers,
            flusher,
            ..
        } = opened;
        if let Some(steps) = life.stop_after {
            self.machine.steps.stop_after(steps);
        }
        let witness = Rc::new(RefCell::new(Witness::default()));
        let epochs = Rc::new(RefCell::new(Vec::new()));
        let mut tasks: Vec<Task<'_>> = Vec::new();
        for (writer, script) in writers.into_iter().zip(&life.scripts) {
            tasks.push(Box::pin(write(
                writer,
                script,
                Rc::clone(&witness),
                Rc::clone(&epochs),
            )));
        }
        tasks.push(Box::pin(check_point(&store, life.checkpoints)));
        let mut flusher = Box::pin(flusher);
        let random = &mut self.random;
        drive(tasks, vec![Box::pin(flusher.as_mut())], &mut |choices| {
            random.below(choices)
        });
        if life.close {
            // Whether or not its answer came through, the end is said to be clean after all else is flushed.
            witness.borrow_mut().closing = true;
            let closing = async { store.close().await.unwrap_or(()) };
            drive(
                vec![Box::pin(closing)],
                vec![Box::pin(flusher.as_mut())],
                &mut |_| 0,
            );
        }
        for epoch in epochs.borrow().iter() {
            if !self.epochs.insert(*epoch) {
                return Err(format!("epoch {epoch} was issued twice"));
            }
        }
        for group in 0..GROUPS {
            self.visible[group] = contents(&store, group);
        }
        check_sums(&store)?;
        self.witness = witness.take();
        drop(flusher);
        drop(store);
        self.machine.crash(&mut self.random);
        Ok(())
    }
}

async fn write(
    mut writer: GroupWriter,
    script: &[Step],
    witness: Rc<RefCell<Witness>>,
    epochs: Rc<RefCell<Vec<u64>>>,
) {
    let group = writer.group();
    let mut batch = Vec::new();
    for (count, step) in script.iter().enumerate() {
        let write = match step {
            Step::Put { slot, bytes } => {
                let mut value =
                    vec![u8::try_from(count % 251).expect("small"); usize::from(*bytes)];
                value.extend_from_slice(&writer.store().identity().boot_number.to_le_bytes());
                Write::put(keyspace(*slot), key(group, *slot), value.into())
            }
            Step::Remove { slot } => Write::remove(keyspace(*slot), key(group, *slot)),
            Step::RemoveRange { upper, part } => {
                Write::remove_range(Keyspace::Objects, range(group, *upper, *part))
            }
            Step::Epoch => match writer.fresh_epoch().await {
                Ok(epoch) => {
                    epochs.borrow_mut().push(epoch);
                    continue;
                }
                Err(_) => return,
            },
            Step::Commit { durability } => {
                let buffered = *durability == Durability::Buffered;
                witness.borrow_mut().buffered |= buffered;
                witness.borrow_mut().submitted[group].push(std::mem::take(&mut batch));
                if writer.commit(*durability).await.is_err() {
                    return;
                }
                let mut witness = witness.borrow_mut();
                if !buffered {
                    witness.acknowledged[group] = witness.submitted[group].len();
                }
                continue;
            }
        };
        stage(&mut writer, write.clone(), count.is_multiple_of(2));
        batch.push(write);
    }
}

/// Both ways to stage come to the same.
fn stage(writer: &mut GroupWriter, write: Write, after_reading: bool) {
    let key = match &write.change {
        Change::Put { key, .. } | Change::Remove { key } if after_reading => *key,
        _ => return writer.stage(write),
    };
    let before = writer.read(write.keyspace, &key);
    let before = before.expect("nothing is damaged");
    writer.stage_over(write, before.as_ref());
}

async fn check_point(store: &Store, checkpoints: u8) {
    for _ in 0..checkpoints {
        let Ok(begun) = store.begin_checkpoint().await else {
            return;
        };
        if let Some(checkpoint) = begun
            && store.finish_checkpoint(checkpoint).await.is_err()
        {
            return;
        }
        // Let others run, even where there was nothing to do.
        let mut yielded = false;
        std::future::poll_fn(|context| {
            context.waker().wake_by_ref();
            if std::mem::replace(&mut yielded, true) {
                std::task::Poll::Ready(())
            } else {
                std::task::Poll::Pending
            }
        })
        .await;
    }
}

/// Each group has two of the four partitions. There, four slots share a leaf.
fn key(group: usize, slot: u8) -> StorageKey {
    let partition = u128::try_from(group).expect("small") + 2 * u128::from(slot % 2);
    let page = u128::from(slot / 8);
    StorageKey::new((partition << 126) + (page << 124) + u128::from(slot), 0)
}

fn keyspace(slot: u8) -> Keyspace {
    if slot.is_multiple_of(5) {
        Keyspace::Hints
    } else {
        Keyspace::Objects
    }
}

/// One of a group's partitions, or from the middle of its first leaf to its end.
fn range(group: usize, upper: bool, part: bool) -> KeyRange {
    let partition = u32::try_from(group).expect("small") + if upper { 2 } else { 0 };
    let whole = KeyRange::of_partition(partition, PARTITION_BITS);
    let start = if part {
        key(group, 4 + u8::from(upper))
    } else {
        whole.start
    };
    KeyRange { start, ..whole }
}

fn contents(store: &Store, group: usize) -> Model {
    Model::read(store, |key| store.grouping().group_of(key) == group)
}

/// The leaf sums are those of what is there (T12).
fn check_sums(store: &Store) -> Result<(), String> {
    let summing = Summing::of(OPTIONS);
    let counted = summing.recompute(&Model::read(store, |_| true));
    let kept = summing.kept(store);
    if kept != counted {
        return Err(format!("leaf sums are {kept:?} and should be {counted:?}"));
    }
    Ok(())
}

/// The model after none, one, … all of the batches.
fn states(base: &Model, batches: &[Vec<Write>]) -> Vec<Model> {
    let mut states = vec![base.clone()];
    for batch in batches {
        let mut next = states[states.len() - 1].clone();
        next.apply(batch);
        states.push(next);
    }
    states
}

fn run(seed: u64, lives: &[Life], variant: &Variant) -> Result<History, String> {
    let mut history = History::new(seed);
    for life in lives {
        let opened = history.reopen(life, variant)?;
        history.live(life, opened)?;
    }
    let opened = history
        .open(variant)
        .map_err(|error| format!("the last opening failed: {error}"))?;
    history.check(&opened)?;
    Ok(history)
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_u8..12, 0_u16..1_500).prop_map(|(slot, bytes)| Step::Put { slot, bytes }),
        2 => (0_u8..12).prop_map(|slot| Step::Remove { slot }),
        1 => any::<(bool, bool)>().prop_map(|(upper, part)| Step::RemoveRange { upper, part }),
        4 => Just(Step::Commit { durability: Durability::Flushed }),
        1 => Just(Step::Commit { durability: Durability::Buffered }),
        1 => Just(Step::Epoch),
    ]
}

fn any_life() -> impl Strategy<Value = Life> {
    let script = || proptest::collection::vec(any_step(), 0..25);
    let stops = proptest::collection::vec(0_u64..24, 0..3);
    let stop_after = proptest::option::weighted(0.9, 0_u64..90);
    (
        script(),
        script(),
        0_u8..4,
        any::<bool>(),
        stops,
        stop_after,
    )
        .prop_map(
            |(left, right, checkpoints, close, stopped_openings, stop_after)| Life {
                scripts: [left, right],
                checkpoints,
                close,
                stopped_openings,
                stop_after,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_crash_leaves_a_prefix(seed in any::<u64>(), lives in proptest::collection::vec(any_life(), 1..4)) {
        if let Err(why) = run(seed, &lives, &RIGHT) {
            prop_assert!(false, "{why}");
        }
    }
}

/// A life in which everything happens once.
fn eventful() -> Life {
    use Durability::{Buffered, Flushed};
    let put = |slot| Step::Put { slot, bytes: 700 };
    let commit = |durability| Step::Commit { durability };
    let left = vec![
        put(1),
        put(2),
        commit(Flushed),
        put(3),
        commit(Flushed),
        Step::Epoch,
        Step::RemoveRange {
            upper: true,
            part: true,
        },
        put(3),
        commit(Flushed),
        put(4),
        commit(Buffered),
        put(5),
        commit(Flushed),
    ];
    let right = vec![
        put(1),
        commit(Flushed),
        Step::Remove { slot: 1 },
        put(6),
        commit(Flushed),
        put(7),
        commit(Flushed),
    ];
    Life {
        scripts: [left, right],
        checkpoints: 2,
        close: true,
        stopped_openings: Vec::new(),
        stop_after: None,
    }
}

/// Every step of a life, and for each of them every step of the recovery after it.
#[test]
fn every_step_of_a_life_and_of_its_recovery() {
    let opening = {
        let mut history = History::new(0);
        drop(history.open(&RIGHT).expect("a new store"));
        history.machine.steps.taken()
    };
    let whole = run(0, &[eventful()], &RIGHT)
        .expect("no crash in the middle")
        .machine
        .steps
        .taken();
    assert!(whole > opening + 25, "the life has many steps");
    for stop in 0..=whole {
        for recovery_stop in 0..=opening {
            let first = Life {
                stop_after: Some(stop),
                ..eventful()
            };
            let second = Life {
                stopped_openings: vec![recovery_stop],
                ..eventful()
            };
            let seed = stop * 1_000 + recovery_stop;
            if let Err(why) = run(seed, &[first, second], &RIGHT) {
                panic!("stopped at {stop}, recovery at {recovery_stop}: {why}");
            }
        }
    }
}

/// A flush that says "done" and did nothing: what an acknowledgement before the flush comes to.
#[test]
fn acknowledging_before_the_flush_is_found() {
    let wrong = Variant {
        files: |files| Arc::new(NoFlush(files)),
        engine: RIGHT.engine,
    };
    found_within(200, &wrong);
}

/// An engine whose flush does nothing: what dropping segments before the engine's flush comes to.
#[test]
fn dropping_segments_before_the_engine_is_flushed_is_found() {
    let wrong = Variant {
        files: RIGHT.files,
        engine: |engine| Box::new(NoEngineFlush(engine)),
    };
    found_within(200, &wrong);
}

fn found_within(seeds: u64, variant: &Variant) {
    let found = (0..seeds).any(|seed| {
        let life = Life {
            stop_after: Some(10 + seed % 70),
            ..eventful()
        };
        run(seed, &[life], variant).is_err()
    });
    assert!(found, "a harness that does not find this is worth nothing");
}

#[cfg(feature = "known-bad")]
#[test]
fn what_does_not_fit_after_a_crash_is_found() {
    use ringhold_storage::known_bad::{self, Variant};
    for variant in [
        Variant::TreeOutsideBatch,
        Variant::ReplayCountsTwice,
        Variant::RecordWithFirstPart,
    ] {
        known_bad::activate(Some(variant));
        found_within(2_000, &RIGHT);
        known_bad::activate(None);
    }
}

struct NoFlush(MemoryFiles);

impl Files for NoFlush {
    fn list(&self) -> BoxFuture<'static, io::Result<Vec<u64>>> {
        self.0.list()
    }

    fn create(&self, segment: u64) -> BoxFuture<'static, io::Result<()>> {
        self.0.create(segment)
    }

    fn append(&self, segment: u64, parts: Vec<Bytes>) -> BoxFuture<'static, io::Result<()>> {
        self.0.append(segment, parts)
    }

    fn flush(&self, _: u64) -> BoxFuture<'static, io::Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn append_flushed(
        &self,
        segment: u64,
        parts: Vec<Bytes>,
    ) -> BoxFuture<'static, io::Result<()>> {
        // A segment's start is flushed, so that this fails in nothing but its acknowledgements.
        let starts = self.0.bytes(segment).is_none_or(|bytes| bytes.is_empty());
        if starts {
            self.0.append_flushed(segment, parts)
        } else {
            self.0.append(segment, parts)
        }
    }

    fn read(&self, segment: u64) -> BoxFuture<'static, io::Result<Bytes>> {
        self.0.read(segment)
    }

    fn quarantine(&self, segment: u64) -> BoxFuture<'static, io::Result<()>> {
        self.0.quarantine(segment)
    }

    fn remove(&self, segments: Vec<u64>) -> BoxFuture<'static, io::Result<()>> {
        self.0.remove(segments)
    }

    fn offload(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        self.0.offload(job)
    }
}

struct NoEngineFlush(MemoryEngine);

impl Engine for NoEngineFlush {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn get(&self, keyspace: Keyspace, key: &StorageKey) -> Result<Option<Bytes>, EngineError> {
        self.0.get(keyspace, key)
    }

    fn range(
        &self,
        keyspace: Keyspace,
        range: &KeyRange,
        limit: usize,
    ) -> Result<Vec<(StorageKey, Bytes)>, EngineError> {
        self.0.range(keyspace, range, limit)
    }

    fn rows(&self, range: &RowRange, limit: usize) -> Result<Vec<(RowKey, Bytes)>, EngineError> {
        self.0.rows(range, limit)
    }

    fn apply(&self, batch: &Batch) -> Result<(), EngineError> {
        self.0.apply(batch)
    }

    fn flush(&self) -> Result<(), EngineError> {
        Ok(())
    }

    fn size_bytes(&self) -> Result<u64, EngineError> {
        self.0.size_bytes()
    }
}
