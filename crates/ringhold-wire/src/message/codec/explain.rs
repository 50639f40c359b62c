//! Explanations.

use super::super::explain::{Explanation, OUTCOME_BYTES_MAX, ReplyNote};
use super::{Part, codes};
use crate::bytes_io::{DecodeError, Reader, Writer};
use ringhold_core::id::NodeId;
use ringhold_core::quorum::{ReplicaKind, Requirement};

const NODE_ID_BYTES: usize = 16;
const REQUIRED_BYTES: usize = 1 + 4;
const DOT_BYTES: usize = 32;
/// A node, a kind, a time, an outcome, no dots.
const NOTE_BYTES_MIN: usize = 16 + 1 + 8 + 4 + 4;

impl Part for Explanation {
    fn write(&self, writer: &mut Writer<'_>) {
        self.coordinator.write(writer);
        self.forwarded_by.write(writer);
        writer.u32(self.partition);
        writer.list(&self.preference_list, |writer, node| node.write(writer));
        writer.u32(self.n);
        writer.list(&self.required, |writer, (requirement, number)| {
            requirement.write(writer);
            writer.u32(*number);
        });
        writer.list(&self.replies, |writer, note| note.write(writer));
        self.met_after_us.write(writer);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            coordinator: Part::read(reader)?,
            forwarded_by: Part::read(reader)?,
            partition: reader.u32("partition")?,
            preference_list: reader.list::<_, NODE_ID_BYTES>("preference list", Part::read)?,
            n: reader.u32("n")?,
            required: reader.list::<_, REQUIRED_BYTES>("requirements", read_required)?,
            replies: reader.list::<_, NOTE_BYTES_MIN>("replies", Part::read)?,
            met_after_us: Part::read(reader)?,
        })
    }
}

fn read_required(reader: &mut Reader) -> Result<(Requirement, u32), DecodeError> {
    Ok((Part::read(reader)?, reader.u32("required")?))
}

impl Part for ReplyNote {
    fn write(&self, writer: &mut Writer<'_>) {
        self.node.write(writer);
        self.kind.write(writer);
        writer.u64(self.after_us);
        writer.bytes_within("outcome", &self.outcome, OUTCOME_BYTES_MAX);
        writer.list(&self.dots, |writer, dot| dot.write(writer));
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            node: Part::read(reader)?,
            kind: Part::read(reader)?,
            after_us: reader.u64("time of reply")?,
            outcome: reader.bytes("outcome", OUTCOME_BYTES_MAX)?,
            dots: reader.list::<_, DOT_BYTES>("dots", Part::read)?,
        })
    }
}

codes!("replica kind", ReplicaKind { Primary = 1, Fallback = 2 });

impl Part for NodeId {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.u128(self.0);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self(reader.u128("node id")?))
    }
}
