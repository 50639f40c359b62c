//! What happened in a run, as only the simulator can know it.
//!
//! One set of books for the whole run: every operation that a client began and how it ended, every dot
//! that showed itself in a message or an answer, what is durable on which disk, and which disks lost
//! something. Nodes never see it. The checks of [`crate::invariants`] are statements about these books and about
//! what the stores hold at the end; those that hold "always" are asked as entries are made.
//!
//! The books stop at the first violation: what comes after a broken promise proves nothing more.

use crate::dots::{DotNumber, DotSet, DotTable, Named};
use crate::graves::{Ending, Graves};
use crate::invariants::i10_rings::RingWitness;
use crate::invariants::t14_types::TypeWitness;
use crate::invariants::t26_clocks::ClockWitnesses;
use crate::invariants::{self, Violation, typed};
use crate::settings::Settings;
use crate::value::operation_of;
use crate::workload::{Kind, Workload};
use ringhold_core::crdt::Held;
use ringhold_core::id::Incarnation;
use ringhold_core::version::{ContentHash, Context, Dot, Object, Timestamp, Version};
use ringhold_node::properties::Durability;
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
    /// Nothing was written, because somebody else had written: the condition of the put did not hold.
    Modified,
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
    /// Of a get: how many replicas' knowledge has to be in its answer.
    pub r: Option<Replies>,
    /// Of a get: the versions that it was answered with.
    pub shown: Vec<Dot>,
}

/// How much a get asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replies {
    pub required: u32,
    /// Replicas that it asks: the first so many of the key's primaries.
    pub n: u32,
}

/// What an operation does to a data type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typed {
    pub effect: Effect,
    /// The operations that its client had read.
    pub saw: BTreeSet<usize>,
    /// The value that it had read had forgotten some.
    pub saw_more: bool,
}

/// Every item is its operation's number, so an operation adds its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Increment(i64),
    Add,
    Remove(u64),
    /// Of a map: removes the counter, or the set.
    RemoveCounter,
    RemoveSet,
    Delete,
}

/// What is particular to a put.
#[derive(Clone, Debug)]
pub struct Write {
    pub hash: Option<ContentHash>,
    /// Of an update of a data type, whose content its coordinator makes; also of a delete of one.
    pub typed: Option<Typed>,
    /// The items that it adds to, or takes out of, what it had read.
    pub adds: Option<u64>,
    pub removes: Option<u64>,
    /// What its writer had seen, as the model knows it: all dots in what it had read, and in what those had read.
    pub saw: DotSet,
    /// How often its client has asked for it.
    pub tries: u32,
    /// The dots that named it; several, if a retry reached another primary.
    pub dots: Vec<DotNumber>,
    /// Acknowledgements asked for, and those of them from disk.
    pub w: u32,
    pub dw: u32,
    /// Replicas that it was for: the first so many of the key's primaries. Of one that named none, as many as its bucket has at
    /// least.
    pub n: u32,
    /// Whether it named that number itself.
    pub names_n: bool,
    /// The nodes on whose disks it was when it was acknowledged.
    pub held_by: BTreeSet<usize>,
    /// What its coordinator's record may have seen, of a conditional put.
    pub condition: Option<Context>,
    /// Of a value that is shown for a while only.
    pub ending: Option<Ending>,
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
    /// Whether the whole disk was replaced by an empty one, which its node finds out before its answers count.
    pub replaced: bool,
}

/// How the books are kept in this run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// The bucket shows one version and a put replaces what its coordinator has: weaker statements hold.
    pub last_write_wins: bool,
    /// How many acknowledgements wait for flushes.
    pub durability: Durability,
    /// Messages may arrive twice.
    pub duplication: bool,
    /// Requests refuse fallbacks.
    pub primaries_only: bool,
    /// Gets repair before they are answered.
    pub blocking_repair: bool,
}

#[derive(Default)]
pub struct Books {
    pub rules: Rules,
    /// That a bucket has, unless it has another number.
    pub replicas: u32,
    pub now_us: u64,
    pub names: Vec<ObjectName>,
    /// The keys that hold data types.
    pub typed: BTreeSet<usize>,
    keys: BTreeMap<ObjectName, usize>,
    /// The nodes at which each key is at home.
    homes: BTreeMap<usize, Vec<usize>>,
    pub operations: Vec<Operation>,
    pub dots: DotTable,
    /// For each node and key, the operations that its disk holds for certain, and since when.
    durable: Vec<BTreeMap<usize, BTreeMap<usize, u64>>>,
    pub losses: Vec<Loss>,
    /// For each node and key, the operations that its disk held when it was replaced by an empty one.
    replaced: BTreeMap<(usize, usize), BTreeSet<usize>>,
    pub settings: Settings,
    pub graves: Graves,
    pub clocks: ClockWitnesses,
    pub rings: RingWitness,
    pub types: TypeWitness,
    /// For each node, when its last process started.
    started_us: Vec<u64>,
    /// Whose store each incarnation is.
    incarnations: BTreeMap<Incarnation, usize>,
    pub violation: Option<Violation>,
}

