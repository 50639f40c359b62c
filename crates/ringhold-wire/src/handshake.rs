//! The handshake: who is calling, whether it may, and in which protocol they go on.
//!
//! Three short frames. The dialer says [`Hello`]; the listener answers [`Welcome`] or
//! [`TurnedAway`] with the reason; a node that was welcomed ends with [`Confirm`]. Every connection
//! says which cluster it belongs to and which node it is, because an address is only where a node
//! is reached: two clusters must not mix (T19), a removed node must hear that it is one (T17), and
//! a node with another's address must not be taken for it (T18).
//!
//! **Proof of membership.** A node must not be posed as by any process that can reach its port.
//! Hello and Welcome each hold 32 fresh random bytes; Welcome and Confirm each hold a keyed hash,
//! made with the cluster's secret, over a word for the direction and both messages whole. Fresh
//! bytes from both sides mean that no old handshake can be played again, the word that no hash can
//! be sent back to its maker, and the whole messages that nobody in between can change an id or the
//! protocol. It proves who the ends are at this moment; that nobody reads or changes what comes
//! after is for TLS. Native clients prove nothing here and are welcomed without a hash: what they
//! may do is decided by request.
//!
//! **Joining.** Whoever is no member yet has no secret to prove: it shows a [`Joiner`]'s token, and the answer is
//! [`Enrolled`], with the secret, or the reason why not. Neither may cross a network unencrypted; that is for
//! the two ends to see to.
//!
//! **Other releases (T20).** This is the one format that never changes, because it comes before
//! anybody knows what the other side speaks. Each side names the range of protocols that it speaks,
//! and the listener takes the highest that both do. Hello and Welcome end with a field for what
//! later releases add; this one sends it empty, ignores it, and includes it in the hashes.
//!
//! [`answer`], [`confirm`] and [`verify`] decide, as functions of what was said: the sides keep
//! nothing between the steps but the messages themselves. Layouts: see the golden files; every
//! message begins with [`MAGIC`] and a byte for its step.
//!
//! Not here: deadlines, the drawing of random bytes, the hash function, and what a node does about
//! a newer epoch.

mod codec;
mod join;

pub use join::{Enrolled, JOINER_TEXT_BYTES_MAX, JoinRefused, Joiner, TOKEN_BYTES_MAX};

use bytes::{Bytes, BytesMut};
use ringhold_core::id::{BootId, ClusterId, Incarnation, NodeId};
use std::fmt;

/// The first bytes of each message of a handshake.
pub const MAGIC: [u8; 4] = *b"RGHD";
/// No name in a handshake is longer, in bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// What later releases add may have this many bytes.
pub const EXTENSIONS_BYTES_MAX: usize = 2_048;

const WELCOME_LABEL: &[u8] = b"ringhold handshake: welcome";
const CONFIRM_LABEL: &[u8] = b"ringhold handshake: confirm";

/// Random bytes, drawn for one handshake.
pub type Nonce = [u8; 32];
/// A keyed hash.
pub type Mac = [u8; 16];

/// What the cluster's secret does here. A function from bytes to their keyed hash is one.
pub trait ClusterSecret {
    /// The keyed hash of some bytes.
    fn mac(&self, message: &[u8]) -> Mac;

    /// Whether a hash is right. To be replaced where two secrets are valid, while the operator
    /// rotates them. The comparison takes the same time wherever the difference is.
    fn accepts(&self, message: &[u8], mac: &Mac) -> bool {
        let differences = self
            .mac(message)
            .iter()
            .zip(mac)
            .fold(0, |found, (a, b)| found | (a ^ b));
        differences == 0
    }
}

impl<F: Fn(&[u8]) -> Mac> ClusterSecret for F {
    fn mac(&self, message: &[u8]) -> Mac {
        self(message)
    }
}

/// The protocols that a program speaks, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtocolRange {
    pub min: u16,
    pub max: u16,
}

/// `1 to 2`, or `1` alone.
impl fmt::Display for ProtocolRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            return self.min.fmt(f);
        }
        write!(f, "{} to {}", self.min, self.max)
    }
}

