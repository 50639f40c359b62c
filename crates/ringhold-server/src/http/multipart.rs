//! Several versions in one body.
//!
//! Clients take this apart with a regular expression, so its shape is fixed: the body starts with a line
//! break, each part with the boundary, and inside a part the entity tag has no quotes. A boundary is 27
//! random characters; that one of the values contains it is as likely as guessing a key.

use super::metadata::{content_encoding_of, content_type_of, expiry_of, links_of, named_headers};
use super::render::{http_date, metadata_of, value_of};
use super::route::BucketName;
use crate::edge::names::vtag;
use bytes::Bytes;
use ringhold_core::version::Version;

/// The body: every version with its headers.
pub(super) fn body(versions: &[&Version], bucket: &BucketName, boundary: &str) -> Bytes {
    let mut body = Vec::new();
    for version in versions {
        body.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
        part(&mut body, version, bucket);
    }
    body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    body.into()
}

fn part(body: &mut Vec<u8>, version: &Version, bucket: &BucketName) {
    let metadata = metadata_of(version);
    let mut line = |name: &str, value: &[u8]| {
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(b": ");
        body.extend_from_slice(value);
        body.extend_from_slice(b"\r\n");
    };
    line("Content-Type", content_type_of(&metadata).as_bytes());
    if let Some(encoding) = content_encoding_of(&metadata) {
        line("Content-Encoding", encoding.as_bytes());
    }
    line("Link", links_of(&metadata, bucket).as_bytes());
    line("Etag", vtag(version.dot).as_bytes());
    line("Last-Modified", http_date(version.timestamp).as_bytes());
    if version.content.is_tombstone() {
        line("X-Riak-Deleted", b"true");
    }
    for (name, value) in named_headers(&metadata)
        .into_iter()
        .chain(expiry_of(version))
    {
        line(&title_case(name.as_str()), value.as_bytes());
    }
    body.extend_from_slice(b"\r\n");
    body.extend_from_slice(&value_of(version));
}

/// `x-riak-meta-color` → `X-Riak-Meta-Color`, as it is written outside of parts.
fn title_case(name: &str) -> String {
    let mut at_start = true;
    let letters = name.chars().map(|letter| {
        let cased = if at_start {
            letter.to_ascii_uppercase()
        } else {
            letter
        };
        at_start = letter == '-';
        cased
    });
    letters.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_title_case() {
        assert_eq!(
            title_case("x-riak-meta-upper-case"),
            "X-Riak-Meta-Upper-Case"
        );
        assert_eq!(title_case("x--y1-"), "X--Y1-");
    }
}
