//! The tests of the pure crate.

mod dots;
mod quorum;
mod quorum_get;
mod quorum_model;
mod quorum_put;
mod version_properties;
