//! `list`: the keys of a bucket in order, its number of keys, or the buckets of a type.
//!
//! Keys come in pages of the node's own, which are as small as a thousand keys, so a bucket of any size is listed in little memory, and one
//! that was cut off goes on with `--after`. A name that is no text, or no line of it, or has a `%` is printed with its bytes escaped, as the node
//! gives it. So what is printed can be taken back: with a `%` it is escaped, without it is not.

use ringhold_client::{HttpPool, Request, percent};
use serde_json::{Value, json};

use crate::cli::ListArgs;
use crate::output::{Failure, Format, print, print_json};

/// Keys that are asked for at once.
const PAGE_KEYS: u64 = 1_000;

pub(super) async fn run(arguments: ListArgs, format: Format) -> Result<(), Failure> {
    let pool = HttpPool::at(&arguments.node.at)?;
    let asking = Asking {
        pool: &pool,
        arguments: &arguments,
    };
    let of_type = percent::encode(&arguments.bucket_type);
    let Some(bucket) = &arguments.bucket else {
        let path = format!("/types/{of_type}/buckets?buckets=true");
        let answer = asking.ask(path).await?;
        return show(&answer["buckets"], "buckets", format);
    };
    let bucket = percent::encode(bucket);
    let base = format!("/ringhold/v1/types/{of_type}/buckets/{bucket}");
    if arguments.count {
        let answer = asking.ask(format!("{base}/count?")).await?;
        return match format {
            Format::Table => print(format!("{}\n", answer["keys"])),
            Format::Json => print_json(&answer),
        };
    }
    asking.keys(&base, format).await
}

struct Asking<'a> {
    pool: &'a HttpPool,
    arguments: &'a ListArgs,
}

impl Asking<'_> {
    async fn ask(&self, path: String) -> Result<Value, Failure> {
        let timeout = self.arguments.node.timeout();
        let partial = if self.arguments.partial {
            "&partial=true"
        } else {
            ""
        };
        let path = format!("{path}&timeout={}{partial}", timeout.as_millis());
        let answer = self.pool.request(&Request::get(path, timeout)).await?;
        let coverage = answer.header("x-ringhold-coverage").unwrap_or_default();
        if answer.status == 503 && coverage.starts_with("missing") {
            return Err(Failure::failed(format!(
                "too few homes of some partitions answer ({coverage}); --partial lists what the others have"
            )));
        }
        if answer.status != 200 {
            return Err(Failure::failed(answer.text().trim_end().to_owned()));
        }
        if coverage.starts_with("missing") {
            eprintln(&format!("not all is listed: {coverage}"))?;
        }
        serde_json::from_slice(&answer.body)
            .map_err(|error| Failure::failed(format!("the node's answer is no JSON: {error}")))
    }

    /// Page after page, printed as they come.
    async fn keys(&self, base: &str, format: Format) -> Result<(), Failure> {
        let mut left = self.arguments.limit.unwrap_or(u64::MAX);
        let mut after = self.arguments.after.as_ref().map(|key| as_given(key));
        while left > 0 {
            let limit = left.min(PAGE_KEYS);
            let behind = after.map(|key| format!("&after={key}")).unwrap_or_default();
            let page = self
                .ask(format!("{base}/keys?limit={limit}{behind}"))
                .await?;
            let keys = page["keys"].as_array().map_or(0, Vec::len);
            show(&printed(&page["keys"]), "keys", format)?;
            left = left.saturating_sub(keys as u64);
            match page["next"].as_str() {
                Some(next) => after = Some(next.to_owned()),
                None => return Ok(()),
            }
        }
        Ok(())
    }
}

/// A page's names, which all come escaped, as people read them.
fn printed(names: &Value) -> Value {
    let names = names.as_array().into_iter().flatten();
    names.filter_map(Value::as_str).map(plain).collect()
}

/// A name as text if it is a line of that, and is not taken for an escaped one.
fn plain(escaped: &str) -> String {
    let text = percent::decode(escaped).and_then(|bytes| String::from_utf8(bytes).ok());
    let is_line = |text: &String| !text.contains(|c: char| c.is_control() || c == '%');
    text.filter(is_line).unwrap_or_else(|| escaped.to_owned())
}

/// A name as it was printed, as the node is given it.
fn as_given(printed: &str) -> String {
    if printed.contains('%') {
        return printed.to_owned();
    }
    percent::encode(printed)
}

fn show(names: &Value, member: &str, format: Format) -> Result<(), Failure> {
    match format {
        Format::Json => print_json(&json!({ member: names })),
        Format::Table => {
            let names = names.as_array().into_iter().flatten();
            let lines = names
                .filter_map(Value::as_str)
                .map(|name| format!("{name}\n"));
            print(lines.collect::<String>())
        }
    }
}

/// What is said beside the list.
fn eprintln(text: &str) -> Result<(), Failure> {
    use std::io::Write;
    writeln!(std::io::stderr(), "{text}")
        .map_err(|error| Failure::failed(format!("standard error takes nothing: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_can_be_taken_back() {
        let rows = [
            ("plain", "plain"),
            ("a%20b", "a b"),
            ("%C3%BC", "ü"),
            ("100%25", "100%25"),
            ("%FF", "%FF"),
            ("a%0Ab", "a%0Ab"),
        ];
        for (escaped, expected) in rows {
            assert_eq!(plain(escaped), expected);
            assert_eq!(as_given(expected), escaped);
        }
    }
}
