//! How an answer differs from what Riak said.

use super::table::Expected;
use crate::http::Answer;
use serde_json::Value;
use std::collections::BTreeMap;

/// Headers that clients read, beside those of `X-Riak-`.
const READ: [&str; 10] = [
    "vary",
    "link",
    "last-modified",
    "etag",
    "content-type",
    "location",
    "allow",
    "content-encoding",
    "content-range",
    "accept-ranges",
];

/// What names stand for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    values: BTreeMap<String, String>,
}

impl Known {
    /// The text with what its names stand for.
    pub(crate) fn fill(&self, text: &str) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, name, after)) = next_name(rest) {
            filled.push_str(before);
            // A name that nothing was found for stays, and the answer will show it.
            filled.push_str(self.values.get(name).map_or(name, String::as_str));
            rest = after;
        }
        filled + rest
    }

    /// Whether the text is as the pattern says; what its names stand for is known then.
    fn matches(&mut self, pattern: &str, text: &str) -> bool {
        let mut found = self.clone();
        let same = found.walk(pattern, text);
        if same {
            *self = found;
        }
        same
    }

    fn walk(&mut self, pattern: &str, text: &str) -> bool {
        let star = pattern.find('*');
        let name =
            next_name(pattern).filter(|(before, ..)| star.is_none_or(|at| before.len() < at));
        if let Some((before, name, after)) = name {
            let Some(rest) = text.strip_prefix(before) else {
                return false;
            };
            if let Some(value) = self.values.get(name) {
                let value = value.clone();
                return rest
                    .strip_prefix(&*value)
                    .is_some_and(|rest| self.walk(after, rest));
            }
            let value = up_to(rest, after);
            self.values.insert(name.to_owned(), value.to_owned());
            return !value.is_empty() && self.walk(after, &rest[value.len()..]);
        }
        let Some(at) = star else {
            return pattern == text;
        };
        let Some(rest) = text.strip_prefix(&pattern[..at]) else {
            return false;
        };
        let anything = up_to(rest, &pattern[at + 1..]);
        self.walk(&pattern[at + 1..], &rest[anything.len()..])
    }
}

/// The text before what comes next in the pattern.
fn up_to<'a>(text: &'a str, after: &str) -> &'a str {
    let end = after.chars().next();
    match end.filter(|end| !matches!(end, '*' | '$')) {
        Some(end) => text.split(end).next().unwrap_or_default(),
        None => text,
    }
}

/// The first `$x1` of a text: a letter and digits, or `$now`.
fn next_name(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    while let Some(at) = text[from..].find('$').map(|at| from + at) {
        let tail = &text[at + 1..];
        let digits = tail.get(1..).unwrap_or_default();
        let digits = digits.bytes().take_while(u8::is_ascii_digit).count();
        let length = match tail.chars().next() {
            Some('v' | 't' | 'k') if digits > 0 => digits + 2,
            _ if tail.starts_with("now") => 4,
            _ => 0,
        };
        if length > 0 {
            return Some((&text[..at], &text[at..at + length], &text[at + length..]));
        }
        from = at + 1;
    }
    None
}

/// Each difference, as the table writes it.
pub(crate) fn differences(expected: &Expected, answer: &Answer, known: &mut Known) -> Vec<String> {
    let mut found = Vec::new();
    if answer.status != expected.status {
        found.push(format!("status {}", answer.status));
    }
    if let Some(modified) = answer.header("Last-Modified") {
        known.values.insert("$now".to_owned(), modified.to_owned());
    }
    let is_untyped = expected.status == 204 || expected.body.as_deref() == Some("<page>");
    compare_headers(expected, answer, is_untyped, known, &mut found);
    match expected.body.as_deref() {
        None | Some("<page>" | "*") => {}
        Some(wanted) => compare_bodies(wanted, &readable(answer), known, &mut found),
    }
    found.sort();
    found
}

fn compare_headers(
    expected: &Expected,
    answer: &Answer,
    is_untyped: bool,
    known: &mut Known,
    found: &mut Vec<String>,
) {
    if expected.headers.iter().any(|(name, _)| name == "*") {
        for (name, value) in &expected.headers {
            let ours = answer.header(name).unwrap_or_default();
            known.matches(value, ours);
        }
        return;
    }
    for (name, value) in &expected.headers {
        if is_untyped && name.eq_ignore_ascii_case("content-type") {
            continue;
        }
        match answer.header(name) {
            None => found.push(format!("{name} absent")),
            Some(ours) if same_value(name, value, ours, known) => {}
            Some(ours) => found.push(format!("{name} {ours}")),
        }
    }
    for (name, value) in &answer.headers {
        let lower = name.to_lowercase();
        let is_read = READ.contains(&lower.as_str()) || lower.starts_with("x-riak-");
        let is_listed = expected
            .headers
            .iter()
            .any(|(known, _)| known.eq_ignore_ascii_case(name));
        if !is_read || is_listed || (is_untyped && lower == "content-type") {
            continue;
        }
        let is_chance = ["x-riak-vclock", "etag", "last-modified"].contains(&lower.as_str());
        found.push(format!("{name} {}", if is_chance { "*" } else { value }));
    }
}

