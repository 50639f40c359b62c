//! Licences and sources: a light stand-in for `cargo deny check licenses sources`.
//!
//! Where cargo-deny is not installed, the gate still holds the rule that matters most: every
//! package is under a licence of the list in `deny.toml`, and comes from this workspace or from
//! the registry. It believes the licence that a package declares; cargo-deny also reads the text.
//!
//! A declared licence is an SPDX expression (`MIT OR Apache-2.0`). `OR` needs one side on the list,
//! `AND` both; `AND` binds tighter. Old packages write `/` for `OR`.

use std::fmt;

use crate::finding::Finding;
use crate::metadata::Workspace;

/// An expression that is not SPDX.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ExpressionError {
    /// It ends where a licence or `)` has to follow.
    Ended,
    /// A token stands where it cannot.
    Unexpected { token: String },
}

impl fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("the expression ends too early"),
            Self::Unexpected { token } => write!(f, "`{token}` is unexpected"),
        }
    }
}

impl std::error::Error for ExpressionError {}

/// Checks all packages, also those that only other platforms link.
pub(crate) fn check(workspace: &Workspace, deny_toml: &str) -> Vec<Finding> {
    let allowed = allow_list(deny_toml);
    if allowed.is_empty() {
        let message = "no list `allow` in [licenses]".to_owned();
        return vec![Finding::error("deny.toml", 0, "licence", message)];
    }
    let mut findings = Vec::new();
    for package in &workspace.packages {
        let mut find = |rule, what: String| {
            let message = format!("{} {}: {what}", package.name, package.version);
            findings.push(Finding::error("Cargo.lock", 0, rule, message));
        };
        match package
            .licence
            .as_deref()
            .map(|licence| (licence, permits(licence, &allowed)))
        {
            Some((_, Ok(true))) => {}
            Some((licence, Ok(false))) => find("licence", format!("{licence} is not on the list")),
            Some((licence, Err(error))) => find("licence", format!("{licence}: {error}")),
            None => find("licence", "declares no licence".to_owned()),
        }
        if let Some(source) = package.source.as_deref()
            && !source.starts_with("registry+")
        {
            find("source", format!("comes from {source}"));
        }
    }
    findings
}

/// The strings of `allow = […]` in the section `[licenses]`.
fn allow_list(deny_toml: &str) -> Vec<String> {
    let mut lines = deny_toml.lines().map(str::trim);
    let in_section = lines.any(|line| line == "[licenses]");
    let in_list = in_section && lines.any(|line| line == "allow = [");
    if !in_list {
        return Vec::new();
    }
    let entries = lines.take_while(|line| *line != "]");
    entries
        .filter_map(|line| line.strip_prefix('"')?.split('"').next())
        .map(str::to_owned)
        .collect()
}

/// Whether `expression` can be met with licences of the list alone.
fn permits(expression: &str, allowed: &[String]) -> Result<bool, ExpressionError> {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let mut reader = Reader {
        tokens: spaced.split_whitespace().collect(),
        next: 0,
        allowed,
    };
    let permitted = reader.either()?;
    match reader.take() {
        None => Ok(permitted),
        Some(token) => Err(unexpected(token)),
    }
}

/// Recursive descent; an expression nests as deep as its text is long, and those are short.
struct Reader<'a> {
    tokens: Vec<&'a str>,
    next: usize,
    allowed: &'a [String],
}

impl<'a> Reader<'a> {
    fn either(&mut self) -> Result<bool, ExpressionError> {
        let mut permitted = self.both()?;
        while self.take_if("OR") {
            permitted |= self.both()?;
        }
        Ok(permitted)
    }

    fn both(&mut self) -> Result<bool, ExpressionError> {
        let mut permitted = self.licence()?;
        while self.take_if("AND") {
            permitted &= self.licence()?;
        }
        Ok(permitted)
    }

