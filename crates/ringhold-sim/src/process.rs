//! Where a process of the put path may be killed on purpose.
//!
//! A crash at a random moment rarely falls between two steps that follow each other at once. So a trip wire
//! is laid: the n-th time that a process passes a certain point (an append done, a flush done, a merge sent,
//! an answer about to leave), its machine loses power there and then. All points are where the node meets its
//! disk and its network, so the node's code knows nothing of them. A lease of key epochs is a flush too.

use std::fmt;
use std::sync::{Arc, Mutex};

/// A point that a process passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CrashPoint {
    AfterAppend,
    AfterFlush,
    AfterSend,
    BeforeReply,
}

impl CrashPoint {
    pub const ALL: [Self; 4] = [
        Self::AfterAppend,
        Self::AfterFlush,
        Self::AfterSend,
        Self::BeforeReply,
    ];
}

impl fmt::Display for CrashPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::AfterAppend => "after an append",
            Self::AfterFlush => "after a flush",
            Self::AfterSend => "after a send",
            Self::BeforeReply => "before an answer",
        })
    }
}

/// The trip wires of one life of one process. Clones are the same wires.
#[derive(Clone)]
pub struct Trips {
    armed: Arc<Mutex<Option<(CrashPoint, u32)>>>,
    crash: Arc<dyn Fn(CrashPoint) + Send + Sync>,
}

impl Trips {
    #[must_use]
    pub fn new(crash: impl Fn(CrashPoint) + Send + Sync + 'static) -> Self {
        Self {
            armed: Arc::default(),
            crash: Arc::new(crash),
        }
    }

    /// The process is to crash when it passes a point for the so many-th time from now; 1 is the next time.
    pub fn arm(&self, point: CrashPoint, times: u32) {
        *self.armed.lock().expect("no holder of this lock panics") = Some((point, times));
    }

    pub fn disarm(&self) {
        *self.armed.lock().expect("no holder of this lock panics") = None;
    }

    /// The process passes a point. True if that was its end.
    pub fn passes(&self, point: CrashPoint) -> bool {
        let mut armed = self.armed.lock().expect("no holder of this lock panics");
        match &mut *armed {
            Some((at, times)) if *at == point => *times = times.saturating_sub(1),
            _ => return false,
        }
        if !matches!(*armed, Some((_, 0))) {
            return false;
        }
        *armed = None;
        drop(armed);
        (self.crash)(point);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_is_tripped_once() {
        let crashes = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&crashes);
        let trips = Trips::new(move |point| log.lock().unwrap().push(point));
        trips.arm(CrashPoint::AfterSend, 2);
        assert!(!trips.passes(CrashPoint::AfterFlush));
        assert!(!trips.passes(CrashPoint::AfterSend));
        assert!(trips.passes(CrashPoint::AfterSend));
        assert!(!trips.passes(CrashPoint::AfterSend));
        assert_eq!(*crashes.lock().unwrap(), [CrashPoint::AfterSend]);
    }
}