impl Books {
    /// A node's disk does not know any more by what it served.
    pub fn forget_rings(&mut self, node: usize) {
        self.rings.forget(node);
        self.types.forget(node);
    }

    pub fn add_key(&mut self, name: ObjectName) -> usize {
        self.keys.insert(name.clone(), self.names.len());
        self.names.push(name);
        self.names.len() - 1
    }

    pub fn set_homes(&mut self, key: usize, homes: Vec<usize>) {
        self.homes.insert(key, homes);
    }

    #[must_use]
    pub fn is_home(&self, node: usize, key: usize) -> bool {
        self.homes
            .get(&key)
            .is_some_and(|homes| homes.contains(&node))
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
            self.fail(Violation::new(
                "I18",
                format!("operation {operation} ended twice"),
            ));
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
        if self.typed.contains(&key)
            && let [only] = object.versions()
            && !only.content.is_tombstone()
        {
            self.replaces_all(key, only, object.context());
        }
    }

    /// An update takes the place of all that its replica holds. So where one alone is left, it is what all else has led to.
    fn replaces_all(&mut self, key: usize, version: &Version, context: &Context) {
        let Some(operation) = operation_of(version.operation) else {
            return;
        };
        let mut past = DotSet::default();
        let covered = self.dots.covered(key, context);
        let others = covered.filter(|number| self.dots.named(*number).dot != version.dot);
        others.for_each(|number| past.insert(number));
        if let Some(write) = self.operations[operation].write.as_mut() {
            write.saw.join(&past);
        }
    }

    fn saw_version(&mut self, key: usize, version: &Version) -> Result<(), Violation> {
        if self.dots.number(version.dot).is_none() {
            invariants::i02_no_invention::check(self, key, version)?;
            invariants::t05_timestamps::check(self, version)?;
            invariants::t26_clocks::check(self, key, version)?;
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
        let number = self
            .dots
            .note(named)
            .map_err(|before| invariants::i03_no_dot_reuse::reused(before, named))?;
        if number < known {
            return Ok(());
        }
        let write = self.operations[operation]
            .write
            .as_mut()
            .expect("checked when the dot was new");
        write.dots.push(number);
        if let Some(held) = typed::held_in(version) {
            let past = self.past_of_held(&held, version.dot);
            let write = self.operations[operation].write.as_mut();
            write.expect("checked above").saw.join(&past);
        }
        invariants::conditional::check_dot(self, operation, version.dot)?;
        invariants::i06_one_operation::check_dots(self, operation)
    }

    /// A process starts on a node's machine, over a store of this incarnation.
    pub fn started(&mut self, node: usize, incarnation: Incarnation, at_us: u64) {
        self.started_us[node] = at_us;
        self.clocks.started(node);
        self.incarnates(node, incarnation);
    }

    /// A node's store makes dots in this incarnation.
    pub fn incarnates(&mut self, node: usize, incarnation: Incarnation) {
        self.incarnations.insert(incarnation, node);
    }

    /// The node whose store made a dot, and when its process started.
    #[must_use]
    pub fn maker_of(&self, dot: Dot) -> Option<(usize, u64)> {
        let node = *self.incarnations.get(&dot.actor.incarnation)?;
        Some((node, self.started_us[node]))
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

    /// The operations whose outcome is in a data type's value, but for the one with this dot.
    fn past_of_held(&self, held: &Held, own: Dot) -> DotSet {
        let mut past = DotSet::default();
        let dots = held.operations().flat_map(|(_, dots)| dots);
        let numbers = dots
            .filter(|dot| *dot != own)
            .filter_map(|dot| self.dots.number(dot));
        numbers.for_each(|number| past.insert(number));
        past
    }

    /// There are so many nodes, with empty disks.
    pub fn add_nodes(&mut self, nodes: usize) {
        self.durable.resize(nodes, BTreeMap::new());
        self.started_us.resize(nodes, 0);
    }

    #[must_use]
    pub fn nodes(&self) -> usize {
        self.durable.len()
    }

    pub fn became_durable(&mut self, node: usize, operations: impl IntoIterator<Item = usize>) {
        for number in operations {
            if let Some(operation) = self.operations.get(number) {
                self.durable[node]
                    .entry(operation.key)
                    .or_default()
                    .entry(number)
                    .or_insert(self.now_us);
            }
        }
    }

    /// A node has taken something of a key off its disk, rightly.
    pub fn dropped(&mut self, node: usize, key: usize, operations: &BTreeSet<usize>) {
        if let Some(held) = self.durable[node].get_mut(&key) {
            held.retain(|operation, _| !operations.contains(operation));
        }
    }

    /// The operations on a key that a node's disk holds for certain.
    pub fn durable(&self, node: usize, key: usize) -> impl DoubleEndedIterator<Item = usize> + '_ {
        let operations = self.durable[node].get(&key);
        operations
            .into_iter()
            .flat_map(|operations| operations.keys().copied())
    }

    /// Those of them that were there before a moment.
    pub fn durable_before(
        &self,
        node: usize,
        key: usize,
        before_us: u64,
    ) -> impl Iterator<Item = usize> + '_ {
        let operations = self.durable[node].get(&key).into_iter().flatten();
        operations
            .filter(move |(_, since_us)| **since_us < before_us)
            .map(|(operation, _)| *operation)
    }

