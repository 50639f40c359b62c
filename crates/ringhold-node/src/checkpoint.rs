//! Moving the buffer into the engine, in the background.
//!
//! When the log has grown enough, it starts a new segment and the buffers are frozen as they are at that
//! point of the log; the frozen records go to the engine in one batch. Reads and writes go on meanwhile.

use crate::env::Environment;
use crate::metrics::Metrics;
use ringhold_storage::Store;
use std::sync::Arc;
use tokio::sync::Notify;

/// After a failure, the next attempt waits this long, in microseconds.
const RETRY_US: u64 = 1_000_000;

pub(crate) async fn run(
    environment: Arc<dyn Environment>,
    store: Arc<Store>,
    due: Arc<Notify>,
    metrics: Arc<Metrics>,
) {
    loop {
        due.notified().await;
        // A store that is behind takes no writes, so no write will call again: only trying does.
        while store.checkpoint_due() && store.poisoned().is_none() {
            let Err(error) = checkpoint(&store).await else {
                break;
            };
            metrics.checkpoints_failed.add(1);
            tracing::error!(%error, "a checkpoint failed; the log keeps what it would have moved");
            environment
                .sleep_until(environment.now_us().saturating_add(RETRY_US))
                .await;
        }
    }
}

async fn checkpoint(store: &Store) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    if let Some(checkpoint) = store.begin_checkpoint().await? {
        store.finish_checkpoint(checkpoint).await?;
    }
    Ok(())
}
