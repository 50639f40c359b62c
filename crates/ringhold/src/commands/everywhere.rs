//! Asking every member for its status.
//!
//! Much of what there is to tell a node knows only of itself, so every member is asked that the first one names. One that does
//! not answer is told on standard error: what it would have said is missing.

use ringhold_client::HttpPool;
use serde_json::Value;

use crate::cli::NodeArgs;
use crate::output::{Failure, say};

const STATUS: &str = "/ringhold/v1/status";

/// What the asked node says, and then each other member that answers, by name.
pub(super) async fn statuses(node: &NodeArgs) -> Result<Vec<(String, Value)>, Failure> {
    let first = status(&node.at, node).await?;
    let own_name = first["node"]["name"].as_str().unwrap_or(&node.at);
    let mut statuses = vec![(own_name.to_owned(), first.clone())];
    for member in first["members"].as_array().into_iter().flatten() {
        let name = member["name"].as_str().unwrap_or("?");
        if name == own_name || member["state"] == "removed" {
            continue;
        }
        let Some(http) = member["http"].as_str().filter(|http| !http.is_empty()) else {
            say(format_args!(
                "{name} was not asked: it names no HTTP address"
            ));
            continue;
        };
        let at = if http.contains("://") {
            http.to_owned()
        } else {
            format!("http://{http}")
        };
        match status(&at, node).await {
            Ok(status) => statuses.push((name.to_owned(), status)),
            Err(failure) => say(format_args!("{name} does not tell: {failure}")),
        }
    }
    Ok(statuses)
}

async fn status(at: &str, node: &NodeArgs) -> Result<Value, Failure> {
    let body = HttpPool::at(at)?.resource(STATUS, node.timeout()).await?;
    serde_json::from_slice(&body).map_err(|error| {
        Failure::failed(format!(
            "{at}{STATUS} did not answer JSON: {error}; is it a Ringhold node?"
        ))
    })
}
