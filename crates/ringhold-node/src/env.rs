//! Time, tasks, chance and the other nodes, as arguments.
//!
//! A node reaches nothing of the outside but through these two traits, so the same code runs on
//! sockets and clocks, or inside a simulator that decides when each task goes on, what the time is
//! and which message is lost. They are used as `dyn`: node code is compiled once.

use ringhold_core::health::DiskSpace;
use ringhold_core::id::NodeId;
use ringhold_core::ring::Member;
use ringhold_wire::message::peer::{Reply, Request};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where a node lives.
pub trait Environment: Send + Sync {
    /// Runs a task to its end, whatever becomes of the caller.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// Runs a task without which the node must not go on: if it panics, the process ends, and the
    /// next start recovers.
    fn spawn_vital(&self, task: BoxFuture<'static, ()>) {
        self.spawn(task);
    }

    /// Microseconds on a clock that never jumps, from an arbitrary start.
    fn now_us(&self) -> u64;

    /// Microseconds since 1970 by this machine's clock, which may be wrong and may jump.
    fn wall_us(&self) -> u64;

    /// Ends once `now_us` has reached `until_us`.
    fn sleep_until(&self, until_us: u64) -> BoxFuture<'static, ()>;

    /// 128 random bits.
    fn random(&self) -> u128;

    /// What is left where the store is; none where that is not known.
    fn disk_space(&self) -> BoxFuture<'static, Option<DiskSpace>> {
        Box::pin(async { None })
    }
}

/// Sleeps, and then hands out what is behind `weak` if it is still there: a turn of a loop that lasts for as long as that lives.
pub(crate) async fn alive_after<T>(
    weak: &Weak<T>,
    environment: &dyn Environment,
    pause_us: u64,
) -> Option<Arc<T>> {
    let until_us = environment.now_us().saturating_add(pause_us);
    environment.sleep_until(until_us).await;
    weak.upgrade()
}

/// The other nodes, over whatever connects them.
pub trait Peers: Send + Sync {
    /// Sends a request and waits for its reply, at most until the deadline.
    /// The request is on its way when this returns; the future only waits. With it goes the number of the placement that
    /// the sender knows.
    fn call(
        &self,
        to: NodeId,
        placement_number: u64,
        request: Request,
        deadline: Deadline,
    ) -> BoxFuture<'static, Result<Reply, CallError>>;

    /// Whether there is a connection to `node`: a request could be put on its way now. Cheap; asked for each request. What
    /// becomes of requests is the node's own experience to keep ([`crate::peer_health`]).
    fn connected(&self, node: NodeId) -> bool;

    /// Keeps connections to these members from now on, and to no others. Told at the start and whenever the ring
    /// document has changed.
    fn follow(&self, members: &[Member]);
}

/// Why a call has no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The request provably did not leave this node.
    NotSent,
    /// It may have been carried out: the connection broke on the way, or the deadline passed.
    NoAnswer,
}

/// The moment after which nobody waits for an answer any more, on this node's own clock. Between
/// nodes it travels as the time that is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    pub at_us: u64,
}

impl Deadline {
    #[must_use]
    pub fn after(environment: &dyn Environment, timeout_us: u64) -> Self {
        Self {
            at_us: environment.now_us().saturating_add(timeout_us),
        }
    }

    #[must_use]
    pub fn has_passed(self, environment: &dyn Environment) -> bool {
        #[cfg(feature = "known-bad")]
        if crate::known_bad::is(crate::known_bad::Variant::ExecutesExpired) {
            return false;
        }
        environment.now_us() >= self.at_us
    }

    /// Microseconds left; 0 once it has passed.
    #[must_use]
    pub fn left_us(self, environment: &dyn Environment) -> u64 {
        self.at_us.saturating_sub(environment.now_us())
    }
}
