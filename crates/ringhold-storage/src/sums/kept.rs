//! The sums in memory: of each group's leaves, as of what is published.
//!
//! A group's sums change under the lock of its buffers, so whoever holds that lock sees sums and objects of one
//! moment. They have a lock of their own beside it, always taken second, so that looking at sums keeps
//! nobody from reading objects.
//!
//! A freeze sets aside the pages that changed since the one before. Pages are shared until they change again,
//! so a freeze copies pointers, whatever its size.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use ringhold_core::tree::LeafSum;

use super::change::{SumChange, SumChanges};
use super::page::{HEAD_PLACE, Page, encode_head, key_of, place_of};
use super::{PAGE_LEAVES, Shape, Summarize};
use crate::engine::Batch;
use crate::key::{Grouping, KeyRange, Keyspace, StorageKey};
use crate::seal::seal;

/// The sums of a store, if it keeps any.
pub(crate) struct Sums {
    grouping: Grouping,
    keeping: Option<Keeping>,
    groups: Vec<Mutex<GroupSums>>,
    whole: Mutex<Whole>,
}

/// How sums are made.
#[derive(Clone)]
pub(crate) struct Keeping {
    pub(crate) summarize: Arc<dyn Summarize>,
    pub(crate) shape: Shape,
}

#[derive(Default)]
struct GroupSums {
    pages: BTreeMap<u64, Arc<Page>>,
    /// Pages that changed since the last freeze.
    touched: BTreeSet<u64>,
    /// As of the freeze, on their way into the engine.
    frozen: Vec<(u64, Arc<Page>)>,
    /// Counts what is more than adding a difference: clearing, doubting, settling a doubt. A difference that
    /// was found before one of these may not be put right after it.
    revision: u64,
}

/// What is to happen to the rows as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Rows {
    /// They say what they should, but for the pages that were touched.
    #[default]
    Kept,
    /// They are worth nothing: all of them go, and those of all pages are written.
    Rewritten,
    /// Nobody keeps sums any more: the head goes, so that nobody takes the rest for current.
    Abandoned,
}

#[derive(Default)]
struct Whole {
    pending: Rows,
    frozen: Rows,
}

impl Sums {
    pub(crate) fn new(grouping: Grouping, summarize: Option<Arc<dyn Summarize>>) -> Self {
        let keeping = summarize.map(|summarize| Keeping {
            shape: Shape::new(summarize.leaf_bits(), grouping.partition_bits),
            summarize,
        });
        Self {
            grouping,
            keeping,
            groups: (0..grouping.groups).map(|_| Mutex::default()).collect(),
            whole: Mutex::default(),
        }
    }

    /// How sums are made; none if nobody asked for any.
    pub(crate) fn keeping(&self) -> Option<&Keeping> {
        self.keeping.as_ref()
    }

