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
//! The path is cut at its slashes first and decoded after, so a name may hold a slash. Every name is
//! checked here, once: it is not empty and not longer than it may be, before anybody hashes or stores it.
//!
//! Not here: whether the bucket type exists, which only the node knows.

use super::bucket_types::TypeRequest;
use super::job::JobName;
use super::listing::Listing;
use super::ring_order::RingRequest;
use super::text::{escape, unescape};
use crate::edge::NameLimits;
use bytes::Bytes;
use hyper::Method;
use ringhold_wire::message::{DEFAULT_BUCKET_TYPE, ObjectName};
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

const READ: &str = "GET, HEAD";
const JOB: &str = "POST";
const OBJECT: &str = "HEAD, GET, POST, PUT, DELETE";
const DATA_TYPE: &str = "GET, HEAD, POST";
const PROPERTIES: &str = "HEAD, GET, PUT, DELETE";
const TYPE_PROPERTIES: &str = "HEAD, GET, PUT";
const OLD_BUCKET: &str = "HEAD, GET, POST, PUT";
const NEW_OBJECT: &str = "HEAD, GET, POST";
const ACT: &str = "POST";

const METHODS: [Method; 8] = [
    Method::GET,
    Method::HEAD,
    Method::PUT,
    Method::POST,
    Method::DELETE,
    Method::OPTIONS,
    Method::TRACE,
    Method::CONNECT,
];

/// Finds what a request is about.
pub(super) fn route(method: &Method, path: &str, limits: NameLimits) -> Result<Route, Unrouted> {
    if !METHODS.contains(method) {
        return Err(Unrouted::NoSuchMethod);
    }
    let names = Names { limits };
    let (route, allow) = match *segments(path) {
        [""] => (Route::Root, READ),
        ["ping"] => (Route::Ping, READ),
        ["stats"] => (Route::Stats, READ),
        ["metrics"] => (Route::Metrics, READ),
        ["health", "live"] => (Route::Live, READ),
        ["health", "ready"] => (Route::Ready, READ),
        ["ringhold", "v1", "status"] => (Route::Status, READ),
        ["ringhold", "v1", "ring"] => (Route::Ring, READ),
        ["ringhold", "v1", "rebuild", "without", member] => {
            let member = name("a member's name", member, limits.name_bytes)?;
            let member = String::from_utf8_lossy(&member).into_owned();
            (Route::RebuildWithout(member), ACT)
        }
        ["ringhold", "v1", "join-tokens"] => (Route::JoinToken, ACT),
        ["ringhold", "v1", "cluster", asked] => ring_request(asked)?,
        ["ringhold", "v1", "verify"] => (Route::Job(JobName::Verify), JOB),
        ["ringhold", "v1", "repair"] => (Route::Job(JobName::Repair), JOB),
        ["ringhold", "v1", "backup"] => (Route::Job(JobName::Backup), JOB),
        ["ringhold", "v1", "restore"] => (Route::Restore, JOB),
        ["ringhold", "v1", "explain", "buckets", b, "keys", k] => {
            (names.explain(None, b, k)?, READ)
        }
        [
            "ringhold",
            "v1",
            "explain",
            "types",
            t,
            "buckets",
            b,
            "keys",
            k,
        ] => (names.explain(Some(t), b, k)?, READ),
        ["riak", b] | ["riak", b, ""] => {
            let bucket = names.bucket(Form::Old, None, b)?;
            let created = *method == Method::POST;
            (
                if created {
                    Route::NewObject(bucket)
                } else {
                    Route::Properties(bucket)
                },
                OLD_BUCKET,
            )
        }
        ["riak", b, k] => (names.object(Form::Old, None, b, k)?, OBJECT),
        ["types", t, "props"] => (
            Route::TypeProperties(names.bucket_type(t)?),
            TYPE_PROPERTIES,
        ),
        ["ringhold", "v1", "bucket-types"] => (Route::Types, READ),
        ["ringhold", "v1", "bucket-types", t] => (Route::Type(names.bucket_type(t)?), READ),
        ["ringhold", "v1", "bucket-types", t, asked] => {
            let request = type_request(asked)?;
            (Route::TypeOrder(names.bucket_type(t)?, request), ACT)
        }
        ["buckets"] | ["riak"] => (names.buckets(None)?, READ),
        ["types", t, "buckets"] => (names.buckets(Some(t))?, READ),
        ["ringhold", "v1", "types", t, "buckets", b, what] => {
            let bucket = names.bucket(Form::Typed, Some(t), b)?;
            let listing = match what {
                "keys" => Listing::Page(bucket),
                "count" => Listing::Count(bucket),
                _ => return Err(Unrouted::NoSuchPath),
            };
            (Route::Listing(listing), READ)
        }
        ["buckets", b, ref within @ ..] => names.within(Form::Plain, None, b, within)?,
        ["types", t, "buckets", b, ref within @ ..] => {
            names.within(Form::Typed, Some(t), b, within)?
        }
        _ => return Err(Unrouted::NoSuchPath),
    };
    if allow.split(", ").any(|allowed| allowed == method.as_str()) {
        return Ok(match route {
            Route::NewObject(bucket) if reads(method) => Route::Listing(Listing::Keys(bucket)),
            route => route,
        });
    }
    Err(Unrouted::MethodNotAllowed { allow })
}

