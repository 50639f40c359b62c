//! Messages of gossip, and what nodes say in them.

use super::{any_bytes, text};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use ringhold_core::id::NodeId;
use ringhold_core::membership::gossip::{Deltas, Digest, Entry, Mark, NodeDelta, StateKey};
use ringhold_core::ring::{Addresses, Epoch, RingHash};
use ringhold_wire::gossiped::{Load, RingKnown};
use ringhold_wire::message::peer::{Reply, Request};

pub(crate) const RING_KNOWN: RingKnown = RingKnown {
    epoch: Epoch(7),
    hash: RingHash(*b"0123456789abcdef"),
    placement_number: 3,
};

pub(crate) const LOAD: Load = Load {
    partitions: 86,
    stored_bytes: 1 << 40,
    hint_bytes: 4_096,
};

pub(crate) fn addresses() -> Addresses {
    Addresses {
        peer: "10.0.0.1:8099".into(),
        http: "10.0.0.1:8098".into(),
        pb: String::new(),
        native: "10.0.0.1:8097".into(),
    }
}

fn digest() -> Digest {
    let mark = |generation, version| Mark {
        generation,
        version,
    };
    let marks = vec![
        (NodeId(1), mark(1_790_000_000_000_000, 12)),
        (NodeId(4), Mark::NOTHING),
    ];
    Digest::new(marks).expect("in ascending order")
}

fn deltas() -> Deltas {
    let entry = |key, version, value| Entry {
        key,
        version,
        value,
    };
    let entries = vec![
        entry(StateKey::EPOCH, 3, RING_KNOWN.encode()),
        entry(StateKey(200), 11, text("from a later release")),
        entry(StateKey::HEARTBEAT, 12, text("")),
    ];
    let delta = NodeDelta::new(NodeId(1), 1_790_000_000_000_000, 2, entries);
    Deltas::new(vec![delta.expect("versions rise, keys are distinct")])
}

pub(crate) fn requests() -> [(&'static str, Request); 2] {
    [
        ("gossip digest", Request::GossipDigest(digest())),
        ("gossip deltas", Request::GossipDeltas(deltas())),
    ]
}

pub(crate) fn reply() -> Reply {
    Reply::Gossip {
        deltas: deltas(),
        wanted: digest(),
    }
}

pub(crate) fn any_digest() -> impl Strategy<Value = Digest> {
    let marks = btree_map(any::<u128>(), any::<(u64, u64)>(), 0..5);
    marks.prop_map(|marks| {
        let mark = |(node, (generation, version))| {
            let mark = Mark {
                generation,
                version,
            };
            (NodeId(node), mark)
        };
        Digest::new(marks.into_iter().map(mark).collect()).expect("a map is in order")
    })
}

fn any_node_delta() -> impl Strategy<Value = NodeDelta> {
    let steps = btree_map(any::<u8>(), (1..1_000_u64, any_bytes(40)), 1..5);
    (any::<u128>(), any::<u64>(), 0..1_000_u64, steps).prop_map(
        |(node, generation, after, steps)| {
            let mut version = after;
            let entry = |(key, (step, value))| {
                version += step;
                Entry {
                    key: StateKey(key),
                    version,
                    value,
                }
            };
            let entries = steps.into_iter().map(entry).collect();
            NodeDelta::new(NodeId(node), generation, after, entries)
                .expect("versions rise, keys are distinct")
        },
    )
}

pub(crate) fn any_deltas() -> impl Strategy<Value = Deltas> {
    vec(any_node_delta(), 0..4).prop_map(Deltas::new)
}
