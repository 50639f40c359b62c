//! The counters that were there before data types: in buckets of the default type, a number to read and to add to.
//!
//! They are data types as the others are, so a retry adds once and a delete takes what was there.

use super::Answer;
use super::call::{Bounds, Call};
use super::datatype::held_in;
use super::options;
use super::problem::Problem;
use super::store::DOT;
use super::text::header_value;
use crate::edge::Door;
use crate::edge::datatype::in_64_bits;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode};
use ringhold_core::crdt::{Update, Value};
use ringhold_core::version::Object;
use ringhold_wire::message::TypeUpdate;

pub(super) async fn serve<D: Door>(
    call: &Call<'_, D>,
    body: Incoming,
    bounds: &Bounds<'_>,
) -> Result<Answer, Problem> {
    if call.request.method == Method::POST {
        return add(call, body, bounds).await;
    }
    let fetched = call.fetch(call.options.get, call.start()?).await?;
    let value = number_in(&fetched.object)?.ok_or_else(Problem::not_found)?;
    let answer = answer(StatusCode::OK, value.to_string());
    Ok(call.explained(answer, fetched.explanation.as_deref()))
}

async fn add<D: Door>(
    call: &Call<'_, D>,
    body: Incoming,
    bounds: &Bounds<'_>,
) -> Result<Answer, Problem> {
    let wants_value = options::return_value(call.request.uri.query())?;
    if !call.properties.allow_mult {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "Counters require bucket property 'allow_mult=true'",
        ));
    }
    let operation = call.operation()?;
    let received = call.received(body, bounds).await?;
    let amount = amount(&received.bytes)
        .ok_or_else(|| Problem::bad_request("the body must be a whole number\n"))?;
    let update = TypeUpdate {
        update: Update::Counter(amount),
        context: None,
    };
    let done = call.update(operation, update, wants_value).await?;
    let value = done.object.as_ref().map(number_in).transpose()?.flatten();
    let mut answer = match value {
        Some(value) => answer(StatusCode::OK, value.to_string()),
        None => answer(StatusCode::NO_CONTENT, ""),
    };
    let dot = header_value(done.dot.to_string().as_bytes());
    answer.headers_mut().insert(DOT, dot);
    Ok(call.explained(answer, done.explanation.as_deref()))
}

/// A whole number, with a sign or without.
fn amount(body: &[u8]) -> Option<i64> {
    std::str::from_utf8(body).ok()?.trim_ascii().parse().ok()
}

fn number_in(object: &Object) -> Result<Option<i64>, Problem> {
    let Some(held) = held_in(object)? else {
        return Ok(None);
    };
    match held.value() {
        Ok(Value::Counter(counter)) => Ok(Some(in_64_bits(counter))),
        Ok(_) | Err(_) => Err(Problem::new(
            StatusCode::CONFLICT,
            "the key holds no counter\n",
        )),
    }
}

fn answer(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let text = HeaderValue::from_static("text/plain");
    answer.headers_mut().insert(CONTENT_TYPE, text);
    answer
}

#[cfg(test)]
mod tests {

    #[test]
    fn amounts() {
        let rows = [
            ("1", Some(1)),
            ("-2", Some(-2)),
            ("+3", Some(3)),
            (" 4\n", Some(4)),
            ("abc", None),
            ("1.5", None),
            ("", None),
            ("9223372036854775808", None),
        ];
        for (body, amount) in rows {
            assert_eq!(super::amount(body.as_bytes()), amount, "{body}");
        }
    }
}
