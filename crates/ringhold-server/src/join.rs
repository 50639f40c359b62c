//! Joining: how a node with an empty directory becomes a member of a cluster that is there.
//!
//! In this order, so that it may be broken off anywhere and tried again: an identity is drawn and written down; a member is
//! asked with it, and with a token from an operator; what the member answers is checked against the token and
//! written down, the node's own identity last. From then on it is a node like any other, whose state in the ring
//! document is `joining`, and being told to join once more changes nothing.
//!
//! The token names the authority that the members' certificates come from. So the new node knows whom it talks to before it says
//! anything, and the secret that it is given must be the one that this authority follows from.
//!
//! Not here: what a member makes of it ([`crate::peers`]), and how the new member gets its share.

use crate::config::Config;
use crate::data_dir::{self, DataDirError, Membership};
use crate::environment::random_bits;
use crate::peers::{self, Authority, DialingTls, NotEnrolled};
use bytes::Bytes;
use ringhold_core::id::NodeId;
use ringhold_core::join_token::{JoinToken, NoToken};
use ringhold_core::ring::{Addresses, Member, MemberState, RingDocument};
use ringhold_wire::bytes_io::DecodeError;
use ringhold_wire::handshake::{Enrolled, JOINER_TEXT_BYTES_MAX, Joiner};
use ringhold_wire::ring as ring_format;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// A member that has to agree with others on a new ring needs a while.
const PATIENCE: Duration = Duration::from_secs(40);

/// Which cluster a new node joins, and as what.
#[derive(Clone)]
pub struct Join {
    /// The peer listener of any member.
    pub address: String,
    /// What `ringhold cluster token` gave out.
    pub token: String,
    pub zone: String,
    pub rack: String,
    /// An ordinary node has 100.
    pub weight: u32,
}

/// Without the token.
impl fmt::Debug for Join {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Join")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Why a node has not joined. Trying again with the same directory is safe.
#[derive(Debug)]
pub enum JoinError {
    Token(NoToken),
    DataDir(DataDirError),
    /// The members could not reach this node where it listens.
    Unreachable {
        key: &'static str,
        address: SocketAddr,
    },
    /// A name, an address, a zone or a rack is longer than any may be.
    TooLong {
        text: String,
    },
    /// A member can't be asked, or says no; the text says why.
    Refused {
        address: String,
        reason: String,
    },
    TimedOut {
        address: String,
    },
    /// What came back does not fit the token, or the node.
    Deceived {
        address: String,
    },
    Ring(DecodeError),
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(error) => write!(f, "--token: {error}"),
            Self::DataDir(error) => write!(f, "{error}"),
            Self::Unreachable { key, address } => write!(
                f,
                "{key} = {address}: the members can't reach a node there; listen on the address by which they reach it"
            ),
            Self::TooLong { text } => write!(
                f,
                "{text:.40}… is too long: names, addresses, zones and racks have at most {JOINER_TEXT_BYTES_MAX} bytes"
            ),
            Self::Refused { address, reason } => write!(f, "joining through {address}: {reason}"),
            Self::TimedOut { address } => write!(
                f,
                "joining through {address}: no answer within {} s; try again, with the same directory and token",
                PATIENCE.as_secs()
            ),
            Self::Deceived { address } => write!(
                f,
                "joining through {address}: the answer does not fit the token; is that a member of the cluster that gave it out?"
            ),
            Self::Ring(error) => {
                write!(f, "the ring document that came back can't be read: {error}")
            }
        }
    }
}

impl std::error::Error for JoinError {}

impl From<DataDirError> for JoinError {
    fn from(error: DataDirError) -> Self {
        Self::DataDir(error)
    }
}

/// Makes this node a member, unless it is one.
///
/// # Errors
/// [`JoinError`].
pub(crate) async fn join(
    config: &Config,
    addresses: Addresses,
    request: &Join,
) -> Result<Membership, JoinError> {
    let directory = &config.data_dir;
    if data_dir::is_members(directory) {
        tracing::info!("this node has joined already");
        return Ok(data_dir::open(directory, None, &config.name)?);
    }
    let token = JoinToken::from_text(&request.token).map_err(JoinError::Token)?;
    let node = data_dir::joining_identity(directory, || NodeId(random_bits()))?;
    let member = Member {
        id: node,
        name: config.name.clone(),
        addresses,
        zone: request.zone.clone(),
        rack: request.rack.clone(),
        weight: request.weight,
        state: MemberState::Joining,
    };
    check_texts(&member)?;
    let joiner = Joiner {
        token: Bytes::copy_from_slice(&token.to_bytes()),
        member,
    };
    let tls = config
        .peer_tls_is_on()
        .then(|| DialingTls::of_joiner(&token.authority));
    let address = || request.address.clone();
    tracing::info!(id = %node, through = request.address, "joining");
    let asked = peers::ask_to_join(&request.address, tls.as_ref(), joiner);
    let answer = tokio::time::timeout(PATIENCE, asked).await;
    let answer = answer.map_err(|_| JoinError::TimedOut { address: address() })?;
    let (enrolled, cluster) = answer.map_err(|error: NotEnrolled| JoinError::Refused {
        address: address(),
        reason: error.to_string(),
    })?;
    let document = ring_format::decode(enrolled.ring.clone()).map_err(JoinError::Ring)?;
    let is_other = cluster.is_some_and(|cluster| cluster != document.cluster_id);
    if is_other || !fits(&enrolled, &document, &token, node) {
        return Err(JoinError::Deceived { address: address() });
    }
    let membership = data_dir::enrolled(directory, node, document, enrolled.secret)?;
    tracing::info!(id = %node, epoch = membership.ring.document().epoch.0, "joined");
    Ok(membership)
}

/// Whether the secret is the token's cluster's, and the ring document lists the node.
fn fits(enrolled: &Enrolled, document: &RingDocument, token: &JoinToken, node: NodeId) -> bool {
    let is_listed = document
        .members
        .iter()
        .any(|member| member.id == node && !member.state.is_gone());
    is_listed && Authority::of(&enrolled.secret).public_key() == token.authority
}

fn check_texts(member: &Member) -> Result<(), JoinError> {
    match member
        .texts()
        .into_iter()
        .find(|text| text.len() > JOINER_TEXT_BYTES_MAX)
    {
        Some(text) => Err(JoinError::TooLong { text: text.clone() }),
        None => Ok(()),
    }
}

/// Where a node that listens there is reached.
pub(crate) fn addresses_of(
    http: SocketAddr,
    peer: SocketAddr,
    native: SocketAddr,
) -> Result<Addresses, JoinError> {
    for (key, address) in [
        ("listen.http", http),
        ("listen.peer", peer),
        ("listen.native", native),
    ] {
        if address.ip().is_unspecified() {
            return Err(JoinError::Unreachable { key, address });
        }
    }
    Ok(Addresses {
        peer: peer.to_string(),
        http: http.to_string(),
        pb: String::new(),
        native: native.to_string(),
    })
}
