//! How many clients' requests are let in (T24, T28).
//!
//! Every get and put of a client, over whatever protocol, is let in here before anything is done about it, and if it can be before
//! its body is read. Reads and writes have a [`Gate`] each, since they wait for different things. Who is let in holds an [`Admitted`] until the
//! answer is there; who is not is told "overloaded" at once, which costs next to nothing and is safe to retry.
//!
//! The counting is done in atomics; once in a tenth of a second whoever comes first closes the window and moves the gate,
//! and nobody waits for that.
//!
//! Only what was carried out says how long it takes: a refusal is fast however slow the node is.
//!
//! Not here: replicas' and background requests, which have queues of their own, and bytes, which listeners count.

use crate::env::Environment;
use crate::metrics::Metrics;
use crate::node::Node;
use ringhold_core::health::Gate;
use ringhold_core::health::gate::{WINDOW_US, Window};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, TryLockError};

/// Stands for "nothing was carried out".
const NOTHING: u64 = u64::MAX;

/// What a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    Read,
    Write,
}

/// See the module.
pub(crate) struct FrontDoor {
    reads: Arc<Pool>,
    writes: Arc<Pool>,
}

struct Pool {
    environment: Arc<dyn Environment>,
    gate: Mutex<Gate>,
    limit: AtomicU32,
    in_flight: AtomicU32,
    most_in_flight: AtomicU32,
    served: AtomicU32,
    fastest_us: AtomicU64,
    window_began_us: AtomicU64,
}

impl FrontDoor {
    /// Lets in so many of each kind at most.
    pub(crate) fn new(environment: &Arc<dyn Environment>, max: u32) -> Self {
        let pool = || {
            Arc::new(Pool {
                environment: Arc::clone(environment),
                gate: Mutex::new(Gate::new(max)),
                limit: AtomicU32::new(max.max(1)),
                in_flight: AtomicU32::new(0),
                most_in_flight: AtomicU32::new(0),
                served: AtomicU32::new(0),
                fastest_us: AtomicU64::new(NOTHING),
                window_began_us: AtomicU64::new(environment.now_us()),
            })
        };
        Self {
            reads: pool(),
            writes: pool(),
        }
    }

    fn pool(&self, errand: Errand) -> &Arc<Pool> {
        match errand {
            Errand::Read => &self.reads,
            Errand::Write => &self.writes,
        }
    }
}

