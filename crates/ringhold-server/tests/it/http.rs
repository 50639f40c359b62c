//! HTTP, as it is spoken: raw requests into a real connection, compared with what should come back.
//!
//! The cases are files in `tests/http`. A case is a request, a line of dashes, the answer, and a line of
//! equals signs; the text before the first request line is a remark. In a request, `{vclock}`, `{etag}`
//! and `{location}` are what the last answer said, and `{NAME}` is what a line `! keep NAME vclock` kept. A
//! line `! next …` before a request makes the node fail once, see `FakeDoor::failure`.
//!
//! `RINGHOLD_BLESS=1` writes the answers that came into the files; read the difference before you keep it.

use crate::http_door::{FakeDoor, write_past_http};
use bytes::Bytes;
use ringhold_core::version::{Content, MetadataField};
use ringhold_server::edge::{Limits, NameLimits};
use ringhold_server::http::Edge;
use ringhold_wire::message::ObjectName;
use ringhold_wire::metadata::{Link, Metadata, NamedValue};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

pub(crate) fn limits() -> Limits {
    Limits {
        names: NameLimits {
            key_bytes: 64,
            name_bytes: 32,
        },
        value_bytes: 1000,
        ..Limits::default()
    }
}

/// Sends bytes over a connection of their own and returns all that comes back; whether the
/// connection's task came to its own end is the second value.
pub(crate) async fn exchange(edge: &Arc<Edge<FakeDoor>>, sent: &[u8]) -> (Vec<u8>, bool) {
    let (mut client, server) = duplex(1 << 20);
    let serving = Arc::clone(edge).serve_connection(server, std::future::pending());
    let task = tokio::spawn(async move {
        // What the client did wrong is seen in the answer.
        serving.await.ok();
    });
    // The server may have closed already, and rightly.
    client.write_all(sent).await.ok();
    settle().await;
    client.shutdown().await.ok();
    let mut received = Vec::new();
    client
        .read_to_end(&mut received)
        .await
        .expect("a duplex ends cleanly");
    (received, task.await.is_ok())
}

/// Lets the server do all that it can do with what it has. A client that closes while it waits for an
/// answer gets none; and there is no network here, only tasks of one thread, so a few turns are enough.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// The answer as the files have it: without the time of day, with line breaks only.
fn readable(received: &[u8]) -> String {
    let text = String::from_utf8_lossy(received);
    let lines = text
        .split('\n')
        .map(|line| line.strip_suffix('\r').unwrap_or(line));
    let kept: Vec<&str> = lines.filter(|line| !line.starts_with("Date: ")).collect();
    kept.join("\n")
}

#[derive(Default)]
struct Memory {
    values: BTreeMap<String, String>,
}

impl Memory {
    fn note(&mut self, answer: &str) {
        for (name, header) in [
            ("vclock", "X-Riak-Vclock: "),
            ("etag", "Etag: "),
            ("location", "Location: "),
        ] {
            if let Some(value) = answer.lines().find_map(|line| line.strip_prefix(header)) {
                self.values.insert(name.to_owned(), value.to_owned());
            }
        }
        let vtags = answer
            .lines()
            .skip_while(|line| *line != "Siblings:")
            .skip(1);
        for (at, vtag) in vtags.enumerate() {
            self.values.insert(format!("vtag{at}"), vtag.to_owned());
        }
    }

    fn fill(&self, text: &str) -> String {
        let mut filled = text.to_owned();
        for (name, value) in &self.values {
            filled = filled.replace(&format!("{{{name}}}"), value);
        }
        filled
    }

    fn obey(&mut self, command: &str, door: &FakeDoor) {
        let words: Vec<&str> = command.split(' ').collect();
        match words.as_slice() {
            ["keep", name, what] => {
                let value = self
                    .values
                    .get(*what)
                    .expect("an answer has said it")
                    .clone();
                self.values.insert((*name).to_owned(), value);
            }
            ["miss", partitions] => {
                let numbers = partitions
                    .split(',')
                    .map(|text| text.parse().expect("a number"));
                door.miss(&numbers.collect::<Vec<u32>>());
            }
            ["next", ..] => door.fail_next(FakeDoor::failure(&command["next ".len()..])),
            _ => panic!("unknown command {command:?}"),
        }
    }
}

/// The bytes of a request as a file has it.
fn wire(request: &str) -> Vec<u8> {
    let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
    let mut head = head.trim_end().replace('\n', "\r\n");
    let chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    let body = if chunked {
        body.trim_end().replace('\n', "\r\n") + "\r\n\r\n"
    } else {
        body.to_owned()
    };
    let framed = ["content-length", "transfer-encoding"]
        .iter()
        .any(|name| head.to_ascii_lowercase().contains(name));
    if !head.to_ascii_lowercase().contains("\r\nhost:") {
        head.push_str("\r\nHost: node");
    }
    if !framed {
        write!(head, "\r\nContent-Length: {}", body.len()).expect("a string takes any text");
    }
    [head.as_bytes(), b"\r\n\r\n", body.as_bytes()].concat()
}

