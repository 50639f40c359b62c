//! How much of the time background work may have (§6.5).
//!
//! Hints that are delivered, replicas that are rebuilt or compared, tombstones and checksums: all of it uses the disk and the network
//! that requests wait for. Dynamo's answer is one controller that grants it slices, and watches what they do to the latency of
//! foreground requests over the last minute. The only quantity that is compared with anything is the one that was promised to
//! clients, their 99th percentile; queue lengths and utilisation would have to be translated into it.
//!
//! The *share* of the time that is granted rises by a little every second while the percentile is within its target, and is halved when it
//! is not: additive increase and multiplicative decrease find a share that the foreground bears and stay near it. As a congestion window, it
//! starts at its least, rises only while it is what work waits for, since a share that nobody used says nothing about what it would do, and
//! starts anew when nobody has used it for ten seconds. A second in which many requests were answered counts as the minute does, which
//! is slow to show what has just begun.
//!
//! A slice at share s is followed by a pause of (1−s)/s slices. A step that took longer than its slice is paid for when it ends: what it
//! took is what the pause is reckoned from, up to a quarter of a second, since much of a longer step is waiting for somebody else's
//! disk. Steps that overlap add up.
//!
//! The target is a number from the configuration, or twice what the foreground takes when it is *calm*, which is learnt: the least
//! percentile seen; and where even the least share does not bring that back for a whole minute, load is what
//! it is, and calm is learnt anew, slowly.
//!
//! Invariants:
//! - the share is never below 5 %, nor below 50 % for hints once they fill half of their cap: a store that no longer accepts
//!   hints refuses writes, which is worse than slow ones;
//! - a kind of work waits while a more urgent one does, but never for longer than ten seconds at a stretch: nothing starves;
//! - hints and rebuilding are as urgent as each other and take turns;
//! - with nothing in the foreground, or switched off, everything is granted at once.
//!
//! Not here: what a slice does, tasks, and where latencies come from.

use super::latency::LatencyHistogram;

/// Background work, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    Hints,
    Rebuilding,
    /// Anti-entropy.
    Repair,
    Reaping,
    Scrub,
}

impl Work {
    pub const ALL: [Self; 5] = [
        Self::Hints,
        Self::Rebuilding,
        Self::Repair,
        Self::Reaping,
        Self::Scrub,
    ];

    /// Lower numbers go first.
    fn rank(self) -> u8 {
        match self {
            Self::Hints | Self::Rebuilding => 0,
            Self::Repair => 1,
            Self::Reaping => 2,
            Self::Scrub => 3,
        }
    }
}

/// The answer to work that wants to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Go on for so many microseconds, then ask again.
    Now { slice_us: u64 },
    /// Ask again at this moment.
    NotBefore(u64),
}

/// What the foreground's 99th percentile is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// So many microseconds.
    Absolute(u64),
    /// So many times what it is when calm.
    TimesCalm(u64),
}

/// What an operator may set.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Off: everything is granted at once.
    pub on: bool,
    pub target: Target,
    pub slice_us: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            on: true,
            target: Target::TimesCalm(2),
            slice_us: 10_000,
        }
    }
}

/// Shares are in thousandths of the time.
const SHARE_MAX: u64 = 1_000;
const SHARE_MIN: u64 = 50;
const SHARE_MIN_HINTS: u64 = 500;
/// What a second within the target adds.
const SHARE_STEP: u64 = 20;
/// How often the share is reconsidered.
const ADJUST_US: u64 = 1_000_000;
/// The last minute, in slices.
const SLICES: usize = 12;
const SLICE_OF_MINUTE_US: u64 = 5_000_000;
/// No request for this long: the foreground is idle.
const IDLE_US: u64 = 1_000_000;
/// Fewer requests in a minute have no 99th percentile worth the name.
const REQUESTS_MIN: u64 = 20;
/// And a second needs more for one, or it is the slowest of them.
const REQUESTS_MIN_SECOND: u64 = 1_000;
/// Nothing was granted for this long: what was learnt about the share is old.
const UNUSED_US: u64 = 10_000_000;
/// Work that has not asked again for this long does not want to go on.
const INTEREST_US: u64 = 2_000_000;
/// No kind waits for others for longer.
const PATIENCE_US: u64 = 10_000_000;
/// What a step is reckoned to have taken, at least and at most.
const STEP_US_MIN: u64 = 1_000;
const STEP_US_MAX: u64 = 250_000;

