//! Many runs, and what they come to.
//!
//! A campaign runs a range of seeds. Now and then it runs one twice and compares the traces' hashes, because
//! a run that can't be repeated can't be understood. It adds up what happened, and fails if a run does, or
//! if something that has to happen sometimes never did. A failing plan is shrunk: classes of faults and operations are
//! dropped, one after the other, and then the load is halved, as long as the same invariant breaks.

use crate::invariants::Violation;
use crate::plan::{FaultClass, OperationClass, Plan, Profile};
use crate::rare::Rare;
use crate::run::{Report, run};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

/// One run in so many is done twice.
const RUNS_PER_REPETITION: u64 = 20;
/// A campaign of so many runs over all faults reaches everything that has to happen sometimes.
const RUNS_FOR_RARE_EVENTS: u64 = 300;

/// See the module.
#[derive(Clone, Debug)]
pub struct Campaign {
    pub seeds: Range<u64>,
    pub profile: Profile,
    pub changes: Changes,
    /// Whether a failing plan is to be shrunk.
    pub shrinks: bool,
}

/// What is different from the plans that the seeds draw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub without_faults: Vec<FaultClass>,
    pub without_operations: Vec<OperationClass>,
    /// How long clients work, in microseconds.
    pub load_us: Option<u64>,
}

impl Changes {
    /// The plan of a seed, with these changes.
    #[must_use]
    pub fn plan(&self, seed: u64, profile: Profile) -> Plan {
        let mut plan = Plan::draw(seed, profile);
        plan.faults
            .retain(|fault| !self.without_faults.contains(fault));
        for operation in &self.without_operations {
            // Something has to be left to do.
            plan.operations.remove(operation);
            if plan.workloads().is_empty() {
                plan.operations.insert(*operation);
            }
        }
        plan.load_us = self.load_us.unwrap_or(plan.load_us);
        plan
    }

    fn words(&self) -> String {
        let mut classes: Vec<String> = self
            .without_faults
            .iter()
            .map(ToString::to_string)
            .collect();
        classes.extend(self.without_operations.iter().map(ToString::to_string));
        let without = if classes.is_empty() {
            String::new()
        } else {
            format!(" --without {}", classes.join(","))
        };
        let load = self
            .load_us
            .map(|us| format!(" --load-ms {}", us / 1_000))
            .unwrap_or_default();
        without + &load
    }
}

/// A run that broke a promise.
#[derive(Clone, Debug)]
pub struct Failure {
    pub seed: u64,
    pub profile: Profile,
    pub violation: Violation,
    /// What could be left out without losing the violation.
    pub changes: Changes,
}

impl Failure {
    /// One line that shows it again.
    #[must_use]
    pub fn command(&self) -> String {
        format!(
            "ringhold sim --seed {} --profile {}{} --trace",
            self.seed,
            self.profile,
            self.changes.words()
        )
    }
}

/// What a campaign came to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    pub runs: u64,
    pub repeated: u64,
    pub failures: Vec<Failure>,
    /// What has to happen sometimes and never did, if the campaign was large enough to ask.
    pub missing: Vec<Rare>,
    pub simulated_us: u64,
    pub events: u64,
    pub messages: u64,
    pub operations: u64,
    pub acknowledged: u64,
    pub faults: BTreeMap<FaultClass, u64>,
    pub rare: BTreeMap<Rare, u64>,
}

impl Summary {
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures.is_empty() && self.missing.is_empty()
    }

    fn add(&mut self, report: &Report) {
        self.runs += 1;
        self.simulated_us += report.simulated_us;
        self.events += report.events;
        self.messages += report.messages;
        self.operations += report.operations;
        self.acknowledged += report.acknowledged;
        for (fault, count) in &report.faults {
            *self.faults.entry(*fault).or_default() += count;
        }
        for (event, count) in &report.rare {
            *self.rare.entry(*event).or_default() += count;
        }
    }
}

impl Campaign {
    #[must_use]
    pub fn new(seeds: Range<u64>, profile: Profile) -> Self {
        Self {
            seeds,
            profile,
            changes: Changes::default(),
            shrinks: true,
        }
    }

