//! Values as messages.

use crate::edge::datatype::in_64_bits;
use ringhold_core::crdt::{Field, FieldKind, FieldValue, Kind, MapValue, Value};
use ringhold_wire::riak::{DataType, DtUpdateResp, DtValue, FieldType, MapEntry, MapField};

pub(super) fn data_type(kind: Kind) -> DataType {
    match kind {
        Kind::Counter => DataType::Counter,
        Kind::Set => DataType::Set,
        Kind::GrowingSet => DataType::Gset,
        Kind::Hll => DataType::Hll,
        Kind::Map => DataType::Map,
    }
}

pub(super) fn of_key(value: Value) -> DtValue {
    let mut message = DtValue::default();
    match value {
        Value::Counter(counter) => message.counter_value = Some(in_64_bits(counter)),
        Value::Set(members) => message.set_value = members,
        Value::GrowingSet(members) => message.gset_value = members,
        Value::Hll(estimate) => message.hll_value = Some(estimate),
        Value::Map(fields) => message.map_value = entries(fields),
    }
    message
}

/// The same in the answer to an update.
pub(super) fn of_answer(value: Value) -> DtUpdateResp {
    let DtValue {
        counter_value,
        set_value,
        map_value,
        hll_value,
        gset_value,
    } = of_key(value);
    DtUpdateResp {
        counter_value,
        set_value,
        map_value,
        hll_value,
        gset_value,
        ..DtUpdateResp::default()
    }
}

fn entries(fields: MapValue) -> Vec<MapEntry> {
    fields.into_iter().map(entry).collect()
}

fn entry((field, value): (Field, FieldValue)) -> MapEntry {
    let kind = match field.kind {
        FieldKind::Counter => FieldType::Counter,
        FieldKind::Set => FieldType::Set,
        FieldKind::Register => FieldType::Register,
        FieldKind::Flag => FieldType::Flag,
        FieldKind::Map => FieldType::Map,
    };
    let mut entry = MapEntry {
        field: MapField {
            name: field.name,
            r#type: kind.into(),
        },
        ..MapEntry::default()
    };
    match value {
        FieldValue::Counter(counter) => entry.counter_value = Some(in_64_bits(counter)),
        FieldValue::Set(members) => entry.set_value = members,
        FieldValue::Register(value) => entry.register_value = Some(value),
        FieldValue::Flag(is_enabled) => entry.flag_value = Some(is_enabled),
        FieldValue::Map(fields) => entry.map_value = entries(fields),
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn every_field_of_a_map() {
        let field = |name: &'static str, kind| Field {
            name: Bytes::from(name),
            kind,
        };
        let inner = vec![(
            field("r", FieldKind::Register),
            FieldValue::Register(Bytes::new()),
        )];
        let value = Value::Map(vec![
            (field("c", FieldKind::Counter), FieldValue::Counter(-7)),
            (field("f", FieldKind::Flag), FieldValue::Flag(false)),
            (field("m", FieldKind::Map), FieldValue::Map(inner)),
            (
                field("s", FieldKind::Set),
                FieldValue::Set(vec![Bytes::from("x")]),
            ),
        ]);
        let entries = of_key(value).map_value;
        let types: Vec<i32> = entries.iter().map(|entry| entry.field.r#type).collect();
        assert_eq!(types, [1, 4, 5, 2]);
        assert_eq!(entries[0].counter_value, Some(-7));
        assert_eq!(entries[1].flag_value, Some(false));
        assert_eq!(entries[2].map_value[0].register_value, Some(Bytes::new()));
        assert_eq!(entries[3].set_value, ["x"]);
    }

    #[test]
    fn an_answer_has_what_a_fetch_has() {
        let answer = of_answer(Value::GrowingSet(vec![Bytes::from("x")]));
        assert_eq!((answer.gset_value.len(), answer.set_value.len()), (1, 0));
        assert_eq!(of_answer(Value::Hll(3)).hll_value, Some(3));
        assert_eq!(of_answer(Value::Counter(3)).counter_value, Some(3));
    }
}
