//! The guard: how many instructions an operation takes, held against a record in the repository.
//!
//! Time differs from run to run and from machine to machine, and instructions of a deterministic program hardly do. So each kind of
//! operation of ringhold-sim's example `instructions` runs twice under valgrind, with two counts; the
//! difference of the instructions over the difference of the counts is the operation's. More than 5 % above the record is an error until
//! the record says so too, in the same commit, for everyone to see; more than 5 % below passes and asks for the record to be
//! lowered, since otherwise that room would be there for the next one to fill.
//!
//! The compiler decides on instructions too, and which copying loop the C library takes depends on the processor that valgrind
//! shows it. So with another rustc or valgrind, or for another processor, the figures are shown and nothing fails. Deciding is pure
//! (`Record`, `compare`); `run` builds, counts and prints. Not here: what the operations are
//! (`docs/performance.md`), and cache misses, at which valgrind would only be guessing.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::metadata;

/// From the workspace's root.
const RECORD: &str = "crates/ringhold-sim/instructions.txt";
/// How to accept what was counted.
const RECORD_COMMAND: &str = "cargo run -p xtask -- instructions --record";
/// Thousandths of the record that an operation may differ by.
const TOLERANCE_THOUSANDTHS: u64 = 50;

/// A kind of operation, and how often it is done in the first and in the second run.
struct Kind {
    name: &'static str,
    counts: [u64; 2],
}

const KINDS: [Kind; 10] = [
    kind("put", [100, 1_000]),
    kind("put-context", [0, 300]),
    kind("get", [0, 1_000]),
    kind("get-missing", [0, 1_000]),
    kind("counter", [100, 500]),
    kind("index-query", [0, 100]),
    kind("idle", [0, 20]),
    kind("frame", [0, 5_000]),
    kind("commit", [20, 220]),
    kind("checkpoint", [2, 12]),
];

const fn kind(name: &'static str, counts: [u64; 2]) -> Kind {
    Kind { name, counts }
}

/// Why nothing could be said, or the record is broken.
#[derive(Debug)]
pub(crate) enum InstructionsError {
    /// A program could not be started.
    NotStarted { program: String, source: io::Error },
    /// A program ended badly; what it said to its standard error.
    Ended { program: String, stderr: String },
    /// Valgrind's output has no total.
    NoTotal { kind: &'static str },
    /// More operations took no more instructions.
    NoDifference { kind: &'static str },
    /// The record could not be read or written.
    File { path: PathBuf, source: io::Error },
    /// A line of the record is not as it is written.
    Malformed { line: String },
    /// Kinds that take too many instructions, or that are not in the record.
    Grown { kinds: Vec<&'static str> },
}

impl fmt::Display for InstructionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted { program, source } => write!(f, "{program} did not start: {source}"),
            Self::Ended { program, stderr } => write!(f, "{program} failed: {stderr}"),
            Self::NoTotal { kind } => write!(f, "valgrind gave no total for `{kind}`"),
            Self::NoDifference { kind } => {
                write!(
                    f,
                    "`{kind}`: more operations took no more instructions than fewer"
                )
            }
            Self::File { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Malformed { line } => write!(f, "{RECORD}: not a line of the record: {line}"),
            Self::Grown { kinds } => write!(
                f,
                "more instructions than recorded: {}. Find out why (`valgrind --tool=callgrind` on the example \
                 `instructions`); if they are worth it, `{RECORD_COMMAND}`, and commit {RECORD} with \
                 the change that needs them, saying what they buy",
                kinds.join(", ")
            ),
        }
    }
}

impl std::error::Error for InstructionsError {}

/// What an operation of each kind took when it was last accepted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Record {
    /// The compiler, the processor's architecture and the valgrind that it was made with.
    made_with: String,
    kinds: Vec<(String, u64)>,
}

impl Record {
    fn parse(text: &str) -> Result<Self, InstructionsError> {
        let mut record = Self::default();
        for line in text.lines() {
            let malformed = || InstructionsError::Malformed {
                line: line.to_owned(),
            };
            if let Some(made_with) = line.strip_prefix("# made with: ") {
                made_with.clone_into(&mut record.made_with);
            } else if !line.starts_with('#') && !line.is_empty() {
                let (name, count) = line.split_once(' ').ok_or_else(malformed)?;
                let count = count.trim().parse().map_err(|_| malformed())?;
                record.kinds.push((name.to_owned(), count));
            }
        }
        Ok(record)
    }

    fn of(&self, name: &str) -> Option<u64> {
        let found = self.kinds.iter().find(|(kind, _)| kind == name)?;
        Some(found.1)
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Instructions an operation; made by: {RECORD_COMMAND}")?;
        writeln!(f, "# made with: {}", self.made_with)?;
        for (name, count) in &self.kinds {
            writeln!(f, "{name:<14} {count:>12}")?;
        }
        Ok(())
    }
}

