//! What the parts cost alone, on this machine, at this hour: lower bounds that the whole is held against.
//!
//! A figure by itself does not say whether it is good. The machine has an answer: an operation can't cost less than what its store and its
//! frames cost with nothing around them. Three floors are measured right after a run, from what the run was:
//!
//! * **store**: `ringhold-storage` alone in this process, on the nodes' file system. A put is, N times, a read of what is replaced and a
//!   write, committed in batches as large as those that shared a flush in the run; a get is R reads. Checkpoints are added as many as
//!   the run saw. Not in it: objects (versions, contexts, their encoding), leaf sums and index rows, the threads of several partition groups.
//! * **frames**: N processes that do nothing but take and give out frames of the same bytes, by the way of the request: client to
//!   coordinator, coordinator to the N − 1 (put) or R − 1 (get) others, and back. One thread each, one connection for each pair, and as many
//!   of clients as the run had. Not in it: reading the messages, HTTP or Protocol Buffers (the client's hop is a native frame whatever the run spoke), forwarding to a
//!   coordinator that is a replica, gossip.
//! * **flush**: one write of 4 KiB over zeros and `fdatasync` on that file system, where other work on the disk disturbs it least.
//!
//! CPU is held against store + frames. Latency is that of one connection alone, held against one flush (puts of flushed buckets) + the frames'
//! way there and back with one request under way. None of the floors is padded: whatever is left out makes them lower.

pub(crate) mod echo;
mod flush;
mod frames;
mod store;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bench::driver::Driver;
use crate::bench::load::Load;
use crate::bench::nodes::Counts;
use crate::bench::report::{Report, short};
use crate::cli::{EchoArgs, Protocol, Workload};
use crate::output::{Failure, say};

/// The run with one connection.
const ALONE: Duration = Duration::from_secs(1);

/// Microseconds, but for ratios and counts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Floors {
    pub(crate) gets_per_operation: f64,
    pub(crate) puts_per_operation: f64,
    pub(crate) n: u64,
    pub(crate) r: u64,
    pub(crate) w: u64,
    /// Writes of one replica that shared a flush in the run, and do so in the floor.
    pub(crate) batch: u64,
    /// CPU of one read, and of one write with the read before it.
    pub(crate) store_read_us: f64,
    pub(crate) store_write_us: f64,
    /// CPU of the run's checkpoints, for each operation.
    pub(crate) checkpoints_us: f64,
    /// CPU of all of an operation's reads, writes and checkpoints.
    pub(crate) store_us: f64,
    /// CPU of all serving sides of a get's frames, and of a put's.
    pub(crate) frames_get_us: f64,
    pub(crate) frames_put_us: f64,
    pub(crate) frames_us: f64,
    /// What the servers took in the run.
    pub(crate) whole_us: f64,
    /// The whole over store and frames.
    pub(crate) cpu_ratio: f64,
    pub(crate) flush_p50_us: f64,
    /// There and back with one request under way.
    pub(crate) round_trips_p50_us: f64,
    /// The run's operation with one connection.
    pub(crate) alone_p50_us: f64,
    /// That over the flush and the round trips.
    pub(crate) latency_ratio: f64,
}

