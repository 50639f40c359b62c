//! Nothing here waits for ever.
//!
//! A scenario has a time after which it has failed, whatever it waits for. Every wait of the harness asks for
//! this time, and a wait that is overdue panics, so that what was started is taken down again on the way out.
//! Should even that get stuck (a mount that doesn't let go), the process aborts a minute later, and the next
//! run sweeps up.
//!
//! Time decides here how long a fault lasts and when to give up, never whether something is right.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(20);
/// What taking down may take.
const GRACE: Duration = Duration::from_secs(60);

/// The end of a scenario's time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watchdog {
    until: Instant,
}

/// Calls the guard off when dropped.
pub(crate) struct Guard(#[expect(dead_code, reason = "its drop is what counts")] mpsc::Sender<()>);

impl Watchdog {
    /// The time runs from now on. The guard has to be held while the scenario runs.
    pub(crate) fn start(scenario: &'static str, limit: Duration) -> (Self, Guard) {
        let (guard, called_off) = mpsc::channel::<()>();
        thread::spawn(move || {
            if called_off.recv_timeout(limit + GRACE) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("{scenario}: stuck for {:?}, giving up", limit + GRACE);
                std::process::abort();
            }
        });
        let until = Instant::now() + limit;
        (Self { until }, Guard(guard))
    }

    /// Lets time pass, for a fault to last.
    pub(crate) fn hold(&self, duration: Duration) {
        let end = Instant::now() + duration;
        loop {
            self.check("a fault lasts");
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::park_timeout(left);
        }
    }

    /// Waits until something is so, at most until the scenario's end.
    pub(crate) fn wait_until(&self, what: &str, mut done: impl FnMut() -> bool) {
        while !done() {
            self.check(what);
            thread::park_timeout(LOOK);
        }
    }

    /// Whether something became so within a time.
    pub(crate) fn within(&self, limit: Duration, mut done: impl FnMut() -> bool) -> bool {
        let end = Instant::now() + limit;
        loop {
            self.check("something may happen");
            if done() {
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
            thread::park_timeout(LOOK);
        }
    }

    fn check(&self, what: &str) {
        let overdue = Instant::now() >= self.until;
        assert!(!overdue, "the scenario's time is up, waiting until {what}");
    }
}