fn reads(method: &Method) -> bool {
    *method == Method::GET || *method == Method::HEAD
}

/// An index query: its field, and a term or two.
fn index(bucket: BucketName, field: &str, terms: &[&str]) -> Result<Route, Unrouted> {
    let decoded = |text| unescape(text).map_err(|_| Unrouted::BadName(BadName::Escape));
    let (first, last) = match *terms {
        [first] => (decoded(first)?, None),
        [first, last] => (decoded(first)?, Some(decoded(last)?)),
        _ => return Err(Unrouted::NoSuchPath),
    };
    Ok(Route::Listing(Listing::Index {
        bucket,
        field: decoded(field)?,
        first,
        last,
    }))
}

fn ring_request(asked: &str) -> Result<(Route, &'static str), Unrouted> {
    let (request, allow) = match asked {
        "stage" => (RingRequest::Stage, ACT),
        "commit" => (RingRequest::Commit, ACT),
        "abort" => (RingRequest::Abort, ACT),
        "recovery-plan" => (RingRequest::RecoveryPlan, ACT),
        "recover" => (RingRequest::Recover, ACT),
        "plan" => (RingRequest::Plan, READ),
        "transfers" => (RingRequest::Transfers, READ),
        _ => return Err(Unrouted::NoSuchPath),
    };
    Ok((Route::RingRequest(request), allow))
}

fn type_request(asked: &str) -> Result<TypeRequest, Unrouted> {
    match asked {
        "create" => Ok(TypeRequest::Create),
        "activate" => Ok(TypeRequest::Activate),
        "update" => Ok(TypeRequest::Update),
        _ => Err(Unrouted::NoSuchPath),
    }
}

fn segments(path: &str) -> Box<[&str]> {
    path.strip_prefix('/').unwrap_or(path).split('/').collect()
}

struct Names {
    limits: NameLimits,
}

impl Names {
    fn bucket_type(&self, text: &str) -> Result<Bytes, Unrouted> {
        name("Type", text, self.limits.name_bytes)
    }

    fn bucket(
        &self,
        form: Form,
        bucket_type: Option<&str>,
        bucket: &str,
    ) -> Result<BucketName, Unrouted> {
        let limit = self.limits.name_bytes;
        let bucket_type = match bucket_type {
            Some(text) => self.bucket_type(text)?,
            None => Bytes::from_static(DEFAULT_BUCKET_TYPE),
        };
        Ok(BucketName {
            bucket_type,
            bucket: name("Bucket", bucket, limit)?,
            form,
        })
    }

    /// What a bucket has, whatever the generation of the address.
    fn within(
        &self,
        form: Form,
        bucket_type: Option<&str>,
        bucket: &str,
        within: &[&str],
    ) -> Result<(Route, &'static str), Unrouted> {
        let named = || self.bucket(form, bucket_type, bucket);
        Ok(match *within {
            ["props"] => (Route::Properties(named()?), PROPERTIES),
            ["keys"] | ["keys", ""] => (Route::NewObject(named()?), NEW_OBJECT),
            ["index", f, ref terms @ ..] => (index(named()?, f, terms)?, READ),
            ["keys", k] => (self.object(form, bucket_type, bucket, k)?, OBJECT),
            ["datatypes"] if form == Form::Typed => (Route::NewDataType(named()?), NEW_OBJECT),
            ["datatypes", k] if form == Form::Typed => {
                let (bucket, key) = (named()?, self.key(k)?);
                (Route::DataType { bucket, key }, DATA_TYPE)
            }
            ["counters", k] if form == Form::Plain => {
                let (bucket, key) = (named()?, self.key(k)?);
                (Route::Counter { bucket, key }, DATA_TYPE)
            }
            ["keys", k, "preflist"] => {
                let name = self.name(bucket_type, bucket, k)?;
                (Route::PreferenceList(name), READ)
            }
            _ => return Err(Unrouted::NoSuchPath),
        })
    }

