//! What the edges take on, and what all their connections share.

use crate::config::Config;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The longest names that are accepted, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameLimits {
    pub key_bytes: usize,
    /// Of a bucket, and of a bucket type.
    pub name_bytes: usize,
}

/// What one node's edges take on, over all connections where it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub names: NameLimits,
    /// The largest value, without its metadata.
    pub value_bytes: usize,
    /// Bodies being read or worked on, all connections together.
    pub bytes_in_flight: usize,
    /// Requests being worked on, all connections together.
    pub requests_in_flight: usize,
    /// The time of a request that asks for none.
    pub request_ms: u64,
    /// From the first byte of a head to its last.
    pub head_ms: u64,
    /// Between requests.
    pub idle_ms: u64,
}

impl Limits {
    /// As the operator has set them.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let (limits, timeouts) = (&config.limits, &config.timeouts);
        Self {
            names: NameLimits {
                key_bytes: size(limits.key_bytes),
                name_bytes: size(limits.name_bytes),
            },
            value_bytes: size(limits.value_bytes),
            bytes_in_flight: size(limits.bytes_in_flight),
            requests_in_flight: size(limits.requests_in_flight.into()),
            request_ms: timeouts.request_ms,
            head_ms: timeouts.header_ms,
            idle_ms: timeouts.idle_ms,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::of(&Config::default())
    }
}

/// What all connections of all edges share: room for bodies, and a count of requests.
#[derive(Clone, Debug)]
pub struct Capacity {
    pub(crate) room: Room,
    pub(crate) requests: Arc<Semaphore>,
}

impl Capacity {
    #[must_use]
    pub fn of(limits: &Limits) -> Self {
        let requests = limits.requests_in_flight.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            room: Room::new(limits.bytes_in_flight.max(limits.value_bytes)),
            requests: Arc::new(Semaphore::new(requests)),
        }
    }
}

/// Room is counted in units of this many bytes.
pub(crate) const UNIT_BYTES: usize = 1024;

/// Memory for bodies that are being read or worked on.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    units: Arc<Semaphore>,
}

impl Room {
    pub(crate) fn new(bytes: usize) -> Self {
        let units = (bytes / UNIT_BYTES).clamp(1, Semaphore::MAX_PERMITS);
        Self {
            units: Arc::new(Semaphore::new(units)),
        }
    }

    /// Room for so many bytes, if there is any at the moment.
    pub(crate) fn claim(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).ok()?;
        Arc::clone(&self.units).try_acquire_many_owned(units).ok()
    }

    #[cfg(test)]
    pub(crate) fn units_left(&self) -> usize {
        self.units.available_permits()
    }
}
