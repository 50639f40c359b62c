//! Data types: values that merge by themselves.
//!
//! An object leaves it to its writers to merge siblings (§4.4). A counter, a set or a map can do that alone, if it remembers of each
//! part which update it stands on: these are Riak's data types, as conflict-free replicated data types (Shapiro, Preguiça, Baquero, Zawirski
//! 2011). A replica holds a [`State`]; an update becomes a [`Delta`], which is a small state (Almeida, Shoker, Baquero, *Delta state
//! replicated data types*, 2018); and everything that travels is joined in, late, twice, in any order, in any grouping.
//!
//! **The intuition.** A part of a value is there because some update put it there, and is gone because a remove had *seen* that update. So nothing is
//! ever marked as deleted: parts stand on dots, the causal context says which dots were seen, and what was seen and does not stand is gone.
//! Add wins, update wins and enable wins are all the same: a remove takes what it had seen.
//!
//! | type | is | file |
//! | --- | --- | --- |
//! | counter | totals by actor; in a map, increments that can be taken back | `counter`, `amounts` |
//! | set | elements, each on its dots | `set` |
//! | gset | a union | `gset` |
//! | hll | registers, each a maximum | `hll` |
//! | map | fields of registers, flags, counters, sets and maps | `map`, `register`, `flag` |
//!
//! **What holds.**
//! - A state is what it has seen: two states that saw the same dots and wait for the same removals are equal, and equal states have equal bytes.
//! - An update has one dot, and is in a state with all that it did, or not at all. Its delta claims no other dot.
//! - Every dot that stands was seen; no removal names a dot that was seen (it has been carried out).
//! - A join loses nothing but what a removal names, and refuses nothing of its own kind.
//!
//! **Who calls.** Whoever applies an update passes its dot, which must never name another update of this value (the rules of
//! [`crate::version::actor`] make such dots), and its time. What dots are for is written in [`crate::version`]; why a context has gaps here, and what
//! becomes of a counter that is reset, in `docs/decisions/0019`.
//!
//! Not here: the object around the bytes, the requests of clients, their spelling in JSON and protocol buffers, and who may hold a context. No
//! bound on a whole value either: a join never refuses, so updates are bounded where they enter.

mod amounts;
mod apply;
mod causal;
mod codec;
mod counter;
mod dotted;
mod flag;
mod gset;
mod held;
mod hll;
#[cfg(any(test, feature = "known-bad"))]
pub mod known_bad;
mod map;
mod meeting;
mod register;
mod removals;
mod runs;
mod set;
mod state;
#[cfg(test)]
mod tests;
mod update;
mod value;

pub use causal::CausalContext;
pub use codec::{DecodeError, FORMAT_VERSION};
pub use held::{Held, OPERATIONS_MAX, Signed};
pub use hll::{PRECISION_MAX, PRECISION_MIN, Precision};
pub use map::{Field, FieldKind};
pub use state::{Delta, KindMismatch, State};
pub use update::{
    DEFERRED_MAX, DEPTH_MAX, FieldUpdate, ITEM_BYTES_MAX, Kind, MapUpdate, NAME_BYTES_MAX, Refused,
    SetUpdate, Update,
};
pub use value::{CounterOutOfRange, FieldValue, MapValue, Value};
