//! Refusals that cost next to nothing (T24).
//!
//! When more comes than can be done, most of a node's answers are refusals, and what they cost is taken from what could be done. A request
//! that came in one piece, on a connection on which nothing else is going on, and that the door would not let in, is answered here: before a
//! task, a header map or a span was made for it. Whatever is any harder to tell goes by untouched, and is refused in the ordinary way.
//!
//! To answer in the middle of a stream, one has to know where requests begin. The turnstile follows each head and the length of its body. What
//! it can't follow (a head in two pieces, two requests in one piece, chunks) makes it stand open for the rest of the connection: it never
//! takes bytes for a request that a stricter or a looser reader would have taken for something else (T29).
//!
//! Invariants: nothing is written while an answer is being made or was not flushed; what was refused was not seen by anybody else; a
//! refusal that the client takes slowly is finished before anything else is read.
//!
//! Not here: who is refused, which is a function of method and path that the edge gives, and counting.

use crate::edge::patience::{Patient, Phase};
use bytes::{Buf, Bytes};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Heads with more fields are left to others.
const FIELDS_MAX: usize = 32;

/// Where the next byte from the client belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Start,
    /// So many bytes of a body are still to come.
    Body(u64),
    /// Nobody here knows.
    Somewhere,
}

/// The beginning of a request, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
struct Head<'a> {
    method: &'a str,
    path: &'a str,
    /// The whole request, in bytes.
    bytes: u64,
    /// It asks for nothing but an answer: no upgrade, no end of the connection, no leave to send its body.
    is_plain: bool,
}

/// See the module.
pub(super) struct Turnstile<S, F> {
    stream: Patient<S>,
    phase: Phase,
    /// Whether a request for this method and path is to be refused.
    is_refused: F,
    refusal: Bytes,
    /// What the client has not taken of a refusal.
    unsent: Bytes,
    at: At,
    is_writing: bool,
}

impl<S, F> Turnstile<S, F>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: FnMut(&str, &str) -> bool,
{
    pub(super) fn new(stream: Patient<S>, phase: Phase, refusal: Bytes, is_refused: F) -> Self {
        Self {
            stream,
            phase,
            is_refused,
            refusal,
            unsent: Bytes::new(),
            at: At::Start,
            is_writing: false,
        }
    }

    /// Whether these bytes are one whole request that is refused. If not, they are followed.
    fn refuses(&mut self, came: &[u8]) -> bool {
        let length = u64::try_from(came.len()).unwrap_or(u64::MAX);
        match self.at {
            At::Somewhere => {}
            At::Body(left) => self.at = after(left, length),
            At::Start => match head_of(came) {
                None => self.at = At::Somewhere,
                Some(head) => {
                    let is_alone = !self.phase.is_working() && !self.is_writing;
                    let is_whole = head.bytes == length && head.is_plain;
                    if is_alone && is_whole && (self.is_refused)(head.method, head.path) {
                        return true;
                    }
                    self.at = after(head.bytes, length);
                }
            },
        }
        false
    }
}

/// After so many bytes of something that has so many left.
fn after(left: u64, came: u64) -> At {
    match left.checked_sub(came) {
        Some(0) => At::Start,
        Some(rest) => At::Body(rest),
        None => At::Somewhere,
    }
}

/// A head that came whole and says in so many words how long the request is; none otherwise.
fn head_of(came: &[u8]) -> Option<Head<'_>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut parsed = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(head_bytes) = parsed.parse(came).ok()? else {
        return None;
    };
    let (method, target) = (parsed.method?, parsed.path?);
    let mut length = None;
    let mut hosts = 0;
    let mut is_plain = parsed.version == Some(1);
    for field in parsed.headers.iter() {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        if is("content-length") {
            let digits = std::str::from_utf8(field.value).ok()?;
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            let first = length.replace(digits.parse::<u64>().ok()?).is_none();
            if !is_number || !first {
                return None;
            }
        } else if is("transfer-encoding") {
            return None;
        } else if is("host") {
            hosts += 1;
        } else if is("connection") || is("expect") || is("upgrade") {
            is_plain = false;
        }
    }
    let head_bytes = u64::try_from(head_bytes).ok()?;
    Some(Head {
        method,
        path: target.split_once('?').map_or(target, |(path, _)| path),
        bytes: head_bytes.checked_add(length.unwrap_or(0))?,
        is_plain: is_plain && hosts == 1,
    })
}

impl<S, F> AsyncRead for Turnstile<S, F>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: FnMut(&str, &str) -> bool + Unpin,
{
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            while !this.unsent.is_empty() {
                let taken = ready!(Pin::new(&mut this.stream).poll_write(context, &this.unsent))?;
                if taken == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                this.unsent.advance(taken);
            }
            let before = buffer.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
            let came = &buffer.filled()[before..];
            if came.is_empty() || !this.refuses(came) {
                return Poll::Ready(Ok(()));
            }
            buffer.set_filled(before);
            this.unsent = this.refusal.clone();
            this.stream.expect_request();
        }
    }
}

impl<S, F> AsyncWrite for Turnstile<S, F>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: FnMut(&str, &str) -> bool + Unpin,
{
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.is_writing = true;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.is_writing = true;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.is_writing = false;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::patience::Patience;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    const PUT: &str = "PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody";
    const GET: &str = "GET /a?r=1 HTTP/1.1\r\nhost: h\r\n\r\n";
    const NO: &[u8] = b"no";

