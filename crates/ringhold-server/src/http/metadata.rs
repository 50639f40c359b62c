//! What a client says of a value, as headers: content type, user's pairs, links, index entries.
//!
//! [`read`] turns the headers of a store into [`Metadata`], [`write`] turns it back into the headers of a
//! fetch. Pairs and index entries are put into one order, so that a retry of the same request has the
//! same bytes, and with them the same content hash, whatever order a proxy sent the headers in (T6).
//!
//! As in Riak: of a content type only media type and charset are kept; several values of an index field
//! stand in one header, between commas, with no way to write a comma; links take the form of the address
//! that they are stored under, and one link `rel="up"` to the own bucket is tolerated, because it is in every
//! answer that a client might send back.
//!
//! `X-Ringhold-Expires-At` says until when a value is shown, in seconds since 1970 or as a date; an answer has it in seconds.
//!
//! Not here: what carries no meaning for the value itself (context, conditions, options).

use super::problem::Problem;
use super::route::{BucketName, Form};
use super::text::{escape, header_name, header_value, unescape};
use crate::edge::index_entry::{BadEntry, index_entry};
use bytes::Bytes;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, LINK};
use hyper::{HeaderMap, StatusCode};
use ringhold_core::version::Version;
use ringhold_wire::metadata::{self, Link, Metadata, NamedValue};
use std::fmt;
use std::time::UNIX_EPOCH;

const USER_PREFIX: &str = "x-riak-meta-";
const INDEX_PREFIX: &str = "x-riak-index-";
const EXPIRES_AT: HeaderName = HeaderName::from_static("x-ringhold-expires-at");
const OCTETS: &[u8] = b"application/octet-stream";

/// Headers that say something impossible of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BadMetadata {
    NoContentType,
    ContentType { given: String },
    Link { form: Form },
    Index(BadEntry),
    ExpiresAt { given: String },
}

impl fmt::Display for BadMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoContentType => f.write_str("Missing Content-Type request header"),
            Self::ContentType { given } => {
                writeln!(
                    f,
                    "\"{given}\" is not a valid media type for the Content-type header."
                )
            }
            Self::Link { form } => {
                let place = if *form == Form::Old {
                    "/riak/BUCKET/KEY"
                } else {
                    "/buckets/BUCKET/keys/KEY"
                };
                writeln!(
                    f,
                    "Invalid Link header. Links must be of the form\n<{place}>; riaktag=\"TAG\""
                )
            }
            Self::Index(BadEntry::Field { field }) => {
                writeln!(f, "Unknown field type for field: '{}'.", lossy(field))
            }
            Self::Index(BadEntry::Value { field, value }) => {
                let (field, value) = (lossy(field), lossy(value));
                writeln!(f, "Could not parse field '{field}', value '{value}'.")
            }
            Self::ExpiresAt { given } => writeln!(
                f,
                "X-Ringhold-Expires-At takes whole seconds since 1970 or an HTTP date, not '{given}'."
            ),
        }
    }
}

impl BadMetadata {
    pub(super) fn problem(&self) -> Problem {
        let status = match self {
            Self::ContentType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            _ => StatusCode::BAD_REQUEST,
        };
        Problem::new(status, self.to_string())
    }
}

/// Reads what the headers of a store say of its value.
pub(super) fn read(headers: &HeaderMap, bucket: &BucketName) -> Result<Metadata, BadMetadata> {
    let (content_type, charset) = content_type(headers)?;
    Ok(Metadata {
        content_type: Some(content_type),
        charset,
        content_encoding: headers
            .get(CONTENT_ENCODING)
            .map(bytes_of)
            .filter(|bytes| !bytes.is_empty()),
        user: user(headers),
        links: links(headers, bucket)?,
        indexes: indexes(headers)?,
        expires_at_us: expires_at_us(headers)?,
        ..Metadata::default()
    })
}

/// Until when the value is to be shown, in microseconds since 1970.
fn expires_at_us(headers: &HeaderMap) -> Result<Option<u64>, BadMetadata> {
    let Some(given) = headers.get(EXPIRES_AT) else {
        return Ok(None);
    };
    let text = lossy(given.as_bytes());
    let date = || {
        let time = httpdate::parse_http_date(&text).ok()?;
        Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs())
    };
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = if is_number { text.parse().ok() } else { date() };
    match seconds.and_then(|seconds: u64| seconds.checked_mul(1_000_000)) {
        Some(time_us) => Ok(Some(time_us)),
        None => Err(BadMetadata::ExpiresAt { given: text }),
    }
}

