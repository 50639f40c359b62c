//! What a client wants changed, out of its JSON.
//!
//! | type | is changed by |
//! | --- | --- |
//! | counter | `5`, `"increment"`, `"decrement"`, `{"increment":5}`, `{"decrement":5}` |
//! | set | `add`, `add_all`, `remove`, `remove_all`, in one object or in `update`, one or a list of them |
//! | gset, hll | the same without removing |
//! | map | `update`: an object of fields, `remove`: a field or a list of them |
//! | register | `"v"`, `{"assign":"v"}` |
//! | flag | `"enable"`, `"disable"` |
//!
//! A field is called `NAME_TYPE`, and the last underline parts them. Beside its operation an object can have the `context` that its
//! client has read. A body is an operation as a whole, or it is refused.

use super::super::problem::Problem;
use bytes::Bytes;
use ringhold_core::crdt::{
    DEPTH_MAX, Field, FieldKind, FieldUpdate, Kind, MapUpdate, SetUpdate, Update,
};
use serde_json::{Map, Value as Json};

/// A body that was understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) update: Update,
    /// In base 64.
    pub(super) context: Option<String>,
}

/// Why a part of a body is no operation.
#[derive(Debug, PartialEq, Eq)]
enum Wrong {
    /// It is not for this type.
    Operation,
    FieldName(String),
}

type Read<T> = Result<T, Wrong>;

/// Reads the body of an update of a key that holds this kind.
pub(super) fn read(body: &Bytes, kind: Kind) -> Result<Asked, Problem> {
    let text = std::str::from_utf8(body)
        .map_err(|_| Problem::bad_request("Malformed JSON submitted, invalid UTF-8"))?;
    let json: Json = serde_json::from_str(text)
        .map_err(|error| Problem::bad_request(format!("Couldn't decode JSON: {error}\n")))?;
    let (json, context) = without_context(json);
    let update = update_of(&json, kind).map_err(|wrong| match wrong {
        Wrong::Operation => Problem::bad_request(format!(
            "Invalid operation on datatype '{}': {json}\n",
            kind.name()
        )),
        Wrong::FieldName(name) => {
            Problem::bad_request(format!("Invalid map field name '{name}'\n"))
        }
    })?;
    Ok(Asked { update, context })
}

fn without_context(mut json: Json) -> (Json, Option<String>) {
    let context = match &mut json {
        Json::Object(members) => members.shift_remove("context"),
        _ => None,
    };
    match context {
        Some(Json::String(context)) => (json, Some(context)),
        // What is no text opens nothing, and is refused for that.
        Some(other) => (json, Some(other.to_string())),
        None => (json, None),
    }
}

fn update_of(json: &Json, kind: Kind) -> Read<Update> {
    Ok(match kind {
        Kind::Counter => Update::Counter(amount(json)?),
        Kind::Set => Update::Set(set_update(json)?),
        Kind::GrowingSet => Update::GrowingSet(adds_only(json)?),
        Kind::Hll => Update::Hll(adds_only(json)?),
        Kind::Map => Update::Map(map_update(json, 1)?),
    })
}

fn amount(json: &Json) -> Read<i64> {
    let amount = match json {
        Json::Number(number) => number.as_i64(),
        Json::String(word) if word == "increment" => Some(1),
        Json::String(word) if word == "decrement" => Some(-1),
        Json::Object(members) if members.len() == 1 => {
            let by = |name| members.get(name).and_then(Json::as_i64);
            by("increment").or_else(|| by("decrement")?.checked_neg())
        }
        _ => None,
    };
    amount.ok_or(Wrong::Operation)
}

fn set_update(json: &Json) -> Read<SetUpdate> {
    let mut update = SetUpdate::default();
    collect(json, &mut update, true)?;
    Ok(update)
}

fn adds_only(json: &Json) -> Read<Vec<Bytes>> {
    let update = set_update(json)?;
    if update.removes.is_empty() {
        Ok(update.adds)
    } else {
        Err(Wrong::Operation)
    }
}

