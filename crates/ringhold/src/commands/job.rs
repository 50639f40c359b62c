//! Following a job of a node: lines of JSON until the one with the type `end`.

use std::time::Duration;

use ringhold_client::{BaseUrl, Request, Streamed};
use serde_json::Value;

use crate::output::Failure;

/// A node that works on a job says so every few seconds.
const SILENCE: Duration = Duration::from_secs(60);

/// A job under way.
pub(super) struct Job {
    at: String,
    answer: Streamed,
    is_over: bool,
}

impl Job {
    /// Starts a job; `name` is the last part of its path.
    pub(super) async fn start(
        at: &str,
        name: &str,
        partition: Option<u32>,
    ) -> Result<Self, Failure> {
        let mut path = format!("/ringhold/v1/{name}");
        if let Some(partition) = partition {
            path.push_str(&format!("?partition={partition}"));
        }
        let request = Request::post(path, SILENCE);
        Ok(Self {
            at: at.to_owned(),
            answer: Streamed::open(&BaseUrl::parse(at)?, &request).await?,
            is_over: false,
        })
    }

    /// What the job says next; none after its `end`.
    pub(super) async fn next(&mut self) -> Result<Option<Value>, Failure> {
        while !self.is_over {
            let Some(line) = self.answer.line().await? else {
                return Err(Failure::failed(format!(
                    "{}: the job was cut off; has the node stopped?",
                    self.at
                )));
            };
            let line: Value = serde_json::from_slice(&line).map_err(|error| {
                Failure::failed(format!("{} did not answer JSON: {error}", self.at))
            })?;
            self.is_over = line["type"] == "end";
            if line["type"] != "alive" {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }
}

/// Does a whole job and returns the last thing that it says.
pub(super) async fn last_line(at: &str, name: &str) -> Result<Value, Failure> {
    let mut job = Job::start(at, name, None).await?;
    let mut last = Value::Null;
    while let Some(line) = job.next().await? {
        last = line;
    }
    Ok(last)
}
