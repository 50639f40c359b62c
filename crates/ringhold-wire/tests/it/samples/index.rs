//! Requests and replies about listings and index queries.

use bytes::Bytes;
use ringhold_wire::message::index::{CountKeysRequest, CountedKeys, RowsPage, RowsRequest};
use ringhold_wire::message::peer::{Reply, Request};

pub(crate) fn requests() -> [(&'static str, Request); 3] {
    let rows = RowsRequest {
        partitions: vec![0, 255],
        bucket_type: "default".into(),
        bucket: Some("carts".into()),
        from: Bytes::from_static(b"default\0\x01carts\0\x01\0a"),
        to: Bytes::from_static(b"default\0\x01carts\0\x01\x01"),
        after: Bytes::from_static(b"default\0\x01carts\0\x01\0alice"),
        shows_one: true,
        rows_max: 1_000,
    };
    let buckets = RowsRequest {
        bucket: None,
        after: Bytes::new(),
        ..rows.clone()
    };
    let count = CountKeysRequest {
        partitions: vec![7],
        bucket_type: "default".into(),
        bucket: "carts".into(),
        shows_one: false,
    };
    [
        ("rows", Request::Rows(rows)),
        ("rows of buckets", Request::Rows(buckets)),
        ("count keys", Request::CountKeys(count)),
    ]
}

pub(crate) fn replies() -> [(&'static str, Reply); 2] {
    let page = RowsPage {
        rows: vec![Bytes::from_static(b"default\0\x01carts\0\x01\0bob")],
        ended: true,
        refused: vec![255],
    };
    let counts = vec![Some(7), None];
    [
        ("rows", Reply::Rows(page)),
        ("counted keys", Reply::CountedKeys(CountedKeys { counts })),
    ]
}
