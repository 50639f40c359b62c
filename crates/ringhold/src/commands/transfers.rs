//! `cluster transfers`, and what `cluster commit --wait` waits for.
//!
//! A change is done when no table of owners waits to come into use, and whoever was told to leave has gone. It goes on whether
//! somebody watches or not. Whoever is asked may be the one that leaves, so another member is asked when it does not answer
//! any more.

use std::time::Duration;

use serde_json::Value;

use super::ring_orders::document;
use super::view::cell;
use crate::cli::NodeArgs;
use crate::output::{Failure, Format, Table, print, print_json, progress_bar};

const PATH: &str = "/ringhold/v1/cluster/transfers";
/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// Rounds over all members without an answer, after which waiting is given up.
const SILENT_ROUNDS_MAX: u32 = 60;

pub(super) async fn run(node: &NodeArgs, watch: bool, format: Format) -> Result<(), Failure> {
    let mut shown = Value::Null;
    let listeners = listeners(node).await?;
    loop {
        let progress = ask(node, &listeners).await?;
        if progress != shown {
            match format {
                Format::Table => print(told(&progress))?,
                Format::Json if watch => print(format!("{progress}\n"))?,
                Format::Json => print_json(&progress)?,
            }
        }
        if !watch || is_done(&progress) {
            return Ok(());
        }
        shown = progress;
        tokio::time::sleep(LOOK).await;
    }
}

/// The HTTP listeners of the members, the asked one first.
pub(super) async fn listeners(node: &NodeArgs) -> Result<Vec<String>, Failure> {
    let status = document(&node.at, "/ringhold/v1/status", node.timeout()).await?;
    let mut listeners = vec![node.at.clone()];
    let members = status["members"].as_array().into_iter().flatten();
    let present = members.filter(|member| member["state"] != "removed");
    let http = present.filter_map(|member| member["http"].as_str());
    listeners.extend(http.filter(|http| !http.is_empty()).map(|http| {
        if http.contains("://") {
            http.to_owned()
        } else {
            format!("http://{http}")
        }
    }));
    Ok(listeners)
}

