//! Habits: what the words of a source file must and must not say.
//!
//! | rule | holds in | because |
//! | --- | --- | --- |
//! | `essay` | `src/` | a module opens with what it is and what it is not |
//! | `ignored-test` | all | a test that does not run shows nothing |
//! | `unfinished` | all | `todo!` compiles and then stops a node |
//! | `sleeping-test` | tests | a test that waits for time is slow and still wrong on a slow machine |
//! | `machine-path` | all but tests | a path of one machine is wrong on the next |
//! | `lint-reason` | all | a lint that is switched off says why |
//! | `unsafe-allowed` | all | unsafe code is expected, with a reason, never allowed |
//!
//! Clippy knows neither tests by folder nor essays, so these are ours. What clippy can hold (types,
//! functions and macros that a crate bans) is in each crate's `clippy.toml` instead.

use crate::finding::Finding;
use crate::source::Source;

/// Built from pieces, so that this file does not find itself.
const MACHINE_PATHS: [&str; 3] = [
    concat!("/", "work", "/"),
    concat!("/", "root", "/"),
    concat!("/", "tmp", "/"),
];

const SLEEPS: [&str; 2] = ["thread::sleep", "time::sleep"];

pub(crate) fn check(source: &Source) -> Vec<Finding> {
    if source.is_generated() {
        return machine_paths(source);
    }
    let mut findings: Vec<_> = essay(source).into_iter().collect();
    findings.extend(unfinished(source));
    findings.extend(sleeping_tests(source));
    findings.extend(machine_paths(source));
    findings.extend(lint_attributes(source));
    findings
}

fn essay(source: &Source) -> Option<Finding> {
    let in_src = source.path.contains("/src/");
    if !in_src || source.text.starts_with("//!") {
        return None;
    }
    let message = "the module does not open with its essay (//!)".to_owned();
    Some(Finding::error(&source.path, 1, "essay", message))
}

fn unfinished(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for line in source.lines() {
        let mut find = |rule, word: &str| {
            findings.push(Finding::error(
                &source.path,
                line.number,
                rule,
                format!("{word} is left"),
            ));
        };
        if line.code.contains("#[ignore") {
            find("ignored-test", "#[ignore]");
        }
        for word in ["todo!", "unimplemented!"] {
            if line.code.contains(word) {
                find("unfinished", word);
            }
        }
    }
    findings
}

fn sleeping_tests(source: &Source) -> Vec<Finding> {
    let tests = source.lines().filter(|line| line.in_test);
    let sleeping = tests.filter(|line| SLEEPS.iter().any(|sleep| line.code.contains(sleep)));
    let message = "a test sleeps: wait for the event, or move the clock".to_owned();
    sleeping
        .map(|line| Finding::error(&source.path, line.number, "sleeping-test", message.clone()))
        .collect()
}

fn machine_paths(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for line in source.lines().filter(|line| !line.in_test) {
        for path in MACHINE_PATHS
            .iter()
            .filter(|path| names_path(line.text, path))
        {
            let message = format!("{path} is a path of one machine");
            findings.push(Finding::error(
                &source.path,
                line.number,
                "machine-path",
                message,
            ));
        }
    }
    findings
}

/// The same rule for text that is not Rust; temporary folders may be named there.
pub(crate) fn check_text(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for machine in MACHINE_PATHS[..2]
            .iter()
            .filter(|machine| names_path(line, machine))
        {
            let message = format!("{machine} is a path of one machine");
            findings.push(Finding::error(path, index + 1, "machine-path", message));
        }
    }
    findings
}

/// Whether `line` has `path` from the root, not as the middle of another path.
fn names_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && !"._-/}>".contains(c))
    })
}

fn lint_attributes(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, attribute) in source.attributes() {
        let allows = names_call(attribute, "allow");
        if !allows && !names_call(attribute, "expect") {
            continue;
        }
        if allows && attribute.contains("unsafe_code") {
            let message = "unsafe code is expected with a reason, not allowed".to_owned();
            findings.push(Finding::error(
                &source.path,
                line,
                "unsafe-allowed",
                message,
            ));
        }
        if !attribute.contains("reason") {
            let message = "a lint is switched off without `reason = …`".to_owned();
            findings.push(Finding::error(&source.path, line, "lint-reason", message));
        }
    }
    findings
}

/// The lines that expect unsafe code. The tree as a whole has as many as are known.
pub(crate) fn unsafe_expectations(source: &Source) -> Vec<usize> {
    let attributes = source.attributes().into_iter();
    attributes
        .filter(|(_, text)| names_call(text, "expect") && text.contains("unsafe_code"))
        .map(|(line, _)| line)
        .collect()
}

