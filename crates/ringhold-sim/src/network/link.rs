//! What a caller knows of the way to another host.

use super::call::CallSlot;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) struct Link {
    /// Counts the connections that there were.
    pub(super) generation: u64,
    /// A node's link stands after a handshake, a client's until it breaks.
    pub(super) connected: bool,
    pub(super) waiting: BTreeMap<u64, Arc<CallSlot>>,
    /// The last sign of life.
    pub(super) heard_us: u64,
}

impl Link {
    pub(super) fn new(connected: bool) -> Self {
        Self {
            generation: 0,
            connected,
            waiting: BTreeMap::new(),
            heard_us: 0,
        }
    }
}