/// Measures all floors of a run that has just been.
pub(crate) async fn measure(
    report: &Report,
    counts: Counts,
    load: &Load,
    drivers: &[Arc<dyn Driver>],
    directory: &Path,
) -> Result<Floors, Failure> {
    let replication = report.conditions.replication.clone().ok_or_else(|| {
        Failure::usage("--floors asks the nodes for N, R and W: give --cluster or --metrics")
    })?;
    let whole_us = report.servers_cpu_us_per_operation.ok_or_else(|| {
        Failure::usage("--floors needs the servers' CPU time: give --cluster or --pids")
    })?;
    say("floors: one flush, and the same with one connection …");
    let flush_before = flush(directory).await?;
    let alone = load.alone(ALONE).run(drivers).await;
    let alone = match report.workload {
        Workload::Get => alone.get.at(0.5),
        Workload::Rmw => alone.rmw.at(0.5),
        Workload::Put | Workload::Mixed => alone.put.at(0.5),
    };
    // Other work on a disk comes and goes: the faster one is nearer to what a flush can't be below.
    let flush_p50_us = flush_before.min(flush(directory).await?);
    say("floors: the store alone …");
    let flushed = replication.durability != "buffered";
    let per_flush = report.log_writes_per_flush.unwrap_or(1.0).round().max(1.0);
    let plan = store::Plan {
        keys: report.keys,
        value_bytes: report.value_bytes,
        // A number of writes, which is small.
        batch: per_flush as u64,
        flushed,
        writes: report.put.count > 0,
        checkpoints: counts.checkpoints > 0,
    };
    let store = blocking(directory, move |path| store::measure(path, plan)).await?;
    say("floors: the frames alone …");
    let arguments = EchoArgs {
        value_bytes: report.value_bytes,
        r: replication.r,
        w: replication.w,
    };
    // Of the native protocol one for each node, of the others one for each request in flight.
    let connections = match report.protocol {
        Protocol::Native => replication.n,
        Protocol::Http | Protocol::Pb => report.connections.into(),
    };
    let clients = frames::Clients {
        connections,
        in_flight: report.connections.into(),
    };
    let frames = frames::measure(&arguments, replication.n, clients).await?;

    let operations = report.operations.max(1) as f64;
    let gets = report.get.count as f64 / operations;
    let puts = report.put.count as f64 / operations;
    let checkpoints_us = counts.checkpoints as f64 * store.checkpoint_us / operations;
    let (n, r) = (replication.n as f64, replication.r as f64);
    let store_us = gets * r * store.read_us + puts * n * store.write_us + checkpoints_us;
    let frames_us = gets * frames.get_us + puts * frames.put_us;
    let round_trips_p50_us = match report.workload {
        Workload::Get => frames.get_p50_us,
        Workload::Rmw => frames.get_p50_us + frames.put_p50_us,
        Workload::Put | Workload::Mixed => frames.put_p50_us,
    };
    let flushes = f64::from(u8::from(flushed && report.workload != Workload::Get));
    let alone_p50_us = alone.map_or(0.0, |alone| alone.as_secs_f64() * 1e6);
    Ok(Floors {
        gets_per_operation: gets,
        puts_per_operation: puts,
        n: replication.n,
        r: replication.r,
        w: replication.w,
        batch: plan.batch,
        store_read_us: store.read_us,
        store_write_us: store.write_us,
        checkpoints_us,
        store_us,
        frames_get_us: frames.get_us,
        frames_put_us: frames.put_us,
        frames_us,
        whole_us,
        cpu_ratio: whole_us / (store_us + frames_us),
        flush_p50_us,
        round_trips_p50_us,
        alone_p50_us,
        latency_ratio: alone_p50_us / (flushes * flush_p50_us + round_trips_p50_us),
    })
}

/// In microseconds.
async fn flush(directory: &Path) -> Result<f64, Failure> {
    let p50 = blocking(directory, |path| flush::p50(path).map_err(failed)).await?;
    Ok(p50.as_secs_f64() * 1e6)
}

/// Does something in a place of its own in this directory, on a thread of its own.
async fn blocking<T: Send + 'static>(
    directory: &Path,
    work: impl FnOnce(&Path) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let base = directory.to_owned();
    let done = tokio::task::spawn_blocking(move || {
        let directory = tempfile::tempdir_in(base).map_err(failed)?;
        work(&directory.path().join("alone"))
    });
    done.await.map_err(failed)?
}

fn failed(error: impl fmt::Display) -> Failure {
    Failure::failed(format!("the floors can't be measured: {error}"))
}

impl fmt::Display for Floors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "floors, N={} R={} W={}, {} log writes to a flush, {} gets and {} puts an operation:",
            self.n,
            self.r,
            self.w,
            self.batch,
            short(self.gets_per_operation),
            short(self.puts_per_operation)
        )?;
        writeln!(
            f,
            "CPU µs an operation: store {}, frames {}; the whole, {}, is {} times their sum",
            short(self.store_us),
            short(self.frames_us),
            short(self.whole_us),
            short(self.cpu_ratio)
        )?;
        writeln!(
            f,
            "median µs with one connection: flush {}, round trips {}; the whole, {}, is {} times what it needs of them",
            short(self.flush_p50_us),
            short(self.round_trips_p50_us),
            short(self.alone_p50_us),
            short(self.latency_ratio)
        )?;
        if self.cpu_ratio < 1.0 || self.latency_ratio < 1.0 {
            writeln!(
                f,
                "warning: nothing is below its floor; the machine was busy with something else when the floors were measured"
            )?;
        }
        Ok(())
    }
}
