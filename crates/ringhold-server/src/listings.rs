//! Listings and index queries: the node is asked as fast as somebody takes what it finds.

use crate::edge::{Ended, Listed};
use ringhold_node::env::Deadline;
use ringhold_node::{Node, Query};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Starts a query; one batch of it waits to be taken.
pub(crate) fn start(node: &Arc<Node>, query: Query, deadline: Deadline) -> mpsc::Receiver<Listed> {
    let (sender, listed) = mpsc::channel(1);
    let node = Arc::clone(node);
    tokio::spawn(async move {
        tokio::select! {
            () = sender.closed() => {}
            () = run(&node, query, deadline, &sender) => {}
        }
    });
    listed
}

async fn run(node: &Arc<Node>, query: Query, deadline: Deadline, sender: &mpsc::Sender<Listed>) {
    let last = match walk(node, query, deadline, sender).await {
        Ok(missing) => Listed::Ended(ended(node, missing)),
        Err(failed) => Listed::Failed(failed),
    };
    // Whoever has gone is not told.
    sender.send(last).await.ok();
}

async fn walk(
    node: &Arc<Node>,
    query: Query,
    deadline: Deadline,
    sender: &mpsc::Sender<Listed>,
) -> Result<BTreeSet<u32>, ringhold_node::QueryFailed> {
    let mut coverage = node.query(query, deadline).await?;
    while let Some(rows) = coverage.next_rows().await? {
        if sender.send(Listed::Rows(rows)).await.is_err() {
            break;
        }
    }
    Ok(coverage.missing().clone())
}

/// What there is to say of a query that has ended.
pub(crate) fn ended(node: &Node, missing: BTreeSet<u32>) -> Ended {
    Ended {
        missing,
        partitions: node.ring().partition_count().count(),
    }
}
