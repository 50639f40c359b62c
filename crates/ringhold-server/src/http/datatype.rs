//! Data types over HTTP: a value that clients read as JSON, and change by saying what to do with it.
//!
//! Here clients don't write values: a body is an operation, and what comes of two at once is settled where they meet. What a client
//! removes, it removes as it has read it: so the answers for sets and maps have a context, which goes back in the next body.

mod operation;
mod value;

use super::Answer;
use super::call::{Bounds, Call};
use super::options;
use super::problem::Problem;
use super::store::DOT;
use super::text::header_value;
use crate::edge::Door;
use crate::edge::datatype::{NoDataType, kind_of};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue, LOCATION, VARY};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use ringhold_core::crdt::{Held, Kind};
use ringhold_core::datatype;
use ringhold_core::version::Object;
use ringhold_wire::message::{DEFAULT_BUCKET_TYPE, PutAnswer, TypeUpdate};
use serde_json::{Map, Value as Json, json};

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Fetches or updates; `made_up` if the node made up the key.
pub(super) async fn serve<D: Door>(
    call: &Call<'_, D>,
    made_up: bool,
    body: Incoming,
    bounds: &Bounds<'_>,
) -> Result<Answer, Problem> {
    let with_context = options::include_context(call.request.uri.query())?;
    let kind = kind_in(call, made_up)?;
    if call.request.method == Method::POST {
        check_content_type(call.request)?;
        let updated = update(call, kind, made_up, with_context, body, bounds).await;
        return updated.map_err(Problem::varying);
    }
    let fetched = call.fetch(call.options.get, call.start()?).await;
    let fetched = fetched.map_err(Problem::varying)?;
    let answer = match held_in(&fetched.object)? {
        Some(held) => answer(
            StatusCode::OK,
            shown(call, &held, with_context)?.to_string(),
        ),
        None => {
            let nothing = json!({ "type": kind.name(), "error": "notfound" });
            answer(StatusCode::NOT_FOUND, nothing.to_string())
        }
    };
    Ok(call.explained(answer, fetched.explanation.as_deref()))
}

async fn update<D: Door>(
    call: &Call<'_, D>,
    kind: Kind,
    made_up: bool,
    with_context: bool,
    body: Incoming,
    bounds: &Bounds<'_>,
) -> Result<Answer, Problem> {
    let operation = call.operation()?;
    let received = call.received(body, bounds).await?;
    let asked = operation::read(&received.bytes, kind)?;
    let context = asked
        .context
        .as_deref()
        .filter(|context| !context.is_empty());
    let context = context.map(|sealed| call.past(sealed)).transpose()?;
    let update = TypeUpdate {
        update: asked.update,
        context,
    };
    let done = call
        .update(operation, update, call.options.returnbody)
        .await?;
    let answer = updated(call, &done, made_up, with_context)?;
    Ok(call.explained(answer, done.explanation.as_deref()))
}

/// The answer to an update that was acknowledged.
fn updated<D: Door>(
    call: &Call<'_, D>,
    done: &PutAnswer,
    made_up: bool,
    with_context: bool,
) -> Result<Answer, Problem> {
    let held = done.object.as_ref().map(held_in).transpose()?.flatten();
    let mut answer = match held {
        Some(held) => answer(
            StatusCode::OK,
            shown(call, &held, with_context)?.to_string(),
        ),
        None => answer(StatusCode::NO_CONTENT, ""),
    };
    let headers = answer.headers_mut();
    headers.insert(DOT, header_value(done.dot.to_string().as_bytes()));
    if made_up {
        let location = call.bucket.location(&call.name.key);
        headers.insert(LOCATION, header_value(location.as_bytes()));
        *answer.status_mut() = StatusCode::CREATED;
    }
    Ok(answer)
}

/// What the keys of the bucket hold; in the default type they would be counters, which have another address.
fn kind_in<D: Door>(call: &Call<'_, D>, made_up: bool) -> Result<Kind, Problem> {
    if call.name.bucket_type == DEFAULT_BUCKET_TYPE && !made_up {
        let counters = call.bucket.counter_location(&call.name.key);
        return Err(Problem::new(StatusCode::MOVED_PERMANENTLY, "")
            .with(LOCATION, header_value(counters.as_bytes())));
    }
    kind_of(&call.properties).map_err(|none| {
        Problem::new(
            StatusCode::FORBIDDEN,
            match none {
                NoDataType::SiblingsOff => "Bucket must be allow_mult=true\n",
                NoDataType::Undefined => "Bucket datatype 'undefined' is not a supported type.\n",
            },
        )
    })
}

/// Riak answers what it does not read as if the client did not want the answer.
fn check_content_type(request: &Parts) -> Result<(), Problem> {
    let given = request.headers.get(CONTENT_TYPE);
    let given = given
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let media_type = given.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        Err(Problem::not_acceptable())
    }
}

pub(super) fn held_in(object: &Object) -> Result<Option<Held>, Problem> {
    datatype::value_of(object).map_err(|why| Problem::new(StatusCode::CONFLICT, format!("{why}\n")))
}

fn shown<D: Door>(call: &Call<'_, D>, held: &Held, with_context: bool) -> Result<Json, Problem> {
    let value = held.value();
    let value = value.map_err(|why| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("Error:\n{why}\n"),
        )
    })?;
    let mut document = Map::new();
    document.insert("type".to_owned(), json!(held.kind().name()));
    document.insert("value".to_owned(), value::json_of(&value));
    if with_context && held.kind().has_context() {
        let sealed = STANDARD.encode(call.sealed_past(held.context()));
        document.insert("context".to_owned(), json!(sealed));
    }
    Ok(Json::Object(document))
}

fn answer(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    answer
}
