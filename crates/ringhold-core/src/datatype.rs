//! Data types in objects: how a value that merges by itself lives in the versions of a key.
//!
//! A data type's value is the content of ordinary versions, under ordinary dots, so whatever carries objects (replication, repair,
//! hints, anti-entropy, transfers) carries it and need not know. Updates that knew nothing of each other are siblings,
//! and stay exact by their dots. Joining siblings into one while objects are *merged* would lose data: the joined version would have to go under the dot of
//! one of them, and whoever had seen that dot alone and deletes it would take the others along.
//!
//! So siblings are joined in two places, and in no other:
//!
//! - who *reads* joins all that live ([`value_of`]);
//! - who *coordinates* an update joins all that its replica holds, carries the update out, and puts the outcome in the place of all of them
//!   ([`update`]). So there are no more siblings than replicas that coordinated at once.
//!
//! A delete is a tombstone. An update that knew nothing of it lives beside it and is what is read. The value that is written after a delete
//! begins as having seen what the key's context covers: removes with contexts of the deleted value have nothing to wait for.
//!
//! Invariant: a version's state has what all versions had that it took the place of, unless a tombstone came between. So a dot that the object's context
//! covers is in the join of what lives, or was deleted by somebody who had seen it.

use crate::crdt::{
    CausalContext, DecodeError, Held, Kind, KindMismatch, Precision, Refused, Signed, State, Update,
};
use crate::id::{Incarnation, OperationId};
use crate::version::coordinate::{Coordinated, name};
use crate::version::{
    Content, Context, KeyEpoch, LiveEpoch, MetadataField, Object, Timestamp, Version,
};
use std::fmt;

/// The tag of the field by which a version says that its value is a data type. It holds one byte, the kind's code.
pub const TAG: u16 = 16;

/// Why the versions of a key are no value of one data type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoValue {
    /// There is an ordinary value.
    Ordinary,
    /// There are values of two kinds.
    Mixed(KindMismatch),
    /// A later release wrote it, or it is damaged.
    Malformed(DecodeError),
}

impl fmt::Display for NoValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ordinary => f.write_str("the key holds an ordinary value"),
            Self::Mixed(mismatch) => mismatch.fmt(f),
            Self::Malformed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for NoValue {}

/// An update as it reaches the replica that coordinates it.
#[derive(Clone, Copy, Debug)]
pub struct NewUpdate<'a> {
    pub update: &'a Update,
    /// What the client had read, for what it removes.
    pub context: Option<&'a CausalContext>,
    pub operation: OperationId,
    /// Of a new estimate.
    pub precision: Precision,
    /// Microseconds since 1970 by this node's clock.
    pub wall_us: u64,
}

/// Why an update was not carried out. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotUpdated {
    Refused(Refused),
    NoValue(NoValue),
}

/// The code of a kind in the field [`TAG`].
#[must_use]
pub fn code_of(kind: Kind) -> u8 {
    match kind {
        Kind::Counter => 1,
        Kind::Set => 2,
        Kind::GrowingSet => 3,
        Kind::Hll => 4,
        Kind::Map => 5,
    }
}

/// The kind of a version's value; nothing if it is an ordinary one or a tombstone.
#[must_use]
pub fn kind_of(content: &Content) -> Option<Kind> {
    let Content::Value { metadata, .. } = content else {
        return None;
    };
    let field = metadata.iter().find(|field| field.tag == TAG)?;
    Kind::ALL
        .into_iter()
        .find(|kind| field.bytes[..] == [code_of(*kind)])
}

/// Whether a version says that it is of a data type, be it a kind that this program does not know.
#[must_use]
pub fn is_data_type(content: &Content) -> bool {
    match content {
        Content::Value { metadata, .. } => metadata.iter().any(|field| field.tag == TAG),
        Content::Tombstone => false,
    }
}

/// The content of a version with this value.
#[must_use]
pub fn content_of(held: &Held) -> Content {
    let code = vec![code_of(held.kind())];
    Content::Value {
        bytes: held.to_bytes(),
        metadata: vec![MetadataField {
            tag: TAG,
            bytes: code.into(),
        }],
    }
}

fn held_in(content: &Content) -> Result<Held, NoValue> {
    match content {
        Content::Value { bytes, .. } if is_data_type(content) => {
            Held::from_bytes(bytes).map_err(NoValue::Malformed)
        }
        _ => Err(NoValue::Ordinary),
    }
}

/// What a client sees of a key: the join of all values that live; nothing if there is none.
///
/// # Errors
/// If they are not all values of one data type.
pub fn value_of(object: &Object) -> Result<Option<Held>, NoValue> {
    let versions = object.versions().iter();
    let mut values = versions.filter(|version| !version.content.is_tombstone());
    let Some(first) = values.next() else {
        return Ok(None);
    };
    let mut joined = held_in(&first.content)?;
    for version in values {
        let other = held_in(&version.content)?;
        joined.join(&other).map_err(NoValue::Mixed)?;
    }
    Ok(Some(joined))
}

/// The dot of an operation that is in the object already.
#[must_use]
pub fn dot_of(object: &Object, operation: OperationId) -> Option<crate::version::Dot> {
    let of_types = || {
        let versions = object.versions().iter();
        versions.filter(|version| is_data_type(&version.content))
    };
    let alive = of_types().find(|version| version.operation == operation);
    alive.map(|version| version.dot).or_else(|| {
        of_types().find_map(|version| held_in(&version.content).ok()?.dot_of(operation))
    })
}

/// Carries an update out at the replica that holds the object, and puts the outcome in the place of all that it holds.
///
/// `fresh_epoch` as in [`coordinate`](crate::version::coordinate()).
///
/// # Errors
/// See [`NotUpdated`]; nothing has changed.
pub fn update(
    object: &mut Object,
    live: Option<LiveEpoch>,
    incarnation: Incarnation,
    write: &NewUpdate<'_>,
    fresh_epoch: impl FnOnce() -> KeyEpoch,
) -> Result<Coordinated, NotUpdated> {
    let held = value_of(object).map_err(NotUpdated::NoValue)?;
    let mut held = held.unwrap_or_else(|| new_value(object.context(), write));
    let (blind, never) = (Context::new(), Timestamp::default());
    let named = name(
        object,
        live,
        incarnation,
        (&blind, never),
        write.wall_us,
        fresh_epoch,
    );
    let (dot, timestamp) = (named.coordinated.dot, named.timestamp);
    let signed = Signed {
        update: write.update,
        operation: write.operation,
        dot,
        timestamp,
        context: write.context,
    };
    held.update(&signed).map_err(NotUpdated::Refused)?;
    let content = content_of(&held);
    let version = Version {
        dot,
        timestamp,
        operation: write.operation,
        hash: content.hash(),
        content,
    };
    let all = object.context().clone();
    object.supersede(&all, version);
    Ok(named.coordinated)
}

/// The value of a key that holds none, and may have held one.
fn new_value(context: &Context, write: &NewUpdate<'_>) -> Held {
    let state = match write.update.kind() {
        Kind::Hll => State::hll(write.precision),
        kind => State::succeeding(kind, &CausalContext::from(context)),
    };
    Held::new(state)
}

#[cfg(test)]
mod tests;
