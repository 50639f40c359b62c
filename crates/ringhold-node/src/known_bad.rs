//! Wrong variants of this crate's rules, for the simulator to find.
//!
//! A harness is measured by the mistakes that it finds. Each variant is a mistake that some store has made or
//! nearly made (the traps T1 to T30), built in at the one place of its rule and picked at run time, for one
//! thread. The feature `known-bad` compiles them; no release does.

use crate::node::Node;
use bytes::Bytes;
use ringhold_core::boot::Inquiry;
use ringhold_core::datatype;
use ringhold_core::id::{Incarnation, NodeId};
use ringhold_core::rebuild::Newness;
use ringhold_core::ring::{Move, Replicas, TreeId};
use ringhold_core::tree::LeafSum;
use ringhold_core::version::{Content, Context, LiveEpoch, Object, Timestamp, Version};
use ringhold_wire::message::peer::{LeafFault, MergeRequest, Request};
use ringhold_wire::metadata::tag;
use std::cell::Cell;
use std::collections::BTreeSet;

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Variant {
    /// What a replica is sent takes the place of what it has (T10).
    MergeOverwrites,
    /// Of several versions, merging forgets the last (T10).
    MergeDropsVersion,
    /// An acknowledgement is counted for two nodes (T8).
    CountsNodeTwice,
    /// What is in memory counts as durable (T21).
    MemoryCountsAsDurable,
    /// Where one replica is to flush, none is waited for (T21).
    OneIsNone,
    /// Silence counts as an acknowledgement (T6).
    SilenceIsConsent,
    /// The first acknowledgement is enough (T8).
    QuorumOfOne,
    /// After no answer another primary coordinates as well (T6).
    ForwardsAfterSilence,
    /// A retry is taken for a new operation (T6).
    ForgetsOperations,
    /// A record that can't be read counts as absent (T2).
    ReadErrorIsAbsence,
    /// A store goes on with whatever entry of its own a record has (T2).
    ExtendsForeignEntry,
    /// A store that was closed cleanly goes on without asking anybody (T2).
    AsksNoWitness,
    /// A node remembers the first boot that it was told of and none after it (T2).
    TestimonyNotRaised,
    /// Siblings of a data type are joined into one while objects are merged (T10).
    SiblingsFolded,
    /// A ring document of another cluster is taken for one of this (T19).
    ForeignDocumentTaken,
    /// A survivor goes on without asking the other survivors (T14).
    RecoversAlone,
    /// A node serves with an older ring than its store was served with (T16).
    OldRingServed,
    /// A coordinator sends before its own write is flushed (T2, T7).
    SendsBeforeCommit,
    /// A replica acknowledges before its write is flushed (T21).
    AcknowledgesBeforeCommit,
    /// Replicas that hold something else are not asked for it (T8).
    IgnoresDifferingDigests,
    /// Replicas that are behind are left so (T10).
    NeverRepairs,
    /// A get is answered although too few replicas hold what it says, where its bucket wants them to (T8).
    RepairDoesNotBlock,
    /// A request whose time is over is carried out (T24).
    ExecutesExpired,
    /// A context is good for any key (T3).
    ContextOfAnyKey,
    /// A write replaces what its writer had not seen (T3).
    BlindWriteReplaces,
    /// A delete removes the record instead of leaving a tombstone (T11).
    DeleteRemoves,
    /// A timestamp is not later than what its writer had seen (T5).
    SeenTimestampIgnored,
    /// A client is not answered when its deadline passes (T24).
    DeadlineIgnored,
    /// What a fallback keeps for others has no hint (T9).
    StrayIsNoHint,
    /// A hint is dropped when it was sent (T9).
    HintSentIsDelivered,
    /// A hint is dropped on a receipt from memory (T9).
    ReceiptFromMemory,
    /// A hint is dropped when one home has it (T9).
    OneHomeIsEnough,
    /// A hint is dropped although its object was written again since it was sent (T9).
    HintDroppedUnseen,
    /// Replicas never compare what they have (T12).
    NeverExchanges,
    /// Who is no home of a partition is compared with as well (T13).
    ExchangeWithFallback,
    /// Who is asked to count its objects answers with the sums that it keeps (T12).
    VerifyTrustsSums,
    /// Who is asked to check its index rows says that nothing is wrong with them (T12).
    RowsNotCompared,
    /// Nobody looks whether the sums are those of the objects (T12).
    NeverScrubs,
    /// A peer that was down stays so, whatever it answers (T25).
    BreakerNeverCloses,
    /// A peer that is down is never tried again (T25).
    NeverProbes,
    /// A store that is empty or old answers as if it were not (T18).
    EmptyStoreIsWhole,
    /// A store is known again when it was compared with one other home (T18).
    RebuildsFromOne,
    /// An empty store is taken for new because some have never heard of its node (T18).
    FewMakeAStoreNew,
    /// Writes go to the old homes only while a partition changes hands (T16).
    ComersMissWrites,
    /// The next table is taken into use before all comers have their copies (T16).
    FinishesWithoutReceipts,
    /// Requests are carried out whatever placement they were planned by (T13).
    PlacementIgnored,
    /// A comer says that it has what it has not copied (T16).
    ReceiptWithoutCopy,
    /// What a node holds of a partition that it has lost stays with it (T16).
    StraysStay,
    /// A node deletes what it has lost to others, without their receipts (T16).
    DeletesAfterSwitch,
    /// A ring document is taken into use before it is on disk (T14).
    DocumentNotKept,
    /// A voter that has lost its store votes at once (T14, T18).
    ForgetfulVoterSpeaks,
    /// The next homes count before they have anything (T16).
    IncomingCountsAsOwner,
    /// The number of replicas to come counts before it is taken into use (T16).
    CountsByTheNextN,
    /// Who becomes a home because there will be more copies nothing (T16).
    GrowsWithoutCopies,
    /// Who stays a home when there will be fewer takes nothing over from those who go (T16).
    ShrinksWithoutReceipts,
    /// A ring document needs nobody's agreement, only a higher number (T14).
    LaterDocumentWins,
    /// A member goes before it has handed over everything (T16).
    LeaverGoesEarly,
    /// A store says that it is whole before it is (T18).
    WholeBeforeRebuilt,
    /// A store that lacks keys judges conditions by what it has (T18).
    RebuildingJudgesConditions,
    /// Background work gets nothing while requests are slow (T24).
    BackgroundStarves,
    /// A node whose clock is far from its peers' makes timestamps (T26).
    DriftedClockCoordinates,
    /// A conditional put is taken, whatever was written since (T3).
    ConditionIgnored,
    /// A type is active before every member knows it (T14).
    ActivatesUnready,
    /// A node takes what its types are like from the document that it started with (T14).
    TypesNotFollowed,
    /// A change of bucket properties takes the place of a later one (T14).
    LateChangeWins,
    /// A primary that can't be reached is not asked whether a tombstone may go (T11).
    ReapsWithPrimaryDown,
    /// A member that can't be reached is taken to have nothing (T11).
    ReapsWithAbsentMember,
    /// A query asks one home of each partition instead of R.
    QueryAsksOne,
    /// What passed the first look is removed later, whatever is there by then (T11).
    ReapsUnconditionally,
    /// What passed the first look is removed at once, whatever is still on its way (T11).
    ReapsAtFirstLook,
    /// A tombstone goes however young it is (T11).
    ReapsBeforeGrace,
    /// One clock decides for all primaries (T11, T26).
    ReapsOnOneClock,
    /// A value lives anew from each merge on (T11).
    ExpiryRestartsOnMerge,
}

