//! The ring document that this node serves by.
//!
//! It is a row of the store, so it is on disk with everything else and goes back in time only with everything else. The file
//! that a node was founded or enrolled with is where the first one comes from; whichever of the two is later counts. Another document
//! of the same epoch is refused, with the reason: it belongs to a founding that was done over.
//!
//! A new document is checked, written, flushed, and only then taken into use: the ring that requests are planned with is one
//! pointer, replaced without a lock that they would have to wait for. Then connections and health follow the members.

#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::node::Node;
use crate::replica::writer::Row;
use bytes::Bytes;
use ringhold_core::id::NodeId;
use ringhold_core::ring::{Descent, Epoch, InvalidRing, MemberState, Ring, RingDocument};
use ringhold_storage::{Keyspace, StorageKey, Store};
use ringhold_wire::bytes_io::{DecodeError, Reader, WITHOUT_LIMIT, decode_whole, encode_alone};
use ringhold_wire::message::peer::Refusal;
use ringhold_wire::ring as ring_format;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::{Mutex, Notify};

const ROW_VERSION: u8 = 2;

/// Why a node does not start with its ring. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RingRefused {
    /// The store was served with another one of the same epoch.
    Different { epoch: u64 },
    /// The store was served in another cluster.
    OtherCluster,
    /// What the store remembers of it can't be read, or makes no sense.
    Unreadable(String),
    /// This node is not a member.
    NotAMember { epoch: u64 },
    /// This node was removed from the cluster.
    Removed { epoch: u64 },
    /// The others have gone on without this node, by so many recoveries.
    GivenUp { epoch: u64, recovery: usize },
}

impl fmt::Display for RingRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Different { epoch } => write!(
                f,
                "the ring document of epoch {epoch} is not the one of this epoch that this store was last \
                 served with: it belongs to another cluster, or to a founding that was done over"
            ),
            Self::OtherCluster => f.write_str(
                "the store was served in another cluster than the ring document's; two clusters can't be merged",
            ),
            Self::Unreadable(why) => write!(
                f,
                "what the store remembers of its ring document can't be read: {why}"
            ),
            Self::NotAMember { epoch } => write!(
                f,
                "the ring document of epoch {epoch} does not list this node: it belongs to another node's directory"
            ),
            Self::Removed { epoch } => write!(
                f,
                "this node was removed from the cluster (epoch {epoch} says so) and will not be a member again; \
                 to use this machine, empty its data directory and join as a new node"
            ),
            Self::GivenUp { epoch, recovery } => f.write_str(&given_up(*epoch, *recovery)),
        }
    }
}

impl std::error::Error for RingRefused {}

/// What a node is told that the others have given up.
#[must_use]
pub fn given_up(epoch: u64, recovery: usize) -> String {
    format!(
        "the cluster was recovered without this node (recovery {recovery}, epoch {} says so): an operator took it for lost, \
         and it will not be a member again. What only it acknowledged is in its data directory and nowhere else: keep that, or \
         take a backup of it. To use this machine, join as a new node with another data directory",
        Epoch(epoch)
    )
}

/// Why a document is not taken into use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotAdopted {
    /// It is of another cluster.
    OtherCluster,
    /// It is not the one of its epoch that this node holds. This can't be, and nothing is merged.
    Different {
        epoch: u64,
    },
    Invalid(InvalidRing),
    /// The cluster was recovered twice, in two ways; the two have so many recoveries in common.
    Parted {
        common: usize,
    },
    /// It could not be written.
    Store(Refusal),
}

impl fmt::Display for NotAdopted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherCluster => f.write_str("it is of another cluster"),
            Self::Different { epoch } => write!(f, "this node holds another one of epoch {epoch}"),
            Self::Invalid(invalid) => invalid.fmt(f),
            Self::Parted { common } => write!(
                f,
                "the cluster was recovered in two ways after recovery {common}, once with this node and once without it: \
                 choose one of the two, and stop the nodes of the other for good"
            ),
            Self::Store(refusal) => write!(f, "it could not be written: {refusal:?}"),
        }
    }
}

