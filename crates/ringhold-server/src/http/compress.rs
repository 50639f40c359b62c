//! Answers compressed on their way, for clients that ask for it.
//!
//! Riak offers `gzip` beside the plain bytes wherever it says `Vary: Accept-Encoding`, except for what was stored with an encoding of its own; so that
//! header decides here too. `Accept-Encoding` has to name `gzip`: who takes anything gets the plain bytes. Of a stream each piece is a member of its own,
//! which readers of gzip put together, so a piece can be read as soon as it is there.
//!
//! A HEAD is compressed as its GET would be, and then has no body: length and encoding agree.
//!
//! Invariant: who did not ask pays for a look at one header.

use super::accept::thousandths;
use super::job::AnswerBody;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::{BodyExt, Full};
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderValue, VARY};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Response, StatusCode};
use std::io::Write;

/// What is larger takes longer than other requests of the same thread should wait.
const AT_ONCE_BYTES: usize = 64 * 1024;

/// The answer as the client asked for it.
pub(super) async fn as_asked(
    request: &Parts,
    answer: Response<AnswerBody>,
) -> Response<AnswerBody> {
    let reads = matches!(request.method, Method::GET | Method::HEAD);
    if !reads || !asks_for_gzip(&request.headers) || !is_offered(&answer) {
        return answer;
    }
    let (mut head, body) = answer.into_parts();
    let gzip = HeaderValue::from_static("gzip");
    head.headers.insert(CONTENT_ENCODING, gzip);
    let body = match body {
        AnswerBody::Whole(body) => AnswerBody::Whole(Full::new(whole(body).await)),
        AnswerBody::Lines(lines) => AnswerBody::Lines(lines.compressed()),
    };
    Response::from_parts(head, body)
}

fn is_offered(answer: &Response<AnswerBody>) -> bool {
    let headers = answer.headers();
    let varies = headers.get(VARY).and_then(|vary| vary.to_str().ok());
    let varies = varies.is_some_and(|vary| vary.contains("Accept-Encoding"));
    let status = answer.status();
    varies
        && matches!(status, StatusCode::OK | StatusCode::MULTIPLE_CHOICES)
        && !headers.contains_key(CONTENT_ENCODING)
}

/// Whether a client likes gzip best of what is on offer; among equals, what it names first.
fn asks_for_gzip(headers: &HeaderMap) -> bool {
    let mut best = (0, false);
    let lines = headers.get_all(ACCEPT_ENCODING).iter();
    let items = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    for item in items {
        let item = String::from_utf8_lossy(item);
        let mut parts = item.split(';').map(str::trim);
        let coding = parts.next().unwrap_or_default();
        let is_gzip = coding.eq_ignore_ascii_case("gzip");
        let quality = parts.find_map(|part| part.strip_prefix("q="));
        let quality = quality.map_or(Some(1000), thousandths).unwrap_or(0);
        if (is_gzip || coding.eq_ignore_ascii_case("identity")) && quality > best.0 {
            best = (quality, is_gzip);
        }
    }
    best.1
}

async fn whole(body: Full<Bytes>) -> Bytes {
    let Ok(body) = body.collect().await;
    let bytes = body.to_bytes();
    if bytes.len() <= AT_ONCE_BYTES {
        return gzip(&bytes);
    }
    let compressed = tokio::task::spawn_blocking(move || gzip(&bytes));
    compressed.await.expect("a compressor does not panic")
}

/// One member of gzip.
pub(super) fn gzip(bytes: &[u8]) -> Bytes {
    let room = Vec::with_capacity(bytes.len() / 2 + 32);
    let mut encoder = GzEncoder::new(room, Compression::fast());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.expect("a vector takes all").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::MultiGzDecoder;
    use std::io::Read;

    #[test]
    fn gzip_is_what_a_client_has_to_name() {
        let rows = [
            ("gzip", true),
            ("GZIP", true),
            ("deflate, gzip", true),
            ("gzip;q=0.5, identity;q=0.4", true),
            ("gzip;q=0.5, identity", false),
            ("identity, gzip", false),
            ("gzip, identity", true),
            ("gzip;q=0", false),
            ("*", false),
            ("br", false),
            ("", false),
            ("gzip;q=x", false),
        ];
        for (value, asked) in rows {
            let value = HeaderValue::from_static(value);
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, value.clone())]);
            assert_eq!(asks_for_gzip(&headers), asked, "{value:?}");
        }
        assert!(!asks_for_gzip(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn what_is_compressed_comes_out_as_it_was() {
        for bytes in [0, 1, 1_000, 3 * AT_ONCE_BYTES] {
            let plain: Vec<u8> = (0..bytes).map(|at| (at % 251).to_le_bytes()[0]).collect();
            let first = whole(Full::new(plain.clone().into())).await;
            let members = [&first[..], &gzip(b" and more")].concat();
            let mut read = Vec::new();
            let mut decoder = MultiGzDecoder::new(&members[..]);
            decoder.read_to_end(&mut read).expect("it is gzip");
            assert_eq!(read, [&plain[..], b" and more"].concat());
        }
    }
}
