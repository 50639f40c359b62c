//! What a job does to an object as it is now: one new version, made once.
//!
//! A value or a tombstone takes the place of what its writer had seen. An update of a data type takes the place of all that is here, because
//! it is carried out on the join of that ([`ringhold_core::datatype`]). An ordinary value and a data type do not come under one key:
//! whoever updates could neither join the value nor leave it out.

use super::CoordinateJob;
#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::properties::Durability;
use ringhold_core::crdt::Precision;
use ringhold_core::datatype::{self, NewUpdate, NotUpdated, OtherBase};
use ringhold_core::id::{Incarnation, OperationId};
use ringhold_core::version::coordinate::Coordinated;
use ringhold_core::version::truncate::CONTEXT_ENTRIES_MAX;
use ringhold_core::version::{
    Content, ContentHash, Context, Dot, KeyEpoch, LiveEpoch, NewVersion, Object, Version,
    coordinate,
};
use ringhold_wire::message::peer::FollowRequest;
use ringhold_wire::message::{Change, PutRequest, Rejection, TypeUpdate};

/// How the operations of late know an update: its id says all.
pub(super) const OF_UPDATES: ContentHash = ContentHash(0);

/// By which a repeated try is known to be the same.
pub(super) fn hash_of(change: &Change) -> ContentHash {
    match change {
        Change::Content(content) => content.hash(),
        Change::Update(_) => OF_UPDATES,
    }
}

/// The dot of the version that an earlier try of this request has made, if it is still there.
pub(super) fn living_dot(object: &Object, request: &PutRequest) -> Option<Dot> {
    let hash = hash_of(&request.change);
    let is_update = matches!(request.change, Change::Update(_));
    let is_same = |version: &&Version| {
        let same = if is_update {
            datatype::is_data_type(&version.content)
        } else {
            version.hash == hash
        };
        version.operation == request.operation && same
    };
    let version = object.versions().iter().rev().find(is_same)?;
    Some(version.dot)
}

/// The updates that an object has as versions of their own.
pub(super) fn updates_in(object: &Object) -> impl Iterator<Item = (OperationId, ContentHash, Dot)> {
    let versions = object.versions().iter();
    let updates = versions.filter(|version| datatype::is_data_type(&version.content));
    updates.map(|version| (version.operation, OF_UPDATES, version.dot))
}

/// A write that was carried out, and for other replicas, if it is an update, how.
pub(super) struct CarriedOut {
    pub(super) coordinated: Coordinated,
    pub(super) follow: Option<Box<FollowRequest>>,
}

/// Adds the write to the object, or says why it may not.
pub(super) fn carry_out(
    mut job: CoordinateJob,
    object: &mut Object,
    live: Option<LiveEpoch>,
    incarnation: Incarnation,
    wall_us: u64,
    fresh_epoch: impl FnOnce() -> KeyEpoch,
) -> Result<CarriedOut, Rejection> {
    check_condition(&job, object)?;
    let nothing = Change::Content(Content::Tombstone);
    let asked = match std::mem::replace(&mut job.request.change, nothing) {
        Change::Content(content) => {
            check_sort(&content, object)?;
            let write = new_version(job, content, object, wall_us)?;
            return Ok(CarriedOut {
                coordinated: coordinate(object, live, incarnation, write, fresh_epoch),
                follow: None,
            });
        }
        Change::Update(asked) => *asked,
    };
    check_growth(object, object.context(), job.limits.siblings)?;
    let CoordinateJob {
        request,
        durability,
        hll_precision: precision,
        ..
    } = job;
    let write = new_update(&asked, request.operation, precision, wall_us);
    let done = datatype::update(object, live, incarnation, &write, fresh_epoch);
    let done = done.map_err(|why| match why {
        NotUpdated::Refused(refused) => Rejection::Update(refused),
        NotUpdated::NoValue(_) => Rejection::NotADataType,
    })?;
    let follow = done.record.map(|record| {
        Box::new(FollowRequest {
            name: request.name,
            operation: request.operation,
            update: asked,
            precision,
            record,
            flushed: durability == Durability::Flushed,
        })
    });
    let coordinated = done.coordinated;
    Ok(CarriedOut {
        coordinated,
        follow,
    })
}

/// Does what another replica did, if it did it on what is here.
pub(super) fn follow(object: &mut Object, request: &FollowRequest) -> Result<(), OtherBase> {
    let FollowRequest {
        update,
        operation,
        precision,
        record,
        ..
    } = request;
    let write = new_update(update, *operation, *precision, 0);
    datatype::follow(object, &write, record)
}

fn new_update(
    asked: &TypeUpdate,
    operation: OperationId,
    precision: Precision,
    wall_us: u64,
) -> NewUpdate<'_> {
    NewUpdate {
        update: &asked.update,
        context: asked.context.as_ref(),
        operation,
        precision,
        wall_us,
    }
}

fn check_condition(job: &CoordinateJob, object: &Object) -> Result<(), Rejection> {
    let condition = job.request.unchanged_since.as_ref();
    #[cfg(feature = "known-bad")]
    let condition = condition.filter(|_| !known_bad::is(Variant::ConditionIgnored));
    if condition.is_some_and(|seen| !seen.includes(object.context())) {
        return Err(Rejection::Modified);
    }
    Ok(())
}

/// An ordinary value does not go on a key that holds a data type, and does not say that it is one.
fn check_sort(content: &Content, object: &Object) -> Result<(), Rejection> {
    let mut versions = object.versions().iter();
    let holds_type = versions.any(|version| datatype::is_data_type(&version.content));
    let writes_value = !content.is_tombstone();
    if datatype::is_data_type(content) || (writes_value && holds_type) {
        return Err(Rejection::NotADataType);
    }
    Ok(())
}

/// What a job writes on an object as it is now, or why it may not.
fn new_version(
    job: CoordinateJob,
    content: Content,
    object: &Object,
    wall_us: u64,
) -> Result<NewVersion, Rejection> {
    let CoordinateJob {
        request,
        hidden_versions,
        limits,
        ..
    } = job;
    let seen = request.seen.context;
    #[cfg(feature = "known-bad")]
    let seen = known_bad::seen(seen, object);
    let seen = match hidden_versions {
        Some(hidden) => object.replaced_by(seen, hidden),
        None => seen,
    };
    check_growth(object, &seen, limits.siblings)?;
    let seen_timestamp = request.seen.timestamp;
    #[cfg(feature = "known-bad")]
    let seen_timestamp = known_bad::seen_timestamp(seen_timestamp);
    Ok(NewVersion {
        seen,
        seen_timestamp,
        operation: request.operation,
        content,
        wall_us,
    })
}

/// Refuses a write that would make an object outgrow its bounds. Checked before a dot exists.
fn check_growth(object: &Object, seen: &Context, siblings_max: usize) -> Result<(), Rejection> {
    let entries = object.context().len();
    if entries >= CONTEXT_ENTRIES_MAX {
        let (entries, limit) = (small(entries), small(CONTEXT_ENTRIES_MAX));
        return Err(Rejection::ContextTooLarge { entries, limit });
    }
    let kept = object
        .versions()
        .iter()
        .filter(|version| !seen.covers(version.dot))
        .count();
    if kept >= siblings_max {
        return Err(Rejection::TooManySiblings {
            siblings: small(kept),
            limit: small(siblings_max),
        });
    }
    Ok(())
}

fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
