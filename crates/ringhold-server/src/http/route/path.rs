//! From a path to what it names.
//!
//! The path is cut at its slashes first and decoded after, so a name may hold a slash. Every name is
//! checked here, once: it is not empty and not longer than it may be, before anybody hashes or stores it.
//!
//! Riak's addresses, then our own below `/ringhold/v1`; each with the methods that it takes.

use super::{BadName, BucketName, Form, Route, Unrouted};
use crate::edge::NameLimits;
use crate::http::bucket_types::TypeRequest;
use crate::http::job::JobName;
use crate::http::listing::Listing;
use crate::http::ring_order::RingRequest;
use crate::http::text::unescape;
use bytes::Bytes;
use hyper::Method;
use ringhold_wire::message::{DEFAULT_BUCKET_TYPE, ObjectName};

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
pub(in crate::http) fn route(
    method: &Method,
    path: &str,
    limits: NameLimits,
) -> Result<Route, Unrouted> {
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
        ["ringhold", "v1", ref asked @ ..] => names.of_our_own(asked)?,
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
        ["buckets"] | ["riak"] => (names.buckets(None)?, READ),
        ["types", t, "buckets"] => (names.buckets(Some(t))?, READ),
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

    /// What only Ringhold has: below `/ringhold/v1`.
    fn of_our_own(&self, asked: &[&str]) -> Result<(Route, &'static str), Unrouted> {
        Ok(match *asked {
            ["status"] => (Route::Status, READ),
            ["ring"] => (Route::Ring, READ),
            ["rebuild", "without", member] => {
                let member = name("a member's name", member, self.limits.name_bytes)?;
                let member = String::from_utf8_lossy(&member).into_owned();
                (Route::RebuildWithout(member), ACT)
            }
            ["join-tokens"] => (Route::JoinToken, ACT),
            ["cluster", asked] => ring_request(asked)?,
            ["verify"] => (Route::Job(JobName::Verify), JOB),
            ["repair"] => (Route::Job(JobName::Repair), JOB),
            ["backup"] => (Route::Job(JobName::Backup), JOB),
            ["restore"] => (Route::Restore, JOB),
            ["explain", "buckets", b, "keys", k] => (self.explain(None, b, k)?, READ),
            ["explain", "types", t, "buckets", b, "keys", k] => {
                (self.explain(Some(t), b, k)?, READ)
            }
            ["bucket-types"] => (Route::Types, READ),
            ["bucket-types", t] => (Route::Type(self.bucket_type(t)?), READ),
            ["bucket-types", t, asked] => {
                let request = type_request(asked)?;
                (Route::TypeOrder(self.bucket_type(t)?, request), ACT)
            }
            ["types", t, "buckets", b, what] => {
                let bucket = self.bucket(Form::Typed, Some(t), b)?;
                let listing = match what {
                    "keys" => Listing::Page(bucket),
                    "count" => Listing::Count(bucket),
                    _ => return Err(Unrouted::NoSuchPath),
                };
                (Route::Listing(listing), READ)
            }
            _ => return Err(Unrouted::NoSuchPath),
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
