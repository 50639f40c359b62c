//! Updates of data types, and why they are refused.

use super::messages::DOT;
use super::{any_bytes, text};
use proptest::collection::vec;
use proptest::option::of as maybe;
use proptest::prelude::*;
use ringhold_core::crdt::{
    CausalContext, Field, FieldKind, FieldUpdate, Kind, MapUpdate, Precision, Refused, SetUpdate,
    Update,
};
use ringhold_core::datatype::Record;
use ringhold_core::id::OperationId;
use ringhold_core::version::{ContentHash, Timestamp};
use ringhold_wire::message::peer::FollowRequest;
use ringhold_wire::message::{PutRequest, Rejection, TypeUpdate};

fn field(name: &'static str, kind: FieldKind) -> Field {
    let name = text(name);
    Field { name, kind }
}

/// An update of a map with everything that there is.
pub(crate) fn map() -> TypeUpdate {
    let tags = SetUpdate {
        adds: vec![text("red"), text("blue")],
        removes: vec![text("green")],
    };
    let inner = MapUpdate {
        removes: vec![field("old", FieldKind::Register)],
        updates: vec![(text("on"), FieldUpdate::Flag(true))],
    };
    let update = MapUpdate {
        removes: vec![field("gone", FieldKind::Map)],
        updates: vec![
            (text("n"), FieldUpdate::Counter(-5)),
            (text("tags"), FieldUpdate::Set(tags)),
            (text("name"), FieldUpdate::Register(text("Ann"))),
            (text("inner"), FieldUpdate::Map(inner)),
        ],
    };
    TypeUpdate {
        update: Update::Map(update),
        context: Some(CausalContext::from_iter([DOT])),
    }
}

pub(crate) fn counter() -> TypeUpdate {
    TypeUpdate {
        update: Update::Counter(7),
        context: None,
    }
}

pub(crate) fn follow() -> FollowRequest {
    FollowRequest {
        name: super::name(),
        update: map(),
        operation: OperationId(0x1234),
        precision: Precision::DEFAULT,
        record: Record {
            base: 77,
            dot: DOT,
            timestamp: Timestamp(1_790_000_000_000_000),
            hash: ContentHash(78),
        },
        flushed: true,
    }
}

pub(crate) fn of(put: PutRequest, update: TypeUpdate) -> PutRequest {
    PutRequest {
        change: update.into(),
        ..put
    }
}

/// Every reason to refuse an update.
pub(crate) fn rejections() -> Vec<Rejection> {
    vec![
        Rejection::NotADataType,
        Rejection::SiblingsOff,
        Rejection::Update(Refused::CounterOverflow),
        Rejection::Update(Refused::TooDeep { limit: 32 }),
        Rejection::Update(Refused::TooManyDeferred { limit: 9 }),
        Rejection::Update(Refused::WrongKind {
            holds: Kind::Hll,
            update: Kind::GrowingSet,
        }),
        Rejection::Update(Refused::TooLong {
            what: "name",
            bytes: 70_000,
            limit: 65_536,
        }),
        Rejection::Update(Refused::ElementNotPresent {
            fields: vec![field("tags", FieldKind::Set)],
            element: text("red"),
        }),
        Rejection::Update(Refused::FieldNotPresent {
            fields: vec![
                field("inner", FieldKind::Map),
                field("n", FieldKind::Counter),
            ],
        }),
    ]
}

fn any_items() -> impl Strategy<Value = Vec<bytes::Bytes>> {
    vec(any_bytes(5), 0..3)
}

fn any_set() -> impl Strategy<Value = SetUpdate> {
    (any_items(), any_items()).prop_map(|(adds, removes)| SetUpdate { adds, removes })
}

fn any_field() -> impl Strategy<Value = Field> {
    let kind = proptest::sample::select(&FieldKind::ALL[..]);
    (any_bytes(5), kind).prop_map(|(name, kind)| Field { name, kind })
}

fn any_map() -> impl Strategy<Value = MapUpdate> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(FieldUpdate::Counter),
        any_set().prop_map(FieldUpdate::Set),
        any_bytes(9).prop_map(FieldUpdate::Register),
        any::<bool>().prop_map(FieldUpdate::Flag),
    ];
    let map = |update: BoxedStrategy<FieldUpdate>| {
        let updates = vec((any_bytes(5), update), 0..3);
        (vec(any_field(), 0..3), updates)
            .prop_map(|(removes, updates)| MapUpdate { removes, updates })
    };
    let nested = leaf.prop_recursive(3, 12, 3, move |inner| {
        map(inner.boxed()).prop_map(FieldUpdate::Map)
    });
    map(nested.boxed())
}

pub(crate) fn any_update() -> impl Strategy<Value = TypeUpdate> {
    let update = prop_oneof![
        any::<i64>().prop_map(Update::Counter),
        any_set().prop_map(Update::Set),
        any_items().prop_map(Update::GrowingSet),
        any_items().prop_map(Update::Hll),
        any_map().prop_map(Update::Map),
    ];
    let context = maybe(super::any_context());
    (update, context).prop_map(|(update, context)| TypeUpdate {
        update,
        context: context.as_ref().map(CausalContext::from),
    })
}
