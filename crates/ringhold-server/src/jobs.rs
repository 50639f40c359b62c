//! An operator's jobs on this node, told in lines of JSON.
//!
//! A job runs in a task of its own and ends soon after nobody reads its lines any more.

use crate::edge::{Job, JobRefused};
use crate::status::node_name;
use bytes::Bytes;
use ringhold_core::ring::{Partition, TreeId};
use ringhold_node::{
    Agreement, Insisting, Node, NotCounted, RepairEvent, Repaired, RestoreRefused, Restored,
    RestoredTypes, Verdict, VerifyEvent,
};
use ringhold_storage::RowFaults;
use ringhold_wire::backup::{Block, Head};
use ringhold_wire::message::ObjectName;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Lines that wait for their reader.
const LINES_MAX: usize = 64;
/// A job that has nothing to tell says at least that it is alive.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// Starts a job; its lines come out of what is returned.
pub(crate) fn start(node: &Arc<Node>, job: Job) -> Result<mpsc::Receiver<Bytes>, JobRefused> {
    let (lines, reader) = mpsc::channel(LINES_MAX);
    let running = Arc::clone(node);
    match job {
        Job::Verify { partition } => {
            let partitions = partitions(node, partition)?;
            let verify = verify(running, partitions, Lines(lines));
            node.environment().spawn(Box::pin(verify));
        }
        Job::Repair { partition } => {
            let partitions = partitions(node, partition)?;
            let repair = repair(running, partitions, Lines(lines));
            node.environment().spawn(Box::pin(repair));
        }
        Job::Backup => {
            node.environment().spawn(Box::pin(async move {
                match running.backup(&lines).await {
                    Ok(end) => tracing::info!(?end, "a backup was given out"),
                    Err(error) => tracing::warn!(%error, "a backup was broken off"),
                }
            }));
        }
    }
    Ok(reader)
}

/// Merges a block of a backup.
pub(crate) async fn restore(
    node: &Arc<Node>,
    head: Head,
    block: Block,
    insisting: Insisting,
) -> Result<Value, RestoreRefused> {
    node.may_restore(&head, insisting)?;
    Ok(match block {
        Block::Objects(objects) => {
            let Restored {
                whole,
                partly,
                failed,
            } = node.restore(objects).await;
            json!({ "whole": whole, "partly": partly, "failed": failed })
        }
        Block::Types(types) => {
            let RestoredTypes {
                created,
                activated,
                present,
            } = node.restore_types(types).await?;
            json!({ "types_created": created, "types_activated": activated, "types_present": present })
        }
        Block::Properties(buckets) => {
            let missing = node.restore_properties(buckets).await;
            json!({ "members_without_properties": missing })
        }
        // They hold nothing to be merged.
        Block::Head(_) | Block::End(_) => json!({}),
    })
}

/// The one that is asked for, or all.
fn partitions(node: &Node, partition: Option<u32>) -> Result<Vec<Partition>, JobRefused> {
    let count = node.ring().partition_count().count();
    match partition {
        None => Ok((0..count).map(Partition).collect()),
        Some(partition) if partition < count => Ok(vec![Partition(partition)]),
        Some(partition) => Err(JobRefused::NoSuchPartition { partition, count }),
    }
}

struct Lines(mpsc::Sender<Bytes>);

impl Lines {
    /// False if nobody reads any more.
    async fn say(&self, line: &Value) -> bool {
        self.0.send(format!("{line}\n").into()).await.is_ok()
    }

    /// Waits for something, and says now and then that it still waits.
    async fn alive_until<T>(&self, wanted: impl Future<Output = Option<T>>) -> Option<T> {
        let mut wanted = pin!(wanted);
        loop {
            if let Ok(found) = tokio::time::timeout(SILENCE_MAX, &mut wanted).await {
                return found;
            }
            if !self.say(&json!({ "type": "alive" })).await {
                return None;
            }
        }
    }
}

async fn verify(node: Arc<Node>, partitions: Vec<Partition>, lines: Lines) {
    let trees = node.trees_in(&partitions);
    let start = json!({ "type": "start", "partitions": trees.len() });
    if !lines.say(&start).await {
        return;
    }
    let (events, mut told) = mpsc::channel(LINES_MAX);
    let verifying = Arc::clone(&node);
    let verify = async move { verifying.verify_trees(trees, events).await };
    node.environment().spawn(Box::pin(verify));
    let (mut verdicts, mut keys) = (BTreeMap::new(), 0);
    let mut rows = RowFaults::default();
    while let Some(event) = lines.alive_until(told.recv()).await {
        let line = match event {
            VerifyEvent::Verdict(verdict) => {
                keys += verdict.keys();
                let faults = verdict.row_faults();
                rows.missing += faults.missing;
                rows.strange += faults.strange;
                let known = verdicts.entry(verdict.tree.partition);
                let known = known.or_insert(Agreement::Agrees);
                *known = worse(*known, verdict.agreement());
                verdict_line(&node, &verdict)
            }
            VerifyEvent::Waiting { partitions, us } => waiting_line(partitions, us),
        };
        if !lines.say(&line).await {
            return;
        }
    }
    let count = |of| {
        verdicts
            .values()
            .filter(|agreement| **agreement == of)
            .count()
    };
    let end = json!({
        "type": "end",
        "partitions": verdicts.len(),
        "agreeing": count(Agreement::Agrees),
        "differing": count(Agreement::Differs),
        "not_verified": count(Agreement::NotVerified),
        "keys": keys,
        "rows_missing": rows.missing,
        "rows_strange": rows.strange,
    });
    // The last word: whether it is heard or not, the job is over.
    lines.say(&end).await;
}

