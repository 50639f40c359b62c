//! Load on a cluster, and what it costs: latency as clients feel it, and CPU as owners pay it.
//!
//! A **closed loop** keeps a number of requests in flight and measures how fast the cluster goes.
//! Its latencies are those of a polite crowd: when the cluster stalls, nobody new arrives, and the
//! stall is counted once for each connection instead of for everybody who would have come. An
//! **open loop** (`--rate`) starts operations on a fixed schedule and measures each from the moment
//! at which it *should* have started. That is the honest one for a service level (§2.2).
//!
//! Whether a put carries a context decides what is measured: an application writes what it has read,
//! so a put has a get before it, and the old version goes; without it, each put of a key leaves one
//! more sibling, and every later read carries them all.
//!
//! | module | holds |
//! | --- | --- |
//! | `driver` | get and put by some protocol |
//! | `native` | the native frames |
//! | `schedule` | when the n-th operation should start, and which key it takes; pure |
//! | `load` | the workers |
//! | `servers` | CPU time of the servers' processes |
//! | `report` | the table, the JSON |

pub(crate) mod driver;
pub(crate) mod load;
mod native;
pub(crate) mod report;
mod schedule;
pub(crate) mod servers;
