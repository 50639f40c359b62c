//! A machine in memory, a generator of numbers, and a dumb model of what a store holds.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use bytes::Bytes;
use ringhold_core::ring::Class;
use ringhold_core::tree::{Digest, LeafSum, TreeTag};
use ringhold_storage::testing::{MemoryFiles, Steps, block_on};
use ringhold_storage::{
    BoxFuture, BucketTag, Change, Engine, Files, KeyRange, Keyspace, MemoryEngine, OpenError,
    Opened, Sorting, StorageKey, Store, StoreOptions, Summarize, Write,
};

/// Small and seeded; good enough to choose with.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).expect("small")).expect("below bound")
    }

    pub(crate) fn wide(&mut self) -> u128 {
        u128::from(self.next()) << 64 | u128::from(self.next())
    }
}

/// A machine whose disk is memory.
#[derive(Clone, Default)]
pub(crate) struct Machine {
    pub(crate) steps: Steps,
    pub(crate) files: MemoryFiles,
    pub(crate) engine: MemoryEngine,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let steps = Steps::default();
        let files = MemoryFiles::with_steps(steps.clone());
        let engine = MemoryEngine::with_steps(steps.clone());
        Self {
            steps,
            files,
            engine,
        }
    }

    pub(crate) fn open(
        &self,
        options: StoreOptions,
        random: &mut Random,
    ) -> Result<Opened, OpenError> {
        open(
            Arc::new(self.files.clone()),
            Box::new(self.engine.clone()),
            options,
            random,
        )
    }

    pub(crate) fn open_with(
        &self,
        options: StoreOptions,
        summing: Option<Summing>,
        random: &mut Random,
    ) -> Result<Opened, OpenError> {
        let (files, engine) = (self.files.clone(), self.engine.clone());
        open_with(Arc::new(files), Box::new(engine), options, summing, random)
    }

    /// A power cut, and the machine runs again.
    pub(crate) fn crash(&self, random: &mut Random) {
        self.files.crash(&mut || random.next());
        self.engine.crash(random.next().is_multiple_of(2));
        self.steps.resume();
    }
}

pub(crate) fn open(
    files: Arc<dyn Files>,
    engine: Box<dyn Engine>,
    options: StoreOptions,
    random: &mut Random,
) -> Result<Opened, OpenError> {
    open_with(files, engine, options, Some(Summing::of(options)), random)
}

/// Opens with this to keep sums with, or with nothing.
pub(crate) fn open_with(
    files: Arc<dyn Files>,
    engine: Box<dyn Engine>,
    options: StoreOptions,
    summing: Option<Summing>,
    random: &mut Random,
) -> Result<Opened, OpenError> {
    let summarize = summing.map(|summing| Arc::new(summing) as Arc<dyn Summarize>);
    open_summing(files, engine, options, summarize, random)
}

pub(crate) fn open_summing(
    files: Arc<dyn Files>,
    engine: Box<dyn Engine>,
    options: StoreOptions,
    summarize: Option<Arc<dyn Summarize>>,
    random: &mut Random,
) -> Result<Opened, OpenError> {
    let mut draw = || random.wide();
    let opening = Store::open(files, engine, options, summarize, &mut draw);
    block_on(opening, Vec::new())
}

/// Digests of whole values, and four pages of leaves in each partition.
#[derive(Clone, Copy)]
pub(crate) struct Summing {
    pub(crate) leaf_bits: u32,
    pub(crate) tag: u64,
    /// Changes digests behind the tag's back.
    pub(crate) salt: u128,
}

impl Summing {
    pub(crate) fn of(options: StoreOptions) -> Self {
        Self {
            leaf_bits: options.partition_bits + 7,
            tag: 1,
            salt: 0,
        }
    }

    /// The sums of all leaves, from what a store holds.
    pub(crate) fn recompute(self, model: &Model) -> BTreeMap<u64, LeafSum> {
        let mut sums: BTreeMap<u64, LeafSum> = BTreeMap::new();
        for ((keyspace, key), value) in &model.0 {
            if *keyspace == Keyspace::Objects {
                let leaf = key.position() >> (128 - self.leaf_bits);
                let leaf = u64::try_from(leaf).expect("few leaves");
                *sums.entry(leaf).or_default() += LeafSum::of(self.digest(key, value));
            }
        }
        sums.retain(|_, sum| !sum.is_zero());
        sums
    }

    /// The sums that a store keeps, without those that are zero.
    pub(crate) fn kept(self, store: &Store) -> BTreeMap<u64, LeafSum> {
        let sums = store.leaf_sums(0..1 << self.leaf_bits);
        let kept = (0..).zip(sums).filter(|(_, sum)| !sum.is_zero());
        kept.collect()
    }
}

impl Summarize for Summing {
    fn tag(&self) -> TreeTag {
        TreeTag(self.tag)
    }

    fn leaf_bits(&self) -> u32 {
        self.leaf_bits
    }

    /// Spread over all bits, so that sums wrap; nothing for an empty value.
    fn digest(&self, key: &StorageKey, value: &Bytes) -> Option<Digest> {
        if value.is_empty() {
            return None;
        }
        let bytes = key.0.iter().chain(value.iter());
        let digest = bytes.fold(u128::from(self.tag) ^ self.salt, |digest, byte| {
            (digest ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
        });
        Some(Digest(digest))
    }

    /// The bucket is the last two bits of the position, and two of them are a set.
    fn sorted(
        &self,
        key: &StorageKey,
        value: &Bytes,
        sorting: &Sorting,
    ) -> Option<(Class, Digest)> {
        let bucket = u64::try_from(key.position() & 3).expect("two bits");
        let class = sorting.of(BucketTag(bucket), || set_of(bucket));
        Some((class, self.digest(key, value)?))
    }
}

/// The set that a bucket is in.
pub(crate) fn set_of(bucket: u64) -> BucketTag {
    BucketTag(100 + bucket / 2)
}

/// What a store holds, as one map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model(pub(crate) BTreeMap<(Keyspace, StorageKey), Bytes>);

impl Model {
    pub(crate) fn apply(&mut self, writes: &[Write]) {
        for Write { keyspace, change } in writes {
            match change {
                Change::Put { key, value } => drop(self.0.insert((*keyspace, *key), value.clone())),
                Change::Remove { key } => drop(self.0.remove(&(*keyspace, *key))),
                Change::RemoveRange { range } => {
                    self.0
                        .retain(|(of, key), _| of != keyspace || !range.contains(key));
                }
            }
        }
    }

