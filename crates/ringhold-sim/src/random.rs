//! Chance, from a seed.
//!
//! xoshiro256++ (Blackman and Vigna, 2018), seeded through SplitMix64. Small, fast and the same on
//! every machine; it guards no secret. Each part of a run draws from a stream of its own, split off by
//! name, so that a part which draws more or less does not reshuffle the others: a shrunk run stays
//! close to the one it came from.
//!
//! No floating point here: its functions differ in the last bit between platforms, and one bit is
//! enough to make another run.

use std::sync::{Arc, Mutex, MutexGuard};

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut at = seed;
        Self {
            state: std::array::from_fn(|_| split_mix(&mut at)),
        }
    }

    /// The stream of one part of a run.
    #[must_use]
    pub fn of(seed: u64, part: &str) -> Self {
        let name = part.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self::new(seed ^ name)
    }

    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let drawn = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        drawn
    }

    pub fn next_u128(&mut self) -> u128 {
        (u128::from(self.next_u64()) << 64) | u128::from(self.next_u64())
    }

    /// A number below `bound`, which is not zero. Multiplied down, so all are all but equally likely.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "there is no number below zero");
        let wide = u128::from(self.next_u64()) * u128::from(bound);
        u64::try_from(wide >> 64).expect("the upper half of a product is below the factor")
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "a range has a low end and a high one");
        low + self.below(high - low + 1)
    }

    /// An index below `length`, which is not zero.
    pub fn index(&mut self, length: usize) -> usize {
        let bound = u64::try_from(length).expect("lengths fit");
        usize::try_from(self.below(bound)).expect("below a length")
    }

    /// True so many times in a million.
    pub fn chance(&mut self, per_million: u32) -> bool {
        per_million > 0 && self.below(1_000_000) < u64::from(per_million)
    }

    /// One of several.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.index(from.len())]
    }

    /// About `median`, skewed as waiting times are: half of them below, one in a hundred ten times as long.
    pub fn around(&mut self, median: u64) -> u64 {
        let at = self.below(1_600);
        let step = usize::try_from(at / 100).expect("below 16");
        let (low, high) = (LOG_NORMAL[step], LOG_NORMAL[step + 1]);
        let percent = low + (high - low) * (at % 100) / 100;
        (median * percent / 100).max(1)
    }
}

/// The quantiles 0, 1/16 … 1 of a log-normal distribution with σ = 1, in percent of its median; the ends
/// cut off at one in a thousand.
const LOG_NORMAL: [u64; 17] = [
    5, 22, 32, 41, 51, 61, 73, 85, 100, 117, 138, 163, 196, 243, 316, 464, 2_200,
];

fn split_mix(at: &mut u64) -> u64 {
    *at = at.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *at;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A stream that several holders draw from, in the order in which the run comes to them.
#[derive(Clone, Debug)]
pub struct SharedRandom(Arc<Mutex<Random>>);

impl SharedRandom {
    #[must_use]
    pub fn new(random: Random) -> Self {
        Self(Arc::new(Mutex::new(random)))
    }

    pub fn lock(&self) -> MutexGuard<'_, Random> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_stream_and_its_parts_differ() {
        let draw = |mut random: Random| -> Vec<u64> { (0..4).map(|_| random.next_u64()).collect() };
        assert_eq!(draw(Random::new(7)), draw(Random::new(7)));
        assert_ne!(draw(Random::new(7)), draw(Random::new(8)));
        assert_ne!(draw(Random::of(7, "disk")), draw(Random::of(7, "network")));
    }

    #[test]
    fn numbers_keep_their_bounds_and_reach_them() {
        let mut random = Random::new(1);
        let drawn: Vec<u64> = (0..1_000).map(|_| random.between(3, 6)).collect();
        for number in 3..=6 {
            assert!(drawn.contains(&number), "{number} is never drawn");
        }
        assert!(drawn.iter().all(|number| (3..=6).contains(number)));
        assert!(!(0..1_000).any(|_| random.chance(0)));
        assert!((0..1_000).all(|_| random.chance(1_000_000)));
    }

    #[test]
    fn half_of_the_waits_are_below_the_median() {
        let mut random = Random::new(2);
        let below = (0..10_000).filter(|_| random.around(1_000) < 1_000).count();
        assert!((4_800..5_200).contains(&below), "{below} of 10,000");
    }
}
