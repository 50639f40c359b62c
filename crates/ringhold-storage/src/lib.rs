//! One node's storage: an in-memory buffer over a backing store, made safe by a log.
//!
//! Dynamo's nodes put an in-memory object buffer in front of Berkeley DB or MySQL and let a writer
//! thread bring it to disk (§5, §6.1), fast and able to lose what was in memory. Here a commit log
//! stands before the buffer, so the same shape loses nothing that it acknowledged as flushed, and the
//! dial between latency and durability is whether an acknowledgement waits for the log's flush.
//!
//! | module | what |
//! | --- | --- |
//! | `store` | [`Store`]: opening, reading, checkpoints, closing |
//! | `writer` | [`GroupWriter`]: the one writer of a partition group |
//! | `log` | records, segments, and the [`Flusher`] behind group commit |
//! | `buffer`, `view` | the sorted maps in memory, and reading a range through them |
//! | `readable` | scans that go on behind what is damaged |
//! | `rows` | index rows, which follow from the objects |
//! | `checkpoint` | buffers into the engine, log dropped |
//! | `sums` | leaf sums for anti-entropy, true to the objects through any crash |
//! | `recovery` | what engine and log say at opening, and what follows |
//! | `meta`, `lease` | the store's own record: identity, life, key epochs |
//! | [`files`], [`engine`] | what is below: traits, and what implements them |
//! | [`testing`] | a disk and an engine that fail on purpose |
//!
//! Values are opaque here: versions and hints are the node's, and what an object adds to a leaf's sum the node
//! says. There is no network, no clock,
//! no randomness of its own and no task of its own in this crate; `files::os` alone has threads.

mod buffer;
mod checkpoint;
pub mod engine;
mod error;
mod figures;
pub mod files;
mod key;
#[cfg(feature = "known-bad")]
pub mod known_bad;
mod lease;
mod log;
mod meta;
mod readable;
mod recovery;
mod rows;
mod seal;
mod store;
mod sums;
pub mod testing;
mod view;
mod writer;

use std::pin::Pin;

pub use checkpoint::{BetweenParts, Checkpoint, PartsLeft};
pub use engine::lmdb::LmdbEngine;
pub use engine::memory::MemoryEngine;
pub use engine::{Batch, Engine, EngineError};
pub use error::{CheckpointError, OpenError, Poisoned, PoisonedStep, ReadError};
pub use figures::Figures;
pub use files::Files;
pub use files::os::OsFiles;
pub use key::{Change, Grouping, KeyRange, Keyspace, StorageKey, Write};
pub use log::flusher::Flusher;
pub use meta::{Lineage, StoreId, StoreIdentity};
pub use readable::Readable;
pub use recovery::{Doubt, OpenReport};
pub use rows::{ROW_KEY_BYTES_MAX, RowChanges, RowFaults, RowKey, RowRange};
pub use store::{Opened, Snapshot, Store, StoreOptions};
pub use sums::Summarize;
pub use sums::count::ClassSums;
pub use sums::load::Recounted;
pub use sums::recount::{LeafDifference, OnDifference, Recount};
pub use sums::sorting::{BucketTag, Sorting};
pub use writer::{Committed, Durability, GroupWriter};

/// A future behind a pointer, so that traits which return it can be used as `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
