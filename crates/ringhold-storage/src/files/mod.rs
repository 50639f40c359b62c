//! The disk under the log, as a trait of boxed futures.
//!
//! The log never touches a file itself: it asks for an operation and is told when that is complete.
//! [`OsFiles`](os::OsFiles) answers from a thread of its own, a simulator answers when its clock says
//! so and may delay, tear, lose or corrupt on the way, and the log above is the same code. That is
//! also why the trait is small: segments are named by their number, are written once from front to
//! back, and are read whole, so a disk model has few things to get right.
//!
//! What an implementation promises:
//!
//! - a completed `flush` covers every `append` to that segment that completed before the flush began;
//!   nothing else makes appended bytes safe (T21);
//! - `create`, `quarantine` and `remove` are durable when they complete (directory flushed);
//! - operations on one segment take effect in the order in which they were asked for, and may start
//!   when asked for or when first polled; dropping the future does not take an operation back.
//!
//! Deliberately absent: truncation and rewriting. The log never changes a byte that it has written;
//! where a segment counts only up to some offset, the next segment's header says so.

pub mod os;

use std::io;

use bytes::Bytes;

use crate::BoxFuture;

/// The files of one store's log, and a place for jobs that block.
pub trait Files: Send + Sync {
    /// The numbers of the segments there are, in any order; quarantined ones are not among them.
    fn list(&self) -> BoxFuture<'static, io::Result<Vec<u64>>>;

    /// Makes an empty segment, its directory entry flushed. `AlreadyExists` if there is one.
    fn create(&self, segment: u64) -> BoxFuture<'static, io::Result<()>>;

    /// Writes the parts at the end of a segment that this process created. After an error nothing
    /// is known about the bytes after the previous end.
    fn append(&self, segment: u64, parts: Vec<Bytes>) -> BoxFuture<'static, io::Result<()>>;

    /// Makes all that was appended to the segment before this began survive a power cut. After an
    /// error nothing is known about unflushed bytes, whatever a later flush says.
    fn flush(&self, segment: u64) -> BoxFuture<'static, io::Result<()>>;

    /// Appends and, if that succeeded, flushes: what `append` and then `flush` do, for an
    /// implementation that can save a handover.
    fn append_flushed(&self, segment: u64, parts: Vec<Bytes>)
    -> BoxFuture<'static, io::Result<()>>;

    /// The bytes of a segment as they are now, flushed or not. Zeros that nobody appended may follow them: files are filled with them
    /// ahead, so that a flush need not say each time how long they are.
    fn read(&self, segment: u64) -> BoxFuture<'static, io::Result<Bytes>>;

    /// Moves a damaged segment out of the way, keeping its bytes for whoever investigates.
    fn quarantine(&self, segment: u64) -> BoxFuture<'static, io::Result<()>>;

    /// Removes segments; those that are not there count as removed.
    fn remove(&self, segments: Vec<u64>) -> BoxFuture<'static, io::Result<()>>;

    /// Runs a job that blocks (an engine's checkpoint) off the caller's task, one at a time and in
    /// order. Completes when the job has ended, or was lost with its thread.
    fn offload(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()>;
}
