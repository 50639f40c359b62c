//! I9: no hint goes without receipts that cover its object, and once everything has healed they reach zero.
//!
//! A node that kept something for others and does not any more has said that every home has it, flushed. The
//! books know what was on its disk, and look for all of it on the homes' disks.

use super::Violation;
use crate::books::Books;
use crate::dots::DotNumber;
use std::collections::BTreeSet;

/// # Errors
/// If a node has dropped these operations, which it kept of a key, and a home lacks one of them.
pub fn check_dropped(
    books: &Books,
    node: usize,
    key: usize,
    kept: &BTreeSet<usize>,
    homes: &[usize],
) -> Result<(), Violation> {
    if books.has_lost(node, key, 0) {
        return Ok(());
    }
    for &operation in kept {
        let Some(write) = books
            .write(operation)
            .filter(|write| !write.dots.is_empty())
        else {
            continue;
        };
        // Nobody knows which twin of a retried operation it was.
        let lacks = |home: &&usize| {
            let holds = |dot: &DotNumber| books.holds_durably(**home, *dot);
            !write.dots.iter().any(holds) && !books.has_lost(**home, key, 0)
        };
        let is_gone = books.may_be_gone(operation, books.latest_us());
        if let Some(home) = homes.iter().find(lacks).filter(|_| !is_gone) {
            return Err(Violation::new(
                "I9",
                format!(
                    "n{node} dropped what it kept of key {key}, and n{home} lacks operation {operation} of it"
                ),
            ));
        }
    }
    Ok(())
}

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
