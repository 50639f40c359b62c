//! What the edges need of a node, and nothing more.
//!
//! The edge turns texts into requests and answers into texts; what is between is behind this trait. The
//! node implements it, and the tests put a map of objects behind it, so that every answer of the
//! protocol can be provoked without a cluster.
//!
//! Not here: who may do what. Nobody is asked for a name yet, which is why a node listens on
//! loopback unless it is told otherwise.

use super::listing::{Ended, Listed};
use bytes::Bytes;
use ringhold_core::id::NodeId;
use ringhold_core::version::TokenKey;
use ringhold_node::properties::{Overrides, Properties, PropertiesError};
use ringhold_node::{
    Admitted, ChangeFailed, Errand, Insisting, Query, QueryFailed, RecoveryFailed, RestoreRefused,
    TypeView,
};
use ringhold_wire::backup::{Block, Head};
use ringhold_wire::message::{
    GetAnswer, GetError, GetRequest, ObjectName, PutAnswer, PutError, PutRequest,
};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Where a node speaks Riak's Protocol Buffers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PbDoor {
    pub name: String,
    pub ip: String,
    pub port: u16,
}

/// What an operator may have done that takes longer than a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// Compare what the primaries of a partition hold, or of all.
    Verify { partition: Option<u32> },
    /// Make the primaries of a partition equal, or of all.
    Repair { partition: Option<u32> },
    /// Give out a backup of this node's store, in blocks instead of lines.
    Backup,
}

/// Why a job was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobRefused {
    /// The ring has so many partitions, counted from 0.
    NoSuchPartition { partition: u32, count: u32 },
}

impl fmt::Display for JobRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchPartition { partition, count } => write!(
                f,
                "there is no partition {partition}: they are 0 to {}",
                count.saturating_sub(1)
            ),
        }
    }
}

impl std::error::Error for JobRefused {}

/// A change of the ring that an operator wants; members by name or id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    Leave {
        node: String,
    },
    /// `yes_it_is_dead`: also if it can be reached.
    Remove {
        node: String,
        yes_it_is_dead: bool,
    },
    Replace {
        old: String,
        new: String,
        yes_it_is_dead: bool,
    },
    Weigh {
        node: String,
        weight: u32,
    },
    Place {
        node: String,
        zone: String,
        rack: String,
    },
}

/// What an operator has done with the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RingOrder {
    /// One more change on the list.
    Stage(Wish),
    /// All that is staged begins.
    Commit,
    /// The placement change under way is given up, or else what is staged.
    Abort,
}

/// What an operator, or a client, has done with a bucket type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeOrder {
    Create {
        set: Overrides,
    },
    Activate,
    /// What has to wait for something else waits for `timeout_ms`.
    Update {
        change: Overrides,
        timeout_ms: u64,
    },
}

/// Going on without a majority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Members by name or id; none for all whom the node can't reach.
    pub give_up: Option<Vec<String>>,
    /// Otherwise what it would come to is shown, and nothing is done.
    pub carry_out: bool,
}

/// Where one replica of a key is to be found now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub partition: u32,
    /// The node's name.
    pub node: String,
    /// Otherwise it stands in for one that is down.
    pub is_primary: bool,
}

/// Why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderFailed {
    /// No member is called that. Nothing has changed.
    NoSuchMember { name: String, names: Vec<String> },
    /// A node that can be reached is not to be given up as dead by mistake. Nothing has changed.
    StillThere { name: String },
    /// The members refused, or did not agree.
    Failed(ChangeFailed),
    /// The cluster does not go on without a majority.
    NotRecovered(RecoveryFailed),
}

impl fmt::Display for OrderFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchMember { name, names } => {
                write!(
                    f,
                    "no member is called {name}; there are {}",
                    names.join(", ")
                )
            }
            Self::StillThere { name } => write!(
                f,
                "{name} can be reached: let it leave, so that it hands over what it has. If it is to be given up all the \
                 same, insist with --yes-it-is-dead (\"yes_it_is_dead\": true), and stop it first"
            ),
            Self::Failed(reason) => reason.fmt(f),
            Self::NotRecovered(reason) => reason.fmt(f),
        }
    }
}

impl std::error::Error for OrderFailed {}

