//! Context tokens: a context as clients hold it.
//!
//! A client gets the context of what it read and gives it back with its next write. It must not be able to
//! make one up: a context that claims writes which never happened would silently swallow them when they do
//! (T3). So a token carries a keyed hash over its content and the key that it belongs to, made with
//! a secret of the cluster; a forged token, or one of another key, is refused. Two secrets can be valid
//! at a time, for the day on which an operator can change them.
//!
//! A data type has a causal past of its own, with gaps: [`TokenKey::seal_past`] does the same for it, in a token
//! that can't be taken for one of the first sort.
//!
//! [`TokenKey::seal_cover`] does it for a share of a bucket that a client asks for.
//!
//! Layout, version 1: `1u8, timestamp u64, count u16, count × (incarnation u128, epoch u64, counter
//! u64), hash 16 bytes`, all big-endian. Of a data type: `2u8`, the encoded [`CausalContext`], hash. Of a share: `3u8,
//! bits u8, number u32, node u128`, hash.

use super::actor::{Actor, KeyEpoch};
use super::context::Context;
use super::timestamp::Timestamp;
use super::truncate::CONTEXT_ENTRIES_MAX;
use crate::coverage::Share;
use crate::crdt::CausalContext;
use crate::id::{Incarnation, NodeId};
use bytes::Bytes;

const VERSION: u8 = 1;
/// Of the past of a data type.
const PAST_VERSION: u8 = 2;
/// Of a share of a bucket.
const COVER_VERSION: u8 = 3;
const COVER_BYTES: usize = 1 + 1 + 4 + 16;
const HEADER_BYTES: usize = 1 + 8 + 2;
const ENTRY_BYTES: usize = 16 + 8 + 8;
const HASH_BYTES: usize = 16;

/// No token is longer.
pub const TOKEN_BYTES_MAX: usize = HEADER_BYTES + CONTEXT_ENTRIES_MAX * ENTRY_BYTES + HASH_BYTES;

/// No token of a data type's past is longer.
pub const PAST_TOKEN_BYTES_MAX: usize = 1 << 20;

/// What a token holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContextToken {
    pub context: Context,
    /// The greatest timestamp among the versions that the context covers.
    pub timestamp: Timestamp,
}

/// A share of a bucket, and the node that was named for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cover {
    pub share: Share,
    pub node: NodeId,
}

/// Why a token was refused. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// Not a token, or cut short, or longer than any token.
    Malformed,
    /// A version of the format that this program doesn't know.
    UnknownVersion(u8),
    /// Not made by this cluster for this key.
    NotAuthentic,
}

impl std::fmt::Display for TokenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed => f.write_str("the context is not one that this store gives out"),
            Self::UnknownVersion(version) => {
                write!(f, "the context has the unknown format version {version}")
            }
            Self::NotAuthentic => {
                f.write_str("the context was not given out by this cluster for this key")
            }
        }
    }
}

impl std::error::Error for TokenError {}

/// The names that a token is bound to.
#[derive(Clone, Copy, Debug)]
pub struct TokenScope<'a> {
    pub bucket_type: &'a [u8],
    pub bucket: &'a [u8],
    pub key: &'a [u8],
}

/// The secret that authenticates tokens, and the one before it while it is being rotated.
#[derive(Clone)]
pub struct TokenKey {
    current: [u8; 32],
    previous: Option<[u8; 32]>,
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(…)")
    }
}

impl TokenKey {
    #[must_use]
    pub fn new(cluster_secret: &[u8; 32], previous_secret: Option<&[u8; 32]>) -> Self {
        let derive =
            |secret: &[u8; 32]| blake3::derive_key("ringhold context token, version 1", secret);
        Self {
            current: derive(cluster_secret),
            previous: previous_secret.map(derive),
        }
    }

    #[must_use]
    pub fn seal(&self, scope: TokenScope<'_>, token: &ContextToken) -> Vec<u8> {
        let entries = token.context.entries();
        let count = u16::try_from(entries.len())
            .expect("puts are refused long before a context has 65,536 entries");
        let mut bytes = Vec::with_capacity(HEADER_BYTES + entries.len() * ENTRY_BYTES + HASH_BYTES);
        bytes.push(VERSION);
        bytes.extend_from_slice(&token.timestamp.0.to_be_bytes());
        bytes.extend_from_slice(&count.to_be_bytes());
        for (actor, counter) in entries {
            bytes.extend_from_slice(&actor.incarnation.0.to_be_bytes());
            bytes.extend_from_slice(&actor.epoch.0.to_be_bytes());
            bytes.extend_from_slice(&counter.to_be_bytes());
        }
        self.sign(scope, bytes)
    }

    /// The token of what a client has seen of a data type.
    #[must_use]
    pub fn seal_past(&self, scope: TokenScope<'_>, past: &CausalContext) -> Vec<u8> {
        let mut bytes = vec![PAST_VERSION];
        bytes.extend_from_slice(&past.to_bytes());
        self.sign(scope, bytes)
    }

    /// The token of a share of a bucket.
    #[must_use]
    pub fn seal_cover(&self, bucket_type: &[u8], bucket: &[u8], cover: &Cover) -> Vec<u8> {
        let bits = u8::try_from(cover.share.bits()).expect("a handful");
        let mut bytes = Vec::with_capacity(COVER_BYTES + HASH_BYTES);
        bytes.extend_from_slice(&[COVER_VERSION, bits]);
        bytes.extend_from_slice(&cover.share.number().to_be_bytes());
        bytes.extend_from_slice(&cover.node.0.to_be_bytes());
        self.sign(scope_of_bucket(bucket_type, bucket), bytes)
    }

