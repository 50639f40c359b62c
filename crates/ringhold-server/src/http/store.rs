//! Storing objects.
//!
//! The order is: refuse what is wrong about the head, take the body, look at the object if the client made a
//! condition, write. A put whose condition held is written with the context of the look as its
//! `unchanged_since`, see [`super::condition`].
//!
//! A conditional put without a context replaces what its condition named: a client that gives the entity
//! tag of a state has seen that state, and one that says "only if there is nothing" has nothing to
//! keep but tombstones. Riak makes a sibling of what was matched there. Every other put without a context is
//! blind and, in a bucket that keeps siblings, replaces nothing.

use super::Answer;
use super::accept;
use super::call::{Bounds, Call};
use super::condition::{Conditions, Verdict};
use super::metadata::{self, content_type_of};
use super::problem::Problem;
use super::render::View;
use super::text::header_value;
use crate::edge::Door;
use crate::edge::patience::Clock;
use crate::edge::token_of;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, VARY};
use hyper::{Response, StatusCode};
use ringhold_core::id::OperationId;
use ringhold_core::version::{Content, Context, ContextToken};
use ringhold_wire::message::{Change, PutAnswer, PutOptions, PutRequest};
use ringhold_wire::metadata::Metadata;

pub(super) const DOT: HeaderName = HeaderName::from_static("x-ringhold-dot");
const IF_NOT_MODIFIED: HeaderName = HeaderName::from_static("x-riak-if-not-modified");

/// `PUT` and `POST`; `created` if the node made up the key.
pub(super) async fn put<D: Door>(
    call: &Call<'_, D>,
    created: bool,
    body: Incoming,
    bounds: &Bounds<'_>,
) -> Result<Answer, Problem> {
    let metadata = metadata::read(&call.request.headers, &call.bucket);
    let metadata = metadata.map_err(|bad| bad.problem())?;
    let seen = call.seen()?;
    let operation = call.operation()?;
    check_accept(call, &metadata)?;
    let received = call.received(body, bounds).await?;
    // The client's time for sending the body is not the node's time for writing it.
    let clock = call.start().map_err(Problem::not_started)?;
    let condition = guarded(call, operation, clock).await?;
    let request = PutRequest {
        name: call.name.clone(),
        seen: seen.or(condition.known).unwrap_or_default(),
        operation,
        change: Change::Content(Content::Value {
            bytes: received.bytes.clone(),
            metadata: metadata.to_fields(),
        }),
        unchanged_since: condition.unchanged_since,
        options: PutOptions {
            quorum: call.options.put,
            n_val: None,
            primaries_only: false,
            flush: call.options.flush,
        },
        return_object: call.options.returnbody,
        explain: call.explain(),
    };
    let left_ms = clock
        .left_ms()
        .map_err(|up| Problem::from(up).not_started())?;
    let done = call.door.put(request, left_ms).await;
    let done =
        done.map_err(|error| Problem::of_put(&error, &call.name.bucket_type, condition.modified))?;
    let answer = stored(call, &done, &metadata, created);
    Ok(call.explained(answer, done.explanation.as_deref()))
}

/// As in Riak, the body that a store answers with has the type of the one it was given.
fn check_accept<D: Door>(call: &Call<'_, D>, metadata: &Metadata) -> Result<(), Problem> {
    let media_type = metadata.content_type.clone().unwrap_or_default();
    let offered = String::from_utf8_lossy(&media_type);
    if call.options.returnbody && accept::choose(call.accept(), &[&offered]).is_none() {
        return Err(Problem::not_acceptable());
    }
    Ok(())
}

/// What a condition that held means for the write.
pub(super) struct Condition {
    pub(super) unchanged_since: Option<Context>,
    /// What the client is known to have seen.
    pub(super) known: Option<ContextToken>,
    /// What to say if the coordinating replica finds that the object has changed after all.
    pub(super) modified: fn() -> Problem,
}

/// Judges the conditions of a write against a look at the object; without any there is no look.
pub(super) async fn guarded<D: Door>(
    call: &Call<'_, D>,
    operation: OperationId,
    clock: Clock,
) -> Result<Condition, Problem> {
    let conditions = Conditions::read(&call.request.headers);
    let expected = call.context_in(&IF_NOT_MODIFIED, "Invalid X-Riak-If-Not-Modified\n")?;
    if !conditions.guard_a_write() && expected.is_none() {
        return Ok(Condition {
            unchanged_since: None,
            known: None,
            modified: Problem::precondition_failed,
        });
    }
    let fetched = call
        .fetch(call.options.get, clock)
        .await
        .map_err(Problem::not_started)?;
    let object = &fetched.object;
    // A retry of what has landed: its condition held then, and the replica answers as it did.
    if object
        .versions()
        .iter()
        .any(|version| version.operation == operation)
    {
        return Ok(Condition {
            unchanged_since: None,
            known: Some(token_of(object)),
            modified: Problem::precondition_failed,
        });
    }
    if expected
        .as_ref()
        .is_some_and(|expected| expected.context != *object.context())
    {
        return Err(Problem::conflict());
    }
    let view = call.view(object);
    let state = view.has_value().then(|| view.validators(view.whole()));
    let Verdict::Proceed { knows_state } = conditions.of_write(state.as_ref()) else {
        return Err(Problem::precondition_failed());
    };
    let known = if knows_state {
        Some(token_of(object))
    } else {
        expected.clone()
    };
    let modified = if expected.is_some() {
        Problem::conflict
    } else {
        Problem::precondition_failed
    };
    Ok(Condition {
        unchanged_since: Some(object.context().clone()),
        known,
        modified,
    })
}

/// The answer to a store that was acknowledged.
fn stored<D: Door>(
    call: &Call<'_, D>,
    done: &PutAnswer,
    metadata: &Metadata,
    created: bool,
) -> Answer {
    let mut answer = match &done.object {
        Some(object) if !object.versions().is_empty() => returned(call, &call.view(object)),
        _ => nothing_returned(metadata),
    };
    let headers = answer.headers_mut();
    headers.insert(DOT, header_value(done.dot.to_string().as_bytes()));
    if created {
        let location = call.bucket.location(&call.name.key);
        headers.insert(LOCATION, header_value(location.as_bytes()));
        *answer.status_mut() = StatusCode::CREATED;
    }
    answer
}

fn returned<D: Door>(call: &Call<'_, D>, view: &View<'_>) -> Answer {
    view.answer(view.whole(), false, || call.boundary())
}

fn nothing_returned(metadata: &Metadata) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
        .headers_mut()
        .insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, content_type_of(metadata));
    answer
}
