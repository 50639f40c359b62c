//! One binary for all integration tests.

mod campaigns;
mod counts;
mod directed;
mod durability;
mod found;
mod gossip;
mod health;
#[cfg(feature = "known-bad")]
mod known_bad;
mod limits;
mod membership;
mod neighbours;
mod reaping;
mod replicas;
mod rows;
mod scenario;
