//! One connection: frames in, frames out, within bounds of size and time.
//!
//! A client may be silent between requests for an hour, since Riak's clients keep pools of connections and are not told
//! when one ends. From the first byte of a frame on the clocks are short: for its head, for the message at a modest rate,
//! and for taking its answer.
//!
//! A request for which there is no room is read past and answered `overload`, so that the connection stays of use; it
//! takes no memory meanwhile. What can't be cut into frames ends the connection after an answer that says why.

use super::refusal::Refusal;
use super::{BESIDE_VALUE_BYTES, Edge, Session, listing};
use crate::edge::patience::{Patience, Patient, Phase, STALL_MS, sending};
use crate::edge::{Capacity, Door};
use bytes::{Bytes, BytesMut};
use ringhold_wire::riak::{HEADER_BYTES, Header, Request, Response};
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{SemaphorePermit, mpsc};
use tokio::time::timeout;

/// Between requests.
const IDLE_MS: u64 = 3_600_000;
/// Buffers for answers that have grown beyond this are not kept.
const KEPT_BYTES: usize = 64 * 1024;

/// What a request is answered with.
enum Answered<'a> {
    Whole(Response),
    /// As many as come; the request counts as worked on meanwhile.
    Frames(mpsc::Receiver<Response>, SemaphorePermit<'a>),
}

impl Answered<'_> {
    fn error(text: String) -> Self {
        Self::Whole(Response::error(text))
    }
}

impl<D: Door> Edge<D> {
    /// Serves one connection until either side closes it, or `stop` ends: then the request that is being worked on is
    /// still answered. Run it in a task of its own.
    ///
    /// # Errors
    /// If the connection broke, or the client was too slow.
    pub async fn serve_connection<S>(
        self: Arc<Self>,
        stream: S,
        stop: impl Future<Output = ()>,
    ) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let patience = Patience {
            idle_ms: IDLE_MS,
            head_ms: self.limits.head_ms,
            stall_ms: STALL_MS,
        };
        let phase = Phase::default();
        let mut stream = Patient::new(stream, patience, phase.clone());
        let mut session = Session::default();
        let mut stop = pin!(stop);
        let mut out = BytesMut::new();
        loop {
            let mut head = [0; HEADER_BYTES];
            tokio::select! {
                () = stop.as_mut() => return Ok(()),
                read = stream.read_exact(&mut head) => match read {
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                    read => read?,
                },
            };
            let working = phase.work();
            let limit = self.limits.value_bytes.saturating_add(BESIDE_VALUE_BYTES);
            let (answer, goes_on) = match Header::read(head, limit) {
                Ok(header) => (self.serve(header, &mut stream, &mut session).await?, true),
                Err(error) => (Answered::error(error.to_string()), false),
            };
            match answer {
                Answered::Whole(answer) => {
                    answer.append_to(&mut out);
                    stream.write_all(&out).await?;
                }
                Answered::Frames(mut frames, _place) => {
                    while let Some(frame) = frames.recv().await {
                        out.clear();
                        frame.append_to(&mut out);
                        stream.write_all(&out).await?;
                    }
                }
            }
            stream.flush().await?;
            drop(working);
            if !goes_on {
                return Ok(());
            }
            out.clear();
            if out.capacity() > KEPT_BYTES {
                out = BytesMut::new();
            }
        }
    }

    /// The rest of a frame, and the answer to it.
    async fn serve<S>(
        &self,
        header: Header,
        stream: &mut S,
        session: &mut Session,
    ) -> io::Result<Answered<'_>>
    where
        S: AsyncRead + Unpin,
    {
        let Capacity { room, requests } = &self.capacity;
        let places = (requests.try_acquire(), room.claim(header.bytes));
        let (Ok(place), Some(_room)) = places else {
            self.door.note_request_shed();
            skip(stream, header.bytes).await?;
            return Ok(Answered::Whole(Refusal::overloaded().response()));
        };
        let message = receive(stream, header.bytes).await?;
        let request = match Request::decode(header.code, message) {
            Ok(request) => request,
            Err(error) => return Ok(Answered::error(error.to_string())),
        };
        Ok(match listing::begin(self, &request) {
            None => Answered::Whole(self.answer(request, session).await),
            Some(Ok(frames)) => Answered::Frames(frames, place),
            Some(Err(refusal)) => Answered::Whole(refusal.response()),
        })
    }
}

async fn receive(stream: &mut (impl AsyncRead + Unpin), bytes: usize) -> io::Result<Bytes> {
    let mut message = BytesMut::zeroed(bytes);
    in_time(bytes, stream.read_exact(&mut message)).await?;
    Ok(message.freeze())
}

/// Reads past so many bytes.
async fn skip(stream: &mut (impl AsyncRead + Unpin), bytes: usize) -> io::Result<()> {
    let mut left = stream.take(u64::try_from(bytes).unwrap_or(u64::MAX));
    in_time(bytes, tokio::io::copy(&mut left, &mut tokio::io::sink())).await?;
    Ok(())
}

/// What reads so many bytes, at a rate that is not too slow.
async fn in_time<T>(bytes: usize, reading: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(sending(bytes), reading)
        .await
        .map_err(|_| io::ErrorKind::TimedOut)?
}
