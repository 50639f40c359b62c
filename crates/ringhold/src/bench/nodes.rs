//! What the nodes say of themselves over HTTP: how often they flushed, and how the bucket is replicated.

use std::time::Duration;

use ringhold_client::{HttpPool, Request, percent};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::output::Failure;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Sums over all nodes, since they started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Of the log.
    pub(crate) flushes: u64,
    /// Records in the log: one for each replica of a put.
    pub(crate) writes: u64,
    pub(crate) checkpoints: u64,
    /// Puts that another node than the asked one coordinated.
    pub(crate) forwarded: u64,
}

impl Counts {
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            flushes: self.flushes.saturating_sub(before.flushes),
            writes: self.writes.saturating_sub(before.writes),
            checkpoints: self.checkpoints.saturating_sub(before.checkpoints),
            forwarded: self.forwarded.saturating_sub(before.forwarded),
        }
    }

    /// Reads a page of metrics.
    fn of(page: &str) -> Self {
        let count = |name: &str| {
            let of_line = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
            page.lines().find_map(of_line).unwrap_or(0)
        };
        Self {
            flushes: count("ringhold_storage_syncs_total"),
            writes: count("ringhold_storage_writes_total"),
            checkpoints: count("ringhold_storage_checkpoints_total"),
            forwarded: count("ringhold_puts_forwarded_total"),
        }
    }
}

/// How the bucket under load is replicated, and by how many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Replication {
    pub(crate) members: u64,
    pub(crate) n: u64,
    pub(crate) r: u64,
    pub(crate) w: u64,
    pub(crate) durability: String,
}

/// The HTTP listeners of the nodes.
pub(crate) struct Nodes {
    pools: Vec<HttpPool>,
}

impl Nodes {
    pub(crate) fn at(urls: &[String]) -> Result<Self, Failure> {
        let pools = urls.iter().map(|url| HttpPool::at(url));
        Ok(Self {
            pools: pools.collect::<Result<_, _>>()?,
        })
    }

    /// `None` if no node is known, or one does not answer: a sum without it would be another one.
    pub(crate) async fn counts(&self) -> Option<Counts> {
        let mut sum = Counts::default();
        for pool in &self.pools {
            let of = Counts::of(&text(pool, "/metrics".to_owned()).await?);
            sum.flushes += of.flushes;
            sum.writes += of.writes;
            sum.checkpoints += of.checkpoints;
            sum.forwarded += of.forwarded;
        }
        (!self.pools.is_empty()).then_some(sum)
    }

    /// As the first node tells it.
    pub(crate) async fn replication(&self, bucket: &str) -> Option<Replication> {
        let pool = self.pools.first()?;
        let path = format!("/types/default/buckets/{}/props", percent::encode(bucket));
        let json = |text: String| serde_json::from_str::<Value>(&text).unwrap_or_default();
        let properties = json(text(pool, path).await?);
        let status = json(text(pool, "/ringhold/v1/status".to_owned()).await?);
        let members = status["members"].as_array().map_or(0, Vec::len);
        let members = u64::try_from(members).unwrap_or(u64::MAX);
        replication(&properties["props"], members)
    }
}

fn replication(properties: &Value, members: u64) -> Option<Replication> {
    let n = properties["n_val"].as_u64()?;
    let quorum = |name: &str| match (&properties[name], properties[name].as_u64()) {
        (_, Some(count)) => Some(count.min(n)),
        (Value::String(word), _) if word == "one" => Some(1),
        (Value::String(word), _) if word == "all" => Some(n),
        (Value::String(word), _) if word == "quorum" => Some(n / 2 + 1),
        _ => None,
    };
    Some(Replication {
        members,
        n: n.min(members),
        r: quorum("r")?,
        w: quorum("w")?,
        durability: properties["durability"].as_str()?.to_owned(),
    })
}

async fn text(pool: &HttpPool, path: String) -> Option<String> {
    let answer = pool.request(&Request::get(path, TIMEOUT)).await.ok()?;
    (answer.status == 200).then(|| answer.text())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn counts_are_found_by_their_whole_name() {
        let page = "# HELP ringhold_storage_syncs_total Flushes.\nringhold_storage_syncs_total_x 9\n\
                    ringhold_storage_syncs_total 7\nringhold_storage_writes_total 30\n";
        let counts = Counts::of(page);
        let expected = Counts {
            flushes: 7,
            writes: 30,
            ..Counts::default()
        };
        assert_eq!(counts, expected);
        let before = Counts {
            flushes: 5,
            writes: 31,
            ..Counts::default()
        };
        assert_eq!(counts.since(before).flushes, 2);
        assert_eq!(counts.since(before).writes, 0, "a node started anew");
    }

    #[test]
    fn quorums_are_numbers_in_the_end() {
        let properties = json!({ "n_val": 5, "r": "quorum", "w": 2, "durability": "flushed" });
        let replication = replication(&properties, 3).expect("all there");
        assert_eq!((replication.n, replication.r, replication.w), (3, 3, 2));
        assert_eq!(super::replication(&json!(null), 3), None);
    }
}
