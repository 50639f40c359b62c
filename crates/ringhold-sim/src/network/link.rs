//! What a caller knows of the way to another host.

use super::call::CallSlot;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The weight of the newest call in the average latency: one in this many.
const LATENCY_WINDOW: u64 = 16;

pub(super) struct Link {
    /// Counts the connections that there were.
    pub(super) generation: u64,
    /// A node's link stands after a handshake, a client's until it breaks.
    pub(super) reachable: bool,
    pub(super) waiting: BTreeMap<u64, Arc<CallSlot>>,
    pub(super) latency_us: u64,
    /// The last sign of life.
    pub(super) heard_us: u64,
}

impl Link {
    pub(super) fn new(reachable: bool) -> Self {
        Self {
            generation: 0,
            reachable,
            waiting: BTreeMap::new(),
            latency_us: 0,
            heard_us: 0,
        }
    }

    pub(super) fn note_latency(&mut self, latency_us: u64) {
        let known = self.latency_us;
        let average = if known == 0 {
            latency_us
        } else {
            known - known / LATENCY_WINDOW + latency_us / LATENCY_WINDOW
        };
        self.latency_us = average.max(1);
    }
}
