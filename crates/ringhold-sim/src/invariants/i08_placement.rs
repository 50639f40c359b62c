//! I8: at the end each key is on its N homes and nowhere else: whatever a fallback kept has come home.

use super::Violation;
use ringhold_core::version::Object;

/// # Errors
/// If a node that is no home of a key holds something of it.
pub fn check(node: usize, key: usize, object: &Object) -> Result<(), Violation> {
    if object.is_absent() {
        return Ok(());
    }
    Err(Violation::new(
        "I8",
        format!(
            "n{node} is no home of key {key} and holds {} versions of it",
            object.versions().len()
        ),
    ))
}
