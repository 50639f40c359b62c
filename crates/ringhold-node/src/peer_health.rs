//! What this node knows of its peers, from asking them (§4.8.3; T23, T25, T27).
//!
//! Every call to a peer passes through [`call`], and how it ends is what its [`Experience`] learns: how long it took, that
//! it was refused, that a deadline passed in silence. Once a second each peer is asked for a heartbeat as well, so that one to which
//! nothing is sent is known too; one that is down gets probes instead, when its breaker allows them. Routing believes
//! this and nothing else.
//!
//! What does not count, because it says nothing about the peer:
//! - a deadline so short that a healthy peer may miss it;
//! - silence while this process stood still: its own tick tells ([`LocalPause`]);
//! - that there is no connection. The host says so at once, dials again by itself, and knows when there is one; a new
//!   connection to a peer that is down brings its probe forward.
//!
//! A call that is dropped after a good while without a reply, as a read does that has its quorum from others, was met with silence as much
//! as one whose deadline passed.
//!
//! What is kept of a peer lies behind one small mutex of its own; what requests ask for (its standing, its latency, the hedge
//! delay, the budget) is read from atomics that are stored after each change, so choosing replicas takes no lock.
//!
//! Invariants: no lock is held across an await or while another is taken; a peer that answers is up again within seconds, however
//! long it was down.
//!
//! Not here: the rules themselves (`ringhold_core::health`), and who is a member.

use crate::env::{BoxFuture, CallError, Deadline, Environment, alive_after};
use crate::gather::until;
#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::metrics::Metrics;
use crate::node::Node;
use arc_swap::ArcSwap;
use ringhold_core::health::experience::{Thresholds, typical_us};
use ringhold_core::health::{
    Experience, HedgeDelay, LatencyHistogram, LocalPause, Phi, Reported, RetryBudget, Standing,
};
use ringhold_core::id::NodeId;
use ringhold_wire::message::peer::{Refusal, Reply, Request};
use ringhold_wire::message::{NotStarted, PutError};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// How often this node looks after itself and after peers that are down.
const TICK_US: u64 = 250_000;
/// How often a peer is asked for a heartbeat: every so many ticks.
const TICKS_PER_BEAT: u64 = 4;
const BEAT_US: u64 = TICK_US * TICKS_PER_BEAT;
/// A healthy peer answers within this time, and silence for as long is counted.
const PATIENCE_US: u64 = 500_000;
/// Heartbeats are not believed to be more regular than this.
const BEAT_DEVIATION_US_MIN: u64 = 100_000;
/// Stands for "no latency known".
const UNKNOWN: u64 = u64::MAX;

/// The order in which replicas are asked: by standing, then by latency.
pub type Nearness = (Standing, Option<u64>);

/// What there is to tell of a peer.
#[derive(Clone, Copy, Debug)]
pub struct PeerView {
    /// By experience alone; without a connection a peer is down whatever this says.
    pub standing: Standing,
    /// How unlikely its silence is; above 8, one time in a hundred million.
    pub phi: f64,
    /// How long its answers take, in an average that forgets.
    pub latency_us: Option<u64>,
    /// How long all but one in twenty take.
    pub high_latency_us: Option<u64>,
    /// What it said of itself last.
    pub reported: Option<Reported>,
}

/// See the module.
pub(crate) struct PeerHealth {
    /// All other members; replaced as a whole when members come or go.
    peers: ArcSwap<BTreeMap<NodeId, Arc<Peer>>>,
    pause: Mutex<LocalPause>,
    hedge: HedgeDelay,
    hedge_us: AtomicU64,
    /// From where on this node's own disk is slow.
    slow_disk_us: AtomicU64,
    budget: AtomicU32,
}

struct Peer {
    known: Mutex<Known>,
    standing: AtomicU8,
    latency_us: AtomicU64,
    was_connected: AtomicBool,
}

struct Known {
    experience: Experience,
    phi: Phi,
}

/// One call on its way.
struct Asked {
    sent_us: u64,
    deadline: Deadline,
    /// Its reply depends on the peer alone, so how long it takes says how fast the peer is.
    measures: bool,
}

/// What became of a call.
enum End<'a> {
    Ended(&'a Result<Reply, CallError>),
    /// The caller did not wait for it any longer.
    Dropped,
}

