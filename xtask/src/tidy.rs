//! Tidy: every rule of the house that the compiler and clippy cannot hold, over the whole tree.
//!
//! This file reads files and asks the checkers; each rule is decided elsewhere, on values:
//! `walls` (dependencies), `sizes`, `habits` (words), `layout` (files that must be there),
//! `decisions` (their form). The tree is read as it stands, tracked or not, so a new file is held to
//! the rules before it is committed.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::decisions;
use crate::exceptions;
use crate::finding::{Finding, Severity};
use crate::habits;
use crate::layout;
use crate::metadata::{MetadataError, Workspace};
use crate::sizes;
use crate::source::Source;
use crate::walls;

/// How many places may expect unsafe code: one opens LMDB, one asks for pages of its map.
const UNSAFE_EXPECTATIONS: usize = 2;

/// Endings of files that are text, and ours, and not Rust.
const TEXT_ENDINGS: [&str; 4] = ["md", "toml", "txt", "sh"];

/// Text files without an ending.
const TEXT_NAMES: [&str; 2] = ["ci", "run"];

/// Why the tree could not be checked.
#[derive(Debug)]
pub(crate) enum TidyError {
    /// A file or folder could not be read.
    Unreadable { path: PathBuf, source: io::Error },
    /// Cargo could not describe the workspace.
    Metadata(MetadataError),
}

impl fmt::Display for TidyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Metadata(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for TidyError {}

/// What all rules together found.
pub(crate) struct Report {
    pub(crate) findings: Vec<Finding>,
    pub(crate) files: usize,
}

impl Report {
    pub(crate) fn count(&self, severity: Severity) -> usize {
        let findings = self.findings.iter();
        findings
            .filter(|finding| finding.severity == severity)
            .count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        let errors = self.count(Severity::Error);
        let warnings = self.count(Severity::Warning);
        write!(
            f,
            "tidy: {} files, {errors} errors, {warnings} warnings",
            self.files
        )
    }
}

/// Checks the workspace at `root`. Changes nothing.
pub(crate) fn check(root: &Path) -> Result<Report, TidyError> {
    let workspace = Workspace::load(root).map_err(TidyError::Metadata)?;
    let paths = files(root)?;
    let mut findings = walls::check(&workspace);
    findings.extend(layout::check(&crate_folders(&paths), &paths));

    let mut sources = Vec::new();
    let mut notes = Vec::new();
    for path in &paths {
        if path.ends_with(".rs") {
            sources.push(Source::new(path, &read(root, path)?));
        } else if is_text(path) {
            let text = read(root, path)?;
            findings.extend(habits::check_text(path, &text));
            if path.starts_with(decisions::FOLDER) {
                notes.push((path.as_str(), text));
            }
        }
    }
    findings.extend(decisions::check(&notes));
    for source in &sources {
        findings.extend(sizes::check(source));
        findings.extend(habits::check(source));
    }
    findings.extend(unsafe_expectations(&sources));

    let mut findings = exceptions::apply(&read(root, exceptions::PATH)?, findings);
    findings.sort();
    Ok(Report {
        findings,
        files: paths.len(),
    })
}

/// More or fewer expectations of unsafe code than are known.
fn unsafe_expectations(sources: &[Source]) -> Vec<Finding> {
    let places: Vec<_> = sources
        .iter()
        .flat_map(|source| {
            let lines = habits::unsafe_expectations(source).into_iter();
            lines.map(|line| (source.path.as_str(), line))
        })
        .collect();
    if places.len() == UNSAFE_EXPECTATIONS {
        return Vec::new();
    }
    let message = format!(
        "unsafe code is expected in {} places, not in {UNSAFE_EXPECTATIONS}",
        places.len()
    );
    if places.is_empty() {
        return vec![Finding::error("Cargo.toml", 0, "unsafe-expected", message)];
    }
    places
        .into_iter()
        .map(|(path, line)| Finding::error(path, line, "unsafe-expected", message.clone()))
        .collect()
}

/// The folders that hold a `Cargo.toml`, apart from the root.
fn crate_folders(paths: &[String]) -> Vec<String> {
    let folders = paths
        .iter()
        .filter_map(|path| path.strip_suffix("/Cargo.toml"));
    folders.map(str::to_owned).collect()
}

fn is_text(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.rsplit_once('.') {
        Some((_, ending)) => TEXT_ENDINGS.contains(&ending),
        None => TEXT_NAMES.contains(&name),
    }
}

/// All files below `root` but for build output and git's own, sorted, with `/`.
fn files(root: &Path) -> Result<Vec<String>, TidyError> {
    let mut found = Vec::new();
    let mut waiting = vec![(root.to_owned(), String::new())];
    while let Some((folder, prefix)) = waiting.pop() {
        let unreadable = |source| TidyError::Unreadable {
            path: folder.clone(),
            source,
        };
        for entry in fs::read_dir(&folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type().map_err(unreadable)?;
            if kind.is_file() {
                found.push(path);
            } else if kind.is_dir() && !is_skipped(&path) {
                waiting.push((entry.path(), format!("{path}/")));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn is_skipped(folder: &str) -> bool {
    [".git", "target", "data/tmp"].contains(&folder) || folder.ends_with("/target")
}

fn read(root: &Path, path: &str) -> Result<String, TidyError> {
    let path = root.join(path);
    fs::read_to_string(&path).map_err(|source| TidyError::Unreadable { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_code_is_expected_in_known_places() {
        let expecting =
            |path| Source::new(path, "#[expect(unsafe_code, reason = \"x\")]\nfn f() {}\n");
        let quiet = || Source::new("quiet.rs", "fn f() {}\n");
        let places = |sources: &[Source]| {
            let findings = unsafe_expectations(sources).into_iter();
            findings.map(|finding| finding.path).collect::<Vec<_>>()
        };
        let [a, b, c] = ["a.rs", "b.rs", "c.rs"];
        assert_eq!(places(&[expecting(a), expecting(b), quiet()]), [""; 0]);
        assert_eq!(places(&[quiet()]), ["Cargo.toml"]);
        assert_eq!(places(&[expecting(a), quiet()]), [a]);
        assert_eq!(
            places(&[expecting(a), expecting(b), expecting(c)]),
            [a, b, c]
        );
    }

    #[test]
    fn text_is_told_by_its_name() {
        for path in [
            "README.md",
            "crates/x/clippy.toml",
            "ci",
            ".ci/run",
            "xtask/exceptions.txt",
        ] {
            assert!(is_text(path), "{path}");
        }
        for path in [
            "Cargo.lock",
            "data/journey/products.csv",
            "crates/x/tests/golden/a.bin",
        ] {
            assert!(!is_text(path), "{path}");
        }
    }

    #[test]
    fn crates_are_where_manifests_are() {
        let paths = ["Cargo.toml", "crates/x/Cargo.toml", "xtask/Cargo.toml"].map(str::to_owned);
        assert_eq!(crate_folders(&paths), ["crates/x", "xtask"]);
    }
}