impl ProtocolRange {
    /// What this release speaks: its own protocol and the one before.
    pub const SPOKEN: Self = Self { min: 1, max: 2 };

    /// What this release speaks, up to some protocol; all of it for 0.
    #[must_use]
    pub fn up_to(max: u16) -> Self {
        let Self { min, max: newest } = Self::SPOKEN;
        match max {
            0 => Self::SPOKEN,
            max => Self {
                min,
                max: max.clamp(min, newest),
            },
        }
    }

    /// The highest that both speak.
    #[must_use]
    pub fn agree(self, other: Self) -> Option<u16> {
        let highest = self.max.min(other.max);
        (highest >= self.min.max(other.min)).then_some(highest)
    }

    #[must_use]
    pub fn contains(self, protocol: u16) -> bool {
        (self.min..=self.max).contains(&protocol)
    }
}

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeCard {
    pub cluster: ClusterId,
    pub node: NodeId,
    pub incarnation: Incarnation,
    pub boot: BootId,
    /// The epoch of the ring document that it holds.
    pub epoch: u64,
    pub placement_number: u64,
    /// The hash of that document: two that were founded from different lists must not mix.
    pub ring: [u8; 16],
    /// For people; at most [`NAME_BYTES_MAX`].
    pub name: Bytes,
}

/// Who dials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dialer {
    Node {
        card: NodeCard,
        /// The node that it wants to reach at this address, if it knows one.
        wanted: Option<NodeId>,
    },
    Client {
        /// The cluster that it wants to reach, if it knows one.
        cluster: Option<ClusterId>,
        /// For people: the program and its version; at most [`NAME_BYTES_MAX`].
        name: Bytes,
    },
    /// A node that wants to become a member.
    Joiner(Joiner),
}

/// The first message, of the side that dials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    pub protocols: ProtocolRange,
    pub nonce: Nonce,
    pub dialer: Dialer,
    /// What a later release adds; at most [`EXTENSIONS_BYTES_MAX`].
    pub extensions: Bytes,
}

/// The listener takes the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The protocol of all frames from here on.
    pub protocol: u16,
    pub card: NodeCard,
    pub nonce: Nonce,
    /// Proof that the listener is of the cluster; none for a client, which can't check it.
    pub mac: Option<Mac>,
    /// What a later release adds; at most [`EXTENSIONS_BYTES_MAX`].
    pub extensions: Bytes,
}

/// Proof that the dialer is of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirm {
    pub mac: Mac,
}

/// Why the listener does not take the connection. It is closed after this.
///
/// Nothing proves that a member said it: anybody who holds the address can. A dialer reports it and
/// asks others; it never stops, forgets or changes anything for this alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnedAway {
    /// There is no protocol that both speak; this is what the listener speaks.
    ProtocolUnsupported(ProtocolRange),
    /// The dialer is of another cluster.
    ClusterMismatch,
    /// A node has dialed itself.
    SelfConnection,
    /// The dialer has the listener's id and is another process: a copied or restored disk.
    IdentityInUse,
    /// The dialer wanted another node than this one.
    WrongNode { node: NodeId },
    /// The dialer is no member.
    UnknownNode,
    /// The dialer was a member; in the ring of this epoch it is none, and will not be one again.
    RemovedNode { epoch: u64 },
    /// The dialer does not have the cluster's secret.
    NotAuthentic,
    /// The dialer holds another ring document of the same epoch.
    RingMismatch { epoch: u64 },
    /// The listener's setting `peer_tls` is this, and the dialer's is not.
    PeerTls { on: bool },
    /// The dialer has shown no certificate, without which only a [`Joiner`] may come.
    NoCertificate,
    /// The dialer's certificate is another node's than its card.
    CertificateMismatch { certified: NodeId },
    /// The dialer does not become a member.
    JoinRefused(JoinRefused),
}

