//! A cluster of Ringhold nodes, their disks, their network and their time, from one seed.
//!
//! The real node, log, buffers, checkpoints, recovery and codecs run on a simulated machine room: one thread, a
//! clock that jumps from event to event, and a random number that decides which task goes on, which message is
//! lost and what a power cut leaves of a file. A seed is a run: the same one, event by event, on every
//! machine. Clients work while faults rage; then everything heals, and what was promised is compared with what
//! is there. `docs/testing.md` tells how to read a trace and how to add a fault, an invariant or a mistake.
//!
//! | module | holds |
//! | --- | --- |
//! | [`executor`] | tasks and time |
//! | [`random`] | chance, from the seed |
//! | [`clock`] | clocks on walls, and a node's way to its machine |
//! | [`network`] | messages and what becomes of them |
//! | [`disk`] | files, the engine's rows, and power cuts |
//! | [`administrator`] | `cluster verify` and `cluster repair` |
//! | [`probe`] | does a cluster answer? |
//! | [`process`], [`cluster`] | processes that come and go on machines that stay |
//! | [`plan`], [`faults`] | what a seed decides; the adversary |
//! | [`workload`], [`client`], [`value`] | what clients do |
//! | [`books`], [`dots`], [`settings`] | what happened, as only the simulator can know it |
//! | [`invariants`] | what must hold |
//! | [`run`], [`campaign`], [`command`] | one run, many runs, the command line |
//! | [`rare`], [`trace`] | what must happen sometimes; a line an event |
//! | `known_bad` | the mistakes that have to be found (with the feature of that name) |
//!
//! Rejected: simulating sockets (turmoil) or replacing the runtime under the node (madsim). The node takes its
//! environment as an argument, so nothing has to be replaced, and messages are what its protocol is about.

pub mod administrator;
pub mod books;
pub mod campaign;
pub mod client;
pub mod clock;
pub mod cluster;
pub mod command;
pub mod disk;
pub mod dots;
pub mod executor;
pub mod faults;
pub mod graves;
pub mod invariants;
#[cfg(feature = "known-bad")]
pub mod known_bad;
pub mod neighbours;
pub mod network;
pub mod operators;
pub mod plan;
pub mod probe;
pub mod process;
pub mod queries;
pub mod random;
pub mod rare;
pub mod run;
pub mod settings;
pub mod trace;
pub mod types;
pub mod value;
pub mod workload;
