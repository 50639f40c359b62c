//! Regular expressions over terms.
//!
//! Whoever may query may send any pattern, so matching has to take time in proportion to the term, and a pattern no more memory than it is given. The
//! library sees to both; it knows no references back and no looking around, and a pattern with them is refused. Matching is bytewise: terms are bytes.

use regex::bytes::{Regex, RegexBuilder};

/// No pattern takes more memory, in bytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;
/// Groups in groups, at most.
const DEPTH_MAX: u32 = 64;

/// A pattern that is ready to be looked for.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(Regex);

impl Pattern {
    /// None if it is no pattern, or one that is too large.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let pattern = RegexBuilder::new(text)
            .unicode(false)
            .size_limit(PATTERN_BYTES_MAX)
            .nest_limit(DEPTH_MAX)
            .build();
        pattern.ok().map(Self)
    }

    /// Whether it is anywhere in these bytes.
    pub(crate) fn is_in(&self, bytes: &[u8]) -> bool {
        self.0.is_match(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_perl_says() {
        let rows: &[(&str, &[&str], &[&str])] = &[
            ("", &["", "a"], &[]),
            ("ab", &["ab", "xaby"], &["a", "b", "ba"]),
            ("^a.c$", &["abc", "a-c"], &["xabc", "abcx", "ac"]),
            ("a|b", &["a", "b", "xb"], &["c"]),
            (
                "^(foo|ba[rz])+$",
                &["foo", "barbaz", "foobar"],
                &["", "ba", "foox"],
            ),
            ("^a*$", &["", "aaa"], &["ab"]),
            ("^a+?$", &["a", "aaa"], &[""]),
            ("^a{2,3}$", &["aa", "aaa"], &["a", "aaaa"]),
            ("^a{2}$", &["aa"], &["a", "aaa"]),
            ("^a{2,}$", &["aa", "aaaaa"], &["a"]),
            ("^(a{0,2}){2}$", &["", "aaaa"], &["aaaaa"]),
            ("[^0-9]", &["1a"], &["123", ""]),
            (r"^\d{4}-\d\d$", &["2026-11"], &["2026-1", "x"]),
            ("^[]a-]+$", &["]a-"], &["b"]),
            (r"^\.\*$", &[".*"], &["ab"]),
            ("^(?:a|)b$", &["ab", "b"], &["bb"]),
            ("^(a*)*$", &["", "aaa"], &["b"]),
            ("^.$", &["x"], &["", "xx"]),
        ];
        for (text, matching, others) in rows {
            let pattern = Pattern::parse(text).unwrap_or_else(|| panic!("{text}"));
            for term in *matching {
                assert!(pattern.is_in(term.as_bytes()), "{text} {term}");
            }
            for term in *others {
                assert!(!pattern.is_in(term.as_bytes()), "{text} {term}");
            }
        }
    }

    #[test]
    fn what_is_not_understood_or_too_large_is_refused() {
        let deep = "(".repeat(100) + &")".repeat(100);
        let many = [
            "(a",
            "(",
            ")",
            "[a",
            "*",
            r"\1",
            "(?=a)",
            "a{3,2}",
            "[b-a]",
            r"\",
            "a)",
            &deep,
            "(((a{99}){99}){99})",
        ];
        for text in many {
            assert!(Pattern::parse(text).is_none(), "{text}");
        }
    }

    /// What makes those that go back take a century.
    #[test]
    fn no_pattern_takes_long() {
        let pattern = Pattern::parse("^(a|a|aa)*(a+)+$").expect("a pattern");
        assert!(!pattern.is_in(&[&vec![b'a'; 5_000][..], b"b"].concat()));
    }
}