/// The same, for the answer: whole seconds, none of them too few.
pub(super) fn expiry_of(version: &Version) -> Option<(HeaderName, HeaderValue)> {
    let seconds = metadata::expires_at_us(version)?.div_ceil(1_000_000);
    Some((EXPIRES_AT, HeaderValue::from(seconds)))
}

fn bytes_of(value: &HeaderValue) -> Bytes {
    Bytes::copy_from_slice(value.as_bytes())
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Media type and charset.
fn content_type(headers: &HeaderMap) -> Result<(Bytes, Option<Bytes>), BadMetadata> {
    let given = headers
        .get(CONTENT_TYPE)
        .map(HeaderValue::as_bytes)
        .unwrap_or_default();
    let mut parts = given.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let media_type = parts.next().unwrap_or_default();
    if media_type.is_empty() {
        return Err(BadMetadata::NoContentType);
    }
    let mut halves = media_type.split(|byte| *byte == b'/');
    let well_formed = halves
        .by_ref()
        .take(2)
        .filter(|half| is_token(half))
        .count()
        == 2
        && halves.next().is_none();
    if !well_formed {
        return Err(BadMetadata::ContentType {
            given: lossy(given),
        });
    }
    let charset = parts.find_map(|parameter| {
        let at = parameter.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (
            parameter[..at].trim_ascii(),
            parameter[at + 1..].trim_ascii(),
        );
        let unquoted = value
            .strip_prefix(b"\"")
            .and_then(|value| value.strip_suffix(b"\""))
            .unwrap_or(value);
        (name.eq_ignore_ascii_case(b"charset") && !unquoted.is_empty())
            .then(|| Bytes::copy_from_slice(unquoted))
    });
    Ok((Bytes::copy_from_slice(media_type), charset))
}

fn is_token(text: &[u8]) -> bool {
    !text.is_empty()
        && text
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// The user's pairs by name; several values of one name are joined.
fn user(headers: &HeaderMap) -> Vec<NamedValue> {
    let mut user = Vec::new();
    for name in headers.keys() {
        let Some(bare) = name
            .as_str()
            .strip_prefix(USER_PREFIX)
            .filter(|bare| !bare.is_empty())
        else {
            continue;
        };
        let values: Vec<&[u8]> = headers
            .get_all(name)
            .iter()
            .map(HeaderValue::as_bytes)
            .collect();
        user.push(NamedValue {
            name: Bytes::copy_from_slice(bare.as_bytes()),
            value: values.join(&b", "[..]).into(),
        });
    }
    user.sort();
    user
}

fn indexes(headers: &HeaderMap) -> Result<Vec<NamedValue>, BadMetadata> {
    let mut entries = Vec::new();
    for name in headers.keys() {
        let Some(field) = name.as_str().strip_prefix(INDEX_PREFIX) else {
            continue;
        };
        let values = headers
            .get_all(name)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        for value in values
            .map(<[u8]>::trim_ascii)
            .filter(|value| !value.is_empty())
        {
            let value = Bytes::copy_from_slice(value);
            let entry = index_entry(field.as_bytes(), &value);
            entries.push(entry.map_err(BadMetadata::Index)?);
        }
    }
    entries.sort();
    entries.dedup();
    Ok(entries)
}

fn links(headers: &HeaderMap, bucket: &BucketName) -> Result<Vec<Link>, BadMetadata> {
    let bad = || BadMetadata::Link { form: bucket.form };
    let mut links = Vec::new();
    for header in headers.get_all(LINK) {
        let mut rest = header.to_str().map_err(|_| bad())?.trim();
        while !rest.is_empty() {
            let (target, after) = rest
                .strip_prefix('<')
                .and_then(|rest| rest.split_once('>'))
                .ok_or_else(bad)?;
            let after = after
                .trim_start()
                .strip_prefix(';')
                .ok_or_else(bad)?
                .trim_start();
            let (name, after) = after.split_once("=\"").ok_or_else(bad)?;
            let (value, after) = after.split_once('"').ok_or_else(bad)?;
            links.extend(link(target, name, value, bucket).ok_or_else(bad)?);
            let after = after.trim_start();
            rest = match after.strip_prefix(',') {
                Some(next) => next.trim_start(),
                None if after.is_empty() => after,
                None => return Err(bad()),
            };
        }
    }
    Ok(links)
}

/// One link; `Some(None)` for the one that leads up.
fn link(target: &str, name: &str, value: &str, bucket: &BucketName) -> Option<Option<Link>> {
    let segments: Vec<&str> = target.strip_prefix('/')?.split('/').collect();
    let decode = |text: &str| unescape(text).ok().filter(|bytes| !bytes.is_empty());
    let named = |b: &str, k: &str| {
        let link = Link {
            bucket: decode(b)?,
            key: decode(k)?,
            tag: decode(value)?,
        };
        (name == "riaktag").then_some(Some(link))
    };
    let up =
        |b: &str| (name == "rel" && value == "up" && decode(b)? == bucket.bucket).then_some(None);
    match (bucket.form, segments.as_slice()) {
        (Form::Old, ["riak", b, k]) => named(b, k),
        (Form::Old, ["riak", b]) => up(b),
        (Form::Plain | Form::Typed, ["buckets", b, "keys", k]) => named(b, k),
        (Form::Plain | Form::Typed, ["buckets", b]) => up(b),
        _ => None,
    }
}

/// The content type of a value, with its charset.
pub(super) fn content_type_of(metadata: &Metadata) -> HeaderValue {
    let media_type = metadata
        .content_type
        .as_deref()
        .filter(|bytes| !bytes.is_empty())
        .unwrap_or(OCTETS);
    match &metadata.charset {
        Some(charset) => header_value(&[media_type, b"; charset=", charset].concat()),
        None => header_value(media_type),
    }
}

/// The encoding to announce; `identity` needs no word.
pub(super) fn content_encoding_of(metadata: &Metadata) -> Option<HeaderValue> {
    let encoding = metadata.content_encoding.as_ref()?;
    (!encoding.eq_ignore_ascii_case(b"identity")).then(|| header_value(encoding))
}

/// The link to the own bucket, and those that were stored. Typed addresses print the plain form.
pub(super) fn links_of(metadata: &Metadata, bucket: &BucketName) -> HeaderValue {
    let old = bucket.form == Form::Old;
    let up = escape(&bucket.bucket);
    let mut text = if old {
        format!("</riak/{up}>; rel=\"up\"")
    } else {
        format!("</buckets/{up}>; rel=\"up\"")
    };
    for link in &metadata.links {
        let (b, k, tag) = (escape(&link.bucket), escape(&link.key), escape(&link.tag));
        let target = if old {
            format!("/riak/{b}/{k}")
        } else {
            format!("/buckets/{b}/keys/{k}")
        };
        text.push_str(&format!(", <{target}>; riaktag=\"{tag}\""));
    }
    header_value(text.as_bytes())
}

/// The user's pairs and the index entries, as the headers that they came in. What can't be a header's
/// name is left out.
pub(super) fn named_headers(metadata: &Metadata) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = Vec::with_capacity(metadata.user.len() + metadata.indexes.len());
    for pair in &metadata.user {
        let name = header_name(USER_PREFIX, &pair.name);
        headers.extend(name.map(|name| (name, header_value(&pair.value))));
    }
    for entries in metadata
        .indexes
        .chunk_by(|one, other| one.name == other.name)
    {
        let values: Vec<&[u8]> = entries.iter().map(|entry| &entry.value[..]).collect();
        let name = header_name(INDEX_PREFIX, &entries[0].name);
        headers.extend(name.map(|name| (name, header_value(&values.join(&b", "[..])))));
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(form: Form) -> BucketName {
        BucketName {
            bucket_type: Bytes::from("default"),
            bucket: Bytes::from("b"),
            form,
        }
    }

    fn read_in(
        form: Form,
        given: &[(&'static str, &'static str)],
    ) -> Result<Metadata, BadMetadata> {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            let value = HeaderValue::from_str(value).expect("a header's value");
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).expect("a header's name"),
                value,
            );
        }
        read(&headers, &bucket(form))
    }

    fn with_type(name: &'static str, value: &'static str) -> Result<Metadata, BadMetadata> {
        read_in(
            Form::Plain,
            &[("content-type", "text/plain"), (name, value)],
        )
    }

    fn shown(metadata: &Metadata, form: Form) -> Vec<String> {
        let text = |value: &HeaderValue| lossy(value.as_bytes());
        let mut lines = vec![
            text(&content_type_of(metadata)),
            text(&links_of(metadata, &bucket(form))),
        ];
        lines.extend(
            named_headers(metadata)
                .iter()
                .map(|(name, value)| format!("{name}: {}", text(value))),
        );
        lines
    }

    #[test]
    fn an_end_is_a_number_or_a_date() {
        let end = |value| with_type("x-ringhold-expires-at", value).map(|read| read.expires_at_us);
        let us = 1_420_156_800_000_000;
        assert_eq!(end("1420156800"), Ok(Some(us)));
        assert_eq!(end("Fri, 02 Jan 2015 00:00:00 GMT"), Ok(Some(us)));
        for wrong in [
            "",
            "soon",
            "-1",
            "1.5",
            "99999999999999999999",
            "18446744073709551615",
        ] {
            let given = wrong.to_owned();
            assert_eq!(end(wrong), Err(BadMetadata::ExpiresAt { given }));
        }
    }

    #[test]
    fn content_types() {
        let rows = [
            ("text/plain", Some("text/plain")),
            (
                "text/plain; charset=utf-8",
                Some("text/plain; charset=utf-8"),
            ),
            (
                "text/plain;foo=bar; Charset=\"utf-8\"; x",
                Some("text/plain; charset=utf-8"),
            ),
            ("application/vnd.a+json", Some("application/vnd.a+json")),
            ("notamime", None),
            ("a/b/c", None),
            ("/b", None),
            ("a/", None),
            ("a b/c", None),
        ];
        for (given, kept) in rows {
            let metadata = read_in(Form::Plain, &[("content-type", given)]);
            match kept {
                Some(kept) => assert_eq!(content_type_of(&metadata.expect(given)), kept),
                None => assert_eq!(
                    metadata,
                    Err(BadMetadata::ContentType {
                        given: given.to_owned()
                    })
                ),
            }
        }
        for missing in [
            &[("accept", "*/*")][..],
            &[("content-type", "")],
            &[("content-type", " ; charset=x")],
        ] {
            assert_eq!(
                read_in(Form::Plain, missing),
                Err(BadMetadata::NoContentType)
            );
        }
    }

    #[test]
    fn pairs_come_back_in_one_order() {
        let one = [
            ("content-type", "a/b"),
            ("x-riak-meta-zoo", "1"),
            ("x-riak-meta-ape", "2"),
            ("x-riak-meta-ape", "3"),
        ];
        let mut other = one;
        other.swap(1, 2);
        other.swap(2, 3);
        let metadata = read_in(Form::Plain, &one).expect("fine");
        assert_eq!(metadata, read_in(Form::Plain, &other).expect("fine"));
        assert_eq!(
            shown(&metadata, Form::Plain)[2..],
            ["x-riak-meta-ape: 2, 3", "x-riak-meta-zoo: 1"]
        );
    }

    #[test]
    fn index_entries() {
        let given = [
            ("content-type", "a/b"),
            ("x-riak-index-age_int", "42, -007,+8"),
            ("X-Riak-Index-Name_BIN", "Bob, Alice"),
            ("x-riak-index-name_bin", "Carol,,Bob"),
        ];
        let metadata = read_in(Form::Plain, &given).expect("fine");
        let lines = [
            "x-riak-index-age_int: -7, 42, 8",
            "x-riak-index-name_bin: Alice, Bob, Carol",
        ];
        assert_eq!(shown(&metadata, Form::Plain)[2..], lines);
    }

    #[test]
    fn index_entries_that_are_none() {
        let rows = [
            (
                "x-riak-index-age_int",
                "notint",
                "Could not parse field 'age_int', value 'notint'.\n",
            ),
            (
                "x-riak-index-age_int",
                "1,-",
                "Could not parse field 'age_int', value '-'.\n",
            ),
            (
                "x-riak-index-age_int",
                "1.5",
                "Could not parse field 'age_int', value '1.5'.\n",
            ),
            (
                "x-riak-index-f",
                "x",
                "Unknown field type for field: 'f'.\n",
            ),
            (
                "x-riak-index-$key",
                "x",
                "Unknown field type for field: '$key'.\n",
            ),
            (
                "x-riak-index-_bin",
                "x",
                "Unknown field type for field: '_bin'.\n",
            ),
        ];
        for (name, value, text) in rows {
            assert_eq!(
                with_type(name, value).map_err(|bad| bad.to_string()),
                Err(text.to_owned())
            );
        }
    }

    #[test]
    fn links_come_back_in_the_form_of_the_address() {
        let plain = "</buckets/b>; rel=\"up\", </buckets/a%20b/keys/k%2F1>; riaktag=\"friend\",</buckets/c/keys/d>;riaktag=\"x\"";
        let metadata = with_type("link", plain).expect("fine");
        assert_eq!(metadata.links.len(), 2);
        assert_eq!(
            (&metadata.links[0].bucket[..], &metadata.links[0].key[..]),
            (&b"a b"[..], &b"k/1"[..])
        );
        let again = "</buckets/b>; rel=\"up\", </buckets/a%20b/keys/k%2F1>; riaktag=\"friend\", </buckets/c/keys/d>; riaktag=\"x\"";
        assert_eq!(shown(&metadata, Form::Typed)[1], again);
        let old = "</riak/b>; rel=\"up\", </riak/a%20b/k%2F1>; riaktag=\"friend\", </riak/c/d>; riaktag=\"x\"";
        assert_eq!(shown(&metadata, Form::Old)[1], old);
        let read_back =
            read_in(Form::Old, &[("content-type", "text/plain"), ("link", old)]).expect("fine");
        assert_eq!(read_back.links, metadata.links);
    }

    #[test]
    fn links_that_are_none() {
        let rows = [
            "garbage",
            "<garbage>",
            "</riak/b/k>; riaktag=\"t\"",
            "</buckets/b/keys/k>",
            "</buckets/b/keys/k>; riaktag=t",
            "</buckets/b/keys/k>; riaktag=\"\"",
            "</buckets/b/keys/k>; rel=\"t\"",
            "</buckets/b/keys/k>; riaktag=\"t\" </buckets/b/keys/k>; riaktag=\"t\"",
            "</buckets/other>; rel=\"up\"",
            "</buckets/%zz/keys/k>; riaktag=\"t\"",
            "<http://h/buckets/b/keys/k>; riaktag=\"t\"",
        ];
        for value in rows {
            assert_eq!(
                with_type("link", value),
                Err(BadMetadata::Link { form: Form::Plain }),
                "{value}"
            );
        }
        let text = "Invalid Link header. Links must be of the form\n</buckets/BUCKET/keys/KEY>; riaktag=\"TAG\"\n";
        assert_eq!(BadMetadata::Link { form: Form::Plain }.to_string(), text);
    }

    #[test]
    fn metadata_of_other_protocols_can_t_break_out_of_its_header() {
        let pair = |name: &'static [u8], value: &'static [u8]| NamedValue {
            name: name.into(),
            value: value.into(),
        };
        let metadata = Metadata {
            content_type: Some(Bytes::from_static(b"text/plain\r\nX: 1")),
            charset: Some(Bytes::from_static(b"a\nb")),
            user: vec![pair(b"a b\r\n", b"c\r\nd")],
            links: vec![Link {
                bucket: "\r\n".into(),
                key: "\"".into(),
                tag: "\">".into(),
            }],
            indexes: vec![pair(b"i:\n_bin", b"\0")],
            ..Metadata::default()
        };
        let lines = [
            "text/plain%0D%0AX: 1; charset=a%0Ab",
            "</buckets/b>; rel=\"up\", </buckets/%0D%0A/keys/%22>; riaktag=\"%22%3E\"",
            "x-riak-meta-a%20b%0d%0a: c%0D%0Ad",
            "x-riak-index-i%3a%0a_bin: %00",
        ];
        assert_eq!(shown(&metadata, Form::Plain), lines);
    }
}
