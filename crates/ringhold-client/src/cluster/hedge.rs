//! When a second replica is asked as well, and how long one is waited for: from the latencies that were seen.
//!
//! The slowest hundredth of reads are slow mostly because of the one node that coordinates them. Asking a second one after most reads
//! are over cuts that tail for a few requests more. After *how* long: at the 95th percentile of recent reads as long as hedges
//! are plenty, later and later up to the 99th as they run out. That they do is what the budget is for: a read earns three
//! hundredths of a hedge, so a cluster that has become slow as a whole is asked three hundredths more and not twice as much.
//!
//! Latencies go into buckets, four for each power of two, and all are halved now and then, so that the last thousand or two count.
//! With fewer than a hundred nobody is hedged: there is no tail to see yet.
//!
//! Pure: nothing here reads a clock.

use std::time::Duration;

const BUCKETS_PER_DOUBLING: u32 = 4;
const BUCKETS: usize = 128;
/// So many count at most; then all are halved.
const SAMPLES_MAX: u32 = 2_048;
const SAMPLES_MIN: u32 = 100;
/// A hedge costs so much.
const HEDGE_COST: u32 = 100;
/// A read earns so much of one.
const READ_GAIN: u32 = 3;
/// So much is kept: ten hedges.
const BALANCE_MAX: u32 = 1_000;
/// No read is hedged sooner: timers are no finer.
const HEDGE_MIN: Duration = Duration::from_millis(1);
/// One node has at least so long before another one is asked instead, however fast answers were.
const PATIENCE_MIN: Duration = Duration::from_millis(200);
/// And so long as long as nobody knows how fast answers are.
const PATIENCE_DEFAULT: Duration = Duration::from_secs(1);
/// And so much longer than the 99th percentile takes.
const PATIENCE_FACTOR: u32 = 10;

/// Latencies that were seen lately.
#[derive(Debug, Clone)]
pub(crate) struct Latencies {
    counts: [u32; BUCKETS],
    total: u32,
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            counts: [0; BUCKETS],
            total: 0,
        }
    }
}

impl Latencies {
    pub(crate) fn record(&mut self, latency: Duration) {
        if self.total >= SAMPLES_MAX {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.total = self.counts.iter().sum();
        }
        self.counts[bucket_of(latency)] += 1;
        self.total += 1;
    }

    /// So many of a thousand were not slower than this; none while there are too few.
    pub(crate) fn quantile(&self, thousandths: u32) -> Option<Duration> {
        if self.total < SAMPLES_MIN {
            return None;
        }
        let wanted = u64::from(self.total) * u64::from(thousandths.min(1_000));
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += u64::from(*count) * 1_000;
            seen >= wanted
        });
        Some(end_of(bucket.unwrap_or(BUCKETS - 1)))
    }

    /// How long one node is waited for, of the time that is left, before another one is asked: never all of it, so that
    /// there is time for the other.
    pub(crate) fn patience(&self, left: Duration) -> Duration {
        let usual = self.quantile(990);
        let usual = usual.map_or(PATIENCE_DEFAULT, |slow| slow * PATIENCE_FACTOR);
        usual.max(PATIENCE_MIN).min(left / 2)
    }
}

