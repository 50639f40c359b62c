//! How long an edge waits for a client, and how long a client waits for it.
//!
//! A connection is worth a file descriptor and some buffers, so a client may not hold one for nothing
//! (T28). [`Patient`] wraps the stream and keeps three clocks:
//!
//! - between requests, the client may be silent for the idle time;
//! - from the first byte of a head, it has the head time for all of it, however it trickles;
//! - while something is to be written to it, it may refuse to take any for the stall time.
//!
//! Which of the first two runs depends on whether a request is being worked on, which the service says
//! through [`Phase`]. While one is, only writing is watched: a body has [its own time](sending). When a clock
//! runs out, the stream fails and the connection ends.
//!
//! The other way round, a request has a [`Clock`]: what it asks of the node may take what is left of the time that the client gave it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// A client that takes nothing of its answer for this long is left.
pub(crate) const STALL_MS: u64 = 30_000;

/// Every body gets this time,
const TIME_MS: u64 = 10_000;
/// and one millisecond more for this many bytes (about 64 KiB/s).
const BYTES_PER_MS: u64 = 64;

/// How long a client may take to send so many bytes.
pub(crate) fn sending(bytes: usize) -> Duration {
    let at_rate_ms = u64::try_from(bytes).unwrap_or(u64::MAX) / BYTES_PER_MS;
    Duration::from_millis(TIME_MS.saturating_add(at_rate_ms))
}

/// The time that a request has left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: std::time::Instant,
    timeout_ms: u64,
}

/// It has none left. Nothing is asked of the node then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeIsUp;

impl Clock {
    pub(crate) fn start(timeout_ms: u64) -> Self {
        Self {
            started: std::time::Instant::now(),
            timeout_ms,
        }
    }

    /// At least 1.
    pub(crate) fn left_ms(self) -> Result<u64, TimeIsUp> {
        let passed_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        match self.timeout_ms.saturating_sub(passed_ms) {
            0 => Err(TimeIsUp),
            left_ms => Ok(left_ms),
        }
    }
}

/// With a client, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) idle_ms: u64,
    pub(crate) head_ms: u64,
    pub(crate) stall_ms: u64,
}

/// Whether requests of a connection are being worked on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Phase {
    working: Arc<AtomicUsize>,
}

/// A request is being worked on until this is dropped.
#[derive(Debug)]
pub(crate) struct Working(Phase);

impl Phase {
    pub(crate) fn work(&self) -> Working {
        self.working.fetch_add(1, Ordering::Relaxed);
        Working(self.clone())
    }

    pub(crate) fn is_working(&self) -> bool {
        self.working.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.working.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the client is expected to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// A request, some time.
    Request,
    /// The rest of a head that it has begun.
    Head,
    /// Nothing in particular.
    Anything,
}

/// A stream whose other end is not waited for in vain.
pub(crate) struct Patient<S> {
    stream: S,
    patience: Patience,
    phase: Phase,
    expected: Expected,
    reading: Pin<Box<Sleep>>,
    /// Runs while the other end takes nothing.
    writing: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub(crate) fn new(stream: S, patience: Patience, phase: Phase) -> Self {
        let reading = Box::pin(sleep_until(after(patience.idle_ms)));
        Self {
            stream,
            patience,
            phase,
            expected: Expected::Request,
            reading,
            writing: None,
        }
    }

    /// What came last was a request that is answered already.
    pub(crate) fn expect_request(&mut self) {
        self.expect(Expected::Request, self.patience.idle_ms);
    }

    fn expect(&mut self, expected: Expected, within_ms: u64) {
        self.expected = expected;
        self.reading.as_mut().reset(after(within_ms));
    }

    /// Follows the service from one request to the next.
    fn follow_phase(&mut self) {
        if self.phase.is_working() {
            self.expected = Expected::Anything;
        } else if self.expected == Expected::Anything {
            self.expect_request();
        }
    }

    /// Notes whether the other end took what was written, and fails once it has taken nothing for too long.
    fn watch_writing<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.writing = None;
            if self.expected == Expected::Request {
                self.expect_request();
            }
            return written;
        }
        let stall_ms = self.patience.stall_ms;
        let clock = self
            .writing
            .get_or_insert_with(|| Box::pin(sleep_until(after(stall_ms))));
        ready!(clock.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

fn after(time_ms: u64) -> Instant {
    // A day is as good as for ever, and never overflows.
    Instant::now() + Duration::from_millis(time_ms.min(86_400_000))
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.follow_phase();
        let before = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut this.stream).poll_read(context, buffer) {
            if buffer.filled().len() > before && this.expected == Expected::Request {
                this.expect(Expected::Head, this.patience.head_ms);
            }
            // A head that comes in one piece is not late, one that trickles may be.
            return Poll::Ready(read);
        }
        if this.expected == Expected::Anything {
            return Poll::Pending;
        }
        ready!(this.reading.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch_writing(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch_writing(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.watch_writing(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch_writing(context, shut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const LONG_MS: u64 = 3_600_000;

    fn patience(idle_ms: u64, head_ms: u64, stall_ms: u64) -> Patience {
        Patience {
            idle_ms,
            head_ms,
            stall_ms,
        }
    }

    #[tokio::test]
    async fn silence_between_requests_ends() {
        let (_client, server) = duplex(64);
        let mut patient = Patient::new(server, patience(0, LONG_MS, LONG_MS), Phase::default());
        let read = patient.read_u8().await.map_err(|error| error.kind());
        assert_eq!(read, Err(io::ErrorKind::TimedOut));
    }

    #[tokio::test]
    async fn a_head_that_has_begun_must_end() {
        let (mut client, server) = duplex(64);
        client.write_all(b"G").await.expect("room");
        let mut patient = Patient::new(server, patience(LONG_MS, 0, LONG_MS), Phase::default());
        assert_eq!(patient.read_u8().await.ok(), Some(b'G'));
        let read = patient.read_u8().await.map_err(|error| error.kind());
        assert_eq!(read, Err(io::ErrorKind::TimedOut));
    }

    #[tokio::test]
    async fn work_is_not_silence() {
        let (mut client, server) = duplex(64);
        let phase = Phase::default();
        let mut patient = Patient::new(server, patience(0, 0, LONG_MS), phase.clone());
        let working = phase.work();
        let mut byte = [0];
        let pending = std::future::poll_fn(|context| {
            Poll::Ready(
                Pin::new(&mut patient)
                    .poll_read(context, &mut ReadBuf::new(&mut byte))
                    .is_pending(),
            )
        });
        assert!(pending.await);
        client.write_all(b"x").await.expect("room");
        assert_eq!(patient.read_u8().await.ok(), Some(b'x'));
        drop(working);
        let read = patient.read_u8().await.map_err(|error| error.kind());
        assert_eq!(read, Err(io::ErrorKind::TimedOut));
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_left() {
        let (_client, server) = duplex(4);
        let mut patient = Patient::new(server, patience(LONG_MS, LONG_MS, 0), Phase::default());
        let written = patient
            .write_all(b"more than four")
            .await
            .map_err(|error| error.kind());
        assert_eq!(written, Err(io::ErrorKind::TimedOut));
    }
}
