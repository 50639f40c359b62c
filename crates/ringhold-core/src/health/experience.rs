//! What a node's own two-way experience says of a peer.
//!
//! The only proof that requests to a peer are answered is that they are. A heartbeat that arrives shows one direction and one
//! thread; gossip shows that somebody else reaches it. In a partial partition both go on saying "alive" while every
//! request runs into its deadline (T27), and a peer whose disk takes thirty seconds sends the best of heartbeats (T23). So a peer's
//! [`Standing`] comes from requests and their replies, and from what the peer says of its own queue and disk:
//!
//! - **Down**: the [`Breaker`] is not closed. Failures in a row opened it, and not enough answers have closed it yet.
//! - **Slow**: it answers, and is better left alone: it has refused for overload just now, reports a long queue, a slow disk or a full one,
//!   or its 95th percentile is far above that of the others. It is asked last and not chosen to coordinate.
//! - **Up**: neither.
//!
//! Both steps have hysteresis. Down ends by a few answers in a row. Slow begins at once and ends when a few beats in a row found
//! everything below half of what began it.
//!
//! Invariants: the answer to one request never takes a peer from Down to anything else; nothing that was said *about* a
//! peer by somebody else is an argument of any function here.
//!
//! Not here: whether there is a connection at all, which the host knows at once, and whether this node itself
//! stood still ([`super::phi::LocalPause`]): silence that may be its own must not be reported.

use super::breaker::{Breaker, BreakerLimits};
use super::disk::DiskLevel;
use super::latency::{LatencyHistogram, LatencyWindow};

/// How requests to a peer fare; the better, the smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    Up,
    Slow,
    Down,
}

/// What a peer says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reported {
    /// Jobs in the longest queue in front of its disk.
    pub queue_jobs: u32,
    /// How long its disk takes for a commit, or has been at one that has not ended. Microseconds.
    pub disk_latency_us: u64,
    /// How full its disk is.
    pub disk: DiskLevel,
    /// What its wall clock shows. Microseconds since 1970.
    pub wall_us: u64,
}

/// When a peer is slow, and when it is down.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    pub breaker: BreakerLimits,
    /// Slow from this many jobs.
    pub queue_jobs: u32,
    /// Slow from this disk latency. A disk that is within a hundred milliseconds is merely busy.
    pub disk_latency_us: u64,
    /// Slow where the 95th percentile is so many times that of the others, and not below this many microseconds.
    pub outlier_factor: u64,
    pub outlier_us_min: u64,
    /// The same for its disk. Another is asked instead for next to nothing, so the bounds are narrow.
    pub disk_outlier_factor: u64,
    pub disk_outlier_us_min: u64,
    /// How long a refusal for overload is remembered.
    pub overload_us: u64,
    /// Beats in a row at which all is calm that end Slow.
    pub calm_beats: u32,
    /// After this time a latency weighs half.
    pub half_life_us: u64,
}

impl Thresholds {
    /// From where on a disk is slow: a latency that is slow anywhere, or many times what the disks of the others take.
    #[must_use]
    pub fn slow_disk_us(&self, others_us: Option<u64>) -> u64 {
        let outlier_us = others_us.map_or(u64::MAX, |others_us| {
            others_us
                .saturating_mul(self.disk_outlier_factor)
                .max(self.disk_outlier_us_min)
        });
        outlier_us.min(self.disk_latency_us)
    }
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            breaker: BreakerLimits::default(),
            queue_jobs: 500,
            disk_latency_us: 1_000_000,
            outlier_factor: 8,
            outlier_us_min: 20_000,
            disk_outlier_factor: 4,
            disk_outlier_us_min: 5_000,
            overload_us: 1_000_000,
            calm_beats: 3,
            half_life_us: 10_000_000,
        }
    }
}

/// The weight of the newest answer in the average latency: one in this many.
const AVERAGE_WINDOW: u64 = 16;
/// Fewer answers make no outlier.
const OUTLIER_ANSWERS_MIN: u64 = 20;

