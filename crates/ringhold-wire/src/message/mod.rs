//! Requests and answers: what coordinators take and give, here and across the network.
//!
//! A put that is forwarded to a primary travels as the request that the client made, and its answer
//! comes back as the answer that the client gets; so these types are also the node's interface.
//!
//! An answer to a put never says "failed" once a dot may have left the node (T6): it is done,
//! it provably did not start, it is unknown, or it was rejected with a reason.

pub(crate) mod codec;
pub mod explain;
pub mod index;
pub mod membership;
pub mod peer;
mod protocol;
pub mod transfer;

use bytes::Bytes;
use explain::Explanation;
use ringhold_core::crdt::{CausalContext, Refused, Update};
use ringhold_core::fingerprint::fingerprint;
use ringhold_core::id::OperationId;
use ringhold_core::quorum::{GetSpec, PutCounts, PutSpec, QuorumViolation, Shortfall};
use ringhold_core::ring::Position;
use ringhold_core::version::{Content, Context, ContextToken, Dot, Object};

/// No longer bucket type is taken in, in bytes.
pub const BUCKET_TYPE_BYTES_MAX: usize = 256;
/// No longer bucket is taken in, in bytes.
pub const BUCKET_BYTES_MAX: usize = 256;
/// No longer key is taken in, in bytes.
pub const KEY_BYTES_MAX: usize = 1_024;
/// What decoders take of any name: more than is taken in, so that a later release may take in more
/// and this one still reads it.
pub const NAME_BYTES_MAX: usize = 4_096;

/// The address of an object: three byte strings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    pub bucket_type: Bytes,
    pub bucket: Bytes,
    pub key: Bytes,
}

/// The bucket type of names that give none.
pub const DEFAULT_BUCKET_TYPE: &[u8] = b"default";

impl ObjectName {
    #[must_use]
    pub fn position(&self) -> Position {
        Position::of(&self.bucket_type, &self.bucket, &self.key)
    }

    /// What a client means to do to this object under an idempotency key: one operation, at whichever door it is tried.
    #[must_use]
    pub fn operation(&self, idempotency_key: &[u8]) -> OperationId {
        let given = fingerprint(OPERATION_KEY, idempotency_key, b"", b"");
        OperationId(fingerprint(
            given,
            &self.bucket_type,
            &self.bucket,
            &self.key,
        ))
    }
}

/// Keeps the hash of an idempotency key apart from those for other purposes. What was hashed with it is in stores.
const OPERATION_KEY: u128 = u128::from_be_bytes(*b"ringhold op id 1");

/// What a get asks for beyond the bucket's properties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GetOptions {
    pub quorum: GetSpec,
    /// Another number of replicas than the bucket's.
    pub n_val: Option<u32>,
    /// No fallback answers for a primary that can't (a sloppy quorum is refused, §4.6).
    pub primaries_only: bool,
}

/// What a put asks for beyond the bucket's properties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PutOptions {
    pub quorum: PutSpec,
    /// Another number of replicas than the bucket's.
    pub n_val: Option<u32>,
    /// No fallback stands in for a primary that can't take it (a sloppy quorum is refused, §4.6).
    pub primaries_only: bool,
    /// At least so many flush before the put is answered, whatever the bucket says.
    pub flush: Flush,
}

/// Who is asked to flush by a put, beyond those whom its bucket asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flush {
    /// Nobody: it is as the bucket says.
    #[default]
    AsBucket,
    /// One replica.
    One,
    /// Every replica whose acknowledgement is counted.
    Counted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetRequest {
    pub name: ObjectName,
    pub options: GetOptions,
    pub explain: bool,
}

/// What a put does to its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Writes a value, or deletes with a tombstone.
    Content(Content),
    /// Updates a data type.
    Update(Box<TypeUpdate>),
}

/// An update of a data type. What its client had read is in here, and not in the put's `seen`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeUpdate {
    pub update: Update,
    /// What the client had read of the value, for what it removes; none if it gave no context.
    pub context: Option<CausalContext>,
}

impl Change {
    #[must_use]
    pub fn is_delete(&self) -> bool {
        matches!(self, Self::Content(Content::Tombstone))
    }
}

