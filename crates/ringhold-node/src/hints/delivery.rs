//! Bringing hints home.
//!
//! One task walks the hints in the order of the ring, a page at a time, and hands each object to all homes that
//! can be reached. A home that refuses or is silent slows the whole walk down: receivers set the pace. After
//! a walk that left something, the next one comes after a pause that doubles up to ten seconds, or at once
//! when a new hint or a returning peer gives reason to.
//!
//! What some homes have confirmed and others not is remembered in memory, so that a home that is away for a
//! day does not make the others take the same object all day. Forgetting it costs a transfer, no more.

use super::debts::Ledger;
use super::row::HintRow;
use crate::env::{CallError, Deadline, Environment, alive_after};
use crate::gather::Gather;
#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::node::Node;
use ringhold_core::health::Work;
use ringhold_core::id::NodeId;
use ringhold_core::version::{Context, Object};
use ringhold_storage::{KeyRange, Keyspace, StorageKey};
use ringhold_wire::message::ObjectName;
use ringhold_wire::message::peer::{MergeRequest, Refusal, Reply, Request};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

/// Hints under way at once.
const PAGE_ROWS: usize = 32;
/// How long a home may take for one object, in microseconds.
const PATIENCE_US: u64 = 5_000_000;
/// Between two walks, at first and at most.
const PAUSE_US: u64 = 500_000;
const PAUSE_US_MAX: u64 = 10_000_000;
/// After a page that a home refused or let wait.
const BREATH_US: u64 = 100_000;
/// Hints of which is remembered who has them.
const CONFIRMED_MAX: usize = 100_000;

/// The homes that have given a receipt for an object, and what the receipts cover.
#[derive(Clone, Debug, Default)]
struct Confirmed {
    context: Context,
    homes: Vec<NodeId>,
}

/// A hint with what it is about.
struct Owed {
    key: StorageKey,
    row: HintRow,
    name: ObjectName,
    object: Object,
    homes: Vec<NodeId>,
    confirmed: Confirmed,
}

impl Owed {
    /// A hint whose object is gone.
    fn nothing(key: StorageKey, row: HintRow) -> Self {
        let name = ObjectName {
            bucket_type: bytes::Bytes::new(),
            bucket: bytes::Bytes::new(),
            key: bytes::Bytes::new(),
        };
        Self {
            key,
            row,
            name,
            object: Object::new(),
            homes: Vec::new(),
            confirmed: Confirmed::default(),
        }
    }
}

/// Delivers for as long as the node lives.
pub(crate) async fn run(node: Weak<Node>, environment: Arc<dyn Environment>) {
    let mut memory = BTreeMap::new();
    let mut pause_us = PAUSE_US;
    while let Some(node) = alive_after(&node, &*environment, pause_us).await {
        if node.store().poisoned().is_some() {
            return;
        }
        let before = node.replica.hints().rows();
        if before == 0 {
            memory.clear();
            pause_us = PAUSE_US;
            continue;
        }
        let settled = Walk::new(&node, &mut memory).walk().await;
        let progressed = node.replica.hints().rows() < before;
        pause_us = if settled || progressed {
            PAUSE_US
        } else {
            (pause_us * 2).min(PAUSE_US_MAX)
        };
    }
}

/// One walk over all hints.
struct Walk<'a> {
    node: &'a Arc<Node>,
    memory: &'a mut BTreeMap<StorageKey, Confirmed>,
    ledger: Ledger,
    /// A home of this page was not willing or not able.
    was_refused: bool,
}

impl<'a> Walk<'a> {
    fn new(node: &'a Arc<Node>, memory: &'a mut BTreeMap<StorageKey, Confirmed>) -> Self {
        Self {
            node,
            memory,
            ledger: Ledger::default(),
            was_refused: false,
        }
    }

    /// True if nothing is owed to anybody at its end.
    async fn walk(mut self) -> bool {
        let mut range = KeyRange::ALL;
        loop {
            let turn = self.node.background.turn(Work::Hints).await;
            let page = self
                .node
                .store()
                .readable(Keyspace::Hints, &range, PAGE_ROWS);
            let Ok(page) = page else {
                // It may be readable the next time; nothing is dropped for it.
                return false;
            };
            let mut owed: Vec<Owed> = page
                .rows
                .into_iter()
                .filter_map(|(key, row)| self.look_up(key, row))
                .collect();
            self.send(&mut owed).await;
            for owed in owed {
                self.settle(owed).await;
            }
            drop(turn);
            match page.next {
                Some(next) => range.start = next,
                None => break,
            }
            self.breathe().await;
        }
        let settled = self.ledger.is_empty();
        self.node.debts.set(self.ledger);
        settled
    }

