//! Deletes stay, however long a member was away, and tombstones go in the end. Values have an end.

use crate::cluster::{Cluster, Member, ringhold};
use serde_json::Value;

/// `RINGHOLD_REAPING_KEYS`, or a thousand.
fn keys() -> usize {
    let keys = std::env::var("RINGHOLD_REAPING_KEYS");
    keys.map_or(1_000, |keys| keys.parse().expect("a number of keys"))
}

/// Short, so that a test can wait for it.
const SETTINGS: [(&str, &str); 3] = [
    ("RINGHOLD_REAPING_GRACE_S", "2"),
    ("RINGHOLD_REAPING_SETTLE_S", "1"),
    ("RINGHOLD_REAPING_PAUSE_MS", "2"),
];

fn key(number: usize) -> String {
    format!("/buckets/reaping/keys/key-{number}")
}

fn reaping(member: &Member) -> Value {
    let answer = member.try_send("GET", "/ringhold/v1/status", &[], b"");
    let status = answer.and_then(|answer| serde_json::from_str::<Value>(&answer.body).ok());
    status.map_or(Value::Null, |status| status["reaping"].clone())
}

fn reaped(members: &[Member]) -> u64 {
    let of = |member: &Member| reaping(member)["reaped"].as_u64().unwrap_or(0);
    members.iter().map(of).sum()
}

/// Whether a node's reaping waits for this one and nobody else.
fn waits_for(member: &Member, name: &str) -> bool {
    let reaping = reaping(member);
    let waits = reaping["waits_for"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let why = format!("{name} cannot be reached");
    !waits.is_empty() && waits.iter().all(|waits| waits["why"] == why)
}

/// Candidates that were kept because somebody could not be asked.
fn obstructed(member: &Member) -> u64 {
    let page = member.get("/metrics", &[]).body;
    let name = "ringhold_reaping_kept_total{why=\"a member could not be asked\"} ";
    let value = page.lines().find_map(|line| line.strip_prefix(name));
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}

fn write_all(members: &[Member]) {
    for number in 0..keys() {
        let path = format!("{}?w=3", key(number));
        let answer = members[number % members.len()].put(&path, &[], b"there");
        assert_eq!(answer.status, 204, "{}: {answer:?}", key(number));
    }
}

fn delete_all(members: &[&Member]) {
    for number in 0..keys() {
        let path = format!("{}?r=2&w=2", key(number));
        let delete = |at: usize| {
            let member = members[(number + at) % members.len()];
            let headers = [("Idempotency-Key", &*path)];
            let answer = member.try_send("DELETE", &path, &headers, b"");
            answer.is_some_and(|answer| matches!(answer.status, 204 | 404))
        };
        assert!(delete(0) || delete(1), "{} is not deleted", key(number));
    }
}

#[test]
fn what_was_deleted_while_a_node_was_away_stays_away_and_is_forgotten_in_the_end() {
    let mut cluster = Cluster::start_with(5, &SETTINGS);
    cluster.wait_until_connected();
    let members = cluster.members();
    write_all(&members);
    let (away, here): (Vec<&Member>, Vec<&Member>) = members
        .iter()
        .partition(|member| member.name == members[4].name);
    let away = away[0];
    cluster.kill(away);
    cluster.wait("the others have noticed", |_| {
        let misses = |member: &&Member| {
            let answer = member.try_send("GET", "/ringhold/v1/status", &[], b"");
            let status = answer.and_then(|answer| serde_json::from_str::<Value>(&answer.body).ok());
            let members = status
                .as_ref()
                .and_then(|status| status["members"].as_array());
            members.is_some_and(|all| {
                all.iter()
                    .any(|other| other["name"] == *away.name && other["reachable"] == false)
            })
        };
        here.iter().all(misses)
    });
    delete_all(&here);
    // Tombstones are candidates only once the grace has passed.
    cluster.wait(
        "all that is old enough waits for the one that is away",
        |_| {
            let waiting = here.iter().all(|member| waits_for(member, &away.name));
            let kept: u64 = here.iter().map(|member| obstructed(member)).sum();
            waiting && kept >= keys() as u64
        },
    );
    assert_eq!(
        reaped(&members[..4]),
        0,
        "nothing goes while somebody is away"
    );

    cluster.restart(&away.name);
    let mut number = 0;
    cluster.wait("as many tombstones are reaped as there were", |cluster| {
        let members = cluster.members();
        number = (number + 1) % keys();
        let path = format!("{}?r=2", key(number));
        let answer = members[number % 4].try_send("GET", &path, &[], b"");
        let is_back = answer.is_some_and(|answer| answer.status == 200);
        assert!(!is_back, "{} is back", key(number));
        reaped(&members) >= 3 * keys() as u64
    });
    // One that some home had missed may have come back once more, as a tombstone.
    let mut forgotten = 0;
    cluster.wait("no home remembers any of them", |cluster| {
        let members = cluster.members();
        let path = format!("{}?r=3", key(forgotten));
        if let Some(answer) = members[forgotten % 5].try_send("GET", &path, &[], b"") {
            assert_ne!(answer.status, 200, "{} is back", key(forgotten));
            let is_forgotten = answer.status == 404 && answer.header("x-riak-vclock").is_none();
            forgotten += usize::from(is_forgotten);
        }
        forgotten == keys()
    });
    let members = cluster.members();
    let again = members[0].put(&key(0), &[], b"anew");
    assert_eq!(again.status, 204);
    assert_eq!(members[1].get(&format!("{}?r=3", key(0)), &[]).body, "anew");
}

#[test]
fn a_value_with_an_end_is_hidden_and_then_forgotten() {
    let mut cluster = Cluster::start_with(3, &SETTINGS);
    cluster.wait_until_connected();
    let members = cluster.members();
    let far = [("X-Ringhold-Expires-At", "4102444800")];
    assert_eq!(members[0].put(&key(1), &far, b"for long").status, 204);
    let answer = members[1].get(&key(1), &[]);
    assert_eq!(answer.header("x-ringhold-expires-at"), Some("4102444800"));
    let wrong = [("X-Ringhold-Expires-At", "soon")];
    let answer = members[0].put(&key(2), &wrong, b"never");
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("X-Ringhold-Expires-At"), "{answer:?}");

    let out = ringhold()
        .args([
            "put", "key-3", "shortly", "--bucket", "reaping", "--ttl", "1s", "--at",
        ])
        .arg(format!("http://{}", members[0].http))
        .output()
        .expect("the binary runs");
    assert!(out.status.success(), "{out:?}");
    let properties = br#"{"props": {"ttl_seconds": 1}}"#;
    let json = [("Content-Type", "application/json")];
    let answer = members[0].try_send("PUT", "/buckets/brief/props", &json, properties);
    assert_eq!(answer.expect("the node answers").status, 204);
    let brief = "/buckets/brief/keys/key";
    assert_eq!(members[1].put(brief, &[], b"by its bucket").status, 204);

    cluster.wait("both are hidden", |_| {
        let is_hidden = |path: &str| members[2].get(path, &[]).status == 404;
        is_hidden(&key(3)) && is_hidden(brief)
    });
    cluster.wait("both are gone from all homes", |_| reaped(&members) >= 6);
    for path in [&*key(3), brief] {
        assert_eq!(members[0].get(path, &[]).header("x-riak-vclock"), None);
    }
    assert_eq!(members[2].get(&key(1), &[]).body, "for long");
}