    fn licence(&mut self) -> Result<bool, ExpressionError> {
        let name = self.take().ok_or(ExpressionError::Ended)?;
        match name {
            "(" => {
                let permitted = self.either()?;
                if self.take_if(")") {
                    return Ok(permitted);
                }
                Err(self.take().map_or(ExpressionError::Ended, unexpected))
            }
            ")" | "OR" | "AND" | "WITH" => Err(unexpected(name)),
            _ if self.take_if("WITH") => {
                let exception = self.take().ok_or(ExpressionError::Ended)?;
                Ok(self.is_allowed(&format!("{name} WITH {exception}")))
            }
            _ => Ok(self.is_allowed(name)),
        }
    }

    fn is_allowed(&self, name: &str) -> bool {
        self.allowed.iter().any(|allowed| allowed == name)
    }

    fn take(&mut self) -> Option<&'a str> {
        let token = self.tokens.get(self.next).copied();
        self.next += 1;
        token
    }

    fn take_if(&mut self, expected: &str) -> bool {
        let found = self.tokens.get(self.next) == Some(&expected);
        self.next += usize::from(found);
        found
    }
}

fn unexpected(token: &str) -> ExpressionError {
    ExpressionError::Unexpected {
        token: token.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::tests::{package, workspace};

    const DENY: &str = "[bans]\nallow = [\n\"GPL-3.0\",\n]\n[licenses]\nallow = [\n    \"MIT\",\n    \
                        \"Apache-2.0 WITH LLVM-exception\",\n]\n[sources]\n";

    fn check_permits(expression: &str, expected: &Result<bool, ExpressionError>) {
        assert_eq!(
            &permits(expression, &allow_list(DENY)),
            expected,
            "{expression}"
        );
    }

    #[test]
    fn the_list_is_read_from_its_section() {
        assert_eq!(allow_list(DENY), ["MIT", "Apache-2.0 WITH LLVM-exception"]);
        assert_eq!(allow_list("[bans]\nallow = [\n\"MIT\",\n]\n"), [""; 0]);
    }

    #[test]
    fn or_needs_one_side_and_needs_both() {
        check_permits("MIT", &Ok(true));
        check_permits("GPL-3.0", &Ok(false));
        check_permits("GPL-3.0 OR MIT", &Ok(true));
        check_permits("GPL-3.0/MIT", &Ok(true));
        check_permits("GPL-3.0 AND MIT", &Ok(false));
        check_permits("MIT OR GPL-3.0 AND GPL-3.0", &Ok(true));
        check_permits("(MIT OR GPL-3.0) AND GPL-3.0", &Ok(false));
        check_permits("Apache-2.0 WITH LLVM-exception", &Ok(true));
        check_permits("Apache-2.0", &Ok(false));
    }

    #[test]
    fn broken_expressions_are_errors() {
        check_permits("", &Err(ExpressionError::Ended));
        check_permits("MIT OR", &Err(ExpressionError::Ended));
        check_permits("(MIT", &Err(ExpressionError::Ended));
        check_permits("MIT MIT", &Err(unexpected("MIT")));
        check_permits("OR MIT", &Err(unexpected("OR")));
        check_permits("(MIT MIT)", &Err(unexpected("MIT")));
    }

    #[test]
    fn packages_are_checked_for_licence_and_source() {
        let mut copyleft = package("copyleft", &[]);
        copyleft["license"] = "GPL-3.0".into();
        let mut silent = package("silent", &[]);
        silent["license"] = serde_json::Value::Null;
        let mut forked = package("forked", &[]);
        forked["source"] = "git+https://example.org/forked".into();
        let packages = [package("fine", &[]), copyleft, silent, forked];
        let found = check(&workspace(&["fine"], &packages), DENY);
        let found: Vec<_> = found
            .iter()
            .map(|finding| finding.message.as_str())
            .collect();
        assert_eq!(
            found,
            [
                "copyleft 1.0.0: GPL-3.0 is not on the list",
                "silent 1.0.0: declares no licence",
                "forked 1.0.0: comes from git+https://example.org/forked",
            ]
        );
    }

    #[test]
    fn an_empty_list_is_not_a_pass() {
        assert_eq!(check(&workspace(&[], &[]), "").len(), 1);
    }
}
