//! The parts of messages about hash trees.

use super::super::peer::{
    CURSOR_BYTES_MAX, CountRequest, CountedLeaves, LeafEntry, LeafFault, LeafKeys, LeavesRequest,
    MendRequest, Mended, Page, PageRequest, Refusal,
};
use super::{ObjectName, Part};
use crate::bytes_io::{DecodeError, Reader, Writer};
use ringhold_core::ring::Class;
use ringhold_core::tree::{FANOUT, LeafSum, NodeHash, TreeBasis, TreeTag};
use ringhold_core::version::Object;

/// Three empty names and a digest.
const ENTRY_BYTES_MIN: usize = NAME_BYTES_MIN + 16;
/// Three empty names.
const NAME_BYTES_MIN: usize = 3 * 4;
/// A code, and an empty object.
const FOUND_BYTES_MIN: usize = 1 + 1 + 4 + 4;
/// A sum and a count.
const SUM_BYTES: usize = 16 + 8;
/// A leaf, a count, a flag.
const FAULT_BYTES: usize = 2 + 4 + 1;

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

impl Part for LeafKeys {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.u16(self.leaves);
        writer.list(&self.entries, |writer, entry| entry.write(writer));
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            leaves: reader.u16("listed leaves")?,
            entries: reader.list::<_, ENTRY_BYTES_MIN>("leaf entries", Part::read)?,
        })
    }
}

impl Part for LeavesRequest {
    fn write(&self, writer: &mut Writer<'_>) {
        write_compared(writer, self.basis, self.partition);
        self.leaves.write(writer);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (basis, partition) = read_compared(reader)?;
        Ok(Self {
            basis,
            partition,
            leaves: Part::read(reader)?,
        })
    }
}

impl Part for MendRequest {
    fn write(&self, writer: &mut Writer<'_>) {
        self.with.write(writer);
        self.at.write(writer);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            with: Part::read(reader)?,
            at: Part::read(reader)?,
        })
    }
}

impl Part for Mended {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.u16(self.leaves);
        writer.u64(self.keys);
        writer.u64(self.failed);
        writer.u64(self.bytes_sent);
        writer.u64(self.bytes_received);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            leaves: reader.u16("mended leaves")?,
            keys: reader.u64("mended keys")?,
            failed: reader.u64("failed keys")?,
            bytes_sent: reader.u64("bytes sent")?,
            bytes_received: reader.u64("bytes received")?,
        })
    }
}

/// The leaves of some branches.
impl Part for Vec<[LeafSum; FANOUT]> {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.list(self, |writer, leaves| leaves.write(writer));
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        reader.list::<_, { FANOUT * SUM_BYTES }>("leaves", Part::read)
    }
}

impl Part for Vec<ObjectName> {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.list(self, |writer, name| name.write(writer));
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        reader.list::<_, NAME_BYTES_MIN>("names", Part::read)
    }
}

/// Objects with their names.
impl Part for Vec<(ObjectName, Object)> {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.list(self, |writer, (name, object)| {
            name.write(writer);
            object.write(writer);
        });
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        reader.list::<_, OBJECT_BYTES_MIN>("objects", |reader| {
            Ok((Part::read(reader)?, Part::read(reader)?))
        })
    }
}

/// A code each, and the object; an empty one after a refusal.
impl Part for Vec<Result<Object, Refusal>> {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.list(self, |writer, found| {
            write_outcome(
                writer,
                found.as_ref().map(|_| ()).map_err(|refusal| *refusal),
            );
            match found {
                Ok(object) => object.write(writer),
                Err(_) => Object::new().write(writer),
            }
        });
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        reader.list::<_, FOUND_BYTES_MIN>("fetched objects", |reader| {
            let (what, offset) = ("refused object", reader.offset());
            let outcome = read_outcome(reader)?;
            let object = Object::read(reader)?;
            if outcome.is_err() && !object.is_absent() {
                return Err(DecodeError::Malformed { what, offset });
            }
            Ok(outcome.map(|()| object))
        })
    }
}

/// One byte: 0, or the code of the refusal.
fn write_outcome(writer: &mut Writer<'_>, outcome: Result<(), Refusal>) {
    match outcome {
        Ok(()) => writer.u8(0),
        Err(refusal) => refusal.write(writer),
    }
}

