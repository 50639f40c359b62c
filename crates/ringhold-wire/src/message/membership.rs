//! What members say to each other to agree on the next ring document, and to learn of it.
//!
//! The two questions of the register of an epoch ([`ringhold_core::membership::register`]) and a third
//! for what was decided. Documents travel as the bytes that [`crate::ring::encode`] makes, so that a node keeps and passes on
//! exactly what others hashed, sections that it knows nothing about included (T20); whoever takes one decodes and
//! validates it before anything else.

use bytes::Bytes;
use ringhold_core::id::NodeId;
use ringhold_core::membership::register::Ballot;
use ringhold_core::ring::{Epoch, SectionHash};

/// No ring document is longer than this in a message, encoded. The owners of the largest ring there can be
/// and as many members as anybody has run take an eighth of it. Who makes a longer one must not propose it: it
/// can't be written.
pub const DOCUMENT_BYTES_MAX: usize = 16 * 1_024 * 1_024;

/// Asks a voter for a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrepareRequest {
    /// The epoch to be decided.
    pub epoch: Epoch,
    pub ballot: Ballot,
}

/// Asks a voter, of the previous document or of this one, to accept a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptRequest {
    /// The epoch to be decided, and that of the document.
    pub epoch: Epoch,
    pub ballot: Ballot,
    /// At most [`DOCUMENT_BYTES_MAX`].
    pub document: Bytes,
}

/// Asks a survivor of a lost majority to take part in a recovery ([`ringhold_core::membership::recovery`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryRequest {
    /// The first epoch of the generation that is to begin.
    pub epoch: Epoch,
    pub ballot: Ballot,
    /// The members that are to be given up, in order.
    pub given_up: Vec<NodeId>,
}

/// Asks for the committed document, if there is a later one than the sender's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingRequest {
    /// That of the document which the sender holds.
    pub epoch: Epoch,
    /// Its sections: those that are equal are left out of the answer, which is made and read by
    /// [`crate::ring::encode_changes`] and [`crate::ring::decode_changes`]. None, to be sent everything.
    pub sections: Vec<SectionHash>,
}
