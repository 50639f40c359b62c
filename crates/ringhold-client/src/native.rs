//! The native protocol: many requests at once over one connection, in frames.
//!
//! It costs a fraction of what HTTP does and carries the same requests. A call encodes its frame and
//! leaves it with the writer, which yields once before it takes what is there, so that calls of the same moment go
//! out in one write. Contexts are the node's sealed tokens: a client gives back what it got.
//!
//! A connection knows nothing of rings and asks one node; which node, and what to do when there is no answer, is for
//! [`cluster`](crate::cluster).

use crate::error::{ClientError, Doubt};
use bytes::{Bytes, BytesMut};
use ringhold_core::id::ClusterId;
use ringhold_core::ring::Epoch;
use ringhold_wire::frame::{self, Frame, FrameDecoder, RequestHeader};
use ringhold_wire::handshake::{Dialer, Handshake, Hello, NodeCard, Nonce, ProtocolRange, Welcome};
use ringhold_wire::message::peer::{ClientGot, ClientPut, ClientRing, Refusal, Reply, Request};
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
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// One connection to one node, for any number of callers. Ends when the last handle is dropped.
#[derive(Clone)]
pub struct NativeClient {
    shared: Arc<Shared>,
    tasks: Arc<Tasks>,
}

struct Shared {
    address: String,
    /// What the node said of itself.
    card: NodeCard,
    /// What was agreed on with it.
    protocol: u16,
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
        Self::connect_within(address, nonce, None, CONNECT_TIMEOUT).await
    }

    /// The same, to a node of this cluster, and with less patience.
    ///
    /// # Errors
    /// Likewise, and if it is a node of another cluster.
    pub async fn connect_within(
        address: &str,
        nonce: Nonce,
        cluster: Option<ClusterId>,
        timeout: Duration,
    ) -> Result<Self, ClientError> {
        let connecting = tokio::time::timeout(timeout, shake_hands(address, nonce, cluster));
        let Connection {
            reader,
            writer,
            decoder,
            welcome,
        } = connecting.await.unwrap_or_else(|_| {
            Err(ClientError::Unreachable {
                url: address.to_owned(),
                error: io::ErrorKind::TimedOut.into(),
            })
        })?;
        let shared = Arc::new(Shared {
            address: address.to_owned(),
            card: welcome.card,
            protocol: welcome.protocol,
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

    /// Where it was dialled.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.shared.address
    }

    /// What the node said of itself when it was dialled.
    #[must_use]
    pub fn card(&self) -> &NodeCard {
        &self.shared.card
    }

    /// Whether the connection has ended; no request can be sent any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.state().closed
    }

    /// # Errors
    /// The outer error says that there is no answer, the inner one is the answer.
    pub async fn get(
        &self,
        request: GetRequest,
        timeout: Duration,
    ) -> Result<Result<ClientGot, GetError>, ClientError> {
        let reply = self.ask(&Request::Get(request), 0, timeout).await?;
        self.got(reply)
    }

    /// # Errors
    /// The outer error says that there is no answer, the inner one is the answer.
    pub async fn put(
        &self,
        put: ClientPut,
        timeout: Duration,
    ) -> Result<Result<PutAnswer, PutError>, ClientError> {
        let reply = self.ask(&Request::Put(put), 0, timeout).await?;
        self.coordinated(reply)
    }

    /// The ring by which the node serves; its document only if that is later than the one held.
    ///
    /// # Errors
    /// If there is no answer, or the node's release does not tell: then any node may be asked for anything, and it
    /// passes on what is not for it.
    pub async fn ring(&self, held: Epoch, timeout: Duration) -> Result<ClientRing, ClientError> {
        match self.ask(&Request::ClientRing(held), 0, timeout).await? {
            Reply::ClientRing(ring) => Ok(ring),
            other => Err(self.malformed(&other)),
        }
    }

    /// What a reply says to a get.
    pub(crate) fn got(&self, reply: Reply) -> Result<Result<ClientGot, GetError>, ClientError> {
        match reply {
            Reply::Got(answer) => Ok(answer),
            Reply::Refused(Refusal::Overloaded) => Ok(Err(GetError::Overloaded)),
            Reply::Refused(Refusal::Expired) => Ok(Err(GetError::TimedOut)),
            other => Err(self.malformed(&other)),
        }
    }

    /// What a reply says to a put.
    pub(crate) fn coordinated(
        &self,
        reply: Reply,
    ) -> Result<Result<PutAnswer, PutError>, ClientError> {
        match reply {
            Reply::Coordinated(answer) => Ok(answer),
            Reply::Refused(Refusal::Overloaded) => {
                Ok(Err(PutError::NotStarted(NotStarted::Overloaded)))
            }
            Reply::Refused(Refusal::Expired) => Ok(Err(PutError::NotStarted(NotStarted::TimedOut))),
            Reply::Refused(_) => Ok(Err(PutError::Unknown(Uncertain::Interrupted))),
            other => Err(self.malformed(&other)),
        }
    }

    /// Asks by a placement that the client knows; 0 if by none.
    pub(crate) async fn ask(
        &self,
        request: &Request,
        placement_number: u64,
        timeout: Duration,
    ) -> Result<Reply, ClientError> {
        // The tasks live as long as any handle does, so also as long as this call.
        let _tasks = &self.tasks;
        let (answer, _waiting) = self.shared.send(request, placement_number, timeout)?;
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

impl std::fmt::Debug for NativeClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NativeClient({})", self.shared.address)
    }
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(
        &self,
        request: &Request,
        placement_number: u64,
        timeout: Duration,
    ) -> Result<(oneshot::Receiver<Reply>, Waiting<'_>), ClientError> {
        if request.since() > self.protocol {
            return Err(ClientError::Invalid {
                what: "request",
                problem: format!("the node at {} is of a release without it", self.address),
            });
        }
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
            placement_number,
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
        Ok((answer, Waiting { shared: self, id }))
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

/// Takes back a call's place when its caller goes, with an answer or without.
struct Waiting<'a> {
    shared: &'a Shared,
    id: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shared.state().waiting.remove(&self.id);
    }
}

struct Connection {
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    decoder: FrameDecoder,
    welcome: Welcome,
}

async fn shake_hands(
    address: &str,
    nonce: Nonce,
    cluster: Option<ClusterId>,
) -> Result<Connection, ClientError> {
    let unreachable = |error| ClientError::Unreachable {
        url: address.to_owned(),
        error,
    };
    let stream = TcpStream::connect(address).await.map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    let (mut reader, mut writer) = stream.into_split();
    let name =
        Bytes::from_static(concat!("ringhold-client ", env!("CARGO_PKG_VERSION")).as_bytes());
    let dialer = Dialer::Client { cluster, name };
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
    let welcome = match Handshake::decode(body).map_err(|error| malformed(error.to_string()))? {
        Handshake::Welcome(welcome) => welcome,
        Handshake::TurnedAway(reason) => return Err(malformed(format!("turned away: {reason}"))),
        Handshake::Hello(_) | Handshake::Confirm(_) | Handshake::Enrolled(_) => {
            return Err(malformed("a handshake out of turn".to_owned()));
        }
    };
    decoder.established();
    Ok(Connection {
        reader,
        writer,
        decoder,
        welcome,
    })
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
