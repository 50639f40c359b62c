//! Keys, buckets and index queries.
//!
//! Riak's listings give everything at once or as a stream of JSON objects; its index queries page as well. All of them are read from ordered
//! indexes of R homes of each partition, so keys come in order, and a page can be gone on from. Where too few homes of a partition
//! answer, an answer would look whole and not be: it is refused, unless the request says `partial=true`. Either way
//! `X-Ringhold-Coverage` says `complete`, or which partitions are missing; a stream, whose head is gone by then, ends with an error.
//!
//! JSON knows text only. A name that is no UTF-8 is given with its bytes escaped as in a path (`%FF`), where Riak prints them as they are.
//! Our own pages escape every name in that way, so that any name can be told, and `next` put behind `after=` as it is.

use super::Answer;
use super::job::{AnswerBody, whole};
use super::options::Parameters;
use super::problem::Problem;
use super::props;
use super::route::{BucketName, Form};
use super::text::{escape, unescape};
use crate::edge::Door;
use crate::edge::listing::{
    Asked, BadQuery, Bounds, CollectFailed, Ended, Listed, buckets_query, collect,
    continuation_behind, index_query, keys_query, term_of,
};
use crate::edge::names::random_name;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, VARY};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use ringhold_core::index::{key_row, place_of};
use ringhold_node::{Found, Query, QueryFailed};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

const COVERAGE: HeaderName = HeaderName::from_static("x-ringhold-coverage");
/// An answer that is put together as a whole may have so many bytes of names.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Where Riak says that there is no limit.
const TIMEOUT_MS_MAX: u64 = 86_400_000;
/// Keys on one of our own pages.
const PAGE_KEYS: u64 = 1_000;

/// What is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Listing {
    Keys(BucketName),
    Buckets(Bytes),
    Index {
        bucket: BucketName,
        field: Bytes,
        first: Bytes,
        last: Option<Bytes>,
    },
    /// Our own pages of keys.
    Page(BucketName),
    Count(BucketName),
}

impl Listing {
    pub(super) fn bucket_type(&self) -> &Bytes {
        match self {
            Self::Keys(bucket)
            | Self::Index { bucket, .. }
            | Self::Page(bucket)
            | Self::Count(bucket) => &bucket.bucket_type,
            Self::Buckets(bucket_type) => bucket_type,
        }
    }

    fn bucket(&self) -> Bytes {
        match self {
            Self::Keys(bucket)
            | Self::Index { bucket, .. }
            | Self::Page(bucket)
            | Self::Count(bucket) => bucket.bucket.clone(),
            Self::Buckets(_) => Bytes::new(),
        }
    }
}

/// Whether a request to a bucket in the oldest form asks for keys.
pub(super) fn lists_keys(parts: &Parts) -> bool {
    let parameters = Parameters::split(parts.uri.query().unwrap_or_default());
    parameters.is_ok_and(|found| {
        let hides_properties = found.find("props") == Some("false");
        hides_properties || matches!(found.find("keys"), Some("true" | "stream"))
    })
}

pub(super) async fn serve<D: Door>(
    door: &D,
    listing: Listing,
    parts: &Parts,
    request_ms: u64,
) -> Result<Response<AnswerBody>, Problem> {
    let bucket_type = listing.bucket_type().clone();
    if door.properties(&bucket_type, &listing.bucket()).is_none() {
        return Err(Problem::unknown_bucket_type(&bucket_type));
    }
    let query = parts.uri.query().unwrap_or_default();
    let parameters = Parameters::split(query)?;
    let asking = Asking {
        door,
        query,
        parameters: &parameters,
        request_ms,
    };
    match listing {
        Listing::Keys(bucket) => asking.keys(&bucket).await,
        Listing::Buckets(bucket_type) => asking.buckets(&bucket_type).await,
        Listing::Page(bucket) => asking.page(&bucket).await.map(whole),
        Listing::Count(bucket) => asking.count(&bucket).await.map(whole),
        Listing::Index {
            bucket,
            field,
            first,
            last,
        } => {
            let bounds = match last {
                Some(last) => Bounds::Range(first, last),
                None => Bounds::Equal(first),
            };
            asking.index(&bucket, &field, bounds).await
        }
    }
}

/// A name as JSON text.
fn text(name: &[u8]) -> Value {
    match std::str::from_utf8(name) {
        Ok(text) => json!(text),
        Err(_) => json!(escape(name)),
    }
}

/// A row as a member of a list of keys, or of buckets.
fn listed_name(found: &Found) -> Value {
    if found.row.key.is_empty() {
        text(&found.row.bucket)
    } else {
        text(&found.row.key)
    }
}

