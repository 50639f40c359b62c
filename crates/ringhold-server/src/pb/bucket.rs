//! The properties of buckets, and of the default bucket type.
//!
//! What properties mean and which values are refused is decided in [`ringhold_node::properties`]; only the mapping is
//! here. A change that has one refused value changes nothing, and the answer names every refused value, as Riak prints them.

use super::quorum::{count, field};
use super::refusal::Refusal;
use super::{Edge, bucket_type};
use crate::edge::{Door, TypeOrder};
use bytes::Bytes;
use ringhold_core::crdt::Kind;
use ringhold_core::quorum::Count;
use ringhold_core::ring::{ChangeRefused, TypeRefused};
use ringhold_node::ChangeFailed;
use ringhold_node::properties::{
    CHASH_KEYFUN, LINKFUN, Overrides, Properties, PropertiesError, Refusal as Refused, Value, Word,
};
use ringhold_wire::riak::{
    BucketProps, GetBucketReq, GetBucketResp, GetBucketTypeReq, ModFun, Repl, ResetBucketReq,
    Response, SetBucketReq, SetBucketTypeReq,
};
use std::sync::Arc;

pub(super) fn get<D: Door>(edge: &Edge<D>, message: &GetBucketReq) -> Result<Response, Refusal> {
    let properties = properties(edge, message.r#type.as_ref(), &message.bucket)?;
    Ok(described(&properties))
}

pub(super) fn get_type<D: Door>(
    edge: &Edge<D>,
    message: &GetBucketTypeReq,
) -> Result<Response, Refusal> {
    // A bucket of no name has set nothing, so it has its type's.
    let of_type = edge.door.properties(&message.r#type, &Bytes::new());
    let of_type = of_type.ok_or_else(|| invalid_type(&message.r#type))?;
    Ok(described(&of_type))
}

pub(super) async fn set_type<D: Door>(
    edge: &Edge<D>,
    message: &SetBucketTypeReq,
) -> Result<Response, Refusal> {
    let name = &message.r#type;
    if edge.door.properties(name, &Bytes::new()).is_none() {
        return Err(invalid_type(name));
    }
    let proposals = proposals(&message.props);
    let change = Overrides::propose_update(proposals).map_err(|refused| invalid(&refused))?;
    let timeout_ms = edge.limits.request_ms;
    let order = TypeOrder::Update { change, timeout_ms };
    let changed = edge.door.type_order(name, order).await;
    changed.map_err(|failed| match failed {
        ChangeFailed::Refused(ChangeRefused::BucketType(TypeRefused::Properties { refusals })) => {
            invalid_pairs(refusals.iter())
        }
        other => Refusal::text(other.to_string()),
    })?;
    Ok(Response::BucketSet)
}

fn invalid_type(name: &[u8]) -> Refusal {
    let name = String::from_utf8_lossy(name);
    Refusal::text(format!("Invalid bucket type: <<\"{name}\">>"))
}

pub(super) async fn set<D: Door>(
    edge: &Edge<D>,
    message: SetBucketReq,
) -> Result<Response, Refusal> {
    let before = properties(edge, message.r#type.as_ref(), &message.bucket)?;
    let proposals = proposals(&message.props);
    let change = Overrides::propose(proposals).map_err(|refused| invalid(&refused))?;
    before
        .check_change(&change)
        .map_err(|refused| invalid(&[refused]))?;
    change_to(edge, message.r#type.as_ref(), &message.bucket, Some(change)).await?;
    Ok(Response::BucketSet)
}

pub(super) async fn reset<D: Door>(
    edge: &Edge<D>,
    message: &ResetBucketReq,
) -> Result<Response, Refusal> {
    properties(edge, message.r#type.as_ref(), &message.bucket)?;
    change_to(edge, message.r#type.as_ref(), &message.bucket, None).await?;
    Ok(Response::BucketReset)
}

async fn change_to<D: Door>(
    edge: &Edge<D>,
    named_type: Option<&Bytes>,
    bucket: &Bytes,
    change: Option<Overrides>,
) -> Result<(), Refusal> {
    let bucket_type = bucket_type(named_type)?;
    let changed = edge
        .door
        .change_properties(&bucket_type, bucket, change, edge.limits.request_ms)
        .await;
    changed.map_err(|error| match error {
        PropertiesError::UnknownBucketType => Refusal::unknown_bucket_type(&bucket_type),
        PropertiesError::Refused(refused) => invalid(&[refused]),
        other => Refusal::text(other.to_string()),
    })
}

fn properties<D: Door>(
    edge: &Edge<D>,
    named_type: Option<&Bytes>,
    bucket: &Bytes,
) -> Result<Arc<Properties>, Refusal> {
    let bucket_type = bucket_type(named_type)?;
    if bucket.is_empty() {
        return Err(Refusal::text("Bucket cannot be zero-length"));
    }
    let properties = edge.door.properties(&bucket_type, bucket);
    properties.ok_or_else(|| Refusal::unknown_bucket_type(&bucket_type))
}

/// As Riak prints a list of pairs.
fn invalid(refused: &[Refused]) -> Refusal {
    let pairs = refused
        .iter()
        .map(|refused| (refused.property.clone(), refused.reason.to_string()));
    invalid_pairs(pairs.collect::<Vec<_>>().iter())
}

fn invalid_pairs<'a>(pairs: impl Iterator<Item = &'a (String, String)>) -> Refusal {
    let pairs = pairs.map(|(property, reason)| format!("{{{property},{reason}}}"));
    let pairs: Vec<String> = pairs.collect();
    Refusal::text(format!("Invalid bucket properties: [{}]", pairs.join(",")))
}

fn described(properties: &Properties) -> Response {
    let Properties {
        get, put, reported, ..
    } = properties;
    let number = |number: u64| Some(u32::try_from(number).unwrap_or(u32::MAX));
    let count = |count: Count| Some(field(count));
    let text = |word: &Option<Word>| match word {
        Some(Word::Text(text)) => Some(Bytes::from(text.clone())),
        Some(Word::Boolean(_)) | None => None,
    };
    let props = BucketProps {
        n_val: Some(properties.n_val),
        allow_mult: Some(properties.allow_mult),
        last_write_wins: Some(properties.last_write_wins),
        has_precommit: Some(true),
        has_postcommit: Some(true),
        chash_keyfun: Some(function(CHASH_KEYFUN)),
        linkfun: Some(function(LINKFUN)),
        old_vclock: number(reported.old_vclock),
        young_vclock: number(reported.young_vclock),
        big_vclock: number(reported.big_vclock),
        small_vclock: number(reported.small_vclock),
        pr: count(get.pr),
        r: count(get.r),
        w: count(put.w),
        pw: count(put.pw),
        dw: count(put.dw),
        rw: count(properties.rw),
        basic_quorum: get.basic_quorum,
        notfound_ok: get.notfound_ok,
        backend: text(&reported.backend),
        search: match reported.search {
            Some(Word::Boolean(set)) => Some(set),
            _ => None,
        },
        repl: Some(repl(&reported.repl).into()),
        search_index: text(&reported.search_index),
        datatype: properties
            .datatype
            .map(|kind| Bytes::from_static(kind.name().as_bytes())),
        write_once: Some(properties.write_once),
        hll_precision: (properties.datatype == Some(Kind::Hll))
            .then(|| properties.hll_precision.bits().into()),
        ..BucketProps::default()
    };
    Response::Bucket(Box::new(GetBucketResp { props }))
}

fn function((module, function): (&'static str, &'static str)) -> ModFun {
    ModFun {
        module: Bytes::from_static(module.as_bytes()),
        function: Bytes::from_static(function.as_bytes()),
    }
}

fn repl(word: &Word) -> Repl {
    match word {
        Word::Boolean(false) => Repl::False,
        Word::Boolean(true) => Repl::True,
        Word::Text(text) if text == "realtime" => Repl::Realtime,
        Word::Text(text) if text == "fullsync" => Repl::Fullsync,
        Word::Text(_) => Repl::True,
    }
}

/// The names and values of a change: of the fields that are there.
fn proposals(props: &BucketProps) -> Vec<(&'static str, Value)> {
    let number = |number: u32| Value::Integer(i64::from(number));
    let quorum = |symbol: u32| match count(Some(symbol)) {
        Count::Exact(exact) => number(exact),
        word => Value::Text(word.to_string()),
    };
    let text = |bytes: &Bytes| match std::str::from_utf8(bytes) {
        Ok(text) => Value::Text(text.to_owned()),
        Err(_) => Value::Other,
    };
    let function = |named: &ModFun| match (text(&named.module), text(&named.function)) {
        (Value::Text(module), Value::Text(function)) => Value::Function { module, function },
        _ => Value::Other,
    };
    let hooks = |are_set: Option<bool>, is_empty: bool| match (are_set, is_empty) {
        (_, false) => Some(Value::Other),
        (Some(true), true) => Some(Value::EmptyList),
        (_, true) => None,
    };
    let repl = |value: i32| match Repl::try_from(value) {
        Ok(Repl::False) => Value::Boolean(false),
        Ok(Repl::True) => Value::Boolean(true),
        Ok(Repl::Realtime) => Value::Text("realtime".to_owned()),
        Ok(Repl::Fullsync) => Value::Text("fullsync".to_owned()),
        Err(_) => Value::Other,
    };
    let all = [
        ("n_val", props.n_val.map(number)),
        ("allow_mult", props.allow_mult.map(Value::Boolean)),
        ("last_write_wins", props.last_write_wins.map(Value::Boolean)),
        (
            "precommit",
            hooks(props.has_precommit, props.precommit.is_empty()),
        ),
        (
            "postcommit",
            hooks(props.has_postcommit, props.postcommit.is_empty()),
        ),
        ("chash_keyfun", props.chash_keyfun.as_ref().map(function)),
        ("linkfun", props.linkfun.as_ref().map(function)),
        ("old_vclock", props.old_vclock.map(number)),
        ("young_vclock", props.young_vclock.map(number)),
        ("big_vclock", props.big_vclock.map(number)),
        ("small_vclock", props.small_vclock.map(number)),
        ("pr", props.pr.map(quorum)),
        ("r", props.r.map(quorum)),
        ("w", props.w.map(quorum)),
        ("pw", props.pw.map(quorum)),
        ("dw", props.dw.map(quorum)),
        ("rw", props.rw.map(quorum)),
        ("basic_quorum", props.basic_quorum.map(Value::Boolean)),
        ("notfound_ok", props.notfound_ok.map(Value::Boolean)),
        ("backend", props.backend.as_ref().map(text)),
        ("search", props.search.map(Value::Boolean)),
        ("repl", props.repl.map(repl)),
        ("search_index", props.search_index.as_ref().map(text)),
        ("datatype", props.datatype.as_ref().map(text)),
        ("consistent", props.consistent.map(Value::Boolean)),
        ("write_once", props.write_once.map(Value::Boolean)),
        ("hll_precision", props.hll_precision.map(number)),
    ];
    let given = all
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    given.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_shown_can_be_written_back() {
        let Response::Bucket(shown) = described(&Properties::default()) else {
            panic!("not properties");
        };
        let overrides = Overrides::propose(proposals(&shown.props)).expect("nothing is refused");
        let resolved = Properties::resolve(&Properties::default(), &overrides);
        assert_eq!(resolved, Properties::default());
    }

    #[test]
    fn an_empty_list_of_hooks_is_a_change_only_if_it_says_so() {
        let names = |props: &BucketProps| -> Vec<&str> {
            proposals(props).into_iter().map(|(name, _)| name).collect()
        };
        let mut props = BucketProps {
            has_precommit: Some(true),
            has_postcommit: Some(false),
            ..BucketProps::default()
        };
        assert_eq!(names(&props), ["precommit"]);
        props.has_precommit = None;
        assert!(names(&props).is_empty());
    }
}
