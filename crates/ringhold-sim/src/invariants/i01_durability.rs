//! I1: for every acknowledged put p, its dot is alive at the end, or covered and replaced by a write that had
//! seen it; nothing else erases a version.
//!
//! Required unless it may have been reaped, or as many disks as the put asked acknowledgements of lost it before the end. Under
//! last-write-wins the erasing write need not have seen it, only have a greater timestamp.
//!
//! What counts as a loss is the bucket's choice (§6.1): where all flush, what was flushed; where none does, also what a power cut
//! takes of what was not. Where one does, its disk has to be among them: whatever else loses power, alone or all at once, takes
//! nothing that was acknowledged.
//!
//! Half of it is asked of every object that a client is given: each dot that the object's context covers
//! and that is not alive in it must be in the past of something that is.

use super::{Violation, typed};
use crate::books::{Books, Loss, Outcome};
use crate::dots::DotNumber;
use ringhold_core::version::{Object, Timestamp};
use ringhold_node::properties::Durability;
use std::collections::BTreeSet;

const NAME: &str = "I1";

/// # Errors
/// If a version is gone although no write that the object knows of had seen it.
pub fn check_erased(books: &Books, key: usize, object: &Object) -> Result<(), Violation> {
    let past = books.past_of(object);
    let winner = winner(books, key, object);
    let unexplained = |number: &DotNumber| {
        let outlived = winner.is_some_and(|winner| winner > books.dots.named(*number).timestamp);
        !past.contains(*number) && !outlived
    };
    match books.dots.covered(key, object.context()).find(unexplained) {
        None => Ok(()),
        Some(number) => {
            let named = books.dots.named(number);
            Err(Violation::new(
                NAME,
                format!(
                    "key {key}: dot {} of operation {} is gone, and nothing that is there had seen it",
                    named.dot, named.operation
                ),
            ))
        }
    }
}

/// Under last-write-wins: the greatest timestamp that the object knows of.
fn winner(books: &Books, key: usize, object: &Object) -> Option<Timestamp> {
    let known = books.dots.covered(key, object.context());
    let greatest = || known.map(|number| books.dots.named(number).timestamp).max();
    if books.rules.last_write_wins {
        greatest()
    } else {
        None
    }
}

/// # Errors
/// If an acknowledged write, or one that a surviving disk held, is unknown to the merge of all primaries.
pub fn check_end(books: &Books, key: usize, merged: &Object) -> Result<(), Violation> {
    for (number, operation) in books
        .operations
        .iter()
        .enumerate()
        .filter(|(_, operation)| operation.key == key)
    {
        let Some(write) = &operation.write else {
            continue;
        };
        if let Some(Outcome::Acknowledged(dot)) = operation.outcome
            && !merged.context().covers(dot)
            && !is_excused(books, key, operation.called_us, write.w)
            && !books.may_be_gone(number, books.latest_us())
        {
            return Err(Violation::new(
                NAME,
                format!("key {key}: acknowledged operation {number}, dot {dot}, is lost"),
            ));
        }
        let known = write
            .dots
            .iter()
            .any(|&dot| merged.context().covers(books.dots.named(dot).dot))
            || typed::has(merged, number);
        let holder = (0..books.nodes()).find(|&node| books.is_durable(node, key, number));
        if let Some(node) = holder
            .filter(|_| !known && !write.dots.is_empty() && !books.rules.last_write_wins)
            .filter(|_| !books.may_be_gone(number, books.latest_us()))
        {
            return Err(Violation::new(
                NAME,
                format!("key {key}: operation {number} was on the disk of n{node} and is lost"),
            ));
        }
    }
    Ok(())
}

/// Whether as many nodes lost something of this key as would have to for the write to be lost.
#[must_use]
pub fn is_excused(books: &Books, key: usize, since_us: u64, w: u32) -> bool {
    let touches = |loss: &&Loss| loss.at_us >= since_us && loss.key.is_none_or(|lost| lost == key);
    let losses = || books.losses.iter().filter(touches);
    let of_all = |counts: fn(&&Loss) -> bool| {
        let nodes: BTreeSet<usize> = losses().filter(counts).map(|loss| loss.node).collect();
        u32::try_from(nodes.len()).unwrap_or(u32::MAX) >= w.max(1)
    };
    match books.rules.durability {
        Durability::Flushed => of_all(|loss| loss.flushed_too),
        Durability::One => losses().any(|loss| loss.flushed_too) && of_all(|_| true),
        Durability::Buffered => of_all(|_| true),
    }
}
