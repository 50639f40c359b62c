//! What each command does, one file a command.
//!
//! A command takes its arguments and the format, prints its result, and returns how it ended.
//! Those that talk to the network run on a small runtime of their own; `serve` brings its own.

mod backup;
mod bench;
mod bucket_type;
mod cluster;
mod config;
mod context;
mod delete;
mod demo;
mod dev;
pub(crate) mod door;
mod everywhere;
mod get;
mod hints;
mod job;
mod list;
mod load;
mod put;
mod rebuild;
mod recover;
mod repair;
mod restore;
mod ring_orders;
mod ring_plan;
mod serve;
mod sim;
mod transfers;
mod verify;
mod view;

use std::future::Future;

use crate::cli::{Cli, Command, ImportCommand, LoadCommand};
use crate::import;
use crate::output::{Failure, Format, print, print_json};

/// Runs the command.
pub(crate) fn run(cli: Cli) -> Result<(), Failure> {
    let format = cli.output;
    match cli.command {
        Command::Demo(arguments) => on_runtime(demo::run(arguments, format)),
        Command::Dev(arguments) => on_runtime(dev::run(arguments, format)),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Get(arguments) => on_runtime(get::run(arguments, format)),
        Command::Put(arguments) => on_runtime(put::run(arguments, format)),
        Command::Delete(arguments) => on_runtime(delete::run(arguments, format)),
        Command::List(arguments) => on_runtime(list::run(arguments, format)),
        Command::Cluster(command) => cluster::run(command, format),
        Command::BucketType(command) => on_runtime(bucket_type::run(command, format)),
        Command::Backup(arguments) => on_runtime(backup::run(arguments, format)),
        Command::Restore(arguments) => on_runtime(restore::run(arguments, format)),
        Command::Import(ImportCommand::Riak(arguments)) => {
            on_runtime(import::run(arguments, format))
        }
        Command::Config(command) => config::run(&command, format),
        Command::Load(LoadCommand::Carts {
            nodes,
            transactions,
            products,
            replay,
        }) => {
            let files = load::Files {
                transactions,
                products,
            };
            on_runtime(load::run(nodes, files, replay, format))
        }
        Command::Bench(arguments) => bench::run(*arguments, format),
        Command::Sim(arguments) => sim::run(arguments),
        Command::Version => version(format),
    }
}

fn version(format: Format) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    match format {
        Format::Table => print(format!("ringhold {version}\n")),
        Format::Json => print_json(&serde_json::json!({ "name": "ringhold", "version": version })),
    }
}

fn on_runtime(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("can't start the threads to run on: {error}")))?;
    runtime.block_on(command)
}
