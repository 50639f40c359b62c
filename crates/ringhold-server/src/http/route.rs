//! Which thing a path names, and what may be done with it.
//!
//! Riak's addresses come in three generations, and clients of all three are alive:
//!
//! | form | object | bucket |
//! | --- | --- | --- |
//! | typed | `/types/T/buckets/B/keys/K` | `/types/T/buckets/B/props` |
//! | plain | `/buckets/B/keys/K` | `/buckets/B/props` |
//! | old | `/riak/B/K` | `/riak/B` |
//!
//! What there is to name is here, which path names it in [`path`].
//!
//! Not here: whether the bucket type exists, which only the node knows.

mod path;

use super::bucket_types::TypeRequest;
use super::job::JobName;
use super::listing::Listing;
use super::ring_order::RingRequest;
use super::text::escape;
use bytes::Bytes;
use hyper::Method;
pub(super) use path::route;
use ringhold_wire::message::ObjectName;
use std::fmt;

/// The generation of an address; answers speak the one that was asked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Old,
    Plain,
    Typed,
}

/// A bucket as a path names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BucketName {
    pub(super) bucket_type: Bytes,
    pub(super) bucket: Bytes,
    pub(super) form: Form,
}

impl BucketName {
    pub(super) fn object(&self, key: Bytes) -> ObjectName {
        ObjectName {
            bucket_type: self.bucket_type.clone(),
            bucket: self.bucket.clone(),
            key,
        }
    }

    /// Where a counter of this bucket of the default type is found.
    pub(super) fn counter_location(&self, key: &[u8]) -> String {
        format!("/buckets/{}/counters/{}", escape(&self.bucket), escape(key))
    }

    /// Where an object of this bucket is found.
    pub(super) fn location(&self, key: &[u8]) -> String {
        let (bucket, key) = (escape(&self.bucket), escape(key));
        match self.form {
            Form::Old => format!("/riak/{bucket}/{key}"),
            Form::Plain => format!("/buckets/{bucket}/keys/{key}"),
            Form::Typed => format!(
                "/types/{}/buckets/{bucket}/keys/{key}",
                escape(&self.bucket_type)
            ),
        }
    }
}

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Root,
    Ping,
    Stats,
    Live,
    Ready,
    Metrics,
    Status,
    Ring,
    Explain(ObjectName),
    /// Who a request about a key is sent to.
    PreferenceList(ObjectName),
    /// Rebuilding goes on without the member of this name.
    RebuildWithout(String),
    /// A token for a node that is to join.
    JoinToken,
    /// A change of the ring, or a look at one.
    RingRequest(RingRequest),
    Job(JobName),
    Restore,
    Listing(Listing),
    Object {
        bucket: BucketName,
        key: Bytes,
    },
    /// A new object whose key the node makes up.
    NewObject(BucketName),
    DataType {
        bucket: BucketName,
        key: Bytes,
    },
    /// A new one whose key the node makes up.
    NewDataType(BucketName),
    /// A counter as it was before data types.
    Counter {
        bucket: BucketName,
        key: Bytes,
    },
    Properties(BucketName),
    /// The properties of a bucket type.
    TypeProperties(Bytes),
    /// The bucket types, as operators see them.
    Types,
    /// One of them.
    Type(Bytes),
    /// A type is created, activated or changed.
    TypeOrder(Bytes, TypeRequest),
}

impl Route {
    /// The word for it in traces.
    pub(super) fn operation(&self, method: &Method) -> &'static str {
        match self {
            Self::Object { .. } if *method == Method::DELETE => "delete",
            Self::Object { .. } if *method == Method::PUT || *method == Method::POST => "put",
            Self::DataType { .. } | Self::Counter { .. } if *method == Method::POST => "put",
            Self::Object { .. } | Self::DataType { .. } | Self::Counter { .. } => "get",
            Self::NewObject(_) | Self::NewDataType(_) => "put",
            Self::Properties(_) | Self::TypeProperties(_) => "properties",
            Self::Explain(_) | Self::PreferenceList(_) => "explain",
            Self::Status | Self::Ring => "status",
            Self::Types | Self::Type(_) => "status",
            Self::TypeOrder(..) => "administration",
            Self::RebuildWithout(_) | Self::JoinToken | Self::RingRequest(_) => "administration",
            Self::Job(_) | Self::Restore => "job",
            Self::Listing(_) => "list",
            Self::Root | Self::Ping | Self::Stats | Self::Live | Self::Ready | Self::Metrics => {
                "service"
            }
        }
    }

    pub(super) fn bucket_type(&self) -> Option<&Bytes> {
        match self {
            Self::Object { bucket, .. }
            | Self::DataType { bucket, .. }
            | Self::Counter { bucket, .. }
            | Self::NewObject(bucket)
            | Self::NewDataType(bucket)
            | Self::Properties(bucket) => Some(&bucket.bucket_type),
            Self::Explain(name) | Self::PreferenceList(name) => Some(&name.bucket_type),
            Self::TypeProperties(name) => Some(name),
            Self::Listing(listing) => Some(listing.bucket_type()),
            _ => None,
        }
    }
}

/// Why a request is about nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unrouted {
    NoSuchPath,
    /// A method that nothing here knows.
    NoSuchMethod,
    /// The path names something, but not for this method; these are the ones.
    MethodNotAllowed {
        allow: &'static str,
    },
    BadName(BadName),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadName {
    Escape,
    Empty {
        what: &'static str,
    },
    TooLong {
        what: &'static str,
        bytes: usize,
        limit: usize,
    },
}

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Escape => f.write_str(
                "a percent sign in the address is not followed by two hexadecimal digits",
            ),
            Self::Empty { what } => write!(f, "{what} cannot be zero-length"),
            Self::TooLong { what, bytes, limit } => {
                write!(f, "{what} has {bytes} bytes, the limit is {limit}")
            }
        }
    }
}
