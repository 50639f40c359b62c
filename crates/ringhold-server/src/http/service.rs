//! Everything that is not about a bucket: health, metrics, the state of the node and the cluster.
//!
//! `/health/live` says that the process answers; `/health/ready` that the ring is loaded, the store recovered
//! and the listeners are up, whatever the peers do, because a node without its peers still takes
//! writes. `/` lists what there is, under the names that Riak's clients look for before they choose
//! their addresses.

use super::Answer;
use super::accept;
use super::problem::Problem;
use crate::edge::Door;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, LINK, VARY};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use serde_json::{Map, Value, json};

const HTML: &str = "text/html";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain";
/// Prometheus' text format.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What Riak's clients look for, and where it is, by name. Clients take the first place; all generations of addresses are listed for
/// people and in the header. What is not served is not here: that is how clients know.
const RESOURCES: [(&str, &[&str]); 11] = [
    ("riak_kv_wm_bucket_type", &["/types"]),
    ("riak_kv_wm_buckets", &["/buckets"]),
    ("riak_kv_wm_counter", &["/buckets"]),
    ("riak_kv_wm_crdt", &["/types"]),
    ("riak_kv_wm_index", &["/buckets", "/types"]),
    ("riak_kv_wm_keylist", &["/buckets", "/riak", "/types"]),
    ("riak_kv_wm_object", &["/buckets", "/riak", "/types"]),
    ("riak_kv_wm_ping", &["/ping"]),
    ("riak_kv_wm_preflist", &["/buckets", "/types"]),
    ("riak_kv_wm_props", &["/buckets", "/riak", "/types"]),
    ("riak_kv_wm_stats", &["/stats"]),
];

fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

pub(super) fn ping() -> Answer {
    answer(StatusCode::OK, HTML, "OK")
}

pub(super) fn live() -> Answer {
    answer(StatusCode::OK, TEXT, "alive\n")
}

pub(super) fn ready(door: &impl Door) -> Answer {
    match door.ready() {
        Ok(()) => answer(StatusCode::OK, TEXT, "ready\n"),
        Err(missing) => answer(
            StatusCode::SERVICE_UNAVAILABLE,
            TEXT,
            format!("not ready: {missing}\n"),
        ),
    }
}

pub(super) fn metrics(door: &impl Door) -> Answer {
    answer(StatusCode::OK, METRICS, door.metrics())
}

pub(super) fn document(document: &Value) -> Answer {
    answer(StatusCode::OK, JSON, document.to_string())
}

/// The same, and nobody on the way may keep it.
pub(super) fn unkept(document: &Value) -> Answer {
    let mut answer = self::document(document);
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn places() -> impl Iterator<Item = (&'static str, &'static str)> {
    let of_name = |&(name, paths): &(&'static str, &'static [&'static str])| {
        paths.iter().map(move |path| (name, *path))
    };
    RESOURCES.iter().flat_map(of_name)
}

/// What the node has counted, for programs or for people.
pub(super) fn stats(door: &impl Door, request: &Parts) -> Result<Answer, Problem> {
    let accepted = request.headers.get(ACCEPT).map(HeaderValue::as_bytes);
    let mut answer = match accept::choose(accepted, &[JSON, TEXT]) {
        Some(JSON) => document(&door.stats()),
        Some(_) => answer(StatusCode::OK, TEXT, format!("{:#}\n", door.stats())),
        None => return Err(Problem::not_acceptable()),
    };
    answer
        .headers_mut()
        .insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    Ok(answer)
}

/// What there is, as a list for people or an object for clients.
pub(super) fn root(request: &Parts) -> Result<Answer, Problem> {
    let accepted = request.headers.get(ACCEPT).map(HeaderValue::as_bytes);
    let mut answer = match accept::choose(accepted, &[HTML, JSON]) {
        Some(JSON) => {
            let resources: Map<String, Value> = RESOURCES
                .iter()
                .map(|(name, paths)| ((*name).to_owned(), json!(paths[0])))
                .collect();
            answer(StatusCode::OK, JSON, Value::Object(resources).to_string())
        }
        Some(_) => {
            let item = |(name, path)| format!("<li><a href=\"{path}\">{name}</a></li>");
            let items: String = places().map(item).collect();
            answer(
                StatusCode::OK,
                HTML,
                format!("<html><body><ul>{items}</ul></body></html>"),
            )
        }
        None => return Err(Problem::not_acceptable()),
    };
    let links: Vec<String> = places()
        .map(|(name, path)| format!("<{path}>; rel=\"{name}\""))
        .collect();
    let links = HeaderValue::from_str(&links.join(",")).expect("names and paths are plain");
    answer.headers_mut().insert(LINK, links);
    answer
        .headers_mut()
        .insert(VARY, HeaderValue::from_static("Accept"));
    Ok(answer)
}