/// See the module; the ring itself is the node's.
pub(crate) struct Documents {
    /// Held from comparing a document with the one in use until it has taken its place.
    adopting: Mutex<()>,
    /// Another document is in use. Who waits is woken in the order of coming: with a `watch` it would be at random.
    replaced: Notify,
}

impl Documents {
    pub(crate) fn new() -> Self {
        Self {
            adopting: Mutex::new(()),
            replaced: Notify::new(),
        }
    }
}

/// The later of a document and the one that the store remembers; and the row to keep if it is the former.
pub(crate) fn latest(
    store: &Store,
    me: NodeId,
    given: &Arc<Ring>,
) -> Result<(Arc<Ring>, Option<Row>), RingRefused> {
    let unreadable = |error: &dyn fmt::Display| RingRefused::Unreadable(error.to_string());
    let row = store.get(Keyspace::Members, &row_key(me));
    let row = row.map_err(|error| unreadable(&error))?;
    let kept = row.map(decode).transpose();
    let kept = kept.map_err(|error| unreadable(&error))?;
    #[cfg(feature = "known-bad")]
    let kept = kept.filter(|_| !known_bad::is(Variant::OldRingServed));
    let (ring, row) = match kept {
        Some(kept) => {
            let kept = Ring::new(kept).map_err(|error| unreadable(&error))?;
            match choose(kept.document(), given.document())? {
                Later::Kept => (Arc::new(kept), None),
                Later::Given => (Arc::clone(given), Some(row_of(me, given.document()))),
            }
        }
        None => (Arc::clone(given), Some(row_of(me, given.document()))),
    };
    let epoch = ring.document().epoch.0;
    match ring.member(me).map(|member| member.state) {
        None => Err(RingRefused::NotAMember { epoch }),
        Some(state) if state.is_gone() => Err(gone(ring.document(), me)),
        Some(_) => Ok((ring, row)),
    }
}

fn gone(document: &RingDocument, me: NodeId) -> RingRefused {
    let epoch = document.epoch.0;
    match document.given_up_in(me) {
        Some(recovery) => RingRefused::GivenUp { epoch, recovery },
        None => RingRefused::Removed { epoch },
    }
}

enum Later {
    Kept,
    Given,
}

fn choose(kept: &RingDocument, given: &RingDocument) -> Result<Later, RingRefused> {
    if kept.cluster_id != given.cluster_id {
        return Err(RingRefused::OtherCluster);
    }
    let epoch = given.epoch.0;
    match kept.epoch.cmp(&given.epoch) {
        std::cmp::Ordering::Less => Ok(Later::Given),
        std::cmp::Ordering::Greater => Ok(Later::Kept),
        std::cmp::Ordering::Equal if kept.hash() == given.hash() => Ok(Later::Kept),
        std::cmp::Ordering::Equal => Err(RingRefused::Different { epoch }),
    }
}

impl Node {
    /// Takes a committed document into use, if it is later than the one in use; whether it was.
    pub(crate) async fn adopt(
        self: &Arc<Self>,
        document: Arc<RingDocument>,
    ) -> Result<bool, NotAdopted> {
        let _adopting = self.documents.adopting.lock().await;
        let held = self.ring();
        let (held, epoch) = (held.document(), document.epoch.0);
        let is_foreign = held.cluster_id != document.cluster_id;
        #[cfg(feature = "known-bad")]
        let is_foreign = is_foreign && !known_bad::is(Variant::ForeignDocumentTaken);
        if is_foreign {
            return Err(NotAdopted::OtherCluster);
        }
        if held.epoch == document.epoch && held.hash() != document.hash() {
            tracing::error!(
                epoch,
                "two ring documents of one epoch: no change of the ring is safe until people have looked"
            );
            return Err(NotAdopted::Different { epoch });
        }
        if held.epoch >= document.epoch {
            return Ok(false);
        }
        if let Descent::Parted { common } = document.descent(held) {
            return Err(NotAdopted::Parted { common });
        }
        let ring = Ring::new((*document).clone()).map_err(NotAdopted::Invalid)?;
        let row = row_of(self.id, &document);
        #[cfg(feature = "known-bad")]
        if known_bad::is(Variant::DocumentNotKept) {
            self.take_into_use(&Arc::new(ring));
            return Ok(true);
        }
        let kept = self.replica.keep_row(row).await;
        kept.map_err(NotAdopted::Store)?;
        self.take_into_use(&Arc::new(ring));
        self.recovered(&document);
        Ok(true)
    }

