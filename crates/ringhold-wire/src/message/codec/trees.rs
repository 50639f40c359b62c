//! The parts of messages about hash trees.

use super::super::peer::{
    CURSOR_BYTES_MAX, CountRequest, CountedLeaves, LeafEntry, Page, PageRequest,
};
use super::{ObjectName, Part};
use crate::bytes_io::{DecodeError, Reader, Writer};
use ringhold_core::tree::{FANOUT, LeafSum, NodeHash, TreeBasis, TreeTag};

/// Three empty names and a digest.
const ENTRY_BYTES_MIN: usize = 3 * 4 + 16;
/// A sum and a count.
const SUM_BYTES: usize = 16 + 8;

impl Part for NodeHash {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.u128(self.0);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        reader.u128("tree hash").map(Self)
    }
}

impl Part for LeafSum {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.u128(self.sum);
        writer.u64(self.keys);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            sum: reader.u128("leaf sum")?,
            keys: reader.u64("leaf keys")?,
        })
    }
}

/// Always so many, so no length is written.
impl<T: Part + Copy> Part for [T; FANOUT] {
    fn write(&self, writer: &mut Writer<'_>) {
        self.iter().for_each(|part| part.write(writer));
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let first = T::read(reader)?;
        let mut parts = [first; FANOUT];
        for part in &mut parts[1..] {
            *part = T::read(reader)?;
        }
        Ok(parts)
    }
}

impl Part for LeafEntry {
    fn write(&self, writer: &mut Writer<'_>) {
        self.name.write(writer);
        writer.u128(self.digest);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            name: ObjectName::read(reader)?,
            digest: reader.u128("digest")?,
        })
    }
}

impl Part for Vec<LeafEntry> {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.list(self, |writer, entry| entry.write(writer));
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        reader.list::<_, ENTRY_BYTES_MIN>("leaf entries", Part::read)
    }
}

/// Three empty names, and an object's version, length of context and count of versions.
const OBJECT_BYTES_MIN: usize = 3 * 4 + 1 + 4 + 4;

impl Part for PageRequest {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.u32(self.partition);
        writer.u16(self.first_leaf);
        writer.u16(self.last_leaf);
        writer.bytes_within("cursor", &self.cursor, CURSOR_BYTES_MAX);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            partition: reader.u32("partition")?,
            first_leaf: reader.u16("leaf")?,
            last_leaf: reader.u16("leaf")?,
            cursor: reader.bytes("cursor", CURSOR_BYTES_MAX)?,
        })
    }
}

impl Part for Page {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.list(&self.objects, |writer, (name, object)| {
            name.write(writer);
            object.write(writer);
        });
        writer.bytes_within("cursor", &self.cursor, CURSOR_BYTES_MAX);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            objects: reader.list::<_, OBJECT_BYTES_MIN>("objects", |reader| {
                Ok((Part::read(reader)?, Part::read(reader)?))
            })?,
            cursor: reader.bytes("cursor", CURSOR_BYTES_MAX)?,
        })
    }
}

impl Part for TreeBasis {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.u64(self.tag.0);
        writer.u64(self.homes);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            tag: TreeTag(reader.u64("tree tag")?),
            homes: reader.u64("homes")?,
        })
    }
}

/// Leaves of one partition.
impl Part for Vec<u16> {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.list(self, |writer, leaf| writer.u16(*leaf));
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        reader.list::<_, 2>("leaves", |reader| reader.u16("leaf"))
    }
}

impl Part for CountRequest {
    fn write(&self, writer: &mut Writer<'_>) {
        self.basis.write(writer);
        self.partition.write(writer);
        self.leaves.write(writer);
        writer.flag(self.set_right);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            basis: Part::read(reader)?,
            partition: Part::read(reader)?,
            leaves: Part::read(reader)?,
            set_right: reader.flag("set right")?,
        })
    }
}

impl Part for CountedLeaves {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.list(&self.sums, |writer, sum| sum.write(writer));
        writer.u32(self.unreadable);
        writer.u32(self.wrong_sums);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            sums: reader.list::<_, SUM_BYTES>("leaf sums", Part::read)?,
            unreadable: reader.u32("unreadable records")?,
            wrong_sums: reader.u32("wrong sums")?,
        })
    }
}
