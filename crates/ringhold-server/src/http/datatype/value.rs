//! Values as JSON.
//!
//! JSON is text: an element, a name or a register that is none stands with replacement characters, and is read as it is over
//! Protocol Buffers.

use crate::edge::datatype::in_64_bits;
use ringhold_core::crdt::{FieldValue, MapValue, Value};
use serde_json::{Value as Json, json};

pub(super) fn json_of(value: &Value) -> Json {
    match value {
        Value::Counter(counter) => json!(in_64_bits(*counter)),
        Value::Set(members) | Value::GrowingSet(members) => texts(members),
        Value::Hll(estimate) => json!(estimate),
        Value::Map(fields) => map(fields),
    }
}

fn map(fields: &MapValue) -> Json {
    let members = fields.iter().map(|(field, value)| {
        let name = format!("{}_{}", text(&field.name), field.kind.name());
        let value = match value {
            FieldValue::Counter(counter) => json!(in_64_bits(*counter)),
            FieldValue::Set(members) => texts(members),
            FieldValue::Register(value) => json!(text(value)),
            FieldValue::Flag(is_enabled) => json!(is_enabled),
            FieldValue::Map(fields) => map(fields),
        };
        (name, value)
    });
    Json::Object(members.collect())
}

fn texts(members: &[impl AsRef<[u8]>]) -> Json {
    members.iter().map(|member| text(member.as_ref())).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use ringhold_core::crdt::{Field, FieldKind};

    #[test]
    fn members_are_named_by_field_and_type() {
        let field = |name: &'static [u8], kind| Field {
            name: Bytes::from_static(name),
            kind,
        };
        let inner = vec![(field(b"e", FieldKind::Counter), FieldValue::Counter(5))];
        let value = Value::Map(vec![
            (
                field(b"a", FieldKind::Set),
                FieldValue::Set(vec![Bytes::from("x"), Bytes::from_static(b"\xff")]),
            ),
            (field(b"b", FieldKind::Flag), FieldValue::Flag(true)),
            (
                field(b"c", FieldKind::Register),
                FieldValue::Register(Bytes::from("s")),
            ),
            (field(b"d", FieldKind::Map), FieldValue::Map(inner)),
        ]);
        assert_eq!(
            json_of(&value).to_string(),
            "{\"a_set\":[\"x\",\"\u{fffd}\"],\"b_flag\":true,\"c_register\":\"s\",\"d_map\":{\"e_counter\":5}}"
        );
        assert_eq!(json_of(&Value::Counter(i128::MAX)), json!(i64::MAX));
        assert_eq!(json_of(&Value::Hll(3)), json!(3));
    }
}
