//! The gate: the same stages for everyone, in the order in which they are cheapest to fail.
//!
//! `plan` decides what runs from what is there (which crates have wrong variants, whether
//! cargo-deny is installed); `run` does it, stage by stage, and stops at the first that fails. Each
//! stage has a budget in minutes for a machine of two cores from nothing; one that outgrows its
//! budget is warned about and passes, since a slow machine is not a broken tree. The budgets add
//! up to the time that the whole gate may take.
//!
//! A stage's output goes straight to the terminal. The last line counts stages:
//! `N passed, N failed`.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::finding::Severity;
use crate::instructions;
use crate::licences;
use crate::metadata::{self, MetadataError, Workspace};
use crate::tidy;
use crate::walls;

/// What the plan depends on.
#[derive(Debug, Default)]
struct Facts {
    /// Members whose tests run once more with the wrong variants.
    known_bad: Vec<String>,
    cargo_deny: bool,
}

/// One line of the gate.
#[derive(Debug, PartialEq, Eq)]
struct Stage {
    name: &'static str,
    budget_minutes: u32,
    steps: Vec<Step>,
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// `cargo` with these arguments.
    Cargo(Vec<String>),
    /// The same several times side by side, each of which keeps one core busy.
    SideBySide(Vec<Vec<String>>),
    /// A script of the repository, by its path from the root.
    Script(&'static str),
    Tidy,
    /// Instructions an operation, held against their record.
    Instructions,
    /// Our own check of licences and sources, since cargo-deny is missing.
    Licences,
}

/// Why the gate did not run to an answer.
#[derive(Debug)]
pub(crate) enum CiError {
    /// A stage was asked for that is not there; nothing ran.
    NoSuchStage {
        name: String,
        stages: Vec<&'static str>,
    },
    /// Cargo could not describe the workspace; nothing ran.
    Metadata(MetadataError),
}

impl fmt::Display for CiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchStage { name, stages } => {
                write!(
                    f,
                    "no stage `{name}`; the stages are: {}",
                    stages.join(", ")
                )
            }
            Self::Metadata(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for CiError {}

/// Why a stage failed.
#[derive(Debug)]
enum StageError {
    /// A command ended badly; its own output says why.
    Command { command: String, status: String },
    /// A command could not be started.
    NotStarted { command: String, source: io::Error },
    /// Rules were broken; the findings are printed.
    Findings { errors: usize },
    /// The tree could not be checked.
    Unchecked { reason: String },
}

impl fmt::Display for StageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command { command, status } => write!(f, "{command}: {status}"),
            Self::NotStarted { command, source } => write!(f, "{command} did not start: {source}"),
            Self::Findings { errors } => write!(f, "{errors} errors"),
            Self::Unchecked { reason } => f.write_str(reason),
        }
    }
}

impl std::error::Error for StageError {}

/// Runs the gate, or only the stages named in `wanted`. Returns whether all of them passed.
pub(crate) fn run(root: &Path, wanted: &[String]) -> Result<bool, CiError> {
    let workspace = Workspace::load(root).map_err(CiError::Metadata)?;
    let facts = Facts {
        known_bad: walls::members_with_known_bad(&workspace),
        cargo_deny: cargo_deny_is_installed(),
    };
    let stages = select(plan(&facts), wanted)?;
    Ok(run_stages(root, &stages))
}

/// All stages of the gate, cheapest failure first.
fn plan(facts: &Facts) -> Vec<Stage> {
    // In one command, so that each crate is compiled once.
    let known_bad = (!facts.known_bad.is_empty()).then(|| {
        let packages = facts.known_bad.iter().map(|name| format!("-p {name}"));
        let features = facts.known_bad.iter();
        let features = features.map(|name| format!("{name}/{}", walls::KNOWN_BAD));
        cargo(&format!(
            "test --release --locked {} --features {}",
            packages.collect::<Vec<_>>().join(" "),
            features.collect::<Vec<_>>().join(",")
        ))
    });
    let supply_chain = if facts.cargo_deny {
        cargo("deny --locked --offline check bans licenses sources")
    } else {
        Step::Licences
    };
    let stage = |name, budget_minutes, steps| Stage {
        name,
        budget_minutes,
        steps,
    };
    vec![
        stage("format", 1, vec![cargo("fmt --all --check")]),
        stage("tidy", 1, vec![Step::Tidy]),
        stage("supply-chain", 1, vec![supply_chain]),
        stage(
            "lints",
            2,
            vec![
                cargo("clippy --workspace --all-targets --locked -- -D warnings"),
                // Asked for by name, as when it runs.
                cargo("clippy -p ringhold --test harness --locked -- -D warnings"),
            ],
        ),
        stage("tests", 6, vec![cargo("test --workspace --locked")]),
        stage(
            "purity",
            1,
            vec![
                cargo("check --locked -p ringhold-core"),
                cargo("check --locked -p ringhold-node"),
            ],
        ),
        stage("known-bad", 7, known_bad.into_iter().collect()),
        stage(
            "release",
            2,
            vec![cargo("build --release --locked -p ringhold")],
        ),
        stage(
            "simulation",
            2,
            vec![Step::SideBySide(
                ["0..500", "500..1000"]
                    .map(|seeds| {
                        words(&format!(
                            "run --release --locked -p ringhold -- sim --seeds {seeds}"
                        ))
                    })
                    .to_vec(),
            )],
        ),
        stage("instructions", 2, vec![Step::Instructions]),
        stage(
            "real-processes",
            6,
            vec![cargo(
                "test --release --locked -p ringhold --test harness -- --test-threads=1 --nocapture",
            )],
        ),
        stage(
            "demo",
            1,
            vec![cargo("run --release --locked -p ringhold -- demo")],
        ),
        stage(
            "clients",
            3,
            vec![
                cargo("build --release --locked -p ringhold"),
                Step::Script("clients/python/run"),
                Step::Script("clients/node/run"),
            ],
        ),
    ]
}

