//! Bucket types: created at one node, active at all, kept through deaths.

use crate::cluster::{Cluster, Member};

const JSON: [(&str, &str); 1] = [("Content-Type", "application/json")];
const TEXT: [(&str, &str); 1] = [("Content-Type", "text/plain")];

fn order(member: &Member, path: &str, props: &str) -> (u16, String) {
    let path = format!("/ringhold/v1/bucket-types/{path}");
    let body = format!("{{\"props\":{props}}}");
    let answer = member
        .try_send("POST", &path, &JSON, body.as_bytes())
        .expect("the node answers");
    (answer.status, answer.body)
}

fn put(member: &Member, path: &str, value: &[u8]) -> u16 {
    member.put(path, &TEXT, value).status
}

#[test]
fn a_type_is_served_by_all_once_all_know_it() {
    let mut cluster = Cluster::start(3);
    cluster.wait_until_connected();
    let members = cluster.members();
    let [one, two, three] = &members[..] else {
        panic!("three nodes");
    };
    let key = "/types/once/buckets/b/keys/k";
    assert_eq!(put(one, key, b"early"), 404);
    let (status, text) = order(one, "once/create", r#"{"write_once":true}"#);
    assert_eq!(status, 200, "{text}");
    assert_eq!(put(one, key, b"early"), 404, "it is created, not active");
    let (status, text) = order(two, "once/activate", "{}");
    assert_eq!(status, 200, "{text}");
    cluster.wait("every node serves it", |cluster| {
        let props = |member: &Member| member.get("/types/once/props", &[]).status;
        cluster.members().iter().all(|member| props(member) == 200)
    });
    assert_eq!(put(one, key, b"first"), 204);
    assert_eq!(put(two, key, b"second"), 204);
    assert_eq!(three.get(key, &[]).body, "first", "what is there stays");
    // A dead member holds the next type up, and hears of it when it is back.
    cluster.kill(three);
    let (status, text) = order(one, "late/create", r#"{"r":1}"#);
    assert_eq!(status, 200, "{text}");
    let (_, late) = order(one, "late/create", r#"{"r":1}"#);
    assert!(late.contains(&three.name), "{late}");
    cluster.restart(&three.name);
    cluster.wait_until_connected();
    let (status, text) = order(one, "late/activate", "{}");
    assert_eq!(status, 200, "{text}");
    let back = cluster.members()[2].clone();
    cluster.wait("it serves both types", |_| {
        let props = back.get("/types/late/props", &[]);
        props.status == 200 && back.get(key, &[]).body == "first"
    });
    let (status, text) = order(&back, "late/update", r#"{"datatype":"set"}"#);
    assert_eq!(
        (status, text.as_str()),
        (400, "{\"datatype\":\"`datatype` must not be defined.\"}")
    );
}

#[test]
fn a_type_has_an_n_of_its_own_which_can_be_changed() {
    let mut cluster = Cluster::start(3);
    cluster.wait_until_connected();
    let members = cluster.members();
    let one = &members[0];
    let (status, text) = order(one, "pairs/create", r#"{"n_val":2}"#);
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("\"n_val\":2"), "{text}");
    let (status, text) = order(one, "pairs/activate", "{}");
    assert_eq!(status, 200, "{text}");
    cluster.wait("every node serves it", |cluster| {
        let props = |member: &Member| member.get("/types/pairs/props", &[]).status;
        cluster.members().iter().all(|member| props(member) == 200)
    });
    let n_of = |path: &str| one.json(path)["props"]["n_val"].clone();
    assert_eq!(n_of("/types/pairs/props"), 2);
    assert_eq!(n_of("/types/pairs/buckets/b/props"), 2);
    let key = "/types/pairs/buckets/b/keys/k";
    assert_eq!(put(one, &format!("{key}?w=2"), b"value"), 204);
    assert_eq!(
        one.get(&format!("{key}?r=3"), &[]).status,
        400,
        "there are two"
    );
    let copies = |cluster: &Cluster| {
        let members = cluster.members();
        let told = members[1].json(&format!("/ringhold/v1/explain{key}"));
        told["replicas"].as_array().map_or(0, Vec::len)
    };
    cluster.wait("two nodes have it", |cluster| copies(cluster) == 2);
    let (status, text) = order(one, "pairs/update", r#"{"n_val":3,"r":1}"#);
    assert_eq!(status, 200, "{text}");
    assert_eq!(
        n_of("/types/pairs/buckets/b/props"),
        3,
        "what it is to have"
    );
    cluster.wait("all nodes have it", |cluster| {
        let read = cluster.members()[2].get(&format!("{key}?r=3&pr=3"), &[]);
        read.status == 200 && copies(cluster) == 3
    });
}
