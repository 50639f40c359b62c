//! One row of the table, for one engine.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringhold_storage::testing::block_on;
use ringhold_storage::{Durability, GroupWriter, Keyspace, Opened, Store, Write};

use crate::host::{
    Checkpointing, Outcome, Used, Values, disk_bytes, field, key, open, print_quantiles,
};

/// A batch holds about so much, and at most [`BATCH_PUTS_MAX`] puts.
const BATCH_BYTES: usize = 64 << 10;
const BATCH_PUTS_MAX: usize = 64;
/// What a steady load overwrites in a second, in bytes of values, and at most so many puts.
const RATE_BYTES: usize = 4 << 20;
const RATE_PUTS_MAX: usize = 8_000;
/// Long enough for a few checkpoints.
const PHASE: Duration = Duration::from_secs(8);
/// A batch while loading.
const LOAD_BYTES: usize = 1 << 20;
const LOAD_PUTS_MAX: usize = 512;
/// A burst brings in a quarter of this what a steady load would in all of it.
const BURST_EVERY: Duration = Duration::from_secs(2);
const GETS: usize = 30_000;
const SEGMENT_BYTES: u64 = 8 << 20;

pub(crate) struct Cell {
    directory: PathBuf,
    engine: String,
    bytes: usize,
    keys: usize,
    cache: u64,
}

impl Cell {
    pub(crate) fn new(
        directory: &str,
        engine: &str,
        bytes: &str,
        keys: &str,
        cache: &str,
    ) -> Outcome<Self> {
        Ok(Self {
            directory: directory.into(),
            engine: engine.into(),
            bytes: bytes.parse()?,
            keys: keys.parse()?,
            cache: cache.parse()?,
        })
    }

    fn open(&self) -> Outcome<Opened> {
        open(
            &self.directory,
            &self.engine,
            self.cache,
            SEGMENT_BYTES,
            None,
        )
    }

    fn batch(&self) -> usize {
        (BATCH_BYTES / self.bytes).clamp(1, BATCH_PUTS_MAX)
    }

    pub(crate) fn load_and_die(&self) -> Outcome<()> {
        let Opened {
            store,
            mut writers,
            flusher,
            ..
        } = self.open()?;
        let main = async {
            let mut values = Values::new(self.bytes);
            let mut checkpointing = Checkpointing::default();
            let used = Used::now()?;
            let mut times = Vec::new();
            let batch = (LOAD_BYTES / self.bytes).min(LOAD_PUTS_MAX);
            for first in (0..self.keys).step_by(batch) {
                let began = Instant::now();
                for number in first..self.keys.min(first + batch) {
                    let write = Write::put(Keyspace::Objects, key(number), values.value());
                    writers[0].stage(write);
                }
                writers[0].commit(Durability::Flushed).await?;
                times.push(began.elapsed());
                checkpointing.go_on(&store).await?;
            }
            checkpointing.end(&store).await?;
            self.print_costs("load", used, self.keys)?;
            print_quantiles("load_batch", times);
            println!(
                "disk_per_user_byte: {:.2}",
                disk_bytes(&self.directory)? as f64 / (self.keys * self.bytes) as f64
            );
            // Something for the log to replay.
            for number in 0..(self.keys / 10).min((8 << 20) / self.bytes) {
                let write = Write::put(Keyspace::Objects, key(number), values.value());
                writers[0].stage(write);
            }
            writers[0].commit(Durability::Flushed).await?;
            let own = std::process::id().to_string();
            Command::new("kill").args(["-KILL", &own]).status()?;
            Err("still alive".into())
        };
        block_on(main, vec![Box::pin(flusher)])
    }

