//! Answers that are compressed on their way, as a client takes them apart.

use crate::http::{exchange, limits};
use crate::http_door::FakeDoor;
use flate2::read::MultiGzDecoder;
use ringhold_server::http::Edge;
use std::io::Read;
use std::sync::Arc;

type Server = Arc<Edge<FakeDoor>>;

/// The head of an answer in lower case, and its body.
async fn ask(server: &Server, request: &str) -> (String, Vec<u8>) {
    let (answer, _) = exchange(server, request.as_bytes()).await;
    let mut halves = answer.windows(4).enumerate();
    let end = halves.find(|(_, four)| four == b"\r\n\r\n");
    let (end, _) = end.expect("an answer has a head");
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    (head, answer[end + 4..].to_vec())
}

fn request(method: &str, path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
}

async fn get(server: &Server, path: &str, headers: &str) -> (String, Vec<u8>) {
    ask(server, &request("GET", path, headers, "")).await
}

fn unzipped(bytes: &[u8]) -> String {
    let mut text = String::new();
    let read = MultiGzDecoder::new(bytes).read_to_string(&mut text);
    read.expect("it is gzip");
    text
}

/// What the chunks of a body have together.
fn joined(mut chunked: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let line = chunked.iter().position(|byte| *byte == b'\n');
        let line = line.expect("a chunk begins with its size");
        let size = String::from_utf8_lossy(&chunked[..line]);
        let size = usize::from_str_radix(size.trim(), 16).expect("a number");
        if size == 0 {
            return whole;
        }
        whole.extend_from_slice(&chunked[line + 1..=line + size]);
        chunked = &chunked[line + size + 3..];
    }
}

const GZIP: &str = "Accept-Encoding: gzip\r\n";
const TEXT: &str = "Content-Type: text/plain\r\n";

async fn server_with(key: &str, headers: &str, value: &str) -> Server {
    let server = Edge::new(FakeDoor::new(), limits());
    let path = format!("/buckets/b/keys/{key}");
    let (head, _) = ask(&server, &request("PUT", &path, headers, value)).await;
    assert!(head.starts_with("http/1.1 204"), "{head}");
    server
}

#[tokio::test]
async fn who_asks_gets_gzip_and_a_head_says_the_same() {
    let value = "all work and no play ".repeat(30);
    let server = server_with("k", TEXT, &value).await;
    let (head, body) = get(&server, "/buckets/b/keys/k", GZIP).await;
    assert!(head.contains("\r\ncontent-encoding: gzip"), "{head}");
    assert!(head.contains("\r\nvary: accept-encoding"), "{head}");
    assert_eq!(unzipped(&body), value);
    let (of_head, nothing) = ask(&server, &request("HEAD", "/buckets/b/keys/k", GZIP, "")).await;
    let length = format!("\r\ncontent-length: {}", body.len());
    assert!(
        head.contains(&length) && of_head.contains(&length),
        "{of_head}"
    );
    assert!(of_head.contains("\r\ncontent-encoding: gzip") && nothing.is_empty());
    for headers in [
        "",
        "Accept-Encoding: *\r\n",
        "Accept-Encoding: gzip;q=0\r\n",
    ] {
        let (head, body) = get(&server, "/buckets/b/keys/k", headers).await;
        assert!(!head.contains("content-encoding"), "{head}");
        assert_eq!(body, value.as_bytes());
    }
    let (head, body) = get(&server, "/buckets/b/props", GZIP).await;
    assert!(head.contains("\r\ncontent-encoding: gzip"), "{head}");
    assert!(unzipped(&body).starts_with("{\"props\":{"));
}

#[tokio::test]
async fn a_stream_is_compressed_piece_by_piece() {
    let server = server_with("k", TEXT, "v").await;
    let (head, body) = get(&server, "/buckets/b/keys?keys=stream", GZIP).await;
    assert!(head.contains("\r\ncontent-encoding: gzip"), "{head}");
    assert_eq!(unzipped(&joined(&body)), r#"{"keys":["k"]}{"keys":[]}"#);
}

#[tokio::test]
async fn what_has_an_encoding_or_is_an_error_stays_as_it_is() {
    let headers = format!("{TEXT}Content-Encoding: x-own\r\n");
    let server = server_with("k", &headers, "sealed").await;
    let (head, body) = get(&server, "/buckets/b/keys/k", GZIP).await;
    assert!(head.contains("\r\ncontent-encoding: x-own"), "{head}");
    assert_eq!(body, b"sealed");
    for path in ["/buckets/b/keys/absent", "/ping", "/nowhere"] {
        let (head, _) = get(&server, path, GZIP).await;
        assert!(!head.contains("content-encoding"), "{path}: {head}");
    }
}
