//! Estimates of how many elements were added: what cannot be looked for by name is held between two bounds.
//!
//! An estimate grows with what was added. So it lies between that of what must be in it and that of all that may be; where the two are
//! one, it is that. Which operations a disk has of it can't be told from its registers, so I13 does not ask; a lost
//! operation shows in the context (I1, I20) and here.

use super::Violation;
use crate::value::{element, operation_id};
use ringhold_core::crdt::{Held, Kind, Signed, State, Update, Value};
use ringhold_core::id::Incarnation;
use ringhold_core::version::{Actor, Dot, KeyEpoch, Timestamp};
use std::collections::BTreeSet;

/// # Errors
/// If the estimate is below that of what must be in it, or above that of all that may be.
pub fn check(
    key: usize,
    estimate: u64,
    must: &BTreeSet<usize>,
    all: &BTreeSet<usize>,
) -> Result<(), Violation> {
    let possible = of(must)..=of(all);
    if possible.contains(&estimate) {
        return Ok(());
    }
    let text = format!("key {key}: an estimate of {estimate}, which must be in {possible:?}");
    Err(Violation::new("data types", text))
}

/// Of the elements of these operations, all added in one place.
fn of(operations: &BTreeSet<usize>) -> u64 {
    let elements = operations.iter().map(|operation| element(*operation));
    let update = Update::Hll(elements.collect());
    let actor = Actor {
        incarnation: Incarnation(0),
        epoch: KeyEpoch(0),
    };
    let mut held = Held::new(State::new(Kind::Hll));
    let added = held.update(&Signed {
        update: &update,
        operation: operation_id(0),
        dot: Dot { actor, counter: 1 },
        timestamp: Timestamp(0),
        context: None,
    });
    match (added, held.value()) {
        (Ok(()), Ok(Value::Hll(estimate))) => estimate,
        other => unreachable!("an estimate takes elements: {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lies_between_what_must_be_there_and_all() {
        let must: BTreeSet<usize> = (0..20).collect();
        let all: BTreeSet<usize> = (0..30).collect();
        let check = |estimate| check(0, estimate, &must, &all);
        assert_eq!((of(&must), of(&all)), (20, 30));
        assert!(check(20).is_ok() && check(25).is_ok() && check(30).is_ok());
        assert!(check(19).is_err() && check(31).is_err());
    }
}
