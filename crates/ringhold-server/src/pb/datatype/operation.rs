//! What a client wants changed, out of its message.
//!
//! A message can say what makes no sense, an operation of another type than the field's, say, or two at once: such a one is
//! refused as a whole.

use super::super::refusal::Refusal;
use ringhold_core::crdt::{
    DEPTH_MAX, Field, FieldKind, FieldUpdate, Kind, MapUpdate, SetUpdate, Update,
};
use ringhold_wire::riak;

/// The update of a key that holds this kind.
pub(super) fn update_of(op: riak::DtOp, kind: Kind) -> Result<Update, Refusal> {
    let riak::DtOp {
        counter_op,
        set_op,
        map_op,
        hll_op,
        gset_op,
    } = op;
    let named = [
        counter_op.as_ref().map(|_| Kind::Counter),
        set_op.as_ref().map(|_| Kind::Set),
        map_op.as_ref().map(|_| Kind::Map),
        hll_op.as_ref().map(|_| Kind::Hll),
        gset_op.as_ref().map(|_| Kind::GrowingSet),
    ];
    let mut named = named.into_iter().flatten();
    let (first, second) = (named.next(), named.next());
    if first != Some(kind) || second.is_some() {
        let said = second.or(first).map_or("undefined", Kind::name);
        // The two blanks are Riak's.
        return Err(Refusal::text(format!(
            "Operation type is `{said}` but  bucket type is `{}`.",
            kind.name()
        )));
    }
    Ok(match kind {
        Kind::Counter => Update::Counter(increment(&counter_op.unwrap_or_default())),
        Kind::Set => Update::Set(set_update(set_op.unwrap_or_default())),
        Kind::GrowingSet => Update::GrowingSet(gset_op.unwrap_or_default().adds),
        Kind::Hll => Update::Hll(hll_op.unwrap_or_default().adds),
        Kind::Map => Update::Map(map_update(map_op.unwrap_or_default(), 1)?),
    })
}

fn increment(op: &riak::CounterOp) -> i64 {
    op.increment.unwrap_or(1)
}

fn set_update(op: riak::SetOp) -> SetUpdate {
    let riak::SetOp { adds, removes } = op;
    SetUpdate { adds, removes }
}

fn map_update(op: riak::MapOp, depth: usize) -> Result<MapUpdate, Refusal> {
    if depth > DEPTH_MAX {
        return Err(Refusal::text(format!(
            "a field more than {DEPTH_MAX} maps deep"
        )));
    }
    let removes = op.removes.into_iter().map(field);
    let updates = op.updates.into_iter().map(|update| {
        let Field { name, kind } = field(update.field.clone())?;
        let update = field_update(update, kind, depth)?;
        Ok((name, update))
    });
    Ok(MapUpdate {
        removes: removes.collect::<Result<_, Refusal>>()?,
        updates: updates.collect::<Result<_, Refusal>>()?,
    })
}

fn field(field: riak::MapField) -> Result<Field, Refusal> {
    let kind = match riak::FieldType::try_from(field.r#type) {
        Ok(riak::FieldType::Counter) => FieldKind::Counter,
        Ok(riak::FieldType::Set) => FieldKind::Set,
        Ok(riak::FieldType::Register) => FieldKind::Register,
        Ok(riak::FieldType::Flag) => FieldKind::Flag,
        Ok(riak::FieldType::Map) => FieldKind::Map,
        Err(_) => {
            let number = field.r#type;
            return Err(Refusal::text(format!("no type of a field is {number}")));
        }
    };
    let name = field.name;
    Ok(Field { name, kind })
}

