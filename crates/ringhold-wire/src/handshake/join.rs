//! What a node that wants to become a member says, and what it is given.
//!
//! Its hello holds the token and itself as it would stand in the ring document; the answer holds all that a
//! member knows: the secret, and the document in which the node is listed. Whoever asks again with the same token and
//! the same id is given the same, so an answer that was lost on its way costs nothing.
//!
//! Invariants: `Debug` shows neither the token nor the secret.

use crate::bytes_io::{DecodeError, Reader, WITHOUT_LIMIT, Writer};
use bytes::Bytes;
use ringhold_core::id::NodeId;
use ringhold_core::ring::{Addresses, Member, MemberState};
use std::fmt;

/// No token has more bytes.
pub const TOKEN_BYTES_MAX: usize = 256;
/// Names, addresses, zone and rack may have this many bytes each.
pub const JOINER_TEXT_BYTES_MAX: usize = 256;

/// A node that wants to become a member.
#[derive(Clone, PartialEq, Eq)]
pub struct Joiner {
    /// See [`ringhold_core::join_token`]; at most [`TOKEN_BYTES_MAX`].
    pub token: Bytes,
    /// As it wants to be listed; its state is [`MemberState::Joining`], its texts have at most
    /// [`JOINER_TEXT_BYTES_MAX`].
    pub member: Member,
}

impl fmt::Debug for Joiner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joiner")
            .field("member", &self.member)
            .finish_non_exhaustive()
    }
}

/// The joiner is listed in the ring.
#[derive(Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// The cluster's secret.
    pub secret: [u8; 32],
    /// The ring document, see [`crate::ring`].
    pub ring: Bytes,
}

impl fmt::Debug for Enrolled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enrolled")
            .field("ring_bytes", &self.ring.len())
            .finish_non_exhaustive()
    }
}

/// Why a node does not become a member. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinRefused {
    /// The token is none, of another cluster, or was altered.
    TokenForeign,
    /// The token's time has passed.
    TokenExpired,
    /// Another node has joined with this token.
    TokenSpent,
    /// A member has this name.
    NameTaken,
    /// What the node says of itself can't stand in a ring document.
    MemberInvalid,
    /// The connection is not encrypted and not within one machine.
    Unencrypted,
    /// The members can't agree on a ring now; ask again, with the same id and the same token.
    NoMajority,
    /// The node is a member by another token, or was one.
    IdentityKnown,
    /// Something is wrong with the member, or with the cluster.
    Unable,
}

impl fmt::Display for JoinRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TokenForeign => "the token is not one of this cluster, or was altered",
            Self::TokenExpired => {
                "the token has expired; `ringhold cluster token` gives out another one"
            }
            Self::TokenSpent => {
                "another node has joined with this token; `ringhold cluster token` gives out another one"
            }
            Self::NameTaken => "a member of the cluster has this name; choose another with --name",
            Self::MemberInvalid => {
                "the node's name is empty, its weight is 0, or one of its addresses is taken by a member"
            }
            Self::Unencrypted => {
                "the cluster's secret is not sent unencrypted to another machine; set `peer_tls = \"on\"` for all members"
            }
            Self::NoMajority => {
                "the ring can't be changed now, because too few members can be reached; try again"
            }
            Self::IdentityKnown => {
                "a node with this identity is a member by another token, or was one; join with an empty data directory"
            }
            Self::Unable => "the member can't change the ring; its log says why",
        })
    }
}

impl std::error::Error for JoinRefused {}

pub(super) fn write_joiner(writer: &mut Writer<'_>, joiner: &Joiner) {
    let Joiner { token, member } = joiner;
    writer.bytes_within("token", token, TOKEN_BYTES_MAX);
    writer.u128(member.id.0);
    for text in member.texts() {
        writer.bytes_within("joiner's text", text.as_bytes(), JOINER_TEXT_BYTES_MAX);
    }
    writer.u32(member.weight);
}

pub(super) fn read_joiner(reader: &mut Reader) -> Result<Joiner, DecodeError> {
    let token = reader.bytes("token", TOKEN_BYTES_MAX)?;
    let member = Member {
        id: NodeId(reader.u128("node id")?),
        name: read_text(reader, "name")?,
        addresses: Addresses {
            peer: read_text(reader, "peer address")?,
            http: read_text(reader, "http address")?,
            pb: read_text(reader, "pb address")?,
            native: read_text(reader, "native address")?,
        },
        zone: read_text(reader, "zone")?,
        rack: read_text(reader, "rack")?,
        weight: reader.u32("weight")?,
        state: MemberState::Joining,
    };
    Ok(Joiner { token, member })
}

pub(super) fn write_enrolled(writer: &mut Writer<'_>, enrolled: &Enrolled) {
    writer.raw(&enrolled.secret);
    writer.bytes(&enrolled.ring);
}

pub(super) fn read_enrolled(reader: &mut Reader) -> Result<Enrolled, DecodeError> {
    Ok(Enrolled {
        secret: reader.array("secret")?,
        ring: reader.bytes("ring document", WITHOUT_LIMIT)?,
    })
}

pub(super) fn join_refused_code(reason: JoinRefused) -> u8 {
    match reason {
        JoinRefused::TokenForeign => 1,
        JoinRefused::TokenExpired => 2,
        JoinRefused::TokenSpent => 3,
        JoinRefused::NameTaken => 4,
        JoinRefused::MemberInvalid => 5,
        JoinRefused::Unencrypted => 6,
        JoinRefused::NoMajority => 7,
        JoinRefused::IdentityKnown => 8,
        JoinRefused::Unable => 9,
    }
}

pub(super) fn read_join_refused(reader: &mut Reader) -> Result<JoinRefused, DecodeError> {
    Ok(match reader.u8("reason of a refused join")? {
        1 => JoinRefused::TokenForeign,
        2 => JoinRefused::TokenExpired,
        3 => JoinRefused::TokenSpent,
        4 => JoinRefused::NameTaken,
        5 => JoinRefused::MemberInvalid,
        6 => JoinRefused::Unencrypted,
        7 => JoinRefused::NoMajority,
        8 => JoinRefused::IdentityKnown,
        9 => JoinRefused::Unable,
        code => return Err(reader.unknown_code("reason of a refused join", code)),
    })
}

fn read_text(reader: &mut Reader, what: &'static str) -> Result<String, DecodeError> {
    let offset = reader.offset();
    let bytes = reader.bytes(what, JOINER_TEXT_BYTES_MAX)?;
    let text = std::str::from_utf8(&bytes);
    text.map(str::to_owned)
        .map_err(|_| DecodeError::Malformed { what, offset })
}