impl fmt::Display for TurnedAway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ProtocolUnsupported(range) => write!(
                f,
                "the two have no protocol in common: the node that was called speaks {range}"
            ),
            Self::ClusterMismatch => f.write_str("the node is of another cluster"),
            Self::SelfConnection => f.write_str("a node has dialed itself"),
            Self::IdentityInUse => f.write_str("another process has the same node id"),
            Self::WrongNode { node } => write!(f, "the node at this address is {node}"),
            Self::UnknownNode => f.write_str("the dialer is no member of the cluster"),
            Self::RemovedNode { epoch } => write!(
                f,
                "the dialer is removed from the cluster, as of epoch {epoch}"
            ),
            Self::NotAuthentic => f.write_str("the dialer does not have the cluster's secret"),
            Self::RingMismatch { epoch } => {
                write!(
                    f,
                    "the node holds another ring of epoch {epoch}: they were founded from different lists"
                )
            }
            Self::PeerTls { on: true } => f.write_str(
                "`peer_tls` is on at the node, and the dialer does not speak TLS: set `peer_tls = \"on\"` for the dialer, all members alike",
            ),
            Self::PeerTls { on: false } => f.write_str(
                "`peer_tls` is off at the node, and the dialer speaks TLS: set `peer_tls = \"on\"` for the node, all members alike",
            ),
            Self::NoCertificate => f.write_str("the dialer has shown no certificate"),
            Self::CertificateMismatch { certified } => {
                write!(f, "the dialer's certificate is that of node {certified}")
            }
            Self::JoinRefused(reason) => write!(f, "{reason}"),
        }
    }
}

impl std::error::Error for TurnedAway {}

/// Why the dialer does not go on, although it was welcomed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WelcomeRefused {
    /// The listener chose a protocol that was not offered.
    ProtocolNotOffered { protocol: u16 },
    /// The listener is of another cluster.
    ClusterMismatch { cluster: ClusterId },
    /// Another node is at this address than the one that was wanted.
    WrongNode { node: NodeId },
    /// The listener does not have the cluster's secret.
    NotAuthentic,
    /// The listener's certificate is another node's than its card.
    CertificateMismatch { certified: NodeId },
}

impl fmt::Display for WelcomeRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ProtocolNotOffered { protocol } => {
                write!(
                    f,
                    "the listener chose protocol {protocol}, which was not offered"
                )
            }
            Self::ClusterMismatch { cluster } => {
                write!(f, "the listener is of the cluster {cluster}")
            }
            Self::WrongNode { node } => write!(f, "the node at this address is {node}"),
            Self::NotAuthentic => f.write_str("the listener does not have the cluster's secret"),
            Self::CertificateMismatch { certified } => {
                write!(f, "the listener's certificate is that of node {certified}")
            }
        }
    }
}

impl std::error::Error for WelcomeRefused {}

/// One message of a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handshake {
    Hello(Hello),
    Welcome(Welcome),
    TurnedAway(TurnedAway),
    Confirm(Confirm),
    Enrolled(Enrolled),
}

/// What the listener's ring document says of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may connect, in whatever state it is.
    Member,
    Unknown,
    /// It was removed in this epoch.
    Removed {
        epoch: u64,
    },
}

/// The listener's answer to a member or a client; a [`Joiner`] is not for here. A welcomed node is not yet to be trusted: that takes its
/// [`Confirm`] and [`verify`].
///
/// # Errors
/// With the reason, of several the first in the order of [`TurnedAway`].
pub fn answer(
    own: &NodeCard,
    protocols: ProtocolRange,
    standing_of: impl FnOnce(NodeId) -> Standing,
    hello: &Hello,
    nonce: Nonce,
    secret: &impl ClusterSecret,
) -> Result<Welcome, TurnedAway> {
    let Some(protocol) = protocols.agree(hello.protocols) else {
        return Err(TurnedAway::ProtocolUnsupported(protocols));
    };
    let is_node = match &hello.dialer {
        Dialer::Node { card, wanted } => {
            admit(own, card, *wanted, standing_of)?;
            true
        }
        Dialer::Client {
            cluster: Some(cluster),
            ..
        } if *cluster != own.cluster => {
            return Err(TurnedAway::ClusterMismatch);
        }
        Dialer::Client { .. } => false,
        Dialer::Joiner(_) => return Err(TurnedAway::UnknownNode),
    };
    let card = own.clone();
    let mut welcome = Welcome {
        protocol,
        card,
        nonce,
        mac: None,
        extensions: Bytes::new(),
    };
    if is_node {
        welcome.mac = Some(secret.mac(&transcript(WELCOME_LABEL, hello, &welcome)));
    }
    Ok(welcome)
}