impl PeerHealth {
    pub(crate) fn new(peers: impl Iterator<Item = NodeId>, now_us: u64, hedge: HedgeDelay) -> Self {
        Self {
            peers: ArcSwap::from_pointee(peers.map(|node| (node, Arc::default())).collect()),
            pause: Mutex::new(LocalPause::new(TICK_US, now_us)),
            hedge,
            hedge_us: AtomicU64::new(hedge.us_max),
            slow_disk_us: AtomicU64::new(Thresholds::default().slow_disk_us(None)),
            budget: AtomicU32::new(RetryBudget::default().thousandths()),
        }
    }

    /// Knows these peers from now on: what was learnt of those that stay is kept.
    pub(crate) fn follow(&self, peers: impl Iterator<Item = NodeId>) {
        let known = self.peers.load_full();
        let now = peers.map(|node| (node, known.get(&node).cloned().unwrap_or_default()));
        self.peers.store(Arc::new(now.collect()));
    }

    /// A stranger is down.
    pub(crate) fn standing(&self, node: NodeId) -> Standing {
        let peers = self.peers.load();
        peers
            .get(&node)
            .map_or(Standing::Down, |peer| peer.standing())
    }

    pub(crate) fn latency_us(&self, node: NodeId) -> Option<u64> {
        let peers = self.peers.load();
        let latency_us = peers.get(&node)?.latency_us.load(Ordering::Relaxed);
        (latency_us != UNKNOWN).then_some(latency_us)
    }

    pub(crate) fn hedge_us(&self) -> u64 {
        self.hedge_us.load(Ordering::Relaxed)
    }

    /// From how many microseconds for a commit on this node's own disk is slow, by what those of its peers take.
    pub(crate) fn slow_disk_us(&self) -> u64 {
        self.slow_disk_us.load(Ordering::Relaxed)
    }

    pub(crate) fn view(&self, node: NodeId, now_us: u64) -> Option<PeerView> {
        let peers = self.peers.load();
        let known = peers.get(&node)?.lock();
        Some(PeerView {
            standing: known.experience.standing(),
            phi: known.phi.phi(now_us),
            latency_us: known.experience.latency_us(),
            high_latency_us: known.experience.high_latency_us(),
            reported: known.experience.reported(),
        })
    }

    /// A request of a client earns a part of a second try.
    pub(crate) fn earn(&self) {
        let after = |thousandths| {
            let budget = RetryBudget::of_thousandths(thousandths).after_request();
            Some(budget.thousandths()).filter(|after| *after != thousandths)
        };
        // Refused only where there is nothing to add.
        self.budget
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, after)
            .ok();
    }

    /// Takes one second try out of the budget, if there is one.
    pub(crate) fn spend(&self) -> bool {
        let after = |thousandths| {
            let budget = RetryBudget::of_thousandths(thousandths).after_second_try()?;
            Some(budget.thousandths())
        };
        self.budget
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, after)
            .is_ok()
    }

    fn learn(&self, to: NodeId, asked: &Asked, end: &End<'_>, now_us: u64, metrics: &Metrics) {
        let peers = self.peers.load();
        let Some(peer) = peers.get(&to) else {
            return;
        };
        #[cfg(feature = "known-bad")]
        if known_bad::is(Variant::BreakerNeverCloses) && peer.standing() == Standing::Down {
            return;
        }
        let sent_us = asked.sent_us;
        match end {
            End::Ended(Ok(reply)) => peer.change(metrics, |known| {
                known.note_reply(asked, reply, now_us);
            }),
            End::Ended(Err(CallError::NotSent)) => {
                peer.change(metrics, |known| known.experience.refused(now_us, now_us));
            }
            End::Ended(Err(CallError::NoAnswer)) | End::Dropped => {
                let is_over = now_us >= asked.deadline.at_us;
                let waited_us = now_us.saturating_sub(sent_us);
                let was_dropped = matches!(end, End::Dropped);
                // Before its deadline, a call ends without an answer only with its connection.
                let broke = !is_over && !was_dropped;
                if self.pause().excuses(sent_us, now_us) || (waited_us < PATIENCE_US && !broke) {
                    return;
                }
                peer.change(metrics, |known| {
                    if broke {
                        known.experience.refused(now_us, sent_us);
                    } else {
                        known.experience.silent(now_us, sent_us);
                    }
                });
            }
        }
    }

    /// Looks at this process itself; whoever was silent while it stood still is excused.
    fn tick(&self, now_us: u64) {
        let late = self.pause().tick(now_us);
        if late {
            for peer in self.peers.load().values() {
                peer.lock().phi.excuse(now_us);
            }
        }
    }

    /// Compares the peers with each other, and draws the hedge delay from those that are up.
    fn compare(&self, now_us: u64, metrics: &Metrics) {
        let mut seen = LatencyHistogram::default();
        let peers = self.peers.load();
        let mut high_us = Vec::with_capacity(peers.len());
        let mut disk_us = Vec::with_capacity(peers.len());
        for peer in peers.values() {
            let known = peer.lock();
            high_us.extend(known.experience.high_latency_us());
            let reported = known.experience.reported();
            disk_us.extend(reported.map(|reported| reported.disk_latency_us));
            if known.experience.standing() == Standing::Up {
                seen.merge(known.experience.latencies());
            }
        }
        let (high_us, disk_us) = (typical_us(high_us), typical_us(disk_us));
        for peer in peers.values() {
            peer.change(metrics, |known| {
                known.experience.compare_disk(disk_us);
                known.experience.beat(now_us, high_us);
            });
        }
        let slow_us = Thresholds::default().slow_disk_us(disk_us);
        self.slow_disk_us.store(slow_us, Ordering::Relaxed);
        self.hedge_us
            .store(self.hedge.hedge_us(&seen), Ordering::Relaxed);
    }

    fn pause(&self) -> MutexGuard<'_, LocalPause> {
        self.pause.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Peer {
    fn default() -> Self {
        let known = Known {
            experience: Experience::new(Thresholds::default()),
            phi: Phi::new(BEAT_US, BEAT_DEVIATION_US_MIN),
        };
        Self {
            known: Mutex::new(known),
            standing: AtomicU8::new(code(Standing::Up)),
            latency_us: AtomicU64::new(UNKNOWN),
            was_connected: AtomicBool::new(false),
        }
    }
}