/// With how much of the cluster it covers, if that was asked.
fn json_answer(body: &Value, ended: Option<&Ended>) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body.to_string())));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if let Some(ended) = ended {
        let coverage = HeaderValue::from_str(&ended.coverage()).expect("words and numbers");
        headers.insert(COVERAGE, coverage);
    }
    answer
}

fn problem_of(failed: CollectFailed) -> Problem {
    match failed {
        CollectFailed::Query(QueryFailed::TimedOut) => Problem::timed_out(),
        CollectFailed::Query(failed) => {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, format!("{failed}\n"))
        }
        CollectFailed::TooMuch => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "this is more than one answer holds: ask for a stream, or for pages\n",
        ),
    }
}

/// A parameter before it is decoded.
fn raw<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value)
}

struct Asking<'a, D> {
    door: &'a D,
    query: &'a str,
    parameters: &'a Parameters,
    request_ms: u64,
}

impl<D: Door> Asking<'_, D> {
    /// Refuses what is not whole, unless the request takes it.
    fn check(&self, ended: &Ended) -> Result<(), Problem> {
        let takes_parts = self.parameters.find("partial") == Some("true");
        match ended.insufficient().filter(|_| !takes_parts) {
            None => Ok(()),
            Some(text) => {
                let coverage = HeaderValue::from_str(&ended.coverage()).expect("words and numbers");
                let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("{text}\n"));
                Err(problem.with(COVERAGE, coverage))
            }
        }
    }

    fn listing_ms(&self) -> Result<u64, Problem> {
        let asked_ms = self.parameters.timeout_ms()?;
        Ok(asked_ms.unwrap_or(self.request_ms).min(TIMEOUT_MS_MAX))
    }

    async fn keys(&self, bucket: &BucketName) -> Result<Response<AnswerBody>, Problem> {
        let mut head = Map::new();
        if bucket.form == Form::Old && self.parameters.find("props") != Some("false") {
            let properties = self.door.properties(&bucket.bucket_type, &bucket.bucket);
            if let Some(properties) = properties {
                head.insert(
                    "props".to_owned(),
                    props::of_bucket(self.door, &properties, bucket),
                );
            }
        }
        let query = keys_query(&bucket.bucket_type, &bucket.bucket);
        let how = self.parameters.find("keys");
        self.list("keys", how, query, head).await
    }

    async fn buckets(&self, bucket_type: &Bytes) -> Result<Response<AnswerBody>, Problem> {
        let how = self.parameters.find("buckets");
        self.list("buckets", how, buckets_query(bucket_type), Map::new())
            .await
    }

    async fn list(
        &self,
        member: &'static str,
        how: Option<&str>,
        query: Query,
        mut head: Map<String, Value>,
    ) -> Result<Response<AnswerBody>, Problem> {
        let timeout_ms = self.listing_ms()?;
        match how {
            Some("stream") => {
                let listed = self.door.query(query, timeout_ms);
                let mut first = Vec::new();
                if !head.is_empty() {
                    first.push(Bytes::from(Value::Object(head).to_string()));
                }
                let chunks = stream_objects(member, listed, first);
                Ok(streamed(chunks, "application/json"))
            }
            Some("true") => {
                let listed = self.door.query(query, timeout_ms);
                let (rows, ended) = match collect(listed, ANSWER_BYTES_MAX).await {
                    Ok(all) => all,
                    // As Riak has it.
                    Err(CollectFailed::Query(QueryFailed::TimedOut)) => {
                        let body = json!({ "error": "timeout" });
                        return Ok(whole(json_answer(&body, None)));
                    }
                    Err(failed) => return Err(problem_of(failed)),
                };
                self.check(&ended)?;
                let names = rows.iter().map(listed_name).collect();
                head.insert(member.to_owned(), Value::Array(names));
                Ok(whole(json_answer(&Value::Object(head), Some(&ended))))
            }
            _ => Ok(whole(json_answer(&Value::Object(head), None))),
        }
    }

    /// A page of our own: keys behind `after`, all names escaped.
    async fn page(&self, bucket: &BucketName) -> Result<Answer, Problem> {
        let BucketName {
            bucket_type,
            bucket,
            ..
        } = bucket;
        let limit = self.parameters.find("limit").map(str::parse::<u64>);
        let limit = limit
            .transpose()
            .ok()
            .map(|limit| limit.unwrap_or(PAGE_KEYS));
        let limit = limit.filter(|limit| (1..=PAGE_KEYS).contains(limit));
        let limit = limit.ok_or_else(|| {
            Problem::bad_request(format!("limit is a number from 1 to {PAGE_KEYS}\n"))
        })?;
        let mut query = keys_query(bucket_type, bucket);
        query.rows_max = Some(limit);
        if let Some(after) = raw(self.query, "after") {
            // As it stands in the query: it may be no text.
            let key = unescape(after).map_err(|_| Problem::bad_request("after is no key\n"))?;
            query.after = place_of(&key_row(bucket_type, bucket, &key));
        }
        let listed = self.door.query(query, self.listing_ms()?);
        let listed = collect(listed, ANSWER_BYTES_MAX).await;
        let (rows, ended) = listed.map_err(problem_of)?;
        self.check(&ended)?;
        let names: Vec<String> = rows.iter().map(|found| escape(&found.row.key)).collect();
        let mut body = json!({ "keys": names });
        if rows.len() as u64 == limit {
            body["next"] = json!(names.last());
        }
        Ok(json_answer(&body, Some(&ended)))
    }

    async fn count(&self, bucket: &BucketName) -> Result<Answer, Problem> {
        let BucketName {
            bucket_type,
            bucket,
            ..
        } = bucket;
        let counted = self
            .door
            .count_keys(bucket_type, bucket, self.listing_ms()?);
        let (keys, ended) = counted
            .await
            .map_err(|failed| problem_of(CollectFailed::Query(failed)))?;
        self.check(&ended)?;
        Ok(json_answer(&json!({ "keys": keys }), Some(&ended)))
    }

    async fn index(
        &self,
        bucket: &BucketName,
        field: &Bytes,
        bounds: Bounds,
    ) -> Result<Response<AnswerBody>, Problem> {
        let is_range = matches!(bounds, Bounds::Range(..));
        let continuation = self.parameters.find("continuation");
        let token = continuation.map(|text| STANDARD.decode(text)).transpose();
        let token = token.map_err(|_| bad_query(&BadQuery::Continuation))?;
        let rows_max = self.max_results()?;
        let asked = Asked {
            bucket_type: &bucket.bucket_type,
            bucket: &bucket.bucket,
            field,
            bounds,
            rows_max,
            continuation: token.as_deref(),
            term_regex: self.parameters.find("term_regex").map(str::as_bytes),
        };
        let returns_terms = self.flag("return_terms")? && is_range && !field.starts_with(b"$");
        self.flag("pagination_sort")?;
        let is_stream = self.flag("stream")?;
        let timeout_ms = self.index_ms()?;
        let query = index_query(&asked).map_err(|bad| bad_query(&bad))?;
        let listed = self.door.query(query, timeout_ms);
        if is_stream {
            let boundary = random_name([self.door.random(), self.door.random()]);
            let content_type = format!("multipart/mixed;boundary={boundary}");
            let chunks = stream_parts(boundary, listed, returns_terms, rows_max);
            return Ok(streamed(chunks, &content_type));
        }
        let listed = collect(listed, ANSWER_BYTES_MAX).await;
        let (rows, ended) = listed.map_err(problem_of)?;
        self.check(&ended)?;
        let mut body = results(&rows, returns_terms);
        if rows_max == Some(rows.len() as u64)
            && let Some(last) = rows.last()
        {
            body["continuation"] = json!(STANDARD.encode(continuation_behind(last)));
        }
        Ok(whole(json_answer(&body, Some(&ended))))
    }

    fn flag(&self, name: &'static str) -> Result<bool, Problem> {
        match self
            .parameters
            .find(name)
            .map(str::to_ascii_lowercase)
            .as_deref()
        {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(Problem::bad_request(format!(
                "Invalid \"{name}\". {other:?} is not a boolean"
            ))),
        }
    }

    fn max_results(&self) -> Result<Option<u64>, Problem> {
        let Some(text) = self.parameters.find("max_results") else {
            return Ok(None);
        };
        let number = text.parse::<u64>().ok().filter(|number| *number > 0);
        number.map(Some).ok_or_else(|| {
            Problem::bad_request(format!(
                "Invalid \"max_results\". {text:?} is not a positive integer"
            ))
        })
    }

    /// Zero is none.
    fn index_ms(&self) -> Result<u64, Problem> {
        match self.parameters.find("timeout").map(str::parse::<u64>) {
            None | Some(Ok(0)) => Ok(TIMEOUT_MS_MAX),
            Some(Ok(ms)) => Ok(ms.min(TIMEOUT_MS_MAX)),
            Some(Err(_)) => {
                let text = self.parameters.find("timeout").unwrap_or_default();
                Err(Problem::bad_request(format!(
                    "Bad timeout value {text:?}. Must be a non-negative integer\n"
                )))
            }
        }
    }
}

