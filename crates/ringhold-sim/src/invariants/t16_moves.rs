//! T16: what is asked of a placement change at its steps, beyond that nothing is lost in the end.
//!
//! A cluster heals so much that a copy which was never made comes about all the same, later, from what the others have. So the
//! promises are looked at where they are given: when the next table is taken into use, each new home has what the homes had before the
//! change began; when a member is gone, it has nothing left; and nobody counts as a home who is none.

use super::Violation;
use crate::books::{Books, Write};
use ringhold_core::ring::Ring;
use std::sync::Arc;

const NAME: &str = "T16";

/// A placement change that was seen to begin.
#[derive(Clone)]
pub struct UnderWay {
    pub ring: Arc<Ring>,
    pub since_us: u64,
}

impl UnderWay {
    /// Whether a ring is the one that this change leads to: each key has the homes that it was to have.
    #[must_use]
    pub fn is_finished_by(&self, ring: &Ring) -> bool {
        let next = self.ring.document().placement.next.as_ref();
        let replication = next.map(|next| &next.replication);
        let mut trees = self.ring.trees();
        ring.placement_number() == self.ring.placement_number() + 1
            && replication == Some(&ring.document().placement.replication)
            && trees.all(|tree| {
                let homes = self.ring.next_homes_of(tree);
                homes == ring.homes(tree.partition, homes.len())
            })
    }
}

/// # Errors
/// If a new home of a key lacks what all of those from whom it may have copied it had before `before_us`.
pub fn check_copied(
    books: &Books,
    key: usize,
    sources: &[usize],
    comer: usize,
    before_us: u64,
    n: u32,
) -> Result<(), Violation> {
    if books.has_lost(comer, key, 0) {
        return Ok(());
    }
    // Who lost it knows that, and nobody takes its word.
    let sources = sources.iter().copied();
    let sources: Vec<usize> = sources
        .filter(|node| !books.has_lost(*node, key, 0))
        .collect();
    // Of several, what all of them had.
    let Some((first, others)) = sources.split_first() else {
        return Ok(());
    };
    for operation in books.durable_before(*first, key, before_us) {
        let is_there = |node: &usize| {
            let mut there = books.durable_before(*node, key, before_us);
            there.any(|other| other == operation)
        };
        if !others.iter().all(is_there) {
            continue;
        }
        // One that was for fewer replicas was not for all of these homes.
        let is_for_all = |write: &&Write| !write.dots.is_empty() && write.n >= n;
        let Some(write) = books.write(operation).filter(is_for_all) else {
            continue;
        };
        let holds = write
            .dots
            .iter()
            .any(|dot| books.holds_durably(comer, *dot));
        if !holds && !books.may_be_gone(operation, books.latest_us()) {
            let text = format!(
                "n{comer} has become a home of key {key}, and lacks operation {operation} of it, which n{first} had before {} s",
                before_us / 1_000_000
            );
            return Err(Violation::new(NAME, text));
        }
    }
    Ok(())
}

/// # Errors
/// If a member has gone that still held something.
pub fn check_gone(node: usize, key: usize, holds_something: bool) -> Result<(), Violation> {
    if !holds_something {
        return Ok(());
    }
    Err(Violation::new(
        NAME,
        format!("n{node} has left the cluster with what it had of key {key}"),
    ))
}

/// # Errors
/// If more homes are said to have acknowledged a put than homes have it. Homes are those of now and those of before.
pub fn check_primaries(operation: usize, said: u32, held: usize) -> Result<(), Violation> {
    if held >= usize::try_from(said).unwrap_or(usize::MAX) {
        return Ok(());
    }
    Err(Violation::new(
        NAME,
        format!("operation {operation} was acknowledged by {said} homes, and {held} have it"),
    ))
}

/// # Errors
/// If a request by one placement was carried out under another (T13).
pub fn check_in_step(node: usize, asked: u64, before: u64, after: u64) -> Result<(), Violation> {
    if (before..=after).contains(&asked) {
        return Ok(());
    }
    Err(Violation::new(
        "T13",
        format!(
            "n{node} carried out a request by placement {asked} while it knew {before} to {after}"
        ),
    ))
}
