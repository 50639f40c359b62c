//! What is dead, what may be gone, and what must not come back.
//!
//! In a run that reaps, the absence of a write is no longer a loss: it may have been deleted, or have come to its end,
//! and have been reaped. The model knows since when each write is dead (a tombstone since its timestamp, a value with an
//! end since that), and so which absences are right: those of what has been dead for the grace, and of whatever that
//! had seen. Wall clocks differ here by no more than [`SKEW_US`], and none of them jumps.
//!
//! It also remembers what was seen to be reaped. From then on no older version of it may turn up anywhere.

use crate::books::Books;
use crate::clock::WALL_START_US;
use crate::dots::{DotNumber, DotSet};
use crate::value::{operation_id, operation_of};
use ringhold_core::id::OperationId;
use ringhold_core::version::{Content, Object, Timestamp, Version};
use std::collections::{BTreeMap, BTreeSet};

/// No wall clock is off by more in a run that reaps.
pub const SKEW_US: u64 = 20_000_000;

/// Until when a value is shown, by a wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    At(u64),
    /// So long after its timestamp.
    After(u64),
}

/// A value that comes to an end, as its client wrote it.
#[derive(Clone, Debug)]
pub struct Ending {
    pub end: End,
    pub content: Content,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Graves {
    /// None in a run that reaps nothing.
    pub grace_us: Option<u64>,
    /// For each key, what was reaped and what that had seen.
    reaped: BTreeMap<usize, DotSet>,
    /// The keys that nobody has written since.
    empty: BTreeSet<usize>,
}

impl Books {
    /// What the fastest clock may show by now.
    #[must_use]
    pub fn latest_us(&self) -> u64 {
        WALL_START_US + self.now_us + SKEW_US
    }

    /// Since when a write is dead; none if it lives for ever.
    fn dead_since_us(&self, number: DotNumber) -> Option<u64> {
        let named = self.dots.named(number);
        if named.is_tombstone {
            return Some(named.timestamp.0);
        }
        let ending = self.write(named.operation)?.ending.as_ref()?;
        Some(match ending.end {
            End::At(end_us) => end_us.max(named.timestamp.0),
            End::After(us) => named.timestamp.0 + us,
        })
    }

    /// Whether a write has been dead for the grace by a clock that shows `wall_us`.
    fn is_reapable(&self, number: DotNumber, wall_us: u64) -> bool {
        let since_us = self.dead_since_us(number).zip(self.graves.grace_us);
        since_us.is_some_and(|(since_us, grace_us)| since_us + grace_us <= wall_us)
    }

    /// Whether an operation may be unknown by now, because it, or what had seen it, has been dead for the grace.
    #[must_use]
    pub fn may_be_gone(&self, operation: usize, wall_us: u64) -> bool {
        let Some(write) = self.write(operation) else {
            return false;
        };
        let key = self.operations[operation].key;
        let buries = |&number: &DotNumber| {
            let named = self.dots.named(number);
            let saw = self.write(named.operation).map(|write| &write.saw);
            // Where one write wins, it takes the place of what nobody had seen, too.
            let wins = |dot: DotNumber| {
                self.rules.last_write_wins && self.dots.named(dot).timestamp < named.timestamp
            };
            let ends = |&dot: &DotNumber| {
                dot == number || saw.is_some_and(|saw| saw.contains(dot)) || wins(dot)
            };
            // And then it may never have shown its name.
            let is_unnamed = self.rules.last_write_wins && write.dots.is_empty();
            (is_unnamed || write.dots.iter().any(ends)) && self.is_reapable(number, wall_us)
        };
        self.graves.grace_us.is_some() && self.dots.of_key(key).iter().any(buries)
    }

    /// These operations on a key were seen to be reaped.
    pub fn bury(&mut self, key: usize, operations: &[usize]) {
        let mut gone = DotSet::default();
        for write in operations
            .iter()
            .filter_map(|operation| self.write(*operation))
        {
            gone.join(&write.saw);
        }
        self.graves.reaped.entry(key).or_default().join(&gone);
        self.graves.empty.insert(key);
    }