/// A kind of work that was told to wait.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    since_us: u64,
    asked_us: u64,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Admission {
    settings: Settings,
    minute: [LatencyHistogram; SLICES],
    /// Since the share was last reconsidered.
    second: LatencyHistogram,
    /// Since the beginning of time, how many slices of the minute have begun.
    slice: u64,
    last_request_us: Option<u64>,
    calm_us: Option<u64>,
    /// Slices of the minute in a row that were spent at the least share, since something was first granted.
    slices_at_floor: usize,
    share: u64,
    /// Since the share was last reconsidered, somebody had to wait for it.
    limits: bool,
    adjusted_us: u64,
    hints_urgent: bool,
    /// When the last slice was granted.
    last_grant_us: Option<u64>,
    /// The time that was taken since then, or is granted: what the pause is reckoned from.
    taken_us: u64,
    waiting: [Option<Waiting>; Work::ALL.len()],
}

impl Admission {
    #[must_use]
    pub fn new(settings: Settings, now_us: u64) -> Self {
        assert!(settings.slice_us > 0, "a slice of nothing does nothing");
        Self {
            settings,
            minute: Default::default(),
            second: LatencyHistogram::default(),
            slice: now_us / SLICE_OF_MINUTE_US,
            last_request_us: None,
            calm_us: None,
            slices_at_floor: 0,
            share: SHARE_MIN,
            limits: false,
            adjusted_us: now_us,
            hints_urgent: false,
            last_grant_us: None,
            taken_us: 0,
            waiting: [None; Work::ALL.len()],
        }
    }

    /// Switches it on or off.
    pub fn switch(&mut self, on: bool) {
        self.settings.on = on;
    }

    /// A request of a client was answered.
    pub fn foreground(&mut self, now_us: u64, latency_us: u64) {
        self.advance(now_us);
        self.last_request_us = self.last_request_us.max(Some(now_us));
        self.minute[place(self.slice)].note(latency_us);
        self.second.note(latency_us);
    }

    /// Requests of clients were answered since the last time, as fast as this.
    pub fn foreground_many(&mut self, now_us: u64, latencies: &LatencyHistogram) {
        // First, or the share would be reconsidered without them.
        self.second.merge(latencies);
        self.advance(now_us);
        self.minute[place(self.slice)].merge(latencies);
    }

    /// When the latest request of a client was answered.
    pub fn busy_at(&mut self, at_us: u64) {
        self.last_request_us = self.last_request_us.max(Some(at_us));
    }

    /// How full the hints are.
    pub fn hints(&mut self, bytes: u64, cap_bytes: u64) {
        self.hints_urgent = bytes > cap_bytes / 2;
    }

    /// The share of the time that work of this kind has now, in thousandths.
    #[must_use]
    pub fn share_thousandths(&self, now_us: u64, work: Work) -> u64 {
        if !self.settings.on || self.is_idle(now_us) {
            return SHARE_MAX;
        }
        if work == Work::Hints && self.hints_urgent {
            return self.share.max(SHARE_MIN_HINTS);
        }
        self.share
    }

    /// Whether work of this kind may go on.
    pub fn grant(&mut self, now_us: u64, work: Work) -> Grant {
        let slice_us = self.settings.slice_us;
        if !self.settings.on {
            return Grant::Now { slice_us };
        }
        self.advance(now_us);
        let due_us = self.due_us(now_us, work);
        let waits = self.waiting[work as usize];
        let waits = waits.filter(|waits| now_us.saturating_sub(waits.asked_us) < INTEREST_US);
        self.waiting[work as usize] = Some(Waiting {
            since_us: waits.map_or(now_us, |waits| waits.since_us),
            asked_us: now_us,
        });
        if now_us < due_us {
            self.limits = true;
            return Grant::NotBefore(due_us);
        }
        let share = self.share_thousandths(now_us, work);
        if share < SHARE_MAX && self.somebody_goes_first(now_us, work) {
            return Grant::NotBefore(now_us.saturating_add(slice_us));
        }
        self.waiting[work as usize] = None;
        if self.is_unused(now_us) {
            self.slices_at_floor = 0;
        }
        self.last_grant_us = Some(now_us);
        self.taken_us = slice_us;
        Grant::Now { slice_us }
    }

