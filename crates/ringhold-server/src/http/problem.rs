//! What a client is told when it doesn't get what it asked for.
//!
//! A [`Problem`] is a status, a text and perhaps headers; every step of a request returns one instead of
//! its result, and it becomes the answer. The texts for what Riak knows are Riak's. What it does not
//! know is said in ours:
//!
//! | | status |
//! | --- | --- |
//! | the object with its siblings would be too large | 413 |
//! | as many siblings, or context entries, as are allowed | 409: read, resolve, write with that context |
//! | overloaded | 503 with `Retry-After` |
//!
//! A put that was not acknowledged says in `X-Ringhold-Outcome` what it left: `not-started` when
//! nothing was written and a retry is free, `unknown` when the write may be there or appear later; then
//! a retry should carry the same `Idempotency-Key` (T6). A refused put, 4xx, wrote nothing.

use super::Answer;
use super::options::BadOption;
use super::route::Unrouted;
use crate::edge::datatype::precondition;
use crate::edge::patience::TimeIsUp;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, VARY};
use hyper::{Response, StatusCode};
use ringhold_core::quorum::{QuorumViolation, Requirement, Shortfall};
use ringhold_wire::message::{GetError, NotStarted, PutError, Rejection, Uncertain};
use std::borrow::Cow;

const OUTCOME: HeaderName = HeaderName::from_static("x-ringhold-outcome");

/// What Riak says of every count of replicas.
const VIOLATION: &str = "Specified w/dw/pw/node_confirms values";

/// Seconds after which a client that was turned away may come again.
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("1");

