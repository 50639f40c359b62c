//! Counting: the sums of an arc from the objects themselves.
//!
//! What the buffers say of the arc is given, as of one moment; what they leave open the engine says, page by
//! page. Sums do not ask for an order, so nothing has to be merged.

use std::collections::BTreeMap;

use bytes::Bytes;
use ringhold_core::ring::Class;
use ringhold_core::tree::LeafSum;

use super::SUMMED;
use super::kept::Keeping;
use super::sorting::Sorting;
use crate::buffer::Layers;
use crate::engine::{Engine, EngineError};
use crate::key::{KeyRange, StorageKey};
use crate::seal::unseal;
use crate::view::Overlay;

/// Rows that are taken from the engine at a time: a few hundred kilobytes of usual objects.
const ROWS_AT_ONCE: usize = 64;

/// What buffers know of an arc.
#[derive(Default)]
pub(crate) struct Buffered {
    /// Sealed values; none for what was removed.
    pub(crate) entries: BTreeMap<StorageKey, Option<Bytes>>,
    /// Ranges of the engine's rows that are there no more.
    pub(crate) removed: Vec<KeyRange>,
}

impl Buffered {
    /// What these layers know of an arc.
    pub(crate) fn of<'a>(layers: impl IntoIterator<Item = &'a Layers>, arc: &KeyRange) -> Self {
        let mut overlay = Overlay::new(SUMMED, *arc, usize::MAX);
        for layers in layers {
            overlay.add(layers);
        }
        let (entries, removed) = overlay.into_parts();
        Self { entries, removed }
    }

    /// Whether a row of the engine still counts.
    fn leaves_open(&self, key: &StorageKey) -> bool {
        !self.entries.contains_key(key) && !self.removed.iter().any(|range| range.contains(key))
    }
}

/// The sums of one leaf, of each class that has keys there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassSums(BTreeMap<Class, LeafSum>);

impl ClassSums {
    /// The sum of a class.
    #[must_use]
    pub fn of(&self, class: Class) -> LeafSum {
        self.0.get(&class).copied().unwrap_or(LeafSum::ZERO)
    }

    /// The sum of all classes.
    #[must_use]
    pub fn total(&self) -> LeafSum {
        let mut total = LeafSum::ZERO;
        self.0.values().for_each(|sum| total += *sum);
        total
    }

    pub(crate) fn add(&mut self, class: Class, sum: LeafSum) {
        let kept = self.0.entry(class).or_default();
        *kept += sum;
        if kept.is_zero() {
            self.0.remove(&class);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Class, LeafSum)> {
        self.0.iter().map(|(class, sum)| (*class, *sum))
    }
}

/// What was counted.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    /// Of the leaves that have keys, and of the classes that have some there.
    pub(crate) sums: BTreeMap<u64, ClassSums>,
    /// Objects that were read.
    pub(crate) rows: u64,
    /// Objects that could not be.
    pub(crate) unreadable: Vec<StorageKey>,
}

impl Counted {
    pub(crate) fn sum(&self, leaf: u64) -> ClassSums {
        self.sums.get(&leaf).cloned().unwrap_or_default()
    }

    fn add(&mut self, by: &Keeping, sorting: &Sorting, key: &StorageKey, sealed: &Bytes) {
        let Some(value) = unseal(SUMMED, key, sealed) else {
            self.unreadable.push(*key);
            return;
        };
        self.rows += 1;
        if let Some((class, digest)) = by.summarize.sorted(key, &value, sorting) {
            let leaf = self.sums.entry(by.shape.leaf_of(key)).or_default();
            leaf.add(class, LeafSum::of(Some(digest)));
        }
    }
}

/// Counts the objects of an arc. `buffered` may know more than the arc, and must know all of it.
pub(crate) fn count(
    engine: &dyn Engine,
    by: &Keeping,
    sorting: &Sorting,
    arc: &KeyRange,
    buffered: &Buffered,
) -> Result<Counted, EngineError> {
    let mut counted = Counted::default();
    for_each_row(engine, arc, |key, sealed| {
        if buffered.leaves_open(&key) {
            counted.add(by, sorting, &key, &sealed);
        }
    })?;
    for (key, sealed) in buffered.entries.range(arc.start..) {
        if !arc.contains(key) {
            break;
        }
        if let Some(sealed) = sealed {
            counted.add(by, sorting, key, sealed);
        }
    }
    Ok(counted)
}

/// The engine's objects of an arc, in order, a few at a time.
pub(crate) fn for_each_row(
    engine: &dyn Engine,
    arc: &KeyRange,
    mut visit: impl FnMut(StorageKey, Bytes),
) -> Result<(), EngineError> {
    let mut rest = *arc;
    loop {
        let page = engine.range(SUMMED, &rest, ROWS_AT_ONCE)?;
        let full = page.len() == ROWS_AT_ONCE;
        let last = page.last().map(|(key, _)| *key).filter(|_| full);
        for (key, sealed) in page {
            visit(key, sealed);
        }
        let Some(next) = last.and_then(|last| last.successor()) else {
            return Ok(());
        };
        rest.start = next;
    }
}