    /// # Errors
    /// If the token is not one that this cluster gave out for a share of this bucket.
    pub fn open_cover(
        &self,
        bucket_type: &[u8],
        bucket: &[u8],
        sealed: &[u8],
    ) -> Result<Cover, TokenError> {
        match sealed {
            [COVER_VERSION, ..] if sealed.len() == COVER_BYTES + HASH_BYTES => {}
            [version, ..] if *version != COVER_VERSION => {
                return Err(TokenError::UnknownVersion(*version));
            }
            _ => return Err(TokenError::Malformed),
        }
        let body = self.authentic(scope_of_bucket(bucket_type, bucket), sealed)?;
        parse_cover(body).ok_or(TokenError::Malformed)
    }

    fn sign(&self, scope: TokenScope<'_>, mut bytes: Vec<u8>) -> Vec<u8> {
        let hash = keyed_hash(&self.current, scope, &bytes);
        bytes.extend_from_slice(&hash.as_bytes()[..HASH_BYTES]);
        bytes
    }

    /// # Errors
    /// If the token is not one that this cluster gave out for this key. The comparison takes the
    /// same time wherever the difference is.
    pub fn open(&self, scope: TokenScope<'_>, sealed: &[u8]) -> Result<ContextToken, TokenError> {
        if sealed.len() > TOKEN_BYTES_MAX || sealed.len() < HEADER_BYTES + HASH_BYTES {
            return Err(TokenError::Malformed);
        }
        if sealed[0] != VERSION {
            return Err(TokenError::UnknownVersion(sealed[0]));
        }
        parse(self.authentic(scope, sealed)?).ok_or(TokenError::Malformed)
    }

    /// # Errors
    /// If the token is not one that this cluster gave out for a data type under this key.
    pub fn open_past(
        &self,
        scope: TokenScope<'_>,
        sealed: &[u8],
    ) -> Result<CausalContext, TokenError> {
        if sealed.len() > PAST_TOKEN_BYTES_MAX || sealed.len() <= HASH_BYTES {
            return Err(TokenError::Malformed);
        }
        if sealed[0] != PAST_VERSION {
            return Err(TokenError::UnknownVersion(sealed[0]));
        }
        let past = Bytes::copy_from_slice(&self.authentic(scope, sealed)?[1..]);
        CausalContext::from_bytes(&past).map_err(|_| TokenError::Malformed)
    }

    /// The part of a token before its hash, if the hash is right.
    fn authentic<'a>(
        &self,
        scope: TokenScope<'_>,
        sealed: &'a [u8],
    ) -> Result<&'a [u8], TokenError> {
        let (body, hash) = sealed.split_at(sealed.len() - HASH_BYTES);
        let genuine =
            |key: &[u8; 32]| same(&keyed_hash(key, scope, body).as_bytes()[..HASH_BYTES], hash);
        if !genuine(&self.current) && !self.previous.as_ref().is_some_and(genuine) {
            return Err(TokenError::NotAuthentic);
        }
        Ok(body)
    }
}

/// No object has a key of no bytes.
fn scope_of_bucket<'a>(bucket_type: &'a [u8], bucket: &'a [u8]) -> TokenScope<'a> {
    TokenScope {
        bucket_type,
        bucket,
        key: b"",
    }
}

fn parse_cover(body: &[u8]) -> Option<Cover> {
    let (bits, rest) = body.get(1..)?.split_first()?;
    let (number, rest) = rest.split_first_chunk::<4>()?;
    let node = NodeId(u128::from_be_bytes(rest.try_into().ok()?));
    let share = Share::new(u32::from(*bits), u32::from_be_bytes(*number))?;
    Some(Cover { share, node })
}

fn keyed_hash(key: &[u8; 32], scope: TokenScope<'_>, body: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for name in [scope.bucket_type, scope.bucket, scope.key] {
        hasher.update(&(name.len() as u64).to_be_bytes());
        hasher.update(name);
    }
    hasher.update(body);
    hasher.finalize()
}

fn same(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len()
        && left
            .iter()
            .zip(right)
            .fold(0, |difference, (a, b)| difference | (a ^ b))
            == 0
}

fn parse(body: &[u8]) -> Option<ContextToken> {
    let (timestamp, rest) = body.get(1..)?.split_first_chunk::<8>()?;
    let (count, entries) = rest.split_first_chunk::<2>()?;
    if entries.len() != usize::from(u16::from_be_bytes(*count)) * ENTRY_BYTES {
        return None;
    }
    let entries = entries
        .chunks_exact(ENTRY_BYTES)
        .map(parse_entry)
        .collect::<Option<Vec<_>>>()?;
    let context = Context::from_sorted(entries).ok()?;
    Some(ContextToken {
        context,
        timestamp: Timestamp(u64::from_be_bytes(*timestamp)),
    })
}

fn parse_entry(bytes: &[u8]) -> Option<(Actor, u64)> {
    let (incarnation, rest) = bytes.split_first_chunk::<16>()?;
    let (epoch, rest) = rest.split_first_chunk::<8>()?;
    let counter = u64::from_be_bytes(*rest.first_chunk::<8>()?);
    let incarnation = Incarnation(u128::from_be_bytes(*incarnation));
    Some((
        Actor {
            incarnation,
            epoch: KeyEpoch(u64::from_be_bytes(*epoch)),
        },
        counter,
    ))
}