/// A partition agrees if the keys of every number of replicas do.
fn worse(one: Agreement, other: Agreement) -> Agreement {
    let is_any = |agreement| one == agreement || other == agreement;
    match () {
        () if is_any(Agreement::Differs) => Agreement::Differs,
        () if is_any(Agreement::NotVerified) => Agreement::NotVerified,
        () => Agreement::Agrees,
    }
}

async fn repair(node: Arc<Node>, partitions: Vec<Partition>, lines: Lines) {
    let trees = node.trees_in(&partitions);
    let start = json!({ "type": "start", "partitions": trees.len() });
    if !lines.say(&start).await {
        return;
    }
    let (events, mut told) = mpsc::channel(LINES_MAX);
    let repairing = Arc::clone(&node);
    let repair = async move { repairing.repair_trees(trees, events).await };
    node.environment().spawn(Box::pin(repair));
    let mut sum = RepairSum::default();
    while let Some(event) = lines.alive_until(told.recv()).await {
        let line = match event {
            RepairEvent::Repaired(repaired) => {
                sum.add(&repaired);
                repaired_line(&node, &repaired)
            }
            RepairEvent::Waiting { partitions, us } => waiting_line(partitions, us),
        };
        if !lines.say(&line).await {
            return;
        }
    }
    // The last word: whether it is heard or not, the job is over.
    lines.say(&sum.line()).await;
}

/// All partitions of a repair together.
#[derive(Default)]
struct RepairSum {
    partitions: BTreeSet<Partition>,
    incomplete: u64,
    exchanges: u64,
    keys: u64,
    failed: u64,
    bytes_sent: u64,
    bytes_received: u64,
    sums_set_right: u64,
    rows_set_right: u64,
    unreadable: u64,
}

impl RepairSum {
    fn add(&mut self, repaired: &Repaired) {
        self.partitions.insert(repaired.tree.partition);
        self.incomplete += u64::from(!repaired.is_complete());
        self.exchanges += repaired.exchanges;
        self.keys += repaired.keys;
        self.failed += repaired.failed;
        self.bytes_sent += repaired.bytes_sent;
        self.bytes_received += repaired.bytes_received;
        self.sums_set_right += repaired.sums_set_right;
        self.rows_set_right += repaired.rows_set_right;
        self.unreadable += repaired.unreadable;
    }

    fn line(&self) -> Value {
        json!({
            "type": "end",
            "partitions": self.partitions.len(),
            "incomplete": self.incomplete,
            "exchanges": self.exchanges,
            "keys_mended": self.keys,
            "keys_failed": self.failed,
            "bytes_sent": self.bytes_sent,
            "bytes_received": self.bytes_received,
            "sums_set_right": self.sums_set_right,
            "rows_set_right": self.rows_set_right,
            "unreadable": self.unreadable,
        })
    }
}

fn repaired_line(node: &Node, repaired: &Repaired) -> Value {
    let left_out = repaired.left_out.iter();
    let left_out = left_out
        .map(|(id, reason)| json!({ "node": node_name(node, *id), "why": reason.to_string() }));
    json!({
        "type": "partition",
        "partition": repaired.tree.partition.0,
        "n_val": n_of(node, repaired.tree),
        "exchanges": repaired.exchanges,
        "keys_mended": repaired.keys,
        "keys_failed": repaired.failed,
        "bytes_sent": repaired.bytes_sent,
        "bytes_received": repaired.bytes_received,
        "sums_set_right": repaired.sums_set_right,
        "rows_set_right": repaired.rows_set_right,
        "unreadable": repaired.unreadable,
        "left_out": left_out.collect::<Vec<_>>(),
    })
}

/// How many replicas the keys of a tree have; null if no keys have so many any more.
fn n_of(node: &Node, tree: TreeId) -> Option<u8> {
    let ring = node.ring();
    ring.classes().replicas(tree.class).map(|n| n.now)
}

fn waiting_line(partitions: usize, us: u64) -> Value {
    json!({ "type": "waiting", "partitions": partitions, "seconds": us as f64 / 1e6 })
}

fn verdict_line(node: &Node, verdict: &Verdict) -> Value {
    let state = match verdict.agreement() {
        Agreement::Agrees => "agrees",
        Agreement::Differs => "differs",
        Agreement::NotVerified => "not verified",
    };
    let primaries = verdict.primaries.iter().map(|(id, held)| {
        let name = node_name(node, *id);
        match held {
            Ok(held) => json!({
                "node": name,
                "keys": held.keys,
                "unreadable": held.unreadable,
                "wrong_sums": held.wrong_sums,
                "rows": rows_checked(held.rows),
                "root": format!("{:032x}", held.root.0),
            }),
            Err(reason) => json!({ "node": name, "not_counted": reason.to_string() }),
        }
    });
    json!({
        "type": "partition",
        "partition": verdict.tree.partition.0,
        "n_val": n_of(node, verdict.tree),
        "state": state,
        "keys": verdict.keys(),
        "differing_leaves": verdict.differing_leaves,
        "differing_keys": verdict.differing_keys.iter().map(name_of).collect::<Vec<_>>(),
        "primaries": primaries.collect::<Vec<_>>(),
    })
}

/// What is wrong with a primary's index rows.
fn rows_checked(rows: Result<RowFaults, NotCounted>) -> Value {
    match rows {
        Ok(faults) => json!({ "missing": faults.missing, "strange": faults.strange }),
        Err(reason) => json!({ "not_checked": reason.to_string() }),
    }
}

/// An object's names for people; bytes that are no text are shown as replacement characters.
fn name_of(name: &ObjectName) -> Value {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    json!({
        "type": text(&name.bucket_type),
        "bucket": text(&name.bucket),
        "key": text(&name.key),
    })
}
