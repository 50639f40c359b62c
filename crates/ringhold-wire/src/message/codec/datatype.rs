//! Updates of data types, and why they are refused.
//!
//! A map's update holds updates of maps again, so this is read recursively, and no deeper than a map may go.

use super::super::peer::FollowRequest;
use super::super::{Change, TypeUpdate};
use super::{Part, kind};
use crate::bytes_io::{DecodeError, Reader, WITHOUT_LIMIT, Writer};
use crate::object;
use bytes::Bytes;
use ringhold_core::crdt::{
    CausalContext, DEPTH_MAX, Field, FieldKind, FieldUpdate, Kind, MapUpdate, Precision, Refused,
    SetUpdate, Update,
};
use ringhold_core::datatype::Record;
use ringhold_core::id::OperationId;
use ringhold_core::version::{ContentHash, Timestamp};

const CHANGE_UPDATE: u8 = 2;

/// A length.
const BYTES_MIN: usize = 4;
/// A kind and a length.
const FIELD_BYTES_MIN: usize = 1 + 4;
/// A name, the kind and what to do. One takes a box until all are there: a count is believed only as far as the bytes go.
const FIELD_UPDATE_BYTES_MIN: usize = 4 + 1 + 1;

/// A content as it is, which begins with 0 or 1, or 2 and an update.
impl Part for Change {
    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Content(content) => content.write(writer),
            Self::Update(update) => kind(writer, CHANGE_UPDATE, update),
        }
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        if reader.rest().first() == Some(&CHANGE_UPDATE) {
            reader.u8("change")?;
            return Part::read(reader).map(Self::Update);
        }
        object::read_content(reader).map(Self::Content)
    }
}

impl Part for TypeUpdate {
    fn write(&self, writer: &mut Writer<'_>) {
        self.update.write(writer);
        let context = self.context.as_ref().map(CausalContext::to_bytes);
        writer.option(context, |writer, context| writer.bytes(&context));
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let update = Part::read(reader)?;
        let offset = reader.offset();
        let context = reader.option("causal context", |reader| {
            reader.bytes("causal context", WITHOUT_LIMIT)
        })?;
        let context = context.as_ref().map(CausalContext::from_bytes).transpose();
        let context = context.map_err(|_| DecodeError::Malformed {
            what: "causal context",
            offset,
        })?;
        Ok(Self { update, context })
    }
}

impl Part for FollowRequest {
    fn write(&self, writer: &mut Writer<'_>) {
        self.name.write(writer);
        self.update.write(writer);
        writer.u128(self.operation.0);
        writer.u8(self.precision.bits());
        writer.u128(self.record.base);
        self.record.dot.write(writer);
        writer.u64(self.record.timestamp.0);
        writer.u128(self.record.hash.0);
        writer.flag(self.flushed);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (name, update) = (Part::read(reader)?, Part::read(reader)?);
        let operation = OperationId(reader.u128("operation id")?);
        let (what, offset) = ("precision", reader.offset());
        let precision = Precision::new(reader.u8(what)?);
        let precision = precision.ok_or(DecodeError::Malformed { what, offset })?;
        let base = reader.u128("base")?;
        let offset = reader.offset();
        let dot = object::read_dot(reader)?;
        if dot.counter == 0 {
            let what = "counter";
            return Err(DecodeError::Malformed { what, offset });
        }
        let timestamp = Timestamp(reader.u64("timestamp")?);
        let hash = ContentHash(reader.u128("content hash")?);
        Ok(Self {
            name,
            update,
            operation,
            precision,
            record: Record {
                base,
                dot,
                timestamp,
                hash,
            },
            flushed: reader.flag("flushed")?,
        })
    }
}

impl Part for Update {
    fn write(&self, writer: &mut Writer<'_>) {
        self.kind().write(writer);
        match self {
            Self::Counter(by) => write_amount(writer, *by),
            Self::Set(update) => update.write(writer),
            Self::GrowingSet(elements) | Self::Hll(elements) => write_items(writer, elements),
            Self::Map(update) => write_map(writer, update),
        }
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match Part::read(reader)? {
            Kind::Counter => Self::Counter(read_amount(reader)?),
            Kind::Set => Self::Set(Part::read(reader)?),
            Kind::GrowingSet => Self::GrowingSet(read_items(reader)?),
            Kind::Hll => Self::Hll(read_items(reader)?),
            Kind::Map => Self::Map(read_map(reader, 1)?),
        })
    }
}

impl Part for Kind {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.u8(ringhold_core::datatype::code_of(*self));
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let code = reader.u8("data type")?;
        let mut kinds = Self::ALL.into_iter();
        let kind = kinds.find(|kind| ringhold_core::datatype::code_of(*kind) == code);
        kind.ok_or_else(|| reader.unknown_code("data type", code))
    }
}

impl Part for FieldKind {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.u8(match self {
            Self::Counter => 1,
            Self::Set => 2,
            Self::Register => 3,
            Self::Flag => 4,
            Self::Map => 5,
        });
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match reader.u8("field")? {
            1 => Self::Counter,
            2 => Self::Set,
            3 => Self::Register,
            4 => Self::Flag,
            5 => Self::Map,
            code => return Err(reader.unknown_code("field", code)),
        })
    }
}

