//! The command line of the simulator, for whoever offers it: `ringhold sim`, an example, a test.

use crate::campaign::{Campaign, Changes, Summary};
use crate::plan::{FaultClass, OperationClass, Profile};
use crate::run::{Report, run};
use crate::trace::Listener;
use std::fmt;
use std::io::{self, Write};
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// How it is used.
pub const USAGE: &str = "\
usage: sim [--seed N | --seeds A..B] [--profile network|disk|clock|copies|handoff|rebuild|reaping|all]
           [--trace] [--without CLASS,…] [--load-ms N]

  --seed N      one run
  --seeds A..B  a run for each seed from A up to, not including, B (default 0..20)
  --profile     which faults (default all)
  --trace       a line for each event
  --without     leaves out classes of faults or operations
  --load-ms     how long clients work, in simulated milliseconds
";

/// Arguments that make no sense; nothing was run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandError {
    UnknownOption(String),
    MissingValue(&'static str),
    BadValue { option: &'static str, value: String },
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownOption(option) => write!(f, "unknown option {option}"),
            Self::MissingValue(option) => write!(f, "{option} needs a value"),
            Self::BadValue { option, value } => write!(f, "{option} does not take {value:?}"),
        }
    }
}

impl std::error::Error for CommandError {}

/// Whoever looks on: clocks and terminals are the host's.
pub trait Audience {
    /// Microseconds since it all began.
    fn elapsed_us(&mut self) -> u64;

    /// A run is over; its line is about to be printed by `print`.
    ///
    /// # Errors
    /// What `print` fails with.
    fn hear(
        &mut self,
        progress: &Progress,
        print: &mut dyn FnMut() -> io::Result<()>,
    ) -> io::Result<()>;
}

/// A clock, and nobody who looks.
impl<Clock: FnMut() -> u64> Audience for Clock {
    fn elapsed_us(&mut self) -> u64 {
        self()
    }

    fn hear(
        &mut self,
        _progress: &Progress,
        print: &mut dyn FnMut() -> io::Result<()>,
    ) -> io::Result<()> {
        print()
    }
}

/// How far a campaign has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub runs: u64,
    pub runs_planned: u64,
    pub failures: u64,
    pub events: u64,
}

impl Progress {
    fn add(&mut self, report: &Report) {
        self.runs += 1;
        self.failures += u64::from(report.violation.is_some());
        self.events += report.events;
    }
}

/// What to do.
#[derive(Clone, Debug)]
pub struct Command {
    pub campaign: Campaign,
    pub traces: bool,
}

impl Command {
    /// # Errors
    /// If an argument is not understood.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, CommandError> {
        let mut command = Self {
            campaign: Campaign::new(0..20, Profile::All),
            traces: false,
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = |option| arguments.next().ok_or(CommandError::MissingValue(option));
            match argument.as_str() {
                "--seed" => {
                    let seed: u64 = number("--seed", value("--seed")?)?;
                    command.campaign.seeds = seed..seed.saturating_add(1);
                }
                "--seeds" => command.campaign.seeds = seeds(&value("--seeds")?)?,
                "--profile" => command.campaign.profile = number("--profile", value("--profile")?)?,
                "--load-ms" => {
                    let ms: u64 = number("--load-ms", value("--load-ms")?)?;
                    command.campaign.changes.load_us = Some(ms.saturating_mul(1_000));
                }
                "--without" => leave_out(&mut command.campaign.changes, &value("--without")?)?,
                "--trace" => command.traces = true,
                _ => return Err(CommandError::UnknownOption(argument)),
            }
        }
        Ok(command)
    }

    /// Runs it, and says how it went; true if nothing is wrong.
    ///
    /// # Errors
    /// If nothing can be written to `out`.
    pub fn carry_out(
        &self,
        out: &mut (dyn Write + Send),
        audience: &mut dyn Audience,
    ) -> io::Result<bool> {
        if self.traces {
            return self.trace(out);
        }
        let mut outcome = Ok(());
        let seeds = &self.campaign.seeds;
        let mut progress = Progress {
            runs_planned: seeds.end.saturating_sub(seeds.start),
            ..Progress::default()
        };
        let summary = self.campaign.run(&mut |report| {
            progress.add(report);
            if outcome.is_ok() {
                outcome = audience.hear(&progress, &mut || line(out, report));
            }
        });
        outcome?;
        write!(out, "\n{summary}")?;
        let us = audience.elapsed_us().max(1);
        writeln!(
            out,
            "{} events a second",
            summary.events.saturating_mul(1_000_000) / us
        )?;
        Ok(summary.passed())
    }

    fn trace(&self, out: &mut (dyn Write + Send)) -> io::Result<bool> {
        let mut summary = Summary::default();
        for seed in self.campaign.seeds.clone() {
            let plan = self.campaign.changes.plan(seed, self.campaign.profile);
            let lines = Arc::new(Mutex::new(Vec::new()));
            let sink = Arc::clone(&lines);
            let listener: Listener = Box::new(move |line| {
                sink.lock()
                    .expect("nobody panics with it")
                    .push(line.to_owned());
            });
            let report = run(&plan, Some(listener));
            for text in lines.lock().expect("nobody panics with it").iter() {
                writeln!(out, "{text}")?;
            }
            line(out, &report)?;
            summary.runs += u64::from(report.violation.is_none());
        }
        Ok(summary.runs == self.campaign.seeds.end - self.campaign.seeds.start)
    }
}

