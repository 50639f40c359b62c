//! Any updates, for the tests of both APIs' spelling of them.

use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use ringhold_core::crdt::{Field, FieldKind, FieldUpdate, Kind, MapUpdate, SetUpdate, Update};

fn item() -> impl Strategy<Value = Bytes> {
    // Both APIs can spell texts.
    "\\PC{0,4}".prop_map(Bytes::from)
}

fn items() -> impl Strategy<Value = Vec<Bytes>> {
    vec(item(), 0..3)
}

fn set() -> impl Strategy<Value = SetUpdate> {
    (items(), items()).prop_map(|(adds, removes)| SetUpdate { adds, removes })
}

fn leaf() -> impl Strategy<Value = FieldUpdate> {
    prop_oneof![
        any::<i64>().prop_map(FieldUpdate::Counter),
        set().prop_map(FieldUpdate::Set),
        item().prop_map(FieldUpdate::Register),
        any::<bool>().prop_map(FieldUpdate::Flag),
    ]
}

fn field() -> impl Strategy<Value = Field> {
    let kind = proptest::sample::select(FieldKind::ALL.to_vec());
    (item(), kind).prop_map(|(name, kind)| Field { name, kind })
}

fn map() -> impl Strategy<Value = MapUpdate> {
    let update = leaf().prop_recursive(4, 16, 3, |inner| map_of(inner).prop_map(FieldUpdate::Map));
    map_of(update)
}

/// Each field once, as an object of JSON has them.
fn map_of(update: impl Strategy<Value = FieldUpdate>) -> impl Strategy<Value = MapUpdate> {
    let updates = btree_map((item(), 0..5_usize), update, 0..4);
    (vec(field(), 0..3), updates).prop_map(|(removes, updates)| {
        let mut seen = std::collections::BTreeSet::new();
        let updates = updates
            .into_iter()
            .map(|((name, _), update)| (name, update));
        let updates = updates.filter(|(name, update)| seen.insert((name.clone(), update.kind())));
        MapUpdate {
            removes,
            updates: updates.collect(),
        }
    })
}

/// An update of each kind.
pub(crate) fn update() -> impl Strategy<Value = (Kind, Update)> {
    let update = prop_oneof![
        any::<i64>().prop_map(Update::Counter),
        set().prop_map(Update::Set),
        items().prop_map(Update::GrowingSet),
        items().prop_map(Update::Hll),
        map().prop_map(Update::Map),
    ];
    update.prop_map(|update| (update.kind(), update))
}
