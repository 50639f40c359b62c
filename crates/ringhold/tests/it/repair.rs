//! A record that a disk has damaged: `cluster verify` finds it, `cluster repair` brings it back from the others.

use crate::cluster::{Cluster, Member};
use crate::verify::{cluster_command, json};
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// One of them makes a commit of its own, and all together fill a segment of the log, so a checkpoint moves them.
const VALUES: usize = 18;
const VALUE_BYTES: usize = 4_500_000;

fn value(number: usize) -> Vec<u8> {
    let mark = format!("[value {number:04} of the repair test]");
    mark.into_bytes()
        .into_iter()
        .cycle()
        .take(VALUE_BYTES)
        .collect()
}

fn path(number: usize) -> String {
    format!("/buckets/repair/keys/key-{number}")
}

fn status(member: &Member) -> Value {
    let answer = member.try_send("GET", "/ringhold/v1/status", &[], b"");
    answer
        .and_then(|answer| serde_json::from_str(&answer.body).ok())
        .unwrap_or_default()
}

/// Flips a bit in the middle of a value wherever a node's files hold it; how often that was.
fn damage(directory: &Path, number: usize) -> usize {
    let wanted = value(number);
    let wanted = &wanted[..64];
    let mut damaged = 0;
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            damaged += damage(&path, number);
            continue;
        }
        let mut bytes = fs::read(&path).expect("a file");
        let found: Vec<usize> = bytes
            .chunks_exact(1 << 12)
            .enumerate()
            .filter(|(_, page)| {
                // The mark repeats itself, so it begins near the start of each page inside the value.
                let mut windows = page.windows(wanted.len()).take(wanted.len());
                windows.any(|window| window == wanted)
            })
            .map(|(page, _)| page << 12)
            .collect();
        if let Some(page) = found.get(found.len() / 2) {
            bytes[page + 2_000] ^= 1;
            damaged += 1;
            fs::write(&path, bytes).expect("the file can be written");
        }
    }
    damaged
}

#[test]
fn a_damaged_record_is_found_and_comes_back() {
    let mut cluster = Cluster::start(3);
    cluster.wait_until_ready();
    let members = cluster.members();
    for number in 0..VALUES {
        let answer = members[0].put(&format!("{}?w=3&pw=3", path(number)), &[], &value(number));
        assert_eq!(answer.status, 204, "{}", answer.body);
    }
    let victim = members[2].clone();
    cluster.wait("a checkpoint has moved the values", |_| {
        status(&victim)["storage"]["checkpoints"].as_u64() > Some(0)
    });
    victim.signal(Signal::TERM);
    cluster.wait("the node has stopped", |_| {
        victim.try_send("GET", "/health/live", &[], b"").is_none()
    });
    cluster.wait_for_exit(&victim);
    assert!(
        damage(&cluster.data_dir(&victim).join("engine"), 0) > 0,
        "the value is nowhere"
    );
    cluster.restart(&victim.name);
    cluster.wait_until_ready();
    let members = cluster.members();

    let found = cluster_command(&members[0], "verify", &[]);
    assert_eq!(found.status.code(), Some(1), "{found:?}");
    let result = json(&found);
    let wrong = result["not_in_order"].as_array().expect("a list");
    let faults = |line: &Value| {
        let primaries = line["primaries"].as_array().expect("a list");
        let count = |primary: &Value, what: &str| primary[what].as_u64().unwrap_or(0);
        // Anti-entropy may have been faster: then the record is back, and its leaf in doubt.
        let faults = primaries.iter();
        faults
            .map(|primary| count(primary, "unreadable") + count(primary, "wrong_sums"))
            .sum::<u64>()
    };
    assert!(wrong.iter().map(faults).sum::<u64>() > 0, "{result}");

    let repaired = cluster_command(&members[1], "repair", &[]);
    assert!(repaired.status.success(), "{repaired:?}");
    let summary = &json(&repaired)["summary"];
    assert_eq!(summary["partitions"], 64, "{summary}");
    assert_eq!(summary["exchanges"], 64 * 3, "{summary}");
    assert!(summary["sums_set_right"].as_u64() > Some(0), "{summary}");

    let verified = cluster_command(&members[2], "verify", &[]);
    assert!(verified.status.success(), "{verified:?}");
    let answer = members[2].get(&format!("{}?r=3&pr=3", path(0)), &[]);
    assert!(answer.status == 200 && answer.body.as_bytes() == value(0));
    let none = cluster_command(&members[1], "repair", &["--partition", "64"]);
    assert_eq!(none.status.code(), Some(4), "{none:?}");
}
