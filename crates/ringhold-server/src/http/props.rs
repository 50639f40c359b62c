//! The properties of a bucket, as JSON.
//!
//! The names and forms are Riak's; what they mean, and which values are refused, is decided in
//! [`ringhold_node::properties`]. Only the mapping is here: words and numbers of counts, functions as
//! `{"mod", "fun"}`, the name first. A change that has one refused value changes nothing, and the answer
//! names every refused value.

use super::Answer;
use super::bucket_types::Bounds;
use super::call::deadline_ms;
use super::problem::Problem;
use super::route::BucketName;
use crate::edge::Door;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue, VARY};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use ringhold_core::crdt::Kind;
use ringhold_core::quorum::Count;
use ringhold_node::ChangeFailed;
use ringhold_node::properties::{
    CHASH_KEYFUN, LINKFUN, Overrides, Properties, PropertiesError, Refusal, Value, Word,
};
use ringhold_wire::message::DEFAULT_BUCKET_TYPE;
use serde_json::{Map, Value as Json, json};

/// More than all properties together ever need.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;

const FORM: &str =
    "bucket PUT must be a JSON object of the form:\n{\"props\":{...bucket properties...}}";

pub(super) async fn serve<D: Door>(
    door: &D,
    bucket: &BucketName,
    request: &Parts,
    body: Incoming,
    bounds: Bounds<'_>,
) -> Result<Answer, Problem> {
    let properties = door.properties(&bucket.bucket_type, &bucket.bucket);
    let properties = properties.ok_or_else(|| Problem::unknown_bucket_type(&bucket.bucket_type))?;
    let change = match request.method {
        Method::PUT => {
            check_content_type(request)?;
            let received = bounds.room.receive(body, BODY_BYTES_MAX).await;
            let received = received.map_err(|error| error.problem(door))?;
            match change(&received.bytes, &properties)? {
                Ok(change) => Some(change),
                Err(refusals) => return Ok(refusals_answer(&refusals)),
            }
        }
        Method::DELETE => None,
        _ => {
            return Ok(json_answer(
                StatusCode::OK,
                &json!({ "props": of_bucket(door, &properties, bucket) }),
            ));
        }
    };
    let timeout_ms = bounds.request_ms.min(deadline_ms(request)?);
    let changed = door
        .change_properties(&bucket.bucket_type, &bucket.bucket, change, timeout_ms)
        .await;
    match changed {
        Ok(()) => {}
        Err(PropertiesError::Refused(refusal)) => return Ok(refusals_answer(&[refusal])),
        Err(error) => return Err(problem_of(&error, &bucket.bucket_type)),
    }
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
        .headers_mut()
        .insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    Ok(answer)
}

/// What a body asks to change in a bucket that has these properties, or the values that are refused.
fn change(
    body: &[u8],
    properties: &Properties,
) -> Result<Result<Overrides, Vec<Refusal>>, Problem> {
    let proposals = proposals(body)?;
    let proposals = proposals
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()));
    Ok(
        Overrides::propose(proposals).and_then(|change| match properties.check_change(&change) {
            Ok(()) => Ok(change),
            Err(refusal) => Err(vec![refusal]),
        }),
    )
}

fn problem_of(error: &PropertiesError, bucket_type: &[u8]) -> Problem {
    let unavailable = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n"));
    match error {
        PropertiesError::UnknownBucketType => Problem::unknown_bucket_type(bucket_type),
        PropertiesError::Refused(_) => Problem::bad_request(format!("{error}\n")),
        PropertiesError::ClockOff => unavailable().not_started(),
        PropertiesError::Replicas(ChangeFailed::Refused(_)) => {
            Problem::new(StatusCode::CONFLICT, format!("{error}\n"))
        }
        PropertiesError::Replicas(_) => unavailable().unknown_outcome(),
        PropertiesError::StoreFailed | PropertiesError::Unconfirmed { .. } => {
            unavailable().unknown_outcome()
        }
    }
}

pub(super) fn check_content_type(request: &Parts) -> Result<(), Problem> {
    let given = request
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let media_type = given.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "the properties of a bucket are application/json\n",
    )
    .of_a_write())
}

pub(super) fn json_answer(status: StatusCode, body: &Json) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body.to_string())));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
        .headers_mut()
        .insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    answer
}

pub(super) fn refusals_answer(refusals: &[Refusal]) -> Answer {
    let told = |refusal: &Refusal| (refusal.property.clone(), refusal.reason.to_string());
    reasons_answer(refusals.iter().map(told))
}

/// Of each refused property, why.
pub(super) fn reasons_answer(reasons: impl Iterator<Item = (String, String)>) -> Answer {
    let reasons = reasons.map(|(property, reason)| (property, json!(reason)));
    json_answer(StatusCode::BAD_REQUEST, &Json::Object(reasons.collect()))
}

/// The names and values of a change.
pub(super) fn proposals(body: &[u8]) -> Result<Vec<(String, Value)>, Problem> {
    let form = || Problem::bad_request(FORM);
    let parsed: Json = serde_json::from_slice(body).map_err(|_| form())?;
    let properties = parsed
        .get("props")
        .and_then(Json::as_object)
        .ok_or_else(form)?;
    Ok(properties
        .iter()
        .map(|(name, value)| (name.clone(), value_of(value)))
        .collect())
}

fn value_of(json: &Json) -> Value {
    match json {
        Json::Bool(set) => Value::Boolean(*set),
        Json::Number(number) => number.as_i64().map_or(Value::Other, Value::Integer),
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(items) if items.is_empty() => Value::EmptyList,
        Json::Object(fields) => function_of(fields).unwrap_or(Value::Other),
        Json::Array(_) | Json::Null => Value::Other,
    }
}

