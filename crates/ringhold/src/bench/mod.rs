//! Load on a cluster, and what it costs: latency as clients feel it, and CPU as owners pay it.
//!
//! A **closed loop** keeps a number of requests in flight and measures how fast the cluster goes.
//! Its latencies are those of a polite crowd: when the cluster stalls, nobody new arrives, and the
//! stall is counted once for each connection instead of for everybody who would have come. So the
//! percentiles are also told corrected: as if each connection had gone on asking at its mean pace. An
//! **open loop** (`--rate`) starts operations on a fixed schedule and measures each from the moment
//! at which it *should* have started. That is the honest one for a service level (§2.2).
//!
//! Whether a put carries a context decides what is measured: an application writes what it has read,
//! so a put has a get before it, and the old version goes; without it, each put of a key leaves one
//! more sibling, and every later read carries them all.
//!
//! | module | holds |
//! | --- | --- |
//! | `driver` | get and put by some protocol: HTTP |
//! | `pb`, `native` | Riak's Protocol Buffers API, the native frames |
//! | `schedule` | when the n-th operation should start; pure |
//! | `keys` | which key it takes; pure |
//! | `load` | the workers |
//! | `measured` | what they saw |
//! | `servers` | CPU time, memory and disk writes of the servers' processes |
//! | `nodes` | what the nodes say of themselves: flushes, and how the bucket is replicated |
//! | `conditions` | machine, version, settings |
//! | `floors` | what the parts cost alone: the store, the frames, one flush |
//! | `report` | the table, the JSON, the page, the comparison |

pub(crate) mod conditions;
pub(crate) mod driver;
pub(crate) mod floors;
mod keys;
pub(crate) mod load;
mod measured;
mod native;
pub(crate) mod nodes;
mod pb;
pub(crate) mod report;
mod schedule;
pub(crate) mod servers;
