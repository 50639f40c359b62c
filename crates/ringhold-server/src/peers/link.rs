//! What callers share with the connection to one member.
//!
//! A call leaves an entry in the table of waiting calls and a frame in the queue. The reply takes the
//! entry out; so does the end of the connection, or a silence that lasts too long: then all waiting calls end
//! at once with "no answer", and the coordinators that made them go on with other replicas.
//!
//! A link starts hopeful: until the first attempt to connect has failed, calls wait in the queue for it.

use super::stream::Outbox;
use ringhold_core::id::NodeId;
use ringhold_node::env::{Deadline, Environment};
use ringhold_wire::frame::{self, RequestHeader};
use ringhold_wire::message::peer::{Reply, Request};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

struct Waiting {
    reply: oneshot::Sender<Reply>,
    deadline: Deadline,
}

/// The way to one member.
pub(crate) struct Link {
    pub(crate) member: NodeId,
    environment: Arc<dyn Environment>,
    pub(super) outbox: Outbox,
    waiting: Mutex<BTreeMap<u64, Waiting>>,
    next_id: AtomicU64,
    connected: AtomicBool,
    /// What was agreed on with the member when it was last connected to; 0 before.
    protocol: AtomicU16,
    heard_us: AtomicU64,
}

impl Link {
    pub(crate) fn new(member: NodeId, environment: Arc<dyn Environment>) -> Arc<Self> {
        Arc::new(Self {
            member,
            environment,
            outbox: Outbox::default(),
            waiting: Mutex::default(),
            next_id: AtomicU64::new(1),
            connected: AtomicBool::new(true),
            protocol: AtomicU16::new(0),
            heard_us: AtomicU64::new(0),
        })
    }

    /// Whether a request is too new for the protocol that was agreed on; none if none was agreed on yet, and it matters.
    pub(super) fn is_too_new(&self, request: &Request) -> Option<bool> {
        match (self.protocol.load(Ordering::Acquire), request.since()) {
            (_, 0 | 1) => Some(false),
            (0, _) => None,
            (protocol, since) => Some(since > protocol),
        }
    }

    /// From now on; to be said before the member counts as connected.
    pub(super) fn set_protocol(&self, protocol: u16) {
        self.protocol.store(protocol, Ordering::Release);
    }

    /// Puts a request on its way; `None` if it can't be.
    pub(super) fn send(
        &self,
        placement_number: u64,
        request: &Request,
        deadline: Deadline,
    ) -> Option<oneshot::Receiver<Reply>> {
        if !self.connected.load(Ordering::Relaxed) {
            return None;
        }
        self.put_in_outbox(placement_number, request, deadline)
    }

    fn put_in_outbox(
        &self,
        placement_number: u64,
        request: &Request,
        deadline: Deadline,
    ) -> Option<oneshot::Receiver<Reply>> {
        let now_us = self.environment.now_us();
        let header = RequestHeader {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            remaining_ms: u32::try_from(deadline.at_us.saturating_sub(now_us).div_ceil(1_000))
                .unwrap_or(u32::MAX),
            placement_number,
        };
        let (reply, answer) = oneshot::channel();
        // In the table before it is on its way: the reply may be faster than this thread.
        self.table().insert(header.id, Waiting { reply, deadline });
        let taken = self
            .outbox
            .push(|out| frame::append_request(out, header, request));
        if let Err(reason) = taken {
            tracing::debug!(member = %self.member, ?reason, "a request was not sent");
            self.table().remove(&header.id);
            return None;
        }
        Some(answer)
    }

    /// Hands a reply to whoever waits for it.
    pub(super) fn receive(&self, id: u64, reply: Reply) {
        let Some(waiting) = self.table().remove(&id) else {
            return;
        };
        waiting.reply.send(reply).ok();
    }

    pub(super) fn now_us(&self) -> u64 {
        self.environment.now_us()
    }

    /// Sends a heartbeat, also to a member that is thought disconnected: its answer says otherwise.
    pub(super) fn beat(&self, deadline: Deadline) {
        self.put_in_outbox(0, &Request::Ping, deadline);
    }

    /// Notes a sign of life.
    pub(super) fn heard(&self) {
        self.heard_us
            .store(self.environment.now_us(), Ordering::Relaxed);
    }

    /// Microseconds since the last sign of life.
    pub(super) fn silent_us(&self) -> u64 {
        self.environment
            .now_us()
            .saturating_sub(self.heard_us.load(Ordering::Relaxed))
    }

    /// Says whether that is a change.
    pub(super) fn set_connected(&self, connected: bool) -> bool {
        let changed = self.connected.swap(connected, Ordering::Relaxed) != connected;
        if changed {
            tracing::info!(member = %self.member, connected, "the connection to a member has changed");
        }
        changed
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// Ends all waiting calls: whether they were carried out is unknown. What was not yet written is
    /// not for the next connection.
    pub(super) fn abandon(&self) {
        self.outbox.clear();
        // Dropping the senders is the word to those who wait.
        let abandoned = std::mem::take(&mut *self.table());
        drop(abandoned);
    }

    /// The member is none any more: no call waits, and none is sent.
    pub(super) fn end(&self) {
        self.set_connected(false);
        self.abandon();
    }

    /// Ends the calls whose deadline has passed.
    pub(super) fn expire(&self) {
        let now_us = self.environment.now_us();
        self.table()
            .retain(|_, waiting| waiting.deadline.at_us > now_us && !waiting.reply.is_closed());
    }

    fn table(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
