//! Listings and index queries: the requests that may be answered with many frames.
//!
//! What a query finds is made into frames by a task of its own, which is two frames ahead of the client at most. Riak's habits
//! stay: a list of keys is always a stream, one of buckets and an index query are if they say so; `done` comes only in streams, and with it
//! the continuation of a query that gave as much as it was to give. A query that could not be covered ends with Riak's error for
//! that.

use super::content::{content_of, values_of};
use super::coverage::share_of;
use super::refusal::Refusal;
use super::{Edge, bucket_type};
use crate::edge::Door;
use crate::edge::listing::{
    Asked, BadQuery, Bounds, Ended, Listed, buckets_query, continuation_behind, index_query,
    keys_query, term_of,
};
use crate::edge::token_of;
use bytes::Bytes;
use ringhold_core::index::{BUCKET_FIELD, KEY_FIELD, Span};
use ringhold_core::version::token::TokenScope;
use ringhold_node::{Found, Query, QueryFailed};
use ringhold_wire::message::{GetOptions, GetRequest, ObjectName};
use ringhold_wire::riak::{
    CsBucketReq, GetResp, IndexBodyResp, IndexObject, IndexQueryType, IndexReq, IndexResp,
    ListBucketsReq, ListBucketsResp, ListKeysReq, ListKeysResp, Pair, Request, Response,
};
use tokio::sync::mpsc;

/// Where Riak says that there is no limit.
const TIMEOUT_MS_MAX: u64 = 86_400_000;
/// The names in an answer of one frame, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Objects in one frame, where objects are asked for, and bytes of them after which it ends.
const OBJECTS_AT_ONCE: usize = 16;
/// How long each of them is read for.
const OBJECT_MS: u64 = 10_000;

/// What frames are made of rows.
enum Shape {
    Keys,
    Buckets {
        stream: bool,
    },
    Index {
        stream: bool,
        terms: bool,
    },
    /// `cs`: in the frames of a bucket of Riak CS.
    Objects {
        stream: bool,
        cs: bool,
    },
}

impl Shape {
    fn streams(&self) -> bool {
        match self {
            Self::Keys => true,
            Self::Buckets { stream }
            | Self::Index { stream, .. }
            | Self::Objects { stream, .. } => *stream,
        }
    }
}

/// Begins a listing or a query; none if the request is something else.
pub(super) fn begin<D: Door>(
    edge: &Edge<D>,
    request: &Request,
) -> Option<Result<mpsc::Receiver<Response>, Refusal>> {
    Some(match request {
        Request::ListKeys(message) => list_keys(edge, message),
        Request::ListBuckets(message) => list_buckets(edge, message),
        Request::Index(message) => index(edge, message),
        Request::CsBucket(message) => cs_bucket(edge, message),
        _ => return None,
    })
}

