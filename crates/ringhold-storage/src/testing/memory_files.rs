//! Segments in memory, with a memory of what was flushed.
//!
//! Everything completes at once; a simulator that wants time to pass wraps it. What a test can do:
//! stop at a step and crash (the unflushed end of each segment is lost, kept, or torn in blocks of
//! 512 bytes), let the next append or flush fail, and change bytes.
//!
//! A failed flush behaves as Linux does (T21): the pages count as clean, so later flushes succeed
//! without writing them and reads still see them, until a crash shows that they never were on disk.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;

use super::steps::Steps;
use crate::BoxFuture;
use crate::files::Files;

/// What a power cut leaves whole, or not at all.
const BLOCK_BYTES: usize = 512;

/// A reader sees a segment filled with zeros up to a multiple of this, as a file is that was made longer ahead.
const FILLED_BYTES: usize = 1_000;

/// An operation that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Appends: half of the bytes are written.
    Append,
    /// Flushes: the bytes are never written by later flushes either.
    Flush,
    /// Creations: there is no file.
    Create,
    /// Removals: the file stays.
    Remove,
}

/// See the module. Clones are the same disk.
#[derive(Clone, Default)]
pub struct MemoryFiles {
    disk: Arc<Mutex<Disk>>,
    steps: Steps,
}

#[derive(Default)]
struct Disk {
    segments: BTreeMap<u64, Segment>,
    quarantined: Vec<(u64, Bytes)>,
    failing: Option<Operation>,
}

#[derive(Clone, Default)]
struct Segment {
    bytes: Vec<u8>,
    flushed: usize,
    /// Below `flushed`, and not on disk all the same.
    forgotten: Vec<Range<usize>>,
}

impl MemoryFiles {
    /// An empty disk whose effects count as steps at which a test may stop.
    #[must_use]
    pub fn with_steps(steps: Steps) -> Self {
        Self {
            disk: Arc::default(),
            steps,
        }
    }

    /// Lets the next operation of this kind fail, once.
    pub fn fail_next(&self, operation: Operation) {
        self.lock().failing = Some(operation);
    }

    /// A power cut: decides with numbers from `choose` what of the unflushed bytes survived.
    pub fn crash(&self, choose: &mut dyn FnMut() -> u64) {
        for segment in self.lock().segments.values_mut() {
            segment.crash(choose);
        }
    }

    /// The segments there are.
    #[must_use]
    pub fn segments(&self) -> Vec<u64> {
        self.lock().segments.keys().copied().collect()
    }

    /// The damaged segments that were put aside.
    #[must_use]
    pub fn quarantined(&self) -> Vec<(u64, Bytes)> {
        self.lock().quarantined.clone()
    }

    /// The bytes of a segment; none if there is no such.
    #[must_use]
    pub fn bytes(&self, segment: u64) -> Option<Vec<u8>> {
        self.lock()
            .segments
            .get(&segment)
            .map(|segment| segment.bytes.clone())
    }

    /// Changes a segment in place, flushed, as a failing disk would; makes it if there is none.
    pub fn damage(&self, segment: u64, change: impl FnOnce(&mut Vec<u8>)) {
        let mut disk = self.lock();
        let segment = disk.segments.entry(segment).or_default();
        change(&mut segment.bytes);
        segment.flushed = segment.bytes.len();
    }

    /// Takes a segment away, as an operator who should not would.
    pub fn lose(&self, segment: u64) {
        self.lock().segments.remove(&segment);
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().expect("no holder of this lock panics")
    }

    /// Has an effect between two steps.
    fn stepped<T>(&self, effect: impl FnOnce(&mut Disk) -> io::Result<T>) -> io::Result<T> {
        let stopped = |()| io::Error::from(io::ErrorKind::Interrupted);
        self.steps.take().map_err(stopped)?;
        let done = effect(&mut self.lock())?;
        self.steps.take().map_err(stopped)?;
        Ok(done)
    }
}

/// The operation happens when the future is first polled.
fn when_polled<T: Send + 'static>(
    files: &MemoryFiles,
    operation: impl FnOnce(&MemoryFiles) -> io::Result<T> + Send + 'static,
) -> BoxFuture<'static, io::Result<T>> {
    let files = files.clone();
    Box::pin(async move { operation(&files) })
}

