//! Clients of a Ringhold cluster.
//!
//! A client of Dynamo does more than ask: it carries the context from its read to its write, it
//! merges what concurrent writers left (§4.4), and it decides what to try again. The last one is
//! where data gets lost or doubled, so the errors here are sorted by the one thing that matters
//! for it: whether the request *did not start*, *may have happened*, or *was answered*
//! ([`ClientError`]). A write that may have happened is tried again under the same idempotency
//! key, which makes the attempts one write.
//!
//! | module | holds |
//! | --- | --- |
//! | [`object`] | get, put and delete, typed: siblings and contexts instead of statuses and headers |
//! | [`http`] | the requests under it: connections that are kept, one pool a base URL |
//! | [`stream`] | answers that go on for as long as a job runs |
//! | [`native`] | the native frames, for many requests at once over one connection |
//! | [`retry`] | trying once more, elsewhere, within a budget |
//! | [`multipart`], [`percent`] | the two encodings that the protocol needs, pure |
//!
//! Not here: merging values. What two carts make together, only the shop knows.

pub mod error;
pub mod http;
pub mod multipart;
pub mod native;
pub mod object;
pub mod percent;
pub mod retry;
pub mod stream;

pub use error::{ClientError, Doubt};
pub use http::{Answer, BaseUrl, HttpPool, Request};
pub use native::NativeClient;
pub use object::{
    DeleteOptions, Deleted, Fetched, GetOptions, ObjectName, PutOptions, Quorums, Sibling, Stored,
    Value,
};
pub use retry::{RetryBudget, retry_once};
pub use stream::Streamed;
