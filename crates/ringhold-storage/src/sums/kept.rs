//! The sums in memory: of each group's leaves, as of what is published.
//!
//! A group's sums change under the lock of its buffers, so whoever holds that lock sees sums and objects of one
//! moment. They have a lock of their own beside it, always taken second, so that looking at sums keeps
//! nobody from reading objects.
//!
//! A freeze sets aside the pages that changed since the one before. Pages are shared until they change again,
//! so a freeze copies pointers, whatever its size. Sorting anew and freezing take turns, so a checkpoint has pages of one
//! sorting, and that one in its head.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use ringhold_core::ring::Class;
use ringhold_core::tree::LeafSum;

use super::change::{SumChange, SumChanges};
use super::count::ClassSums;
use super::page::{HEAD_PLACE, Page, PageId, encode_head, key_of, place_of};
use super::sorting::Sorting;
use super::{PAGE_LEAVES, Shape, Summarize, leaves_of_page};
use crate::engine::Batch;
use crate::key::{Grouping, KeyRange, Keyspace, StorageKey};
use crate::seal::seal;

/// The sums of a store, if it keeps any.
pub(crate) struct Sums {
    grouping: Grouping,
    keeping: Option<Keeping>,
    groups: Vec<Mutex<GroupSums>>,
    whole: Mutex<Whole>,
    /// The classes by which writers sort what they stage.
    sorting: RwLock<Arc<Sorting>>,
    /// Held while the sums are sorted anew, and while they are frozen.
    turn: Mutex<()>,
}

/// How sums are made.
#[derive(Clone)]
pub(crate) struct Keeping {
    pub(crate) summarize: Arc<dyn Summarize>,
    pub(crate) shape: Shape,
}

#[derive(Default)]
struct GroupSums {
    pages: BTreeMap<PageId, Arc<Page>>,
    /// How they are sorted.
    sorting: Arc<Sorting>,
    /// Pages that changed since the last freeze.
    touched: BTreeSet<PageId>,
    /// As of the freeze, on their way into the engine.
    frozen: Vec<(PageId, Arc<Page>)>,
    /// Counts what is more than adding a difference: clearing, doubting, settling a doubt, sorting. A difference that
    /// was found before one of these may not be put right after it.
    revision: u64,
}

/// What is to happen to the rows as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Rows {
    /// They say what they should, but for the pages that were touched.
    #[default]
    Kept,
    /// As before, but for the classes in the head.
    Resorted,
    /// They are worth nothing: all of them go, and those of all pages are written.
    Rewritten,
    /// Nobody keeps sums any more: the head goes, so that nobody takes the rest for current.
    Abandoned,
}

#[derive(Default)]
struct Whole {
    pending: Rows,
    frozen: Rows,
    /// By which the frozen pages are sorted.
    frozen_sorting: Arc<Sorting>,
}

impl Sums {
    pub(crate) fn new(grouping: Grouping, summarize: Option<Arc<dyn Summarize>>) -> Self {
        let keeping = summarize.map(|summarize| Keeping {
            shape: Shape::new(summarize.leaf_bits(), grouping.partition_bits),
            summarize,
        });
        // One and the same, as long as nobody says otherwise.
        let sorting = Arc::new(Sorting::default());
        let group = |_| {
            Mutex::new(GroupSums {
                sorting: Arc::clone(&sorting),
                ..GroupSums::default()
            })
        };
        Self {
            grouping,
            keeping,
            groups: (0..grouping.groups).map(group).collect(),
            whole: Mutex::default(),
            sorting: RwLock::new(sorting),
            turn: Mutex::default(),
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
        for (sorting, change) in changes {
            let is_current = Arc::ptr_eq(&sorting, &sums.sorting);
            match change {
                SumChange::Add {
                    leaf,
                    class,
                    difference,
                } if is_current => sums.add(leaf, class, difference),
                // Its class may be another one by now.
                SumChange::Add {
                    leaf, difference, ..
                } => {
                    sums.add(leaf, Class::DEFAULT, difference);
                    sums.unsort(leaf);
                }
                SumChange::Clear { leaves } => sums.clear(&leaves),
                SumChange::Doubt { leaf } => sums.doubt(leaf),
            }
        }
    }

    /// How sums are sorted from now on.
    pub(crate) fn sorting(&self) -> Arc<Sorting> {
        let sorting = self.sorting.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&sorting)
    }

    /// How the pages that are about to be taken are sorted.
    pub(super) fn begin_with(&self, sorting: Sorting) {
        self.use_sorting(&Arc::new(sorting), |_| {});
    }