/// Whether a node that says this of itself may connect.
fn admit(
    own: &NodeCard,
    card: &NodeCard,
    wanted: Option<NodeId>,
    standing_of: impl FnOnce(NodeId) -> Standing,
) -> Result<(), TurnedAway> {
    if card.cluster != own.cluster {
        return Err(TurnedAway::ClusterMismatch);
    }
    if card.node == own.node {
        let same_process = card.boot == own.boot;
        return Err(if same_process {
            TurnedAway::SelfConnection
        } else {
            TurnedAway::IdentityInUse
        });
    }
    if wanted.is_some_and(|wanted| wanted != own.node) {
        return Err(TurnedAway::WrongNode { node: own.node });
    }
    match standing_of(card.node) {
        Standing::Member if card.epoch == own.epoch && card.ring != own.ring => {
            Err(TurnedAway::RingMismatch { epoch: own.epoch })
        }
        Standing::Member => Ok(()),
        Standing::Unknown => Err(TurnedAway::UnknownNode),
        Standing::Removed { epoch } => Err(TurnedAway::RemovedNode { epoch }),
    }
}

/// The dialer's look at a welcome: what to send next. A client sends nothing more.
///
/// # Errors
/// If the listener is not the one that was wanted, or proves nothing. Nothing may be sent to it.
pub fn confirm(
    hello: &Hello,
    welcome: &Welcome,
    secret: &impl ClusterSecret,
) -> Result<Option<Confirm>, WelcomeRefused> {
    let (protocol, cluster, node) = (welcome.protocol, welcome.card.cluster, welcome.card.node);
    if !hello.protocols.contains(protocol) {
        return Err(WelcomeRefused::ProtocolNotOffered { protocol });
    }
    let (own_cluster, wanted, is_node) = match &hello.dialer {
        Dialer::Node { card, wanted } => (Some(card.cluster), *wanted, true),
        Dialer::Client { cluster, .. } => (*cluster, None, false),
        Dialer::Joiner(_) => (None, None, false),
    };
    if own_cluster.is_some_and(|own| own != cluster) {
        return Err(WelcomeRefused::ClusterMismatch { cluster });
    }
    if wanted.is_some_and(|wanted| wanted != node) {
        return Err(WelcomeRefused::WrongNode { node });
    }
    if !is_node {
        return Ok(None);
    }
    let genuine = |mac: &Mac| secret.accepts(&transcript(WELCOME_LABEL, hello, welcome), mac);
    if !welcome.mac.as_ref().is_some_and(genuine) {
        return Err(WelcomeRefused::NotAuthentic);
    }
    Ok(Some(Confirm {
        mac: secret.mac(&transcript(CONFIRM_LABEL, hello, welcome)),
    }))
}

/// The listener's last look at a node: only now is it the member that it says it is.
///
/// # Errors
/// [`TurnedAway::NotAuthentic`].
pub fn verify(
    hello: &Hello,
    welcome: &Welcome,
    confirm: &Confirm,
    secret: &impl ClusterSecret,
) -> Result<(), TurnedAway> {
    if secret.accepts(&transcript(CONFIRM_LABEL, hello, welcome), &confirm.mac) {
        return Ok(());
    }
    Err(TurnedAway::NotAuthentic)
}

/// What is hashed: the direction, and both messages, the welcome without its own hash.
fn transcript(label: &[u8], hello: &Hello, welcome: &Welcome) -> Vec<u8> {
    let mut out = BytesMut::from(label);
    Handshake::Hello(hello.clone()).encode(&mut out);
    Handshake::Welcome(Welcome {
        mac: None,
        ..welcome.clone()
    })
    .encode(&mut out);
    out.into()
}