impl Peer {
    fn standing(&self) -> Standing {
        match self.standing.load(Ordering::Relaxed) {
            0 => Standing::Up,
            1 => Standing::Slow,
            _ => Standing::Down,
        }
    }

    /// Changes what is known, and what requests see of it.
    fn change(&self, metrics: &Metrics, change: impl FnOnce(&mut Known)) {
        let mut known = self.lock();
        change(&mut known);
        let standing = known.experience.standing();
        let latency_us = known.experience.latency_us().unwrap_or(UNKNOWN);
        // Stored under the lock, so that the last change is the one that is seen.
        let before = self.standing.swap(code(standing), Ordering::Relaxed);
        self.latency_us.store(latency_us, Ordering::Relaxed);
        drop(known);
        if standing == Standing::Down && before != code(Standing::Down) {
            metrics.peers_gone_down.add(1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn code(standing: Standing) -> u8 {
    match standing {
        Standing::Up => 0,
        Standing::Slow => 1,
        Standing::Down => 2,
    }
}

impl Known {
    fn note_reply(&mut self, asked: &Asked, reply: &Reply, now_us: u64) {
        let latency_us = now_us.saturating_sub(asked.sent_us);
        match reply {
            Reply::Refused(Refusal::Overloaded)
            | Reply::Coordinated(Err(PutError::NotStarted(NotStarted::Overloaded))) => {
                self.experience.overloaded(now_us, asked.sent_us);
            }
            Reply::Refused(_) => self.experience.acknowledged(now_us, asked.sent_us),
            _ if asked.measures => self.experience.answered(now_us, latency_us),
            _ => self.experience.acknowledged(now_us, asked.sent_us),
        }
        if let Some(reported) = reply.reported() {
            self.experience.report(now_us, *reported);
            self.phi.heartbeat(now_us);
        }
    }
}

/// Sends a request to a peer, and learns from how it ends. It is on its way when this returns.
pub(crate) fn call(
    node: &Arc<Node>,
    to: NodeId,
    request: Request,
    deadline: Deadline,
) -> BoxFuture<'static, Result<Reply, CallError>> {
    let asked = Asked {
        sent_us: node.environment.now_us(),
        deadline,
        measures: matches!(
            request,
            Request::Ping | Request::Fetch(_) | Request::Digest(_)
        ),
    };
    let without_connection = !node.peers.connected(to);
    let placement_number = node.ring().placement_number();
    let call = node.peers.call(to, placement_number, request, deadline);
    if without_connection {
        return call;
    }
    let mut watch = Watch {
        node: Arc::clone(node),
        to,
        asked,
        ended: false,
    };
    Box::pin(async move {
        let outcome = call.await;
        watch.end(&outcome);
        outcome
    })
}

/// Sees a call end, in whichever way.
struct Watch {
    node: Arc<Node>,
    to: NodeId,
    asked: Asked,
    ended: bool,
}

impl Watch {
    fn end(&mut self, outcome: &Result<Reply, CallError>) {
        self.ended = true;
        self.learn(&End::Ended(outcome));
    }

    fn learn(&self, end: &End<'_>) {
        let now_us = self.node.environment.now_us();
        let (health, metrics) = (&self.node.health, &self.node.metrics);
        if let End::Ended(Ok(Reply::Here { epoch, .. })) = end {
            self.node.heard_epoch(self.to, *epoch);
        }
        if let End::Ended(Ok(reply)) = end
            && let Some(reported) = reply.reported()
        {
            let round_trip_us = now_us.saturating_sub(self.asked.sent_us);
            let (guard, environment) = (&self.node.clock_guard, &*self.node.environment);
            guard.note(environment, self.to, reported.wall_us, round_trip_us);
        }
        health.learn(self.to, &self.asked, end, now_us, metrics);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.ended {
            self.learn(&End::Dropped);
        }
    }
}

/// The node's own tick, and with it the heartbeats and probes; until the node is gone.
pub(crate) async fn beat(node: Weak<Node>, environment: Arc<dyn Environment>) {
    let mut ticks = 0;
    while let Some(node) = alive_after(&node, &*environment, TICK_US).await {
        let now_us = environment.now_us();
        node.health.tick(now_us);
        node.standstill.tick(now_us);
        ticks += 1;
        let is_beat = ticks % TICKS_PER_BEAT == 0;
        if is_beat {
            node.health.compare(now_us, &node.metrics);
        }
        for (&id, peer) in &*node.health.peers.load_full() {
            if is_due(&node, id, peer, is_beat, now_us) {
                let task = heartbeat(Arc::clone(&node), id);
                environment.spawn(Box::pin(task));
            }
        }
    }
}

/// Whether a peer is to be asked for a sign of life at this tick.
fn is_due(node: &Node, id: NodeId, peer: &Peer, is_beat: bool, now_us: u64) -> bool {
    let connected = node.peers.connected(id);
    let was_connected = peer.was_connected.swap(connected, Ordering::Relaxed);
    if !connected {
        return false;
    }
    if !was_connected {
        peer.lock().experience.reconnected();
    }
    match peer.standing() {
        Standing::Down => admits_probe(peer, now_us),
        // A new connection is asked at once: what its clock shows is waited for after a start.
        Standing::Up | Standing::Slow => is_beat || !was_connected,
    }
}

fn admits_probe(peer: &Peer, now_us: u64) -> bool {
    #[cfg(feature = "known-bad")]
    if known_bad::is(Variant::NeverProbes) {
        return false;
    }
    peer.lock().experience.admits_probe(now_us)
}

/// Asks one peer for a sign of life; one that is down and answers is asked again at once, until it is up or fails.
async fn heartbeat(node: Arc<Node>, id: NodeId) {
    let was_down = node.health.standing(id) == Standing::Down;
    loop {
        let deadline = Deadline::after(&*node.environment, PATIENCE_US);
        let ping = node.call(id, Request::Ping, deadline);
        // Hosts may look at deadlines now and then only; a heartbeat that is late is dropped, and that is noted.
        let reply = until(&*node.environment, deadline, ping).await;
        let Some(peer) = node.health.peers.load().get(&id).cloned() else {
            return;
        };
        if peer.standing() != Standing::Down {
            break;
        }
        if !matches!(reply, Some(Ok(_))) || !admits_probe(&peer, node.environment.now_us()) {
            return;
        }
    }
    if was_down {
        tracing::info!(member = %id, "a member that did not answer does again");
        // It may have missed what members are told.
        node.greet(id).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000;
    const PEER: NodeId = NodeId(7);
    const SILENCE: Result<Reply, CallError> = Err(CallError::NoAnswer);

    fn health() -> PeerHealth {
        let hedge = HedgeDelay {
            us_min: 2_000,
            us_max: 50_000,
        };
        PeerHealth::new([PEER].into_iter(), 0, hedge)
    }

    /// Three calls, one a second, of which each ends after a while; what is thought of the peer then.
    fn after_three(timeout_us: u64, took_us: u64, end: &End<'_>, ticks: bool) -> Standing {
        let (health, metrics) = (health(), Metrics::default());
        for call in 1..=3 {
            let (sent_us, now_us) = (call * S, call * S + took_us);
            if ticks {
                (0..=now_us).step_by(250_000).for_each(|at| health.tick(at));
            }
            let asked = Asked {
                sent_us,
                deadline: Deadline {
                    at_us: sent_us + timeout_us,
                },
                measures: true,
            };
            health.learn(PEER, &asked, end, now_us, &metrics);
        }
        let standing = health.standing(PEER);
        let gone_down = u64::from(standing == Standing::Down);
        assert_eq!(metrics.peers_gone_down.count(), gone_down);
        standing
    }

    #[test]
    fn what_counts_as_silence_and_what_does_not() {
        let silence = End::Ended(&SILENCE);
        let rows = [
            (
                "a deadline that a healthy peer meets",
                PATIENCE_US,
                PATIENCE_US,
                &silence,
                Standing::Down,
            ),
            (
                "a deadline that it may miss",
                2_000,
                2_000,
                &silence,
                Standing::Up,
            ),
            (
                "a connection that breaks",
                10 * S,
                1_000,
                &silence,
                Standing::Down,
            ),
            (
                "dropped after a long wait",
                10 * S,
                PATIENCE_US,
                &End::Dropped,
                Standing::Down,
            ),
            (
                "dropped because others were faster",
                10 * S,
                3_000,
                &End::Dropped,
                Standing::Up,
            ),
        ];
        for (what, timeout_us, took_us, end, expected) in rows {
            assert_eq!(
                after_three(timeout_us, took_us, end, true),
                expected,
                "{what}"
            );
            assert_eq!(
                after_three(timeout_us, took_us, end, false),
                Standing::Up,
                "{what}, while standing still"
            );
        }
    }

    #[test]
    fn answers_are_measured_and_refusals_for_overload_slow() {
        let (health, metrics) = (health(), Metrics::default());
        let asked = Asked {
            sent_us: S,
            deadline: Deadline { at_us: 2 * S },
            measures: true,
        };
        let pong = Ok(Reply::Pong(Reported::default()));
        assert_eq!(health.latency_us(PEER), None);
        health.learn(PEER, &asked, &End::Ended(&pong), S + 700, &metrics);
        assert_eq!(health.latency_us(PEER), Some(700));
        assert_eq!(
            health.view(PEER, 2 * S).unwrap().reported,
            Some(Reported::default())
        );
        let refused = Ok(Reply::Refused(Refusal::Overloaded));
        health.learn(PEER, &asked, &End::Ended(&refused), S + 900, &metrics);
        assert_eq!(
            (health.standing(PEER), health.latency_us(PEER)),
            (Standing::Slow, Some(700))
        );
        assert_eq!(health.standing(NodeId(8)), Standing::Down, "a stranger");
    }

    #[test]
    fn the_hedge_follows_what_is_measured() {
        let (health, metrics) = (health(), Metrics::default());
        assert_eq!(health.hedge_us(), 50_000);
        for call in 1..=100 {
            let asked = Asked {
                sent_us: call * 1_000,
                deadline: Deadline { at_us: S },
                measures: true,
            };
            let pong = Ok(Reply::Pong(Reported::default()));
            health.learn(
                PEER,
                &asked,
                &End::Ended(&pong),
                call * 1_000 + 4_000,
                &metrics,
            );
        }
        health.compare(S, &metrics);
        assert!(
            (4_000..4_600).contains(&health.hedge_us()),
            "{}",
            health.hedge_us()
        );
    }

    #[test]
    fn second_tries_are_paid_for() {
        let health = health();
        let saved = (0..1_000).take_while(|_| health.spend()).count();
        assert!(saved < 100);
        (0..9).for_each(|_| health.earn());
        assert!(!health.spend());
        health.earn();
        assert!(health.spend() && !health.spend());
    }
}
