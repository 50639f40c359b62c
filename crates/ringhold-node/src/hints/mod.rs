//! Hinted handoff (§4.6): what a node keeps for others, and how it brings it home.
//!
//! A node that takes a write for a key of which it is no home keeps the object like any other, and beside
//! it an index row, the *hint*: "this is not mine". Both are in one batch, so neither is ever there alone.
//! Nobody tells a node that what it gets is a hint; it looks at its own ring. So whatever strays to a node
//! finds its way home, whoever sent it.
//!
//! The object may be read here meanwhile. Delivery sends it, by merge, to every home of the key, and each
//! answers once it has *flushed* the result, whatever the bucket's durability: that is the receipt. When
//! every home has given one, the partition's writer looks at the object again. If the receipts cover it as
//! it is *now*, hint and object go, in one batch; else they stay for another round (I9). Delivery never gives
//! up, and a home that is down costs nothing but its place in the count of what is owed.
//!
//! Hints are bounded in bytes. At the bound a node refuses to stand in, it drops nothing (T9).
//!
//! | module | |
//! | --- | --- |
//! | `row` | what stands in a hint |
//! | `delivery` | the task that brings them home |
//! | `debts` | what is owed to whom, for whoever asks |

mod debts;
mod delivery;
pub(crate) mod row;

pub use debts::Debt;
pub(crate) use debts::Debts;
pub(crate) use delivery::run;

#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::node::Node;
use crate::replica::Kept;
use ringhold_storage::{KeyRange, Keyspace, ReadError, Store};
use ringhold_wire::message::ObjectName;
use row::HintRow;
use std::sync::atomic::{AtomicU64, Ordering};

/// Rows read at once when the store is opened.
const PAGE_ROWS: usize = 1_000;

/// How much is kept for others, in rows and bytes.
#[derive(Debug, Default)]
pub(crate) struct HintGauge {
    rows: AtomicU64,
    bytes: AtomicU64,
}

impl HintGauge {
    /// Counts what an opened store has.
    pub(crate) fn count(store: &Store) -> Result<Self, ReadError> {
        let gauge = Self::default();
        let mut range = KeyRange::ALL;
        loop {
            // A damaged hint holds up neither the start nor the others; it is not counted, and its object stays.
            let page = store.readable(Keyspace::Hints, &range, PAGE_ROWS)?;
            for (_, row) in page.rows {
                let mut change = HintChange::default();
                change.comes(HintRow::decode(row).map_or(0, |row| row.bytes));
                gauge.change(change);
            }
            match page.next {
                Some(next) => range.start = next,
                None => return Ok(gauge),
            }
        }
    }

    /// Counts what a commit has changed.
    pub(crate) fn change(&self, change: HintChange) {
        // Two's complement: adding a negative number takes away.
        self.rows
            .fetch_add(change.rows.cast_unsigned(), Ordering::Relaxed);
        self.bytes
            .fetch_add(change.bytes.cast_unsigned(), Ordering::Relaxed);
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// What a batch does to the hints, to be counted when it is committed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HintChange {
    rows: i64,
    bytes: i64,
}

impl HintChange {
    pub(crate) fn comes(&mut self, bytes: u64) {
        self.rows += 1;
        self.bytes += i64::try_from(bytes).unwrap_or(i64::MAX);
    }

    pub(crate) fn goes(&mut self, bytes: u64) {
        self.rows -= 1;
        self.bytes -= i64::try_from(bytes).unwrap_or(i64::MAX);
    }
}

impl Node {
    /// Whether this node is a home of a key, or becomes one.
    pub(crate) fn is_home(&self, name: &ObjectName) -> bool {
        let ring = self.ring();
        self.keeps(&ring, Self::tree_of(&ring, name))
    }

    /// As what this node takes an object of this name.
    pub(crate) fn kept(&self, name: &ObjectName) -> Kept {
        if self.is_home(name) {
            return Kept::AsHome;
        }
        #[cfg(feature = "known-bad")]
        if known_bad::is(Variant::StrayIsNoHint) {
            return Kept::AsHome;
        }
        let bytes_max = self.tuning.hint_bytes_max;
        Kept::AsHint { bytes_max }
    }

    /// Keys that this node keeps for others, and the bytes of their objects.
    #[must_use]
    pub fn hints_kept(&self) -> (u64, u64) {
        let gauge = self.replica.hints();
        (gauge.rows(), gauge.bytes())
    }

    /// What is owed to each home that the last round of deliveries could not settle.
    #[must_use]
    pub fn hint_debts(&self) -> Vec<Debt> {
        self.debts.all()
    }
}
