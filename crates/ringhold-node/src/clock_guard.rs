//! Whether this node's wall clock is good enough to make timestamps (T26).
//!
//! Heartbeats bring the wall clocks of peers, and [`ClockOffsets`] says by how much their median differs from this node's. A node
//! that is further off than `clock_drift_max` makes no timestamps: it coordinates no puts and changes no bucket properties, and
//! another primary does it. All else goes on: it answers reads, and keeps what others have coordinated, because merging looks
//! at no clock.
//!
//! After a start the node does not know yet, and a clock that is wrong by years is wrong from boot on. So it waits until two peers
//! have told theirs, at most for two seconds: who can reach fewer has nobody to be judged by, and goes on. For a
//! cluster of one or two there is nothing to wait for.
//!
//! A wall clock that jumps is found out with the next request: it is held against the clock that never jumps before each put,
//! and judged anew where the two have moved apart since the last judgement.
//!
//! Invariants: who was told by two peers, more than half of them right, that it is off makes no timestamp until it is set right;
//! the judgement ends by itself when the clock is right again, or when nobody has said anything for a minute.

use crate::env::Environment;
#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::node::Node;
use ringhold_core::health::ClockOffsets;
use ringhold_core::id::NodeId;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Peers that are waited for after a start, and for how long, in microseconds.
const PEERS_AWAITED: usize = 2;
const AWAITED_US: u64 = 2_000_000;
/// By how much the wall clock may have moved against the other one without a new judgement. Clocks drift by less in a second.
const SLEW_US: u64 = 10_000;

/// What the guard thinks of this node's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockState {
    /// This node has just started, and too few peers have told their time.
    Unknown,
    Trusted,
    /// By so many microseconds the median of the peers' clocks is ahead.
    Off {
        median_us: i64,
    },
}

/// See the module.
pub(crate) struct ClockGuard {
    offsets: Mutex<ClockOffsets>,
    max_us: u64,
    awaited_until_us: u64,
    /// So many peers there are to be heard, as far as that matters.
    awaited: usize,
    is_settled: AtomicBool,
    is_off: AtomicBool,
    median_us: AtomicI64,
    /// The wall clock less the one that never jumps, at the last judgement.
    judged_ahead_us: AtomicI64,
}

impl ClockGuard {
    /// For a node with so many other members.
    pub(crate) fn new(environment: &dyn Environment, others: usize, max_us: u64) -> Self {
        let now_us = environment.now_us();
        Self {
            offsets: Mutex::default(),
            max_us,
            awaited_until_us: now_us.saturating_add(AWAITED_US),
            awaited: if others < PEERS_AWAITED {
                0
            } else {
                PEERS_AWAITED
            },
            is_settled: AtomicBool::new(others < PEERS_AWAITED),
            is_off: AtomicBool::new(false),
            median_us: AtomicI64::new(0),
            judged_ahead_us: AtomicI64::new(ahead_us(environment)),
        }
    }

    /// A peer's clock showed this some time within the last round trip.
    pub(crate) fn note(
        &self,
        environment: &dyn Environment,
        peer: NodeId,
        peer_wall_us: u64,
        round_trip_us: u64,
    ) {
        let now_us = environment.now_us();
        self.lock().note(now_us, peer, peer_wall_us, round_trip_us);
        self.judge(environment);
    }

    /// Whether this node may make a timestamp now.
    pub(crate) fn state(&self, environment: &dyn Environment) -> ClockState {
        #[cfg(feature = "known-bad")]
        if known_bad::is(Variant::DriftedClockCoordinates) {
            return ClockState::Trusted;
        }
        let moved_us = ahead_us(environment).abs_diff(self.judged_ahead_us.load(Ordering::Relaxed));
        if moved_us > SLEW_US {
            self.judge(environment);
        }
        if self.is_off.load(Ordering::Relaxed) {
            let median_us = self.median_us.load(Ordering::Relaxed);
            return ClockState::Off { median_us };
        }
        if self.is_settled(environment) {
            ClockState::Trusted
        } else {
            ClockState::Unknown
        }
    }

    fn is_settled(&self, environment: &dyn Environment) -> bool {
        if self.is_settled.load(Ordering::Relaxed) {
            return true;
        }
        let is_over = environment.now_us() >= self.awaited_until_us;
        if is_over {
            self.is_settled.store(true, Ordering::Relaxed);
        }
        is_over
    }

    /// By how much the peers' clocks are ahead in the median, at the last judgement; 0 if nobody can tell.
    pub(crate) fn median_us(&self) -> i64 {
        self.median_us.load(Ordering::Relaxed)
    }

