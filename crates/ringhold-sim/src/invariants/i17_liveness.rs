//! I17: once all primaries of a key can be reached again, gets and puts on it succeed within a few tries of a
//! second each.

use super::Violation;
use ringhold_node::RebuildProgress;

/// The violation that a healed cluster is which does not answer.
#[must_use]
pub fn silent(what: &str, node: usize, key: usize, attempts: u32) -> Violation {
    Violation::new(
        "I17",
        format!(
            "{what} of key {key} at n{node} still fails after healing, {attempts} times in a row"
        ),
    )
}

/// The violation that a store is which is still in doubt long after all others can be reached.
#[must_use]
pub fn in_doubt(node: usize, progress: &RebuildProgress) -> Violation {
    Violation::new("I17", format!("n{node} is still rebuilding: {progress:?}"))
}
