//! The HTTP edge: Riak's API, and what operators and probes ask.
//!
//! A connection is one task. hyper parses the heads and frames the bodies; there is no parser of HTTP
//! here, and no framework: a request goes through five steps, each a function of its own.
//!
//! 1. [`guard`]: is it for us, and not from somebody else's page?
//! 2. [`route`]: what is it about?
//! 3. [`options`], [`metadata`], [`condition`]: what does it ask? All of it is read, and refused if wrong,
//!    before anything happens.
//! 4. [`store`], [`object`], [`datatype`], [`counter`], [`props`], [`service`]: ask the node, through a [`Door`].
//! 5. [`render`], or [`problem`]: the answer, in Riak's words where it has some; [`compress`]ed if that was asked.
//!
//! Everything that a client can make large is bounded (T28): heads by hyper, names by `route`, bodies
//! by [`body`], time by [`patience`](crate::edge::patience), requests by a count over all connections. What is over
//! a bound is answered at once, not queued. What panics ends its connection and nothing else, because a
//! connection is a task (T29).
//!
//! Invariants: no byte of a client or an object reaches a header unescaped; a request that was refused
//! with a 4xx has changed nothing; traces hold neither keys nor values.
//!
//! Not here: TLS and who may do what.

mod accept;
mod body;
mod bucket_types;
mod call;
mod compress;
mod condition;
mod counter;
mod datatype;
mod explain;
mod guard;
mod job;
mod listing;
mod metadata;
mod multipart;
mod object;
mod options;
mod preference;
mod problem;
mod props;
mod render;
mod restore;
mod ring_order;
mod route;
mod service;
mod store;
mod text;
mod turnstile;

use crate::edge::patience::{Patience, Patient, Phase, STALL_MS};
use crate::edge::{Capacity, Door, Limits};
use bytes::Bytes;
use call::{Bounds, Call};
use guard::Turned;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use job::AnswerBody;
use problem::Problem;
use ringhold_node::Errand;
use route::{BucketName, Form, Route};
use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tracing::Instrument;
use turnstile::Turnstile;

type Answer = Response<Full<Bytes>>;

/// The most that the head of a request may have, in fields and bytes.
const HEAD_FIELDS_MAX: usize = 100;
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// A node's HTTP: a door, and what all connections share.
pub struct Edge<D> {
    door: D,
    limits: Limits,
    capacity: Capacity,
    jobs: Arc<Semaphore>,
    /// What whoever is too much is told, ready to be sent.
    refusal: Bytes,
}

impl<D: Door> Edge<D> {
    /// With its own room and count of requests.
    #[must_use]
    pub fn new(door: D, limits: Limits) -> Arc<Self> {
        Self::within(door, limits, Capacity::of(&limits))
    }

    /// Within a capacity that others share.
    #[must_use]
    pub fn within(door: D, limits: Limits, capacity: Capacity) -> Arc<Self> {
        Arc::new(Self {
            door,
            limits,
            capacity,
            jobs: Arc::new(Semaphore::new(job::JOBS_MAX)),
            refusal: Problem::overloaded().to_wire(),
        })
    }

