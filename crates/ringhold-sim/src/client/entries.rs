//! A client's entries in the books, and the requests that go with them.
//!
//! Everything that a request says is drawn here, so that what is written into the books and what is sent
//! are made of the same.

use super::{Client, Draft, workload_of};
use crate::books::{Operation, Outcome, Write};
use crate::clock::WALL_START_US;
use crate::graves::{End, Ending};
use crate::plan::OperationClass;
use crate::queries;
use crate::rare::Rare;
use crate::trace::Who;
use crate::value::{Value, operation_id};
use crate::workload::{Kind, Workload};
use ringhold_core::quorum::{Count, GetSpec, PutQuorum, PutSpec};
use ringhold_core::version::{Content, Context, ContextToken};
use ringhold_node::properties::Durability;
use ringhold_wire::message::peer::ClientPut;
use ringhold_wire::message::{Flush, GetOptions, PutOptions, PutRequest};
use ringhold_wire::metadata::Metadata;
use std::collections::BTreeSet;

/// On how many disks a put has to be when it is acknowledged.
pub(super) fn durable(durability: Durability, asked: &PutQuorum) -> u32 {
    match durability {
        Durability::Flushed => asked.dw,
        Durability::One => 1,
        Durability::Buffered => 0,
    }
}

impl Client {
    /// Puts a write into the books and makes its request.
    pub(super) fn record(
        &mut self,
        key: usize,
        workload: Workload,
        node: usize,
        draft: &Draft,
    ) -> (usize, ClientPut) {
        let (options, durability) = self.put_options();
        let n = options.n_val.unwrap_or(self.plan().replicas_at_least());
        let condition = self.condition(draft);
        let operation = self.cluster.around().books.lock().operations.len();
        let own = u64::try_from(operation).expect("counts fit");
        let (content, ending) = self.content(key, operation, draft);
        let ending = ending.map(|end| Ending {
            end,
            content: content.clone(),
        });
        let resolved = options
            .quorum
            .resolve(n, &PutSpec::default())
            .expect("no client asks for more than N");
        let context = draft.context.as_ref();
        let saw = context
            .filter(|_| !draft.is_stray)
            .map(|context| context.past.clone())
            .unwrap_or_default();
        let write = Write {
            hash: Some(content.hash()),
            typed: self.typed_delete(key, draft),
            adds: draft.adds_own.then_some(own),
            removes: draft.removes,
            saw,
            tries: 0,
            dots: Vec::new(),
            w: resolved.acknowledgements_required(),
            dw: durable(durability, &resolved),
            n,
            names_n: options.n_val.is_some(),
            held_by: BTreeSet::new(),
            condition: condition.clone(),
            ending,
        };
        let begun = self.begin(key, workload, draft.kind, node, Some(write));
        assert_eq!(
            begun, operation,
            "nobody else begins an operation meanwhile"
        );
        let request = PutRequest {
            name: self.name(key),
            seen: ContextToken::default(),
            operation: operation_id(operation),
            change: content.into(),
            unchanged_since: condition,
            options,
            return_object: self.random.chance(300_000),
            explain: self.random.chance(50_000),
        };
        (
            operation,
            ClientPut {
                request,
                context: context
                    .map(|context| context.sealed.clone())
                    .unwrap_or_default(),
            },
        )
    }

    /// What a put demands that its coordinator has not gone beyond: what was read, or nothing at all.
    fn condition(&mut self, draft: &Draft) -> Option<Context> {
        let conditional = self.plan().does(OperationClass::Conditional) && !draft.is_stray;
        if !conditional || !self.random.chance(400_000) {
            return None;
        }
        let seen = draft.context.as_ref();
        Some(seen.map(|seen| seen.context.clone()).unwrap_or_default())
    }

    fn content(&mut self, key: usize, operation: usize, draft: &Draft) -> (Content, Option<End>) {
        if draft.kind == Kind::Delete {
            return (Content::Tombstone, None);
        }
        let large = self.plan().does(OperationClass::LargeValues) && self.random.chance(100_000);
        let filler_bytes = if large {
            self.random.index(20_000)
        } else {
            self.random.index(60)
        };
        let mut items = draft.items.clone();
        if draft.adds_own {
            items.insert(u64::try_from(operation).expect("counts fit"));
        }
        let value = Value {
            operation,
            client: self.number,
            key,
            items,
            filler_bytes,
        };
        let end = self.end_of_value(key);
        let metadata = Metadata {
            indexes: vec![queries::entry_of(operation)],
            expires_at_us: end.and_then(|end| match end {
                End::At(us) => Some(us),
                End::After(_) => None,
            }),
            time_to_live_us: end.and_then(|end| match end {
                End::At(_) => None,
                End::After(us) => Some(us),
            }),
            ..Metadata::default()
        };
        let content = Content::Value {
            bytes: value.encode(),
            metadata: metadata.to_fields(),
        };
        (content, end)
    }

