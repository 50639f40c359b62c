//! Get, put and delete, typed (§4.1): all current versions and an opaque context come back from a
//! get; a put replaces what its context covers, and conflicts with everything else.
//!
//! A get has three shapes on the wire and one here. A single version is a 200, several are a 300
//! in `multipart/mixed`, and a missing object is a 404, which is an answer and not an error. A
//! tombstone is a version too: it is in [`Fetched::siblings`] with `deleted` set and no bytes, and
//! its context must go into the next put, or the deletion becomes a sibling of what is written.
//!
//! The context is passed on as the text that it arrived as. It says nothing to a client.

use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use hyper::header::HeaderName;

use crate::error::ClientError;
use crate::http::{Answer, HttpPool, Request};
use crate::{multipart, percent};

const CONTEXT: &str = "x-riak-vclock";
const DELETED: &str = "x-riak-deleted";
const METADATA: &str = "x-riak-meta-";
const EXPLAIN: &str = "x-ringhold-explain";
const DEADLINE_MS: &str = "x-ringhold-deadline-ms";
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Siblings in one body; anything else as it was stored.
const ACCEPT_SIBLINGS: &str = "multipart/mixed, */*;q=0.5";
/// The type whose objects are addressed without a type.
pub const DEFAULT_TYPE: &str = "default";

/// Without any other wish, an answer is waited for as long as a shopper would.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// Which object: type, bucket, key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectName {
    pub bucket_type: String,
    pub bucket: String,
    pub key: String,
}

impl ObjectName {
    #[must_use]
    pub fn new(bucket_type: &str, bucket: &str, key: &str) -> Self {
        Self {
            bucket_type: bucket_type.to_owned(),
            bucket: bucket.to_owned(),
            key: key.to_owned(),
        }
    }

    /// The path of the object's resource.
    #[must_use]
    pub fn path(&self) -> String {
        let object = format!(
            "/buckets/{}/keys/{}",
            percent::encode(&self.bucket),
            percent::encode(&self.key)
        );
        if self.bucket_type == DEFAULT_TYPE {
            return object;
        }
        format!("/types/{}{object}", percent::encode(&self.bucket_type))
    }
}

/// Quorums of one request: a number, `one`, `quorum`, `all`; what is left out is the bucket's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quorums {
    pub r: Option<String>,
    pub w: Option<String>,
    pub pr: Option<String>,
    pub pw: Option<String>,
    pub dw: Option<String>,
}

impl Quorums {
    fn query(&self) -> String {
        let named = [
            ("r", &self.r),
            ("w", &self.w),
            ("pr", &self.pr),
            ("pw", &self.pw),
            ("dw", &self.dw),
        ];
        let pairs: Vec<String> = named
            .into_iter()
            .filter_map(|(name, quorum)| {
                Some(format!("{name}={}", percent::encode(quorum.as_ref()?)))
            })
            .collect();
        if pairs.is_empty() {
            String::new()
        } else {
            format!("?{}", pairs.join("&"))
        }
    }
}

#[derive(Debug, Clone, Default)]
pub struct GetOptions {
    pub quorums: Quorums,
    /// Ask the server to tell how it answered.
    pub explain: bool,
    pub timeout: Option<Duration>,
}

/// What is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    pub content_type: String,
    /// Names without their prefix, and values.
    pub metadata: Vec<(String, String)>,
    /// From when on nobody is shown it: seconds since 1970, or an HTTP date. Never, if none.
    pub expires_at: Option<String>,
    pub body: Bytes,
}

impl Value {
    #[must_use]
    pub fn new(content_type: &str, body: impl Into<Bytes>) -> Self {
        Self {
            content_type: content_type.to_owned(),
            metadata: Vec::new(),
            expires_at: None,
            body: body.into(),
        }
    }
}

#[derive(Debug, Clone, Default)]
pub struct PutOptions {
    pub quorums: Quorums,
    /// What the writer has seen; without one the write conflicts with everything there is.
    pub context: Option<String>,
    /// The same for every attempt at one write, and for nothing else.
    pub idempotency_key: Option<String>,
    pub explain: bool,
    pub timeout: Option<Duration>,
}