fn read_outcome(reader: &mut Reader) -> Result<Result<(), Refusal>, DecodeError> {
    if reader.rest().first() == Some(&0) {
        reader.u8("outcome")?;
        return Ok(Ok(()));
    }
    Refusal::read(reader).map(Err)
}

impl Part for Vec<Result<(), Refusal>> {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.list(self, |writer, merged| write_outcome(writer, *merged));
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        reader.list::<_, 1>("merged objects", read_outcome)
    }
}

/// Three empty names, and an object's version, length of context and count of versions.
const OBJECT_BYTES_MIN: usize = 3 * 4 + 1 + 4 + 4;

impl Part for PageRequest {
    fn write(&self, writer: &mut Writer<'_>) {
        write_tree(writer, self.partition, self.class);
        writer.u16(self.first_leaf);
        writer.u16(self.last_leaf);
        writer.bytes_within("cursor", &self.cursor, CURSOR_BYTES_MAX);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (partition, class) = read_tree(reader)?;
        Ok(Self {
            partition,
            class,
            first_leaf: reader.u16("leaf")?,
            last_leaf: reader.u16("leaf")?,
            cursor: reader.bytes("cursor", CURSOR_BYTES_MAX)?,
        })
    }
}

impl Part for Page {
    fn write(&self, writer: &mut Writer<'_>) {
        self.objects.write(writer);
        writer.bytes_within("cursor", &self.cursor, CURSOR_BYTES_MAX);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            objects: Part::read(reader)?,
            cursor: reader.bytes("cursor", CURSOR_BYTES_MAX)?,
        })
    }
}

/// A partition and a class in one number: no ring has more than 2^16 partitions, and of a release that knows one class only the
/// upper half is 0.
pub(super) fn write_tree(writer: &mut Writer<'_>, partition: u32, class: Class) {
    let partition = partition & u32::from(u16::MAX);
    writer.u32(u32::from(class.0) << 16 | partition);
}

pub(super) fn read_tree(reader: &mut Reader) -> Result<(u32, Class), DecodeError> {
    let tree = reader.u32("partition")?;
    let class = u16::try_from(tree >> 16).expect("sixteen bits are left");
    Ok((tree & u32::from(u16::MAX), Class(class)))
}

/// What is compared: a basis and a partition, with the class beside the partition.
pub(super) fn write_compared(writer: &mut Writer<'_>, basis: TreeBasis, partition: u32) {
    basis.write(writer);
    write_tree(writer, partition, basis.class);
}

pub(super) fn read_compared(reader: &mut Reader) -> Result<(TreeBasis, u32), DecodeError> {
    let basis = TreeBasis::read(reader)?;
    let (partition, class) = read_tree(reader)?;
    Ok((TreeBasis { class, ..basis }, partition))
}

/// Without its class, which stands beside the partition.
impl Part for TreeBasis {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.u64(self.tag.0);
        writer.u64(self.homes);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            tag: TreeTag(reader.u64("tree tag")?),
            class: Class::DEFAULT,
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
        write_compared(writer, self.basis, self.partition);
        self.leaves.write(writer);
        writer.flag(self.set_right);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (basis, partition) = read_compared(reader)?;
        Ok(Self {
            basis,
            partition,
            leaves: Part::read(reader)?,
            set_right: reader.flag("set right")?,
        })
    }
}

impl Part for CountedLeaves {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.list(&self.sums, |writer, sum| sum.write(writer));
        writer.list(&self.faults, |writer, fault| {
            writer.u16(fault.leaf);
            writer.u32(fault.unreadable);
            writer.flag(fault.wrong_sum);
        });
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            sums: reader.list::<_, SUM_BYTES>("leaf sums", Part::read)?,
            faults: reader.list::<_, FAULT_BYTES>("leaf faults", |reader| {
                Ok(LeafFault {
                    leaf: reader.u16("leaf")?,
                    unreadable: reader.u32("unreadable records")?,
                    wrong_sum: reader.flag("wrong sum")?,
                })
            })?,
        })
    }
}
