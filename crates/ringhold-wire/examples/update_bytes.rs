//! What an update of a large set costs on its way to one other home: the whole object, or what was done.
//!
//! `cargo run --release -p ringhold-wire --example update_bytes`

use bytes::{Bytes, BytesMut};
use ringhold_core::crdt::{Precision, SetUpdate, Update};
use ringhold_core::datatype::{self, NewUpdate, Updated};
use ringhold_core::id::{Incarnation, OperationId};
use ringhold_core::version::{KeyEpoch, LiveEpoch, Object};
use ringhold_wire::message::peer::{FollowRequest, MergeRequest, Request};
use ringhold_wire::message::{ObjectName, TypeUpdate};
use std::io::{self, Write};

const ELEMENTS: usize = 10_000;

struct Key {
    object: Object,
    live: Option<LiveEpoch>,
    operations: u128,
}

impl Key {
    fn update(&mut self, update: &TypeUpdate) -> (Updated, OperationId) {
        self.operations += 1;
        let operation = OperationId(self.operations);
        let write = NewUpdate {
            update: &update.update,
            context: update.context.as_ref(),
            operation,
            precision: Precision::DEFAULT,
            wall_us: 1_790_000_000_000_000,
        };
        let (object, live) = (&mut self.object, self.live);
        let done = datatype::update(object, live, Incarnation(7), &write, || KeyEpoch(1));
        let done = done.expect("nothing stands in the way");
        self.live = done.coordinated.live;
        (done, operation)
    }
}

fn set(adds: Vec<Bytes>, removes: Vec<Bytes>, key: &Key) -> TypeUpdate {
    let held = datatype::value_of(&key.object).expect("a set");
    let context = held.filter(|_| !removes.is_empty());
    TypeUpdate {
        update: Update::Set(SetUpdate { adds, removes }),
        context: context.map(|held| held.context().clone()),
    }
}

fn encoded_bytes(request: &Request) -> usize {
    let mut bytes = BytesMut::new();
    request.encode(&mut bytes);
    bytes.len()
}

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    let mut key = Key {
        object: Object::new(),
        live: None,
        operations: 0,
    };
    let element = |number: usize| Bytes::from(format!("element-{number:06}"));
    for first in (0..ELEMENTS).step_by(10) {
        let update = set((first..first + 10).map(element).collect(), Vec::new(), &key);
        key.update(&update);
    }
    let name = ObjectName {
        bucket_type: "sets".into(),
        bucket: "tags".into(),
        key: "all".into(),
    };
    let rows = [
        ("add one", set(vec![element(ELEMENTS)], Vec::new(), &key)),
        ("add one again", set(vec![element(77)], Vec::new(), &key)),
        ("remove one", set(Vec::new(), vec![element(78)], &key)),
    ];
    writeln!(
        out,
        "a set of {ELEMENTS} elements of 14 bytes; bytes to one other home"
    )?;
    writeln!(out, "{:<16}{:>10}{:>10}", "", "whole", "update")?;
    for (what, update) in rows {
        let (done, operation) = key.update(&update);
        let whole = Request::Merge(MergeRequest {
            name: name.clone(),
            object: key.object.clone(),
            flushed: true,
        });
        let follow = Request::Follow(FollowRequest {
            name: name.clone(),
            update,
            operation,
            precision: Precision::DEFAULT,
            record: done.record.expect("a new operation"),
            flushed: true,
        });
        let (whole, follow) = (encoded_bytes(&whole), encoded_bytes(&follow));
        writeln!(out, "{what:<16}{whole:>10}{follow:>10}")?;
    }
    Ok(())
}