    fn buckets(&self, bucket_type: Option<&str>) -> Result<Route, Unrouted> {
        let bucket_type = match bucket_type {
            Some(text) => name("Type", text, self.limits.name_bytes)?,
            None => Bytes::from_static(DEFAULT_BUCKET_TYPE),
        };
        Ok(Route::Listing(Listing::Buckets(bucket_type)))
    }

    fn object(
        &self,
        form: Form,
        bucket_type: Option<&str>,
        bucket: &str,
        key: &str,
    ) -> Result<Route, Unrouted> {
        let bucket = self.bucket(form, bucket_type, bucket)?;
        Ok(Route::Object {
            bucket,
            key: self.key(key)?,
        })
    }

    fn key(&self, key: &str) -> Result<Bytes, Unrouted> {
        name("Key", key, self.limits.key_bytes)
    }

    fn explain(
        &self,
        bucket_type: Option<&str>,
        bucket: &str,
        key: &str,
    ) -> Result<Route, Unrouted> {
        self.name(bucket_type, bucket, key).map(Route::Explain)
    }

    fn name(
        &self,
        bucket_type: Option<&str>,
        bucket: &str,
        key: &str,
    ) -> Result<ObjectName, Unrouted> {
        let bucket = self.bucket(Form::Plain, bucket_type, bucket)?;
        Ok(bucket.object(self.key(key)?))
    }
}

