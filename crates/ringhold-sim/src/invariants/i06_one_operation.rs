//! I6: in every answer the versions of a key have pairwise different operations: a retry that became a
//! second version is shown once (T6).
//!
//! And second versions are not made where they need not be: an operation that its client tried once has one
//! dot, and one life of one store gives an operation one dot, however often it is retried there.

use super::Violation;
use crate::books::{Books, Operation};
use ringhold_core::version::Object;
use std::collections::BTreeSet;

const NAME: &str = "I6";

/// # Errors
/// If one operation is shown twice.
pub fn check(_books: &Books, key: usize, object: &Object) -> Result<(), Violation> {
    let mut shown = BTreeSet::new();
    match object
        .siblings()
        .into_iter()
        .find(|version| !shown.insert(version.operation))
    {
        None => Ok(()),
        Some(version) => Err(Violation::new(
            NAME,
            format!("key {key}: operation {} is shown twice", version.operation),
        )),
    }
}

/// # Errors
/// If an operation has more dots than its tries explain.
pub fn check_dots(books: &Books, operation: usize) -> Result<(), Violation> {
    let Operation {
        key,
        called_us,
        write: Some(write),
        ..
    } = &books.operations[operation]
    else {
        return Ok(());
    };
    if write.dots.len() < 2 || books.rules.last_write_wins {
        return Ok(());
    }
    if write.tries == 1 && !books.rules.duplication {
        return Err(Violation::new(
            NAME,
            format!(
                "key {key}: operation {operation} was tried once and has {} dots",
                write.dots.len()
            ),
        ));
    }
    let mut makers = BTreeSet::new();
    for &number in &write.dots {
        let Some((node, started_us)) = books.maker_of(books.dots.named(number).dot) else {
            continue;
        };
        let remembers = started_us <= *called_us && !books.has_lost(node, *key, *called_us);
        if remembers && !makers.insert(node) {
            return Err(Violation::new(
                NAME,
                format!("key {key}: n{node} gave operation {operation} two dots in one life"),
            ));
        }
    }
    Ok(())
}
