//! I10, as far as a ring that does not change can break it: each partition has an owner, owners are
//! members, any N consecutive partitions have distinct ones, and every node holds this very document.

use super::Violation;
use ringhold_core::ring::{RingDocument, validate};
use std::collections::BTreeSet;

/// # Errors
/// If the document does not place every partition on as many nodes as it should.
pub fn check(document: &RingDocument) -> Result<(), Violation> {
    let broken = |why: String| Err(Violation::new("I10", why));
    if let Err(error) = validate(document) {
        return broken(format!("the founding document is not valid: {error}"));
    }
    let owners = &document.placement.owners;
    let members: BTreeSet<_> = document.members.iter().map(|member| member.id).collect();
    let distinct = usize::from(document.placement.target_n).min(members.len()).min(3);
    for start in 0..owners.len() {
        let window: BTreeSet<_> = (0..distinct).map(|step| owners[(start + step) % owners.len()]).collect();
        if window.len() < distinct {
            return broken(format!("{distinct} partitions from {start} on have {} owners", window.len()));
        }
        if !window.is_subset(&members) {
            return broken(format!("a partition from {start} on belongs to a stranger"));
        }
    }
    Ok(())
}
