//! HTTP as a cautious client speaks it: one request a connection, and a name for every way to end.
//!
//! What an answer says about a write is all that anybody outside can know: it is there (2xx), it never began (a
//! refusal, `X-Ringhold-Outcome: not-started`, or nobody took the connection), or nobody knows (anything else). The
//! checks at a scenario's end hold the store to each of the three.

use crate::watchdog::Watchdog;
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const CONNECT: Duration = Duration::from_millis(500);
/// What the node is told; the client waits a little longer for it to keep its word.
const REQUEST_MS: u64 = 3_000;
const PATIENCE: Duration = Duration::from_millis(REQUEST_MS + 2_000);

/// The bucket of all keys, and where it is.
const BUCKET: &str = "/buckets/harness/keys/";

#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// A short text for tallies.
    fn label(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let first = text.lines().next().unwrap_or_default();
        format!("{} {first}", self.status)
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// Nothing was sent.
    NoConnection,
    /// The connection broke, or its end was not awaited; something may have been sent.
    Broken,
    /// Nothing came in time.
    Silence,
}

/// One request.
pub(crate) fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Answer, NoAnswer> {
    request_within(PATIENCE, address, method, path, headers, body)
}

/// The same, where an answer may take longer than that to a client.
pub(crate) fn request_within(
    patience: Duration,
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Answer, NoAnswer> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("Content-Length: {}\r\n\r\n", body.len());
    let mut message = head.into_bytes();
    message.extend_from_slice(body);

    let until = Instant::now() + patience;
    let mut stream =
        TcpStream::connect_timeout(&address, CONNECT).map_err(|_| NoAnswer::NoConnection)?;
    let broken = |_| NoAnswer::Broken;
    stream.set_write_timeout(Some(patience)).map_err(broken)?;
    // A server that refuses early may not read the body; what it answered counts.
    stream.write_all(&message).ok();
    let mut bytes = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(NoAnswer::Silence);
        }
        stream.set_read_timeout(Some(left)).map_err(broken)?;
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                return Err(NoAnswer::Silence);
            }
            Err(_) => return Err(NoAnswer::Broken),
        }
    }
    parse(&bytes).ok_or(NoAnswer::Broken)
}

/// None unless all of the answer is there.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let split = find(bytes, b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..split]);
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let mut answer = Answer {
        status,
        headers,
        body: bytes[split + 4..].to_vec(),
    };
    if answer.header("Transfer-Encoding") == Some("chunked") {
        answer.body = without_chunks(&answer.body)?;
    }
    let announced = answer.header("Content-Length").map(str::parse::<usize>);
    match announced {
        Some(Ok(length)) if length != answer.body.len() => None,
        _ => Some(answer),
    }
}

/// None unless the last chunk is there.
fn without_chunks(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = find(rest, b"\r\n")?;
        let length = std::str::from_utf8(&rest[..end]).ok()?;
        let length = usize::from_str_radix(length, 16).ok()?;
        if length == 0 {
            return Some(body);
        }
        let start = end + 2;
        body.extend_from_slice(rest.get(start..start + length)?);
        rest = rest.get(start + length + 2..)?;
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

/// What a read found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// None where nothing ever was.
    pub(crate) context: Option<String>,
    /// What names this state on every node.
    pub(crate) etag: Option<String>,
    /// The bytes of all siblings, sorted: their order is the node's affair.
    pub(crate) siblings: Vec<Vec<u8>>,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Acknowledged,
    /// It left nothing.
    Refused,
    /// It may be there, or appear later.
    Unknown,
}

/// Reads a key. `quorum` is added to the query.
///
/// # Errors
/// A text for the tallies.
pub(crate) fn get(node: SocketAddr, key: usize, quorum: &str) -> Result<Found, String> {
    let path = format!("{BUCKET}{key}");
    let answer = get_path(node, &path, quorum)?;
    let siblings = match answer.status {
        200 => Some(vec![answer.body.clone()]),
        300 => parts(&answer),
        _ => Some(Vec::new()),
    };
    let mut siblings = siblings.ok_or_else(|| answer.label())?;
    siblings.sort_unstable();
    Ok(Found {
        context: answer.header("X-Riak-Vclock").map(str::to_owned),
        etag: answer.header("ETag").map(str::to_owned),
        siblings,
    })
}

/// Reads what is at a path, be it siblings or nothing.
///
/// # Errors
/// A text for the tallies.
pub(crate) fn get_path(node: SocketAddr, path: &str, quorum: &str) -> Result<Answer, String> {
    let path = format!("{path}?timeout={REQUEST_MS}{quorum}");
    let accept = [("Accept", "multipart/mixed, */*;q=0.5")];
    let answer = request(node, "GET", &path, &accept, b"").map_err(|error| format!("{error:?}"))?;
    match answer.status {
        200 | 300 | 404 => Ok(answer),
        _ => Err(answer.label()),
    }
}

