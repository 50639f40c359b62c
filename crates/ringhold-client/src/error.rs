//! What can become of a request, sorted by what the caller may do next.
//!
//! | error | the write | do |
//! | --- | --- | --- |
//! | [`ClientError::Unreachable`] | did not start | try another node |
//! | [`ClientError::Unknown`] | may have happened, may yet happen | try again under the same idempotency key |
//! | [`ClientError::Status`] 503 | may have happened on fewer replicas than asked for | the same |
//! | [`ClientError::Status`], others | was refused | change the request |
//! | [`ClientError::Malformed`] | was answered by something that is no such server | look at the address |
//! | [`ClientError::Invalid`] | was never sent | change the request |

use std::fmt;
use std::io;
use std::time::Duration;

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
    /// The answer is not one of this protocol.
    Malformed { url: String, problem: String },
    /// The request can't be put on the wire. Nothing was sent.
    Invalid { what: &'static str, problem: String },
}

impl ClientError {
    /// Whether the server provably saw nothing of the request.
    #[must_use]
    pub fn did_not_start(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Invalid { .. })
    }

    /// Whether the same request can end otherwise a moment later, or on another node.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Unknown { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500 | 502..=504),
            Self::Malformed { .. } | Self::Invalid { .. } => false,
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
