//! What nodes ask of each other.

use super::index::{
    CheckRowsRequest, CheckedRows, CountKeysRequest, CountedKeys, RowsPage, RowsRequest,
};
use super::membership::{AcceptRequest, PrepareRequest, RecoveryRequest, RingRequest};
use super::transfer::Receipts;
use super::{
    GetAnswer, GetError, GetRequest, ObjectName, PutAnswer, PutError, PutRequest, TypeUpdate,
};
use bytes::Bytes;
use ringhold_core::boot::{Boot, Testimony};
use ringhold_core::crdt::Precision;
use ringhold_core::datatype::Record;
use ringhold_core::health::Reported;
use ringhold_core::id::{NodeId, OperationId};
use ringhold_core::membership::gossip::{Deltas, Digest};
use ringhold_core::membership::recovery::PledgeReply;
use ringhold_core::membership::register::{AcceptReply, PrepareReply};
use ringhold_core::ring::{Class, Epoch};
use ringhold_core::tree::{FANOUT, LeafSum, NodeHash, TreeBasis};
use ringhold_core::version::{Context, Dot, Object};

/// One request from a peer or a native client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Are you there?
    Ping,
    /// Coordinate this put; never forward it again (T6).
    Coordinate(PutRequest),
    /// Merge this object into your replica.
    Merge(MergeRequest),
    /// Do what I did to my replica's data type, if yours holds what mine held.
    Follow(FollowRequest),
    /// The whole object as your replica holds it.
    Fetch(ObjectName),
    /// What your replica's object amounts to, without the values.
    Digest(ObjectName),
    /// Bucket properties that changed, to be merged by timestamp.
    Properties(Vec<BucketProperties>),
    /// Of a native client: coordinate this get.
    Get(GetRequest),
    /// Of a native client: a put; forwarded once if this node is no replica of the key.
    Put(ClientPut),
    /// The branches of a partition's hash tree.
    Branches { basis: TreeBasis, partition: u32 },
    /// The leaves under some branches of it, a bit for each branch.
    Leaves {
        basis: TreeBasis,
        partition: u32,
        branches: u32,
    },
    /// The keys of some leaves with their digests.
    LeafKeys(LeavesRequest),
    /// The whole objects of several keys as your replica holds them.
    FetchMany(Vec<ObjectName>),
    /// Merge these objects into your replica, and answer when they are on disk.
    MergeMany(Vec<(ObjectName, Object)>),
    /// Mend what differs between you and another home in some leaves.
    Mend(MendRequest),
    /// A page of the objects of some leaves.
    Objects(PageRequest),
    /// Go through your objects of a partition and tell what is there.
    Count(CountRequest),
    /// Of a member that is no home of these keys: is anything of them left with you?
    Strays(StraysRequest),
    /// Of a primary: may these go?
    Vouch(ReapRequest),
    /// Of a primary: all have vouched for these; remove them.
    Reap(ReapRequest),
    /// This ring document, as encoded, is committed.
    RingIs(Bytes),
    /// Which of the partitions that come to you do you have? Whoever answers knows the sender's placement.
    Receipts,
    /// Promise to take no ring document of a lower ballot.
    RingPrepare(PrepareRequest),
    /// Accept this ring document.
    RingAccept(AcceptRequest),
    /// The committed ring document, if it is later than mine.
    RingFetch(RingRequest),
    /// Of a survivor: take part in a recovery without a majority.
    Recover(RecoveryRequest),
    /// Of a survivor: accept the first document of the next generation.
    RecoveryIs(AcceptRequest),
    /// The sender has started: remember it, and say what you knew of its earlier starts.
    Testify(Boot),
    /// How much of each member's word the sender has: the first message of a round of gossip.
    GossipDigest(Digest),
    /// What the receiver lacked: the third message of a round.
    GossipDeltas(Deltas),
    /// A page of index rows.
    Rows(RowsRequest),
    /// How many keys a bucket has.
    CountKeys(CountKeysRequest),
    /// Of a primary: are these index rows those of the objects?
    CheckRows(CheckRowsRequest),
    /// Of a native client: the ring by which you serve. It has the document of this epoch; of epoch 0, none.
    ClientRing(Epoch),
}

/// A put as a client sends it. A client must not be able to make up what it has seen (T3), so it gives
/// back the token that it was given, and `request.seen` is empty until the node has opened it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientPut {
    pub request: PutRequest,
    /// The token of the read that this write follows; empty for a blind write.
    pub context: Bytes,
}

