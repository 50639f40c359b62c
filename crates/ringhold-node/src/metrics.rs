//! What a node counts, as plain atomics: no locks, no names. The server gives them their names.

use ringhold_core::health::Work;
use std::sync::atomic::{AtomicU64, Ordering};

/// A count that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that rises and falls, never below 0.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    pub(crate) fn rise(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn fall(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    #[must_use]
    pub fn level(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Buckets of a histogram: bucket i counts observations of at most 2^i; the last takes the rest.
pub const HISTOGRAM_BUCKETS: usize = 28;

/// Observations by powers of two.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Counter; HISTOGRAM_BUCKETS],
    sum: Counter,
}

impl Histogram {
    pub fn observe(&self, value: u64) {
        // The smallest i with value ≤ 2^i.
        let bits = u64::BITS - value.saturating_sub(1).leading_zeros();
        let bucket =
            usize::try_from(bits).map_or(HISTOGRAM_BUCKETS - 1, |i| i.min(HISTOGRAM_BUCKETS - 1));
        self.buckets[bucket].add(1);
        self.sum.add(value);
    }

    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum.count()
    }

    /// (upper bound, observations up to it), cumulative; the last bound stands for infinity.
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.buckets
            .iter()
            .enumerate()
            .scan(0, |total, (i, bucket)| {
                *total += bucket.count();
                Some((1 << i, *total))
            })
    }
}

/// Requests that were refused because too many were under way, by who asked.
#[derive(Debug, Default)]
pub struct Shed {
    /// Clients, before anything was done for them.
    pub client: Counter,
    /// Other nodes, on behalf of their clients.
    pub replica: Counter,
    /// Other nodes, on behalf of nobody.
    pub background: Counter,
}

/// What one kind of background work was granted.
#[derive(Debug, Default)]
pub struct BackgroundMetrics {
    /// Steps that were granted.
    pub turns: Counter,
    /// Microseconds that steps took, and that they were waited for.
    pub took_us: Counter,
    pub waited_us: Counter,
    /// Who waits now.
    pub waiting: Gauge,
}

#[derive(Debug, Default)]
pub struct Metrics {
    /// Ring documents that took the place of an earlier one.
    pub epochs_adopted: Counter,
    /// Partitions of which this node has become a home.
    pub partitions_received: Counter,
    /// Objects of partitions that are not this node's, found by sweeps.
    pub strays_found: Counter,
    /// Requests that were asked again because the first try was by an old placement.
    pub placements_behind: Counter,
    /// Microseconds of gets and puts, by how they ended.
    pub gets_answered: Histogram,
    pub gets_failed: Histogram,
    pub puts_acknowledged: Histogram,
    pub puts_not_started: Histogram,
    pub puts_unknown: Histogram,
    pub puts_rejected: Histogram,
    /// Versions in the answers to gets (§6.3).
    pub siblings_returned: Histogram,
    /// Jobs in one commit of a partition group.
    pub group_commit_batch_size: Histogram,
    pub puts_forwarded: Counter,
    /// Updates of data types that a replica could not follow, and was sent whole.
    pub updates_sent_whole: Counter,
    /// Hints that every home has given a receipt for.
    pub hints_delivered: Counter,
    /// Fallbacks that were asked in place of a primary.
    pub stand_ins: Counter,
    /// Comparisons of a partition with another home.
    pub exchanges: Counter,
    /// Keys in which they differed, and that were merged both ways.
    pub keys_mended: Counter,
    /// Questions about keys that this store may have lost.
    pub reads_in_doubt: Counter,
    /// How often this store was compared with every other home, and then known again.
    pub stores_rebuilt: Counter,
    /// Encoded requests of comparisons and replies to them, in bytes.
    pub exchange_bytes_sent: Counter,
    pub exchange_bytes_received: Counter,
    /// Comparisons refused because the other end's trees are made otherwise, or for other nodes.
    pub exchanges_refused: Counter,
    /// Leaves whose sum was not that of the objects there.
    pub leaves_set_right: Counter,
    /// Objects whose index rows were others than theirs.
    pub rows_set_right: Counter,
    /// Listings and index queries that this node coordinated.
    pub queries: Counter,
    /// Pages of them that another home had to be asked for.
    pub query_pages_failed: Counter,
    /// Rows on which the homes that were asked did not agree.
    pub query_rows_settled: Counter,
    /// Leaves in which keys were told apart because their buckets have another number of replicas.
    pub leaves_sorted: Counter,
    /// Records of the dead that this node's store has removed.
    pub tombstones_reaped: Counter,
    /// Candidates that were kept because a member could not be asked,
    pub reaping_obstructed: Counter,
    /// because a member that is no home had something of them or had just sent it home,
    pub reaping_strays: Counter,
    /// and because a primary had something else, or found them too young.
    pub reaping_unlike: Counter,
    /// Versions past their time that answers did not show.
    pub versions_expired: Counter,
    pub read_repairs: Counter,
    pub read_repairs_dropped: Counter,
    pub hedged_reads: Counter,
    /// Hedges that the retry budget did not allow.
    pub hedges_denied: Counter,
    /// How often a peer was taken for down after failures in a row.
    pub peers_gone_down: Counter,
    pub operations_repeated: Counter,
    pub epochs_restarted: Counter,
    /// A client had seen more of this store's writes than the store remembers. Must stay 0, but for writes whose
    /// context is older than a tombstone that was reaped.
    pub own_dot_ahead: Counter,
    pub unreadable_records: Counter,
    /// Rounds of gossip that this node has begun.
    pub gossip_rounds: Counter,
    /// Encoded messages of gossip, in bytes.
    pub gossip_bytes_sent: Counter,
    pub requests_shed: Shed,
    pub checkpoints_failed: Counter,
    background: [BackgroundMetrics; Work::ALL.len()],
    /// Whether the others confirmed that this start may go on under the store's name; 0 or 1.
    pub boots_confirmed: Counter,
    /// Whether it took a new name because they did not; 0 or 1.
    pub boots_doubted: Counter,
}

impl Metrics {
    /// What work of this kind was granted.
    #[must_use]
    pub fn background(&self, work: Work) -> &BackgroundMetrics {
        &self.background[work as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lands_in_the_first_bucket_that_holds_it() {
        let rows = [
            (0, 0),
            (1, 0),
            (2, 1),
            (3, 2),
            (4, 2),
            (5, 3),
            (u64::MAX, HISTOGRAM_BUCKETS - 1),
        ];
        for (value, bucket) in rows {
            let histogram = Histogram::default();
            histogram.observe(value);
            assert_eq!(histogram.buckets[bucket].count(), 1, "{value}");
        }
        let histogram = Histogram::default();
        for value in [1, 2, 100] {
            histogram.observe(value);
        }
        assert_eq!(
            histogram.cumulative().last(),
            Some((1 << (HISTOGRAM_BUCKETS - 1), 3))
        );
        assert_eq!(histogram.sum(), 103);
    }
}
