//! The properties that somebody set, and their encoding.
//!
//! [`Overrides`] are read from a client's proposal ([`Overrides::propose`]) or from bytes
//! ([`Overrides::decode`]); either way they hold nothing that was not checked, except entries of a
//! newer program, which are carried along unread. A change is an `Overrides` too: it is laid over the
//! earlier ones with [`Overrides::changed_by`].
//!
//! The layout, version 1: `1u8, count u32, count × (tag u16, length u32, value)`, by ascending tag; a
//! value is a kind (`u8`: 1 boolean, 2 number, 3 count, 4 text) and its content.

use super::property::{Property, Reason, Refusal, Value, Word};
use bytes::{Bytes, BytesMut};
use ringhold_core::quorum::Count;
use ringhold_wire::bytes_io::{DecodeError, Reader, Writer};
use std::collections::BTreeMap;

/// The most overrides of one bucket, known and unknown.
const ENTRIES_MAX: usize = 256;

/// The longest text that a property holds, in bytes.
pub(super) const TEXT_BYTES_MAX: usize = 4096;

/// The version of the encoding.
const VERSION: u8 = 1;

/// A value that an override holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    Boolean(bool),
    Number(u64),
    Count(Count),
    Text(String),
}

/// The properties that somebody set, and to what.
///
/// Entries are kept as their encoded bytes, so that those of a newer program pass through unharmed;
/// one that this program can't read has no effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    pub(super) entries: BTreeMap<u16, Bytes>,
}

impl Overrides {
    /// Understands what a client proposes.
    ///
    /// # Errors
    /// All refusals, in the order of the proposals, if there is one.
    pub fn propose<'a>(
        proposals: impl IntoIterator<Item = (&'a str, Value)>,
    ) -> Result<Self, Vec<Refusal>> {
        let mut overrides = Self::default();
        let mut refusals = Vec::new();
        for (name, value) in proposals {
            let property = Property::ALL
                .iter()
                .copied()
                .find(|property| property.name() == name);
            let understood = match property {
                Some(property) => property.understand(value).map(|stored| (property, stored)),
                None => Err(Reason::UnknownProperty),
            };
            match understood {
                Ok((property, Some(stored))) => overrides.set(property, &stored),
                Ok((_, None)) => {}
                Err(reason) => refusals.push(Refusal {
                    property: name.to_owned(),
                    reason,
                }),
            }
        }
        if refusals.is_empty() {
            Ok(overrides)
        } else {
            Err(refusals)
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether this says something of the property.
    #[must_use]
    pub fn contains(&self, property: Property) -> bool {
        self.entries.contains_key(&property.tag())
    }

    /// Lays a later change over these; what it doesn't mention stays.
    #[must_use]
    pub fn changed_by(&self, change: &Self) -> Self {
        let mut entries = self.entries.clone();
        entries.extend(
            change
                .entries
                .iter()
                .map(|(tag, bytes)| (*tag, bytes.clone())),
        );
        Self { entries }
    }

    /// The number of replicas that is asked for, if one is. It is kept in the ring document, and everything else here.
    #[must_use]
    pub fn replicas(&self) -> Option<u8> {
        let n = self.number(Property::NVal)?;
        u8::try_from(n).ok()
    }

    /// The same without a number of replicas.
    #[must_use]
    pub fn without_replicas(&self) -> Self {
        let mut entries = self.entries.clone();
        entries.remove(&Property::NVal.tag());
        Self { entries }
    }

    /// The same without what only a type says: in a bucket it is as its type has it, or was refused.
    #[must_use]
    pub(crate) fn without_fixed(&self) -> Self {
        let mut entries = self.entries.clone();
        for fixed in [Property::Datatype, Property::WriteOnce] {
            entries.remove(&fixed.tag());
        }
        Self { entries }
    }

    /// The one encoding of these overrides: version, then each entry as tag and bytes, by tag.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let entries: Vec<(u16, &Bytes)> = self
            .entries
            .iter()
            .map(|(tag, bytes)| (*tag, bytes))
            .collect();
        let mut out = BytesMut::new();
        let mut writer = Writer::new(&mut out);
        writer.u8(VERSION);
        writer.list(&entries, |writer, (tag, bytes)| {
            writer.u16(*tag);
            writer.bytes(bytes);
        });
        out.freeze()
    }

    /// # Errors
    /// If the bytes are not what [`Overrides::encode`] writes, now or in a later release of this
    /// version of the format.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let overrides = read_overrides(&mut reader)?;
        reader.finish("bucket properties")?;
        Ok(overrides)
    }

    fn set(&mut self, property: Property, stored: &Stored) {
        self.entries.insert(property.tag(), stored.encode());
        assert!(
            self.entries.len() <= ENTRIES_MAX,
            "there are fewer properties than that"
        );
    }

    fn find(&self, property: Property) -> Option<Stored> {
        let bytes = self.entries.get(&property.tag())?;
        let mut reader = Reader::new(bytes.clone());
        let stored = Stored::read(&mut reader).ok()?;
        reader.finish("property").ok()?;
        Some(stored)
    }

    pub(super) fn boolean(&self, property: Property) -> Option<bool> {
        match self.find(property)? {
            Stored::Boolean(set) => Some(set),
            _ => None,
        }
    }

    pub(super) fn number(&self, property: Property) -> Option<u64> {
        match self.find(property)? {
            Stored::Number(number) => Some(number),
            _ => None,
        }
    }

