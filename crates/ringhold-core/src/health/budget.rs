//! How many requests may be made a second time.
//!
//! A retry helps the one who makes it and costs everybody. When most requests are slow because there are too many, hedging and
//! retrying each of them doubles the load at the worst moment, and the cluster stays down after the cause has gone (T24, the
//! metastable failures of Bronson et al., 2021). So they are paid for: every request earns a tenth of a token, every second try
//! takes a whole one. In quiet times there are always some to spend; in bad times second tries make up a tenth of the load and no more.
//!
//! Invariant: after n requests, at most `TOKENS_MAX` + n/10 second tries have been allowed.
//!
//! It is a plain value: each change returns what the budget is then, so a host can keep it in one atomic word.

/// What one request earns, in thousandths of a token.
const EARNED: u32 = 100;
/// What one second try costs, in thousandths.
const COST: u32 = 1_000;
/// Saved up, at most: enough for every read of a fraction of a second in which a replica has just gone silent.
pub const TOKENS_MAX: u32 = 20;

/// Thousandths of tokens; it starts full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryBudget(u32);

impl Default for RetryBudget {
    fn default() -> Self {
        Self(TOKENS_MAX * COST)
    }
}

impl RetryBudget {
    /// The budget of so many thousandths, or the most that there may be.
    #[must_use]
    pub fn of_thousandths(thousandths: u32) -> Self {
        Self(thousandths.min(TOKENS_MAX * COST))
    }

    #[must_use]
    pub fn thousandths(self) -> u32 {
        self.0
    }

    /// After one more request.
    #[must_use]
    pub fn after_request(self) -> Self {
        Self::of_thousandths(self.0 + EARNED)
    }

    /// After one more second try; `None` if that can't be afforded.
    #[must_use]
    pub fn after_second_try(self) -> Option<Self> {
        self.0.checked_sub(COST).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_requests_pay_for_one_second_try() {
        let mut budget = RetryBudget::default();
        for _ in 0..TOKENS_MAX {
            budget = budget.after_second_try().unwrap();
        }
        for _ in 0..10 {
            assert_eq!(budget.after_second_try(), None);
            budget = budget.after_request();
        }
        assert_eq!(budget.after_second_try(), Some(RetryBudget(0)));
    }

    #[test]
    fn no_more_than_the_cap_is_saved() {
        let full = RetryBudget::default();
        assert_eq!(full.after_request(), full);
        assert_eq!(RetryBudget::of_thousandths(u32::MAX), full);
    }
}
