//! `put`: one write, under one idempotency key.

use std::io::Read as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ringhold_client::{PutOptions, Quorums, Value};
use serde_json::json;

use crate::cli::{PutArgs, WriteArgs};
use crate::commands::door::Door;
use crate::commands::{context, get, view};
use crate::output::{Failure, Format, print, print_json};
use crate::random;

pub(super) async fn run(arguments: PutArgs, format: Format) -> Result<(), Failure> {
    let options = options(&arguments.write)?;
    let body = match arguments.value {
        Some(text) => text.into_bytes(),
        None => standard_input()?,
    };
    let value = Value {
        expires_at: arguments.expires_at.or(arguments.ttl.map(end_of)),
        ..Value::new(&arguments.content_type, body)
    };
    let door = Door::at(&arguments.write.node.at)?;
    let stored = door
        .put(&get::name_of(&arguments.write.object), &value, &options)
        .await?;
    match format {
        Format::Table => {
            let dot = stored
                .dot
                .map(|dot| format!(" as {dot}"))
                .unwrap_or_default();
            let explain = stored
                .explain
                .as_deref()
                .map(view::explained)
                .unwrap_or_default();
            print(format!("stored{dot}\n{explain}"))
        }
        Format::Json => print_json(&json!({
            "stored": true,
            "dot": stored.dot,
            "idempotency_key": options.idempotency_key,
            "explain": stored.explain.as_deref().map(view::parsed),
        })),
    }
}

/// The end of a value that is written now, in whole seconds since 1970, none of them too few.
fn end_of(ttl: Duration) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let end = now.unwrap_or_default().saturating_add(ttl);
    end.as_micros().div_ceil(1_000_000).to_string()
}

/// What a put and a delete share.
pub(super) fn options(arguments: &WriteArgs) -> Result<PutOptions, Failure> {
    let key = match &arguments.idempotency_key {
        Some(key) => key.clone(),
        None => format!("{:032x}", random::identity()),
    };
    Ok(PutOptions {
        quorums: Quorums {
            r: arguments.reads.r.clone(),
            pr: arguments.reads.pr.clone(),
            w: arguments.writes.w.clone(),
            pw: arguments.writes.pw.clone(),
            dw: arguments.writes.dw.clone(),
        },
        context: context::given(&arguments.context)?,
        idempotency_key: Some(key),
        explain: arguments.explain,
        timeout: Some(arguments.node.timeout()),
    })
}

fn standard_input() -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    match std::io::stdin().lock().read_to_end(&mut body) {
        Ok(_) => Ok(body),
        Err(error) => Err(Failure::failed(format!(
            "can't read the value from standard input: {error}"
        ))),
    }
}
