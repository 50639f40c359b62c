//! Coordinating a write: the one place where a dot is made.
//!
//! The rules are in [`super::actor`]. This is a step of one replica on one key, between reading the
//! local record and writing it back; the caller makes sure that nobody else does either meanwhile.

use super::actor::{Actor, Dot, KeyEpoch, LiveEpoch};
use super::context::Context;
use super::object::{Content, Object, Version};
use super::timestamp::Timestamp;
use crate::id::{Incarnation, OperationId};

/// A write as it reaches the replica that coordinates it.
#[derive(Clone, Debug)]
pub struct NewVersion {
    /// What the writer had seen; empty for a blind write.
    pub seen: Context,
    /// The greatest timestamp among what the writer had seen.
    pub seen_timestamp: Timestamp,
    pub operation: OperationId,
    pub content: Content,
    /// Microseconds since 1970 by this node's clock.
    pub wall_us: u64,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coordinated {
    pub dot: Dot,
    /// The mark to store beside the object; never sent.
    pub live: Option<LiveEpoch>,
    /// The operation was here before: its dot stands, nothing was added.
    pub repeated: bool,
    /// A fresh epoch was needed although the store had written this key before (T2): a lost
    /// record, a lost tail, or a record that came back from elsewhere.
    pub epoch_restarted: bool,
    /// The writer had seen more of this very store's writes than the store remembers: evidence
    /// that it lost some.
    pub own_dot_ahead: bool,
}

/// Adds a write to the object, replacing exactly the versions that its writer had seen.
///
/// `fresh_epoch` must be an epoch that this incarnation never used on this key; it is asked only
/// when needed. Returns what the store must keep beside the object.
pub fn coordinate(
    object: &mut Object,
    live: Option<LiveEpoch>,
    incarnation: Incarnation,
    write: NewVersion,
    fresh_epoch: impl FnOnce() -> KeyEpoch,
) -> Coordinated {
    let hash = write.content.hash();
    let known = object
        .versions()
        .iter()
        .rev()
        .find(|v| v.operation == write.operation && v.hash == hash);
    if let Some(dot) = known.map(|version| version.dot) {
        return Coordinated {
            dot,
            live,
            repeated: true,
            epoch_restarted: false,
            own_dot_ahead: false,
        };
    }

    let seen = (&write.seen, write.seen_timestamp);
    let named = name(object, live, incarnation, seen, write.wall_us, fresh_epoch);
    let version = Version {
        dot: named.coordinated.dot,
        timestamp: named.timestamp,
        operation: write.operation,
        hash,
        content: write.content,
    };
    object.supersede(&write.seen, version);
    named.coordinated
}

/// The name of a write that is about to be made.
pub(crate) struct Named {
    pub(crate) coordinated: Coordinated,
    pub(crate) timestamp: Timestamp,
}

/// Makes the dot and the timestamp of a write. `seen` is what its writer had seen, with the greatest timestamp of that.
pub(crate) fn name(
    object: &Object,
    live: Option<LiveEpoch>,
    incarnation: Incarnation,
    seen: (&Context, Timestamp),
    wall_us: u64,
    fresh_epoch: impl FnOnce() -> KeyEpoch,
) -> Named {
    let (seen, seen_timestamp) = seen;
    let ours = object.context().newest_of(incarnation);
    let theirs = seen.newest_of(incarnation);
    let own_dot_ahead = theirs > ours;
    let extended = live.filter(|live| !own_dot_ahead && may_extend(*live, ours));
    let (epoch, counter) = match extended {
        Some(live) => (live.epoch, live.counter + 1),
        None => (fresh_epoch(), 1),
    };
    let dot = Dot {
        actor: Actor { incarnation, epoch },
        counter,
    };
    Named {
        coordinated: Coordinated {
            dot,
            live: Some(LiveEpoch { epoch, counter }),
            repeated: false,
            epoch_restarted: extended.is_none() && (ours.is_some() || theirs.is_some()),
            own_dot_ahead,
        },
        timestamp: Timestamp::after(wall_us, seen_timestamp, object.greatest_timestamp()),
    }
}

/// The mark to keep after a merge: merging never grants the right to count on, and takes it away
/// when the merged context knows a newer entry of this store than the mark.
#[must_use]
pub fn live_after_merge(
    merged: &Object,
    live: Option<LiveEpoch>,
    incarnation: Incarnation,
) -> Option<LiveEpoch> {
    live.filter(|live| may_extend(*live, merged.context().newest_of(incarnation)))
}

/// The live-epoch rule, with the newest entry of the store's incarnation.
fn may_extend(live: LiveEpoch, newest: Option<(Actor, u64)>) -> bool {
    newest.is_some_and(|(actor, counter)| actor.epoch == live.epoch && counter == live.counter)
}
