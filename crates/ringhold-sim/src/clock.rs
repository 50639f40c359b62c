//! The clocks on the walls of nodes, and the node's way to time, tasks, chance and room.
//!
//! A wall clock is off by some amount, runs fast or slow, and may jump or stop: everything that a
//! machine's clock does in a bad year. What a node may rely on is only the clock that counts from its
//! boot, and that one starts anywhere, so that comparing those of two nodes is found out.

use crate::disk::Disk;
use crate::executor::{Executor, Group};
use crate::random::SharedRandom;
use ringhold_core::health::DiskSpace;
use ringhold_node::env::{BoxFuture, Environment};
use std::sync::{Arc, Mutex, MutexGuard};

/// What an honest clock shows when a run begins: some day in 2026, in microseconds since 1970.
pub(crate) const WALL_START_US: u64 = 1_790_000_000_000_000;

/// One machine's wall clock. Clones are the same clock.
#[derive(Clone, Debug, Default)]
pub struct WallClock(Arc<Mutex<Reading>>);

#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    /// Added to what an honest clock shows.
    offset_us: i64,
    /// Gained in a million microseconds; negative if it runs slow.
    drift_per_million: i64,
    stopped_at_us: Option<u64>,
}

impl WallClock {
    /// What it shows at a moment of the run.
    #[must_use]
    pub fn shows_us(&self, now_us: u64) -> u64 {
        let reading = *self.lock();
        let now_us = reading.stopped_at_us.unwrap_or(now_us);
        let elapsed = i64::try_from(now_us).unwrap_or(i64::MAX);
        let gained = elapsed.saturating_mul(reading.drift_per_million) / 1_000_000;
        WALL_START_US
            .saturating_add(now_us)
            .saturating_add_signed(gained.saturating_add(reading.offset_us))
    }

    pub fn set_drift(&self, per_million: i64) {
        self.lock().drift_per_million = per_million;
    }

    pub fn jump(&self, by_us: i64) {
        let mut reading = self.lock();
        reading.offset_us = reading.offset_us.saturating_add(by_us);
    }

    /// Somebody sets it.
    pub fn set_right(&self) {
        *self.lock() = Reading::default();
    }

    pub fn stop(&self, now_us: u64) {
        self.lock().stopped_at_us.get_or_insert(now_us);
    }

    pub fn go_on(&self) {
        self.lock().stopped_at_us = None;
    }

    fn lock(&self) -> MutexGuard<'_, Reading> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

/// One life of a process, as the node in it sees its machine.
pub struct NodeEnvironment {
    executor: Executor,
    group: Group,
    wall: WallClock,
    random: SharedRandom,
    disk: Disk,
    /// What the node's own clock showed when the run began.
    start_us: u64,
}

impl NodeEnvironment {
    #[must_use]
    pub fn new(
        executor: Executor,
        group: Group,
        wall: WallClock,
        random: SharedRandom,
        disk: Disk,
    ) -> Self {
        let start_us = random.lock().below(1 << 40);
        Self {
            executor,
            group,
            wall,
            random,
            disk,
            start_us,
        }
    }
}

impl Environment for NodeEnvironment {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.executor.spawn(self.group, task);
    }

    fn spawn_vital(&self, task: BoxFuture<'static, ()>) {
        // A panic of any task ends the run.
        self.spawn(task);
    }

    fn now_us(&self) -> u64 {
        self.executor.now_us() + self.start_us
    }

    fn wall_us(&self) -> u64 {
        self.wall.shows_us(self.executor.now_us())
    }

    fn sleep_until(&self, until_us: u64) -> BoxFuture<'static, ()> {
        Box::pin(
            self.executor
                .sleep_until(until_us.saturating_sub(self.start_us)),
        )
    }

    fn random(&self) -> u128 {
        self.random.lock().next_u128()
    }

    fn disk_space(&self) -> BoxFuture<'static, Option<DiskSpace>> {
        let space = self.disk.space();
        Box::pin(async move { Some(space) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_jumps_drifts_and_stops() {
        let clock = WallClock::default();
        assert_eq!(clock.shows_us(5), WALL_START_US + 5);
        clock.jump(-3);
        assert_eq!(clock.shows_us(5), WALL_START_US + 2);
        clock.set_drift(100_000);
        assert_eq!(clock.shows_us(100), WALL_START_US + 97 + 10);
        clock.stop(100);
        assert_eq!(clock.shows_us(1_000_000), clock.shows_us(100));
        clock.go_on();
        assert!(clock.shows_us(1_000_000) > clock.shows_us(100));
    }
}