    /// Runs all seeds; `progress` hears of each run.
    pub fn run(&self, progress: &mut dyn FnMut(&Report)) -> Summary {
        let mut summary = Summary::default();
        for seed in self.seeds.clone() {
            let plan = self.changes.plan(seed, self.profile);
            let mut report = run(&plan, None);
            if seed % RUNS_PER_REPETITION == 0 && report.violation.is_none() {
                summary.repeated += 1;
                report.violation = differs(&report, &run(&plan, None));
            }
            summary.add(&report);
            progress(&report);
            if let Some(violation) = report.violation {
                summary.failures.push(self.failure(seed, violation));
            }
        }
        if self.changes == Changes::default() && summary.runs >= RUNS_FOR_RARE_EVENTS {
            let never = |event: &&Rare| summary.rare.get(*event).is_none_or(|count| *count == 0);
            let due = Rare::ALL.iter().filter(|event| event.is_due(self.profile));
            summary.missing = due.filter(never).copied().collect();
        }
        summary
    }

    fn failure(&self, seed: u64, violation: Violation) -> Failure {
        let mut changes = self.changes.clone();
        if self.shrinks {
            changes = shrink(seed, self.profile, changes, &violation);
        }
        Failure {
            seed,
            profile: self.profile,
            violation,
            changes,
        }
    }
}

fn differs(first: &Report, second: &Report) -> Option<Violation> {
    let same = first.trace_hash == second.trace_hash && first.events == second.events;
    let text = || {
        format!(
            "two runs of one plan differ: {:x} after {} events, {:x} after {}",
            first.trace_hash, first.events, second.trace_hash, second.events
        )
    };
    (!same).then(|| Violation::new("determinism", text()))
}

/// Leaves out what the violation does not need.
fn shrink(seed: u64, profile: Profile, mut changes: Changes, violation: &Violation) -> Changes {
    let breaks = |changes: &Changes| {
        let report = run(&changes.plan(seed, profile), None);
        report
            .violation
            .is_some_and(|other| other.invariant == violation.invariant)
    };
    if !breaks(&changes) {
        // It shows in a repetition only.
        return changes;
    }
    let plan = changes.plan(seed, profile);
    for fault in plan.faults {
        let mut fewer = changes.clone();
        fewer.without_faults.push(fault);
        if breaks(&fewer) {
            changes = fewer;
        }
    }
    for operation in plan.operations {
        let mut fewer = changes.clone();
        fewer.without_operations.push(operation);
        if fewer.plan(seed, profile) != changes.plan(seed, profile) && breaks(&fewer) {
            changes = fewer;
        }
    }
    let mut load_us = plan.load_us;
    while load_us > 1_000_000 {
        load_us /= 2;
        let shorter = Changes {
            load_us: Some(load_us),
            ..changes.clone()
        };
        if !breaks(&shorter) {
            break;
        }
        changes = shorter;
    }
    changes
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.simulated_us / 60_000_000;
        writeln!(
            f,
            "{} runs ({} of them twice), {}.{:02} simulated hours",
            self.runs,
            self.repeated,
            minutes / 60,
            minutes % 60 * 100 / 60
        )?;
        writeln!(
            f,
            "{} events, {} messages, {} operations, {} acknowledged",
            self.events, self.messages, self.operations, self.acknowledged
        )?;
        writeln!(f, "\nfaults")?;
        for (fault, count) in &self.faults {
            writeln!(f, "  {fault:<36} {count:>9}")?;
        }
        writeln!(f, "\nsometimes")?;
        for (event, count) in &self.rare {
            writeln!(f, "  {event:<36} {count:>9}")?;
        }
        for event in &self.missing {
            writeln!(f, "\nnever happened: {event}")?;
        }
        for failure in &self.failures {
            writeln!(
                f,
                "\nseed {}: {}\n  {}",
                failure.seed,
                failure.violation,
                failure.command()
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_says_what_was_left_out() {
        let changes = Changes {
            without_faults: vec![FaultClass::Loss],
            without_operations: vec![OperationClass::HotKey],
            load_us: Some(2_000_000),
        };
        let violation = Violation::new("I1", "lost".to_owned());
        let failure = Failure {
            seed: 7,
            profile: Profile::Disk,
            violation,
            changes,
        };
        let command =
            "ringhold sim --seed 7 --profile disk --without loss,hot-key --load-ms 2000 --trace";
        assert_eq!(failure.command(), command);
    }

    #[test]
    fn something_is_left_to_do() {
        let changes = Changes {
            without_operations: OperationClass::ALL.to_vec(),
            ..Changes::default()
        };
        for seed in 0..50 {
            assert!(!changes.plan(seed, Profile::All).workloads().is_empty());
        }
    }
}
