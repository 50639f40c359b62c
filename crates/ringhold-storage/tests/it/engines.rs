//! One suite that every engine passes; what a killed process leaves is in `engines_killed`.

use bytes::Bytes;
use ringhold_fjall::FjallEngine;
use ringhold_storage::{
    Batch, Engine, KeyRange, Keyspace, LmdbEngine, MemoryEngine, RowKey, RowRange,
};

use crate::support::{Model, Random, key};

/// An engine that can be closed and opened again.
struct Subject {
    engine: Option<Box<dyn Engine>>,
    open: Box<dyn FnMut() -> Box<dyn Engine>>,
}

impl Subject {
    fn new(mut open: impl FnMut() -> Box<dyn Engine> + 'static) -> Self {
        Self {
            engine: Some(open()),
            open: Box::new(open),
        }
    }

    fn engine(&self) -> &dyn Engine {
        self.engine
            .as_deref()
            .expect("open but while it is opened again")
    }

    fn reopen(&mut self) {
        self.engine = None;
        self.engine = Some((self.open)());
    }
}

#[test]
fn memory() {
    check_all(&mut |_| {
        let engine = MemoryEngine::default();
        Subject::new(move || {
            engine.crash(false);
            Box::new(engine.clone())
        })
    });
}

#[test]
fn lmdb() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    check_all(&mut |name| {
        let path = directory.path().join(name);
        Subject::new(move || Box::new(LmdbEngine::open(&path, 16 << 20).expect("a directory")))
    });
}

#[test]
fn fjall() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    check_all(&mut |name| {
        let path = directory.path().join(name);
        Subject::new(move || Box::new(FjallEngine::open(&path, 1 << 20).expect("a directory")))
    });
}

#[test]
fn one_process_has_a_fjall_at_a_time() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let first = FjallEngine::open(directory.path(), 1 << 20).expect("a new directory");
    assert!(FjallEngine::open(directory.path(), 1 << 20).is_err());
    drop(first);
    FjallEngine::open(directory.path(), 1 << 20).expect("free again");
}

#[test]
fn a_full_lmdb_says_so_and_changes_nothing() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let engine = LmdbEngine::open(directory.path(), 256 << 10).expect("a new directory");
    let small = batch(vec![(Keyspace::Objects, 1, Some("kept"))]);
    engine.apply(&small).expect("there is room");
    let large = Bytes::from(vec![7; 1 << 20]);
    let large = Batch {
        removed: vec![(Keyspace::Objects, KeyRange::ALL)],
        changes: vec![(Keyspace::Objects, key(2), Some(large))],
        rows: Vec::new(),
    };
    let error = engine.apply(&large).expect_err("there is no room");
    assert!(
        matches!(error, ringhold_storage::EngineError::Full),
        "{error}"
    );
    let kept = engine.get(Keyspace::Objects, &key(1)).expect("reads go on");
    assert_eq!(kept.as_deref(), Some(&b"kept"[..]));
}

fn check_all(make: &mut dyn FnMut(&str) -> Subject) {
    what_is_put_is_there(&mut make("put"));
    ranges_first_then_changes(make("ranges").engine());
    keyspaces_are_apart(make("keyspaces").engine());
    rows_lie_in_order(&mut make("rows"));
    batches_that_change_nothing(make("nothing").engine());
    many_batches_over_the_same_keys(&mut make("many"));
    a_model_agrees(&mut make("model"));
}

fn what_is_put_is_there(subject: &mut Subject) {
    let engine = subject.engine();
    assert_eq!(engine.get(Keyspace::Objects, &key(1)).expect("empty"), None);
    engine
        .apply(&batch(vec![
            (Keyspace::Objects, 1, Some("one")),
            (Keyspace::Objects, 2, Some("")),
        ]))
        .expect("room");
    engine.flush().expect("a disk");
    subject.reopen();
    let engine = subject.engine();
    assert_eq!(
        engine
            .get(Keyspace::Objects, &key(1))
            .expect("readable")
            .as_deref(),
        Some(&b"one"[..])
    );
    assert_eq!(
        engine
            .get(Keyspace::Objects, &key(2))
            .expect("readable")
            .as_deref(),
        Some(&b""[..])
    );
    assert!(engine.size_bytes().expect("known") > 0);
    engine
        .apply(&batch(vec![
            (Keyspace::Objects, 1, None),
            (Keyspace::Objects, 9, None),
        ]))
        .expect("room");
    assert_eq!(
        engine.get(Keyspace::Objects, &key(1)).expect("readable"),
        None
    );
}