/// One operation on a set; `outermost` may have others in it.
fn collect(json: &Json, update: &mut SetUpdate, outermost: bool) -> Read<()> {
    let members = json.as_object().ok_or(Wrong::Operation)?;
    for (name, value) in members {
        match name.as_str() {
            "add" => update.adds.push(text(value)?),
            "add_all" => update.adds.extend(texts(value)?),
            "remove" => update.removes.push(text(value)?),
            "remove_all" => update.removes.extend(texts(value)?),
            "update" if outermost => match value {
                Json::Array(operations) => {
                    for operation in operations {
                        collect(operation, update, false)?;
                    }
                }
                operation => collect(operation, update, false)?,
            },
            _ => return Err(Wrong::Operation),
        }
    }
    Ok(())
}

fn text(json: &Json) -> Read<Bytes> {
    let text = json.as_str().ok_or(Wrong::Operation)?;
    Ok(Bytes::copy_from_slice(text.as_bytes()))
}

fn texts(json: &Json) -> Read<Vec<Bytes>> {
    let list = json.as_array().ok_or(Wrong::Operation)?;
    list.iter().map(text).collect()
}

fn map_update(json: &Json, depth: usize) -> Read<MapUpdate> {
    let members = json.as_object().ok_or(Wrong::Operation)?;
    if depth > DEPTH_MAX {
        return Err(Wrong::Operation);
    }
    let mut update = MapUpdate::default();
    for (name, value) in members {
        match (name.as_str(), value) {
            ("update", Json::Object(fields)) => update.updates = field_updates(fields, depth)?,
            ("remove", Json::String(name)) => update.removes.push(field(name)?),
            ("remove", Json::Array(names)) => {
                for name in names {
                    update
                        .removes
                        .push(field(name.as_str().ok_or(Wrong::Operation)?)?);
                }
            }
            _ => return Err(Wrong::Operation),
        }
    }
    Ok(update)
}

fn field_updates(fields: &Map<String, Json>, depth: usize) -> Read<Vec<(Bytes, FieldUpdate)>> {
    let updates = fields.iter().map(|(name, json)| {
        let Field { name, kind } = field(name)?;
        let update = match kind {
            FieldKind::Counter => FieldUpdate::Counter(amount(json)?),
            FieldKind::Set => FieldUpdate::Set(set_update(json)?),
            FieldKind::Register => FieldUpdate::Register(assigned(json)?),
            FieldKind::Flag => FieldUpdate::Flag(switched(json)?),
            FieldKind::Map => FieldUpdate::Map(map_update(json, depth + 1)?),
        };
        Ok((name, update))
    });
    updates.collect()
}

fn assigned(json: &Json) -> Read<Bytes> {
    match json {
        Json::Object(members) if members.len() == 1 => {
            text(members.get("assign").ok_or(Wrong::Operation)?)
        }
        value => text(value),
    }
}

fn switched(json: &Json) -> Read<bool> {
    match json.as_str() {
        Some("enable") => Ok(true),
        Some("disable") => Ok(false),
        _ => Err(Wrong::Operation),
    }
}

