//! Layout: the files that each crate must bring along.
//!
//! A crate brings its own `clippy.toml`, since the nearest one replaces the root's and a crate
//! without one would silently lose every ban. A crate whose bytes outlive a process (on disk, or
//! between two versions on the wire) brings golden files, bytes written once that every later
//! version must read; an empty folder of them shows nothing.

use crate::finding::Finding;

/// Crates whose formats outlive a process.
const FORMATS: [&str; 2] = ["crates/ringhold-storage", "crates/ringhold-wire"];

/// `paths` are all files of the workspace, from its root, with `/`; `crates` the folders of crates.
pub(crate) fn check(crates: &[String], paths: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for folder in crates.iter().filter(|folder| folder.starts_with("crates/")) {
        if !paths.contains(&format!("{folder}/clippy.toml")) {
            let message = "the crate has no clippy.toml, so nothing is banned in it".to_owned();
            findings.push(Finding::error(folder, 0, "clippy-toml", message));
        }
    }
    for folder in FORMATS
        .iter()
        .filter(|format| crates.iter().any(|folder| folder == *format))
    {
        if !paths.iter().any(|path| is_golden(path, folder)) {
            let message = "the crate has a format and no golden file (tests/golden/)".to_owned();
            findings.push(Finding::error(folder, 0, "golden", message));
        }
    }
    findings
}

/// A file below a folder `golden` of the crate's tests; hidden files keep empty folders only.
fn is_golden(path: &str, folder: &str) -> bool {
    let Some(test) = path.strip_prefix(&format!("{folder}/tests/")) else {
        return false;
    };
    let hidden = test
        .rsplit('/')
        .next()
        .is_some_and(|name| name.starts_with('.'));
    !hidden && (test.starts_with("golden/") || test.contains("/golden/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(folder: &str, paths: &[&str]) -> Vec<&'static str> {
        let paths: Vec<_> = paths
            .iter()
            .map(|path| format!("{folder}/{path}"))
            .collect();
        let findings = check(&[folder.to_owned()], &paths);
        findings.into_iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn every_crate_bans_for_itself() {
        assert_eq!(rules("crates/ringhold-node", &["clippy.toml"]), [""; 0]);
        assert_eq!(
            rules("crates/ringhold-node", &["src/clippy.toml"]),
            ["clippy-toml"]
        );
        assert_eq!(rules("xtask", &[]), [""; 0]);
    }

    #[test]
    fn a_format_has_golden_files() {
        let check = |path| rules("crates/ringhold-wire", &["clippy.toml", path]);
        assert_eq!(check("tests/golden/object-v1.bin"), [""; 0]);
        assert_eq!(check("tests/it/golden/object-v1.bin"), [""; 0]);
        assert_eq!(check("tests/golden/.gitkeep"), ["golden"]);
        assert_eq!(check("tests/it/golden.rs"), ["golden"]);
    }
}
