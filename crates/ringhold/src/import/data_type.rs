//! The update that makes a data type's value from nothing.
//!
//! Both are JSON of the HTTP API. A flag that is not set can't be told from one that is not there by whoever has no context, so it is left out on
//! both sides.

use serde_json::{Map, Value, json};

/// What an import can say of the data type of a content type or a bucket type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its value says all: counter, set, gset, map.
    Whole,
    /// It tells an estimate, and nothing can be made of that.
    Estimate,
}

impl Kind {
    /// Of a data type's name, as bucket types have it.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "counter" | "set" | "gset" | "map" => Some(Self::Whole),
            "hll" => Some(Self::Estimate),
            _ => None,
        }
    }
}

/// The update that makes this value; none if it is not one of a data type.
pub(super) fn update_of(data_type: &str, value: &Value) -> Option<Value> {
    match data_type {
        "counter" => value.as_i64().map(Value::from),
        "set" | "gset" => value.as_array().map(|_| json!({ "add_all": value })),
        "map" => Some(json!({ "update": updates_of(value.as_object()?)? })),
        _ => None,
    }
}

fn updates_of(fields: &Map<String, Value>) -> Option<Map<String, Value>> {
    let mut updates = Map::new();
    for (name, value) in fields {
        let (_, kind) = name.rsplit_once('_')?;
        let update = match kind {
            "register" => json!({ "assign": value.as_str()? }),
            "flag" if value.as_bool()? => json!("enable"),
            "flag" => continue,
            other => update_of(other, value)?,
        };
        updates.insert(name.clone(), update);
    }
    Some(updates)
}

/// A value without the flags that are not set.
pub(super) fn without_unset(value: &Value) -> Value {
    let Some(fields) = value.as_object() else {
        return value.clone();
    };
    let is_set = |(name, value): &(&String, &Value)| {
        !(name.ends_with("_flag") && *value == &Value::Bool(false))
    };
    let set = fields.iter().filter(is_set);
    set.map(|(name, value)| (name.clone(), without_unset(value)))
        .collect::<Map<_, _>>()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_updates() {
        let rows = [
            ("counter", json!(-3), Some(json!(-3))),
            (
                "set",
                json!(["a", "b"]),
                Some(json!({ "add_all": ["a", "b"] })),
            ),
            ("hll", json!(7), None),
            ("counter", json!("x"), None),
            (
                "map",
                json!({ "a_b_counter": 2, "s_set": [], "r_register": "v", "on_flag": true, "off_flag": false, "m_map": { "c_counter": 1 } }),
                Some(
                    json!({ "update": { "a_b_counter": 2, "s_set": { "add_all": [] }, "r_register": { "assign": "v" },
                    "on_flag": "enable", "m_map": { "update": { "c_counter": 1 } } } }),
                ),
            ),
            ("map", json!({ "noname": 1 }), None),
        ];
        for (data_type, value, update) in rows {
            assert_eq!(update_of(data_type, &value), update, "{data_type} {value}");
        }
    }

    #[test]
    fn flags_that_are_not_set_do_not_matter() {
        let value = json!({ "off_flag": false, "m_map": { "off_flag": false, "on_flag": true } });
        assert_eq!(
            without_unset(&value),
            json!({ "m_map": { "on_flag": true } })
        );
    }
}
