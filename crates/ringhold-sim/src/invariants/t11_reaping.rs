//! T11: what is reaped was dead for the grace by the wall clock of every primary, and nothing that it had replaced is
//! ever seen again, in an answer or in a store. In the end all that is dead and old enough is gone. And a value
//! is not shown when its time is over.

use super::Violation;
use crate::books::Books;
use ringhold_core::version::Object;
use std::collections::BTreeSet;

const NAME: &str = "T11";

/// The operations that a home's record does not know of any more, of those that it did a moment ago.
#[must_use]
pub fn removed(books: &Books, known: &BTreeSet<usize>, object: &Object) -> Vec<usize> {
    let is_unknown = |operation: &&usize| {
        let write = books.write(**operation);
        write.is_some_and(|write| !knows(books, object, &write.dots))
    };
    known.iter().filter(is_unknown).copied().collect()
}

/// Of these operations, the ones that an object knows of.
#[must_use]
pub fn known(
    books: &Books,
    operations: impl Iterator<Item = usize>,
    object: &Object,
) -> BTreeSet<usize> {
    let is_known = |operation: &usize| {
        let write = books.write(*operation);
        write.is_some_and(|write| knows(books, object, &write.dots))
    };
    operations.filter(is_known).collect()
}

fn knows(books: &Books, object: &Object, dots: &[usize]) -> bool {
    let mut dots = dots.iter().map(|&dot| books.dots.named(dot).dot);
    dots.any(|dot| object.context().covers(dot))
}

/// # Errors
/// If a home has removed one of these operations, and no primary's clock shows less than `earliest_us`.
pub fn check_removed(
    books: &Books,
    node: usize,
    key: usize,
    removed: &[usize],
    earliest_us: u64,
) -> Result<(), Violation> {
    let alive = removed
        .iter()
        .find(|operation| !books.may_be_gone(**operation, earliest_us));
    match alive {
        None => Ok(()),
        Some(operation) => Err(Violation::new(
            NAME,
            format!("key {key}: n{node} has removed operation {operation}, which may not go yet"),
        )),
    }
}

/// # Errors
/// If something is back that was replaced by what has been reaped.
pub fn check_risen(books: &Books, key: usize, object: &Object) -> Result<(), Violation> {
    match books.risen(key, object) {
        None => Ok(()),
        Some(operation) => Err(Violation::new(
            "I4",
            format!(
                "key {key}: operation {operation} is back, and what had replaced it was reaped"
            ),
        )),
    }
}

/// # Errors
/// If an answer shows what was over when it was asked for.
pub fn check_shown(
    books: &Books,
    key: usize,
    object: &Object,
    asked_us: u64,
) -> Result<(), Violation> {
    match books.overdue(object, asked_us) {
        None => Ok(()),
        Some(operation) => Err(Violation::new(
            NAME,
            format!("key {key}: operation {operation} is shown after its end"),
        )),
    }
}

/// The violation that a tombstone is which stays although nothing is in its way.
#[must_use]
pub fn stays(node: usize, key: usize, seconds: u64) -> Violation {
    Violation::new(
        NAME,
        format!("n{node} still has what is dead of key {key}, {seconds} s after everything healed"),
    )
}