fn same_value(name: &str, wanted: &str, ours: &str, known: &mut Known) -> bool {
    let sorted = |list: &str| {
        let mut words: Vec<String> = list.split(',').map(|word| word.trim().to_owned()).collect();
        words.sort();
        words
    };
    match &*name.to_lowercase() {
        "allow" | "vary" => sorted(wanted) == sorted(ours),
        _ if name.to_lowercase().starts_with("x-riak-index-") => sorted(wanted) == sorted(ours),
        _ => known.matches(wanted, ours),
    }
}

/// The body as the table writes it: a name for the boundary, plain line breaks, no chunks.
fn readable(answer: &Answer) -> String {
    let mut body = answer.body.clone();
    if answer.header("Transfer-Encoding") == Some("chunked") {
        body = unchunked(&body);
    }
    if let Some((_, boundary)) = answer
        .header("Content-Type")
        .and_then(|content_type| content_type.split_once("boundary="))
    {
        body = body.replace(boundary, "BOUNDARY");
    }
    body.replace("\r\n", "\n")
}

fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((length, rest)) = body.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap_or_default();
        if length == 0 {
            break;
        }
        whole.push_str(rest.get(..length).unwrap_or_default());
        body = rest.get(length + 2..).unwrap_or_default();
    }
    whole
}

fn compare_bodies(wanted: &str, ours: &str, known: &mut Known, found: &mut Vec<String>) {
    let same = if wanted.starts_with("Siblings:\n") {
        same_siblings(wanted, ours, known)
    } else if wanted.contains("--BOUNDARY") {
        same_parts(wanted, ours, known)
    } else if let (Some(wanted), Some(ours)) = (json(wanted), json(ours)) {
        return compare_json("body", &wanted, &ours, known, found);
    } else {
        known.matches(wanted, ours)
    };
    if !same {
        println!("ours: {ours}");
        found.push("body".to_owned());
    }
}

/// Only the vtags that are known already can be told apart.
fn same_siblings(wanted: &str, ours: &str, known: &Known) -> bool {
    let vtags: Vec<&str> = ours.lines().skip(1).collect();
    ours.starts_with("Siblings:\n")
        && wanted.lines().count() == ours.lines().count()
        && wanted.lines().skip(1).all(|name| {
            let value = known.values.get(name);
            value.is_none_or(|value| vtags.contains(&value.as_str()))
        })
}

/// In any order.
fn same_parts(wanted: &str, ours: &str, known: &mut Known) -> bool {
    let parts =
        |body: &str| -> Vec<String> { body.split("--BOUNDARY").map(str::to_owned).collect() };
    let mut ours = parts(ours);
    parts(wanted).iter().all(|part| {
        let found = ours
            .iter()
            .position(|candidate| known.matches(part, candidate));
        found.map(|at| ours.remove(at)).is_some()
    }) && ours.is_empty()
}

/// One JSON value, or a stream of objects as one object with all that their lists hold.
fn json(text: &str) -> Option<Value> {
    let mut whole: Option<Value> = None;
    for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        let value = value.ok()?;
        whole = Some(match (whole, value) {
            (None, value) => value,
            (Some(Value::Object(mut whole)), Value::Object(next)) => {
                for (name, more) in next {
                    match (whole.get_mut(&name), more) {
                        (Some(Value::Array(list)), Value::Array(more)) => list.extend(more),
                        (_, more) => drop(whole.insert(name, more)),
                    }
                }
                Value::Object(whole)
            }
            _ => return None,
        });
    }
    whole
}

/// Ours may have more members. Lists of names are in no order.
fn compare_json(
    at: &str,
    wanted: &Value,
    ours: &Value,
    known: &mut Known,
    found: &mut Vec<String>,
) {
    let same = match (wanted, ours) {
        (Value::Object(wanted), Value::Object(ours)) => {
            for (name, wanted) in wanted {
                let at = format!("{at} {name}");
                match ours.get(name) {
                    None => found.push(format!("{at} absent")),
                    Some(ours) => compare_json(&at, wanted, ours, known, found),
                }
            }
            return;
        }
        (Value::String(wanted), Value::String(ours)) => known.matches(wanted, ours),
        _ if at.ends_with(" keys") || at.ends_with(" buckets") => same_names(wanted, ours),
        _ => wanted == ours,
    };
    if !same {
        found.push(format!("{at} {ours}"));
    }
}

fn same_names(wanted: &Value, ours: &Value) -> bool {
    let sorted = |list: &Value| {
        let mut names: Vec<String> = list.as_array()?.iter().map(Value::to_string).collect();
        names.sort();
        Some(names)
    };
    sorted(wanted) == sorted(ours)
}