    pub(crate) fn reopen_and_use(&self) -> Outcome<()> {
        let began = Instant::now();
        let Opened {
            store,
            mut writers,
            flusher,
            ..
        } = self.open()?;
        store.get(Keyspace::Objects, &key(0))?.ok_or("it was put")?;
        println!(
            "open_after_kill_ms: {:.1}",
            began.elapsed().as_secs_f64() * 1e3
        );
        let main = async {
            let mut values = Values::new(self.bytes);
            self.gets(&store, &mut values)?;
            let mut checkpointing = Checkpointing::default();
            for bursty in [false, true] {
                let name = if bursty { "bursty" } else { "steady" };
                let used = Used::now()?;
                let times = self
                    .overwrite(
                        &store,
                        &mut writers[0],
                        &mut values,
                        &mut checkpointing,
                        bursty,
                    )
                    .await?;
                self.print_costs(name, used, times.len() * self.batch())?;
                print_quantiles(&format!("{name}_batch"), times);
            }
            let slowest = checkpointing.took.iter().max().copied().unwrap_or_default();
            println!("checkpoint_ms_max: {:.1}", slowest.as_secs_f64() * 1e3);
            println!(
                "rss_anonymous_mb: {}",
                field("/proc/self/status", "RssAnon:")? / 1_024
            );
            println!(
                "rss_mapped_mb: {}",
                field("/proc/self/status", "RssFile:")? / 1_024
            );
            checkpointing.end(&store).await?;
            println!(
                "disk_after_per_user_byte: {:.2}",
                disk_bytes(&self.directory)? as f64 / (self.keys * self.bytes) as f64
            );
            Ok(())
        };
        block_on(main, vec![Box::pin(flusher)])
    }

    fn gets(&self, store: &Store, values: &mut Values) -> Outcome<()> {
        let count = GETS.min(self.keys * 2);
        let used = Used::now()?;
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let key = key(values.below(self.keys));
            let began = Instant::now();
            store.get(Keyspace::Objects, &key)?.ok_or("it was put")?;
            times.push(began.elapsed());
        }
        let cpu = Used::now()?.cpu.saturating_sub(used.cpu);
        println!("get_cpu_us: {:.2}", cpu.as_secs_f64() * 1e6 / count as f64);
        print_quantiles("get", times);
        Ok(())
    }

    /// Overwrites keys, each read first; returns how long each batch took from when it was due.
    async fn overwrite(
        &self,
        store: &Arc<Store>,
        writer: &mut GroupWriter,
        values: &mut Values,
        checkpointing: &mut Checkpointing,
        bursty: bool,
    ) -> Outcome<Vec<Duration>> {
        let rate = (RATE_BYTES / self.bytes).min(RATE_PUTS_MAX) as f64 / self.batch() as f64;
        let began = Instant::now();
        let mut times = Vec::new();
        loop {
            let steady = Duration::from_secs_f64(times.len() as f64 / rate);
            let due = if bursty {
                let into = steady.as_secs_f64() % BURST_EVERY.as_secs_f64();
                steady - Duration::from_secs_f64(into * 0.75)
            } else {
                steady
            };
            if due >= PHASE {
                return Ok(times);
            }
            if let Some(early) = due.checked_sub(began.elapsed()) {
                std::thread::sleep(early);
            }
            for _ in 0..self.batch() {
                let key = key(values.below(self.keys));
                let before = writer.read(Keyspace::Objects, &key)?;
                let write = Write::put(Keyspace::Objects, key, values.value());
                writer.stage_over(write, before.as_ref());
            }
            writer.commit(Durability::Flushed).await?;
            checkpointing.go_on(store).await?;
            times.push(began.elapsed().saturating_sub(due));
        }
    }

    fn print_costs(&self, name: &str, before: Used, puts: usize) -> Outcome<()> {
        let now = Used::now()?;
        let cpu = now.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e6;
        println!("{name}_cpu_us_a_put: {:.2}", cpu / puts as f64);
        let written = now.written.saturating_sub(before.written) as f64;
        println!(
            "{name}_written_per_byte: {:.2}",
            written / (puts * self.bytes) as f64
        );
        let seconds = (now.at - before.at).as_secs_f64();
        println!("{name}_puts_a_second: {:.0}", puts as f64 / seconds);
        Ok(())
    }
}
