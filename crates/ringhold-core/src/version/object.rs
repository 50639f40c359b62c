//! An object: all versions of a key that nothing has overwritten, and the past they share.
//!
//! Invariants, asserted where an object is built: versions are sorted by dot and no dot occurs
//! twice; the context covers every dot. The second is what makes "covered but absent" mean
//! "overwritten".

use super::actor::Dot;
use super::context::Context;
use super::timestamp::Timestamp;
use crate::id::OperationId;
use bytes::Bytes;
use std::cmp::Ordering;

/// One thing said about a value besides its bytes, by a tag that the encoding's owner gives out.
/// Fields with tags that this version of the program doesn't know are kept and passed on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MetadataField {
    pub tag: u16,
    pub bytes: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    Value {
        bytes: Bytes,
        metadata: Vec<MetadataField>,
    },
    /// A delete. A version like any other: it merges, replicates and is repaired.
    Tombstone,
}

/// The hash of a version's content (XXH3, 128 bits), made where the write enters and checked
/// wherever the version is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash(pub u128);

impl Content {
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        matches!(self, Self::Tombstone)
    }

    #[must_use]
    pub fn hash(&self) -> ContentHash {
        let mut hasher = xxhash_rust::xxh3::Xxh3Default::new();
        match self {
            Self::Tombstone => hasher.update(b"tombstone"),
            Self::Value { bytes, metadata } => {
                hasher.update(b"value");
                for field in metadata {
                    hasher.update(&field.tag.to_be_bytes());
                    hasher.update(&(field.bytes.len() as u64).to_be_bytes());
                    hasher.update(&field.bytes);
                }
                hasher.update(bytes);
            }
        }
        ContentHash(hasher.digest128())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    pub dot: Dot,
    pub timestamp: Timestamp,
    pub operation: OperationId,
    pub hash: ContentHash,
    pub content: Content,
}

/// Versions out of order, or a dot that the context does not cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MalformedObject;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    context: Context,
    versions: Vec<Version>,
}

impl Object {
    /// A key that nobody has written.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the parts of an object as they were stored or received.
    ///
    /// # Errors
    /// If they break an invariant of this type.
    pub fn from_parts(context: Context, versions: Vec<Version>) -> Result<Self, MalformedObject> {
        let ordered = versions.windows(2).all(|pair| pair[0].dot < pair[1].dot);
        if !ordered || versions.iter().any(|version| !context.covers(version.dot)) {
            return Err(MalformedObject);
        }
        Ok(Self { context, versions })
    }

    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    #[must_use]
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// Whether nothing was ever written here.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.context.is_empty() && self.versions.is_empty()
    }

    /// Whether there is something to read: a version that is no tombstone.
    #[must_use]
    pub fn has_value(&self) -> bool {
        self.versions
            .iter()
            .any(|version| !version.content.is_tombstone())
    }

    /// The bytes of all values together, without metadata.
    #[must_use]
    pub fn value_bytes(&self) -> usize {
        let bytes = |version: &Version| match &version.content {
            Content::Value { bytes, .. } => bytes.len(),
            Content::Tombstone => 0,
        };
        self.versions.iter().map(bytes).sum()
    }

    #[must_use]
    pub fn greatest_timestamp(&self) -> Timestamp {
        self.versions
            .iter()
            .map(|version| version.timestamp)
            .max()
            .unwrap_or_default()
    }

    /// Joins what another replica knows of the key.
    ///
    /// A version stays if both have it, or if the side that lacks it has not seen its dot; a side
    /// that has seen it and lacks it has overwritten it. Nothing else is looked at: no clock, no
    /// value, no operation id. So the result depends on neither order nor repetition.
    pub fn merge(&mut self, other: &Self) {
        if other.is_absent() || self == other {
            return;
        }
        let mut merged = Vec::with_capacity(self.versions.len().max(other.versions.len()));
        let mut ours = std::mem::take(&mut self.versions).into_iter().peekable();
        let mut theirs = other.versions.iter().peekable();
        loop {
            let order = match (ours.peek(), theirs.peek()) {
                (Some(a), Some(b)) => a.dot.cmp(&b.dot),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => break,
            };
            let kept = match order {
                Ordering::Less => ours.next().filter(|v| !other.context.covers(v.dot)),
                Ordering::Greater => theirs
                    .next()
                    .filter(|v| !self.context.covers(v.dot))
                    .cloned(),
                Ordering::Equal => ours.next().zip(theirs.next()).map(|(a, b)| same_dot(a, b)),
            };
            merged.extend(kept);
        }
        self.versions = merged;
        self.context.join(&other.context);
    }

    /// Replaces the versions that `seen` covers by a new one, whose dot joins the context.
    pub(crate) fn supersede(&mut self, seen: &Context, version: Version) {
        self.versions.retain(|old| !seen.covers(old.dot));
        self.context.join(seen);
        assert!(!self.context.covers(version.dot), "a dot names one write");
        self.context.observe(version.dot);
        let at = self.versions.partition_point(|old| old.dot < version.dot);
        self.versions.insert(at, version);
    }

    pub(super) fn versions_mut(&mut self) -> &mut Vec<Version> {
        &mut self.versions
    }

    pub(super) fn context_mut(&mut self) -> &mut Context {
        &mut self.context
    }
}

/// One dot names one write, so both sides have the same version. If a store has broken that,
/// every replica keeps the same one of the two: the greater hash.
fn same_dot(ours: Version, theirs: &Version) -> Version {
    let (left, right) = (
        (ours.hash, ours.timestamp, ours.operation),
        (theirs.hash, theirs.timestamp, theirs.operation),
    );
    if right > left { theirs.clone() } else { ours }
}
