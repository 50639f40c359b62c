//! I10, as far as a ring that does not change can break it: the document is valid, each partition has an
//! owner who is a member, and every preference list names every member once, so its first N are N nodes.

use super::Violation;
use ringhold_core::ring::{Partition, RingDocument, preference_list, validate};
use std::collections::BTreeSet;

/// # Errors
/// If the document does not place every partition on as many nodes as it should.
pub fn check(document: &RingDocument) -> Result<(), Violation> {
    let broken = |why: String| Err(Violation::new("I10", why));
    if let Err(error) = validate(document) {
        return broken(format!("the founding document is not valid: {error}"));
    }
    let members: BTreeSet<_> = document.members.iter().map(|member| member.id).collect();
    for (partition, owner) in (0..).zip(&document.placement.owners) {
        let list = preference_list(
            &document.placement.owners,
            &document.members,
            Partition(partition),
        );
        let listed: BTreeSet<_> = list.iter().copied().collect();
        if list.first() != Some(owner) || listed != members || list.len() != members.len() {
            return broken(format!(
                "the preference list of partition {partition} is not its owner and every other member once"
            ));
        }
    }
    Ok(())
}
