//! The ring that a store was last served with.
//!
//! Where a key lives follows from the ring document, so a node that comes up with an older document than
//! before would take writes for keys that are no longer its own, and say "not found" for others. Such a
//! document turns up when somebody puts one file back from a copy and not the rest. The store remembers
//! epoch and hash of the document that it was served with; an older one, or another one of the same
//! epoch, is refused at the start, with the reason. Epochs of a node never go down (I10).
//!
//! Not here: learning that the *others* have a newer one, which the handshake says.

#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::replica::writer::Row;
use bytes::Bytes;
use ringhold_core::id::NodeId;
use ringhold_core::ring::RingDocument;
use ringhold_storage::{Keyspace, StorageKey, Store};
use ringhold_wire::bytes_io::{DecodeError, Reader, decode_whole, encode_alone};
use std::fmt;

const ROW_VERSION: u8 = 1;
const ROW_BYTES: usize = 1 + 8 + 16;

/// Why a ring document is not served with a store. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RingRefused {
    /// The store was served with a later one.
    Behind { remembered: u64, found: u64 },
    /// The store was served with another one of the same epoch.
    Different { epoch: u64 },
    /// What the store remembers of it can't be read.
    Unreadable(String),
}

impl fmt::Display for RingRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Behind { remembered, found } => write!(
                f,
                "the ring document has epoch {found}, but this store was last served with epoch {remembered}: \
                 an old copy of the document was put back; take it from another member, or put the whole data \
                 directory back"
            ),
            Self::Different { epoch } => write!(
                f,
                "the ring document of epoch {epoch} is not the one of this epoch that this store was last \
                 served with: it belongs to another cluster, or to a founding that was done over"
            ),
            Self::Unreadable(why) => write!(
                f,
                "what the store remembers of its ring document can't be read: {why}"
            ),
        }
    }
}

impl std::error::Error for RingRefused {}

/// Compares a document with what the store remembers; gives the row to keep if it is newer.
pub(crate) fn check(
    store: &Store,
    me: NodeId,
    document: &RingDocument,
) -> Result<Option<Row>, RingRefused> {
    #[cfg(feature = "known-bad")]
    if known_bad::is(Variant::OldRingServed) {
        return Ok(None);
    }
    let unreadable = |error: &dyn fmt::Display| RingRefused::Unreadable(error.to_string());
    let row = store.get(Keyspace::Members, &row_key(me));
    let remembered = row
        .map_err(|error| unreadable(&error))?
        .map(decode)
        .transpose()
        .map_err(|error| unreadable(&error))?;
    let found = (document.epoch.0, document.hash().0);
    match remembered {
        Some(remembered) if remembered == found => Ok(None),
        Some((epoch, _)) if epoch == found.0 => Err(RingRefused::Different { epoch }),
        Some((epoch, _)) if epoch > found.0 => Err(RingRefused::Behind {
            remembered: epoch,
            found: found.0,
        }),
        Some(_) | None => Ok(Some(Row {
            keyspace: Keyspace::Members,
            key: row_key(me),
            value: encode(found),
        })),
    }
}

/// Under the node's own id, beside what it remembers of others.
fn row_key(me: NodeId) -> StorageKey {
    StorageKey::new(me.0, 0)
}

/// `version u8 │ epoch u64 │ hash 16`
fn encode((epoch, hash): (u64, [u8; 16])) -> Bytes {
    encode_alone(ROW_BYTES, |writer| {
        writer.u8(ROW_VERSION);
        writer.u64(epoch);
        writer.u128(u128::from_be_bytes(hash));
    })
}

fn decode(row: Bytes) -> Result<(u64, [u8; 16]), DecodeError> {
    decode_whole("ring row", row, |reader: &mut Reader| {
        match reader.u8("ring row")? {
            ROW_VERSION => {}
            version => {
                return Err(DecodeError::UnknownVersion {
                    what: "ring row",
                    version,
                });
            }
        }
        Ok((
            reader.u64("epoch")?,
            reader.u128("ring hash")?.to_be_bytes(),
        ))
    })
}
