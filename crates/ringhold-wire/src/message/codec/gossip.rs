//! The parts of messages that gossip.
//!
//! What a digest and a delta promise (`ringhold_core::membership::gossip`) is part of the format: whatever breaks it
//! is malformed, and so each value has one encoding.

use super::Part;
use crate::bytes_io::{DecodeError, Reader, Writer};
use ringhold_core::id::NodeId;
use ringhold_core::membership::gossip::{
    Deltas, Digest, Entry, Mark, NodeDelta, StateKey, VALUE_BYTES_MAX,
};

/// An id, a generation, a version.
const MARK_BYTES: usize = 16 + 8 + 8;
/// A key, a version, an empty value.
const ENTRY_BYTES_MIN: usize = 1 + 8 + 4;

impl Part for Digest {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.list(self.marks(), |writer, (node, mark)| {
            writer.u128(node.0);
            writer.u64(mark.generation);
            writer.u64(mark.version);
        });
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let offset = reader.offset();
        let marks = reader.list::<_, MARK_BYTES>("marks", |reader| {
            let node = NodeId(reader.u128("node id")?);
            let mark = Mark {
                generation: reader.u64("generation")?,
                version: reader.u64("version")?,
            };
            Ok((node, mark))
        })?;
        Self::new(marks).ok_or(DecodeError::Malformed {
            what: "marks",
            offset,
        })
    }
}

impl Part for Deltas {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.list(self.nodes(), |writer, delta| delta.write(writer));
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        const DELTA_BYTES_MIN: usize = NodeDelta::HEAD_BYTES + ENTRY_BYTES_MIN;
        let nodes = reader.list::<_, DELTA_BYTES_MIN>("deltas", NodeDelta::read)?;
        Ok(Self::new(nodes))
    }
}

impl Part for NodeDelta {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.u128(self.node().0);
        writer.u64(self.generation());
        writer.u64(self.after());
        writer.list(self.entries(), |writer, entry| entry.write(writer));
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let node = NodeId(reader.u128("node id")?);
        let generation = reader.u64("generation")?;
        let after = reader.u64("version")?;
        let offset = reader.offset();
        let entries = reader.list::<_, ENTRY_BYTES_MIN>("entries", Entry::read)?;
        Self::new(node, generation, after, entries).ok_or(DecodeError::Malformed {
            what: "entries",
            offset,
        })
    }
}

impl Part for Entry {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.u8(self.key.0);
        writer.u64(self.version);
        writer.bytes_within("value", &self.value, VALUE_BYTES_MAX);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            key: StateKey(reader.u8("state key")?),
            version: reader.u64("version")?,
            value: reader.bytes("value", VALUE_BYTES_MAX)?,
        })
    }
}