fn ranges_first_then_changes(engine: &dyn Engine) {
    let rows = (0..20)
        .map(|position| (Keyspace::Objects, position, Some("old")))
        .collect();
    engine.apply(&batch(rows)).expect("room");
    let mut second = batch(vec![(Keyspace::Objects, 7, Some("new"))]);
    second.removed = vec![
        (Keyspace::Objects, KeyRange::new(key(5), key(10))),
        (Keyspace::Objects, KeyRange::from_start(key(18))),
        (Keyspace::Objects, KeyRange::new(key(3), key(3))),
        (Keyspace::Objects, KeyRange::new(key(3), key(1))),
    ];
    engine.apply(&second).expect("room");
    let left = engine
        .range(Keyspace::Objects, &KeyRange::ALL, 100)
        .expect("readable");
    let positions: Vec<u128> = left.iter().map(|(key, _)| key.position()).collect();
    assert_eq!(
        positions,
        [0, 1, 2, 3, 4, 7, 10, 11, 12, 13, 14, 15, 16, 17]
    );
    let seventh = left
        .iter()
        .find(|(key, _)| key.position() == 7)
        .expect("put again");
    assert_eq!(&seventh.1[..], b"new");
    assert_eq!(
        engine
            .range(Keyspace::Objects, &KeyRange::new(key(4), key(11)), 2)
            .expect("readable")
            .len(),
        2
    );
    assert!(
        engine
            .range(Keyspace::Objects, &KeyRange::new(key(9), key(2)), 9)
            .expect("readable")
            .is_empty()
    );
}

fn keyspaces_are_apart(engine: &dyn Engine) {
    let rows = Keyspace::ALL
        .map(|keyspace| (keyspace, 1, Some("row")))
        .to_vec();
    engine.apply(&batch(rows)).expect("room");
    engine
        .apply(&Batch {
            removed: vec![(Keyspace::Hints, KeyRange::ALL)],
            changes: Vec::new(),
            rows: Vec::new(),
        })
        .expect("room");
    for keyspace in Keyspace::ALL {
        let there = engine.get(keyspace, &key(1)).expect("readable").is_some();
        assert_eq!(there, keyspace != Keyspace::Hints, "{keyspace:?}");
    }
}

