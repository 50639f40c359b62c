//! What engines on a disk leave behind when their process is killed, or when the file system takes no more.
//!
//! The process is this test binary, started again with one of the last two tests, which do nothing otherwise. A batch has several hundred
//! changes in all keyspaces and in rows, and each of them carries the batch's number: so a state is some whole batch's, or
//! it is torn.

use std::env;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use ringhold_fjall::FjallEngine;
use ringhold_storage::{
    Batch, Engine, EngineError, KeyRange, Keyspace, LmdbEngine, RowKey, RowRange,
};

use crate::support::key;

const KEYS: u128 = 60;
const ROWS: u8 = 100;
const DIRECTORY: &str = "RINGHOLD_TEST_ENGINE_DIRECTORY";
const KIND: &str = "RINGHOLD_TEST_ENGINE_KIND";
const KINDS: [&str; 2] = ["lmdb", "fjall"];

fn open(kind: &str, directory: &Path) -> Box<dyn Engine> {
    match kind {
        "lmdb" => Box::new(LmdbEngine::open(directory, 64 << 20).expect("a directory")),
        _ => Box::new(FjallEngine::open(directory, 1 << 20).expect("a directory")),
    }
}

/// All of a batch says its number; odd batches also empty a range that the even ones fill.
fn numbered(number: u64) -> Batch {
    let value = || Some(Bytes::from(number.to_le_bytes().repeat(40)));
    let mut batch = Batch::default();
    for keyspace in Keyspace::ALL {
        batch
            .changes
            .extend((0..KEYS).map(|position| (keyspace, key(position), value())));
        if number.is_multiple_of(2) {
            batch
                .changes
                .extend((0..KEYS).map(|position| (keyspace, key(1_000 + position), value())));
        } else {
            batch
                .removed
                .push((keyspace, KeyRange::from_start(key(1_000))));
        }
    }
    batch.rows = (0..ROWS)
        .map(|row| (RowKey::new(0, 0, &[row]), value()))
        .collect();
    batch
}

/// The number of the batch that an engine stands at; none if it has none.
fn stands_at(engine: &dyn Engine) -> Option<u64> {
    let first = engine.get(Keyspace::Objects, &key(0)).expect("readable")?;
    let number = u64::from_le_bytes(first[..8].try_into().expect("eight bytes"));
    let expected = numbered(number);
    for keyspace in Keyspace::ALL {
        let rows = engine.range(keyspace, &KeyRange::ALL, 1_000);
        let there: Vec<_> = rows.expect("readable");
        let changes = expected.changes.iter().filter(|(of, _, _)| *of == keyspace);
        let should: Vec<_> = changes
            .map(|(_, key, value)| (*key, value.clone().expect("a put")))
            .collect();
        assert!(there == should, "batch {number} is torn in {keyspace:?}");
    }
    let rows = engine.rows(&RowRange::new(0, 0, b"", None), 1_000);
    let should = expected.rows.into_iter();
    let should: Vec<_> = should
        .map(|(key, value)| (key, value.expect("a put")))
        .collect();
    assert!(
        rows.expect("readable") == should,
        "batch {number} is torn in its rows"
    );
    Some(number)
}

fn child(kind: &str, directory: &Path, test: &str) -> Command {
    let mut command = Command::new(env::current_exe().expect("this test"));
    command
        .args(["--exact", "--nocapture", test])
        .env(DIRECTORY, directory)
        .env(KIND, kind)
        .stdout(Stdio::piped());
    command
}

/// The numbers that a child says, one a line, among what the test harness says.
fn numbers(child: &mut Child) -> impl Iterator<Item = u64> + use<> {
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    lines.filter_map(|line| line.ok()?.strip_prefix("applied ")?.parse().ok())
}

#[test]
fn a_killed_process_leaves_whole_batches() {
    for kind in KINDS {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut known = None;
        for life in 0..8_usize {
            let mut child = child(kind, directory.path(), "engines_killed::applies_for_ever");
            let mut child = child.spawn().expect("this test again");
            let mut said = numbers(&mut child);
            let told = said.nth(life * 3).expect("it goes on for ever");
            child.kill().expect("it runs");
            // What it had said before it heard.
            let told = said.last().unwrap_or(told);
            child.wait().expect("killed");
            let engine = open(kind, directory.path());
            let at = stands_at(&*engine).expect("some batch was applied");
            assert!(
                at == told || at == told + 1,
                "{kind}: applied {told}, is at {at}"
            );
            assert!(known < Some(at), "{kind}: went back from {known:?} to {at}");
            known = Some(at);
        }
    }
}

/// Files may not grow beyond a limit, as a full disk's may not: what comes then is an error, and nothing of the batch is there.
#[test]
fn a_disk_that_takes_no_more_changes_nothing() {
    for kind in KINDS {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let engine = open(kind, directory.path());
        engine.apply(&numbered(7)).expect("room");
        engine.flush().expect("a disk");
        drop(engine);
        // In blocks of 512 bytes, or of 1,024: it depends on the shell.
        let limited = "trap '' XFSZ; ulimit -f 1024; exec \"$0\" \"$@\"";
        let test = child(kind, directory.path(), "engines_killed::meets_the_limit");
        let status = Command::new("sh")
            .args(["-c", limited])
            .arg(test.get_program())
            .args(test.get_args())
            .env(DIRECTORY, directory.path())
            .env(KIND, kind)
            .stdout(Stdio::null())
            .status()
            .expect("a shell");
        assert!(status.success(), "{kind}");
        let engine = open(kind, directory.path());
        assert_eq!(stands_at(&*engine), Some(7), "{kind}");
        engine.apply(&numbered(8)).expect("room again");
        assert_eq!(stands_at(&*engine), Some(8), "{kind}");
    }
}

#[test]
fn applies_for_ever() {
    let (Ok(directory), Ok(kind)) = (env::var(DIRECTORY), env::var(KIND)) else {
        return;
    };
    let engine = open(&kind, Path::new(&directory));
    let next = stands_at(&*engine).map_or(0, |number| number + 1);
    // The parent kills it long before.
    for number in next..next + 100_000 {
        engine.apply(&numbered(number)).expect("room");
        engine.flush().expect("a disk");
        println!("applied {number}");
    }
}

#[test]
fn meets_the_limit() {
    let (Ok(directory), Ok(kind)) = (env::var(DIRECTORY), env::var(KIND)) else {
        return;
    };
    let limit = 1 << 20;
    let engine = open(&kind, Path::new(&directory));
    let large = Bytes::from(vec![7; 8 * limit]);
    let batch = Batch {
        removed: vec![(Keyspace::Objects, KeyRange::ALL)],
        changes: vec![(Keyspace::Objects, key(2), Some(large))],
        rows: Vec::new(),
    };
    let error = engine.apply(&batch).expect_err("there is no room");
    assert!(matches!(error, EngineError::Io(_)), "{kind}: {error}");
    assert_eq!(stands_at(&*engine), Some(7), "{kind}: reads go on");
}
