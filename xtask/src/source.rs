//! A Rust source file, prepared for rules that look at text.
//!
//! Rules ask for words (`sleep`, `allow(`) and count braces. Both go wrong on comments and string
//! literals, so a source carries its *code*: the same text, line by line, with comments and the
//! insides of literals blanked out. And it knows which of its lines are tests, since many rules
//! hold for one side only.
//!
//! The lexer knows comments (nested), strings (raw, byte, C), characters and lifetimes; the rules
//! need no more. A parser would be a dependency, and would refuse files that do not compile yet.

/// One file and what the rules need to know of it.
pub(crate) struct Source {
    /// From the workspace's root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// `text` with comments and the insides of literals as spaces; as many lines.
    pub(crate) code: String,
    /// For each line whether it belongs to a test.
    test_lines: Vec<bool>,
}

/// One line, seen three ways.
pub(crate) struct Line<'a> {
    /// Counted from 1.
    pub(crate) number: usize,
    pub(crate) text: &'a str,
    pub(crate) code: &'a str,
    pub(crate) in_test: bool,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code = mask(text);
        let test_lines = if is_test_path(path) {
            vec![true; text.lines().count()]
        } else {
            mark_test_items(&code)
        };
        assert_eq!(
            code.lines().count(),
            text.lines().count(),
            "{path}: masking keeps lines"
        );
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code,
            test_lines,
        }
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let pairs = self.text.lines().zip(self.code.lines()).enumerate();
        pairs.map(|(index, (text, code))| Line {
            number: index + 1,
            text,
            code,
            in_test: self.is_test_line(index + 1),
        })
    }

    /// `number` is counted from 1.
    pub(crate) fn is_test_line(&self, number: usize) -> bool {
        self.test_lines
            .get(number.wrapping_sub(1))
            .copied()
            .unwrap_or(false)
    }

    /// Generated code is committed and checked against its generator, not against our habits.
    pub(crate) fn is_generated(&self) -> bool {
        self.path.contains("/generated/")
    }

    /// All attributes, with the line that each starts on: `#[…]` and `#![…]`, over several lines
    /// where need be.
    pub(crate) fn attributes(&self) -> Vec<(usize, &str)> {
        let bytes = self.code.as_bytes();
        let mut found = Vec::new();
        for (start, _) in self.code.match_indices('#') {
            let open = start + 1 + usize::from(bytes.get(start + 1) == Some(&b'!'));
            if bytes.get(open) != Some(&b'[') {
                continue;
            }
            let end = closing(bytes, open).unwrap_or(bytes.len());
            found.push((line_of(bytes, start), &self.code[start..end]));
        }
        found
    }
}

/// The line, counted from 1, that holds the byte at `offset`.
pub(crate) fn line_of(code: &[u8], offset: usize) -> usize {
    1 + code[..offset].iter().filter(|&&byte| byte == b'\n').count()
}

/// The offset one past the bracket that closes the one at `open`; `None` if none does.
pub(crate) fn closing(code: &[u8], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (offset, byte) in code.iter().enumerate().skip(open) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(offset + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// The offset of the item's `{` or `;` at or after `from`, outside parentheses and brackets.
pub(crate) fn body_start(code: &[u8], from: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (offset, byte) in code.iter().enumerate().skip(from) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b'{' | b';' if depth == 0 => return Some(offset),
            _ => {}
        }
    }
    None
}

fn is_test_path(path: &str) -> bool {
    let folders = ["tests/", "benches/", "fuzz/"];
    let in_folder = folders
        .iter()
        .any(|folder| path.starts_with(folder) || path.contains(&format!("/{folder}")));
    in_folder || path.ends_with("/tests.rs") || path.ends_with("_tests.rs")
}

/// Marks each item under `#[cfg(test)]` (or `#[cfg(all(test, …))]`), from attribute to closing brace.
fn mark_test_items(code: &str) -> Vec<bool> {
    let bytes = code.as_bytes();
    let mut marks = vec![false; code.lines().count()];
    let starts = ["#[cfg(test", "#[cfg(all(test"];
    for (start, _) in starts
        .iter()
        .flat_map(|attribute| code.match_indices(attribute))
    {
        let after = closing(bytes, start + 1).unwrap_or(bytes.len());
        let end = match body_start(bytes, after) {
            Some(open) if bytes[open] == b'{' => closing(bytes, open).unwrap_or(bytes.len()),
            Some(semicolon) => semicolon + 1,
            None => bytes.len(),
        };
        let first = line_of(bytes, start) - 1;
        let last = line_of(bytes, end - 1);
        let last = last.min(marks.len());
        marks[first..last].fill(true);
    }
    marks
}

/// Blanks comments and the insides of literals; newlines stay where they are.
fn mask(text: &str) -> String {
    let mut masker = Masker {
        rest: text,
        code: String::with_capacity(text.len()),
    };
    while !masker.rest.is_empty() {
        masker.step();
    }
    masker.code
}

struct Masker<'a> {
    rest: &'a str,
    code: String,
}

