//! Reading and deleting objects.
//!
//! A delete is a put of a tombstone that replaces what its context has seen. A client that gives no
//! context means "what is there now", so the object is read first; what is written between that read
//! and the tombstone survives beside it, as it would beside any other write.

use super::Answer;
use super::call::{Bounds, Call};
use super::condition::{Conditions, Verdict};
use super::problem::Problem;
use super::store::{self, DOT, guarded};
use super::text::header_value;
use crate::edge::Door;
use crate::edge::patience::Clock;
use crate::edge::token_of;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{HeaderValue, VARY};
use hyper::{Method, Response, StatusCode};
use ringhold_core::version::{Content, ContextToken};
use ringhold_wire::message::{PutOptions, PutRequest};

/// Reads, writes or deletes; `made_up` if the node made up the key.
pub(super) async fn serve<D: Door>(
    call: &Call<'_, D>,
    made_up: bool,
    body: Incoming,
    bounds: &Bounds<'_>,
) -> Result<Answer, Problem> {
    let done = match call.request.method {
        Method::PUT | Method::POST => store::put(call, made_up, body, bounds).await,
        Method::DELETE => delete(call).await,
        _ => return get(call).await,
    };
    done.map_err(Problem::of_a_write)
}

/// `GET` and `HEAD`; the body of the latter is left out on its way.
async fn get<D: Door>(call: &Call<'_, D>) -> Result<Answer, Problem> {
    let fetched = call.fetch(call.options.get, call.start()?).await?;
    let view = call.view(&fetched.object);
    call.door.note_siblings_returned(view.shown().len());
    let answer = if view.has_value() {
        let choice = view.choose(call.options.vtag.as_deref(), call.accept())?;
        match Conditions::read(&call.request.headers).of_read(&view.validators(choice)) {
            Verdict::Proceed { .. } => view.answer(choice, true, || call.boundary()),
            Verdict::NotModified => view.not_modified(choice),
            Verdict::Failed => return Err(Problem::precondition_failed()),
        }
    } else {
        view.nothing().answer()
    };
    Ok(call.explained(answer, fetched.explanation.as_deref()))
}

/// `DELETE`.
async fn delete<D: Door>(call: &Call<'_, D>) -> Result<Answer, Problem> {
    let seen = call.seen()?;
    let operation = call.operation()?;
    let clock = call.start().map_err(Problem::not_started)?;
    let condition = guarded(call, operation, clock).await?;
    let seen = match seen.or(condition.known) {
        Some(seen) => seen,
        None => seen_now(call, clock).await.map_err(Problem::not_started)?,
    };
    let request = PutRequest {
        name: call.name.clone(),
        seen,
        operation,
        change: Content::Tombstone.into(),
        unchanged_since: condition.unchanged_since,
        options: PutOptions {
            quorum: call.options.delete_put(),
            n_val: None,
            primaries_only: false,
            flush: call.options.flush,
        },
        return_object: false,
        explain: call.explain(),
    };
    let left_ms = clock
        .left_ms()
        .map_err(|up| Problem::from(up).not_started())?;
    let done = call.door.put(request, left_ms).await;
    let done =
        done.map_err(|error| Problem::of_put(&error, &call.name.bucket_type, condition.modified))?;
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let headers = answer.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    headers.insert(DOT, header_value(done.dot.to_string().as_bytes()));
    Ok(call.explained(answer, done.explanation.as_deref()))
}

/// The context of what is there now; 404 if that is nothing.
async fn seen_now<D: Door>(call: &Call<'_, D>, clock: Clock) -> Result<ContextToken, Problem> {
    let fetched = call.fetch(call.options.delete_get(), clock).await?;
    if !call.view(&fetched.object).has_value() {
        return Err(Problem::not_found());
    }
    Ok(token_of(&fetched.object))
}
