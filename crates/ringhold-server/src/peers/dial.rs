//! Keeping one connection to one member alive.
//!
//! Dial, shake hands, exchange frames until it breaks, wait a little, dial again. The member counts as
//! connected from the handshake until the connection breaks or is silent for too long with a heartbeat
//! unanswered; a silent connection is kept, because the member may only be pausing, and counts again with its next sign
//! of life. Any part of a frame that arrives is one, and so is a large frame that keeps going out.

use super::link::Link;
use super::links::Dialler;
use super::stream::{
    FrameReader, StreamError, WriteHalf, encrypted_halves, plain_halves, send_handshake, write_all,
};
use super::tls::DialingTls;
use bytes::Bytes;
use ringhold_core::id::NodeId;
use ringhold_node::env::Deadline;
use ringhold_wire::frame::Frame;
use ringhold_wire::handshake::{
    self, Dialer, Handshake, Hello, NodeCard, ProtocolRange, TurnedAway, WelcomeRefused,
};
use ringhold_wire::message::peer::Reply;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// Everything that dialling one member needs to know.
pub(crate) struct Dialling {
    pub(crate) link: Arc<Link>,
    pub(crate) address: String,
    pub(crate) dialler: Arc<Dialler>,
}

impl Dialling {
    /// The member is reached anew: connected to, or heard again after a silence.
    fn greet(&self) {
        if let Some(node) = self.dialler.node.upgrade() {
            let member = self.link.member;
            tokio::spawn(async move { node.greet(member).await });
        }
    }
}

/// What one attempt needs to know.
pub(super) struct Calling<'a> {
    pub(super) address: &'a str,
    /// Whom to expect there; none if that is to be found out.
    pub(super) wanted: Option<NodeId>,
    pub(super) card: NodeCard,
    pub(super) secret: &'a [u8; 32],
    pub(super) protocols: ProtocolRange,
    /// `None` if connections between nodes are not encrypted.
    pub(super) tls: Option<&'a DialingTls>,
}

/// The first pause between two attempts; it doubles up to the last.
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_LAST: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) enum DialError {
    Stream(StreamError),
    TurnedAway {
        reason: TurnedAway,
        /// Those that this node offered.
        protocols: ProtocolRange,
    },
    WelcomeRefused(WelcomeRefused),
}

impl std::fmt::Display for DialError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stream(error) => write!(f, "{error}"),
            Self::TurnedAway {
                reason: reason @ TurnedAway::ProtocolUnsupported(theirs),
                protocols,
            } => {
                let (older, by) = if theirs.max < protocols.min {
                    ("that node", "this one's")
                } else {
                    ("this node", "that one's")
                };
                write!(
                    f,
                    "turned away: {reason}, this one {protocols}; upgrade {older} to {by} release, or to the one before"
                )
            }
            Self::TurnedAway { reason, .. } => write!(f, "turned away: {reason}"),
            Self::WelcomeRefused(reason) => write!(f, "the answer was refused: {reason}"),
        }
    }
}

impl<E: Into<StreamError>> From<E> for DialError {
    fn from(error: E) -> Self {
        Self::Stream(error.into())
    }
}

/// Runs as long as the node does.
pub(crate) async fn keep_connected(dialling: Dialling) {
    let mut retry = RETRY_FIRST;
    let mut last_reason = String::new();
    loop {
        let reason = match connect(&dialling).await {
            Ok(Met {
                protocol,
                halves: (reader, writer),
                ..
            }) => {
                retry = RETRY_FIRST;
                dialling.link.set_protocol(protocol);
                dialling.link.heard();
                dialling.link.set_connected(true);
                dialling.greet();
                exchange(&dialling, reader, writer).await.to_string()
            }
            Err(error) => error.to_string(),
        };
        dialling.link.set_connected(false);
        dialling.link.abandon();
        if reason != last_reason {
            tracing::info!(member = %dialling.link.member, address = dialling.address, reason, "no connection to a member; trying again");
            last_reason = reason;
        }
        tokio::time::sleep(retry).await;
        retry = (retry * 2).min(RETRY_LAST);
    }
}

type Halves = (FrameReader, WriteHalf);

/// Who was met, and how they go on.
pub(super) struct Met {
    pub(super) node: NodeId,
    pub(super) protocol: u16,
    pub(super) halves: Halves,
}

