//! Exceptions: the listed places where a rule does not hold.
//!
//! They stand in one file, `xtask/exceptions.txt`, so that a review sees the list grow. Each has a
//! reason, and one that no longer matches anything is an error: the list can only shrink by itself.

use crate::finding::Finding;

/// The list's place, from the workspace's root.
pub(crate) const PATH: &str = "xtask/exceptions.txt";

/// One line of the list.
#[derive(Debug, PartialEq, Eq)]
struct Exception<'a> {
    rule: &'a str,
    /// A file, or a folder that ends with `/`.
    path: &'a str,
    line: usize,
}

impl Exception<'_> {
    fn covers(&self, finding: &Finding) -> bool {
        let in_folder = self.path.ends_with('/') && finding.path.starts_with(self.path);
        self.rule == finding.rule && (in_folder || finding.path == self.path)
    }
}

/// Takes out what the list excuses, and adds what is wrong with the list.
pub(crate) fn apply(list: &str, findings: Vec<Finding>) -> Vec<Finding> {
    let (exceptions, mut objections) = parse(list);
    for exception in &exceptions {
        if !findings.iter().any(|finding| exception.covers(finding)) {
            let message = format!("nothing at {} breaks `{}`", exception.path, exception.rule);
            objections.push(Finding::error(
                PATH,
                exception.line,
                "stale-exception",
                message,
            ));
        }
    }
    let excused = |finding: &Finding| exceptions.iter().any(|exception| exception.covers(finding));
    objections.extend(findings.into_iter().filter(|finding| !excused(finding)));
    objections
}

fn parse(list: &str) -> (Vec<Exception<'_>>, Vec<Finding>) {
    let mut exceptions = Vec::new();
    let mut findings = Vec::new();
    for (index, text) in list.lines().enumerate() {
        let line = index + 1;
        let mut words = text.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (None, ..) => {}
            (Some(first), ..) if first.starts_with('#') => {}
            (Some(rule), Some(path), Some(_)) => exceptions.push(Exception { rule, path, line }),
            _ => {
                let message = "an exception is RULE PATH REASON".to_owned();
                findings.push(Finding::error(PATH, line, "exception-form", message));
            }
        }
    }
    (exceptions, findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(list: &str) -> Vec<(&'static str, String)> {
        let findings = vec![
            Finding::error("crates/x/tests/it/a.rs", 1, "sleeping-test", String::new()),
            Finding::error("crates/x/tests/it/a.rs", 2, "ignored-test", String::new()),
        ];
        let left = apply(list, findings).into_iter();
        left.map(|finding| (finding.rule, finding.path)).collect()
    }

    #[test]
    fn an_exception_covers_its_rule_at_its_path() {
        let ignored = ("ignored-test", "crates/x/tests/it/a.rs".to_owned());
        assert_eq!(left("").len(), 2);
        assert_eq!(
            left("sleeping-test crates/x/tests/ polls a process"),
            std::slice::from_ref(&ignored)
        );
        assert_eq!(
            left("sleeping-test crates/x/tests/it/a.rs polls"),
            [ignored]
        );
    }

    #[test]
    fn an_exception_that_matches_nothing_is_an_error() {
        let stale = ("stale-exception", PATH.to_owned());
        assert!(left("sleeping-test crates/x/src/ polls").contains(&stale));
        assert!(left("sleeping-test crates/x/tests polls").contains(&stale));
    }

    #[test]
    fn an_exception_has_a_reason() {
        let form = ("exception-form", PATH.to_owned());
        assert!(left("sleeping-test crates/x/tests/").contains(&form));
        assert_eq!(left("# a comment\n\n").len(), 2);
    }
}
