//! Data types over Protocol Buffers. What HTTP says of them is in `tests/http/datatypes.txt` and `counters.txt`.

use crate::pb::Client;
use bytes::Bytes;
use ringhold_wire::riak::{
    AddOp, BucketProps, CounterGetReq, CounterOp, CounterResp, CounterUpdateReq, DtFetchReq,
    DtFetchResp, DtOp, DtUpdateReq, DtUpdateResp, DtValue, FieldType, FlagOp, GetReq, GetResp,
    MapField, MapOp, MapUpdate, SetOp,
};

const COUNTER_UPDATE: u8 = 50;
const COUNTER_GET: u8 = 52;
const FETCH: u8 = 80;
const UPDATE: u8 = 82;

const COUNTER: i32 = 1;
const SET: i32 = 2;
const MAP: i32 = 3;
const HLL: i32 = 4;
const GSET: i32 = 5;

fn items(items: &[&'static str]) -> Vec<Bytes> {
    items.iter().map(|item| Bytes::from(*item)).collect()
}

fn fetch(of_type: &'static str, key: &'static str) -> DtFetchReq {
    DtFetchReq {
        bucket: Bytes::from("b"),
        key: Bytes::from(key),
        r#type: Bytes::from(of_type),
        ..DtFetchReq::default()
    }
}

fn update(of_type: &'static str, key: &'static str, op: DtOp) -> DtUpdateReq {
    DtUpdateReq {
        bucket: Bytes::from("b"),
        key: Some(Bytes::from(key)),
        r#type: Bytes::from(of_type),
        op,
        ..DtUpdateReq::default()
    }
}

fn set_op(adds: &[&'static str], removes: &[&'static str]) -> DtOp {
    DtOp {
        set_op: Some(SetOp {
            adds: items(adds),
            removes: items(removes),
        }),
        ..DtOp::default()
    }
}

fn counter_op(increment: i64) -> DtOp {
    DtOp {
        counter_op: Some(CounterOp {
            increment: Some(increment),
        }),
        ..DtOp::default()
    }
}

fn field(name: &'static str, kind: FieldType) -> MapField {
    MapField {
        name: Bytes::from(name),
        r#type: kind.into(),
    }
}

fn map_op(removes: Vec<MapField>, updates: Vec<MapUpdate>) -> DtOp {
    DtOp {
        map_op: Some(MapOp { removes, updates }),
        ..DtOp::default()
    }
}

#[tokio::test]
async fn nothing_is_a_type_without_a_value() {
    let mut client = Client::connect();
    for (name, number) in [
        ("the-counters", COUNTER),
        ("the-sets", SET),
        ("the-maps", MAP),
        ("the-hlls", HLL),
        ("the-gsets", GSET),
    ] {
        let got: DtFetchResp = client.answer(FETCH, &fetch(name, "k")).await;
        let nothing = DtFetchResp {
            r#type: number,
            ..DtFetchResp::default()
        };
        assert_eq!(got, nothing);
    }
}

#[tokio::test]
async fn counters_count() {
    let mut client = Client::connect();
    let silent: DtUpdateResp = client
        .answer(UPDATE, &update("the-counters", "k", counter_op(5)))
        .await;
    assert_eq!(silent, DtUpdateResp::default());
    let told = DtUpdateReq {
        return_body: Some(true),
        key: None,
        ..update("the-counters", "k", counter_op(-2))
    };
    let made: DtUpdateResp = client.answer(UPDATE, &told).await;
    assert_eq!(
        (made.counter_value, made.key.map(|key| key.len())),
        (Some(-2), Some(27))
    );
    let got: DtFetchResp = client.answer(FETCH, &fetch("the-counters", "k")).await;
    let counter_value = Some(5);
    let value = Some(DtValue {
        counter_value,
        ..DtValue::default()
    });
    assert_eq!(
        (got.value, got.context),
        (value, None),
        "counters need no context"
    );
    let plain = GetReq {
        bucket: Bytes::from("b"),
        key: Bytes::from("k"),
        r#type: Some(Bytes::from("the-counters")),
        ..GetReq::default()
    };
    let plain: GetResp = client.answer(9, &plain).await;
    let content_type = plain.content[0].content_type.clone();
    assert_eq!(content_type, Some(Bytes::from("application/riak_counter")));
}

#[tokio::test]
async fn a_set_is_there_when_it_is_empty() {
    let mut client = Client::connect();
    let added = DtUpdateReq {
        return_body: Some(true),
        ..update("the-sets", "k", set_op(&["b", "a"], &[]))
    };
    let added: DtUpdateResp = client.answer(UPDATE, &added).await;
    assert_eq!(added.set_value, items(&["a", "b"]));
    let context = added.context.expect("something can be removed");
    let refused = client
        .error(UPDATE, &update("the-sets", "k", set_op(&[], &["nosuch"])))
        .await;
    assert_eq!(refused, "{precondition,{not_present,<<\"nosuch\">>}}");
    let removed = DtUpdateReq {
        context: Some(context.clone()),
        ..update("the-sets", "k", set_op(&[], &["a", "b", "nosuch"]))
    };
    let removed: DtUpdateResp = client.answer(UPDATE, &removed).await;
    assert_eq!(removed, DtUpdateResp::default());
    let got: DtFetchResp = client.answer(FETCH, &fetch("the-sets", "k")).await;
    assert_eq!(got.value, Some(DtValue::default()), "empty, and there");
    assert!(got.context.is_some());
    let bare = DtFetchReq {
        include_context: Some(false),
        ..fetch("the-sets", "k")
    };
    let bare: DtFetchResp = client.answer(FETCH, &bare).await;
    assert_eq!((bare.context, bare.r#type), (None, SET));
    let elsewhere = DtUpdateReq {
        context: Some(context),
        ..update("the-sets", "other", set_op(&["a"], &[]))
    };
    assert_eq!(client.error(UPDATE, &elsewhere).await, "Invalid context");
}

#[tokio::test]
async fn a_map_has_fields() {
    let mut client = Client::connect();
    let counter = MapUpdate {
        field: field("n", FieldType::Counter),
        counter_op: Some(CounterOp { increment: None }),
        ..MapUpdate::default()
    };
    let flag = MapUpdate {
        field: field("f", FieldType::Flag),
        flag_op: Some(FlagOp::Enable.into()),
        ..MapUpdate::default()
    };
    let register = MapUpdate {
        field: field("r", FieldType::Register),
        register_op: Some(Bytes::from("v")),
        ..MapUpdate::default()
    };
    let inner = MapUpdate {
        field: field("m", FieldType::Map),
        map_op: Some(MapOp {
            removes: Vec::new(),
            updates: vec![register],
        }),
        ..MapUpdate::default()
    };
    let write = DtUpdateReq {
        return_body: Some(true),
        ..update(
            "the-maps",
            "k",
            map_op(Vec::new(), vec![counter, flag, inner]),
        )
    };
    let written: DtUpdateResp = client.answer(UPDATE, &write).await;
    let names: Vec<&[u8]> = written
        .map_value
        .iter()
        .map(|entry| &entry.field.name[..])
        .collect();
    assert_eq!(names, [b"f", b"m", b"n"]);
    let [flag, inner, counter] = &written.map_value[..] else {
        panic!("three fields");
    };
    assert_eq!(
        (flag.flag_value, counter.counter_value),
        (Some(true), Some(1))
    );
    assert_eq!(inner.map_value[0].register_value, Some(Bytes::from("v")));

    let absent = map_op(vec![field("nosuch", FieldType::Set)], Vec::new());
    let refused = client.error(UPDATE, &update("the-maps", "k", absent)).await;
    assert_eq!(
        refused,
        "{precondition,{not_present,{<<\"nosuch\">>,riak_dt_orswot}}}"
    );
    let all = ["f", "m", "n"];
    let kinds = [FieldType::Flag, FieldType::Map, FieldType::Counter];
    let removes = all
        .into_iter()
        .zip(kinds)
        .map(|(name, kind)| field(name, kind));
    let empty = DtUpdateReq {
        context: written.context,
        ..update("the-maps", "k", map_op(removes.collect(), Vec::new()))
    };
    client.answer::<DtUpdateResp>(UPDATE, &empty).await;
    let got: DtFetchResp = client.answer(FETCH, &fetch("the-maps", "k")).await;
    assert_eq!(got.value, Some(DtValue::default()));
}

#[tokio::test]
async fn estimates_and_growing_sets_only_grow() {
    let mut client = Client::connect();
    let adds = || {
        Some(AddOp {
            adds: items(&["b", "a", "a"]),
        })
    };
    let hll = DtOp {
        hll_op: adds(),
        ..DtOp::default()
    };
    let gset = DtOp {
        gset_op: adds(),
        ..DtOp::default()
    };
    client
        .answer::<DtUpdateResp>(UPDATE, &update("the-hlls", "k", hll))
        .await;
    client
        .answer::<DtUpdateResp>(UPDATE, &update("the-gsets", "k", gset))
        .await;
    let got: DtFetchResp = client.answer(FETCH, &fetch("the-hlls", "k")).await;
    assert_eq!(got.value.and_then(|value| value.hll_value), Some(2));
    let got: DtFetchResp = client.answer(FETCH, &fetch("the-gsets", "k")).await;
    assert_eq!(
        got.value.map(|value| value.gset_value),
        Some(items(&["a", "b"]))
    );
    assert_eq!((got.r#type, got.context), (GSET, None));
}

#[tokio::test]
async fn what_does_not_fit_is_refused() {
    let mut client = Client::connect();
    let refused = client
        .error(UPDATE, &update("the-maps", "k", set_op(&["a"], &[])))
        .await;
    assert_eq!(
        refused,
        "Operation type is `set` but  bucket type is `map`."
    );
    let refused = client.error(FETCH, &fetch("nosuch", "k")).await;
    assert_eq!(refused, "No bucket-type named 'nosuch'");
    let refused = client.error(FETCH, &fetch("the-sets", "")).await;
    assert_eq!(refused, "Key cannot be zero-length");
    let deep = (0..90).fold(MapOp::default(), |inner, _| MapOp {
        removes: Vec::new(),
        updates: vec![MapUpdate {
            field: field("m", FieldType::Map),
            map_op: Some(inner),
            ..MapUpdate::default()
        }],
    });
    let deep = DtOp {
        map_op: Some(deep),
        ..DtOp::default()
    };
    // Too deep for the messages themselves, which have a depth of their own.
    let refused = client.error(UPDATE, &update("the-maps", "k", deep)).await;
    assert!(
        refused.contains("malformed") || refused.contains("maps deep"),
        "{refused}"
    );
    client
        .set_props(BucketProps {
            allow_mult: Some(false),
            ..BucketProps::default()
        })
        .await;
    let refused = client.error(FETCH, &fetch("default", "k")).await;
    assert_eq!(refused, "Bucket must be allow_mult=true");
    assert_eq!(
        client.error(COUNTER_UPDATE, &add(1)).await,
        "Counters require bucket property 'allow_mult=true'"
    );
}

fn add(amount: i64) -> CounterUpdateReq {
    CounterUpdateReq {
        bucket: Bytes::from("b"),
        key: Bytes::from("k"),
        amount,
        ..CounterUpdateReq::default()
    }
}

/// In the default type, by messages of their own or by those of data types.
#[tokio::test]
async fn counters_before_there_were_types() {
    let mut client = Client::connect();
    let get = CounterGetReq {
        bucket: Bytes::from("b"),
        key: Bytes::from("k"),
        ..CounterGetReq::default()
    };
    let nothing: CounterResp = client.answer(COUNTER_GET, &get).await;
    assert_eq!(nothing.value, None);
    let silent: CounterResp = client.answer(COUNTER_UPDATE, &add(5)).await;
    assert_eq!(silent.value, None);
    let told = CounterUpdateReq {
        returnvalue: Some(true),
        ..add(-7)
    };
    let told: CounterResp = client.answer(COUNTER_UPDATE, &told).await;
    assert_eq!(told.value, Some(-2));
    let got: CounterResp = client.answer(COUNTER_GET, &get).await;
    assert_eq!(got.value, Some(-2));
    client
        .answer::<DtUpdateResp>(UPDATE, &update("default", "k", counter_op(1)))
        .await;
    let got: DtFetchResp = client.answer(FETCH, &fetch("default", "k")).await;
    assert_eq!(got.value.and_then(|value| value.counter_value), Some(-1));
}
