//! `ringhold`: one binary, a node and everything that people do with nodes.
//!
//! This crate is the shell around the others: it reads the command line, calls the server or the
//! client, and prints. What decides anything about data lives below; what is decided here is pure
//! and small: how carts merge, which ports a development cluster gets, when a request of a
//! benchmark was meant to start.
//!
//! | module | holds |
//! | --- | --- |
//! | `cli` | the command line |
//! | `commands` | one file a command |
//! | `carts` | shopping carts replayed against a cluster and checked item by item |
//! | `dev` | a local cluster, one process a node |
//! | `import` | another cluster's objects, copied into this one |
//! | `bench` | load, latency and cost |
//! | `latency` | histograms |
//! | `output` | tables, JSON, exit codes |

mod bench;
mod carts;
mod cli;
mod commands;
mod dev;
mod import;
mod latency;
mod output;
mod random;

use std::process::ExitCode;

use clap::Parser as _;

/// The system's allocator takes a seventh of a busy server's time; see docs/performance.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The allocator asks for memory in huge pages, and takes and gives back so much of it that the kernel clears two megabytes for what is a
/// few kilobytes of values. Where it can't be turned off, it costs time and nothing else.
fn forgo_huge_pages() {
    #[cfg(target_os = "linux")]
    rustix::thread::disable_transparent_huge_pages(true).ok();
}

fn main() -> ExitCode {
    forgo_huge_pages();
    match commands::run(cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("ringhold: {failure}");
            failure.exit.into()
        }
    }
}
