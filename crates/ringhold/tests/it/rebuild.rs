//! A node that lost its disk says "don't know" until the others have filled it again.

use crate::cluster::{Cluster, Member, ringhold};
use serde_json::Value;

const KEYS: usize = 300;

fn key(number: usize) -> String {
    format!("/buckets/rebuild/keys/key-{number}")
}

/// What `cluster rebuild` prints, with more arguments.
fn rebuild(member: &Member, more: &[&str]) -> Value {
    let out = ringhold()
        .args(["--output", "json", "cluster", "rebuild", "--at"])
        .arg(format!("http://{}", member.http))
        .args(more)
        .output()
        .expect("the binary runs");
    assert!(out.status.success(), "{out:?}");
    serde_json::from_slice(&out.stdout).expect("it is JSON")
}

/// How far one node is; null if its store is whole.
fn progress(member: &Member) -> Value {
    member.json("/ringhold/v1/status")["rebuild"].clone()
}

fn is_whole(member: &Member) -> bool {
    member.json("/ringhold/v1/status")["rebuild"] == Value::Null
        && member.try_send("GET", "/ping", &[], b"").is_some()
}

fn named(cluster: &Cluster, name: &str) -> Member {
    let members = cluster.members();
    let mut members = members.into_iter();
    members
        .find(|member| member.name == name)
        .expect("a member")
}

#[test]
fn a_node_with_an_empty_disk_does_not_count_until_it_is_filled() {
    let mut cluster = Cluster::start(3);
    cluster.wait_until_connected();
    let [one, two, three] = ["node1", "node2", "node3"].map(|name| named(&cluster, name));
    for number in 0..KEYS {
        let path = format!("{}?w=3", key(number));
        let answer = one.put(&path, &[], key(number).as_bytes());
        assert_eq!(answer.status, 204, "{answer:?}");
    }

    // One home is away, another one has lost its disk.
    cluster.kill(&two);
    cluster.wipe(&three);
    cluster.restart("node3");
    let three = named(&cluster, "node3");
    cluster.wait("all that can be had is there", |_| {
        progress(&three)["waits_for"] == serde_json::json!(["node2"])
            && progress(&three)["objects"] == KEYS
    });
    cluster.wait("node1 has noticed", |_| {
        let status = one.json("/ringhold/v1/status");
        let members = status["members"].as_array().cloned().unwrap_or_default();
        let up = |name: &str| {
            let mut members = members.iter();
            members.any(|member| member["name"] == name && member["reachable"] == true)
        };
        up("node3") && !up("node2")
    });
    // Node 1 alone knows; an empty store is no second opinion, neither on what is there nor on what is not.
    for path in [key(0), "/buckets/rebuild/keys/never-written".to_owned()] {
        let answer = one.get(&format!("{path}?r=2"), &[]);
        assert_eq!(answer.status, 503, "{path}: {answer:?}");
    }
    let answer = three.get(&format!("{}?r=1", key(0)), &[]);
    assert_eq!((answer.status, answer.body), (200, key(0)));
    assert!(three.metric("ringhold_reads_in_doubt_total") > 0);

    // With the other home back there is nothing left to wait for.
    cluster.restart("node2");
    cluster.wait("node3 is whole", |_| is_whole(&three));
    // More than once where the home that is back tells only then that it remembers the lost store.
    assert!(three.metric("ringhold_stores_rebuilt_total") >= 1);
    for number in 0..KEYS {
        let answer = three.get(&format!("{}?r=3", key(number)), &[]);
        assert_eq!((answer.status, answer.body), (200, key(number)));
    }

    // A home that never comes back would be waited for for ever; an operator can do without it.
    let two = named(&cluster, "node2");
    cluster.kill(&two);
    cluster.wipe(&three);
    cluster.restart("node3");
    let three = named(&cluster, "node3");
    cluster.wait("node2 is waited for", |_| {
        progress(&three)["waits_for"] == serde_json::json!(["node2"])
    });
    let rows = rebuild(&three, &["--without", "node2"]);
    let mut names = rows.as_array().expect("a list").iter();
    assert!(names.any(|row| row["node"] == "node1" && row["rebuild"] == Value::Null));
    cluster.wait("node3 is whole without node2", |_| is_whole(&three));
    let answer = one.get(&format!("{}?r=2", key(7)), &[]);
    assert_eq!((answer.status, answer.body), (200, key(7)));
}
