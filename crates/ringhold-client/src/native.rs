//! The native protocol: many requests at once over one connection, in frames.
//!
//! It costs a fraction of what HTTP does and carries the same requests. A call encodes its frame and
//! leaves it with the writer, which yields once before it takes what is there, so that calls of the same moment go
//! out in one write. Contexts are the node's sealed tokens: a client gives back what it got.

use crate::error::{ClientError, Doubt};
use bytes::{Bytes, BytesMut};
use ringhold_wire::frame::{self, Frame, FrameDecoder, RequestHeader};
use ringhold_wire::handshake::{Dialer, Handshake, Hello, Nonce, ProtocolRange};
use ringhold_wire::message::peer::{ClientGot, ClientPut, Refusal, Reply, Request};
use ringhold_wire::message::{GetError, GetRequest, NotStarted, PutAnswer, PutError, Uncertain};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, oneshot};

/// The handshake must be over by then.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// One connection to one node, for any number of callers. Ends when the last handle is dropped.
#[derive(Clone)]
pub struct NativeClient {
    shared: Arc<Shared>,
    tasks: Arc<Tasks>,
}

struct Shared {
    address: String,
    state: Mutex<State>,
    filled: Notify,
}

#[derive(Default)]
struct State {
    outgoing: BytesMut,
    waiting: BTreeMap<u64, oneshot::Sender<Reply>>,
    next_id: u64,
    closed: bool,
}

struct Tasks([tokio::task::JoinHandle<()>; 2]);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl NativeClient {
    /// Connects to `host:port`. The nonce is 32 fresh random bytes.
    ///
    /// # Errors
    /// If nobody is there, or it is no node of this protocol. Nothing was asked.
    pub async fn connect(address: &str, nonce: Nonce) -> Result<Self, ClientError> {
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, shake_hands(address, nonce));
        let (reader, writer, decoder) = connecting
            .await
            .unwrap_or_else(|_| Err(timed_out(address, CONNECT_TIMEOUT)))?;
        let shared = Arc::new(Shared {
            address: address.to_owned(),
            state: Mutex::default(),
            filled: Notify::new(),
        });
        let reading = tokio::spawn(Arc::clone(&shared).read(reader, decoder));
        let writing = tokio::spawn(Arc::clone(&shared).write(writer));
        Ok(Self {
            shared,
            tasks: Arc::new(Tasks([reading, writing])),
        })
    }

    /// # Errors
    /// The outer error says that there is no answer, the inner one is the answer.
    pub async fn get(
        &self,
        request: GetRequest,
        timeout: Duration,
    ) -> Result<Result<ClientGot, GetError>, ClientError> {
        match self.call(&Request::Get(request), timeout).await? {
            Reply::Got(answer) => Ok(answer),
            Reply::Refused(Refusal::Overloaded) => Ok(Err(GetError::Overloaded)),
            Reply::Refused(Refusal::Expired) => Ok(Err(GetError::TimedOut)),
            other => Err(self.malformed(&other)),
        }
    }

    /// # Errors
    /// The outer error says that there is no answer, the inner one is the answer.
    pub async fn put(
        &self,
        put: ClientPut,
        timeout: Duration,
    ) -> Result<Result<PutAnswer, PutError>, ClientError> {
        match self.call(&Request::Put(put), timeout).await? {
            Reply::Coordinated(answer) => Ok(answer),
            Reply::Refused(Refusal::Overloaded) => {
                Ok(Err(PutError::NotStarted(NotStarted::Overloaded)))
            }
            Reply::Refused(Refusal::Expired) => Ok(Err(PutError::NotStarted(NotStarted::TimedOut))),
            Reply::Refused(_) => Ok(Err(PutError::Unknown(Uncertain::Interrupted))),
            other => Err(self.malformed(&other)),
        }
    }

    async fn call(&self, request: &Request, timeout: Duration) -> Result<Reply, ClientError> {
        // The tasks live as long as any handle does, so also as long as this call.
        let _tasks = &self.tasks;
        let answer = self.shared.send(request, timeout)?;
        match tokio::time::timeout(timeout, answer).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) => Err(self.shared.broken("the connection ended")),
            Err(_) => Err(timed_out(&self.shared.address, timeout)),
        }
    }

    fn malformed(&self, reply: &Reply) -> ClientError {
        let problem = format!("an answer to something else: {reply:?}");
        ClientError::Malformed {
            url: self.shared.address.clone(),
            problem,
        }
    }
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(
        &self,
        request: &Request,
        timeout: Duration,
    ) -> Result<oneshot::Receiver<Reply>, ClientError> {
        let mut state = self.state();
        if state.closed {
            let error = io::Error::from(io::ErrorKind::NotConnected);
            return Err(ClientError::Unreachable {
                url: self.address.clone(),
                error,
            });
        }
        state.next_id += 1;
        let id = state.next_id;
        let remaining_ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        let header = RequestHeader {
            id,
            remaining_ms,
            placement_number: 0,
        };
        frame::append_request(&mut state.outgoing, header, request).map_err(|error| {
            ClientError::Invalid {
                what: "request",
                problem: error.to_string(),
            }
        })?;
        let (reply, answer) = oneshot::channel();
        state.waiting.insert(id, reply);
        drop(state);
        self.filled.notify_one();
        Ok(answer)
    }

    async fn write(self: Arc<Self>, mut socket: OwnedWriteHalf) {
        loop {
            tokio::task::yield_now().await;
            let outgoing = std::mem::take(&mut self.state().outgoing);
            if outgoing.is_empty() {
                self.filled.notified().await;
            } else if socket.write_all(&outgoing).await.is_err() {
                return self.close();
            }
        }
    }

    async fn read(self: Arc<Self>, mut socket: OwnedReadHalf, mut decoder: FrameDecoder) {
        while let Ok(Frame::Reply { id, body }) = next_frame(&mut socket, &mut decoder).await {
            let Ok(reply) = Reply::decode(body) else {
                break;
            };
            let waiting = self.state().waiting.remove(&id);
            if let Some(waiting) = waiting {
                // Whoever asked may have given up.
                waiting.send(reply).ok();
            }
        }
        self.close();
    }

    /// Ends all waiting calls; what became of them is unknown.
    fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.waiting.clear();
    }

    fn broken(&self, problem: &str) -> ClientError {
        ClientError::Unknown {
            url: self.address.clone(),
            doubt: Doubt::Broken {
                problem: problem.to_owned(),
            },
        }
    }
}

