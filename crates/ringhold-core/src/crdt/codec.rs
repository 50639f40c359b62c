//! States and contexts as bytes: one form for each, so equal values have equal bytes and equal hashes.
//!
//! Numbers are LEB128 in their shortest form (signed ones in zigzag), byte strings have their length before them, lists their
//! count. Actors are 24 bytes and named in every dot, so they are listed once and then go by their place in the list.
//!
//! ```text
//! u8        1, the format version
//! u8        the kind: 1 counter, 2 set, 3 gset, 4 hll, 5 map
//! actors    count, each: u128 incarnation, u64 epoch, big-endian; those that were seen or are named in a removal
//! seen      for each actor its runs
//! removals  count, each: fields (count, each a field), target, dots (count, each: actor, its runs)
//! body      counter  count, each: actor, first counter, length - 1, signed total; by actor and first counter
//!           set      count, each: element, its dots
//!           gset     count, each: element
//!           hll      precision; 0, count, each: gap and rank, or 1, all ranks (the shorter; of equals the first)
//!           map      count, each: field, presence (dots), content
//! runs      count, each: gap since the last, length - 1, for amounts also the signed amount
//! dots      count, each: actor, counter; an assignment goes on: timestamp, value
//! field     u8 kind (1 counter, 2 set, 3 register, 4 flag, 5 map), name
//! target    u8: 0 field, 1 presence, 2 enablings, 3 element; 3 goes on: element
//! ```
//!
//! What is read is held against the invariants of its types, and then written again: bytes that this does not reproduce are refused, so
//! the reader cannot come to take what the writer would not write. Nothing is reserved before it is there, nothing
//! goes deeper than [`DEPTH_MAX`], and a run costs the same whatever it counts. What was read takes at most about a hundred times
//! its bytes, so whoever reads from outside bounds the bytes.
//!
//! A later release that wants to say more takes another version: joining without knowing would be wrong in silence (T20).
//!
//! [`DEPTH_MAX`]: super::DEPTH_MAX

mod held;
mod reading;
mod writing;

use super::causal::CausalContext;
use super::state::State;
use bytes::Bytes;
use reading::Reading;
use std::fmt;
use writing::Writing;

/// The version of the format that is written, and the only one that is read.
pub const FORMAT_VERSION: u8 = 1;

/// Why bytes are not a state or a context. `offset` is where it was noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes end within `what`.
    Truncated { what: &'static str, offset: usize },
    /// A version of the format that this program does not read.
    UnknownVersion { version: u8 },
    /// A code or a number that has no meaning there, or breaks an invariant.
    Malformed { what: &'static str, offset: usize },
    /// The same value has other bytes.
    NotCanonical,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { what, offset } => write!(f, "{what} is cut short at byte {offset}"),
            Self::UnknownVersion { version } => {
                write!(f, "a data type has the unknown format version {version}")
            }
            Self::Malformed { what, offset } => write!(f, "{what} at byte {offset} is malformed"),
            Self::NotCanonical => f.write_str("the bytes are not in the one form of their value"),
        }
    }
}

impl std::error::Error for DecodeError {}

impl State {
    /// Equal states have equal bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        Writing::state(self)
    }

    /// Elements, names and values are slices of `bytes`.
    ///
    /// # Errors
    /// If the bytes are not what [`State::to_bytes`] writes.
    pub fn from_bytes(bytes: &Bytes) -> Result<Self, DecodeError> {
        let state = Reading::state(bytes.clone())?;
        if state.to_bytes() != *bytes {
            return Err(DecodeError::NotCanonical);
        }
        Ok(state)
    }
}

impl CausalContext {
    /// Equal contexts have equal bytes. What a client is given should be sealed: a context that was made up removes what it names.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        Writing::context(self)
    }

    /// # Errors
    /// If the bytes are not what [`CausalContext::to_bytes`] writes.
    pub fn from_bytes(bytes: &Bytes) -> Result<Self, DecodeError> {
        let context = Reading::context(bytes.clone())?;
        if context.to_bytes() != *bytes {
            return Err(DecodeError::NotCanonical);
        }
        Ok(context)
    }
}