fn rows_lie_in_order(subject: &mut Subject) {
    const BITS: u32 = 1;
    let row = |partition: u128, tail: &str| RowKey::new(partition << 127, BITS, tail.as_bytes());
    let with_rows = |rows: &[(u128, &str, Option<&'static str>)]| {
        let rows = rows.iter();
        let mut rows: Vec<_> = rows
            .map(|(partition, tail, value)| (row(*partition, tail), value.map(Bytes::from)))
            .collect();
        rows.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Batch {
            rows,
            ..Batch::default()
        }
    };
    let tails = |engine: &dyn Engine, range: &RowRange, limit| -> Vec<Bytes> {
        let rows = engine.rows(range, limit).expect("readable");
        rows.iter().map(|(key, _)| key.tail()).collect()
    };
    let first = [
        (0, "", Some("1")),
        (0, "a", Some("2")),
        (0, "ab", Some("3")),
        (0, "b", Some("")),
        (1, "a", Some("5")),
    ];
    subject.engine().apply(&with_rows(&first)).expect("room");
    let mut second = with_rows(&[(0, "a", None), (0, "c", Some("6")), (0, "x", None)]);
    // A removed range is one of objects: rows go one by one.
    second.removed = vec![(Keyspace::Objects, KeyRange::ALL)];
    subject.engine().apply(&second).expect("room");
    subject.engine().flush().expect("a disk");
    subject.reopen();
    let engine = subject.engine();
    let all = RowRange::new(0, BITS, b"", None);
    assert_eq!(tails(engine, &all, 9), ["", "ab", "b", "c"]);
    assert_eq!(tails(engine, &all, 2), ["", "ab"]);
    let middle = RowRange::new(0, BITS, b"a", Some(b"c"));
    assert_eq!(tails(engine, &middle, 9), ["ab", "b"]);
    let empty = RowRange::new(0, BITS, b"c", Some(b"a"));
    assert!(tails(engine, &empty, 9).is_empty());
    let last = RowRange::new(1, BITS, b"", None);
    let rows = engine.rows(&last, 9).expect("readable");
    assert_eq!(rows, [(row(1, "a"), Bytes::from("5"))]);
    for keyspace in Keyspace::ALL {
        let objects = engine.range(keyspace, &KeyRange::ALL, 9);
        assert!(objects.expect("readable").is_empty(), "{keyspace:?}");
    }
}

fn batches_that_change_nothing(engine: &dyn Engine) {
    engine.apply(&Batch::default()).expect("nothing to do");
    let removed = Batch {
        removed: vec![(Keyspace::Objects, KeyRange::ALL)],
        ..Batch::default()
    };
    engine.apply(&removed).expect("nothing to remove");
    engine
        .apply(&batch(vec![(Keyspace::Objects, 1, None)]))
        .expect("nothing there");
    engine.flush().expect("a disk");
    let rows = engine.range(Keyspace::Objects, &KeyRange::ALL, 9);
    assert!(rows.expect("readable").is_empty());
}

/// More batches than an engine that merges lets wait, each over the one before.
fn many_batches_over_the_same_keys(subject: &mut Subject) {
    let value = |round: u8| Bytes::from(vec![round; 300]);
    for round in 0..70 {
        let keys = (0..20_u128).filter(|position| position % 7 != u128::from(round % 7));
        let changes = keys.map(|position| (Keyspace::Objects, key(position), Some(value(round))));
        let changes = Batch {
            changes: changes.collect(),
            ..Batch::default()
        };
        subject.engine().apply(&changes).expect("room");
    }
    subject.engine().flush().expect("a disk");
    subject.reopen();
    let rows = subject
        .engine()
        .range(Keyspace::Objects, &KeyRange::ALL, 99);
    let rows = rows.expect("readable");
    assert_eq!(rows.len(), 20);
    for (key, there) in rows {
        let skipped_last = key.position() % 7 == 69 % 7;
        assert_eq!(there, value(if skipped_last { 68 } else { 69 }), "{key:?}");
    }
}

/// Random batches, and every so often the engine is opened again.
fn a_model_agrees(subject: &mut Subject) {
    let mut random = Random(11);
    let mut model = Model::default();
    for round in 0..60 {
        let mut next = Batch::default();
        if random.below(3) == 0 {
            let (start, end) = (random.below(40), random.below(40));
            let range = KeyRange::new(key(start as u128), key(end as u128));
            next.removed.push((Keyspace::ALL[random.below(4)], range));
        }
        for _ in 0..random.below(30) {
            let value = (random.below(3) > 0).then(|| Bytes::from(vec![7; random.below(3_000)]));
            next.changes.push((
                Keyspace::ALL[random.below(4)],
                key(random.below(40) as u128),
                value,
            ));
        }
        next.changes
            .sort_by_key(|(keyspace, key, _)| (*keyspace, *key));
        next.changes
            .dedup_by_key(|(keyspace, key, _)| (*keyspace, *key));
        subject.engine().apply(&next).expect("room");
        for (keyspace, range) in &next.removed {
            model
                .0
                .retain(|(of, key), _| of != keyspace || !range.contains(key));
        }
        for (keyspace, key, value) in next.changes {
            match value {
                Some(value) => drop(model.0.insert((keyspace, key), value)),
                None => drop(model.0.remove(&(keyspace, key))),
            }
        }
        if round % 10 == 9 {
            subject.engine().flush().expect("a disk");
            subject.reopen();
        }
        for keyspace in Keyspace::ALL {
            let range = KeyRange::from_start(key(random.below(40) as u128));
            let limit = random.below(20);
            let rows = subject
                .engine()
                .range(keyspace, &range, limit)
                .expect("readable");
            assert_eq!(rows, model.range(keyspace, &range, limit), "round {round}");
        }
    }
}

fn batch(rows: Vec<(Keyspace, u128, Option<&'static str>)>) -> Batch {
    let changes = rows
        .into_iter()
        .map(|(keyspace, position, value)| (keyspace, key(position), value.map(Into::into)))
        .collect();
    Batch {
        removed: Vec::new(),
        changes,
        rows: Vec::new(),
    }
}
