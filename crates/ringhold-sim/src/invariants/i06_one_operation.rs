//! I6: in every answer the versions of a key have pairwise different operations: a retry that became a
//! second version is shown once (T6).

use super::Violation;
use crate::books::Books;
use ringhold_core::version::Object;
use std::collections::BTreeSet;

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
            "I6",
            format!("key {key}: operation {} is shown twice", version.operation),
        )),
    }
}
