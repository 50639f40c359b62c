//! The sums at opening: what the engine has, and what the replayed log changes about it.
//!
//! The engine's objects and its sums are of one batch, partition by partition. What the buffers say now goes into the engine
//! one day, and some partitions of it may be there already, so what counts is the outcome and not how it came about: for each key that they know, the
//! digest of what they say against the digest of what the engine holds. A record that was replayed although
//! the engine had it, or twice, changes nothing.
//!
//! All objects are counted instead where the engine's sums are none: the head is missing, damaged or of another
//! tag, or the history of the store is in doubt. Single leaves are counted where their page is damaged, where
//! they were doubtful, or where the engine's object under a buffered one cannot be read.

use std::collections::BTreeSet;
use std::sync::Mutex;

use bytes::Bytes;

use super::change::{SumChange, of_key};
use super::count::{Buffered, count, for_each_row};
use super::kept::{Keeping, Rows, Sums};
use super::page::{HEAD_PLACE, Page, decode_head, page_at, place_of};
use super::sorting::Sorting;
use super::{SUMMED, leaves_of_page};
use crate::buffer::Buffers;
use crate::engine::{Engine, EngineError};
use crate::figures::count as count_of;
use crate::key::{KeyRange, Keyspace, StorageKey};
use crate::seal::unseal;

/// Rows of pages that are read at a time: a few hundred kilobytes.
const PAGES_AT_ONCE: usize = 256;
/// Buffered entries that a thread looks up before it takes more.
const ENTRIES_AT_ONCE: usize = 256;

/// Leaf sums that an opening had to make from the objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recounted {
    /// None: what was kept of them holds, or none are kept.
    #[default]
    Nothing,
    /// So many, whose sum was damaged or in doubt.
    Leaves(u64),
    /// All: what was kept of them could not be used.
    Everything,
}

/// What the opening knows of the engine's sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// The store is new: there is nothing to sum up.
    New,
    /// What the engine says counts, if it says anything.
    Engine,
    /// Whatever the engine says, the objects are counted.
    Objects,
}

/// Brings the sums to what engine and buffers say, before anybody else uses either.
pub(crate) fn load(
    engine: &dyn Engine,
    buffers: &Buffers,
    trust: Trust,
) -> Result<Recounted, EngineError> {
    let sums = buffers.sums();
    let Some(keeping) = sums.keeping() else {
        let (keyspace, key) = HEAD_PLACE;
        if engine.get(keyspace, &key)?.is_some() {
            sums.note_rows(Rows::Abandoned);
        }
        return Ok(Recounted::Nothing);
    };
    let loading = Loading {
        engine,
        sums,
        keeping,
        buffered: buffers.buffered(),
    };
    match trust {
        Trust::New => {
            sums.note_rows(Rows::Rewritten);
            Ok(Recounted::Nothing)
        }
        Trust::Engine => match loading.sorting_of_head()? {
            Some(sorting) => {
                sums.begin_with(sorting);
                loading.go_on()
            }
            None => loading.recount_all(),
        },
        Trust::Objects => loading.recount_all(),
    }
}

struct Loading<'a> {
    engine: &'a dyn Engine,
    sums: &'a Sums,
    keeping: &'a Keeping,
    buffered: Buffered,
}

