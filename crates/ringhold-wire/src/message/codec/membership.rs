//! The parts of messages about the next ring document.

use super::super::membership::{AcceptRequest, DOCUMENT_BYTES_MAX, PrepareRequest, RingRequest};
use super::Part;
use crate::bytes_io::{DecodeError, Reader, Writer};
use bytes::Bytes;
use ringhold_core::id::NodeId;
use ringhold_core::membership::register::{Accepted, Ballot, Denial, Promise, Receipt};
use ringhold_core::ring::{Epoch, RingHash, SectionHash};

impl Part for Ballot {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.u64(self.round);
        writer.u128(self.proposer.0);
    }
    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            round: reader.u64("round")?,
            proposer: NodeId(reader.u128("proposer")?),
        })
    }
}
impl Part for PrepareRequest {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.u64(self.epoch.0);
        self.ballot.write(writer);
    }
    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            epoch: Epoch(reader.u64("epoch")?),
            ballot: Part::read(reader)?,
        })
    }
}
impl Part for AcceptRequest {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.u64(self.epoch.0);
        self.ballot.write(writer);
        writer.bytes(&self.document);
    }
    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            epoch: Epoch(reader.u64("epoch")?),
            ballot: Part::read(reader)?,
            document: reader.bytes("ring document", DOCUMENT_BYTES_MAX)?,
        })
    }
}
impl Part for RingRequest {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.u64(self.epoch.0);
        writer.list(&self.sections, |writer, section| {
            writer.bytes(section.name.as_bytes());
            writer.raw(&section.hash.0);
        });
    }
    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            epoch: Epoch(reader.u64("epoch")?),
            sections: reader.list::<_, 20>("sections", |reader| {
                let name = reader.bytes("section name", 256)?;
                Ok(SectionHash {
                    name: String::from_utf8_lossy(&name).into_owned(),
                    hash: RingHash(reader.array("hash")?),
                })
            })?,
        })
    }
}
impl Part for Promise<Bytes> {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.u64(self.epoch.0);
        self.ballot.write(writer);
        writer.option(self.accepted.as_ref(), |writer, accepted| {
            accepted.ballot.write(writer);
            writer.bytes(&accepted.value);
        });
    }
    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            epoch: Epoch(reader.u64("epoch")?),
            ballot: Part::read(reader)?,
            accepted: reader.option("accepted", |reader| {
                Ok(Accepted {
                    ballot: Part::read(reader)?,
                    value: reader.bytes("ring document", DOCUMENT_BYTES_MAX)?,
                })
            })?,
        })
    }
}
impl Part for Receipt {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.u64(self.epoch.0);
        self.ballot.write(writer);
    }
    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            epoch: Epoch(reader.u64("epoch")?),
            ballot: Part::read(reader)?,
        })
    }
}
impl Part for Denial {
    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Outbid { by } => {
                writer.u8(1);
                by.write(writer);
            }
            Self::Behind { committed } => {
                writer.u8(2);
                writer.u64(committed.0);
            }
            Self::Ahead { held } => {
                writer.u8(3);
                writer.u64(held.0);
            }
        }
    }
    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match reader.u8("denial")? {
            1 => Self::Outbid {
                by: Part::read(reader)?,
            },
            2 => Self::Behind {
                committed: Epoch(reader.u64("epoch")?),
            },
            3 => Self::Ahead {
                held: Epoch(reader.u64("epoch")?),
            },
            code => return Err(reader.unknown_code("denial", code)),
        })
    }
}
