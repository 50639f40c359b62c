//! Clients of a Ringhold cluster.
//!
//! A client of Dynamo does more than ask: it carries the context from its read to its write, it
//! merges what concurrent writers left (§4.4), and it decides what to try again. The last one is
//! where data gets lost or doubled, so the errors here are sorted by the one thing that matters
//! for it: whether the request *did not start*, *may have happened*, or *was answered*
//! ([`ClientError`]). A write that may have happened is tried again under the same idempotency
//! key, which makes the attempts one write.
//!
//! A cart in a few lines, whole in `examples/cart.rs`:
//!
//! ```no_run
//! # async fn example() -> Result<(), ringhold_client::ClientError> {
//! use ringhold_client::Client;
//! use std::collections::BTreeSet;
//!
//! let client = Client::connect(&["127.0.0.1:10010"]).await?;
//! let union = |siblings: Vec<BTreeSet<String>>| siblings.into_iter().flatten().collect();
//! let carts = client.bucket("carts").json(union);
//! carts.update("alice", |cart| { cart.insert("milk".to_owned()); }).await?;
//! # Ok(())
//! # }
//! ```
//!
//! | module | holds |
//! | --- | --- |
//! | [`cluster`] | [`Client`]: knows the ring, one connection a node, no hop, retries and hedges within budgets (§6.4) |
//! | [`typed`], [`merge`] | values of a type: read, merge, change, write |
//! | [`bucket`] | the same as bytes, versions and contexts |
//! | [`datatype`] | counters, sets and maps |
//! | [`native`] | the native frames, for many requests at once over one connection to one node |
//! | [`object`] | get, put and delete over HTTP, typed: siblings and contexts instead of statuses and headers |
//! | [`http`] | the requests under it: connections that are kept, one pool a base URL |
//! | [`stream`] | answers that go on for as long as a job runs |
//! | [`retry`] | trying once more, elsewhere, within a budget |
//! | [`multipart`], [`percent`] | the two encodings that HTTP needs, pure |
//!
//! Not here: what two values of an application make together. Only the shop knows, and says it with a [`Merge`].

pub mod bucket;
pub mod cluster;
pub mod datatype;
pub mod error;
pub mod http;
pub mod merge;
pub mod multipart;
pub mod native;
pub mod object;
pub mod percent;
pub mod retry;
pub mod stream;
pub mod typed;
mod words;

pub use bucket::{Bucket, Read};
pub use cluster::{Client, ClientOptions, Coordination, Done, new_operation};
pub use error::{ClientError, Doubt};
pub use http::{Answer, BaseUrl, HttpPool, Request};
pub use merge::{Latest, Merge};
pub use native::NativeClient;
pub use object::{
    DeleteOptions, Deleted, Fetched, GetOptions, ObjectName, PutOptions, Quorums, Sibling, Stored,
    Value,
};
pub use retry::{RetryBudget, retry_once};
pub use stream::Streamed;
pub use typed::{Codec, Json, Typed};
