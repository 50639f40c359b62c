//! What stands in a hint.
//!
//! The key says where the object is, and the object's record says whose it is. What is left is since when
//! it waits, for people, and how large it is, so that counting hints reads no objects.
//!
//! ```text
//! version u8 │ since, microseconds since 1970, u64 │ bytes of the object's record u64
//! ```

use bytes::Bytes;
use ringhold_wire::bytes_io::{DecodeError, Reader, decode_whole, encode_alone};

const VERSION: u8 = 1;
const ROW_BYTES: usize = 1 + 8 + 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HintRow {
    /// When the first write of it came, by this node's wall clock.
    pub(crate) since_us: u64,
    pub(crate) bytes: u64,
}

impl HintRow {
    pub(crate) fn encode(self) -> Bytes {
        encode_alone(ROW_BYTES, |writer| {
            writer.u8(VERSION);
            writer.u64(self.since_us);
            writer.u64(self.bytes);
        })
    }

    pub(crate) fn decode(row: Bytes) -> Result<Self, DecodeError> {
        decode_whole("hint", row, |reader: &mut Reader| {
            match reader.u8("hint")? {
                VERSION => {}
                version => {
                    return Err(DecodeError::UnknownVersion {
                        what: "hint",
                        version,
                    });
                }
            }
            Ok(Self {
                since_us: reader.u64("since")?,
                bytes: reader.u64("bytes")?,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back() {
        let row = HintRow {
            since_us: 7,
            bytes: 9,
        };
        let encoded = row.encode();
        assert_eq!(HintRow::decode(encoded.clone()), Ok(row));
        assert!((0..ROW_BYTES).all(|length| HintRow::decode(encoded.slice(..length)).is_err()));
    }
}
