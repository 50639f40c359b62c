//! One version of an object, as HTTP carries it.
//!
//! What belongs to it are its bytes and those headers that a client sets: two versions are the same if these are. Times and tags are given out
//! anew by each cluster.

use bytes::Bytes;
use ringhold_client::http::{HeaderMap, HeaderName, HeaderValue};
use ringhold_client::multipart::{self, Part};
use ringhold_client::{Answer, Request};

const DELETED: &str = "x-riak-deleted";
const LINK: &str = "link";
const INDEX: &str = "x-riak-index-";
/// Headers and beginnings of headers that belong to a version.
const OWN: [&str; 6] = [
    "content-type",
    "content-encoding",
    LINK,
    "x-riak-meta-",
    INDEX,
    "x-ringhold-expires-at",
];

/// See the module. Headers are sorted, names in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    headers: Vec<(String, Vec<u8>)>,
    body: Bytes,
}

impl Version {
    fn new<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])>, body: Bytes) -> Self {
        let mut own: Vec<(String, Vec<u8>)> = Vec::new();
        for (name, value) in headers {
            let name = name.to_ascii_lowercase();
            let is_own = OWN.iter().any(|own| match own.ends_with('-') {
                true => name.starts_with(own),
                false => name == *own,
            });
            if !is_own {
                continue;
            }
            // Lists come in one line or in several, in any order.
            if name == LINK || name.starts_with(INDEX) {
                let items = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
                let items = items.filter(|item| !item.is_empty() && !is_up(item));
                own.extend(items.map(|item| (name.clone(), item.to_vec())));
            } else {
                own.push((name, value.to_vec()));
            }
        }
        own.sort();
        Self { headers: own, body }
    }

    fn of_part(part: &Part) -> Self {
        let headers = part.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str(), value.as_bytes()));
        Self::new(headers, part.body.clone())
    }

    /// Its media type, without parameters.
    pub(super) fn content_type(&self) -> &str {
        let header = self.headers.iter().find(|(name, _)| name == "content-type");
        let value = header.and_then(|(_, value)| std::str::from_utf8(value).ok());
        value
            .unwrap_or_default()
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
    }

    /// Makes a request one that stores this version.
    pub(super) fn put_into(&self, request: &mut Request) -> Result<(), String> {
        let bad = |name: &str| format!("its header {name} can't be sent");
        for (name, value) in &self.headers {
            let name: HeaderName = name.parse().map_err(|_| bad(name))?;
            let value = HeaderValue::from_bytes(value).map_err(|_| bad(name.as_str()))?;
            request.headers.append(name, value);
        }
        request.body = self.body.clone();
        Ok(())
    }

    /// Bytes that are the same for the same version.
    pub(super) fn fingerprint(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, value) in &self.headers {
            bytes.extend(name.as_bytes());
            bytes.extend(b": ");
            bytes.extend(value);
            bytes.extend(b"\n");
        }
        bytes.extend(b"\n");
        bytes.extend(&self.body);
        bytes
    }
}

/// The link that each object has to its bucket.
fn is_up(item: &[u8]) -> bool {
    let text = String::from_utf8_lossy(item);
    text.contains("rel=\"up\"")
}

/// All versions of an answer to a get that asked for `multipart/mixed`, tombstones left out; sorted.
pub(super) fn versions(answer: &Answer) -> Result<Vec<Version>, String> {
    let is_tombstone = |headers: &HeaderMap| headers.contains_key(DELETED);
    let mut versions = match answer.status {
        404 => Vec::new(),
        200 if is_tombstone(&answer.headers) => Vec::new(),
        200 => {
            let headers = answer.headers.iter();
            let headers = headers.map(|(name, value)| (name.as_str(), value.as_bytes()));
            vec![Version::new(headers, answer.body.clone())]
        }
        300 => {
            let content_type = answer.header("content-type").unwrap_or_default();
            let boundary = multipart::boundary(content_type).map_err(|error| error.to_string())?;
            let parts = multipart::parse(boundary, &answer.body);
            let parts = parts.map_err(|error| error.to_string())?;
            let living = parts.iter().filter(|part| part.header(DELETED).is_none());
            living.map(Version::of_part).collect()
        }
        status => return Err(format!("{status} {}", answer.text().trim())),
    };
    versions.sort();
    Ok(versions)
}

/// Those of `there` that `here` lacks; of equal ones as many as are missing. Both are sorted.
pub(super) fn missing(there: &[Version], here: &[Version]) -> Vec<Version> {
    let mut left = here.to_vec();
    let mut missing = Vec::new();
    for version in there {
        match left.iter().position(|own| own == version) {
            Some(index) => drop(left.remove(index)),
            None => missing.push(version.clone()),
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> Answer {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        Answer {
            status,
            headers: map,
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    fn of(
        status: u16,
        headers: &[(&'static str, &'static str)],
        body: &'static str,
    ) -> Vec<Version> {
        versions(&answer(status, headers, body)).expect("an answer of the protocol")
    }

    #[test]
    fn what_each_cluster_says_of_its_own_does_not_matter() {
        let one = of(
            200,
            &[
                ("content-type", "text/plain"),
                ("etag", "a"),
                ("x-riak-vclock", "b"),
                (
                    "link",
                    "</buckets/b>; rel=\"up\", </buckets/c/keys/d>; riaktag=\"t\"",
                ),
                ("x-riak-index-f_int", "1, 2"),
            ],
            "v",
        );
        let other = of(
            200,
            &[
                ("x-riak-index-f_int", "2"),
                ("x-riak-index-f_int", "1"),
                ("content-type", "text/plain"),
                ("link", "</buckets/c/keys/d>; riaktag=\"t\""),
                ("etag", "c"),
            ],
            "v",
        );
        assert_eq!(one, other);
        assert_ne!(one, of(200, &[("content-type", "text/plain")], "v"));
        assert_eq!(one[0].content_type(), "text/plain");
    }

    #[test]
    fn siblings_come_apart_and_tombstones_are_left_out() {
        let body = "\r\n--B\r\nContent-Type: a/b\r\n\r\none\r\n--B\r\nContent-Type: a/b\r\nX-Riak-Deleted: true\r\n\r\n\r\n\
            --B\r\nContent-Type: a/b\r\n\r\ntwo\r\n--B--\r\n";
        let siblings = of(
            300,
            &[("content-type", "multipart/mixed; boundary=B")],
            body,
        );
        let bodies: Vec<&[u8]> = siblings.iter().map(|version| &version.body[..]).collect();
        assert_eq!(bodies, [&b"one"[..], b"two"]);
        assert!(of(404, &[], "not found\n").is_empty());
        assert!(of(404, &[(DELETED, "true")], "not found\n").is_empty());
        assert!(versions(&answer(503, &[], "request timed out\n")).is_err());
    }

    #[test]
    fn what_is_missing_is_counted() {
        let one = of(200, &[("content-type", "a/b")], "one").remove(0);
        let two = of(200, &[("content-type", "a/b")], "two").remove(0);
        let both = [one.clone(), two.clone()];
        assert_eq!(missing(&both, &[]), both);
        assert_eq!(missing(&both, &both), []);
        assert_eq!(missing(&both, &both[1..]), both[..1]);
        // Two equal siblings are two.
        let twins = [one.clone(), one];
        assert_eq!(missing(&twins, &twins[1..]), twins[..1]);
    }
}
