//! What can go wrong, one type per operation.
//!
//! A read that fails is never "not found", and a commit that fails is never "did not happen": the
//! difference matters to whoever makes dots (T2) and to whoever answers a client.

use std::{fmt, io};

use crate::engine::EngineError;
use crate::key::{Keyspace, StorageKey};
use crate::meta::{Lineage, StoreId};
use crate::rows::RowKey;

/// The store takes no more writes. What had been submitted and not acknowledged may or may not be
/// there after a reopening: the answer to its client is "unknown". Reads of what was published go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poisoned {
    /// What ended it.
    pub step: PoisonedStep,
    /// The file system's answer, where there was one.
    pub kind: Option<io::ErrorKind>,
}

/// What ended a store's writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoisonedStep {
    /// An append to the log failed.
    Append,
    /// A flush of the log failed.
    Flush,
    /// A new log segment could not be started.
    Rotate,
    /// The engine failed to take a checkpoint, other than for lack of room.
    Checkpoint,
    /// The host dropped the flusher.
    FlusherEnded,
    /// The store was closed.
    Closed,
}

impl Poisoned {
    pub(crate) fn at(step: PoisonedStep, error: &io::Error) -> Self {
        Self {
            step,
            kind: Some(error.kind()),
        }
    }

    pub(crate) fn ended() -> Self {
        Self {
            step: PoisonedStep::FlusherEnded,
            kind: None,
        }
    }

    pub(crate) fn closed() -> Self {
        Self {
            step: PoisonedStep::Closed,
            kind: None,
        }
    }
}

impl fmt::Display for Poisoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = match self.step {
            PoisonedStep::Append => "an append to the log failed",
            PoisonedStep::Flush => "a flush of the log failed",
            PoisonedStep::Rotate => "a new log segment could not be started",
            PoisonedStep::Checkpoint => "the engine failed to take a checkpoint",
            PoisonedStep::FlusherEnded => "the flusher was dropped",
            PoisonedStep::Closed => "it was closed",
        };
        write!(f, "the store takes no more writes: {step}")?;
        match self.kind {
            Some(kind) => write!(f, " ({kind})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Poisoned {}

/// A read has no answer. Nothing is known about the key.
#[derive(Debug)]
pub enum ReadError {
    /// The value there does not fit its checksum. Another replica has the right one.
    Corrupt {
        /// Where.
        keyspace: Keyspace,
        /// Which key; a scan may go on after it.
        key: StorageKey,
    },
    /// The value of a row does not fit its checksum.
    CorruptRow {
        /// Which row.
        key: RowKey,
    },
    /// The engine could not tell.
    Engine(EngineError),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt { keyspace, key } => {
                write!(f, "the value of {key:?} in {keyspace:?} is damaged")
            }
            Self::CorruptRow { key } => write!(f, "the value of {key:?} is damaged"),
            Self::Engine(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for ReadError {}

/// A checkpoint did not finish. The log keeps everything that the engine lacks, so nothing is lost.
#[derive(Debug)]
pub enum CheckpointError {
    /// The engine has no room. The buffer stays frozen; the next `begin_checkpoint` returns the same
    /// checkpoint again, without a new segment.
    EngineFull,
    /// The engine failed otherwise; the store is poisoned.
    Engine(EngineError),
    /// The thread of the engine's job ended under it; the store is poisoned.
    JobLost,
    /// The checkpoint is complete, but old segments could not be removed. The next one tries again.
    OldSegments(io::Error),
    /// This checkpoint was finished, or is being finished, by somebody else.
    Superseded,
}

impl fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EngineFull => f.write_str("the engine has no room for the checkpoint"),
            Self::Engine(error) => write!(f, "{error}"),
            Self::JobLost => f.write_str("the checkpoint's thread ended"),
            Self::OldSegments(error) => write!(f, "old log segments cannot be removed: {error}"),
            Self::Superseded => f.write_str("somebody else finishes this checkpoint"),
        }
    }
}

impl std::error::Error for CheckpointError {}

/// The store was not opened. Nothing that an opening could still use has been changed.
#[derive(Debug)]
pub enum OpenError {
    /// The log's files could not be listed, read, written or moved.
    Files(io::Error),
    /// The engine could not be read or written.
    Engine(EngineError),
    /// The thread of the engine's job ended under it.
    JobLost,
    /// A log segment belongs to another store: a disk or a directory was exchanged.
    ForeignSegment {
        /// Which segment.
        segment: u64,
        /// Whose it is.
        found: StoreId,
        /// Whose it should be.
        expected: StoreId,
    },
    /// A log segment was written in another lineage than the engine's: one of the two comes from
    /// a backup.
    ForeignLineage {
        /// Which segment.
        segment: u64,
        /// In which lineage it was written.
        found: Lineage,
        /// Which one it should be.
        expected: Lineage,
    },
    /// A segment was written by a version of this program that this one does not know.
    UnknownSegmentVersion {
        /// Which segment.
        segment: u64,
        /// Its format version.
        version: u32,
    },
    /// The engine's store record is whole, and of a version that this program does not know.
    UnknownMetaVersion,
    /// The engine holds rows but no store record, and no log segment has one: nobody can tell whose
    /// rows they are.
    MetaLost,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files(error) => write!(f, "the log: {error}"),
            Self::Engine(error) => write!(f, "{error}"),
            Self::JobLost => f.write_str("the engine's thread ended"),
            Self::ForeignSegment {
                segment,
                found,
                expected,
            } => {
                write!(
                    f,
                    "log segment {segment} belongs to store {found}, this is {expected}"
                )
            }
            Self::ForeignLineage {
                segment,
                found,
                expected,
            } => {
                write!(
                    f,
                    "log segment {segment} is of lineage {found}, the engine of {expected}"
                )
            }
            Self::UnknownSegmentVersion { segment, version } => {
                write!(
                    f,
                    "log segment {segment} has the unknown format version {version}"
                )
            }
            Self::UnknownMetaVersion => {
                f.write_str("the store record has an unknown format version")
            }
            Self::MetaLost => f.write_str("the engine holds rows, but the store record is gone"),
        }
    }
}

impl std::error::Error for OpenError {}
