//! Random updates over few names, so that they meet.

use super::sample::{field, text};
use crate::crdt::*;
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

fn element() -> impl Strategy<Value = Bytes> {
    select(vec!["x", "y", "z"]).prop_map(text)
}

fn name() -> impl Strategy<Value = &'static str> {
    select(vec!["p", "q"])
}

fn set_update() -> impl Strategy<Value = SetUpdate> {
    let lists = (vec(element(), 0..3), vec(element(), 0..2));
    lists.prop_map(|(adds, removes)| SetUpdate { adds, removes })
}

fn any_field() -> impl Strategy<Value = Field> {
    (name(), select(FieldKind::ALL.to_vec())).prop_map(|(name, kind)| field(name, kind))
}

fn map_update(depth: u32) -> BoxedStrategy<MapUpdate> {
    let updates = (name().prop_map(text), field_update(depth));
    let removes = prop_oneof![3 => Just(Vec::new()).boxed(), 2 => vec(any_field(), 1..3).boxed()];
    (removes, vec(updates, 0..3))
        .prop_map(|(removes, updates)| MapUpdate { removes, updates })
        .boxed()
}

fn field_update(depth: u32) -> BoxedStrategy<FieldUpdate> {
    let flat = prop_oneof![
        (-3..9_i64).prop_map(FieldUpdate::Counter),
        set_update().prop_map(FieldUpdate::Set),
        element().prop_map(FieldUpdate::Register),
        any::<bool>().prop_map(FieldUpdate::Flag),
    ];
    if depth == 0 {
        return flat.boxed();
    }
    let nested = map_update(depth - 1).prop_map(FieldUpdate::Map);
    prop_oneof![3 => flat, 2 => nested].boxed()
}

/// Updates of counters, sets or maps.
pub(super) fn any_update(kind: Kind) -> BoxedStrategy<Update> {
    match kind {
        Kind::Counter => (-5..9_i64).prop_map(Update::Counter).boxed(),
        Kind::Set => set_update().prop_map(Update::Set).boxed(),
        Kind::Map => map_update(2).prop_map(Update::Map).boxed(),
        Kind::GrowingSet => vec(element(), 0..3).prop_map(Update::GrowingSet).boxed(),
        Kind::Hll => vec(element(), 0..3).prop_map(Update::Hll).boxed(),
    }
}
