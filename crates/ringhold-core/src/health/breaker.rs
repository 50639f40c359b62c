//! When a peer that has failed is tried again.
//!
//! *Closed*, requests go to the peer. So many failures in a row *open* it, and nobody asks the peer for a while. Then it
//! is *half-open*: one probe at a time goes out, a failure opens it again for twice as long, and only a few answers in a row close
//! it. One answer is never enough: a peer that answers one request in ten would be let in and thrown out all day, each time
//! at the price of a few deadlines (T25). For the same reason a peer that was closed lately opens for longer the
//! next time; after a calm minute that is forgiven.
//!
//! What "in a row" means, with requests that overlap:
//! - a failure counts only if nothing that was sent later has been answered. The deadline of a request that was lost ten seconds ago
//!   passes now, and says nothing about now;
//! - failures that come together count as one: a connection that breaks ends all that waited on it;
//! - only answers to what was sent since it opened close it.
//!
//! There is no jitter: each node has its own breakers and its own experience, one probe at a time is no herd, and a run
//! that can be repeated is worth more.
//!
//! Invariant: it is never open for longer than `open_us_max`, and a probe that never reports blocks the next for no longer than that.

/// How patient a breaker is.
#[derive(Clone, Copy, Debug)]
pub struct BreakerLimits {
    /// Failures in a row that open it.
    pub failures_to_open: u32,
    /// Answers in a row that close it again.
    pub answers_to_close: u32,
    /// Failures that come within this time of the one counted last are the same failure.
    pub burst_us: u64,
    /// How long it is open at first, and at most.
    pub open_us: u64,
    pub open_us_max: u64,
    /// Closed for this long, it opens for `open_us` again.
    pub forgive_us: u64,
}