    fn group(&self, group: usize) -> MutexGuard<'_, GroupSums> {
        self.groups[group]
            .lock()
            .expect("no holder of this lock panics")
    }

    fn whole(&self) -> MutexGuard<'_, Whole> {
        self.whole.lock().expect("no holder of this lock panics")
    }

    /// The group whose keys lie in a leaf.
    pub(crate) fn group_of(&self, leaf: u64) -> usize {
        let keeping = self.keeping.as_ref().expect("leaves are of kept sums");
        self.grouping.group_of(&keeping.shape.start_of(leaf))
    }

    /// The batch of a group is published; the caller holds the lock of its buffers.
    pub(crate) fn apply(&self, group: usize, changes: SumChanges) {
        if changes.is_empty() {
            return;
        }
        let mut sums = self.group(group);
        for change in changes {
            match change {
                SumChange::Add { leaf, difference } => sums.add(leaf, difference),
                SumChange::Clear { leaves } => sums.clear(&leaves),
                SumChange::Doubt { leaf } => sums.doubt(leaf),
            }
        }
    }

    /// The sums of some leaves.
    pub(crate) fn read(&self, leaves: Range<u64>) -> Vec<LeafSum> {
        let mut sums = Vec::new();
        let mut leaf = leaves.start;
        while leaf < leaves.end {
            let (page, _) = place_of(leaf);
            let end = ((page + 1) * PAGE_LEAVES).min(leaves.end);
            let found = self.group(self.group_of(leaf)).pages.get(&page).cloned();
            sums.extend((leaf..end).map(|leaf| {
                found
                    .as_ref()
                    .map_or(LeafSum::ZERO, |found| found.sum(place_of(leaf).1))
            }));
            leaf = end;
        }
        sums
    }

    /// The leaves whose sum is in doubt.
    pub(crate) fn doubtful(&self) -> Vec<u64> {
        let mut doubtful = Vec::new();
        for group in 0..self.groups.len() {
            for (number, page) in &self.group(group).pages {
                let leaves = super::leaves_of_page(*number);
                doubtful.extend(leaves.filter(|leaf| page.is_doubtful(place_of(*leaf).1)));
            }
        }
        doubtful.sort_unstable();
        doubtful
    }

    /// The sum of a leaf and what to compare before it is put right.
    pub(super) fn look(&self, leaf: u64) -> Look {
        let group = self.group(self.group_of(leaf));
        let (page, place) = place_of(leaf);
        let page = group.pages.get(&page);
        Look {
            sum: page.map_or(LeafSum::ZERO, |page| page.sum(place)),
            doubtful: page.is_some_and(|page| page.is_doubtful(place)),
            revision: group.revision,
        }
    }

    /// Puts a sum right that was found to be `looked` where `counted` was there. False if something happened
    /// since then that makes the difference worth nothing.
    pub(super) fn put_right(&self, leaf: u64, looked: Look, counted: LeafSum) -> bool {
        let mut group = self.group(self.group_of(leaf));
        if group.revision != looked.revision {
            return false;
        }
        let mut difference = counted;
        difference -= looked.sum;
        group.add(leaf, difference);
        group.set_doubtful(leaf, false);
        group.revision += 1;
        true
    }

    /// Takes a page as the engine has it.
    pub(super) fn take_page(&self, page: u64, content: Page) {
        let group = self.group_of(page * PAGE_LEAVES);
        self.group(group).pages.insert(page, Arc::new(content));
    }

    /// Sets a sum to what was counted at opening.
    pub(super) fn set(&self, leaf: u64, sum: LeafSum) {
        let mut group = self.group(self.group_of(leaf));
        let (_, place) = place_of(leaf);
        let page = group.page(leaf);
        page.set(place, sum);
        page.set_doubtful(place, false);
    }

    /// What is to happen to the rows at the next checkpoint.
    pub(super) fn note_rows(&self, rows: Rows) {
        self.whole().pending = rows;
    }

    /// Whether no checkpoint is needed on account of the sums.
    pub(crate) fn is_untouched(&self) -> bool {
        (0..self.groups.len()).all(|group| {
            let group = self.group(group);
            group.touched.is_empty() && group.frozen.is_empty()
        })
    }

    /// The buffers of a group are frozen; the caller holds their lock.
    pub(crate) fn freeze_group(&self, group: usize) {
        let rewritten = self.whole().pending == Rows::Rewritten;
        self.group(group).freeze(rewritten);
    }

    /// All groups are frozen.
    pub(crate) fn frozen_all(&self) {
        let mut whole = self.whole();
        whole.frozen = std::mem::take(&mut whole.pending);
    }

    /// What goes into the engine with the frozen buffers.
    pub(crate) fn frozen(&self) -> FrozenSums {
        let pages = (0..self.groups.len()).flat_map(|group| self.group(group).frozen.clone());
        FrozenSums {
            keeping: self.keeping.clone(),
            rows: self.whole().frozen,
            pages: pages.collect(),
        }
    }

    /// The engine holds what was frozen.
    pub(crate) fn drop_frozen(&self) {
        for group in 0..self.groups.len() {
            let frozen = std::mem::take(&mut self.group(group).frozen);
            drop(frozen);
        }
        self.whole().frozen = Rows::Kept;
    }
}

