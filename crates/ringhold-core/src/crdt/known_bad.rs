//! Wrong variants of the rules, for the property tests and the simulator to find. No release compiles them.
//!
//! Each is a mistake that some data type has made, built in at the one place of its rule and picked at run time, for
//! one thread.

use std::cell::Cell;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Variant {
    /// Removing an element takes the adds that it had not seen as well.
    RemoveWins,
    /// An increment of a nested counter carries on the total of its actor: a reset that saw only part takes nothing of it.
    IncrementCarriesTotal,
    /// What could not be carried out at once is forgotten.
    DeferredDropped,
    /// A dot beyond a gap claims the gap.
    CloudIsVector,
    /// A counter adds what it is sent, seen or not.
    RetryCountsTwice,
    /// Adding what is there leaves it on its old dot.
    AddWithoutDot,
    /// A remove says that it has seen the dots, and not from where they go.
    RemoveClaimsDots,
    /// A remove beside an add in one operation takes the add.
    RemoveBeatsOwnAdd,
    /// An update leaves no dot of the field's own.
    UpdateWithoutPresence,
    /// Removing a field of a map does not reach into the maps inside.
    ResetIsShallow,
    /// A register shows the greatest dot, whatever the time.
    RegisterByDot,
    /// Removing a field with a context takes all that the replica has.
    ResetTakesUnseen,
    /// Two dots of one operation are two operations.
    TwinsCount,
    /// Whoever was seen by one twin only is not known by the other.
    TwinsAreStrangers,
    /// An update is carried out on whatever a replica holds.
    FollowsAnyBase,
    /// A set that only grows is what it was told last.
    GrowingSetReplaced,
    /// So is an estimate.
    EstimateReplaced,
    /// An update takes the place of all that is there, and has only the last of it.
    OneSiblingJoined,
}

thread_local! {
    static ON: Cell<Option<Variant>> = const { Cell::new(None) };
}

pub(crate) fn is_on(variant: Variant) -> bool {
    ON.get() == Some(variant)
}

/// Builds a variant in, or none, on this thread from now on.
pub fn activate(variant: Option<Variant>) {
    ON.set(variant);
}

/// Runs `check` with a variant built in, or with none.
#[cfg(test)]
pub(super) fn with<T>(variant: Option<Variant>, check: impl FnOnce() -> T) -> T {
    ON.set(variant);
    let outcome = check();
    ON.set(None);
    outcome
}
