//! One request about one object, and what every operation on objects needs of it.
//!
//! Everything a request can say wrongly is found when its [`Call`] is made or by one of the readers here,
//! before the node is asked for anything: a refused request has changed nothing.
//!
//! A context that a client brings is opened with the cluster's key, for this object. One that doesn't open,
//! because it is cut short, forged or of another key, is refused: to ignore it would turn an update into a
//! blind write, and to believe it could swallow writes that nobody has made yet (T3).

use super::Answer;
use super::body::Received;
use super::explain::describe;
use super::options::{self, Options};
use super::problem::Problem;
use super::render::{VCLOCK, View};
use super::route::BucketName;
use super::text::header_value;
use crate::edge::names::random_name;
use crate::edge::patience::Clock;
use crate::edge::{Door, Room};
use crate::edge::{shown, token_of};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use ringhold_core::crdt::CausalContext;
use ringhold_core::fingerprint::fingerprint;
use ringhold_core::id::OperationId;
use ringhold_core::quorum::GetSpec;
use ringhold_core::version::Object;
use ringhold_core::version::token::{ContextToken, TokenScope};
use ringhold_node::properties::Properties;
use ringhold_wire::message::explain::Explanation;
use ringhold_wire::message::{
    GetAnswer, GetOptions, GetRequest, ObjectName, PutAnswer, PutOptions, PutRequest, TypeUpdate,
};
use std::sync::Arc;

pub(super) const EXPLAIN: HeaderName = HeaderName::from_static("x-ringhold-explain");
const DEADLINE_MS: HeaderName = HeaderName::from_static("x-ringhold-deadline-ms");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// A day: longer than anybody waits, and far from overflowing in microseconds.
const TIMEOUT_MS_MAX: u64 = 86_400_000;

/// Keep the hashes of one idempotency key for several purposes apart.
const NAME_KEYS: [u128; 2] = [
    u128::from_be_bytes(*b"ringhold new k 1"),
    u128::from_be_bytes(*b"ringhold new k 2"),
];

pub(super) struct Call<'a, D> {
    pub(super) door: &'a D,
    pub(super) bucket: BucketName,
    pub(super) name: ObjectName,
    pub(super) options: Options,
    pub(super) properties: Arc<Properties>,
    pub(super) request: &'a Parts,
    timeout_ms: u64,
}

/// Within what a body is taken in.
pub(super) struct Bounds<'a> {
    pub(super) room: &'a Room,
    pub(super) body_bytes: usize,
}

impl<'a, D: Door> Call<'a, D> {
    /// For the object with this key, or a new one; `request_ms` is the time that a request has which asks for none.
    pub(super) fn new(
        door: &'a D,
        bucket: BucketName,
        key: Option<Bytes>,
        request: &'a Parts,
        request_ms: u64,
    ) -> Result<Self, Problem> {
        let properties = door.properties(&bucket.bucket_type, &bucket.bucket);
        let properties =
            properties.ok_or_else(|| Problem::unknown_bucket_type(&bucket.bucket_type))?;
        let options = options::parse(request.uri.query())?;
        let asked_ms = options.timeout_ms.unwrap_or(request_ms);
        let timeout_ms = asked_ms.min(deadline_ms(request)?).min(TIMEOUT_MS_MAX);
        let key = match key {
            Some(key) => key,
            None => new_key(door, &bucket, request)?,
        };
        let name = bucket.object(key);
        Ok(Self {
            door,
            bucket,
            name,
            options,
            properties,
            request,
            timeout_ms,
        })
    }

    /// As it is with data types: a timeout of 0 is none.
    pub(super) fn zero_is_no_timeout(mut self) -> Result<Self, Problem> {
        if self.options.timeout_ms == Some(0) {
            self.timeout_ms = deadline_ms(self.request)?.min(TIMEOUT_MS_MAX);
        }
        Ok(self)
    }

    pub(super) fn header(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.request.headers.get(name)
    }

    pub(super) fn accept(&self) -> Option<&[u8]> {
        self.header(&ACCEPT).map(HeaderValue::as_bytes)
    }

    /// Whether the client wants to know what happened.
    pub(super) fn explain(&self) -> bool {
        self.header(&EXPLAIN)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"))
    }

    /// Starts the clock of the request.
    pub(super) fn start(&self) -> Result<Clock, Problem> {
        let clock = Clock::start(self.timeout_ms);
        clock.left_ms()?;
        Ok(clock)
    }

    /// The body of a write. Nothing has happened if it does not come.
    pub(super) async fn received(
        &self,
        body: Incoming,
        bounds: &Bounds<'_>,
    ) -> Result<Received, Problem> {
        self.start().map_err(Problem::not_started)?;
        let received = bounds.room.receive(body, bounds.body_bytes).await;
        received.map_err(|error| error.problem(self.door).not_started())
    }

    /// Has an update of a data type carried out.
    pub(super) async fn update(
        &self,
        operation: OperationId,
        update: TypeUpdate,
        return_object: bool,
    ) -> Result<PutAnswer, Problem> {
        let request = PutRequest {
            name: self.name.clone(),
            seen: ContextToken::default(),
            operation,
            change: update.into(),
            unchanged_since: None,
            options: PutOptions {
                quorum: self.options.put,
                flush: self.options.flush,
                ..PutOptions::default()
            },
            return_object,
            explain: self.explain(),
        };
        let clock = self.start().map_err(Problem::not_started)?;
        let left_ms = clock
            .left_ms()
            .map_err(|up| Problem::from(up).not_started())?;
        let done = self.door.put(request, left_ms).await;
        done.map_err(|error| Problem::of_put(&error, &self.name.bucket_type, Problem::conflict))
    }

