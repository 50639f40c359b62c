//! T3, conditional puts: a put that says "only if nothing was written since this" is accepted by a coordinator only if
//! its condition had seen everything that this coordinator held.
//!
//! It is no lock: the condition is asked at one replica, so two coordinators may both accept. But each of them knows
//! what it made itself and what it has on its disk, and that is what is asked here, of every dot of a conditional
//! put, acknowledged or not:
//!
//! - the dots that the same actor made on the key before are in the condition (an actor goes on counting only where the
//!   record in its hands has all that it made);
//! - so is every write that was on the coordinator's disk before the put began, unless that disk has lost it since; where the
//!   whole disk was replaced, what was acknowledged with others counts nevertheless, because their node asks them (T18). (Of a
//!   fallback that coordinates nothing is asked here: what it had may have come home and be gone.)
//!
//! And a refusal has a cause: some other write on the key that the condition had not seen, or whose name nobody knows.

use super::Violation;
use crate::books::{Books, Write};
use ringhold_core::version::{Context, Dot};

const NAME: &str = "T3";

/// # Errors
/// If a conditional put got this dot from a coordinator that held what its condition had not seen.
pub fn check_dot(books: &Books, operation: usize, dot: Dot) -> Result<(), Violation> {
    let Some(condition) = condition_of(books, operation) else {
        return Ok(());
    };
    let own = condition.counter(dot.actor);
    if own + 1 < dot.counter {
        return Err(Violation::new(
            NAME,
            format!(
                "operation {operation} was to be refused: its condition ends at {own} of its coordinator's writes, and it got {dot}"
            ),
        ));
    }
    let (key, called_us) = {
        let put = &books.operations[operation];
        (put.key, put.called_us)
    };
    let Some((node, _)) = books
        .maker_of(dot)
        .filter(|(node, _)| books.is_home(*node, key))
    else {
        return Ok(());
    };
    let unseen = |other: &usize| {
        let known = |write: &Write| {
            let mut dots = write.dots.iter().map(|&dot| books.dots.named(dot).dot);
            write.dots.is_empty() || dots.any(|dot| condition.covers(dot))
        };
        let is_gone = || books.may_be_gone(*other, books.latest_us());
        *other != operation && !books.write(*other).is_none_or(known) && !is_gone()
    };
    let promised = books
        .promised_before_replacement(node, key)
        .filter(|_| books.rules.primaries_only);
    let here = books.durable_before(node, key, called_us).chain(promised);
    match here.into_iter().find(unseen) {
        None => Ok(()),
        Some(other) => Err(Violation::new(
            NAME,
            format!(
                "operation {operation} was to be refused: n{node}, which made {dot}, has or had operation {other} on its disk, and the condition had not seen it"
            ),
        )),
    }
}

/// # Errors
/// If a conditional put was refused although its condition had seen all that could be there.
pub fn check_refusal(books: &Books, operation: usize) -> Result<(), Violation> {
    let Some(condition) = condition_of(books, operation) else {
        return Err(Violation::new(
            NAME,
            format!("operation {operation} had no condition, and was refused for it"),
        ));
    };
    let key = books.operations[operation].key;
    let unseen = |write: &Write| {
        let mut dots = write.dots.iter().map(|&dot| books.dots.named(dot).dot);
        write.dots.is_empty() || dots.any(|dot| !condition.covers(dot))
    };
    let mut writes = books.operations.iter().filter(|other| other.key == key);
    if writes.any(|other| other.write.as_ref().is_some_and(unseen)) {
        return Ok(());
    }
    Err(Violation::new(
        NAME,
        format!(
            "operation {operation} was refused, and its condition had seen every write on key {key}"
        ),
    ))
}

fn condition_of(books: &Books, operation: usize) -> Option<&Context> {
    books.write(operation)?.condition.as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::books::{Operation, Outcome};
    use crate::dots::{DotSet, Named};
    use crate::workload::{Kind, Workload};
    use ringhold_core::id::Incarnation;
    use ringhold_core::version::{Actor, ContentHash, KeyEpoch, Timestamp};
    use std::collections::BTreeSet;

    fn dot(epoch: u64, counter: u64) -> Dot {
        let actor = Actor {
            incarnation: Incarnation(1),
            epoch: KeyEpoch(epoch),
        };
        Dot { actor, counter }
    }

    /// Books with one write, dot 1 of epoch 1 on the disk of n0, and a conditional one after it.
    fn books(condition: Option<Context>) -> Books {
        let mut books = Books::default();
        books.add_nodes(1);
        books.set_homes(0, vec![0]);
        books.started(0, Incarnation(1), 0);
        let write = |condition| Write {
            hash: Some(ContentHash(0)),
            typed: None,
            adds: None,
            removes: None,
            saw: DotSet::default(),
            tries: 1,
            dots: Vec::new(),
            w: 1,
            dw: 1,
            n: 3,
            names_n: false,
            held_by: BTreeSet::new(),
            condition,
            ending: None,
        };
        for (called_us, condition) in [(0, None), (100, condition)] {
            books.begin(Operation {
                client: 0,
                key: 0,
                workload: Workload::Register,
                kind: Kind::Put,
                called_us,
                returned_us: None,
                outcome: Some(Outcome::Unknown),
                write: Some(write(condition)),
                r: None,
                shown: Vec::new(),
            });
        }
        let named = Named {
            dot: dot(1, 1),
            key: 0,
            operation: 0,
            hash: ContentHash(0),
            timestamp: Timestamp(0),
            is_tombstone: false,
        };
        let number = books.dots.note(named).expect("the first of its name");
        let first = books.operations[0].write.as_mut().expect("a put");
        first.dots.push(number);
        books.now_us = 50;
        books.became_durable(0, [0]);
        books
    }

    #[test]
    fn a_condition_holds_where_it_was_asked() {
        let (never, mut since) = (Context::new(), Context::new());
        since.observe(dot(1, 1));
        assert!(check_dot(&books(Some(since.clone())), 1, dot(1, 2)).is_ok());
        assert!(check_dot(&books(Some(since.clone())), 1, dot(1, 3)).is_err());
        assert!(check_dot(&books(Some(since.clone())), 1, dot(2, 1)).is_ok());
        assert!(
            check_dot(&books(Some(never.clone())), 1, dot(2, 1)).is_err(),
            "a fresh epoch forgets nothing that is on disk"
        );
        assert!(check_dot(&books(None), 1, dot(1, 2)).is_ok());
        assert!(check_refusal(&books(Some(never)), 1).is_ok());
        assert!(check_refusal(&books(None), 1).is_err());
    }

    #[test]
    fn a_refusal_without_a_cause_is_noticed() {
        let mut since = Context::new();
        since.observe(dot(1, 1));
        let mut books = books(Some(since));
        let named = Named {
            dot: dot(1, 1),
            ..*books.dots.named(0)
        };
        let number = books.dots.note(named).expect("the same name");
        books.operations[1]
            .write
            .as_mut()
            .expect("a put")
            .dots
            .push(number);
        assert!(check_refusal(&books, 1).is_err());
    }
}
