//! When the n-th operation should start, and on which key. Pure.
//!
//! In an open loop the schedule is all that says when something starts; the answers don't. An
//! operation that starts late because all connections were waiting is late for its client as well,
//! so its latency runs from its place in the schedule (the correction of what Gil Tene named
//! coordinated omission).

use std::time::Duration;

/// A fixed rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Schedule {
    per_second: f64,
}

impl Schedule {
    /// `None` unless the rate is a positive number.
    pub(super) fn new(per_second: f64) -> Option<Self> {
        (per_second.is_finite() && per_second > 0.0).then_some(Self { per_second })
    }

    /// When the n-th operation (from 0) should start, after the beginning.
    pub(super) fn intended(self, index: u64) -> Duration {
        Duration::try_from_secs_f64(index as f64 / self.per_second).unwrap_or(Duration::MAX)
    }
}

/// Random numbers that need no quality beyond being spread (Steele and others, `SplitMix64`).
#[derive(Debug, Clone, Copy)]
pub(super) struct Draws {
    state: u64,
}

impl Draws {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Any number.
    pub(super) fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Evenly from `0..bound`, by the high part of the product.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.number()) * u128::from(bound);
        u64::try_from(product >> 64).expect("the high half of 128 bits has 64")
    }

    /// Evenly from 0 up to 1, which it never is; 53 bits of it.
    pub(super) fn unit(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(super) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let drawn = self.number().to_le_bytes();
            chunk.copy_from_slice(&drawn[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Latencies;

    #[test]
    fn operations_are_spread_evenly() {
        let schedule = Schedule::new(200.0).expect("a rate");
        assert_eq!(schedule.intended(0), Duration::ZERO);
        assert_eq!(schedule.intended(1), Duration::from_millis(5));
        assert_eq!(schedule.intended(200), Duration::from_secs(1));
        assert!(Schedule::new(1e-300).expect("a rate").intended(u64::MAX) == Duration::MAX);
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Schedule::new(wrong), None);
        }
    }

    /// One connection, 1,000 operations at 100 a second, each answered in 1 ms; the first one
    /// stalls for two seconds. A clock that starts with each request sees one slow operation; the
    /// schedule sees the queue behind it.
    #[test]
    fn a_stall_counts_for_everybody_who_waited() {
        let schedule = Schedule::new(100.0).expect("a rate");
        let (mut naive, mut corrected) = (Latencies::default(), Latencies::default());
        let mut free_at = Duration::ZERO;
        for index in 0..1_000 {
            let intended = schedule.intended(index);
            let started = intended.max(free_at);
            let took = Duration::from_millis(if index == 0 { 2_000 } else { 1 });
            free_at = started + took;
            naive.record(took);
            corrected.record(free_at - intended);
        }
        let p90 = |latencies: &Latencies| latencies.at(0.9).expect("recorded").as_millis();
        assert_eq!(p90(&naive), 1);
        assert!(
            (900..1_300).contains(&p90(&corrected)),
            "{}",
            p90(&corrected)
        );
    }

    #[test]
    fn draws_reach_every_key_and_no_other() {
        let mut draws = Draws::new(1);
        let mut hits = [0; 10];
        for _ in 0..10_000 {
            hits[usize::try_from(draws.below(10)).expect("small")] += 1;
        }
        assert!(
            hits.iter().all(|&hits| (800..1_200).contains(&hits)),
            "{hits:?}"
        );
        let mut bytes = [0; 13];
        draws.fill(&mut bytes);
        assert_ne!(bytes, [0; 13]);
    }
}
