//! I7: the live siblings of a key are no more than the writes that ran beside each other.
//!
//! Asked in a form that says which one is too many: a version may live only if no write that the object
//! knows of had seen it. What is left is an antichain of the model's happens-before, and so not larger
//! than the largest one (T1).

use super::Violation;
use crate::books::Books;
use ringhold_core::version::Object;

/// # Errors
/// If a version lives beside the knowledge of a write that replaced it.
pub fn check(books: &Books, key: usize, object: &Object) -> Result<(), Violation> {
    let alive: Vec<usize> = object
        .versions()
        .iter()
        .filter_map(|version| books.dots.number(version.dot))
        .collect();
    if alive.is_empty() {
        return Ok(());
    }
    for number in books.dots.covered(key, object.context()) {
        let operation = books.dots.named(number).operation;
        let Some(write) = books.write(operation) else {
            continue;
        };
        if let Some(&replaced) = alive.iter().find(|&&version| write.saw.contains(version)) {
            let replaced = books.dots.named(replaced).operation;
            return Err(Violation::new(
                "I7",
                format!(
                    "key {key}: operation {replaced} lives although operation {operation} had seen it"
                ),
            ));
        }
    }
    Ok(())
}