/// See the module.
#[derive(Clone, Debug)]
pub struct Experience {
    thresholds: Thresholds,
    breaker: Breaker,
    average_us: Option<u64>,
    latencies: LatencyWindow,
    reported: Option<Reported>,
    /// How long the disks of the others take.
    others_disk_us: Option<u64>,
    overloaded_us: Option<u64>,
    is_slow: bool,
    calm_beats: u32,
}

impl Experience {
    /// A peer that nothing is known of is up.
    #[must_use]
    pub fn new(thresholds: Thresholds) -> Self {
        Self {
            breaker: Breaker::new(thresholds.breaker),
            average_us: None,
            latencies: LatencyWindow::new(thresholds.half_life_us),
            reported: None,
            others_disk_us: None,
            overloaded_us: None,
            is_slow: false,
            calm_beats: 0,
            thresholds,
        }
    }

    #[must_use]
    pub fn standing(&self) -> Standing {
        match (self.breaker.is_closed(), self.is_slow) {
            (false, _) => Standing::Down,
            (true, true) => Standing::Slow,
            (true, false) => Standing::Up,
        }
    }

    /// How long answers take, in an average that forgets; `None` before the first.
    #[must_use]
    pub fn latency_us(&self) -> Option<u64> {
        self.average_us
    }

    /// How long answers took lately.
    #[must_use]
    pub fn latencies(&self) -> &LatencyHistogram {
        self.latencies.histogram()
    }

    #[must_use]
    pub fn reported(&self) -> Option<Reported> {
        self.reported
    }

    /// It answered something that it could answer by itself.
    pub fn answered(&mut self, now_us: u64, latency_us: u64) {
        let average_us = self.average_us.map_or(latency_us, |known| {
            known - known / AVERAGE_WINDOW + latency_us / AVERAGE_WINDOW
        });
        self.average_us = Some(average_us.max(1));
        self.latencies.note(now_us, latency_us);
        self.acknowledged(now_us, now_us.saturating_sub(latency_us));
    }

    /// It answered what was sent at `sent_us`, in a time that says nothing about it: a write that waited for a
    /// flush, or a request for which it had to wait for others itself.
    pub fn acknowledged(&mut self, now_us: u64, sent_us: u64) {
        self.breaker.answered(now_us, sent_us);
    }

    /// It refused because a queue is full: it lives, and should be left alone for a while.
    pub fn overloaded(&mut self, now_us: u64, sent_us: u64) {
        self.overloaded_us = Some(now_us);
        self.judge(now_us, None);
        self.acknowledged(now_us, sent_us);
    }

    /// A request could not be sent, or its connection broke.
    pub fn refused(&mut self, now_us: u64, sent_us: u64) {
        self.breaker.failed(now_us, sent_us);
    }

    /// The deadline of what was sent at `sent_us` has passed. Only for deadlines that a healthy peer meets.
    pub fn silent(&mut self, now_us: u64, sent_us: u64) {
        self.breaker.failed(now_us, sent_us);
    }

    /// There is a new connection: a peer that is down may be tried at once.
    pub fn reconnected(&mut self) {
        self.breaker.reconsider();
    }

    /// Whether a probe should go out now to a peer that is down; if so, it is taken to go out.
    pub fn admits_probe(&mut self, now_us: u64) -> bool {
        self.breaker.admits_probe(now_us)
    }

    /// It has told how it is.
    pub fn report(&mut self, now_us: u64, reported: Reported) {
        self.reported = Some(reported);
        self.judge(now_us, None);
    }

    /// How long the disks of the others take, before a [`Experience::beat`].
    pub fn compare_disk(&mut self, others_us: Option<u64>) {
        self.others_disk_us = others_us;
    }

    /// Once with each heartbeat, whether or not it is answered; with the 95th percentile of the others, if they have one.
    pub fn beat(&mut self, now_us: u64, others_us: Option<u64>) {
        self.latencies.age(now_us);
        self.judge(now_us, others_us);
        if !self.is_slow || self.strain(now_us, others_us, 2) {
            self.calm_beats = 0;
            return;
        }
        self.calm_beats += 1;
        if self.calm_beats >= self.thresholds.calm_beats {
            self.is_slow = false;
            self.calm_beats = 0;
        }
    }