impl Part for Field {
    fn write(&self, writer: &mut Writer<'_>) {
        self.kind.write(writer);
        writer.bytes(&self.name);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let kind = Part::read(reader)?;
        let name = read_item(reader)?;
        Ok(Self { name, kind })
    }
}

impl Part for SetUpdate {
    fn write(&self, writer: &mut Writer<'_>) {
        write_items(writer, &self.adds);
        write_items(writer, &self.removes);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (adds, removes) = (read_items(reader)?, read_items(reader)?);
        Ok(Self { adds, removes })
    }
}

fn write_map(writer: &mut Writer<'_>, update: &MapUpdate) {
    writer.list(&update.removes, |writer, field| field.write(writer));
    writer.list(&update.updates, |writer, (name, update)| {
        writer.bytes(name);
        update.kind().write(writer);
        match update {
            FieldUpdate::Counter(by) => write_amount(writer, *by),
            FieldUpdate::Set(update) => update.write(writer),
            FieldUpdate::Register(value) => writer.bytes(value),
            FieldUpdate::Flag(enable) => writer.flag(*enable),
            FieldUpdate::Map(update) => write_map(writer, update),
        }
    });
}

/// One more than the deepest map that may be is taken in, so that it is refused for what it is.
fn read_map(reader: &mut Reader, depth: usize) -> Result<MapUpdate, DecodeError> {
    if depth > DEPTH_MAX + 1 {
        let (what, offset) = ("map", reader.offset());
        return Err(DecodeError::Malformed { what, offset });
    }
    let removes = reader.list::<_, FIELD_BYTES_MIN>("removes", Part::read)?;
    let updates = reader.list::<_, FIELD_UPDATE_BYTES_MIN>("updates", |reader| {
        let name = read_item(reader)?;
        let update = match Part::read(reader)? {
            FieldKind::Counter => FieldUpdate::Counter(read_amount(reader)?),
            FieldKind::Set => FieldUpdate::Set(Part::read(reader)?),
            FieldKind::Register => FieldUpdate::Register(read_item(reader)?),
            FieldKind::Flag => FieldUpdate::Flag(reader.flag("enable")?),
            FieldKind::Map => FieldUpdate::Map(read_map(reader, depth + 1)?),
        };
        Ok(Box::new((name, update)))
    })?;
    let updates = updates.into_iter().map(|update| *update).collect();
    Ok(MapUpdate { removes, updates })
}

fn write_amount(writer: &mut Writer<'_>, by: i64) {
    writer.u64(by.cast_unsigned());
}

fn read_amount(reader: &mut Reader) -> Result<i64, DecodeError> {
    Ok(reader.u64("amount")?.cast_signed())
}

fn write_items(writer: &mut Writer<'_>, items: &[Bytes]) {
    writer.list(items, |writer, item| writer.bytes(item));
}

fn read_items(reader: &mut Reader) -> Result<Vec<Bytes>, DecodeError> {
    reader.list::<_, BYTES_MIN>("elements", read_item)
}

fn read_item(reader: &mut Reader) -> Result<Bytes, DecodeError> {
    reader.bytes("item", WITHOUT_LIMIT)
}

impl Part for Refused {
    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::WrongKind { holds, update } => {
                kind(writer, 1, holds);
                update.write(writer);
            }
            Self::ElementNotPresent { fields, element } => {
                writer.u8(2);
                writer.list(fields, |writer, field| field.write(writer));
                writer.bytes(element);
            }
            Self::FieldNotPresent { fields } => {
                writer.u8(3);
                writer.list(fields, |writer, field| field.write(writer));
            }
            Self::CounterOverflow => writer.u8(4),
            Self::TooDeep { limit } => {
                writer.u8(5);
                write_size(writer, *limit);
            }
            Self::TooLong { what, bytes, limit } => {
                writer.u8(6);
                writer.flag(*what == "name");
                write_size(writer, *bytes);
                write_size(writer, *limit);
            }
            Self::TooManyDeferred { limit } => {
                writer.u8(7);
                write_size(writer, *limit);
            }
        }
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match reader.u8("refused update")? {
            1 => Self::WrongKind {
                holds: Part::read(reader)?,
                update: Part::read(reader)?,
            },
            2 => Self::ElementNotPresent {
                fields: reader.list::<_, FIELD_BYTES_MIN>("fields", Part::read)?,
                element: read_item(reader)?,
            },
            3 => Self::FieldNotPresent {
                fields: reader.list::<_, FIELD_BYTES_MIN>("fields", Part::read)?,
            },
            4 => Self::CounterOverflow,
            5 => Self::TooDeep {
                limit: read_size(reader)?,
            },
            6 => Self::TooLong {
                what: if reader.flag("name")? { "name" } else { "item" },
                bytes: read_size(reader)?,
                limit: read_size(reader)?,
            },
            7 => Self::TooManyDeferred {
                limit: read_size(reader)?,
            },
            code => return Err(reader.unknown_code("refused update", code)),
        })
    }
}

fn write_size(writer: &mut Writer<'_>, size: usize) {
    writer.u64(size as u64);
}

fn read_size(reader: &mut Reader) -> Result<usize, DecodeError> {
    let (offset, what) = (reader.offset(), "size");
    usize::try_from(reader.u64(what)?).map_err(|_| DecodeError::Malformed { what, offset })
}