    /// What a node had promised to keep, together with others, before its disk was replaced.
    pub fn promised_before_replacement(
        &self,
        node: usize,
        key: usize,
    ) -> impl Iterator<Item = usize> + '_ {
        let had = self.replaced.get(&(node, key)).into_iter().flatten();
        let is_shared = |operation: &usize| {
            let Operation { outcome, write, .. } = &self.operations[*operation];
            let acknowledged = matches!(outcome, Some(Outcome::Acknowledged(_)));
            acknowledged && write.as_ref().is_some_and(|write| write.dw >= 2)
        };
        had.copied().filter(is_shared)
    }

    #[must_use]
    pub fn is_durable(&self, node: usize, key: usize, operation: usize) -> bool {
        self.durable[node]
            .get(&key)
            .is_some_and(|operations| operations.contains_key(&operation))
    }

    /// Whether a node's disk holds this dot, or a write that had seen it.
    #[must_use]
    pub fn holds_durably(&self, node: usize, number: DotNumber) -> bool {
        let named = self.dots.named(number);
        let later = |other: usize| {
            self.write(other)
                .is_some_and(|write| write.saw.contains(number))
        };
        self.is_durable(node, named.key, named.operation)
            || self.durable(node, named.key).rev().any(later)
            || self.holds_winner(node, named.key, named.operation)
    }

    /// Under last-write-wins: whether a node's disk holds a write that may have taken this one's place
    /// before anybody saw it.
    #[must_use]
    pub fn holds_winner(&self, node: usize, key: usize, operation: usize) -> bool {
        let called_us = self.operations[operation].called_us;
        // A write that its client gave up may take place at any later time.
        let meanwhile = |other: usize| {
            let Operation {
                outcome,
                returned_us,
                ..
            } = &self.operations[other];
            let acknowledged = matches!(outcome, Some(Outcome::Acknowledged(_)));
            !acknowledged || returned_us.is_none_or(|returned_us| returned_us >= called_us)
        };
        // A clock that was ahead made it win over what came later and had not seen it.
        let latest = self.latest_of(operation);
        let ahead = |other: usize| self.latest_of(other) > latest;
        let wins = |other: usize| meanwhile(other) || ahead(other);
        self.rules.last_write_wins && self.durable(node, key).rev().any(wins)
    }

    /// The greatest timestamp of an operation's dots.
    fn latest_of(&self, operation: usize) -> Option<Timestamp> {
        let dots = self.write(operation)?.dots.iter();
        dots.map(|number| self.dots.named(*number).timestamp).max()
    }

    /// Whether a node lost something flushed of this key since a moment.
    #[must_use]
    pub fn has_lost(&self, node: usize, key: usize, since_us: u64) -> bool {
        let touches = |loss: &Loss| loss.node == node && loss.flushed_too && loss.at_us >= since_us;
        self.losses
            .iter()
            .any(|loss| touches(loss) && loss.key.is_none_or(|lost| lost == key))
    }

    /// A node will not come back, and nobody hears any more of what only it knew of bucket properties.
    pub fn gone(&mut self, node: usize) {
        let nodes = self.nodes();
        self.settings.lost(node, nodes);
    }

    pub fn lost(&mut self, loss: Loss) {
        self.losses.push(loss);
        let Loss {
            node,
            key,
            flushed_too,
            replaced,
            ..
        } = loss;
        if !flushed_too {
            return;
        }
        if !replaced && key.is_none() {
            // Put back from a copy: it takes a moment until the others say so.
            self.replaced.retain(|(other, _), _| *other != node);
        }
        if replaced {
            for (&key, operations) in &self.durable[node] {
                let had = self.replaced.entry((node, key)).or_default();
                had.extend(operations.keys());
            }
        }
        match key {
            Some(key) => drop(self.durable[node].remove(&key)),
            None => {
                self.durable[node].clear();
                let nodes = self.nodes();
                self.settings.lost(node, nodes);
            }
        }
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
