//! A node that only echoes: frames come in, frames of the same bytes as a node's go out, and nothing is read, decided or kept.
//!
//! Messages are encoded from samples made once, of the real kinds with a value of the real size; what comes in is cut into frames, its
//! checksum checked, and dropped. Which frame it is stands where a node's frames say a placement number, so that no message has to be read.
//! As a node does it, whoever has something to send leaves it in the connection's outbox, and one task yields once and writes what is
//! there. All of it runs on one thread.
//!
//! The process prints its address, reads the addresses of the others from the first line of its standard input, connects to them, prints a
//! line, and ends with its standard input.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use ringhold_core::id::{Incarnation, OperationId};
use ringhold_core::version::{
    Actor, Content, Context, ContextToken, Dot, KeyEpoch, Object, Timestamp, Version,
};
use ringhold_wire::frame::{self, Frame, FrameDecoder, FrameTooLarge, RequestHeader};
use ringhold_wire::message::peer::{
    ClientGot, ClientPut, MergeRequest, ObjectDigest, Reply, Request,
};
use ringhold_wire::message::{
    Change, GetAnswer, GetOptions, GetRequest, ObjectName, PutAnswer, PutOptions, PutRequest,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::cli::EchoArgs;
use crate::output::{Failure, print};

/// What stands in place of a placement number.
pub(super) const PUT: u64 = 1;
pub(super) const GET: u64 = 2;
const MERGE: u64 = 3;
const DIGEST: u64 = 4;
/// As long as the token of an object with one writer.
const CONTEXT: Bytes = Bytes::from_static(&[9; 80]);

/// One message of each kind.
pub(super) struct Samples {
    pub(super) put: Request,
    pub(super) get: Request,
    merge: Request,
    digest: Request,
    was_put: Reply,
    got: Reply,
    merged: Reply,
    digested: Reply,
}

impl Samples {
    pub(super) fn new(value_bytes: usize) -> Self {
        let name = ObjectName {
            bucket_type: Bytes::from_static(b"default"),
            bucket: Bytes::from_static(b"bench"),
            key: Bytes::from_static(b"key-000000000000"),
        };
        let content = Content::Value {
            bytes: Bytes::from(vec![7; value_bytes]),
            metadata: Vec::new(),
        };
        let dot = Dot {
            actor: Actor {
                incarnation: Incarnation(1),
                epoch: KeyEpoch(1),
            },
            counter: 1,
        };
        let mut context = Context::new();
        context.observe(dot);
        let hash = content.hash();
        let version = Version {
            dot,
            timestamp: Timestamp(1),
            operation: OperationId(1),
            hash,
            content: content.clone(),
        };
        let object = Object::from_parts(context.clone(), vec![version])
            .expect("the context has seen the dot");
        let put = PutRequest {
            name: name.clone(),
            seen: ContextToken::default(),
            operation: OperationId(1),
            change: Change::Content(content),
            unchanged_since: None,
            options: PutOptions::default(),
            return_object: false,
            explain: false,
        };
        let get = GetRequest {
            name: name.clone(),
            options: GetOptions::default(),
            explain: false,
        };
        Self {
            put: Request::Put(ClientPut {
                request: put,
                context: CONTEXT,
            }),
            get: Request::Get(get),
            merge: Request::Merge(MergeRequest {
                name: name.clone(),
                object: object.clone(),
                flushed: true,
            }),
            digest: Request::Digest(name),
            was_put: Reply::Coordinated(Ok(PutAnswer {
                dot,
                counts: ringhold_core::quorum::PutCounts::default(),
                object: None,
                explanation: None,
            })),
            got: Reply::Got(Ok(ClientGot {
                answer: GetAnswer {
                    object,
                    explanation: None,
                },
                context: CONTEXT,
            })),
            merged: Reply::Merged { durable: true },
            digested: Reply::Digested(ObjectDigest {
                context,
                versions: vec![(dot, false, hash.0)],
            }),
        }
    }
}

/// Bytes that wait for a connection.
#[derive(Default)]
struct Outbox {
    waiting: RefCell<BytesMut>,
    filled: Notify,
}

impl Outbox {
    fn push(&self, encode: impl FnOnce(&mut BytesMut) -> Result<(), FrameTooLarge>) {
        encode(&mut self.waiting.borrow_mut()).expect("values of a benchmark fit into frames");
        self.filled.notify_one();
    }

    async fn write(&self, mut socket: OwnedWriteHalf) -> io::Result<()> {
        let mut buffer = BytesMut::new();
        loop {
            tokio::task::yield_now().await;
            std::mem::swap(&mut *self.waiting.borrow_mut(), &mut buffer);
            match buffer.is_empty() {
                true => self.filled.notified().await,
                false => socket.write_all(&buffer).await?,
            }
            buffer.clear();
        }
    }
}

/// A request that waits for others.
struct Pending {
    client: Rc<Outbox>,
    id: u64,
    is_put: bool,
    missing: u64,
}

struct Node {
    samples: Samples,
    /// Answers of others that a put and a get wait for.
    put_waits: u64,
    get_waits: u64,
    peers: RefCell<Vec<Rc<Outbox>>>,
    pending: RefCell<BTreeMap<u64, Pending>>,
    next_id: RefCell<u64>,
}

/// Echoes until standard input ends.
pub(crate) fn serve(arguments: &EchoArgs) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let node = Rc::new(Node {
        samples: Samples::new(arguments.value_bytes),
        put_waits: arguments.w.saturating_sub(1),
        get_waits: arguments.r.saturating_sub(1),
        peers: RefCell::default(),
        pending: RefCell::default(),
        next_id: RefCell::default(),
    });
    let served = runtime.and_then(|runtime| {
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, node.run())
    });
    served.map_err(|error| Failure::failed(format!("the echo has ended: {error}")))
}

