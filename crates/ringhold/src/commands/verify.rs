//! `cluster verify`: do all primaries hold the same?
//!
//! Each primary's index rows are held against its objects, too: a row may be missing, or strange, which is of no object.
//!
//! The node that is asked does the work; here its lines become a bar, then a table of what is not in order, then one
//! sentence. Partitions that agree are not listed: there are hundreds.

use serde_json::{Value, json};

use crate::cli::PartitionArgs;
use crate::commands::job::Job;
use crate::commands::view::cell;
use crate::output::{Failure, Format, Table, print, print_json, progress_bar, say};

pub(super) async fn run(arguments: PartitionArgs, format: Format) -> Result<(), Failure> {
    let PartitionArgs { at, partition } = arguments;
    let mut job = Job::start(&at, "verify", partition).await?;
    let bar = progress_bar(1, "partitions compared");
    let (mut wrong, mut summary) = (Vec::new(), Value::Null);
    while let Some(line) = job.next().await? {
        match line["type"].as_str() {
            Some("start") => bar.set_length(line["partitions"].as_u64().unwrap_or(1)),
            Some("partition") => {
                bar.inc(1);
                if line["state"] != "agrees" {
                    wrong.push(line);
                }
            }
            Some("waiting") => bar.suspend(|| say(waiting(&line, "looked at again"))),
            Some("end") => summary = line,
            _ => {}
        }
    }
    bar.finish_and_clear();
    wrong.sort_by_key(|line| line["partition"].as_u64());
    match format {
        Format::Table if wrong.is_empty() => print(conclusion(&summary))?,
        Format::Table => print(format!("{}{}", table(&wrong), conclusion(&summary)))?,
        Format::Json => print_json(&json!({ "summary": summary, "not_in_order": wrong }))?,
    }
    judge(&summary)
}

/// What is done with those that differ, once all that was on its way has arrived.
pub(super) fn waiting(line: &Value, done: &str) -> String {
    format!(
        "partitions that differ: {}; they are {done} in {} s, when what was on its way has arrived",
        cell(&line["partitions"]),
        line["seconds"].as_f64().unwrap_or(0.0)
    )
}

/// One row for each primary of a partition that is not in order.
fn table(wrong: &[Value]) -> String {
    let headings = [
        "partition",
        "state",
        "primary",
        "keys",
        "unreadable",
        "wrong sums",
        "rows missing",
        "rows strange",
        "root",
        "why",
    ];
    let mut table = Table::new(&headings);
    let mut names = String::new();
    for line in wrong {
        for primary in line["primaries"].as_array().into_iter().flatten() {
            let root = primary["root"].as_str().and_then(|root| root.get(..8));
            table.row([
                cell(&line["partition"]),
                cell(&line["state"]),
                cell(&primary["node"]),
                cell(&primary["keys"]),
                cell(&primary["unreadable"]),
                cell(&primary["wrong_sums"]),
                cell(&primary["rows"]["missing"]),
                cell(&primary["rows"]["strange"]),
                root.unwrap_or("-").to_owned(),
                why(primary),
            ]);
        }
        for name in line["differing_keys"].as_array().into_iter().flatten() {
            let (bucket, key) = (cell(&name["bucket"]), cell(&name["key"]));
            names.push_str(&format!(
                "  {bucket}/{key} of type {}\n",
                cell(&name["type"])
            ));
        }
    }
    if names.is_empty() {
        return format!("{table}\n");
    }
    format!(
        "{table}\nsome of the keys that differ (`ringhold cluster explain` shows their replicas):\n{names}\n"
    )
}

/// Why a primary, or its index rows, was not looked at.
fn why(primary: &Value) -> String {
    match &primary["rows"]["not_checked"] {
        Value::Null => cell(&primary["not_counted"]),
        reason => format!("index rows: {}", cell(reason)),
    }
}

fn conclusion(summary: &Value) -> String {
    format!(
        "{} of {} partitions agree, {} differ, {} were not verified; {} keys checked; index rows: {} missing, {} strange\n",
        cell(&summary["agreeing"]),
        cell(&summary["partitions"]),
        cell(&summary["differing"]),
        cell(&summary["not_verified"]),
        cell(&summary["keys"]),
        cell(&summary["rows_missing"]),
        cell(&summary["rows_strange"]),
    )
}

/// Done only if everything was verified and agrees.
fn judge(summary: &Value) -> Result<(), Failure> {
    let count = |member: &str| summary[member].as_u64().unwrap_or(0);
    if count("differing") > 0 {
        return Err(Failure::failed(
            "primaries differ, or their index rows from their objects: `ringhold cluster repair` mends them now, anti-entropy in its own time",
        ));
    }
    if count("not_verified") > 0 || count("agreeing") == 0 {
        return Err(Failure::failed(
            "not all primaries could be asked, so nobody knows whether they agree: verify again when they are back",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(agreeing: u64, differing: u64, not_verified: u64) -> Value {
        json!({ "partitions": agreeing + differing + not_verified, "agreeing": agreeing,
            "differing": differing, "not_verified": not_verified, "keys": 12,
            "rows_missing": 2, "rows_strange": 1 })
    }

    #[test]
    fn silence_is_no_agreement() {
        assert!(judge(&summary(256, 0, 0)).is_ok());
        for wrong in [
            summary(255, 1, 0),
            summary(255, 0, 1),
            summary(0, 0, 0),
            Value::Null,
        ] {
            assert!(judge(&wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            conclusion(&summary(255, 1, 0)),
            "255 of 256 partitions agree, 1 differ, 0 were not verified; 12 keys checked; index rows: 2 missing, 1 strange\n"
        );
    }

    #[test]
    fn what_is_wrong_is_told_by_primary_and_by_name() {
        let line = json!({ "partition": 7, "state": "differs", "primaries": [
                { "node": "a", "keys": 3, "unreadable": 0, "wrong_sums": 0, "root": "00112233445566",
                    "rows": { "missing": 5, "strange": 6 } },
                { "node": "c", "keys": 3, "unreadable": 0, "wrong_sums": 0, "root": "00112233445566",
                    "rows": { "not_checked": "no answer" } },
                { "node": "b", "not_counted": "unreachable" },
            ], "differing_keys": [{ "type": "default", "bucket": "carts", "key": "alice" }] });
        let text = table(&[line]);
        assert!(text.contains("7  differs  a           3"), "{text}");
        assert!(text.contains("  5             6  "), "{text}");
        assert!(text.contains("unreachable"), "{text}");
        assert!(text.contains("index rows: no answer"), "{text}");
        assert!(text.contains("  carts/alice of type default\n"), "{text}");
    }
}
