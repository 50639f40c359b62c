//! Recounting: whether sums still fit their objects, while the store is open.
//!
//! Nothing should ever make them differ, and everything that should not happen happens on some disk. So
//! somebody goes through the leaves now and then, a few at a time ([`Store::recount`]), counts the objects of
//! each, and compares. The pace is the caller's.
//!
//! Writers are not stopped. What the buffers say of a leaf is copied under their lock, together with its sum, and
//! the engine is pinned until its rows are read, as for a snapshot: so both are of one moment. The difference
//! found is added to the sum as it is later; writes in between have changed both sides alike. Only if the leaf
//! was cleared or doubted in between, the difference is worth nothing, and the leaf is counted again.

use std::ops::Range;

use ringhold_core::ring::Class;
use ringhold_core::tree::LeafSum;

use super::count::{Buffered, ClassSums, Counted, count};
use super::kept::{Keeping, Look};
use super::sorting::Sorting;
use crate::engine::EngineError;
use crate::key::StorageKey;
use crate::store::Store;

/// Tries at putting one leaf right: each is undone by a range removal or an unreadable object.
const TRIES_MAX: usize = 3;

/// What to do about a sum that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDifference {
    /// Tell of it.
    Report,
    /// Tell of it and set it right.
    Repair,
}

/// A leaf whose sum did not fit its objects, or was in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafDifference {
    /// Which leaf, counted around the ring.
    pub leaf: u64,
    /// The sum that was kept.
    pub kept: LeafSum,
    /// The sum of what is there.
    pub counted: LeafSum,
    /// Whether it was set right.
    pub repaired: bool,
}

/// What a recount found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recount {
    /// Objects that were read.
    pub rows: u64,
    /// Objects that are damaged. They count for nothing: others have to bring them back.
    pub unreadable: Vec<StorageKey>,
    /// The sums of what is there, of each leaf in turn.
    pub counted: Vec<ClassSums>,
    /// Leaves in ascending order.
    pub differences: Vec<LeafDifference>,
}

impl Store {
    /// The sums of some leaves, counted around the ring, as of what is published. Zero if this store was
    /// opened without anything to sum up with.
    ///
    /// # Panics
    ///
    /// If there are no such leaves.
    #[must_use]
    pub fn leaf_sums(&self, leaves: Range<u64>) -> Vec<LeafSum> {
        match self.buffers.sums().keeping() {
            Some(_) => self.buffers.sums().read(leaves),
            None => leaves.map(|_| LeafSum::ZERO).collect(),
        }
    }

    /// The sums of one class of keys in some leaves, sorted in this way. None if they are not known at present: they are sorted
    /// otherwise, or not all of them yet.
    ///
    /// # Panics
    ///
    /// If there are no such leaves.
    #[must_use]
    pub fn class_sums(
        &self,
        leaves: Range<u64>,
        class: Class,
        sorting: &Sorting,
    ) -> Option<Vec<LeafSum>> {
        match self.buffers.sums().keeping() {
            Some(_) => self.buffers.sums().read_class(leaves, class, sorting),
            None => Some(leaves.map(|_| LeafSum::ZERO).collect()),
        }
    }

    /// From now on sums are sorted in this way. Leaves whose classes fall apart are unsorted until they are recounted.
    pub fn sort(&self, sorting: Sorting) {
        if self.buffers.sums().keeping().is_some() {
            self.buffers.sums().sort(sorting);
        }
    }

    /// The leaves whose classes are not told apart yet. To be recounted with [`OnDifference::Repair`].
    #[must_use]
    pub fn unsorted_leaves(&self) -> Vec<u64> {
        self.buffers.sums().unsorted()
    }

    /// The leaves whose sum is in doubt, because an object that could not be read was replaced. To be recounted
    /// with [`OnDifference::Repair`].
    #[must_use]
    pub fn doubtful_leaves(&self) -> Vec<u64> {
        self.buffers.sums().doubtful()
    }

    /// Counts the objects of some leaves and compares with their sums, each leaf as of one moment. Writers go on
    /// meanwhile. Reads all objects there: a caller that minds gives few leaves at a time.
    ///
    /// # Errors
    ///
    /// The engine could not tell. Leaves before that may have been set right.
    ///
    /// # Panics
    ///
    /// If there are no such leaves.
    pub fn recount(
        &self,
        leaves: Range<u64>,
        on_difference: OnDifference,
    ) -> Result<Recount, EngineError> {
        let mut recount = Recount::default();
        let Some(keeping) = self.buffers.sums().keeping() else {
            return Ok(recount);
        };
        for leaf in leaves {
            let (mut counted, difference) = self.recount_leaf(keeping, leaf, on_difference)?;
            recount.rows += counted.rows;
            recount.counted.push(counted.sum(leaf));
            recount.unreadable.append(&mut counted.unreadable);
            recount.differences.extend(difference);
        }
        Ok(recount)
    }

    fn recount_leaf(
        &self,
        keeping: &Keeping,
        leaf: u64,
        on_difference: OnDifference,
    ) -> Result<(Counted, Option<LeafDifference>), EngineError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let (looked, counted) = self.look_and_count(keeping, leaf)?;
            let sum = counted.sum(leaf);
            let is_right = looked.sums == sum && !looked.doubtful;
            if is_right && !looked.unsorted {
                return Ok((counted, None));
            }
            let (kept, total) = (looked.sums.total(), sum.total());
            // That its shares were not told apart yet is no fault of the store's.
            let is_fault = looked.doubtful || kept != total || (!looked.unsorted && !is_right);
            let repaired = on_difference == OnDifference::Repair
                && self.buffers.sums().put_right(leaf, &looked, &sum);
            if repaired || on_difference == OnDifference::Report || tries == TRIES_MAX {
                let difference = LeafDifference {
                    leaf,
                    kept,
                    counted: total,
                    repaired,
                };
                return Ok((counted, is_fault.then_some(difference)));
            }
        }
    }

    /// A leaf's sum, and what is there, as of the same moment.
    fn look_and_count(&self, keeping: &Keeping, leaf: u64) -> Result<(Look, Counted), EngineError> {
        let sums = self.buffers.sums();
        let arc = keeping.shape.arc(&(leaf..leaf + 1));
        let group = sums.group_of(leaf);
        let (looked, buffered, _pin) = {
            let layers = self.buffers.read(group);
            // Under the lock, so no freeze comes in between.
            let pin = self.checkpoints.pin();
            (sums.look(leaf), Buffered::of([&*layers], &arc), pin)
        };
        let counted = count(&*self.engine, keeping, &looked.sorting, &arc, &buffered)?;
        Ok((looked, counted))
    }
}
