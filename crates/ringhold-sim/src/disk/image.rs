//! A copy of all that is on a disk, as somebody with the right to read its files would make it.
//!
//! It is of one moment, and holds what a reader sees: also what has not been flushed. Putting a copy back is
//! how disks come to be older than what their node has told others (T2).

use super::{Disk, Segment};
use crate::rare::Rare;
use ringhold_core::id::NodeId;
use ringhold_storage::MemoryEngine;
use std::collections::BTreeMap;
use std::mem;

/// See the module.
#[derive(Clone)]
pub struct DiskImage {
    segments: BTreeMap<u64, Segment>,
    rows: MemoryEngine,
    owner: Option<NodeId>,
}

impl Disk {
    /// What a reader finds at this moment.
    #[must_use]
    pub fn copy(&self) -> DiskImage {
        let state = self.lock();
        let segments = state.segments.iter();
        DiskImage {
            segments: segments
                .map(|(&number, segment)| (number, segment.copied()))
                .collect(),
            rows: state.rows.copy(),
            owner: state.owner,
        }
    }

    /// A copy takes the place of what is here. Whatever was written since it was made is gone.
    pub fn put_back(&self, image: &DiskImage) {
        self.unmount();
        let mut state = self.lock();
        state.segments.clone_from(&image.segments);
        state.rows = image.rows.copy();
        state.owner = image.owner;
        state.checkpoint_under_way = false;
        drop(state);
        self.0.rare.hit(Rare::DiskRolledBack);
        self.lost(None, true);
    }

    /// Two machines get each other's disks.
    pub fn swap(&self, other: &Self) {
        self.unmount();
        other.unmount();
        let (mut ours, mut theirs) = (self.lock(), other.lock());
        mem::swap(&mut ours.segments, &mut theirs.segments);
        mem::swap(&mut ours.rows, &mut theirs.rows);
        mem::swap(&mut ours.owner, &mut theirs.owner);
        mem::swap(
            &mut ours.checkpoint_under_way,
            &mut theirs.checkpoint_under_way,
        );
        mem::swap(&mut ours.may_be_doubted, &mut theirs.may_be_doubted);
    }

    /// The node whose data directory is on it; none if it is empty.
    #[must_use]
    pub fn owner(&self) -> Option<NodeId> {
        self.lock().owner
    }

    /// A node starts on it: an empty disk becomes its own. False if it is another's.
    #[must_use]
    pub fn claim(&self, node: NodeId) -> bool {
        *self.lock().owner.get_or_insert(node) == node
    }
}