/// An answer that is not what was asked for.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    text: Cow<'static, str>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            text: text.into(),
            headers: Vec::new(),
        }
    }

    pub(super) fn bad_request(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    #[must_use]
    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not found\n")
    }

    pub(super) fn not_acceptable() -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, "Not Acceptable\n")
    }

    pub(super) fn precondition_failed() -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "Precondition Failed\n")
            .with(VARY, HeaderValue::from_static("Accept-Encoding"))
    }

    pub(super) fn conflict() -> Self {
        Self::new(StatusCode::CONFLICT, "Conflict\n")
    }

    pub(super) fn timed_out() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "request timed out\n")
    }

    pub(super) fn overloaded() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "overloaded, try again later\n",
        )
        .with(RETRY_AFTER, RETRY_AFTER_S)
    }

    pub(super) fn unknown_bucket_type(bucket_type: &[u8]) -> Self {
        let name = String::from_utf8_lossy(bucket_type);
        Self::new(
            StatusCode::NOT_FOUND,
            format!("Unknown bucket type: {name}"),
        )
    }

    /// As Riak does, an answer to a write says what it could have varied by, unless the request itself was wrong.
    #[must_use]
    pub(super) fn of_a_write(self) -> Self {
        let is_malformed = match self.status {
            StatusCode::BAD_REQUEST => !self.text.starts_with(VIOLATION),
            status => status == StatusCode::NOT_ACCEPTABLE,
        };
        if is_malformed { self } else { self.varying() }
    }

    /// An answer of a resource that could be had in several encodings.
    #[must_use]
    pub(super) fn varying(self) -> Self {
        if self.headers.iter().any(|(name, _)| name == VARY) {
            return self;
        }
        self.with(VARY, HeaderValue::from_static("Accept-Encoding"))
    }

    /// Nothing was written. Where that is not plain from the status, the answer says so.
    #[must_use]
    pub(super) fn not_started(self) -> Self {
        if !self.status.is_server_error() {
            return self;
        }
        self.with(OUTCOME, HeaderValue::from_static("not-started"))
    }

    /// The write may be there, or appear later.
    #[must_use]
    pub(super) fn unknown_outcome(self) -> Self {
        self.with(OUTCOME, HeaderValue::from_static("unknown"))
    }

    /// Of a get of an object of this bucket type.
    pub(super) fn of_get(error: &GetError, bucket_type: &[u8]) -> Self {
        match *error {
            GetError::QuorumNotMet(shortfall) => Self::unsatisfied(shortfall),
            GetError::TimedOut => Self::timed_out(),
            GetError::Overloaded => Self::overloaded(),
            GetError::Violation(violation) => Self::violation(violation),
            GetError::UnknownBucketType => Self::unknown_bucket_type(bucket_type),
        }
    }

    /// Of a put of an object of this bucket type. `modified` is what to say when a condition failed.
    pub(super) fn of_put(error: &PutError, bucket_type: &[u8], modified: fn() -> Self) -> Self {
        match error {
            PutError::NotStarted(reason) => Self::of_not_started(*reason).not_started(),
            PutError::Unknown(reason) => Self::of_uncertain(*reason).unknown_outcome(),
            PutError::Rejected(Rejection::Modified) => modified(),
            PutError::Rejected(rejection) => Self::of_rejection(rejection, bucket_type),
        }
    }

    fn of_not_started(reason: NotStarted) -> Self {
        match reason {
            NotStarted::Overloaded => Self::overloaded(),
            NotStarted::TimedOut => Self::timed_out(),
            NotStarted::NoReplica => {
                Self::unavailable("none of the key's replicas can be reached\n")
            }
            NotStarted::TooFewPrimaries { required, obtained } => Self::unsatisfied(Shortfall {
                requirement: Requirement::PW,
                required,
                obtained,
            }),
            NotStarted::StoreFailed => {
                Self::unavailable("the node's store has failed and takes no writes\n")
            }
            NotStarted::Starting => {
                Self::unavailable("the node has just started and takes no writes yet\n")
            }
            NotStarted::ClockOff => Self::unavailable(
                "the clock of the key's primaries that can be reached is far from the others': set it right (`clock` in a node's status tells)\n",
            ),
            NotStarted::DiskFull => Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "the disks of the key's nodes are nearly full: make room there, or delete; writes are taken again by themselves\n",
            ),
        }
    }

    fn of_uncertain(reason: Uncertain) -> Self {
        match reason {
            Uncertain::QuorumNotMet(shortfall) => Self::unsatisfied(shortfall),
            Uncertain::TimedOut => Self::timed_out(),
            Uncertain::Interrupted => Self::unavailable("the write was interrupted\n"),
        }
    }

    fn of_rejection(rejection: &Rejection, bucket_type: &[u8]) -> Self {
        match rejection {
            Rejection::Violation(violation) => Self::violation(*violation),
            Rejection::UnknownBucketType => Self::unknown_bucket_type(bucket_type),
            Rejection::ContextRefused => Self::bad_request("Invalid X-Riak-Vclock\n"),
            Rejection::ObjectTooLarge { bytes, limit } => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!(
                    "the object with all its siblings would have {bytes} bytes, the limit is {limit}\n"
                ),
            ),
            Rejection::TooManySiblings { siblings, limit } => Self::new(
                StatusCode::CONFLICT,
                format!(
                    "the object has {siblings} siblings, the limit is {limit}: read it and write one value with the context of that\n"
                ),
            ),
            Rejection::ContextTooLarge { entries, limit } => Self::new(
                StatusCode::CONFLICT,
                format!("the object's context has {entries} entries, the limit is {limit}\n"),
            ),
            Rejection::Modified => Self::precondition_failed(),
            Rejection::Update(refused) => match precondition(refused) {
                // Riak's status. Nothing was written all the same.
                Some(reason) => Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    format!("Error:\n{reason}\n"),
                ),
                None => Self::bad_request(format!("{refused}\n")),
            },
            Rejection::NotADataType => Self::new(
                StatusCode::CONFLICT,
                "an ordinary value and a data type do not share a key\n",
            ),
            Rejection::SiblingsOff => {
                Self::new(StatusCode::FORBIDDEN, "Bucket must be allow_mult=true\n")
            }
        }
    }

    fn unavailable(text: &'static str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, text)
    }

    fn violation(violation: QuorumViolation) -> Self {
        let n = violation.n;
        Self::bad_request(format!("{VIOLATION} invalid for bucket n value of {n}\n"))
    }

    fn unsatisfied(shortfall: Shortfall) -> Self {
        let Shortfall {
            requirement,
            required,
            obtained,
        } = shortfall;
        let name = match requirement {
            Requirement::NodeConfirms => requirement.to_string(),
            counted => counted.to_string().to_uppercase(),
        };
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{name}-value unsatisfied: {obtained}/{required}\n"),
        )
    }

    /// The answer as it goes over the wire, for whoever writes it himself.
    pub(super) fn to_wire(&self) -> Bytes {
        let mut wire =
            format!("HTTP/1.1 {}\r\nContent-Type: text/plain\r\n", self.status).into_bytes();
        for (name, value) in &self.headers {
            wire.extend_from_slice(name.as_str().as_bytes());
            wire.extend_from_slice(b": ");
            wire.extend_from_slice(value.as_bytes());
            wire.extend_from_slice(b"\r\n");
        }
        let length = self.text.len();
        wire.extend_from_slice(format!("Content-Length: {length}\r\n\r\n").as_bytes());
        wire.extend_from_slice(self.text.as_bytes());
        wire.into()
    }

    pub(super) fn answer(self) -> Answer {
        let mut answer = Response::new(Full::new(Bytes::from(self.text.into_owned())));
        *answer.status_mut() = self.status;
        answer
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        answer.headers_mut().extend(self.headers);
        answer
    }
}

