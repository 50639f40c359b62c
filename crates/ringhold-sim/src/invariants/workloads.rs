//! What a user would miss: elements of a set, items of a cart, increments of a counter.
//!
//! These look at values only, not at dots or contexts, and so would notice if the model behind the other
//! checks shared a mistake with the program.

use super::{Violation, i01_durability};
use crate::books::{Books, Outcome};
use crate::value::Value;
use ringhold_core::version::{Content, Object};
use std::collections::BTreeSet;

/// # Errors
/// If something acknowledged is missing from the values, or something is there that nobody put in.
pub fn check(books: &Books, key: usize, merged: &Object) -> Result<(), Violation> {
    let workload = books
        .operations
        .iter()
        .find(|operation| operation.key == key)
        .map(|operation| operation.workload);
    let Some(workload) = workload.filter(|workload| workload.keeps_items()) else {
        return Ok(());
    };
    let items = items_of(merged);
    let broken = |why: String| {
        Err(Violation::new(
            "I1",
            format!("key {key}, a {workload}: {why}"),
        ))
    };
    let writes = || {
        books
            .operations
            .iter()
            .enumerate()
            .filter(|(_, operation)| operation.key == key)
    };
    let removed: BTreeSet<u64> = writes()
        .filter_map(|(_, operation)| operation.write.as_ref()?.removes)
        .collect();
    for (number, operation) in writes() {
        let Some(item) = operation.write.as_ref().and_then(|write| write.adds) else {
            continue;
        };
        let acknowledged = matches!(operation.outcome, Some(Outcome::Acknowledged(_)));
        let w = operation.write.as_ref().map_or(1, |write| write.w);
        let lost = i01_durability::is_excused(books, key, operation.called_us, w);
        let excused = lost || removed.contains(&item);
        if acknowledged && !items.contains(&item) && !excused {
            return broken(format!(
                "item {item} of acknowledged operation {number} is missing"
            ));
        }
        let never = matches!(
            operation.outcome,
            Some(Outcome::NotStarted | Outcome::Rejected)
        );
        if never && items.contains(&item) {
            return broken(format!(
                "item {item} is there, and operation {number} was not carried out"
            ));
        }
    }
    let added: BTreeSet<u64> = writes()
        .filter_map(|(_, operation)| operation.write.as_ref()?.adds)
        .collect();
    match items.difference(&added).next() {
        Some(stranger) => broken(format!("item {stranger} was never put in")),
        None => Ok(()),
    }
}

/// The union of the items of all siblings, as a client merges them.
#[must_use]
pub fn items_of(object: &Object) -> BTreeSet<u64> {
    let values = object
        .siblings()
        .into_iter()
        .filter_map(|version| match &version.content {
            Content::Value { bytes, .. } => Value::decode(bytes),
            Content::Tombstone => None,
        });
    values.flat_map(|value| value.items).collect()
}
