//! I4: once a put or delete that had seen a version is acknowledged, that version is not there at the end.

use super::Violation;
use super::i01_durability::is_excused;
use crate::books::{Books, Outcome};
use ringhold_core::version::Object;

/// # Errors
/// If a version lives that an acknowledged write replaced.
pub fn check(books: &Books, key: usize, merged: &Object) -> Result<(), Violation> {
    let alive = merged
        .versions()
        .iter()
        .filter_map(|version| books.dots.number(version.dot));
    for number in alive {
        let replacing = books.operations.iter().position(|operation| {
            let Some(write) = operation.write.as_ref().filter(|_| operation.key == key) else {
                return false;
            };
            // What the end does not know of was lost, or reaped. Where it cannot have been lost, nothing excuses it.
            let counts = |dot| {
                let reaps = books.graves.grace_us.is_some();
                let is_lost = || is_excused(books, key, operation.called_us, write.w);
                merged.context().covers(dot) || (reaps && !is_lost())
            };
            let replaced =
                matches!(operation.outcome, Some(Outcome::Acknowledged(dot)) if counts(dot));
            replaced && write.saw.contains(number)
        });
        if let Some(replacing) = replacing {
            let named = books.dots.named(number);
            let text = format!(
                "key {key}: operation {} is back, which operation {replacing} had replaced",
                named.operation
            );
            return Err(Violation::new("I4", text));
        }
    }
    Ok(())
}
