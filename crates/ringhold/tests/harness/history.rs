//! What clients did, and what they heard.
//!
//! An operation has a number, which is in every value that it wrote and in every value that was made from one (see
//! [`ringhold_sim::value`]); so the history needs no values, only what each operation was and how it ended. An
//! operation is in the history before its request leaves: what is read and not in here was made up by the store.

use crate::client::Outcome;
use ringhold_sim::value::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// Operations, or the items that they took out, and how they ended.
pub(crate) type Ended = Vec<(usize, Outcome)>;

/// One write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) client: usize,
    pub(crate) key: usize,
    /// Unknown until its end.
    pub(crate) outcome: Outcome,
}

/// All that happened in a run.
#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) operations: Vec<Operation>,
    /// The operations on data types that took out another one's item, and which.
    pub(crate) removals: BTreeMap<usize, usize>,
    pub(crate) reads: usize,
    /// What went wrong, and how often.
    pub(crate) errors: BTreeMap<String, usize>,
    /// Requests that failed and went well when they were tried again, and the longest that this took.
    pub(crate) cured: usize,
    pub(crate) cured_after: Duration,
    /// What must never happen.
    pub(crate) violations: Vec<String>,
}

#[derive(Debug, Default)]
pub(crate) struct History(Mutex<Books>);

impl History {
    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().expect("no client panics with the books open")
    }

    /// The number of a new operation.
    pub(crate) fn begin(&self, client: usize, key: usize) -> usize {
        let mut books = self.books();
        books.operations.push(Operation {
            client,
            key,
            outcome: Outcome::Unknown,
        });
        books.operations.len() - 1
    }

    /// The number of a new update of a data type, which adds its own item or takes one out.
    pub(crate) fn begin_update(&self, client: usize, key: usize, removes: Option<usize>) -> usize {
        let operation = self.begin(client, key);
        let removed = removes.map(|item| (operation, item));
        self.books().removals.extend(removed);
        operation
    }

    pub(crate) fn end(&self, operation: usize, outcome: Outcome) {
        self.books().operations[operation].outcome = outcome;
    }

    pub(crate) fn error(&self, label: String) {
        *self.books().errors.entry(label).or_default() += 1;
    }

    /// One more try helped.
    pub(crate) fn cured(&self, after: Duration) {
        let mut books = self.books();
        books.cured += 1;
        books.cured_after = books.cured_after.max(after);
    }

    pub(crate) fn violation(&self, violation: String) {
        self.books().violations.push(violation);
    }

    /// I2: every item in a data type was put in by an operation on it.
    pub(crate) fn read_items(&self, key: usize, items: &BTreeSet<usize>) {
        let mut books = self.books();
        books.reads += 1;
        let strange = items.iter().find(|item| !books.may_have_added(key, **item));
        let violation = strange.map(|item| format!("key {key} has item {item} of nobody"));
        books.violations.extend(violation);
    }

    /// Takes the values of a read apart. What cannot be is a violation, and left out.
    pub(crate) fn read(&self, key: usize, siblings: &[Vec<u8>]) -> Vec<Value> {
        let mut books = self.books();
        books.reads += 1;
        let mut values = Vec::new();
        for bytes in siblings {
            match books.understand(key, bytes) {
                Ok(value) => values.push(value),
                Err(violation) => books.violations.push(violation),
            }
        }
        values
    }
}

impl Books {
    /// The operations on a data type that added their item, and those that took one out, with it.
    pub(crate) fn updates_of(&self, key: usize) -> (Ended, Ended) {
        let operations = self.operations.iter().enumerate();
        let of_key = operations.filter(|(_, operation)| operation.key == key);
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        for (number, operation) in of_key {
            match self.removals.get(&number) {
                Some(item) => removed.push((*item, operation.outcome)),
                None => added.push((number, operation.outcome)),
            }
        }
        (added, removed)
    }

    /// Whether an operation put its item into this data type, or tried to.
    pub(crate) fn may_have_added(&self, key: usize, item: usize) -> bool {
        let operation = self.operations.get(item);
        operation.is_some_and(|operation| operation.key == key)
            && !self.removals.contains_key(&item)
    }

    /// I2, I12: what is read was written, to this key, byte by byte.
    pub(crate) fn understand(&self, key: usize, bytes: &[u8]) -> Result<Value, String> {
        let Some(value) = Value::decode(bytes) else {
            return Err(format!(
                "key {key} has {} bytes that nobody wrote",
                bytes.len()
            ));
        };
        if value.encode() != bytes {
            return Err(format!("key {key} has a damaged value: {value:?}"));
        }
        let of_key = |operation: usize| {
            let known = self.operations.get(operation);
            known.is_some_and(|operation| operation.key == key)
        };
        let wrote_it = |operation: usize| {
            let known = self.operations.get(operation);
            known.is_some_and(|operation| operation.client == value.client)
        };
        let mut items = value.items.iter().map(|&item| usize::try_from(item));
        let all_known = items.all(|item| item.is_ok_and(of_key));
        if value.key != key || !of_key(value.operation) || !wrote_it(value.operation) || !all_known
        {
            return Err(format!("key {key} has a value of elsewhere: {value:?}"));
        }
        Ok(value)
    }

    pub(crate) fn count(&self, outcome: Outcome) -> usize {
        let operations = self.operations.iter();
        operations
            .filter(|operation| operation.outcome == outcome)
            .count()
    }
}
