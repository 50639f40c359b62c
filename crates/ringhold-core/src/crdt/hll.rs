//! An estimate of how many different elements were added: HyperLogLog.
//!
//! The first `p` bits of an element's 64-bit hash choose one of `m = 2^p` registers, which keeps the longest run of zeros
//! that the rest of a hash began with, plus one (Flajolet et al. 2007, with the 64-bit hash of Heule et al. 2013). A register is a
//! maximum, so the join is the maximum of each, and adding twice or on two replicas is adding once.
//!
//! The estimate is the improved raw estimator of Ertl (*New cardinality estimation algorithms for HyperLogLog sketches*, 2017,
//! section 2.3): it has no bias near the small end, so it needs neither the switch to linear counting nor the measured tables of Heule
//! et al. Its standard error is 1.04/√m: 0.4 % for p = 16, 0.8 % for 14 (Riak's default), 26 % for 4. It is a function of the registers that uses
//! sums, products and square roots only, which are the same on every machine.
//!
//! The precision can be lowered and never raised: `2^(p-q)` registers fold into one, as if all had been
//! added with `q`. Two states of different precision meet at the lower, so the order is "lower precision, higher registers".

#[cfg(any(test, feature = "known-bad"))]
use super::known_bad::{Variant, is_on};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::f64::consts::LN_2;
use xxhash_rust::xxh3::xxh3_64;

pub const PRECISION_MIN: u8 = 4;
pub const PRECISION_MAX: u8 = 16;

/// How many registers there are: 16 to 65,536. Always in these bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Precision(u8);

impl Precision {
    /// Riak's default: 16,384 registers.
    pub const DEFAULT: Self = Self(14);

    /// Nothing if `bits` is not from [`PRECISION_MIN`] to [`PRECISION_MAX`].
    #[must_use]
    pub fn new(bits: u8) -> Option<Self> {
        (PRECISION_MIN..=PRECISION_MAX)
            .contains(&bits)
            .then_some(Self(bits))
    }

    #[must_use]
    pub fn bits(self) -> u8 {
        self.0
    }

    pub(super) fn registers(self) -> u32 {
        1 << self.0
    }

    /// The highest value of a register: all bits that do not choose it are zero.
    pub(super) fn rank_max(self) -> u8 {
        64 - self.0 + 1
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hll {
    pub(super) precision: Precision,
    /// Those that are not 0; no higher than [`Precision::rank_max`].
    pub(super) registers: BTreeMap<u16, u8>,
}

impl Hll {
    pub(super) fn new(precision: Precision) -> Self {
        Self {
            precision,
            registers: BTreeMap::new(),
        }
    }

    /// The registers that adding would raise.
    pub(super) fn raised(&self, elements: &[Bytes]) -> Self {
        let mut raised = Self::new(self.precision);
        for element in elements {
            let (register, rank) = place(xxh3_64(element), self.precision);
            if self
                .registers
                .get(&register)
                .is_none_or(|have| *have < rank)
            {
                raised.raise(register, rank);
            }
        }
        raised
    }

    fn raise(&mut self, register: u16, rank: u8) {
        let have = self.registers.entry(register).or_insert(rank);
        *have = rank.max(*have);
    }

    pub(super) fn join(&mut self, other: &Self) {
        #[cfg(any(test, feature = "known-bad"))]
        if is_on(Variant::EstimateReplaced) {
            self.registers.clear();
        }
        if other.precision < self.precision {
            *self = self.lowered(other.precision);
        }
        for (register, rank) in &other.registers {
            let (register, rank) = fold(*register, *rank, other.precision, self.precision);
            self.raise(register, rank);
        }
    }

    fn lowered(&self, precision: Precision) -> Self {
        let mut lower = Self::new(precision);
        for (register, rank) in &self.registers {
            let (register, rank) = fold(*register, *rank, self.precision, precision);
            lower.raise(register, rank);
        }
        lower
    }

    /// Rounded to the nearest number.
    pub(super) fn estimate(&self) -> u64 {
        let m = f64::from(self.precision.registers());
        let mut counts = [0_u32; 66];
        self.registers
            .values()
            .for_each(|rank| counts[usize::from(*rank)] += 1);
        let filled: u32 = counts.iter().sum();
        let empty = f64::from(self.precision.registers() - filled);
        let top = self.precision.rank_max();
        let mut z = m * tau(1.0 - f64::from(counts[usize::from(top)]) / m);
        for rank in (1..top).rev() {
            z = 0.5 * (z + f64::from(counts[usize::from(rank)]));
        }
        z += m * sigma(empty / m);
        whole((0.5 / LN_2) * m * m / z)
    }
}

/// The register that a hash belongs to, and its rank: the leading zeros of the other bits, plus one.
fn place(hash: u64, precision: Precision) -> (u16, u8) {
    let bits = precision.bits();
    let register = u16::try_from(hash >> (64 - bits)).expect("at most 16 bits are left");
    let zeros = (hash << bits).leading_zeros().min(u32::from(64 - bits));
    (register, u8::try_from(zeros + 1).expect("at most 61"))
}

/// Where a register's rank goes when `from` is lowered to `to`: bits that chose the register are now the first of the others.
fn fold(register: u16, rank: u8, from: Precision, to: Precision) -> (u16, u8) {
    let dropped = from.bits().saturating_sub(to.bits());
    let chosen = u32::from(register);
    let rest = chosen & ((1 << dropped) - 1);
    let register = u16::try_from(chosen >> dropped).expect("a part of 16 bits");
    if rest == 0 {
        return (register, rank + dropped);
    }
    let zeros = rest.leading_zeros() - (32 - u32::from(dropped));
    (register, u8::try_from(zeros + 1).expect("at most 12"))
}

/// Ertl's σ: what the empty registers say. Infinite when all are empty.
fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z, mut before) = (1.0, x, -1.0);
    while z > before {
        x *= x;
        before = z;
        z += x * y;
        y += y;
    }
    z
}

