//! T12: the sums that a store keeps for its hash trees are those of the objects in it, after any crash. If they
//! were not, two replicas could look equal and differ, or be compared for ever.

use super::Violation;
use crate::books::Books;
use ringhold_core::ring::PartitionCount;
use ringhold_core::tree::{LEAF_BITS, leaf_of};
use ringhold_storage::{OnDifference, Store};
use std::collections::BTreeSet;

/// A disk that forgets or damages a row behind the store's back makes its leaf wrong; only a recount finds that.
/// A sum that says of itself that it is in doubt deceives nobody.
///
/// # Errors
/// If a leaf with one of the run's keys has another sum than its objects, or one without them has any.
pub fn check(
    books: &Books,
    node: usize,
    store: &Store,
    partitions: PartitionCount,
) -> Result<(), Violation> {
    let leaf_of_key = |key: usize| {
        let (partition, leaf) = leaf_of(partitions, books.names[key].position());
        leaf.across_the_ring(partition)
    };
    let leaves: BTreeSet<u64> = (0..books.names.len()).map(leaf_of_key).collect();
    let losses = books.losses.iter().filter(|loss| loss.node == node);
    let excused: BTreeSet<u64> = losses
        .filter_map(|loss| loss.key)
        .map(leaf_of_key)
        .collect();
    let doubtful = store.doubtful_leaves();
    for &leaf in leaves.difference(&excused) {
        if doubtful.contains(&leaf) {
            continue;
        }
        let Ok(found) = store.recount(leaf..leaf + 1, OnDifference::Report) else {
            continue;
        };
        if let Some(difference) = found.differences.first() {
            return Err(Violation::new(
                "T12",
                format!("n{node} keeps another sum than that of its objects: {difference:?}"),
            ));
        }
    }
    let all = store.leaf_sums(0..u64::from(partitions.count()) << LEAF_BITS);
    let strange = (0..)
        .zip(all)
        .find(|(leaf, sum)| !sum.is_zero() && !leaves.contains(leaf));
    match strange {
        None => Ok(()),
        Some((leaf, sum)) => Err(Violation::new(
            "T12",
            format!("n{node} keeps {sum:?} for leaf {leaf}, where no key is"),
        )),
    }
}
