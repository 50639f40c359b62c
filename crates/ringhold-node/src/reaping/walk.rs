//! Where candidates come from: the slow walk of a first primary over its partitions.
//!
//! One page of one partition at each step. A partition's candidates are handed over when its end is
//! reached or when there are many of them; the walk goes on behind them.

use super::Candidates;
use crate::node::Node;
use bytes::Bytes;
use ringhold_core::reaping::{dead_since_us, is_past_grace};
use ringhold_core::ring::{Partition, TreeId};
use ringhold_storage::{KeyRange, Keyspace, StorageKey};
use ringhold_wire::message::peer::LeafEntry;
use ringhold_wire::metadata::expires_at_us;
use ringhold_wire::record::Record;
use std::collections::BTreeMap;

/// Objects read in one step. They come with their values.
const PAGE_ROWS: usize = 64;
/// Keys that are proven together.
const CANDIDATES_MAX: usize = 4_096;

/// What came of one step.
pub(super) enum Step {
    Nothing,
    /// Of each tree of a partition that has some.
    Found(Vec<Candidates>),
    /// All partitions have been walked; the next step begins anew.
    RoundEnded,
}

/// A place on the way.
#[derive(Default)]
pub(super) struct Walk {
    /// The partition that the walk is in, or is to look at next.
    partition: u32,
    /// Where it goes on there; at its start if `None`.
    at: Option<StorageKey>,
    found: BTreeMap<TreeId, Vec<LeafEntry>>,
}

impl Walk {
    /// Reads a page.
    pub(super) fn step(&mut self, node: &Node) -> Step {
        let count = node.ring().partition_count().count();
        let is_ours = |partition: &u32| node.reaps(Partition(*partition));
        let Some(partition) = (self.partition..count).find(is_ours) else {
            *self = Self::default();
            return Step::RoundEnded;
        };
        let partition = Partition(partition);
        self.partition = partition.0;
        let arc = node.ring().partition_count().arc(partition);
        let mut range = KeyRange::of_positions(arc.start().0..=arc.end().0);
        range.start = self.at.unwrap_or(range.start);
        let read = node.store().readable(Keyspace::Objects, &range, PAGE_ROWS);
        let Ok(page) = read else {
            // It may be readable the next time round; nothing goes for it.
            return self.leave(partition);
        };
        for (tree, entry) in page
            .rows
            .into_iter()
            .filter_map(|(_, row)| node.candidate(row))
        {
            self.found.entry(tree).or_default().push(entry);
        }
        match page.next {
            Some(next) => {
                self.at = Some(next);
                let found: usize = self.found.values().map(Vec::len).sum();
                if found < CANDIDATES_MAX {
                    return Step::Nothing;
                }
                self.hand_over()
            }
            None => self.leave(partition),
        }
    }

    fn leave(&mut self, partition: Partition) -> Step {
        self.partition = partition.0 + 1;
        self.at = None;
        self.hand_over()
    }

    fn hand_over(&mut self) -> Step {
        if self.found.is_empty() {
            return Step::Nothing;
        }
        let found = std::mem::take(&mut self.found).into_iter();
        Step::Found(
            found
                .map(|(tree, entries)| Candidates { tree, entries })
                .collect(),
        )
    }
}

impl Node {
    /// Whether this node is the one that reaps a partition: its first primary. Nobody does while homes are being changed.
    fn reaps(&self, partition: Partition) -> bool {
        let ring = self.ring();
        !self.is_changing() && ring.partition_preference_list(partition).first() == Some(&self.id)
    }

    /// Whether a placement change is under way.
    pub(super) fn is_changing(&self) -> bool {
        self.ring().document().placement.next.is_some()
    }

    /// A record as a candidate; none if it lives, is too young, or can't be read.
    fn candidate(&self, row: Bytes) -> Option<(TreeId, LeafEntry)> {
        let Record { name, object, .. } = Record::decode(row).ok()?;
        let since_us = dead_since_us(&object, expires_at_us)?;
        let wall_us = self.environment.wall_us();
        if !is_past_grace(since_us, self.grace_us(), wall_us) {
            return None;
        }
        let digest = self.object_digest(&name, &object)?;
        let tree = Self::tree_of(&self.ring(), &name);
        Some((tree, LeafEntry { name, digest }))
    }
}
