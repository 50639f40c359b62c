//! A cluster that grows and shrinks while clients write.

use crate::cluster::{Cluster, IMPATIENT, Member, cluster};
use crate::http;
use crate::joiner::{Serve, joining, peer_address, three_ports, token};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const KEYS: usize = 60;

/// A node beside `dev`'s, with all that it takes to start it again.
pub(crate) struct Joiner<'a> {
    directory: &'a Path,
    peer: &'a str,
    token: String,
    port: u16,
    pub(crate) member: Member,
    serve: Serve,
}

impl<'a> Joiner<'a> {
    pub(crate) fn start(directory: &'a Path, name: &str, through: &Member, peer: &'a str) -> Self {
        let (token, port) = (token(through), three_ports());
        let process = joining(directory, (name, port), "off", peer, &token, &IMPATIENT);
        let member = Member {
            name: name.to_owned(),
            pid: i32::try_from(process.id()).expect("a process id"),
            http: format!("127.0.0.1:{}", port - 1),
            native: format!("127.0.0.1:{}", port + 1),
        };
        Self {
            directory,
            peer,
            token,
            port,
            member,
            serve: Serve { process },
        }
    }

    /// SIGKILL, and the same command once more.
    fn kill_and_start_again(&mut self) {
        self.serve.process.kill().expect("our child");
        self.serve.process.wait().expect("our child");
        let named = (self.member.name.as_str(), self.port);
        self.serve.process = joining(
            self.directory,
            named,
            "off",
            self.peer,
            &self.token,
            &IMPATIENT,
        );
    }

    fn child(&mut self) -> &mut Child {
        &mut self.serve.process
    }
}

/// What it prints; it has to succeed.
pub(crate) fn done(member: &Member, words: &[&str]) -> String {
    let output = cluster(member, words);
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

pub(crate) fn states(member: &Member) -> BTreeSet<(String, String)> {
    let status = member.json("/ringhold/v1/status");
    let members = status["members"].as_array().map_or(&[][..], Vec::as_slice);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    members
        .iter()
        .map(|member| (text(&member["name"]), text(&member["state"])))
        .collect()
}

pub(crate) fn is(states: &BTreeSet<(String, String)>, name: &str, state: &str) -> bool {
    states.contains(&(name.to_owned(), state.to_owned()))
}

fn path(key: &str) -> String {
    format!("/buckets/membership/keys/{key}")
}

/// Whether the put is acknowledged.
fn put(http: &str, key: &str, w: u8) -> bool {
    let headers = [("Content-Type", "text/plain"), ("Idempotency-Key", key)];
    let path = format!("{}?w={w}", path(key));
    let answer = http::request(http, "PUT", &path, &headers, key.as_bytes());
    answer.is_some_and(|answer| answer.status == 204)
}

/// Writes one key after the other until told to stop; which were acknowledged.
fn load(at: &[String], stop: &AtomicBool) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for number in 0_usize.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let key = format!("load-{number}");
        if put(&at[number % at.len()], &key, 2) {
            acknowledged.push(key);
        }
    }
    acknowledged
}

/// Everything that was acknowledged is read from two replicas at least, by way of each member.
fn assert_all_there(members: &[&Member], keys: &[String]) {
    for (number, key) in keys.iter().enumerate() {
        let member = members[number % members.len()];
        let answer = member.get(&format!("{}?r=2", path(key)), &[]);
        assert_eq!((answer.status, &answer.body), (200, key), "{}", member.name);
    }
}

