//! A disk that fails on purpose, for this crate's tests and for the simulator.
//!
//! [`MemoryFiles`] keeps for each segment what was written and what of it was flushed, and can lose or
//! tear the difference. [`Steps`] counts every effect on disk, of files and of
//! [`MemoryEngine`](crate::MemoryEngine) alike, and stops the machine at a chosen one: from there on
//! nothing has an effect and everything fails, until [`MemoryFiles::crash`] decides what survived.
//! [`drive()`] and [`block_on`] poll futures without a runtime, in an order that the test chooses.

mod drive;
mod memory_files;
mod steps;

pub use drive::{Task, block_on, drive};
pub use memory_files::{MemoryFiles, Operation};
pub use steps::Steps;
