//! Contexts and siblings from any node, and who coordinates a put.

use crate::cluster::Cluster;
use serde_json::Value;

#[test]
fn two_puts_with_one_context_are_siblings_everywhere_until_one_with_the_joined_context() {
    let mut cluster = Cluster::start(3);
    cluster.wait_until_connected();
    let nodes = cluster.members();
    let path = "/buckets/shop/keys/list";
    assert_eq!(nodes[0].put(path, &[], b"milk").status, 204);
    let seen = nodes[1].get(path, &[]).context();
    assert_eq!(
        nodes[0]
            .put(path, &[("X-Riak-Vclock", &seen)], b"milk, bread")
            .status,
        204
    );
    assert_eq!(
        nodes[1]
            .put(path, &[("X-Riak-Vclock", &seen)], b"milk, eggs")
            .status,
        204
    );
    for node in &nodes {
        let answer = node.get(path, &[("Accept", "multipart/mixed")]);
        assert_eq!(answer.status, 300, "{answer:?}");
        assert!(
            answer.body.contains("milk, bread") && answer.body.contains("milk, eggs"),
            "{answer:?}"
        );
    }
    let both = nodes[2].get(path, &[]).context();
    assert_eq!(
        nodes[2]
            .put(path, &[("X-Riak-Vclock", &both)], b"milk, bread, eggs")
            .status,
        204
    );
    for node in &nodes {
        let answer = node.get(path, &[]);
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, "milk, bread, eggs")
        );
    }
}

#[test]
fn a_put_through_a_node_that_is_no_primary_is_forwarded_exactly_once() {
    let mut cluster = Cluster::start(5);
    cluster.wait_until_connected();
    let nodes = cluster.members();
    let mut forwarded = 0;
    for key in 0..10 {
        let path = format!("/buckets/forwarded/keys/{key}");
        let answer = nodes[0].put(&path, &[("X-Ringhold-Explain", "true")], b"value");
        assert_eq!(answer.status, 204, "{answer:?}");
        let explanation = answer
            .header("X-Ringhold-Explain")
            .expect("it was asked for");
        let explanation: Value = serde_json::from_str(explanation).expect("it is JSON");
        let list = explanation["preference_list"].as_array().expect("a list");
        let is_primary = list[..3]
            .iter()
            .any(|node| node == &Value::from(nodes[0].name.clone()));
        let by = &explanation["forwarded_by"];
        if is_primary {
            assert!(by.is_null(), "{explanation}");
            assert_eq!(explanation["coordinator"], nodes[0].name, "{explanation}");
        } else {
            forwarded += 1;
            assert_eq!(by, &Value::from(nodes[0].name.clone()), "{explanation}");
            assert!(
                list[..3].contains(&explanation["coordinator"]),
                "{explanation}"
            );
        }
    }
    assert!(forwarded > 0, "of ten keys some live elsewhere");
}
