//! What happened to a request, as one line of JSON in a header.
//!
//! Nodes by their names, times in microseconds after the coordinator began, dots as `X-Ringhold-Dot` writes
//! them: what a person needs to see which replica said what, and when the quorum was met.

use crate::edge::Door;
use ringhold_core::quorum::ReplicaKind;
use ringhold_wire::message::explain::{Explanation, ReplyNote};
use serde_json::{Value, json};

pub(super) fn describe(explanation: &Explanation, door: &impl Door) -> Value {
    let name = |node| door.node_name(node);
    let required = explanation
        .required
        .iter()
        .map(|(requirement, count)| (requirement.to_string(), json!(count)));
    let replies: Vec<Value> = explanation
        .replies
        .iter()
        .map(|reply| describe_reply(reply, door))
        .collect();
    json!({
        "coordinator": name(explanation.coordinator),
        "forwarded_by": explanation.forwarded_by.map(name),
        "partition": explanation.partition,
        "preference_list": explanation.preference_list.iter().copied().map(name).collect::<Vec<_>>(),
        "n": explanation.n,
        "required": required.collect::<serde_json::Map<_, _>>(),
        "quorum_met": explanation.met_after_us.is_some(),
        "met_after_us": explanation.met_after_us,
        "replies": replies,
    })
}

fn describe_reply(reply: &ReplyNote, door: &impl Door) -> Value {
    json!({
        "replica": door.node_name(reply.node),
        "kind": match reply.kind {
            ReplicaKind::Primary => "primary",
            ReplicaKind::Fallback => "fallback",
        },
        "after_us": reply.after_us,
        "outcome": String::from_utf8_lossy(&reply.outcome),
        "dots": reply.dots.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}
