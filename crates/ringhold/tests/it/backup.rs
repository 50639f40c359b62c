//! What was acknowledged before a backup is in it, comes back from it, and takes nothing away that is newer.

use crate::cluster::{Cluster, Member, ringhold};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};

const KEYS: usize = 60;

fn path(number: usize) -> String {
    format!("/buckets/backup/keys/key-{number}")
}

/// Every fifth key has two versions that nobody has seen together.
fn values(number: usize) -> Vec<String> {
    let versions = if number.is_multiple_of(5) { 2 } else { 1 };
    let value = |version| format!("value {number}.{version}");
    (0..versions).map(value).collect()
}

fn put(member: &Member, path: &str, headers: &[(&str, &str)], value: &str) {
    let answer = member.put(&format!("{path}?w=3"), headers, value.as_bytes());
    assert_eq!(answer.status, 204, "{path}: {}", answer.body);
}

/// All versions of a key that three replicas know, in alphabetical order.
fn read(member: &Member, path: &str) -> Vec<String> {
    let path = format!("{path}?r=3");
    let answer = member.get(&path, &[]);
    match answer.status {
        200 => vec![answer.body],
        300 => {
            let parts = member.get(&path, &[("Accept", "multipart/mixed")]);
            let lines = parts.body.lines().map(str::to_owned);
            let mut values: Vec<String> = lines.filter(|line| line.starts_with("value ")).collect();
            values.sort();
            values
        }
        404 => Vec::new(),
        status => panic!("{path}: {status} {}", answer.body),
    }
}

fn run(arguments: &[&str], member: &Member) -> Output {
    ringhold()
        .args(arguments)
        .arg("--at")
        .arg(format!("http://{}", member.http))
        .output()
        .expect("the binary runs")
}

fn restore(from: &Path, member: &Member, more: &[&str]) -> Output {
    let from = from.to_str().expect("a plain path");
    run(&[&["restore", "--from", from], more].concat(), member)
}

/// Backs up all members into one directory while somebody writes.
fn back_up_under_load(members: &[Member], directory: &Path) -> Vec<PathBuf> {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while !is_over.load(Ordering::Relaxed) {
                number += 1;
                let path = format!("/buckets/load/keys/key-{}", number % 500);
                // Whether it succeeds is not the matter here.
                members[number % 3].put(&path, &[], b"load");
            }
        });
        let to = directory.to_str().expect("plain");
        let backups: Vec<Output> = members
            .iter()
            .map(|member| run(&["backup", "--to", to], member))
            .collect();
        is_over.store(true, Ordering::Relaxed);
        for made in backups {
            assert!(made.status.success(), "{made:?}");
        }
    });
    let entries = fs::read_dir(directory).expect("a directory");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
}

