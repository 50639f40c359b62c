//! Requests and replies about listings and index queries.

use super::messages::BASIS;
use bytes::Bytes;
use ringhold_wire::message::index::{
    CheckRowsRequest, CheckedRows, CountKeysRequest, CountedKeys, RowsPage, RowsRequest,
};
use ringhold_wire::message::peer::{Reply, Request};

pub(crate) fn requests() -> [(&'static str, Request); 4] {
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
    let check = CheckRowsRequest {
        basis: BASIS,
        partition: 255,
        after: Bytes::from_static(b"\x01default\0\x01carts\0\x01\0alice\0"),
        set_right: true,
    };
    [
        ("check rows", Request::CheckRows(check)),
        ("rows", Request::Rows(rows)),
        ("rows of buckets", Request::Rows(buckets)),
        ("count keys", Request::CountKeys(count)),
    ]
}

pub(crate) fn replies() -> [(&'static str, Reply); 4] {
    let page = RowsPage {
        rows: vec![Bytes::from_static(b"default\0\x01carts\0\x01\0bob")],
        ended: true,
        refused: vec![255],
    };
    let counts = vec![Some(7), None];
    let checked = CheckedRows {
        missing: 3,
        strange: 2,
        next: Some(Bytes::from_static(b"\x01default")),
    };
    [
        ("checked rows", Reply::CheckedRows(checked)),
        (
            "checked rows: the last",
            Reply::CheckedRows(CheckedRows::default()),
        ),
        ("rows", Reply::Rows(page)),
        ("counted keys", Reply::CountedKeys(CountedKeys { counts })),
    ]
}
