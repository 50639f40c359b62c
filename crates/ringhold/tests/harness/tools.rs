//! The programs of the machine that faults are made with.
//!
//! Namespaces, images, packet filters and tracers belong to the system; the harness calls the programs that
//! every administrator knows instead of the kernel, so a run can be understood, and redone, by hand. What is
//! missing is a reason to skip, never a failure: [`Missing`] says what, and which package has it.

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Why something can't be done on this machine. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing(pub(crate) String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a program is. Administrators' folders are looked through too: they may not be on the path.
pub(crate) fn find(program: &str) -> Result<PathBuf, Missing> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let found = folders
        .into_iter()
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file());
    found.ok_or_else(|| Missing(format!("{program} is not installed")))
}

pub(crate) fn is_root() -> Result<(), Missing> {
    let root = rustix::process::geteuid().is_root();
    root.then_some(())
        .ok_or_else(|| Missing("only root may do this".to_owned()))
}

/// Runs a program to its end.
///
/// # Errors
/// If it can't be started or ends badly, with what it said.
pub(crate) fn run<A: AsRef<OsStr>>(program: &str, arguments: &[A]) -> Result<(), Missing> {
    let path = find(program)?;
    let output = Command::new(path)
        .args(arguments)
        .current_dir("/")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Missing(format!("{program} does not start: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let words: Vec<_> = arguments
        .iter()
        .map(|word| word.as_ref().to_string_lossy())
        .collect();
    let said = String::from_utf8_lossy(&output.stderr);
    let (status, words) = (output.status, words.join(" "));
    Err(Missing(format!(
        "{program} {words}: {status}: {}",
        said.trim()
    )))
}

/// What a scenario asked for before it began, and so can be done.
pub(crate) fn must<T>(done: Result<T, Missing>) -> T {
    done.unwrap_or_else(|missing| panic!("{missing}"))
}
