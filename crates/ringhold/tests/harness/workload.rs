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
//! A client that hears of a failure tries again on other nodes with the same operation id, as the documentation tells it to;
//! what a failed try may have left outweighs a later refusal. Three writes in ten are content with one disk: with two, the
//! second hides what the first forgets.

use crate::client::{self, Outcome, Put};
use crate::history::History;
use crate::watchdog::Watchdog;
use ringhold_sim::random::Random;
use ringhold_sim::value::Value;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const ATTEMPTS_MAX: usize = 3;
/// A blind writer merges from so many siblings on, well below what a node refuses.
const SIBLINGS_MAX: usize = 12;
const FILLER_BYTES_MAX: u64 = 1_500;
/// Between two operations of a client: some load, and some time for the nodes.
const THINK_US: u64 = 3_000;

/// Acknowledged by one node, so that what a single one forgets shows, and goes on where others are away.
const ONE_DISK: &str = "&w=1&dw=1&pw=1";

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

/// One client, in a thread of its own.
pub(crate) struct Client<'a> {
    pub(crate) number: usize,
    pub(crate) keys: usize,
    /// Keeps operation ids of different runs apart.
    pub(crate) run: u64,
    pub(crate) nodes: &'a [SocketAddr],
    pub(crate) history: &'a History,
    pub(crate) random: Random,
}

impl Client<'_> {
    /// Works until told to stop.
    pub(crate) fn work(mut self, stop: &AtomicBool, watchdog: &Watchdog) {
        while !stop.load(Ordering::Relaxed) {
            let key = self.random.index(self.keys);
            self.act(key);
            watchdog.hold(Duration::from_micros(self.random.around(THINK_US)));
        }
    }

    fn act(&mut self, key: usize) {
        let blind = match kind_of(key) {
            Kind::Cart => self.random.chance(100_000),
            Kind::Counter => false,
            Kind::Blind => self.random.chance(800_000),
        };
        if blind {
            self.write(key, BTreeSet::new(), None);
            return;
        }
        let Some((items, siblings, context)) = self.read(key) else {
            return;
        };
        let merges = match kind_of(key) {
            Kind::Blind => siblings >= SIBLINGS_MAX,
            Kind::Cart | Kind::Counter => self.random.chance(800_000),
        };
        if merges {
            self.write(key, items, context);
        }
    }

    /// The union of all siblings, their number, and the context.
    fn read(&mut self, key: usize) -> Option<(BTreeSet<u64>, usize, Option<String>)> {
        let node = *self.random.pick(self.nodes);
        match client::get(node, key, "") {
            Ok(found) => {
                let values = self.history.read(key, &found.siblings);
                let items = values.into_iter().flat_map(|value| value.items).collect();
                Some((items, found.siblings.len(), found.context))
            }
            Err(label) => {
                self.history.error(format!("get: {label}"));
                None
            }
        }
    }

    fn write(&mut self, key: usize, mut items: BTreeSet<u64>, context: Option<String>) {
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
            operation: format!("{:x}-{operation}", self.run),
            quorum: if self.random.chance(300_000) {
                ONE_DISK
            } else {
                ""
            },
            body: value.encode().to_vec(),
        };
        let mut outcome = Outcome::Refused;
        for _ in 0..ATTEMPTS_MAX {
            let node = *self.random.pick(self.nodes);
            let (now, label) = client::put(node, &put);
            if let Some(label) = label {
                self.history.error(format!("put: {label}"));
            }
            outcome = combine(outcome, now);
            if outcome == Outcome::Acknowledged {
                break;
            }
        }
        self.history.end(operation, outcome);
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
