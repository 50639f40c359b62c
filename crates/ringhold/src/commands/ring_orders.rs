//! `cluster leave`, `remove`, `replace`, `weight`, `place`, `commit` and `abort`: orders to the ring, by way of any node.

use std::time::Duration;

use ringhold_client::HttpPool;
use serde_json::{Value, json};

use super::{cluster, recover, ring_plan, transfers, view};
use crate::cli::{NodeArgs, RingCommand};
use crate::output::{Failure, Format, Table, print, print_json};

/// The members need a while to agree.
const AGREEING: Duration = Duration::from_secs(40);

pub(super) async fn run(command: RingCommand, format: Format) -> Result<(), Failure> {
    let (change, node) = match command {
        RingCommand::Members(node) => return members(&node, format).await,
        RingCommand::Plan(node) => return ring_plan::run(&node, format).await,
        RingCommand::Transfers { watch, node } => {
            return transfers::run(&node, watch, format).await;
        }
        RingCommand::Recover {
            r#unsafe,
            yes,
            give_up,
            node,
        } => {
            let insistence = recover::Insistence { r#unsafe, yes };
            return recover::run(&node, give_up, insistence, format).await;
        }
        RingCommand::Commit { wait, node } => return commit(&node, wait, format).await,
        RingCommand::Abort(node) => {
            let changed = order(&node, "abort", None).await?;
            return show(&changed, format);
        }
        RingCommand::Leave { name, node } => (json!({ "change": "leave", "node": name }), node),
        RingCommand::Remove { name, dead, node } => (
            json!({ "change": "remove", "node": name, "yes_it_is_dead": dead.yes_it_is_dead }),
            node,
        ),
        RingCommand::Replace {
            old,
            new,
            dead,
            node,
        } => (
            json!({ "change": "replace", "old": old, "new": new, "yes_it_is_dead": dead.yes_it_is_dead }),
            node,
        ),
        RingCommand::Weight { name, weight, node } => (
            json!({ "change": "weigh", "node": name, "weight": weight }),
            node,
        ),
        RingCommand::Place {
            name,
            zone,
            rack,
            node,
        } => (
            json!({ "change": "place", "node": name, "zone": zone, "rack": rack }),
            node,
        ),
    };
    let changed = order(&node, "stage", Some(&change)).await?;
    show(&changed, format)
}

/// Has a node do something with the ring; what is staged and under way then.
pub(super) async fn order(
    node: &NodeArgs,
    order: &str,
    body: Option<&Value>,
) -> Result<Value, Failure> {
    let path = format!("/ringhold/v1/cluster/{order}");
    let timeout = node.timeout().max(AGREEING);
    let pool = HttpPool::at(&node.at)?;
    let answer = match body {
        Some(body) => pool.act_with(&path, body.to_string(), timeout).await?,
        None => pool.act(&path, timeout).await?,
    };
    parsed(&node.at, &path, &answer)
}

/// A document of the asked node.
pub(super) async fn document(at: &str, path: &str, timeout: Duration) -> Result<Value, Failure> {
    let body = HttpPool::at(at)?.resource(path, timeout).await?;
    parsed(at, path, &body)
}

pub(super) fn parsed(at: &str, path: &str, body: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(body).map_err(|error| {
        Failure::failed(format!(
            "{at}{path} did not answer JSON: {error}; is it a Ringhold node?"
        ))
    })
}

async fn commit(node: &NodeArgs, wait: bool, format: Format) -> Result<(), Failure> {
    // Whoever is asked may leave: who else can be asked is noted before.
    let others = transfers::listeners(node).await?;
    let changed = order(node, "commit", None).await?;
    if !wait {
        return show(&changed, format);
    }
    transfers::wait(node, &others, &changed).await?;
    match format {
        Format::Table => print(format!("done:\n{}", listed(&changed["under_way"]))),
        Format::Json => print_json(&changed),
    }
}

fn show(changed: &Value, format: Format) -> Result<(), Failure> {
    match format {
        Format::Table => print(told(changed)),
        Format::Json => print_json(changed),
    }
}

/// What there is, and what to do next.
fn told(changed: &Value) -> String {
    let mut text = String::new();
    let has = |name: &str| {
        changed[name]
            .as_array()
            .is_some_and(|list| !list.is_empty())
    };
    if has("under_way") {
        text += &format!(
            "under way:\n{}`ringhold cluster transfers` shows how far it is\n",
            listed(&changed["under_way"])
        );
    }
    if has("staged") {
        text += &format!(
            "staged:\n{}nothing moves yet: `ringhold cluster plan` shows what this comes to, `ringhold cluster commit` begins it\n",
            listed(&changed["staged"])
        );
    }
    if text.is_empty() {
        text += "nothing is staged\n";
    }
    text
}

pub(super) fn listed(changes: &Value) -> String {
    let changes = changes.as_array().into_iter().flatten();
    changes
        .map(|change| format!("  {}\n", view::cell(&change["change"])))
        .collect()
}

async fn members(node: &NodeArgs, format: Format) -> Result<(), Failure> {
    let status = document(&node.at, "/ringhold/v1/status", node.timeout()).await?;
    match format {
        Format::Table => print(members_table(&status)),
        Format::Json => print_json(&status["members"]),
    }
}

/// Those that were removed stay listed for ever and are of no interest here.
fn members_table(status: &Value) -> String {
    let headings = [
        "name",
        "state",
        "reached",
        "zone",
        "rack",
        "weight",
        "partitions",
        "share",
        "http",
        "peer",
        "id",
    ];
    let mut table = Table::new(&headings);
    let all = status["cluster"]["partitions"].as_u64().unwrap_or(0);
    let count = |value: &Value| usize::try_from(value.as_u64().unwrap_or(0)).unwrap_or(0);
    let members = status["members"].as_array().into_iter().flatten();
    let mut members: Vec<&Value> = members.filter(|m| m["state"] != "removed").collect();
    members.sort_by_key(|member| view::cell(&member["name"]));
    for member in members {
        let cell = |name: &str| match view::cell(&member[name]) {
            empty if empty.is_empty() => "-".to_owned(),
            text => text,
        };
        let owned = count(&member["partitions"]);
        table.row([
            cell("name"),
            cell("state"),
            cell("reachable"),
            cell("zone"),
            cell("rack"),
            cell("weight"),
            cell("partitions"),
            cluster::share(owned, usize::try_from(all).unwrap_or(0)),
            cell("http"),
            cell("peer"),
            cell("id"),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_staging_the_next_steps_are_told() {
        let changed = json!({ "epoch": 4, "staged": [{ "change": "node4 joins" }, { "change": "node2 leaves" }],
            "under_way": null });
        let text = told(&changed);
        assert!(
            text.starts_with("staged:\n  node4 joins\n  node2 leaves\n"),
            "{text}"
        );
        assert!(
            text.contains("cluster plan") && text.contains("cluster commit"),
            "{text}"
        );
        let moving = json!({ "staged": [], "under_way": [{ "change": "node4 joins" }] });
        assert!(told(&moving).contains("cluster transfers"), "{moving}");
        assert_eq!(
            told(&json!({ "staged": [], "under_way": null })),
            "nothing is staged\n"
        );
    }

    #[test]
    fn members_that_are_gone_are_not_listed() {
        let status = json!({ "cluster": { "partitions": 64 }, "members": [
            { "name": "a", "state": "up", "reachable": true, "zone": "", "weight": 100, "partitions": 64 },
            { "name": "b", "state": "removed", "reachable": false, "partitions": 0 },
        ] });
        let table = members_table(&status);
        assert_eq!(table.lines().count(), 2, "{table}");
        assert!(table.contains("100.0 %"), "{table}");
    }
}
