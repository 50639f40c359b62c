//! Gets and puts: what is asked of a coordinator, and what it answers.

use super::super::{
    Flush, GetAnswer, GetError, GetOptions, GetRequest, NotStarted, PutAnswer, PutError,
    PutOptions, PutRequest, Rejection, Uncertain,
};
use super::{Part, codes, kind};
use crate::bytes_io::{DecodeError, Reader, Writer};
use crate::object;
use ringhold_core::id::OperationId;
use ringhold_core::quorum::{
    Count, GetSpec, PutCounts, PutSpec, QuorumViolation, Requirement, Shortfall,
};
use ringhold_core::version::{Content, Context, ContextToken, Dot, Object, Timestamp};

impl Part for GetRequest {
    fn write(&self, writer: &mut Writer<'_>) {
        self.name.write(writer);
        self.options.quorum.write(writer);
        self.options.n_val.write(writer);
        writer.flag(self.options.primaries_only);
        writer.flag(self.explain);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let name = Part::read(reader)?;
        let options = GetOptions {
            quorum: Part::read(reader)?,
            n_val: Part::read(reader)?,
            primaries_only: reader.flag("primaries only")?,
        };
        Ok(Self {
            name,
            options,
            explain: reader.flag("explain")?,
        })
    }
}

impl Part for PutRequest {
    fn write(&self, writer: &mut Writer<'_>) {
        self.name.write(writer);
        self.seen.write(writer);
        writer.u128(self.operation.0);
        self.change.write(writer);
        self.unchanged_since.write(writer);
        self.options.write(writer);
        writer.flag(self.return_object);
        writer.flag(self.explain);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            name: Part::read(reader)?,
            seen: Part::read(reader)?,
            operation: OperationId(reader.u128("operation id")?),
            change: Part::read(reader)?,
            unchanged_since: Part::read(reader)?,
            options: Part::read(reader)?,
            return_object: reader.flag("return object")?,
            explain: reader.flag("explain")?,
        })
    }
}

impl Part for PutOptions {
    fn write(&self, writer: &mut Writer<'_>) {
        self.quorum.write(writer);
        self.n_val.write(writer);
        writer.flag(self.primaries_only);
        self.flush.write(writer);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (quorum, n_val) = (Part::read(reader)?, Part::read(reader)?);
        Ok(Self {
            quorum,
            n_val,
            primaries_only: reader.flag("primaries only")?,
            flush: Part::read(reader)?,
        })
    }
}

/// 0 and 1 are what protocol 1 has, in which this was a flag.
impl Part for Flush {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.u8(match self {
            Self::AsBucket => 0,
            Self::Counted => 1,
            Self::One => 2,
        });
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        const WHAT: &str = "flush";
        match reader.u8(WHAT)? {
            0 => Ok(Self::AsBucket),
            1 => Ok(Self::Counted),
            2 => Ok(Self::One),
            code => Err(reader.unknown_code(WHAT, code)),
        }
    }
}

impl Part for GetSpec {
    fn write(&self, writer: &mut Writer<'_>) {
        for count in [self.r, self.pr, self.node_confirms] {
            count.write(writer);
        }
        self.basic_quorum.write(writer);
        self.notfound_ok.write(writer);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            r: Part::read(reader)?,
            pr: Part::read(reader)?,
            node_confirms: Part::read(reader)?,
            basic_quorum: Part::read(reader)?,
            notfound_ok: Part::read(reader)?,
        })
    }
}

impl Part for PutSpec {
    fn write(&self, writer: &mut Writer<'_>) {
        for count in [self.w, self.dw, self.pw, self.node_confirms] {
            count.write(writer);
        }
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            w: Part::read(reader)?,
            dw: Part::read(reader)?,
            pw: Part::read(reader)?,
            node_confirms: Part::read(reader)?,
        })
    }
}

impl Part for Count {
    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Default => writer.u8(0),
            Self::One => writer.u8(1),
            Self::Quorum => writer.u8(2),
            Self::All => writer.u8(3),
            Self::Exact(exact) => kind(writer, 4, exact),
        }
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match reader.u8("count")? {
            0 => Self::Default,
            1 => Self::One,
            2 => Self::Quorum,
            3 => Self::All,
            4 => Self::Exact(Part::read(reader)?),
            code => return Err(reader.unknown_code("count", code)),
        })
    }
}

codes!("requirement", Requirement { R = 1, PR = 2, W = 3, DW = 4, PW = 5, NodeConfirms = 6 });

impl Part for GetAnswer {
    fn write(&self, writer: &mut Writer<'_>) {
        self.object.write(writer);
        self.explanation.write(writer);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            object: Part::read(reader)?,
            explanation: Part::read(reader)?,
        })
    }
}

impl Part for PutAnswer {
    fn write(&self, writer: &mut Writer<'_>) {
        self.dot.write(writer);
        self.counts.write(writer);
        self.object.write(writer);
        self.explanation.write(writer);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            dot: Part::read(reader)?,
            counts: Part::read(reader)?,
            object: Part::read(reader)?,
            explanation: Part::read(reader)?,
        })
    }
}

impl Part for PutCounts {
    fn write(&self, writer: &mut Writer<'_>) {
        for count in [self.acknowledged, self.durable, self.primaries, self.nodes] {
            writer.u32(count);
        }
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            acknowledged: reader.u32("acknowledged")?,
            durable: reader.u32("durable")?,
            primaries: reader.u32("primaries")?,
            nodes: reader.u32("nodes")?,
        })
    }
}

