//! I15: where primaries alone take part and R + W > N, a get that begins after a put was acknowledged knows of
//! it; unless a disk has lost the key since, as many disks were replaced as had acknowledged it, or it may have been
//! reaped. A sloppy quorum promises no such thing (T8). Where the two are for
//! different numbers of replicas, N is the greater: both ask among the first so many primaries, so R and W of
//! those have one in common. Where gets repair before they are answered, the same holds of a get after a get: what was shown
//! once is shown again, or what replaced it.

use super::Violation;
use crate::books::{Books, Loss, Outcome};
use ringhold_core::version::{Dot, Object};
use ringhold_node::properties::Durability;
use std::collections::BTreeSet;

/// # Errors
/// If an answer lacks a put that had been acknowledged before its question.
pub fn check(books: &Books, read: usize, object: &Object) -> Result<(), Violation> {
    let asked = &books.operations[read];
    let Some(r) = asked.r.filter(|_| books.rules.primaries_only) else {
        return Ok(());
    };
    for (number, operation) in books.operations[..read]
        .iter()
        .enumerate()
        .filter(|(_, operation)| operation.key == asked.key)
    {
        let Some(Outcome::Acknowledged(dot)) = operation.outcome else {
            continue;
        };
        let (w, n) = operation
            .write
            .as_ref()
            .map_or((0, 0), |write| (write.w, write.n));
        let before = operation
            .returned_us
            .is_some_and(|returned_us| returned_us <= asked.called_us);
        if before
            && r.required + w > r.n.max(n)
            && !object.context().covers(dot)
            && !is_excused(books, asked.key, operation.called_us, w)
            && !books.may_be_gone(number, books.latest_us())
        {
            let text = format!(
                "key {}: operation {number} was acknowledged before operation {read} asked {} replicas, and is not in the answer",
                asked.key, r.required
            );
            return Err(Violation::new("I15", text));
        }
    }
    Ok(())
}

/// # Errors
/// If an answer lacks what an earlier one had shown, where gets repair before they are answered.
pub fn check_monotone(books: &Books, read: usize, object: &Object) -> Result<(), Violation> {
    let asked = &books.operations[read];
    let strict = books.rules.primaries_only && books.rules.blocking_repair;
    let Some(r) = asked.r.filter(|_| strict) else {
        return Ok(());
    };
    for (number, earlier) in books.operations[..read].iter().enumerate() {
        let before = earlier
            .returned_us
            .is_some_and(|returned_us| returned_us <= asked.called_us);
        let Some(earlier_r) = earlier.r.filter(|_| before && earlier.key == asked.key) else {
            continue;
        };
        let meet = r.required + earlier_r.required > r.n.max(earlier_r.n);
        let is_lacking = |dot: &&Dot| {
            let may_be_gone = || {
                let number = books.dots.number(**dot);
                number.is_none_or(|number| {
                    let named = books.dots.named(number).operation;
                    books.may_be_gone(named, books.latest_us())
                })
            };
            !object.context().covers(**dot) && !may_be_gone()
        };
        let excused = || is_excused(books, asked.key, earlier.called_us, earlier_r.required);
        if let Some(dot) = earlier.shown.iter().find(is_lacking)
            && meet
            && !excused()
        {
            let text = format!(
                "key {}: operation {number} showed {dot}, and operation {read}, which came after it, knows nothing of it",
                asked.key
            );
            return Err(Violation::new("I15", text));
        }
    }
    Ok(())
}

/// A disk that lost some of what it had without anybody's knowledge is an excuse. Disks that were replaced are none as long
/// as fewer were than had acknowledged the put: their nodes know that they know nothing (T18).
pub(super) fn is_excused(books: &Books, key: usize, since_us: u64, w: u32) -> bool {
    let touches = |loss: &&Loss| {
        loss.at_us >= since_us
            && loss.key.is_none_or(|lost| lost == key)
            && (loss.flushed_too || books.rules.durability < Durability::Flushed)
    };
    let (replaced, others): (Vec<&Loss>, Vec<&Loss>) = books
        .losses
        .iter()
        .filter(touches)
        .partition(|loss| loss.replaced);
    let replaced: BTreeSet<usize> = replaced.into_iter().map(|loss| loss.node).collect();
    !others.is_empty() || replaced.len() >= usize::try_from(w).unwrap_or(usize::MAX)
}
