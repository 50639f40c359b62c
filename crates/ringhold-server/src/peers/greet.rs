//! Who is calling: a connection from its first byte to the end of the handshake.
//!
//! With `peer_tls` on, a dialer encrypts first and shows its certificate; the handshake follows inside, and
//! its card must name the node of the certificate. The first byte tells whether the dialer speaks TLS: if it does and this
//! node does not, or the other way round, both ends learn which setting differs, and nothing else.
//!
//! Nobody is a member before the end of [`greet`]. Until then a caller gets few bytes, few seconds and a share of few
//! places, and may say nothing but the steps of a handshake (T29).
//!
//! Not here: what is done for whoever was let in.

use super::authority::Identity;
use super::stream::{
    FrameReader, ReadHalf, StreamError, WriteHalf, encrypted_halves, plain_halves, send_handshake,
};
use super::tls::{self, AcceptingTls};
use ringhold_core::id::NodeId;
use ringhold_wire::handshake::{
    self, Dialer, Handshake, Hello, Joiner, NodeCard, ProtocolRange, Standing, TurnedAway,
};
use std::io;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// What a listener lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Peers,
    Clients,
}

/// What a listener says and asks.
pub(super) struct Greeting<'a> {
    pub(super) card: &'a NodeCard,
    pub(super) secret: &'a [u8; 32],
    pub(super) door: Door,
    pub(super) protocols: ProtocolRange,
    /// `None` if connections between nodes are not encrypted.
    pub(super) tls: Option<&'a AcceptingTls>,
    pub(super) standing: &'a (dyn Fn(NodeId) -> Standing + Sync),
}

/// Who has been let in.
#[derive(Debug)]
pub(super) enum Caller {
    Member {
        node: NodeId,
        /// What was agreed on with it.
        protocol: u16,
    },
    Client,
    /// It has proved nothing yet: the token is still to be looked at.
    Joiner {
        joiner: Box<Joiner>,
        /// Nobody in between can read what is said to it.
        private: bool,
    },
}

/// A connection whose handshake is over.
pub(super) struct Greeted {
    pub(super) caller: Caller,
    pub(super) reader: FrameReader,
    pub(super) writer: WriteHalf,
}

/// A connection before its handshake.
struct Channel {
    reader: FrameReader,
    writer: WriteHalf,
    security: Security,
}

/// What is known of the other end before it has said anything.
#[derive(Clone, Copy)]
enum Security {
    Plain { private: bool },
    Encrypted { certified: Option<Identity> },
}

/// Lets a caller in.
///
/// # Errors
/// If it was turned away: then it has been told why, as far as it can understand that.
pub(super) async fn greet(
    stream: TcpStream,
    greeting: &Greeting<'_>,
) -> Result<Greeted, StreamError> {
    stream.set_nodelay(true)?;
    let channel = secure(stream, greeting).await;
    let mut channel = channel.inspect_err(|error| {
        if let StreamError::Tls(reason) = error {
            tracing::warn!(%reason, "a caller was turned away");
        }
    })?;
    let caller = welcome(&mut channel, greeting).await?;
    Ok(Greeted {
        caller,
        reader: channel.reader,
        writer: channel.writer,
    })
}

/// Encrypts, if that is how nodes talk here.
async fn secure(stream: TcpStream, greeting: &Greeting<'_>) -> Result<Channel, StreamError> {
    if greeting.door == Door::Clients {
        return plain(stream);
    }
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 {
        return Err(StreamError::Closed);
    }
    match (greeting.tls, first == [tls::FIRST_BYTE]) {
        (Some(tls), true) => {
            let (stream, certified) = tls.accept(stream).await?;
            let security = Security::Encrypted { certified };
            Ok(channel(encrypted_halves(stream), security))
        }
        (None, false) => plain(stream),
        (Some(_), false) => {
            let mut channel = plain(stream)?;
            let Handshake::Hello(_) = channel.reader.handshake().await? else {
                return Err(StreamError::OutOfTurn);
            };
            turn_away(&mut channel.writer, TurnedAway::PeerTls { on: true }).await
        }
        (None, true) => {
            let mut stream = stream;
            // What was not read when a connection is closed takes the answer with it.
            let mut hello = vec![0; 4_096];
            let _bytes: usize = stream.read(&mut hello).await?;
            let mut channel = plain(stream)?;
            turn_away(&mut channel.writer, TurnedAway::PeerTls { on: false }).await
        }
    }
}