#[test]
fn a_cluster_grows_and_shrinks_under_load_and_loses_nothing() {
    let mut dev = Cluster::start_with(1, &IMPATIENT);
    dev.wait_until_ready();
    let directory = tempfile::tempdir().expect("a directory");
    let (first, peer) = (dev.members()[0].clone(), peer_address(&dev));
    let mut keys: Vec<String> = (0..KEYS).map(|number| format!("key-{number}")).collect();
    for key in &keys {
        assert!(put(&first.http, key, 1), "{key}");
    }

    let mut leaver = Joiner::start(directory.path(), "b", &first, &peer);
    let third = Joiner::start(directory.path(), "c", &first, &peer);
    dev.wait("both are known", |_| {
        let states = states(&first);
        is(&states, "b", "joining") && is(&states, "c", "joining")
    });
    let plan = done(&first, &["plan"]);
    assert!(
        plan.contains("b joins") && plan.contains("c joins"),
        "{plan}"
    );
    let told = done(&first, &["commit", "--wait"]);
    assert!(told.starts_with("done:"), "{told}");
    let now = states(&first);
    assert!(is(&now, "b", "up") && is(&now, "c", "up"), "{now:?}");
    assert_all_there(&[&first, &leaver.member, &third.member], &keys);

    let stop = AtomicBool::new(false);
    let at = [first.http.clone(), third.member.http.clone()];
    let (mut fourth, acknowledged) = thread::scope(|scope| {
        let writing = scope.spawn(|| load(&at, &stop));
        let mut fourth = Joiner::start(directory.path(), "d", &first, &peer);
        dev.wait("the fourth is known", |_| {
            is(&states(&first), "d", "joining")
        });
        done(&first, &["commit"]);
        fourth.kill_and_start_again();
        let watched = done(&first, &["transfers", "--watch"]);
        assert!(watched.ends_with("no change is under way\n"), "{watched}");
        assert!(is(&states(&first), "d", "up"), "{watched}");

        done(&first, &["leave", "b"]);
        done(&first, &["commit", "--wait"]);
        assert!(is(&states(&first), "b", "removed"));
        stop.store(true, Ordering::Relaxed);
        (fourth, writing.join().expect("it does not panic"))
    });
    assert!(acknowledged.len() > KEYS, "{}", acknowledged.len());
    keys.extend(acknowledged);

    let ended = leaver.child().wait().expect("our child");
    let log = fs::read_to_string(directory.path().join("b.log")).expect("a log");
    assert_eq!(ended.code(), Some(0), "{log}");
    assert!(log.contains("this node has left the cluster"), "{log}");
    dev.wait("all primaries agree", |_| {
        cluster(&first, &["verify"]).status.success()
    });
    assert_all_there(&[&first, &third.member, &fourth.member], &keys);
    assert!(fourth.child().try_wait().expect("our child").is_none());
}

#[test]
fn what_does_not_fit_is_refused_with_the_reason_and_a_dead_node_is_given_up() {
    let mut dev = Cluster::start_with(3, &IMPATIENT);
    dev.wait_until_ready();
    let members = dev.members();
    let [first, second, dead] = &members[..] else {
        panic!("three members: {members:?}");
    };
    let refused = |words: &[&str], code: i32, why: &str| {
        let output = cluster(first, words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
        assert!(said.contains(why), "{words:?}: {said}");
    };
    refused(&["commit"], 1, "nothing is staged");
    refused(&["leave", "nobody"], 4, "no member is called nobody");
    refused(&["weight", "node2", "0"], 1, "can't weigh 0");
    refused(&["remove", &dead.name], 1, "let it leave");
    for key in 0..KEYS {
        assert!(put(&first.http, &format!("key-{key}"), 2));
    }

    // One that was to join and may not ends too, although it owned nothing yet.
    let (directory, peer) = (
        tempfile::tempdir().expect("a directory"),
        peer_address(&dev),
    );
    let mut turned_down = Joiner::start(directory.path(), "x", first, &peer);
    dev.wait("it is known", |_| is(&states(first), "x", "joining"));
    assert_eq!(done(first, &["abort"]), "nothing is staged\n");
    dev.wait("it has ended", |_| {
        let ended = turned_down.child().try_wait().expect("our child");
        ended.is_some_and(|status| status.code() == Some(1))
    });

    dev.kill(dead);
    dev.wait("its death is noticed", |_| {
        cluster(first, &["remove", &dead.name]).status.success()
    });
    let plan = done(first, &["plan"]);
    assert!(plan.contains("AT RISK"), "{plan}");
    done(first, &["commit", "--wait"]);
    assert!(is(&states(first), &dead.name, "removed"));
    dev.wait("the two that are left agree", |_| {
        cluster(first, &["verify"]).status.success()
    });

    // One that lives hears of it, and ends.
    done(first, &["remove", &second.name, "--yes-it-is-dead"]);
    done(first, &["commit", "--wait"]);
    dev.wait_for_exit(second);
    let log = fs::read_to_string(dev.data_dir(second).with_extension("log")).expect("a log");
    assert!(log.contains("the cluster has removed this node"), "{log}");
    for key in 0..KEYS {
        let answer = first.get(&path(&format!("key-{key}")), &[]);
        assert_eq!(answer.status, 200, "key-{key}");
    }
}
