//! Versions: what was written, and which writes had seen which.
//!
//! Dynamo keeps every version that no other write had seen (§4.4), so a put is never lost to a put
//! that ran beside it. The bookkeeping is one [`Dot`] for each write and one [`Context`] (a version
//! vector) for each object: a context says which dots somebody has seen, and a dot it covers but no
//! longer holds was overwritten by a write that had seen it.
//!
//! Two operations exist, and nothing else changes an object:
//!
//! - [`Object::merge`] joins what two replicas know. It is commutative, associative and idempotent
//!   on arbitrary states, so every path that carries data (replication, repair, handoff) may
//!   deliver it late, twice, or out of order.
//! - [`coordinate`] makes the one dot of a new write, at one replica, once per operation.
//!
//! The hard part is that a dot must never name two writes, whatever a crash, a lost record or a
//! restored disk makes a replica forget. [`actor`] has that rule.
//!
//! Not here: the operation-level answer to a client (which of two equal retries to show, whether
//! the last write wins) is [`answer`], because it is a view; merging must not depend on it.

pub mod actor;
pub mod answer;
pub mod context;
pub mod coordinate;
pub mod object;
pub mod timestamp;
pub mod token;
pub mod truncate;

pub use actor::{Actor, Dot, KeyEpoch, LiveEpoch};
pub use context::Context;
pub use coordinate::{Coordinated, NewVersion, coordinate};
pub use object::{Content, ContentHash, MetadataField, Object, Version};
pub use timestamp::Timestamp;
pub use token::{ContextToken, TokenError, TokenKey};
