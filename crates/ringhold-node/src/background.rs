//! Turns for work that nobody waits for (§6.5).
//!
//! Hints that go home, replicas that are rebuilt or compared, tombstones and checksums use the disk and the network that
//! requests wait for. Before each step (a page of hints, an exchange, a batch of keys) such work asks for its
//! [`turn`](Background::turn), and holds it while the step lasts:
//!
//! ```text
//! let turn = node.background.turn(Work::Scrub).await;
//! … one step …
//! drop(turn);
//! ```
//!
//! The turn comes at once while no client asks for anything, and otherwise after a pause that
//! [`Admission`] reckons from how clients' requests fare and from how long the last step took. A turn that is dropped tells how
//! long that was.
//!
//! How requests fare is told by coordinators, for requests that this node's clients sent and for those that other nodes forwarded. They count into
//! atomics, and a task takes them out once a second: nothing on the way of a get or a put waits for a lock. What this
//! node does as a replica for others' requests is not counted: a replica can't tell a client's write from a
//! delivered hint.
//!
//! Invariants:
//! - those of [`Admission`]: shares have floors, and no kind waits for more than seconds at a stretch;
//! - of one kind, whoever asked first goes first;
//! - a turn is a permission and no lock: steps overlap where they take longer than their pause.

use crate::env::{Environment, alive_after};
#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::metrics::{BackgroundMetrics, Metrics};
use crate::node::Node;
use ringhold_core::health::SharedHistogram;
use ringhold_core::health::admission::{Admission, Grant, Settings, Work};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// How often what was counted is taken out.
const TICK_US: u64 = 1_000_000;
/// A share may rise while somebody waits; nobody sleeps for longer without asking again.
const NAP_US: u64 = 1_000_000;

/// See the module.
pub(crate) struct Background {
    environment: Arc<dyn Environment>,
    metrics: Arc<Metrics>,
    latencies: SharedHistogram,
    /// When the last request of a client was answered; 0 for never.
    last_request_us: AtomicU64,
    admission: Mutex<Admission>,
    /// For each kind, whoever is next holds it while it waits.
    queues: [tokio::sync::Mutex<()>; Work::ALL.len()],
}

impl Background {
    pub(crate) fn new(
        environment: Arc<dyn Environment>,
        metrics: Arc<Metrics>,
        settings: Settings,
    ) -> Self {
        let admission = Admission::new(settings, environment.now_us());
        Self {
            environment,
            metrics,
            latencies: SharedHistogram::default(),
            last_request_us: AtomicU64::new(0),
            admission: Mutex::new(admission),
            queues: Default::default(),
        }
    }

    /// A request of a client was answered, after so many microseconds.
    pub(crate) fn foreground(&self, now_us: u64, latency_us: u64) {
        self.latencies.note(latency_us);
        self.last_request_us.store(now_us, Ordering::Relaxed);
    }

    /// Waits until work of this kind may go on for a step.
    pub(crate) async fn turn(self: &Arc<Self>, work: Work) -> Turn {
        let metrics = self.metrics.background(work);
        let waiting = Waiting::new(metrics);
        let asked_us = self.environment.now_us();
        {
            let _first = self.queues[work as usize].lock().await;
            while let Some(until_us) = self.ask(work) {
                self.environment.sleep_until(until_us).await;
            }
        }
        drop(waiting);
        let began_us = self.environment.now_us();
        metrics.turns.add(1);
        metrics.waited_us.add(began_us.saturating_sub(asked_us));
        Turn {
            background: Arc::clone(self),
            work,
            began_us,
        }
    }

    /// None if this kind may go on; else when to ask again.
    fn ask(&self, work: Work) -> Option<u64> {
        let now_us = self.environment.now_us();
        let mut admission = self.lock();
        self.note_last_request(&mut admission);
        #[cfg(feature = "known-bad")]
        if known_bad::is(Variant::BackgroundStarves)
            && admission.share_thousandths(now_us, work) < 500
        {
            return Some(now_us.saturating_add(NAP_US));
        }
        match admission.grant(now_us, work) {
            Grant::Now { .. } => None,
            Grant::NotBefore(until_us) => Some(until_us.min(now_us.saturating_add(NAP_US))),
        }
    }

    /// Takes out what was counted. `hints` is how many bytes are kept for others, and how many may be.
    fn tick(&self, hints: (u64, u64)) {
        let now_us = self.environment.now_us();
        let latencies = self.latencies.drain();
        let mut admission = self.lock();
        self.note_last_request(&mut admission);
        admission.foreground_many(now_us, &latencies);
        admission.hints(hints.0, hints.1);
    }

    fn note_last_request(&self, admission: &mut Admission) {
        match self.last_request_us.load(Ordering::Relaxed) {
            0 => {}
            at_us => admission.busy_at(at_us),
        }
    }

    /// The share of the time that a kind of work has now, in thousandths.
    pub(crate) fn share_thousandths(&self, work: Work) -> u64 {
        let mut admission = self.lock();
        self.note_last_request(&mut admission);
        admission.share_thousandths(self.environment.now_us(), work)
    }

    fn lock(&self) -> MutexGuard<'_, Admission> {
        self.admission
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Permission to do one step. Ends when it is dropped.
#[must_use = "a turn that is dropped has ended"]
pub(crate) struct Turn {
    background: Arc<Background>,
    work: Work,
    began_us: u64,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let now_us = self.background.environment.now_us();
        let took_us = now_us.saturating_sub(self.began_us);
        self.background.lock().ended(took_us);
        self.background
            .metrics
            .background(self.work)
            .took_us
            .add(took_us);
    }
}

/// Counts one that waits, for as long as it does.
struct Waiting<'a>(&'a BackgroundMetrics);

impl<'a> Waiting<'a> {
    fn new(metrics: &'a BackgroundMetrics) -> Self {
        metrics.waiting.rise();
        Self(metrics)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fall();
    }
}

/// Takes out what was counted, once a second, for as long as the node lives.
pub(crate) async fn run(node: Weak<Node>, environment: Arc<dyn Environment>) {
    while let Some(node) = alive_after(&node, &*environment, TICK_US).await {
        let (_, bytes) = node.hints_kept();
        node.background.tick((bytes, node.tuning.hint_bytes_max));
    }
}

impl Node {
    /// A request of a client that began then has its answer; returns how long that took, in microseconds.
    pub(crate) fn note_foreground(&self, started_us: u64) -> u64 {
        let now_us = self.environment.now_us();
        let elapsed_us = now_us.saturating_sub(started_us);
        self.background.foreground(now_us, elapsed_us);
        elapsed_us
    }

    /// The share of the time that background work of a kind has now, in thousandths.
    #[must_use]
    pub fn background_share_thousandths(&self, work: Work) -> u64 {
        self.background.share_thousandths(work)
    }
}
