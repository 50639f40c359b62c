//! Wrong variants of this crate's rules, for the simulator to find.
//!
//! Each is a mistake that some store has made (the traps T2, T12 and T21), built in at the one place of its rule
//! and picked at run time, for one thread. The feature `known-bad` compiles them; no release does.

use std::cell::Cell;

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Variant {
    /// A commit is told of before its flush (T21).
    AcknowledgesBeforeFlush,
    /// A failed flush is taken for a flush (T21).
    FlushErrorIgnored,
    /// Key epochs are handed out before their ceiling is flushed (T2).
    LeaseNotFlushed,
    /// A store that was not closed goes on under the same name (T2).
    UncleanEndForgotten,
    /// A copy that was closed before anybody could say that it is one counts as closed cleanly (T2).
    UnsettledEndIsClean,
    /// Old segments go before the engine has what they say (T21).
    LogDroppedEarly,
    /// Replaying leaves out the last batch (T21).
    ReplayStopsEarly,
    /// A checkpoint writes leaf sums in another batch than the objects (T12).
    TreeOutsideBatch,
    /// Replaying counts what the engine's sums have counted already (T12).
    ReplayCountsTwice,
    /// Sums stay sorted as they were when a bucket gets another number of replicas (T13).
    SortedByTheOldMap,
    /// Index rows are not in the record of their object, only beside it in memory.
    RowsOutsideBatch,
    /// A write leaves the index rows of what it replaces.
    OldRowsStay,
    /// The first part of a checkpoint says that the log behind it is not needed any more (T21).
    RecordWithFirstPart,
    /// Zeros in the middle of a segment are taken for the zeros that a file is filled with ahead (T21).
    ZerosEndTheLog,
}

impl Variant {
    pub const ALL: &'static [Self] = &[
        Self::AcknowledgesBeforeFlush,
        Self::FlushErrorIgnored,
        Self::LeaseNotFlushed,
        Self::UncleanEndForgotten,
        Self::UnsettledEndIsClean,
        Self::LogDroppedEarly,
        Self::ReplayStopsEarly,
        Self::TreeOutsideBatch,
        Self::ReplayCountsTwice,
        Self::SortedByTheOldMap,
        Self::RowsOutsideBatch,
        Self::OldRowsStay,
        Self::RecordWithFirstPart,
        Self::ZerosEndTheLog,
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