/// Ertl's τ: what the registers say that can count no further.
fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut y, mut z, mut before) = (1.0, 1.0 - x, 2.0);
    while z < before {
        x = x.sqrt();
        before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
    }
    z / 3.0
}

/// The nearest whole number; the greatest there is for what is beyond.
fn whole(estimate: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the estimate is not negative, and a float beyond 64 bits becomes the greatest number"
    )]
    let rounded = estimate.round() as u64;
    rounded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(bits: u8, count: u32) -> Hll {
        let mut hll = Hll::new(Precision::new(bits).expect("from 4 to 16"));
        for number in 0..count {
            let element = Bytes::from(number.to_be_bytes().to_vec());
            let raised = hll.raised(&[element]);
            hll.join(&raised);
        }
        hll
    }

    #[test]
    fn few_elements_are_counted_exactly() {
        for count in [0, 1, 2, 3, 10, 50] {
            assert_eq!(filled(14, count).estimate(), u64::from(count));
        }
    }

    /// Four standard errors of 1.04/√m: a fixed set of elements, so this either holds or does not.
    #[test]
    fn estimates_are_as_good_as_the_paper_says() {
        for bits in PRECISION_MIN..=PRECISION_MAX {
            for count in [1_000, 20_000, 100_000_u32] {
                let hll = filled(bits, count);
                let deviation = 1.04 / f64::from(hll.precision.registers()).sqrt();
                let estimate = u32::try_from(hll.estimate()).expect("near the count");
                let error = (f64::from(estimate) / f64::from(count) - 1.0).abs();
                assert!(error < 4.0 * deviation, "p = {bits}, {count}: {estimate}");
            }
        }
    }

    #[test]
    fn lowering_the_precision_is_as_if_it_had_always_been_lower() {
        for low in PRECISION_MIN..=PRECISION_MAX {
            let mut lowered = filled(16, 3_000);
            lowered.join(&Hll::new(Precision::new(low).expect("in range")));
            assert_eq!(lowered, filled(low, 3_000), "to {low}");
        }
    }

    #[test]
    fn the_precision_is_never_raised() {
        let mut low = filled(6, 500);
        low.join(&filled(12, 500));
        assert_eq!(low, filled(6, 500));
        assert!(Precision::new(3).is_none() && Precision::new(17).is_none());
    }

    #[test]
    fn the_longest_run_of_zeros_fits() {
        for bits in PRECISION_MIN..=PRECISION_MAX {
            let precision = Precision::new(bits).expect("in range");
            assert_eq!(place(0, precision), (0, precision.rank_max()));
            assert_eq!(place(u64::MAX, precision).1, 1);
            let mut full = Hll::new(precision);
            for register in 0..precision.registers() {
                let register = u16::try_from(register).expect("at most 65,535");
                full.raise(register, precision.rank_max());
            }
            assert!(full.estimate() > 1 << 60, "and is no division by zero");
        }
    }
}
