//! The parts of messages about keys that may be reaped.

use super::super::peer::{ReapRequest, StraysRequest};
use super::{ObjectName, Part};
use crate::bytes_io::{DecodeError, Reader, Writer};

/// Three empty names.
const NAME_BYTES_MIN: usize = 3 * 4;
/// A name and a digest.
const ENTRY_BYTES_MIN: usize = NAME_BYTES_MIN + 16;

impl Part for StraysRequest {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.u32(self.partition);
        writer.u64(self.quiet_us);
        writer.list(&self.names, |writer, name| name.write(writer));
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            partition: reader.u32("partition")?,
            quiet_us: reader.u64("quiet time")?,
            names: reader.list::<_, NAME_BYTES_MIN>("names", ObjectName::read)?,
        })
    }
}

impl Part for ReapRequest {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.u32(self.partition);
        writer.list(&self.entries, |writer, entry| entry.write(writer));
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            partition: reader.u32("partition")?,
            entries: reader.list::<_, ENTRY_BYTES_MIN>("entries", Part::read)?,
        })
    }
}

impl Part for Vec<bool> {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.list(self, |writer, answer| writer.flag(*answer));
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        reader.list::<_, 1>("answers", |reader| reader.flag("answer"))
    }
}