impl Pool {
    fn admit(self: &Arc<Self>) -> Option<Admitted> {
        let began_us = self.environment.now_us();
        self.close_window(began_us);
        let before = self.in_flight.fetch_add(1, Ordering::Relaxed);
        if before >= self.limit.load(Ordering::Relaxed) {
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        self.most_in_flight.fetch_max(before + 1, Ordering::Relaxed);
        Some(Admitted(Some(Held {
            pool: Arc::clone(self),
            began_us,
        })))
    }

    fn is_full(&self) -> bool {
        let is_full = self.in_flight.load(Ordering::Relaxed) >= self.limit.load(Ordering::Relaxed);
        if is_full {
            // Somebody has to, where all are turned away.
            self.close_window(self.environment.now_us());
        }
        is_full
    }

    fn note_served(&self, began_us: u64) {
        let now_us = self.environment.now_us();
        self.served.fetch_add(1, Ordering::Relaxed);
        self.fastest_us
            .fetch_min(now_us.saturating_sub(began_us), Ordering::Relaxed);
        self.close_window(now_us);
    }

    /// Moves the gate if the window is over and nobody else is doing so.
    fn close_window(&self, now_us: u64) {
        let elapsed_us = now_us.saturating_sub(self.window_began_us.load(Ordering::Relaxed));
        if elapsed_us < WINDOW_US {
            return;
        }
        let mut gate = match self.gate.try_lock() {
            Ok(gate) => gate,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        // Whoever was here a moment ago may have done it.
        let began_us = self.window_began_us.load(Ordering::Relaxed);
        let elapsed_us = now_us.saturating_sub(began_us);
        if elapsed_us < WINDOW_US {
            return;
        }
        self.window_began_us.store(now_us, Ordering::Relaxed);
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        let fastest_us = self.fastest_us.swap(NOTHING, Ordering::Relaxed);
        let window = Window {
            elapsed_us,
            served: self.served.swap(0, Ordering::Relaxed),
            fastest_us: (fastest_us != NOTHING).then_some(fastest_us),
            most_in_flight: self.most_in_flight.swap(in_flight, Ordering::Relaxed),
        };
        gate.advance(&window);
        self.limit.store(gate.limit(), Ordering::Relaxed);
    }
}

/// A request that was let in, for as long as this is held.
#[must_use = "what is dropped is no longer counted"]
pub struct Admitted(Option<Held>);

struct Held {
    pool: Arc<Pool>,
    began_us: u64,
}

impl Admitted {
    /// One that nobody counts.
    pub fn uncounted() -> Self {
        Self(None)
    }

    /// The request was carried out: how long it took says how long such requests take.
    pub fn served(self) {
        if let Some(held) = &self.0 {
            held.pool.note_served(held.began_us);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.pool.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Node {
    /// Lets a client's request in, or not; then it is to be told that the node is overloaded.
    pub fn admit(&self, errand: Errand) -> Option<Admitted> {
        let admitted = self.front_door.pool(errand).admit();
        if admitted.is_none() {
            note_shed(&self.metrics);
        }
        admitted
    }

    /// Whether [`Node::admit`] would refuse now, for a listener that can say so before it has done anything about a request. If it
    /// does, that is to be counted.
    #[must_use]
    pub fn is_full(&self, errand: Errand) -> bool {
        self.front_door.pool(errand).is_full()
    }

    /// [`Node::is_full`], counted as a refusal.
    #[must_use]
    pub fn sheds(&self, errand: Errand) -> bool {
        let sheds = self.is_full(errand);
        if sheds {
            note_shed(&self.metrics);
        }
        sheds
    }

    /// How many clients' requests of a kind may be in flight, and how many are.
    #[must_use]
    pub fn client_requests(&self, errand: Errand) -> (u32, u32) {
        let pool = self.front_door.pool(errand);
        (
            pool.limit.load(Ordering::Relaxed),
            pool.in_flight.load(Ordering::Relaxed),
        )
    }
}

fn note_shed(metrics: &Metrics) {
    metrics.requests_shed.client.add(1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::BoxFuture;

    #[derive(Default)]
    struct Clock(AtomicU64);

    impl Environment for Clock {
        fn spawn(&self, _: BoxFuture<'static, ()>) {}

        fn now_us(&self) -> u64 {
            self.0.load(Ordering::Relaxed)
        }

        fn wall_us(&self) -> u64 {
            self.now_us()
        }

        fn sleep_until(&self, _: u64) -> BoxFuture<'static, ()> {
            Box::pin(std::future::pending())
        }

        fn random(&self) -> u128 {
            0
        }
    }

    #[test]
    fn so_many_are_let_in_and_those_that_leave_make_room() {
        let clock: Arc<dyn Environment> = Arc::new(Clock::default());
        let door = FrontDoor::new(&clock, 2);
        let pool = door.pool(Errand::Write);
        let (one, two) = (pool.admit(), pool.admit());
        assert!(one.is_some() && two.is_some() && pool.admit().is_none());
        drop(one);
        assert!(pool.admit().is_some());
        assert!(door.pool(Errand::Read).admit().is_some());
    }

    #[test]
    fn a_standing_delay_narrows_the_gate_and_refusals_say_nothing() {
        let clock = Arc::new(Clock::default());
        let environment: Arc<dyn Environment> = Arc::clone(&clock) as Arc<dyn Environment>;
        let door = FrontDoor::new(&environment, 1_000);
        let pool = door.pool(Errand::Read);
        let pass = |us: u64| clock.0.fetch_add(us, Ordering::Relaxed);
        let one = pool.admit().unwrap();
        pass(1_000);
        one.served();
        for _ in 0..3 {
            let slow: Vec<Admitted> = (0..100).filter_map(|_| pool.admit()).collect();
            pass(1_000_000);
            slow.into_iter().for_each(Admitted::served);
            // Fast, and nothing was done.
            drop(pool.admit());
        }
        pass(WINDOW_US);
        drop(pool.admit());
        assert!(pool.limit.load(Ordering::Relaxed) < 100);
        assert_eq!(pool.in_flight.load(Ordering::Relaxed), 0);
    }
}
