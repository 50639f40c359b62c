//! T16: what is asked of a placement change at its steps, beyond that nothing is lost in the end.
//!
//! A cluster heals so much that a copy which was never made comes about all the same, later, from what the others have. So the
//! promises are looked at where they are given: when the next table is taken into use, each new home has what the homes had before the
//! change began; when a member is gone, it has nothing left; and nobody counts as a home who is none.

use super::Violation;
use crate::books::{Books, Write};
use ringhold_core::ring::Ring;
use std::collections::BTreeMap;
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

/// Who has to take over what.
pub struct Taking<'a> {
    pub key: usize,
    pub taker: usize,
    /// The homes of before, without those who are dead for good.
    pub homes: &'a [usize],
    /// Those whose copies the taker takes over; none for all.
    pub goers: &'a [usize],
    /// One of the goers may have been away all the time: then what another home has too has to be taken from there.
    pub one_was_away: bool,
    /// A write that was for fewer replicas was not for all of these homes.
    pub n: u32,
}

/// # Errors
/// If who will be a home of a key lacks what those from whom it had to take over had before `before_us`.
pub fn check_taken(books: &Books, taking: &Taking<'_>, before_us: u64) -> Result<(), Violation> {
    let Taking { key, taker, .. } = *taking;
    if books.has_lost(taker, key, 0) {
        return Ok(());
    }
    // Who lost it knows that, and nobody takes its word.
    let homes = taking.homes.iter().copied();
    let mut holders: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for home in homes.filter(|home| !books.has_lost(*home, key, 0)) {
        for operation in books.durable_before(home, key, before_us) {
            holders.entry(operation).or_default().push(home);
        }
    }
    for (operation, holders) in holders {
        let is_goer = |home: &usize| taking.goers.is_empty() || taking.goers.contains(home);
        let least = if taking.one_was_away && !taking.goers.is_empty() {
            2
        } else {
            1
        };
        if holders.len() < least || !holders.iter().any(is_goer) {
            continue;
        }
        let is_for_all = |write: &&Write| !write.dots.is_empty() && write.n >= taking.n;
        let Some(write) = books.write(operation).filter(is_for_all) else {
            continue;
        };
        let mut dots = write.dots.iter();
        let holds = dots.any(|dot| books.holds_durably(taker, *dot));
        if !holds && !books.may_be_gone(operation, books.latest_us()) {
            let text = format!(
                "n{taker} counts as a home of key {key} by a new placement, and lacks operation {operation} of it, which {holders:?} had before {} s",
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
