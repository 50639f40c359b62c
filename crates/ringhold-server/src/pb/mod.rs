//! The Protocol Buffers edge: Riak's second API, the one that most of its client libraries speak.
//!
//! A connection is one task and one request at a time: a frame is read, carried out and answered before the next one is
//! looked at, so answers come in order by construction and a client that sends ahead only fills its own
//! socket. Three steps, as at the HTTP edge:
//!
//! 1. [`connection`]: a frame, within bounds of size and time;
//! 2. [`object`], [`datatype`], [`bucket`], [`listing`], [`coverage`], [`service`]: ask the node, through a [`Door`];
//! 3. [`content`] and [`refusal`]: the answer, in Riak's words where it has some; clients compare them.
//!
//! What clients make large is bounded as at the HTTP edge, and by the same numbers: both edges share the room for
//! bodies and the count of requests.
//!
//! Invariants: every request gets an answer, or the connection ends; a request that was refused has changed nothing;
//! nothing is allocated for a length that was only announced before it was held against its limit.
//!
//! Not here: TLS and users.

mod bucket;
mod connection;
mod content;
mod coverage;
mod datatype;
mod listing;
mod object;
mod quorum;
mod refusal;
mod service;

use crate::edge::{Capacity, Door, Limits};
use bytes::Bytes;
use refusal::Refusal;
use ringhold_wire::message::{DEFAULT_BUCKET_TYPE, ObjectName};
use ringhold_wire::riak::{Request, Response};
use std::sync::Arc;

/// What a message may have beside the largest value: names, metadata, index entries.
const BESIDE_VALUE_BYTES: usize = 128 * 1024;

/// A node's Protocol Buffers API: a door, and what all connections share.
pub struct Edge<D> {
    door: D,
    limits: Limits,
    capacity: Capacity,
}

/// What a connection remembers between requests.
#[derive(Debug)]
struct Session {
    client_id: Bytes,
}

impl Default for Session {
    /// Riak's id of clients that name none.
    fn default() -> Self {
        Self {
            client_id: Bytes::from_static(&[0; 4]),
        }
    }
}

impl<D: Door> Edge<D> {
    /// Within a capacity that others share.
    #[must_use]
    pub fn within(door: D, limits: Limits, capacity: Capacity) -> Arc<Self> {
        Arc::new(Self {
            door,
            limits,
            capacity,
        })
    }

    /// One request and its answer.
    async fn answer(&self, request: Request, session: &mut Session) -> Response {
        let answered = match request {
            Request::Ping => Ok(Response::Ping),
            Request::GetClientId => Ok(service::client_id(session)),
            Request::SetClientId(message) => Ok(service::set_client_id(session, message)),
            Request::GetServerInfo => Ok(service::server_info(&self.door)),
            Request::StartTls => Err(Refusal::text("Security not enabled; STARTTLS not allowed.")),
            Request::Get(message) => object::get(self, message).await,
            Request::Put(message) => object::put(self, message).await,
            Request::Delete(message) => object::delete(self, message).await,
            Request::GetBucket(message) => bucket::get(self, &message),
            Request::SetBucket(message) => bucket::set(self, message).await,
            Request::ResetBucket(message) => bucket::reset(self, &message).await,
            Request::GetBucketType(message) => bucket::get_type(self, &message),
            Request::CounterUpdate(message) => datatype::add(self, message).await,
            Request::CounterGet(message) => datatype::counter(self, message).await,
            Request::DtFetch(message) => datatype::fetch(self, message).await,
            Request::DtUpdate(message) => datatype::update(self, *message).await,
            Request::Preflist(message) => service::preference_list(self, message),
            Request::Coverage(message) => coverage::plan(self, &message),
            Request::SetBucketType(message) => bucket::set_type(self, &message).await,
            Request::ListBuckets(_)
            | Request::ListKeys(_)
            | Request::Index(_)
            | Request::CsBucket(_) => unreachable!("answered frame by frame"),
        };
        answered.unwrap_or_else(Refusal::response)
    }

    /// Refuses names that are empty or too long.
    fn check_name(&self, name: &ObjectName) -> Result<(), Refusal> {
        let limits = self.limits.names;
        for (part, what, limit) in [
            (&name.bucket, "Bucket", limits.name_bytes),
            (&name.key, "Key", limits.key_bytes),
        ] {
            if part.is_empty() {
                return Err(Refusal::text(format!("{what} cannot be zero-length")));
            }
            if part.len() > limit {
                let bytes = part.len();
                return Err(Refusal::text(format!(
                    "{what} has {bytes} bytes, the limit is {limit}"
                )));
            }
        }
        Ok(())
    }
}

/// The bucket type of a message: the default one where it names none.
fn bucket_type(given: Option<&Bytes>) -> Result<Bytes, Refusal> {
    match given {
        None => Ok(Bytes::from_static(DEFAULT_BUCKET_TYPE)),
        Some(name) if name.is_empty() => Err(Refusal::text("Type cannot be zero-length")),
        Some(name) => Ok(name.clone()),
    }
}
