//! I17: once all primaries of a key can be reached again, gets and puts on it succeed within a few tries of a
//! second each; and background work has its turns under whatever load.

use super::Violation;
use ringhold_core::health::Work;
use ringhold_node::RebuildProgress;
use ringhold_node::metrics::Metrics;

/// A pause is five seconds at most, before it may come one of the other kind that is as urgent, and they are not told
/// to the microsecond.
const URGENT_WAITS_US_MAX: u64 = 13_000_000;
/// After ten seconds the others go in the order in which they came.
const WAITS_US_MAX: u64 = 45_000_000;

/// For how long background work of each kind has waited without a turn, as far as it can be seen from outside. Looks are made
/// while the process runs, so that no pause of it counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Turns {
    granted: [u64; Work::ALL.len()],
    waits_us: [u64; Work::ALL.len()],
}

impl Turns {
    /// Looks again, so long after the last time.
    ///
    /// # Errors
    /// If a kind waits for longer than any load is a reason for.
    pub fn look(&mut self, node: usize, metrics: &Metrics, after_us: u64) -> Result<(), Violation> {
        for work in Work::ALL {
            let (of_work, at) = (metrics.background(work), work as usize);
            let granted = of_work.turns.count();
            let waits = of_work.waiting.level() > 0 && granted == self.granted[at];
            self.granted[at] = granted;
            self.waits_us[at] = if waits {
                self.waits_us[at] + after_us
            } else {
                0
            };
            let max_us = match work {
                Work::Hints | Work::Rebuilding => URGENT_WAITS_US_MAX,
                Work::Repair | Work::Reaping | Work::Scrub => WAITS_US_MAX,
            };
            let seconds = self.waits_us[at] / 1_000_000;
            if self.waits_us[at] > max_us {
                return Err(Violation::new(
                    "I17",
                    format!("{work:?} of n{node} waits for a turn for {seconds} s"),
                ));
            }
        }
        Ok(())
    }
}

/// The violation that a healed cluster is which does not answer.
#[must_use]
pub fn silent(what: &str, node: usize, key: usize, attempts: u32) -> Violation {
    Violation::new(
        "I17",
        format!(
            "{what} of key {key} at n{node} still fails after healing, {attempts} times in a row"
        ),
    )
}

/// The violation that a store is which is still in doubt long after all others can be reached.
#[must_use]
pub fn in_doubt(node: usize, progress: &RebuildProgress) -> Violation {
    Violation::new("I17", format!("n{node} is still rebuilding: {progress:?}"))
}
