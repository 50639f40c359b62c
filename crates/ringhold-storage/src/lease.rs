//! Key epochs, leased in blocks.
//!
//! An actor is (incarnation, key epoch), and a store must never start one epoch twice (T2). Flushing a
//! counter for each would cost a disk write per epoch, so a ceiling is flushed ahead of use and epochs
//! below it are handed out from memory, in smaller blocks so that writers rarely meet here. A crash
//! skips what was left of the block. When the ceiling is reached, taking waits for the next one to be
//! flushed: there is no way to be early.

use std::ops::Range;

/// The epochs that this opening of the store may still hand out.
#[derive(Debug)]
pub(crate) struct EpochLease {
    next: u64,
    ceiling: u64,
    lease: u64,
}

impl EpochLease {
    /// Nothing is left of the blocks of earlier openings: the first take asks for a new ceiling.
    pub(crate) fn new(ceiling: u64, lease: u64) -> Self {
        assert!(lease > 0, "a lease has a size");
        Self {
            next: ceiling,
            ceiling,
            lease,
        }
    }

    /// A block of epochs, a `blocks`-th of a lease, or the ceiling that must be flushed first.
    pub(crate) fn take_block(&mut self, blocks: u64) -> Result<Range<u64>, u64> {
        assert!(
            self.next <= self.ceiling,
            "no epoch is handed out before its ceiling is flushed"
        );
        if self.next == self.ceiling {
            return Err(self
                .ceiling
                .checked_add(self.lease)
                .expect("2^64 epochs outlast any store"));
        }
        let end = self
            .next
            .saturating_add((self.lease / blocks).max(1))
            .min(self.ceiling);
        let block = self.next..end;
        self.next = end;
        Ok(block)
    }

    /// A ceiling has been flushed.
    pub(crate) fn raise(&mut self, ceiling: u64) {
        self.ceiling = self.ceiling.max(ceiling);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_disjoint_and_below_the_ceiling() {
        let mut lease = EpochLease::new(5, 10);
        assert_eq!(lease.take_block(3), Err(15));
        lease.raise(15);
        assert_eq!(lease.take_block(3), Ok(5..8));
        assert_eq!(lease.take_block(2), Ok(8..13));
        assert_eq!(lease.take_block(2), Ok(13..15));
        assert_eq!(lease.take_block(2), Err(25));
        lease.raise(15);
        assert_eq!(
            lease.take_block(2),
            Err(25),
            "an old ceiling changes nothing"
        );
    }
}