/// What a client gets for a get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientGot {
    pub answer: GetAnswer,
    /// The token that covers every version in the answer, for the write that follows.
    pub context: Bytes,
}

/// What a client needs to find the homes of a key by itself (§6.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRing {
    /// The ring document, encoded whole; none if the client has it. At most
    /// [`DOCUMENT_BYTES_MAX`](super::membership::DOCUMENT_BYTES_MAX).
    pub document: Option<Bytes>,
    /// Where members that serve clients natively are reached, as `host:port`, by their own last word.
    pub addresses: Vec<(NodeId, Bytes)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeRequest {
    pub name: ObjectName,
    pub object: Object,
    /// Answer only once the merged object is on disk.
    pub flushed: bool,
}

/// An update that its coordinator has carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowRequest {
    pub name: ObjectName,
    pub update: TypeUpdate,
    pub operation: OperationId,
    /// Of an estimate that begins with it.
    pub precision: Precision,
    pub record: Record,
    /// Answer only once the outcome is on disk.
    pub flushed: bool,
}

/// A key and what its object amounts to in the cluster's hash trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafEntry {
    pub name: ObjectName,
    pub digest: u128,
}

/// Some leaves of a partition's hash tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeavesRequest {
    pub basis: TreeBasis,
    pub partition: u32,
    /// In ascending order.
    pub leaves: Vec<u16>,
}

/// The keys of the first of the leaves that were asked for: as many leaves as fit, and at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafKeys {
    /// How many leaves were listed.
    pub leaves: u16,
    pub entries: Vec<LeafEntry>,
}

/// See [`Request::Mend`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MendRequest {
    pub with: NodeId,
    pub at: LeavesRequest,
}

/// What was mended in the first of the leaves: as many as there was time for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mended {
    /// How many leaves are done.
    pub leaves: u16,
    /// Keys that differed and are equal now.
    pub keys: u64,
    /// Keys that differ still: an end refused them, or did not answer.
    pub failed: u64,
    /// Encoded requests to the other home and replies from it, in bytes.
    pub bytes_sent: u64,
    pub bytes_received: u64,
}

/// Leaves of a partition of which the objects themselves are to be counted, not what is kept of their sums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountRequest {
    pub basis: TreeBasis,
    pub partition: u32,
    /// In ascending order.
    pub leaves: Vec<u16>,
    /// Set right the sums that don't say what is there.
    pub set_right: bool,
}

/// What is in the first of the leaves that were asked for; as many as were counted in the time that there was, and
/// at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountedLeaves {
    pub sums: Vec<LeafSum>,
    /// Those among them that are not as they should be.
    pub faults: Vec<LeafFault>,
}

/// What is wrong with a leaf, whatever other replicas say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafFault {
    pub leaf: u16,
    /// Records that can't be read. They are not in the sum.
    pub unreadable: u32,
    /// Whether the kept sum said something else than the objects, or was in doubt.
    pub wrong_sum: bool,
}

/// About keys that may be reaped (T11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StraysRequest {
    pub partition: u32,
    /// Since how long the node must not have sent any of them home, in microseconds.
    pub quiet_us: u64,
    pub names: Vec<ObjectName>,
}

/// Keys that may be reaped, each with the digest of its object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReapRequest {
    pub partition: u32,
    pub entries: Vec<LeafEntry>,
}

/// No bucket's encoded overrides are longer, in bytes.
pub const OVERRIDES_BYTES_MAX: usize = 64 * 1_024;

/// The overrides of one bucket, as an opaque document with the time of its last change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketProperties {
    pub bucket_type: Bytes,
    pub bucket: Bytes,
    /// Orders changes: the later one holds everywhere.
    pub changed_us: u64,
    /// Breaks ties between changes of one microsecond.
    pub changed_by: u128,
    /// The encoded overrides, at most [`OVERRIDES_BYTES_MAX`]; empty after a reset.
    pub overrides: Bytes,
}

/// What a replica's object amounts to. Equal digests mean equal objects, because a dot names one
/// write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectDigest {
    pub context: Context,
    /// Each version's dot, whether it is a tombstone, and its content hash.
    pub versions: Vec<(Dot, bool, u128)>,
}