/// What becomes of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Same,
    /// More than it may be.
    Grown,
    /// So much less that the record is no bound any more.
    Shrunk,
    /// It is not in the record.
    Unknown,
}

fn compare(recorded: Option<u64>, now: u64) -> Verdict {
    let Some(recorded) = recorded else {
        return Verdict::Unknown;
    };
    let (now, recorded) = (u128::from(now), u128::from(recorded));
    let tolerance = u128::from(TOLERANCE_THOUSANDTHS);
    match now * 1_000 {
        now if now > recorded * (1_000 + tolerance) => Verdict::Grown,
        now if now < recorded * (1_000 - tolerance) => Verdict::Shrunk,
        _ => Verdict::Same,
    }
}

/// A line of the table.
fn row(name: &str, recorded: Option<u64>, now: u64) -> String {
    let verdict = match compare(recorded, now) {
        Verdict::Same => "",
        Verdict::Grown => "  GREW",
        Verdict::Shrunk => "  shrank: lower the record",
        Verdict::Unknown => "  not in the record",
    };
    let Some(recorded) = recorded else {
        return format!("{name:<14} {:>12} {now:>12} {:>7}{verdict}", "-", "-");
    };
    let thousandths = now.saturating_mul(1_000) / recorded.max(1);
    let (ones, rest) = (thousandths / 1_000, thousandths % 1_000);
    let ratio = format!("{ones}.{rest:03}");
    format!("{name:<14} {recorded:>12} {now:>12} {ratio:>7}{verdict}")
}

