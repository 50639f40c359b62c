//! T5: a write's timestamp is later than that of everything its writer had seen, whatever the clocks say.

use super::Violation;
use crate::books::Books;
use crate::value::operation_of;
use ringhold_core::version::Version;

/// # Errors
/// If the clock of some node had more to say than causality.
pub fn check(books: &Books, version: &Version) -> Result<(), Violation> {
    let Some(operation) = operation_of(version.operation) else {
        return Ok(());
    };
    // What an update had seen is known by what its coordinator made of it, and a second try may have seen something else.
    let Some(write) = books.write(operation).filter(|write| write.hash.is_some()) else {
        return Ok(());
    };
    let key = books.operations[operation].key;
    let seen = books
        .dots
        .of_key(key)
        .iter()
        .filter(|number| write.saw.contains(**number));
    match seen
        .map(|number| books.dots.named(*number))
        .find(|seen| seen.timestamp >= version.timestamp)
    {
        None => Ok(()),
        Some(seen) => {
            let text = format!(
                "key {key}: operation {operation} is not later than operation {}, which it had seen",
                seen.operation
            );
            Err(Violation::new("T5", text))
        }
    }
}