#[test]
fn what_was_acknowledged_comes_back_and_what_is_newer_stays() {
    let mut cluster = Cluster::start(3);
    cluster.wait_until_ready();
    let members = cluster.members();
    for number in 0..KEYS {
        for value in values(number) {
            put(&members[number % 3], &path(number), &[], &value);
        }
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let backups = back_up_under_load(&members, directory.path());
    assert_eq!(backups.len(), 3, "{backups:?}");

    // Newer than the backup: a value over two siblings, and a delete.
    let seen = members[0].get(&path(0), &[]).context();
    put(
        &members[0],
        &path(0),
        &[("X-Riak-Vclock", &seen)],
        "value newer",
    );
    let seen = members[0].get(&path(1), &[]).context();
    let deleted = members[0].try_send("DELETE", &path(1), &[("X-Riak-Vclock", &seen)], b"");
    assert_eq!(deleted.map(|answer| answer.status), Some(204));
    let restored = restore(directory.path(), &members[1], &[]);
    assert!(restored.status.success(), "{restored:?}");
    assert_eq!(read(&members[2], &path(0)), ["value newer"]);
    assert!(read(&members[2], &path(1)).is_empty());
    for number in 2..KEYS {
        assert_eq!(read(&members[number % 3], &path(number)), values(number));
    }

    // All disks are lost. Every backup has every key, so one is enough.
    cluster.start_again_with_empty_disks();
    cluster.wait_until_ready();
    let members = cluster.members();
    assert!(read(&members[0], &path(7)).is_empty());
    let restored = restore(&backups[1], &members[2], &[]);
    assert!(restored.status.success(), "{restored:?}");
    for number in 0..KEYS {
        assert_eq!(read(&members[number % 3], &path(number)), values(number));
    }
}

#[test]
fn what_is_damaged_or_of_another_cluster_is_refused() {
    let mut cluster = Cluster::start(1);
    cluster.wait_until_ready();
    let member = cluster.members().remove(0);
    let answer = member.put(&path(0), &[], b"value 0.0");
    assert_eq!(answer.status, 204, "{}", answer.body);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("one.ringhold-backup");
    let made = run(&["backup", "--to", file.to_str().expect("plain")], &member);
    assert!(made.status.success(), "{made:?}");

    let mut other = Cluster::start(1);
    other.wait_until_ready();
    let stranger = other.members().remove(0);
    let refused = restore(&file, &stranger, &[]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(said.contains("--into-other-cluster"), "{said}");

    let whole = fs::read(&file).expect("the backup");
    let damaged = directory.path().join("damaged.ringhold-backup");
    for cut in [whole.len() - 1, whole.len() / 2, 3] {
        fs::write(&damaged, &whole[..cut]).expect("it can be written");
        let refused = restore(&damaged, &stranger, &["--into-other-cluster"]);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    }
    let mut bytes = whole.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&damaged, &bytes).expect("it can be written");
    let refused = restore(&damaged, &stranger, &["--into-other-cluster"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("nothing was restored"), "{said}");
    let get = |member: &Member| member.get(&path(0), &[]);
    assert_eq!(get(&stranger).status, 404, "nothing was merged so far");

    let restored = restore(&file, &stranger, &["--into-other-cluster"]);
    assert!(restored.status.success(), "{restored:?}");
    assert_eq!(get(&stranger).body, "value 0.0");
}

const JSON: [(&str, &str); 1] = [("Content-Type", "application/json")];

fn order(member: &Member, path: &str, body: &str) {
    let path = format!("/ringhold/v1/bucket-types/{path}");
    let answer = member.try_send("POST", &path, &JSON, body.as_bytes());
    let answer = answer.expect("the node answers");
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
}

fn update(member: &Member, path: &str, body: &str) {
    let answer = member.try_send("POST", path, &JSON, body.as_bytes());
    let answer = answer.expect("the node answers");
    assert_eq!(answer.status, 204, "{path}: {}", answer.body);
}

/// How far a type is, and one of its properties.
fn type_of(member: &Member, name: &str, property: &str) -> (String, serde_json::Value) {
    let told = member.json(&format!("/ringhold/v1/bucket-types/{name}"));
    let state = told["state"].as_str().unwrap_or("unknown").to_owned();
    (state, told["props"][property].clone())
}

const SET: &str = "/types/sets/buckets/b/datatypes/k";
const COUNTER: &str = "/types/counters/buckets/b/datatypes/k";
const ONCE: &str = "/types/once/buckets/b/keys/k";

/// A cluster of one node with types, a value in each that is active, and a backup of it.
fn with_types(file: &Path) -> Cluster {
    let mut cluster = Cluster::start(1);
    cluster.wait_until_ready();
    let member = cluster.members().remove(0);
    order(
        &member,
        "sets/create",
        r#"{"props":{"datatype":"set","r":1}}"#,
    );
    order(
        &member,
        "counters/create",
        r#"{"props":{"datatype":"counter"}}"#,
    );
    order(&member, "once/create", r#"{"props":{"write_once":true}}"#);
    order(&member, "drafts/create", r#"{"props":{"datatype":"map"}}"#);
    for name in ["sets", "counters", "once"] {
        order(&member, &format!("{name}/activate"), "{}");
    }
    order(&member, "sets/update", r#"{"props":{"basic_quorum":true}}"#);
    update(&member, SET, r#"{"add":"milk"}"#);
    update(&member, COUNTER, r#"{"increment":7}"#);
    assert_eq!(member.put(ONCE, &[], b"first").status, 204);
    assert_eq!(member.put(&path(0), &[], b"value 0.0").status, 204);
    let made = run(&["backup", "--to", file.to_str().expect("plain")], &member);
    assert!(made.status.success(), "{made:?}");
    cluster
}

#[test]
fn bucket_types_come_back_before_their_objects() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("types.ringhold-backup");
    let first = with_types(&file);

    let mut other = Cluster::start(1);
    other.wait_until_ready();
    let member = other.members().remove(0);
    // Created here already and not yet active, with something else that can be changed: that stays.
    order(
        &member,
        "counters/create",
        r#"{"props":{"datatype":"counter","r":1}}"#,
    );
    for _ in 0..2 {
        let restored = restore(&file, &member, &["--into-other-cluster"]);
        assert!(restored.status.success(), "{restored:?}");
    }
    let active = |property: serde_json::Value| ("active".to_owned(), property);
    assert_eq!(type_of(&member, "sets", "datatype"), active("set".into()));
    assert_eq!(type_of(&member, "sets", "r"), active(1.into()));
    let updated = type_of(&member, "sets", "basic_quorum");
    assert_eq!(updated, active(true.into()));
    assert_eq!(type_of(&member, "counters", "r"), active(1.into()));
    assert_eq!(type_of(&member, "once", "write_once"), active(true.into()));
    let (drafts, kind) = type_of(&member, "drafts", "datatype");
    assert_eq!((drafts.as_str(), kind), ("ready", "map".into()));
    assert_eq!(member.json(SET)["value"], serde_json::json!(["milk"]));
    assert_eq!(member.json(COUNTER)["value"], 7);
    assert_eq!(member.put(ONCE, &[], b"second").status, 204);
    assert_eq!(member.get(ONCE, &[]).body, "first", "what is there stays");
    drop(first);
}

#[test]
fn a_type_that_is_something_else_keeps_a_backup_out() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("types.ringhold-backup");
    let first = with_types(&file);

    let mut other = Cluster::start(1);
    other.wait_until_ready();
    let member = other.members().remove(0);
    order(&member, "sets/create", r#"{"props":{"datatype":"gset"}}"#);
    order(&member, "sets/activate", "{}");
    let refused = restore(&file, &member, &["--into-other-cluster"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let expected = "the bucket type sets has datatype set in the backup and gset here";
    assert!(said.contains(expected), "{said}");
    assert_eq!(type_of(&member, "counters", "r").0, "unknown");
    assert_eq!(member.get(&path(0), &[]).status, 404, "nothing has entered");
    drop(first);
}
