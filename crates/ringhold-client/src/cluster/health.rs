//! Whether a node is worth asking, and when again: what the client has seen of it itself.
//!
//! A node that can't be reached, or breaks off, is left alone at once; one that is silent only after several requests in a row had
//! no answer in time, because one slow answer says little. It is left alone for longer each time, twice as long up to a maximum,
//! with a part of it by chance so that clients don't come back together. When the time is over, *one* request finds out; the others go
//! on elsewhere until it is answered. Any answer at all ends the matter.
//!
//! Left alone means last in the order, never forbidden: when all nodes are left alone, the client still asks one.
//!
//! Pure: the time is an argument, in microseconds of any clock that does not go back, and so is chance.

/// For so long a node is left alone the first time.
const AWAY_FIRST_US: u64 = 100_000;
/// And never for longer, the part by chance included.
const AWAY_MAX_US: u64 = 10_000_000;
/// So many requests in a row without an answer, and a node is taken for hung.
const SILENCES_MAX: u32 = 8;
/// A request that finds out has so long before another one may.
const PROBE_US: u64 = 1_000_000;

/// What is known of one node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Health {
    /// How often in a row it was left alone.
    failures: u32,
    /// Requests in a row that had no answer in time.
    silences: u32,
    away_until_us: u64,
    /// A request is finding out.
    is_probed: bool,
}

impl Health {
    /// Whether a request may go there now. The first one after the time is over takes it upon itself to find out.
    pub(crate) fn admits(&mut self, now_us: u64) -> bool {
        if self.failures == 0 {
            return true;
        }
        let is_due = now_us >= self.away_until_us;
        if is_due {
            self.is_probed = true;
            self.away_until_us = now_us.saturating_add(PROBE_US);
        }
        is_due
    }

    /// It answered, whatever it said.
    pub(crate) fn answered(&mut self) {
        *self = Self::default();
    }

    /// It could not be reached, or the connection broke.
    pub(crate) fn failed(&mut self, now_us: u64, chance: u64) {
        self.silences = 0;
        self.leave_alone(now_us, chance);
    }

    /// A request had no answer in time. One that finds out counts for all; those that were under way before it for nothing.
    pub(crate) fn was_silent(&mut self, now_us: u64, chance: u64) {
        self.silences += 1;
        let is_hung = self.failures == 0 && self.silences >= SILENCES_MAX;
        if is_hung || self.is_probed {
            self.leave_alone(now_us, chance);
        }
    }

    fn leave_alone(&mut self, now_us: u64, chance: u64) {
        self.is_probed = false;
        let doublings = self.failures.min(16);
        self.failures += 1;
        let longest = (AWAY_FIRST_US << doublings).min(AWAY_MAX_US);
        // Between half of it and all of it.
        let away_us = longest / 2 + chance % (longest / 2 + 1);
        self.away_until_us = now_us.saturating_add(away_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_broke_off_is_left_alone_for_longer_each_time_and_then_asked_once() {
        let mut health = Health::default();
        let (mut now, mut last) = (0, 0);
        for round in 0..12 {
            assert!(health.admits(now), "round {round}");
            health.failed(now, u64::MAX);
            let start = now;
            while !health.admits(now) {
                now += 1_000;
            }
            let away = now - start;
            assert!(
                away >= last && away <= AWAY_MAX_US + 1_000,
                "round {round}: {away}"
            );
            last = away;
            assert!(!health.admits(now + 1), "one finds out, not two");
            now += PROBE_US;
        }
        assert!(last > AWAY_MAX_US / 2);
        health.answered();
        assert!((0..3).all(|_| health.admits(now)));
    }

    #[test]
    fn one_slow_answer_says_little() {
        let mut health = Health::default();
        for _ in 1..SILENCES_MAX {
            health.was_silent(0, 0);
            assert!(health.admits(0));
        }
        health.answered();
        for _ in 1..SILENCES_MAX {
            health.was_silent(0, 0);
        }
        assert!(health.admits(0));
        health.was_silent(0, 0);
        assert!(!health.admits(0));
        let before = health;
        (0..50).for_each(|_| health.was_silent(1, 0));
        assert_eq!(
            health.away_until_us, before.away_until_us,
            "what was under way"
        );
        assert!(health.admits(AWAY_FIRST_US));
        health.was_silent(AWAY_FIRST_US, 0);
        assert!(
            !health.admits(AWAY_FIRST_US + 1),
            "once in doubt, one silence is enough"
        );
    }
}