/// The bodies of a multipart answer.
fn parts(answer: &Answer) -> Option<Vec<Vec<u8>>> {
    let boundary = answer
        .header("Content-Type")?
        .split_once("boundary=")?
        .1
        .trim_matches('"');
    let boundary = format!("\r\n--{boundary}").into_bytes();
    let mut parts = Vec::new();
    let mut rest = &answer.body[find(&answer.body, &boundary)? + boundary.len()..];
    while let Some(end) = find(rest, &boundary) {
        let start = find(&rest[..end], b"\r\n\r\n")? + 4;
        parts.push(rest[start..end].to_vec());
        rest = &rest[end + boundary.len()..];
    }
    Some(parts)
}

/// One write, to be sent as often as it takes.
#[derive(Clone, Debug)]
pub(crate) struct Put {
    pub(crate) key: usize,
    pub(crate) context: Option<String>,
    /// The same for every try.
    pub(crate) operation: String,
    /// Added to the query.
    pub(crate) quorum: &'static str,
    /// Of indexes, as headers.
    pub(crate) entries: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

/// Puts once. The text says what went wrong, if something did.
pub(crate) fn put(node: SocketAddr, put: &Put) -> (Outcome, Option<String>) {
    let mut headers = vec![
        ("Content-Type", "application/octet-stream"),
        ("Idempotency-Key", &put.operation),
    ];
    let context = put.context.as_deref();
    headers.extend(context.map(|context| ("X-Riak-Vclock", context)));
    let entries = put.entries.iter();
    headers.extend(entries.map(|(name, value)| (*name, value.as_str())));
    let path = format!("{BUCKET}{}", put.key);
    write(node, "PUT", &path, put.quorum, &headers, &put.body)
}

/// Sends a write once. The text says what went wrong, if something did.
pub(crate) fn write(
    node: SocketAddr,
    method: &str,
    path: &str,
    quorum: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> (Outcome, Option<String>) {
    let path = format!("{path}?timeout={REQUEST_MS}{quorum}");
    match request(node, method, &path, headers, body) {
        Ok(answer) if matches!(answer.status, 200 | 204) => (Outcome::Acknowledged, None),
        Ok(answer) => {
            let said = answer.header("X-Ringhold-Outcome");
            let refused = said == Some("not-started") || (400..500).contains(&answer.status);
            let outcome = if refused {
                Outcome::Refused
            } else {
                Outcome::Unknown
            };
            (outcome, Some(answer.label()))
        }
        Err(NoAnswer::NoConnection) => (Outcome::Refused, Some("NoConnection".to_owned())),
        Err(error) => (Outcome::Unknown, Some(format!("{error:?}"))),
    }
}

/// What a node tells of itself and the cluster, as JSON.
pub(crate) fn document(node: SocketAddr, path: &str) -> Option<Value> {
    let answer = request(node, "GET", path, &[], b"").ok()?;
    let is_there = answer.status == 200;
    is_there.then(|| serde_json::from_slice(&answer.body).ok())?
}

pub(crate) fn status(node: SocketAddr) -> Option<Value> {
    document(node, "/ringhold/v1/status")
}

/// Objects that a node keeps for others.
pub(crate) fn hints(node: SocketAddr) -> Option<u64> {
    status(node)?["hints"]["rows"].as_u64()
}

/// Waits until every node is ready and reaches every other member.
pub(crate) fn wait_until_connected(nodes: &[SocketAddr], watchdog: &Watchdog) {
    let is_ready = |node: SocketAddr| {
        let answer = request(node, "GET", "/health/ready", &[], b"");
        answer.is_ok_and(|answer| answer.status == 200)
    };
    let reaches_all = |node: SocketAddr| {
        let status = status(node)?;
        let members = status["members"].as_array()?;
        let mut present = members.iter().filter(|member| member["state"] != "removed");
        Some(present.all(|member| member["reachable"] == true))
    };
    for &node in nodes {
        watchdog.wait_until(&format!("{node} is ready and reaches all"), || {
            is_ready(node) && reaches_all(node) == Some(true)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_multipart_answer_is_taken_apart() {
        let head =
            "HTTP/1.1 300 Multiple Choices\r\nContent-Type: multipart/mixed; boundary=xyz\r\n\r\n";
        let body = "\r\n--xyz\r\nEtag: a\r\n\r\none\r\n\r\nmore\r\n--xyz\r\nEtag: b\r\n\r\n\r\n--xyz--\r\n";
        let answer = parse(format!("{head}{body}").as_bytes()).expect("it is whole");
        let expected = [b"one\r\n\r\nmore".to_vec(), Vec::new()];
        assert_eq!(parts(&answer).expect("it has parts"), expected);
    }

    #[test]
    fn an_answer_in_chunks_is_put_together() {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let body = "3\r\na\nb\r\n1\r\nc\r\n";
        let whole = parse(format!("{head}{body}0\r\n\r\n").as_bytes()).expect("it is whole");
        assert_eq!(whole.body, b"a\nbc");
        assert!(parse(format!("{head}{body}").as_bytes()).is_none());
    }

    #[test]
    fn half_an_answer_is_none() {
        assert!(parse(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab").is_none());
        assert!(parse(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab").is_some());
        assert!(parse(b"HTTP/1.1 200 OK\r\nCont").is_none());
    }
}
