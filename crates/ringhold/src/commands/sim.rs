//! `sim`: the deterministic simulator.

use std::io::{self, IsTerminal as _, stdout};
use std::time::Instant;

use indicatif::ProgressBar;
use ringhold_sim::command::{Audience, Command, Progress, USAGE};

use crate::cli::SimArgs;
use crate::output::{Failure, print, progress_bar};

pub(super) fn run(arguments: SimArgs) -> Result<(), Failure> {
    let asks_for_help = |argument: &String| argument == "--help" || argument == "-h";
    if arguments.arguments.iter().any(asks_for_help) {
        return print(USAGE);
    }
    let command = Command::parse(arguments.arguments)
        .map_err(|error| Failure::usage(format!("{error}\n\n{USAGE}")))?;
    let seeds = &command.campaign.seeds;
    let mut onlooker = Onlooker {
        started: Instant::now(),
        bar: progress_bar(seeds.end.saturating_sub(seeds.start), "seeds"),
        prints_beside: stdout().is_terminal(),
    };
    let passed = command
        .carry_out(&mut stdout(), &mut onlooker)
        .map_err(|error| Failure::failed(format!("the report can't be written: {error}")))?;
    if passed {
        return Ok(());
    }
    Err(Failure::failed(
        "the simulation found something; each line above that says so ends with the command that replays it",
    ))
}

/// A clock, and a bar on standard error if that is a terminal.
struct Onlooker {
    started: Instant,
    bar: ProgressBar,
    /// Standard output is a terminal, most likely the same one: the bar steps aside for each line.
    prints_beside: bool,
}

impl Audience for Onlooker {
    fn elapsed_us(&mut self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn hear(
        &mut self,
        progress: &Progress,
        print: &mut dyn FnMut() -> io::Result<()>,
    ) -> io::Result<()> {
        let printed = if self.prints_beside {
            self.bar.suspend(print)
        } else {
            print()
        };
        let words = words(progress, self.elapsed_us());
        self.bar.set_message(words);
        self.bar.set_position(progress.runs);
        if progress.runs == progress.runs_planned {
            self.bar.finish_and_clear();
        }
        printed
    }
}

fn words(progress: &Progress, elapsed_us: u64) -> String {
    let per_second = progress.events.saturating_mul(1_000_000) / elapsed_us.max(1);
    format!("seeds, {} failed, {per_second} events/s", progress.failures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_says_what_failed_and_how_fast_it_goes() {
        let progress = Progress {
            runs: 3,
            runs_planned: 10,
            failures: 1,
            events: 500_000,
        };
        assert_eq!(
            words(&progress, 250_000),
            "seeds, 1 failed, 2000000 events/s"
        );
        assert_eq!(
            words(&Progress::default(), 0),
            "seeds, 0 failed, 0 events/s"
        );
    }
}