fn list_keys<D: Door>(
    edge: &Edge<D>,
    message: &ListKeysReq,
) -> Result<mpsc::Receiver<Response>, Refusal> {
    let of_type = checked(edge, message.r#type.as_ref(), &message.bucket)?;
    let query = keys_query(&of_type, &message.bucket);
    let ms = message.timeout.map_or(edge.limits.request_ms, u64::from);
    Ok(frames(edge, query, ms, Shape::Keys))
}

fn list_buckets<D: Door>(
    edge: &Edge<D>,
    message: &ListBucketsReq,
) -> Result<mpsc::Receiver<Response>, Refusal> {
    let of_type = bucket_type(message.r#type.as_ref())?;
    if edge.door.properties(&of_type, &Bytes::new()).is_none() {
        return Err(Refusal::unknown_bucket_type(&of_type));
    }
    let ms = message.timeout.map_or(edge.limits.request_ms, u64::from);
    let stream = message.stream == Some(true);
    Ok(frames(
        edge,
        buckets_query(&of_type),
        ms,
        Shape::Buckets { stream },
    ))
}

fn index<D: Door>(edge: &Edge<D>, message: &IndexReq) -> Result<mpsc::Receiver<Response>, Refusal> {
    let of_type = checked(edge, message.r#type.as_ref(), &message.bucket)?;
    let is_range = message.qtype == i32::from(IndexQueryType::Range);
    let asked = Asked {
        bucket_type: &of_type,
        bucket: &message.bucket,
        field: &message.index,
        bounds: bounds_of(message, is_range)?,
        rows_max: message.max_results.map(u64::from).filter(|max| *max > 0),
        continuation: message
            .continuation
            .as_deref()
            .filter(|token| !token.is_empty()),
        term_regex: message
            .term_regex
            .as_deref()
            .filter(|text| !text.is_empty()),
    };
    let mut query = index_query(&asked).map_err(|bad| refusal_of(&bad))?;
    let cover = message.cover_context.as_ref();
    query.share = share_of(edge, &of_type, &message.bucket, cover)?;
    let stream = message.stream == Some(true);
    let is_built_in = [KEY_FIELD, BUCKET_FIELD].contains(&&message.index[..]);
    let shape = if message.return_body == Some(true) && is_built_in {
        Shape::Objects { stream, cs: false }
    } else {
        let terms = message.return_terms == Some(true) && is_range && !is_built_in;
        Shape::Index { stream, terms }
    };
    let ms = message.timeout.map(u64::from).filter(|ms| *ms > 0);
    Ok(frames(edge, query, ms.unwrap_or(TIMEOUT_MS_MAX), shape))
}

fn cs_bucket<D: Door>(
    edge: &Edge<D>,
    message: &CsBucketReq,
) -> Result<mpsc::Receiver<Response>, Refusal> {
    let of_type = checked(edge, message.r#type.as_ref(), &message.bucket)?;
    let (first, last) = (message.start_key.clone(), message.end_key.clone());
    let above = Bytes::from([&first[..], &[0]].concat());
    let first = if message.start_incl() { first } else { above };
    let mut span = Span::of_keys(&of_type, &message.bucket, &first, last.as_deref());
    if last.is_some() && !message.end_incl() {
        // The last row of a span to a key is the key itself.
        span.to.truncate(span.to.len() - 1);
    }
    let mut query = keys_query(&of_type, &message.bucket);
    if let Some(token) = message
        .continuation
        .as_deref()
        .filter(|token| !token.is_empty())
    {
        let place = crate::edge::listing::place_in(token, &span);
        query.after = place.map_err(|bad| refusal_of(&bad))?;
    }
    query.span = span;
    let cover = message.cover_context.as_ref();
    query.share = share_of(edge, &of_type, &message.bucket, cover)?;
    query.rows_max = message.max_results.map(u64::from).filter(|max| *max > 0);
    let ms = message.timeout.map(u64::from).filter(|ms| *ms > 0);
    let shape = Shape::Objects {
        stream: true,
        cs: true,
    };
    Ok(frames(edge, query, ms.unwrap_or(TIMEOUT_MS_MAX), shape))
}

/// The bucket type of a request about a bucket, if there is such a bucket.
fn checked<D: Door>(
    edge: &Edge<D>,
    of_type: Option<&Bytes>,
    bucket: &Bytes,
) -> Result<Bytes, Refusal> {
    let of_type = bucket_type(of_type)?;
    if bucket.is_empty() {
        return Err(Refusal::text("Bucket cannot be zero-length"));
    }
    if edge.door.properties(&of_type, bucket).is_none() {
        return Err(Refusal::unknown_bucket_type(&of_type));
    }
    Ok(of_type)
}

fn bounds_of(message: &IndexReq, is_range: bool) -> Result<Bounds, Refusal> {
    if !is_range {
        let key = message.key.clone();
        let key = key.ok_or_else(|| Refusal::text("Invalid equality query undefined"))?;
        return Ok(Bounds::Equal(key));
    }
    let text = |bound: &Option<Bytes>| {
        let bound = bound.as_deref().map(String::from_utf8_lossy);
        bound.map_or_else(|| "undefined".to_owned(), std::borrow::Cow::into_owned)
    };
    match (&message.range_min, &message.range_max) {
        (Some(first), Some(last)) => Ok(Bounds::Range(first.clone(), last.clone())),
        (first, last) => Err(Refusal::text(format!(
            "Invalid range query: {} -> {}",
            text(first),
            text(last)
        ))),
    }
}

fn refusal_of(bad: &BadQuery) -> Refusal {
    Refusal::text(match bad {
        BadQuery::Field { field } => format!("Unknown field type for field: '{field}'."),
        BadQuery::Value { field, value } => {
            format!("Could not parse field '{field}', value '{value}'.")
        }
        BadQuery::Range { first, last } => format!("Invalid range query: {first} -> {last}"),
        BadQuery::RegexOnNumbers => {
            "Can not use term regular expression in integer query".to_owned()
        }
        BadQuery::Regex { text } => format!("Invalid term regular expression: {text}"),
        BadQuery::Continuation => "Invalid continuation".to_owned(),
    })
}

/// The frames that answer a query, as somebody takes them.
fn frames<D: Door>(
    edge: &Edge<D>,
    query: Query,
    timeout_ms: u64,
    shape: Shape,
) -> mpsc::Receiver<Response> {
    let (sender, frames) = mpsc::channel(2);
    let maker = Maker {
        door: edge.door.clone(),
        shape,
        rows_max: query.rows_max,
        count: 0,
        last: None,
        kept: Vec::new(),
        kept_bytes: 0,
        sender,
    };
    let listed = edge.door.query(query, timeout_ms);
    tokio::spawn(maker.run(listed));
    frames
}

/// Makes frames of rows.
struct Maker<D> {
    door: D,
    shape: Shape,
    rows_max: Option<u64>,
    count: u64,
    last: Option<Vec<u8>>,
    /// Rows for the one frame of an answer that is no stream.
    kept: Vec<Found>,
    kept_bytes: usize,
    sender: mpsc::Sender<Response>,
}

/// The client has gone, or has been told of an error.
struct Over;

impl<D: Door> Maker<D> {
    async fn run(mut self, mut listed: mpsc::Receiver<Listed>) {
        loop {
            let went = match listed.recv().await {
                Some(Listed::Rows(rows)) => self.rows(rows).await,
                Some(Listed::Ended(ended)) => self.end(&ended).await,
                Some(Listed::Failed(QueryFailed::TimedOut)) | None => self.fail("timeout").await,
                Some(Listed::Failed(failed)) => self.fail(failed.to_string()).await,
            };
            if went.is_err() {
                return;
            }
        }
    }

    async fn send(&self, response: Response) -> Result<(), Over> {
        self.sender.send(response).await.map_err(|_| Over)
    }

    async fn fail(&self, text: impl Into<Bytes>) -> Result<(), Over> {
        self.send(Response::error(text)).await?;
        Err(Over)
    }

    async fn rows(&mut self, rows: Vec<Found>) -> Result<(), Over> {
        self.count += rows.len() as u64;
        self.last = rows.last().map(continuation_behind);
        if self.shape.streams() {
            return self.hand_out(&rows).await;
        }
        self.kept_bytes += rows
            .iter()
            .map(|found| 64 + found.place.len())
            .sum::<usize>();
        if self.kept_bytes > ANSWER_BYTES_MAX {
            return self
                .fail("more than one answer holds: ask for a stream or for pages")
                .await;
        }
        self.kept.extend(rows);
        Ok(())
    }

    /// Frames of rows, in a stream.
    async fn hand_out(&self, rows: &[Found]) -> Result<(), Over> {
        if !matches!(self.shape, Shape::Objects { .. }) {
            return self.send(self.frame(rows, None, None)).await;
        }
        for some in rows.chunks(OBJECTS_AT_ONCE) {
            let objects = self.objects(some).await?;
            self.send(self.bodies(objects, None, None)).await?;
        }
        Ok(())
    }

    async fn end(&mut self, ended: &Ended) -> Result<(), Over> {
        if let Some(text) = ended.insufficient() {
            return self.fail(text).await;
        }
        let is_full = self.rows_max == Some(self.count);
        let continuation = self.last.take().filter(|_| is_full).map(Bytes::from);
        let done = self.shape.streams().then_some(true);
        let kept = std::mem::take(&mut self.kept);
        let last = if matches!(self.shape, Shape::Objects { .. }) {
            let objects = self.objects(&kept).await?;
            self.bodies(objects, continuation, done)
        } else {
            self.frame(&kept, continuation, done)
        };
        self.send(last).await?;
        Err(Over)
    }

    fn frame(&self, rows: &[Found], continuation: Option<Bytes>, done: Option<bool>) -> Response {
        let keys = || rows.iter().map(|found| found.row.key.clone()).collect();
        match self.shape {
            Shape::Keys => Response::Keys(ListKeysResp { keys: keys(), done }),
            Shape::Buckets { .. } => {
                let buckets = rows.iter().map(|found| found.row.bucket.clone());
                let buckets = buckets.collect();
                Response::Buckets(ListBucketsResp { buckets, done })
            }
            Shape::Index { terms: true, .. } => {
                let results = rows.iter().map(|found| Pair {
                    key: term_of(found).unwrap_or_default(),
                    value: Some(found.row.key.clone()),
                });
                Response::Index(IndexResp {
                    keys: Vec::new(),
                    results: results.collect(),
                    continuation,
                    done,
                })
            }
            Shape::Index { .. } | Shape::Objects { .. } => Response::Index(IndexResp {
                keys: keys(),
                results: Vec::new(),
                continuation,
                done,
            }),
        }
    }

    fn bodies(
        &self,
        objects: Vec<IndexObject>,
        continuation: Option<Bytes>,
        done: Option<bool>,
    ) -> Response {
        let body = IndexBodyResp {
            objects,
            continuation,
            done,
        };
        match self.shape {
            Shape::Objects { cs: true, .. } => Response::CsBucket(body),
            _ => Response::IndexBodies(body),
        }
    }

    /// The objects of rows, those that are still there.
    async fn objects(&self, rows: &[Found]) -> Result<Vec<IndexObject>, Over> {
        let mut objects = Vec::with_capacity(rows.len());
        for found in rows {
            let name = ObjectName {
                bucket_type: found.row.bucket_type.clone(),
                bucket: found.row.bucket.clone(),
                key: found.row.key.clone(),
            };
            let request = GetRequest {
                name: name.clone(),
                options: GetOptions::default(),
                explain: false,
            };
            let answer = match self.door.get(request, OBJECT_MS).await {
                Ok(answer) => answer,
                Err(error) => {
                    let refusal = Refusal::of_get(&error, &name.bucket_type);
                    self.send(refusal.response()).await?;
                    return Err(Over);
                }
            };
            let properties = self.door.properties(&name.bucket_type, &name.bucket);
            let Some(properties) = properties else {
                continue;
            };
            let versions = values_of(&answer.object, &properties);
            if versions.is_empty() {
                continue;
            }
            let scope = TokenScope {
                bucket_type: &name.bucket_type,
                bucket: &name.bucket,
                key: &name.key,
            };
            let sealed = self.door.token_key().seal(scope, &token_of(&answer.object));
            let contents = versions.iter().map(|version| content_of(version, false));
            let object = GetResp {
                content: contents.collect(),
                vclock: Some(Bytes::from(sealed)),
                ..GetResp::default()
            };
            let key = name.key;
            objects.push(IndexObject { key, object });
        }
        Ok(objects)
    }
}
