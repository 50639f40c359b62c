//! A finding: one place in the tree that a rule objects to.
//!
//! Checkers return findings and print nothing, so each can be tested on a snippet. An error fails
//! the gate; a warning is shown and passes, for bounds that a file approaches.

use std::fmt;

/// Whether a finding fails the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    Warning,
    Error,
}

/// One objection of one rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    /// From the workspace's root, with `/`.
    pub(crate) path: String,
    /// Counted from 1; 0 where the whole file is meant.
    pub(crate) line: usize,
    /// The rule's short name, to search for.
    pub(crate) rule: &'static str,
    pub(crate) message: String,
}

impl Finding {
    pub(crate) fn error(path: &str, line: usize, rule: &'static str, message: String) -> Self {
        Self {
            severity: Severity::Error,
            path: path.to_owned(),
            line,
            rule,
            message,
        }
    }

    pub(crate) fn warning(path: &str, line: usize, rule: &'static str, message: String) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(path, line, rule, message)
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{}", self.path)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {severity}[{}]: {}", self.rule, self.message)
    }
}
