//! `ringhold list`: keys in pages and from any place on, counts, buckets, types, and names that are no plain text.

use crate::cluster::{Cluster, Member, ringhold};
use serde_json::Value;
use std::process::Output;

/// More than a page of the command, which has a thousand.
const KEYS: usize = 1_203;
/// By their bytes, as they are put into a path.
const ODD: [&str; 7] = ["%00", "%25", "%FF%FE", "a%20b", "a%2Fb", "plain", "%C3%BC"];
/// The same in the order of their bytes, as they are printed.
const ODD_PRINTED: [&str; 7] = ["%00", "%25", "a b", "a/b", "plain", "ü", "%FF%FE"];

fn list(member: &Member, arguments: &[&str]) -> Output {
    let at = format!("http://{}", member.http);
    let command = ringhold()
        .arg("list")
        .args(arguments)
        .args(["--at", &at])
        .output();
    command.expect("the binary runs")
}

/// The lines of a list that was made.
fn lines(member: &Member, arguments: &[&str]) -> Vec<String> {
    let listed = list(member, arguments);
    assert!(listed.status.success(), "{arguments:?}: {listed:?}");
    let text = String::from_utf8(listed.stdout).expect("it is text");
    text.lines().map(str::to_owned).collect()
}

fn put(member: &Member, path: &str) {
    let answer = member.put(&format!("{path}?w=3"), &[], b"value");
    assert_eq!(answer.status, 204, "{path}: {}", answer.body);
}

fn create_type(member: &Member, name: &str) {
    let json = [("Content-Type", "application/json")];
    for order in ["create", "activate"] {
        let path = format!("/ringhold/v1/bucket-types/{name}/{order}");
        let answer = member.try_send("POST", &path, &json, b"{\"props\":{}}");
        assert_eq!(answer.map(|answer| answer.status), Some(200), "{order}");
    }
}

#[test]
fn keys_and_buckets_are_listed() {
    let mut cluster = Cluster::start(3);
    cluster.wait_until_ready();
    let members = cluster.members();
    let one = &members[0];
    let keys: Vec<String> = (0..KEYS).map(|number| format!("key-{number:05}")).collect();
    for (number, key) in keys.iter().enumerate() {
        put(&members[number % 3], &format!("/buckets/many/keys/{key}"));
    }
    pages(one, &keys);
    counts(&mut cluster, &keys);
    odd_names(one);
    types(one);
    json(one, &keys);
    not_complete(&cluster);
}

fn pages(member: &Member, keys: &[String]) {
    let all = ["--bucket", "many"];
    assert_eq!(lines(member, &all), keys, "two pages, in order, once each");
    let first = lines(member, &["--bucket", "many", "--limit", "1001"]);
    assert_eq!(first, &keys[..1_001]);
    // One that was cut off goes on behind the last key that was printed.
    let last = first.last().expect("it is not empty");
    let rest = lines(member, &["--bucket", "many", "--after", last]);
    assert_eq!(rest, &keys[1_001..]);
    // Behind a key that was never there, and behind the last.
    let between = ["--bucket", "many", "--after", "key-00000x", "--limit", "1"];
    assert_eq!(lines(member, &between), &keys[1..2]);
    let behind_all = ["--bucket", "many", "--after", &keys[KEYS - 1]];
    assert!(lines(member, &behind_all).is_empty());
    assert!(lines(member, &["--bucket", "nothing"]).is_empty());
}

fn counts(cluster: &mut Cluster, keys: &[String]) {
    let members = cluster.members();
    let count = |member: &Member, bucket: &str| {
        let counted = lines(member, &["--bucket", bucket, "--count"]);
        counted[0].parse::<usize>().expect("a number")
    };
    assert_eq!(count(&members[2], "many"), KEYS);
    assert_eq!(count(&members[1], "nothing"), 0);
    // What is deleted is neither counted nor listed.
    let path = format!("/buckets/many/keys/{}", keys[0]);
    let context = members[0].get(&path, &[]).context();
    let headers = [("X-Riak-Vclock", context.as_str())];
    let gone = members[0].try_send("DELETE", &format!("{path}?w=3"), &headers, b"");
    assert_eq!(gone.map(|answer| answer.status), Some(204));
    cluster.wait("the delete is at all homes", |_| {
        members
            .iter()
            .all(|member| count(member, "many") == KEYS - 1)
    });
    let first = lines(&members[1], &["--bucket", "many", "--limit", "1"]);
    assert_eq!(first, &keys[1..2]);
}

fn odd_names(member: &Member) {
    for key in ODD {
        put(member, &format!("/buckets/odd%20names/keys/{key}"));
    }
    let bucket = ["--bucket", "odd names"];
    assert_eq!(lines(member, &bucket), ODD_PRINTED);
    // Each is taken back as it was printed.
    for (at, printed) in ODD_PRINTED.iter().enumerate() {
        let rest = lines(member, &["--bucket", "odd names", "--after", printed]);
        assert_eq!(rest, &ODD_PRINTED[at + 1..], "after {printed}");
    }
}

fn types(member: &Member) {
    create_type(member, "kinds");
    put(member, "/types/kinds/buckets/here/keys/a");
    put(member, "/types/kinds/buckets/there/keys/b");
    assert_eq!(lines(member, &["--type", "kinds"]), ["here", "there"]);
    assert_eq!(lines(member, &[]), ["many", "odd names"]);
    let of_type = ["--type", "kinds", "--bucket", "there"];
    assert_eq!(lines(member, &of_type), ["b"]);
    assert!(lines(member, &["--bucket", "there"]).is_empty());
    let unknown = list(member, &["--type", "unknown", "--bucket", "b"]);
    assert_eq!(unknown.status.code(), Some(1), "{unknown:?}");
}

fn json(member: &Member, keys: &[String]) {
    let told = |arguments: &[&str]| -> Vec<Value> {
        let arguments = [&["--output", "json"], arguments].concat();
        let listed = list(member, &arguments);
        assert!(listed.status.success(), "{listed:?}");
        let pages = serde_json::Deserializer::from_slice(&listed.stdout).into_iter();
        pages.map(|page| page.expect("JSON")).collect()
    };
    let pages = told(&["--bucket", "many"]);
    assert_eq!(pages.len(), 2, "a document for each page");
    let listed = pages.iter().flat_map(|page| page["keys"].as_array());
    let listed: Vec<&str> = listed.flatten().filter_map(Value::as_str).collect();
    assert_eq!(listed, &keys[1..], "the first was deleted");
    assert_eq!(told(&["--bucket", "many", "--count"])[0]["keys"], KEYS - 1);
    let buckets = told(&["--type", "kinds"]);
    assert_eq!(buckets[0]["buckets"], serde_json::json!(["here", "there"]));
    let odd = told(&["--bucket", "odd names"]);
    assert_eq!(odd[0]["keys"], serde_json::json!(ODD_PRINTED));
}

/// With two of three homes away, a list would look whole and not be.
fn not_complete(cluster: &Cluster) {
    let members = cluster.members();
    cluster.kill(&members[1]);
    cluster.kill(&members[2]);
    let refused = list(&members[0], &["--bucket", "many"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(said.contains("--partial"), "{said}");
    let partial = ["--bucket", "many", "--partial", "--limit", "1"];
    let partial = list(&members[0], &partial);
    let said = String::from_utf8_lossy(&partial.stderr).into_owned();
    assert!(partial.status.success(), "{partial:?}");
    assert!(said.contains("not all is listed"), "{said}");
}
