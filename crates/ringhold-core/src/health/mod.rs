//! What a node knows of the health of others, of its own, and what it makes of that.
//!
//! Dynamo's nodes find failures locally (§4.8.3): a node believes a peer gone when that peer does not answer *it*, and tries
//! it again from time to time; nobody needs an agreed view of who is up, because detection moves requests and never
//! ownership. That is the whole idea here, with what later systems learnt about doing it without flapping (T25), about peers that
//! are alive and useless (T23), and about partitions that only some can see (T27).
//!
//! | module | says |
//! | --- | --- |
//! | [`phi`] | how unlikely the present silence of a peer is; whether this process stood still itself |
//! | [`experience`] | whether requests should go to a peer: [`Standing`] |
//! | [`breaker`] | when one that failed is tried again |
//! | [`latency`] | how long answers take, and how long to wait before another node is asked as well |
//! | [`budget`] | how many requests may be made a second time |
//! | [`admission`] | how much of the time background work may have (§6.5) |
//! | [`clock`] | whether this machine's wall clock can be believed |
//! | [`disk`] | how full a disk may get before a node takes less |
//! | [`gate`] | how many requests a node works on at once |
//!
//! Each is a small state that is told the time with every call, in microseconds of a clock that never jumps, and decides
//! by nothing else. A moment that lies before one already told is taken for that one: two threads may report in either order.
//!
//! Not here: heartbeats, locks, tasks, and what gossip says of peers. Gossip may be right about a peer that
//! this node can't reach, and then following it would only mean waiting for deadlines.

pub mod admission;
pub mod breaker;
pub mod budget;
pub mod clock;
pub mod disk;
pub mod experience;
pub mod gate;
pub mod latency;
pub mod phi;

pub use admission::{Admission, Grant, Work};
pub use budget::RetryBudget;
pub use clock::ClockOffsets;
pub use disk::{DiskLevel, DiskSpace, DiskUse, Watermarks};
pub use experience::{Experience, Reported, Standing};
pub use gate::Gate;
pub use latency::{HedgeDelay, LatencyHistogram, SharedHistogram};
pub use phi::{LocalPause, Phi};