fn name(what: &'static str, text: &str, limit: usize) -> Result<Bytes, Unrouted> {
    let decoded = unescape(text).map_err(|_| Unrouted::BadName(BadName::Escape))?;
    if decoded.is_empty() {
        return Err(Unrouted::BadName(BadName::Empty { what }));
    }
    if decoded.len() > limit {
        return Err(Unrouted::BadName(BadName::TooLong {
            what,
            bytes: decoded.len(),
            limit,
        }));
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: NameLimits = NameLimits {
        key_bytes: 16,
        name_bytes: 8,
    };

    fn get(path: &str) -> Result<Route, Unrouted> {
        route(&Method::GET, path, LIMITS)
    }

    fn bucket(form: Form, bucket_type: &'static str, bucket: &'static str) -> BucketName {
        let (bucket_type, bucket) = (Bytes::from(bucket_type), Bytes::from(bucket));
        BucketName {
            bucket_type,
            bucket,
            form,
        }
    }

    #[test]
    fn objects_in_three_forms() {
        let rows = [
            ("/riak/b/k", Form::Old, "default", "b", "k"),
            ("/buckets/b/keys/k", Form::Plain, "default", "b", "k"),
            (
                "/types/default/buckets/b/keys/k",
                Form::Typed,
                "default",
                "b",
                "k",
            ),
            (
                "/types/t/buckets/b+c/keys/a%2Fb%20c",
                Form::Typed,
                "t",
                "b c",
                "a/b c",
            ),
            (
                "/buckets/keys/keys/keys",
                Form::Plain,
                "default",
                "keys",
                "keys",
            ),
        ];
        for (path, form, bucket_type, name, key) in rows {
            let want = Route::Object {
                bucket: bucket(form, bucket_type, name),
                key: Bytes::from(key),
            };
            assert_eq!(get(path), Ok(want), "{path}");
        }
    }

    #[test]
    fn other_things() {
        let rows = [
            ("GET", "/", Route::Root),
            ("HEAD", "/ping", Route::Ping),
            ("GET", "/metrics", Route::Metrics),
            ("GET", "/stats", Route::Stats),
            (
                "GET",
                "/types/t/buckets/b/keys/k/preflist",
                Route::PreferenceList(bucket(Form::Typed, "t", "b").object(Bytes::from("k"))),
            ),
            (
                "HEAD",
                "/buckets/b/keys/preflist/preflist",
                Route::PreferenceList(
                    bucket(Form::Plain, "default", "b").object(Bytes::from("preflist")),
                ),
            ),
            ("GET", "/health/live", Route::Live),
            ("GET", "/health/ready", Route::Ready),
            ("GET", "/ringhold/v1/status", Route::Status),
            ("GET", "/ringhold/v1/ring", Route::Ring),
            ("POST", "/ringhold/v1/verify", Route::Job(JobName::Verify)),
            (
                "POST",
                "/ringhold/v1/cluster/stage",
                Route::RingRequest(RingRequest::Stage),
            ),
            (
                "GET",
                "/ringhold/v1/cluster/plan",
                Route::RingRequest(RingRequest::Plan),
            ),
            (
                "POST",
                "/ringhold/v1/rebuild/without/node%202",
                Route::RebuildWithout("node 2".to_owned()),
            ),
            (
                "POST",
                "/buckets/b/keys",
                Route::NewObject(bucket(Form::Plain, "default", "b")),
            ),
            (
                "POST",
                "/buckets/b/keys/",
                Route::NewObject(bucket(Form::Plain, "default", "b")),
            ),
            (
                "POST",
                "/types/t/buckets/b/keys",
                Route::NewObject(bucket(Form::Typed, "t", "b")),
            ),
            (
                "POST",
                "/riak/b",
                Route::NewObject(bucket(Form::Old, "default", "b")),
            ),
            (
                "GET",
                "/riak/b",
                Route::Properties(bucket(Form::Old, "default", "b")),
            ),
            (
                "PUT",
                "/riak/b",
                Route::Properties(bucket(Form::Old, "default", "b")),
            ),
            (
                "DELETE",
                "/buckets/b/props",
                Route::Properties(bucket(Form::Plain, "default", "b")),
            ),
            (
                "GET",
                "/types/t/buckets/b/props",
                Route::Properties(bucket(Form::Typed, "t", "b")),
            ),
            (
                "GET",
                "/ringhold/v1/explain/buckets/b/keys/k",
                Route::Explain(bucket(Form::Plain, "default", "b").object(Bytes::from("k"))),
            ),
        ];
        for (method, path, want) in rows {
            let method = method.parse().expect("a method");
            assert_eq!(route(&method, path, LIMITS), Ok(want), "{method} {path}");
        }
    }

    #[test]
    fn refusals() {
        let too_long =
            |what, bytes, limit| Unrouted::BadName(BadName::TooLong { what, bytes, limit });
        let empty = |what| Unrouted::BadName(BadName::Empty { what });
        let rows = [
            ("GET", "/nosuch", Unrouted::NoSuchPath),
            ("GET", "/buckets/b", Unrouted::NoSuchPath),
            ("GET", "/buckets/b/keys/a/b", Unrouted::NoSuchPath),
            (
                "GET",
                "/buckets/b/keys/%zz",
                Unrouted::BadName(BadName::Escape),
            ),
            ("GET", "/buckets//keys/k", empty("Bucket")),
            ("GET", "/types//buckets/b/keys/k", empty("Type")),
            ("GET", "/buckets/123456789/keys/k", too_long("Bucket", 9, 8)),
            (
                "GET",
                "/types/123456789/buckets/b/keys/k",
                too_long("Type", 9, 8),
            ),
            (
                "GET",
                "/buckets/b/keys/12345678901234567",
                too_long("Key", 17, 16),
            ),
            ("POST", "/ringhold/v1/cluster/nosuch", Unrouted::NoSuchPath),
            (
                "GET",
                "/ringhold/v1/cluster/commit",
                Unrouted::MethodNotAllowed { allow: ACT },
            ),
            ("POST", "/ping", Unrouted::MethodNotAllowed { allow: READ }),
            ("PATCH", "/buckets/b/keys/k", Unrouted::NoSuchMethod),
            ("BREW", "/nosuch", Unrouted::NoSuchMethod),
            (
                "OPTIONS",
                "/buckets/b/keys/k",
                Unrouted::MethodNotAllowed { allow: OBJECT },
            ),
            (
                "DELETE",
                "/buckets/b/keys",
                Unrouted::MethodNotAllowed { allow: NEW_OBJECT },
            ),
            ("GET", "/buckets/b/index/f_int", Unrouted::NoSuchPath),
            (
                "POST",
                "/buckets/b/props",
                Unrouted::MethodNotAllowed { allow: PROPERTIES },
            ),
            (
                "DELETE",
                "/riak/b",
                Unrouted::MethodNotAllowed { allow: OLD_BUCKET },
            ),
        ];
        for (method, path, want) in rows {
            let method = method.parse().expect("a method");
            assert_eq!(route(&method, path, LIMITS), Err(want), "{method} {path}");
        }
    }

    #[test]
    fn a_location_leads_back() {
        for (form, bucket_type) in [
            (Form::Old, "default"),
            (Form::Plain, "default"),
            (Form::Typed, "t/1"),
        ] {
            let bucket = bucket(form, bucket_type, "a b/c");
            let location = bucket.location(b"k?\xff");
            let key = Bytes::from_static(b"k?\xff");
            assert_eq!(
                get(&location),
                Ok(Route::Object { bucket, key }),
                "{location}"
            );
        }
    }
}
