//! One node's map, or a copy of it.
//!
//! The entries lie in the order of their versions, which is the order in which they are sent: what a copy lacks is the
//! tail after its mark, and its mark is the version of the last entry. Maps have a handful of entries, so a key is looked for by
//! walking.
//!
//! Invariants: versions rise strictly; a key occurs once; every entry of the author's map up to the copy's mark is in the copy.
//!
//! Not here: who the author is, and whether it may have one.

use super::message::{Entry, Mark, NodeDelta, StateKey};
use bytes::Bytes;
use std::cmp::Ordering;

#[derive(Clone, Debug)]
pub(super) struct StateMap {
    generation: u64,
    entries: Vec<Entry>,
}

impl StateMap {
    pub(super) fn new(generation: u64) -> Self {
        Self {
            generation,
            entries: Vec::new(),
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            generation: self.generation,
            version: self.entries.last().map_or(0, |entry| entry.version),
        }
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn get(&self, key: StateKey) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The entries whose versions are above this one.
    pub(super) fn later_than(&self, version: u64) -> &[Entry] {
        let known = self
            .entries
            .partition_point(|entry| entry.version <= version);
        &self.entries[known..]
    }

    /// Of the author: a new entry, or another value for one, with the next version.
    pub(super) fn say(&mut self, key: StateKey, value: Bytes) {
        let version = self.mark().version.checked_add(1);
        let version = version.expect("a change every nanosecond would take 584 years");
        self.put(Entry {
            key,
            version,
            value,
        });
    }

    /// Of the author: everything again, in a later generation.
    pub(super) fn rise_to(&mut self, generation: u64) {
        self.generation = generation;
    }

    /// Of a copy: what goes beyond it. Gives the keys that are different now.
    pub(super) fn take(&mut self, delta: NodeDelta) -> Vec<StateKey> {
        let mut changed = Vec::new();
        match delta.generation().cmp(&self.generation) {
            Ordering::Less => return changed,
            // It begins after something that this copy does not have.
            _ if delta.after() > self.version_in(delta.generation()) => return changed,
            Ordering::Equal => {}
            Ordering::Greater => {
                let stays = |key| delta.entries().iter().any(|entry| entry.key == key);
                let gone = self.entries.iter().map(|entry| entry.key);
                changed.extend(gone.filter(|key| !stays(*key)));
                *self = Self::new(delta.generation());
            }
        }
        let known = self.mark().version;
        for entry in delta.into_entries() {
            if entry.version > known {
                changed.push(entry.key);
                self.put(entry);
            }
        }
        changed
    }

    /// Up to where this copy has what was said in a generation.
    fn version_in(&self, generation: u64) -> u64 {
        if generation == self.generation {
            self.mark().version
        } else {
            0
        }
    }

    fn put(&mut self, entry: Entry) {
        assert!(entry.version > self.mark().version, "versions rise");
        self.entries.retain(|other| other.key != entry.key);
        self.entries.push(entry);
    }
}