/// What is wrong with an index query, in Riak's words.
fn bad_query(bad: &BadQuery) -> Problem {
    Problem::bad_request(match bad {
        BadQuery::Field { field } => {
            format!("Invalid query: Unknown field type for field: '{field}'.\n")
        }
        BadQuery::Value { field, value } => {
            format!("Invalid query: Could not parse field '{field}', value '{value}'.\n")
        }
        BadQuery::Range { first, last } => format!("Invalid query: {first} -> {last}\n"),
        BadQuery::RegexOnNumbers => {
            "Can not use term regular expressions on integer queries".to_owned()
        }
        BadQuery::Regex { text } => format!("Invalid term regular expression {text:?}"),
        BadQuery::Continuation => "Invalid query: not a continuation of this query\n".to_owned(),
    })
}

fn results(rows: &[Found], returns_terms: bool) -> Value {
    if !returns_terms {
        let keys: Vec<Value> = rows.iter().map(listed_name).collect();
        return json!({ "keys": keys });
    }
    let results = rows.iter().map(|found| {
        let term = term_of(found).unwrap_or_default();
        let term = match text(&term) {
            Value::String(text) => text,
            other => other.to_string(),
        };
        Value::Object(Map::from_iter([(term, text(&found.row.key))]))
    });
    json!({ "results": results.collect::<Vec<_>>() })
}