    /// Whether this is the first value that shows itself on a key since something of it was reaped.
    pub fn rises_anew(&mut self, key: usize) -> bool {
        self.graves.empty.remove(&key)
    }

    /// A version in an object that something had replaced which was reaped since.
    #[must_use]
    pub fn risen(&self, key: usize, object: &Object) -> Option<usize> {
        let reaped = self.graves.reaped.get(&key)?;
        let alive = object.versions().iter();
        let mut alive = alive.filter_map(|version| self.dots.number(version.dot));
        let risen = alive
            .find(|number| reaped.contains(*number) && !self.dots.named(*number).is_tombstone)?;
        Some(self.dots.named(risen).operation)
    }

    /// An answer as replicas hold it: what was hidden because its time is over is shown. What was hidden too soon
    /// stays so, and is then a content that nobody wrote, or missing.
    #[must_use]
    pub fn revealed(&self, key: usize, object: &Object) -> Object {
        let mut versions = object.versions().to_vec();
        for version in &mut versions {
            let ending = self.ended(version.operation, version.timestamp);
            if let Some(ending) = ending.filter(|_| version.content.is_tombstone()) {
                version.content = ending.content.clone();
                version.hash = version.content.hash();
            }
        }
        // Where one write wins, nothing is left out, and what is missing was replaced by those who had not seen it.
        if self.rules.last_write_wins {
            return Object::from_parts(object.context().clone(), versions).expect("the same dots");
        }
        let mut past = DotSet::default();
        for version in &versions {
            let write = operation_of(version.operation).and_then(|number| self.write(number));
            // A dot may show itself for the first time here.
            past.join(&write.map(|write| write.saw.clone()).unwrap_or_default());
            self.dots
                .number(version.dot)
                .inspect(|number| past.insert(*number));
        }
        let covered: Vec<DotNumber> = self.dots.covered(key, object.context()).collect();
        // The later first: what they had seen was not hidden but replaced.
        for number in covered.into_iter().rev() {
            let named = *self.dots.named(number);
            let operation = operation_id(named.operation);
            let Some(ending) = self.ended(operation, named.timestamp) else {
                continue;
            };
            if past.contains(number) {
                continue;
            }
            versions.push(Version {
                dot: named.dot,
                timestamp: named.timestamp,
                operation,
                hash: named.hash,
                content: ending.content.clone(),
            });
            past.insert(number);
            if let Some(write) = self.write(named.operation) {
                past.join(&write.saw);
            }
        }
        versions.sort_by_key(|version| version.dot);
        Object::from_parts(object.context().clone(), versions).expect("covered dots, each once")
    }

    /// The end of a value of this operation and timestamp, if some clock may have passed it.
    fn ended(&self, operation: OperationId, timestamp: Timestamp) -> Option<&Ending> {
        let ending = self.write(operation_of(operation)?)?.ending.as_ref()?;
        let end_us = match ending.end {
            End::At(end_us) => end_us,
            End::After(us) => timestamp.0 + us,
        };
        (end_us <= self.latest_us()).then_some(ending)
    }

    /// A value in an answer that was over, by every clock, when it was asked for.
    #[must_use]
    pub fn overdue(&self, object: &Object, asked_us: u64) -> Option<usize> {
        let earliest_us = (WALL_START_US + asked_us).saturating_sub(SKEW_US);
        let shown = object.versions().iter();
        let mut shown = shown.filter(|version| !version.content.is_tombstone());
        shown.find_map(|version| {
            let operation = operation_of(version.operation)?;
            let end_us = match self.write(operation)?.ending.as_ref()?.end {
                End::At(end_us) => end_us,
                End::After(us) => version.timestamp.0 + us,
            };
            (end_us < earliest_us).then_some(operation)
        })
    }
}
