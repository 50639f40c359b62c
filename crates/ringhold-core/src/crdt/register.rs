//! A register in a map: the newest assignment, of those that no other has replaced.
//!
//! An assignment replaces the ones that its replica had seen, so a write never loses to what it overwrote, however
//! wrong a clock is (T5). Of assignments that knew nothing of each other the greatest timestamp shows, and of equal
//! timestamps the greatest dot. All of them are kept until one replaces them or a remove has seen them: were only the newest
//! kept, a remove that had seen just that one would take the others with it.

use super::dotted::Dotted;
#[cfg(any(test, feature = "known-bad"))]
use super::known_bad::{Variant, is_on};
use crate::version::Timestamp;
use bytes::Bytes;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Assignment {
    pub(super) timestamp: Timestamp,
    pub(super) value: Bytes,
}

/// What the register shows; nothing if it holds no assignment.
pub(super) fn shown(assignments: &Dotted<Assignment>) -> Option<Bytes> {
    #[cfg(any(test, feature = "known-bad"))]
    if is_on(Variant::RegisterByDot) {
        return assignments
            .entries()
            .last()
            .map(|(_, latest)| latest.value.clone());
    }
    let by_age = |(dot, assignment): &&(_, Assignment)| (assignment.timestamp, *dot);
    let newest = assignments.entries().iter().max_by_key(by_age);
    newest.map(|(_, assignment)| assignment.value.clone())
}