/// An answer that follows its chunks.
fn streamed(chunks: mpsc::Receiver<Bytes>, content_type: &str) -> Response<AnswerBody> {
    let mut answer = Response::new(AnswerBody::following(chunks));
    let content_type = HeaderValue::from_str(content_type).expect("letters and digits");
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    answer
}

/// Why a stream ends early.
fn error_of(listed: Option<&Listed>) -> Option<Value> {
    let text = match listed {
        Some(Listed::Rows(_)) => return None,
        // Some clients cut at braces.
        Some(Listed::Ended(ended)) => ended.insufficient()?.replace(['{', '}'], ""),
        Some(Listed::Failed(QueryFailed::TimedOut)) | None => "timeout".to_owned(),
        Some(Listed::Failed(failed)) => failed.to_string(),
    };
    Some(json!({ "error": text }))
}

/// JSON objects with nothing between, the last of them empty.
fn stream_objects(
    member: &'static str,
    mut listed: mpsc::Receiver<Listed>,
    first: Vec<Bytes>,
) -> mpsc::Receiver<Bytes> {
    let (sender, chunks) = mpsc::channel(1);
    tokio::spawn(async move {
        for chunk in first {
            if sender.send(chunk).await.is_err() {
                return;
            }
        }
        loop {
            let next = listed.recv().await;
            let names: Vec<Value> = match &next {
                Some(Listed::Rows(rows)) => rows.iter().map(listed_name).collect(),
                _ => Vec::new(),
            };
            let body = error_of(next.as_ref()).unwrap_or_else(|| {
                Value::Object(Map::from_iter([(member.to_owned(), json!(names))]))
            });
            let is_last = names.is_empty();
            if sender.send(Bytes::from(body.to_string())).await.is_err() || is_last {
                return;
            }
        }
    });
    chunks
}

/// The parts of a body of several, with the continuation in the last.
fn stream_parts(
    boundary: String,
    mut listed: mpsc::Receiver<Listed>,
    returns_terms: bool,
    rows_max: Option<u64>,
) -> mpsc::Receiver<Bytes> {
    let (sender, chunks) = mpsc::channel(1);
    tokio::spawn(async move {
        let part = |body: &Value| {
            let head = format!("\r\n--{boundary}\r\nContent-Type: application/json\r\n\r\n");
            Bytes::from(head + &body.to_string())
        };
        let (mut count, mut last) = (0, None);
        loop {
            let next = listed.recv().await;
            let body = match &next {
                Some(Listed::Rows(rows)) => {
                    count += rows.len() as u64;
                    last = rows.last().map(continuation_behind).or(last);
                    Some(results(rows, returns_terms))
                }
                other => error_of(other.as_ref()).or_else(|| {
                    let is_full = rows_max == Some(count);
                    let token = last.take().filter(|_| is_full)?;
                    Some(json!({ "continuation": STANDARD.encode(token) }))
                }),
            };
            if let Some(body) = body
                && sender.send(part(&body)).await.is_err()
            {
                return;
            }
            if !matches!(next, Some(Listed::Rows(_))) {
                break;
            }
        }
        let end = format!("\r\n--{boundary}--\r\n");
        // Nobody is told who has gone.
        sender.send(Bytes::from(end)).await.ok();
    });
    chunks
}
