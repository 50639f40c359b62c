//! What clients do.
//!
//! Every key is a set of the operations that were added to it, in one of three ways, the same for the whole run:
//!
//! | key | a client | so that |
//! | --- | --- | --- |
//! | cart | reads, merges, adds its own, writes with the context | nothing is replaced that had not been seen |
//! | blind | adds its own without reading; merges when there are many siblings | siblings are kept |
//! | counter | as a cart; an operation counts its amount | the sum is between what was and may have been added |
//!
//! Three operations in ten are on data types (`datatypes`). Every value has index entries that say who wrote it; what queries find in the end is
//! held against what is there (`check_indexes`).
//!
//! A client that hears of a failure tries again on other nodes with the same operation id, as the documentation tells it to;
//! what a failed try may have left outweighs a later refusal. Some give up after a few tries, so that much is going on while nodes are
//! away; others go on until they are answered, so that it shows whether that comes. Three writes in ten are content with one disk: with two, the
//! second hides what the first forgets.

use crate::client::{self, Outcome, Put};
use crate::history::History;
use crate::watchdog::Watchdog;
use ringhold_sim::random::Random;
use ringhold_sim::value::Value;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

/// A blind writer merges from so many siblings on, well below what a node refuses.
const SIBLINGS_MAX: usize = 12;
/// Of a million operations, those on data types.
const ON_DATA_TYPES: u32 = 300_000;
const FILLER_BYTES_MAX: u64 = 1_500;
/// Between two operations of a client: some load, and some time for the nodes.
const THINK_US: u64 = 3_000;
/// Before one more try, where a few have not helped.
const TRY_AGAIN_US: u64 = 30_000;

/// Acknowledged by one node, so that what a single one forgets shows, and goes on where others are away.
const ONE_DISK: &str = "&w=1&dw=1&pw=1";

/// The indexes of all values: the operation that wrote one, and its client.
pub(crate) const INDEXES: [&str; 2] = ["operation_int", "client_bin"];

/// The terms of a value in the [`INDEXES`].
pub(crate) fn terms_of(value: &Value) -> [String; 2] {
    [value.operation.to_string(), format!("c{}", value.client)]
}

fn entries_of(value: &Value) -> Vec<(&'static str, String)> {
    let names = ["X-Riak-Index-operation_int", "X-Riak-Index-client_bin"];
    names.into_iter().zip(terms_of(value)).collect()
}

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Cart,
    Blind,
    Counter,
}

pub(crate) fn kind_of(key: usize) -> Kind {
    [Kind::Cart, Kind::Blind, Kind::Counter][key % 3]
}

/// What an operation on a counter adds.
pub(crate) fn amount_of(operation: usize) -> usize {
    operation % 9 + 1
}

/// How often a client tries before it gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tries {
    pub(crate) get: usize,
    put: usize,
}

impl Tries {
    pub(crate) const FEW: Self = Self { get: 1, put: 3 };
    /// Or for half a minute at least: then it is a violation that nobody has answered.
    pub(crate) const UNTIL_ANSWERED: Self = Self {
        get: 1_000,
        put: 1_000,
    };
}

/// The nodes that clients know, which may change while they work.
#[derive(Debug)]
pub(crate) struct Contacts(RwLock<Vec<SocketAddr>>);

impl Contacts {
    pub(crate) fn of(nodes: Vec<SocketAddr>) -> Self {
        Self(RwLock::new(nodes))
    }

    pub(crate) fn replace(&self, nodes: Vec<SocketAddr>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = nodes;
    }

    fn pick(&self, random: &mut Random) -> SocketAddr {
        let nodes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        *random.pick(&nodes)
    }
}

/// One client, in a thread of its own.
pub(crate) struct Client<'a> {
    pub(crate) number: usize,
    pub(crate) keys: usize,
    /// Keeps operation ids of different runs apart.
    pub(crate) run: u64,
    pub(crate) contacts: &'a Contacts,
    pub(crate) tries: Tries,
    pub(crate) history: &'a History,
    pub(crate) random: Random,
}