/// Whether `attribute` holds `name(`, as a whole word: `#[should_panic(expected …)]` has no `expect(`.
fn names_call(attribute: &str, name: &str) -> bool {
    attribute.match_indices(&format!("{name}(")).any(|(at, _)| {
        let before = attribute[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIBRARY: &str = "crates/x/src/lib.rs";
    const TEST: &str = "crates/x/tests/it/main.rs";

    fn check_rules(path: &str, text: &str, expected: &[&str]) {
        let found: Vec<_> = check(&Source::new(path, text))
            .iter()
            .map(|f| f.rule)
            .collect();
        assert_eq!(found, expected, "{path}: {text}");
    }

    #[test]
    fn a_module_opens_with_its_essay() {
        check_rules(LIBRARY, "//! What it is.\nfn f() {}\n", &[]);
        check_rules(LIBRARY, "fn f() {}\n", &["essay"]);
        check_rules(LIBRARY, "\n//! Late.\n", &["essay"]);
        check_rules(LIBRARY, "", &["essay"]);
        check_rules(TEST, "fn f() {}\n", &[]);
    }

    #[test]
    fn nothing_is_left_unfinished() {
        check_rules(LIBRARY, "//! A.\nfn f() { todo!() }\n", &["unfinished"]);
        check_rules(
            LIBRARY,
            "//! A.\n// todo! and #[ignore]\nconst A: &str = \"todo!\";\n",
            &[],
        );
        check_rules(
            TEST,
            "#[test]\n#[ignore = \"slow\"]\nfn f() {}\n",
            &["ignored-test"],
        );
    }

    #[test]
    fn tests_do_not_sleep() {
        check_rules(
            TEST,
            "fn f() { std::thread::sleep(x); }\n",
            &["sleeping-test"],
        );
        check_rules(TEST, "use tokio::time::sleep;\n", &["sleeping-test"]);
        check_rules(
            TEST,
            "async fn f() { tokio::time::sleep_until(x).await }\n",
            &["sleeping-test"],
        );
        check_rules(LIBRARY, "//! A.\nfn f() { std::thread::sleep(x); }\n", &[]);
        let unit = "//! A.\n#[cfg(test)]\nmod tests {\n    fn f() { std::thread::sleep(x); }\n}\n";
        check_rules(LIBRARY, unit, &["sleeping-test"]);
    }

    #[test]
    fn no_path_of_one_machine() {
        for machine in MACHINE_PATHS {
            let text = format!("//! A.\nconst A: &str = \"{machine}x\"; // {machine}\n");
            check_rules(LIBRARY, &text, &["machine-path"]);
            check_rules(TEST, &text, &[]);
        }
        check_rules(
            LIBRARY,
            "//! See data/tmp/x and https://host/work/x.\n",
            &[],
        );
        assert_eq!(
            check_text("a.md", &format!("see `{}x`", MACHINE_PATHS[0])).len(),
            1
        );
        assert_eq!(
            check_text("a.md", &format!("see `{}x`", MACHINE_PATHS[2])).len(),
            0
        );
    }

    #[test]
    fn a_lint_is_switched_off_with_a_reason() {
        check_rules(TEST, "#[allow(dead_code)]\nfn f() {}\n", &["lint-reason"]);
        check_rules(TEST, "#![expect(dead_code)]\nfn f() {}\n", &["lint-reason"]);
        check_rules(
            TEST,
            "#[cfg_attr(test, allow(dead_code))]\nfn f() {}\n",
            &["lint-reason"],
        );
        check_rules(
            TEST,
            "#[expect(dead_code, reason = \"shown later\")]\nfn f() {}\n",
            &[],
        );
        check_rules(TEST, "#[should_panic(expected = \"x\")]\nfn f() {}\n", &[]);
        check_rules(TEST, "fn f() { x.expect(\"y\"); }\n", &[]);
    }

    #[test]
    fn unsafe_code_is_expected_never_allowed() {
        let allowed = "#[allow(unsafe_code, reason = \"x\")]\nfn f() {}\n";
        check_rules(TEST, allowed, &["unsafe-allowed"]);
        let expected = "\n#[expect(\n    unsafe_code,\n    reason = \"x\"\n)]\nfn f() {}\n";
        check_rules(TEST, expected, &[]);
        assert_eq!(unsafe_expectations(&Source::new(TEST, expected)), [2]);
        assert_eq!(unsafe_expectations(&Source::new(TEST, allowed)), [0; 0]);
    }
}
