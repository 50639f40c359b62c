//! Requests and a reply about keys that may be reaped.

use super::name;
use ringhold_wire::message::peer::{LeafEntry, ReapRequest, Reply, Request, StraysRequest};

pub(crate) fn requests() -> [(&'static str, Request); 3] {
    let strays = StraysRequest {
        partition: 255,
        quiet_us: 300_000_000,
        names: vec![name(), name()],
    };
    let entry = LeafEntry {
        name: name(),
        digest: 0xd16e57,
    };
    let reap = ReapRequest {
        partition: 255,
        entries: vec![entry],
    };
    [
        ("strays", Request::Strays(strays)),
        ("vouch", Request::Vouch(reap.clone())),
        ("reap", Request::Reap(reap)),
    ]
}

pub(crate) fn reply() -> Reply {
    Reply::Said(vec![true, false])
}