    /// The 95th percentile of its answers, with enough of them.
    #[must_use]
    pub fn high_latency_us(&self) -> Option<u64> {
        let latencies = self.latencies.histogram();
        (latencies.count() >= OUTLIER_ANSWERS_MIN).then(|| latencies.quantile_us(950))?
    }

    fn judge(&mut self, now_us: u64, others_us: Option<u64>) {
        if self.strain(now_us, others_us, 1) {
            self.is_slow = true;
            self.calm_beats = 0;
        }
    }

    /// Whether anything is at its threshold, or at so small a part of it.
    fn strain(&self, now_us: u64, others_us: Option<u64>, part: u32) -> bool {
        let Thresholds {
            queue_jobs,
            outlier_factor,
            outlier_us_min,
            overload_us,
            ..
        } = self.thresholds;
        let reports = self.reported.is_some_and(|reported| {
            let slow_disk_us = self.thresholds.slow_disk_us(self.others_disk_us);
            reported.queue_jobs >= queue_jobs / part
                || reported.disk_latency_us >= slow_disk_us / u64::from(part)
                || reported.disk >= DiskLevel::Full
        });
        let refuses = self
            .overloaded_us
            .is_some_and(|at_us| now_us.saturating_sub(at_us) < overload_us);
        let lags = self
            .high_latency_us()
            .zip(others_us)
            .is_some_and(|(own, others)| {
                let limit_us = others.saturating_mul(outlier_factor).max(outlier_us_min);
                own >= limit_us / u64::from(part)
            });
        reports || refuses || lags
    }
}

