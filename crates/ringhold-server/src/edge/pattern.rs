//! Regular expressions over terms.
//!
//! Whoever may query may send any pattern, so matching takes time in proportion to the term and never more: all ways through the pattern are followed at
//! once (Thompson, 1968), one byte after the other. Patterns are bounded in size, and repeats are spelled out, so they count.
//!
//! What of Perl's expressions is understood: literals, `.`, classes with ranges and negation, `\d \w \s \D \W \S` and escaped
//! punctuation, groups, `|`, `? * + {n} {n,} {n,m}` (lazy marks mean nothing, since only whether it matches is asked), `^` and `$`. References
//! back, looking around and names for groups are not; a pattern with them is refused. Matching is bytewise.

/// Steps of a pattern, at most.
const STEPS_MAX: usize = 4_096;
/// Groups in groups, at most.
const DEPTH_MAX: usize = 64;

/// A set of bytes.
type Bytes256 = [bool; 256];

#[derive(Clone, Debug)]
enum Step {
    /// One of these bytes.
    One(Box<Bytes256>),
    /// Go on at both.
    Split(usize, usize),
    Jump(usize),
    Start,
    End,
    Matched,
}

#[derive(Clone, Debug)]
enum Node {
    One(Box<Bytes256>),
    Start,
    End,
    Then(Vec<Node>),
    Either(Vec<Node>),
    Repeat {
        what: Box<Node>,
        least: usize,
        most: Option<usize>,
    },
}

/// A pattern that is ready to be looked for.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    steps: Vec<Step>,
}

impl Pattern {
    /// None if it is no pattern, or one that is too large.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parser = Parser {
            rest: text.as_bytes(),
            depth: 0,
        };
        let node = parser.alternatives()?;
        if !parser.rest.is_empty() {
            return None;
        }
        let mut steps = Vec::new();
        emit(&node, &mut steps)?;
        steps.push(Step::Matched);
        Some(Self { steps })
    }

    /// Whether it matches somewhere in these bytes.
    pub(crate) fn is_in(&self, bytes: &[u8]) -> bool {
        let mut now = Threads::new(self.steps.len());
        let mut next = Threads::new(self.steps.len());
        for at in 0..=bytes.len() {
            if self.follow(&mut now, 0, at, bytes.len()) {
                return true;
            }
            let Some(byte) = bytes.get(at) else { break };
            next.clear();
            for index in 0..now.list.len() {
                let step = now.list[index];
                if let Step::One(set) = &self.steps[step]
                    && set[usize::from(*byte)]
                    && self.follow(&mut next, step + 1, at + 1, bytes.len())
                {
                    return true;
                }
            }
            std::mem::swap(&mut now, &mut next);
        }
        false
    }

    /// Adds all that can be reached without a byte; true if that is the end of the pattern.
    fn follow(&self, threads: &mut Threads, from: usize, at: usize, length: usize) -> bool {
        let mut open = vec![from];
        while let Some(step) = open.pop() {
            if !threads.add(step) {
                continue;
            }
            match &self.steps[step] {
                Step::One(_) => {}
                Step::Split(one, other) => open.extend([*other, *one]),
                Step::Jump(to) => open.push(*to),
                Step::Start if at == 0 => open.push(step + 1),
                Step::End if at == length => open.push(step + 1),
                Step::Start | Step::End => {}
                Step::Matched => return true,
            }
        }
        false
    }
}

/// The steps at which a match may be.
struct Threads {
    is_in: Vec<bool>,
    list: Vec<usize>,
}

impl Threads {
    fn new(steps: usize) -> Self {
        Self {
            is_in: vec![false; steps],
            list: Vec::with_capacity(steps),
        }
    }

    fn add(&mut self, step: usize) -> bool {
        let is_new = !std::mem::replace(&mut self.is_in[step], true);
        if is_new {
            self.list.push(step);
        }
        is_new
    }

    fn clear(&mut self) {
        for step in self.list.drain(..) {
            self.is_in[step] = false;
        }
    }
}

/// Spells a part of a pattern out in steps; none if that becomes too much.
fn emit(node: &Node, steps: &mut Vec<Step>) -> Option<()> {
    if steps.len() > STEPS_MAX {
        return None;
    }
    match node {
        Node::One(set) => steps.push(Step::One(set.clone())),
        Node::Start => steps.push(Step::Start),
        Node::End => steps.push(Step::End),
        Node::Then(parts) => parts.iter().try_for_each(|part| emit(part, steps))?,
        Node::Either(parts) => {
            let mut jumps = Vec::new();
            let (last, others) = parts.split_last()?;
            for part in others {
                let split = steps.len();
                steps.push(Step::Split(split + 1, 0));
                emit(part, steps)?;
                jumps.push(steps.len());
                steps.push(Step::Jump(0));
                steps[split] = Step::Split(split + 1, steps.len());
            }
            emit(last, steps)?;
            for jump in jumps {
                steps[jump] = Step::Jump(steps.len());
            }
        }
        Node::Repeat { what, least, most } => {
            for _ in 0..*least {
                emit(what, steps)?;
            }
            let Some(most) = most else {
                let split = steps.len();
                steps.push(Step::Split(split + 1, 0));
                emit(what, steps)?;
                steps.push(Step::Jump(split));
                steps[split] = Step::Split(split + 1, steps.len());
                return Some(());
            };
            let mut splits = Vec::new();
            for _ in *least..*most {
                splits.push(steps.len());
                steps.push(Step::Split(steps.len() + 1, 0));
                emit(what, steps)?;
            }
            for split in splits {
                steps[split] = Step::Split(split + 1, steps.len());
            }
        }
    }
    (steps.len() <= STEPS_MAX).then_some(())
}