    /// Serves one connection until either side closes it, or `stop` ends: then the request that is being
    /// worked on is still answered. Run it in a task of its own.
    ///
    /// # Errors
    /// If the connection broke, or the client spoke something else than HTTP/1.
    pub async fn serve_connection<S>(
        self: Arc<Self>,
        stream: S,
        stop: impl Future<Output = ()>,
    ) -> Result<(), hyper::Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Limits {
            head_ms, idle_ms, ..
        } = self.limits;
        let phase = Phase::default();
        let patience = Patience {
            idle_ms,
            head_ms,
            stall_ms: STALL_MS,
        };
        let stream = Patient::new(stream, patience, phase.clone());
        let edge = Arc::clone(&self);
        let sheds = move |method: &str, path: &str| edge.sheds(method, path);
        let stream = Turnstile::new(stream, phase.clone(), self.refusal.clone(), sheds);
        let stream = TokioIo::new(stream);
        let service = service_fn(move |request| {
            let (edge, working) = (Arc::clone(&self), phase.work());
            async move {
                let answer = edge.serve(request).await;
                Ok::<_, Infallible>(answer.map(|body| body.worked_on(working)))
            }
        });
        let mut connection = pin!(
            http1::Builder::new()
                .header_read_timeout(None)
                .max_headers(HEAD_FIELDS_MAX)
                .max_header_size(HEAD_BYTES_MAX)
                .title_case_headers(true)
                .serve_connection(stream, service)
        );
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = stop => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    }

    /// One request, from its head to its answer.
    async fn serve(&self, request: Request<Incoming>) -> Response<AnswerBody> {
        let started = Instant::now();
        let method = request.method().clone();
        let routed =
            route::route(&method, request.uri().path(), self.limits.names).map_err(Problem::from);
        let operation = routed
            .as_ref()
            .map_or("none", |route| route.operation(&method));
        let bucket_type = routed
            .as_ref()
            .ok()
            .and_then(Route::bucket_type)
            .cloned()
            .unwrap_or_default();
        let bucket_type = String::from_utf8_lossy(&bucket_type);
        let span = tracing::debug_span!("http", operation, %method, ?bucket_type);
        async {
            let (parts, body) = request.into_parts();
            let answered = match self.admit(&parts) {
                Ok(_admitted) => match routed {
                    Ok(route) => self.carry_out(route, &parts, body).await,
                    Err(problem) => Err(problem),
                },
                Err(problem) => Err(problem),
            };
            let answer = answered.unwrap_or_else(|problem| job::whole(problem.answer()));
            let answer = compress::as_asked(&parts, answer).await;
            let took_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
            tracing::debug!(status = answer.status().as_u16(), took_us, "answered");
            answer
        }
        .instrument(span)
        .await
    }

    /// Whether a request about an object is too much at the moment; if so, it is counted as refused.
    fn sheds(&self, method: &str, path: &str) -> bool {
        let Ok(method) = Method::from_bytes(method.as_bytes()) else {
            return false;
        };
        // An answer to HEAD has no body.
        if method == Method::HEAD || !self.door.is_full(errand(&method)) {
            return false;
        }
        let route = route::route(&method, path, self.limits.names);
        let is_object = matches!(route, Ok(Route::Object { .. } | Route::NewObject(_)));
        if is_object {
            self.door.note_request_shed();
        }
        is_object
    }

    /// Turns away what is not for us, and what is too much.
    fn admit(&self, parts: &Parts) -> Result<tokio::sync::SemaphorePermit<'_>, Problem> {
        guard::check(parts.version, &parts.headers).map_err(|turned| match turned {
            Turned::NoHost => Problem::bad_request("a request names its host once\n")
                .with(CONNECTION, HeaderValue::from_static("close")),
            Turned::ForeignOrigin => Problem::new(
                StatusCode::FORBIDDEN,
                "requests of other sites are not served\n",
            ),
        })?;
        self.capacity.requests.try_acquire().map_err(|_| {
            self.door.note_request_shed();
            Problem::overloaded()
        })
    }

    async fn carry_out(
        &self,
        route: Route,
        parts: &Parts,
        body: Incoming,
    ) -> Result<Response<AnswerBody>, Problem> {
        let door = &self.door;
        let answer = match route {
            Route::Job(name) => return job::start(door, name, parts, &self.jobs),
            Route::Listing(asked) => {
                return listing::serve(door, asked, parts, self.limits.request_ms).await;
            }
            Route::Properties(bucket) if listed_by(&bucket, parts) => {
                let asked = listing::Listing::Keys(bucket);
                return listing::serve(door, asked, parts, self.limits.request_ms).await;
            }
            Route::Object { bucket, key } => {
                let key = Some(key);
                self.on_key(OnKey::Object, bucket, key, parts, body).await
            }
            Route::NewObject(bucket) => self.on_key(OnKey::Object, bucket, None, parts, body).await,
            Route::DataType { bucket, key } => {
                let key = Some(key);
                self.on_key(OnKey::DataType, bucket, key, parts, body).await
            }
            Route::NewDataType(bucket) => {
                self.on_key(OnKey::DataType, bucket, None, parts, body)
                    .await
            }
            Route::Counter { bucket, key } => {
                let key = Some(key);
                self.on_key(OnKey::Counter, bucket, key, parts, body).await
            }
            Route::Properties(bucket) => {
                props::serve(door, &bucket, parts, body, self.order_bounds()).await
            }
            Route::TypeProperties(name) => {
                bucket_types::properties(door, &name, parts, body, self.order_bounds()).await
            }
            Route::Types => Ok(bucket_types::list(door)),
            Route::Type(name) => bucket_types::status(door, &name),
            Route::TypeOrder(name, request) => {
                let bounds = self.order_bounds();
                bucket_types::order(door, &name, request, parts, body, bounds).await
            }
            Route::Restore => restore::serve(door, parts, body, &self.capacity.room).await,
            Route::Root => service::root(parts),
            Route::Stats => service::stats(door, parts),
            Route::PreferenceList(name) => preference::list(door, name),
            Route::Ping => Ok(service::ping()),
            Route::Live => Ok(service::live()),
            Route::Ready => Ok(service::ready(door)),
            Route::Metrics => Ok(service::metrics(door)),
            Route::Status => Ok(service::document(&door.status())),
            Route::Ring => Ok(service::document(&door.ring())),
            Route::RebuildWithout(member) => door
                .rebuild_without(&member)
                .map(|()| service::document(&door.status()))
                .map_err(Problem::bad_request),
            Route::JoinToken => {
                let ttl_s = options::ttl_s(parts.uri.query())?;
                Ok(service::unkept(&door.join_token(ttl_s)))
            }
            Route::RingRequest(request) => {
                ring_order::serve(door, request, parts, body, &self.capacity.room).await
            }
            Route::Explain(name) => Ok(service::document(
                &door.explain(name, self.limits.request_ms).await,
            )),
        };
        answer.map(job::whole)
    }

    fn order_bounds(&self) -> bucket_types::Bounds<'_> {
        bucket_types::Bounds {
            room: &self.capacity.room,
            request_ms: self.limits.request_ms,
        }
    }

    fn bounds(&self) -> Bounds<'_> {
        Bounds {
            room: &self.capacity.room,
            body_bytes: self.limits.value_bytes,
        }
    }

    /// What a request about one key comes to, if it is let in.
    async fn on_key(
        &self,
        on: OnKey,
        bucket: BucketName,
        key: Option<Bytes>,
        parts: &Parts,
        body: Incoming,
    ) -> Result<Answer, Problem> {
        let admitted = self.door.admit(errand(&parts.method));
        let admitted = admitted.ok_or_else(Problem::overloaded)?;
        let made_up = key.is_none();
        let call = Call::new(&self.door, bucket, key, parts, self.limits.request_ms)?;
        let bounds = self.bounds();
        let answer = match on {
            OnKey::Object => object::serve(&call, made_up, body, &bounds).await,
            OnKey::DataType => {
                let call = call.zero_is_no_timeout()?;
                datatype::serve(&call, made_up, body, &bounds).await
            }
            OnKey::Counter => counter::serve(&call, body, &bounds).await,
        };
        // What was refused says nothing about how long such requests take.
        if answer.is_ok() {
            admitted.served();
        }
        answer
    }
}

/// What a key is taken for.
#[derive(Clone, Copy)]
enum OnKey {
    Object,
    DataType,
    Counter,
}

/// What a request about an object is let in for.
fn errand(method: &Method) -> Errand {
    match *method {
        Method::PUT | Method::POST | Method::DELETE => Errand::Write,
        _ => Errand::Read,
    }
}

/// In the oldest form a bucket's address gives its properties, its keys, or both.
fn listed_by(bucket: &BucketName, parts: &Parts) -> bool {
    bucket.form == Form::Old && parts.method == Method::GET && listing::lists_keys(parts)
}