/// A node as its edges see it. Cheap to clone: a handle.
pub trait Door: Clone + Send + Sync + 'static {
    /// The object, or why not; in either case within `timeout_ms`.
    fn get(
        &self,
        request: GetRequest,
        timeout_ms: u64,
    ) -> impl Future<Output = Result<GetAnswer, GetError>> + Send;

    /// Writes, or deletes when the content is a tombstone. What has begun goes on when the future is
    /// dropped.
    fn put(
        &self,
        request: PutRequest,
        timeout_ms: u64,
    ) -> impl Future<Output = Result<PutAnswer, PutError>> + Send;

    /// Begins a listing or an index query; what comes of it is pulled out of what is returned, and ends with
    /// [`Listed::Ended`] or [`Listed::Failed`]. It ends soon after that is dropped.
    fn query(&self, query: Query, timeout_ms: u64) -> mpsc::Receiver<Listed>;

    /// Of each partition, whom one can ask about a bucket's keys there.
    fn homes_to_ask(&self, bucket_type: &Bytes, bucket: &Bytes) -> Vec<Vec<NodeId>>;

    /// The members that can be reached, and where each speaks Riak's Protocol Buffers; without those that don't.
    fn pb_doors(&self) -> BTreeMap<NodeId, PbDoor>;

    /// How many keys a bucket has: for each partition the most that one of R homes counts.
    fn count_keys(
        &self,
        bucket_type: &Bytes,
        bucket: &Bytes,
        timeout_ms: u64,
    ) -> impl Future<Output = Result<(u64, Ended), QueryFailed>> + Send;

    /// The properties of a bucket; `None` if there is no such bucket type.
    fn properties(&self, bucket_type: &Bytes, bucket: &Bytes) -> Option<Arc<Properties>>;

    /// Lays a change over what the bucket has set, or takes back all that it has set (`None`). Returns
    /// once every member that can be reached has it. What has to wait for something else waits that long.
    fn change_properties(
        &self,
        bucket_type: &Bytes,
        bucket: &Bytes,
        change: Option<Overrides>,
        timeout_ms: u64,
    ) -> impl Future<Output = Result<(), PropertiesError>> + Send;

    /// The created types, by name; the default type is none of them.
    fn bucket_types(&self) -> Vec<TypeView>;

    /// Whose name clients are told as that of the node which answers for a type.
    fn claimant(&self) -> String;

    /// Creates, activates or changes a type.
    fn type_order(
        &self,
        name: &Bytes,
        order: TypeOrder,
    ) -> impl Future<Output = Result<(), ChangeFailed>> + Send;

    /// What authenticates the contexts that clients hold.
    fn token_key(&self) -> &TokenKey;

    /// 128 random bits.
    fn random(&self) -> u128;

    /// The name that people gave this node.
    fn own_name(&self) -> String;

    /// The name that people gave a node.
    fn node_name(&self, node: NodeId) -> String;

    /// Who is up, and what this node is doing.
    fn status(&self) -> serde_json::Value;

    /// Who owns what.
    fn ring(&self) -> serde_json::Value;

    /// Rebuilding this node's store goes on without a member that will not come back.
    ///
    /// # Errors
    /// Why not, for a person.
    fn rebuild_without(&self, member: &str) -> Result<(), String>;

    /// A token with which one node may join within so many seconds.
    fn join_token(&self, ttl_s: u64) -> serde_json::Value;

    /// Carries out an order; what is staged and under way afterwards.
    fn order(
        &self,
        order: RingOrder,
    ) -> impl Future<Output = Result<serde_json::Value, OrderFailed>> + Send;

    /// Goes on without a majority, or shows what that would come to.
    fn recovery(
        &self,
        recovery: Recovery,
    ) -> impl Future<Output = Result<serde_json::Value, OrderFailed>> + Send;

    /// What is staged or under way comes to.
    fn plan(&self) -> impl Future<Output = Result<serde_json::Value, OrderFailed>> + Send;

    /// How far the placement change under way is.
    fn transfers(&self) -> impl Future<Output = serde_json::Value> + Send;

    /// Where a key lives and what each replica holds.
    fn explain(
        &self,
        name: ObjectName,
        timeout_ms: u64,
    ) -> impl Future<Output = serde_json::Value> + Send;

    /// Who a request about this key is sent to now, in ring order; `None` if there is no such bucket type.
    fn preference_list(&self, name: ObjectName) -> Option<Vec<Place>>;

    /// What this node has counted, by the names that Riak gives it.
    fn stats(&self) -> serde_json::Value;

    /// Starts an operator's job; the lines that it has to tell come out of what is returned. It ends soon after that
    /// is dropped.
    ///
    /// # Errors
    /// Nothing was started.
    fn start(&self, job: Job) -> Result<mpsc::Receiver<Bytes>, JobRefused>;

    /// Merges a block of a backup into the objects' homes.
    fn restore(
        &self,
        head: Head,
        block: Block,
        insisting: Insisting,
    ) -> impl Future<Output = Result<serde_json::Value, RestoreRefused>> + Send;

    /// Whether the ring is loaded, the store recovered and every listener up.
    ///
    /// # Errors
    /// What is still missing, for a person.
    fn ready(&self) -> Result<(), String>;

    /// All metrics, as Prometheus text.
    fn metrics(&self) -> String;

    /// A get has shown this many versions (§6.3).
    fn note_siblings_returned(&self, versions: usize);

    /// Whether [`Door::admit`] would let nobody in at the moment.
    fn is_full(&self, errand: Errand) -> bool;

    /// Lets in the get or the put of an object; `None` if too much is going on.
    fn admit(&self, errand: Errand) -> Option<Admitted>;

    /// A request was turned away because too much is going on.
    fn note_request_shed(&self);
}