/// Returns once the change that `committed` tells of is done.
pub(super) async fn wait(
    node: &NodeArgs,
    listeners: &[String],
    committed: &Value,
) -> Result<(), Failure> {
    let bar = progress_bar(1, "replicas in place");
    let epoch = committed["epoch"].as_u64().unwrap_or(0);
    loop {
        let progress = ask(node, listeners).await?;
        // Who has not heard of the change yet has nothing to tell of it.
        if progress["epoch"].as_u64().unwrap_or(0) >= epoch {
            let (done, all) = counts(&progress);
            if all > 0 {
                bar.set_length(all);
                bar.set_position(done);
            }
            if is_done(&progress) {
                bar.finish_and_clear();
                return check_kept(node, listeners, committed).await;
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether nobody has given the change up meanwhile: then it would be staged again.
async fn check_kept(
    node: &NodeArgs,
    listeners: &[String],
    committed: &Value,
) -> Result<(), Failure> {
    let status = first_answer(node, listeners, "/ringhold/v1/status").await;
    let staged = status.map(|status| status["staged"].clone());
    let staged = staged.as_ref().and_then(Value::as_array);
    let changes = committed["under_way"].as_array().into_iter().flatten();
    let is_given_up = |change: &Value| staged.is_some_and(|staged| staged.contains(change));
    if changes.into_iter().any(is_given_up) {
        return Err(Failure::failed(
            "somebody has aborted the change: it is staged again, and everything is as it was",
        ));
    }
    Ok(())
}

async fn ask(node: &NodeArgs, listeners: &[String]) -> Result<Value, Failure> {
    for _ in 0..SILENT_ROUNDS_MAX {
        if let Some(answer) = first_answer(node, listeners, PATH).await {
            return Ok(answer);
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(Failure::failed(
        "no member answers any more; the change goes on when they do: `ringhold cluster transfers` shows it",
    ))
}

async fn first_answer(node: &NodeArgs, listeners: &[String], path: &str) -> Option<Value> {
    for at in listeners {
        if let Ok(answer) = document(at, path, node.timeout()).await {
            return Some(answer);
        }
    }
    None
}

fn is_done(progress: &Value) -> bool {
    let leaving = progress["leaving"].as_array();
    progress["changes"].is_null() && leaving.is_none_or(Vec::is_empty)
}

/// Replicas in place, and all that are to be.
fn counts(progress: &Value) -> (u64, u64) {
    let comers = progress["comers"].as_array().into_iter().flatten();
    comers.fold((0, 0), |(done, all), comer| {
        let count = |name: &str| comer[name].as_u64().unwrap_or(0);
        (done + count("done"), all + count("replicas"))
    })
}

fn told(progress: &Value) -> String {
    if is_done(progress) {
        return "no change is under way\n".to_owned();
    }
    let mut text = String::new();
    let comers = progress["comers"].as_array().into_iter().flatten();
    let mut table = Table::new(&["node", "replicas in place", "of", "waits for"]);
    let mut rows = 0;
    for comer in comers {
        let why = match &comer["waits_for"] {
            Value::Null => "it does not answer".to_owned(),
            Value::Array(why) if why.is_empty() => "-".to_owned(),
            Value::Array(why) => why.iter().map(cell).collect::<Vec<_>>().join("; "),
            other => cell(other),
        };
        table.row([
            cell(&comer["node"]),
            cell(&comer["done"]),
            cell(&comer["replicas"]),
            why,
        ]);
        rows += 1;
    }
    if rows > 0 {
        text += &table.to_string();
    }
    if progress["objects_copied_by_asked"].as_u64() > Some(0) {
        text += &format!(
            "{} has copied {} objects since it was started\n",
            cell(&progress["asked"]),
            cell(&progress["objects_copied_by_asked"])
        );
    }
    for name in progress["leaving"].as_array().into_iter().flatten() {
        let name = cell(name);
        text += &if progress["changes"].is_null() {
            format!("{name} hands over what it still holds, then it is removed\n")
        } else {
            format!("{name} leaves when the others have what it holds\n")
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_change_is_done_when_the_table_is_in_use_and_the_leavers_are_gone() {
        let progress = |changes: Value, leaving: Value| json!({ "changes": changes, "comers": [], "leaving": leaving });
        assert!(is_done(&progress(Value::Null, json!([]))));
        assert!(!is_done(&progress(json!([]), json!([]))));
        assert!(!is_done(&progress(Value::Null, json!(["node4"]))));
        let text = told(&progress(Value::Null, json!(["node4"])));
        assert!(text.starts_with("node4 hands over"), "{text}");
    }

    #[test]
    fn each_comer_says_why_it_waits() {
        let progress = json!({ "changes": [{ "change": "d joins" }], "leaving": [], "comers": [
            { "node": "d", "replicas": 10, "done": 4, "waits_for": ["a, which cannot be reached", "its copy"] },
            { "node": "e", "replicas": 6, "done": 0, "waits_for": null },
        ] });
        assert_eq!(counts(&progress), (4, 16));
        let text = told(&progress);
        assert!(
            text.contains("a, which cannot be reached; its copy"),
            "{text}"
        );
        assert!(text.contains("it does not answer"), "{text}");
        assert!(!text.contains("has copied"), "{text}");
    }

    #[test]
    fn a_comer_that_is_asked_says_how_much_it_has_copied() {
        let progress = json!({ "changes": [{ "change": "d joins" }], "leaving": [], "comers": [
            { "node": "d", "replicas": 10, "done": 0, "waits_for": ["its copy"] },
        ], "asked": "d", "objects_copied_by_asked": 1_204 });
        let text = told(&progress);
        let line = "d has copied 1204 objects since it was started\n";
        assert!(text.ends_with(line), "{text}");
    }
}
