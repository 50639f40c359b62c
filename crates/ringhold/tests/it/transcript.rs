//! What a real Riak answered, asked again here.
//!
//! `tests/transcript/riak-3.2.3.txt` is a table of calls to a three-node cluster of Riak 3.2.3 with its default settings and of what clients read
//! of its answers: the status, some headers, the body. The calls go to a cluster of ours, in the same order, and what differs must be
//! in the table as well, with the reason; what is in the table and does not differ any more is told too, so that the table stays true.
//!
//! ```text
//! > PUT /buckets/b/keys/k     a request: the first line, headers, `|` before each line of the body
//! < 204                       the answer: status, headers, `|` before each line of the body
//! ~ status 409: why           how ours differs: `status`, `body` (of JSON, which member), or a header, with what we say or `absent`
//! ? listings                  not judged: this part is not here yet
//! ```
//!
//! `$v1` is whatever was found there first, and must be the same from then on. `*` is anything. `<page>` is a page that a person would read,
//! for which ours are one line of text: such a body and its content type are not compared, nor is the type of a body that is not there (204). JSON may have more members than Riak's. Not
//! compared are dates, lengths and the server's name.

mod answers;
mod table;

use crate::cluster::{Cluster, Member};
use answers::Known;
use std::fmt::Write as _;
use table::Call;

/// As Riak's default bucket type has it.
const SETTINGS: [(&str, &str); 1] = [("RINGHOLD_DEFAULT_BUCKET_ALLOW_MULT", "false")];

/// The types that were there.
const TYPES: [(&str, &str); 7] = [
    ("nodt", "{}"),
    ("wonce", r#"{"write_once":true}"#),
    ("counters", r#"{"datatype":"counter"}"#),
    ("sets", r#"{"datatype":"set"}"#),
    ("gsets", r#"{"datatype":"gset"}"#),
    ("hlls", r#"{"datatype":"hll"}"#),
    ("maps", r#"{"datatype":"map"}"#),
];

#[test]
fn a_transcript_of_riak_s_answers() {
    let calls = table::read(include_str!("../transcript/riak-3.2.3.txt"));
    assert!(
        calls.len() > 200,
        "the table is gone: {} calls",
        calls.len()
    );
    let mut cluster = Cluster::start_with(3, &SETTINGS);
    cluster.wait_until_ready();
    let member = cluster.members().remove(0);
    TYPES
        .iter()
        .for_each(|(name, props)| create(&member, name, props));
    let mut known = Known::default();
    let (mut failures, mut waiting, mut differing) = (String::new(), 0, 0);
    for call in &calls {
        let found = ask(&member, call, &mut known);
        if call.waits_for.is_some() {
            waiting += 1;
            continue;
        }
        differing += usize::from(!call.differs.is_empty());
        let mut expected: Vec<&str> = call.differs.iter().map(|differs| &*differs.what).collect();
        expected.sort_unstable();
        if found == expected {
            continue;
        }
        let Call {
            line, method, path, ..
        } = call;
        writeln!(failures, "line {line}: {method} {path}").expect("a text");
        for what in found
            .iter()
            .filter(|what| !expected.contains(&what.as_str()))
        {
            writeln!(failures, "    differs: {what}").expect("a text");
        }
        for what in expected
            .iter()
            .filter(|what| !found.contains(&(**what).to_owned()))
        {
            writeln!(failures, "    differs no more: {what}").expect("a text");
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
    println!(
        "{} calls, {differing} answered differently for a reason, {waiting} not judged",
        calls.len()
    );
}

/// Creates a type and makes it active.
fn create(member: &Member, name: &str, props: &str) {
    let json = [("Content-Type", "application/json")];
    let body = format!("{{\"props\":{props}}}");
    for (order, body) in [("create", body.as_str()), ("activate", "")] {
        let path = format!("/ringhold/v1/bucket-types/{name}/{order}");
        let answer = member.try_send("POST", &path, &json, body.as_bytes());
        let answer = answer.expect("the node answers");
        assert_eq!(answer.status, 200, "{order} {name}: {}", answer.body);
    }
}

/// Makes a call; how the answer differs.
fn ask(member: &Member, call: &Call, known: &mut Known) -> Vec<String> {
    let headers: Vec<(String, String)> = call
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), known.fill(value)))
        .collect();
    let headers: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let body = known.fill(call.body.as_deref().unwrap_or_default());
    let answer = member
        .try_send(
            &call.method,
            &known.fill(&call.path),
            &headers,
            body.as_bytes(),
        )
        .unwrap_or_else(|| panic!("no answer to {} {}", call.method, call.path));
    answers::differences(&call.answer, &answer, known)
}