/// Parses, runs, reports; true if nothing is wrong.
///
/// # Errors
/// If nothing can be written to `out`.
pub fn main_with(
    arguments: impl IntoIterator<Item = String>,
    out: &mut (dyn Write + Send),
    audience: &mut dyn Audience,
) -> io::Result<bool> {
    match Command::parse(arguments) {
        Ok(command) => command.carry_out(out, audience),
        Err(error) => {
            write!(out, "{error}\n\n{USAGE}")?;
            Ok(false)
        }
    }
}

fn line(out: &mut (dyn Write + Send), report: &Report) -> io::Result<()> {
    let verdict = report
        .violation
        .as_ref()
        .map_or("ok".to_owned(), ToString::to_string);
    let seconds = report.simulated_us / 1_000_000;
    let Report {
        plan,
        events,
        operations,
        ..
    } = report;
    writeln!(
        out,
        "seed {:>8}  {:>7} events  {seconds:>4} s  {operations:>6} operations  {verdict}",
        plan.seed, events
    )
}

fn number<T: std::str::FromStr>(option: &'static str, value: String) -> Result<T, CommandError> {
    value
        .parse()
        .map_err(|_| CommandError::BadValue { option, value })
}

fn seeds(value: &str) -> Result<Range<u64>, CommandError> {
    let bad = || CommandError::BadValue {
        option: "--seeds",
        value: value.to_owned(),
    };
    let (start, end) = value.split_once("..").ok_or_else(bad)?;
    let (start, end) = (
        start.parse().map_err(|_| bad())?,
        end.parse().map_err(|_| bad())?,
    );
    if start > end {
        Err(bad())
    } else {
        Ok(start..end)
    }
}

fn leave_out(changes: &mut Changes, value: &str) -> Result<(), CommandError> {
    for name in value.split(',') {
        match (name.parse::<FaultClass>(), name.parse::<OperationClass>()) {
            (Ok(fault), _) => changes.without_faults.push(fault),
            (_, Ok(operation)) => changes.without_operations.push(operation),
            _ => {
                return Err(CommandError::BadValue {
                    option: "--without",
                    value: name.to_owned(),
                });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, CommandError> {
        Command::parse(line.split_whitespace().map(ToOwned::to_owned))
    }

    #[test]
    fn arguments_are_understood_or_refused() {
        let command =
            parsed("--seeds 3..9 --profile disk --without loss,cart --load-ms 50 --trace").unwrap();
        assert_eq!(command.campaign.seeds, 3..9);
        assert_eq!(command.campaign.profile, Profile::Disk);
        assert_eq!(command.campaign.changes.without_faults, [FaultClass::Loss]);
        assert_eq!(
            command.campaign.changes.without_operations,
            [OperationClass::Cart]
        );
        assert_eq!(command.campaign.changes.load_us, Some(50_000));
        assert!(command.traces);
        for wrong in [
            "--seed x",
            "--seeds 5..1",
            "--seeds 5",
            "--profile water",
            "--without rain",
            "--what",
            "--seed",
        ] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }
}
