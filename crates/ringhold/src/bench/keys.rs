//! Which key an operation takes: all alike, or some far more than others. Pure.
//!
//! Real keys are not alike: a few products are in most carts. The usual model is Zipf's: the k-th most popular of n keys is drawn in
//! proportion to `1/k^θ`. Drawing from it by adding up n shares would need a table of n numbers; *rejection-inversion* (W. Hörmann,
//! G. Derflinger, "Rejection-inversion to generate variates from monotone discrete distributions", 1996) needs four.
//!
//! Let `H` be an integral of `h(x) = x^-θ`. A number drawn evenly from `H`'s range and put through its inverse lies in the cell of `k`,
//! from `k − ½` to `k + ½`, with a probability a little above `h(k)`, because `h` is convex. What is above is turned away: whoever falls
//! into the first `H(k + ½) − H(k − ½) − h(k)` of the cell draws again, which is rare whatever n is.
//!
//! Ranks are keys: the most popular key is the first. They meet no order in the store, which places keys by their hash.

use crate::bench::schedule::Draws;
use crate::cli::{BenchArgs, KeysDistribution};
use crate::output::Failure;

/// Past it all requests would be for a handful of keys.
const THETA_MAX: f64 = 10.0;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Keys {
    Uniform { count: u64 },
    Zipf(Zipf),
}

impl Keys {
    pub(super) fn new(arguments: &BenchArgs) -> Result<Self, Failure> {
        let theta = arguments.zipf_theta;
        match arguments.keys_distribution {
            KeysDistribution::Uniform => Ok(Self::Uniform {
                count: arguments.keys,
            }),
            KeysDistribution::Zipf if theta > 0.0 && theta <= THETA_MAX => {
                Ok(Self::Zipf(Zipf::new(arguments.keys, theta)))
            }
            KeysDistribution::Zipf => Err(Failure::usage(format!(
                "--zipf-theta {theta}: above 0, at most {THETA_MAX}"
            ))),
        }
    }

    /// From 0.
    pub(super) fn draw(&self, draws: &mut Draws) -> u64 {
        match self {
            Self::Uniform { count } => draws.below(*count),
            Self::Zipf(zipf) => zipf.draw(draws) - 1,
        }
    }
}

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Zipf {
    count: f64,
    theta: f64,
    /// Of the drawn area: `H(3/2) − h(1)`, so that the first cell has nothing to turn away.
    area_start: f64,
    /// `H(n + ½)`.
    area_end: f64,
    /// Whoever is no further than this below a whole number is in the part of its cell that is never turned away.
    always_taken: f64,
}

impl Zipf {
    pub(super) fn new(count: u64, theta: f64) -> Self {
        let mut zipf = Self {
            count: count as f64,
            theta,
            area_start: 0.0,
            area_end: 0.0,
            always_taken: 0.0,
        };
        zipf.area_start = zipf.integral(1.5) - 1.0;
        zipf.area_end = zipf.integral(zipf.count + 0.5);
        zipf.always_taken = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.density(2.0));
        zipf
    }

    /// A rank, from 1.
    fn draw(&self, draws: &mut Draws) -> u64 {
        loop {
            let area = self.area_end + draws.unit() * (self.area_start - self.area_end);
            let x = self.inverse(area);
            let rank = x.round().clamp(1.0, self.count);
            if rank - x <= self.always_taken
                || area >= self.integral(rank + 0.5) - self.density(rank)
            {
                // A whole number between 1 and the count, which was a u64.
                return rank as u64;
            }
        }
    }

    fn density(&self, x: f64) -> f64 {
        (-self.theta * x.ln()).exp()
    }

    /// `(x^(1−θ) − 1) / (1 − θ)`, and `ln x` for θ = 1, without losing digits near it.
    fn integral(&self, x: f64) -> f64 {
        let log = x.ln();
        let exponent = (1.0 - self.theta) * log;
        if exponent.abs() < 1e-8 {
            return log * (1.0 + exponent / 2.0);
        }
        exponent.exp_m1() / exponent * log
    }

    fn inverse(&self, area: f64) -> f64 {
        // Below −1 there is nothing; rounding can lead there.
        let power = (area * (1.0 - self.theta)).max(-1.0);
        if power.abs() < 1e-8 {
            return (area * (1.0 - power / 2.0)).exp();
        }
        (power.ln_1p() / power * area).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each rank's share of many draws, against `1/k^θ` over the sum of all: within five standard deviations of a binomial
    /// variable, for exponents below, at and above 1.
    #[test]
    fn ranks_are_drawn_as_the_formula_says() {
        const DRAWS: u32 = 400_000;
        for theta in [0.3, 0.99, 1.0, 1.3, 3.0] {
            for count in [1_u32, 2, 3, 50] {
                let zipf = Zipf::new(count.into(), theta);
                let mut draws = Draws::new(7);
                let mut seen = vec![0_u32; usize::try_from(count).expect("small")];
                for _ in 0..DRAWS {
                    let rank = zipf.draw(&mut draws);
                    seen[usize::try_from(rank - 1).expect("small")] += 1;
                }
                let weight = |rank: u32| f64::from(rank).powf(-theta);
                let sum: f64 = (1..=count).map(weight).sum();
                for (rank, &seen) in (1..=count).zip(&seen) {
                    let share = weight(rank) / sum;
                    let expected = share * f64::from(DRAWS);
                    let deviation = (expected * (1.0 - share)).sqrt();
                    assert!(
                        (f64::from(seen) - expected).abs() <= 5.0 * deviation + 1e-6,
                        "θ {theta}, {count} keys, rank {rank}: {seen}, not {expected:.0}"
                    );
                }
            }
        }
    }

    #[test]
    fn large_counts_stay_within_their_ranks() {
        for (count, theta) in [
            (1_000_000, 0.99),
            (1 << 40, 1.0),
            (u64::from(u32::MAX), 0.01),
        ] {
            let zipf = Zipf::new(count, theta);
            let mut draws = Draws::new(3);
            for _ in 0..10_000 {
                let rank = zipf.draw(&mut draws);
                assert!((1..=count).contains(&rank), "{rank} of {count}");
            }
        }
    }

    #[test]
    fn the_inverse_is_one() {
        for theta in [0.5, 0.99, 1.0, 1.000_000_01, 2.0] {
            let zipf = Zipf::new(1_000, theta);
            for x in [1.0, 1.5, 2.0, 17.0, 999.5] {
                let back = zipf.inverse(zipf.integral(x));
                assert!((back - x).abs() < 1e-6 * x, "θ {theta}: {x} became {back}");
            }
        }
    }
}
