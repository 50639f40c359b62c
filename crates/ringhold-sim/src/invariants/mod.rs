//! What must hold, one file each.
//!
//! A check is a function of the [`Books`] and of an object, a store or the end state; it changes nothing and
//! knows nothing of executor, network or disk. Some hold always, and are asked as the run goes on; some hold
//! at the end, after faults are healed and reads have repaired what they found.
//!
//! | file | says | asked |
//! | --- | --- | --- |
//! | [`i01_durability`] | an acknowledged write is there, or a write that had seen it took its place | always, end |
//! | [`i02_no_invention`] | every version was written by somebody, to that key | always |
//! | [`i03_no_dot_reuse`] | a dot names one write for ever | always |
//! | [`i04_no_resurrection`] | what an acknowledged write replaced does not come back | end |
//! | [`i05_convergence`] | all primaries end up equal | end |
//! | [`i06_one_operation`] | one operation is one version in an answer | always |
//! | [`i07_sibling_bound`] | siblings are writes that no known write has replaced | always |
//! | [`i10_founding`] | the founding document places every partition | start |
//! | [`i12_corruption`] | damage stays where it happened | always |
//! | [`i13_honest_acknowledgement`] | what was said to be on disk is on disk | always |
//! | [`i14_causal_read`] | no write stands beside what its writer had read | always |
//! | [`i15_read_after_write`] | where R + W > N, a get knows of the puts acknowledged before it | always |
//! | [`i16_bounded`] | contexts, siblings, tasks and buffers keep their bounds | always |
//! | [`i17_liveness`] | a healed cluster answers | end |
//! | [`i18_every_operation_ends`] | every operation ends once, soon after its deadline | always |
//! | [`i20_recovery`] | a store has what was flushed, after any crash | at each start, end |
//! | [`properties`] | all members end up with the latest change of a bucket's properties | end |
//! | [`t05_timestamps`] | a write is later than what its writer had seen | always |
//! | [`t26_clocks`] | no clock that is known to be wrong makes timestamps | always |
//! | [`conditional`] | a coordinator accepts a conditional put only if the condition had seen all that it held | always |
//! | [`index_rows`] | X1: index rows are those of the objects | at each start, end |
//! | [`index_queries`] | X2: a complete answer has what was acknowledged, and none has what was never written | always, end |
//! | [`t12_leaf_sums`] | the sums under the hash trees are those of the objects | at each start, end |
//! | [`t11_reaping`] | what is reaped was dead for the grace, and what it had replaced stays away | always, end |
//! | [`typed`] | a data type is what its operations make of it, each counted once | always, end |
//! | [`t24_expired`] | nothing is done for those who no longer wait | always |
//!
//! Keys with data types have versions that their coordinators make of others, so what is said there of versions is replaced by what
//! [`typed`] says of operations.
//!
//! [`workloads`] looks at values only: what a user of sets, carts and counters would miss.

pub mod conditional;
pub mod estimates;

pub mod i01_durability;
pub mod i02_no_invention;
pub mod i03_no_dot_reuse;
pub mod i04_no_resurrection;
pub mod i05_convergence;
pub mod i06_one_operation;
pub mod i07_sibling_bound;
pub mod i08_placement;
pub mod i09_hints;
pub mod i10_founding;
pub mod i10_rings;
pub mod i12_corruption;
pub mod i13_honest_acknowledgement;
pub mod i14_causal_read;
pub mod i15_read_after_write;
pub mod i16_bounded;
pub mod i17_liveness;
pub mod i18_every_operation_ends;
pub mod i19_isolation;
pub mod i20_recovery;
pub mod index_queries;
pub mod index_rows;
pub mod properties;
pub mod t05_timestamps;
pub mod t11_reaping;
pub mod t12_leaf_sums;
pub mod t14_types;
pub mod t16_moves;
pub mod t24_expired;
pub mod t26_clocks;
pub mod typed;
pub mod workloads;

use crate::books::Books;
use ringhold_core::version::Object;
use std::fmt;

/// A statement that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its name: `I1` and so on.
    pub invariant: &'static str,
    pub particulars: String,
}

impl Violation {
    #[must_use]
    pub fn new(invariant: &'static str, particulars: String) -> Self {
        Self {
            invariant,
            particulars,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} violated: {}", self.invariant, self.particulars)
    }
}

impl std::error::Error for Violation {}

/// What must hold of every object that anybody is given.
///
/// # Errors
/// The first statement that does not hold.
pub fn check_answer(books: &Books, key: usize, object: &Object) -> Result<(), Violation> {
    i12_corruption::check(books, key, object)?;
    if books.typed.contains(&key) {
        typed::check_answer(books, key, object)?;
        return i16_bounded::check_object(key, object);
    }
    i06_one_operation::check(books, key, object)?;
    i14_causal_read::check(books, key, object)?;
    i07_sibling_bound::check(books, key, object)?;
    i01_durability::check_erased(books, key, object)?;
    t11_reaping::check_risen(books, key, object)?;
    i16_bounded::check_object(key, object)
}

/// What must hold of the merge of all primaries at the end.
///
/// # Errors
/// The first statement that does not hold.
pub fn check_end(books: &Books, key: usize, merged: &Object) -> Result<(), Violation> {
    check_answer(books, key, merged)?;
    i01_durability::check_end(books, key, merged)?;
    if books.typed.contains(&key) {
        return typed::check_end(books, key, merged);
    }
    i04_no_resurrection::check(books, key, merged)?;
    workloads::check(books, key, merged)
}