/// The stages that were asked for, in the plan's order; all of them if none was.
fn select(stages: Vec<Stage>, wanted: &[String]) -> Result<Vec<Stage>, CiError> {
    let missing = wanted
        .iter()
        .find(|name| !stages.iter().any(|stage| stage.name == name.as_str()));
    if let Some(name) = missing {
        return Err(CiError::NoSuchStage {
            name: name.clone(),
            stages: stages.iter().map(|stage| stage.name).collect(),
        });
    }
    let is_wanted =
        |stage: &Stage| wanted.is_empty() || wanted.iter().any(|name| name == stage.name);
    Ok(stages.into_iter().filter(is_wanted).collect())
}

fn run_stages(root: &Path, stages: &[Stage]) -> bool {
    let started = Instant::now();
    let mut passed = 0;
    let mut failed = 0;
    for (index, stage) in stages.iter().enumerate() {
        let (number, budget) = (index + 1, stage.budget_minutes);
        println!(
            "\n== {number}/{} {} (budget {budget} min)",
            stages.len(),
            stage.name
        );
        if stage.steps.is_empty() {
            println!("nothing to run: no crate takes part");
        }
        let stage_started = Instant::now();
        let outcome = stage.steps.iter().try_for_each(|step| take(root, step));
        println!("{}", verdict(stage, &outcome, stage_started.elapsed()));
        match outcome {
            Ok(()) => passed += 1,
            Err(_) => {
                failed += 1;
                break;
            }
        }
    }
    println!("\ntotal {:.1} min", minutes(started.elapsed()));
    let unrun: Vec<_> = stages
        .iter()
        .skip(passed + failed)
        .map(|stage| stage.name)
        .collect();
    if !unrun.is_empty() {
        println!("not run: {}", unrun.join(", "));
    }
    println!("{passed} passed, {failed} failed");
    failed == 0
}

/// The lines that end a stage.
fn verdict(stage: &Stage, outcome: &Result<(), StageError>, elapsed: Duration) -> String {
    let taken = format!("{} {:.1} min", stage.name, minutes(elapsed));
    let mut lines = match outcome {
        Ok(()) => format!("PASS {taken}"),
        Err(error) => format!("FAIL {taken}: {error}"),
    };
    if elapsed > Duration::from_secs(60) * stage.budget_minutes {
        lines.push_str(&format!(
            "\nWARN {} is over its budget of {} min",
            stage.name, stage.budget_minutes
        ));
    }
    lines
}

fn take(root: &Path, step: &Step) -> Result<(), StageError> {
    match step {
        Step::Cargo(arguments) => run_cargo(root, arguments),
        Step::SideBySide(commands) => run_side_by_side(root, commands),
        Step::Script(path) => run_script(root, path),
        Step::Tidy => check_tidy(root),
        Step::Instructions => instructions::run(root, false).map_err(unchecked),
        Step::Licences => check_licences(root),
    }
}

fn run_cargo(root: &Path, arguments: &[String]) -> Result<(), StageError> {
    let command = format!("cargo {}", arguments.join(" "));
    let mut cargo = Command::new(metadata::cargo());
    run_command(root, command, cargo.args(arguments))
}

fn run_side_by_side(root: &Path, commands: &[Vec<String>]) -> Result<(), StageError> {
    let run = |arguments: &Vec<String>| run_cargo(root, arguments);
    std::thread::scope(|threads| {
        let running: Vec<_> = commands
            .iter()
            .map(|arguments| threads.spawn(move || run(arguments)))
            .collect();
        // All of them come to their end, whichever fails.
        let outcomes: Vec<_> = running
            .into_iter()
            .map(std::thread::ScopedJoinHandle::join)
            .collect();
        outcomes
            .into_iter()
            .try_for_each(|outcome| outcome.expect("a command's thread does not panic"))
    })
}

