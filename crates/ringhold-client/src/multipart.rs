//! `multipart/mixed` (RFC 2046, §5.1), the form in which siblings arrive together.
//!
//! A delimiter is CRLF, two dashes and the boundary, at the beginning of a line; the first CRLF may
//! be missing. Values are arbitrary bytes: each part runs exactly to the next delimiter, and a
//! value that merely contains the boundary inside a line, or ends in a line break of its own,
//! keeps every byte. What precedes the first delimiter and follows the last one is ignored.
//!
//! Pure: bytes in, parts out, which share the memory of the body. No input panics.

use std::fmt;

use bytes::Bytes;

/// One part: its header lines, and its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Names in lower case, in the order of arrival.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Part {
    /// The first value of a header, by its lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }
}

/// A body that is not what its content type says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MultipartError {
    /// The content type is not `multipart/mixed` with a boundary.
    NoBoundary,
    /// The boundary doesn't occur.
    NoDelimiter,
    /// The body ends before the closing delimiter: the answer was cut off.
    Unterminated,
    /// A part has no blank line after its headers, or a header line without a colon.
    BadHeaders,
}

impl fmt::Display for MultipartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoBoundary => "the content type names no boundary",
            Self::NoDelimiter => "the boundary does not occur in the body",
            Self::Unterminated => "the body ends before its closing delimiter",
            Self::BadHeaders => "a part's headers are not header lines and a blank line",
        })
    }
}

impl std::error::Error for MultipartError {}

/// The boundary of a content type, if it is `multipart/mixed` with one.
pub fn boundary(content_type: &str) -> Result<&str, MultipartError> {
    let mut pieces = content_type.split(';').map(str::trim);
    let multipart = pieces
        .next()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("multipart/mixed"));
    let boundary = pieces
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("boundary"))
        .map(|(_, value)| value.trim().trim_matches('"'));
    match boundary {
        Some(boundary) if multipart && !boundary.is_empty() => Ok(boundary),
        _ => Err(MultipartError::NoBoundary),
    }
}

/// The parts of a body.
pub fn parse(boundary: &str, body: &Bytes) -> Result<Vec<Part>, MultipartError> {
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    let first = if body.starts_with(&delimiter[2..]) {
        Delimiter {
            start: 0,
            end: delimiter.len() - 2,
        }
    } else {
        Delimiter::find(body, &delimiter, 0).ok_or(MultipartError::NoDelimiter)?
    };
    let mut parts = Vec::new();
    let mut open = first;
    while !open.closes(body) {
        let next =
            Delimiter::find(body, &delimiter, open.end).ok_or(MultipartError::Unterminated)?;
        // Past the delimiter's own line break, which the next one may share if nothing lies between.
        let start = (open.end + 2).min(next.start);
        parts.push(part(&body.slice(start..next.start))?);
        open = next;
    }
    Ok(parts)
}

/// Where a delimiter stands, its leading line break included, what follows it not.
#[derive(Clone, Copy)]
struct Delimiter {
    start: usize,
    end: usize,
}

impl Delimiter {
    /// The first one at or after `from` that a line break or two dashes follow.
    fn find(body: &[u8], delimiter: &[u8], from: usize) -> Option<Self> {
        let mut from = from;
        loop {
            let rest = body.get(from..)?;
            let start = from
                + rest
                    .windows(delimiter.len())
                    .position(|bytes| bytes == delimiter)?;
            let end = start + delimiter.len();
            let after = &body[end..];
            if after.starts_with(b"\r\n") || after.starts_with(b"--") {
                return Some(Self { start, end });
            }
            from = start + 1;
        }
    }

    fn closes(self, body: &[u8]) -> bool {
        body[self.end..].starts_with(b"--")
    }
}