    /// A step that was granted has ended, and this is how long it took.
    pub fn ended(&mut self, took_us: u64) {
        let really_us = took_us.clamp(STEP_US_MIN, STEP_US_MAX);
        let taken_us = self.taken_us.saturating_sub(self.settings.slice_us) + really_us;
        self.taken_us = taken_us.min(STEP_US_MAX);
    }

    /// When the pause after the last slice is over, at this kind's share.
    fn due_us(&self, now_us: u64, work: Work) -> u64 {
        let share = self.share_thousandths(now_us, work);
        let Some(last_us) = self.last_grant_us.filter(|_| share < SHARE_MAX) else {
            return now_us;
        };
        last_us.saturating_add(self.taken_us.saturating_mul(SHARE_MAX) / share)
    }

    /// Whether another kind waits that is more urgent, or has waited for longer; patience that has ended is the greatest urgency.
    fn somebody_goes_first(&self, now_us: u64, work: Work) -> bool {
        let place_of = |kind: Work| {
            let waits = self.waiting[kind as usize]?;
            let asks = now_us.saturating_sub(waits.asked_us) < INTEREST_US;
            let is_patient = now_us.saturating_sub(waits.since_us) < PATIENCE_US;
            let rank = if is_patient { kind.rank() } else { 0 };
            asks.then_some((is_patient, rank, waits.since_us))
        };
        let own = place_of(work).expect("who asks waits");
        let mut others = Work::ALL.into_iter().filter(|other| *other != work);
        others.any(|other| place_of(other).is_some_and(|place| place < own))
    }

    fn is_idle(&self, now_us: u64) -> bool {
        self.last_request_us
            .is_none_or(|last_us| now_us.saturating_sub(last_us) >= IDLE_US)
    }

    fn is_unused(&self, now_us: u64) -> bool {
        self.last_grant_us
            .is_none_or(|last_us| now_us.saturating_sub(last_us) >= UNUSED_US)
    }

    /// Lets the minute slide, and reconsiders the share.
    fn advance(&mut self, now_us: u64) {
        let slice = now_us / SLICE_OF_MINUTE_US;
        if slice > self.slice {
            self.learn_calm();
            let passed = slice - self.slice;
            (1..=passed.min(SLICES as u64))
                .for_each(|n| self.minute[place(self.slice + n)].clear());
            self.slice = slice;
        }
        if now_us.saturating_sub(self.adjusted_us) >= ADJUST_US {
            self.adjusted_us = now_us;
            self.adjust(now_us);
        }
    }

    fn adjust(&mut self, now_us: u64) {
        let limits = std::mem::take(&mut self.limits);
        let second = std::mem::take(&mut self.second);
        if self.is_idle(now_us) || self.is_unused(now_us) {
            self.share = SHARE_MIN;
            return;
        }
        let Some((minute_us, target_us)) = self.high_us().zip(self.target_us()) else {
            return;
        };
        let high_us =
            high_of(&second, REQUESTS_MIN_SECOND).map_or(minute_us, |us| us.max(minute_us));
        if high_us > target_us {
            self.share = (self.share / 2).max(SHARE_MIN);
        } else if limits {
            self.share = (self.share + SHARE_STEP).min(SHARE_MAX);
        }
    }

    /// The foreground's 99th percentile over the last minute.
    fn high_us(&self) -> Option<u64> {
        let mut minute = LatencyHistogram::default();
        self.minute.iter().for_each(|slice| minute.merge(slice));
        high_of(&minute, REQUESTS_MIN)
    }

    fn target_us(&self) -> Option<u64> {
        match self.settings.target {
            Target::Absolute(us) => Some(us),
            Target::TimesCalm(times) => self.calm_us.map(|calm_us| calm_us.saturating_mul(times)),
        }
    }

