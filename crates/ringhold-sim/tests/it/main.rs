//! One binary for all integration tests.

mod campaigns;
mod found;
#[cfg(feature = "known-bad")]
mod known_bad;