    fn take_into_use(self: &Arc<Self>, ring: &Arc<Ring>) {
        let document = ring.document();
        let (epoch, placement_number) = (document.epoch.0, ring.placement_number());
        self.follow(ring);
        self.sort_by(ring);
        #[cfg(not(feature = "known-bad"))]
        self.properties.follow(ring);
        #[cfg(feature = "known-bad")]
        if !known_bad::is(Variant::TypesNotFollowed) {
            self.properties.follow(ring);
        }
        self.set_ring(Arc::clone(ring));
        self.documents.replaced.notify_waiters();
        self.metrics.epochs_adopted.add(1);
        tracing::info!(epoch = %document.epoch, placement_number, "a new ring document is in use");
        if self.is_removed() {
            tracing::warn!(epoch, "this node is no member of the cluster any more");
        }
    }

    /// Has connections and health follow the members of a ring.
    pub(crate) fn follow(&self, ring: &Ring) {
        let present = |id: &NodeId| {
            let state = ring.member(*id).map(|member| member.state);
            state.is_some_and(|state| !state.is_gone())
        };
        let others = ring.members().iter().map(|member| member.id);
        let others = others.filter(|id| *id != self.id && present(id));
        self.health.follow(others);
        self.peers.follow(&self.where_they_are(ring));
        let lost = ring.members().iter();
        for member in lost.filter(|member| member.state == MemberState::Lost) {
            if !self.does_without(member.id) {
                self.rebuild_without(member.id);
            }
        }
    }

    /// Whether this node was removed from its cluster. It serves nothing then.
    #[must_use]
    pub fn is_removed(&self) -> bool {
        let ring = self.ring();
        let state = ring.member(self.id).map(|member| member.state);
        state.is_none_or(MemberState::is_gone)
    }

    /// Ends when another document is in use than that of an epoch.
    pub async fn ring_after(&self, epoch: u64) {
        loop {
            // Waits from here on, so that a document which comes between the look and the wait is not missed.
            let mut replaced = pin!(self.documents.replaced.notified());
            replaced.as_mut().enable();
            if self.ring().document().epoch.0 != epoch {
                return;
            }
            replaced.await;
        }
    }
}

fn row_of(me: NodeId, document: &RingDocument) -> Row {
    Row {
        keyspace: Keyspace::Members,
        key: row_key(me),
        value: encode(document),
    }
}

/// Under the node's own id, beside what it remembers of others.
fn row_key(me: NodeId) -> StorageKey {
    StorageKey::new(me.0, 0)
}

/// `version u8 │ the document`
fn encode(document: &RingDocument) -> Bytes {
    let document = ring_format::encode(document);
    encode_alone(1 + 4 + document.len(), |writer| {
        writer.u8(ROW_VERSION);
        writer.bytes(&document);
    })
}

fn decode(row: Bytes) -> Result<RingDocument, DecodeError> {
    let document = decode_whole("ring row", row, |reader: &mut Reader| {
        match reader.u8("ring row")? {
            ROW_VERSION => reader.bytes("ring document", WITHOUT_LIMIT),
            version => Err(DecodeError::UnknownVersion {
                what: "ring row",
                version,
            }),
        }
    })?;
    ring_format::decode(document)
}