fn plain(stream: TcpStream) -> Result<Channel, StreamError> {
    let private = within_this_machine(&stream)?;
    Ok(channel(plain_halves(stream), Security::Plain { private }))
}

/// Whether nobody beyond this machine can listen to a connection that is not encrypted.
pub(super) fn within_this_machine(stream: &TcpStream) -> io::Result<bool> {
    let ends = [stream.local_addr()?, stream.peer_addr()?];
    Ok(ends.iter().all(|end| end.ip().to_canonical().is_loopback()))
}

fn channel((reader, writer): (ReadHalf, WriteHalf), security: Security) -> Channel {
    Channel {
        reader: FrameReader::new(reader),
        writer,
        security,
    }
}

/// The listener's part of the handshake.
async fn welcome(channel: &mut Channel, greeting: &Greeting<'_>) -> Result<Caller, StreamError> {
    let Handshake::Hello(hello) = channel.reader.handshake().await? else {
        return Err(StreamError::OutOfTurn);
    };
    match (&hello.dialer, greeting.door) {
        (Dialer::Node { card, .. }, Door::Peers) => {
            let node = card.node;
            if let Err(reason) = certified(channel.security, node) {
                return turn_away(&mut channel.writer, reason).await;
            }
            let protocol = shake_hands(channel, greeting, &hello).await?;
            Ok(Caller::Member { node, protocol })
        }
        (Dialer::Client { .. }, Door::Clients) => {
            shake_hands(channel, greeting, &hello).await?;
            Ok(Caller::Client)
        }
        (Dialer::Joiner(joiner), Door::Peers) => {
            let spoken = greeting.protocols;
            if spoken.agree(hello.protocols).is_none() {
                let reason = TurnedAway::ProtocolUnsupported(spoken);
                return turn_away(&mut channel.writer, reason).await;
            }
            Ok(Caller::Joiner {
                joiner: Box::new(joiner.clone()),
                private: match channel.security {
                    Security::Plain { private } => private,
                    Security::Encrypted { .. } => true,
                },
            })
        }
        _ => Err(StreamError::OutOfTurn),
    }
}

/// Whether the certificate, where there has to be one, is that of the node that says hello.
fn certified(security: Security, node: NodeId) -> Result<(), TurnedAway> {
    match security {
        Security::Plain { .. } => Ok(()),
        Security::Encrypted { certified: None } => Err(TurnedAway::NoCertificate),
        Security::Encrypted {
            certified: Some(identity),
        } if identity.node != node => Err(TurnedAway::CertificateMismatch {
            certified: identity.node,
        }),
        Security::Encrypted { .. } => Ok(()),
    }
}

/// Welcomes a caller; has a node prove that it is a member.
async fn shake_hands(
    channel: &mut Channel,
    greeting: &Greeting<'_>,
    hello: &Hello,
) -> Result<u16, StreamError> {
    let mac = super::mac_with(greeting.secret);
    let answer = handshake::answer(
        greeting.card,
        greeting.protocols,
        greeting.standing,
        hello,
        super::nonce(),
        &mac,
    );
    let welcome = match answer {
        Ok(welcome) => welcome,
        Err(reason) => {
            if reason == TurnedAway::ProtocolUnsupported(greeting.protocols) {
                let offered = hello.protocols;
                tracing::warn!(%offered, spoken = %greeting.protocols, "a caller has no protocol in common with this node: upgrade the older of the two");
            }
            return turn_away(&mut channel.writer, reason).await;
        }
    };
    send_handshake(&mut channel.writer, &Handshake::Welcome(welcome.clone())).await?;
    let protocol = welcome.protocol;
    if greeting.door == Door::Clients {
        return Ok(protocol);
    }
    let Handshake::Confirm(confirm) = channel.reader.handshake().await? else {
        return Err(StreamError::OutOfTurn);
    };
    match handshake::verify(hello, &welcome, &confirm, &mac) {
        Ok(()) => Ok(protocol),
        Err(reason) => turn_away(&mut channel.writer, reason).await,
    }
}

/// Says why, and ends the connection.
pub(super) async fn turn_away<T>(
    writer: &mut WriteHalf,
    reason: TurnedAway,
) -> Result<T, StreamError> {
    tracing::warn!(%reason, "a caller was turned away");
    send_handshake(writer, &Handshake::TurnedAway(reason)).await?;
    Err(StreamError::Closed)
}
