//! What clients do.
//!
//! Each key has one workload for the whole run, so that its values mean one thing. A client picks a key, and
//! then an action that suits it: [`Action::choose`] is all policy there is, and carrying the action out is
//! [`crate::client`]'s.
//!
//! | workload | what a client does | what must hold |
//! | --- | --- | --- |
//! | set | reads, adds an element to the union, writes with context | no acknowledged element is missing |
//! | cart | the same, and takes items out; now and then adds blindly | no item is missing that nobody took out |
//! | counter | as the set, with an increment as the element | low ≤ sum ≤ high, as the elements |
//! | register | writes with the context of what it last saw, old or new | I14 |
//! | blind | writes without context | siblings, and nothing lost |
//! | deletes | creates, deletes, creates again | nothing comes back |
//! | typed counter, set, map | updates data types, and removes with the context of what it last read | what [`typed`](crate::invariants::typed) says |
//! | growing set, estimate | adds elements | the same |
//! | typed, deleted | increments a counter and deletes it with the context of what it last read | the same |

use crate::plan::{OperationClass, Plan};
use crate::random::Random;
use std::fmt;

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Workload {
    Set,
    Cart,
    Counter,
    Register,
    Blind,
    Deletes,
    TypedCounter,
    TypedSet,
    TypedMap,
    TypedDeletes,
    GrowingSet,
    Estimate,
}

impl Workload {
    /// Those whose keys hold ordinary values.
    pub const ALL: [Self; 6] = [
        Self::Set,
        Self::Cart,
        Self::Counter,
        Self::Register,
        Self::Blind,
        Self::Deletes,
    ];

    /// Those whose keys hold data types.
    pub const TYPED: [Self; 6] = [
        Self::GrowingSet,
        Self::Estimate,
        Self::TypedCounter,
        Self::TypedSet,
        Self::TypedMap,
        Self::TypedDeletes,
    ];

    /// Whether its keys hold data types.
    #[must_use]
    pub fn is_typed(self) -> bool {
        Self::TYPED.contains(&self)
    }

    /// Whether a class of operations is about data types.
    #[must_use]
    pub fn is_for_types(class: OperationClass) -> bool {
        Self::TYPED.iter().any(|workload| workload.class() == class)
    }

    /// Whether its values are sets of items that only grow by the operations on it.
    #[must_use]
    pub fn keeps_items(self) -> bool {
        matches!(self, Self::Set | Self::Cart | Self::Counter)
    }

    #[must_use]
    pub fn class(self) -> OperationClass {
        match self {
            Self::Set => OperationClass::Set,
            Self::Cart => OperationClass::Cart,
            Self::Counter => OperationClass::Counter,
            Self::Register => OperationClass::Register,
            Self::Blind => OperationClass::Blind,
            Self::Deletes => OperationClass::Deletes,
            Self::TypedCounter | Self::TypedSet | Self::TypedMap | Self::TypedDeletes => {
                OperationClass::DataTypes
            }
            Self::GrowingSet | Self::Estimate => OperationClass::GrowingTypes,
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Set => "set",
            Self::Cart => "cart",
            Self::Counter => "counter",
            Self::Register => "register",
            Self::Blind => "blind register",
            Self::Deletes => "create and delete",
            Self::TypedCounter => "typed counter",
            Self::TypedSet => "typed set",
            Self::TypedMap => "typed map",
            Self::TypedDeletes => "typed counter that is deleted",
            Self::GrowingSet => "growing set",
            Self::Estimate => "estimate",
        })
    }
}

/// What one operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Get,
    Put,
    Update,
    Delete,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Update => "update",
            Self::Delete => "delete",
        })
    }
}

/// What a client is about to do with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Look, and remember the context.
    Read,
    /// Read, add an item of one's own to the union, write with the context.
    AddItem,
    /// Read, take out one of the items, write with the context.
    RemoveItem,
    /// Write an item of one's own without having read.
    AddBlindly,
    /// Write with whatever context one remembers.
    Overwrite,
    /// Write with the context of another key, which must be refused.
    Stray,
    /// Read, and delete what is there or create what is not.
    DeleteOrCreate,
    /// Update a data type, or delete it.
    Update,
}

impl Action {
    /// Something to do on a key of this workload.
    #[must_use]
    pub fn choose(workload: Workload, plan: &Plan, random: &mut Random) -> Self {
        let has = |class| plan.operations.contains(&class);
        if workload.is_typed() {
            let reads = random.chance(350_000);
            return if reads { Self::Read } else { Self::Update };
        }
        if has(OperationClass::StrayContexts) && random.chance(30_000) {
            return Self::Stray;
        }
        if random.chance(350_000) {
            return Self::Read;
        }
        match workload {
            Workload::Set | Workload::Counter => Self::AddItem,
            Workload::Cart => match random.below(10) {
                0 => Self::AddBlindly,
                1..=3 => Self::RemoveItem,
                _ => Self::AddItem,
            },
            Workload::Register => Self::Overwrite,
            Workload::Blind => Self::AddBlindly,
            Workload::Deletes => Self::DeleteOrCreate,
            Workload::TypedCounter
            | Workload::TypedSet
            | Workload::TypedMap
            | Workload::TypedDeletes
            | Workload::GrowingSet
            | Workload::Estimate => Self::Update,
        }
    }
}
