//! `list`: the keys of a bucket in order, its number of keys, or the buckets of a type.
//!
//! Keys come in pages of the node's own, which are as small as a thousand keys, so a bucket of any size is listed in little memory, and one
//! that was cut off goes on with `--after`. A name that is no text is printed with its bytes escaped, as the node gives it.

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
        let mut after = self.arguments.after.as_ref().map(percent::encode);
        while left > 0 {
            let limit = left.min(PAGE_KEYS);
            let behind = after.map(|key| format!("&after={key}")).unwrap_or_default();
            let page = self
                .ask(format!("{base}/keys?limit={limit}{behind}"))
                .await?;
            let keys = page["keys"].as_array().map_or(0, Vec::len);
            show(&page["keys"], "keys", format)?;
            left = left.saturating_sub(keys as u64);
            match page["next"].as_str() {
                Some(next) => after = Some(next.to_owned()),
                None => return Ok(()),
            }
        }
        Ok(())
    }
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
