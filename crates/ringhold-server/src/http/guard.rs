//! Requests that a browser makes for a page of somebody else.
//!
//! Nobody has to log in to a node on loopback, so any page that the user of that machine visits could
//! make their browser send requests here. As Riak does, we turn away what admits to it: an `Origin` of
//! `null`, and a `Referer` that is not of this server. A page that hides both can still send simple
//! requests, and a name that resolves to 127.0.0.1 still looks like our own; authentication is the answer
//! to these, and until it is there a node listens on loopback only.
//!
//! A request of HTTP/1.1 must name its host once (RFC 9112, 3.2); what doesn't is refused, because a proxy in
//! front may have understood it differently (T29).

use hyper::header::{HOST, HeaderValue, ORIGIN, REFERER};
use hyper::http::uri::Authority;
use hyper::{HeaderMap, Uri, Version};

/// Why a request is turned away unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turned {
    /// 400.
    NoHost,
    /// 403.
    ForeignOrigin,
}

pub(super) fn check(version: Version, headers: &HeaderMap) -> Result<(), Turned> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next();
    let hosts_wrong = hosts.next().is_some() || (host.is_none() && version == Version::HTTP_11);
    if hosts_wrong {
        return Err(Turned::NoHost);
    }
    let origin_is_null = headers
        .get_all(ORIGIN)
        .iter()
        .any(|origin| origin.as_bytes() == b"null");
    let foreign = headers
        .get_all(REFERER)
        .iter()
        .any(|referer| !is_ours(referer, host));
    if origin_is_null || foreign {
        return Err(Turned::ForeignOrigin);
    }
    Ok(())
}

/// Whether a page that came from this server, as the client calls it, made the request.
fn is_ours(referer: &HeaderValue, host: Option<&HeaderValue>) -> bool {
    if referer.is_empty() {
        return true;
    }
    let referer = referer
        .to_str()
        .ok()
        .and_then(|text| text.parse::<Uri>().ok());
    let ours = host.and_then(|host| host.to_str().ok());
    match (referer, ours) {
        (Some(referer), Some(ours)) => {
            let authority = referer.authority().map(Authority::as_str);
            referer.scheme_str() == Some("http")
                && authority.is_some_and(|theirs| same_authority(theirs, ours))
        }
        _ => false,
    }
}

fn same_authority(one: &str, other: &str) -> bool {
    let bare = |text: &str| {
        text.strip_suffix(":80")
            .unwrap_or(text)
            .to_ascii_lowercase()
    };
    bare(one) == bare(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(version: Version, given: &[(&'static str, &'static str)]) -> Result<(), Turned> {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, HeaderValue::from_static(value));
        }
        check(version, &headers)
    }

    #[test]
    fn hosts() {
        assert_eq!(checked(Version::HTTP_11, &[]), Err(Turned::NoHost));
        assert_eq!(checked(Version::HTTP_10, &[]), Ok(()));
        assert_eq!(checked(Version::HTTP_11, &[("host", "a")]), Ok(()));
        assert_eq!(
            checked(Version::HTTP_11, &[("host", "a"), ("host", "a")]),
            Err(Turned::NoHost)
        );
    }

    #[test]
    fn origins_and_referers() {
        let rows = [
            ("origin", "null", false),
            ("origin", "http://elsewhere", true),
            ("referer", "http://localhost:8098/", true),
            ("referer", "http://LOCALHOST:8098", true),
            ("referer", "", true),
            ("referer", "https://localhost:8098/", false),
            ("referer", "http://localhost:8099/", false),
            ("referer", "http://localhost/", false),
            ("referer", "http://elsewhere:8098/", false),
            ("referer", "http://localhost:8098@elsewhere/", false),
            ("referer", "/relative", false),
            ("referer", "::", false),
        ];
        for (name, value, fine) in rows {
            let given = [("host", "localhost:8098"), (name, value)];
            let want = if fine {
                Ok(())
            } else {
                Err(Turned::ForeignOrigin)
            };
            assert_eq!(checked(Version::HTTP_11, &given), want, "{name}: {value}");
        }
        let by_default_port = [("host", "a:80"), ("referer", "http://a/x")];
        assert_eq!(checked(Version::HTTP_11, &by_default_port), Ok(()));
    }
}
