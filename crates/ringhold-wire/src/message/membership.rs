//! What members say to each other to agree on the next ring document, and to learn of it.
use bytes::Bytes;
use ringhold_core::membership::register::Ballot;
use ringhold_core::ring::{Epoch, SectionHash};

/// No ring document is longer than this in a message, encoded.
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

/// Asks for the committed document, if there is a later one than the sender's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingRequest {
    /// That of the document which the sender holds.
    pub epoch: Epoch,
    /// Its sections: what is equal need not be sent.
    pub sections: Vec<SectionHash>,
}