    /// What a hint is about; none if its object can't be read at present.
    fn look_up(&self, key: StorageKey, row: bytes::Bytes) -> Option<Owed> {
        let row = HintRow::decode(row).ok()?;
        let record = self.node.replica.record_at(key).ok()?;
        let Some(record) = record else {
            // The disk has lost the object. Nobody is owed anything; the hint goes.
            return Some(Owed::nothing(key, row));
        };
        let homes = self.node.homes(&record.name);
        let remembered = self.memory.get(&key).cloned().unwrap_or_default();
        // What was confirmed counts only for the object as it was.
        let still = remembered.context.includes(record.object.context());
        let confirmed = if still {
            remembered
        } else {
            Confirmed {
                context: record.object.context().clone(),
                homes: Vec::new(),
            }
        };
        Some(Owed {
            key,
            row,
            name: record.name,
            object: record.object,
            homes,
            confirmed,
        })
    }

    /// Hands each object to the homes that have not confirmed it.
    async fn send(&mut self, owed: &mut [Owed]) {
        let node = self.node;
        let deadline = Deadline::after(&*node.environment, PATIENCE_US);
        let mut calls = Gather::until(Arc::clone(&node.environment), deadline);
        for (at, owed) in owed.iter().enumerate() {
            let missing = owed.homes.iter().filter(|&&home| {
                home != node.id && !owed.confirmed.homes.contains(&home) && node.is_reachable(home)
            });
            for &home in missing {
                let request = Request::Merge(MergeRequest {
                    name: owed.name.clone(),
                    object: owed.object.clone(),
                    flushed: true,
                });
                #[cfg(feature = "known-bad")]
                let request = known_bad::unflushed(request);
                calls.ask((at, home), node.call(home, request, deadline));
            }
        }
        while let Some(((at, home), reply)) = calls.next().await {
            match reply {
                Ok(Reply::Merged { durable: true }) => owed[at].confirmed.homes.push(home),
                #[cfg(feature = "known-bad")]
                Ok(Reply::Merged { .. }) if known_bad::is(Variant::ReceiptFromMemory) => {
                    owed[at].confirmed.homes.push(home);
                }
                #[cfg(feature = "known-bad")]
                _ if known_bad::is(Variant::HintSentIsDelivered) => {
                    owed[at].confirmed.homes.push(home);
                }
                Ok(Reply::Refused(Refusal::Overloaded)) | Err(CallError::NoAnswer) => {
                    self.was_refused = true;
                }
                _ => {}
            }
        }
    }

    /// Drops the hint if all homes have confirmed it, else notes what is owed.
    async fn settle(&mut self, owed: Owed) {
        let node = self.node;
        let missing: Vec<NodeId> = owed
            .homes
            .iter()
            .copied()
            .filter(|home| *home != node.id && !owed.confirmed.homes.contains(home))
            .collect();
        #[cfg(feature = "known-bad")]
        let missing = if known_bad::is(Variant::OneHomeIsEnough) && !owed.confirmed.homes.is_empty()
        {
            Vec::new()
        } else {
            missing
        };
        // Receipts of those who were homes when this walk came by are none of those who are now; the next walk asks these.
        let homes_stay = owed.homes.is_empty() || node.homes(&owed.name) == owed.homes;
        if missing.is_empty() && !homes_stay {
            return;
        }
        if missing.is_empty() {
            let is_home = owed.homes.contains(&node.id) || node.is_home(&owed.name);
            let delivered = owed.confirmed.context;
            // Noted before, so that whoever sees the hint gone sees this too; and after, because the object can be
            // read until then.
            node.homecomings.note(owed.key, node.environment.now_us());
            let dropped = node.replica.drop_hint(owed.key, delivered, is_home).await;
            node.homecomings.note(owed.key, node.environment.now_us());
            if dropped.is_ok() {
                node.metrics.hints_delivered.add(1);
            }
            self.memory.remove(&owed.key);
            return;
        }
        for home in missing {
            let waits_for = if node.is_reachable(home) {
                "a receipt"
            } else {
                "the node: it cannot be reached"
            };
            self.ledger
                .owe(home, owed.row.bytes, owed.row.since_us, waits_for);
        }
        if self.memory.len() < CONFIRMED_MAX {
            self.memory.insert(owed.key, owed.confirmed);
        }
    }

    async fn breathe(&mut self) {
        if std::mem::take(&mut self.was_refused) {
            let environment = &self.node.environment;
            environment
                .sleep_until(environment.now_us().saturating_add(BREATH_US))
                .await;
        }
    }
}