    pub(super) fn count(&self, property: Property) -> Option<Count> {
        match self.find(property)? {
            Stored::Count(count) => Some(count),
            _ => None,
        }
    }

    pub(super) fn text(&self, property: Property) -> Option<String> {
        match self.find(property)? {
            Stored::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn word(&self, property: Property) -> Option<Word> {
        match self.find(property)? {
            Stored::Boolean(set) => Some(Word::Boolean(set)),
            Stored::Text(text) => Some(Word::Text(text)),
            Stored::Number(_) | Stored::Count(_) => None,
        }
    }
}

fn read_overrides(reader: &mut Reader) -> Result<Overrides, DecodeError> {
    let version = reader.u8("version")?;
    if version != VERSION {
        return Err(DecodeError::UnknownVersion {
            what: "bucket properties",
            version,
        });
    }
    let offset = reader.offset();
    let count = reader.u32("entries")?;
    let count = usize::try_from(count)
        .ok()
        .filter(|count| *count <= ENTRIES_MAX);
    let Some(count) = count else {
        return Err(DecodeError::TooMany {
            what: "entries",
            offset,
            count: ENTRIES_MAX + 1,
            left: reader.left(),
        });
    };
    let mut entries = BTreeMap::new();
    for _ in 0..count {
        let offset = reader.offset();
        let tag = reader.u16("tag")?;
        let ordered = entries.last_key_value().is_none_or(|(last, _)| *last < tag);
        if !ordered {
            return Err(DecodeError::Malformed {
                what: "tag",
                offset,
            });
        }
        entries.insert(tag, reader.bytes("value", 2 * TEXT_BYTES_MAX)?);
    }
    Ok(Overrides { entries })
}

impl Stored {
    fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        let mut writer = Writer::new(&mut out);
        match self {
            Self::Boolean(set) => {
                writer.u8(1);
                writer.flag(*set);
            }
            Self::Number(number) => {
                writer.u8(2);
                writer.u64(*number);
            }
            Self::Count(count) => {
                writer.u8(3);
                writer.u32(count.to_wire());
            }
            Self::Text(text) => {
                writer.u8(4);
                writer.bytes(text.as_bytes());
            }
        }
        out.freeze()
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let offset = reader.offset();
        match reader.u8("kind")? {
            1 => Ok(Self::Boolean(reader.flag("boolean")?)),
            2 => Ok(Self::Number(reader.u64("number")?)),
            3 => Ok(Self::Count(Count::from_wire(reader.u32("count")?))),
            4 => {
                let bytes = reader.bytes("text", TEXT_BYTES_MAX)?;
                let text = std::str::from_utf8(&bytes).map_err(|_| DecodeError::Malformed {
                    what: "text",
                    offset,
                })?;
                Ok(Self::Text(text.to_owned()))
            }
            code => Err(DecodeError::UnknownCode {
                what: "kind",
                offset,
                code: code.into(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    fn proposed(proposals: &[(&'static str, Value)]) -> Overrides {
        Overrides::propose(proposals.iter().cloned()).expect("proposals that are fine")
    }

    #[test]
    fn what_is_so_anyway_is_accepted_and_not_kept() {
        let (module, function) = super::super::LINKFUN;
        let linkfun = Value::Function {
            module: module.to_owned(),
            function: function.to_owned(),
        };
        let overrides = proposed(&[
            ("name", text("b")),
            ("precommit", Value::EmptyList),
            ("postcommit", Value::EmptyList),
            ("linkfun", linkfun),
            ("consistent", text("false")),
        ]);
        assert!(overrides.is_empty());
    }

    #[test]
    fn a_change_lies_over_earlier_ones() {
        let first = proposed(&[("r", Value::Integer(1)), ("w", Value::Integer(1))]);
        let both = first.changed_by(&proposed(&[("w", text("all")), ("pr", Value::Integer(2))]));
        assert_eq!(
            both,
            proposed(&[
                ("r", Value::Integer(1)),
                ("w", text("all")),
                ("pr", Value::Integer(2))
            ])
        );
        assert!(both.contains(Property::Pr) && !both.contains(Property::Dw));
    }

    fn hexadecimal(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn golden() {
        let overrides = proposed(&[
            ("allow_mult", Value::Boolean(false)),
            ("n_val", Value::Integer(5)),
            ("r", text("quorum")),
            ("dw", Value::Integer(2)),
            ("durability", text("buffered")),
        ]);
        let golden = "01\
            00000005\
            0001000000020100\
            00030000000902\
            0000000000000005\
            00040000000503fffffffd\
            0007000000050300000002\
            000d0000000d0400000008\
            6275666665726564";
        assert_eq!(hexadecimal(&overrides.encode()), golden);
        assert_eq!(Overrides::decode(overrides.encode()), Ok(overrides));
    }

    #[test]
    fn damaged_bytes_are_refused() {
        let whole = proposed(&[("r", Value::Integer(1)), ("repl", text("realtime"))]).encode();
        for cut in 0..whole.len() {
            assert!(
                Overrides::decode(whole.slice(..cut)).is_err(),
                "cut at {cut}"
            );
        }
        let rows: [&[u8]; 4] = [
            &[2, 0, 0, 0, 0],
            &[1, 255, 255, 255, 255],
            &[1, 0, 0, 0, 0, 7],
            &[1, 0, 0, 0, 2, 0, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0],
        ];
        for bytes in rows {
            assert!(
                Overrides::decode(Bytes::from_static(bytes)).is_err(),
                "{bytes:?}"
            );
        }
    }
}
