//! What can become of a request, sorted by what the caller may do next.
//!
//! | error | the write | do |
//! | --- | --- | --- |
//! | [`ClientError::Unreachable`] | did not start | try another node |
//! | [`ClientError::Unknown`] | may have happened, may yet happen | try again under the same idempotency key |
//! | [`ClientError::Status`] 503 | may have happened on fewer replicas than asked for | the same |
//! | [`ClientError::Status`], others | was refused | change the request |
//! | [`ClientError::Get`] | — | try again elsewhere, if [it may pass](ClientError::is_passing) |
//! | [`ClientError::Put`] | did not start, is unknown, or was refused: it says which | by what it says |
//! | [`ClientError::Conflict`] | was refused, because somebody else wrote in between, time and again | try again later |
//! | [`ClientError::Undecodable`] | was never sent | look at what is stored |
//! | [`ClientError::Malformed`] | was answered by something that is no such server | look at the address |
//! | [`ClientError::Invalid`] | was never sent | change the request |

use std::fmt;
use std::io;
use std::time::Duration;

use crate::words;
use ringhold_wire::message::{GetError, PutError};

/// Why there is no answer to what was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// The deadline passed first.
    TimedOut { after: Duration },
    /// The connection ended first.
    Broken { problem: String },
}

/// Why a call gave no result.
#[derive(Debug)]
pub enum ClientError {
    /// No connection: nothing listens there, or it could not be reached. Nothing was sent.
    Unreachable { url: String, error: io::Error },
    /// The request was sent, or partly sent, and no whole answer came back.
    Unknown { url: String, doubt: Doubt },
    /// The server answered, but not with success. `text` is what it said.
    Status {
        url: String,
        status: u16,
        text: String,
    },
    /// A node answered a native get with an error. Nothing was changed.
    Get { url: String, error: GetError },
    /// A node answered a native put with an error, which says what is known of the write.
    Put { url: String, error: PutError },
    /// An update under a condition found other writes in its way this many times. Nothing of it was written.
    Conflict { attempts: u32 },
    /// The answer is not one of this protocol.
    Malformed { url: String, problem: String },
    /// What is stored there is not of the type that is asked for. Nothing was written.
    Undecodable { key: String, problem: String },
    /// The request can't be put on the wire. Nothing was sent.
    Invalid { what: &'static str, problem: String },
}

impl ClientError {
    /// Whether the servers provably did nothing of the request.
    #[must_use]
    pub fn did_not_start(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Invalid { .. }
                | Self::Get { .. }
                | Self::Conflict { .. }
                | Self::Undecodable { .. }
                | Self::Put {
                    error: PutError::NotStarted(_) | PutError::Rejected(_),
                    ..
                }
        )
    }

    /// Whether the same request can end otherwise a moment later, or on another node.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Unknown { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500 | 502..=504),
            Self::Get { error, .. } => matches!(
                error,
                GetError::QuorumNotMet(_) | GetError::TimedOut | GetError::Overloaded
            ),
            Self::Put { error, .. } => !matches!(error, PutError::Rejected(_)),
            Self::Conflict { .. } => true,
            Self::Malformed { .. } | Self::Undecodable { .. } | Self::Invalid { .. } => false,
        }
    }

    /// The status of the answer, if there was one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { url, error } => {
                write!(
                    f,
                    "{url} can't be reached: {error}; nothing was sent. Is a node running there?"
                )
            }
            Self::Unknown {
                url,
                doubt: Doubt::TimedOut { after },
            } => write!(
                f,
                "{url} gave no answer within {} ms; a write may have happened, and can be tried again under the same idempotency key",
                after.as_millis()
            ),
            Self::Unknown {
                url,
                doubt: Doubt::Broken { problem },
            } => write!(
                f,
                "the connection to {url} broke before the answer: {problem}; a write may have happened, and can be tried again under the same idempotency key"
            ),
            Self::Status { url, status, text } if text.trim().is_empty() => {
                write!(f, "{url} answered {status}")
            }
            Self::Status { url, status, text } => {
                write!(f, "{url} answered {status}: {}", text.trim())
            }
            Self::Get { url, error } => {
                write!(f, "{url} could not read it: {}", words::of_get(error))
            }
            Self::Put { url, error } => write!(f, "{url} {}", words::of_put(error)),
            Self::Conflict { attempts } => write!(
                f,
                "somebody else wrote in between, {attempts} times in a row; nothing was written, try again later"
            ),
            Self::Undecodable { key, problem } => {
                write!(f, "{key} holds something of another type: {problem}")
            }
            Self::Malformed { url, problem } => {
                write!(
                    f,
                    "{url} answered something else than this protocol: {problem}"
                )
            }
            Self::Invalid { what, problem } => write!(f, "{what}: {problem}"),
        }
    }
}

impl std::error::Error for ClientError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreachable { error, .. } => Some(error),
            _ => None,
        }
    }
}
