//! What a caller knows of the way to another host.

use super::call::CallSlot;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) struct Link {
    /// Counts the connections that there were.
    pub(super) generation: u64,
    /// A link starts hopeful, and is believed until it breaks.
    pub(super) connected: bool,
    pub(super) waiting: BTreeMap<u64, Arc<CallSlot>>,
    /// The last sign of life.
    pub(super) heard_us: u64,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            generation: 0,
            connected: true,
            waiting: BTreeMap::new(),
            heard_us: 0,
        }
    }
}
