//! I14: a put with the context of a read never stands beside anything that the read returned.

use super::Violation;
use crate::books::Books;
use ringhold_core::version::Object;

/// # Errors
/// If one version of an answer had seen another.
pub fn check(books: &Books, key: usize, object: &Object) -> Result<(), Violation> {
    let shown: Vec<usize> = object
        .versions()
        .iter()
        .filter_map(|version| books.dots.number(version.dot))
        .collect();
    for &later in &shown {
        let operation = books.dots.named(later).operation;
        let Some(write) = books.write(operation) else {
            continue;
        };
        if let Some(&earlier) = shown.iter().find(|&&version| write.saw.contains(version)) {
            let earlier = books.dots.named(earlier).operation;
            return Err(Violation::new(
                "I14",
                format!(
                    "key {key}: operation {operation} stands beside operation {earlier}, which it had read"
                ),
            ));
        }
    }
    Ok(())
}