/// Runs a file; the text that it should have.
async fn run(text: &str) -> String {
    let door = FakeDoor::new();
    let edge = Edge::new(door.clone(), limits());
    let mut memory = Memory::default();
    let mut written = String::new();
    for case in text
        .split("\n====\n")
        .filter(|case| !case.trim().is_empty())
    {
        let (asked, _) = case.split_once("\n----\n").unwrap_or((case, ""));
        let (remarks, request) = remarks_and_request(asked);
        for command in remarks.lines().filter_map(|line| line.strip_prefix("! ")) {
            memory.obey(command, &door);
        }
        let (received, _) = exchange(&edge, &wire(&memory.fill(request))).await;
        let answer = readable(&received);
        memory.note(&answer);
        write!(written, "{asked}\n----\n{answer}\n====\n").expect("a string takes any text");
    }
    written
}

fn remarks_and_request(asked: &str) -> (&str, &str) {
    const METHODS: [&str; 8] = [
        "GET ", "HEAD ", "PUT ", "POST ", "DELETE ", "PATCH ", "OPTIONS ", "TRACE ",
    ];
    let starts = METHODS.iter().filter_map(|method| {
        if asked.starts_with(method) {
            Some(0)
        } else {
            asked.find(&format!("\n{method}")).map(|at| at + 1)
        }
    });
    asked.split_at(starts.min().expect("a case has a request"))
}

fn files() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/http");
    let entries = std::fs::read_dir(directory).expect("the directory of cases");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn the_cases_in_files() {
    let bless = std::env::var_os("RINGHOLD_BLESS").is_some();
    let files = files();
    assert!(files.len() >= 8, "the cases are gone: {files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a file of cases");
        let got = run(&text).await;
        if bless {
            std::fs::write(&file, &got).expect("the file can be written");
            continue;
        }
        let differs = got
            .split("\n====\n")
            .zip(text.split("\n====\n"))
            .find(|(got, want)| got != want);
        if let Some((got, want)) = differs {
            panic!("{}\n\nwanted:\n{want}\n\ngot:\n{got}\n", file.display());
        }
        assert_eq!(got.len(), text.len(), "{}", file.display());
    }
}

#[tokio::test]
async fn requests_of_one_connection_are_answered_in_order() {
    let edge = Edge::new(FakeDoor::new(), limits());
    let put = wire("PUT /buckets/b/keys/k HTTP/1.1\nContent-Type: text/plain\n\nvalue");
    let get = wire("GET /buckets/b/keys/k HTTP/1.1");
    let (received, ended) = exchange(&edge, &[put, get.clone(), get].concat()).await;
    let text = readable(&received);
    assert!(ended);
    assert_eq!(text.matches("HTTP/1.1 204 No Content").count(), 1, "{text}");
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 2, "{text}");
    assert!(text.ends_with("value"), "{text}");
}

/// Whatever is refused before its body is read: the body is no request (T29).
#[tokio::test]
async fn a_body_that_nobody_wanted_is_not_the_next_request() {
    let door = FakeDoor::new();
    let edge = Edge::new(door.clone(), limits());
    let hidden = "PUT /buckets/b/keys/hidden HTTP/1.1\r\nHost: node\r\nContent-Type: a/b\r\nContent-Length: 0\r\n\r\n";
    for head in [
        "PUT /buckets/b/keys/k HTTP/1.1",
        "PUT /buckets/b/keys/k HTTP/1.1\nContent-Type: a/b\nX-Riak-Vclock: no",
        "PUT /nosuch HTTP/1.1",
        "POST /ping HTTP/1.1",
        "GET /buckets/b/keys/k HTTP/1.1",
        "DELETE /buckets/b/keys/k HTTP/1.1",
        "PUT /buckets/b/keys/k HTTP/1.1\nOrigin: null",
    ] {
        let (received, ended) = exchange(&edge, &wire(&format!("{head}\n\n{hidden}"))).await;
        let text = readable(&received);
        assert!(ended && text.starts_with("HTTP/1.1 4"), "{head}\n{text}");
        assert_eq!(
            (text.matches("HTTP/1.1 ").count(), door.keys()),
            (1, 0),
            "{head}\n{text}"
        );
    }
}

#[tokio::test]
async fn a_panic_ends_its_connection_and_no_other() {
    let door = FakeDoor::new();
    let edge = Edge::new(door.clone(), limits());
    door.fail_next(FakeDoor::failure("panic"));
    let get = wire("GET /buckets/b/keys/k HTTP/1.1");
    let (received, ended) = exchange(&edge, &get).await;
    assert!(received.is_empty() && !ended);
    let (received, ended) = exchange(&edge, &get).await;
    assert!(received.starts_with(b"HTTP/1.1 404 ") && ended);
}