impl Loading<'_> {
    /// How the engine's sums are sorted, if it has some that were made as they are made now.
    fn sorting_of_head(&self) -> Result<Option<Sorting>, EngineError> {
        let (keyspace, key) = HEAD_PLACE;
        let sealed = self.engine.get(keyspace, &key)?;
        let head = sealed.and_then(|sealed| unseal(keyspace, &key, &sealed));
        let (tag, shape) = (self.keeping.summarize.tag(), self.keeping.shape);
        Ok(head.and_then(|head| decode_head(&head, tag, shape)))
    }

    fn recount_all(&self) -> Result<Recounted, EngineError> {
        let counted = count(
            self.engine,
            self.keeping,
            &self.sums.sorting(),
            &KeyRange::ALL,
            &self.buffered,
        )?;
        for (leaf, sums) in counted.sums {
            self.sums.set(leaf, &sums);
        }
        self.sums.note_rows(Rows::Rewritten);
        Ok(Recounted::Everything)
    }

    /// The engine's sums, and the changes on top of them.
    fn go_on(&self) -> Result<Recounted, EngineError> {
        let mut unknown = self.read_pages()?;
        let mut changes = Vec::new();
        self.note_entries(&mut changes)?;
        self.note_removed(&mut changes)?;
        for change in changes {
            match change {
                SumChange::Doubt { leaf } => drop(unknown.insert(leaf)),
                change => self.apply(change),
            }
        }
        for leaf in &unknown {
            self.recount_leaf(*leaf)?;
        }
        Ok(match unknown.len() {
            0 => Recounted::Nothing,
            leaves => Recounted::Leaves(count_of(leaves)),
        })
    }

    /// Takes the engine's pages; returns the leaves that they say nothing certain of.
    fn read_pages(&self) -> Result<BTreeSet<u64>, EngineError> {
        let (tag, shape) = (self.keeping.summarize.tag(), self.keeping.shape);
        let mut unknown = BTreeSet::new();
        let mut rest = Some(KeyRange::ALL);
        while let Some(range) = rest {
            let rows = self.engine.range(Keyspace::Trees, &range, PAGES_AT_ONCE)?;
            let last = rows.last().map(|(key, _)| *key);
            rest = last
                .and_then(|last| last.successor())
                .map(KeyRange::from_start);
            for (key, sealed) in rows {
                let Some(id) = page_at(&key, shape) else {
                    continue;
                };
                let page = unseal(Keyspace::Trees, &key, &sealed)
                    .and_then(|bytes| Page::decode(&bytes, tag));
                let leaves = leaves_of_page(id.number);
                match page {
                    None => unknown.extend(leaves),
                    Some(page) => {
                        unknown.extend(leaves.filter(|leaf| page.is_doubtful(place_of(*leaf).1)));
                        self.sums.take_page(id, page);
                    }
                }
            }
        }
        Ok(unknown)
    }

    /// What each buffered entry changes about the engine's row.
    ///
    /// Hardly two of them are of one page of the engine, and where memory is short each page comes from the disk. Then it is asked
    /// by many threads at once; where nothing has to be waited for, they would only take the cores from others. The engine can tell.
    fn note_entries(&self, changes: &mut Vec<SumChange>) -> Result<(), EngineError> {
        let entries: Vec<_> = self.buffered.entries.iter().collect();
        let rest = Mutex::new(entries.chunks(ENTRIES_AT_ONCE));
        let next = || rest.lock().expect("taking does not panic").next();
        let help = || -> Result<Vec<SumChange>, EngineError> {
            let mut changes = Vec::new();
            while let Some(entries) = next() {
                changes.extend(self.changes_of(entries)?);
            }
            Ok(changes)
        };
        std::thread::scope(|scope| {
            let mut helpers = Vec::new();
            while let Some(entries) = next() {
                let mut own = Ok(Vec::new());
                let mut read = || own = self.changes_of(entries);
                let wanted = self.engine.helpers_for(entries.len(), &mut read);
                changes.extend(own?);
                if helpers.is_empty() {
                    helpers.extend((0..wanted).map(|_| scope.spawn(help)));
                }
            }
            for helper in helpers {
                changes.extend(helper.join().expect("reading does not panic")?);
            }
            Ok(())
        })
    }

    fn changes_of(
        &self,
        entries: &[(&StorageKey, &Option<Bytes>)],
    ) -> Result<Vec<SumChange>, EngineError> {
        let mut changes = Vec::new();
        for (key, after) in entries {
            let before = self.engine.get(SUMMED, key)?;
            changes.extend(self.change(key, before.as_ref(), after.as_ref()));
        }
        Ok(changes)
    }

    /// What goes with the removed ranges: the engine's rows in them that no entry has replaced.
    fn note_removed(&self, changes: &mut Vec<SumChange>) -> Result<(), EngineError> {
        let removed = &self.buffered.removed;
        for (at, range) in removed.iter().enumerate() {
            for_each_row(self.engine, range, |key, before| {
                let seen = removed[..at].iter().any(|earlier| earlier.contains(&key));
                if !seen && !self.buffered.entries.contains_key(&key) {
                    changes.extend(self.change(&key, Some(&before), None));
                }
            })?;
        }
        Ok(())
    }

    /// The change of one key between two sealed values.
    fn change(
        &self,
        key: &StorageKey,
        before: Option<&Bytes>,
        after: Option<&Bytes>,
    ) -> Option<SumChange> {
        let opened = |sealed: Option<&Bytes>| match sealed {
            None => Some(None),
            Some(sealed) => unseal(SUMMED, key, sealed).map(Some),
        };
        #[cfg(feature = "known-bad")]
        let before =
            before.filter(|_| !crate::known_bad::is(crate::known_bad::Variant::ReplayCountsTwice));
        let (before, after) = (opened(before), opened(after));
        let Some(after) = after else {
            let leaf = self.keeping.shape.leaf_of(key);
            return Some(SumChange::Doubt { leaf });
        };
        of_key(
            self.keeping,
            &self.sums.sorting(),
            key,
            before.as_ref().map(Option::as_ref),
            after.as_ref(),
        )
    }

    fn apply(&self, change: SumChange) {
        let SumChange::Add { leaf, .. } = &change else {
            unreachable!("single keys add or doubt")
        };
        let group = self.sums.group_of(*leaf);
        self.sums.apply(group, vec![(self.sums.sorting(), change)]);
    }

    fn recount_leaf(&self, leaf: u64) -> Result<(), EngineError> {
        let counted = count(
            self.engine,
            self.keeping,
            &self.sums.sorting(),
            &self.keeping.shape.arc(&(leaf..leaf + 1)),
            &self.buffered,
        )?;
        self.sums.set(leaf, &counted.sum(leaf));
        Ok(())
    }
}
