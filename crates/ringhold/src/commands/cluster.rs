//! `cluster`: founding one, and looking at one.

use std::path::Path;
use std::time::Duration;

use ringhold_client::{HttpPool, percent};
use ringhold_server::founding::{Draft, DraftMember};
use serde_json::{Value, json};

use crate::cli::{ClusterCommand, NodeArgs, ObjectArgs};
use crate::commands::{hints, on_runtime, rebuild, repair, ring_orders, verify, view};
use crate::output::{Failure, Format, Table, print, print_json, say};
use crate::random;

pub(super) fn run(command: ClusterCommand, format: Format) -> Result<(), Failure> {
    match command {
        ClusterCommand::Init { founding, members } => init(&founding, &members, format),
        ClusterCommand::Status(node) => on_runtime(show(
            "/ringhold/v1/status".to_owned(),
            node,
            format,
            view::readable,
        )),
        ClusterCommand::Ring(command) => on_runtime(ring_orders::run(command, format)),
        ClusterCommand::Owners(node) => {
            on_runtime(show("/ringhold/v1/ring".to_owned(), node, format, ring))
        }
        ClusterCommand::Rebuild { without, node } => {
            on_runtime(rebuild::run(without, node, format))
        }
        ClusterCommand::Token { ttl, node } => on_runtime(token(ttl, node, format)),
        ClusterCommand::Hints(node) => on_runtime(hints::run(node, format)),
        ClusterCommand::Verify(arguments) => on_runtime(verify::run(arguments, format)),
        ClusterCommand::Repair(arguments) => on_runtime(repair::run(arguments, format)),
        ClusterCommand::Explain { object, node } => {
            on_runtime(show(explain_path(&object), node, format, view::readable))
        }
    }
}

fn explain_path(object: &ObjectArgs) -> String {
    format!(
        "/ringhold/v1/explain/types/{}/buckets/{}/keys/{}",
        percent::encode(&object.bucket_type),
        percent::encode(&object.bucket),
        percent::encode(&object.key)
    )
}

/// Prints nothing but the token, for scripts; when it ends goes to standard error.
async fn token(ttl: Duration, node: NodeArgs, format: Format) -> Result<(), Failure> {
    let path = format!("/ringhold/v1/join-tokens?ttl_s={}", ttl.as_secs().max(1));
    let body = HttpPool::at(&node.at)?.act(&path, node.timeout()).await?;
    let value: Value = serde_json::from_slice(&body)
        .map_err(|error| Failure::failed(format!("{} gave out no token: {error}", node.at)))?;
    match format {
        Format::Table => {
            say(format_args!(
                "good once, until {} (seconds since 1970): ringhold serve --name NAME --data-dir DIR --join PEER --token …",
                value["expires_at"]
            ));
            print(format!("{}\n", view::cell(&value["token"])))
        }
        Format::Json => print_json(&value),
    }
}

async fn show(
    path: String,
    node: NodeArgs,
    format: Format,
    render: fn(&Value) -> String,
) -> Result<(), Failure> {
    let body = HttpPool::at(&node.at)?
        .resource(&path, node.timeout())
        .await?;
    let value: Value = serde_json::from_slice(&body).map_err(|error| {
        Failure::failed(format!(
            "{}{path} did not answer JSON: {error}; is it a Ringhold node?",
            node.at
        ))
    })?;
    match format {
        Format::Table => print(render(&value)),
        Format::Json => print_json(&value),
    }
}