#[tokio::test]
async fn what_is_too_much_is_turned_away() {
    let edge = Edge::new(
        FakeDoor::new(),
        Limits {
            bytes_in_flight: 0,
            value_bytes: 1,
            ..limits()
        },
    );
    // One unit of room; the first request holds it while its body is on the way.
    let (mut slow, server) = duplex(1 << 16);
    let serving = tokio::spawn(Arc::clone(&edge).serve_connection(server, std::future::pending()));
    slow.write_all(b"PUT /buckets/b/keys/k HTTP/1.1\r\nHost: node\r\nContent-Type: a/b\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
        .await
        .expect("room");
    let mut proceed = [0; 25];
    slow.read_exact(&mut proceed)
        .await
        .expect("an interim answer");
    assert_eq!(&proceed, b"HTTP/1.1 100 Continue\r\n\r\n");
    let put = wire("PUT /buckets/b/keys/k HTTP/1.1\nContent-Type: text/plain\n\nx");
    let (received, _) = exchange(&edge, &put).await;
    let text = readable(&received);
    assert!(
        text.starts_with("HTTP/1.1 503 ") && text.contains("\nRetry-After: 1\n"),
        "{text}"
    );
    assert!(
        text.contains("\nX-Ringhold-Outcome: not-started\n"),
        "{text}"
    );
    slow.write_all(b"y").await.expect("room");
    settle().await;
    slow.shutdown().await.expect("an open stream");
    let mut received = Vec::new();
    slow.read_to_end(&mut received).await.expect("an answer");
    assert!(received.starts_with(b"HTTP/1.1 204 "));
    assert!(serving.await.is_ok());
    let (received, _) = exchange(&edge, &put).await;
    assert!(
        received.starts_with(b"HTTP/1.1 204 "),
        "the room is free again"
    );
}

#[tokio::test]
async fn gets_say_how_many_siblings_they_showed() {
    let door = FakeDoor::new();
    let edge = Edge::new(door.clone(), limits());
    let put = wire("PUT /buckets/b/keys/k HTTP/1.1\nContent-Type: text/plain\n\nvalue");
    let get = wire("GET /buckets/b/keys/k HTTP/1.1");
    exchange(
        &edge,
        &[get.clone(), put.clone(), get.clone(), put, get].concat(),
    )
    .await;
    assert_eq!(door.siblings_returned(), [0, 1, 2]);
}

#[tokio::test]
async fn told_to_stop_a_connection_ends() {
    let edge = Edge::new(FakeDoor::new(), limits());
    let (mut client, server) = duplex(1 << 16);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let stopped = async {
        stopped.await.ok();
    };
    let serving = tokio::spawn(edge.serve_connection(server, stopped));
    client
        .write_all(&wire("GET /ping HTTP/1.1"))
        .await
        .expect("room");
    let mut answer = [0; 15];
    client.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    stop.send(()).expect("the connection is there");
    assert!(serving.await.is_ok());
}

#[tokio::test]
async fn what_other_protocols_stored_can_t_break_a_header() {
    let door = FakeDoor::new();
    let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
    let metadata = Metadata {
        content_type: Some(bytes("text/plain\r\nX-Evil: 1")),
        content_encoding: Some(bytes("gzip\r\nX-Evil: 2")),
        user: vec![NamedValue {
            name: bytes("a\r\nX-Evil"),
            value: bytes("3\r\nX-Evil: 4\0"),
        }],
        links: vec![Link {
            bucket: bytes("\r\nX-Evil: 5"),
            key: bytes("k"),
            tag: bytes("\r\nX-Evil: 6"),
        }],
        indexes: vec![NamedValue {
            name: bytes("\r\nX-Evil: 7"),
            value: bytes("\r\nX-Evil: 8"),
        }],
        ..Metadata::default()
    };
    let unreadable = vec![MetadataField {
        tag: 5,
        bytes: bytes("x"),
    }];
    for (key, fields) in [("evil", metadata.to_fields()), ("unreadable", unreadable)] {
        let name = ObjectName {
            bucket_type: bytes("default"),
            bucket: bytes("b"),
            key: bytes(key),
        };
        write_past_http(
            &door,
            name,
            Content::Value {
                bytes: bytes("v"),
                metadata: fields,
            },
        );
    }
    let edge = Edge::new(door, limits());
    for key in ["evil", "unreadable"] {
        let (received, _) =
            exchange(&edge, &wire(&format!("GET /buckets/b/keys/{key} HTTP/1.1"))).await;
        let text = readable(&received);
        assert!(
            text.starts_with("HTTP/1.1 200 OK\n") && text.ends_with("\n\nv"),
            "{text}"
        );
        assert!(!text.contains("\nX-Evil"), "{text}");
        assert!(
            text.contains("\nLast-Modified: Fri, 31 Dec 9999 23:59:59 GMT\n"),
            "{text}"
        );
    }
}
