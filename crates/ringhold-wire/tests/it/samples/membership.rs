//! Requests and replies about the next ring document and what it moves.

use super::{any_bytes, rings, text};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use ringhold_core::id::NodeId;
use ringhold_core::membership::recovery::{Pledge, PledgeRefused};
use ringhold_core::membership::register::{Accepted, Ballot, Denial, Promise, Receipt};
use ringhold_core::ring::{Class, Epoch, RingHash, SectionHash};
use ringhold_wire::message::membership::{
    AcceptRequest, PrepareRequest, RecoveryRequest, RingRequest,
};
use ringhold_wire::message::peer::{ClientRing, Reply, Request};
use ringhold_wire::message::transfer::{self, Receipts};
use ringhold_wire::ring;

const EPOCH: Epoch = Epoch(42);
const BALLOT: Ballot = Ballot {
    round: 3,
    proposer: NodeId(0xa11ce),
};

pub(crate) fn requests() -> [(&'static str, Request); 8] {
    let (epoch, ballot) = (EPOCH, BALLOT);
    let accept = AcceptRequest {
        epoch,
        ballot,
        document: text("a document"),
    };
    let recovery = RecoveryRequest {
        epoch: Epoch(1 << 32),
        ballot,
        given_up: vec![NodeId(0xb0b), NodeId(0xca5)],
    };
    let fetch = RingRequest {
        epoch: Epoch(40),
        sections: rings::document().section_hashes,
    };
    [
        (
            "ring prepare",
            Request::RingPrepare(PrepareRequest { epoch, ballot }),
        ),
        ("recovery is", Request::RecoveryIs(accept.clone())),
        ("ring accept", Request::RingAccept(accept)),
        ("recover", Request::Recover(recovery)),
        ("ring fetch", Request::RingFetch(fetch)),
        ("ring is", Request::RingIs(text("a document"))),
        ("receipts", Request::Receipts),
        ("client ring", Request::ClientRing(Epoch(41))),
    ]
}

pub(crate) fn replies() -> [(&'static str, Reply); 15] {
    let (epoch, ballot) = (EPOCH, BALLOT);
    let client_ring = ClientRing {
        document: Some(text("a document")),
        addresses: vec![(NodeId(0xb0b), text("10.0.0.2:8099"))],
    };
    let promise = |accepted| {
        Reply::RingPromised(Ok(Promise {
            epoch,
            ballot,
            accepted,
        }))
    };
    let by = Ballot { round: 4, ..BALLOT };
    let accepted = Accepted {
        ballot: Ballot { round: 2, ..BALLOT },
        value: text("a document"),
    };
    let held = rings::document().section_hashes;
    let changes = ring::encode_changes(&rings::successor(), &held);
    let pledge = Pledge {
        ballot,
        held: epoch,
        accepted: Some(accepted.clone()),
        recovery: None,
    };
    let member = NodeId(0xb0b);
    [
        (
            "here",
            Reply::Here {
                reported: super::messages::REPORTED,
                epoch,
            },
        ),
        ("pledged", Reply::Pledged(Ok(pledge))),
        (
            "pledge refused",
            Reply::Pledged(Err(PledgeRefused::Lives { member })),
        ),
        (
            "recovery accepted",
            Reply::RecoveryAccepted(Ok(Receipt { epoch, ballot })),
        ),
        ("ring promised", promise(None)),
        ("ring promised before", promise(Some(accepted))),
        (
            "ring outbid",
            Reply::RingPromised(Err(Denial::Outbid { by })),
        ),
        (
            "ring accepted",
            Reply::RingAccepted(Ok(Receipt { epoch, ballot })),
        ),
        (
            "ring behind",
            Reply::RingAccepted(Err(Denial::Behind { committed: epoch })),
        ),
        (
            "ring ahead",
            Reply::RingAccepted(Err(Denial::Ahead { held: Epoch(40) })),
        ),
        ("ring fetched", Reply::RingFetched(Some(changes))),
        ("nothing newer", Reply::RingFetched(None)),
        ("ring taken", Reply::RingTaken),
        ("receipts", Reply::Receipts(receipts())),
        ("client ring", Reply::ClientRing(client_ring)),
    ]
}

fn receipts() -> Receipts {
    let receipt = |partition| transfer::Receipt {
        partition,
        class: Class(0x305),
        root: 0x400f + u128::from(partition),
    };
    Receipts {
        placement_number: 12,
        in_doubt: false,
        receipts: vec![receipt(3), receipt(255)],
        waits: vec!["node-2 is down".to_owned()],
    }
}

fn any_ballot() -> impl Strategy<Value = Ballot> {
    any::<(u64, u128)>().prop_map(|(round, proposer)| Ballot {
        round,
        proposer: NodeId(proposer),
    })
}

fn any_epoch() -> impl Strategy<Value = Epoch> {
    any::<u64>().prop_map(Epoch)
}

fn any_denial() -> impl Strategy<Value = Denial> {
    prop_oneof![
        any_ballot().prop_map(|by| Denial::Outbid { by }),
        any_epoch().prop_map(|committed| Denial::Behind { committed }),
        any_epoch().prop_map(|held| Denial::Ahead { held }),
    ]
}

fn any_section() -> impl Strategy<Value = SectionHash> {
    (".{0,9}", any::<[u8; 16]>()).prop_map(|(name, hash)| SectionHash {
        name,
        hash: RingHash(hash),
    })
}

fn any_client_ring() -> impl Strategy<Value = ClientRing> {
    let address = (any::<u128>().prop_map(NodeId), any_bytes(30));
    (of(any_bytes(100)), vec(address, 0..5)).prop_map(|(document, addresses)| ClientRing {
        document,
        addresses,
    })
}

fn any_receipts() -> impl Strategy<Value = Receipts> {
    let receipt = any::<(u16, u16, u128)>();
    let receipt = receipt.prop_map(|(partition, class, root)| transfer::Receipt {
        partition: partition.into(),
        class: Class(class),
        root,
    });
    let heading = any::<(u64, bool)>();
    let parts = (heading, vec(receipt, 0..5), vec(".{0,20}", 0..3));
    parts.prop_map(|((placement_number, in_doubt), receipts, waits)| Receipts {
        placement_number,
        in_doubt,
        receipts,
        waits,
    })
}

pub(crate) fn any_request() -> impl Strategy<Value = Request> {
    let at = || (any_epoch(), any_ballot());
    prop_oneof![
        at().prop_map(|(epoch, ballot)| Request::RingPrepare(PrepareRequest { epoch, ballot })),
        (at(), any_bytes(100)).prop_map(|((epoch, ballot), document)| {
            Request::RingAccept(AcceptRequest {
                epoch,
                ballot,
                document,
            })
        }),
        (any_epoch(), vec(any_section(), 0..5))
            .prop_map(|(epoch, sections)| Request::RingFetch(RingRequest { epoch, sections })),
        any_bytes(100).prop_map(Request::RingIs),
        Just(Request::Receipts),
        any_epoch().prop_map(Request::ClientRing),
    ]
}

pub(crate) fn any_reply() -> impl Strategy<Value = Reply> {
    let accepted = (any_ballot(), any_bytes(100));
    let accepted = of(accepted.prop_map(|(ballot, value): (_, Bytes)| Accepted { ballot, value }));
    let promise =
        (any_epoch(), any_ballot(), accepted).prop_map(|(epoch, ballot, accepted)| Promise {
            epoch,
            ballot,
            accepted,
        });
    let receipt = (any_epoch(), any_ballot());
    let receipt = receipt.prop_map(|(epoch, ballot)| Receipt { epoch, ballot });
    prop_oneof![
        promise.prop_map(|promise| Reply::RingPromised(Ok(promise))),
        any_denial().prop_map(|denial| Reply::RingPromised(Err(denial))),
        receipt.prop_map(|receipt| Reply::RingAccepted(Ok(receipt))),
        any_denial().prop_map(|denial| Reply::RingAccepted(Err(denial))),
        of(any_bytes(100)).prop_map(Reply::RingFetched),
        Just(Reply::RingTaken),
        any_receipts().prop_map(Reply::Receipts),
        any_client_ring().prop_map(Reply::ClientRing),
    ]
}
