//! Quorum tallies.
