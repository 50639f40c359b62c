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
//! Other replicas are told what was done and on what ([`follow`]): one that holds the same does the same, with the same outcome to the
//! byte, so that an update costs what it changes. One that does not is sent the whole.
//!
//! A delete is a tombstone. An update that knew nothing of it lives beside it and is what is read. The value that is written after a delete
//! begins as having seen what the key's context covers: removes with contexts of the deleted value have nothing to wait for.
//!
//! Invariant: a version's state has what all versions had that it took the place of, unless a tombstone came between. So a dot that the object's context
//! covers is in the join of what lives, or was deleted by somebody who had seen it.

#[cfg(feature = "known-bad")]
use crate::crdt::known_bad::{Variant, is_on};
use crate::crdt::{
    CausalContext, DecodeError, Held, Kind, KindMismatch, Precision, Refused, Signed, State, Update,
};
use crate::id::{Incarnation, OperationId};
use crate::version::coordinate::{Coordinated, name};
use crate::version::{
    Content, ContentHash, Context, Dot, KeyEpoch, LiveEpoch, MetadataField, Object, Timestamp,
    Version,
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

/// What became of an update.
#[derive(Clone, Copy, Debug)]
pub struct Updated {
    pub coordinated: Coordinated,
    /// For replicas that hold the same; none if the operation was here before.
    pub record: Option<Record>,
}

/// What a coordinator did: by which names, on what, with which outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// The digest of what its replica held.
    pub base: u128,
    pub dot: Dot,
    pub timestamp: Timestamp,
    /// Of the content that it made.
    pub hash: ContentHash,
}

/// The replica does not hold what the update was carried out on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherBase;

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
        #[cfg(feature = "known-bad")]
        if is_on(Variant::OneSiblingJoined) {
            joined = held_in(&version.content)?;
            continue;
        }
        let other = held_in(&version.content)?;
        joined.join(&other).map_err(NoValue::Mixed)?;
    }
    Ok(Some(joined))
}

/// The dot of an operation that is in the object already.
#[must_use]
pub fn dot_of(object: &Object, operation: OperationId) -> Option<Dot> {
    let held = value_of(object).ok()??;
    held.dot_of(operation)
}

/// What two replicas hold is the same if this is.
#[must_use]
pub fn digest_of(object: &Object) -> u128 {
    let mut hasher = xxhash_rust::xxh3::Xxh3Default::new();
    let mut feed = |dot: Dot, hash: u128| {
        hasher.update(&dot.actor.incarnation.0.to_be_bytes());
        hasher.update(&dot.actor.epoch.0.to_be_bytes());
        hasher.update(&dot.counter.to_be_bytes());
        hasher.update(&hash.to_be_bytes());
    };
    for &(actor, counter) in object.context().entries() {
        feed(Dot { actor, counter }, 0);
    }
    for version in object.versions() {
        feed(version.dot, version.hash.0);
    }
    hasher.digest128()
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
) -> Result<Updated, NotUpdated> {
    let held = value_of(object).map_err(NotUpdated::NoValue)?;
    let known = held.as_ref().and_then(|held| held.dot_of(write.operation));
    if let Some(dot) = known {
        let coordinated = Coordinated {
            dot,
            live,
            repeated: true,
            epoch_restarted: false,
            own_dot_ahead: false,
        };
        let record = None;
        return Ok(Updated {
            coordinated,
            record,
        });
    }
    let base = digest_of(object);
    let (blind, wall_us) = ((&Context::new(), Timestamp::default()), write.wall_us);
    let named = name(object, live, incarnation, blind, wall_us, fresh_epoch);
    let names = (named.coordinated.dot, named.timestamp);
    let version = carried_out(object.context(), held, write, names)?;
    let record = Some(Record {
        base,
        dot: version.dot,
        timestamp: version.timestamp,
        hash: version.hash,
    });
    let all = object.context().clone();
    object.supersede(&all, version);
    Ok(Updated {
        coordinated: named.coordinated,
        record,
    })
}

/// Does at another replica what its coordinator did, if it holds exactly what that one held. The outcome is the same to the byte, or there is none.
///
/// # Errors
/// If it holds something else; nothing has changed.
pub fn follow(
    object: &mut Object,
    write: &NewUpdate<'_>,
    record: &Record,
) -> Result<(), OtherBase> {
    if object.context().covers(record.dot) {
        return Ok(());
    }
    #[cfg(feature = "known-bad")]
    if is_on(Variant::FollowsAnyBase) {
        return follow_blindly(object, write, record);
    }
    if digest_of(object) != record.base {
        return Err(OtherBase);
    }
    follow_blindly(object, write, record)
}

/// The same without asking what the replica holds: the outcome still has to be what the coordinator says.
fn follow_blindly(
    object: &mut Object,
    write: &NewUpdate<'_>,
    record: &Record,
) -> Result<(), OtherBase> {
    let held = value_of(object).map_err(|_| OtherBase)?;
    let names = (record.dot, record.timestamp);
    let version = carried_out(object.context(), held, write, names).map_err(|_| OtherBase)?;
    #[cfg(feature = "known-bad")]
    let is_same = version.hash == record.hash || is_on(Variant::FollowsAnyBase);
    #[cfg(not(feature = "known-bad"))]
    let is_same = version.hash == record.hash;
    if !is_same {
        return Err(OtherBase);
    }
    let all = object.context().clone();
    object.supersede(&all, version);
    Ok(())
}

/// The version that an update makes of what a key held.
fn carried_out(
    context: &Context,
    held: Option<Held>,
    write: &NewUpdate<'_>,
    (dot, timestamp): (Dot, Timestamp),
) -> Result<Version, NotUpdated> {
    let mut held = held.unwrap_or_else(|| new_value(context, write));
    let signed = Signed {
        update: write.update,
        operation: write.operation,
        dot,
        timestamp,
        context: write.context,
    };
    held.update(&signed).map_err(NotUpdated::Refused)?;
    let content = content_of(&held);
    Ok(Version {
        dot,
        timestamp,
        operation: write.operation,
        hash: content.hash(),
        content,
    })
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
