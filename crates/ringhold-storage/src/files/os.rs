//! Files of the operating system, served by three threads of their own.
//!
//! Disk calls block for as long as the disk likes (T23: seconds, on a bad day), so none of them runs
//! on a task's thread. The *log* thread does everything to segments in order; the *flush* thread does
//! stand-alone flushes, so that appends which acknowledge from memory (§6.1) do not queue behind a
//! disk that is busy; the *job* thread runs engine checkpoints, which take longest. `append_flushed`
//! stays on the log thread as a whole: one handover instead of two for the usual commit.
//!
//! A lock on the directory's lock file keeps a second process out: two logs interleaved in one
//! directory would each believe in their own history. The lock is the kernel's, so it goes with the
//! process, whatever its end.
//!
//! After creating, renaming or removing a file the directory is flushed too; without that a power cut
//! may bring the old directory back although the file's bytes are safe (T21).
//!
//! An append that goes beyond the file's end puts zeros behind itself (`AHEAD_BYTES`). A flush whose file grows writes twice, the
//! data and then what the file system notes about the file; between two such appends flushes write data only.
//!
//! This is the only module of the crate that may start threads.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};

use bytes::Bytes;
use futures_channel::oneshot;

use super::Files;
use crate::BoxFuture;
use crate::figures::count;

const LOCK_FILE: &str = "lock";
const QUARANTINE: &str = "quarantine";
const SUFFIX: &str = ".log";
/// How far a segment's file is filled with zeros ahead of what is appended, at most.
const AHEAD_BYTES: u64 = 1 << 20;
/// Zeros are written by the page: larger writes would make the page cache keep, and count, larger pieces than later appends change.
const ZEROS: [u8; 4096] = [0; 4096];

/// The log's directory on a real file system.
pub struct OsFiles {
    directory: Arc<Directory>,
    log: Worker,
    flush: Worker,
    jobs: Worker,
}

impl OsFiles {
    /// Takes a directory, made if it is not there, and starts the threads.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if another process holds the directory; else what the file system says.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        fs::create_dir_all(path.join(QUARANTINE))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join(LOCK_FILE))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::Error(error) => error,
            TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
        })?;
        sync_directory(&path)?;
        Ok(Self {
            directory: Arc::new(Directory {
                path,
                _lock: lock,
                open: Mutex::default(),
            }),
            log: Worker::start("ringhold-log")?,
            flush: Worker::start("ringhold-flush")?,
            jobs: Worker::start("ringhold-jobs")?,
        })
    }

    fn on_log<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Directory) -> io::Result<T> + Send + 'static,
    ) -> BoxFuture<'static, io::Result<T>> {
        self.log.run(&self.directory, work)
    }
}

impl Files for OsFiles {
    fn list(&self) -> BoxFuture<'static, io::Result<Vec<u64>>> {
        self.on_log(Directory::list)
    }

    fn create(&self, segment: u64) -> BoxFuture<'static, io::Result<()>> {
        self.on_log(move |directory| directory.create(segment))
    }

    fn append(&self, segment: u64, parts: Vec<Bytes>) -> BoxFuture<'static, io::Result<()>> {
        self.on_log(move |directory| directory.opened(segment)?.append(&parts))
    }

    fn flush(&self, segment: u64) -> BoxFuture<'static, io::Result<()>> {
        self.flush.run(&self.directory, move |directory| {
            directory.opened(segment)?.file.sync_data()
        })
    }

    fn append_flushed(
        &self,
        segment: u64,
        parts: Vec<Bytes>,
    ) -> BoxFuture<'static, io::Result<()>> {
        self.on_log(move |directory| {
            let written = directory.opened(segment)?;
            written.append(&parts)?;
            written.file.sync_data()
        })
    }

    fn read(&self, segment: u64) -> BoxFuture<'static, io::Result<Bytes>> {
        self.on_log(move |directory| fs::read(directory.file(segment)).map(Bytes::from))
    }

    fn quarantine(&self, segment: u64) -> BoxFuture<'static, io::Result<()>> {
        self.on_log(move |directory| directory.quarantine(segment))
    }

    fn remove(&self, segments: Vec<u64>) -> BoxFuture<'static, io::Result<()>> {
        self.on_log(move |directory| directory.remove(&segments))
    }

    fn offload(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let done = self.jobs.run(&self.directory, move |_| {
            job();
            Ok(())
        });
        Box::pin(async move {
            // A job that was lost with its thread has left no result, which its owner sees.
            done.await.ok();
        })
    }
}

/// A thread that does one thing after the other until its owner is gone.
struct Worker {
    work: mpsc::Sender<Box<dyn FnOnce() + Send>>,
}

