//! Time, tasks and chance of a real machine, for the node.

use ringhold_core::health::DiskSpace;
use ringhold_node::env::{BoxFuture, Environment};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// Where a node lives that runs on tokio.
pub struct TokioEnvironment {
    runtime: tokio::runtime::Handle,
    started: Instant,
    data_dir: PathBuf,
}

impl TokioEnvironment {
    /// For a node that keeps everything in this directory.
    #[must_use]
    pub fn new(runtime: tokio::runtime::Handle, data_dir: PathBuf) -> Self {
        Self {
            runtime,
            started: Instant::now(),
            data_dir,
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

    fn disk_space(&self) -> BoxFuture<'static, Option<DiskSpace>> {
        let data_dir = self.data_dir.clone();
        // A file system that hangs must not hold a thread that serves requests.
        let look = self.runtime.spawn_blocking(move || space_of(&data_dir));
        Box::pin(async move { look.await.unwrap_or(None) })
    }
}

/// As `df` reckons: what only root may use is neither used nor available.
fn space_of(directory: &Path) -> Option<DiskSpace> {
    let shape = rustix::fs::statvfs(directory)
        .inspect_err(|error| {
            tracing::warn!(%error, directory = %directory.display(), "the file system does not say how full it is");
        })
        .ok()?;
    let used_blocks = shape.f_blocks.saturating_sub(shape.f_bfree);
    let usable_blocks = used_blocks.saturating_add(shape.f_bavail);
    Some(DiskSpace {
        total_bytes: usable_blocks.saturating_mul(shape.f_frsize),
        available_bytes: shape.f_bavail.saturating_mul(shape.f_frsize),
    })
}

/// 128 bits of the operating system's randomness.
pub(crate) fn random_bits() -> u128 {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).expect("the operating system has randomness once it has booted");
    u128::from_be_bytes(bits)
}
