//! How far reaping has come, for whoever asks.

use ringhold_core::id::NodeId;
use ringhold_core::ring::Partition;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Who keeps a partition's candidates from being reaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Obstacle {
    pub member: NodeId,
    /// What it does, or fails to do.
    pub why: &'static str,
}

/// The state of one node's reaping. Each node reaps the partitions of which it is the first primary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReapingView {
    /// When the last walk over all partitions ended, in microseconds since 1970.
    pub last_walk_us: Option<u64>,
    /// How many partitions wait for whom.
    pub waits_for: BTreeMap<Obstacle, u64>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Views(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    last_walk_us: Option<u64>,
    obstacles: BTreeMap<Partition, Obstacle>,
    /// The partitions that were looked at since the last walk began.
    looked_at: Vec<Partition>,
}

impl Views {
    pub(super) fn stopped(&self, partition: Partition, obstacle: Obstacle) {
        let mut known = self.lock();
        known.obstacles.insert(partition, obstacle);
        known.looked_at.push(partition);
    }

    pub(super) fn went_on(&self, partition: Partition) {
        self.lock().obstacles.remove(&partition);
    }

    /// What had no candidates in a whole walk waits for nobody.
    pub(super) fn round_ended(&self, wall_us: u64) {
        let mut known = self.lock();
        known.last_walk_us = Some(wall_us);
        let looked_at = std::mem::take(&mut known.looked_at);
        known
            .obstacles
            .retain(|partition, _| looked_at.contains(partition));
    }

    pub(crate) fn view(&self) -> ReapingView {
        let known = self.lock();
        let mut waits_for = BTreeMap::new();
        for obstacle in known.obstacles.values() {
            *waits_for.entry(*obstacle).or_default() += 1;
        }
        ReapingView {
            last_walk_us: known.last_walk_us,
            waits_for,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_obstacle_is_shown_until_the_way_is_clear_or_nothing_wants_to_go() {
        let views = Views::default();
        let away = |member| Obstacle {
            member: NodeId(member),
            why: "cannot be reached",
        };
        views.stopped(Partition(1), away(7));
        views.stopped(Partition(2), away(7));
        views.stopped(Partition(3), away(8));
        views.round_ended(5);
        let expected = BTreeMap::from([(away(7), 2), (away(8), 1)]);
        assert_eq!(views.view().waits_for, expected);
        views.went_on(Partition(3));
        views.stopped(Partition(2), away(7));
        views.round_ended(6);
        let view = views.view();
        assert_eq!(view.waits_for, BTreeMap::from([(away(7), 1)]));
        assert_eq!(view.last_walk_us, Some(6));
    }
}