impl Default for BreakerLimits {
    fn default() -> Self {
        Self {
            failures_to_open: 3,
            answers_to_close: 3,
            burst_us: 100_000,
            open_us: 500_000,
            open_us_max: 8_000_000,
            forgive_us: 60_000_000,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { failures: u32, since_us: u64 },
    Open { until_us: u64 },
    HalfOpen { answers: u32, probe_us: Option<u64> },
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Breaker {
    limits: BreakerLimits,
    state: State,
    /// How often it has opened without being forgiven.
    openings: u32,
    opened_us: u64,
    last_failure_us: Option<u64>,
    /// The latest moment at which something was sent that has been answered.
    answered_sent_us: Option<u64>,
}

impl Breaker {
    /// Closed: a peer is believed until it fails.
    #[must_use]
    pub fn new(limits: BreakerLimits) -> Self {
        assert!(limits.failures_to_open > 0 && limits.answers_to_close > 0);
        assert!(0 < limits.open_us && limits.open_us <= limits.open_us_max);
        Self {
            limits,
            state: State::Closed {
                failures: 0,
                since_us: 0,
            },
            openings: 0,
            opened_us: 0,
            last_failure_us: None,
            answered_sent_us: None,
        }
    }

    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    /// What was sent at `sent_us` has been answered.
    pub fn answered(&mut self, now_us: u64, sent_us: u64) {
        self.answered_sent_us = self.answered_sent_us.max(Some(sent_us));
        match &mut self.state {
            State::Closed { failures, since_us } => {
                *failures = 0;
                if now_us.saturating_sub(*since_us) >= self.limits.forgive_us {
                    self.openings = 0;
                }
            }
            State::Open { .. } => {}
            State::HalfOpen { answers, probe_us } => {
                if sent_us < self.opened_us {
                    return;
                }
                *probe_us = None;
                *answers += 1;
                if *answers >= self.limits.answers_to_close {
                    self.state = State::Closed {
                        failures: 0,
                        since_us: now_us,
                    };
                }
            }
        }
    }

    /// What was sent at `sent_us` has failed.
    pub fn failed(&mut self, now_us: u64, sent_us: u64) {
        if self
            .answered_sent_us
            .is_some_and(|answered| sent_us < answered)
        {
            return;
        }
        let is_burst = self
            .last_failure_us
            .is_some_and(|last| now_us.saturating_sub(last) < self.limits.burst_us);
        match &mut self.state {
            State::Closed { failures, .. } => {
                if is_burst && *failures > 0 {
                    return;
                }
                *failures += 1;
                self.last_failure_us = Some(now_us);
                if *failures >= self.limits.failures_to_open {
                    self.open(now_us);
                }
            }
            State::HalfOpen { .. } if sent_us >= self.opened_us => {
                self.last_failure_us = Some(now_us);
                self.open(now_us);
            }
            State::Open { .. } | State::HalfOpen { .. } => {}
        }
    }

    /// There is news of the peer, say a new connection: an open breaker need not wait to try it.
    pub fn reconsider(&mut self) {
        if matches!(self.state, State::Open { .. }) {
            self.state = State::HalfOpen {
                answers: 0,
                probe_us: None,
            };
        }
    }

    /// Whether a probe may go out now; if so, it is taken to go out.
    pub fn admits_probe(&mut self, now_us: u64) -> bool {
        match &mut self.state {
            State::Closed { .. } => false,
            State::Open { until_us } => {
                let due = now_us >= *until_us;
                if due {
                    self.state = State::HalfOpen {
                        answers: 0,
                        probe_us: Some(now_us),
                    };
                }
                due
            }
            State::HalfOpen { probe_us, .. } => {
                let given_up =
                    probe_us.is_none_or(|at| now_us.saturating_sub(at) >= self.limits.open_us_max);
                if given_up {
                    *probe_us = Some(now_us);
                }
                given_up
            }
        }
    }

    fn open(&mut self, now_us: u64) {
        // 2^20 half seconds are more than any maximum.
        let for_us = self
            .limits
            .open_us
            .saturating_mul(1 << self.openings.min(20))
            .min(self.limits.open_us_max);
        self.openings = self.openings.saturating_add(1);
        self.opened_us = now_us;
        self.state = State::Open {
            until_us: now_us.saturating_add(for_us),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000;

    fn opened(at_us: u64) -> Breaker {
        let mut breaker = Breaker::new(BreakerLimits::default());
        for second in 0..3 {
            breaker.failed(at_us - (2 - second) * S, at_us - (2 - second) * S);
        }
        assert!(!breaker.is_closed());
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_an_answer_breaks_the_row() {
        let mut breaker = Breaker::new(BreakerLimits::default());
        for round in 0..100 {
            let now_us = round * 10 * S;
            breaker.failed(now_us, now_us);
            breaker.failed(now_us + S, now_us + S);
            assert!(breaker.is_closed());
            breaker.answered(now_us + 2 * S, now_us + 2 * S);
        }
    }

    #[test]
    fn a_broken_connection_is_one_failure_however_much_waited_on_it() {
        let mut breaker = Breaker::new(BreakerLimits::default());
        (0..1_000).for_each(|waiting| breaker.failed(S + waiting, S));
        assert!(breaker.is_closed());
    }

    #[test]
    fn what_was_lost_before_the_last_answer_is_forgotten() {
        let mut breaker = Breaker::new(BreakerLimits::default());
        breaker.answered(5 * S, 5 * S);
        (6..20).for_each(|second| breaker.failed(second * S, second * S / 4));
        assert!(breaker.is_closed());
        (20..23).for_each(|second| breaker.failed(second * S, 6 * S));
        assert!(!breaker.is_closed());
    }

    #[test]
    fn one_probe_at_a_time_and_only_a_few_answers_close_it() {
        let mut breaker = opened(10 * S);
        assert!(!breaker.admits_probe(10 * S + 499_999), "not yet");
        let mut now_us = 10 * S + 500_000;
        for answer in 0..3 {
            assert!(breaker.admits_probe(now_us));
            assert!(!breaker.admits_probe(now_us), "one at a time");
            assert!(!breaker.is_closed(), "after {answer} answers");
            breaker.answered(now_us + 1_000, now_us);
            now_us += 2_000;
        }
        assert!(breaker.is_closed());
    }

    #[test]
    fn late_answers_of_before_do_not_count_as_probes() {
        let mut breaker = opened(10 * S);
        assert!(breaker.admits_probe(11 * S));
        (0..10).for_each(|_| breaker.answered(11 * S, 9 * S));
        assert!(!breaker.is_closed());
    }

    #[test]
    fn each_failed_probe_doubles_the_wait_up_to_the_bound() {
        let mut breaker = opened(10 * S);
        let mut now_us = 10 * S;
        for wait_us in [500_000, S, 2 * S, 4 * S, 8 * S, 8 * S, 8 * S] {
            assert!(!breaker.admits_probe(now_us + wait_us - 1), "{wait_us}");
            assert!(breaker.admits_probe(now_us + wait_us), "{wait_us}");
            now_us += wait_us;
            breaker.failed(now_us, now_us);
        }
    }

    #[test]
    fn a_calm_minute_is_forgiven_and_less_is_not() {
        for (calm_us, wait_us) in [(59 * S, 2 * S), (60 * S, 500_000)] {
            let mut breaker = opened(10 * S);
            assert!(breaker.admits_probe(11 * S));
            breaker.failed(11 * S, 11 * S);
            (0..3).for_each(|_| {
                breaker.reconsider();
                assert!(breaker.admits_probe(12 * S));
                breaker.answered(12 * S, 12 * S);
            });
            breaker.answered(12 * S + calm_us, 12 * S + calm_us);
            let fails_us = 12 * S + calm_us;
            (1..4).for_each(|n| breaker.failed(fails_us + n * S, fails_us + n * S));
            let opened_us = fails_us + 3 * S;
            assert!(!breaker.admits_probe(opened_us + wait_us - 1));
            assert!(breaker.admits_probe(opened_us + wait_us), "{wait_us}");
        }
    }

    #[test]
    fn a_probe_that_never_reports_blocks_nothing_for_ever() {
        let mut breaker = opened(10 * S);
        assert!(breaker.admits_probe(11 * S));
        assert!(!breaker.admits_probe(19 * S - 1));
        assert!(breaker.admits_probe(19 * S));
    }
}