impl Node {
    async fn run(self: Rc<Self>) -> io::Result<()> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        say(&listener.local_addr()?.to_string())?;
        tokio::task::spawn_local(Rc::clone(&self).accept(listener));
        let line = blocking(|| {
            let mut line = String::new();
            io::stdin().read_line(&mut line).map(|_| line)
        })
        .await?;
        for peer in line.split_ascii_whitespace() {
            let peer: SocketAddr = peer.parse().map_err(io::Error::other)?;
            let outbox = self.start(TcpStream::connect(peer).await?)?;
            self.peers.borrow_mut().push(outbox);
        }
        say("ready")?;
        blocking(|| io::stdin().read_to_end(&mut Vec::new())).await?;
        Ok(())
    }

    async fn accept(self: Rc<Self>, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            // A connection that can't be used was closed by whoever opened it.
            self.start(stream).ok();
        }
    }

    /// Reads and writes until the other side is gone.
    fn start(self: &Rc<Self>, stream: TcpStream) -> io::Result<Rc<Outbox>> {
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        let outbox = Rc::new(Outbox::default());
        let writing = Rc::clone(&outbox);
        tokio::task::spawn_local(async move { writing.write(writer).await });
        tokio::task::spawn_local(Rc::clone(self).read(reader, Rc::clone(&outbox)));
        Ok(outbox)
    }

    async fn read(self: Rc<Self>, mut socket: OwnedReadHalf, outbox: Rc<Outbox>) -> io::Result<()> {
        let mut decoder = FrameDecoder::new();
        decoder.established();
        loop {
            match next_frame(&mut socket, &mut decoder).await? {
                Frame::Request { header, .. } => self.asked(header, &outbox),
                Frame::Reply { id, .. } => self.answered(id),
                Frame::Handshake(_) => {}
            }
        }
    }

    fn asked(&self, header: RequestHeader, from: &Rc<Outbox>) {
        let samples = &self.samples;
        match header.placement_number {
            PUT => self.coordinate(header.id, from, true),
            GET => self.coordinate(header.id, from, false),
            MERGE => from.push(|out| frame::append_reply(out, header.id, &samples.merged)),
            DIGEST => from.push(|out| frame::append_reply(out, header.id, &samples.digested)),
            _ => {}
        }
    }

    /// Asks all others for a put, as many as are waited for for a get.
    fn coordinate(&self, id: u64, client: &Rc<Outbox>, is_put: bool) {
        let peers = self.peers.borrow();
        let (code, request, waits) = match is_put {
            true => (MERGE, &self.samples.merge, self.put_waits),
            false => (DIGEST, &self.samples.digest, self.get_waits),
        };
        let asked = match is_put {
            true => peers.len(),
            false => usize::try_from(waits)
                .unwrap_or(usize::MAX)
                .min(peers.len()),
        };
        let mut next_id = self.next_id.borrow_mut();
        *next_id += 1;
        for peer in &peers[..asked] {
            let header = header(*next_id, code);
            peer.push(|out| frame::append_request(out, header, request));
        }
        let pending = Pending {
            client: Rc::clone(client),
            id,
            is_put,
            missing: waits,
        };
        match waits {
            0 => self.answer(&pending),
            _ => drop(self.pending.borrow_mut().insert(*next_id, pending)),
        }
    }

    /// One of the others has. Those that come after enough are not waited for.
    fn answered(&self, id: u64) {
        let mut pending = self.pending.borrow_mut();
        let Some(waiting) = pending.get_mut(&id) else {
            return;
        };
        waiting.missing -= 1;
        if waiting.missing == 0
            && let Some(done) = pending.remove(&id)
        {
            self.answer(&done);
        }
    }

    fn answer(&self, done: &Pending) {
        let reply = match done.is_put {
            true => &self.samples.was_put,
            false => &self.samples.got,
        };
        done.client
            .push(|out| frame::append_reply(out, done.id, reply));
    }
}

pub(super) fn header(id: u64, code: u64) -> RequestHeader {
    RequestHeader {
        id,
        remaining_ms: 1_000,
        placement_number: code,
    }
}

pub(super) async fn next_frame(
    socket: &mut OwnedReadHalf,
    decoder: &mut FrameDecoder,
) -> io::Result<Frame> {
    loop {
        if let Some(frame) = decoder.next_frame().map_err(io::Error::other)? {
            return Ok(frame);
        }
        if socket.read_buf(decoder.space()).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Waits for standard input on a thread of its own.
async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let read = tokio::task::spawn_blocking(read).await;
    read.map_err(io::Error::other)?
}

fn say(line: &str) -> io::Result<()> {
    print(format!("{line}\n")).map_err(|failure| io::Error::other(failure.message))
}
