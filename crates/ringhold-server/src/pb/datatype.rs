//! Data types, and the counters that were there before them.
//!
//! Nothing there is told by an answer that has a type and no value; an empty set is there, and its answer has an empty value. A
//! context comes with what can be removed from, unless the client asks for none.

mod operation;
mod value;

use super::object::Call;
use super::quorum::count;
use super::refusal::Refusal;
use super::{Edge, bucket_type};
use crate::edge::Door;
use crate::edge::datatype::{NoDataType, in_64_bits, kind_of_type};
use crate::edge::names::random_name;
use bytes::Bytes;
use operation::update_of;
use ringhold_core::crdt::{Held, Kind, Update, Value};
use ringhold_core::datatype;
use ringhold_core::quorum::{GetSpec, PutSpec};
use ringhold_core::version::Object;
use ringhold_node::Errand;
use ringhold_node::properties::Properties;
use ringhold_wire::message::Flush;
use ringhold_wire::message::{DEFAULT_BUCKET_TYPE, GetOptions, ObjectName, PutOptions, TypeUpdate};
use ringhold_wire::riak::{
    CounterGetReq, CounterResp, CounterUpdateReq, DtFetchReq, DtFetchResp, DtUpdateReq,
    DtUpdateResp, Response,
};

pub(super) async fn fetch<D: Door>(
    edge: &Edge<D>,
    message: DtFetchReq,
) -> Result<Response, Refusal> {
    let admitted = edge.door.admit(Errand::Read);
    let admitted = admitted.ok_or_else(Refusal::overloaded)?;
    let name = ObjectName {
        bucket_type: bucket_type(Some(&message.r#type))?,
        bucket: message.bucket,
        key: message.key,
    };
    let call = Call::new(edge, name, message.timeout)?;
    let kind = kind_in(&call.name.bucket_type, &call.properties)?;
    let options = GetOptions {
        quorum: GetSpec {
            r: count(message.r),
            pr: count(message.pr),
            node_confirms: count(message.node_confirms),
            basic_quorum: message.basic_quorum,
            notfound_ok: message.notfound_ok,
        },
        n_val: message.n_val,
        primaries_only: message.sloppy_quorum == Some(false),
    };
    let object = call.fetch(options).await?;
    let mut answer = DtFetchResp {
        r#type: value::data_type(kind).into(),
        ..DtFetchResp::default()
    };
    if let Some(held) = held_in(&object)? {
        answer.r#type = value::data_type(held.kind()).into();
        answer.value = Some(value::of_key(shown(&held)?));
        answer.context = context(&call, &held, message.include_context);
    }
    admitted.served();
    Ok(Response::DtFetch(answer))
}

pub(super) async fn update<D: Door>(
    edge: &Edge<D>,
    message: DtUpdateReq,
) -> Result<Response, Refusal> {
    let admitted = edge.door.admit(Errand::Write);
    let admitted = admitted.ok_or_else(Refusal::overloaded)?;
    let made_up = message
        .key
        .is_none()
        .then(|| Bytes::from(random_name([edge.door.random(), edge.door.random()])));
    let name = ObjectName {
        bucket_type: bucket_type(Some(&message.r#type))?,
        bucket: message.bucket,
        key: message.key.or(made_up.clone()).unwrap_or_default(),
    };
    let call = Call::new(edge, name, message.timeout)?;
    let kind = kind_in(&call.name.bucket_type, &call.properties)?;
    let update = TypeUpdate {
        update: update_of(message.op, kind)?,
        context: call.past(message.context.as_ref())?,
    };
    let options = PutOptions {
        quorum: PutSpec {
            w: count(message.w),
            dw: count(message.dw),
            pw: count(message.pw),
            node_confirms: count(message.node_confirms),
        },
        n_val: message.n_val,
        primaries_only: message.sloppy_quorum == Some(false),
        flush: Flush::AsBucket,
    };
    let wants_body = message.return_body == Some(true);
    let object = call.update(update, options, wants_body).await?;
    let mut answer = DtUpdateResp::default();
    if let Some(held) = object.as_ref().map(held_in).transpose()?.flatten() {
        answer = value::of_answer(shown(&held)?);
        answer.context = context(&call, &held, message.include_context);
    }
    answer.key = made_up;
    admitted.served();
    Ok(Response::DtUpdate(answer))
}

pub(super) async fn counter<D: Door>(
    edge: &Edge<D>,
    message: CounterGetReq,
) -> Result<Response, Refusal> {
    let admitted = edge.door.admit(Errand::Read);
    let admitted = admitted.ok_or_else(Refusal::overloaded)?;
    let call = Call::new(edge, of_default_type(message.bucket, message.key), None)?;
    let options = GetOptions {
        quorum: GetSpec {
            r: count(message.r),
            pr: count(message.pr),
            node_confirms: count(message.node_confirms),
            basic_quorum: message.basic_quorum,
            notfound_ok: message.notfound_ok,
        },
        ..GetOptions::default()
    };
    let object = call.fetch(options).await?;
    let value = counter_in(&object)?;
    admitted.served();
    Ok(Response::CounterGet(CounterResp { value }))
}

pub(super) async fn add<D: Door>(
    edge: &Edge<D>,
    message: CounterUpdateReq,
) -> Result<Response, Refusal> {
    let admitted = edge.door.admit(Errand::Write);
    let admitted = admitted.ok_or_else(Refusal::overloaded)?;
    let call = Call::new(edge, of_default_type(message.bucket, message.key), None)?;
    if !call.properties.allow_mult {
        return Err(Refusal::text(
            "Counters require bucket property 'allow_mult=true'",
        ));
    }
    let update = TypeUpdate {
        update: Update::Counter(message.amount),
        context: None,
    };
    let options = PutOptions {
        quorum: PutSpec {
            w: count(message.w),
            dw: count(message.dw),
            pw: count(message.pw),
            node_confirms: count(message.node_confirms),
        },
        ..PutOptions::default()
    };
    let wants_value = message.returnvalue == Some(true);
    let object = call.update(update, options, wants_value).await?;
    let value = object.as_ref().map(counter_in).transpose()?.flatten();
    admitted.served();
    Ok(Response::CounterUpdate(CounterResp { value }))
}

fn of_default_type(bucket: Bytes, key: Bytes) -> ObjectName {
    ObjectName {
        bucket_type: Bytes::from_static(DEFAULT_BUCKET_TYPE),
        bucket,
        key,
    }
}

fn kind_in(bucket_type: &[u8], properties: &Properties) -> Result<Kind, Refusal> {
    kind_of_type(bucket_type, properties).map_err(|none| {
        Refusal::text(match none {
            NoDataType::SiblingsOff => "Bucket must be allow_mult=true",
            NoDataType::Undefined => "Bucket datatype `undefined` is not a supported type",
        })
    })
}

fn held_in(object: &Object) -> Result<Option<Held>, Refusal> {
    datatype::value_of(object).map_err(|why| Refusal::text(why.to_string()))
}

fn shown(held: &Held) -> Result<Value, Refusal> {
    held.value().map_err(|why| Refusal::text(why.to_string()))
}

fn counter_in(object: &Object) -> Result<Option<i64>, Refusal> {
    let Some(held) = held_in(object)? else {
        return Ok(None);
    };
    match shown(&held)? {
        Value::Counter(value) => Ok(Some(in_64_bits(value))),
        _ => Err(Refusal::text("the key holds no counter")),
    }
}

fn context<D: Door>(call: &Call<'_, D>, held: &Held, wanted: Option<bool>) -> Option<Bytes> {
    let gives = held.kind().has_context() && wanted != Some(false);
    gives.then(|| call.sealed_past(held.context()))
}