    pub(crate) fn range(
        &self,
        keyspace: Keyspace,
        range: &KeyRange,
        limit: usize,
    ) -> Vec<(StorageKey, Bytes)> {
        let rows = self
            .0
            .iter()
            .filter(|((of, key), _)| *of == keyspace && range.contains(key));
        rows.take(limit)
            .map(|((_, key), value)| (*key, value.clone()))
            .collect()
    }

    /// Everything in a store that `wanted` asks for, read in small pages. Not the store's own sums.
    pub(crate) fn read(store: &Store, wanted: impl Fn(&StorageKey) -> bool) -> Self {
        let mut model = Self::default();
        let others = |keyspace: &Keyspace| *keyspace != Keyspace::Trees;
        for keyspace in Keyspace::ALL.into_iter().filter(others) {
            let mut rest = Some(KeyRange::ALL);
            while let Some(range) = rest {
                let page = store
                    .range(keyspace, &range, 3)
                    .expect("nothing is damaged");
                let last = page.last().map(|(key, _)| *key);
                rest = last
                    .and_then(|key| key.successor())
                    .map(KeyRange::from_start);
                let rows = page.into_iter().filter(|(key, _)| wanted(key));
                model
                    .0
                    .extend(rows.map(|(key, value)| ((keyspace, key), value)));
            }
        }
        model
    }
}

pub(crate) fn key(position: u128) -> StorageKey {
    StorageKey::new(position, 7)
}

pub(crate) fn put(position: u128, value: &str) -> Write {
    Write::put(
        Keyspace::Objects,
        key(position),
        Bytes::copy_from_slice(value.as_bytes()),
    )
}

pub(crate) fn text(store: &Store, position: u128) -> Option<String> {
    let value = store
        .get(Keyspace::Objects, &key(position))
        .expect("nothing is damaged");
    value.map(|value| String::from_utf8(value.to_vec()).expect("a text was put"))
}

/// Files whose flushes end when the test says so.
#[derive(Clone, Default)]
pub(crate) struct SlowFlush {
    pub(crate) inner: MemoryFiles,
    gate: Arc<Mutex<Gate>>,
}

#[derive(Default)]
struct Gate {
    held: bool,
    /// How many may end although the gate is held.
    passes: usize,
    waiting: Vec<Waker>,
}

impl SlowFlush {
    /// Flushes that begin from now on do not end.
    pub(crate) fn hold(&self) {
        self.gate
            .lock()
            .expect("no holder of this lock panics")
            .held = true;
    }

    /// The flush in flight ends.
    pub(crate) fn end_one(&self) {
        let mut gate = self.gate.lock().expect("no holder of this lock panics");
        gate.passes += 1;
        gate.waiting.drain(..).for_each(Waker::wake);
    }

    /// Flushes end.
    pub(crate) fn release(&self) {
        let mut gate = self.gate.lock().expect("no holder of this lock panics");
        gate.held = false;
        gate.waiting.drain(..).for_each(Waker::wake);
    }

    /// What was there when the flush began is flushed when the gate opens.
    fn opened(&self) -> BoxFuture<'static, ()> {
        let gate = Arc::clone(&self.gate);
        Box::pin(poll_fn(move |context| {
            let mut gate = gate.lock().expect("no holder of this lock panics");
            if !gate.held || gate.passes > 0 {
                gate.passes = gate.passes.saturating_sub(1);
                return Poll::Ready(());
            }
            gate.waiting.push(context.waker().clone());
            Poll::Pending
        }))
    }
}

impl Files for SlowFlush {
    fn list(&self) -> BoxFuture<'static, io::Result<Vec<u64>>> {
        self.inner.list()
    }

    fn create(&self, segment: u64) -> BoxFuture<'static, io::Result<()>> {
        self.inner.create(segment)
    }

    fn append(&self, segment: u64, parts: Vec<Bytes>) -> BoxFuture<'static, io::Result<()>> {
        self.inner.append(segment, parts)
    }

    fn flush(&self, segment: u64) -> BoxFuture<'static, io::Result<()>> {
        let (flush, opened) = (self.inner.flush(segment), self.opened());
        Box::pin(async move {
            let done = flush.await;
            opened.await;
            done
        })
    }

    fn append_flushed(
        &self,
        segment: u64,
        parts: Vec<Bytes>,
    ) -> BoxFuture<'static, io::Result<()>> {
        let (append, flush) = (self.append(segment, parts), self.flush(segment));
        Box::pin(async move {
            append.await?;
            flush.await
        })
    }

    fn read(&self, segment: u64) -> BoxFuture<'static, io::Result<Bytes>> {
        self.inner.read(segment)
    }

    fn quarantine(&self, segment: u64) -> BoxFuture<'static, io::Result<()>> {
        self.inner.quarantine(segment)
    }

    fn remove(&self, segments: Vec<u64>) -> BoxFuture<'static, io::Result<()>> {
        self.inner.remove(segments)
    }

    fn offload(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        self.inner.offload(job)
    }
}
