//! What a key of a data type holds: a state, and which operations of late are in it.
//!
//! A client that hears nothing tries again, perhaps elsewhere, and then one operation has two dots: *twins*. A set would
//! hardly notice, a counter would count twice. So beside the state lie the operations that it has, each with its dots. Where two
//! dots of one operation meet, the smaller one is the operation, and the other stands for nothing (T6).
//!
//! What that means follows the type. In a set or a map the greater twin takes the name of the smaller one, in what stands and in what was removed: whoever has
//! removed what the one did has removed the operation. In a counter the greater twin's increment is *cancelled*: kept by its dot and subtracted,
//! because the total that it went into is the same wherever it is told. Growing sets and estimates need none of this.
//!
//! **Why this stays a lattice.** The dots of an operation only become more, so the smallest only becomes smaller, and which dots are greater twins is
//! a function of the union. Forgetting is no part of joining: only an update forgets, as it makes a new version.
//!
//! **The bound.** The latest [`OPERATIONS_MAX`] operations are kept. A twin that meets its like after so many later updates of the key
//! is not recognised, and counts again.

use super::causal::CausalContext;
#[cfg(any(test, feature = "known-bad"))]
use super::known_bad::{Variant, is_on};
use super::state::{KindMismatch, State};
use super::update::{Kind, Refused, Update};
use super::value::{CounterOutOfRange, Value};
use crate::id::OperationId;
use crate::version::{Dot, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// Operations that are kept beside a state.
pub const OPERATIONS_MAX: usize = 256;

/// An operation that a state has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// Never empty. The first is the operation.
    pub(super) dots: BTreeSet<Dot>,
    /// The latest of its dots' times: what is older is forgotten first.
    pub(super) timestamp: Timestamp,
    /// What it added to a counter; else 0.
    pub(super) by: i64,
}

/// A dot of an operation that is known by another.
struct Twin {
    dot: Dot,
    of: Dot,
    by: i64,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub(super) state: State,
    pub(super) operations: BTreeMap<OperationId, Known>,
    /// Of a counter: increments that twins of theirs have made as well.
    pub(super) cancelled: BTreeMap<Dot, i64>,
}

/// One update, with its names.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    pub update: &'a Update,
    pub operation: OperationId,
    pub dot: Dot,
    pub timestamp: Timestamp,
    /// What the client had read.
    pub context: Option<&'a CausalContext>,
}

impl Held {
    #[must_use]
    pub fn new(state: State) -> Self {
        Self {
            state,
            operations: BTreeMap::new(),
            cancelled: BTreeMap::new(),
        }
    }

    #[must_use]
    pub fn kind(&self) -> Kind {
        self.state.kind()
    }

    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What a client that reads this now has seen; nothing where clients get no context.
    #[must_use]
    pub fn context(&self) -> &CausalContext {
        self.state.context()
    }

    /// The operations of late that are in it, each with its dots.
    pub fn operations(&self) -> impl Iterator<Item = (OperationId, impl Iterator<Item = Dot>)> {
        let operations = self.operations.iter();
        operations.map(|(operation, known)| (*operation, known.dots.iter().copied()))
    }

    /// The dot by which an operation is known here.
    #[must_use]
    pub fn dot_of(&self, operation: OperationId) -> Option<Dot> {
        let known = self.operations.get(&operation)?;
        known.dots.first().copied()
    }

    /// Carries an update out, whole or not at all.
    ///
    /// # Errors
    /// See [`Refused`]; nothing has changed.
    ///
    /// # Panics
    /// If the dot's counter is 0.
    pub fn update(&mut self, signed: &Signed<'_>) -> Result<(), Refused> {
        let Signed {
            update,
            operation,
            dot,
            timestamp,
            context,
        } = *signed;
        let context = context.map(|context| self.with_twins(context));
        let delta = self.state.apply(update, dot, timestamp, context.as_ref())?;
        self.state
            .join(&delta)
            .expect("an update that was taken is of the state's kind");
        if matches!(self.kind(), Kind::GrowingSet | Kind::Hll) {
            return Ok(());
        }
        let by = match update {
            Update::Counter(by) => *by,
            _ => 0,
        };
        let known = Known {
            dots: BTreeSet::from([dot]),
            timestamp,
            by,
        };
        self.operations.insert(operation, known);
        self.forget();
        Ok(())
    }

    fn forget(&mut self) {
        while self.operations.len() > OPERATIONS_MAX {
            let age = |(_, known): &(&OperationId, &Known)| (known.timestamp, known.dots.clone());
            let oldest = self.operations.iter().min_by_key(age);
            let (&oldest, _) = oldest.expect("more than the bound");
            self.operations.remove(&oldest);
        }
    }

    /// Takes in what another version of the key holds. In any order, in any grouping, any number of times: the outcome is the same.
    ///
    /// # Errors
    /// If it is of another kind; nothing has changed.
    pub fn join(&mut self, other: &Self) -> Result<(), KindMismatch> {
        if self.kind() != other.kind() {
            let (ours, theirs) = (self.kind(), other.kind());
            return Err(KindMismatch { ours, theirs });
        }
        for (operation, theirs) in &other.operations {
            let ours = self.operations.entry(*operation);
            let ours = ours.or_insert_with(|| theirs.clone());
            ours.dots.extend(&theirs.dots);
            ours.timestamp = ours.timestamp.max(theirs.timestamp);
        }
        self.cancelled.extend(&other.cancelled);
        let twins = self.twins();
        #[cfg(any(test, feature = "known-bad"))]
        let twins = if is_on(Variant::TwinsCount) {
            Vec::new()
        } else {
            twins
        };
        if self.kind() == Kind::Counter {
            let by = twins.iter().map(|twin| (twin.dot, twin.by));
            self.cancelled.extend(by);
            return self.state.join(&other.state);
        }
        if twins.is_empty() {
            return self.state.join(&other.state);
        }
        let mut theirs = other.state.clone();
        for Twin { dot, of, .. } in twins {
            self.state.rename(dot, of);
            theirs.rename(dot, of);
        }
        self.state.join(&theirs)
    }

    /// The dots of operations that are known by a smaller one.
    fn twins(&self) -> Vec<Twin> {
        let mut twins = Vec::new();
        for known in self.operations.values() {
            let mut dots = known.dots.iter().copied();
            let of = dots.next().expect("an operation has a dot");
            let by = known.by;
            twins.extend(dots.map(|dot| Twin { dot, of, by }));
        }
        twins
    }

    /// What a client has seen by one twin, it has seen by the other.
    fn with_twins(&self, context: &CausalContext) -> CausalContext {
        let mut context = context.clone();
        for Twin { dot, of, .. } in self.twins() {
            #[cfg(any(test, feature = "known-bad"))]
            if is_on(Variant::TwinsAreStrangers) {
                continue;
            }
            if context.contains(dot) {
                context.observe(of);
            }
        }
        context
    }

    /// What a client sees.
    ///
    /// # Errors
    /// If a counter is beyond 128 bits, which no updates reach.
    pub fn value(&self) -> Result<Value, CounterOutOfRange> {
        let value = self.state.value()?;
        let Value::Counter(total) = value else {
            return Ok(value);
        };
        let cancelled = self.cancelled.values().map(|by| i128::from(*by)).sum();
        let total = total.checked_sub(cancelled).ok_or(CounterOutOfRange)?;
        Ok(Value::Counter(total))
    }
}
