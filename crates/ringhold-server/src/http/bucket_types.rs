//! Bucket types: their properties as Riak's clients see them, and what operators do with them.
//!
//! | request | what it does |
//! | --- | --- |
//! | `GET /types/T/props` | the properties of an active type |
//! | `PUT /types/T/props` | changes some of them: `{"props":{…}}` |
//! | `GET /ringhold/v1/bucket-types` | every created type, how far it is, and who has not heard of it |
//! | `GET /ringhold/v1/bucket-types/T` | one of them |
//! | `POST /ringhold/v1/bucket-types/T/create` | creates it, or creates it anew: `{"props":{…}}` |
//! | `POST /ringhold/v1/bucket-types/T/activate` | makes it active, as soon as every member knows it |
//! | `POST /ringhold/v1/bucket-types/T/update` | as `PUT …/props` |
//!
//! Refused values are told as at buckets: 400, and an object of names and reasons. 409 means that the type as it is does not allow it, 503 that
//! the members could not agree.
//!
//! Not here: what the properties mean (`ringhold_node::properties`), and the way of a type (`ringhold_core::ring::bucket_types`).

use super::Answer;
use super::call::deadline_ms;
use super::problem::Problem;
use super::props::{
    BODY_BYTES_MAX, check_content_type, describe, json_answer, proposals, reasons_answer,
    refusals_answer, say_active,
};
use super::service;
use crate::edge::{Door, Room, TypeOrder};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{HeaderValue, VARY};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use ringhold_core::ring::{ChangeRefused, TypeRefused};
use ringhold_node::properties::{Overrides, Refusal, Value, propose_type};
use ringhold_node::{ChangeFailed, TypeStage, TypeView};
use ringhold_wire::message::DEFAULT_BUCKET_TYPE;
use serde_json::{Value as Json, json};

/// Within what an order is taken: the room for its body, and the time that it has if it names none.
#[derive(Clone, Copy)]
pub(super) struct Bounds<'a> {
    pub(super) room: &'a Room,
    pub(super) request_ms: u64,
}

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TypeRequest {
    Create,
    Activate,
    Update,
}

/// The properties of a type, for clients.
pub(super) async fn properties<D: Door>(
    door: &D,
    name: &Bytes,
    request: &Parts,
    body: Incoming,
    bounds: Bounds<'_>,
) -> Result<Answer, Problem> {
    // A bucket of no name has set nothing, so it has its type's.
    let of_type = door.properties(name, &Bytes::new());
    if request.method == Method::PUT {
        if of_type.is_none() {
            let name = String::from_utf8_lossy(name);
            let text = format!("Cannot modify unknown bucket type: {name}\n");
            return Err(Problem::new(StatusCode::NOT_FOUND, text));
        }
        let changed = order(door, name, TypeRequest::Update, request, body, bounds).await?;
        return Ok(if changed.status() == StatusCode::OK {
            nothing()
        } else {
            changed
        });
    }
    let of_type = of_type.ok_or_else(|| Problem::unknown_bucket_type(name))?;
    let mut all = describe(&of_type);
    if name != DEFAULT_BUCKET_TYPE {
        say_active(&mut all, &door.claimant());
    }
    Ok(json_answer(StatusCode::OK, &json!({ "props": all })))
}

/// Every created type.
pub(super) fn list<D: Door>(door: &D) -> Answer {
    let types = door.bucket_types();
    service::document(&types.iter().map(told).collect())
}

/// One created type.
pub(super) fn status<D: Door>(door: &D, name: &Bytes) -> Result<Answer, Problem> {
    let types = door.bucket_types();
    let found = types.iter().find(|one| one.name == *name);
    match found {
        Some(one) => Ok(service::document(&told(one))),
        None => Err(not_existing(name)),
    }
}

/// Carries out an order; how far the type is then.
pub(super) async fn order<D: Door>(
    door: &D,
    name: &Bytes,
    request: TypeRequest,
    parts: &Parts,
    body: Incoming,
    bounds: Bounds<'_>,
) -> Result<Answer, Problem> {
    let order = match request {
        TypeRequest::Activate => TypeOrder::Activate,
        TypeRequest::Create | TypeRequest::Update => {
            check_content_type(parts)?;
            let timeout_ms = bounds.request_ms.min(deadline_ms(parts)?);
            let received = bounds.room.receive(body, BODY_BYTES_MAX).await;
            let received = received.map_err(|error| error.problem(door))?;
            let proposals = proposals(&received.bytes)?;
            match understood(request, &proposals, timeout_ms) {
                Ok(order) => order,
                Err(refusals) => return Ok(refusals_answer(&refusals)),
            }
        }
    };
    match door.type_order(name, order).await {
        Ok(()) => status(door, name),
        Err(failed) => refusal(&failed, name),
    }
}

fn understood(
    request: TypeRequest,
    proposals: &[(String, Value)],
    timeout_ms: u64,
) -> Result<TypeOrder, Vec<Refusal>> {
    let proposals = proposals
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()));
    match request {
        TypeRequest::Create => propose_type(proposals).map(|set| TypeOrder::Create { set }),
        _ => Overrides::propose_update(proposals)
            .map(|change| TypeOrder::Update { change, timeout_ms }),
    }
}

/// Why an order was not carried out.
fn refusal(failed: &ChangeFailed, name: &Bytes) -> Result<Answer, Problem> {
    let status = match failed {
        ChangeFailed::Refused(ChangeRefused::BucketType(refused)) => match refused {
            TypeRefused::Properties { refusals } => {
                return Ok(reasons_answer(refusals.iter().cloned()));
            }
            TypeRefused::Unknown { .. } => return Err(not_existing(name)),
            TypeRefused::DefaultType
            | TypeRefused::Reserved { .. }
            | TypeRefused::NameLength { .. } => StatusCode::BAD_REQUEST,
            _ => StatusCode::CONFLICT,
        },
        ChangeFailed::Refused(_) | ChangeFailed::Contradiction | ChangeFailed::TokenSpent => {
            StatusCode::CONFLICT
        }
        ChangeFailed::NoMajority | ChangeFailed::Outbid | ChangeFailed::StoreFailed => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    Err(Problem::new(status, format!("{failed}\n")))
}

fn not_existing(name: &Bytes) -> Problem {
    let name = String::from_utf8_lossy(name);
    Problem::new(
        StatusCode::NOT_FOUND,
        format!("{name} is not an existing bucket type\n"),
    )
}

fn told(one: &TypeView) -> Json {
    json!({
        "name": String::from_utf8_lossy(&one.name),
        "state": match one.stage {
            TypeStage::Created => "created",
            TypeStage::Ready => "ready",
            TypeStage::Active => "active",
        },
        "not_known_to": one.missing,
        "props": describe(&one.properties),
    })
}

fn nothing() -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let vary = HeaderValue::from_static("Accept-Encoding");
    answer.headers_mut().insert(VARY, vary);
    answer
}