    fn judge(&self, environment: &dyn Environment) {
        let offsets = self.lock();
        let (now_us, wall_us) = (environment.now_us(), environment.wall_us());
        let median_us = offsets.median_us(now_us, wall_us);
        let is_off = offsets.is_off(now_us, wall_us, self.max_us);
        // Stored under the lock, so that the last judgement is the one that is seen.
        self.judged_ahead_us
            .store(ahead_us(environment), Ordering::Relaxed);
        self.median_us
            .store(median_us.unwrap_or(0), Ordering::Relaxed);
        let was_off = self.is_off.swap(is_off, Ordering::Relaxed);
        if median_us.is_some() || self.awaited == 0 {
            self.is_settled.store(true, Ordering::Relaxed);
        }
        drop(offsets);
        let seconds = median_us.unwrap_or(0) / 1_000_000;
        if is_off && !was_off {
            tracing::error!(
                seconds,
                "this machine's clock is wrong: by so many seconds the median of its peers' clocks is ahead. It coordinates no puts until it is set right"
            );
        }
        if was_off && !is_off {
            tracing::info!("this machine's clock agrees with its peers' again");
        }
    }

    fn lock(&self) -> MutexGuard<'_, ClockOffsets> {
        self.offsets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The wall clock less the clock that never jumps.
fn ahead_us(environment: &dyn Environment) -> i64 {
    let ahead_us = i128::from(environment.wall_us()) - i128::from(environment.now_us());
    let bounded_us = ahead_us.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
    i64::try_from(bounded_us).expect("clamped to what fits")
}

impl Node {
    /// What this node thinks of its own wall clock.
    #[must_use]
    pub fn clock(&self) -> ClockState {
        self.clock_guard.state(&*self.environment)
    }

    /// By how much the peers' clocks are ahead of this node's in the median, in microseconds; 0 if nobody can tell.
    #[must_use]
    pub fn clock_offset_us(&self) -> i64 {
        self.clock_guard.median_us()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::BoxFuture;
    use std::sync::atomic::AtomicU64;

    const S: u64 = 1_000_000;
    const WALL_US: u64 = 1_790_000_000 * S;

    /// Clocks that go as the test says.
    #[derive(Default)]
    struct Clocks {
        now_us: AtomicU64,
        jumped_us: AtomicI64,
    }

    impl Environment for Clocks {
        fn spawn(&self, _: BoxFuture<'static, ()>) {}

        fn now_us(&self) -> u64 {
            self.now_us.load(Ordering::Relaxed)
        }

        fn wall_us(&self) -> u64 {
            (WALL_US + self.now_us()).saturating_add_signed(self.jumped_us.load(Ordering::Relaxed))
        }

        fn sleep_until(&self, _: u64) -> BoxFuture<'static, ()> {
            Box::pin(std::future::pending())
        }

        fn random(&self) -> u128 {
            0
        }
    }

    fn hears(guard: &ClockGuard, clocks: &Clocks, peers: u128) {
        for peer in 0..peers {
            guard.note(clocks, NodeId(peer), WALL_US + clocks.now_us(), 1_000);
        }
    }

    #[test]
    fn after_a_start_two_peers_are_waited_for_and_not_for_ever() {
        for (others, peers, waited_us, expected) in [
            (0, 0, 0, ClockState::Trusted),
            (1, 0, 0, ClockState::Trusted),
            (2, 0, AWAITED_US - 1, ClockState::Unknown),
            (2, 1, AWAITED_US - 1, ClockState::Unknown),
            (2, 2, 1, ClockState::Trusted),
            (4, 2, 1, ClockState::Trusted),
            (2, 0, AWAITED_US, ClockState::Trusted),
        ] {
            let clocks = Clocks::default();
            let guard = ClockGuard::new(&clocks, others, 5 * S);
            clocks.now_us.store(waited_us, Ordering::Relaxed);
            hears(&guard, &clocks, peers);
            let heard = format!("{peers} of {others} after {waited_us}");
            assert_eq!(guard.state(&clocks), expected, "{heard}");
        }
    }

    #[test]
    fn a_clock_that_is_wrong_from_boot_on_is_never_trusted() {
        let clocks = Clocks::default();
        let years_us = i64::try_from(3 * 365 * 86_400 * S).unwrap();
        clocks.jumped_us.store(years_us, Ordering::Relaxed);
        let guard = ClockGuard::new(&clocks, 2, 5 * S);
        assert_eq!(guard.state(&clocks), ClockState::Unknown);
        hears(&guard, &clocks, 2);
        assert!(matches!(guard.state(&clocks), ClockState::Off { .. }));
    }

    #[test]
    fn a_jump_is_found_out_at_once_and_forgiven_at_once() {
        let clocks = Clocks::default();
        let guard = ClockGuard::new(&clocks, 2, 5 * S);
        hears(&guard, &clocks, 2);
        for (jumped_us, trusted) in [
            (6_000_000, false),
            (4_000_000, true),
            (-6_000_000, false),
            (0, true),
        ] {
            clocks.jumped_us.store(jumped_us, Ordering::Relaxed);
            let is_trusted = guard.state(&clocks) == ClockState::Trusted;
            assert_eq!(is_trusted, trusted, "{jumped_us}");
        }
        // Nobody has said anything for a minute: there is no evidence any more.
        clocks.jumped_us.store(9_000_000, Ordering::Relaxed);
        clocks.now_us.store(61 * S, Ordering::Relaxed);
        guard.judge(&clocks);
        assert_eq!(guard.state(&clocks), ClockState::Trusted);
    }
}
