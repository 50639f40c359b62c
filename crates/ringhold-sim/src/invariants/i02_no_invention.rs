//! I2: every version was the argument of some put to its key.
//!
//! Asked when a dot first shows itself; that it names the same write ever after is I3.

use super::Violation;
use crate::books::Books;
use crate::value::operation_of;
use ringhold_core::version::Version;

const NAME: &str = "I2";

/// # Errors
/// If nobody wrote this version, or somebody wrote it elsewhere or otherwise.
pub fn check(books: &Books, key: usize, version: &Version) -> Result<(), Violation> {
    let invented = |why: &str| {
        Err(Violation::new(
            NAME,
            format!("key {key}: dot {} {why}", version.dot),
        ))
    };
    let Some(number) = operation_of(version.operation) else {
        return invented("has an operation that no client made");
    };
    let Some(operation) = books.operations.get(number) else {
        return invented("has an operation that no client began");
    };
    let Some(write) = &operation.write else {
        return invented(&format!("names operation {number}, which writes nothing"));
    };
    if operation.key != key {
        return invented(&format!(
            "names operation {number}, which is on key {}",
            operation.key
        ));
    }
    let is_written = write.hash.is_none_or(|hash| hash == version.hash);
    if !is_written || version.content.hash() != version.hash {
        return invented(&format!(
            "has another content than operation {number} wrote"
        ));
    }
    Ok(())
}
