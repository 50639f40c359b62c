//! Latencies: recorded in a histogram of constant precision, told as percentiles.
//!
//! Averages hide what users feel, so the paper measures at the 99.9th percentile (§2.2). The
//! histogram keeps three significant digits from a microsecond to an hour.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

const LATENCY_US_MAX: u64 = 3_600_000_000;
/// Between two points of a curve, in nines: eight from the 90th percentile to the 99th.
const CURVE_STEP_NINES: f64 = 0.125;
/// Heading and quantile.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999)];

/// Latencies of one kind of operation.
#[derive(Debug, Clone)]
pub(crate) struct Latencies {
    histogram: Histogram<u64>,
}

impl Default for Latencies {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3)
            .expect("one microsecond to one hour in three digits is a valid range");
        Self { histogram }
    }
}

impl Latencies {
    pub(crate) fn record(&mut self, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.histogram.saturating_record(us.max(1));
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.histogram
            .add(&other.histogram)
            .expect("all histograms have the same bounds");
    }

    pub(crate) fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The latency that this share of the operations did not exceed; `None` without operations.
    pub(crate) fn at(&self, quantile: f64) -> Option<Duration> {
        (self.count() > 0)
            .then(|| Duration::from_micros(self.histogram.value_at_quantile(quantile)))
    }

    /// What it would have been if each connection had gone on asking at its mean pace during its long waits (Gil Tene's correction): a
    /// latency of many paces also counts for those who would have come meanwhile, each with what was left of the wait.
    pub(crate) fn corrected(&self, pace: Duration) -> Self {
        let us = u64::try_from(pace.as_micros()).unwrap_or(u64::MAX);
        Self {
            histogram: self.histogram.clone_correct(us.max(1)),
        }
    }

    /// Quantiles in nines (0.9 has one, 0.99 two) and microseconds, as close together as is worth drawing.
    pub(crate) fn curve(&self) -> Vec<(f64, u64)> {
        let count = self.count() as f64;
        let points = (0..).map(|step| f64::from(step) * CURVE_STEP_NINES);
        points
            .take_while(|nines| count > 0.0 && *nines <= count.log10())
            .map(|nines| {
                let quantile = 1.0 - 10_f64.powf(-nines);
                (nines, self.histogram.value_at_quantile(quantile))
            })
            .collect()
    }

    pub(crate) fn max(&self) -> Option<Duration> {
        (self.count() > 0).then(|| Duration::from_micros(self.histogram.max()))
    }

    pub(crate) fn mean(&self) -> Option<Duration> {
        (self.count() > 0).then(|| Duration::from_secs_f64(self.histogram.mean() / 1e6))
    }

    /// The headings of [`Latencies::cells`].
    pub(crate) fn headings() -> [&'static str; 6] {
        let [p50, p95, p99, p999] = QUANTILES.map(|(heading, _)| heading);
        ["mean", p50, p95, p99, p999, "max"]
    }

    /// Milliseconds, or a dash where there was no operation.
    pub(crate) fn cells(&self) -> [String; 6] {
        let [p50, p95, p99, p999] = QUANTILES.map(|(_, quantile)| self.at(quantile));
        [self.mean(), p50, p95, p99, p999, self.max()].map(milliseconds)
    }

    pub(crate) fn to_json(&self) -> Value {
        let us = |latency: Option<Duration>| latency.map(|latency| latency.as_micros() as f64);
        let mut out = json!({ "count": self.count(), "mean_us": us(self.mean()) });
        for (heading, quantile) in QUANTILES {
            out[format!("{}_us", heading.replace('.', "_"))] = json!(us(self.at(quantile)));
        }
        out["max_us"] = json!(us(self.max()));
        out
    }
}

/// The same in two digits and as much memory as it needs: one for each second of a run.
#[derive(Debug, Clone)]
pub(crate) struct Coarse {
    histogram: Histogram<u64>,
}

impl Default for Coarse {
    fn default() -> Self {
        Self {
            histogram: Histogram::new(2).expect("two digits are a valid precision"),
        }
    }
}

impl Coarse {
    pub(crate) fn record(&mut self, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let recorded = self.histogram.record(us.clamp(1, LATENCY_US_MAX));
        recorded.expect("it grows to an hour");
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        let added = self.histogram.add(&other.histogram);
        added.expect("it grows to what others hold");
    }

