//! The table of calls and answers.

/// What Riak answered, as far as clients read it.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<String>,
}

/// How our answer differs, and why it may.
#[derive(Debug)]
pub(crate) struct Differs {
    pub(crate) what: String,
}

#[derive(Debug, Default)]
pub(crate) struct Call {
    /// Of the table, from 1.
    pub(crate) line: usize,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<String>,
    pub(crate) answer: Expected,
    pub(crate) differs: Vec<Differs>,
    /// The part that is not here yet.
    pub(crate) waits_for: Option<String>,
}

pub(crate) fn read(table: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    for (at, text) in table.lines().enumerate() {
        let line = at + 1;
        let Some((mark, rest)) = text.split_once(' ') else {
            assert!(text.is_empty(), "line {line}: {text}");
            continue;
        };
        match mark {
            "#" | "##" => {}
            ">" => asked(&mut calls, line, rest),
            _ => told(
                calls.last_mut().expect("an answer has its call"),
                line,
                mark,
                rest,
            ),
        }
    }
    calls
}

fn asked(calls: &mut Vec<Call>, line: usize, text: &str) {
    let begins = calls.last().is_none_or(|call| call.answer.status != 0);
    if begins {
        let (method, path) = text
            .split_once(' ')
            .unwrap_or_else(|| panic!("line {line}"));
        calls.push(Call {
            line,
            method: method.to_owned(),
            path: path.to_owned(),
            ..Call::default()
        });
    } else if let Some(call) = calls.last_mut() {
        part(text, line, &mut call.headers, &mut call.body);
    }
}

fn told(call: &mut Call, line: usize, mark: &str, text: &str) {
    match mark {
        "<" if call.answer.status == 0 => {
            call.answer.status = text.parse().unwrap_or_else(|_| panic!("line {line}"));
        }
        "<" => part(text, line, &mut call.answer.headers, &mut call.answer.body),
        "~" => {
            let (what, why) = text
                .split_once(": ")
                .unwrap_or_else(|| panic!("line {line}"));
            assert!(!why.is_empty(), "line {line}");
            call.differs.push(Differs {
                what: what.to_owned(),
            });
        }
        "?" => call.waits_for = Some(text.to_owned()),
        _ => panic!("line {line}: {mark}"),
    }
}

/// A header, or a line of a body.
fn part(text: &str, line: usize, headers: &mut Vec<(String, String)>, body: &mut Option<String>) {
    let of_body = text
        .strip_prefix("| ")
        .or_else(|| (text == "|").then_some(""));
    match (of_body, body.as_mut()) {
        (Some(first), None) => *body = Some(first.to_owned()),
        (Some(next), Some(body)) => {
            body.push('\n');
            body.push_str(next);
        }
        (None, _) => {
            let (name, value) = text
                .split_once(": ")
                .unwrap_or_else(|| panic!("line {line}"));
            headers.push((name.to_owned(), value.to_owned()));
        }
    }
}
