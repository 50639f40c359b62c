//! What clients did, and what they heard.
//!
//! An operation has a number, which is in every value that it wrote and in every value that was made from one (see
//! [`ringhold_sim::value`]); so the history needs no values, only what each operation was and how it ended. An
//! operation is in the history before its request leaves: what is read and not in here was made up by the store.

use crate::client::Outcome;
use ringhold_sim::value::Value;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

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
