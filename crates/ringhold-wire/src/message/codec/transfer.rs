//! The parts of messages about partitions that change hands.

use super::super::transfer::{Receipt, Receipts};
use super::Part;
use super::trees::{read_tree, write_tree};
use crate::bytes_io::{DecodeError, Reader, Writer};
use crate::ring::read_text;

const RECEIPT_BYTES: usize = 4 + 16;
/// A reason is cut off after so many bytes.
const WAIT_BYTES_MAX: usize = 200;

impl Part for Receipt {
    fn write(&self, writer: &mut Writer<'_>) {
        write_tree(writer, self.partition, self.class);
        writer.u128(self.root);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (partition, class) = read_tree(reader)?;
        Ok(Self {
            partition,
            class,
            root: reader.u128("root")?,
        })
    }
}

impl Part for Receipts {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.u64(self.placement_number);
        writer.flag(self.in_doubt);
        writer.list(&self.receipts, |writer, receipt| receipt.write(writer));
        writer.list(&self.waits, |writer, why| {
            let end = why.floor_char_boundary(WAIT_BYTES_MAX);
            writer.bytes(&why.as_bytes()[..end]);
        });
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            placement_number: reader.u64("placement number")?,
            in_doubt: reader.flag("in doubt")?,
            receipts: reader.list::<_, RECEIPT_BYTES>("receipts", Receipt::read)?,
            waits: reader
                .list::<_, 4>("waits", |reader| read_text(reader, "why", WAIT_BYTES_MAX))?,
        })
    }
}
