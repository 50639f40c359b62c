//! Who tells the cluster to change, by the commands that people have, and looks whether it is in order.
//!
//! Orders are given as in a terminal, `ringhold cluster …` at some member, since their texts and exit codes are promises too. What is
//! only looked at comes over HTTP. An order that ended badly may have been carried out all the same, so whoever gives one looks
//! before it is given again.

use crate::client;
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

/// How long a comparison of all primaries may take.
const COMPARING: Duration = Duration::from_secs(30);

/// Gives an order at a member.
///
/// # Errors
/// What it said when it ended badly.
pub(crate) fn order(member: SocketAddr, words: &[&str]) -> Result<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_ringhold"))
        .arg("cluster")
        .args(words)
        .args(["--at", &format!("http://{member}")])
        .output();
    let output = output.expect("the binary runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}

/// The states of the members by their names, as a member has them; none if it does not answer.
pub(crate) fn states(member: SocketAddr) -> Option<BTreeSet<(String, String)>> {
    let status = client::status(member)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let members = status["members"].as_array()?.iter();
    let states = members.map(|member| (text(&member["name"]), text(&member["state"])));
    Some(states.collect())
}

/// Whether a member answers and knows of no change that is staged, under way, or not yet over.
pub(crate) fn is_quiet(member: SocketAddr) -> bool {
    let quiet = || {
        let transfers = client::document(member, "/ringhold/v1/cluster/transfers")?;
        let status = client::status(member)?;
        let is_empty = |list: &Value| list.as_array().is_none_or(Vec::is_empty);
        Some(
            transfers["changes"].is_null()
                && is_empty(&transfers["leaving"])
                && is_empty(&status["staged"]),
        )
    };
    quiet() == Some(true)
}

/// What a member finds when it compares all primaries, a line a partition; none if it was cut off.
pub(crate) fn verified(member: SocketAddr) -> Option<Vec<Value>> {
    let path = "/ringhold/v1/verify";
    let answer = client::request_within(COMPARING, member, "POST", path, &[], b"").ok()?;
    let text = String::from_utf8(answer.body).ok()?;
    let lines = text.lines().map(serde_json::from_str);
    let lines: Vec<Value> = lines.collect::<Result<_, _>>().ok()?;
    let is_whole = lines.last().is_some_and(|last| last["type"] == "end");
    let partitions = lines.into_iter().filter(|line| line["type"] == "partition");
    is_whole.then(|| partitions.collect())
}

/// The partitions that have another number of homes than they must have, or one of them twice.
pub(crate) fn with_other_homes(verified: &[Value], homes: usize) -> Vec<String> {
    let mut wrong = Vec::new();
    for line in verified {
        let primaries = line["primaries"].as_array().into_iter().flatten();
        let names: Vec<&Value> = primaries.map(|primary| &primary["node"]).collect();
        let distinct: BTreeSet<&str> = names.iter().filter_map(|name| name.as_str()).collect();
        if names.len() != homes || distinct.len() != homes {
            wrong.push(format!(
                "partition {} has the homes {names:?}, not {homes} of them",
                line["partition"]
            ));
        }
    }
    wrong
}
