//! Indexes at a scenario's end: queries find the entries of the values that are there, no others, and all of them.
//!
//! Every value has two entries that say which operation and which client wrote it. Once all homes of all keys are known to agree, each node is asked for
//! both indexes from end to end and for the list of keys, and has to answer that it could ask everywhere and to tell exactly what the
//! final reads have shown. What read repair is still about gets a moment.

use crate::client;
use crate::datatypes::Kind;
use crate::watchdog::Watchdog;
use crate::workload;
use ringhold_sim::value::Value;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

/// For one query at one node to become right.
const PATIENCE: Duration = Duration::from_secs(10);
/// Below and above all terms.
const RANGES: [&str; 2] = ["0/999999999999", "c/d"];

/// What the final reads have shown.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    /// Terms of each of the indexes, with keys.
    entries: [BTreeSet<(String, String)>; 2],
    keys: BTreeSet<String>,
    /// Of each kind of data type.
    typed: BTreeMap<&'static str, BTreeSet<String>>,
}

impl Expected {
    /// A value that is there.
    pub(crate) fn value(&mut self, value: &Value) {
        let key = value.key.to_string();
        let terms = workload::terms_of(value);
        for (entries, term) in self.entries.iter_mut().zip(terms) {
            entries.insert((term, key.clone()));
        }
        self.keys.insert(key);
    }

    /// A data type that is there.
    pub(crate) fn data_type(&mut self, key: usize) {
        let kind = Kind::of(key).name();
        let keys = self.typed.entry(kind).or_default();
        keys.insert(key.to_string());
    }
}

/// Asks all nodes. What differs is told.
pub(crate) fn check(expected: &Expected, nodes: &[SocketAddr], watchdog: &Watchdog) -> Vec<String> {
    let mut violations = Vec::new();
    for &node in nodes {
        for ((index, range), due) in workload::INDEXES.iter().zip(RANGES).zip(&expected.entries) {
            let path = format!("/buckets/harness/index/{index}/{range}?return_terms=true");
            let ask = || entries_in(&complete(node, &path)?);
            violations.extend(differs(watchdog, index, node, due, ask));
        }
        let ask = |path: &str| keys_in(&complete(node, path)?);
        let what = "the list of keys";
        violations.extend(differs(watchdog, what, node, &expected.keys, || {
            ask("/buckets/harness/keys?keys=true")
        }));
        for (kind, due) in &expected.typed {
            let path = format!("/types/{kind}s/buckets/harness/keys?keys=true");
            violations.extend(differs(watchdog, kind, node, due, || ask(&path)));
        }
    }
    violations
}

/// Asks until an answer is what it has to be, or for too long.
fn differs<T: Ord + std::fmt::Debug>(
    watchdog: &Watchdog,
    what: &str,
    node: SocketAddr,
    due: &BTreeSet<T>,
    mut ask: impl FnMut() -> Result<BTreeSet<T>, String>,
) -> Option<String> {
    let mut latest = String::new();
    let mut is_right = false;
    watchdog.within(PATIENCE, || {
        match ask() {
            Ok(found) if found == *due => is_right = true,
            Ok(found) => latest = difference(&found, due),
            Err(reason) => latest = reason,
        }
        is_right
    });
    (!is_right).then(|| format!("{what} at {node}: {latest}"))
}

fn difference<T: Ord + std::fmt::Debug>(found: &BTreeSet<T>, due: &BTreeSet<T>) -> String {
    let missing: Vec<&T> = due.difference(found).take(5).collect();
    let strange: Vec<&T> = found.difference(due).take(5).collect();
    format!("lacks {missing:?}, has {strange:?} beyond what is there")
}

/// An answer that says that it is complete.
fn complete(node: SocketAddr, path: &str) -> Result<Json, String> {
    let answer =
        client::request(node, "GET", path, &[], b"").map_err(|error| format!("{error:?}"))?;
    let coverage = answer.header("X-Ringhold-Coverage");
    if answer.status != 200 || coverage != Some("complete") {
        return Err(format!("{}, coverage {coverage:?}", answer.status));
    }
    serde_json::from_slice(&answer.body).map_err(|error| error.to_string())
}

fn entries_in(json: &Json) -> Result<BTreeSet<(String, String)>, String> {
    let results = json["results"].as_array();
    let results = results.ok_or_else(|| format!("no results in {json}"))?;
    let mut entries = BTreeSet::new();
    for result in results {
        let pairs = result.as_object().into_iter().flatten();
        for (term, key) in pairs {
            let key = key
                .as_str()
                .ok_or_else(|| format!("{result} is no entry"))?;
            if !entries.insert((term.clone(), key.to_owned())) {
                return Err(format!("{result} is there twice"));
            }
        }
    }
    Ok(entries)
}

fn keys_in(json: &Json) -> Result<BTreeSet<String>, String> {
    let keys = json["keys"].as_array();
    let keys = keys.ok_or_else(|| format!("no keys in {json}"))?.iter();
    let keys = keys.filter_map(|key| key.as_str().map(str::to_owned));
    Ok(keys.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn entries_are_told_once() {
        let pair = |term: &str, key: &str| (term.to_owned(), key.to_owned());
        let answer = json!({ "results": [{ "7": "a" }, { "7": "b" }, { "8": "a" }] });
        let entries = [pair("7", "a"), pair("7", "b"), pair("8", "a")];
        assert_eq!(entries_in(&answer), Ok(BTreeSet::from(entries)));
        let twice = json!({ "results": [{ "7": "a" }, { "7": "a" }] });
        assert!(entries_in(&twice).is_err());
        assert!(entries_in(&json!({ "keys": [] })).is_err());
    }

    #[test]
    fn a_difference_names_both_sides() {
        let text = difference(&BTreeSet::from([1, 2]), &BTreeSet::from([2, 3]));
        assert_eq!(text, "lacks [3], has [1] beyond what is there");
    }
}
