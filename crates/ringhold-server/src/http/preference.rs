//! Where the replicas of a key are, as Riak's clients ask it.
//!
//! In Riak each replica is kept by a partition of its own; here all replicas of a key belong to the key's one partition. They are told as Riak
//! tells them, and where there are fewer nodes than replicas were asked for, nodes come more than once.

use super::Answer;
use super::problem::Problem;
use super::service;
use crate::edge::{Door, Place};
use hyper::header::{HeaderValue, VARY};
use ringhold_wire::message::ObjectName;
use serde_json::{Value, json};

pub(super) fn list(door: &impl Door, name: ObjectName) -> Result<Answer, Problem> {
    let bucket_type = name.bucket_type.clone();
    let places = door.preference_list(name);
    let places = places.ok_or_else(|| Problem::unknown_bucket_type(&bucket_type))?;
    let entries: Vec<Value> = places.iter().map(entry).collect();
    let mut answer = service::document(&json!({ "preflist": entries }));
    let vary = HeaderValue::from_static("Accept-Encoding");
    answer.headers_mut().insert(VARY, vary);
    Ok(answer)
}

fn entry(place: &Place) -> Value {
    json!({
        "partition": place.partition,
        "node": place.node,
        "primary": place.is_primary,
    })
}
