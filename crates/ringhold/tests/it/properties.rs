//! Bucket properties: changed at one node, in force at all, kept through deaths.

use crate::cluster::{Cluster, Member};
use rustix::process::Signal;

const PROPS: &str = "/buckets/settings/props";
const JSON: [(&str, &str); 1] = [("Content-Type", "application/json")];

fn change(member: &Member, props: &str) {
    let body = format!("{{\"props\":{props}}}");
    let answer = member
        .try_send("PUT", PROPS, &JSON, body.as_bytes())
        .expect("the node answers");
    assert_eq!(answer.status, 204, "{answer:?}");
}

fn property(member: &Member, name: &str) -> serde_json::Value {
    let answer = member.get(PROPS, &[]);
    let json: serde_json::Value = serde_json::from_str(&answer.body).expect("it is JSON");
    json["props"][name].clone()
}

#[test]
fn a_change_is_in_force_everywhere_and_reaches_a_node_that_was_dead() {
    let mut cluster = Cluster::start(3);
    cluster.wait_until_connected();
    let members = cluster.members();
    change(&members[0], r#"{"w":"all","durability":"buffered"}"#);
    for member in &members {
        assert_eq!(property(member, "w"), "all");
        assert_eq!(property(member, "durability"), "buffered");
    }
    cluster.kill(&members[2]);
    // The two that are left may not have noticed yet, and say so; the change holds all the same.
    let body = br#"{"props":{"r":1}}"#;
    members[0]
        .try_send("PUT", PROPS, &JSON, body)
        .expect("the node answers");
    cluster.restart(&members[2].name);
    cluster.wait_until_connected();
    let back = cluster.members()[2].clone();
    cluster.wait("it learns what it missed", |_| property(&back, "r") == 1);
    assert_eq!(property(&back, "w"), "all", "what it knew before it died");
    let answer = back
        .try_send("DELETE", PROPS, &[], b"")
        .expect("the node answers");
    assert_eq!(answer.status, 204);
    assert_eq!(property(&members[0], "w"), "quorum");
}

/// A retry that reaches another node after somebody else has written must not win over that write.
#[test]
fn a_late_retry_does_not_beat_the_write_after_it_in_a_bucket_without_siblings() {
    let mut cluster = Cluster::start(3);
    cluster.wait_until_connected();
    let members = cluster.members();
    change(&members[0], r#"{"allow_mult":false}"#);
    let path = "/buckets/settings/keys/retried";
    let key = [("Idempotency-Key", "first")];
    assert_eq!(members[0].put(path, &key, b"first").status, 204);
    assert_eq!(members[0].put(path, &[], b"second").status, 204);
    for member in &members {
        assert_eq!(member.put(path, &key, b"first").status, 204);
        assert_eq!(member.get(path, &[]).body, "second");
    }
}

/// A conditional put that landed is answered as done when it is tried again.
#[test]
fn the_retry_of_a_conditional_put_is_not_refused_by_its_own_first_try() {
    let mut cluster = Cluster::start(3);
    cluster.wait_until_connected();
    let members = cluster.members();
    let headers = [("If-None-Match", "*"), ("Idempotency-Key", "create")];
    let first = members[0].put("/buckets/settings/keys/created", &headers, b"value");
    let again = members[1].put("/buckets/settings/keys/created", &headers, b"value");
    assert_eq!((first.status, again.status), (204, 204), "{again:?}");
    let other = members[2].put("/buckets/settings/keys/created", &headers[..1], b"other");
    assert_eq!(other.status, 412, "{other:?}");
    assert_eq!(
        members[2].get("/buckets/settings/keys/created", &[]).body,
        "value"
    );
}

/// A node that is silent is left out; when it goes on, it is taken back and told what it missed,
/// although no connection was ever closed.
#[test]
fn a_node_that_only_paused_learns_what_changed_meanwhile() {
    let mut cluster = Cluster::start(3);
    cluster.wait_until_connected();
    let members = cluster.members();
    let reaches_third = |expected: bool| {
        let status = members[0].get("/ringhold/v1/status", &[]).body;
        let json: serde_json::Value = serde_json::from_str(&status).expect("it is JSON");
        json["members"][2]["reachable"] == expected
    };
    members[2].signal(Signal::STOP);
    cluster.wait("the silence is noticed", |_| reaches_third(false));
    change(&members[0], r#"{"w":"all"}"#);
    let answer = members[0].put("/buckets/paused/keys/k", &[], b"written meanwhile");
    assert_eq!(answer.status, 204, "{answer:?}");
    members[2].signal(Signal::CONT);
    cluster.wait("it is taken back", |_| reaches_third(true));
    cluster.wait("it learns what it missed", |_| {
        property(&members[2], "w") == "all"
    });
    let answer = members[2].get("/buckets/paused/keys/k?r=all", &[]);
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, "written meanwhile")
    );
}

#[test]
fn refused_values_change_nothing() {
    let mut cluster = Cluster::start(1);
    cluster.wait_until_connected();
    let member = &cluster.members()[0];
    let rows = [
        (r#"{"props":{"n_val":0}}"#, "{\"n_val\":\"not_integer\"}"),
        (
            r#"{"props":{"allow_mult":"maybe"}}"#,
            "{\"allow_mult\":\"not_boolean\"}",
        ),
        (r#"{"props":{"r":"abc"}}"#, "{\"r\":\"not_valid_quorum\"}"),
        (r#"{"props":{"n_val":17}}"#, "at most 16 replicas"),
        (
            r#"{"props":{"durability":"never"}}"#,
            "not_valid_durability",
        ),
        (
            r#"{"props":"#,
            "bucket PUT must be a JSON object of the form:",
        ),
    ];
    let before = member.get(PROPS, &[]).body;
    for (body, fragment) in rows {
        let answer = member
            .try_send("PUT", PROPS, &JSON, body.as_bytes())
            .expect("the node answers");
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        assert!(answer.body.contains(fragment), "{body}: {answer:?}");
    }
    assert_eq!(member.get(PROPS, &[]).body, before);
}

#[test]
fn a_bucket_without_siblings_shows_the_last_of_a_hundred_blind_writes_and_keeps_a_few() {
    let mut cluster = Cluster::start(3);
    cluster.wait_until_connected();
    let members = cluster.members();
    change(&members[0], r#"{"allow_mult":false}"#);
    for number in 0..100 {
        let answer = members[0].put(
            "/buckets/settings/keys/k",
            &[],
            format!("value {number}").as_bytes(),
        );
        assert_eq!(answer.status, 204, "{answer:?}");
    }
    for member in &members {
        let answer = member.get("/buckets/settings/keys/k", &[]);
        assert_eq!((answer.status, answer.body.as_str()), (200, "value 99"));
    }
    let explained = members[0].get("/ringhold/v1/explain/buckets/settings/keys/k", &[]);
    let json: serde_json::Value = serde_json::from_str(&explained.body).expect("it is JSON");
    for replica in json["replicas"].as_array().expect("a list") {
        let versions = replica["versions"].as_array().map_or(0, Vec::len);
        assert!((1..=4).contains(&versions), "{json}");
    }
}