type Connection = (OwnedReadHalf, OwnedWriteHalf, FrameDecoder);

async fn shake_hands(address: &str, nonce: Nonce) -> Result<Connection, ClientError> {
    let unreachable = |error| ClientError::Unreachable {
        url: address.to_owned(),
        error,
    };
    let stream = TcpStream::connect(address).await.map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    let (mut reader, mut writer) = stream.into_split();
    let name =
        Bytes::from_static(concat!("ringhold-client ", env!("CARGO_PKG_VERSION")).as_bytes());
    let dialer = Dialer::Client {
        cluster: None,
        name,
    };
    let hello = Hello {
        protocols: ProtocolRange::SPOKEN,
        nonce,
        dialer,
        extensions: Bytes::new(),
    };
    let mut out = BytesMut::new();
    frame::append_handshake(&mut out, &Handshake::Hello(hello));
    writer.write_all(&out).await.map_err(unreachable)?;
    let mut decoder = FrameDecoder::new();
    let malformed = |problem: String| ClientError::Malformed {
        url: address.to_owned(),
        problem,
    };
    let frame = next_frame(&mut reader, &mut decoder)
        .await
        .map_err(unreachable)?;
    let Frame::Handshake(body) = frame else {
        return Err(malformed("the first frame is no handshake".to_owned()));
    };
    match Handshake::decode(body).map_err(|error| malformed(error.to_string()))? {
        Handshake::Welcome(_) => {}
        Handshake::TurnedAway(reason) => return Err(malformed(format!("turned away: {reason}"))),
        Handshake::Hello(_) | Handshake::Confirm(_) | Handshake::Enrolled(_) => {
            return Err(malformed("a handshake out of turn".to_owned()));
        }
    }
    decoder.established();
    Ok((reader, writer, decoder))
}

async fn next_frame(socket: &mut OwnedReadHalf, decoder: &mut FrameDecoder) -> io::Result<Frame> {
    loop {
        match decoder.next_frame() {
            Ok(Some(frame)) => return Ok(frame),
            Ok(None) => {}
            Err(error) => return Err(io::Error::other(error.to_string())),
        }
        if socket.read_buf(decoder.space()).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn timed_out(address: &str, after: Duration) -> ClientError {
    ClientError::Unknown {
        url: address.to_owned(),
        doubt: Doubt::TimedOut { after },
    }
}
