//! JSON that a node answered, made readable.
//!
//! Nodes of other versions may say more, or less: a view takes what it knows from where it stands,
//! prints the rest as it is, and never fails over a missing member.

use serde_json::Value;

use crate::output::Table;

/// JSON in a header's text, or that text.
pub(super) fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// How a request was answered, for people.
pub(super) fn explained(text: &str) -> String {
    format!("\nhow it was answered:\n{}", readable(&parsed(text)))
}

/// Adds the members of one object to another.
pub(super) fn extend(object: &mut Value, more: Value) {
    if let (Value::Object(object), Value::Object(more)) = (object, more) {
        object.extend(more);
    }
}

/// Any JSON: scalars as lines, nested objects under their names, then lists of objects as tables.
pub(super) fn readable(value: &Value) -> String {
    let (mut lines, mut tables) = (String::new(), String::new());
    collect(&mut lines, &mut tables, "", value);
    lines + &tables
}

fn collect(lines: &mut String, tables: &mut String, name: &str, value: &Value) {
    match value {
        Value::Object(members) => {
            let prefix = if name.is_empty() {
                String::new()
            } else {
                format!("{name}.")
            };
            for (member, value) in members {
                collect(lines, tables, &format!("{prefix}{member}"), value);
            }
        }
        Value::Array(rows) if !rows.is_empty() && rows.iter().all(Value::is_object) => {
            if !name.is_empty() {
                tables.push_str(&format!("\n{name}:\n"));
            }
            tables.push_str(&table(rows).to_string());
        }
        value if name.is_empty() => lines.push_str(&format!("{}\n", cell(value))),
        value => lines.push_str(&format!("{name}: {}\n", cell(value))),
    }
}

/// A column for each member that any row has, in the order of their first appearance.
pub(super) fn table(rows: &[Value]) -> Table {
    let mut columns: Vec<&str> = Vec::new();
    for member in rows
        .iter()
        .filter_map(Value::as_object)
        .flat_map(|row| row.keys())
    {
        if !columns.contains(&member.as_str()) {
            columns.push(member);
        }
    }
    let mut table = Table::new(&columns);
    for row in rows {
        table.row(
            columns
                .iter()
                .map(|&column| row.get(column).map(cell).unwrap_or_default()),
        );
    }
    table
}

/// A value within a line.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items)
            if items
                .iter()
                .all(|item| !item.is_array() && !item.is_object()) =>
        {
            items.iter().map(cell).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn anything_becomes_lines_and_tables() {
        let value = json!({
            "node": { "name": "node1", "up": true },
            "members": [{ "name": "a", "n": 1 }, { "name": "b", "zone": "z" }],
            "owners": ["a", "b"],
        });
        let expected = "node.name: node1\nnode.up: yes\nowners: a b\n\nmembers:\n\
                        name  n  zone\na     1\nb        z\n";
        assert_eq!(readable(&value), expected);
        assert_eq!(readable(&json!("text")), "text\n");
        assert_eq!(readable(&json!([])), "\n");
    }

    #[test]
    fn text_that_is_no_json_is_shown_as_it_is() {
        assert_eq!(parsed("{\"a\":1}"), json!({ "a": 1 }));
        assert_eq!(parsed("{a"), json!("{a"));
    }
}
