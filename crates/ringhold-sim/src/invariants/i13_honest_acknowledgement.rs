//! I13: a put that is acknowledged at (W, DW) is at that moment on the flushed disks of at least DW different
//! nodes; and a replica that says "durable" holds what it was sent, or what replaced it, flushed.
//!
//! The simulator sees disks, not promises: it looks for the operation in the bytes that were flushed.

use super::Violation;
use crate::books::{Books, Operation};
use crate::dots::Named;
use crate::workload::Workload;
use ringhold_core::version::{Dot, Object};
use std::collections::BTreeSet;

const NAME: &str = "I13";

/// # Errors
/// If a replica's disk lacks what it has just called durable.
pub fn check_replica(
    books: &Books,
    node: usize,
    object: &Object,
    asked_us: u64,
) -> Result<(), Violation> {
    let mut dots = object.versions().iter().map(|version| version.dot);
    dots.try_for_each(|dot| check_dot(books, node, dot, asked_us))
}

/// # Errors
/// If a replica's disk lacks a write that it has just called durable.
pub fn check_dot(books: &Books, node: usize, dot: Dot, asked_us: u64) -> Result<(), Violation> {
    let Some(number) = books.dots.number(dot) else {
        return Ok(());
    };
    let Named { operation, key, .. } = *books.dots.named(number);
    if is_untold(books, operation)
        || books.holds_durably(node, number)
        || books.has_lost(node, key, asked_us)
        || books.may_be_gone(operation, books.latest_us())
    {
        return Ok(());
    }
    let text =
        format!("n{node} called operation {operation} durable, which its disk does not have");
    Err(Violation::new(NAME, text))
}

/// An estimate does not tell which operations are in it.
#[must_use]
pub fn is_untold(books: &Books, operation: usize) -> bool {
    books.operations[operation].workload == Workload::Estimate
}

/// The nodes on whose disks an operation is, or what had seen its dot. (A dot that has just been made is known
/// to nobody but its coordinator.)
#[must_use]
pub fn holders(books: &Books, operation: usize, dot: Dot) -> BTreeSet<usize> {
    let number = books.dots.number(dot);
    let key = books.operations[operation].key;
    let holds = |node: &usize| {
        books.is_durable(*node, key, operation)
            || number.is_some_and(|number| books.holds_durably(*node, number))
            || books.holds_winner(*node, key, operation)
    };
    (0..books.nodes()).filter(holds).collect()
}

/// A disk that lost the key meanwhile counts: it held the put when it said so.
///
/// # Errors
/// If fewer disks hold the put than its coordinator says, or than it was asked for.
pub fn check_put(
    books: &Books,
    operation: usize,
    holders: &BTreeSet<usize>,
    said: u32,
    required: u32,
) -> Result<(), Violation> {
    if is_untold(books, operation) {
        return Ok(());
    }
    let Operation { key, called_us, .. } = books.operations[operation];
    let lost = (0..books.nodes())
        .filter(|node| !holders.contains(node) && books.has_lost(*node, key, called_us))
        .count();
    let held = u32::try_from(holders.len() + lost).unwrap_or(u32::MAX);
    if held < said.max(required) {
        let text = format!(
            "operation {operation} was acknowledged as durable on {said} nodes ({required} required), and is on the disks of {held}"
        );
        return Err(Violation::new(NAME, text));
    }
    Ok(())
}
