//! What workers write down: a latency for each request, and what happened in each second.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ringhold_client::ClientError;

use crate::bench::driver::Found;
use crate::latency::{Coarse, Latencies};
use crate::output::failure_kind;

/// What one worker, or all of them, saw.
#[derive(Debug, Clone, Default)]
pub(crate) struct Measured {
    pub(crate) elapsed: Duration,
    pub(crate) get: Latencies,
    pub(crate) put: Latencies,
    /// A get and the put that followed from it, as one; only where that is the workload.
    pub(crate) rmw: Latencies,
    /// Gets by how many versions they found.
    pub(crate) versions: BTreeMap<usize, u64>,
    /// Gets, puts, and gets with the puts after them that succeeded in time, by the second of the run in which they did.
    pub(crate) in_time: Vec<u64>,
    /// Gets and puts that succeeded, by the second of the run in which they did.
    pub(crate) seconds: Vec<Coarse>,
    /// Operations of an open loop that were due and that no connection was free for.
    pub(crate) never_started: usize,
    /// Operations that failed, by how. They have no latency.
    pub(crate) failures: BTreeMap<String, u64>,
}

impl Measured {
    /// Gets and puts that succeeded.
    pub(crate) fn requests(&self) -> u64 {
        self.get.count() + self.put.count()
    }

    /// Whether a get that began at a moment went well.
    pub(super) fn got(
        &mut self,
        result: &Result<Found, ClientError>,
        start: Instant,
        run: Instant,
    ) -> bool {
        match result {
            Ok(found) => {
                let latency = start.elapsed();
                self.get.record(latency);
                self.at(run).record(latency);
                *self.versions.entry(found.versions).or_default() += 1;
            }
            Err(error) => self.failed(error),
        }
        result.is_ok()
    }

    /// Whether a put that began at a moment went well.
    pub(super) fn was_put(
        &mut self,
        result: &Result<(), ClientError>,
        start: Instant,
        run: Instant,
    ) -> bool {
        match result {
            Ok(()) => {
                let latency = start.elapsed();
                self.put.record(latency);
                self.at(run).record(latency);
            }
            Err(error) => self.failed(error),
        }
        result.is_ok()
    }

    /// A get and its put, due at a moment, have both succeeded now.
    pub(super) fn was_both(&mut self, due: Instant) {
        self.rmw.record(due.elapsed());
    }

    /// An operation that was due at a moment has succeeded now.
    pub(super) fn succeeded(&mut self, due: Instant, run: Instant, in_time: Duration) {
        if due.elapsed() > in_time {
            return;
        }
        let second = second(run);
        self.in_time.resize(self.in_time.len().max(second + 1), 0);
        self.in_time[second] += 1;
    }

    /// The present second of a run that began at a moment.
    fn at(&mut self, run: Instant) -> &mut Coarse {
        let second = second(run);
        let length = self.seconds.len().max(second + 1);
        self.seconds.resize_with(length, Coarse::default);
        &mut self.seconds[second]
    }

    fn failed(&mut self, error: &ClientError) {
        *self.failures.entry(failure_kind(error)).or_default() += 1;
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.get.merge(&other.get);
        self.put.merge(&other.put);
        self.rmw.merge(&other.rmw);
        self.in_time
            .resize(self.in_time.len().max(other.in_time.len()), 0);
        for (own, theirs) in self.in_time.iter_mut().zip(&other.in_time) {
            *own += theirs;
        }
        let length = self.seconds.len().max(other.seconds.len());
        self.seconds.resize_with(length, Coarse::default);
        for (own, theirs) in self.seconds.iter_mut().zip(&other.seconds) {
            own.merge(theirs);
        }
        for (&versions, count) in &other.versions {
            *self.versions.entry(versions).or_default() += count;
        }
        for (kind, count) in &other.failures {
            *self.failures.entry(kind.clone()).or_default() += count;
        }
    }
}

fn second(run: Instant) -> usize {
    usize::try_from(run.elapsed().as_secs()).expect("a run is short")
}
