//! I9: once everything has healed, the hints reach zero.
//!
//! Its other half, that no hint goes without receipts that cover its object, is seen in what is lost without it
//! (I1): the wrong variants of delivery are found there.

use super::Violation;

/// # Errors
/// If a node still keeps something for others when it has had time enough to deliver it.
pub fn check(node: usize, rows: u64, bytes: u64, seconds: u64) -> Result<(), Violation> {
    if (rows, bytes) == (0, 0) {
        return Ok(());
    }
    Err(Violation::new(
        "I9",
        format!("n{node} keeps {rows} hints of {bytes} bytes, {seconds} s after everything healed"),
    ))
}