fn part(bytes: &Bytes) -> Result<Part, MultipartError> {
    if let Some(body) = bytes.strip_prefix(b"\r\n") {
        return Ok(Part {
            headers: Vec::new(),
            body: bytes.slice_ref(body),
        });
    }
    let blank = bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .ok_or(MultipartError::BadHeaders)?;
    let lines = String::from_utf8_lossy(&bytes[..blank]);
    let headers = lines
        .split("\r\n")
        .map(|line| {
            let (name, value) = line.split_once(':').ok_or(MultipartError::BadHeaders)?;
            Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        })
        .collect::<Result<_, _>>()?;
    Ok(Part {
        headers,
        body: bytes.slice(blank + 4..),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies(body: &str) -> Result<Vec<String>, MultipartError> {
        let parts = parse("B", &Bytes::copy_from_slice(body.as_bytes()))?;
        Ok(parts
            .iter()
            .map(|part| String::from_utf8_lossy(&part.body).into_owned())
            .collect())
    }

    #[test]
    fn the_boundary_is_read_from_the_content_type() {
        assert_eq!(boundary("multipart/mixed; boundary=Xy1"), Ok("Xy1"));
        assert_eq!(
            boundary("Multipart/Mixed;charset=x;Boundary=\"a b\""),
            Ok("a b")
        );
        for wrong in [
            "",
            "text/plain",
            "multipart/mixed",
            "multipart/mixed; boundary=",
            "text/plain; boundary=x",
        ] {
            assert_eq!(boundary(wrong), Err(MultipartError::NoBoundary), "{wrong}");
        }
    }

    #[test]
    fn a_sibling_answer_gives_headers_and_bytes() {
        let body = "\r\n--B\r\nContent-Type: text/plain\r\nEtag: v1\r\n\r\none\r\n--B\r\n\
                    Content-Type: application/json\r\nX-Riak-Deleted: true\r\n\r\n\r\n--B--\r\n";
        let parts = parse("B", &Bytes::from_static(body.as_bytes())).expect("well formed");
        assert_eq!(parts.len(), 2);
        assert_eq!(parts[0].header("content-type"), Some("text/plain"));
        assert_eq!(parts[0].header("etag"), Some("v1"));
        assert_eq!(&parts[0].body[..], b"one");
        assert_eq!(parts[1].header("x-riak-deleted"), Some("true"));
        assert!(parts[1].body.is_empty());
    }

    #[test]
    fn values_keep_every_byte() {
        let one = |value: &str| {
            let body = format!("--B\r\nA: b\r\n\r\n{value}\r\n--B--");
            assert_eq!(bodies(&body), Ok(vec![value.to_owned()]));
        };
        one("");
        one("\r\n");
        one("x\r\n\r\n");
        one("x--B");
        one("x --B\r\n y");
        one("x\r\n--Boundary\r\n y");
        one("A: b\r\n\r\nc");
    }

    #[test]
    fn parts_may_have_no_headers_and_bodies_a_preamble() {
        assert_eq!(
            bodies("hello\r\n--B\r\n\r\nx\r\n--B--bye"),
            Ok(vec!["x".to_owned()])
        );
        assert_eq!(bodies("--B--"), Ok(vec![]));
    }

    #[test]
    fn what_is_cut_off_or_mangled_is_refused() {
        assert_eq!(bodies(""), Err(MultipartError::NoDelimiter));
        assert_eq!(bodies("nothing"), Err(MultipartError::NoDelimiter));
        assert_eq!(
            bodies("--B\r\nA: b\r\n\r\nx"),
            Err(MultipartError::Unterminated)
        );
        assert_eq!(
            bodies("--B\r\nA: b\r\n\r\nx\r\n--B"),
            Err(MultipartError::Unterminated)
        );
        assert_eq!(
            bodies("--B\r\nA\r\n\r\nx\r\n--B--"),
            Err(MultipartError::BadHeaders)
        );
        assert_eq!(
            bodies("--B\r\nA: b\r\n--B--"),
            Err(MultipartError::BadHeaders)
        );
        assert_eq!(bodies("--B\r\n--B--"), Err(MultipartError::BadHeaders));
    }

    #[test]
    fn every_prefix_of_an_answer_is_handled() {
        let body = Bytes::from_static(b"\r\n--B\r\nA: b\r\n\r\none\r\n--B\r\n\r\ntwo\r\n--B--\r\n");
        for length in 0..body.len() - 4 {
            assert!(
                parse("B", &body.slice(..length)).is_err(),
                "{length} bytes are no answer"
            );
        }
        assert_eq!(parse("B", &body).expect("whole").len(), 2);
    }
}
