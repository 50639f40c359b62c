//! How unlikely a silence is (Hayashibara et al., *The φ accrual failure detector*, 2004).
//!
//! A detector with a deadline answers yes or no, and its one number is wrong for some network. φ says instead how surprising the
//! silence since the last heartbeat is, given how regular heartbeats were: φ = −log₁₀ P(an interval is longer than this
//! one), with intervals taken as normally distributed. φ = 1 is wrong one time in ten, φ = 8 one time in
//! a hundred million; whoever acts picks the risk that its action may have.
//!
//! Two corrections, both against taking our own trouble for that of others (T25):
//! - the standard deviation has a floor: heartbeats that were regular to the microsecond must not make one late
//!   millisecond a catastrophe;
//! - [`LocalPause`]: when this process stood still (a stalled CPU, a paused machine), everybody was silent to
//!   it, and that says nothing about anybody. Its own tick tells; the silence is then forgotten, not learnt.
//!
//! The sums over the window are integers, so that they stay exact however long it slides.
//!
//! φ is shown to operators; routing goes by [`super::experience`].

use std::collections::VecDeque;

/// Intervals that are remembered: about a quarter of an hour of heartbeats.
const INTERVALS_MAX: usize = 1_000;
/// Longer intervals are taken as this long, an hour: the sums of squares then fit.
const INTERVAL_US_MAX: u64 = 3_600_000_000;
/// No greater φ is told. The chance it stands for is beyond any clock's life.
const PHI_MAX: f64 = 1_000.0;

/// The arrivals of one peer's heartbeats.
#[derive(Clone, Debug)]
pub struct Phi {
    intervals_us: VecDeque<u64>,
    sum_us: u128,
    sum_of_squares: u128,
    last_us: Option<u64>,
    expected_us: u64,
    deviation_us_min: u64,
}

impl Phi {
    /// A detector for heartbeats that are sent every `expected_us`, which is what it goes by until there are intervals.
    /// `deviation_us_min` is the least standard deviation that it believes in.
    #[must_use]
    pub fn new(expected_us: u64, deviation_us_min: u64) -> Self {
        assert!(deviation_us_min > 0, "φ divides by the deviation");
        Self {
            intervals_us: VecDeque::new(),
            sum_us: 0,
            sum_of_squares: 0,
            last_us: None,
            expected_us,
            deviation_us_min,
        }
    }

    /// A heartbeat has arrived.
    pub fn heartbeat(&mut self, now_us: u64) {
        if let Some(last_us) = self.last_us {
            self.learn(now_us.saturating_sub(last_us).min(INTERVAL_US_MAX));
        }
        self.last_us = self.last_us.max(Some(now_us));
    }

    /// The silence so far means nothing: it begins anew, and its length is not learnt.
    pub fn excuse(&mut self, now_us: u64) {
        if self.last_us.is_some() {
            self.last_us = self.last_us.max(Some(now_us));
        }
    }

    /// How surprising the silence is; 0 before the first heartbeat.
    #[must_use]
    pub fn phi(&self, now_us: u64) -> f64 {
        let Some(last_us) = self.last_us else {
            return 0.0;
        };
        let silent_us = now_us.saturating_sub(last_us);
        let (mean_us, deviation_us) = self.mean_and_deviation_us();
        surprise((float(silent_us) - mean_us) / deviation_us)
    }

    fn learn(&mut self, interval_us: u64) {
        self.intervals_us.push_back(interval_us);
        self.sum_us += u128::from(interval_us);
        self.sum_of_squares += u128::from(interval_us).pow(2);
        if self.intervals_us.len() > INTERVALS_MAX
            && let Some(oldest_us) = self.intervals_us.pop_front()
        {
            self.sum_us -= u128::from(oldest_us);
            self.sum_of_squares -= u128::from(oldest_us).pow(2);
        }
    }

    fn mean_and_deviation_us(&self) -> (f64, f64) {
        let floor_us = float(self.deviation_us_min);
        let count = self.intervals_us.len() as u128;
        if count == 0 {
            return (float(self.expected_us), floor_us);
        }
        // n·Σx² − (Σx)² is never negative, and exact.
        let spread = count * self.sum_of_squares - self.sum_us.pow(2);
        let deviation_us = (spread as f64).sqrt() / count as f64;
        (
            self.sum_us as f64 / count as f64,
            deviation_us.max(floor_us),
        )
    }
}

/// Times here are below 2^53 µs, three centuries.
fn float(us: u64) -> f64 {
    us as f64
}

