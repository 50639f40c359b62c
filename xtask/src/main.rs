//! The developer's commands: `cargo run -p xtask -- COMMAND`.
//!
//! | command | what it does |
//! | --- | --- |
//! | `ci [STAGE …]` | the whole gate, or the named stages of it |
//! | `instructions [--record]` | instructions an operation, held against the record, or the record made anew |
//! | `tidy` | the rules that neither the compiler nor clippy holds |
//!
//! Nothing here is part of the product. Checkers take text and return findings (`walls`, `sizes`,
//! `habits`, `layout`, `decisions`, `licences`); `tidy`, `ci` and
//! `instructions` read, run and print. Exit codes: 0 all is well,
//! 1 something was found or failed, 2 wrong usage.

mod ci;
mod decisions;
mod exceptions;
mod finding;
mod habits;
mod instructions;
mod layout;
mod licences;
mod metadata;
mod sizes;
mod source;
mod tidy;
mod walls;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::ci::CiError;
use crate::finding::Severity;

const USAGE: &str = "usage: cargo run -p xtask -- ci [STAGE ...] | instructions [--record] | tidy";
const WRONG_USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((command, stages)) if command == "ci" => run_ci(stages),
        Some((command, [])) if command == "tidy" => run_tidy(),
        Some((command, [])) if command == "instructions" => run_instructions(false),
        Some((command, [record])) if command == "instructions" && record == "--record" => {
            run_instructions(true)
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(WRONG_USAGE)
        }
    }
}

fn run_ci(stages: &[String]) -> ExitCode {
    match ci::run(&root(), stages) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error @ CiError::NoSuchStage { .. }) => {
            eprintln!("{error}");
            ExitCode::from(WRONG_USAGE)
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run_instructions(records: bool) -> ExitCode {
    match instructions::run(&root(), records) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run_tidy() -> ExitCode {
    match tidy::check(&root()) {
        Ok(report) => {
            println!("{report}");
            if report.count(Severity::Error) == 0 {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's root: the folder above this crate's, which cargo names when it runs us; else
/// the current folder.
fn root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let root = manifest.as_deref().and_then(std::path::Path::parent);
    root.map_or_else(|| PathBuf::from("."), PathBuf::from)
}