impl Variant {
    pub const ALL: &'static [Self] = &[
        Self::MergeOverwrites,
        Self::ActivatesUnready,
        Self::TypesNotFollowed,
        Self::MergeDropsVersion,
        Self::CountsNodeTwice,
        Self::MemoryCountsAsDurable,
        Self::OneIsNone,
        Self::SilenceIsConsent,
        Self::QuorumOfOne,
        Self::ForwardsAfterSilence,
        Self::ForgetsOperations,
        Self::ReadErrorIsAbsence,
        Self::ExtendsForeignEntry,
        Self::AsksNoWitness,
        Self::TestimonyNotRaised,
        Self::ComersMissWrites,
        Self::FinishesWithoutReceipts,
        Self::PlacementIgnored,
        Self::ReceiptWithoutCopy,
        Self::StraysStay,
        Self::DeletesAfterSwitch,
        Self::DocumentNotKept,
        Self::ForgetfulVoterSpeaks,
        Self::IncomingCountsAsOwner,
        Self::CountsByTheNextN,
        Self::GrowsWithoutCopies,
        Self::ShrinksWithoutReceipts,
        Self::LaterDocumentWins,
        Self::LeaverGoesEarly,
        Self::OldRingServed,
        Self::ForeignDocumentTaken,
        Self::RecoversAlone,
        Self::SendsBeforeCommit,
        Self::AcknowledgesBeforeCommit,
        Self::IgnoresDifferingDigests,
        Self::NeverRepairs,
        Self::RepairDoesNotBlock,
        Self::ExecutesExpired,
        Self::ContextOfAnyKey,
        Self::BlindWriteReplaces,
        Self::DeleteRemoves,
        Self::SeenTimestampIgnored,
        Self::DeadlineIgnored,
        Self::StrayIsNoHint,
        Self::HintSentIsDelivered,
        Self::ReceiptFromMemory,
        Self::OneHomeIsEnough,
        Self::HintDroppedUnseen,
        Self::NeverExchanges,
        Self::ExchangeWithFallback,
        Self::VerifyTrustsSums,
        Self::RowsNotCompared,
        Self::NeverScrubs,
        Self::BreakerNeverCloses,
        Self::NeverProbes,
        Self::EmptyStoreIsWhole,
        Self::RebuildsFromOne,
        Self::FewMakeAStoreNew,
        Self::WholeBeforeRebuilt,
        Self::RebuildingJudgesConditions,
        Self::BackgroundStarves,
        Self::DriftedClockCoordinates,
        Self::ConditionIgnored,
        Self::LateChangeWins,
        Self::ReapsWithPrimaryDown,
        Self::ReapsWithAbsentMember,
        Self::QueryAsksOne,
        Self::ReapsUnconditionally,
        Self::ReapsAtFirstLook,
        Self::ReapsBeforeGrace,
        Self::ReapsOnOneClock,
        Self::ExpiryRestartsOnMerge,
        Self::SiblingsFolded,
    ];
}

