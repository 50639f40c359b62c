//! `bucket-type`: kinds of buckets, by way of any node.
//!
//! The lines that say what was done are those of Riak's tool: scripts that set up a cluster look for them.

use std::time::Duration;

use ringhold_client::{HttpPool, percent};
use serde_json::{Value, json};

use super::{ring_orders, view};
use crate::cli::{BucketTypeCommand, NodeArgs};
use crate::output::{Failure, Format, Table, print, print_json};

/// The members need a while to agree, and to hear of what is to be activated.
const AGREEING: Duration = Duration::from_secs(40);

pub(super) async fn run(command: BucketTypeCommand, format: Format) -> Result<(), Failure> {
    match command {
        BucketTypeCommand::Create {
            name,
            properties,
            node,
        } => {
            let properties = properties.unwrap_or_else(|| json!({ "props": {} }).to_string());
            let created = order(&node, &name, "create", Some(properties)).await?;
            done(&created, format!("{name} created\n"), format)
        }
        BucketTypeCommand::Activate { name, node } => {
            let active = order(&node, &name, "activate", None).await?;
            done(&active, format!("{name} has been activated\n"), format)
        }
        BucketTypeCommand::Update {
            name,
            properties,
            node,
        } => {
            let updated = order(&node, &name, "update", Some(properties)).await?;
            done(&updated, format!("{name} updated\n"), format)
        }
        BucketTypeCommand::Status { name, node } => status(&node, &name, format).await,
        BucketTypeCommand::List(node) => {
            let path = "/ringhold/v1/bucket-types";
            let types = ring_orders::document(&node.at, path, node.timeout()).await?;
            match format {
                Format::Table => print(listed(&types)),
                Format::Json => print_json(&types),
            }
        }
    }
}

/// Has a node create, activate or change a type; how far that is then.
pub(crate) async fn order(
    node: &NodeArgs,
    name: &str,
    order: &str,
    body: Option<String>,
) -> Result<Value, Failure> {
    let path = format!(
        "/ringhold/v1/bucket-types/{}/{order}",
        percent::encode(name)
    );
    let timeout = node.timeout().max(AGREEING);
    let pool = HttpPool::at(&node.at)?;
    let answer = match body {
        Some(body) => pool.act_with(&path, body, timeout).await?,
        None => pool.act(&path, timeout).await?,
    };
    ring_orders::parsed(&node.at, &path, &answer)
}

async fn status(node: &NodeArgs, name: &str, format: Format) -> Result<(), Failure> {
    let path = format!("/ringhold/v1/bucket-types/{}", percent::encode(name));
    let found = ring_orders::document(&node.at, &path, node.timeout()).await;
    if let (Err(failure), Format::Table) = (&found, format)
        && failure.message.contains("is not an existing bucket type")
    {
        // Where scripts look for it.
        print(format!("{name} is not an existing bucket type\n"))?;
    }
    let found = found?;
    let text = format!("{}\n\n{}", stage(&found), view::readable(&found["props"]));
    done(&found, text, format)
}

fn done(answer: &Value, text: String, format: Format) -> Result<(), Failure> {
    match format {
        Format::Table => print(text),
        Format::Json => print_json(answer),
    }
}

/// How far a type is, in Riak's words.
fn stage(told: &Value) -> String {
    let name = view::cell(&told["name"]);
    match told["state"].as_str() {
        Some("active") => format!("{name} is active"),
        Some("ready") => format!("{name} has been created and may be activated"),
        _ => {
            let missing = told["not_known_to"].as_array().into_iter().flatten();
            let missing: Vec<String> = missing.map(view::cell).collect();
            format!(
                "{name} has been created and cannot be activated yet: {} has not said that it knows of it",
                missing.join(", ")
            )
        }
    }
}

fn listed(types: &Value) -> String {
    let mut table = Table::new(&["name", "state", "data type"]);
    for one in types.as_array().into_iter().flatten() {
        let datatype = match &one["props"]["datatype"] {
            Value::Null => "-".to_owned(),
            datatype => view::cell(datatype),
        };
        table.row([
            view::cell(&one["name"]),
            view::cell(&one["state"]),
            datatype,
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_scripts_look_for() {
        let told =
            |state: &str| json!({ "name": "maps", "state": state, "not_known_to": ["b", "c"] });
        assert_eq!(stage(&told("active")), "maps is active");
        assert!(stage(&told("ready")).ends_with("may be activated"));
        assert!(stage(&told("created")).contains("yet: b, c has not"));
        let row = json!([{ "name": "maps", "state": "active", "props": { "datatype": "map" } }]);
        assert!(listed(&row).contains("map"), "{}", listed(&row));
    }
}
