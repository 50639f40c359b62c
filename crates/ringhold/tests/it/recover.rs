//! A cluster whose majority is lost for good goes on at an operator's word.

use crate::cluster::{Cluster, IMPATIENT, Member, cluster};
use crate::http;
use std::fs;

const KEYS: usize = 40;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn path(key: &str) -> String {
    format!("/buckets/recovery/keys/{key}")
}

fn is_put(member: &Member, key: &str, w: &str) -> bool {
    let path = format!("{}?w={w}", path(key));
    let headers = [("Content-Type", "text/plain")];
    let answer = http::request(&member.http, "PUT", &path, &headers, key.as_bytes());
    answer.is_some_and(|answer| answer.status == 204)
}

fn state(member: &Member, name: &str) -> String {
    let status = member.json("/ringhold/v1/status");
    let members = status["members"].as_array().cloned().unwrap_or_default();
    let found = members.iter().find(|member| member["name"] == name);
    found.map_or_else(String::new, |m| {
        m["state"].as_str().unwrap_or_default().to_owned()
    })
}

fn log_of(dev: &Cluster, member: &Member) -> String {
    fs::read_to_string(dev.data_dir(member).with_extension("log")).expect("a log")
}

/// The plan alone, then the deed.
fn recover(dev: &mut Cluster, at: &Member, lost: &Member) {
    dev.wait("its death is noticed", |_| {
        let shown = cluster(at, &["recover"]);
        text(&shown.stdout).contains(&format!("given up for good: {}", lost.name))
    });
    let done = cluster(
        at,
        &["recover", "--unsafe", "--yes", "--give-up", &lost.name],
    );
    assert!(done.status.success(), "{done:?}");
    assert!(
        text(&done.stdout).contains("generation 1 has begun"),
        "{done:?}"
    );
    dev.wait("its replicas are made whole", |_| {
        state(at, &lost.name) == "removed"
    });
}

#[test]
fn one_of_two_goes_on_without_the_other_and_that_one_halts_when_it_is_back() {
    let mut dev = Cluster::start_with(2, &IMPATIENT);
    dev.wait_until_ready();
    let members = dev.members();
    let [first, dead] = &members[..] else {
        panic!("two members: {members:?}");
    };
    let keys: Vec<String> = (0..KEYS).map(|number| format!("key-{number}")).collect();
    for key in &keys {
        assert!(is_put(first, key, "2"), "{key}");
    }
    // While both live there is nothing to recover.
    let early = cluster(first, &["recover", "--unsafe", "--yes"]);
    assert_eq!(early.status.code(), Some(1), "{early:?}");
    let lives = cluster(
        first,
        &["recover", "--unsafe", "--yes", "--give-up", &dead.name],
    );
    assert_eq!(lives.status.code(), Some(1), "{lives:?}");
    assert!(text(&lives.stderr).contains("can reach"), "{lives:?}");

    dev.kill(dead);
    dev.wait("nobody agrees to its removal", |_| {
        let removed = cluster(first, &["remove", &dead.name]);
        let said = text(&removed.stderr);
        removed.status.code() == Some(3) && said.contains("ringhold cluster recover")
    });
    let shown = cluster(first, &["recover"]);
    assert_eq!(shown.status.code(), Some(2), "{shown:?}");
    assert!(
        text(&shown.stdout).contains("what may be lost"),
        "{shown:?}"
    );
    assert!(
        text(&shown.stderr).contains("nothing was done"),
        "{shown:?}"
    );
    let named = cluster(first, &["recover", "--unsafe"]);
    assert_eq!(named.status.code(), Some(2), "{named:?}");
    assert_eq!(state(first, &dead.name), "up");

    recover(&mut dev, first, dead);
    dev.wait("a quorum takes writes", |_| {
        is_put(first, "after", "quorum")
    });
    for key in &keys {
        let answer = first.get(&format!("{}?r=quorum", path(key)), &[]);
        assert_eq!((answer.status, &answer.body), (200, key));
    }
    let status = first.json("/ringhold/v1/status");
    assert_eq!(status["cluster"]["generation"], 1);
    assert_eq!(
        status["cluster"]["recoveries"][0]["given_up"][0],
        *dead.name
    );

    // It knows of nothing, and hears of it from the first that it asks.
    // Then its own disk says so.
    for times in 1..=2 {
        dev.start_again(&dead.name);
        dev.wait("it has ended with the reason", |dev| {
            let log = log_of(dev, dead);
            let told = log.matches("the cluster was recovered without this node");
            told.count() == times
        });
    }

    // The survivor remembers, and changes its ring alone.
    dev.kill(first);
    dev.restart(&first.name);
    let weighed = cluster(first, &["weight", &first.name, "200"]);
    assert!(weighed.status.success(), "{weighed:?}");
    assert!(is_put(first, "later", "quorum"));
}

#[test]
fn two_halves_that_gave_each_other_up_stay_apart_and_say_why() {
    let mut dev = Cluster::start_with(2, &IMPATIENT);
    dev.wait_until_ready();
    let members = dev.members();
    let [one, other] = &members[..] else {
        panic!("two members: {members:?}");
    };
    assert!(is_put(one, "common", "2"));
    dev.kill(other);
    recover(&mut dev, one, other);
    assert!(is_put(one, "of-one", "quorum"));
    dev.kill(one);
    dev.wait("it is gone", |_| {
        one.try_send("GET", "/health/live", &[], b"").is_none()
    });
    dev.restart(&other.name);
    recover(&mut dev, other, one);
    assert!(is_put(other, "of-other", "quorum"));
    dev.restart(&one.name);
    // Neither follows the other, whoever has the later epoch.
    for (member, own, foreign) in [(one, "of-one", "of-other"), (other, "of-other", "of-one")] {
        let weighed = cluster(member, &["weight", &member.name, "200"]);
        assert!(weighed.status.success(), "{weighed:?}");
        assert_eq!(member.get(&path("common"), &[]).status, 200);
        assert_eq!(member.get(&path(own), &[]).status, 200);
        assert_eq!(member.get(&path(foreign), &[]).status, 404);
    }
    assert_eq!(state(one, &other.name), "removed");
    assert_eq!(state(other, &one.name), "removed");
}
