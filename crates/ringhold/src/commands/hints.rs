//! `cluster hints`: who keeps what for whom.
//!
//! A node knows only what it keeps itself, so every member is asked. What one keeps that does not answer is not in the table, and
//! comes back with it. The debts are those of each holder's last round of deliveries; what came since is shown as owed to "-".

use serde_json::{Value, json};

use super::everywhere;
use crate::cli::NodeArgs;
use crate::output::{Failure, Format, Table, print, print_json};

pub(super) async fn run(node: NodeArgs, format: Format) -> Result<(), Failure> {
    let statuses = everywhere::statuses(&node).await?;
    let rows: Vec<Value> = statuses
        .iter()
        .flat_map(|(name, status)| rows(name, &status["hints"]))
        .collect();
    match format {
        Format::Table => print(table(&rows)),
        Format::Json => print_json(&Value::Array(rows)),
    }
}

/// One row for each home that `holder` owes something.
fn rows(holder: &str, hints: &Value) -> Vec<Value> {
    let owed = hints["owed"].as_array().map_or(&[][..], Vec::as_slice);
    if owed.is_empty() && hints["rows"].as_u64().unwrap_or(0) > 0 {
        return vec![json!({
            "holder": holder,
            "owed_to": null,
            "keys": hints["rows"],
            "bytes": hints["bytes"],
            "oldest_s": null,
            "waits_for": "its first delivery",
        })];
    }
    let row = |debt: &Value| {
        json!({
            "holder": holder,
            "owed_to": debt["node"],
            "keys": debt["rows"],
            "bytes": debt["bytes"],
            "oldest_s": debt["oldest_s"],
            "waits_for": debt["waits_for"],
        })
    };
    owed.iter().map(row).collect()
}

fn table(rows: &[Value]) -> String {
    if rows.is_empty() {
        return "no hints\n".to_owned();
    }
    let headings = ["holder", "owed to", "keys", "bytes", "oldest", "waits for"];
    let mut table = Table::new(&headings);
    for row in rows {
        let cell = |member: &str| super::view::cell(&row[member]);
        let oldest = row["oldest_s"].as_u64().map_or_else(|| "-".to_owned(), age);
        table.row([
            cell("holder"),
            cell("owed_to"),
            cell("keys"),
            cell("bytes"),
            oldest,
            cell("waits_for"),
        ]);
    }
    table.to_string()
}

/// Seconds in the two largest units that say something.
fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_debt_is_a_row() {
        let status = json!({ "rows": 3, "bytes": 70, "owed": [
            { "node": "b", "rows": 2, "bytes": 60, "oldest_s": 75, "waits_for": "a receipt" },
            { "node": "c", "rows": 3, "bytes": 70, "oldest_s": 9, "waits_for": "the node" },
        ] });
        assert_eq!(
            table(&rows("a", &status)),
            "holder  owed to  keys  bytes      oldest  waits for\n\
             a       b           2     60  1 min 15 s  a receipt\n\
             a       c           3     70         9 s  the node\n"
        );
    }

    #[test]
    fn nothing_kept_and_nothing_asked_yet_are_told_apart() {
        let kept = |rows: u64| json!({ "rows": rows, "bytes": rows * 10, "owed": [] });
        assert_eq!(table(&rows("a", &kept(0))), "no hints\n");
        let text = table(&rows("a", &kept(4)));
        assert!(text.contains("its first delivery"), "{text}");
        assert_eq!(table(&rows("old node", &Value::Null)), "no hints\n");
    }

    #[test]
    fn an_age_has_two_units() {
        let ages = [
            (59, "59 s"),
            (60, "1 min 0 s"),
            (3_700, "1 h 1 min"),
            (90_000, "1 d 1 h"),
        ];
        for (seconds, text) in ages {
            assert_eq!(age(seconds), text);
        }
    }
}
