//! Index rows that disappear from an engine, or can't be read any more.
//!
//! Nobody writes rows but the store, together with their objects. So the simulated disk is who parts them: damage, as it may come
//! from bit rot, from a mistake in the engine, or from a release that knew no indexes. It happens behind the store's back, to what has been
//! checkpointed, and does not touch objects.

use super::Disk;
use crate::random::Random;
use ringhold_storage::{Batch, Engine, MemoryEngine, RowKey, RowRange};

/// More than a run has.
const ALL: usize = 100_000;

impl Disk {
    /// The index rows that are in the engine.
    #[must_use]
    pub fn index_rows(&self) -> Vec<RowKey> {
        let everything = RowRange::new(0, 0, b"", None);
        let rows = self.engine().rows(&everything, ALL);
        let rows = rows.expect("memory can be read").into_iter();
        rows.map(|(row, _)| row).collect()
    }

    /// Some of them disappear, and some lose a bit.
    pub fn damage_rows(&self, share_per_million: u32, random: &mut Random) {
        for row in self.index_rows() {
            if !random.chance(share_per_million) {
                continue;
            }
            if random.chance(700_000) {
                self.forget_row(&row);
            } else {
                self.rot_row(&row);
            }
        }
    }

    /// A row disappears.
    pub fn forget_row(&self, row: &RowKey) {
        let engine = self.engine();
        let batch = Batch {
            removed: Vec::new(),
            changes: Vec::new(),
            rows: vec![(row.clone(), None)],
        };
        let gone = engine.apply(&batch).and_then(|()| engine.flush());
        gone.expect("memory takes every batch");
    }

    /// A row can't be read any more; false if it is not there.
    pub fn rot_row(&self, row: &RowKey) -> bool {
        self.engine().damage_row(row, |bytes| bytes[0] ^= 1)
    }

    fn engine(&self) -> MemoryEngine {
        self.lock().rows.clone()
    }
}
