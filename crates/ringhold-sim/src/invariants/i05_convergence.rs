//! I5: after healing, and reads of every key at all primaries, the primaries of each key hold equal objects:
//! contexts, dots, hashes.

use super::Violation;
use ringhold_core::version::Object;

/// # Errors
/// If two primaries differ.
pub fn check(key: usize, copies: &[(usize, Object)]) -> Result<(), Violation> {
    let Some(((first, expected), others)) = copies.split_first() else {
        return Ok(());
    };
    match others.iter().find(|(_, object)| object != expected) {
        None => Ok(()),
        Some((other, object)) => {
            let text = format!(
                "key {key}: n{first} holds {} and n{other} {}",
                describe(expected),
                describe(object)
            );
            Err(Violation::new("I5", text))
        }
    }
}

fn describe(object: &Object) -> String {
    let dots: Vec<String> = object
        .versions()
        .iter()
        .map(|version| version.dot.to_string())
        .collect();
    format!("[{}] of {} actors", dots.join(", "), object.context().len())
}
