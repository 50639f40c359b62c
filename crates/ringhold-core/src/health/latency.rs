//! How long answers take, and how long to wait for one before another node is asked as well.
//!
//! Dynamo's promises are about the 99.9th percentile and never about averages (§2.2), and a read that goes to a second
//! replica after the usual time costs little and cuts exactly that tail. "The usual time" is measured: a fixed delay is
//! too long for one network and a doubling of the load on another. Past the 95th percentile, one request in twenty is
//! hedged.
//!
//! Values are counted in buckets whose bounds grow by an eighth, so a quantile is off by at most 12.5 % whatever its size, in
//! a fixed amount of memory. To forget, all counts are halved from time to time: old values fade, and no list of them
//! has to be kept. A quantile is told as the upper bound of its bucket: waiting a little too long errs on the cheap side.

use std::sync::atomic::{AtomicU32, Ordering};

/// Buckets to each power of two.
const SUB_BUCKETS: usize = 8;
const SUB_BITS: u32 = SUB_BUCKETS.trailing_zeros();
/// Values of 2^36 µs (19 hours) and more share the last bucket.
const VALUE_BITS: u32 = 36;
const BUCKETS: usize = (VALUE_BITS - SUB_BITS + 1) as usize * SUB_BUCKETS;

/// Counts of values by size, in microseconds.
#[derive(Clone, Debug)]
pub struct LatencyHistogram {
    counts: Box<[u32; BUCKETS]>,
    total: u64,
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        Self {
            counts: Box::new([0; BUCKETS]),
            total: 0,
        }
    }
}

impl LatencyHistogram {
    pub fn note(&mut self, value_us: u64) {
        let count = &mut self.counts[bucket_of(value_us)];
        if *count < u32::MAX {
            *count += 1;
            self.total += 1;
        }
    }

    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts.iter()) {
            let before = *count;
            *count = before.saturating_add(*more);
            self.total += u64::from(*count - before);
        }
    }

    /// Old values fade: each count becomes a half of what it was, rounded down.
    pub fn halve(&mut self) {
        self.counts.iter_mut().for_each(|count| *count /= 2);
        self.total = self.counts.iter().map(|count| u64::from(*count)).sum();
    }

    pub fn clear(&mut self) {
        self.counts.fill(0);
        self.total = 0;
    }

    #[must_use]
    pub fn count(&self) -> u64 {
        self.total
    }

    /// No more than so many thousandths of the values are greater than this; `None` without values.
    #[must_use]
    pub fn quantile_us(&self, thousandths: u64) -> Option<u64> {
        let rank = (self.total * thousandths.min(1_000)).div_ceil(1_000).max(1);
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += u64::from(*count);
            seen >= rank
        })?;
        Some(upper_bound_of(bucket))
    }
}

/// A histogram that many threads count in without waiting for each other, and that one of them empties.
#[derive(Debug)]
pub struct SharedHistogram(Box<[AtomicU32; BUCKETS]>);

impl Default for SharedHistogram {
    fn default() -> Self {
        Self(Box::new([const { AtomicU32::new(0) }; BUCKETS]))
    }
}

impl SharedHistogram {
    pub fn note(&self, value_us: u64) {
        self.0[bucket_of(value_us)].fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted since the last time. A value that is being counted meanwhile is in this answer or in the next.
    #[must_use]
    pub fn drain(&self) -> LatencyHistogram {
        let mut drained = LatencyHistogram::default();
        for (count, shared) in drained.counts.iter_mut().zip(self.0.iter()) {
            // Most buckets are empty most of the time, and a load is cheaper than a swap.
            if shared.load(Ordering::Relaxed) > 0 {
                *count = shared.swap(0, Ordering::Relaxed);
                drained.total += u64::from(*count);
            }
        }
        drained
    }
}

fn bucket_of(value: u64) -> usize {
    let value = value.min((1 << VALUE_BITS) - 1);
    // Below 2^3 each value has a bucket of its own.
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(SUB_BITS + 1);
    let within =
        usize::try_from(value >> shift).expect("at most twice the buckets of a power of two");
    shift as usize * SUB_BUCKETS + within
}

/// The greatest value of a bucket.
fn upper_bound_of(bucket: usize) -> u64 {
    let shift = (bucket / SUB_BUCKETS).saturating_sub(1);
    let within = bucket - shift * SUB_BUCKETS;
    ((within as u64 + 1) << shift) - 1
}

/// A histogram that forgets: after each half-life, what was counted before weighs half.
#[derive(Clone, Debug)]
pub struct LatencyWindow {
    histogram: LatencyHistogram,
    half_life_us: u64,
    halved_us: Option<u64>,
}

impl LatencyWindow {
    #[must_use]
    pub fn new(half_life_us: u64) -> Self {
        assert!(half_life_us > 0, "time has to pass between two halvings");
        Self {
            histogram: LatencyHistogram::default(),
            half_life_us,
            halved_us: None,
        }
    }

