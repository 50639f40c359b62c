//! What a client wants changed, and why it may be refused.
//!
//! One update is one operation on one key: it is carried out whole or not at all. Whoever brings it in has turned the
//! client's words into these; that a set gets no increment is then a question of [`Kind`] alone.

use super::map::{Field, FieldKind};
use bytes::Bytes;
use std::fmt;

/// Maps in maps: no field lies deeper. What is read here is read recursively, so this bounds the stack.
pub const DEPTH_MAX: usize = 32;
/// The longest name of a field.
pub const NAME_BYTES_MAX: usize = 64 * 1024;
/// The longest element of a set, and the longest value of a register.
pub const ITEM_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Removes that wait for what they remove. A replica with this many takes no remove that would have to wait as well.
pub const DEFERRED_MAX: usize = 10_000;

/// What a key can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Counter,
    Set,
    GrowingSet,
    Hll,
    Map,
}

impl Kind {
    pub const ALL: [Self; 5] = [
        Self::Counter,
        Self::Set,
        Self::GrowingSet,
        Self::Hll,
        Self::Map,
    ];

    /// The name by which clients know it, and that a bucket type has as its `datatype`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Set => "set",
            Self::GrowingSet => "gset",
            Self::Hll => "hll",
            Self::Map => "map",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether clients get a context with its values: where something can be removed.
    #[must_use]
    pub fn has_context(self) -> bool {
        matches!(self, Self::Set | Self::Map)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// How much to add; negative to subtract.
    Counter(i64),
    Set(SetUpdate),
    /// What to add.
    GrowingSet(Vec<Bytes>),
    /// What to count.
    Hll(Vec<Bytes>),
    Map(MapUpdate),
}

/// An element that is in both lists is there afterwards, on the dot of this update.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetUpdate {
    pub adds: Vec<Bytes>,
    pub removes: Vec<Bytes>,
}

/// A field that is in both lists is there afterwards, with nothing but the effect of its update. A
/// field may be updated more than once; of two assignments the later one stands, of enabling and disabling the enabling.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapUpdate {
    pub removes: Vec<Field>,
    /// The name of the field and what to do; the kind of the field is that of the update.
    pub updates: Vec<(Bytes, FieldUpdate)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldUpdate {
    Counter(i64),
    Set(SetUpdate),
    Register(Bytes),
    /// Enable or disable.
    Flag(bool),
    Map(MapUpdate),
}

impl Update {
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Counter(_) => Kind::Counter,
            Self::Set(_) => Kind::Set,
            Self::GrowingSet(_) => Kind::GrowingSet,
            Self::Hll(_) => Kind::Hll,
            Self::Map(_) => Kind::Map,
        }
    }

    /// How many maps lie in each other, the value itself included; 0 if it is none.
    #[must_use]
    pub fn depth(&self) -> usize {
        match self {
            Self::Map(update) => update.depth(),
            _ => 0,
        }
    }
}

impl MapUpdate {
    fn depth(&self) -> usize {
        let inside = self.updates.iter().map(|(_, update)| match update {
            FieldUpdate::Map(update) => update.depth(),
            _ => 0,
        });
        1 + inside.max().unwrap_or(0)
    }
}

impl FieldUpdate {
    #[must_use]
    pub fn kind(&self) -> FieldKind {
        match self {
            Self::Counter(_) => FieldKind::Counter,
            Self::Set(_) => FieldKind::Set,
            Self::Register(_) => FieldKind::Register,
            Self::Flag(_) => FieldKind::Flag,
            Self::Map(_) => FieldKind::Map,
        }
    }
}

/// Why an update was not carried out. Nothing has changed, and its dot was not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The key holds something else.
    WrongKind { holds: Kind, update: Kind },
    /// A remove without a context of an element that this replica does not have. `fields` leads to the set.
    ElementNotPresent { fields: Vec<Field>, element: Bytes },
    /// A remove without a context of a field that this replica does not have: the last of `fields`.
    FieldNotPresent { fields: Vec<Field> },
    /// The counter would leave the range of 64 bits, by what this replica knows of it.
    CounterOverflow,
    /// A field deeper than any may be.
    TooDeep { limit: usize },
    /// A name, an element or a register's value longer than any may be.
    TooLong {
        what: &'static str,
        bytes: usize,
        limit: usize,
    },
    /// The remove would have to wait for what its context has seen and this replica has not, and too many wait already.
    TooManyDeferred { limit: usize },
}

impl Refused {
    /// The word by which clients know the reason.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::WrongKind { .. } => "wrong_type",
            Self::ElementNotPresent { .. } | Self::FieldNotPresent { .. } => "not_present",
            Self::CounterOverflow => "counter_overflow",
            Self::TooDeep { .. } => "too_deep",
            Self::TooLong { .. } => "too_long",
            Self::TooManyDeferred { .. } => "too_many_deferred",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongKind { holds, update } => {
                write!(
                    f,
                    "the key holds a {}, not a {}",
                    holds.name(),
                    update.name()
                )
            }
            Self::ElementNotPresent { element, .. } => {
                write!(f, "not_present: the set has no {element:?}")
            }
            Self::FieldNotPresent { fields } => match fields.last() {
                Some(Field { name, kind }) => {
                    write!(f, "not_present: the map has no {} {name:?}", kind.name())
                }
                None => f.write_str("not_present"),
            },
            Self::CounterOverflow => f.write_str("the counter would leave the range of 64 bits"),
            Self::TooDeep { limit } => write!(f, "a field more than {limit} maps deep"),
            Self::TooLong { what, bytes, limit } => {
                write!(f, "{what} of {bytes} bytes, the limit is {limit}")
            }
            Self::TooManyDeferred { limit } => {
                write!(f, "{limit} removes wait already for what they remove")
            }
        }
    }
}

impl std::error::Error for Refused {}
