//! A local cluster: one `ringhold serve` process a node, on loopback, in one directory.
//!
//! ```text
//! DIR/founding.toml   drawn once; a directory that is used again is the same cluster
//! DIR/cluster.json    who runs where; there once all nodes listen
//! DIR/dev.sock        where `dev restart` asks the running `dev`
//! DIR/node1.log       what node 1 says
//! DIR/node1/          what node 1 keeps
//! ```
//!
//! Nodes are real processes, so that they can be killed, stopped and measured one by one. `dev`
//! never starts one again by itself: whoever kills a node wants it dead. Each node holds the
//! reading end of a pipe whose other end is here and never written to; when this process is gone,
//! however it went, the pipe ends and the nodes stop.
//!
//! | module | holds |
//! | --- | --- |
//! | `plan` | which nodes, where: a founding file made, or read again and compared with the wish |
//! | `process` | one child: started, signalled, awaited |
//! | `cluster` | all of them: started, restarted, stopped, written down |
//! | `control` | the socket |
//! | `riak_types` | what the test suites of Riak's clients want to find |

pub(crate) mod cluster;
pub(crate) mod control;
pub(crate) mod plan;
mod process;
pub(crate) mod riak_types;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use ringhold_server::founding::FoundingError;

/// Why the cluster doesn't run. What had been started has been stopped.
#[derive(Debug)]
pub(crate) enum DevError {
    /// A file or folder can't be made, read or written.
    Folder {
        path: PathBuf,
        error: io::Error,
    },
    Founding {
        path: PathBuf,
        error: FoundingError,
    },
    /// The directory was founded otherwise than what is asked for now.
    OtherCluster {
        path: PathBuf,
        what: &'static str,
        founded: String,
        wanted: String,
    },
    /// More nodes than there are ports above the base port.
    Ports {
        base: u16,
        nodes: u16,
    },
    NoFreePort {
        error: io::Error,
    },
    /// Another `dev` serves the directory.
    AlreadyRuns {
        path: PathBuf,
    },
    Spawn {
        name: String,
        error: io::Error,
    },
    /// A node ended before it was ready.
    Died {
        name: String,
        status: ExitStatus,
        log: PathBuf,
        tail: String,
    },
    NotReady {
        name: String,
        waited: Duration,
        last: String,
        log: PathBuf,
        tail: String,
    },
    UnknownNode {
        name: String,
        names: Vec<String>,
    },
    /// `dev restart` found nobody to ask.
    NotRunning {
        path: PathBuf,
        error: io::Error,
    },
    /// The nodes run, and would not take what Riak's client libraries want.
    RiakTypes {
        error: String,
    },
    /// The running `dev` could not do it; its own words.
    Answered {
        message: String,
    },
}

impl fmt::Display for DevError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder { path, error } => write!(f, "can't use {}: {error}", path.display()),
            Self::Founding { path, error } => write!(f, "{}: {error}", path.display()),
            Self::OtherCluster {
                path,
                what,
                founded,
                wanted,
            } => write!(
                f,
                "{} holds a cluster with {what} {founded}, not {wanted}: leave the flag out to run it as it is, or name another --dir",
                path.display()
            ),
            Self::Ports { base, nodes } => write!(
                f,
                "{nodes} nodes from port {base} on need ports above 65535; choose a lower --base-port"
            ),
            Self::NoFreePort { error } => write!(f, "no free port on 127.0.0.1: {error}"),
            Self::AlreadyRuns { path } => write!(
                f,
                "a `ringhold dev` runs on {} already; stop it first, or name another --dir",
                path.display()
            ),
            Self::Spawn { name, error } => write!(f, "can't start the process of {name}: {error}"),
            Self::Died {
                name,
                status,
                log,
                tail,
            } => write!(
                f,
                "{name} ended before it was ready ({status}). The end of {}:\n{tail}",
                log.display()
            ),
            Self::NotReady {
                name,
                waited,
                last,
                log,
                tail,
            } => write!(
                f,
                "{name} was not ready within {} s (last answer: {last}). The end of {}:\n{tail}",
                waited.as_secs(),
                log.display()
            ),
            Self::UnknownNode { name, names } => {
                write!(
                    f,
                    "there is no node {name:?} here, but {}",
                    names.join(", ")
                )
            }
            Self::NotRunning { path, error } => write!(
                f,
                "no `ringhold dev` answers at {}: {error}; start one, or name its --dir",
                path.display()
            ),
            Self::RiakTypes { error } => {
                write!(f, "can't create the bucket types of Riak's suites: {error}")
            }
            Self::Answered { message } => f.write_str(message),
        }
    }
}

impl std::error::Error for DevError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Folder { error, .. }
            | Self::NoFreePort { error }
            | Self::Spawn { error, .. }
            | Self::NotRunning { error, .. } => Some(error),
            Self::Founding { error, .. } => Some(error),
            _ => None,
        }
    }
}
