//! What was acknowledged survives the death of processes.

use crate::cluster::{Cluster, Member};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const WRITERS: usize = 4;
/// So many puts are acknowledged before anything happens.
const LOADED: usize = 200;
/// A cluster that has not taken those after this time takes none.
const PATIENCE: Duration = Duration::from_secs(120);

/// Writes keys of its own until told to stop; the keys that were acknowledged.
fn write_until(
    stop: &AtomicBool,
    acknowledged: &AtomicUsize,
    members: &[Member],
    writer: usize,
) -> Vec<String> {
    let mut kept = Vec::new();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let key = format!("{writer}-{number}");
        let path = format!("/buckets/kills/keys/{key}");
        let member = &members[(writer + number) % members.len()];
        let headers = [("Content-Type", "text/plain")];
        let answer = member.try_send("PUT", &path, &headers, key.as_bytes());
        if answer.is_some_and(|answer| answer.status == 204) {
            kept.push(key);
            acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        number += 1;
    }
    kept
}

/// Loads the cluster from several threads, does something in the middle, and returns what was
/// acknowledged before, during and after.
fn under_load(members: &[Member], midway: impl FnOnce()) -> Vec<String> {
    let (stop, acknowledged) = (AtomicBool::new(false), AtomicUsize::new(0));
    let deadline = Instant::now() + PATIENCE;
    let are_acknowledged = |count| {
        while acknowledged.load(Ordering::Relaxed) < count && Instant::now() < deadline {
            std::thread::yield_now();
        }
        acknowledged.load(Ordering::Relaxed) >= count
    };
    std::thread::scope(|scope| {
        let (stop, acknowledged) = (&stop, &acknowledged);
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| scope.spawn(move || write_until(stop, acknowledged, members, writer)))
            .collect();
        let is_loaded = are_acknowledged(LOADED);
        if is_loaded {
            midway();
        }
        stop.store(true, Ordering::Relaxed);
        assert!(
            is_loaded,
            "fewer than {LOADED} puts acknowledged in {PATIENCE:?}"
        );
        writers
            .into_iter()
            .flat_map(|writer| writer.join().expect("a writer does not panic"))
            .collect()
    })
}

fn assert_all_there(members: &[Member], keys: &[String]) {
    for (at, key) in keys.iter().enumerate() {
        let answer = members[at % members.len()].get(&format!("/buckets/kills/keys/{key}"), &[]);
        assert_eq!(
            (answer.status, &answer.body),
            (200, key),
            "an acknowledged write is gone"
        );
    }
}

#[test]
fn every_acknowledged_put_survives_the_kill_of_all_nodes_at_once() {
    let mut cluster = Cluster::start(3);
    cluster.wait_until_connected();
    let members = cluster.members();
    let keys = under_load(&members, || {
        members.iter().for_each(|member| cluster.kill(member));
    });
    assert!(keys.len() >= LOADED);
    for member in &members {
        cluster.restart(&member.name);
    }
    cluster.wait_until_connected();
    assert_all_there(&cluster.members(), &keys);
}

#[test]
fn puts_and_gets_go_on_with_one_of_three_nodes_dead() {
    let mut cluster = Cluster::start(3);
    cluster.wait_until_connected();
    let members = cluster.members();
    let before = under_load(&members, || {});
    cluster.kill(&members[2]);
    // A client that retries once, on another node, sees no error.
    let alive = &members[..2];
    for number in 0..200 {
        let path = format!("/buckets/kills/keys/after-{number}");
        let headers = [
            ("Content-Type", "text/plain"),
            ("Idempotency-Key", path.as_str()),
        ];
        let tries = [members[number % 3].clone(), alive[number % 2].clone()];
        let acknowledged = tries.iter().any(|member| {
            let answer =
                member.try_send("PUT", &path, &headers, format!("after-{number}").as_bytes());
            answer.is_some_and(|answer| answer.status == 204)
        });
        assert!(acknowledged, "{path}");
    }
    assert_all_there(alive, &before);
    let after: Vec<String> = (0..200).map(|number| format!("after-{number}")).collect();
    assert_all_there(alive, &after);

    cluster.restart(&members[2].name);
    cluster.wait_until_connected();
    let back = cluster.members()[2].clone();
    assert_all_there(std::slice::from_ref(&back), &before);
    // What it had flushed, it serves alone.
    for key in before.iter().take(20) {
        let answer = back.get(&format!("/buckets/kills/keys/{key}?r=1"), &[]);
        assert_eq!((answer.status, &answer.body), (200, key));
    }
}

#[test]
fn with_two_of_three_nodes_dead_a_put_does_not_start() {
    let mut cluster = Cluster::start(3);
    cluster.wait_until_connected();
    let members = cluster.members();
    let path = "/buckets/kills/keys/alone";
    assert_eq!(members[0].put(path, &[], b"before").status, 204);
    cluster.kill(&members[1]);
    cluster.kill(&members[2]);
    // The first may still find out on the way; what is unknown may appear. From then on it is known.
    let outcomes =
        std::iter::repeat_with(|| members[0].put("/buckets/kills/keys/probe", &[], b"probe"));
    let mut refused =
        outcomes.skip_while(|answer| answer.header("X-Ringhold-Outcome") != Some("not-started"));
    assert_eq!(refused.next().map(|answer| answer.status), Some(503));
    let answer = members[0].put(path, &[], b"while alone");
    assert_eq!(
        (answer.status, answer.header("X-Ringhold-Outcome")),
        (503, Some("not-started")),
        "{answer:?}"
    );
    assert_eq!(members[0].get(&format!("{path}?r=1"), &[]).body, "before");

    cluster.restart(&members[1].name);
    cluster.restart(&members[2].name);
    cluster.wait_until_connected();
    for member in cluster.members() {
        let answer = member.get(path, &[]);
        assert_eq!((answer.status, answer.body.as_str()), (200, "before"));
    }
}
