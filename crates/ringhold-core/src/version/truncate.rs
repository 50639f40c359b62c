//! The paper's bound on the size of a clock (§4.4), as a function that no node calls.
//!
//! Dynamo dropped the oldest entries of a vector clock once it had about ten. Dropping an entry
//! forgets that something was seen: a replica that still holds the overwritten version brings it
//! back as a sibling (T4). That loses no write, but it resurrects old ones, so it is for those who
//! want the paper's behaviour. An entry of a version that is still alive is never dropped, or
//! the context would stop covering it. Not for merge or repair: replicas that truncate
//! differently would repair each other for ever.

use super::object::Object;

/// A context of this many entries is worth an alarm.
pub const CONTEXT_ENTRIES_ALARM: usize = 50;
/// A put that finds a context of this many entries is refused.
pub const CONTEXT_ENTRIES_MAX: usize = 1_024;

/// Drops entries without a live version until at most `keep` are left or none can go; returns how
/// many went. Entries carry no time, so age is judged by what they do carry: first the epochs that a
/// newer epoch of the same store has followed, then the lowest epochs, then the lowest counters.
pub fn truncate(object: &mut Object, keep: usize) -> usize {
    let excess = object.context().len().saturating_sub(keep);
    if excess == 0 {
        return 0;
    }
    let mut candidates: Vec<_> = object
        .context()
        .entries()
        .iter()
        .filter(|(actor, _)| {
            object
                .versions()
                .iter()
                .all(|version| version.dot.actor != *actor)
        })
        .map(|&(actor, counter)| {
            let newest = object
                .context()
                .newest_of(actor.incarnation)
                .is_some_and(|(a, _)| a == actor);
            (newest, actor.epoch, counter, actor)
        })
        .collect();
    candidates.sort_unstable();
    candidates.truncate(excess);
    object
        .context_mut()
        .retain(|(actor, _)| candidates.iter().all(|(.., gone)| gone != actor));
    candidates.len()
}
