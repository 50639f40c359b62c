//! A node as a process: sockets, clocks, files and signals around [`ringhold_node`].
//!
//! No protocol decisions here. What a node decides is decided below; this crate gives it time and
//! connections ([`environment`], [`peers`]), opens its doors ([`http`], [`pb`], which share [`edge`], and the native listener), and knows
//! how to start and stop.

pub mod config;
mod data_dir;
mod door;
pub mod edge;
mod environment;
pub mod founding;
pub mod http;
mod jobs;
mod join;
mod listener;
mod listings;
mod metrics_text;
pub mod pb;
mod peers;
mod recovery_orders;
mod riak_stats;
mod ring_orders;
mod startup;
mod status;

pub use data_dir::DataDirError;
pub use environment::TokioEnvironment;
pub use join::{Join, JoinError};
pub use startup::ServeError;

use config::Config;

/// Runs one node until it is told to stop by SIGTERM or Ctrl-C, then stops cleanly. With `join` it becomes a member of a
/// cluster first, unless it is one.
///
/// # Errors
/// If the node can't start, or could not stop cleanly; the message says why and what to do.
pub fn serve(config: Config, join: Option<Join>) -> Result<(), ServeError> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = usize::try_from(config.threads).ok().filter(|n| *n > 0) {
        runtime.worker_threads(threads);
    }
    let runtime = runtime.enable_all().build();
    let runtime = runtime.map_err(ServeError::Runtime)?;
    runtime.block_on(startup::run(config, join))
}
