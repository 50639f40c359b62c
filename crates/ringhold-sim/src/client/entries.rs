//! A client's entries in the books, and the requests that go with them.
//!
//! Everything that a request says is drawn here, so that what is written into the books and what is sent
//! are made of the same.

use super::{Client, Draft};
use crate::books::{Operation, Outcome, Write};
use crate::plan::OperationClass;
use crate::rare::Rare;
use crate::trace::Who;
use crate::value::{Value, operation_id};
use crate::workload::{Kind, Workload};
use ringhold_core::quorum::{Count, GetSpec, PutSpec};
use ringhold_core::version::{Content, ContextToken};
use ringhold_wire::message::peer::ClientPut;
use ringhold_wire::message::{PutOptions, PutRequest};
use std::collections::BTreeSet;

impl Client {
    /// Puts a write into the books and makes its request.
    pub(super) fn record(
        &mut self,
        key: usize,
        workload: Workload,
        node: usize,
        draft: &Draft,
    ) -> (usize, ClientPut) {
        let (quorum, flushed) = self.put_quorum();
        let operation = self.cluster.around().books.lock().operations.len();
        let own = u64::try_from(operation).expect("counts fit");
        let content = self.content(key, operation, draft);
        let resolved = quorum
            .resolve(self.plan().replicas, &PutSpec::default())
            .expect("no client asks for more than N");
        let context = draft.context.as_ref();
        let saw = context
            .filter(|_| !draft.is_stray)
            .map(|context| context.past.clone())
            .unwrap_or_default();
        let write = Write {
            hash: content.hash(),
            adds: draft.adds_own.then_some(own),
            removes: draft.removes,
            saw,
            tries: 0,
            dots: Vec::new(),
            w: resolved.acknowledgements_required(),
            dw: if flushed { resolved.dw } else { 0 },
            held_by: BTreeSet::new(),
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
            content,
            unchanged_since: None,
            options: PutOptions {
                quorum,
                n_val: None,
                primaries_only: self.cluster.plan().primaries_only,
                flushed: false,
            },
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

    fn content(&mut self, key: usize, operation: usize, draft: &Draft) -> Content {
        if draft.kind == Kind::Delete {
            return Content::Tombstone;
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
        Content::Value {
            bytes: value.encode(),
            metadata: Vec::new(),
        }
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
            Outcome::Read | Outcome::Acknowledged(_) | Outcome::Rejected => {}
        }
        around
            .executor
            .note(u64::try_from(operation).unwrap_or(u64::MAX));
        let mut books = around.books.lock();
        books.now_us = around.executor.now_us();
        books.end(operation, outcome);
    }

    pub(super) fn get_quorum(&mut self) -> GetSpec {
        if !self.plan().does(OperationClass::Quorums) || self.random.chance(500_000) {
            return GetSpec::default();
        }
        let count = Count::Exact(self.some_replicas());
        GetSpec {
            r: count,
            basic_quorum: Some(self.random.chance(500_000)),
            notfound_ok: Some(self.random.chance(500_000)),
            ..GetSpec::default()
        }
    }

    /// The counts of a put, and whether its acknowledgements are from disks.
    pub(super) fn put_quorum(&mut self) -> (PutSpec, bool) {
        let flushed = !self.plan().buffered;
        if !self.plan().does(OperationClass::Quorums) || self.random.chance(500_000) {
            return (PutSpec::default(), flushed);
        }
        let count = Count::Exact(self.some_replicas());
        (
            PutSpec {
                w: count,
                dw: count,
                ..PutSpec::default()
            },
            true,
        )
    }

    fn some_replicas(&mut self) -> u32 {
        let n = u64::from(self.plan().replicas);
        u32::try_from(self.random.between(1, n)).expect("a handful")
    }
}
