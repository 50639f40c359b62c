//! Frames on a stream, be it TCP as it is or encrypted.
//!
//! Whoever has something to send encodes it straight into the [`Outbox`] of the connection; one task writes
//! whatever is there in one go. Before it takes the bytes it yields once, so that everything that is ready
//! to run now gets its frames in too: that makes many frames a write out of one frame a write.

use super::tls::TlsError;
use bytes::BytesMut;
use ringhold_wire::bytes_io::DecodeError;
use ringhold_wire::frame::{self, Frame, FrameDecoder, FrameTooLarge};
use ringhold_wire::handshake::Handshake;
use std::io;
use std::sync::{Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::TlsStream;

/// Bytes that may wait for a connection. Room for several of the largest frames; past it, whoever
/// wants to send is refused at once.
const OUTBOX_BYTES_MAX: usize = 128 << 20;
/// A buffer that has grown past this is given back to the allocator after use.
const BUFFER_BYTES_KEPT: usize = 1 << 20;

pub(super) type ReadHalf = Box<dyn AsyncRead + Send + Unpin>;
pub(super) type WriteHalf = Box<dyn AsyncWrite + Send + Unpin>;

/// The two directions of a connection that is not encrypted.
pub(super) fn plain_halves(stream: TcpStream) -> (ReadHalf, WriteHalf) {
    let (reader, writer) = stream.into_split();
    (Box::new(reader), Box::new(writer))
}

/// The two directions of an encrypted connection. They share its keys, so only one of them works at a time.
pub(super) fn encrypted_halves(stream: TlsStream<TcpStream>) -> (ReadHalf, WriteHalf) {
    let (reader, writer) = tokio::io::split(stream);
    (Box::new(reader), Box::new(writer))
}

/// Why a connection came to its end.
#[derive(Debug)]
pub(crate) enum StreamError {
    Io(io::Error),
    /// There is no encrypted connection with the other side.
    Tls(TlsError),
    /// The other side sent something that is no frame.
    Decode(DecodeError),
    /// The other side closed the connection.
    Closed,
    /// Neither side may send this now.
    OutOfTurn,
    /// The handshake took too long.
    TimedOut,
    /// The other side asks and does not take its answers.
    Stuck,
}

impl std::fmt::Display for StreamError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Tls(error) => write!(f, "{error}"),
            Self::Decode(error) => {
                write!(f, "the other side sent something that is no frame: {error}")
            }
            Self::Closed => f.write_str("the other side closed the connection"),
            Self::OutOfTurn => f.write_str("the other side sent a frame out of turn"),
            Self::TimedOut => f.write_str("the handshake took too long"),
            Self::Stuck => f.write_str("the other side does not take its answers"),
        }
    }
}

impl From<io::Error> for StreamError {
    fn from(error: io::Error) -> Self {
        if let Some(error) = TlsError::in_io(&error) {
            return Self::Tls(error);
        }
        // So says an encrypted connection that was closed without a farewell. No frame ends so.
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Self::Closed;
        }
        Self::Io(error)
    }
}

impl From<TlsError> for StreamError {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}

impl From<DecodeError> for StreamError {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

/// A frame was not taken. Nothing of it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotTaken {
    Full,
    TooLarge,
}

/// Bytes that wait to be written.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: Mutex<BytesMut>,
    filled: Notify,
}

impl Outbox {
    /// Encodes one frame at the end of what waits.
    pub(super) fn push(
        &self,
        encode: impl FnOnce(&mut BytesMut) -> Result<(), FrameTooLarge>,
    ) -> Result<(), NotTaken> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() > OUTBOX_BYTES_MAX {
            return Err(NotTaken::Full);
        }
        let was_empty = waiting.is_empty();
        encode(&mut waiting).map_err(|FrameTooLarge { .. }| NotTaken::TooLarge)?;
        drop(waiting);
        if was_empty {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Drops what waits: it was meant for a connection that is gone.
    pub(super) fn clear(&self) {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Exchanges an empty buffer for everything that waits, once something does.
    async fn take(&self, empty: BytesMut) -> BytesMut {
        let mut empty = Some(empty);
        loop {
            tokio::task::yield_now().await;
            {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                if !waiting.is_empty() {
                    return std::mem::replace(&mut *waiting, empty.take().unwrap_or_default());
                }
            }
            self.filled.notified().await;
        }
    }
}

/// Writes what comes into the outbox until the connection breaks. `moving` is called while a large
/// amount is on its way and the other side keeps taking it.
pub(super) async fn write_all(
    outbox: &Outbox,
    socket: &mut WriteHalf,
    moving: impl Fn(),
) -> StreamError {
    let mut buffer = BytesMut::new();
    loop {
        buffer = outbox.take(buffer).await;
        let mut written = 0;
        while written < buffer.len() {
            match socket.write(&buffer[written..]).await {
                Ok(0) => return StreamError::Closed,
                Ok(bytes) => written += bytes,
                Err(error) => return error.into(),
            }
            if written < buffer.len() {
                moving();
            }
        }
        // An encrypted connection keeps the last record until it is told.
        if let Err(error) = socket.flush().await {
            return error.into();
        }
        buffer.clear();
        if buffer.capacity() > BUFFER_BYTES_KEPT {
            buffer = BytesMut::new();
        }
    }
}

/// The receiving end.
pub(super) struct FrameReader {
    socket: ReadHalf,
    decoder: FrameDecoder,
}

impl FrameReader {
    pub(super) fn new(socket: ReadHalf) -> Self {
        Self {
            socket,
            decoder: FrameDecoder::new(),
        }
    }

    /// The handshake is over: frames of any permitted size from here on.
    pub(super) fn established(&mut self) {
        self.decoder.established();
    }

    pub(super) async fn next(&mut self) -> Result<Frame, StreamError> {
        self.next_while(|| ()).await
    }

    /// The next frame; `received` is called for each piece of it.
    pub(super) async fn next_while(&mut self, received: impl Fn()) -> Result<Frame, StreamError> {
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                return Ok(frame);
            }
            if self.socket.read_buf(self.decoder.space()).await? == 0 {
                return Err(StreamError::Closed);
            }
            received();
        }
    }

    /// The next frame, which must be a step of the handshake.
    pub(super) async fn handshake(&mut self) -> Result<Handshake, StreamError> {
        match self.next().await? {
            Frame::Handshake(body) => Ok(Handshake::decode(body)?),
            Frame::Request { .. } | Frame::Reply { .. } => Err(StreamError::OutOfTurn),
        }
    }
}

pub(super) async fn send_handshake(
    socket: &mut WriteHalf,
    step: &Handshake,
) -> Result<(), StreamError> {
    let mut out = BytesMut::new();
    frame::append_handshake(&mut out, step);
    socket.write_all(&out).await?;
    Ok(socket.flush().await?)
}
