//! One node of the cluster, without its sockets and clocks.
//!
//! Coordinators, the replica and its writers, read repair, checkpoints: straight-line code over the pure
//! decisions of `ringhold-core`. All that is outside comes through [`env`], so that a simulator can be the
//! outside.

mod admission;
mod answer;
mod anti_entropy;
mod background;
mod backup;
mod bucket_types;
mod checkpoint;
mod clock_guard;
mod coordinator;
mod coverage;
mod disk_guard;
pub mod env;
mod expiry;
mod front_door;
mod gather;
mod hints;
mod inspect;
#[cfg(feature = "known-bad")]
pub mod known_bad;
mod membership;
pub mod metrics;
mod node;
mod pages;
pub mod peer_health;
pub mod properties;
mod property_table;
mod read_repair;
mod reaping;
mod rebuild;
mod replica;
mod replication;
mod restored_types;
mod scrub;
pub mod trees;

pub use anti_entropy::{
    Agreement, Holds, NotCounted, Pace, RepairEvent, Repaired, Verdict, VerifyEvent,
};
pub use backup::{BackupFailed, Insisting, RestoreRefused, Restored};
pub use bucket_types::{TypeStage, TypeView};
pub use clock_guard::ClockState;
pub use coverage::{Coverage, Filter, Found, KeyCount, Query, QueryFailed};
pub use front_door::{Admitted, Errand};
pub use hints::Debt;
pub use inspect::{Holding, Inspection, Preference};
pub use membership::gossiping::MemberGossip;
pub use membership::{
    ChangeFailed, Changed, RecoveryFailed, RingRefused, Sender, Stock, TransferView, given_up,
};
pub use node::{Node, Parts, StartError, Tuning};
pub use property_table::PropertyTableError;
pub use reaping::{Obstacle, Reaping, ReapingView};
pub use rebuild::RebuildProgress;
pub use replica::ObjectLimits;
pub use restored_types::RestoredTypes;
