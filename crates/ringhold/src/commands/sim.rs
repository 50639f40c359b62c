//! `sim`: the deterministic simulator.

use std::io::stdout;
use std::time::Instant;

use ringhold_sim::command::{Command, USAGE};

use crate::cli::SimArgs;
use crate::output::{Failure, print};

pub(super) fn run(arguments: SimArgs) -> Result<(), Failure> {
    let asks_for_help = |argument: &String| argument == "--help" || argument == "-h";
    if arguments.arguments.iter().any(asks_for_help) {
        return print(USAGE);
    }
    let command = Command::parse(arguments.arguments)
        .map_err(|error| Failure::usage(format!("{error}\n\n{USAGE}")))?;
    let started = Instant::now();
    let mut elapsed_us = || u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    let passed = command
        .carry_out(&mut stdout(), &mut elapsed_us)
        .map_err(|error| Failure::failed(format!("the report can't be written: {error}")))?;
    if passed {
        return Ok(());
    }
    Err(Failure::failed(
        "the simulation found something; each line above that says so ends with the command that replays it",
    ))
}