pub type DeleteOptions = PutOptions;

/// One version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sibling {
    pub content_type: String,
    /// Names the version among its siblings.
    pub vtag: String,
    /// A tombstone: no bytes.
    pub deleted: bool,
    /// Names without their prefix, lower case.
    pub metadata: Vec<(String, String)>,
    pub body: Bytes,
}

/// What a get found: all current versions, none if there never was one or all trace is gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetched {
    pub siblings: Vec<Sibling>,
    pub context: Option<String>,
    /// How the server answered, as JSON, if that was asked for.
    pub explain: Option<String>,
}

impl Fetched {
    /// The versions that hold a value.
    pub fn values(&self) -> impl Iterator<Item = &Sibling> {
        self.siblings.iter().filter(|sibling| !sibling.deleted)
    }
}

/// A write that was acknowledged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// The name of the write.
    pub dot: Option<String>,
    pub explain: Option<String>,
}

/// A deletion that was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// A tombstone replaced what the context covered.
    Done,
    /// There was nothing.
    Missing,
}

impl HttpPool {
    pub async fn get(
        &self,
        name: &ObjectName,
        options: &GetOptions,
    ) -> Result<Fetched, ClientError> {
        let mut request = object_request(
            Method::GET,
            name,
            &options.quorums,
            options.timeout,
            options.explain,
        )?;
        request = request.header("accept", ACCEPT_SIBLINGS)?;
        let answer = self.request(&request).await?;
        fetched(&answer).map_err(|problem| problem.at(self, &answer))
    }

    /// Acknowledged on return; see [`ClientError`] for what holds otherwise.
    pub async fn put(
        &self,
        name: &ObjectName,
        value: &Value,
        options: &PutOptions,
    ) -> Result<Stored, ClientError> {
        let mut request = write_request(Method::PUT, name, options)?;
        request = request.header("content-type", &value.content_type)?;
        if let Some(end) = &value.expires_at {
            request = request.header("x-ringhold-expires-at", end)?;
        }
        for (key, value) in &value.metadata {
            let name: HeaderName =
                format!("{METADATA}{key}")
                    .parse()
                    .map_err(|_| ClientError::Invalid {
                        what: "metadata",
                        problem: format!("{key:?} can't be part of a header's name"),
                    })?;
            request.add_header(name, value, "metadata")?;
        }
        request.body = value.body.clone();
        let answer = self.request(&request).await?;
        match answer.status {
            200 | 201 | 204 | 300 => Ok(Stored {
                dot: answer.header("x-ringhold-dot").map(str::to_owned),
                explain: answer.header(EXPLAIN).map(str::to_owned),
            }),
            _ => Err(Unexpected::Status.at(self, &answer)),
        }
    }

    pub async fn delete(
        &self,
        name: &ObjectName,
        options: &DeleteOptions,
    ) -> Result<Deleted, ClientError> {
        let answer = self
            .request(&write_request(Method::DELETE, name, options)?)
            .await?;
        match answer.status {
            200 | 204 => Ok(Deleted::Done),
            404 => Ok(Deleted::Missing),
            _ => Err(Unexpected::Status.at(self, &answer)),
        }
    }

    /// Has a node do something, such as `/ringhold/v1/rebuild/without/node2`. Any status but 200 is an error.
    pub async fn act(&self, path: &str, timeout: Duration) -> Result<Bytes, ClientError> {
        self.act_on(Request::post(path, timeout)).await
    }

    /// The same, with a body that says what, as JSON.
    pub async fn act_with(
        &self,
        path: &str,
        json: impl Into<Bytes>,
        timeout: Duration,
    ) -> Result<Bytes, ClientError> {
        let mut request =
            Request::post(path, timeout).header("content-type", "application/json")?;
        request.body = json.into();
        self.act_on(request).await
    }

    async fn act_on(&self, request: Request) -> Result<Bytes, ClientError> {
        let request = request.header("accept", "application/json")?;
        let answer = self.request(&request).await?;
        if answer.status == 200 {
            Ok(answer.body)
        } else {
            Err(Unexpected::Status.at(self, &answer))
        }
    }