impl Client<'_> {
    /// Works until told to stop.
    pub(crate) fn work(mut self, stop: &AtomicBool, watchdog: &Watchdog) {
        while !stop.load(Ordering::Relaxed) {
            if self.random.chance(ON_DATA_TYPES) {
                self.act_on_a_data_type(watchdog);
            } else {
                let key = self.random.index(self.keys);
                self.act(key, watchdog);
            }
            watchdog.hold(Duration::from_micros(self.random.around(THINK_US)));
        }
    }

    fn act(&mut self, key: usize, watchdog: &Watchdog) {
        let blind = match kind_of(key) {
            Kind::Cart => self.random.chance(100_000),
            Kind::Counter => false,
            Kind::Blind => self.random.chance(800_000),
        };
        if blind {
            self.write(key, BTreeSet::new(), None, watchdog);
            return;
        }
        let Some((items, siblings, context)) = self.read(key, watchdog) else {
            return;
        };
        let merges = match kind_of(key) {
            Kind::Blind => siblings >= SIBLINGS_MAX,
            Kind::Cart | Kind::Counter => self.random.chance(800_000),
        };
        if merges {
            self.write(key, items, context, watchdog);
        }
    }

    /// The union of all siblings, their number, and the context.
    fn read(
        &mut self,
        key: usize,
        watchdog: &Watchdog,
    ) -> Option<(BTreeSet<u64>, usize, Option<String>)> {
        let mut found = None;
        let what = format!("a read of key {key}");
        self.retry(&what, self.tries.get, watchdog, |client, node| {
            match client::get(node, key, "") {
                Ok(read) => found = Some(read),
                Err(label) => client.history.error(format!("get: {label}")),
            }
            found.is_some()
        });
        let found = found?;
        let values = self.history.read(key, &found.siblings);
        let items = values.into_iter().flat_map(|value| value.items).collect();
        Some((items, found.siblings.len(), found.context))
    }

    fn write(
        &mut self,
        key: usize,
        mut items: BTreeSet<u64>,
        context: Option<String>,
        watchdog: &Watchdog,
    ) {
        let operation = self.history.begin(self.number, key);
        items.insert(u64::try_from(operation).expect("counts fit"));
        let filler = self.random.below(FILLER_BYTES_MAX);
        let value = Value {
            operation,
            client: self.number,
            key,
            items,
            filler_bytes: usize::try_from(filler).expect("it is small"),
        };
        let put = Put {
            key,
            context,
            operation: self.operation_id(operation),
            quorum: self.quorum(),
            entries: entries_of(&value),
            body: value.encode().to_vec(),
        };
        self.write_until_answered(operation, "put", watchdog, |node| client::put(node, &put));
    }

    /// The same for every try.
    pub(crate) fn operation_id(&self, operation: usize) -> String {
        format!("{:x}-{operation}", self.run)
    }

    pub(crate) fn quorum(&mut self) -> &'static str {
        if self.random.chance(300_000) {
            ONE_DISK
        } else {
            ""
        }
    }

    /// Sends a write until it is acknowledged or the tries are used up, and notes its end.
    pub(crate) fn write_until_answered(
        &mut self,
        operation: usize,
        verb: &str,
        watchdog: &Watchdog,
        attempt: impl Fn(SocketAddr) -> (Outcome, Option<String>),
    ) {
        let mut outcome = Outcome::Refused;
        let what = format!("operation {operation}");
        self.retry(&what, self.tries.put, watchdog, |client, node| {
            let (now, label) = attempt(node);
            if let Some(label) = label {
                client.history.error(format!("{verb}: {label}"));
            }
            outcome = combine(outcome, now);
            outcome == Outcome::Acknowledged
        });
        self.history.end(operation, outcome);
    }

    /// Asks nodes until one has answered, or the tries are used up.
    pub(crate) fn retry(
        &mut self,
        what: &str,
        tries: usize,
        watchdog: &Watchdog,
        mut attempt: impl FnMut(&Self, SocketAddr) -> bool,
    ) {
        let began = Instant::now();
        for tried in 0..tries {
            if tried >= Tries::FEW.put {
                watchdog.hold(Duration::from_micros(self.random.around(TRY_AGAIN_US)));
            }
            let node = self.contacts.pick(&mut self.random);
            if attempt(self, node) {
                if tried > 0 {
                    self.history.cured(began.elapsed());
                }
                return;
            }
        }
        if self.tries == Tries::UNTIL_ANSWERED {
            self.history.violation(format!(
                "{what} was not answered in {} s and {tries} tries",
                began.elapsed().as_secs()
            ));
        }
    }
}

/// What is known after one more try.
fn combine(before: Outcome, now: Outcome) -> Outcome {
    match (before, now) {
        (_, Outcome::Acknowledged) => Outcome::Acknowledged,
        (Outcome::Refused, now) => now,
        (before, _) => before,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_happened_outweighs_a_refusal() {
        use Outcome::{Acknowledged, Refused, Unknown};
        assert_eq!(combine(Unknown, Refused), Unknown);
        assert_eq!(combine(Refused, Unknown), Unknown);
        assert_eq!(combine(Unknown, Acknowledged), Acknowledged);
        assert_eq!(combine(Refused, Refused), Refused);
    }
}
