//! A bucket that gets more replicas, and then fewer, while clients write.

use crate::cluster::{Cluster, IMPATIENT, Member, cluster};
use crate::http;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const KEYS: usize = 60;
const PROPS: &str = "/buckets/replicas/props";
const JSON: (&str, &str) = ("Content-Type", "application/json");
/// Longer than any change takes here.
const PATIENT_MS: &str = "120000";

fn path(key: &str) -> String {
    format!("/buckets/replicas/keys/{key}")
}

/// Whether the put is acknowledged by two replicas.
fn put(http: &str, key: &str) -> bool {
    let headers = [("Content-Type", "text/plain"), ("Idempotency-Key", key)];
    let path = format!("{}?w=2", path(key));
    let answer = http::request(http, "PUT", &path, &headers, key.as_bytes());
    answer.is_some_and(|answer| answer.status == 204)
}

/// Writes one key after the other until told to stop; which were acknowledged.
fn load(at: &[String], name: &str, stop: &AtomicBool) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for number in 0_usize.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let key = format!("{name}-{number}");
        if put(&at[number % at.len()], &key) {
            acknowledged.push(key);
        }
    }
    acknowledged
}

fn set_replicas(member: &Member, n: u8, within_ms: &str) -> http::Answer {
    let body = format!(r#"{{"props":{{"n_val":{n}}}}}"#);
    let headers = [JSON, ("X-Ringhold-Deadline-Ms", within_ms)];
    let answer = member.try_send("PUT", PROPS, &headers, body.as_bytes());
    answer.expect("the node answers")
}

fn replicas(member: &Member) -> serde_json::Value {
    member.json(PROPS)["props"]["n_val"].clone()
}

/// Gives the bucket another number of replicas under load, and waits for the end; what was acknowledged meanwhile.
fn change_under_load(members: &[Member], n: u8) -> Vec<String> {
    let stop = AtomicBool::new(false);
    let at: Vec<String> = members.iter().map(|member| member.http.clone()).collect();
    let name = format!("to-{n}");
    thread::scope(|scope| {
        let writing = scope.spawn(|| load(&at, &name, &stop));
        let answer = set_replicas(&members[0], n, PATIENT_MS);
        assert_eq!(answer.status, 204, "{answer:?}");
        assert_eq!(
            replicas(&members[0]),
            n,
            "what it is to have is shown at once"
        );
        let refused = set_replicas(&members[0], 4, "1");
        assert_eq!(refused.status, 409, "{refused:?}");
        let why = "another change of the placement is under way: wait for its end";
        assert!(refused.body.contains(why), "{refused:?}");
        let watched = cluster(&members[1], &["transfers", "--watch"]);
        let told = String::from_utf8_lossy(&watched.stdout).into_owned();
        assert!(told.ends_with("no change is under way\n"), "{watched:?}");
        stop.store(true, Ordering::Relaxed);
        writing.join().expect("it does not panic")
    })
}

/// Every key is read from all its homes, and is on no other node once hints are home.
fn assert_at_home(dev: &mut Cluster, members: &[Member], keys: &[String], n: u8) {
    for member in members {
        assert_eq!(replicas(member), n, "{}", member.name);
    }
    dev.wait("all primaries agree", |_| {
        cluster(&members[0], &["verify"]).status.success()
    });
    for (number, key) in keys.iter().enumerate() {
        let member = &members[number % members.len()];
        let answer = member.get(&format!("{}?r={n}&pr={n}", path(key)), &[]);
        assert_eq!((answer.status, &answer.body), (200, key), "{}", member.name);
    }
    let key = keys.last().expect("there are some");
    let explain = format!("/ringhold/v1/explain/buckets/replicas/keys/{key}");
    dev.wait("nobody else has the last key", |_| {
        let told = members[2].json(&explain);
        let holdings = told["replicas"].as_array().map_or(0, Vec::len);
        holdings == usize::from(n)
    });
}

#[test]
fn a_bucket_gets_more_replicas_and_fewer_under_load_and_loses_nothing() {
    let mut dev = Cluster::start_with(5, &IMPATIENT);
    dev.wait_until_ready();
    let members = dev.members();
    let mut keys: Vec<String> = (0..KEYS).map(|number| format!("key-{number}")).collect();
    for key in &keys {
        assert!(put(&members[0].http, key), "{key}");
    }
    for n in [5, 2] {
        keys.extend(change_under_load(&members, n));
        assert!(keys.len() > KEYS, "{}", keys.len());
        assert_at_home(&mut dev, &members, &keys, n);
    }
    let answer = members[0].try_send("DELETE", PROPS, &[], b"");
    assert_eq!(answer.map(|answer| answer.status), Some(204));
    assert_eq!(replicas(&members[0]), 3, "the cluster's");
    // The reset is under way still, and waited for.
    let answer = set_replicas(&members[1], 4, PATIENT_MS);
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(replicas(&members[1]), 4);
}
