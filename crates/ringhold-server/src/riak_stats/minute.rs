//! What a node has counted during the last minute.
//!
//! Counts only grow, so those of a minute are the difference to what they were a minute ago: a task notes them every ten
//! seconds, and the oldest of the last seven notes is the beginning.

use ringhold_node::Node;
use ringhold_node::metrics::{HISTOGRAM_BUCKETS, Histogram, Metrics};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

const PAUSE: Duration = Duration::from_secs(10);
/// Six pauses are a minute.
const SAMPLES: usize = 6;

/// Counts of one time, or what they grew by between two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) gets: Observed,
    pub(super) puts: Observed,
    pub(super) siblings: Observed,
    pub(super) read_repairs: u64,
    pub(super) puts_forwarded: u64,
}

impl Sample {
    pub(super) fn of(metrics: &Metrics) -> Self {
        Self {
            gets: Observed::of(&[&metrics.gets_answered, &metrics.gets_failed]),
            puts: Observed::of(&[
                &metrics.puts_acknowledged,
                &metrics.puts_not_started,
                &metrics.puts_unknown,
                &metrics.puts_rejected,
            ]),
            siblings: Observed::of(&[&metrics.siblings_returned]),
            read_repairs: metrics.read_repairs.count(),
            puts_forwarded: metrics.puts_forwarded.count(),
        }
    }

    fn since(&self, earlier: &Self) -> Self {
        Self {
            gets: self.gets.since(&earlier.gets),
            puts: self.puts.since(&earlier.puts),
            siblings: self.siblings.since(&earlier.siblings),
            read_repairs: self.read_repairs.saturating_sub(earlier.read_repairs),
            puts_forwarded: self.puts_forwarded.saturating_sub(earlier.puts_forwarded),
        }
    }
}

/// Observations by powers of two: the bucket at `i` has those above the bound of the one before and up to 2^i.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Observed {
    buckets: [u64; HISTOGRAM_BUCKETS],
    sum: u64,
}

impl Observed {
    fn of(histograms: &[&Histogram]) -> Self {
        let mut observed = Self::default();
        for histogram in histograms {
            let mut below = 0;
            for (bucket, (_, up_to)) in observed.buckets.iter_mut().zip(histogram.cumulative()) {
                *bucket += up_to.saturating_sub(below);
                below = up_to;
            }
            observed.sum += histogram.sum();
        }
        observed
    }

    fn since(&self, earlier: &Self) -> Self {
        let mut since = self.clone();
        for (bucket, earlier) in since.buckets.iter_mut().zip(earlier.buckets) {
            *bucket = bucket.saturating_sub(earlier);
        }
        since.sum = self.sum.saturating_sub(earlier.sum);
        since
    }

    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// 0 of nothing.
    pub(super) fn mean(&self) -> u64 {
        self.sum.checked_div(self.count()).unwrap_or(0)
    }

    /// The upper end of the bucket that holds this percentile; 0 of nothing.
    pub(super) fn percentile(&self, percent: u64) -> u64 {
        let rank = self.count().saturating_mul(percent).div_ceil(100);
        let mut reached = 0;
        for (at, bucket) in self.buckets.iter().enumerate() {
            reached += bucket;
            if reached > 0 && reached >= rank {
                return 1 << at;
            }
        }
        0
    }
}

/// Notes of the last minute.
#[derive(Debug, Default)]
pub(crate) struct LastMinute {
    /// Oldest first.
    samples: Mutex<VecDeque<Sample>>,
}

impl LastMinute {
    /// Takes notes as long as the node is there.
    pub(crate) async fn follow(self: Arc<Self>, node: Weak<Node>) {
        let mut pause = tokio::time::interval(PAUSE);
        loop {
            pause.tick().await;
            let Some(node) = node.upgrade() else {
                return;
            };
            self.note(Sample::of(node.metrics()));
        }
    }

    fn note(&self, sample: Sample) {
        let mut samples = self.samples();
        samples.push_back(sample);
        if samples.len() > SAMPLES {
            samples.pop_front();
        }
    }

    /// What was counted since the oldest note; of a node that has just started, since it did.
    pub(super) fn until(&self, now: &Sample) -> Sample {
        now.since(self.samples().front().unwrap_or(&Sample::default()))
    }

    fn samples(&self) -> MutexGuard<'_, VecDeque<Sample>> {
        // A list of counts is never half-written.
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(values: &[u64]) -> Observed {
        let histogram = Histogram::default();
        for &value in values {
            histogram.observe(value);
        }
        Observed::of(&[&histogram])
    }

    #[test]
    fn percentiles_are_upper_ends_of_buckets() {
        let nothing = observed(&[]);
        assert_eq!(
            (
                nothing.mean(),
                nothing.percentile(50),
                nothing.percentile(100)
            ),
            (0, 0, 0)
        );
        let some = observed(&[3, 3, 3, 100]);
        assert_eq!((some.count(), some.mean()), (4, 27));
        assert_eq!(
            (
                some.percentile(50),
                some.percentile(75),
                some.percentile(95)
            ),
            (4, 4, 128)
        );
        assert_eq!(observed(&[1]).percentile(50), 1);
    }

    #[test]
    fn a_minute_is_what_came_since_its_first_note() {
        let minute = LastMinute::default();
        let sample = |read_repairs| Sample {
            read_repairs,
            ..Sample::default()
        };
        assert_eq!(minute.until(&sample(5)), sample(5), "nothing was noted yet");
        for noted in 0..10 {
            minute.note(sample(noted));
        }
        assert_eq!(minute.until(&sample(20)), sample(16));
    }
}
