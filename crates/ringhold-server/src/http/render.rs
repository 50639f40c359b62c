//! An object as an answer.
//!
//! Three steps, each a value: [`View`] is what a client of this bucket is shown of an object (all
//! siblings, or the last write; in either case with the context of all of it, so that writing back
//! replaces everything, seen or not shown). [`Choice`] is the representation of it that the request
//! asks for. The answer is that choice with its headers.
//!
//! An object whose every version is a tombstone is not there, but its context is: the answer is 404 with
//! `X-Riak-Deleted` and the context to write over the tombstones with.

use super::Answer;
use super::accept;
use super::condition::Validators;
use super::metadata::{content_encoding_of, content_type_of, expiry_of, links_of, named_headers};
use super::multipart;
use super::problem::Problem;
use super::route::BucketName;
use super::text::header_value;
use crate::edge::names::{siblings_tag, vtag};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LAST_MODIFIED, LINK, VARY,
};
use hyper::{Response, StatusCode};
use ringhold_core::version::{Content, Object, Timestamp, Version};
use ringhold_wire::metadata::Metadata;
use std::time::{Duration, UNIX_EPOCH};

pub(super) const VCLOCK: HeaderName = HeaderName::from_static("x-riak-vclock");
const DELETED: HeaderName = HeaderName::from_static("x-riak-deleted");

/// The last second of the year 9999, the last that a header can name.
const LAST_SECOND: u64 = 253_402_300_799;

const TEXT: &str = "text/plain";
const MULTIPART: &str = "multipart/mixed";

/// What a client is shown of an object.
pub(super) struct View<'a> {
    object: &'a Object,
    bucket: &'a BucketName,
    vclock: HeaderValue,
    shown: Vec<&'a Version>,
}

/// The representation that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice<'a> {
    One(&'a Version),
    /// The vtags of all siblings, one a line.
    ListOfSiblings,
    AllSiblings,
}

impl<'a> View<'a> {
    /// `vclock` is the sealed context of the object, in base 64.
    pub(super) fn of(
        object: &'a Object,
        shown: Vec<&'a Version>,
        bucket: &'a BucketName,
        vclock: &str,
    ) -> Self {
        Self {
            object,
            bucket,
            vclock: header_value(vclock.as_bytes()),
            shown,
        }
    }

    pub(super) fn shown(&self) -> &[&'a Version] {
        &self.shown
    }

    /// Whether there is anything but tombstones.
    pub(super) fn has_value(&self) -> bool {
        self.shown
            .iter()
            .any(|version| !version.content.is_tombstone())
    }

    /// What to answer when there is no value.
    pub(super) fn nothing(&self) -> Problem {
        if self.shown.is_empty() {
            return Problem::not_found();
        }
        Problem::not_found()
            .with(VCLOCK, self.vclock.clone())
            .with(DELETED, HeaderValue::from_static("true"))
    }