fn field_update(
    update: riak::MapUpdate,
    kind: FieldKind,
    depth: usize,
) -> Result<FieldUpdate, Refusal> {
    let riak::MapUpdate {
        field: _,
        counter_op,
        set_op,
        register_op,
        flag_op,
        map_op,
    } = update;
    let operations = [
        counter_op.is_some(),
        set_op.is_some(),
        register_op.is_some(),
        flag_op.is_some(),
        map_op.is_some(),
    ];
    let mismatch = || {
        let name = kind.name();
        Refusal::text(format!(
            "the operation on a {name} of a map is not a {name}'s"
        ))
    };
    if operations.into_iter().filter(|is_there| *is_there).count() != 1 {
        return Err(mismatch());
    }
    let of_kind = match kind {
        FieldKind::Counter => counter_op.map(|op| FieldUpdate::Counter(increment(&op))),
        FieldKind::Set => set_op.map(|op| FieldUpdate::Set(set_update(op))),
        FieldKind::Register => register_op.map(FieldUpdate::Register),
        FieldKind::Flag => flag_op
            .and_then(|op| riak::FlagOp::try_from(op).ok())
            .map(|op| FieldUpdate::Flag(op == riak::FlagOp::Enable)),
        FieldKind::Map => map_op
            .map(|op| map_update(op, depth + 1))
            .transpose()?
            .map(FieldUpdate::Map),
    };
    of_kind.ok_or_else(mismatch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::datatype::samples;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn named(name: &'static str, kind: riak::FieldType) -> riak::MapField {
        riak::MapField {
            name: Bytes::from(name),
            r#type: kind.into(),
        }
    }

    fn of_map(updates: Vec<riak::MapUpdate>) -> riak::DtOp {
        let removes = vec![named("gone", riak::FieldType::Flag)];
        riak::DtOp {
            map_op: Some(riak::MapOp { removes, updates }),
            ..riak::DtOp::default()
        }
    }

    #[test]
    fn every_operation() {
        let items = || vec![Bytes::from("x")];
        let counter = |increment| riak::DtOp {
            counter_op: Some(riak::CounterOp { increment }),
            ..riak::DtOp::default()
        };
        assert_eq!(
            update_of(counter(Some(-3)), Kind::Counter),
            Ok(Update::Counter(-3))
        );
        assert_eq!(
            update_of(counter(None), Kind::Counter),
            Ok(Update::Counter(1))
        );
        let op = riak::DtOp {
            hll_op: Some(riak::AddOp { adds: items() }),
            ..riak::DtOp::default()
        };
        assert_eq!(update_of(op, Kind::Hll), Ok(Update::Hll(items())));
        let op = riak::DtOp {
            gset_op: Some(riak::AddOp { adds: items() }),
            ..riak::DtOp::default()
        };
        assert_eq!(
            update_of(op, Kind::GrowingSet),
            Ok(Update::GrowingSet(items()))
        );
    }

    #[test]
    fn fields_of_maps() {
        let set = riak::MapUpdate {
            field: named("s", riak::FieldType::Set),
            set_op: Some(riak::SetOp {
                adds: vec![Bytes::from("a")],
                removes: vec![Bytes::from("r")],
            }),
            ..riak::MapUpdate::default()
        };
        let flag = riak::MapUpdate {
            field: named("f", riak::FieldType::Flag),
            flag_op: Some(riak::FlagOp::Disable.into()),
            ..riak::MapUpdate::default()
        };
        let inner = riak::MapUpdate {
            field: named("m", riak::FieldType::Map),
            map_op: Some(riak::MapOp {
                removes: Vec::new(),
                updates: vec![flag],
            }),
            ..riak::MapUpdate::default()
        };
        let Ok(Update::Map(read)) = update_of(of_map(vec![set, inner]), Kind::Map) else {
            panic!("no map");
        };
        assert_eq!(read.removes[0].kind, FieldKind::Flag);
        let flag = (Bytes::from("f"), FieldUpdate::Flag(false));
        let inner = MapUpdate {
            removes: Vec::new(),
            updates: vec![flag],
        };
        let set = SetUpdate {
            adds: vec![Bytes::from("a")],
            removes: vec![Bytes::from("r")],
        };
        assert_eq!(
            read.updates,
            [
                (Bytes::from("s"), FieldUpdate::Set(set)),
                (Bytes::from("m"), FieldUpdate::Map(inner)),
            ]
        );
    }

    #[test]
    fn what_makes_no_sense() {
        let refused = |op, kind| update_of(op, kind).expect_err("refused").to_string();
        let set = riak::DtOp {
            set_op: Some(riak::SetOp::default()),
            ..riak::DtOp::default()
        };
        assert_eq!(
            refused(set.clone(), Kind::Map),
            "Operation type is `set` but  bucket type is `map`."
        );
        assert_eq!(
            refused(riak::DtOp::default(), Kind::Set),
            "Operation type is `undefined` but  bucket type is `set`."
        );
        let both = riak::DtOp {
            counter_op: Some(riak::CounterOp::default()),
            ..set
        };
        assert!(update_of(both, Kind::Set).is_err());
        let of_other_type = riak::MapUpdate {
            field: named("f", riak::FieldType::Flag),
            counter_op: Some(riak::CounterOp::default()),
            ..riak::MapUpdate::default()
        };
        assert_eq!(
            refused(of_map(vec![of_other_type]), Kind::Map),
            "the operation on a flag of a map is not a flag's"
        );
        let mut unknown = named("x", riak::FieldType::Set);
        unknown.r#type = 6;
        let removes = riak::MapOp {
            removes: vec![unknown],
            updates: Vec::new(),
        };
        assert!(map_update(removes, 1).is_err());
    }

    #[test]
    fn maps_end_somewhere() {
        let mut op = riak::MapOp::default();
        for _ in 1..DEPTH_MAX {
            op = riak::MapOp {
                removes: Vec::new(),
                updates: vec![riak::MapUpdate {
                    field: named("m", riak::FieldType::Map),
                    map_op: Some(op),
                    ..riak::MapUpdate::default()
                }],
            };
        }
        assert!(map_update(op.clone(), 1).is_ok());
        assert!(map_update(op, 2).is_err());
    }

    fn spelled(update: &Update) -> riak::DtOp {
        let mut op = riak::DtOp::default();
        let adds = |items: &Vec<Bytes>| {
            Some(riak::AddOp {
                adds: items.clone(),
            })
        };
        match update {
            Update::Counter(by) => op.counter_op = Some(counter_op(*by)),
            Update::Set(set) => op.set_op = Some(set_op(set)),
            Update::GrowingSet(items) => op.gset_op = adds(items),
            Update::Hll(items) => op.hll_op = adds(items),
            Update::Map(map) => op.map_op = Some(map_op(map)),
        }
        op
    }

    fn counter_op(by: i64) -> riak::CounterOp {
        riak::CounterOp {
            increment: Some(by),
        }
    }

    fn set_op(SetUpdate { adds, removes }: &SetUpdate) -> riak::SetOp {
        riak::SetOp {
            adds: adds.clone(),
            removes: removes.clone(),
        }
    }

    fn map_field(name: &Bytes, kind: FieldKind) -> riak::MapField {
        let kind = match kind {
            FieldKind::Counter => riak::FieldType::Counter,
            FieldKind::Set => riak::FieldType::Set,
            FieldKind::Register => riak::FieldType::Register,
            FieldKind::Flag => riak::FieldType::Flag,
            FieldKind::Map => riak::FieldType::Map,
        };
        riak::MapField {
            name: name.clone(),
            r#type: kind.into(),
        }
    }

    fn map_op(MapUpdate { removes, updates }: &MapUpdate) -> riak::MapOp {
        let update = |(name, update): &(Bytes, FieldUpdate)| {
            let mut message = riak::MapUpdate {
                field: map_field(name, update.kind()),
                ..riak::MapUpdate::default()
            };
            match update {
                FieldUpdate::Counter(by) => message.counter_op = Some(counter_op(*by)),
                FieldUpdate::Set(set) => message.set_op = Some(set_op(set)),
                FieldUpdate::Register(value) => message.register_op = Some(value.clone()),
                FieldUpdate::Flag(true) => message.flag_op = Some(riak::FlagOp::Enable.into()),
                FieldUpdate::Flag(false) => message.flag_op = Some(riak::FlagOp::Disable.into()),
                FieldUpdate::Map(map) => message.map_op = Some(map_op(map)),
            }
            message
        };
        let removes = removes
            .iter()
            .map(|field| map_field(&field.name, field.kind));
        riak::MapOp {
            removes: removes.collect(),
            updates: updates.iter().map(update).collect(),
        }
    }

    proptest! {
        #[test]
        fn what_is_spelled_is_read((kind, update) in samples::update()) {
            let read = update_of(spelled(&update), kind);
            prop_assert_eq!(read, Ok(update));
        }
    }
}
