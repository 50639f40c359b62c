//! Writes go on while primaries are dead, and what others kept for them comes home.

use crate::cluster::{Cluster, Member, ringhold};
use crate::http::Answer;
use serde_json::Value;
use std::collections::BTreeSet;

const KEYS: usize = 60;

fn key(number: usize) -> String {
    format!("/buckets/handoff/keys/key-{number}")
}

/// Who holds a key, by its kind.
fn replicas(member: &Member, number: usize, kind: &str) -> Vec<Value> {
    let json = member.json(&format!("/ringhold/v1/explain{}", key(number)));
    let replicas = json["replicas"].as_array().expect("a list").clone();
    let wanted = |replica: &Value| replica["kind"] == kind;
    replicas.into_iter().filter(wanted).collect()
}

/// A number of all members together.
fn metric(members: &[Member], name: &str) -> u64 {
    members.iter().map(|member| member.metric(name)).sum()
}

/// What `cluster hints` prints.
fn hints(member: &Member, format: &str) -> String {
    let out = ringhold()
        .args(["--output", format, "cluster", "hints", "--at"])
        .arg(format!("http://{}", member.http))
        .output()
        .expect("the binary runs");
    assert!(out.status.success(), "{out:?}");
    String::from_utf8(out.stdout).expect("text")
}

/// What two tries at two nodes were answered, if neither succeeded.
type Failed = [Option<Answer>; 2];

fn retry(
    mut attempt: impl FnMut(usize) -> Option<Answer>,
    good: impl Fn(&Answer) -> bool,
) -> Result<(), Failed> {
    let first = attempt(0);
    if first.as_ref().is_some_and(&good) {
        return Ok(());
    }
    let second = attempt(1);
    if second.as_ref().is_some_and(&good) {
        return Ok(());
    }
    Err([first, second])
}

fn write(tries: [&Member; 2], number: usize) -> Result<(), Failed> {
    let path = format!("{}?w=2", key(number));
    let headers = [("Content-Type", "text/plain"), ("Idempotency-Key", &*path)];
    let body = key(number);
    let put = |at: usize| tries[at].try_send("PUT", &path, &headers, body.as_bytes());
    retry(put, |answer| answer.status == 204)
}

fn read(tries: [&Member; 2], number: usize) -> Result<(), Failed> {
    let path = format!("{}?r=2", key(number));
    let get = |at: usize| tries[at].try_send("GET", &path, &[], b"");
    retry(get, |answer| {
        answer.status == 200 && answer.body == key(number)
    })
}

/// Whether a node knows that these are down.
fn misses(member: &Member, names: &BTreeSet<&str>) -> bool {
    let status = member.json("/ringhold/v1/status");
    let members = status["members"].as_array().map_or(&[][..], Vec::as_slice);
    let down = members.iter().filter(|other| other["reachable"] == false);
    down.filter_map(|other| other["name"].as_str())
        .collect::<BTreeSet<_>>()
        == *names
}

/// Every primary of every key has it by itself, and nobody else has it.
fn assert_all_at_home(members: &[Member]) {
    for number in 0..KEYS {
        let primaries = replicas(&members[0], number, "primary");
        assert_eq!(primaries.len(), 3, "{primaries:?}");
        for primary in &primaries {
            let versions = primary["versions"].as_array().map_or(0, Vec::len);
            assert!(versions > 0, "{} is behind: {primaries:?}", key(number));
            assert_eq!(primary["versions"], primaries[0]["versions"]);
        }
        let strays = replicas(&members[0], number, "fallback");
        assert!(strays.is_empty(), "{} strays: {strays:?}", key(number));
    }
}

#[test]
fn with_two_primaries_dead_writes_go_on_and_come_home_afterwards() {
    let mut cluster = Cluster::start(5);
    cluster.wait_until_connected();
    let members = cluster.members();
    let names = replicas(&members[0], 0, "primary");
    let names = names.iter().filter_map(|replica| replica["node"].as_str());
    let names: BTreeSet<&str> = names.take(2).collect();
    let is_dead = |member: &&Member| names.contains(&*member.name);
    let (dead, alive): (Vec<&Member>, Vec<&Member>) = members.iter().partition(is_dead);
    assert_eq!((dead.len(), alive.len()), (2, 3));
    dead.iter().for_each(|member| cluster.kill(member));
    // Until a node has noticed, what it forwards to the dead ends "unknown", and a retry through the next may
    // meet the same.
    cluster.wait("the living have noticed", |_| {
        alive.iter().all(|member| misses(member, &names))
    });

    // A client that retries once, at another node that lives, sees no error.
    for number in 0..KEYS {
        let tries = [alive[number % 3], alive[(number + 1) % 3]];
        if let Err(failed) = write(tries, number) {
            panic!("{} is not taken: {failed:?}", key(number));
        }
    }
    for number in 0..KEYS * 3 {
        let tries = [alive[number % 3], alive[(number + 1) % 3]];
        if let Err(failed) = read(tries, number / 3) {
            panic!("{} is not read: {failed:?}", key(number / 3));
        }
    }
    let kept = replicas(alive[0], 0, "fallback");
    assert!(!kept.is_empty(), "nobody stands in for the dead");
    cluster.wait("both are owed something", |_| {
        let rows: Value = serde_json::from_str(&hints(alive[0], "json")).expect("it is JSON");
        let rows = rows.as_array().expect("a list");
        let owed = rows.iter().filter_map(|row| row["owed_to"].as_str());
        owed.collect::<BTreeSet<_>>() == names
    });
    let table = hints(alive[0], "table");
    assert!(table.starts_with("holder  owed to  keys"), "{table}");
    for name in &names {
        assert!(table.contains(name), "{table}");
    }

    for member in &dead {
        cluster.restart(&member.name);
    }
    cluster.wait("all hints have come home", |cluster| {
        let members = cluster.members();
        let mut statuses = members
            .iter()
            .map(|member| member.json("/ringhold/v1/status"));
        statuses.all(|status| status["hints"]["rows"] == 0)
    });
    let members = cluster.members();
    assert_eq!(hints(&members[0], "table"), "no hints\n");
    for name in ["ringhold_hints_kept", "ringhold_hints_bytes"] {
        assert_eq!(metric(&members, name), 0, "{name}");
    }
    assert!(metric(&members, "ringhold_hints_delivered_total") > 0);
    assert_all_at_home(&members);
    for number in 0..KEYS {
        for primary in replicas(&members[0], number, "primary") {
            let home = members
                .iter()
                .find(|member| primary["node"] == *member.name);
            let answer = home
                .expect("a primary is a member")
                .get(&format!("{}?r=1&pr=1", key(number)), &[]);
            assert_eq!((answer.status, answer.body), (200, key(number)));
        }
    }
}