    /// A resource as it is, such as `/ringhold/v1/status`. Any status but 200 is an error.
    pub async fn resource(&self, path: &str, timeout: Duration) -> Result<Bytes, ClientError> {
        let request = Request::get(path, timeout).header("accept", "application/json")?;
        let answer = self.request(&request).await?;
        if answer.status == 200 {
            Ok(answer.body)
        } else {
            Err(Unexpected::Status.at(self, &answer))
        }
    }
}

fn object_request(
    method: Method,
    name: &ObjectName,
    quorums: &Quorums,
    timeout: Option<Duration>,
    explain: bool,
) -> Result<Request, ClientError> {
    for (what, part) in [
        ("the bucket type", &name.bucket_type),
        ("the bucket", &name.bucket),
        ("the key", &name.key),
    ] {
        if part.is_empty() {
            return Err(ClientError::Invalid {
                what,
                problem: "it is empty".to_owned(),
            });
        }
    }
    let timeout = timeout.unwrap_or(TIMEOUT_DEFAULT);
    let path = format!("{}{}", name.path(), quorums.query());
    let request = Request::new(method, path, timeout)
        .header(DEADLINE_MS, &timeout.as_millis().to_string())?;
    if explain {
        request.header(EXPLAIN, "true")
    } else {
        Ok(request)
    }
}

fn write_request(
    method: Method,
    name: &ObjectName,
    options: &PutOptions,
) -> Result<Request, ClientError> {
    let mut request = object_request(
        method,
        name,
        &options.quorums,
        options.timeout,
        options.explain,
    )?;
    if let Some(context) = &options.context {
        request = request.header(CONTEXT, context)?;
    }
    if let Some(key) = &options.idempotency_key {
        request = request.header(IDEMPOTENCY_KEY, key)?;
    }
    Ok(request)
}

/// An answer that is not the one asked for.
#[derive(Debug)]
enum Unexpected {
    Status,
    Multipart(multipart::MultipartError),
}

impl Unexpected {
    fn at(self, pool: &HttpPool, answer: &Answer) -> ClientError {
        let url = pool.base().to_string();
        match self {
            Self::Status => ClientError::Status {
                url,
                status: answer.status,
                text: answer.text(),
            },
            Self::Multipart(error) => ClientError::Malformed {
                url,
                problem: error.to_string(),
            },
        }
    }
}

fn fetched(answer: &Answer) -> Result<Fetched, Unexpected> {
    let siblings = match answer.status {
        200 => vec![whole(answer)],
        300 => siblings(answer).map_err(Unexpected::Multipart)?,
        404 if answer.header(DELETED) == Some("true") => {
            vec![Sibling {
                deleted: true,
                body: Bytes::new(),
                ..whole(answer)
            }]
        }
        404 if !answer.body.starts_with(b"Unknown bucket type") => Vec::new(),
        _ => return Err(Unexpected::Status),
    };
    Ok(Fetched {
        siblings,
        context: answer.header(CONTEXT).map(str::to_owned),
        explain: answer.header(EXPLAIN).map(str::to_owned),
    })
}

fn whole(answer: &Answer) -> Sibling {
    let header = |name| answer.header(name).unwrap_or_default();
    let metadata = answer.headers.iter().filter_map(|(name, value)| {
        Some((
            name.as_str().strip_prefix(METADATA)?.to_owned(),
            value.to_str().ok()?.to_owned(),
        ))
    });
    Sibling {
        content_type: header("content-type").to_owned(),
        vtag: header("etag").trim_matches('"').to_owned(),
        deleted: false,
        metadata: metadata.collect(),
        body: answer.body.clone(),
    }
}