impl From<Content> for Change {
    fn from(content: Content) -> Self {
        Self::Content(content)
    }
}

impl From<TypeUpdate> for Change {
    fn from(update: TypeUpdate) -> Self {
        Self::Update(Box::new(update))
    }
}

/// A put: of a value, a tombstone or an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutRequest {
    pub name: ObjectName,
    /// What the writer had seen, and the greatest timestamp in it; empty for a blind write.
    pub seen: ContextToken,
    pub operation: OperationId,
    pub change: Change,
    /// The condition of a conditional put: the coordinating replica refuses if it holds a write
    /// that this context has not seen. `Some` of an empty context means "only if never written".
    pub unchanged_since: Option<Context>,
    pub options: PutOptions,
    pub return_object: bool,
    pub explain: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetAnswer {
    /// The merge of what the replicas of the quorum hold; absent if none has it.
    pub object: Object,
    pub explanation: Option<Box<Explanation>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutAnswer {
    pub dot: Dot,
    pub counts: PutCounts,
    /// The object after the write, if the request asked for it.
    pub object: Option<Object>,
    pub explanation: Option<Box<Explanation>>,
}

/// Why a get has no answer. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GetError {
    /// So few replicas answered that the requirement can't be met any more.
    QuorumNotMet(Shortfall),
    /// The deadline passed first.
    TimedOut,
    /// A queue on the way is full; try again later.
    Overloaded,
    Violation(QuorumViolation),
    UnknownBucketType,
}

/// Why a put was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutError {
    /// Nothing was written anywhere; retry freely.
    NotStarted(NotStarted),
    /// The write may be on some replicas and may appear at any later time. Retry with the same
    /// operation id.
    Unknown(Uncertain),
    /// Refused for what it is; retrying the same is useless. Nothing was written.
    Rejected(Rejection),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStarted {
    /// A queue on the way is full.
    Overloaded,
    /// The deadline passed before anything was written.
    TimedOut,
    /// None of the key's replicas can be reached.
    NoReplica,
    /// Too few primaries can be reached for the PW that was asked for.
    TooFewPrimaries { required: u32, obtained: u32 },
    /// This node's store has failed and takes no writes until it is reopened.
    StoreFailed,
    /// This node has just started and does not know yet under which name it may write.
    Starting,
    /// This node's wall clock is too far from its peers' to make timestamps.
    ClockOff,
    /// This node's disk is nearly full.
    DiskFull,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uncertain {
    /// Too few replicas acknowledged.
    QuorumNotMet(Shortfall),
    /// The deadline passed first.
    TimedOut,
    /// The store or the connection to the coordinator failed on the way.
    Interrupted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    Violation(QuorumViolation),
    UnknownBucketType,
    /// The context was not given out by this cluster for this key.
    ContextRefused,
    /// The object with all its siblings would be larger than the limit, in bytes.
    ObjectTooLarge {
        bytes: u64,
        limit: u64,
    },
    /// The key has as many siblings as are allowed, and the write has seen too few of them.
    TooManySiblings {
        siblings: u32,
        limit: u32,
    },
    /// The key's context has as many entries as are allowed.
    ContextTooLarge {
        entries: u32,
        limit: u32,
    },
    /// The condition of a conditional put does not hold.
    Modified,
    /// What the update asks for can't be done to what the key holds.
    Update(Refused),
    /// An update of a key that holds an ordinary value, or an ordinary value for a key that holds a data type.
    NotADataType,
    /// An update in a bucket that keeps no siblings (`allow_mult` is off): there one of two updates could be lost.
    SiblingsOff,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stores hold what was made with it: it never changes, and is the same at each door.
    #[test]
    fn an_idempotency_key_names_one_operation_of_one_object() {
        let name = |key: &'static str| ObjectName {
            bucket_type: Bytes::from_static(DEFAULT_BUCKET_TYPE),
            bucket: Bytes::from_static(b"shop"),
            key: Bytes::from_static(key.as_bytes()),
        };
        let operation = name("list").operation(b"once");
        assert_eq!(
            format!("{:032x}", operation.0),
            "269d2be6dd89be01df76d97191a002d6"
        );
        assert_ne!(operation, name("list").operation(b"twice"));
        assert_ne!(operation, name("other").operation(b"once"));
    }
}