fn run_script(root: &Path, path: &str) -> Result<(), StageError> {
    run_command(root, path.to_owned(), &mut Command::new(root.join(path)))
}

fn run_command(root: &Path, command: String, started: &mut Command) -> Result<(), StageError> {
    println!("$ {command}");
    let status = started
        .current_dir(root)
        .env("RUST_BACKTRACE", "1")
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(StageError::Command {
            command,
            status: status.to_string(),
        }),
        Err(source) => Err(StageError::NotStarted { command, source }),
    }
}

fn check_tidy(root: &Path) -> Result<(), StageError> {
    let report = tidy::check(root).map_err(unchecked)?;
    println!("{report}");
    match report.count(Severity::Error) {
        0 => Ok(()),
        errors => Err(StageError::Findings { errors }),
    }
}

fn check_licences(root: &Path) -> Result<(), StageError> {
    println!(
        "SKIP cargo deny: cargo-deny is not installed; checking declared licences and sources only"
    );
    let deny_toml = std::fs::read_to_string(root.join("deny.toml")).map_err(unchecked)?;
    let workspace = Workspace::load(root).map_err(unchecked)?;
    let findings = licences::check(&workspace, &deny_toml);
    for finding in &findings {
        println!("{finding}");
    }
    println!("licences: {} packages", workspace.packages.len());
    match findings.len() {
        0 => Ok(()),
        errors => Err(StageError::Findings { errors }),
    }
}

fn unchecked(error: impl fmt::Display) -> StageError {
    StageError::Unchecked {
        reason: error.to_string(),
    }
}

fn cargo_deny_is_installed() -> bool {
    let output = Command::new(metadata::cargo())
        .args(["deny", "--version"])
        .output();
    output.is_ok_and(|output| output.status.success())
}

fn cargo(arguments: &str) -> Step {
    Step::Cargo(words(arguments))
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn minutes(elapsed: Duration) -> f64 {
    elapsed.as_secs_f64() / 60.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Minutes that the whole gate may take.
    const TOTAL_MINUTES: u32 = 35;

    fn names(stages: &[Stage]) -> Vec<&'static str> {
        stages.iter().map(|stage| stage.name).collect()
    }

    fn steps_of(facts: &Facts, name: &str) -> Vec<Step> {
        let mut stages = plan(facts);
        stages.retain(|stage| stage.name == name);
        stages.remove(0).steps
    }

    #[test]
    fn the_budgets_fit_the_whole() {
        let budgets: u32 = plan(&Facts::default())
            .iter()
            .map(|stage| stage.budget_minutes)
            .sum();
        assert!(budgets <= TOTAL_MINUTES, "{budgets} minutes");
    }

    #[test]
    fn every_crate_with_wrong_variants_is_tested_with_them() {
        let facts = Facts {
            known_bad: vec!["a".to_owned(), "b".to_owned()],
            cargo_deny: false,
        };
        let test = "test --release --locked -p a -p b --features a/known-bad,b/known-bad";
        assert_eq!(steps_of(&facts, "known-bad"), [cargo(test)]);
        assert_eq!(steps_of(&Facts::default(), "known-bad"), []);
    }

    #[test]
    fn without_cargo_deny_our_own_check_stands_in() {
        let with = Facts {
            cargo_deny: true,
            ..Facts::default()
        };
        assert_eq!(
            steps_of(&Facts::default(), "supply-chain"),
            [Step::Licences]
        );
        assert_ne!(steps_of(&with, "supply-chain"), [Step::Licences]);
    }

    #[test]
    fn stages_can_be_named_and_keep_their_order() {
        let wanted = ["lints", "format"].map(str::to_owned);
        let selected = select(plan(&Facts::default()), &wanted).expect("both are stages");
        assert_eq!(names(&selected), ["format", "lints"]);
        let all = select(plan(&Facts::default()), &[]).expect("none is named");
        assert_eq!(names(&all), names(&plan(&Facts::default())));
        let error = select(plan(&Facts::default()), &["lint".to_owned()]);
        assert!(matches!(error, Err(CiError::NoSuchStage { name, .. }) if name == "lint"));
    }

    #[test]
    fn a_verdict_says_the_time_and_warns_past_the_budget() {
        let stage = &plan(&Facts::default())[0];
        let verdict = |outcome, seconds| verdict(stage, &outcome, Duration::from_secs(seconds));
        assert_eq!(verdict(Ok(()), 30), "PASS format 0.5 min");
        assert_eq!(
            verdict(Ok(()), 90),
            "PASS format 1.5 min\nWARN format is over its budget of 1 min"
        );
        let failed = Err(StageError::Findings { errors: 2 });
        assert_eq!(verdict(failed, 6), "FAIL format 0.1 min: 2 errors");
    }
}