/// Members with what they own, then runs of partitions; 256 rows would hide the shape.
fn ring(value: &Value) -> String {
    let Some(owners) = value.get("owners").and_then(Value::as_array) else {
        return view::readable(value);
    };
    let owners: Vec<String> = owners.iter().map(view::cell).collect();
    let mut out = String::new();
    if let Some(object) = value.as_object() {
        for (name, value) in object
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "members" | "owners"))
        {
            out.push_str(&format!("{name}: {}\n", view::cell(value)));
        }
    }
    let mut names: Vec<&String> = owners.iter().collect();
    names.sort();
    names.dedup();
    let mut table = Table::new(&["member", "partitions", "share"]);
    for name in names {
        let owned = owners.iter().filter(|owner| *owner == name).count();
        table.row([name.clone(), owned.to_string(), share(owned, owners.len())]);
    }
    out.push_str(&format!("\n{table}"));
    let mut table = Table::new(&["from", "owners clockwise"]);
    for (row, run) in owners.chunks(8).enumerate() {
        table.row([(row * 8).to_string(), run.join(" ")]);
    }
    out.push_str(&format!("\n{table}"));
    out
}

/// A part of a whole in per cent, to one decimal.
pub(super) fn share(part: usize, whole: usize) -> String {
    let per_mille = (part * 1_000 + whole / 2) / whole.max(1);
    format!("{}.{} %", per_mille / 10, per_mille % 10)
}

fn init(path: &Path, members: &[String], format: Format) -> Result<(), Failure> {
    let exists = path.exists();
    if exists && !members.is_empty() {
        return Err(Failure::usage(format!(
            "{} is there already: change its members in the file, or name a new file",
            path.display()
        )));
    }
    if !exists && members.is_empty() {
        return Err(Failure::usage(format!(
            "{} does not exist; name its members, such as --member node1=10.0.0.1:8099 --member node2=10.0.0.2:8099",
            path.display()
        )));
    }
    let draft = if exists {
        Draft::load(path)?
    } else {
        let members = members
            .iter()
            .map(|text| member(text))
            .collect::<Result<_, _>>()?;
        Draft {
            members,
            ..Draft::default()
        }
    };
    let founding = draft.clone().draw(&mut random::fill)?;
    founding.write(path)?;
    let names: Vec<&str> = founding
        .members
        .iter()
        .map(|member| member.name.as_str())
        .collect();
    match format {
        Format::Table => print(format!(
            "cluster {} of {} members: {}\n{} holds the cluster's secret (mode 0600). Copy it to every member and run there:\n  ringhold serve --founding {} --name NAME\n",
            founding.cluster_id,
            names.len(),
            names.join(", "),
            path.display(),
            path.display(),
        )),
        Format::Json => print_json(&json!({
            "cluster_id": founding.cluster_id.to_string(),
            "partitions": founding.partitions,
            "target_n": founding.target_n,
            "members": names,
        })),
    }
}

/// `NAME=HOST:PORT`.
fn member(text: &str) -> Result<DraftMember, Failure> {
    match text.split_once('=') {
        Some((name, peer)) if !name.is_empty() && !peer.is_empty() => Ok(DraftMember {
            name: name.to_owned(),
            peer: peer.to_owned(),
            ..DraftMember::default()
        }),
        _ => Err(Failure::usage(format!(
            "--member {text}: write NAME=HOST:PORT"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_is_shown_as_shares_and_runs() {
        let owners: Vec<&str> = ["a", "b", "c"].into_iter().cycle().take(16).collect();
        let text =
            ring(&json!({ "epoch": 1, "partition_count": 16, "owners": owners, "members": [] }));
        assert!(
            text.starts_with("epoch: 1\npartition_count: 16\n"),
            "{text}"
        );
        assert!(text.contains("a                6  37.5 %"), "{text}");
        assert!(text.contains("   8  c a b c a b c a"), "{text}");
        assert!(ring(&json!({ "what": 1 })).contains("what: 1"));
    }

    #[test]
    fn names_in_a_query_are_encoded() {
        let object = ObjectArgs {
            key: "a&b".to_owned(),
            bucket: "c d".to_owned(),
            bucket_type: "t".to_owned(),
        };
        assert_eq!(
            explain_path(&object),
            "/ringhold/v1/explain/types/t/buckets/c%20d/keys/a%26b"
        );
    }
}
