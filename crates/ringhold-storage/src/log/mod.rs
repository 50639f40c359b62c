//! The commit log: what makes the buffer in memory safe.
//!
//! Every batch of a writer becomes one record, appended to the segment that all writers share; an
//! acknowledgement means that a flush which began after the append succeeded. A checkpoint starts a
//! new segment and, once the engine holds what the older segments say, drops them.
//!
//! | module | holds |
//! | --- | --- |
//! | `record` | the frame of one record, and the marks that prove what had been flushed |
//! | `writes` | what a record of writes carries |
//! | `segment` | the header of a segment, and reading one back from arbitrary bytes |
//! | `open_segment` | the segment being written, and how an append is put together |
//! | `queue` | what writers and store submit |
//! | `flusher` | the one future that serves the queue: group commit |
//!
//! All formats are little-endian; the segment header's version stands for all of them.

pub(crate) mod flusher;
pub(crate) mod open_segment;
pub(crate) mod queue;
pub(crate) mod record;
pub(crate) mod segment;
pub(crate) mod writes;
