//! One binary for all integration tests.
#[cfg(feature = "known-bad")]
mod known_bad;