    /// Finds the representation for a get: the sibling of this vtag, or what `Accept` prefers.
    pub(super) fn choose(
        &self,
        asked_vtag: Option<&str>,
        accept: Option<&[u8]>,
    ) -> Result<Choice<'a>, Problem> {
        let one = match (self.shown.as_slice(), asked_vtag) {
            ([only], _) => Some(*only),
            (siblings, Some(asked)) => {
                let found = siblings.iter().find(|version| vtag(version.dot) == asked);
                Some(*found.ok_or_else(|| {
                    Problem::new(
                        StatusCode::NOT_FOUND,
                        "there is no sibling with this vtag\n",
                    )
                    .with(VARY, HeaderValue::from_static("Accept, Accept-Encoding"))
                })?)
            }
            (_, None) => None,
        };
        let Some(one) = one else {
            return match accept::choose(accept, &[TEXT, MULTIPART]) {
                Some(TEXT) => Ok(Choice::ListOfSiblings),
                Some(_) => Ok(Choice::AllSiblings),
                None => Err(Problem::not_acceptable()),
            };
        };
        let media_type = metadata_of(one).content_type.unwrap_or_default();
        let offered = String::from_utf8_lossy(&media_type);
        let acceptable = media_type.is_empty() || accept::choose(accept, &[&offered]).is_some();
        if acceptable {
            Ok(Choice::One(one))
        } else {
            Err(Problem::not_acceptable())
        }
    }

    /// The representation for the answer to a store.
    pub(super) fn whole(&self) -> Choice<'a> {
        match self.shown.as_slice() {
            [only] => Choice::One(only),
            _ => Choice::AllSiblings,
        }
    }

    /// What names the state of a representation.
    pub(super) fn validators(&self, choice: Choice<'_>) -> Validators {
        match choice {
            Choice::One(version) => Validators {
                etag: vtag(version.dot),
                last_modified_s: version.timestamp.seconds(),
            },
            Choice::ListOfSiblings | Choice::AllSiblings => {
                let newest = self
                    .shown
                    .iter()
                    .map(|version| version.timestamp)
                    .max()
                    .unwrap_or_default();
                Validators {
                    etag: siblings_tag(self.object.context()),
                    last_modified_s: newest.seconds(),
                }
            }
        }
    }

    /// 304: the client has it.
    pub(super) fn not_modified(&self, choice: Choice<'_>) -> Answer {
        let mut answer = Response::new(Full::default());
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        let headers = answer.headers_mut();
        headers.insert(VARY, vary(choice, true));
        headers.insert(ETAG, quoted(&self.validators(choice).etag));
        answer
    }

    /// The answer. `negotiated`: that `Accept` had a say in it; `boundary` makes what stands between several parts.
    pub(super) fn answer(
        &self,
        choice: Choice<'_>,
        negotiated: bool,
        boundary: impl FnOnce() -> String,
    ) -> Answer {
        let (status, content_type, body) = match choice {
            Choice::One(version) => (
                StatusCode::OK,
                content_type_of(&metadata_of(version)),
                value_of(version),
            ),
            Choice::ListOfSiblings => {
                let vtags = self.shown.iter().map(|version| vtag(version.dot) + "\n");
                let list = "Siblings:\n".to_owned() + &vtags.collect::<String>();
                (
                    StatusCode::MULTIPLE_CHOICES,
                    HeaderValue::from_static(TEXT),
                    Bytes::from(list),
                )
            }
            Choice::AllSiblings => {
                let boundary = boundary();
                let content_type =
                    header_value(format!("{MULTIPART}; boundary={boundary}").as_bytes());
                (
                    StatusCode::MULTIPLE_CHOICES,
                    content_type,
                    multipart::body(&self.shown, self.bucket, &boundary),
                )
            }
        };
        let validators = self.validators(choice);
        let mut answer = Response::new(Full::new(body));
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        headers.insert(VCLOCK, self.vclock.clone());
        headers.insert(VARY, vary(choice, negotiated));
        headers.insert(LAST_MODIFIED, date_value(validators.last_modified_s));
        headers.insert(ETAG, quoted(&validators.etag));
        headers.insert(CONTENT_TYPE, content_type);
        if let Choice::One(version) = choice {
            self.describe_one(version, &mut answer);
        }
        answer
    }

    /// The headers that one version has beyond those of every answer.
    fn describe_one(&self, version: &Version, answer: &mut Answer) {
        let metadata = metadata_of(version);
        let headers = answer.headers_mut();
        headers.insert(LINK, links_of(&metadata, self.bucket));
        if metadata.content_encoding.is_some() {
            // Stored in one encoding, it is served in no other.
            headers.remove(VARY);
        }
        if let Some(encoding) = content_encoding_of(&metadata) {
            headers.insert(CONTENT_ENCODING, encoding);
        }
        if version.content.is_tombstone() {
            headers.insert(DELETED, HeaderValue::from_static("true"));
        }
        for (name, value) in named_headers(&metadata)
            .into_iter()
            .chain(expiry_of(version))
        {
            headers.append(name, value);
        }
    }
}

fn vary(choice: Choice<'_>, negotiated: bool) -> HeaderValue {
    match choice {
        Choice::ListOfSiblings | Choice::AllSiblings if negotiated => {
            HeaderValue::from_static("Accept, Accept-Encoding")
        }
        _ => HeaderValue::from_static("Accept-Encoding"),
    }
}

fn quoted(tag: &str) -> HeaderValue {
    header_value(format!("\"{tag}\"").as_bytes())
}

fn date_value(seconds: u64) -> HeaderValue {
    header_value(http_date(Timestamp(seconds.min(LAST_SECOND) * 1_000_000)).as_bytes())
}

/// A time as headers have it.
pub(super) fn http_date(timestamp: Timestamp) -> String {
    let since = Duration::from_secs(timestamp.seconds().min(LAST_SECOND));
    httpdate::fmt_http_date(UNIX_EPOCH + since)
}

/// What is said of a version; of a tombstone, nothing.
pub(super) fn metadata_of(version: &Version) -> Metadata {
    match &version.content {
        Content::Tombstone => Metadata::default(),
        Content::Value { metadata, .. } => Metadata::from_fields(metadata).unwrap_or_else(|error| {
            tracing::error!(%error, "a version's metadata can't be read; the value is served without it");
            Metadata::default()
        }),
    }
}

/// The bytes of a version; a tombstone has none.
pub(super) fn value_of(version: &Version) -> Bytes {
    match &version.content {
        Content::Tombstone => Bytes::new(),
        Content::Value { bytes, .. } => bytes.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_broken_clocks_are_dates() {
        assert_eq!(http_date(Timestamp(0)), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(
            http_date(Timestamp(1_420_156_800_999_999)),
            "Fri, 02 Jan 2015 00:00:00 GMT"
        );
        assert_eq!(
            http_date(Timestamp(u64::MAX)),
            "Fri, 31 Dec 9999 23:59:59 GMT"
        );
        assert_eq!(date_value(u64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