thread_local! {
    static ACTIVE: Cell<Option<Variant>> = const { Cell::new(None) };
}

/// Makes a mistake, or none, on this thread from now on.
pub fn activate(variant: Option<Variant>) {
    ACTIVE.set(variant);
}

pub(crate) fn is(variant: Variant) -> bool {
    ACTIVE.get() == Some(variant)
}

pub(crate) fn merge(object: &mut Object, other: &Object) {
    if is(Variant::MergeOverwrites) {
        *object = other.clone();
    }
    if is(Variant::MergeDropsVersion) && object.versions().len() > 1 {
        let kept = object.versions()[..object.versions().len() - 1].to_vec();
        *object =
            Object::from_parts(object.context().clone(), kept).expect("a part of an object is one");
    }
    if is(Variant::SiblingsFolded) {
        fold(object);
    }
    if is(Variant::ExpiryRestartsOnMerge) {
        let mut versions = object.versions().to_vec();
        versions.iter_mut().for_each(live_anew);
        *object = Object::from_parts(object.context().clone(), versions)
            .expect("dots and context are as they were");
    }
}

/// Joins the siblings of a data type into one, under the greatest of their dots.
fn fold(object: &mut Object) {
    let Ok(Some(held)) = datatype::value_of(object) else {
        return;
    };
    let mut versions = object.versions().to_vec();
    let Some(mut last) = versions.pop().filter(|last| !last.content.is_tombstone()) else {
        return;
    };
    last.content = datatype::content_of(&held);
    last.hash = last.content.hash();
    *object = Object::from_parts(object.context().clone(), vec![last])
        .expect("one of the versions, and the context");
}

/// Moves the end of a value by a second.
fn live_anew(version: &mut Version) {
    let Content::Value { metadata, .. } = &mut version.content else {
        return;
    };
    let mut fields = metadata.iter_mut();
    let Some(field) = fields.find(|field| field.tag == tag::EXPIRES_AT) else {
        return;
    };
    if let Ok(end_us) = field.bytes[..].try_into().map(u64::from_be_bytes) {
        let later_us = end_us.saturating_add(1_000_000);
        field.bytes = Bytes::copy_from_slice(&later_us.to_be_bytes());
        version.hash = version.content.hash();
    }
}