impl Files for MemoryFiles {
    fn list(&self) -> BoxFuture<'static, io::Result<Vec<u64>>> {
        when_polled(self, |files| Ok(files.segments()))
    }

    fn create(&self, segment: u64) -> BoxFuture<'static, io::Result<()>> {
        when_polled(self, move |files| {
            files.stepped(|disk| disk.create(segment))
        })
    }

    fn append(&self, segment: u64, parts: Vec<Bytes>) -> BoxFuture<'static, io::Result<()>> {
        when_polled(self, move |files| {
            files.stepped(|disk| disk.append(segment, &parts))
        })
    }

    fn flush(&self, segment: u64) -> BoxFuture<'static, io::Result<()>> {
        when_polled(self, move |files| files.stepped(|disk| disk.flush(segment)))
    }

    fn append_flushed(
        &self,
        segment: u64,
        parts: Vec<Bytes>,
    ) -> BoxFuture<'static, io::Result<()>> {
        when_polled(self, move |files| {
            files.stepped(|disk| disk.append(segment, &parts))?;
            files.stepped(|disk| disk.flush(segment))
        })
    }

    fn read(&self, segment: u64) -> BoxFuture<'static, io::Result<Bytes>> {
        when_polled(self, move |files| {
            let mut bytes = files.bytes(segment).ok_or(io::ErrorKind::NotFound)?;
            bytes.resize(bytes.len().next_multiple_of(FILLED_BYTES), 0);
            Ok(bytes.into())
        })
    }

    fn quarantine(&self, segment: u64) -> BoxFuture<'static, io::Result<()>> {
        when_polled(self, move |files| {
            files.stepped(|disk| disk.quarantine(segment))
        })
    }

    fn remove(&self, segments: Vec<u64>) -> BoxFuture<'static, io::Result<()>> {
        when_polled(self, move |files| {
            segments
                .iter()
                .try_for_each(|segment| files.stepped(|disk| disk.remove(*segment)))
        })
    }

    fn offload(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        Box::pin(async move { job() })
    }
}

impl Disk {
    fn create(&mut self, segment: u64) -> io::Result<()> {
        self.fails(Operation::Create)?;
        if self.segments.contains_key(&segment) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.segments.insert(segment, Segment::default());
        Ok(())
    }

    fn append(&mut self, segment: u64, parts: &[Bytes]) -> io::Result<()> {
        let outcome = self.fails(Operation::Append);
        let mut bytes = parts.concat();
        if outcome.is_err() {
            bytes.truncate(bytes.len() / 2);
        }
        self.segment(segment)?.bytes.extend_from_slice(&bytes);
        outcome
    }

    fn flush(&mut self, segment: u64) -> io::Result<()> {
        let outcome = self.fails(Operation::Flush);
        let segment = self.segment(segment)?;
        let unflushed = segment.flushed..segment.bytes.len();
        segment.flushed = unflushed.end;
        if outcome.is_err() {
            segment.forgotten.push(unflushed);
        }
        outcome
    }

    fn quarantine(&mut self, segment: u64) -> io::Result<()> {
        let bytes = self.segment(segment)?.bytes.clone().into();
        self.segments.remove(&segment);
        self.quarantined.push((segment, bytes));
        Ok(())
    }

    fn remove(&mut self, segment: u64) -> io::Result<()> {
        self.fails(Operation::Remove)?;
        self.segments.remove(&segment);
        Ok(())
    }

    fn segment(&mut self, segment: u64) -> io::Result<&mut Segment> {
        self.segments
            .get_mut(&segment)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn fails(&mut self, operation: Operation) -> io::Result<()> {
        if self.failing == Some(operation) {
            self.failing = None;
            return Err(io::Error::other("failed on purpose"));
        }
        Ok(())
    }
}

impl Segment {
    fn crash(&mut self, choose: &mut dyn FnMut() -> u64) {
        for forgotten in std::mem::take(&mut self.forgotten) {
            self.bytes[forgotten].fill(0);
        }
        let unflushed = self.bytes.len() - self.flushed;
        let length = match choose() % 3 {
            0 => 0,
            1 => unflushed,
            _ => usize::try_from(choose()).unwrap_or(usize::MAX) % (unflushed + 1),
        };
        self.bytes.truncate(self.flushed + length);
        let mut at = self.flushed;
        let torn = choose().is_multiple_of(2);
        while torn && at < self.bytes.len() {
            let end = (at / BLOCK_BYTES + 1) * BLOCK_BYTES;
            let end = end.min(self.bytes.len());
            if choose().is_multiple_of(3) {
                self.bytes[at..end].fill(0);
            }
            at = end;
        }
        self.flushed = self.bytes.len();
    }
}
