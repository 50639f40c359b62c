//! I12: no replica gives out a content that differs from what was put, whatever a disk or a wire did to it.

use super::{Violation, typed};
use crate::books::Books;
use crate::value::{Value, operation_of};
use ringhold_core::version::{Content, Object, Version};

const NAME: &str = "I12";

/// # Errors
/// If a version's content is not what its operation wrote.
pub fn check(books: &Books, key: usize, object: &Object) -> Result<(), Violation> {
    object
        .versions()
        .iter()
        .try_for_each(|version| check_version(books, key, version))
}

fn check_version(books: &Books, key: usize, version: &Version) -> Result<(), Violation> {
    let operation = operation_of(version.operation);
    let written = operation
        .and_then(|operation| books.write(operation))
        .and_then(|write| write.hash);
    let damaged = |why: &str| {
        Err(Violation::new(
            NAME,
            format!("key {key}: dot {} {why}", version.dot),
        ))
    };
    if books.typed.contains(&key) {
        return typed::check_content(books, key, version);
    }
    if written != Some(version.content.hash()) {
        return damaged("has a content that nobody wrote");
    }
    if let Content::Value { bytes, .. } = &version.content {
        let says = Value::decode(bytes).map(|value| (Some(value.operation), value.key));
        if says != Some((operation, key)) {
            return damaged("has a value of another place");
        }
    }
    Ok(())
}

/// The violation that damage is which nobody noticed.
#[must_use]
pub fn unnoticed(what: &str) -> Violation {
    Violation::new(
        NAME,
        format!("{what} was damaged on the way, and nobody noticed"),
    )
}
