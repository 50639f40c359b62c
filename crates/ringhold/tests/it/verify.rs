//! `cluster verify` says what is so: agreement where everybody was counted, and nothing where somebody was not.

use crate::cluster::{Cluster, Member, ringhold};
use serde_json::Value;
use std::process::Output;

/// Of a `dev` cluster.
const PARTITIONS: u64 = 64;

pub(crate) fn cluster_command(member: &Member, command: &str, more: &[&str]) -> Output {
    ringhold()
        .args(["--output", "json", "cluster", command, "--at"])
        .arg(format!("http://{}", member.http))
        .args(more)
        .output()
        .expect("the binary runs")
}

pub(crate) fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {output:?}"))
}

#[test]
fn all_primaries_agree_or_somebody_was_not_asked() {
    let mut cluster = Cluster::start(3);
    cluster.wait_until_ready();
    let members = cluster.members();
    for number in 0..40 {
        let path = format!("/buckets/verify/keys/key-{number}?w=3");
        let answer = members[number % 3].put(&path, &[], b"value");
        assert_eq!(answer.status, 204, "{}", answer.body);
    }
    let verified = cluster_command(&members[0], "verify", &[]);
    assert!(verified.status.success(), "{verified:?}");
    let result = json(&verified);
    assert_eq!(result["summary"]["agreeing"], PARTITIONS, "{result}");
    assert_eq!(result["summary"]["keys"], 40, "{result}");

    let one = json(&cluster_command(
        &members[1],
        "verify",
        &["--partition", "9"],
    ));
    assert_eq!(one["summary"]["partitions"], 1, "{one}");
    let none = cluster_command(&members[1], "verify", &["--partition", "64"]);
    let said = String::from_utf8_lossy(&none.stderr);
    assert_eq!(none.status.code(), Some(4), "{none:?}");
    assert!(
        said.contains("there is no partition 64: they are 0 to 63"),
        "{said}"
    );

    cluster.kill(&members[2]);
    let short = cluster_command(&members[0], "verify", &[]);
    assert_eq!(short.status.code(), Some(1), "{short:?}");
    let result = json(&short);
    assert_eq!(result["summary"]["not_verified"], PARTITIONS, "{result}");
    assert_eq!(result["summary"]["agreeing"], 0, "{result}");
}
