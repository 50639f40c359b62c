//! The parts of messages about the next ring document.

use super::super::NAME_BYTES_MAX;
use super::super::membership::{
    AcceptRequest, DOCUMENT_BYTES_MAX, PrepareRequest, RecoveryRequest, RingRequest,
};
use super::super::peer::ClientRing;
use super::{Part, kind};
use crate::bytes_io::{DecodeError, Reader, Writer};
use crate::ring::{SECTION_NAME_BYTES_MAX, read_text};
use bytes::Bytes;
use ringhold_core::id::NodeId;
use ringhold_core::membership::recovery::{Pledge, PledgeRefused};
use ringhold_core::membership::register::{Accepted, Ballot, Denial, Promise, Receipt};
use ringhold_core::ring::{Epoch, RingHash, SectionHash};

/// An empty name and a hash.
const SECTION_HASH_BYTES_MIN: usize = 4 + 16;
const NODE_ID_BYTES: usize = 16;

impl Part for Epoch {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.u64(self.0);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        reader.u64("epoch").map(Self)
    }
}

impl Part for Ballot {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.u64(self.round);
        self.proposer.write(writer);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            round: reader.u64("round")?,
            proposer: Part::read(reader)?,
        })
    }
}

/// # Panics
/// If the document is longer than [`DOCUMENT_BYTES_MAX`].
pub(super) fn write_document(writer: &mut Writer<'_>, document: &Bytes) {
    writer.bytes_within("ring document", document, DOCUMENT_BYTES_MAX);
}

pub(super) fn read_document(reader: &mut Reader) -> Result<Bytes, DecodeError> {
    reader.bytes("ring document", DOCUMENT_BYTES_MAX)
}

/// A member's identity and an empty address.
const ADDRESS_BYTES_MIN: usize = NODE_ID_BYTES + 4;

impl Part for ClientRing {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.option(self.document.as_ref(), write_document);
        writer.list(&self.addresses, |writer, (member, address)| {
            member.write(writer);
            writer.bytes_within("address", address, NAME_BYTES_MAX);
        });
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let document = reader.option("ring document", read_document)?;
        let addresses = reader.list::<_, ADDRESS_BYTES_MIN>("addresses", |reader| {
            Ok((
                Part::read(reader)?,
                reader.bytes("address", NAME_BYTES_MAX)?,
            ))
        })?;
        Ok(Self {
            document,
            addresses,
        })
    }
}

impl Part for PrepareRequest {
    fn write(&self, writer: &mut Writer<'_>) {
        self.epoch.write(writer);
        self.ballot.write(writer);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            epoch: Part::read(reader)?,
            ballot: Part::read(reader)?,
        })
    }
}

impl Part for AcceptRequest {
    fn write(&self, writer: &mut Writer<'_>) {
        self.epoch.write(writer);
        self.ballot.write(writer);
        write_document(writer, &self.document);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            epoch: Part::read(reader)?,
            ballot: Part::read(reader)?,
            document: read_document(reader)?,
        })
    }
}

impl Part for RecoveryRequest {
    fn write(&self, writer: &mut Writer<'_>) {
        self.epoch.write(writer);
        self.ballot.write(writer);
        writer.list(&self.given_up, |writer, node| node.write(writer));
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            epoch: Part::read(reader)?,
            ballot: Part::read(reader)?,
            given_up: reader.list::<_, NODE_ID_BYTES>("given up", NodeId::read)?,
        })
    }
}

impl Part for Pledge<Bytes> {
    fn write(&self, writer: &mut Writer<'_>) {
        self.ballot.write(writer);
        self.held.write(writer);
        self.accepted.write(writer);
        self.recovery.write(writer);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            ballot: Part::read(reader)?,
            held: Part::read(reader)?,
            accepted: Part::read(reader)?,
            recovery: Part::read(reader)?,
        })
    }
}

impl Part for PledgeRefused {
    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Outbid { by } => kind(writer, 1, by),
            Self::Behind { committed } => kind(writer, 2, committed),
            Self::Ahead { held } => kind(writer, 3, held),
            Self::Lives { member } => kind(writer, 4, member),
        }
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match reader.u8("refusal of a pledge")? {
            1 => Self::Outbid {
                by: Part::read(reader)?,
            },
            2 => Self::Behind {
                committed: Part::read(reader)?,
            },
            3 => Self::Ahead {
                held: Part::read(reader)?,
            },
            4 => Self::Lives {
                member: Part::read(reader)?,
            },
            code => return Err(reader.unknown_code("refusal of a pledge", code)),
        })
    }
}

impl Part for RingRequest {
    fn write(&self, writer: &mut Writer<'_>) {
        self.epoch.write(writer);
        writer.list(&self.sections, |writer, section| {
            let name = section.name.as_bytes();
            writer.bytes_within("section name", name, SECTION_NAME_BYTES_MAX);
            writer.raw(&section.hash.0);
        });
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            epoch: Part::read(reader)?,
            sections: reader.list::<_, SECTION_HASH_BYTES_MIN>("section hashes", |reader| {
                Ok(SectionHash {
                    name: read_text(reader, "section name", SECTION_NAME_BYTES_MAX)?,
                    hash: RingHash(reader.array("section hash")?),
                })
            })?,
        })
    }
}

impl Part for Promise<Bytes> {
    fn write(&self, writer: &mut Writer<'_>) {
        self.epoch.write(writer);
        self.ballot.write(writer);
        self.accepted.write(writer);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            epoch: Part::read(reader)?,
            ballot: Part::read(reader)?,
            accepted: Part::read(reader)?,
        })
    }
}

impl Part for Accepted<Bytes> {
    fn write(&self, writer: &mut Writer<'_>) {
        self.ballot.write(writer);
        write_document(writer, &self.value);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            ballot: Part::read(reader)?,
            value: read_document(reader)?,
        })
    }
}

impl Part for Receipt {
    fn write(&self, writer: &mut Writer<'_>) {
        self.epoch.write(writer);
        self.ballot.write(writer);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            epoch: Part::read(reader)?,
            ballot: Part::read(reader)?,
        })
    }
}

impl Part for Denial {
    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Outbid { by } => kind(writer, 1, by),
            Self::Behind { committed } => kind(writer, 2, committed),
            Self::Ahead { held } => kind(writer, 3, held),
        }
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match reader.u8("denial")? {
            1 => Self::Outbid {
                by: Part::read(reader)?,
            },
            2 => Self::Behind {
                committed: Part::read(reader)?,
            },
            3 => Self::Ahead {
                held: Part::read(reader)?,
            },
            code => return Err(reader.unknown_code("denial", code)),
        })
    }
}

/// A ring document, or the changes to one.
impl Part for Option<Bytes> {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.option(self.as_ref(), write_document);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        reader.option("newer ring", read_document)
    }
}
