//! The tests of the pure crate.

mod dots;
mod gossip;
mod gossip_rounds;
mod health;
mod quorum;
mod quorum_get;
mod quorum_model;
mod quorum_put;
mod register;
mod ring_changes;
mod ring_exhaustive;
mod ring_properties;
mod simulated_gossip;
mod token_golden;
mod tree;
mod version_properties;
