//! What a store remembers of its own completeness.
//!
//! One row says "whole", and names the lineage of the store for which it holds. It is written when rebuilding is done, or when
//! it has turned out that there is nothing to rebuild. So every way in which a store can lack something leaves it without a
//! row that is true of it: a new store has none, recovery that could not read something gave it another lineage, and
//! a store that learns that it is an old copy takes its row back.

use crate::replica::writer::Row;
use bytes::Bytes;
use ringhold_core::id::NodeId;
use ringhold_storage::{Keyspace, Lineage, ReadError, StorageKey, Store};
use ringhold_wire::bytes_io::{DecodeError, Reader, decode_whole, encode_alone};

const ROW_VERSION: u8 = 1;
const ROW_BYTES: usize = 1 + 16;
/// No store has it.
const NO_LINEAGE: Lineage = Lineage(0);

/// Whether the store says of itself that it is whole.
pub(super) fn is_whole(store: &Store, me: NodeId) -> Result<bool, ReadError> {
    let row = store.get(Keyspace::Members, &row_key(me))?;
    let lineage = row.and_then(|row| decode(row).ok());
    Ok(lineage == Some(store.identity().lineage))
}

/// "Whole", of the store as it is.
pub(super) fn whole(store: &Store, me: NodeId) -> Row {
    row(me, store.identity().lineage)
}

/// "Not whole."
pub(super) fn in_doubt(me: NodeId) -> Row {
    row(me, NO_LINEAGE)
}

fn row(me: NodeId, lineage: Lineage) -> Row {
    Row {
        keyspace: Keyspace::Members,
        key: row_key(me),
        value: encode(lineage),
    }
}

/// Beside the row of the ring, which has fingerprint 0.
fn row_key(me: NodeId) -> StorageKey {
    StorageKey::new(me.0, 1)
}

/// `version u8 │ lineage 16`
fn encode(lineage: Lineage) -> Bytes {
    encode_alone(ROW_BYTES, |writer| {
        writer.u8(ROW_VERSION);
        writer.u128(lineage.0);
    })
}

fn decode(row: Bytes) -> Result<Lineage, DecodeError> {
    decode_whole("completeness row", row, |reader: &mut Reader| match reader
        .u8("completeness row")?
    {
        ROW_VERSION => Ok(Lineage(reader.u128("lineage")?)),
        version => Err(DecodeError::UnknownVersion {
            what: "completeness row",
            version,
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_reads_back() {
        let row = encode(Lineage(9));
        assert_eq!(row.len(), ROW_BYTES);
        assert_eq!(decode(row.clone()), Ok(Lineage(9)));
        assert!((0..ROW_BYTES).all(|length| decode(row.slice(..length)).is_err()));
    }
}