fn field(name: &str) -> Read<Field> {
    let wrong = || Wrong::FieldName(name.to_owned());
    let (bare, of_type) = name.rsplit_once('_').ok_or_else(wrong)?;
    let mut kinds = FieldKind::ALL.into_iter();
    let kind = kinds
        .find(|kind| kind.name() == of_type)
        .ok_or_else(wrong)?;
    let name = Bytes::copy_from_slice(bare.as_bytes());
    Ok(Field { name, kind })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::datatype::samples;
    use proptest::prelude::*;
    use serde_json::json;

    fn asked(kind: Kind, body: &str) -> Asked {
        read(&Bytes::copy_from_slice(body.as_bytes()), kind)
            .unwrap_or_else(|_| panic!("{} {body}", kind.name()))
    }

    fn update(kind: Kind, body: &str) -> Update {
        asked(kind, body).update
    }

    fn refusal(kind: Kind, body: &[u8]) -> String {
        let refused = read(&Bytes::copy_from_slice(body), kind);
        let problem = refused.expect_err("it is refused");
        problem.text().to_owned()
    }

    fn items(items: &[&'static str]) -> Vec<Bytes> {
        items.iter().map(|item| Bytes::from(*item)).collect()
    }

    #[test]
    fn counters() {
        let rows = [
            ("5", 5),
            ("-5", -5),
            ("\"increment\"", 1),
            ("\"decrement\"", -1),
            ("{\"increment\":5}", 5),
            ("{\"decrement\":5}", -5),
            ("{\"increment\":-2}", -2),
        ];
        for (body, by) in rows {
            assert_eq!(update(Kind::Counter, body), Update::Counter(by), "{body}");
        }
        for body in [
            "1.5",
            "\"up\"",
            "{}",
            "[1]",
            "null",
            "{\"increment\":\"5\"}",
            "{\"increment\":1,\"decrement\":1}",
            "{\"decrement\":-9223372036854775808}",
            "99999999999999999999",
        ] {
            let text = refusal(Kind::Counter, body.as_bytes());
            assert!(
                text.starts_with("Invalid operation on datatype 'counter': "),
                "{text}"
            );
        }
    }

    #[test]
    fn sets() {
        let Update::Set(set) = update(
            Kind::Set,
            r#"{"add":"a","add_all":["b","c"],"remove":"d","remove_all":["e"]}"#,
        ) else {
            panic!("no set");
        };
        assert_eq!(
            (set.adds, set.removes),
            (items(&["a", "b", "c"]), items(&["d", "e"]))
        );
        let Update::Set(set) = update(
            Kind::Set,
            r#"{"update":[{"add":"a"},{"remove":"b"}],"context":"Y29udGV4dA=="}"#,
        ) else {
            panic!("no set");
        };
        assert_eq!((set.adds, set.removes), (items(&["a"]), items(&["b"])));
        let nested = r#"{"update":{"add":"a"}}"#;
        assert_eq!(
            update(Kind::GrowingSet, nested),
            Update::GrowingSet(items(&["a"]))
        );
        assert_eq!(update(Kind::Hll, nested), Update::Hll(items(&["a"])));
        let rows: [(Kind, &str); 6] = [
            (Kind::Set, r#"{"add":5}"#),
            (Kind::Set, r#"{"add_all":"a"}"#),
            (Kind::Set, r#"{"update":{"update":{"add":"a"}}}"#),
            (Kind::Set, r#""a""#),
            (Kind::GrowingSet, r#"{"remove":"a"}"#),
            (Kind::Hll, r#"{"add":"a","remove_all":["b"]}"#),
        ];
        for (kind, body) in rows {
            let text = refusal(kind, body.as_bytes());
            let name = kind.name();
            assert_eq!(
                text,
                format!("Invalid operation on datatype '{name}': {body}\n")
            );
        }
    }

    #[test]
    fn maps() {
        let body = r#"{"update":{"n_counter":1,"a_set_register":"v","r_register":{"assign":"w"},
            "f_flag":"enable","s_set":{"add":"x"},"m_map":{"remove":"g_flag"}},
            "remove":["old_set","_map"],"context":"YQ=="}"#;
        let Asked { update, context } = asked(Kind::Map, body);
        let Update::Map(map) = update else {
            panic!("no map");
        };
        assert_eq!(context.as_deref(), Some("YQ=="));
        let removed: Vec<(&[u8], &str)> = map
            .removes
            .iter()
            .map(|field| (&field.name[..], field.kind.name()))
            .collect();
        assert_eq!(removed, [(&b"old"[..], "set"), (b"", "map")]);
        let set = SetUpdate {
            adds: items(&["x"]),
            removes: Vec::new(),
        };
        let flag = Field {
            name: Bytes::from("g"),
            kind: FieldKind::Flag,
        };
        let inner = MapUpdate {
            removes: vec![flag],
            updates: Vec::new(),
        };
        let value = |value: &'static str| FieldUpdate::Register(Bytes::from(value));
        assert_eq!(
            map.updates,
            [
                (Bytes::from("n"), FieldUpdate::Counter(1)),
                (Bytes::from("a_set"), value("v")),
                (Bytes::from("r"), value("w")),
                (Bytes::from("f"), FieldUpdate::Flag(true)),
                (Bytes::from("s"), FieldUpdate::Set(set)),
                (Bytes::from("m"), FieldUpdate::Map(inner)),
            ]
        );
    }

    #[test]
    fn names_of_fields() {
        for name in [
            "x", "badname", "set", "x_Set", "x_gset", "x_hll", "x_set_", "x-set", "",
        ] {
            let body = format!("{{\"update\":{{\"{name}\":1}}}}");
            let text = refusal(Kind::Map, body.as_bytes());
            assert_eq!(text, format!("Invalid map field name '{name}'\n"));
        }
        assert_eq!(
            field("a_map_set").map(|field| field.name),
            Ok(Bytes::from("a_map"))
        );
    }

    #[test]
    fn what_is_no_json() {
        assert_eq!(
            refusal(Kind::Set, b"\"\xff\""),
            "Malformed JSON submitted, invalid UTF-8"
        );
        let text = refusal(Kind::Counter, b"garbage");
        assert!(text.starts_with("Couldn't decode JSON: "), "{text}");
        let deep = "{\"update\":{\"m_map\":".repeat(40) + "{}" + &"}}".repeat(40);
        let text = refusal(Kind::Map, deep.as_bytes());
        assert!(
            text.starts_with("Invalid operation on datatype 'map': "),
            "{text}"
        );
        let deeper = "[".repeat(100_000);
        let text = refusal(Kind::Map, deeper.as_bytes());
        assert!(text.starts_with("Couldn't decode JSON: "), "{text}");
    }

    fn spelled(update: &Update) -> Json {
        match update {
            Update::Counter(by) => json!({ "increment": by }),
            Update::Set(set) => spelled_set(set),
            Update::GrowingSet(items) | Update::Hll(items) => {
                json!({ "add_all": spelled_items(items) })
            }
            Update::Map(map) => spelled_map(map),
        }
    }

    fn spelled_items(items: &[Bytes]) -> Vec<&str> {
        items.iter().map(spelled_text).collect()
    }

    fn spelled_text(item: &Bytes) -> &str {
        std::str::from_utf8(item).expect("samples are texts")
    }

    fn spelled_set(set: &SetUpdate) -> Json {
        json!({ "add_all": spelled_items(&set.adds), "remove_all": spelled_items(&set.removes) })
    }

    fn spelled_field(name: &Bytes, kind: FieldKind) -> String {
        format!("{}_{}", spelled_text(name), kind.name())
    }

    fn spelled_map(map: &MapUpdate) -> Json {
        let removes = map
            .removes
            .iter()
            .map(|field| spelled_field(&field.name, field.kind));
        let updates = map.updates.iter().map(|(name, update)| {
            let value = match update {
                FieldUpdate::Counter(by) => json!(by),
                FieldUpdate::Set(set) => spelled_set(set),
                FieldUpdate::Register(value) => json!({ "assign": spelled_text(value) }),
                FieldUpdate::Flag(enable) => json!(if *enable { "enable" } else { "disable" }),
                FieldUpdate::Map(map) => spelled_map(map),
            };
            (spelled_field(name, update.kind()), value)
        });
        json!({
            "update": updates.collect::<Map<_, _>>(),
            "remove": removes.collect::<Vec<_>>(),
        })
    }

    proptest! {
        #[test]
        fn what_is_spelled_is_read((kind, update) in samples::update()) {
            let read = asked(kind, &spelled(&update).to_string());
            prop_assert_eq!(read, Asked { update, context: None });
        }

        #[test]
        fn a_damaged_body_is_read_or_refused(
            (kind, update) in samples::update(), at in any::<usize>(), byte in any::<u8>(),
        ) {
            let mut body = spelled(&update).to_string().into_bytes();
            let at = at % body.len();
            body[at] = byte;
            read(&Bytes::from(body), kind).ok();
        }
    }
}