    /// The context of `X-Riak-Vclock`.
    pub(super) fn seen(&self) -> Result<Option<ContextToken>, Problem> {
        self.context_in(&VCLOCK, "Invalid X-Riak-Vclock\n")
    }

    /// The past of a data type that a client brings, in base 64.
    pub(super) fn past(&self, sealed: &str) -> Result<CausalContext, Problem> {
        let opened = STANDARD.decode(sealed).ok();
        let opened =
            opened.and_then(|sealed| self.door.token_key().open_past(self.scope(), &sealed).ok());
        opened.ok_or_else(|| Problem::bad_request("Invalid context\n"))
    }

    pub(super) fn sealed_past(&self, past: &CausalContext) -> Vec<u8> {
        self.door.token_key().seal_past(self.scope(), past)
    }

    /// The context in a header; an empty one is none.
    pub(super) fn context_in(
        &self,
        header: &HeaderName,
        invalid: &'static str,
    ) -> Result<Option<ContextToken>, Problem> {
        let Some(sealed) = self.header(header).filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        let opened = STANDARD.decode(sealed.as_bytes()).ok();
        let opened =
            opened.and_then(|sealed| self.door.token_key().open(self.scope(), &sealed).ok());
        opened
            .map(Some)
            .ok_or_else(|| Problem::bad_request(invalid))
    }

    fn scope(&self) -> TokenScope<'_> {
        let ObjectName {
            bucket_type,
            bucket,
            key,
        } = &self.name;
        TokenScope {
            bucket_type,
            bucket,
            key,
        }
    }

    /// The one name of what the client means to do: the same for each retry that says so.
    pub(super) fn operation(&self) -> Result<OperationId, Problem> {
        let Some(given) = idempotency_key(self.request)? else {
            return Ok(OperationId(self.door.random()));
        };
        Ok(self.name.operation(given))
    }

    /// Asks for the object.
    pub(super) async fn fetch(&self, quorum: GetSpec, clock: Clock) -> Result<GetAnswer, Problem> {
        let options = GetOptions {
            quorum,
            n_val: None,
            primaries_only: false,
        };
        let request = GetRequest {
            name: self.name.clone(),
            options,
            explain: self.explain(),
        };
        let answer = self.door.get(request, clock.left_ms()?).await;
        answer.map_err(|error| Problem::of_get(&error, &self.name.bucket_type))
    }

    /// What the client is shown of an object.
    pub(super) fn view<'o>(&'o self, object: &'o Object) -> View<'o> {
        let sealed = self.door.token_key().seal(self.scope(), &token_of(object));
        View::of(
            object,
            shown(object, &self.properties),
            &self.bucket,
            &STANDARD.encode(sealed),
        )
    }

    /// A boundary between the parts of a body.
    pub(super) fn boundary(&self) -> String {
        random_name([self.door.random(), self.door.random()])
    }

    /// Adds what happened to the answer, if anybody asked.
    pub(super) fn explained(
        &self,
        mut answer: Answer,
        explanation: Option<&Explanation>,
    ) -> Answer {
        if let Some(explanation) = explanation {
            let text = describe(explanation, self.door).to_string();
            answer
                .headers_mut()
                .insert(EXPLAIN, header_value(text.as_bytes()));
        }
        answer
    }
}

/// The time that the client has, if it says so.
pub(super) fn deadline_ms(request: &Parts) -> Result<u64, Problem> {
    let Some(value) = request.headers.get(DEADLINE_MS) else {
        return Ok(u64::MAX);
    };
    let deadline_ms = value
        .to_str()
        .ok()
        .and_then(|text| text.trim().parse().ok());
    deadline_ms.ok_or_else(|| {
        Problem::bad_request("X-Ringhold-Deadline-Ms must be a number of milliseconds\n")
    })
}

fn idempotency_key(request: &Parts) -> Result<Option<&[u8]>, Problem> {
    let Some(value) = request
        .headers
        .get(IDEMPOTENCY_KEY)
        .map(HeaderValue::as_bytes)
    else {
        return Ok(None);
    };
    if value.is_empty() || value.len() > IDEMPOTENCY_KEY_BYTES_MAX {
        return Err(Problem::bad_request(format!(
            "an Idempotency-Key has 1 to {IDEMPOTENCY_KEY_BYTES_MAX} bytes, this one {}\n",
            value.len()
        )));
    }
    Ok(Some(value))
}

/// A key for a new object. A retry with the same idempotency key means the same object.
fn new_key(door: &impl Door, bucket: &BucketName, request: &Parts) -> Result<Bytes, Problem> {
    let bits = match idempotency_key(request)? {
        Some(given) => {
            NAME_KEYS.map(|key| fingerprint(key, &bucket.bucket_type, &bucket.bucket, given))
        }
        None => [door.random(), door.random()],
    };
    Ok(Bytes::from(random_name(bits)))
}
