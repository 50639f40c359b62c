//! Figures of the store alone: what a put costs, and how long opening takes after a kill.
//!
//! `cargo run --release --example store_bench [DIRECTORY]`. Prints figures and judges nothing. CPU is
//! that of all threads, from /proc/self/stat; bytes written are what went to the block layer, from
//! /proc/self/io, so they are zero on a file system in memory.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

#[path = "engine_bench/as_node.rs"]
mod as_node;

use std::error::Error;
use std::path::Path;
use std::pin::Pin;
use std::process::Command;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};
use std::{env, fs};

use bytes::Bytes;
use ringhold_storage::testing::block_on;
use ringhold_storage::{
    Batch, BoxFuture, CheckpointError, Durability, Engine, Keyspace, LmdbEngine, Opened, OsFiles,
    StorageKey, Store, StoreOptions, Summarize, Write,
};

use as_node::AsNode;

type Outcome<T> = Result<T, Box<dyn Error>>;

const VALUE_BYTES: usize = 1_024;
const MAP_BYTES: usize = 8 << 30;
const KEYS_AT_KILL: usize = 500_000;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [fill, directory] = &arguments[..]
        && fill == "fill"
    {
        return fill_and_die(Path::new(directory));
    }
    let base = arguments.first().map_or_else(env::temp_dir, Into::into);
    let directory = tempfile::tempdir_in(base)?;
    println!("what                        puts/s  CPU µs/put  written/user bytes  log flushes");
    let (flushed, buffered) = (Durability::Flushed, Durability::Buffered);
    for (what, batch, puts, durability, sums) in [
        ("store, batch 1", 1, 20_000, flushed, Sums::None),
        ("store, batch 8", 8, 80_000, flushed, Sums::None),
        ("store, batch 64", 64, 320_000, flushed, Sums::None),
        ("same, read first", 64, 320_000, flushed, Sums::ReadOnly),
        ("same, with leaf sums", 64, 320_000, flushed, Sums::Kept),
        ("store, batch 1, buffered", 1, 80_000, buffered, Sums::None),
    ] {
        let path = directory.path().join("store");
        let figures = store_puts(&path, batch, puts, durability, sums)?;
        print_row(what, puts, &figures);
        fs::remove_dir_all(path)?;
    }
    for (batch, puts) in [(1, 5_000), (8, 20_000), (64, 80_000)] {
        let path = directory.path().join(format!("lmdb-{batch}"));
        let figures = lmdb_puts(&path, batch, puts)?;
        print_row(&format!("LMDB alone, batch {batch}"), puts, &figures);
        fs::remove_dir_all(path)?;
    }
    open_after_kill(&directory.path().join("killed"))
}

/// What a put does about leaf sums.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sums {
    None,
    /// Nothing, but it reads what it replaces, as a node's writer does.
    ReadOnly,
    /// It reads what it replaces and makes the digests of both.
    Kept,
}

struct Cost {
    elapsed: Duration,
    cpu: Duration,
    written: u64,
    flushes: u64,
}

fn print_row(what: &str, puts: usize, cost: &Cost) {
    let rate = puts as f64 / cost.elapsed.as_secs_f64();
    let cpu = cost.cpu.as_secs_f64() * 1e6 / puts as f64;
    let amplification = cost.written as f64 / (puts * VALUE_BYTES) as f64;
    println!(
        "{what:26} {rate:8.0} {cpu:11.1} {amplification:19.2} {:12}",
        cost.flushes
    );
}

fn measured(work: impl FnOnce() -> Outcome<u64>) -> Outcome<Cost> {
    let (started, cpu, written) = (Instant::now(), cpu()?, written_bytes()?);
    let flushes = work()?;
    Ok(Cost {
        elapsed: started.elapsed(),
        cpu: self::cpu()?.saturating_sub(cpu),
        written: written_bytes()?.saturating_sub(written),
        flushes,
    })
}

fn open(directory: &Path, sums: Sums) -> Outcome<Opened> {
    let files = OsFiles::open(directory.join("log"))?;
    let engine = LmdbEngine::open(&directory.join("engine"), MAP_BYTES)?;
    let mut next = 1;
    let mut draw = || {
        next += 1;
        next
    };
    let options = StoreOptions::default();
    let summarize = (sums == Sums::Kept).then(|| Arc::new(AsNode::new()) as Arc<dyn Summarize>);
    let (files, engine) = (Arc::new(files), Box::new(engine));
    let opened = Store::open(files, engine, options, summarize, &mut draw);
    Ok(block_on(opened, Vec::new())?)
}

/// Puts, with checkpoints as they fall due, the last of them included.
fn store_puts(
    directory: &Path,
    batch: usize,
    puts: usize,
    durability: Durability,
    sums: Sums,
) -> Outcome<Cost> {
    let opened = open(directory, sums)?;
    measured(move || {
        let Opened {
            store,
            mut writers,
            flusher,
            ..
        } = opened;
        let main = async {
            let mut values = Values::new();
            let mut checkpointing = Checkpointing::default();
            for _ in 0..puts / batch {
                for _ in 0..batch {
                    let (key, value) = values.next();
                    let write = Write::put(Keyspace::Objects, key, value);
                    if sums == Sums::None {
                        writers[0].stage(write);
                        continue;
                    }
                    let before = writers[0].read(Keyspace::Objects, &key)?;
                    writers[0].stage_over(write, before.as_ref());
                }
                writers[0].commit(durability).await?;
                checkpointing.go_on(&store).await?;
            }
            checkpointing.end().await?;
            if let Some(last) = store.begin_checkpoint().await? {
                store.finish_checkpoint(last).await?;
            }
            Ok(store.figures().flushes)
        };
        block_on(main, vec![Box::pin(flusher)])
    })
}

