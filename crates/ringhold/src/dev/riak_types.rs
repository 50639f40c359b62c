//! What Riak's client libraries expect of a server when they test themselves.
//!
//! Their suites name bucket types that somebody has created and activated before, a bucket that keeps siblings, and a default type that does
//! not. Their scripts do that with Riak's own tools; here it is `dev --riak-types`. Whatever is there already stays.

use std::time::Duration;

use ringhold_client::{HttpPool, Request};
use serde_json::{Value, json};

use crate::dev::DevError;

/// What the default type is like then.
pub(crate) const SETTINGS: [&str; 1] = ["default_bucket.allow_mult=false"];

/// How nodes are called then: some tests look for the name.
pub(crate) fn node_name(number: usize) -> String {
    format!("dev{number}@127.0.0.1")
}

/// Agreeing on each takes a moment.
const TIMEOUT: Duration = Duration::from_secs(30);
const TYPES: &str = "/ringhold/v1/bucket-types";

fn types() -> Vec<(&'static str, Value)> {
    let datatype = |kind: &str| json!({ "datatype": kind });
    vec![
        ("plain", json!({})),
        ("no_siblings", json!({ "allow_mult": "false" })),
        ("write_once", json!({ "write_once": true })),
        ("counters", datatype("counter")),
        (
            "other_counters",
            json!({ "datatype": "counter", "allow_mult": true }),
        ),
        ("sets", datatype("set")),
        ("gsets", datatype("gset")),
        ("gset_bucket", datatype("gset")),
        ("hlls", datatype("hll")),
        ("maps", datatype("map")),
        ("mr", json!({})),
        ("search_type", json!({})),
        ("yokozuna", json!({})),
    ]
}

/// Makes it all, by way of one node.
pub(crate) async fn set_up(url: &str) -> Result<(), DevError> {
    let failed = |error: String| DevError::RiakTypes { error };
    let pool = HttpPool::at(url).map_err(|error| failed(error.to_string()))?;
    let known = pool.resource(TYPES, TIMEOUT).await;
    let known = known.map_err(|error| failed(error.to_string()))?;
    let known: Value = serde_json::from_slice(&known).unwrap_or(Value::Null);
    let is_active = |name: &str| {
        let mut known = known.as_array().into_iter().flatten();
        known.any(|one| one["name"] == name && one["state"] == "active")
    };
    let missing: Vec<(&str, Value)> = types()
        .into_iter()
        .filter(|(name, _)| !is_active(name))
        .collect();
    // All are created first, so that there is one wait until every node knows them.
    for (name, properties) in &missing {
        let body = json!({ "props": properties }).to_string();
        let path = format!("{TYPES}/{name}/create");
        let created = pool.act_with(&path, body, TIMEOUT).await;
        created.map_err(|error| failed(error.to_string()))?;
    }
    for (name, _) in &missing {
        let path = format!("{TYPES}/{name}/activate");
        let activated = pool.act(&path, TIMEOUT).await;
        activated.map_err(|error| failed(error.to_string()))?;
    }
    let mut keeps_siblings = Request::put("/buckets/test_multi_bucket/props", TIMEOUT)
        .header("content-type", "application/json")
        .map_err(|error| failed(error.to_string()))?;
    keeps_siblings.body = json!({ "props": { "allow_mult": true } })
        .to_string()
        .into();
    let answer = pool.request(&keeps_siblings).await;
    match answer.map_err(|error| failed(error.to_string()))? {
        answer if answer.status == 204 => Ok(()),
        answer => Err(failed(answer.text())),
    }
}
