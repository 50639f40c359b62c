//! Why a list of members founds no cluster, and what to do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a file founds nothing. Nothing has been started or written.
#[derive(Debug)]
pub enum FoundingError {
    Read {
        path: PathBuf,
        error: io::Error,
    },
    Write {
        path: PathBuf,
        error: io::Error,
    },
    /// The file holds a secret that others on this machine can read.
    Exposed {
        path: PathBuf,
        mode: u32,
    },
    /// Not TOML, an unknown key, a value of the wrong type.
    Syntax {
        problem: String,
    },
    /// What `cluster init` draws is not there yet.
    Undrawn {
        what: String,
    },
    /// A value that no cluster can be founded on.
    Refused {
        what: String,
        problem: String,
    },
}

impl fmt::Display for FoundingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, error } => write!(
                f,
                "can't read the founding file {}: {error}",
                path.display()
            ),
            Self::Write { path, error } => write!(
                f,
                "can't write the founding file {}: {error}",
                path.display()
            ),
            Self::Exposed { path, mode } => write!(
                f,
                "the founding file {path} has mode {mode:04o}: it holds the cluster's secret, and others on this machine can read it; run `chmod 600 {path}`, and draw a new secret if they may have read it",
                path = path.display(),
            ),
            Self::Syntax { problem } => write!(
                f,
                "the founding file is not usable:\n{}",
                problem.trim_end()
            ),
            Self::Undrawn { what } => write!(
                f,
                "the founding file has no {what} yet; run `ringhold cluster init --founding FILE` once, which draws what is missing, and give every node that same file"
            ),
            Self::Refused { what, problem } => write!(f, "the founding file's {what}: {problem}"),
        }
    }
}

impl std::error::Error for FoundingError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { error, .. } | Self::Write { error, .. } => Some(error),
            _ => None,
        }
    }
}
