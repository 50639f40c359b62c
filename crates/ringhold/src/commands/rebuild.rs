//! `cluster rebuild`: which nodes lost something, and how far they are with making up for it.

use ringhold_client::{HttpPool, percent};
use serde_json::{Value, json};

use super::everywhere;
use crate::cli::NodeArgs;
use crate::output::{Failure, Format, Table, print, print_json, say};

pub(super) async fn run(
    without: Option<String>,
    node: NodeArgs,
    format: Format,
) -> Result<(), Failure> {
    if let Some(member) = without {
        let path = format!("/ringhold/v1/rebuild/without/{}", percent::encode(&member));
        HttpPool::at(&node.at)?.act(&path, node.timeout()).await?;
        say(format_args!("{} goes on without {member}", node.at));
    }
    let statuses = everywhere::statuses(&node).await?;
    let rows: Vec<Value> = statuses
        .iter()
        .map(|(name, status)| json!({ "node": name, "rebuild": status["rebuild"] }))
        .collect();
    match format {
        Format::Table => print(table(&rows)),
        Format::Json => print_json(&Value::Array(rows)),
    }
}

fn table(rows: &[Value]) -> String {
    let mut table = Table::new(&[
        "node",
        "state",
        "partitions",
        "objects",
        "bytes",
        "for",
        "waits for",
    ]);
    for row in rows {
        let (node, rebuild) = (super::view::cell(&row["node"]), &row["rebuild"]);
        if rebuild.is_null() {
            let nothing = || "-".to_owned();
            let (a, b, c, d, e) = (nothing(), nothing(), nothing(), nothing(), nothing());
            table.row([node, "whole".to_owned(), a, b, c, d, e]);
            continue;
        }
        let number = |member: &str| rebuild[member].as_u64().unwrap_or(0);
        let known = number("partitions") - number("partitions_in_doubt").min(number("partitions"));
        let waits_for = rebuild["waits_for"].as_array().into_iter().flatten();
        let waits_for: Vec<&str> = waits_for.filter_map(Value::as_str).collect();
        table.row([
            node,
            "rebuilding".to_owned(),
            format!("{known} of {}", number("partitions")),
            number("objects").to_string(),
            number("object_bytes").to_string(),
            format!("{} s", number("elapsed_s")),
            if waits_for.is_empty() {
                "-".to_owned()
            } else {
                waits_for.join(", ")
            },
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_and_rebuilding_nodes_are_told_apart() {
        let rows = [
            json!({ "node": "a", "rebuild": null }),
            json!({ "node": "b", "rebuild": {
                "partitions": 64, "partitions_in_doubt": 24, "objects": 900, "object_bytes": 90_000,
                "elapsed_s": 3, "waits_for": ["c", "d"],
            } }),
        ];
        let table = table(&rows);
        assert!(table.contains("a     whole"), "{table}");
        assert!(
            table.contains("40 of 64") && table.contains("c, d"),
            "{table}"
        );
    }
}