struct Parser<'a> {
    rest: &'a [u8],
    depth: usize,
}

impl Parser<'_> {
    fn take(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn take_if(&mut self, byte: u8) -> bool {
        let is_next = self.rest.first() == Some(&byte);
        if is_next {
            self.rest = &self.rest[1..];
        }
        is_next
    }

    fn alternatives(&mut self) -> Option<Node> {
        let mut parts = vec![self.sequence()?];
        while self.take_if(b'|') {
            parts.push(self.sequence()?);
        }
        Some(Node::Either(parts))
    }

    fn sequence(&mut self) -> Option<Node> {
        let mut parts = Vec::new();
        while let Some(&byte) = self.rest.first()
            && byte != b'|'
            && byte != b')'
        {
            let part = self.part()?;
            parts.push(self.repeated(part)?);
        }
        Some(Node::Then(parts))
    }

    fn part(&mut self) -> Option<Node> {
        Some(match self.take()? {
            b'.' => Node::One(set_of(|byte| byte != b'\n')),
            b'^' => Node::Start,
            b'$' => Node::End,
            b'[' => Node::One(self.class()?),
            b'(' => {
                self.depth += 1;
                if self.depth > DEPTH_MAX {
                    return None;
                }
                if self.take_if(b'?') && !self.take_if(b':') {
                    return None;
                }
                let inner = self.alternatives()?;
                self.depth -= 1;
                self.take_if(b')').then_some(inner)?
            }
            b'\\' => Node::One(self.escape()?),
            b'*' | b'+' | b'?' => return None,
            byte => Node::One(set_of(|other| other == byte)),
        })
    }

    fn repeated(&mut self, part: Node) -> Option<Node> {
        let mut node = part;
        loop {
            let (least, most) = match self.rest.first() {
                Some(b'*') => (0, None),
                Some(b'+') => (1, None),
                Some(b'?') => (0, Some(1)),
                Some(b'{') => match self.counts() {
                    Some(counts) => counts?,
                    None => return Some(node),
                },
                _ => return Some(node),
            };
            self.take();
            // Lazy or not is the same here.
            self.take_if(b'?');
            let what = Box::new(node);
            node = Node::Repeat { what, least, most };
        }
    }

    /// The counts in braces, up to the closing one; none in `Some` if they are nonsense, none if the brace is one of the literal kind.
    #[expect(
        clippy::option_option,
        reason = "a literal brace is neither good nor bad"
    )]
    fn counts(&mut self) -> Option<Option<(usize, Option<usize>)>> {
        let end = self.rest.iter().position(|byte| *byte == b'}')?;
        let inside = std::str::from_utf8(&self.rest[1..end]).ok()?;
        let (least, most) = match inside.split_once(',') {
            None => (inside.parse().ok()?, Some(inside.parse().ok()?)),
            Some((least, "")) => (least.parse().ok()?, None),
            Some((least, most)) => (least.parse().ok()?, Some(most.parse().ok()?)),
        };
        self.rest = &self.rest[end..];
        let fits = |count: usize| count <= STEPS_MAX;
        let good = fits(least) && most.is_none_or(|most| fits(most) && most >= least);
        Some(good.then_some((least, most)))
    }

    fn escape(&mut self) -> Option<Box<Bytes256>> {
        let byte = self.take()?;
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let space = |byte: u8| matches!(byte, b' ' | b'\t'..=b'\r');
        Some(match byte {
            b'd' => set_of(|byte| byte.is_ascii_digit()),
            b'D' => set_of(|byte| !byte.is_ascii_digit()),
            b'w' => set_of(word),
            b'W' => set_of(|byte| !word(byte)),
            b's' => set_of(space),
            b'S' => set_of(|byte| !space(byte)),
            b't' => set_of(|byte| byte == b'\t'),
            b'n' => set_of(|byte| byte == b'\n'),
            b'r' => set_of(|byte| byte == b'\r'),
            byte if byte.is_ascii_alphanumeric() => return None,
            byte => set_of(|other| other == byte),
        })
    }

    fn class(&mut self) -> Option<Box<Bytes256>> {
        let is_negated = self.take_if(b'^');
        let mut set = set_of(|_| false);
        let mut first = true;
        loop {
            let byte = self.take()?;
            if byte == b']' && !first {
                break;
            }
            first = false;
            if byte == b'\\' {
                let escaped = self.escape()?;
                for (there, more) in set.iter_mut().zip(escaped.iter()) {
                    *there |= more;
                }
                continue;
            }
            let is_range = matches!(self.rest, [b'-', end, ..] if *end != b']');
            let last = if is_range {
                self.take();
                self.take()?
            } else {
                byte
            };
            if last < byte || (is_range && last == b'\\') {
                return None;
            }
            for member in byte..=last {
                set[usize::from(member)] = true;
            }
        }
        if is_negated {
            set.iter_mut().for_each(|member| *member = !*member);
        }
        Some(set)
    }
}

fn set_of(is_in: impl Fn(u8) -> bool) -> Box<Bytes256> {
    let mut set = Box::new([false; 256]);
    for byte in 0..=u8::MAX {
        set[usize::from(byte)] = is_in(byte);
    }
    set
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
            ("^a{x$", &["a{x"], &["a"]),
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
