//! Percent-encoding of names in paths and queries (RFC 3986, §2).
//!
//! Only the unreserved characters stand for themselves. Servers of this protocol decode `+` as a
//! space, so a plus is never left bare and a space is never written as one. A name may hold any
//! bytes; `/`, `.` and `..` within it arrive as part of the name, never as part of the path.

/// The name as one segment of a path, or one value of a query.
#[must_use]
pub fn encode(name: impl AsRef<[u8]>) -> String {
    let name = name.as_ref();
    // A segment of dots alone has a meaning of its own in a path, encoded or not at the reader's
    // choice; encoded is the form that survives more of them.
    let only_dots = name.iter().all(|&byte| byte == b'.');
    let mut encoded = String::with_capacity(name.len());
    for &byte in name {
        let unreserved = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'_' | b'~')
            || (byte == b'.' && !only_dots);
        if unreserved {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push(hexadecimal_digit(byte >> 4));
            encoded.push(hexadecimal_digit(byte & 0x0f));
        }
    }
    encoded
}

/// The bytes of an encoded name; none if it has an escape that is none.
#[must_use]
pub fn decode(encoded: &str) -> Option<Vec<u8>> {
    let mut rest = encoded.as_bytes();
    let mut name = Vec::with_capacity(rest.len());
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'%' {
            name.push(byte);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2)?;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let value = digit(digits[0])? * 16 + digit(digits[1])?;
        name.push(u8::try_from(value).ok()?);
        rest = behind;
    }
    Some(name)
}

fn hexadecimal_digit(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16)
        .expect("a nibble is below 16")
        .to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_bytes_are_escaped_and_the_others_are_not() {
        let check = |name: &[u8], encoded: &str| {
            assert_eq!(encode(name), encoded);
            assert_eq!(decode(encoded).as_deref(), Some(name));
        };
        check(b"", "");
        check(b"1475-41366516916", "1475-41366516916");
        check(b"a_b~c.d", "a_b~c.d");
        check(b"a b+c", "a%20b%2Bc");
        check(b"a/b?c#d&e=f%", "a%2Fb%3Fc%23d%26e%3Df%25");
        check(b".", "%2E");
        check(b"..", "%2E%2E");
        check("ü".as_bytes(), "%C3%BC");
        check(&[0x00, 0x0a, 0xff], "%00%0A%FF");
        for broken in ["%", "%4", "a%zz", "%+1"] {
            assert_eq!(decode(broken), None, "{broken}");
        }
    }
}
