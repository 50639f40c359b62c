//! Who names a write: the actor, and the live-epoch rule.
//!
//! A [`Dot`] is (actor, counter). A context that holds `actor: 7` claims to have seen the writes
//! 1 to 7 of that actor on that key, so an actor may go on counting on a key only while the store
//! remembers all that it counted there. It forgets in more ways than one expects: the key's record
//! is unreadable, the log's tail is lost after it was sent, an old record with the store's own
//! name comes back from a replica. Each time, counting on would give an old name to a new write,
//! and replicas would drop the new write as something they had already seen.
//!
//! The rule: an actor is (incarnation, key epoch). The incarnation belongs to the store, and a store takes a
//! new one whenever it was not closed cleanly, so a lost tail and a copied disk are behind it. Beside each
//! record the store keeps a local, never replicated [`LiveEpoch`]: "I started this epoch on this key
//! myself, and counted so far". The store goes on with an epoch only if that mark is there and equals the
//! newest entry of its incarnation in the context. Otherwise it takes a fresh epoch from a counter that is
//! leased ahead of use. An epoch too many costs one entry in a context; a reused one would cost an
//! acknowledged write.
//!
//! Rejected: one counter for the whole store (never reuses a dot, but then a context covers dots
//! that it never saw), and a fresh epoch only when the key is not found (a record that came back
//! through repair looks alive and is not). `tests/it/dots.rs` measures both.

use crate::id::Incarnation;

/// A number that a store draws for a key when it starts to coordinate there; never drawn twice
/// in one incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyEpoch(pub u64);

/// The author of a run of writes on one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Actor {
    pub incarnation: Incarnation,
    pub epoch: KeyEpoch,
}

/// The name of one write. Counters start at 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot {
    pub actor: Actor,
    pub counter: u64,
}

impl std::fmt::Display for Dot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { actor, counter } = self;
        write!(f, "{}.{}.{counter}", actor.incarnation, actor.epoch.0)
    }
}

/// The right to go on counting on one key. Local to a store: never sent, never merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveEpoch {
    pub epoch: KeyEpoch,
    /// The last counter that this store gave out in the epoch.
    pub counter: u64,
}