impl Masker<'_> {
    /// Takes one comment, one literal or one character of code.
    fn step(&mut self) {
        if self.rest.starts_with("//") {
            let end = self.rest.find('\n').unwrap_or(self.rest.len());
            return self.blank(end);
        }
        if self.rest.starts_with("/*") {
            return self.blank(block_comment_length(self.rest));
        }
        if let Some(length) = raw_string_length(self.rest)
            && !self.follows_word()
        {
            return self.blank(length);
        }
        if self.rest.starts_with('"') {
            return self.blank(quoted_length(self.rest, '"'));
        }
        if self.rest.starts_with('\'') && is_character_literal(self.rest) {
            return self.blank(quoted_length(self.rest, '\''));
        }
        let length = self.rest.chars().next().map_or(1, char::len_utf8);
        let (taken, rest) = self.rest.split_at(length);
        self.code.push_str(taken);
        self.rest = rest;
    }

    /// `for"` could not be a raw string's `r`, nor `ptr#`.
    fn follows_word(&self) -> bool {
        let last = self.code.chars().next_back();
        last.is_some_and(|c| c.is_alphanumeric() || c == '_')
    }

    fn blank(&mut self, length: usize) {
        let (taken, rest) = self.rest.split_at(length);
        self.code
            .extend(taken.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        self.rest = rest;
    }
}

fn block_comment_length(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// The length of `r"…"`, `r#"…"#`, `br"…"`, `cr"…"`; `None` if `text` starts with none of them.
fn raw_string_length(text: &str) -> Option<usize> {
    let prefix = ["r", "br", "cr"]
        .into_iter()
        .find(|prefix| text.starts_with(prefix))?;
    let after = &text[prefix.len()..];
    let hashes = after.bytes().take_while(|&byte| byte == b'#').count();
    let body = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let opened = prefix.len() + hashes + 1;
    let length = body
        .find(&end)
        .map_or(text.len(), |at| opened + at + end.len());
    Some(length)
}

/// The length of a literal that starts and ends with `quote`, backslashes respected.
fn quoted_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// `'a'` and `'\n'` are characters, `'a` and `'_` are lifetimes.
fn is_character_literal(text: &str) -> bool {
    let mut chars = text.chars().skip(1);
    match chars.next() {
        Some('\\') => true,
        Some(_) => chars.next() == Some('\''),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_mask(text: &str, expected: &str) {
        let squeezed: Vec<_> = mask(text).split_whitespace().map(str::to_owned).collect();
        assert_eq!(squeezed.join(" "), expected, "mask of {text:?}");
    }

    #[test]
    fn comments_and_literals_are_blanked() {
        check_mask("a // todo!\nb", "a b");
        check_mask("a /* { /* } */ { */ b", "a b");
        check_mask("f(\"{ \\\" }\") g", "f( ) g");
        check_mask("f(r#\"{ \" }\"#) g", "f( ) g");
        check_mask("f(br\"{\") g", "f( ) g");
        check_mask("f('{', '\\'', 'ü') g", "f( , , ) g");
    }

    #[test]
    fn lifetimes_and_words_that_end_in_r_stay() {
        check_mask("fn f<'a>(x: &'a u8) {}", "fn f<'a>(x: &'a u8) {}");
        check_mask("br#type", "br#type");
        check_mask(
            "'outer: loop { break 'outer; }",
            "'outer: loop { break 'outer; }",
        );
        check_mask("for\"x\" y", "for y");
    }

    #[test]
    fn unfinished_literals_end_with_the_text() {
        check_mask("a \"never closed {", "a");
        check_mask("a /* never closed {", "a");
        check_mask("a r#\"never closed {\"", "a");
    }

    #[test]
    fn lines_are_kept() {
        let text = "let s = \"two\nlines\"; /* and\n\nmore */ x\n";
        assert_eq!(mask(text).lines().count(), text.lines().count());
    }

    #[test]
    fn test_items_are_marked_to_their_closing_brace() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() { \"}\"; }\n}\nfn c() {}\n";
        let source = Source::new("crates/x/src/lib.rs", text);
        let marked: Vec<_> = source.lines().map(|line| line.in_test).collect();
        assert_eq!(marked, [false, true, true, true, true, false]);
    }

    #[test]
    fn a_test_module_in_its_own_file_marks_its_declaration_only() {
        let source = Source::new(
            "crates/x/src/lib.rs",
            "#[cfg(test)]\nmod tests;\nfn c() {}\n",
        );
        let marked: Vec<_> = source.lines().map(|line| line.in_test).collect();
        assert_eq!(marked, [true, true, false]);
    }

    #[test]
    fn test_files_are_tests_throughout() {
        for path in ["crates/x/tests/it/main.rs", "crates/x/src/ring/tests.rs"] {
            assert!(Source::new(path, "fn a() {}\n").is_test_line(1), "{path}");
        }
        assert!(!Source::new("crates/x/src/attests.rs", "fn a() {}\n").is_test_line(1));
    }

    #[test]
    fn attributes_run_over_several_lines() {
        let text = "#![allow(x)]\n#[expect(\n    y,\n    reason = \"z ]\"\n)]\nfn f() {}\n";
        let source = Source::new("a.rs", text);
        let found = source.attributes();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], (1, "#![allow(x)]"));
        assert_eq!(found[1].0, 2);
        assert!(found[1].1.contains("reason"));
    }
}