    pub fn note(&mut self, now_us: u64, value_us: u64) {
        self.age(now_us);
        self.histogram.note(value_us);
    }

    /// Forgets as much as the time that has passed asks for.
    pub fn age(&mut self, now_us: u64) {
        let halved_us = *self.halved_us.get_or_insert(now_us);
        let periods = now_us.saturating_sub(halved_us) / self.half_life_us;
        if periods == 0 {
            return;
        }
        (0..periods.min(u64::from(u32::BITS))).for_each(|_| self.histogram.halve());
        self.halved_us = Some(halved_us + periods * self.half_life_us);
    }

    #[must_use]
    pub fn histogram(&self) -> &LatencyHistogram {
        &self.histogram
    }
}

/// How long a read waits for a replica before it asks another one as well.
#[derive(Clone, Copy, Debug)]
pub struct HedgeDelay {
    /// Never sooner: below this, a second request costs more than it saves.
    pub us_min: u64,
    /// Never later, and what is waited while too little is known.
    pub us_max: u64,
}

impl HedgeDelay {
    /// Fewer answers say nothing about one in twenty.
    const ANSWERS_MIN: u64 = 20;

    /// The 95th percentile of what was seen, within the bounds.
    #[must_use]
    pub fn hedge_us(self, seen: &LatencyHistogram) -> u64 {
        assert!(self.us_min <= self.us_max, "{self:?}");
        if seen.count() < Self::ANSWERS_MIN {
            return self.us_max;
        }
        seen.quantile_us(950)
            .map_or(self.us_max, |us| us.clamp(self.us_min, self.us_max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_in_order_without_gaps_and_an_eighth_wide() {
        let mut last = None;
        for bucket in 0..BUCKETS {
            let (low, high) = (last.map_or(0, |last| last + 1), upper_bound_of(bucket));
            assert_eq!((bucket_of(low), bucket_of(high)), (bucket, bucket));
            assert!(high - low <= low / 8, "{low}..={high}");
            last = Some(high);
        }
        assert_eq!(last, Some((1 << VALUE_BITS) - 1));
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_at_most_an_eighth_too_high() {
        let mut histogram = LatencyHistogram::default();
        assert_eq!(histogram.quantile_us(500), None);
        (1..=10_000).for_each(|us| histogram.note(us));
        for (thousandths, exact) in [
            (1, 10),
            (500, 5_000),
            (950, 9_500),
            (999, 9_990),
            (1_000, 10_000),
        ] {
            let found = histogram.quantile_us(thousandths).unwrap();
            assert!(
                (exact..=exact + exact / 8).contains(&found),
                "{thousandths}: {found}"
            );
        }
    }

    #[test]
    fn merging_adds_and_clearing_forgets() {
        let (mut one, mut other) = (LatencyHistogram::default(), LatencyHistogram::default());
        (0..99).for_each(|_| one.note(10));
        other.note(1_000_000);
        one.merge(&other);
        assert_eq!(one.count(), 100);
        assert!(one.quantile_us(990).unwrap() < 12 && one.quantile_us(1_000).unwrap() >= 1_000_000);
        one.clear();
        assert_eq!((one.count(), one.quantile_us(500)), (0, None));
    }

    #[test]
    fn what_is_drained_was_counted_once() {
        let shared = SharedHistogram::default();
        (1..=100).for_each(|us| shared.note(us * 1_000));
        let (first, second) = (shared.drain(), shared.drain());
        assert_eq!((first.count(), second.count()), (100, 0));
        assert!((50_000..57_000).contains(&first.quantile_us(500).unwrap()));
    }

    #[test]
    fn the_past_fades() {
        let mut window = LatencyWindow::new(1_000_000);
        (0..1_000).for_each(|_| window.note(0, 50_000));
        (0..1_000).for_each(|n| window.note(5_000_000 + n, 1_000));
        assert!(window.histogram().quantile_us(950).unwrap() < 1_200);
        window.age(3_600_000_000);
        assert_eq!(window.histogram().count(), 0);
    }

    #[test]
    fn the_hedge_is_bounded_and_waits_for_evidence() {
        let delay = HedgeDelay {
            us_min: 2_000,
            us_max: 50_000,
        };
        for (us, count, expected) in [
            (5_000, 19, 50_000),
            (100, 100, 2_000),
            (900_000, 100, 50_000),
        ] {
            let mut histogram = LatencyHistogram::default();
            (0..count).for_each(|_| histogram.note(us));
            assert_eq!(delay.hedge_us(&histogram), expected, "{us}");
        }
        let mut histogram = LatencyHistogram::default();
        (0..100).for_each(|n| histogram.note(if n < 94 { 5_000 } else { 20_000 }));
        assert!((20_000..22_500).contains(&delay.hedge_us(&histogram)));
    }
}
