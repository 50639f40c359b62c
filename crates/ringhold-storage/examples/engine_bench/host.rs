//! What a node is to its store, in small: it opens it, drives checkpoints, and looks at its own process.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ringhold_fjall::FjallEngine;
use ringhold_storage::testing::block_on;
use ringhold_storage::{
    Batch, BoxFuture, CheckpointError, Engine, EngineError, KeyRange, Keyspace, LmdbEngine, Opened,
    OsFiles, RowKey, RowRange, StorageKey, Store, StoreOptions, Summarize,
};

pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

const MAP_BYTES: usize = 16 << 30;

pub(crate) fn open(
    directory: &Path,
    engine: &str,
    cache_bytes: u64,
    segment_bytes: u64,
    summarize: Option<Arc<dyn Summarize>>,
) -> Outcome<Opened> {
    let files = OsFiles::open(directory.join("log"))?;
    let path = directory.join("engine");
    let engine: Box<dyn Engine> = match engine {
        "lmdb" => Box::new(LmdbEngine::open(&path, MAP_BYTES)?),
        "fjall" => Box::new(FjallEngine::open(&path, cache_bytes)?),
        "none" => Box::new(NoEngine),
        _ => return Err("no such engine".into()),
    };
    let options = StoreOptions {
        segment_bytes,
        ..StoreOptions::default()
    };
    let mut next = 1;
    let mut draw = || {
        next += 1;
        next
    };
    let opened = Store::open(Arc::new(files), engine, options, summarize, &mut draw);
    Ok(block_on(opened, Vec::new())?)
}

/// Takes everything and keeps nothing.
struct NoEngine;

impl Engine for NoEngine {
    fn name(&self) -> &'static str {
        "none"
    }

    fn get(&self, _: Keyspace, _: &StorageKey) -> Result<Option<Bytes>, EngineError> {
        Ok(None)
    }

    fn range(
        &self,
        _: Keyspace,
        _: &KeyRange,
        _: usize,
    ) -> Result<Vec<(StorageKey, Bytes)>, EngineError> {
        Ok(Vec::new())
    }

    fn rows(&self, _: &RowRange, _: usize) -> Result<Vec<(RowKey, Bytes)>, EngineError> {
        Ok(Vec::new())
    }

    fn apply(&self, _: &Batch) -> Result<(), EngineError> {
        Ok(())
    }

    fn flush(&self) -> Result<(), EngineError> {
        Ok(())
    }

    fn size_bytes(&self) -> Result<u64, EngineError> {
        Ok(0)
    }
}

/// A checkpoint beside the puts: begun when due, looked after now and then.
#[derive(Default)]
pub(crate) struct Checkpointing {
    running: Option<(Instant, BoxFuture<'static, Result<(), CheckpointError>>)>,
    pub(crate) took: Vec<Duration>,
}

impl Checkpointing {
    pub(crate) async fn go_on(&mut self, store: &Arc<Store>) -> Outcome<()> {
        if let Some((began, running)) = &mut self.running {
            let mut context = Context::from_waker(Waker::noop());
            if let Poll::Ready(done) = Pin::new(running).poll(&mut context) {
                done?;
                self.took.push(began.elapsed());
                self.running = None;
            }
        } else if store.checkpoint_due()
            && let Some(begun) = store.begin_checkpoint().await?
        {
            let store = Arc::clone(store);
            let running = Box::pin(async move { store.finish_checkpoint(begun).await });
            self.running = Some((Instant::now(), running));
        }
        Ok(())
    }

    pub(crate) async fn end(&mut self, store: &Arc<Store>) -> Outcome<()> {
        if let Some((began, running)) = self.running.take() {
            running.await?;
            self.took.push(began.elapsed());
        }
        if let Some(last) = store.begin_checkpoint().await? {
            store.finish_checkpoint(last).await?;
        }
        Ok(())
    }
}

/// Pseudo-random keys and values, the same in each run; a key follows from its number.
pub(crate) struct Values {
    state: u64,
    noise: Bytes,
    bytes: usize,
}

impl Values {
    pub(crate) fn new(bytes: usize) -> Self {
        let mut state = 7;
        let noise = (0..1 << 20).flat_map(|_| {
            state += 1;
            mixed(state).to_le_bytes()
        });
        let noise = noise.collect();
        Self {
            state: 1 << 40,
            noise,
            bytes,
        }
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.state += 1;
        let bound = u64::try_from(bound).expect("fits");
        usize::try_from(mixed(self.state) % bound).expect("below bound")
    }

    pub(crate) fn value(&mut self) -> Bytes {
        let start = self.below(self.noise.len() - self.bytes);
        self.noise.slice(start..start + self.bytes)
    }
}

pub(crate) fn key(number: usize) -> StorageKey {
    let number = 2 * u64::try_from(number).expect("fits");
    StorageKey::new(
        u128::from(mixed(number)) << 64 | u128::from(mixed(number + 1)),
        0,
    )
}

fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// What the process has used up to a moment.
#[derive(Clone, Copy)]
pub(crate) struct Used {
    pub(crate) at: Instant,
    /// CPU of all threads, those that have ended included, in ticks of 10 ms.
    pub(crate) cpu: Duration,
    /// What was handed to writing system calls. The kernel's own count of what went to disks also has the rest of the pages'
    /// folios in it, three times as much for scattered pages.
    pub(crate) written: u64,
}

impl Used {
    pub(crate) fn now() -> Outcome<Self> {
        let stat = fs::read_to_string("/proc/self/stat")?;
        // The second field is the program's name in parentheses; times are fields 14 and 15.
        let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        let ticks = fields.skip(11).take(2).map(str::parse::<u64>);
        Ok(Self {
            at: Instant::now(),
            cpu: Duration::from_millis(10 * ticks.sum::<Result<u64, _>>()?),
            written: field("/proc/self/io", "wchar: ")?,
        })
    }
}

/// A number that stands behind a name in one of the kernel's tables.
pub(crate) fn field(path: &str, name: &str) -> Outcome<u64> {
    let text = fs::read_to_string(path)?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name));
    let number = rest.and_then(|rest| rest.split_whitespace().next());
    Ok(number.ok_or("no such field")?.parse()?)
}

/// The blocks that a directory's files have on the disk, in bytes.
pub(crate) fn disk_bytes(directory: &Path) -> Outcome<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() {
            disk_bytes(&entry.path())?
        } else {
            512 * metadata.blocks()
        };
    }
    Ok(bytes)
}

/// Prints the median and what lies above it, in microseconds.
pub(crate) fn print_quantiles(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let last = times.len().saturating_sub(1);
    for (what, part) in [("p50", 500), ("p99", 990), ("p999", 999), ("max", 1_000)] {
        if let Some(time) = times.get(last * part / 1_000) {
            println!("{name}_us_{what}: {:.1}", time.as_secs_f64() * 1e6);
        }
    }
}
