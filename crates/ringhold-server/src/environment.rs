//! Time, tasks and chance of a real machine, for the node.

use ringhold_node::env::{BoxFuture, Environment};
use std::time::{Duration, Instant, SystemTime};

pub(crate) struct TokioEnvironment {
    runtime: tokio::runtime::Handle,
    started: Instant,
}

impl TokioEnvironment {
    pub(crate) fn new(runtime: tokio::runtime::Handle) -> Self {
        Self {
            runtime,
            started: Instant::now(),
        }
    }
}

impl Environment for TokioEnvironment {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.runtime.spawn(task);
    }

    fn spawn_vital(&self, task: BoxFuture<'static, ()>) {
        let vital = self.runtime.spawn(task);
        self.runtime.spawn(async move {
            if vital.await.is_err_and(|error| error.is_panic()) {
                tracing::error!("a task that the store can't do without has panicked: the process ends, the next start recovers");
                std::process::abort();
            }
        });
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn wall_us(&self) -> u64 {
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }

    fn sleep_until(&self, until_us: u64) -> BoxFuture<'static, ()> {
        let until = self.started.checked_add(Duration::from_micros(until_us));
        Box::pin(async move {
            match until {
                Some(until) => tokio::time::sleep_until(until.into()).await,
                None => std::future::pending().await,
            }
        })
    }

    fn random(&self) -> u128 {
        random_bits()
    }
}

/// 128 bits of the operating system's randomness.
pub(crate) fn random_bits() -> u128 {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).expect("the operating system has randomness once it has booted");
    u128::from_be_bytes(bits)
}
