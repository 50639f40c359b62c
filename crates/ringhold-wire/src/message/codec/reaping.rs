//! The parts of messages about keys that may be reaped.

use super::super::peer::{ReapRequest, StraysRequest};
use super::{ObjectName, Part};
use crate::bytes_io::{DecodeError, Reader, Writer};

/// Three empty names.
const NAME_BYTES_MIN: usize = 3 * 4;

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
        self.entries.write(writer);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            partition: reader.u32("partition")?,
            entries: Part::read(reader)?,
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