    struct Scene {
        client: DuplexStream,
        server: Pin<Box<dyn Server>>,
        phase: Phase,
        is_full: Arc<AtomicBool>,
    }

    trait Server: AsyncRead + AsyncWrite {}
    impl<S: AsyncRead + AsyncWrite> Server for S {}

    fn scene() -> Scene {
        let (client, server) = duplex(4096);
        let hour_ms = 3_600_000;
        let patience = Patience {
            idle_ms: hour_ms,
            head_ms: hour_ms,
            stall_ms: hour_ms,
        };
        let phase = Phase::default();
        let is_full = Arc::new(AtomicBool::new(true));
        let full = Arc::clone(&is_full);
        let refused = move |_: &str, path: &str| path == "/a" && full.load(Ordering::Relaxed);
        let server = Turnstile::new(
            Patient::new(server, patience, phase.clone()),
            phase.clone(),
            Bytes::from_static(NO),
            refused,
        );
        Scene {
            client,
            server: Box::pin(server),
            phase,
            is_full,
        }
    }

    impl Scene {
        /// What gets by of what the client sends in one piece.
        async fn gets_by(&mut self, piece: &str) -> String {
            self.client.write_all(piece.as_bytes()).await.expect("room");
            let mut seen = vec![0; 4096];
            let read = std::future::poll_fn(|context| {
                let mut buffer = ReadBuf::new(&mut seen);
                let read = self.server.as_mut().poll_read(context, &mut buffer);
                assert!(!matches!(read, Poll::Ready(Err(_))));
                Poll::Ready(buffer.filled().len())
            });
            let length = read.await;
            seen.truncate(length);
            String::from_utf8(seen).expect("text")
        }

        async fn is_told_no(&mut self) {
            let mut told = [0; NO.len()];
            self.client.read_exact(&mut told).await.expect("an answer");
            assert_eq!(told, NO);
        }
    }

    #[tokio::test]
    async fn what_is_refused_is_answered_and_seen_by_nobody() {
        let mut scene = scene();
        for piece in [PUT, GET, PUT] {
            assert_eq!(scene.gets_by(piece).await, "");
            scene.is_told_no().await;
        }
        scene.is_full.store(false, Ordering::Relaxed);
        assert_eq!(scene.gets_by(PUT).await, PUT);
        scene.is_full.store(true, Ordering::Relaxed);
        assert_eq!(
            scene.gets_by(&PUT.replace("/a", "/b")).await,
            PUT.replace("/a", "/b")
        );
        assert_eq!(scene.gets_by(PUT).await, "");
        scene.is_told_no().await;
    }

    #[tokio::test]
    async fn a_body_in_pieces_is_followed_to_its_end() {
        let mut scene = scene();
        let (first, rest) = PUT.split_at(PUT.len() - 3);
        assert_eq!(scene.gets_by(first).await, first);
        // A body that looks like a request is none.
        for piece in rest.split_inclusive('d') {
            assert_eq!(scene.gets_by(piece).await, piece);
        }
        assert_eq!(scene.gets_by(GET).await, "");
        scene.is_told_no().await;
        let long = format!(
            "PUT /b HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n",
            GET.len()
        );
        assert_eq!(scene.gets_by(&long).await, long);
        assert_eq!(scene.gets_by(GET).await, GET);
        assert_eq!(scene.gets_by(GET).await, "");
    }

    #[tokio::test]
    async fn what_cannot_be_followed_is_never_touched_again() {
        let chunked = "PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        let twice = PUT.replace("\r\n\r\n", "\r\nContent-Length: 4\r\n\r\n");
        let signed = PUT.replace(": 4", ": +4");
        let both = [PUT, GET].concat();
        let half = PUT[..20].to_owned();
        for piece in [
            chunked.to_owned(),
            twice,
            signed,
            both,
            half,
            "no request\r\n\r\n".to_owned(),
        ] {
            let mut scene = scene();
            assert_eq!(scene.gets_by(&piece).await, piece);
            assert_eq!(scene.gets_by(GET).await, GET, "after {piece:?}");
        }
    }

    #[tokio::test]
    async fn what_asks_for_more_than_an_answer_gets_by() {
        for more in [
            "Connection: close",
            "Expect: 100-continue",
            "Upgrade: x",
            "Host: again",
        ] {
            let piece = GET.replace("host: h", &format!("host: h\r\n{more}"));
            assert_eq!(scene().gets_by(&piece).await, piece);
        }
        let old = GET.replace("1.1", "1.0");
        assert_eq!(scene().gets_by(&old).await, old);
    }

    #[tokio::test]
    async fn no_refusal_overtakes_an_answer() {
        let mut scene = scene();
        let working = scene.phase.work();
        assert_eq!(scene.gets_by(GET).await, GET);
        drop(working);
        scene.server.write_all(b"an answer").await.expect("room");
        assert_eq!(scene.gets_by(GET).await, GET);
        scene.server.flush().await.expect("room");
        assert_eq!(scene.gets_by(GET).await, "");
        let mut told = [0; 11];
        scene.client.read_exact(&mut told).await.expect("both");
        assert_eq!(&told, b"an answerno");
    }
}
