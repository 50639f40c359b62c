//! The first floor: the store alone, in this process.
//!
//! A store of its own in an empty directory is filled with the run's keys, or as many of them as make 64 MiB, and written back, so that
//! reads meet buffer and engine as a node's do. Then it is read, and written in batches, a flush for each, for a second each. CPU is that of
//! the whole process, the store's threads included; nothing else runs in it meanwhile.
//!
//! A checkpoint is measured by itself, since a second of writes need not have one: a segment is filled unmeasured, and written back.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ringhold_storage::{
    Durability, GroupWriter, Keyspace, LmdbEngine, Opened, OsFiles, StorageKey, Store,
    StoreOptions, Write,
};
use rustix::time::{ClockId, clock_gettime};

use super::failed;
use crate::bench::schedule::Draws;
use crate::output::Failure;
use crate::random;

const MEASURED: Duration = Duration::from_secs(1);
/// Between two looks at the clock.
const READS_AT_A_TIME: u64 = 1_000;
const FILLED_BYTES_MAX: u64 = 64 << 20;
const FILL_BATCH: u64 = 256;
const MAP_BYTES: usize = 8 << 30;

/// What the run was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) keys: u64,
    pub(super) value_bytes: usize,
    /// Writes to a flush.
    pub(super) batch: u64,
    pub(super) flushed: bool,
    /// Whether it wrote at all.
    pub(super) writes: bool,
    /// Whether there were any.
    pub(super) checkpoints: bool,
}

/// CPU, in microseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cost {
    pub(super) read_us: f64,
    /// Of a write, and of the read before it.
    pub(super) write_us: f64,
    /// Of one checkpoint of a whole segment.
    pub(super) checkpoint_us: f64,
}

/// Blocks for some seconds.
pub(super) fn measure(directory: &Path, plan: Plan) -> Result<Cost, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.map_err(failed)?.block_on(async {
        let mut alone = Alone::open(directory, plan).await.map_err(failed)?;
        alone.fill(alone.keys).await.map_err(failed)?;
        alone.checkpoint().await.map_err(failed)?;
        let mut cost = Cost::default();
        if plan.checkpoints {
            cost.checkpoint_us = alone.cost_of_a_checkpoint().await.map_err(failed)?;
        }
        cost.read_us = alone.cost_of_reads().map_err(failed)?;
        if plan.writes {
            cost.write_us = alone.cost_of_writes().await.map_err(failed)?;
        }
        Ok(cost)
    })
}

/// CPU time of this process, in microseconds.
fn cpu_us() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

struct Alone {
    plan: Plan,
    store: Arc<Store>,
    writer: GroupWriter,
    /// As many of the run's as are kept here.
    keys: u64,
    value: Bytes,
    draws: Draws,
}

type Outcome<T> = Result<T, Box<dyn fmt::Display>>;

fn told(error: impl fmt::Display + 'static) -> Box<dyn fmt::Display> {
    Box::new(error)
}

impl Alone {
    async fn open(directory: &Path, plan: Plan) -> Outcome<Self> {
        let files = OsFiles::open(directory.join("log")).map_err(told)?;
        let engine = LmdbEngine::open(&directory.join("engine"), MAP_BYTES).map_err(told)?;
        let options = StoreOptions::default();
        let mut draw_random = random::identity;
        let opened = Store::open(
            Arc::new(files),
            Box::new(engine),
            options,
            None,
            &mut draw_random,
        );
        let Opened {
            store,
            mut writers,
            flusher,
            ..
        } = opened.await.map_err(told)?;
        // Ends with the runtime.
        tokio::spawn(flusher);
        let mut draws = Draws::new(1);
        let mut value = vec![0; plan.value_bytes];
        draws.fill(&mut value);
        let each = u64::try_from(plan.value_bytes.max(1)).unwrap_or(u64::MAX);
        Ok(Self {
            plan,
            store,
            writer: writers.remove(0),
            keys: plan.keys.clamp(1, (FILLED_BYTES_MAX / each).max(1)),
            value: Bytes::from(value),
            draws,
        })
    }

    /// One of the keys, spread over all positions as hashes are.
    fn key(&mut self) -> StorageKey {
        let mut spread = Draws::new(self.draws.below(self.keys));
        let mut bytes = [0; 16];
        spread.fill(&mut bytes);
        StorageKey::new(u128::from_be_bytes(bytes), 1)
    }

    fn stage(&mut self) -> Outcome<()> {
        let key = self.key();
        let before = self.writer.read(Keyspace::Objects, &key).map_err(told)?;
        let write = Write::put(Keyspace::Objects, key, self.value.clone());
        self.writer.stage_over(write, before.as_ref());
        Ok(())
    }

    /// Writes as fast as it goes.
    async fn fill(&mut self, writes: u64) -> Outcome<()> {
        for done in 1..=writes {
            self.stage()?;
            if done % FILL_BATCH == 0 || done == writes {
                let committed = self.writer.commit(Durability::Buffered).await;
                committed.map_err(told)?;
            }
        }
        Ok(())
    }

    async fn checkpoint(&self) -> Outcome<()> {
        if let Some(begun) = self.store.begin_checkpoint().await.map_err(told)? {
            self.store.finish_checkpoint(begun).await.map_err(told)?;
        }
        Ok(())
    }

    async fn cost_of_a_checkpoint(&mut self) -> Outcome<f64> {
        while !self.store.checkpoint_due() {
            self.fill(FILL_BATCH).await?;
        }
        let before = cpu_us();
        self.checkpoint().await?;
        Ok(cpu_us() - before)
    }

    fn cost_of_reads(&mut self) -> Outcome<f64> {
        let (start, before, mut reads) = (Instant::now(), cpu_us(), 0);
        while start.elapsed() < MEASURED {
            for _ in 0..READS_AT_A_TIME {
                let key = self.key();
                let found = self.store.get(Keyspace::Objects, &key).map_err(told)?;
                std::hint::black_box(found);
            }
            reads += READS_AT_A_TIME;
        }
        Ok((cpu_us() - before) / reads as f64)
    }

    /// Checkpoints that fall due meanwhile are made, and not measured here.
    async fn cost_of_writes(&mut self) -> Outcome<f64> {
        let durability = match self.plan.flushed {
            true => Durability::Flushed,
            false => Durability::Buffered,
        };
        let (start, mut before, mut writes) = (Instant::now(), cpu_us(), 0);
        while start.elapsed() < MEASURED {
            for _ in 0..self.plan.batch {
                self.stage()?;
            }
            self.writer.commit(durability).await.map_err(told)?;
            writes += self.plan.batch;
            if self.store.checkpoint_due() {
                let until_now = cpu_us();
                self.checkpoint().await?;
                before += cpu_us() - until_now;
            }
        }
        Ok((cpu_us() - before) / writes as f64)
    }
}