impl From<Unrouted> for Problem {
    fn from(unrouted: Unrouted) -> Self {
        match unrouted {
            Unrouted::NoSuchPath => {
                Self::new(StatusCode::NOT_FOUND, "there is nothing at this address\n")
            }
            Unrouted::NoSuchMethod => Self::new(StatusCode::NOT_IMPLEMENTED, "Not Implemented\n"),
            Unrouted::MethodNotAllowed { allow } => {
                let allow = HeaderValue::from_static(allow);
                Self::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n").with(ALLOW, allow)
            }
            Unrouted::BadName(bad) => Self::bad_request(format!("{bad}\n")),
        }
    }
}

impl From<BadOption> for Problem {
    fn from(bad: BadOption) -> Self {
        Self::bad_request(bad.to_string())
    }
}

impl From<TimeIsUp> for Problem {
    fn from(_: TimeIsUp) -> Self {
        Self::timed_out()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(problem: Problem) -> (u16, String, Option<String>) {
        let outcome = problem.headers.iter().find(|header| header.0 == OUTCOME);
        let outcome = outcome.map(|header| header.1.to_str().expect("ours").to_owned());
        (problem.status.as_u16(), problem.text.into_owned(), outcome)
    }

    #[test]
    fn gets() {
        let short = |requirement| Shortfall {
            requirement,
            required: 2,
            obtained: 1,
        };
        let violation = QuorumViolation {
            requirement: Requirement::R,
            value: 5,
            n: 3,
        };
        let rows = [
            (
                GetError::QuorumNotMet(short(Requirement::R)),
                503,
                "R-value unsatisfied: 1/2\n",
            ),
            (
                GetError::QuorumNotMet(short(Requirement::PR)),
                503,
                "PR-value unsatisfied: 1/2\n",
            ),
            (
                GetError::QuorumNotMet(short(Requirement::NodeConfirms)),
                503,
                "node_confirms-value unsatisfied: 1/2\n",
            ),
            (GetError::TimedOut, 503, "request timed out\n"),
            (GetError::Overloaded, 503, "overloaded, try again later\n"),
            (
                GetError::Violation(violation),
                400,
                "Specified w/dw/pw/node_confirms values invalid for bucket n value of 3\n",
            ),
            (GetError::UnknownBucketType, 404, "Unknown bucket type: t"),
        ];
        for (error, status, text) in rows {
            assert_eq!(
                told(Problem::of_get(&error, b"t")),
                (status, text.to_owned(), None)
            );
        }
    }

    #[test]
    fn puts_say_what_they_left() {
        let short = Shortfall {
            requirement: Requirement::W,
            required: 2,
            obtained: 1,
        };
        let rows = [
            (
                PutError::NotStarted(NotStarted::Overloaded),
                503,
                Some("not-started"),
            ),
            (
                PutError::NotStarted(NotStarted::TimedOut),
                503,
                Some("not-started"),
            ),
            (
                PutError::NotStarted(NotStarted::NoReplica),
                503,
                Some("not-started"),
            ),
            (
                PutError::NotStarted(NotStarted::TooFewPrimaries {
                    required: 2,
                    obtained: 1,
                }),
                503,
                Some("not-started"),
            ),
            (
                PutError::NotStarted(NotStarted::StoreFailed),
                503,
                Some("not-started"),
            ),
            (
                PutError::NotStarted(NotStarted::Starting),
                503,
                Some("not-started"),
            ),
            (
                PutError::NotStarted(NotStarted::ClockOff),
                503,
                Some("not-started"),
            ),
            (
                PutError::NotStarted(NotStarted::DiskFull),
                507,
                Some("not-started"),
            ),
            (
                PutError::Unknown(Uncertain::QuorumNotMet(short)),
                503,
                Some("unknown"),
            ),
            (PutError::Unknown(Uncertain::TimedOut), 503, Some("unknown")),
            (
                PutError::Unknown(Uncertain::Interrupted),
                503,
                Some("unknown"),
            ),
            (PutError::Rejected(Rejection::UnknownBucketType), 404, None),
            (PutError::Rejected(Rejection::ContextRefused), 400, None),
            (
                PutError::Rejected(Rejection::ObjectTooLarge { bytes: 9, limit: 8 }),
                413,
                None,
            ),
            (
                PutError::Rejected(Rejection::TooManySiblings {
                    siblings: 9,
                    limit: 8,
                }),
                409,
                None,
            ),
            (
                PutError::Rejected(Rejection::ContextTooLarge {
                    entries: 9,
                    limit: 8,
                }),
                409,
                None,
            ),
            (PutError::Rejected(Rejection::Modified), 409, None),
        ];
        for (error, status, outcome) in rows {
            let (got, text, left) = told(Problem::of_put(&error, b"t", Problem::conflict));
            assert_eq!((got, left.as_deref()), (status, outcome), "{text}");
        }
    }
}
