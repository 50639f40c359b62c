//! Nodes that speak the native protocol and do what a test says: a ring of listeners in this process.

use bytes::BytesMut;
use ringhold_core::id::{BootId, ClusterId, Incarnation, NodeId};
use ringhold_core::ring::{Addresses, Member, MemberState, PartitionCount, Ring, RingDocument};
use ringhold_wire::frame::{self, Frame, FrameDecoder, RequestHeader};
use ringhold_wire::handshake::{Handshake, NodeCard, ProtocolRange, Welcome};
use ringhold_wire::message::peer::{ClientRing, Reply, Request};
use ringhold_wire::ring as ring_format;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What a node does with a request.
pub(crate) enum Act {
    Answer(Reply),
    Silence,
    HangUp,
}

/// Who was asked, for what, and by which placement.
pub(crate) type Asked = (usize, RequestHeader, Request);
type Behaviour = dyn Fn(usize, &RequestHeader, &Request) -> Act + Send + Sync;

struct Shared {
    ring: Mutex<Ring>,
    behaviour: Box<Behaviour>,
    asked: Mutex<Vec<Asked>>,
}

/// Some nodes, numbered from 0. All end with it.
pub(crate) struct Fakes {
    shared: Arc<Shared>,
    addresses: Vec<String>,
    serving: Vec<JoinHandle<()>>,
}

impl Drop for Fakes {
    fn drop(&mut self) {
        self.serving.iter().for_each(JoinHandle::abort);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn id(node: usize) -> NodeId {
    NodeId(u128::try_from(node).expect("few") + 1)
}

/// The document of the first so many nodes, of a placement.
fn document(addresses: &[String], members: usize, placement_number: u64) -> RingDocument {
    let member = |(node, native): (usize, &String)| Member {
        id: id(node),
        name: format!("node{node}"),
        addresses: Addresses {
            native: native.clone(),
            ..Addresses::default()
        },
        zone: String::new(),
        rack: String::new(),
        weight: 1,
        state: MemberState::Up,
    };
    let members = addresses.iter().enumerate().take(members).map(member);
    let count = PartitionCount::new(64).expect("a power of two");
    let mut document =
        RingDocument::found(ClusterId(7), members.collect(), count, 3).expect("a ring");
    for _ in 1..placement_number {
        document = document.successor();
        document.placement.placement_number += 1;
        document = document.sealed();
    }
    document
}

impl Fakes {
    /// All of them are members.
    pub(crate) async fn start(
        nodes: usize,
        behaviour: impl Fn(usize, &RequestHeader, &Request) -> Act + Send + Sync + 'static,
    ) -> Self {
        let mut listeners = Vec::new();
        for _ in 0..nodes {
            listeners.push(TcpListener::bind("127.0.0.1:0").await.expect("a port"));
        }
        let address = |listener: &TcpListener| listener.local_addr().expect("bound").to_string();
        let addresses: Vec<String> = listeners.iter().map(address).collect();
        let ring = Ring::new(document(&addresses, nodes, 1)).expect("a valid ring");
        let shared = Arc::new(Shared {
            ring: Mutex::new(ring),
            behaviour: Box::new(behaviour),
            asked: Mutex::default(),
        });
        let serving = listeners.into_iter().enumerate();
        let serving = serving
            .map(|(node, listener)| tokio::spawn(listen(node, listener, Arc::clone(&shared))))
            .collect();
        Self {
            shared,
            addresses,
            serving,
        }
    }

    pub(crate) fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// The nodes go on by another placement: of the first so many of them.
    pub(crate) fn place_anew(&self, members: usize, placement_number: u64) {
        let document = document(&self.addresses, members, placement_number);
        *lock(&self.shared.ring) = Ring::new(document).expect("a valid ring");
    }

    /// The node that a key's requests go to first.
    pub(crate) fn first_primary(&self, name: &ringhold_wire::message::ObjectName) -> usize {
        let ring = lock(&self.shared.ring);
        let first = ring.preference_list(name.position())[0];
        usize::try_from(first.0 - 1).expect("few")
    }

    /// Ends a node: its listener, and with it whoever dials from now on.
    pub(crate) async fn end(&mut self, node: usize) {
        self.serving[node].abort();
        let ended = (&mut self.serving[node]).await;
        assert!(ended.is_err(), "it was aborted");
    }

    /// The gets and puts that were asked since the last time.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut lock(&self.shared.asked))
    }
}

async fn listen(node: usize, listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("a client");
        connections.spawn(serve(node, stream, Arc::clone(&shared)));
    }
}

async fn serve(node: usize, mut stream: TcpStream, shared: Arc<Shared>) {
    let mut decoder = FrameDecoder::new();
    let Some(Frame::Handshake(_)) = next(&mut stream, &mut decoder).await else {
        return;
    };
    let welcome = Welcome {
        protocol: ProtocolRange::SPOKEN.max,
        card: NodeCard {
            cluster: ClusterId(7),
            node: id(node),
            incarnation: Incarnation(1),
            boot: BootId(1),
            epoch: 1,
            placement_number: 1,
            ring: [0; 16],
            name: "fake".into(),
        },
        nonce: [0; 32],
        mac: None,
        extensions: bytes::Bytes::new(),
    };
    let mut out = BytesMut::new();
    frame::append_handshake(&mut out, &Handshake::Welcome(welcome));
    stream.write_all(&out).await.ok();
    decoder.established();
    while let Some(Frame::Request { header, body }) = next(&mut stream, &mut decoder).await {
        let request = Request::decode(body).expect("a client says what it may");
        let act = match &request {
            Request::ClientRing(held) => Act::Answer(Reply::ClientRing(ring(&shared, held.0))),
            other => {
                lock(&shared.asked).push((node, header, other.clone()));
                (shared.behaviour)(node, &header, other)
            }
        };
        let reply = match act {
            Act::Answer(reply) => reply,
            Act::Silence => continue,
            Act::HangUp => return,
        };
        let mut out = BytesMut::new();
        frame::append_reply(&mut out, header.id, &reply).expect("it is small");
        if stream.write_all(&out).await.is_err() {
            return;
        }
    }
}

fn ring(shared: &Shared, held: u64) -> ClientRing {
    let ring = lock(&shared.ring);
    let document = ring.document();
    let addresses = document.members.iter();
    let addresses = addresses.map(|member| (member.id, member.addresses.native.clone().into()));
    ClientRing {
        document: (document.epoch.0 > held).then(|| ring_format::encode(document)),
        addresses: addresses.collect(),
    }
}

async fn next(stream: &mut TcpStream, decoder: &mut FrameDecoder) -> Option<Frame> {
    loop {
        if let Some(frame) = decoder.next_frame().expect("a client sends frames") {
            return Some(frame);
        }
        if stream.read_buf(decoder.space()).await.ok()? == 0 {
            return None;
        }
    }
}
