//! `cluster repair`: anti-entropy now.
//!
//! As in `verify` the node that is asked does the work. What is listed at the end are the partitions in which something
//! was mended, set right or left undone.

use serde_json::{Value, json};

use crate::cli::PartitionArgs;
use crate::commands::job::Job;
use crate::commands::verify::waiting;
use crate::commands::view::cell;
use crate::output::{Failure, Format, Table, print, print_json, progress_bar, say};

pub(super) async fn run(arguments: PartitionArgs, format: Format) -> Result<(), Failure> {
    let PartitionArgs { at, partition } = arguments;
    let mut job = Job::start(&at, "repair", partition).await?;
    let bar = progress_bar(1, "partitions in order");
    let (mut touched, mut summary) = (Vec::new(), Value::Null);
    while let Some(line) = job.next().await? {
        match line["type"].as_str() {
            Some("start") => bar.set_length(line["partitions"].as_u64().unwrap_or(1)),
            Some("partition") => {
                bar.inc(1);
                if is_worth_telling(&line) {
                    touched.push(line);
                }
            }
            Some("waiting") => bar.suspend(|| say(waiting(&line, "mended"))),
            Some("end") => summary = line,
            _ => {}
        }
    }
    bar.finish_and_clear();
    touched.sort_by_key(|line| line["partition"].as_u64());
    match format {
        Format::Table if touched.is_empty() => print(conclusion(&summary))?,
        Format::Table => print(format!("{}\n{}", table(&touched), conclusion(&summary)))?,
        Format::Json => print_json(&json!({ "summary": summary, "partitions": touched }))?,
    }
    judge(&summary)
}

fn is_worth_telling(line: &Value) -> bool {
    let counts = [
        "keys_mended",
        "keys_failed",
        "sums_set_right",
        "rows_set_right",
        "unreadable",
    ];
    let left_out = line["left_out"]
        .as_array()
        .is_some_and(|out| !out.is_empty());
    left_out
        || counts
            .iter()
            .any(|count| line[count].as_u64().unwrap_or(0) > 0)
}

fn table(touched: &[Value]) -> String {
    let headings = [
        "partition",
        "keys mended",
        "failed",
        "sums set right",
        "rows set right",
        "unreadable",
        "sent",
        "received",
        "left out",
    ];
    let mut table = Table::new(&headings);
    for line in touched {
        let left_out = line["left_out"].as_array().map_or(&[][..], Vec::as_slice);
        let left_out = left_out.iter();
        let left_out = left_out.map(|out| format!("{}: {}", cell(&out["node"]), cell(&out["why"])));
        table.row([
            cell(&line["partition"]),
            cell(&line["keys_mended"]),
            cell(&line["keys_failed"]),
            cell(&line["sums_set_right"]),
            cell(&line["rows_set_right"]),
            cell(&line["unreadable"]),
            cell(&line["bytes_sent"]),
            cell(&line["bytes_received"]),
            left_out.collect::<Vec<_>>().join(", "),
        ]);
    }
    table.to_string()
}

fn conclusion(summary: &Value) -> String {
    format!(
        "{} partitions, {} exchanges: {} keys mended, {} bytes sent, {} received; {} index rows set right\n",
        cell(&summary["partitions"]),
        cell(&summary["exchanges"]),
        cell(&summary["keys_mended"]),
        cell(&summary["bytes_sent"]),
        cell(&summary["bytes_received"]),
        cell(&summary["rows_set_right"]),
    )
}

/// Done only if every primary took part and nothing was refused.
fn judge(summary: &Value) -> Result<(), Failure> {
    if summary["incomplete"].as_u64() == Some(0) {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "{} partitions are not repaired to the end: some of their primaries did not take part; repair again when they are back",
        cell(&summary["incomplete"])
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_undone_is_a_failure() {
        assert!(judge(&json!({ "incomplete": 0 })).is_ok());
        assert!(judge(&json!({ "incomplete": 2 })).is_err());
        assert!(judge(&Value::Null).is_err());
    }

    #[test]
    fn only_what_needed_something_is_listed() {
        let line = |mended: u64, left_out: Value| {
            json!({ "partition": 3, "keys_mended": mended, "keys_failed": 0, "sums_set_right": 0,
                "rows_set_right": 0, "unreadable": 0, "bytes_sent": 10, "bytes_received": 20, "left_out": left_out })
        };
        assert!(!is_worth_telling(&line(0, json!([]))));
        assert!(is_worth_telling(&line(1, json!([]))));
        let mut rows = line(0, json!([]));
        rows["rows_set_right"] = json!(1);
        assert!(is_worth_telling(&rows));
        let out = line(0, json!([{ "node": "b", "why": "unreachable" }]));
        assert!(is_worth_telling(&out));
        assert!(table(&[out]).contains("b: unreachable"));
    }
}
