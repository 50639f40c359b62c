//! Decision notes: that each has the form which `docs/decisions/0001` sets out.
//!
//! A note is worth keeping if it can be found by its question and doubted by its evidence. So the
//! file is `NNNN-some-question.md` with a number of its own, the heading ends with a question
//! mark, and a section names what shows the answer. Whether the answer is good, people judge.

use crate::finding::Finding;

/// The folder of the notes, from the workspace's root.
pub(crate) const FOLDER: &str = "docs/decisions/";

/// The heading of the section that names a test, a measurement or a reference.
const EVIDENCE: &str = "## What shows it";

/// `notes` are (path, text), in the order of their paths.
pub(crate) fn check(notes: &[(&str, String)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut last_number = None;
    for (path, text) in notes {
        let mut find = |what: &str| {
            findings.push(Finding::error(path, 0, "decision", what.to_owned()));
        };
        let number = number_of(path);
        match number {
            None => find("a note is named NNNN-the-question.md"),
            Some(_) if number == last_number => find("another note has the same number"),
            Some(_) => last_number = number,
        }
        let heading = text.lines().next().unwrap_or_default();
        if !(heading.starts_with("# ") && heading.ends_with('?')) {
            find("a note's heading is its question");
        }
        if !text.lines().any(|line| line == EVIDENCE) {
            find("a note has a section `What shows it`");
        }
    }
    findings
}

/// The four digits of `docs/decisions/NNNN-words.md`.
fn number_of(path: &str) -> Option<&str> {
    let name = path.strip_prefix(FOLDER)?.strip_suffix(".md")?;
    let (number, words) = name.split_once('-')?;
    let numbered = number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit());
    (numbered && !words.is_empty()).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# Is it so?\n\nYes.\n\n## What shows it\n\nA test.\n";

    fn check_notes(notes: &[(&str, &str)], expected: &[&str]) {
        let notes: Vec<_> = notes
            .iter()
            .map(|(path, text)| (*path, (*text).to_owned()))
            .collect();
        let findings = check(&notes);
        let found: Vec<_> = findings
            .iter()
            .map(|finding| finding.message.as_str())
            .collect();
        assert_eq!(found, expected, "{notes:?}");
    }

    #[test]
    fn a_note_is_a_question_with_evidence() {
        let path = "docs/decisions/0002-is-it-so.md";
        check_notes(&[(path, GOOD)], &[]);
        let heading = GOOD.replace('?', "");
        check_notes(&[(path, &heading)], &["a note's heading is its question"]);
        let evidence = GOOD.replace("## What", "What");
        check_notes(
            &[(path, &evidence)],
            &["a note has a section `What shows it`"],
        );
    }

    #[test]
    fn a_note_has_a_number_of_its_own() {
        let named = "a note is named NNNN-the-question.md";
        check_notes(&[("docs/decisions/2-is-it-so.md", GOOD)], &[named]);
        check_notes(&[("docs/decisions/0002.md", GOOD)], &[named]);
        let twice = [
            ("docs/decisions/0002-a.md", GOOD),
            ("docs/decisions/0002-b.md", GOOD),
        ];
        check_notes(&twice, &["another note has the same number"]);
    }
}