/// Of the 95th percentiles of several peers, the one that stands for "the others" of each: the lower median, so that with two
/// of which one is slow it is the fast one that the other is held against.
#[must_use]
pub fn typical_us(mut high_latencies_us: Vec<u64>) -> Option<u64> {
    high_latencies_us.sort_unstable();
    let middle = high_latencies_us.len().checked_sub(1)? / 2;
    high_latencies_us.get(middle).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000;

    fn fresh() -> Experience {
        Experience::new(Thresholds::default())
    }

    fn calm(experience: &mut Experience, from_us: u64, beats: u64) {
        (0..beats).for_each(|beat| experience.beat(from_us + beat * S, Some(1_000)));
    }

    #[test]
    fn a_strained_peer_is_slow_until_it_was_calm_for_a_few_beats() {
        let slow_disk = Reported {
            queue_jobs: 0,
            disk_latency_us: S,
            ..Reported::default()
        };
        let long_queue = Reported {
            queue_jobs: 500,
            ..Reported::default()
        };
        for reported in [slow_disk, long_queue] {
            let mut peer = fresh();
            peer.report(0, reported);
            assert_eq!(peer.standing(), Standing::Slow);
            let halfway = Reported {
                queue_jobs: reported.queue_jobs / 2,
                disk_latency_us: reported.disk_latency_us / 2,
                ..reported
            };
            peer.report(S, halfway);
            calm(&mut peer, S, 100);
            assert_eq!(peer.standing(), Standing::Slow, "half is not calm");
            peer.report(200 * S, Reported::default());
            calm(&mut peer, 200 * S, 2);
            assert_eq!(peer.standing(), Standing::Slow);
            calm(&mut peer, 202 * S, 1);
            assert_eq!(peer.standing(), Standing::Up);
        }
    }

    #[test]
    fn a_disk_is_held_against_those_of_the_others() {
        let takes = |disk_latency_us| Reported {
            disk_latency_us,
            ..Reported::default()
        };
        for (others_us, own_us, expected) in [
            (None, 900_000, Standing::Up),
            (Some(900_000), 900_000, Standing::Up),
            (Some(400_000), 1_000_000, Standing::Slow),
            (Some(100), 4_900, Standing::Up),
            (Some(100), 5_000, Standing::Slow),
            (Some(10_000), 39_000, Standing::Up),
            (Some(10_000), 40_000, Standing::Slow),
        ] {
            let mut peer = fresh();
            peer.compare_disk(others_us);
            peer.report(0, takes(own_us));
            assert_eq!(peer.standing(), expected, "{own_us} against {others_us:?}");
            peer.report(S, takes(1_000));
            calm(&mut peer, S, 3);
            assert_eq!(peer.standing(), Standing::Up);
        }
    }

    #[test]
    fn a_peer_whose_disk_is_full_is_asked_last() {
        let mut peer = fresh();
        for (at, disk, expected) in [
            (0, DiskLevel::Low, Standing::Up),
            (1, DiskLevel::Full, Standing::Slow),
            (2, DiskLevel::Exhausted, Standing::Slow),
        ] {
            let reported = Reported {
                disk,
                ..Reported::default()
            };
            peer.report(at * S, reported);
            assert_eq!(peer.standing(), expected, "{disk:?}");
        }
        peer.report(3 * S, Reported::default());
        calm(&mut peer, 3 * S, 3);
        assert_eq!(peer.standing(), Standing::Up);
    }

    #[test]
    fn who_refuses_for_overload_is_slow_and_not_down() {
        let mut peer = fresh();
        (0..100).for_each(|n| peer.overloaded(n * S, n * S));
        assert_eq!(peer.standing(), Standing::Slow);
        calm(&mut peer, 101 * S, 3);
        assert_eq!(peer.standing(), Standing::Up);
    }

    #[test]
    fn who_takes_many_times_as_long_as_the_others_is_slow() {
        let mut peer = fresh();
        (0..100).for_each(|n| peer.answered(n, 50_000));
        peer.beat(S, Some(20_000));
        assert_eq!(peer.standing(), Standing::Up, "two and a half times");
        peer.beat(S, Some(1_000));
        assert_eq!(peer.standing(), Standing::Slow);
        (0..200).for_each(|n| peer.answered(100 * S + n, 1_000));
        calm(&mut peer, 101 * S, 3);
        assert_eq!(peer.standing(), Standing::Up);
    }

    #[test]
    fn a_fast_peer_is_no_outlier_however_fast_the_others() {
        let mut peer = fresh();
        (0..100).for_each(|n| peer.answered(n, 5_000));
        peer.beat(S, Some(10));
        assert_eq!(peer.standing(), Standing::Up);
    }

    #[test]
    fn down_outranks_slow_and_one_answer_changes_nothing() {
        let mut peer = fresh();
        peer.report(
            0,
            Reported {
                queue_jobs: 9_999,
                ..Reported::default()
            },
        );
        (1..4).for_each(|n| peer.silent(n * S, n * S));
        assert_eq!(peer.standing(), Standing::Down);
        assert!(peer.admits_probe(10 * S));
        peer.answered(10 * S + 1_000, 1_000);
        assert_eq!(peer.standing(), Standing::Down);
        peer.answered(10 * S + 2_000, 1_000);
        peer.answered(10 * S + 3_000, 1_000);
        assert_eq!(peer.standing(), Standing::Slow);
    }

    #[test]
    fn a_new_connection_brings_the_probe_forward() {
        let mut peer = fresh();
        (1..4).for_each(|n| peer.refused(n * S, n * S));
        assert!(!peer.admits_probe(3 * S + 1));
        peer.reconnected();
        assert_eq!(peer.standing(), Standing::Down);
        assert!(peer.admits_probe(3 * S + 1));
    }

    #[test]
    fn the_average_follows_and_is_never_nothing() {
        let mut peer = fresh();
        assert_eq!(peer.latency_us(), None);
        peer.answered(0, 0);
        assert_eq!(peer.latency_us(), Some(1));
        (0..200).for_each(|n| peer.answered(n, 16_000));
        assert!(peer.latency_us().unwrap() > 15_000);
    }

    #[test]
    fn the_typical_peer_is_the_lower_median() {
        for (of, expected) in [
            (vec![], None),
            (vec![5], Some(5)),
            (vec![9, 1], Some(1)),
            (vec![9, 1, 3], Some(3)),
        ] {
            assert_eq!(typical_us(of), expected);
        }
    }
}
