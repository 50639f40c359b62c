//! Sizes: how long a file and a function may grow.
//!
//! A file of 600 lines is a room that wants splitting, a function of 100 lines hides a decision
//! inside its doing. Both bounds have a softer one that only warns, so that growth is seen while it
//! is cheap to answer. Tests are not counted: tables of cases may be as long as they like.

use crate::finding::Finding;
use crate::source::{Source, body_start, closing, line_of};

const FILE_LINES_MAX: usize = 600;
const FILE_LINES_WARN: usize = 500;
const FUNCTION_LINES_MAX: usize = 100;
const FUNCTION_LINES_WARN: usize = 70;

pub(crate) fn check(source: &Source) -> Vec<Finding> {
    if source.is_generated() {
        return Vec::new();
    }
    let mut findings: Vec<_> = file_length(source).into_iter().collect();
    findings.extend(function_lengths(source));
    findings
}

fn file_length(source: &Source) -> Option<Finding> {
    let lines = source.lines().filter(|line| !line.in_test).count();
    let message = format!("{lines} lines without tests, at most {FILE_LINES_MAX}");
    match lines {
        _ if lines > FILE_LINES_MAX => {
            Some(Finding::error(&source.path, 0, "file-length", message))
        }
        _ if lines > FILE_LINES_WARN => {
            Some(Finding::warning(&source.path, 0, "file-length", message))
        }
        _ => None,
    }
}

fn function_lengths(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for function in functions(&source.code) {
        if source.is_test_line(function.line) || function.lines <= FUNCTION_LINES_WARN {
            continue;
        }
        let Function { name, line, lines } = function;
        let message = format!("fn {name} has {lines} lines, at most {FUNCTION_LINES_MAX}");
        findings.push(if lines > FUNCTION_LINES_MAX {
            Finding::error(&source.path, line, "function-length", message)
        } else {
            Finding::warning(&source.path, line, "function-length", message)
        });
    }
    findings
}

struct Function<'a> {
    name: &'a str,
    line: usize,
    /// From the line of `fn` to the line of the closing brace, both counted.
    lines: usize,
}

/// Every named function with a body. `code` is masked, so braces are code.
fn functions(code: &str) -> Vec<Function<'_>> {
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    for (start, keyword) in code.match_indices("fn ") {
        let preceded = start > 0 && is_word(bytes[start - 1]);
        let after = code[start + keyword.len()..].trim_start();
        let length = after.bytes().take_while(|&byte| is_word(byte)).count();
        if preceded || length == 0 {
            continue;
        }
        let Some(open) = body_start(bytes, start).filter(|&open| bytes[open] == b'{') else {
            continue;
        };
        let end = closing(bytes, open).unwrap_or(bytes.len());
        let line = line_of(bytes, start);
        found.push(Function {
            name: &after[..length],
            line,
            lines: line_of(bytes, end - 1) - line + 1,
        });
    }
    found
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Severity;

    fn function_of(lines: usize) -> String {
        format!("fn long() {{\n{}}}\n", "    x();\n".repeat(lines - 2))
    }

    fn severities(path: &str, text: &str) -> Vec<Severity> {
        let findings = check(&Source::new(path, text));
        findings.iter().map(|finding| finding.severity).collect()
    }

    #[test]
    fn functions_are_measured_from_signature_to_brace() {
        let text = "fn one() {}\nfn three(\n    x: [u8; 2],\n) {\n}\ntrait T { fn none(&self); }\n";
        let found: Vec<_> = functions(text)
            .iter()
            .map(|f| (f.name, f.line, f.lines))
            .collect();
        assert_eq!(found, [("one", 1, 1), ("three", 2, 4)]);
    }

    #[test]
    fn function_pointers_are_not_functions() {
        assert!(functions("struct S { call: fn (u8) -> u8 }\n").is_empty());
    }

    #[test]
    fn long_functions_warn_then_fail() {
        let path = "crates/x/src/lib.rs";
        assert_eq!(severities(path, &function_of(70)), []);
        assert_eq!(severities(path, &function_of(71)), [Severity::Warning]);
        assert_eq!(severities(path, &function_of(100)), [Severity::Warning]);
        assert_eq!(severities(path, &function_of(101)), [Severity::Error]);
    }

    #[test]
    fn long_files_warn_then_fail_and_tests_do_not_count() {
        let path = "crates/x/src/lib.rs";
        assert_eq!(severities(path, &"x\n".repeat(500)), []);
        assert_eq!(severities(path, &"x\n".repeat(501)), [Severity::Warning]);
        assert_eq!(severities(path, &"x\n".repeat(601)), [Severity::Error]);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "x\n".repeat(900));
        assert_eq!(severities(path, &tests), []);
        assert_eq!(
            severities("crates/x/tests/it/main.rs", &"x\n".repeat(900)),
            []
        );
    }
}