pub(crate) fn live(
    object: &Object,
    live: Option<LiveEpoch>,
    incarnation: Incarnation,
) -> Option<LiveEpoch> {
    let newest = object
        .context()
        .newest_of(incarnation)
        .filter(|_| is(Variant::ExtendsForeignEntry));
    newest
        .map(|(actor, counter)| LiveEpoch {
            epoch: actor.epoch,
            counter,
        })
        .or(live)
}

pub(crate) fn seen(seen: Context, object: &Object) -> Context {
    if is(Variant::BlindWriteReplaces) {
        object.context().clone()
    } else {
        seen
    }
}

/// The greatest timestamp that the writer had seen.
pub(crate) fn seen_timestamp(seen: Timestamp) -> Timestamp {
    if is(Variant::SeenTimestampIgnored) {
        Timestamp::default()
    } else {
        seen
    }
}

/// A node that the tally takes for another one than `node`.
pub(crate) fn another(node: NodeId, nodes: impl IntoIterator<Item = NodeId>) -> Option<NodeId> {
    nodes
        .into_iter()
        .find(|other| *other != node && is(Variant::CountsNodeTwice))
}

/// A delivery that asks for no flush.
pub(crate) fn unflushed(request: Request) -> Request {
    match request {
        Request::Merge(merge) if is(Variant::ReceiptFromMemory) => Request::Merge(MergeRequest {
            flushed: false,
            ..merge
        }),
        other => other,
    }
}

/// The homes that a rebuilding store compares itself with.
pub(crate) fn one_each(homes: Vec<(TreeId, BTreeSet<NodeId>)>) -> Vec<(TreeId, BTreeSet<NodeId>)> {
    let kept = |others: BTreeSet<NodeId>| {
        let count = if is(Variant::RebuildsFromOne) {
            1
        } else {
            others.len()
        };
        others.into_iter().take(count).collect()
    };
    homes
        .into_iter()
        .map(|(tree, others)| (tree, kept(others)))
        .collect()
}

/// Who is asked whether tombstones may go: primaries, and other members.
pub(crate) fn asked(
    node: &Node,
    mut homes: Vec<NodeId>,
    mut others: Vec<NodeId>,
) -> (Vec<NodeId>, Vec<NodeId>) {
    if is(Variant::ReapsWithPrimaryDown) {
        homes.retain(|home| node.is_reachable(*home));
    }
    if is(Variant::ReapsWithAbsentMember) {
        others.retain(|other| node.is_reachable(*other));
    }
    (homes, others)
}

/// What the others' words make of an empty store.
pub(crate) fn newness(newness: Newness, inquiry: &Inquiry) -> Newness {
    let is_known = inquiry.is_contradicted() || inquiry.confirming() > 0;
    if is(Variant::FewMakeAStoreNew) && inquiry.ignorant() > 0 && !is_known {
        Newness::New
    } else {
        newness
    }
}

/// Whom to compare with: the homes, and whoever is next on the preference list.
pub(crate) fn homes_and_a_fallback<'a>(
    homes: &'a [NodeId],
    preference_list: impl FnOnce() -> &'a [NodeId],
) -> &'a [NodeId] {
    if is(Variant::ExchangeWithFallback) {
        let list = preference_list();
        return &list[..list.len().min(homes.len() + 1)];
    }
    homes
}

/// How many replicas count while their number changes.
pub(crate) fn counted_replicas(replicas: Replicas) -> Replicas {
    let next = replicas.next;
    if is(Variant::CountsByTheNextN) {
        return Replicas { now: next, next };
    }
    replicas
}

/// Whether anybody cares for a part of a placement change.
pub(crate) fn is_taken_over(a_move: &Move) -> bool {
    if is(Variant::ShrinksWithoutReceipts) {
        return a_move.is_comer;
    }
    if is(Variant::GrowsWithoutCopies) {
        return !a_move.is_comer || !a_move.goers.is_empty();
    }
    true
}

/// What is kept of the sums, in place of what was counted.
pub(crate) fn counted(counted: LeafSum, kept: impl FnOnce() -> Option<LeafSum>) -> LeafSum {
    if is(Variant::VerifyTrustsSums) {
        return kept().unwrap_or(counted);
    }
    counted
}

/// What is wrong with a leaf, for one who has not looked.
pub(crate) fn fault(fault: LeafFault) -> LeafFault {
    if is(Variant::VerifyTrustsSums) {
        return LeafFault {
            unreadable: 0,
            wrong_sum: false,
            ..fault
        };
    }
    fault
}
