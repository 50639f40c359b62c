//! Moving the buffer into the engine, in the background.
//!
//! When the log has grown enough, it starts a new segment and the buffers are frozen as they are at that
//! point of the log; the frozen records go to the engine part by part. Reads and writes go on meanwhile.
//!
//! Each part is a burst of writes to the disk on which clients' writes wait for the log's flushes. So between two parts the disk is left to
//! the log for some time, unless the log fills faster than the engine takes: a checkpoint should be over when the next one is due.

use crate::env::{BoxFuture, Environment};
use crate::metrics::Metrics;
use ringhold_storage::{PartsLeft, Store};
use std::sync::Arc;
use tokio::sync::Notify;

/// After a failure, the next attempt waits this long, in microseconds.
const RETRY_US: u64 = 1_000_000;

/// Between two parts goes by so many times what a part took.
const REST: u64 = 4;

/// But not more than this, in microseconds.
const REST_MAX_US: u64 = 200_000;

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
            let Err(error) = checkpoint(&environment, &store).await else {
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

async fn checkpoint(
    environment: &Arc<dyn Environment>,
    store: &Arc<Store>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let Some(checkpoint) = store.begin_checkpoint().await? else {
        return Ok(());
    };
    let mut began_us = environment.now_us();
    let mut between = |parts: PartsLeft| -> BoxFuture<'static, ()> {
        let now_us = environment.now_us();
        let took_us = now_us.saturating_sub(began_us);
        let until_us = now_us.saturating_add(rest_us(took_us, parts, store.segment_filled()));
        began_us = until_us;
        environment.sleep_until(until_us)
    };
    store.finish_by_parts(checkpoint, &mut between).await?;
    Ok(())
}

/// How long to wait after a part that took so long, where the next segment is filled to so many thousandths.
fn rest_us(took_us: u64, parts: PartsLeft, segment_filled: u64) -> u64 {
    let all = parts.done + parts.left;
    let done = u64::try_from(parts.done * 1_000 / all.max(1)).unwrap_or(1_000);
    if segment_filled > done {
        return 0;
    }
    took_us.saturating_mul(REST).min(REST_MAX_US)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rests_while_it_is_ahead_of_the_log() {
        let parts = PartsLeft { done: 10, left: 30 };
        assert_eq!(rest_us(5_000, parts, 0), 20_000);
        assert_eq!(rest_us(5_000, parts, 250), 20_000);
        assert_eq!(rest_us(5_000, parts, 251), 0, "the log is a quarter full");
        assert_eq!(rest_us(900_000, parts, 0), REST_MAX_US);
        assert_eq!(rest_us(5_000, parts, 3_000), 0);
    }
}
