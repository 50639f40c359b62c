//! How long this store's disk takes, for peers to hear (T23).
//!
//! A disk that takes thirty seconds for a flush stops nothing but the writes that wait for it: heartbeats and reads go on, and
//! to everybody else the node looks well. So a node tells what its commits take, and a commit that has not ended counts with the time that
//! it has taken so far: a disk that hangs has no finished commits to measure.
//!
//! One writer notes, anybody reads; a reader between two stores sees one of two truths.

use std::sync::atomic::{AtomicU64, Ordering};

/// The weight of the newest commit in the average: one in this many.
const AVERAGE_WINDOW: u64 = 8;
/// A disk that nobody has asked for so long may be well again.
const FORGOTTEN_US: u64 = 10_000_000;
/// No commit is under way.
const IDLE: u64 = u64::MAX;

/// The commits of one partition group.
#[derive(Debug)]
pub(crate) struct CommitLatency {
    began_us: AtomicU64,
    ended_us: AtomicU64,
    average_us: AtomicU64,
}

impl Default for CommitLatency {
    fn default() -> Self {
        Self {
            began_us: AtomicU64::new(IDLE),
            ended_us: AtomicU64::new(0),
            average_us: AtomicU64::new(0),
        }
    }
}

impl CommitLatency {
    pub(crate) fn began(&self, now_us: u64) {
        self.began_us.store(now_us, Ordering::Relaxed);
    }

    pub(crate) fn ended(&self, now_us: u64) {
        let took_us = now_us.saturating_sub(self.began_us.swap(IDLE, Ordering::Relaxed));
        let known_us = self.average_us(now_us);
        let average_us = if known_us == 0 {
            took_us
        } else {
            known_us - known_us / AVERAGE_WINDOW + took_us / AVERAGE_WINDOW
        };
        self.average_us.store(average_us, Ordering::Relaxed);
        self.ended_us.store(now_us, Ordering::Relaxed);
    }

    /// What a commit takes, in microseconds; 0 if there was none of late.
    pub(crate) fn us(&self, now_us: u64) -> u64 {
        let began_us = self.began_us.load(Ordering::Relaxed);
        let so_far_us = if began_us == IDLE {
            0
        } else {
            now_us.saturating_sub(began_us)
        };
        so_far_us.max(self.average_us(now_us))
    }

    fn average_us(&self, now_us: u64) -> u64 {
        let age_us = now_us.saturating_sub(self.ended_us.load(Ordering::Relaxed));
        if age_us > FORGOTTEN_US {
            return 0;
        }
        self.average_us.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_counts_while_it_lasts_and_for_a_while_after() {
        let latency = CommitLatency::default();
        assert_eq!(latency.us(5), 0);
        latency.began(1_000);
        assert_eq!(latency.us(31_000_000), 30_999_000);
        latency.ended(1_000 + 8_000);
        assert_eq!(latency.us(10_000), 8_000);
        latency.began(10_000);
        latency.ended(10_000 + 16_000);
        assert_eq!(latency.us(30_000), 9_000);
        assert_eq!(latency.us(26_000 + FORGOTTEN_US + 1), 0);
    }
}