fn siblings(answer: &Answer) -> Result<Vec<Sibling>, multipart::MultipartError> {
    let boundary = multipart::boundary(answer.header("content-type").unwrap_or_default())?;
    let parts = multipart::parse(boundary, &answer.body)?;
    let sibling = |part: multipart::Part| {
        let header = |name| part.header(name).unwrap_or_default().to_owned();
        let metadata = part.headers.iter().filter_map(|(name, value)| {
            Some((name.strip_prefix(METADATA)?.to_owned(), value.clone()))
        });
        Sibling {
            content_type: header("content-type"),
            vtag: header("etag").trim_matches('"').to_owned(),
            deleted: part.header(DELETED) == Some("true"),
            metadata: metadata.collect(),
            body: part.body.clone(),
        }
    };
    Ok(parts.into_iter().map(sibling).collect())
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;
    use hyper::header::HeaderValue;

    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> Answer {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        Answer {
            status,
            headers: map,
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn the_default_type_has_the_short_path() {
        assert_eq!(
            ObjectName::new("default", "b", "a/b").path(),
            "/buckets/b/keys/a%2Fb"
        );
        assert_eq!(
            ObjectName::new("t x", "b", "k").path(),
            "/types/t%20x/buckets/b/keys/k"
        );
    }

    #[test]
    fn only_named_quorums_are_sent() {
        assert_eq!(Quorums::default().query(), "");
        let quorums = Quorums {
            r: Some("2".to_owned()),
            pw: Some("a&b".to_owned()),
            ..Quorums::default()
        };
        assert_eq!(quorums.query(), "?r=2&pw=a%26b");
    }

    #[test]
    fn one_version_is_a_whole_answer() {
        let headers = [
            ("content-type", "text/plain"),
            ("etag", "\"v1\""),
            ("x-riak-vclock", "abc="),
            ("x-riak-meta-colour", "red"),
            ("date", "now"),
        ];
        let fetched = fetched(&answer(200, &headers, "one")).expect("a version");
        assert_eq!(fetched.context.as_deref(), Some("abc="));
        let sibling = &fetched.siblings[0];
        assert_eq!(
            (sibling.vtag.as_str(), &sibling.body[..]),
            ("v1", &b"one"[..])
        );
        assert_eq!(
            sibling.metadata,
            vec![("colour".to_owned(), "red".to_owned())]
        );
    }

    #[test]
    fn siblings_come_with_one_context() {
        let headers = [
            ("content-type", "multipart/mixed; boundary=B"),
            ("x-riak-vclock", "abc="),
        ];
        let body = "\r\n--B\r\nContent-Type: a/b\r\nEtag: v1\r\nX-Riak-Meta-C: d\r\n\r\none\r\n\
                    --B\r\nContent-Type: a/b\r\nEtag: v2\r\nX-Riak-Deleted: true\r\n\r\n\r\n--B--\r\n";
        let fetched = fetched(&answer(300, &headers, body)).expect("siblings");
        assert_eq!(fetched.siblings.len(), 2);
        assert_eq!(fetched.values().count(), 1);
        assert_eq!(
            fetched.siblings[0].metadata,
            vec![("c".to_owned(), "d".to_owned())]
        );
        assert_eq!(fetched.context.as_deref(), Some("abc="));
    }

    #[test]
    fn missing_and_deleted_are_answers() {
        let missing = fetched(&answer(404, &[], "not found\n")).expect("an answer");
        assert_eq!(missing, Fetched::default());
        let headers = [("x-riak-deleted", "true"), ("x-riak-vclock", "abc=")];
        let deleted = fetched(&answer(404, &headers, "not found\n")).expect("an answer");
        assert_eq!((deleted.siblings.len(), deleted.values().count()), (1, 0));
        assert_eq!(deleted.context.as_deref(), Some("abc="));
    }

    #[test]
    fn everything_else_is_an_error() {
        assert!(matches!(
            fetched(&answer(503, &[], "x")),
            Err(Unexpected::Status)
        ));
        assert!(matches!(
            fetched(&answer(404, &[], "Unknown bucket type: t")),
            Err(Unexpected::Status)
        ));
        let plain = answer(300, &[("content-type", "text/plain")], "Siblings:\n");
        assert!(matches!(fetched(&plain), Err(Unexpected::Multipart(_))));
    }

    #[test]
    fn empty_names_are_never_sent() {
        let request = write_request(
            Method::PUT,
            &ObjectName::new("default", "b", ""),
            &PutOptions::default(),
        );
        assert!(request.expect_err("no key").did_not_start());
    }
}
