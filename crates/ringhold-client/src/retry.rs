//! Trying once more, elsewhere, within a budget.
//!
//! A retry helps the one who asks and harms everybody else: when a cluster is slow because it is
//! overloaded, clients that ask three times each keep it so after the cause is gone. So a retry
//! costs a token, and each request earns a tenth of one: at most about one request in ten is a
//! retry, and a client that only fails soon fails once.
//!
//! All attempts at one write carry one idempotency key, which is the caller's to draw: that is
//! what makes them one write.

use std::future::Future;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::error::ClientError;
use crate::http::HttpPool;

/// What a retry costs, in tenths.
const RETRY_COST: i64 = 10;
/// What a request earns, in tenths.
const REQUEST_GAIN: i64 = 1;
/// A client that has been still may retry this often at once, in tenths.
const BALANCE_MAX: i64 = 100;

/// How much a client may still retry.
#[derive(Debug)]
pub struct RetryBudget {
    /// Tenths of a retry; `0..=BALANCE_MAX`.
    balance: AtomicI64,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self {
            balance: AtomicI64::new(BALANCE_MAX),
        }
    }
}

impl RetryBudget {
    /// A request was sent for the first time.
    pub fn earn(&self) {
        self.change(|balance| Some((balance + REQUEST_GAIN).min(BALANCE_MAX)));
    }

    /// Whether a retry is paid for.
    pub fn spend(&self) -> bool {
        self.change(|balance| (balance >= RETRY_COST).then_some(balance - RETRY_COST))
    }

    fn change(&self, change: impl FnMut(i64) -> Option<i64>) -> bool {
        self.balance
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, change)
            .is_ok()
    }
}

/// Calls `attempt` at `pools[first]`, and once more at the next pool if the error may pass and the
/// budget allows it. With one pool the second attempt goes there too, unless it can't be reached.
///
/// # Panics
///
/// If there is no pool.
pub async fn retry_once<'a, T, F>(
    pools: &'a [HttpPool],
    first: usize,
    budget: &RetryBudget,
    mut attempt: impl FnMut(&'a HttpPool) -> F,
) -> Result<T, ClientError>
where
    F: Future<Output = Result<T, ClientError>>,
{
    assert!(!pools.is_empty(), "a request needs a node to go to");
    budget.earn();
    let error = match attempt(&pools[first % pools.len()]).await {
        Err(error) if error.is_passing() => error,
        result => return result,
    };
    let nowhere_else = pools.len() == 1 && error.did_not_start();
    if nowhere_else || !budget.spend() {
        return Err(error);
    }
    attempt(&pools[(first + 1) % pools.len()]).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_the_requests_may_be_retries() {
        let budget = RetryBudget::default();
        let at_once = (0..1_000).filter(|_| budget.spend()).count();
        assert_eq!(at_once, 10);
        let later = (0..1_000)
            .filter(|_| {
                budget.earn();
                budget.spend()
            })
            .count();
        assert_eq!(later, 100);
    }

    #[test]
    fn the_balance_does_not_grow_without_end() {
        let budget = RetryBudget::default();
        (0..1_000_000).for_each(|_| budget.earn());
        assert_eq!((0..1_000).filter(|_| budget.spend()).count(), 10);
    }

    #[tokio::test]
    async fn a_passing_error_moves_on_to_the_next_node() {
        let pools = ["http://a:1", "http://b:1"].map(|url| HttpPool::at(url).expect("a URL"));
        let status = |url: &HttpPool, status| ClientError::Status {
            url: url.base().to_string(),
            status,
            text: String::new(),
        };
        let run = async |code: u16| {
            let mut asked = Vec::new();
            let budget = RetryBudget::default();
            let result: Result<(), _> = retry_once(&pools, 1, &budget, |pool| {
                asked.push(pool.base().to_string());
                let error = status(pool, code);
                async { Err(error) }
            })
            .await;
            assert!(result.is_err());
            asked
        };
        assert_eq!(run(503).await, ["http://b:1", "http://a:1"]);
        assert_eq!(run(400).await, ["http://b:1"]);
    }
}
