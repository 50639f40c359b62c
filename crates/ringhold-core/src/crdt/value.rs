//! What clients see of a value: members in the order of their bytes, fields in the order of their names.

use super::map::{Content, Field, Fields};
use super::{flag, register};
use bytes::Bytes;
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Counter(i128),
    /// Sorted by bytes, each once.
    Set(Vec<Bytes>),
    /// Sorted by bytes, each once.
    GrowingSet(Vec<Bytes>),
    /// An estimate of how many different elements were added.
    Hll(u64),
    Map(MapValue),
}

/// The fields, sorted by name, then by kind.
pub type MapValue = Vec<(Field, FieldValue)>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldValue {
    Counter(i128),
    /// Sorted by bytes, each once.
    Set(Vec<Bytes>),
    Register(Bytes),
    Flag(bool),
    Map(MapValue),
}

/// The increments of a counter sum up to more than 128 bits hold. Those that were taken as updates never do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterOutOfRange;

impl fmt::Display for CounterOutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a counter is beyond 128 bits")
    }
}

impl std::error::Error for CounterOutOfRange {}

pub(super) fn map_value(fields: &Fields) -> Result<MapValue, CounterOutOfRange> {
    let entries = fields.entries.iter();
    entries
        .map(|(field, entry)| Ok((field.clone(), field_value(&entry.content)?)))
        .collect()
}

fn field_value(content: &Content) -> Result<FieldValue, CounterOutOfRange> {
    Ok(match content {
        Content::Counter(amounts) => FieldValue::Counter(amounts.sum().ok_or(CounterOutOfRange)?),
        Content::Set(elements) => FieldValue::Set(elements.members()),
        Content::Register(assignments) => {
            FieldValue::Register(register::shown(assignments).unwrap_or_default())
        }
        Content::Flag(enablings) => FieldValue::Flag(flag::is_enabled(enablings)),
        Content::Map(fields) => FieldValue::Map(map_value(fields)?),
    })
}