/// A checkpoint beside the puts: begun when due, looked after now and then.
#[derive(Default)]
struct Checkpointing {
    running: Option<BoxFuture<'static, Result<(), CheckpointError>>>,
}

impl Checkpointing {
    async fn go_on(&mut self, store: &Arc<Store>) -> Outcome<()> {
        if let Some(running) = &mut self.running {
            let mut context = std::task::Context::from_waker(Waker::noop());
            if let std::task::Poll::Ready(done) = Pin::new(running).poll(&mut context) {
                done?;
                self.running = None;
            }
        } else if store.checkpoint_due()
            && let Some(begun) = store.begin_checkpoint().await?
        {
            let store = Arc::clone(store);
            self.running = Some(Box::pin(
                async move { store.finish_checkpoint(begun).await },
            ));
        }
        Ok(())
    }

    async fn end(self) -> Outcome<()> {
        if let Some(running) = self.running {
            running.await?;
        }
        Ok(())
    }
}

fn lmdb_puts(directory: &Path, batch: usize, puts: usize) -> Outcome<Cost> {
    let engine = LmdbEngine::open(directory, MAP_BYTES)?;
    measured(|| {
        let mut values = Values::new();
        for _ in 0..puts / batch {
            let mut changes: Vec<_> = (0..batch).map(|_| values.next()).collect();
            changes.sort_unstable_by_key(|(key, _)| *key);
            let changes = changes.into_iter();
            let changes = changes
                .map(|(key, value)| (Keyspace::Objects, key, Some(value)))
                .collect();
            engine.apply(&Batch {
                removed: Vec::new(),
                changes,
                rows: Vec::new(),
            })?;
        }
        Ok(u64::try_from(puts / batch)?)
    })
}

/// A child fills a store and kills itself in the middle of its puts; then the store is opened.
fn open_after_kill(directory: &Path) -> Outcome<()> {
    let child = Command::new(env::current_exe()?)
        .arg("fill")
        .arg(directory)
        .status()?;
    let started = Instant::now();
    let opened = open(directory, Sums::Kept)?;
    let elapsed = started.elapsed();
    println!(
        "open after {child} with {KEYS_AT_KILL} keys: {:.0} ms, {} batches from {} bytes of log, torn {}",
        elapsed.as_secs_f64() * 1e3,
        opened.report.replayed_batches,
        opened.report.log_bytes,
        opened.report.torn_bytes,
    );
    let mut values = Values::new();
    for count in 0..KEYS_AT_KILL {
        let (key, value) = values.next();
        if opened.store.get(Keyspace::Objects, &key)? != Some(value) {
            return Err(format!("put {count} was acknowledged and is not there").into());
        }
    }
    Ok(())
}

fn fill_and_die(directory: &Path) -> Outcome<()> {
    let Opened {
        store,
        mut writers,
        flusher,
        ..
    } = open(directory, Sums::Kept)?;
    let main = async {
        let mut values = Values::new();
        let mut checkpointing = Checkpointing::default();
        let mut acknowledged = 0;
        while acknowledged < KEYS_AT_KILL {
            for _ in 0..50 {
                let (key, value) = values.next();
                writers[0].stage(Write::put(Keyspace::Objects, key, value));
            }
            writers[0].commit(Durability::Flushed).await?;
            acknowledged += 50;
            checkpointing.go_on(&store).await?;
        }
        Command::new("kill")
            .args(["-KILL", &std::process::id().to_string()])
            .status()?;
        Err("still alive".into())
    };
    block_on(main, vec![Box::pin(flusher)])
}

/// Pseudo-random keys and values, the same in each run.
struct Values {
    state: u64,
    bytes: Bytes,
}

impl Values {
    fn new() -> Self {
        let mut values = Self {
            state: 1,
            bytes: Bytes::new(),
        };
        let noise: Vec<u8> = (0..1 << 20)
            .flat_map(|_| values.random().to_le_bytes())
            .collect();
        values.bytes = noise.into();
        values
    }

    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 27)
    }

    fn next(&mut self) -> (StorageKey, Bytes) {
        let position = u128::from(self.random()) << 64 | u128::from(self.random());
        let start = usize::try_from(self.random() % 8_000_000).expect("inside the noise");
        (
            StorageKey::new(position, 0),
            self.bytes.slice(start..start + VALUE_BYTES),
        )
    }
}

/// CPU time of all threads of the process, those that have ended included, in ticks of 10 ms.
fn cpu() -> Outcome<Duration> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The second field is the program's name in parentheses; times are fields 14 and 15.
    let fields = stat
        .rsplit(") ")
        .next()
        .unwrap_or_default()
        .split(' ')
        .skip(11)
        .take(2);
    let ticks = fields.map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(Duration::from_millis(10 * ticks))
}

fn written_bytes() -> Outcome<u64> {
    let io = fs::read_to_string("/proc/self/io")?;
    let line = io
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    Ok(line.unwrap_or("0").parse()?)
}
