//! Counting: the sums of an arc from the objects themselves.
//!
//! What the buffers say of the arc is given, as of one moment; what they leave open the engine says, page by
//! page. Sums do not ask for an order, so nothing has to be merged.

use std::collections::BTreeMap;

use bytes::Bytes;
use ringhold_core::tree::LeafSum;

use super::{SUMMED, Shape, Summarize};
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

/// What was counted.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    /// Of the leaves that have keys.
    pub(crate) sums: BTreeMap<u64, LeafSum>,
    /// Objects that were read.
    pub(crate) rows: u64,
    /// Objects that could not be.
    pub(crate) unreadable: Vec<StorageKey>,
}

impl Counted {
    pub(crate) fn sum(&self, leaf: u64) -> LeafSum {
        self.sums.get(&leaf).copied().unwrap_or(LeafSum::ZERO)
    }

    fn add(&mut self, summarize: &dyn Summarize, shape: Shape, key: &StorageKey, sealed: &Bytes) {
        let Some(value) = unseal(SUMMED, key, sealed) else {
            self.unreadable.push(*key);
            return;
        };
        self.rows += 1;
        let sum = LeafSum::of(summarize.digest(key, &value));
        if !sum.is_zero() {
            *self.sums.entry(shape.leaf_of(key)).or_default() += sum;
        }
    }
}

/// Counts the objects of an arc. `buffered` may know more than the arc, and must know all of it.
pub(crate) fn count(
    engine: &dyn Engine,
    summarize: &dyn Summarize,
    shape: Shape,
    arc: &KeyRange,
    buffered: &Buffered,
) -> Result<Counted, EngineError> {
    let mut counted = Counted::default();
    for_each_row(engine, arc, |key, sealed| {
        if buffered.leaves_open(&key) {
            counted.add(summarize, shape, &key, &sealed);
        }
    })?;
    for (key, sealed) in buffered.entries.range(arc.start..) {
        if !arc.contains(key) {
            break;
        }
        if let Some(sealed) = sealed {
            counted.add(summarize, shape, key, sealed);
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
