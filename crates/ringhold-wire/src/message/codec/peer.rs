//! What replicas are asked, and what they answer.

use super::super::peer::{
    BucketProperties, ClientGot, ClientPut, MergeRequest, OVERRIDES_BYTES_MAX, ObjectDigest,
    Refusal,
};
use super::{NAME_BYTES_MAX, Part, codes, kind, write_name};
use crate::bytes_io::{DecodeError, Reader, Writer};
use ringhold_core::boot::{Boot, Testimony};
use ringhold_core::health::{DiskLevel, Reported};
use ringhold_core::id::BootId;
use ringhold_core::version::token::{PAST_TOKEN_BYTES_MAX, TOKEN_BYTES_MAX};

/// Two names, a time, a node's id, the overrides.
const PROPERTIES_BYTES_MIN: usize = 4 + 4 + 8 + 16 + 4;
/// A dot, a flag, a hash.
const DIGEST_VERSION_BYTES: usize = 32 + 1 + 16;

impl Part for MergeRequest {
    fn write(&self, writer: &mut Writer<'_>) {
        self.name.write(writer);
        self.object.write(writer);
        writer.flag(self.flushed);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (name, object) = (Part::read(reader)?, Part::read(reader)?);
        Ok(Self {
            name,
            object,
            flushed: reader.flag("flushed")?,
        })
    }
}

impl Part for ClientPut {
    fn write(&self, writer: &mut Writer<'_>) {
        self.request.write(writer);
        writer.bytes_within("context", &self.context, PAST_TOKEN_BYTES_MAX);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            request: Part::read(reader)?,
            context: reader.bytes("context", PAST_TOKEN_BYTES_MAX)?,
        })
    }
}

impl Part for ClientGot {
    fn write(&self, writer: &mut Writer<'_>) {
        self.answer.write(writer);
        writer.bytes_within("context", &self.context, TOKEN_BYTES_MAX);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            answer: Part::read(reader)?,
            context: reader.bytes("context", TOKEN_BYTES_MAX)?,
        })
    }
}

impl Part for Boot {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.u64(self.number);
        writer.u128(self.id.0);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            number: reader.u64("boot number")?,
            id: BootId(reader.u128("boot id")?),
        })
    }
}

impl Part for Testimony {
    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Nothing => writer.u8(1),
            Self::Earlier => writer.u8(2),
            Self::Later(boot) => kind(writer, 3, boot),
        }
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match reader.u8("testimony")? {
            1 => Self::Nothing,
            2 => Self::Earlier,
            3 => Self::Later(Part::read(reader)?),
            code => return Err(reader.unknown_code("testimony", code)),
        })
    }
}

impl Part for Vec<BucketProperties> {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.list(self, |writer, properties| properties.write(writer));
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        reader.list::<_, PROPERTIES_BYTES_MIN>("bucket properties", Part::read)
    }
}

impl Part for BucketProperties {
    fn write(&self, writer: &mut Writer<'_>) {
        write_name(writer, "bucket type", &self.bucket_type);
        write_name(writer, "bucket", &self.bucket);
        writer.u64(self.changed_us);
        writer.u128(self.changed_by);
        writer.bytes_within("overrides", &self.overrides, OVERRIDES_BYTES_MAX);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            bucket_type: reader.bytes("bucket type", NAME_BYTES_MAX)?,
            bucket: reader.bytes("bucket", NAME_BYTES_MAX)?,
            changed_us: reader.u64("time of change")?,
            changed_by: reader.u128("author of change")?,
            overrides: reader.bytes("overrides", OVERRIDES_BYTES_MAX)?,
        })
    }
}

impl Part for Reported {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.u32(self.queue_jobs);
        writer.u64(self.disk_latency_us);
        self.disk.write(writer);
        writer.u64(self.wall_us);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            queue_jobs: reader.u32("queue length")?,
            disk_latency_us: reader.u64("disk latency")?,
            disk: Part::read(reader)?,
            wall_us: reader.u64("wall clock")?,
        })
    }
}

codes!("disk level", DiskLevel { Ample = 1, Low = 2, Full = 3, Exhausted = 4 });

impl Part for ObjectDigest {
    fn write(&self, writer: &mut Writer<'_>) {
        self.context.write(writer);
        writer.list(&self.versions, |writer, (dot, tombstone, hash)| {
            dot.write(writer);
            writer.flag(*tombstone);
            writer.u128(*hash);
        });
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let context = Part::read(reader)?;
        let versions = reader.list::<_, DIGEST_VERSION_BYTES>("digest", |reader| {
            Ok((
                Part::read(reader)?,
                reader.flag("tombstone")?,
                reader.u128("content hash")?,
            ))
        })?;
        Ok(Self { context, versions })
    }
}

codes!("refusal", Refusal {
    Overloaded = 1,
    Expired = 2,
    StoreFailed = 3,
    Unreadable = 4,
    Rebuilding = 5,
    Malformed = 6,
    PlacementBehind = 7,
    OtherBasis = 8,
    Starting = 9,
    DiskFull = 10,
    PlacementUnknown = 11,
    NotAMember = 12,
    Sorting = 13,
    OlderProtocol = 15,
    OtherBase = 25,
});
