//! `instructions KIND COUNT`: does one kind of operation so many times, for whoever counts instructions.
//!
//! The guard runs it twice with different counts; the difference of the instructions over the difference of the counts is what an
//! operation costs, and what it takes to get ready falls out (`cargo run -p xtask -- instructions`). So a kind gets ready in
//! the same way whatever its count is, and nothing here depends on a clock, on chance or on the machine.
//!
//! | kinds | run |
//! | --- | --- |
//! | `put`, `put-context`, `get`, `get-missing`, `counter`, `index-query`, `idle` | in a simulated cluster without faults: `cluster` |
//! | `frame`, `commit`, `checkpoint` | one crate of it alone: `alone` |
//!
//! What a kind is, and what was counted, is in `docs/performance.md`. Not here: sockets, threads, the kernel, a real engine. What they cost, the
//! bench shows.

mod alone;
mod cluster;

use std::process::ExitCode;

/// Bytes of a value.
const VALUE_BYTES: usize = 1_024;
/// Wrong arguments, or an operation that failed: what was counted is not what it says.
const USELESS: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, count] = &arguments[..] else {
        return ExitCode::from(USELESS);
    };
    let Ok(count) = count.parse() else {
        return ExitCode::from(USELESS);
    };
    match run(kind, count) {
        Some(()) => ExitCode::SUCCESS,
        None => ExitCode::from(USELESS),
    }
}

/// None if there is no such kind, or an operation was not done.
fn run(kind: &str, count: usize) -> Option<()> {
    match kind {
        "put" => cluster::put(count),
        "put-context" => cluster::put_with_context(count),
        "get" => cluster::get(count),
        "get-missing" => cluster::get_missing(count),
        "counter" => cluster::count_up(count),
        "index-query" => cluster::query(count),
        "idle" => cluster::idle(count),
        "frame" => alone::frame(count),
        "commit" => alone::commit(count),
        "checkpoint" => alone::checkpoint(count),
        _ => None,
    }
}

/// A value. Making it must cost next to nothing, since it is counted too.
fn value(number: usize) -> bytes::Bytes {
    let byte = u8::try_from(number % 251).expect("below 251");
    vec![byte; VALUE_BYTES].into()
}