async fn connect(dialling: &Dialling) -> Result<Met, DialError> {
    let dialler = &dialling.dialler;
    let node = dialler.node.upgrade().ok_or(StreamError::Closed)?;
    let calling = Calling {
        address: &dialling.address,
        wanted: Some(dialling.link.member),
        card: node.card(&dialler.name),
        secret: &dialler.secret,
        protocols: dialler.protocols,
        tls: dialler.tls.as_ref(),
    };
    drop(node);
    tokio::time::timeout(dialler.connect, call(calling))
        .await
        .unwrap_or(Err(DialError::Stream(StreamError::TimedOut)))
}

/// One attempt.
pub(super) async fn call(calling: Calling<'_>) -> Result<Met, DialError> {
    let stream = TcpStream::connect(calling.address).await?;
    stream.set_nodelay(true)?;
    let (certified, (reader, mut writer)) = match calling.tls {
        Some(tls) => {
            let (stream, identity) = tls.connect(stream).await?;
            (Some(identity.node), encrypted_halves(stream))
        }
        None => (None, plain_halves(stream)),
    };
    let mut reader = FrameReader::new(reader);
    let hello = Hello {
        protocols: calling.protocols,
        nonce: super::nonce(),
        dialer: Dialer::Node {
            card: calling.card,
            wanted: calling.wanted,
        },
        extensions: Bytes::new(),
    };
    send_handshake(&mut writer, &Handshake::Hello(hello.clone())).await?;
    let welcome = match reader.handshake().await? {
        Handshake::Welcome(welcome) => welcome,
        Handshake::TurnedAway(reason) => {
            let protocols = calling.protocols;
            return Err(DialError::TurnedAway { reason, protocols });
        }
        _ => return Err(StreamError::OutOfTurn.into()),
    };
    let mac = super::mac_with(calling.secret);
    let confirm = handshake::confirm(&hello, &welcome, &mac).map_err(DialError::WelcomeRefused)?;
    if let Some(certified) = certified.filter(|certified| *certified != welcome.card.node) {
        let refused = WelcomeRefused::CertificateMismatch { certified };
        return Err(DialError::WelcomeRefused(refused));
    }
    if let Some(confirm) = confirm {
        send_handshake(&mut writer, &Handshake::Confirm(confirm)).await?;
    }
    reader.established();
    Ok(Met {
        node: welcome.card.node,
        protocol: welcome.protocol,
        halves: (reader, writer),
    })
}

/// Frames both ways until one of them fails.
async fn exchange(
    dialling: &Dialling,
    mut reader: FrameReader,
    mut writer: WriteHalf,
) -> StreamError {
    let link = &dialling.link;
    let writing = write_all(&link.outbox, &mut writer, || link.heard());
    let reading = async {
        loop {
            match receive(dialling, &mut reader).await {
                Ok(()) => {}
                Err(error) => break error,
            }
        }
    };
    let beating = beat(link, dialling.dialler.silence);
    tokio::select! {
        error = writing => error,
        error = reading => error,
        () = beating => StreamError::TimedOut,
    }
}

async fn receive(dialling: &Dialling, reader: &mut FrameReader) -> Result<(), StreamError> {
    let link = &dialling.link;
    let Frame::Reply { id, body } = reader.next_while(|| link.heard()).await? else {
        return Err(StreamError::OutOfTurn);
    };
    let reply = Reply::decode(body)?;
    // A member that was silent and is back may have missed what members are told.
    if link.set_connected(true) {
        dialling.greet();
    }
    link.receive(id, reply);
    Ok(())
}

/// Asks for a sign of life four times within the silence that is allowed, and draws the conclusion.
async fn beat(link: &Link, silence: Duration) {
    let silence_us = u64::try_from(silence.as_micros()).unwrap_or(u64::MAX);
    let mut ticks = tokio::time::interval(silence / 4);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut late = 0;
    loop {
        let before = link.now_us();
        ticks.tick().await;
        link.expire();
        // A tick that comes late says that this process was paused, not that the member was.
        let paused = link.now_us().saturating_sub(before) > silence_us / 2;
        if link.silent_us() > silence_us && !paused {
            link.set_connected(false);
            link.abandon();
            late += 1;
        } else {
            late = 0;
        }
        // Past a minute of silence the connection itself is given up.
        if late > SILENT_TICKS_MAX {
            return;
        }
        link.beat(Deadline {
            at_us: link.now_us().saturating_add(silence_us),
        });
    }
}

const SILENT_TICKS_MAX: u32 = 240;