/// −log₁₀ of the chance that a standard normal variable is greater than `x`.
fn surprise(x: f64) -> f64 {
    if x < 0.0 {
        return -(1.0 - upper_tail(-x)).log10();
    }
    if x < 2.0 {
        return -upper_tail(x).log10();
    }
    // Far out the tail underflows, so its logarithm is computed: the density over Laplace's continued fraction.
    let fraction = (1..=40).rev().fold(x, |below, k| x + f64::from(k) / below);
    let natural = -x * x / 2.0 - (2.0 * std::f64::consts::PI).sqrt().ln() - fraction.ln();
    (-natural * std::f64::consts::LOG10_E).min(PHI_MAX)
}

/// The chance of more than `x ≥ 0`, to seven decimals (Abramowitz and Stegun, 26.2.17).
fn upper_tail(x: f64) -> f64 {
    const COEFFICIENTS: [f64; 5] = [
        1.330_274_429,
        -1.821_255_978,
        1.781_477_937,
        -0.356_563_782,
        0.319_381_530,
    ];
    let t = 1.0 / (1.0 + 0.231_641_9 * x);
    let polynomial = COEFFICIENTS.iter().fold(0.0, |sum, c| (sum + c) * t);
    let density = (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    density * polynomial
}

/// Whether this process itself stood still, by its own tick.
#[derive(Clone, Copy, Debug)]
pub struct LocalPause {
    interval_us: u64,
    last_tick_us: u64,
    resumed_us: u64,
}

impl LocalPause {
    /// For a tick that is due every `interval_us`, from now on.
    #[must_use]
    pub fn new(interval_us: u64, now_us: u64) -> Self {
        Self {
            interval_us,
            last_tick_us: now_us,
            resumed_us: 0,
        }
    }

    /// The tick. True if it comes late by more than an interval: then whoever was silent since the last one is excused.
    pub fn tick(&mut self, now_us: u64) -> bool {
        let late = self.is_overdue(now_us);
        if late {
            self.resumed_us = now_us;
        }
        self.last_tick_us = self.last_tick_us.max(now_us);
        late
    }

    /// Whether the silence of one who was asked at `sent_us` may be this process's own: a pause lies within it, or one has
    /// just ended and the tick has not come round to saying so.
    #[must_use]
    pub fn excuses(&self, sent_us: u64, now_us: u64) -> bool {
        sent_us < self.resumed_us || self.is_overdue(now_us)
    }

    fn is_overdue(&self, now_us: u64) -> bool {
        now_us.saturating_sub(self.last_tick_us) > 2 * self.interval_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surprise_is_the_logarithm_of_the_normal_tail() {
        let rows = [
            (-3.090_232, 0.000_434_5),
            (0.0, std::f64::consts::LOG10_2),
            (1.281_552, 1.0),
            (1.999_999, 1.643_02),
            (2.0, 1.643_02),
            (3.090_232, 3.0),
            (4.753_424, 6.0),
            (6.361_341, 10.0),
            (1.0e9, PHI_MAX),
        ];
        for (x, expected) in rows {
            let found = surprise(x);
            assert!((found - expected).abs() < 1e-4, "{x}: {found}");
        }
    }

    #[test]
    fn the_window_slides_exactly() {
        let mut phi = Phi::new(1_000_000, 1);
        let mut now_us = 0;
        for beat in 0..5_000_u64 {
            now_us += if beat < 3_000 { 7_000_000 } else { 1_000_000 };
            phi.heartbeat(now_us);
        }
        let (mean_us, deviation_us) = phi.mean_and_deviation_us();
        assert!((mean_us - 1_000_000.0).abs() < 1e-6 && (deviation_us - 1.0).abs() < 1e-6);
        assert_eq!(phi.intervals_us.len(), INTERVALS_MAX);
    }

    #[test]
    fn before_the_first_heartbeat_nothing_is_suspected() {
        let mut phi = Phi::new(1_000_000, 100_000);
        assert!(phi.phi(u64::MAX) == 0.0);
        phi.excuse(5);
        assert!(phi.phi(u64::MAX) == 0.0);
        phi.heartbeat(10);
        assert!(phi.phi(10) < 0.001 && phi.phi(10_000_000) > 8.0);
    }

    #[test]
    fn a_late_tick_excuses_what_was_asked_before_it() {
        let mut pause = LocalPause::new(100, 1_000);
        assert!(
            !pause.tick(1_100) && !pause.tick(1_300),
            "late by one interval at most"
        );
        assert!(!pause.excuses(1_200, 1_400));
        assert!(pause.excuses(1_200, 1_501), "the tick itself is overdue");
        assert!(pause.tick(1_501));
        assert!(pause.excuses(1_500, 1_550) && !pause.excuses(1_501, 1_700));
    }
}