    /// With each slice of the minute that ends.
    fn learn_calm(&mut self) {
        let at_floor = self.share == SHARE_MIN;
        self.slices_at_floor = if at_floor {
            self.slices_at_floor + 1
        } else {
            0
        };
        let Some(high_us) = self.high_us() else {
            return;
        };
        let calm_us = self.calm_us.unwrap_or(high_us).min(high_us);
        // What is slow with hardly any background is not slow because of it.
        let blameless = self.slices_at_floor >= SLICES;
        let risen_us = if blameless {
            (high_us - calm_us).div_ceil(8)
        } else {
            0
        };
        self.calm_us = Some(calm_us + risen_us);
    }
}

/// The 99th percentile, where there were requests enough for one.
fn high_of(latencies: &LatencyHistogram, requests_min: u64) -> Option<u64> {
    (latencies.count() >= requests_min).then(|| latencies.quantile_us(990))?
}

fn place(slice: u64) -> usize {
    usize::try_from(slice % SLICES as u64).expect("one of a dozen")
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000;

    fn loaded(settings: Settings, latency_us: u64, seconds: u64) -> Admission {
        let mut admission = Admission::new(settings, 0);
        run(&mut admission, 0, latency_us, seconds);
        admission
    }

    /// A hundred requests a second, and work that takes what it is granted.
    fn run(admission: &mut Admission, from_us: u64, latency_us: u64, seconds: u64) {
        for tick in 0..seconds * 100 {
            admission.foreground(from_us + tick * 10_000, latency_us);
            let _granted = admission.grant(from_us + tick * 10_000, Work::Repair);
        }
    }

    /// The same requests, and nobody who asks.
    fn run_alone(admission: &mut Admission, from_us: u64, latency_us: u64, seconds: u64) {
        for tick in 0..seconds * 100 {
            admission.foreground(from_us + tick * 10_000, latency_us);
        }
    }

    fn absolute(target_us: u64) -> Settings {
        Settings {
            target: Target::Absolute(target_us),
            ..Settings::default()
        }
    }

    #[test]
    fn idle_and_off_grant_everything_at_once() {
        let mut off = loaded(
            Settings {
                on: false,
                ..absolute(1)
            },
            1_000,
            60,
        );
        let mut idle = loaded(absolute(1), 1_000, 60);
        let now_us = 60 * S;
        for work in Work::ALL {
            assert_eq!(off.grant(now_us, work), Grant::Now { slice_us: 10_000 });
            assert_eq!(
                idle.grant(now_us + S, work),
                Grant::Now { slice_us: 10_000 }
            );
        }
        off.switch(true);
        assert!(off.share_thousandths(now_us, Work::Repair) < SHARE_MAX);
    }

    #[test]
    fn the_share_falls_to_its_floor_and_hints_keep_theirs() {
        let mut admission = loaded(absolute(500), 1_000, 30);
        let now_us = 30 * S - 1;
        assert_eq!(admission.share_thousandths(now_us, Work::Scrub), SHARE_MIN);
        assert_eq!(admission.share_thousandths(now_us, Work::Hints), SHARE_MIN);
        admission.hints(51, 100);
        assert_eq!(
            admission.share_thousandths(now_us, Work::Hints),
            SHARE_MIN_HINTS
        );
        assert_eq!(admission.share_thousandths(now_us, Work::Scrub), SHARE_MIN);
        admission.hints(50, 100);
        assert_eq!(admission.share_thousandths(now_us, Work::Hints), SHARE_MIN);
    }

    #[test]
    fn within_the_target_the_share_rises_to_all_of_the_time() {
        let mut admission = loaded(absolute(500), 1_000, 30);
        // The last slow request leaves the minute after a minute.
        run(&mut admission, 30 * S, 100, 65 + 50);
        assert_eq!(
            admission.share_thousandths(145 * S - 1, Work::Repair),
            SHARE_MAX
        );
    }

    #[test]
    fn the_share_starts_at_its_least_and_one_busy_second_suffices_to_halve_it() {
        let mut admission = Admission::new(absolute(500), 0);
        // It is reconsidered at the beginning of a second.
        run(&mut admission, 0, 100, 11);
        assert_eq!(admission.share, SHARE_MIN + 10 * SHARE_STEP);
        // Too few to be seen in the minute.
        for n in 0..10 {
            admission.foreground(10 * S + 990_000 + n, 600);
        }
        run(&mut admission, 11 * S, 100, 1);
        assert_eq!(admission.share, SHARE_MIN + 11 * SHARE_STEP);
        for n in 0..REQUESTS_MIN_SECOND {
            let latency_us = if n % 50 == 0 { 600 } else { 100 };
            admission.foreground(11 * S + 990_000 + n, latency_us);
        }
        run(&mut admission, 12 * S, 100, 1);
        assert_eq!(admission.share, (SHARE_MIN + 11 * SHARE_STEP) / 2);
    }

    #[test]
    fn a_share_that_nobody_waits_for_does_not_rise_and_is_forgotten() {
        let mut admission = Admission::new(absolute(500), 0);
        run_alone(&mut admission, 0, 100, 60);
        assert_eq!(admission.share, SHARE_MIN);
        run(&mut admission, 60 * S, 100, 4);
        run_alone(&mut admission, 64 * S, 100, 1);
        let risen = admission.share;
        assert_eq!(risen, SHARE_MIN + 4 * SHARE_STEP);
        run_alone(&mut admission, 65 * S, 100, 8);
        assert_eq!(admission.share, risen, "somebody may come back");
        run_alone(&mut admission, 73 * S, 100, 3);
        assert_eq!(admission.share, SHARE_MIN);
    }

    #[test]
    fn a_slice_is_followed_by_the_pause_that_makes_its_share() {
        let mut admission = loaded(absolute(500), 1_000, 30);
        let now_us = granted_us(&mut admission, 30 * S, Work::Repair);
        let next_us = now_us + 200_000;
        assert_eq!(
            admission.grant(now_us + 1, Work::Repair),
            Grant::NotBefore(next_us)
        );
        assert_eq!(
            admission.grant(next_us, Work::Repair),
            Grant::Now { slice_us: 10_000 }
        );
    }

    /// Asks as soon as it may, as long as it takes; returns when it was granted.
    fn granted_us(admission: &mut Admission, mut now_us: u64, work: Work) -> u64 {
        loop {
            admission.busy_at(now_us);
            match admission.grant(now_us, work) {
                Grant::Now { .. } => return now_us,
                Grant::NotBefore(next_us) => now_us = next_us.min(now_us + S),
            }
        }
    }

    #[test]
    fn a_step_that_took_longer_is_paid_for() {
        for (took_us, pause_us) in [
            (10_000, 200_000),
            (1, 20_000),
            (100_000, 2_000_000),
            (60 * S, 5_000_000),
        ] {
            let mut admission = loaded(absolute(500), 1_000, 30);
            let first_us = granted_us(&mut admission, 30 * S - 1, Work::Repair);
            admission.ended(took_us);
            let next_us = granted_us(&mut admission, first_us, Work::Repair);
            assert_eq!(next_us - first_us, pause_us, "{took_us}");
        }
    }

    #[test]
    fn steps_that_overlap_add_up() {
        let mut admission = loaded(absolute(500), 1_000, 30);
        let first_us = granted_us(&mut admission, 30 * S - 1, Work::Repair);
        let second_us = granted_us(&mut admission, first_us, Work::Repair);
        // The first ends after the second began.
        admission.ended(50_000);
        admission.ended(50_000);
        let third_us = granted_us(&mut admission, second_us, Work::Repair);
        assert_eq!(third_us - second_us, 20 * (100_000 - 10_000));
    }

    #[test]
    fn calm_is_learnt_and_learnt_anew_only_at_the_floor() {
        let mut admission = loaded(Settings::default(), 1_000, 60);
        let calm_us = admission.calm_us.unwrap();
        assert!((1_000..1_130).contains(&calm_us));
        run(&mut admission, 60 * S, 10_000, 30);
        assert_eq!(admission.share, SHARE_MIN);
        assert_eq!(admission.calm_us, Some(calm_us), "it may be the background");
        run(&mut admission, 90 * S, 10_000, 600);
        assert!(
            admission.calm_us.unwrap() > 5_000,
            "{:?}",
            admission.calm_us
        );
        assert!(admission.share > SHARE_MIN);
    }
}
