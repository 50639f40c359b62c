//! What clients do with data types.
//!
//! Some keys are counters, sets and maps of bucket types of their own. Every update puts in the item that is its operation's number, and
//! counts an amount of its own, so what a key must show follows from the operations by themselves:
//!
//! | key | an update | a removal, as it was read |
//! | --- | --- | --- |
//! | counter | increments | |
//! | set | adds its item | an item |
//! | map | increments its counter and adds its item to its set, in one | an item of its set |
//!
//! Each is tried again under its operation id, at other nodes, like any write. What comes of it is judged in `check_datatypes`.

use crate::client;
use crate::watchdog::Watchdog;
use crate::workload::Client;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::Range;

/// The keys of data types, by numbers that no other key has. There are enough that none has as many operations while nodes are apart
/// as a value remembers.
pub(crate) const KEYS: Range<usize> = 1_000..1_018;

/// The parts of a map.
const COUNTER: &str = "n_counter";
const SET: &str = "s_set";

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Set,
    Map,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Counter, Self::Set, Self::Map];

    pub(crate) fn of(key: usize) -> Self {
        Self::ALL[key % Self::ALL.len()]
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Set => "set",
            Self::Map => "map",
        }
    }

    /// Where a key of this kind is.
    fn path(self, key: usize) -> String {
        let name = self.name();
        format!("/types/{name}s/buckets/harness/datatypes/{key}")
    }
}

/// What an operation adds to a counter.
pub(crate) fn amount_of(operation: usize) -> usize {
    operation * 7_919 % 997 + 1
}

/// What a data type shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    /// That something was ever written and is not deleted.
    pub(crate) is_there: bool,
    pub(crate) count: usize,
    /// The operations whose items are there.
    pub(crate) items: BTreeSet<usize>,
    pub(crate) context: Option<String>,
}

impl Shown {
    /// None if this is nothing that updates make.
    fn of(kind: Kind, json: &Json) -> Option<Self> {
        let value = &json["value"];
        let (count, items) = match kind {
            Kind::Counter => (value, &Json::Null),
            Kind::Set => (&Json::Null, value),
            Kind::Map => (&value[COUNTER], &value[SET]),
        };
        let count = if count.is_null() {
            0
        } else {
            usize::try_from(count.as_u64()?).ok()?
        };
        let items = items.as_array().map_or(&[][..], Vec::as_slice).iter();
        let items = items.map(|item| item.as_str()?.parse().ok());
        let context = json["context"].as_str().map(str::to_owned);
        Some(Self {
            is_there: !value.is_null(),
            count,
            items: items.collect::<Option<_>>()?,
            context,
        })
    }
}

/// Creates the types and makes them active, and waits until all nodes serve them.
pub(crate) fn create_types(nodes: &[SocketAddr], watchdog: &Watchdog) {
    let is_done = |kind: Kind, order: &str, props: &Json| {
        let path = format!("/ringhold/v1/bucket-types/{}s/{order}", kind.name());
        let body = json!({ "props": props }).to_string();
        let headers = [("Content-Type", "application/json")];
        let answer = client::request(nodes[0], "POST", &path, &headers, body.as_bytes());
        answer.is_ok_and(|answer| answer.status == 200)
    };
    // A type is ready when all have told that they know it: for all three that is the same moment.
    for kind in Kind::ALL {
        let props = json!({ "datatype": kind.name() });
        watchdog.wait_until("a type is created", || is_done(kind, "create", &props));
    }
    for kind in Kind::ALL {
        let props = json!({});
        watchdog.wait_until("a type is active", || is_done(kind, "activate", &props));
    }
    for (node, kind) in nodes
        .iter()
        .flat_map(|node| Kind::ALL.map(|kind| (node, kind)))
    {
        let path = format!("/types/{}s/props", kind.name());
        watchdog.wait_until("a node serves the type", || {
            client::document(*node, &path).is_some()
        });
    }
}

/// Reads a key. `quorum` is added to the query.
///
/// # Errors
/// A text for the tallies, which begins with "nonsense" if that is what was there.
pub(crate) fn get(node: SocketAddr, key: usize, quorum: &str) -> Result<Shown, String> {
    let kind = Kind::of(key);
    let answer = client::get_path(node, &kind.path(key), quorum)?;
    let nonsense = || format!("nonsense: {}", String::from_utf8_lossy(&answer.body));
    let json: Json = serde_json::from_slice(&answer.body).map_err(|_| nonsense())?;
    Shown::of(kind, &json).ok_or_else(nonsense)
}

/// An item that goes, as it was read.
struct Removal {
    item: usize,
    context: Option<String>,
}

/// The body of an update: of what it adds, or of the item that it takes out.
fn body_of(kind: Kind, operation: usize, removal: Option<&Removal>) -> Json {
    let amount = amount_of(operation);
    let Some(Removal { item, context }) = removal else {
        let added = json!({ "add": operation.to_string() });
        return match kind {
            Kind::Counter => json!({ "increment": amount }),
            Kind::Set => added,
            Kind::Map => json!({ "update": { COUNTER: { "increment": amount }, SET: added } }),
        };
    };
    let mut removed = json!({ "remove": item.to_string() });
    if kind == Kind::Map {
        removed = json!({ "update": { SET: removed } });
    }
    removed["context"] = json!(context);
    removed
}

impl Client<'_> {
    /// Updates one of the keys, or takes something out that was read.
    pub(crate) fn act_on_a_data_type(&mut self, watchdog: &Watchdog) {
        let key = KEYS.start + self.random.index(KEYS.len());
        if Kind::of(key) == Kind::Counter || self.random.chance(600_000) {
            return self.update(key, None, watchdog);
        }
        let mut found = None;
        let what = format!("a read of key {key}");
        self.retry(&what, self.tries.get, watchdog, |client, node| {
            match get(node, key, "") {
                Ok(shown) => found = Some(shown),
                Err(label) => client.history.error(format!("fetch: {label}")),
            }
            found.is_some()
        });
        let Some(found) = found else { return };
        self.history.read_items(key, &found.items);
        let items: Vec<usize> = found.items.iter().copied().collect();
        if !items.is_empty() {
            let item = *self.random.pick(&items);
            let context = found.context;
            self.update(key, Some(&Removal { item, context }), watchdog);
        }
    }

    fn update(&mut self, key: usize, removal: Option<&Removal>, watchdog: &Watchdog) {
        let kind = Kind::of(key);
        let item = removal.map(|removal| removal.item);
        let operation = self.history.begin_update(self.number, key, item);
        let body = body_of(kind, operation, removal).to_string();
        let id = self.operation_id(operation);
        let quorum = self.quorum();
        self.write_until_answered(operation, "update", watchdog, |node| {
            let headers = [
                ("Content-Type", "application/json"),
                ("Idempotency-Key", id.as_str()),
            ];
            let path = kind.path(key);
            client::write(node, "POST", &path, quorum, &headers, body.as_bytes())
        });
    }
}