impl Worker {
    #[expect(
        clippy::disallowed_types,
        reason = "the one module that may start threads"
    )]
    fn start(name: &str) -> io::Result<Self> {
        let (work, queue) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        std::thread::Builder::new()
            .name(name.into())
            .spawn(move || {
                for work in queue {
                    work();
                }
            })?;
        Ok(Self { work })
    }

    fn run<T: Send + 'static>(
        &self,
        directory: &Arc<Directory>,
        work: impl FnOnce(&Directory) -> io::Result<T> + Send + 'static,
    ) -> BoxFuture<'static, io::Result<T>> {
        let (reply, outcome) = oneshot::channel();
        let directory = Arc::clone(directory);
        let job = move || {
            let result = work(&directory);
            drop(directory);
            // Nobody is waiting any more where the future was dropped.
            reply.send(result).ok();
        };
        // Where the thread has ended the job is dropped, and with it the sender of the reply.
        self.work.send(Box::new(job)).ok();
        Box::pin(async move {
            outcome
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
        })
    }
}

/// The directory, locked, and the segments that this process writes.
struct Directory {
    path: PathBuf,
    _lock: File,
    open: Mutex<BTreeMap<u64, Arc<Written>>>,
}

impl Directory {
    fn file(&self, segment: u64) -> PathBuf {
        self.path.join(file_name(segment))
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Written>>> {
        self.open.lock().expect("no holder of this lock panics")
    }

    fn opened(&self, segment: u64) -> io::Result<Arc<Written>> {
        self.open()
            .get(&segment)
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self) -> io::Result<Vec<u64>> {
        let mut segments = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            segments.extend(name.to_str().and_then(segment_of));
        }
        Ok(segments)
    }

    fn create(&self, segment: u64) -> io::Result<()> {
        let file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .open(self.file(segment))?;
        sync_directory(&self.path)?;
        self.open().insert(segment, Arc::new(Written::new(file)));
        Ok(())
    }

    fn quarantine(&self, segment: u64) -> io::Result<()> {
        self.open().remove(&segment);
        let aside = self.path.join(QUARANTINE);
        let free = (0..u32::MAX)
            .map(|copy| aside.join(format!("{}.{copy}", file_name(segment))))
            .find(|target| !target.exists())
            .ok_or(io::ErrorKind::AlreadyExists)?;
        fs::rename(self.file(segment), free)?;
        sync_directory(&aside)?;
        sync_directory(&self.path)
    }

    fn remove(&self, segments: &[u64]) -> io::Result<()> {
        for segment in segments {
            self.open().remove(segment);
            match fs::remove_file(self.file(*segment)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        sync_directory(&self.path)
    }
}

/// A segment that this process writes. Only the log thread appends.
struct Written {
    file: File,
    /// Bytes appended.
    end: AtomicU64,
    /// Bytes in the file, the zeros ahead included.
    filled: AtomicU64,
}

impl Written {
    fn new(file: File) -> Self {
        Self {
            file,
            end: AtomicU64::new(0),
            filled: AtomicU64::new(0),
        }
    }

    /// Writes the parts where the last append ended, which is where the file's own position is.
    fn append(&self, parts: &[Bytes]) -> io::Result<()> {
        write_all(&self.file, parts)?;
        let bytes: u64 = parts.iter().map(|part| count(part.len())).sum();
        let end = self.end.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if end > self.filled.load(Ordering::Relaxed) {
            let filled = self.fill(end, end + end.min(AHEAD_BYTES));
            self.filled.store(filled, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Writes zeros from here to there, in whole pages of the file; returns how far they go. A disk that has no room for zeros may have it for
    /// what is appended next, so that is no error.
    fn fill(&self, mut from: u64, to: u64) -> u64 {
        while from < to {
            let page = count(ZEROS.len());
            let zeros = usize::try_from(page - from % page).expect("part of a page");
            if self.file.write_all_at(&ZEROS[..zeros], from).is_err() {
                break;
            }
            from += count(zeros);
        }
        from
    }
}

fn file_name(segment: u64) -> String {
    format!("{segment:020}{SUFFIX}")
}

fn segment_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn write_all(mut file: &File, parts: &[Bytes]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let mut left = slices.as_mut_slice();
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match file.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut left, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_read_back() {
        assert_eq!(segment_of(&file_name(42)), Some(42));
        assert_eq!(segment_of(&file_name(u64::MAX)), Some(u64::MAX));
        for strange in ["lock", "42.log", "quarantine", "0000000000000000004x.log"] {
            assert_eq!(segment_of(strange), None, "{strange}");
        }
    }
}
