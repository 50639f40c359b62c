//! Ring documents.

use super::text;
use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use ringhold_core::id::{ClusterId, NodeId};
use ringhold_core::ring::{
    Addresses, BucketName, Change, Epoch, FurtherSection, Member, MemberState, Next,
    PartitionCount, Placement, Replication, RingDocument, RingHash,
};
use std::collections::BTreeMap;

fn member(number: u128, state: MemberState) -> Member {
    let address = |port: u32| format!("10.0.0.{number}:{port}");
    let (peer, http, pb) = (address(7_000), address(8_098), address(8_087));
    Member {
        id: NodeId(number),
        name: format!("node-{number}"),
        addresses: Addresses {
            peer,
            http,
            pb,
            native: String::new(),
        },
        zone: "north".to_owned(),
        rack: format!("r{number}"),
        weight: 100,
        state,
    }
}

fn bucket(name: &'static str) -> BucketName {
    BucketName {
        bucket_type: "default".into(),
        bucket: name.into(),
    }
}

fn replication<const BUCKETS: usize>(buckets: [(&'static str, u8); BUCKETS]) -> Replication {
    let buckets = buckets.into_iter();
    Replication {
        default: 3,
        buckets: buckets.map(|(name, n)| (bucket(name), n)).collect(),
    }
}

/// Four members in different states, eight partitions on their way, and a section that nobody
/// knows.
pub(crate) fn document() -> RingDocument {
    let states = [
        MemberState::Up,
        MemberState::Leaving,
        MemberState::Joining,
        MemberState::Removed,
    ];
    let members = (1..)
        .zip(states)
        .map(|(number, state)| member(number, state))
        .collect();
    let table = |owners: [u128; 8]| owners.map(NodeId).to_vec();
    let placement = Placement {
        partition_count: PartitionCount::MIN,
        owners: table([1, 2, 1, 2, 1, 2, 1, 2]),
        next: Some(Next {
            owners: table([1, 3, 1, 3, 1, 3, 1, 3]),
            changes: vec![
                Change::Leave { node: NodeId(2) },
                Change::Join { node: NodeId(3) },
            ],
            replication: replication([("carts", 5)]),
        }),
        placement_number: 12,
        target_n: 2,
        replication: replication([("carts", 4), ("logs", 2)]),
    };
    let further = vec![FurtherSection {
        name: "weather".to_owned(),
        bytes: text("sunny"),
    }];
    let (cluster_id, epoch, previous) = (ClusterId(0xc1), Epoch(41), RingHash([0xab; 16]));
    let section_hashes = Vec::new();
    RingDocument {
        cluster_id,
        epoch,
        previous,
        members,
        placement,
        staged: vec![
            Change::Weigh {
                node: NodeId(1),
                weight: 2,
            },
            Change::Place {
                node: NodeId(1),
                zone: "south".to_owned(),
                rack: "r9".to_owned(),
            },
            Change::Replicate {
                bucket: bucket("logs"),
                n: 5,
            },
            Change::Remove { node: NodeId(2) },
            Change::Replace {
                old: NodeId(1),
                new: NodeId(3),
            },
        ],
        further,
        section_hashes,
    }
    .sealed()
}

/// What may follow it, with another placement.
pub(crate) fn successor() -> RingDocument {
    let mut next = document().successor();
    next.placement.next = None;
    next.placement.placement_number += 1;
    next.sealed()
}

fn any_member() -> impl Strategy<Value = Member> {
    let states = prop_oneof![
        Just(MemberState::Joining),
        Just(MemberState::Up),
        Just(MemberState::Leaving),
        Just(MemberState::Down),
        Just(MemberState::Removed),
        Just(MemberState::Lost),
    ];
    (any::<u128>(), vec(".{0,6}", 7), any::<u32>(), states).prop_map(
        |(id, mut texts, weight, state)| {
            let mut text = || texts.pop().expect("one of seven");
            let addresses = Addresses {
                peer: text(),
                http: text(),
                pb: text(),
                native: text(),
            };
            let (name, zone, rack) = (text(), text(), text());
            Member {
                id: NodeId(id),
                name,
                addresses,
                zone,
                rack,
                weight,
                state,
            }
        },
    )
}

fn any_change() -> impl Strategy<Value = Change> {
    let node = || any::<u128>().prop_map(NodeId);
    prop_oneof![
        node().prop_map(|node| Change::Join { node }),
        node().prop_map(|node| Change::Leave { node }),
        node().prop_map(|node| Change::Remove { node }),
        (node(), node()).prop_map(|(old, new)| Change::Replace { old, new }),
        (node(), any::<u32>()).prop_map(|(node, weight)| Change::Weigh { node, weight }),
        (node(), ".{0,6}", ".{0,6}").prop_map(|(node, zone, rack)| Change::Place {
            node,
            zone,
            rack
        }),
        (any_bucket(), any::<u8>()).prop_map(|(bucket, n)| Change::Replicate { bucket, n }),
    ]
}

fn any_bucket() -> impl Strategy<Value = BucketName> {
    let name = || vec(any::<u8>(), 0..9).prop_map(Bytes::from);
    (name(), name()).prop_map(|(bucket_type, bucket)| BucketName {
        bucket_type,
        bucket,
    })
}

fn any_replication() -> impl Strategy<Value = Replication> {
    let buckets = vec((any_bucket(), any::<u8>()), 0..4);
    (any::<u8>(), buckets).prop_map(|(default, buckets)| {
        let mut replication = Replication {
            default,
            buckets: BTreeMap::new(),
        };
        for (bucket, n) in &buckets {
            replication.set(bucket, *n);
        }
        replication
    })
}

fn any_placement() -> impl Strategy<Value = Placement> {
    let table = || vec(any::<u128>().prop_map(NodeId), 0..9);
    let next = (table(), vec(any_change(), 0..4), any_replication());
    let next = next.prop_map(|(owners, changes, replication)| Next {
        owners,
        changes,
        replication,
    });
    let next = proptest::option::of(next);
    let numbers = any::<(u64, u8)>();
    (3..=16u32, table(), next, numbers, any_replication()).prop_map(
        |(bits, owners, next, (placement_number, target_n), replication)| Placement {
            partition_count: PartitionCount::new(1 << bits).expect("a possible count"),
            owners,
            next,
            placement_number,
            target_n,
            replication,
        },
    )
}

/// Any document: an encoding is no judge of what makes sense.
pub(crate) fn any_document() -> impl Strategy<Value = RingDocument> {
    let heading = (any::<u128>(), any::<u64>(), any::<[u8; 16]>());
    let further = btree_map("[a-l]{0,6}", super::any_bytes(9), 0..4);
    let content = (
        vec(any_member(), 0..4),
        any_placement(),
        vec(any_change(), 0..4),
    );
    (heading, content, further).prop_map(
        |((cluster, epoch, previous), (members, placement, staged), further)| {
            let section = |(name, bytes)| FurtherSection { name, bytes };
            RingDocument {
                cluster_id: ClusterId(cluster),
                epoch: Epoch(epoch),
                previous: RingHash(previous),
                members,
                placement,
                staged,
                further: further.into_iter().map(section).rev().collect(),
                section_hashes: Vec::new(),
            }
            .sealed()
        },
    )
}