    pub(crate) fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// Microseconds; `None` without operations.
    pub(crate) fn at(&self, quantile: f64) -> Option<u64> {
        (self.count() > 0).then(|| self.histogram.value_at_quantile(quantile))
    }
}

fn milliseconds(latency: Option<Duration>) -> String {
    match latency {
        Some(latency) => format!("{:.2} ms", latency.as_secs_f64() * 1e3),
        None => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut latencies = Latencies::default();
        for ms in 1..=1_000 {
            latencies.record(Duration::from_millis(ms));
        }
        let near = |quantile, ms: f64| {
            let found = latencies.at(quantile).expect("recorded").as_secs_f64() * 1e3;
            assert!(
                (found - ms).abs() <= ms / 500.0,
                "{quantile}: {found} is not near {ms}"
            );
        };
        near(0.5, 500.0);
        near(0.99, 990.0);
        near(0.999, 999.0);
        near(1.0, 1_000.0);
    }

    #[test]
    fn nothing_recorded_is_no_number() {
        let latencies = Latencies::default();
        assert_eq!(latencies.cells(), ["-"; 6].map(str::to_owned));
        assert_eq!(latencies.to_json()["p99_9_us"], Value::Null);
    }

    #[test]
    fn extremes_are_kept_at_the_bounds() {
        let mut latencies = Latencies::default();
        latencies.record(Duration::ZERO);
        latencies.record(Duration::MAX);
        assert_eq!(latencies.count(), 2);
        assert!(latencies.at(1.0) >= Some(Duration::from_secs(3_590)));
    }

    /// A hundred requests of a millisecond each, and one of a second: at a pace of a millisecond a thousand would have come
    /// during it, waiting 999 ms, 998 ms and so on.
    #[test]
    fn a_long_wait_counts_for_those_who_would_have_come() {
        let mut latencies = Latencies::default();
        for _ in 0..100 {
            latencies.record(Duration::from_millis(1));
        }
        latencies.record(Duration::from_secs(1));
        assert!(latencies.at(0.9) <= Some(Duration::from_micros(1_001)));
        let corrected = latencies.corrected(Duration::from_millis(1));
        assert!(
            (1_095..=1_105).contains(&corrected.count()),
            "{}",
            corrected.count()
        );
        let half = corrected.at(0.5).expect("recorded").as_millis();
        assert!((440..=460).contains(&half), "{half}");
        // Nobody waits for longer than two paces: nothing was left out.
        let mut quick = Latencies::default();
        for us in [900, 1_000, 1_900] {
            quick.record(Duration::from_micros(us));
        }
        assert_eq!(quick.corrected(Duration::from_millis(1)).count(), 3);
    }

    #[test]
    fn a_curve_ends_where_there_is_one_operation_left() {
        assert_eq!(Latencies::default().curve(), []);
        let mut latencies = Latencies::default();
        for us in 1..=1_000 {
            latencies.record(Duration::from_micros(us));
        }
        let curve = latencies.curve();
        assert_eq!(curve.first(), Some(&(0.0, 1)));
        assert_eq!(
            curve.len(),
            25,
            "three nines of eight steps, and the first point"
        );
        assert!(curve.is_sorted_by(|one, two| one.0 < two.0 && one.1 <= two.1));
    }

    #[test]
    fn seconds_take_what_they_need() {
        let mut coarse = Coarse::default();
        assert_eq!(coarse.at(0.5), None);
        coarse.record(Duration::ZERO);
        coarse.record(Duration::MAX);
        let mut other = Coarse::default();
        other.record(Duration::from_millis(10));
        other.merge(&coarse);
        assert_eq!(other.count(), 3);
        assert!(
            other
                .at(0.5)
                .is_some_and(|us| (9_900..=10_100).contains(&us))
        );
    }

    #[test]
    fn merging_adds() {
        let mut one = Latencies::default();
        one.record(Duration::from_millis(1));
        let mut two = Latencies::default();
        two.record(Duration::from_millis(3));
        one.merge(&two);
        assert_eq!(one.count(), 2);
        assert!(one.at(0.5) < Some(Duration::from_millis(2)));
        assert!(one.at(1.0) >= Some(Duration::from_millis(3)));
    }
}