/// In microseconds, four buckets a doubling.
fn bucket_of(latency: Duration) -> usize {
    let us = u64::try_from(latency.as_micros())
        .unwrap_or(u64::MAX)
        .max(1);
    let doubling = us.ilog2();
    // The two bits after the first one.
    let part = (us << (63 - doubling) >> 61) & 0b11;
    let bucket = u64::from(doubling * BUCKETS_PER_DOUBLING) + part;
    usize::try_from(bucket).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

/// The end of a bucket.
fn end_of(bucket: usize) -> Duration {
    let bucket = u32::try_from(bucket).expect("there are few");
    let (doubling, part) = (bucket / BUCKETS_PER_DOUBLING, bucket % BUCKETS_PER_DOUBLING);
    let us = (1_u64 << doubling) * u64::from(BUCKETS_PER_DOUBLING + part + 1);
    Duration::from_micros(us / u64::from(BUCKETS_PER_DOUBLING))
}

/// How many reads may still be hedged.
#[derive(Debug, Clone)]
pub(crate) struct HedgeBudget {
    /// Hundredths; `0..=BALANCE_MAX`.
    balance: u32,
}

impl Default for HedgeBudget {
    fn default() -> Self {
        Self {
            balance: BALANCE_MAX / 2,
        }
    }
}

impl HedgeBudget {
    /// A read began: after how long a second node is asked, if the first has not answered by then; none if there is no saying,
    /// or no hedge left.
    pub(crate) fn begin(&mut self, latencies: &Latencies) -> Option<Duration> {
        self.balance = (self.balance + READ_GAIN).min(BALANCE_MAX);
        if self.balance < HEDGE_COST {
            return None;
        }
        // 95 of 100 with a full purse, 99 with an empty one.
        let thousandths = 990 - 40 * self.balance / BALANCE_MAX;
        latencies
            .quantile(thousandths)
            .map(|delay| delay.max(HEDGE_MIN))
    }

    /// Whether a hedge is paid for.
    pub(crate) fn spend(&mut self) -> bool {
        let is_paid = self.balance >= HEDGE_COST;
        if is_paid {
            self.balance -= HEDGE_COST;
        }
        is_paid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn mostly_fast() -> Latencies {
        let mut latencies = Latencies::default();
        for read in 0..1_000_u64 {
            latencies.record(ms(if read % 50 == 0 { 80 } else { 4 }));
        }
        latencies
    }

    #[test]
    fn buckets_hold_what_they_say() {
        for us in (1..5_000).chain([1 << 20, u64::from(u32::MAX), u64::MAX >> 1]) {
            let latency = Duration::from_micros(us);
            let bucket = bucket_of(latency);
            assert!(end_of(bucket) >= latency || bucket == BUCKETS - 1, "{us}");
            if (8..1 << 31).contains(&us) {
                assert!(
                    end_of(bucket) <= latency * 5 / 4 + Duration::from_micros(1),
                    "{us}"
                );
            }
        }
    }

    #[test]
    fn quantiles_follow_what_was_seen_lately() {
        let mut latencies = Latencies::default();
        (1..SAMPLES_MIN).for_each(|_| latencies.record(ms(4)));
        assert_eq!(latencies.quantile(500), None);
        let mut latencies = mostly_fast();
        assert!(latencies.quantile(950).is_some_and(|fast| fast < ms(6)));
        assert!(latencies.quantile(990).is_some_and(|slow| slow >= ms(80)));
        (0..20_000).for_each(|_| latencies.record(ms(1)));
        assert!(latencies.quantile(990).is_some_and(|now| now < ms(2)));
    }

    #[test]
    fn hedges_come_later_as_they_run_out_and_stay_below_a_few_percent() {
        let latencies = mostly_fast();
        let mut budget = HedgeBudget {
            balance: BALANCE_MAX,
        };
        assert!(budget.begin(&latencies).is_some_and(|early| early < ms(6)));
        while budget.balance >= 2 * HEDGE_COST {
            assert!(budget.spend());
        }
        assert!(budget.begin(&latencies).is_some_and(|late| late >= ms(80)));
        let mut hedges = 0;
        for _ in 0..10_000 {
            if budget.begin(&latencies).is_some() && budget.spend() {
                hedges += 1;
            }
        }
        assert!((250..=310).contains(&hedges), "{hedges}");
    }

    #[test]
    fn nobody_is_hedged_before_there_is_a_tail_to_see() {
        assert_eq!(HedgeBudget::default().begin(&Latencies::default()), None);
    }

    #[test]
    fn patience_leaves_time_for_somebody_else() {
        let latencies = mostly_fast();
        assert_eq!(Latencies::default().patience(ms(10_000)), PATIENCE_DEFAULT);
        assert!(latencies.patience(ms(10_000)) < ms(1_200));
        assert_eq!(latencies.patience(ms(300)), ms(150));
        let mut fast = Latencies::default();
        (0..200).for_each(|_| fast.record(ms(1)));
        assert_eq!(fast.patience(ms(10_000)), PATIENCE_MIN);
    }
}
