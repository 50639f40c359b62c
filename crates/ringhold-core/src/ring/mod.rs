//! The ring: where a key lives, who serves it, and who stands in.
//!
//! Dynamo's partitioning and replication (§4.2, §4.3), with equal partitions (§6.2, strategy 3).
//! Read the modules in this order:
//!
//! | module | question |
//! | --- | --- |
//! | [`position`] | where on the circle is a key, and in which of the Q partitions? |
//! | [`document`] | what do all nodes agree on? |
//! | [`assignment`] | who shall own each partition? |
//! | [`preference`] | which nodes serve a key, in which order? |
//! | [`validation`] | may this document be believed? |
//! | [`change`] | which document comes next, when an operator wants something changed? |
//! | [`bucket_types`] | and when a kind of bucket is created, or changed? |
//! | [`generation`] | and when a majority of the voters is lost for good? |
//! | [`moves`] | which replicas go from whom to whom for that? |
//! | [`plan`] | what does that come to, before it is committed? |
//!
//! Behind `assignment`: [`share`] says by arithmetic how far apart owners can be kept and how much
//! each gets; `spread` builds a ring from nothing and so proves `share` right; `search` makes one
//! ring of another with few moves.
//!
//! The way of a change: an operator's plan becomes a draft of the next document, `assignment` fills
//! its `next` table, `validation` checks it wherever it is proposed or received, nodes agree on it
//! (`membership::register`), and each makes a new [`Ring`] of it, which replaces the old one as a whole. The way
//! of a request: names → [`Position`] → partition → preference list, by [`Ring::preference_list`].
//!
//! Invariants of the module: a ring in use was validated; equal documents give equal lists on
//! every node; nothing here changes anything in place.
//!
//! Rejected: tokens at random (strategies 1 and 2), which balance worse and tie partitions to
//! membership, so that each change rebuilds Merkle trees; and letting each node compute owners from
//! gossip, which lost data elsewhere (T14).

pub mod assignment;
pub mod bucket_types;
pub mod change;
pub mod document;
pub mod generation;
pub mod moves;
pub mod plan;
pub mod position;
pub mod preference;
pub mod replication;
mod search;
pub mod share;
mod spread;
pub mod validation;

pub use assignment::assign;
pub use bucket_types::{
    BucketType, BucketTypes, TYPE_NAME_BYTES_MAX, TYPE_PROPERTIES_BYTES_MAX, TypeRefused, TypeState,
};
pub use change::{Change, ChangeRefused, Next, members_after};
pub use document::{
    Addresses, Epoch, FurtherSection, Member, MemberState, Placement, RingDocument, RingHash,
    SectionHash,
};
pub use generation::{Descent, Generation, RecoveryPlan};
pub use moves::Move;
pub use plan::{Flow, Plan, PlannedMember, Stake};
pub use position::{InvalidPartitionCount, Partition, PartitionCount, Position};
pub use preference::{Ring, preference_list};
pub use replication::{BucketName, Class, Classes, Replicas, Replication, TreeId};
pub use share::{AssignmentGoal, AssignmentMember, Share};
pub use validation::{
    InvalidRing, RingFault, SuccessionFault, Table, validate, validate_succession,
};
