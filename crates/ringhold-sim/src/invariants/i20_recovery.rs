//! I20, seen from outside: a store that was reopened after any crash has every write that had been flushed.

use super::{Violation, typed};
use crate::books::Books;
use ringhold_core::version::Object;

/// Under last-write-wins a write may have replaced, on one disk, another that nobody ever saw the name of;
/// nothing is asked then.
///
/// # Errors
/// If the record of a key lacks a write that this node's disk held before.
pub fn check(books: &Books, node: usize, key: usize, object: &Object) -> Result<(), Violation> {
    if books.rules.last_write_wins {
        return Ok(());
    }
    for operation in books.durable(node, key) {
        let Some(write) = books.write(operation) else {
            continue;
        };
        let known = write
            .dots
            .iter()
            .any(|&dot| object.context().covers(books.dots.named(dot).dot))
            || typed::has(object, operation);
        let is_gone = || books.may_be_gone(operation, books.latest_us());
        if !known && !write.dots.is_empty() && !is_gone() {
            return Err(Violation::new(
                "I20",
                format!(
                    "n{node} reopened without operation {operation} on key {key}, which its disk had"
                ),
            ));
        }
    }
    Ok(())
}