    /// Sorts the sums anew.
    pub(crate) fn sort(&self, next: Sorting) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.sorting();
        if *before == next {
            return;
        }
        let next = Arc::new(next);
        self.use_sorting(&next, |group| group.sort(&before, &next));
        let mut whole = self.whole();
        if whole.pending == Rows::Kept {
            whole.pending = Rows::Resorted;
        }
    }

    fn use_sorting(&self, next: &Arc<Sorting>, resort: impl Fn(&mut GroupSums)) {
        for group in 0..self.groups.len() {
            let mut group = self.group(group);
            resort(&mut group);
            group.sorting = Arc::clone(next);
        }
        let mut sorting = self.sorting.write().unwrap_or_else(PoisonError::into_inner);
        *sorting = Arc::clone(next);
    }

    /// Until this is dropped nothing is sorted anew.
    pub(crate) fn stays_sorted(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sums of some leaves, all classes together.
    pub(crate) fn read(&self, leaves: Range<u64>) -> Vec<LeafSum> {
        self.read_pages(leaves, |group, page| {
            let pages = group.pages_of(page..=page);
            let pages: Vec<Arc<Page>> = pages.map(|(_, page)| Arc::clone(page)).collect();
            Some(pages)
        })
        .unwrap_or_default()
    }

    /// The sums of a class in some leaves; none if the class is not told apart there in this way.
    pub(crate) fn read_class(
        &self,
        leaves: Range<u64>,
        class: Class,
        sorting: &Sorting,
    ) -> Option<Vec<LeafSum>> {
        let wanted = leaves.clone();
        self.read_pages(leaves, |group, number| {
            let of_all = group.pages.get(&PageId::of_all(number));
            let mut own = leaves_of_page(number).filter(|leaf| wanted.contains(leaf));
            let is_unsorted =
                of_all.is_some_and(|page| own.any(|leaf| page.is_unsorted(place_of(leaf).1)));
            if is_unsorted || *group.sorting != *sorting {
                return None;
            }
            let page = group.pages.get(&PageId { number, class });
            Some(page.cloned().into_iter().collect())
        })
    }

    /// Leaf by leaf the sum of what is picked of each page; none if something can't be.
    fn read_pages(
        &self,
        leaves: Range<u64>,
        pick: impl Fn(&GroupSums, u64) -> Option<Vec<Arc<Page>>>,
    ) -> Option<Vec<LeafSum>> {
        let mut sums = Vec::new();
        let mut leaf = leaves.start;
        while leaf < leaves.end {
            let (number, _) = place_of(leaf);
            let end = ((number + 1) * PAGE_LEAVES).min(leaves.end);
            let picked = pick(&self.group(self.group_of(leaf)), number)?;
            sums.extend((leaf..end).map(|leaf| {
                let mut sum = LeafSum::ZERO;
                picked
                    .iter()
                    .for_each(|page| sum += page.sum(place_of(leaf).1));
                sum
            }));
            leaf = end;
        }
        Some(sums)
    }

    /// The leaves whose sum is in doubt.
    pub(crate) fn doubtful(&self) -> Vec<u64> {
        self.leaves_where(Page::is_doubtful)
    }

    /// The leaves whose classes are not told apart.
    pub(crate) fn unsorted(&self) -> Vec<u64> {
        self.leaves_where(Page::is_unsorted)
    }

    fn leaves_where(&self, is_so: fn(&Page, usize) -> bool) -> Vec<u64> {
        let mut found = Vec::new();
        for group in 0..self.groups.len() {
            for (id, page) in &self.group(group).pages {
                let leaves = leaves_of_page(id.number);
                found.extend(leaves.filter(|leaf| is_so(page, place_of(*leaf).1)));
            }
        }
        found.sort_unstable();
        found
    }

    /// The sums of a leaf and what to compare before they are put right.
    pub(super) fn look(&self, leaf: u64) -> Look {
        let group = self.group(self.group_of(leaf));
        let (number, place) = place_of(leaf);
        let page = group.pages.get(&PageId::of_all(number));
        Look {
            sums: group.sums(leaf),
            doubtful: page.is_some_and(|page| page.is_doubtful(place)),
            unsorted: page.is_some_and(|page| page.is_unsorted(place)),
            sorting: Arc::clone(&group.sorting),
            revision: group.revision,
        }
    }

    /// Puts sums right that were found to be `looked` where `counted` was there. False if something happened
    /// since then that makes the difference worth nothing.
    pub(super) fn put_right(&self, leaf: u64, looked: &Look, counted: &ClassSums) -> bool {
        let mut group = self.group(self.group_of(leaf));
        if group.revision != looked.revision {
            return false;
        }
        let mut differences = counted.clone();
        for (class, sum) in looked.sums.iter() {
            let mut taken = LeafSum::ZERO;
            taken -= sum;
            differences.add(class, taken);
        }
        for (class, difference) in differences.iter() {
            group.add(leaf, class, difference);
        }
        group.settle(leaf);
        true
    }

    /// Takes a page as the engine has it.
    pub(super) fn take_page(&self, id: PageId, content: Page) {
        let group = self.group_of(id.number * PAGE_LEAVES);
        self.group(group).pages.insert(id, Arc::new(content));
    }

    /// Sets the sums of a leaf to what was counted at opening.
    pub(super) fn set(&self, leaf: u64, sums: &ClassSums) {
        let mut group = self.group(self.group_of(leaf));
        group.clear(&(leaf..leaf + 1));
        for (class, sum) in sums.iter() {
            group.add(leaf, class, sum);
        }
        group.settle(leaf);
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
        whole.frozen_sorting = self.sorting();
    }

    /// What goes into the engine with the frozen buffers.
    pub(crate) fn frozen(&self) -> FrozenSums {
        let pages = (0..self.groups.len()).flat_map(|group| self.group(group).frozen.clone());
        let pages = pages.collect();
        let whole = self.whole();
        FrozenSums {
            keeping: self.keeping.clone(),
            rows: whole.frozen,
            sorting: Arc::clone(&whole.frozen_sorting),
            pages,
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

/// What a leaf's sums were at one moment.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) sums: ClassSums,
    pub(super) doubtful: bool,
    pub(super) unsorted: bool,
    pub(super) sorting: Arc<Sorting>,
    revision: u64,
}

impl GroupSums {
    /// The pages of some numbers, of all classes.
    fn pages_of(
        &self,
        numbers: std::ops::RangeInclusive<u64>,
    ) -> impl Iterator<Item = (&PageId, &Arc<Page>)> {
        let last = PageId {
            number: *numbers.end(),
            class: Class(u16::MAX),
        };
        self.pages.range(PageId::of_all(*numbers.start())..=last)
    }

    /// A page, to be changed.
    fn page(&mut self, id: PageId) -> &mut Page {
        self.touched.insert(id);
        Arc::make_mut(self.pages.entry(id).or_default())
    }

    fn sums(&self, leaf: u64) -> ClassSums {
        let (number, place) = place_of(leaf);
        let mut sums = ClassSums::default();
        for (id, page) in self.pages_of(number..=number) {
            sums.add(id.class, page.sum(place));
        }
        sums
    }

    fn add(&mut self, leaf: u64, class: Class, difference: LeafSum) {
        let (number, place) = place_of(leaf);
        let page = self.page(PageId { number, class });
        let mut sum = page.sum(place);
        sum += difference;
        page.set(place, sum);
    }

    fn clear(&mut self, leaves: &Range<u64>) {
        if leaves.is_empty() {
            return;
        }
        self.revision += 1;
        let numbers = leaves.start / PAGE_LEAVES..=(leaves.end - 1) / PAGE_LEAVES;
        let ids: Vec<PageId> = self.pages_of(numbers).map(|(id, _)| *id).collect();
        for id in ids {
            let all = leaves_of_page(id.number);
            for leaf in all.start.max(leaves.start)..all.end.min(leaves.end) {
                let (_, place) = place_of(leaf);
                let page = self.page(id);
                page.set(place, LeafSum::ZERO);
                page.set_doubtful(place, false);
                page.set_unsorted(place, false);
            }
        }
    }

    fn doubt(&mut self, leaf: u64) {
        self.revision += 1;
        let (number, place) = place_of(leaf);
        self.page(PageId::of_all(number)).set_doubtful(place, true);
    }

    fn unsort(&mut self, leaf: u64) {
        self.revision += 1;
        let (number, place) = place_of(leaf);
        self.page(PageId::of_all(number)).set_unsorted(place, true);
    }

    /// The sums of a leaf are those of its objects, by its sorting.
    fn settle(&mut self, leaf: u64) {
        self.revision += 1;
        let (number, place) = place_of(leaf);
        let page = self.page(PageId::of_all(number));
        page.set_doubtful(place, false);
        page.set_unsorted(place, false);
    }

    /// Moves what goes to another class as a whole, and marks the leaves of what falls apart.
    fn sort(&mut self, before: &Sorting, next: &Sorting) {
        self.revision += 1;
        let pages: Vec<(PageId, Arc<Page>)> = self.pages.clone().into_iter().collect();
        for (id, page) in pages {
            let fate = before.fate(id.class, next);
            if fate == Some(id.class) {
                continue;
            }
            for leaf in leaves_of_page(id.number) {
                let (_, place) = place_of(leaf);
                let sum = page.sum(place);
                match fate {
                    _ if sum.is_zero() => {}
                    None => self.unsort(leaf),
                    Some(class) => {
                        let mut taken = LeafSum::ZERO;
                        taken -= sum;
                        self.add(leaf, id.class, taken);
                        self.add(leaf, class, sum);
                    }
                }
            }
        }
    }

    fn freeze(&mut self, all: bool) {
        assert!(self.frozen.is_empty(), "one checkpoint at a time");
        let touched = std::mem::take(&mut self.touched);
        let kept = |(page, content): (&PageId, &Arc<Page>)| (*page, Arc::clone(content));
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
    sorting: Arc<Sorting>,
    pages: Vec<(PageId, Arc<Page>)>,
}

impl FrozenSums {
    /// Whether nothing is said but single pages, each of which may go by itself.
    pub(crate) fn are_as_before(&self) -> bool {
        self.rows == Rows::Kept
    }

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
        }
        if matches!(self.rows, Rows::Rewritten | Rows::Resorted) {
            let head = encode_head(tag, shape, &self.sorting);
            batch.changes.push(put(HEAD_PLACE, head));
        }
        for (id, page) in &self.pages {
            let place = (Keyspace::Trees, key_of(*id, shape));
            if page.is_blank() {
                batch.changes.push((place.0, place.1, None::<Bytes>));
            } else {
                batch.changes.push(put(place, page.encode(tag)));
            }
        }
    }
}
