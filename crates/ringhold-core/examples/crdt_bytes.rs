//! Prints what an update of a data type sends, and what sending the whole value would.
//!
//! `cargo run --release -p ringhold-core --example crdt_bytes`

use bytes::Bytes;
use ringhold_core::crdt::{
    CausalContext, Field, FieldKind, FieldUpdate, Kind, MapUpdate, SetUpdate, State, Update,
};
use ringhold_core::id::Incarnation;
use ringhold_core::version::{Actor, Dot, KeyEpoch, Timestamp};
use std::io::{self, Write};

/// As many replicas take updates in turn.
const REPLICAS: u64 = 3;

struct Value {
    state: State,
    updates: u64,
}

impl Value {
    fn new(kind: Kind) -> Self {
        let (state, updates) = (State::new(kind), 0);
        Self { state, updates }
    }

    /// Carries an update out; how many bytes its delta has.
    fn take(&mut self, update: &Update, context: Option<&CausalContext>) -> usize {
        let incarnation = Incarnation(u128::from(self.updates % REPLICAS) << 64 | 0x5eed);
        let epoch = KeyEpoch(1);
        let actor = Actor { incarnation, epoch };
        let counter = self.updates / REPLICAS + 1;
        let dot = Dot { actor, counter };
        let timestamp = Timestamp(1_800_000_000_000_000 + self.updates);
        let delta = self.state.apply(update, dot, timestamp, context);
        let delta = delta.expect("nothing here is refused");
        self.state.join(&delta).expect("of one kind");
        self.updates += 1;
        delta.to_bytes().len()
    }
}

fn element(number: u32) -> Bytes {
    Bytes::from(format!("element-{number:08}"))
}

fn field(number: u32, update: FieldUpdate) -> Update {
    let removes = Vec::new();
    let updates = vec![(element(number), update)];
    Update::Map(MapUpdate { removes, updates })
}

fn add(number: u32) -> Update {
    let (adds, removes) = (vec![element(number)], Vec::new());
    Update::Set(SetUpdate { adds, removes })
}

fn remove(number: u32) -> Update {
    let (adds, removes) = (Vec::new(), vec![element(number)]);
    Update::Set(SetUpdate { adds, removes })
}

fn remove_field(number: u32) -> Update {
    let (name, kind) = (element(number), FieldKind::Counter);
    let (removes, updates) = (vec![Field { name, kind }], Vec::new());
    Update::Map(MapUpdate { removes, updates })
}

/// A row: how the value is filled, one update of each element, and what is then measured.
struct Row {
    what: &'static str,
    kind: Kind,
    fill: fn(u32) -> Update,
    measured: fn(u32) -> Update,
}

fn rows() -> Vec<Row> {
    let count = |number| field(number, FieldUpdate::Counter(1));
    let assign = |number| field(number, FieldUpdate::Register(element(number)));
    let growing = |number| Update::GrowingSet(vec![element(number)]);
    let estimate = |number| Update::Hll(vec![element(number)]);
    let row = |what, kind, fill, measured| Row {
        what,
        kind,
        fill,
        measured,
    };
    vec![
        row("set: add one", Kind::Set, add, |size| add(size + 1)),
        row("set: add one that is there", Kind::Set, add, |size| {
            add(size / 2)
        }),
        row("set: remove one", Kind::Set, add, |size| remove(size / 2)),
        row(
            "map: increment one counter of as many",
            Kind::Map,
            count,
            |size| field(size / 2, FieldUpdate::Counter(1)),
        ),
        row(
            "map: assign one register of as many",
            Kind::Map,
            assign,
            |size| field(size / 2, FieldUpdate::Register(element(0))),
        ),
        row(
            "map: remove one counter of as many",
            Kind::Map,
            count,
            |size| remove_field(size / 2),
        ),
        row(
            "map: increment a counter that was so often",
            Kind::Map,
            |_| field(0, FieldUpdate::Counter(1)),
            |_| field(0, FieldUpdate::Counter(1)),
        ),
        row(
            "the same, by amounts that differ",
            Kind::Map,
            |number| field(0, FieldUpdate::Counter(i64::from(number % 50))),
            |_| field(0, FieldUpdate::Counter(1)),
        ),
        row(
            "counter: increment one that was so often",
            Kind::Counter,
            |number| Update::Counter(i64::from(number % 50)),
            |_| Update::Counter(1),
        ),
        row("gset: add one", Kind::GrowingSet, growing, |size| {
            Update::GrowingSet(vec![element(size + 1)])
        }),
        row("hll: add one", Kind::Hll, estimate, |size| {
            Update::Hll(vec![element(size + 1)])
        }),
    ]
}

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "| bytes of an update's delta / of the value | 10 | 1,000 | 100,000 |"
    )?;
    writeln!(out, "| --- | --- | --- | --- |")?;
    for row in rows() {
        write!(out, "| {} |", row.what)?;
        for size in [10, 1_000, 100_000] {
            let mut value = Value::new(row.kind);
            for number in 0..size {
                value.take(&(row.fill)(number), None);
            }
            let whole = value.state.to_bytes().len();
            let context = value.state.context().clone();
            let context = row.kind.has_context().then_some(&context);
            let delta = value.take(&(row.measured)(size), context);
            write!(out, " {delta} / {whole} |")?;
        }
        writeln!(out)?;
    }
    Ok(())
}
