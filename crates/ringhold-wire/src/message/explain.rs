//! What happened to one request, for a person who asks.

use bytes::Bytes;
use ringhold_core::id::NodeId;
use ringhold_core::quorum::{ReplicaKind, Requirement};
use ringhold_core::version::Dot;

/// No outcome of a reply is longer, in bytes.
pub const OUTCOME_BYTES_MAX: usize = 256;

/// Who did what, when, and which quorum that made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    pub coordinator: NodeId,
    /// The node that took the request, if it was not the coordinator: forwarded exactly once.
    pub forwarded_by: Option<NodeId>,
    pub partition: u32,
    /// The preference list of the key; the first `n` are its primaries.
    pub preference_list: Vec<NodeId>,
    pub n: u32,
    /// What had to be met.
    pub required: Vec<(Requirement, u32)>,
    pub replies: Vec<ReplyNote>,
    /// Microseconds after the start at which the quorum was met.
    pub met_after_us: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyNote {
    pub node: NodeId,
    pub kind: ReplicaKind,
    /// Microseconds after the coordinator's start.
    pub after_us: u64,
    /// In the words of the protocol: `found`, `not found`, `stored durably`, `timed out` …; at most
    /// [`OUTCOME_BYTES_MAX`].
    pub outcome: Bytes,
    /// The dots that the replica holds or stored.
    pub dots: Vec<Dot>,
}
