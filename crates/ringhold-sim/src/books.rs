//! What happened in a run, as only the simulator can know it.
//!
//! One set of books for the whole run: every operation that a client began and how it ended, every dot
//! that showed itself in a message or an answer, what is durable on which disk, and which disks lost
//! something. Nodes never see it. The checks of [`crate::invariants`] are statements about these books and about
//! what the stores hold at the end; those that hold "always" are asked as entries are made.
//!
//! The books stop at the first violation: what comes after a broken promise proves nothing more.

use crate::dots::{DotNumber, DotSet, DotTable, Named};
use crate::invariants::{self, Violation};
use crate::value::operation_of;
use crate::workload::{Kind, Workload};
use ringhold_core::version::{ContentHash, Dot, Object, Version};
use ringhold_wire::message::ObjectName;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

/// How an operation ended, as its client knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A get was answered.
    Read,
    /// A put was acknowledged.
    Acknowledged(Dot),
    /// Nothing was written.
    NotStarted,
    /// A get had no answer, or a put may or may not be there.
    Unknown,
    Rejected,
}

/// One thing that a client did.
#[derive(Clone, Debug)]
pub struct Operation {
    pub client: usize,
    pub key: usize,
    pub workload: Workload,
    pub kind: Kind,
    pub called_us: u64,
    pub returned_us: Option<u64>,
    pub outcome: Option<Outcome>,
    /// Of a put.
    pub write: Option<Write>,
}

/// What is particular to a put.
#[derive(Clone, Debug)]
pub struct Write {
    pub hash: ContentHash,
    /// The items that it adds to, or takes out of, what it had read.
    pub adds: Option<u64>,
    pub removes: Option<u64>,
    /// What its writer had seen, as the model knows it: all dots in what it had read, and in what those had read.
    pub saw: DotSet,
    /// The dots that named it; several, if a retry reached another primary.
    pub dots: Vec<DotNumber>,
    /// Acknowledgements asked for, and those of them from disk.
    pub w: u32,
    pub dw: u32,
    /// The nodes on whose disks it was when it was acknowledged.
    pub held_by: BTreeSet<usize>,
}

/// A loss on one node's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    pub node: usize,
    pub at_us: u64,
    /// The key whose record is gone; all of them if `None`.
    pub key: Option<usize>,
    /// Whether what was flushed is gone too, or only what was not.
    pub flushed_too: bool,
}

/// How the books are kept in this run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// The bucket shows one version and a put replaces what its coordinator has: weaker statements hold.
    pub last_write_wins: bool,
    /// Acknowledgements do not wait for flushes.
    pub buffered: bool,
    pub replicas: u32,
}

#[derive(Default)]
pub struct Books {
    pub rules: Rules,
    pub now_us: u64,
    pub names: Vec<ObjectName>,
    keys: BTreeMap<ObjectName, usize>,
    pub operations: Vec<Operation>,
    pub dots: DotTable,
    /// For each node, the operations that its disk holds for certain.
    pub durable: Vec<BTreeSet<usize>>,
    pub losses: Vec<Loss>,
    pub violation: Option<Violation>,
}

impl Books {
    pub fn add_key(&mut self, name: ObjectName) -> usize {
        self.keys.insert(name.clone(), self.names.len());
        self.names.push(name);
        self.names.len() - 1
    }

    #[must_use]
    pub fn key_of(&self, name: &ObjectName) -> Option<usize> {
        self.keys.get(name).copied()
    }

    pub fn begin(&mut self, operation: Operation) -> usize {
        self.operations.push(operation);
        self.operations.len() - 1
    }

    pub fn end(&mut self, operation: usize, outcome: Outcome) {
        let now_us = self.now_us;
        let ended = &mut self.operations[operation];
        let again = ended.outcome.replace(outcome).is_some();
        ended.returned_us = Some(now_us);
        if again {
            self.fail(Violation::new("I18", format!("operation {operation} ended twice")));
        }
    }

    #[must_use]
    pub fn write(&self, operation: usize) -> Option<&Write> {
        self.operations.get(operation)?.write.as_ref()
    }

    /// Whether it is the first violation, the books are closed with it.
    pub fn fail(&mut self, violation: Violation) {
        self.violation.get_or_insert(violation);
    }

    /// An object showed itself somewhere: in a message, an answer or a store.
    pub fn saw_object(&mut self, name: &ObjectName, object: &Object) {
        let Some(key) = self.key_of(name) else {
            return;
        };
        for version in object.versions() {
            if let Err(violation) = self.saw_version(key, version) {
                return self.fail(violation);
            }
        }
    }

    fn saw_version(&mut self, key: usize, version: &Version) -> Result<(), Violation> {
        if self.dots.number(version.dot).is_none() {
            invariants::i02_no_invention::check(self, key, version)?;
        }
        let operation = operation_of(version.operation).unwrap_or(usize::MAX);
        let named = Named {
            dot: version.dot,
            key,
            operation,
            hash: version.hash,
            timestamp: version.timestamp,
            is_tombstone: version.content.is_tombstone(),
        };
        let known = self.dots.len();
        let number = self.dots.note(named).map_err(|before| invariants::i03_no_dot_reuse::reused(before, named))?;
        if number == known
            && let Some(write) = self.operations.get_mut(operation).and_then(|operation| operation.write.as_mut())
        {
            write.dots.push(number);
        }
        Ok(())
    }

    /// Everything that whoever holds this object has seen, as the model knows it.
    #[must_use]
    pub fn past_of(&self, object: &Object) -> DotSet {
        let mut past = DotSet::default();
        for version in object.versions() {
            let Some(number) = self.dots.number(version.dot) else {
                continue;
            };
            past.insert(number);
            if let Some(write) = self.write(self.dots.named(number).operation) {
                past.join(&write.saw);
            }
        }
        past
    }

    pub fn became_durable(&mut self, node: usize, operations: impl IntoIterator<Item = usize>) {
        let known = self.operations.len();
        self.durable[node].extend(operations.into_iter().filter(|operation| *operation < known));
    }

    /// Whether a node's disk holds this dot, or a write that had seen it.
    #[must_use]
    pub fn holds_durably(&self, node: usize, number: DotNumber) -> bool {
        let durable = &self.durable[node];
        let named = self.dots.named(number);
        if durable.contains(&named.operation) {
            return true;
        }
        durable.iter().any(|&other| {
            let operation = &self.operations[other];
            let later = |write: &Write| self.rules.last_write_wins || write.saw.contains(number);
            operation.key == named.key && operation.write.as_ref().is_some_and(later)
        })
    }

    pub fn lost(&mut self, loss: Loss) {
        self.losses.push(loss);
        let Loss { node, key, flushed_too, .. } = loss;
        if !flushed_too {
            return;
        }
        let operations = &self.operations;
        self.durable[node].retain(|&operation| key.is_some_and(|key| operations[operation].key != key));
    }
}

/// The books, for all who make entries.
#[derive(Clone, Default)]
pub struct SharedBooks(Arc<Mutex<Books>>);

impl SharedBooks {
    pub fn lock(&self) -> MutexGuard<'_, Books> {
        self.0.lock().expect("no holder of this lock panics")
    }
}
