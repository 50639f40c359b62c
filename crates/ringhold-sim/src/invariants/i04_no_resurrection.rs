//! I4: once a put or delete that had seen a version is acknowledged, that version is not there at the end.

use super::Violation;
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
            let acknowledged = matches!(operation.outcome, Some(Outcome::Acknowledged(dot)) if merged.context().covers(dot));
            operation.key == key && acknowledged && operation.write.as_ref().is_some_and(|write| write.saw.contains(number))
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
