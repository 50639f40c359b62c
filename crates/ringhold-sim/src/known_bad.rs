//! The mistakes that this simulator has to find, and how soon.
//!
//! Node and storage can be compiled with wrong variants of their rules (the feature `known-bad`). A run makes one
//! of them, and the question is how many seeds it takes until an invariant breaks. A variant that is not
//! found shows what the simulator does not look at; that is the one figure by which it is to be judged.

use crate::plan::{Plan, Profile};
use crate::run::{Report, run};
use ringhold_core::crdt::known_bad as crdt;
use ringhold_node::known_bad as node;
use ringhold_storage::known_bad as storage;
use std::fmt;

/// A mistake of the node or of the storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KnownBad {
    Node(node::Variant),
    Storage(storage::Variant),
    /// Of the data types.
    Type(crdt::Variant),
}

/// Those mistakes with data types that a cluster makes; the others are for the property tests of the types.
const OF_TYPES: [crdt::Variant; 7] = [
    crdt::Variant::TwinsCount,
    crdt::Variant::OneSiblingJoined,
    crdt::Variant::FollowsAnyBase,
    crdt::Variant::ResetTakesUnseen,
    crdt::Variant::DeferredDropped,
    crdt::Variant::GrowingSetReplaced,
    crdt::Variant::EstimateReplaced,
];

