//! `cluster plan`: what the staged changes come to, or those under way.

use serde_json::Value;

use super::ring_orders::{document, listed};
use super::view::cell;
use crate::cli::NodeArgs;
use crate::output::{Failure, Format, Table, print, print_json};

pub(super) async fn run(node: &NodeArgs, format: Format) -> Result<(), Failure> {
    let plan = document(&node.at, "/ringhold/v1/cluster/plan", node.timeout()).await?;
    match format {
        Format::Table => print(told(&plan)),
        Format::Json => print_json(&plan),
    }
}

fn told(plan: &Value) -> String {
    if plan["changes"].is_null() {
        return format!("{}\n", cell(&plan["state"]));
    }
    let is_under_way = plan["state"] == "under way";
    let next = if is_under_way {
        "`ringhold cluster transfers` shows how far it is, `ringhold cluster abort` goes back"
    } else {
        "nothing moves yet: `ringhold cluster commit` begins it, `ringhold cluster abort` forgets it"
    };
    let mut text = format!(
        "{}:\n{}\n{}",
        cell(&plan["state"]),
        listed(&plan["changes"]),
        members(plan)
    );
    if plan["flows"]
        .as_array()
        .is_some_and(|flows| !flows.is_empty())
    {
        text += &format!("\n{}", flows(plan));
    }
    text += &format!("\n{}{next}\n", summary(plan));
    let later = listed(&plan["staged_for_later"]);
    if !later.is_empty() {
        text += &format!("staged for later:\n{later}");
    }
    text
}

/// What a member has, and what it will have where that differs.
fn members(plan: &Value) -> String {
    let mut table = Table::new(&[
        "member",
        "state",
        "weight",
        "place",
        "partitions",
        "share",
        "replicas",
    ]);
    for member in plan["members"].as_array().into_iter().flatten() {
        let both = |name: &str| (cell(&member[name]), cell(&member[format!("{name}_after")]));
        let place = |zone: String, rack: String| match (zone.as_str(), rack.as_str()) {
            ("", "") => "-".to_owned(),
            (_, "") => zone,
            _ => format!("{zone}/{rack}"),
        };
        let ((zone, zone_after), (rack, rack_after)) = (both("zone"), both("rack"));
        let percent = |value: String| format!("{value} %");
        let (share, share_after) = both("share_percent");
        table.row([
            cell(&member["name"]),
            arrow(both("state")),
            arrow(both("weight")),
            arrow((place(zone, rack), place(zone_after, rack_after))),
            arrow(both("partitions")),
            arrow((percent(share), percent(share_after))),
            arrow(both("replicas")),
        ]);
    }
    table.to_string()
}

fn arrow((before, after): (String, String)) -> String {
    if before == after {
        return before;
    }
    format!("{before} -> {after}")
}

fn flows(plan: &Value) -> String {
    let mut table = Table::new(&["from", "to", "replicas", "objects", "size"]);
    for flow in plan["flows"].as_array().into_iter().flatten() {
        let from = match &flow["from"] {
            Value::Null => "the other homes".to_owned(),
            from => cell(from),
        };
        table.row([
            from,
            cell(&flow["to"]),
            cell(&flow["replicas"]),
            about(&flow["objects"]),
            size(&flow["bytes"]),
        ]);
    }
    table.to_string()
}

fn summary(plan: &Value) -> String {
    let mut text = format!(
        "{} of {} partitions change their owner (at least {} must); {} replicas are copied",
        cell(&plan["partitions_change_owner"]),
        cell(&plan["partitions"]),
        cell(&plan["partitions_change_owner_at_least"]),
        cell(&plan["replicas_copied"]),
    );
    let estimate = &plan["estimate"];
    match estimate["objects"].as_u64() {
        None => {
            text += "\nthe asked node holds too little to say how much that is: ask another one\n";
        }
        Some(_) => {
            text += &format!(
                ": {} objects, {}\n  (by {})\n",
                about(&estimate["objects"]),
                size(&estimate["bytes"]),
                cell(&estimate["basis"])
            );
        }
    }
    if let Some(seconds) = estimate["seconds"].as_u64() {
        text += &format!(
            "about {seconds} s (by {})\n",
            cell(&estimate["seconds_basis"])
        );
    }
    if plan["partitions_at_risk"].as_u64().unwrap_or(0) > 0 {
        text += &format!(
            "AT RISK: {} partitions have a dead home, and as few as {} living replicas until they are filled\n",
            cell(&plan["partitions_at_risk"]),
            cell(&plan["living_replicas_at_least"]),
        );
    }
    text
}

/// A number that is not known exactly.
fn about(value: &Value) -> String {
    match value {
        Value::Null => "?".to_owned(),
        value => format!("~{}", cell(value)),
    }
}

fn size(bytes: &Value) -> String {
    let Some(bytes) = bytes.as_u64() else {
        return "?".to_owned();
    };
    match bytes {
        0..10_000 => format!("~{bytes} B"),
        10_000..10_000_000 => format!("~{} kB", bytes / 1_000),
        10_000_000..10_000_000_000 => format!("~{} MB", bytes / 1_000_000),
        _ => format!("~{} GB", bytes / 1_000_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plan(state: &str, from: &Value, at_risk: u64) -> Value {
        let member = |name: &str, state: &str, before: u64, after: u64| {
            json!({
                "name": name, "state": state, "state_after": "up", "weight": 100, "weight_after": 100,
                "zone": "", "zone_after": "b", "rack": "", "rack_after": "", "partitions": before, "partitions_after": after,
                "share_percent": 50.0, "share_percent_after": 25.0, "replicas": before * 3, "replicas_after": after * 3,
            })
        };
        json!({
            "state": state, "changes": [{ "change": "node4 joins" }],
            "members": [member("node1", "up", 32, 16), member("node4", "joining", 0, 16)],
            "partitions": 64, "partitions_change_owner": 16, "partitions_change_owner_at_least": 15,
            "replicas_copied": 48, "partitions_at_risk": at_risk, "living_replicas_at_least": 2,
            "flows": [{ "from": from, "to": "node4", "replicas": 48, "objects": 900, "bytes": 2_000_000 }],
            "estimate": { "objects": 900, "bytes": 2_000_000, "basis": "what node1 holds", "seconds": 1, "seconds_basis": "x" },
        })
    }

    #[test]
    fn a_plan_tells_before_and_after_and_what_moves() {
        let text = told(&plan("staged", &json!("node1"), 0));
        for part in [
            "node4 joins",
            "32 -> 16",
            "joining -> up",
            "50.0 % -> 25.0 %",
            "- -> b",
            "16 of 64 partitions change their owner (at least 15 must); 48 replicas are copied: ~900 objects, ~2000 kB",
            "cluster commit",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("AT RISK"), "{text}");
    }

    #[test]
    fn what_is_at_risk_is_said_aloud() {
        let text = told(&plan("under way", &Value::Null, 12));
        assert!(text.contains("AT RISK: 12 partitions"), "{text}");
        assert!(text.contains("the other homes"), "{text}");
        assert!(text.contains("cluster transfers"), "{text}");
    }

    #[test]
    fn nothing_is_a_plan_too() {
        assert_eq!(
            told(&json!({ "state": "nothing is staged" })),
            "nothing is staged\n"
        );
    }
}