/// The total of cachegrind's summary: `==7== I   refs:      1,234`.
fn total_in(stderr: &str) -> Option<u64> {
    let line = stderr.lines().find(|line| line.contains("refs:"))?;
    let (_, count) = line.split_once("refs:")?;
    let digits: String = count.chars().filter(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Counts, prints, and compares with the record or makes it anew. Without valgrind it says so and passes.
pub(crate) fn run(root: &Path, records: bool) -> Result<(), InstructionsError> {
    let Some(valgrind) = valgrind_version() else {
        println!("SKIP instructions: valgrind is not installed; nothing was counted");
        return Ok(());
    };
    let path = root.join(RECORD);
    let recorded = match fs::read_to_string(&path) {
        Ok(text) => Record::parse(&text)?,
        Err(error) if records && error.kind() == io::ErrorKind::NotFound => Record::default(),
        Err(source) => return Err(InstructionsError::File { path, source }),
    };
    let example = build(root)?;
    let mut now = Record {
        made_with: format!("{}, {valgrind}", compiler()?),
        kinds: Vec::new(),
    };
    println!(
        "{:<14} {:>12} {:>12} {:>7}",
        "kind", "recorded", "now", "ratio"
    );
    let mut grown = Vec::new();
    for kind in &KINDS {
        let count = instructions_of(&example, kind)?;
        let before = recorded.of(kind.name);
        println!("{}", row(kind.name, before, count));
        if matches!(compare(before, count), Verdict::Grown | Verdict::Unknown) {
            grown.push(kind.name);
        }
        now.kinds.push((kind.name.to_owned(), count));
    }
    if records {
        fs::write(&path, now.to_string())
            .map_err(|source| InstructionsError::File { path, source })?;
        println!("recorded in {RECORD}");
        return Ok(());
    }
    if recorded.made_with != now.made_with {
        println!(
            "WARN the record was made with {}, this is {}: nothing is held against it",
            recorded.made_with, now.made_with
        );
        return Ok(());
    }
    if grown.is_empty() {
        return Ok(());
    }
    Err(InstructionsError::Grown { kinds: grown })
}

/// Builds the example as the simulator is built; where it is then.
fn build(root: &Path) -> Result<PathBuf, InstructionsError> {
    let arguments = "build --release --locked -p ringhold-sim --example instructions \
                     --message-format json-render-diagnostics";
    let mut cargo = Command::new(metadata::cargo());
    let stdout = output_of(
        cargo
            .current_dir(root)
            .args(arguments.split_whitespace())
            .stderr(std::process::Stdio::inherit()),
    )?
    .0;
    let built = stdout.lines().rev().find_map(executable_in);
    built.ok_or_else(|| InstructionsError::Ended {
        program: "cargo build".to_owned(),
        stderr: "it names no executable".to_owned(),
    })
}

/// The executable of cargo's message, if it is of one.
fn executable_in(message: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    Some(message.get("executable")?.as_str()?.into())
}

fn instructions_of(example: &Path, kind: &Kind) -> Result<u64, InstructionsError> {
    let [few, many] = kind.counts;
    let (few_total, many_total) = (
        total_of(example, kind.name, few)?,
        total_of(example, kind.name, many)?,
    );
    let difference = many_total.checked_sub(few_total).filter(|more| *more > 0);
    let difference = difference.ok_or(InstructionsError::NoDifference { kind: kind.name })?;
    Ok(difference / (many - few))
}

fn total_of(example: &Path, name: &'static str, count: u64) -> Result<u64, InstructionsError> {
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args([
            "--tool=cachegrind",
            "--cache-sim=no",
            "--cachegrind-out-file=/dev/null",
        ])
        .arg(example)
        .args([name, &count.to_string()])
        // What is in the environment lies on the stack, and moves what is aligned there.
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    let stderr = output_of(&mut valgrind)?.1;
    total_in(&stderr).ok_or(InstructionsError::NoTotal { kind: name })
}

/// Standard output and standard error.
fn output_of(command: &mut Command) -> Result<(String, String), InstructionsError> {
    let program = format!("{command:?}");
    let output = match command.output() {
        Ok(output) => output,
        Err(source) => return Err(InstructionsError::NotStarted { program, source }),
    };
    let [stdout, stderr] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    if output.status.success() {
        Ok((stdout, stderr))
    } else {
        Err(InstructionsError::Ended { program, stderr })
    }
}

/// Its version and the architecture, in a line.
fn compiler() -> Result<String, InstructionsError> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let (version, _) = output_of(Command::new(rustc).arg("--version"))?;
    Ok(format!("{} {}", version.trim(), std::env::consts::ARCH))
}

/// None where it is not installed.
fn valgrind_version() -> Option<String> {
    let (version, _) = output_of(Command::new("valgrind").arg("--version")).ok()?;
    Some(version.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_percent_is_allowed_and_no_more() {
        for (recorded, now, verdict) in [
            (1_000, 1_000, Verdict::Same),
            (1_000, 1_050, Verdict::Same),
            (1_000, 1_051, Verdict::Grown),
            (1_000, 950, Verdict::Same),
            (1_000, 949, Verdict::Shrunk),
            (0, 1, Verdict::Grown),
            (u64::MAX, u64::MAX, Verdict::Same),
        ] {
            assert_eq!(compare(Some(recorded), now), verdict, "{recorded} {now}");
        }
        assert_eq!(compare(None, 7), Verdict::Unknown);
    }

    #[test]
    fn a_record_reads_back() {
        let record = Record {
            made_with: "rustc 1.95.0 x86_64, valgrind-3.19.0".to_owned(),
            kinds: vec![("put".to_owned(), 700_000), ("get".to_owned(), 5)],
        };
        let text = record.to_string();
        assert_eq!(Record::parse(&text).expect("as it is written"), record);
        assert_eq!(record.of("put"), Some(700_000));
        assert_eq!(record.of("list"), None);
        for broken in ["put", "put many", "put -3"] {
            let error = Record::parse(&format!("{text}{broken}\n"));
            let expected =
                matches!(&error, Err(InstructionsError::Malformed { line }) if line == broken);
            assert!(expected, "{error:?}");
        }
    }

    #[test]
    fn the_record_of_this_tree_has_every_kind() {
        let record = Record::parse(include_str!("../../crates/ringhold-sim/instructions.txt"));
        let record = record.expect("as it is written");
        let names: Vec<_> = record.kinds.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, KINDS.map(|kind| kind.name));
        assert!(record.made_with.starts_with("rustc "), "{record}");
    }

    #[test]
    fn the_total_is_found_in_what_valgrind_says() {
        let said = "==7== Cachegrind, a profiler\n==7== \n==7== I   refs:      1,234,567\n";
        assert_eq!(total_in(said), Some(1_234_567));
        assert_eq!(total_in("==7== I refs:        89\n"), Some(89));
        assert_eq!(total_in("valgrind: no such file\n"), None);
    }

    #[test]
    fn a_row_says_what_became_of_it() {
        let squeezed = |recorded, now| {
            let row = row("put", recorded, now);
            row.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(squeezed(Some(1_000), 1_002), "put 1000 1002 1.002");
        assert_eq!(squeezed(Some(1_000), 2_010), "put 1000 2010 2.010 GREW");
        assert_eq!(
            squeezed(Some(1_000), 500),
            "put 1000 500 0.500 shrank: lower the record"
        );
        assert_eq!(squeezed(None, 7), "put - 7 - not in the record");
    }

    #[test]
    fn the_executable_is_found_in_what_cargo_says() {
        let built = r#"{"reason":"compiler-artifact","executable":"/t/release/x"}"#;
        assert_eq!(executable_in(built), Some("/t/release/x".into()));
        let library = r#"{"reason":"compiler-artifact","executable":null}"#;
        assert_eq!(executable_in(library), None);
        assert_eq!(executable_in("warning: no JSON"), None);
    }
}