impl Reply {
    /// How the node is that sent this sign of life; none if it is something else.
    #[must_use]
    pub fn reported(&self) -> Option<&Reported> {
        match self {
            Self::Pong(reported) | Self::Here { reported, .. } => Some(reported),
            _ => None,
        }
    }
}

impl ObjectDigest {
    #[must_use]
    pub fn of(object: &Object) -> Self {
        let versions = object.versions().iter();
        let versions = versions
            .map(|v| (v.dot, v.content.is_tombstone(), v.hash.0))
            .collect();
        Self {
            context: object.context().clone(),
            versions,
        }
    }
}

/// No cursor is longer, in bytes.
pub const CURSOR_BYTES_MAX: usize = 64;

/// Asks for the objects of a run of leaves of a partition, in the order of the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    pub partition: u32,
    /// Which keys of the partition.
    pub class: Class,
    /// The first leaf of the run, and the last.
    pub first_leaf: u16,
    pub last_leaf: u16,
    /// Where the page before ended, in the words of the node that sent it; empty for the first page.
    pub cursor: Bytes,
}

/// Some objects, and where the next page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub objects: Vec<(ObjectName, Object)>,
    /// Empty after the last page.
    pub cursor: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Here, and how this node is. To those who speak protocol 1 only.
    Pong(Reported),
    /// Here, how this node is, and the epoch of the ring document that it serves by.
    Here {
        reported: Reported,
        epoch: Epoch,
    },
    Coordinated(Result<PutAnswer, PutError>),
    Merged {
        durable: bool,
    },
    Fetched(Object),
    Digested(ObjectDigest),
    /// The properties were merged and persisted.
    PropertiesKept,
    Got(Result<ClientGot, GetError>),
    Branches(Box<[NodeHash; FANOUT]>),
    /// Of each branch that was asked for, in order.
    Leaves(Vec<[LeafSum; FANOUT]>),
    LeafKeys(LeafKeys),
    /// Of the first of the names: as many as fit, and at least one.
    FetchedMany(Vec<Result<Object, Refusal>>),
    /// Of each object in turn.
    MergedMany(Vec<Result<(), Refusal>>),
    Mended(Mended),
    Objects(Page),
    Counted(CountedLeaves),
    /// With the encoded document that was accepted before, if any.
    RingPromised(PrepareReply<Bytes>),
    RingAccepted(AcceptReply),
    /// The later document without the sections that the asker has, or nothing if there is no later one.
    RingFetched(Option<Bytes>),
    /// With the encoded documents that were accepted before, if any.
    Pledged(PledgeReply<Bytes>),
    RecoveryAccepted(AcceptReply),
    /// For each key of the question: yes or no.
    Said(Vec<bool>),
    /// The document is known.
    RingTaken,
    Receipts(Receipts),
    /// What this node knew of the sender before; what it was told is on disk.
    Testimony(Testimony),
    /// What the asker lacks, and how much the answerer has of what it lacks itself: the second message of a round.
    Gossip {
        deltas: Deltas,
        wanted: Digest,
    },
    /// The third message of a round was taken in.
    GossipTaken,
    Rows(RowsPage),
    CountedKeys(CountedKeys),
    CheckedRows(CheckedRows),
    ClientRing(ClientRing),
    /// The request was not carried out.
    Refused(Refusal),
}

/// Why a replica did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its queue is full; it did nothing.
    Overloaded,
    /// The deadline had passed when the request's turn came; it did nothing.
    Expired,
    /// Its store has failed; whether a write was kept is unknown.
    StoreFailed,
    /// The record on its disk can't be read. Never to be taken for "not found".
    Unreadable,
    /// The replica is rebuilding and doesn't know.
    Rebuilding,
    /// Its store is new, and too few members know of it yet: nothing may be entrusted to it.
    Starting,
    /// The request makes no sense to it.
    Malformed,
    /// Its disk is too full for this.
    DiskFull,
    /// The sender knows an older placement; it must fetch the ring first.
    PlacementBehind,
    /// The sender knows a later placement, and this node could not get it.
    PlacementUnknown,
    /// The sender is no member, or not any more.
    NotAMember,
    /// Its hash trees are made with something else, or for other nodes (T13).
    OtherBasis,
    /// It does not hold what an update was carried out on.
    OtherBase,
    /// It is still telling apart which of its keys belong to which hash tree.
    Sorting,
    /// It speaks an older protocol, which does not have this request. It was not even sent.
    OlderProtocol,
}