impl Part for GetError {
    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::QuorumNotMet(shortfall) => kind(writer, 1, shortfall),
            Self::TimedOut => writer.u8(2),
            Self::Overloaded => writer.u8(3),
            Self::Violation(violation) => kind(writer, 4, violation),
            Self::UnknownBucketType => writer.u8(5),
        }
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match reader.u8("get error")? {
            1 => Self::QuorumNotMet(Part::read(reader)?),
            2 => Self::TimedOut,
            3 => Self::Overloaded,
            4 => Self::Violation(Part::read(reader)?),
            5 => Self::UnknownBucketType,
            code => return Err(reader.unknown_code("get error", code)),
        })
    }
}

impl Part for PutError {
    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::NotStarted(why) => kind(writer, 1, why),
            Self::Unknown(why) => kind(writer, 2, why),
            Self::Rejected(why) => kind(writer, 3, why),
        }
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match reader.u8("put error")? {
            1 => Self::NotStarted(Part::read(reader)?),
            2 => Self::Unknown(Part::read(reader)?),
            3 => Self::Rejected(Part::read(reader)?),
            code => return Err(reader.unknown_code("put error", code)),
        })
    }
}

impl Part for NotStarted {
    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Overloaded => writer.u8(1),
            Self::TimedOut => writer.u8(2),
            Self::NoReplica => writer.u8(3),
            Self::TooFewPrimaries { required, obtained } => pair(writer, 4, required, obtained),
            Self::StoreFailed => writer.u8(5),
            Self::Starting => writer.u8(6),
            Self::ClockOff => writer.u8(7),
            Self::DiskFull => writer.u8(8),
        }
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match reader.u8("not started")? {
            1 => Self::Overloaded,
            2 => Self::TimedOut,
            3 => Self::NoReplica,
            4 => Self::TooFewPrimaries {
                required: Part::read(reader)?,
                obtained: Part::read(reader)?,
            },
            5 => Self::StoreFailed,
            6 => Self::Starting,
            7 => Self::ClockOff,
            8 => Self::DiskFull,
            code => return Err(reader.unknown_code("not started", code)),
        })
    }
}

impl Part for Uncertain {
    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::QuorumNotMet(shortfall) => kind(writer, 1, shortfall),
            Self::TimedOut => writer.u8(2),
            Self::Interrupted => writer.u8(3),
        }
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match reader.u8("uncertain")? {
            1 => Self::QuorumNotMet(Part::read(reader)?),
            2 => Self::TimedOut,
            3 => Self::Interrupted,
            code => return Err(reader.unknown_code("uncertain", code)),
        })
    }
}

impl Part for Rejection {
    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Violation(violation) => kind(writer, 1, violation),
            Self::UnknownBucketType => writer.u8(2),
            Self::ObjectTooLarge { bytes, limit } => pair(writer, 3, bytes, limit),
            Self::TooManySiblings { siblings, limit } => pair(writer, 4, siblings, limit),
            Self::ContextTooLarge { entries, limit } => pair(writer, 5, entries, limit),
            Self::Modified => writer.u8(6),
            Self::ContextRefused => writer.u8(7),
            Self::Update(refused) => kind(writer, 25, refused),
            Self::NotADataType => writer.u8(26),
            Self::SiblingsOff => writer.u8(27),
        }
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match reader.u8("rejection")? {
            1 => Self::Violation(Part::read(reader)?),
            2 => Self::UnknownBucketType,
            3 => Self::ObjectTooLarge {
                bytes: Part::read(reader)?,
                limit: Part::read(reader)?,
            },
            4 => Self::TooManySiblings {
                siblings: Part::read(reader)?,
                limit: Part::read(reader)?,
            },
            5 => Self::ContextTooLarge {
                entries: Part::read(reader)?,
                limit: Part::read(reader)?,
            },
            6 => Self::Modified,
            7 => Self::ContextRefused,
            25 => Self::Update(Part::read(reader)?),
            26 => Self::NotADataType,
            27 => Self::SiblingsOff,
            code => return Err(reader.unknown_code("rejection", code)),
        })
    }
}

/// A variant with two numbers.
fn pair<T: Part>(writer: &mut Writer<'_>, code: u8, first: &T, second: &T) {
    kind(writer, code, first);
    second.write(writer);
}

impl Part for Shortfall {
    fn write(&self, writer: &mut Writer<'_>) {
        self.requirement.write(writer);
        writer.u32(self.required);
        writer.u32(self.obtained);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let requirement = Part::read(reader)?;
        let (required, obtained) = (reader.u32("required")?, reader.u32("obtained")?);
        Ok(Self {
            requirement,
            required,
            obtained,
        })
    }
}

impl Part for QuorumViolation {
    fn write(&self, writer: &mut Writer<'_>) {
        self.requirement.write(writer);
        writer.u32(self.value);
        writer.u32(self.n);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let requirement = Part::read(reader)?;
        Ok(Self {
            requirement,
            value: reader.u32("value")?,
            n: reader.u32("n")?,
        })
    }
}

impl Part for Object {
    fn write(&self, writer: &mut Writer<'_>) {
        object::write(writer, self);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        object::read(reader)
    }
}

impl Part for Content {
    fn write(&self, writer: &mut Writer<'_>) {
        object::write_content(writer, self);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        object::read_content(reader)
    }
}

impl Part for Context {
    fn write(&self, writer: &mut Writer<'_>) {
        object::write_context(writer, self);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        object::read_context(reader)
    }
}

impl Part for ContextToken {
    fn write(&self, writer: &mut Writer<'_>) {
        self.context.write(writer);
        writer.u64(self.timestamp.0);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            context: Part::read(reader)?,
            timestamp: Timestamp(reader.u64("timestamp")?),
        })
    }
}

impl Part for Dot {
    fn write(&self, writer: &mut Writer<'_>) {
        object::write_dot(writer, *self);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        object::read_dot(reader)
    }
}
