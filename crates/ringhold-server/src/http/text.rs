//! Texts that carry bytes: percent escapes, base 62, and what may stand in a header.
//!
//! Names are bytes, and paths and headers are texts of a smaller alphabet. Into a path, a byte outside the
//! unreserved ones goes as `%XX`; out of it, `+` is a space too, because Riak's clients encode the
//! way forms do. Into a header goes nothing that could end it (T29): what an object brings along,
//! perhaps from a client of another protocol, is escaped where HTTP forbids it.

use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use std::fmt::Write as _;

/// A `%` that is not followed by two hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BrokenEscape;

/// Decodes percent escapes, and `+` as a space.
pub(super) fn unescape(text: &str) -> Result<Bytes, BrokenEscape> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => escaped(rest.next(), rest.next()).ok_or(BrokenEscape)?,
            plain => plain,
        });
    }
    Ok(decoded.into())
}

fn escaped(high: Option<u8>, low: Option<u8>) -> Option<u8> {
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// The bytes as one segment of a path.
pub(super) fn escape(bytes: &[u8]) -> String {
    let unreserved =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    escape_unless(bytes, unreserved)
}

fn escape_unless(bytes: &[u8], plain: impl Fn(u8) -> bool) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if plain(byte) {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").expect("a string takes any text");
        }
    }
    text
}

/// The bytes as a header's value; control characters are escaped, all else stays.
pub(super) fn header_value(bytes: &[u8]) -> HeaderValue {
    if let Ok(value) = HeaderValue::from_bytes(bytes) {
        return value;
    }
    let mut plain = Vec::with_capacity(bytes.len() + 2);
    for &byte in bytes {
        let control = (byte < b' ' && byte != b'\t') || byte == 0x7f;
        if control {
            plain.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            plain.push(byte);
        }
    }
    HeaderValue::from_bytes(&plain).expect("control characters are escaped")
}

/// `prefix` and the bytes as a header's name; `None` if that is no name even when escaped.
pub(super) fn header_name(prefix: &str, bytes: &[u8]) -> Option<HeaderName> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let name = format!("{prefix}{}", escape_unless(bytes, token));
    HeaderName::from_bytes(name.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_go_both_ways() {
        let rows: [(&str, &[u8]); 6] = [
            ("plain-._~", b"plain-._~"),
            ("a%2Fb%20c%25", b"a/b c%"),
            ("%C3%BC", "ü".as_bytes()),
            ("%00%0D%0A", b"\0\r\n"),
            ("%FF", b"\xff"),
            ("", b""),
        ];
        for (text, bytes) in rows {
            assert_eq!(unescape(text).as_deref(), Ok(bytes));
            assert_eq!(escape(bytes), text);
        }
        assert_eq!(unescape("a+b%2b").as_deref(), Ok(b"a b+".as_slice()));
    }

    #[test]
    fn broken_escapes_are_refused() {
        for text in ["%", "%4", "%zz", "a%4", "%%41", "%+1"] {
            assert_eq!(unescape(text), Err(BrokenEscape), "{text}");
        }
    }

    #[test]
    fn nothing_ends_a_header() {
        let rows: [(&[u8], &[u8]); 4] = [
            (b"plain, with\ttab", b"plain, with\ttab"),
            (b"a\r\nX-Evil: 1", b"a%0D%0AX-Evil: 1"),
            (b"nul\0del\x7f", b"nul%00del%7F"),
            (b"\xc3\xbc\r", b"\xc3\xbc%0D"),
        ];
        for (bytes, value) in rows {
            assert_eq!(header_value(bytes).as_bytes(), value);
        }
        let name = header_name("x-riak-meta-", b"Na me:\r\n").map(|name| name.to_string());
        assert_eq!(name.as_deref(), Some("x-riak-meta-na%20me%3a%0d%0a"));
    }
}