impl KnownBad {
    /// All that a run can show. A checkpoint's work on the engine is one event of the simulated disk, so what
    /// two batches of it would leave between them is for the tests of the storage, which stop there; so are zeros in what had been flushed, which no
    /// disk of a run makes. And whom reaping must
    /// not do without is shown step by step (`reaping.rs`): seeds seldom have somebody away from before a delete until it is reaped,
    /// or a copy on its way at the first look and not at the second. So is what a node makes of an entry that another gave
    /// it (`directed.rs`), which one seed in some hundreds meets, as are queries of one home and verdicts from sums, and that nobody takes over what only goers have (`replicas.rs`): hints and
    /// comparisons mostly were there before.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let elsewhere = [
            Self::Storage(storage::Variant::TreeOutsideBatch),
            Self::Storage(storage::Variant::ZerosEndTheLog),
            Self::Node(node::Variant::ReapsWithPrimaryDown),
            Self::Node(node::Variant::ReapsWithAbsentMember),
            Self::Node(node::Variant::ReapsAtFirstLook),
            Self::Node(node::Variant::ExtendsForeignEntry),
            Self::Node(node::Variant::ShrinksWithoutReceipts),
            Self::Node(node::Variant::QueryAsksOne),
            Self::Node(node::Variant::VerifyTrustsSums),
        ];
        let of_node = node::Variant::ALL.iter().copied().map(Self::Node);
        let of_storage = storage::Variant::ALL.iter().copied().map(Self::Storage);
        of_node
            .chain(of_storage)
            .chain(OF_TYPES.map(Self::Type))
            .filter(|mistake| !elsewhere.contains(mistake))
            .collect()
    }

    /// The trap whose rule it breaks.
    #[must_use]
    pub fn trap(self) -> &'static str {
        use node::Variant as N;
        match self {
            Self::Node(
                N::MergeOverwrites | N::MergeDropsVersion | N::NeverRepairs | N::SiblingsFolded,
            ) => "T10",
            Self::Node(
                N::CountsNodeTwice
                | N::QuorumOfOne
                | N::QueryAsksOne
                | N::IgnoresDifferingDigests
                | N::RepairDoesNotBlock,
            ) => "T8",
            Self::Node(N::MemoryCountsAsDurable | N::OneIsNone | N::AcknowledgesBeforeCommit) => {
                "T21"
            }
            Self::Node(N::SilenceIsConsent | N::ForwardsAfterSilence | N::ForgetsOperations) => {
                "T6"
            }
            Self::Node(
                N::ReadErrorIsAbsence
                | N::ExtendsForeignEntry
                | N::AsksNoWitness
                | N::TestimonyNotRaised
                | N::SendsBeforeCommit,
            ) => "T2",
            Self::Node(N::ExecutesExpired | N::DeadlineIgnored | N::BackgroundStarves) => "T24",
            Self::Node(N::ContextOfAnyKey | N::BlindWriteReplaces | N::ConditionIgnored) => "T3",
            Self::Node(N::BreakerNeverCloses | N::NeverProbes) => "T25",
            Self::Node(
                N::DocumentNotKept
                | N::ForgetfulVoterSpeaks
                | N::LaterDocumentWins
                | N::LateChangeWins
                | N::ActivatesUnready
                | N::TypesNotFollowed
                | N::RecoversAlone,
            ) => "T14",
            Self::Node(
                N::EmptyStoreIsWhole
                | N::RebuildsFromOne
                | N::WholeBeforeRebuilt
                | N::FewMakeAStoreNew
                | N::RebuildingJudgesConditions,
            ) => "T18",
            Self::Node(
                N::DeleteRemoves
                | N::ReapsWithPrimaryDown
                | N::ReapsWithAbsentMember
                | N::ReapsUnconditionally
                | N::ReapsAtFirstLook
                | N::ReapsBeforeGrace
                | N::ReapsOnOneClock
                | N::ExpiryRestartsOnMerge,
            ) => "T11",
            Self::Node(
                N::ComersMissWrites
                | N::DeletesAfterSwitch
                | N::FinishesWithoutReceipts
                | N::IncomingCountsAsOwner
                | N::LeaverGoesEarly
                | N::OldRingServed
                | N::ReceiptWithoutCopy
                | N::CountsByTheNextN
                | N::GrowsWithoutCopies
                | N::ShrinksWithoutReceipts
                | N::StraysStay,
            ) => "T16",
            Self::Node(N::PlacementIgnored) => "T13",
            Self::Node(N::ForeignDocumentTaken) => "T19",
            Self::Node(
                N::NeverExchanges | N::NeverScrubs | N::VerifyTrustsSums | N::RowsNotCompared,
            ) => "T12",
            Self::Node(N::ExchangeWithFallback) => "T13",
            Self::Node(
                N::StrayIsNoHint
                | N::HintSentIsDelivered
                | N::ReceiptFromMemory
                | N::OneHomeIsEnough
                | N::HintDroppedUnseen,
            ) => "T9",
            Self::Node(N::DriftedClockCoordinates) => "T26",
            Self::Node(N::SeenTimestampIgnored) => "T5",
            Self::Storage(
                storage::Variant::LeaseNotFlushed
                | storage::Variant::UncleanEndForgotten
                | storage::Variant::UnsettledEndIsClean,
            ) => "T2",
            Self::Storage(
                storage::Variant::TreeOutsideBatch
                | storage::Variant::ReplayCountsTwice
                | storage::Variant::SortedByTheOldMap
                | storage::Variant::RowsOutsideBatch
                | storage::Variant::OldRowsStay,
            ) => "T12",
            Self::Storage(_) => "T21",
            Self::Type(crdt::Variant::TwinsCount) => "T6",
            Self::Type(_) => "T10",
        }
    }

    /// The faults under which it shows soonest.
    #[must_use]
    pub fn profile(self) -> Profile {
        use node::Variant as N;
        use storage::Variant as S;
        match self {
            Self::Node(N::AsksNoWitness | N::TestimonyNotRaised | N::ExtendsForeignEntry)
            | Self::Storage(S::UncleanEndForgotten | S::UnsettledEndIsClean) => Profile::Copies,
            Self::Node(N::ReadErrorIsAbsence) => Profile::Disk,
            Self::Node(N::DriftedClockCoordinates) => Profile::Clock,
            Self::Node(
                N::EmptyStoreIsWhole
                | N::RebuildsFromOne
                | N::WholeBeforeRebuilt
                | N::FewMakeAStoreNew
                | N::RebuildingJudgesConditions,
            ) => Profile::Rebuild,
            Self::Node(
                N::HintSentIsDelivered
                | N::ReceiptFromMemory
                | N::OneHomeIsEnough
                | N::HintDroppedUnseen
                | N::BackgroundStarves,
            ) => Profile::Handoff,
            Self::Node(
                N::ReapsWithPrimaryDown
                | N::ReapsWithAbsentMember
                | N::ReapsUnconditionally
                | N::ReapsAtFirstLook
                | N::ReapsBeforeGrace
                | N::ReapsOnOneClock
                | N::ExpiryRestartsOnMerge,
            ) => Profile::Reaping,
            Self::Node(
                N::ActivatesUnready
                | N::TypesNotFollowed
                | N::ComersMissWrites
                | N::DeletesAfterSwitch
                | N::DocumentNotKept
                | N::FinishesWithoutReceipts
                | N::ForeignDocumentTaken
                | N::ForgetfulVoterSpeaks
                | N::IncomingCountsAsOwner
                | N::LaterDocumentWins
                | N::LeaverGoesEarly
                | N::PlacementIgnored
                | N::ReceiptWithoutCopy
                | N::CountsByTheNextN
                | N::GrowsWithoutCopies
                | N::ShrinksWithoutReceipts
                | N::RecoversAlone
                | N::StraysStay,
            )
            | Self::Storage(S::SortedByTheOldMap) => Profile::Membership,
            _ => Profile::All,
        }
    }

    fn activate(self) {
        match self {
            Self::Node(variant) => node::activate(Some(variant)),
            Self::Storage(variant) => storage::activate(Some(variant)),
            Self::Type(variant) => crdt::activate(Some(variant)),
        }
    }
}

impl fmt::Display for KnownBad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Node(variant) => format!("{variant:?}"),
            Self::Storage(variant) => format!("{variant:?}"),
            Self::Type(variant) => format!("{variant:?}"),
        };
        f.pad(&name)
    }
}

/// A run of a plan with a mistake in it. The thread makes no mistake afterwards.
#[must_use]
pub fn run_with(mistake: KnownBad, plan: &Plan) -> Report {
    mistake.activate();
    let report = run(plan, None);
    node::activate(None);
    storage::activate(None);
    crdt::activate(None);
    report
}

/// Looks for a mistake with one seed after the other; the report of the first that finds it.
#[must_use]
pub fn hunt(mistake: KnownBad, seeds: impl IntoIterator<Item = u64>) -> Option<Report> {
    let reports = seeds
        .into_iter()
        .map(|seed| run_with(mistake, &Plan::draw(seed, mistake.profile())));
    reports
        .into_iter()
        .find(|report| report.violation.is_some())
}
