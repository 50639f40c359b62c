//! I18: each operation ends exactly once: done, not started, unknown or rejected, within a second of its
//! deadline.
//!
//! A client whose node died or was cut off says "unknown" by itself. The statement is about nodes that were
//! there all the time.

use super::Violation;

/// How long after its deadline an answer may come, in microseconds.
pub const GRACE_US: u64 = 1_000_000;

/// The violation that a node is which keeps a client waiting.
#[must_use]
pub fn overdue(operation: usize, node: usize) -> Violation {
    Violation::new(
        "I18",
        format!("operation {operation} at n{node} has no outcome a second after its deadline"),
    )
}
