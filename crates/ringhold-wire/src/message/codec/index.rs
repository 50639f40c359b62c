//! The parts of messages about listings and index queries.

use super::super::index::{
    CheckRowsRequest, CheckedRows, CountKeysRequest, CountedKeys, RowsPage, RowsRequest,
};
use super::Part;
use super::trees::{read_compared, write_compared};
use crate::bytes_io::{DecodeError, Reader, WITHOUT_LIMIT, Writer};
use bytes::Bytes;

/// A flag and a number.
const COUNT_BYTES: usize = 1 + 8;

impl Part for RowsRequest {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.list(&self.partitions, |writer, number| writer.u32(*number));
        writer.bytes(&self.bucket_type);
        writer.option(self.bucket.as_ref(), |writer, bucket| writer.bytes(bucket));
        writer.bytes(&self.from);
        writer.bytes(&self.to);
        writer.bytes(&self.after);
        writer.flag(self.shows_one);
        writer.u32(self.rows_max);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            partitions: reader.list::<_, 4>("partitions", |reader| reader.u32("partition"))?,
            bucket_type: read_bytes(reader)?,
            bucket: reader.option("bucket", read_bytes)?,
            from: read_bytes(reader)?,
            to: read_bytes(reader)?,
            after: read_bytes(reader)?,
            shows_one: reader.flag("shows one")?,
            rows_max: reader.u32("rows")?,
        })
    }
}

impl Part for RowsPage {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.list(&self.rows, |writer, row| writer.bytes(row));
        writer.flag(self.ended);
        writer.list(&self.refused, |writer, number| writer.u32(*number));
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            rows: reader.list::<_, 4>("rows", read_bytes)?,
            ended: reader.flag("ended")?,
            refused: reader.list::<_, 4>("refused", |reader| reader.u32("partition"))?,
        })
    }
}

impl Part for CheckRowsRequest {
    fn write(&self, writer: &mut Writer<'_>) {
        write_compared(writer, self.basis, self.partition);
        writer.bytes(&self.after);
        writer.flag(self.set_right);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (basis, partition) = read_compared(reader)?;
        Ok(Self {
            basis,
            partition,
            after: read_bytes(reader)?,
            set_right: reader.flag("set right")?,
        })
    }
}

impl Part for CheckedRows {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.u64(self.missing);
        writer.u64(self.strange);
        writer.option(self.next.as_ref(), |writer, next| writer.bytes(next));
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            missing: reader.u64("missing rows")?,
            strange: reader.u64("strange rows")?,
            next: reader.option("next", read_bytes)?,
        })
    }
}

impl Part for CountKeysRequest {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.list(&self.partitions, |writer, number| writer.u32(*number));
        writer.bytes(&self.bucket_type);
        writer.bytes(&self.bucket);
        writer.flag(self.shows_one);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            partitions: reader.list::<_, 4>("partitions", |reader| reader.u32("partition"))?,
            bucket_type: read_bytes(reader)?,
            bucket: read_bytes(reader)?,
            shows_one: reader.flag("shows one")?,
        })
    }
}

impl Part for CountedKeys {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.list(&self.counts, |writer, count| {
            writer.flag(count.is_some());
            writer.u64(count.unwrap_or_default());
        });
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            counts: reader.list::<_, COUNT_BYTES>("counts", |reader| {
                let (is_known, count) = (reader.flag("known")?, reader.u64("count")?);
                match (is_known, count) {
                    (true, count) => Ok(Some(count)),
                    (false, 0) => Ok(None),
                    (false, _) => Err(DecodeError::Malformed {
                        what: "count",
                        offset: reader.offset(),
                    }),
                }
            })?,
        })
    }
}

/// A name, a row or a bound: a frame bounds them.
fn read_bytes(reader: &mut Reader) -> Result<Bytes, DecodeError> {
    reader.bytes("bytes", WITHOUT_LIMIT)
}
