//! What becomes of the machines' disks: replaced, copied, put back, swapped.

use super::Cluster;
use crate::disk::DiskImage;
use ringhold_core::ring::Ring;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};

impl Cluster {
    /// The machine's disk is replaced by an empty one.
    pub fn wipe(&self, node: usize) {
        self.end(node);
        self.set_old_ring(node, false);
        self.0.around.books.lock().forget_rings(node);
        self.disk(node).wipe();
    }

    /// The disk is put back from an older copy.
    pub fn roll_back(&self, node: usize, image: &DiskImage) {
        self.end(node);
        self.0.around.books.lock().forget_rings(node);
        self.disk(node).put_back(image);
    }

    /// A copy is used in place of a disk, until [`Cluster::bring_back_original`].
    pub fn use_copy(&self, node: usize, image: &DiskImage) {
        self.end(node);
        let original = self.disk(node).copy();
        *self.original(node) = Some(original);
        self.disk(node).put_back(image);
    }

    /// The original takes the place of its copy, if there is one.
    pub fn bring_back_original(&self, node: usize) {
        let original = self.original(node).take();
        if let Some(original) = original
            && self.has_own_disk(node)
        {
            self.roll_back(node, &original);
            self.start_later(node, 200_000);
        }
    }

    /// The copies stay for good.
    pub fn forget_originals(&self) {
        (0..self.0.plan.nodes).for_each(|node| drop(self.original(node).take()));
    }

    fn original(&self, node: usize) -> MutexGuard<'_, Option<DiskImage>> {
        self.0.machines[node]
            .original
            .lock()
            .expect("no holder of this lock panics")
    }

    /// Two machines get each other's disks; called again, their own.
    pub fn swap_disks(&self, one: usize, other: usize) {
        self.end(one);
        self.end(other);
        self.disk(one).swap(self.disk(other));
    }

    /// Everybody gets the own disk back.
    pub fn untangle_disks(&self) {
        let machines = &self.0.machines;
        for node in 0..machines.len() {
            let owner = (0..machines.len())
                .find(|&other| self.disk(other).owner() == Some(machines[node].id));
            if let Some(holder) = owner.filter(|&holder| holder != node) {
                self.swap_disks(node, holder);
                self.start_later(node, 200_000);
                self.start_later(holder, 200_000);
            }
        }
    }

    /// Whether a machine has its own disk.
    #[must_use]
    pub fn has_own_disk(&self, node: usize) -> bool {
        self.disk(node).owner() == Some(self.0.machines[node].id)
    }

    /// Puts an old ring document into a node's data directory, or the right one.
    pub fn set_old_ring(&self, node: usize, old: bool) {
        self.0.machines[node]
            .has_old_ring
            .store(old, Ordering::Relaxed);
    }

    /// Whether it has an old one.
    #[must_use]
    pub fn has_old_ring(&self, node: usize) -> bool {
        self.0.machines[node].has_old_ring.load(Ordering::Relaxed)
    }

    pub(super) fn ring_file(&self, node: usize) -> Arc<Ring> {
        let shared = &self.0;
        let enrolled = &shared.machines[node].enrolled;
        let enrolled = enrolled
            .lock()
            .expect("no holder of this lock panics")
            .clone();
        enrolled.unwrap_or_else(|| {
            let ring = if self.has_old_ring(node) {
                &shared.old_ring
            } else {
                &shared.ring
            };
            Arc::clone(ring)
        })
    }
}