    /// Until when a value is to be shown, if not for ever. Sets and the like would miss what is over.
    fn end_of_value(&mut self, key: usize) -> Option<End> {
        let keeps_items = workload_of(key, self.plan()).keeps_items();
        if !self.plan().expiry || keeps_items || !self.random.chance(400_000) {
            return None;
        }
        let us = self.random.between(100_000, 8_000_000);
        let wall_us = WALL_START_US + self.cluster.around().executor.now_us();
        Some(if self.random.chance(500_000) {
            End::At(wall_us + us)
        } else {
            End::After(us)
        })
    }

    pub(super) fn begin(
        &self,
        key: usize,
        workload: Workload,
        kind: Kind,
        node: usize,
        write: Option<Write>,
    ) -> usize {
        let around = self.cluster.around();
        let mut books = around.books.lock();
        books.now_us = around.executor.now_us();
        let called_us = books.now_us;
        let operation = books.begin(Operation {
            client: self.number,
            key,
            workload,
            kind,
            called_us,
            returned_us: None,
            outcome: None,
            write,
            r: None,
            shown: Vec::new(),
        });
        drop(books);
        around.trace.event(Who::Client(self.number), "begin", || {
            format!("operation {operation}: {kind} key {key} ({workload}) at n{node}")
        });
        operation
    }

    pub(super) fn end(&self, operation: usize, outcome: Outcome, node: usize) {
        let around = self.cluster.around();
        around.trace.event(Who::Client(self.number), "end", || {
            format!("operation {operation}: {outcome:?} at n{node}")
        });
        match &outcome {
            Outcome::Unknown => around.rare.hit(Rare::PutUnknown),
            Outcome::NotStarted => around.rare.hit(Rare::PutNotStarted),
            Outcome::Modified => around.rare.hit(Rare::ConditionRefused),
            Outcome::Acknowledged(_) => self.count_acknowledged(operation),
            Outcome::Read | Outcome::Rejected => {}
        }
        around
            .executor
            .note(u64::try_from(operation).unwrap_or(u64::MAX));
        let mut books = around.books.lock();
        books.now_us = around.executor.now_us();
        books.end(operation, outcome);
    }

    fn count_acknowledged(&self, operation: usize) {
        let around = self.cluster.around();
        let books = around.books.lock();
        let Some(write) = books.write(operation) else {
            return;
        };
        if write.condition.is_some() {
            around.rare.hit(Rare::ConditionHeld);
        }
        if write.names_n && write.n < self.plan().replicas {
            around.rare.hit(Rare::FewerReplicas);
        }
    }

    /// What a get asks for: its bucket's counts, or its own.
    pub(super) fn get_options(&mut self) -> GetOptions {
        let n_val = self.own_n_val();
        let mut quorum = GetSpec::default();
        if self.plan().does(OperationClass::Quorums) && self.random.chance(500_000) {
            quorum = GetSpec {
                r: Count::Exact(self.some_replicas(n_val)),
                basic_quorum: Some(self.random.chance(500_000)),
                notfound_ok: Some(self.random.chance(500_000)),
                ..quorum
            };
        }
        GetOptions {
            quorum,
            n_val,
            primaries_only: self.plan().primaries_only,
        }
    }

    /// What a put asks for, and who flushes.
    pub(super) fn put_options(&mut self) -> (PutOptions, Durability) {
        let n_val = self.own_n_val();
        let (mut quorum, mut durability) = (PutSpec::default(), self.plan().durability);
        if self.plan().does(OperationClass::Quorums) && self.random.chance(500_000) {
            let replicas = self.some_replicas(n_val);
            let count = Count::Exact(replicas);
            quorum = PutSpec {
                w: count,
                dw: count,
                ..quorum
            };
            durability = durability.max(match replicas {
                1 => Durability::One,
                _ => Durability::Flushed,
            });
        }
        let flush = self.own_flush();
        durability = durability.max(match flush {
            Flush::AsBucket => Durability::Buffered,
            Flush::One => Durability::One,
            Flush::Counted => Durability::Flushed,
        });
        let options = PutOptions {
            quorum,
            n_val,
            primaries_only: self.plan().primaries_only,
            flush,
        };
        (options, durability)
    }

    /// More than the bucket asks for, now and then, where it asks for little.
    fn own_flush(&mut self) -> Flush {
        let asks = self.plan().durability < Durability::Flushed && self.random.chance(150_000);
        match asks && self.random.chance(500_000) {
            true => Flush::One,
            false if asks => Flush::Counted,
            false => Flush::AsBucket,
        }
    }

    /// Fewer replicas than the bucket's, or as many; none for whatever the bucket says.
    fn own_n_val(&mut self) -> Option<u32> {
        let names = self.plan().does(OperationClass::Replicas) && self.random.chance(400_000);
        names.then(|| self.some_replicas(None))
    }

    /// Some of the replicas of a request.
    fn some_replicas(&mut self, n_val: Option<u32>) -> u32 {
        let n = u64::from(n_val.unwrap_or(self.plan().replicas_at_least()));
        u32::try_from(self.random.between(1, n)).expect("a handful")
    }
}
