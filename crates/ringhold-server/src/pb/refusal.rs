//! Why a request was not carried out, in the words that Riak's clients compare.
//!
//! Riak prints Erlang terms as the text of an error, and clients and their test suites look for them; so they
//! are written here as it writes them. What Riak does not know is said in a sentence. The code of an error is always 0.

use crate::edge::datatype::precondition;
use crate::edge::patience::TimeIsUp;
use bytes::Bytes;
use ringhold_core::quorum::{QuorumViolation, Requirement, Shortfall};
use ringhold_wire::message::{GetError, NotStarted, PutError, Rejection, Uncertain};
use ringhold_wire::riak::Response;
use std::borrow::Cow;

/// The text of an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal(Cow<'static, str>);

/// What the condition of a put was, for what is said when it does not hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Condition {
    #[default]
    None,
    /// There is nothing yet.
    NoneMatch,
    /// It is as the context of the request says.
    NotModified,
}

impl Refusal {
    pub(super) fn text(text: impl Into<Cow<'static, str>>) -> Self {
        Self(text.into())
    }

    pub(super) fn overloaded() -> Self {
        Self::text("overload")
    }

    pub(super) fn unknown_bucket_type(name: &[u8]) -> Self {
        let name = String::from_utf8_lossy(name);
        Self::text(format!("No bucket-type named '{name}'"))
    }

    pub(super) fn response(self) -> Response {
        Response::error(Bytes::from(self.0.into_owned()))
    }

    pub(super) fn of_get(error: &GetError, bucket_type: &[u8]) -> Self {
        match *error {
            GetError::QuorumNotMet(shortfall) => Self::unsatisfied(shortfall),
            GetError::TimedOut => Self::text("timeout"),
            GetError::Overloaded => Self::overloaded(),
            GetError::Violation(violation) => Self::violation(violation),
            GetError::UnknownBucketType => Self::unknown_bucket_type(bucket_type),
        }
    }

    pub(super) fn of_put(error: &PutError, bucket_type: &[u8], condition: Condition) -> Self {
        match error {
            PutError::NotStarted(reason) => Self::of_not_started(*reason),
            PutError::Unknown(Uncertain::QuorumNotMet(shortfall)) => Self::unsatisfied(*shortfall),
            PutError::Unknown(Uncertain::TimedOut) => Self::text("timeout"),
            PutError::Unknown(Uncertain::Interrupted) => Self::text("the write was interrupted"),
            PutError::Rejected(rejection) => Self::of_rejection(rejection, bucket_type, condition),
        }
    }

    fn of_not_started(reason: NotStarted) -> Self {
        Self::text(match reason {
            NotStarted::Overloaded => return Self::overloaded(),
            NotStarted::TimedOut => "timeout",
            NotStarted::NoReplica => "{insufficient_vnodes,0,need,1}",
            NotStarted::TooFewPrimaries { required, obtained } => {
                return Self::unsatisfied(Shortfall {
                    requirement: Requirement::PW,
                    required,
                    obtained,
                });
            }
            NotStarted::StoreFailed => "the node's store has failed and takes no writes",
            NotStarted::Starting => "the node has just started and takes no writes yet",
            NotStarted::ClockOff => "the clocks of the key's primaries are far from the others'",
            NotStarted::DiskFull => "the disks of the key's nodes are nearly full",
        })
    }

    fn of_rejection(rejection: &Rejection, bucket_type: &[u8], condition: Condition) -> Self {
        Self::text(match rejection {
            Rejection::Violation(violation) => return Self::violation(*violation),
            Rejection::UnknownBucketType => return Self::unknown_bucket_type(bucket_type),
            Rejection::ContextRefused => return Self::bad_vclock(),
            Rejection::ObjectTooLarge { bytes, .. } => {
                return Self::text(format!("{{too_large,{bytes}}}"));
            }
            Rejection::TooManySiblings { siblings, .. } => {
                return Self::text(format!("{{too_many_siblings,{siblings}}}"));
            }
            Rejection::ContextTooLarge { entries, limit } => {
                return Self::text(format!(
                    "the object's context has {entries} entries, the limit is {limit}"
                ));
            }
            Rejection::Modified => match condition {
                Condition::NoneMatch => "match_found",
                Condition::NotModified | Condition::None => "modified",
            },
            Rejection::Update(refused) => {
                let reason = precondition(refused).unwrap_or_else(|| refused.to_string());
                return Self::text(reason);
            }
            Rejection::NotADataType => "an ordinary value and a data type do not share a key",
            Rejection::SiblingsOff => "Bucket must be allow_mult=true",
        })
    }

    /// The context was not given out by this cluster for this key.
    pub(super) fn bad_vclock() -> Self {
        Self::text("Invalid vclock")
    }

    fn violation(violation: QuorumViolation) -> Self {
        Self::text(format!("{{n_val_violation,{}}}", violation.n))
    }

    fn unsatisfied(shortfall: Shortfall) -> Self {
        let Shortfall {
            requirement,
            required,
            obtained,
        } = shortfall;
        Self::text(match requirement {
            Requirement::NodeConfirms => {
                format!("{{insufficient_vnodes,{obtained},need,{required}}}")
            }
            counted => format!("{{{counted}_val_unsatisfied,{required},{obtained}}}"),
        })
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<TimeIsUp> for Refusal {
    fn from(_: TimeIsUp) -> Self {
        Self::text("timeout")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_that_clients_compare() {
        let short = |requirement| Shortfall {
            requirement,
            required: 3,
            obtained: 1,
        };
        let of_get = |error| Refusal::of_get(&error, b"t").0;
        assert_eq!(
            of_get(GetError::QuorumNotMet(short(Requirement::PR))),
            "{pr_val_unsatisfied,3,1}"
        );
        assert_eq!(
            of_get(GetError::QuorumNotMet(short(Requirement::NodeConfirms))),
            "{insufficient_vnodes,1,need,3}"
        );
        assert_eq!(
            of_get(GetError::UnknownBucketType),
            "No bucket-type named 't'"
        );
        let of_put = |error, condition| Refusal::of_put(&error, b"t", condition).0;
        let modified = || PutError::Rejected(Rejection::Modified);
        assert_eq!(of_put(modified(), Condition::NoneMatch), "match_found");
        assert_eq!(of_put(modified(), Condition::NotModified), "modified");
        let many = Rejection::TooManySiblings {
            siblings: 101,
            limit: 100,
        };
        assert_eq!(
            of_put(PutError::Rejected(many), Condition::None),
            "{too_many_siblings,101}"
        );
    }
}
