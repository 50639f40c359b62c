//! Another cluster's objects are copied whole: siblings, metadata, indexes, values of data types; after a kill the rest.

use crate::cluster::{Cluster, Member, ringhold};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// More than one stretch, after which an import notes how far it is.
const KEYS: usize = 900;

fn run(arguments: &[&str]) -> Output {
    ringhold()
        .args(arguments)
        .output()
        .expect("the binary runs")
}

fn done(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn url(member: &Member) -> String {
    format!("http://{}", member.http)
}

/// Types for data types, in a cluster of one node that keeps siblings.
fn cluster() -> (Cluster, Member) {
    let mut cluster = Cluster::start(1);
    cluster.wait_until_ready();
    let member = cluster.members().remove(0);
    for (name, kind) in [
        ("maps", "map"),
        ("sets", "set"),
        ("counters", "counter"),
        ("hlls", "hll"),
    ] {
        let props = format!("{{\"props\":{{\"datatype\":\"{kind}\"}}}}");
        done(&["bucket-type", "create", name, &props, "--at", &url(&member)]);
        done(&["bucket-type", "activate", name, "--at", &url(&member)]);
    }
    (cluster, member)
}

fn put(member: &Member, path: &str, headers: &[(&str, &str)], value: &str) {
    let answer = member.put(path, headers, value.as_bytes());
    assert_eq!(answer.status, 204, "{path}: {}", answer.body);
}

fn update(member: &Member, path: &str, json: &str) {
    let headers = [("Content-Type", "application/json")];
    let answer = member.try_send("POST", path, &headers, json.as_bytes());
    let answer = answer.expect("the node answers");
    assert_eq!(answer.status, 204, "{path}: {}", answer.body);
}

fn key(number: usize) -> String {
    // What a path has to encode, too.
    format!("/buckets/shop/keys/key%20{number}%2F%C3%BC")
}

fn fill(source: &Member) {
    for number in 0..KEYS {
        let headers = [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("X-Riak-Meta-Colour", "green"),
            ("X-Riak-Index-shelf_int", "7, 8"),
        ];
        put(source, &key(number), &headers, &format!("value {number}"));
        if number % 30 == 0 {
            put(
                source,
                &key(number),
                &[("Content-Type", "text/plain")],
                "a sibling",
            );
        }
        if number % 31 == 1 {
            let answer = source.try_send("DELETE", &key(number), &[], b"");
            assert_eq!(answer.expect("the node answers").status, 204);
        }
    }
    update(source, "/types/counters/buckets/hits/datatypes/c", "-12");
    update(
        source,
        "/types/sets/buckets/tags/datatypes/s",
        r#"{"add_all":["a","b"]}"#,
    );
    let map = r#"{"update":{"n_counter":3,"on_flag":"enable","r_register":"x","in_map":{"update":{"t_set":{"add":"y"}}}}}"#;
    update(source, "/types/maps/buckets/people/datatypes/m", map);
    update(
        source,
        "/types/hlls/buckets/visits/datatypes/h",
        r#"{"add_all":["a"]}"#,
    );
}

/// The same, whichever cluster says it.
fn told(member: &Member, path: &str) -> (u16, Vec<String>) {
    let answer = member.get(path, &[("Accept", "multipart/mixed, */*;q=0.5")]);
    let wanted = |name: &str| {
        let name = name.to_ascii_lowercase();
        name == "content-type"
            || name.starts_with("x-riak-meta")
            || name.starts_with("x-riak-index")
    };
    let mut lines: Vec<String> = match answer.status {
        300 => answer.body.lines().map(str::to_owned).collect(),
        _ => {
            let headers = answer.headers.iter().filter(|(name, _)| wanted(name));
            let headers = headers.map(|(name, value)| format!("{name}: {value}"));
            headers.chain([answer.body.clone()]).collect()
        }
    };
    lines.retain(|line| {
        let line = line.to_ascii_lowercase();
        !(line.starts_with("--") || line.starts_with("etag") || line.starts_with("last-modified"))
    });
    lines
        .iter_mut()
        .for_each(|line| *line = line.to_ascii_lowercase());
    lines.sort();
    (answer.status, lines)
}

fn value(member: &Member, path: &str) -> Value {
    let answer = member.get(path, &[]);
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    let json: Value = serde_json::from_str(&answer.body).expect("JSON");
    json["value"].clone()
}

fn import(source: &Member, target: &Member, progress: &Path, more: &[&str]) -> Command {
    let mut command = ringhold();
    command.args([
        "import",
        "riak",
        "--output",
        "json",
        "--from",
        &url(source),
        "--at",
        &url(target),
    ]);
    command.arg("--progress").arg(progress).args(more);
    command
}

#[test]
fn all_of_it_comes_over_also_after_a_kill() {
    let (_there, source) = cluster();
    let (_here, target) = cluster();
    fill(&source);
    let directory = tempfile::tempdir().expect("a directory");

    let progress = directory.path().join("values");
    let mut slow = import(
        &source,
        &target,
        &progress,
        &["--type", "default", "--rate", "600"],
    );
    let mut slow = slow.spawn().expect("the binary runs");
    let since = Instant::now();
    while !progress.join("done-0").exists() {
        assert!(
            since.elapsed() < Duration::from_secs(60),
            "the import gets nowhere"
        );
        std::thread::yield_now();
    }
    slow.kill().expect("it is our own");
    slow.wait().expect("it is our own");
    let again = import(&source, &target, &progress, &["--type", "default"])
        .output()
        .expect("the binary runs");
    assert!(again.status.success(), "{again:?}");
    let report: Value = serde_json::from_slice(&again.stdout).expect("JSON");
    let keys = report["keys"].as_u64().expect("a number");
    assert!(keys > 0 && keys < 500, "it went on where it was: {report}");
    for number in 0..KEYS {
        let (there, here) = (told(&source, &key(number)), told(&target, &key(number)));
        assert_eq!(there, here, "{}", key(number));
    }

    let progress = directory.path().join("data-types");
    // Of all the types that the source has.
    let report = import(&source, &target, &progress, &[])
        .output()
        .expect("the binary runs");
    assert_eq!(
        report.status.code(),
        Some(1),
        "an estimate can't be copied: {report:?}"
    );
    let said = String::from_utf8_lossy(&report.stderr);
    assert!(said.contains("estimate"), "{said}");
    for path in [
        "/types/counters/buckets/hits/datatypes/c",
        "/types/sets/buckets/tags/datatypes/s",
        "/types/maps/buckets/people/datatypes/m",
    ] {
        assert_eq!(value(&source, path), value(&target, path), "{path}");
    }

    // All is here now: a further import finds nothing to do, and counters have not gone up.
    let progress = directory.path().join("again");
    let report = import(&source, &target, &progress, &["--type", "default,counters"]).output();
    let report = report.expect("the binary runs");
    assert!(report.status.success(), "{report:?}");
    let report: Value = serde_json::from_slice(&report.stdout).expect("JSON");
    assert_eq!(
        report["outcomes"]["were here already"], report["keys"],
        "{report}"
    );
    assert_eq!(
        value(&target, "/types/counters/buckets/hits/datatypes/c"),
        -12
    );
}

#[test]
fn an_import_from_nowhere_or_of_no_type_says_so() {
    let mut cluster = Cluster::start(1);
    cluster.wait_until_ready();
    let member = cluster.members().remove(0);
    let directory = tempfile::tempdir().expect("a directory");
    let unknown = import(&member, &member, directory.path(), &["--type", "nothing"]).output();
    let unknown = unknown.expect("the binary runs");
    assert_eq!(unknown.status.code(), Some(4), "{unknown:?}");
    let said = String::from_utf8_lossy(&unknown.stderr);
    assert!(said.contains("bucket-type create"), "{said}");
}