/// What a leaf's sum was at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) sum: LeafSum,
    pub(super) doubtful: bool,
    revision: u64,
}

impl GroupSums {
    /// The page of a leaf, to be changed.
    fn page(&mut self, leaf: u64) -> &mut Page {
        let (page, _) = place_of(leaf);
        self.touched.insert(page);
        Arc::make_mut(self.pages.entry(page).or_default())
    }

    fn add(&mut self, leaf: u64, difference: LeafSum) {
        let (_, place) = place_of(leaf);
        let page = self.page(leaf);
        let mut sum = page.sum(place);
        sum += difference;
        page.set(place, sum);
    }

    fn clear(&mut self, leaves: &Range<u64>) {
        if leaves.is_empty() {
            return;
        }
        self.revision += 1;
        let pages = leaves.start / PAGE_LEAVES..=(leaves.end - 1) / PAGE_LEAVES;
        let pages: Vec<u64> = self.pages.range(pages).map(|(page, _)| *page).collect();
        for page in pages {
            let all = super::leaves_of_page(page);
            for leaf in all.start.max(leaves.start)..all.end.min(leaves.end) {
                let (_, place) = place_of(leaf);
                self.page(leaf).set(place, LeafSum::ZERO);
                self.page(leaf).set_doubtful(place, false);
            }
        }
    }

    fn doubt(&mut self, leaf: u64) {
        self.revision += 1;
        self.set_doubtful(leaf, true);
    }

    fn set_doubtful(&mut self, leaf: u64, doubtful: bool) {
        let (_, place) = place_of(leaf);
        self.page(leaf).set_doubtful(place, doubtful);
    }

    fn freeze(&mut self, all: bool) {
        assert!(self.frozen.is_empty(), "one checkpoint at a time");
        let touched = std::mem::take(&mut self.touched);
        let kept = |(page, content): (&u64, &Arc<Page>)| (*page, Arc::clone(content));
        self.frozen = if all {
            self.pages.iter().map(kept).collect()
        } else {
            let touched = touched.iter();
            let frozen = touched.filter_map(|page| self.pages.get_key_value(page));
            frozen.map(kept).collect()
        };
        // What says nothing needs no memory; its row goes.
        for page in touched {
            if self
                .pages
                .get(&page)
                .is_some_and(|content| content.is_blank())
            {
                self.pages.remove(&page);
            }
        }
    }
}

/// Pages as of a freeze, for the batch of a checkpoint.
pub(crate) struct FrozenSums {
    keeping: Option<Keeping>,
    rows: Rows,
    pages: Vec<(u64, Arc<Page>)>,
}

impl FrozenSums {
    /// Adds the rows to a batch, which is to be sorted afterwards.
    pub(crate) fn put_into(&self, batch: &mut Batch) {
        let put = |(keyspace, key): (Keyspace, StorageKey), value: Vec<u8>| {
            (keyspace, key, Some(seal(keyspace, &key, &value)))
        };
        if self.rows == Rows::Abandoned {
            let (keyspace, key) = HEAD_PLACE;
            batch.changes.push((keyspace, key, None));
        }
        let Some(keeping) = &self.keeping else {
            return;
        };
        let (tag, shape) = (keeping.summarize.tag(), keeping.shape);
        if self.rows == Rows::Rewritten {
            batch.removed.push((Keyspace::Trees, KeyRange::ALL));
            batch.changes.push(put(HEAD_PLACE, encode_head(tag, shape)));
        }
        for (number, page) in &self.pages {
            let place = (Keyspace::Trees, key_of(*number, shape));
            if page.is_blank() {
                batch.changes.push((place.0, place.1, None::<Bytes>));
            } else {
                batch.changes.push(put(place, page.encode(tag)));
            }
        }
    }
}