fn function_of(fields: &Map<String, Json>) -> Option<Value> {
    let text = |name| fields.get(name).and_then(Json::as_str).map(str::to_owned);
    let (module, function) = (text("mod")?, text("fun")?);
    (fields.len() == 2).then_some(Value::Function { module, function })
}

/// All properties of a bucket, the name first and the others by name.
pub(super) fn of_bucket<D: Door>(door: &D, properties: &Properties, bucket: &BucketName) -> Json {
    let mut all = json!({ "name": String::from_utf8_lossy(&bucket.bucket) });
    if let (Json::Object(all), Json::Object(others)) = (&mut all, describe(properties)) {
        all.extend(others);
    }
    if bucket.bucket_type != DEFAULT_BUCKET_TYPE {
        say_active(&mut all, &door.claimant());
    }
    all
}

/// What only created types say, and their buckets.
pub(super) fn say_active(all: &mut Json, claimant: &str) {
    all["active"] = json!(true);
    all["claimant"] = json!(claimant);
}

/// All properties, by name.
pub(super) fn describe(properties: &Properties) -> Json {
    let Properties {
        get, put, reported, ..
    } = properties;
    let function = |(module, function): (&str, &str)| json!({ "mod": module, "fun": function });
    let mut all = json!({
        "allow_mult": properties.allow_mult,
        "basic_quorum": get.basic_quorum.unwrap_or(false),
        "big_vclock": reported.big_vclock,
        "blocking_repair": properties.blocking_repair,
        "chash_keyfun": function(CHASH_KEYFUN),
        "durability": properties.durability.to_string(),
        "dvv_enabled": reported.dvv_enabled,
        "dw": count(put.dw),
        "last_write_wins": properties.last_write_wins,
        "linkfun": function(LINKFUN),
        "n_val": properties.n_val,
        "node_confirms": count(get.node_confirms),
        "notfound_ok": get.notfound_ok.unwrap_or(true),
        "old_vclock": reported.old_vclock,
        "postcommit": [],
        "pr": count(get.pr),
        "precommit": [],
        "pw": count(put.pw),
        "r": count(get.r),
        "repl": word(&reported.repl),
        "rw": count(properties.rw),
        "small_vclock": reported.small_vclock,
        "sync_on_write": reported.sync_on_write.to_string(),
        "w": count(put.w),
        "write_once": properties.write_once,
        "young_vclock": reported.young_vclock,
    });
    if let Some(kind) = properties.datatype {
        all["datatype"] = json!(kind.name());
    }
    if properties.datatype == Some(Kind::Hll) {
        all["hll_precision"] = json!(properties.hll_precision.bits());
    }
    let set = [
        ("backend", &reported.backend),
        ("search", &reported.search),
        ("search_index", &reported.search_index),
    ];
    if let Some(seconds) = properties.ttl_seconds {
        all["ttl_seconds"] = json!(seconds);
    }
    for (name, value) in set {
        if let Some(value) = value {
            all[name] = word(value);
        }
    }
    all
}

fn count(count: Count) -> Json {
    match count {
        Count::Exact(exact) => json!(exact),
        word => json!(word.to_string()),
    }
}

fn word(word: &Word) -> Json {
    match word {
        Word::Boolean(set) => json!(set),
        Word::Text(text) => json!(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_shown_can_be_written_back() {
        let shown = json!({ "props": describe(&Properties::default()) }).to_string();
        let proposed = proposals(shown.as_bytes()).expect("an object with props");
        let overrides = Overrides::propose(
            proposed
                .iter()
                .map(|(name, value)| (name.as_str(), value.clone())),
        );
        let overrides = overrides.expect("nothing is refused");
        assert_eq!(
            Properties::resolve(&Properties::default(), &overrides),
            Properties::default()
        );
    }

    #[test]
    fn forms_that_are_refused() {
        for body in [
            "",
            "{",
            "[]",
            "{}",
            "{\"allow_mult\":true}",
            "{\"props\":[]}",
            "{\"props\":null}",
            "\"props\"",
            "\u{ff}",
        ] {
            assert_eq!(
                proposals(body.as_bytes()).map_err(|problem| problem.answer().status()),
                Err(StatusCode::BAD_REQUEST)
            );
        }
        assert_eq!(FORM.len(), 81);
        let deep = format!(
            "{{\"props\":{}1{}}}",
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        assert!(proposals(deep.as_bytes()).is_err());
    }

    #[test]
    fn values() {
        let rows = [
            ("true", Value::Boolean(true)),
            ("-3", Value::Integer(-3)),
            ("1.5", Value::Other),
            ("18446744073709551615", Value::Other),
            ("\"one\"", Value::Text("one".to_owned())),
            ("[]", Value::EmptyList),
            ("[1]", Value::Other),
            ("null", Value::Other),
            (
                "{\"mod\":\"m\",\"fun\":\"f\"}",
                Value::Function {
                    module: "m".to_owned(),
                    function: "f".to_owned(),
                },
            ),
            ("{\"mod\":\"m\",\"fun\":1}", Value::Other),
            ("{\"mod\":\"m\",\"fun\":\"f\",\"x\":1}", Value::Other),
        ];
        for (text, want) in rows {
            let json: Json = serde_json::from_str(text).expect("JSON");
            assert_eq!(value_of(&json), want, "{text}");
        }
    }
}
