//! Coverage plans: a bucket in shares, which clients that read it all, like Spark's, ask several nodes for at once.
//!
//! A plan names for each share of the ring a node that keeps its keys. The client gives the share's context to that node with an index query,
//! or with the query of Riak CS, and gets the keys of the share alone; all shares together are each key exactly once. The context is
//! an arc of the ring and says nothing of who is a home, so it is good for as long as the bucket is: any node carries out the query for any
//! share, with R homes of each of its keys as always. Naming a home only saves a hop.
//!
//! A node that does not answer is replaced: the client gives back the share's context and those of others whose nodes are gone, and gets the share
//! with another node.
//!
//! A context is for one bucket of one cluster, and signed. Anything else is refused, in Riak's words.

use super::refusal::Refusal;
use super::{Edge, bucket_type};
use crate::edge::{Door, PbDoor};
use bytes::Bytes;
use ringhold_core::coverage::{NoShares, Share, shares};
use ringhold_core::id::NodeId;
use ringhold_core::version::token::{Cover, TokenError};
use ringhold_wire::riak::{CoverageEntry, CoverageReq, CoverageResp, Response};
use std::collections::BTreeMap;

pub(super) fn plan<D: Door>(edge: &Edge<D>, message: &CoverageReq) -> Result<Response, Refusal> {
    let of_type = bucket_type(message.r#type.as_ref())?;
    let bucket = &message.bucket;
    if bucket.is_empty() {
        return Err(Refusal::text("Bucket cannot be zero-length"));
    }
    if edge.door.properties(&of_type, bucket).is_none() {
        return Err(Refusal::unknown_bucket_type(&of_type));
    }
    let doors = edge.door.pb_doors();
    let mut homes = edge.door.homes_to_ask(&of_type, bucket);
    for homes in &mut homes {
        homes.retain(|home| doors.contains_key(home));
    }
    let plan = match &message.replace_cover {
        None => planned(homes, &doors, message.min_partitions.unwrap_or(0))?,
        Some(replaced) => {
            let open = |sealed: &Bytes| opened(edge, &of_type, bucket, sealed);
            let unavailable = message.unavailable_cover.iter().map(open);
            let gone = unavailable.collect::<Result<Vec<Cover>, Refusal>>()?;
            vec![replacement(open(replaced)?, &gone, &homes, &doors)?]
        }
    };
    let entries = plan.into_iter().filter_map(|(share, node)| {
        let PbDoor { name, ip, port } = doors.get(&node)?;
        let cover = Cover { share, node };
        let context = edge.door.token_key().seal_cover(&of_type, bucket, &cover);
        let (number, count) = (share.number(), 1_u32 << share.bits());
        Some(CoverageEntry {
            ip: Bytes::from(ip.clone()),
            port: u32::from(*port),
            keyspace_desc: Some(format!("{name} : {number} of {count}").into()),
            cover_context: context.into(),
        })
    });
    Ok(Response::Coverage(CoverageResp {
        entries: entries.collect(),
    }))
}

/// The share of a context.
pub(super) fn share_of<D: Door>(
    edge: &Edge<D>,
    bucket_type: &Bytes,
    bucket: &Bytes,
    sealed: Option<&Bytes>,
) -> Result<Share, Refusal> {
    match sealed {
        None => Ok(Share::ALL),
        Some(sealed) => Ok(opened(edge, bucket_type, bucket, sealed)?.share),
    }
}

fn opened<D: Door>(
    edge: &Edge<D>,
    bucket_type: &Bytes,
    bucket: &Bytes,
    sealed: &Bytes,
) -> Result<Cover, Refusal> {
    let cover = edge
        .door
        .token_key()
        .open_cover(bucket_type, bucket, sealed);
    cover.map_err(|error| {
        Refusal::text(match error {
            TokenError::NotAuthentic => "invalid_coverage_context_checksum",
            TokenError::Malformed | TokenError::UnknownVersion(_) => "bad_coverage_context",
        })
    })
}

type Doors = BTreeMap<NodeId, PbDoor>;

/// A node for every share.
fn planned(
    mut homes: Vec<Vec<NodeId>>,
    doors: &Doors,
    shares_min: u32,
) -> Result<Vec<(Share, NodeId)>, Refusal> {
    // A home that does not speak this protocol is reached by way of any node that does.
    for homes in homes.iter_mut().filter(|homes| homes.is_empty()) {
        homes.extend(doors.keys().copied());
    }
    shares(&homes, shares_min).map_err(|none| Refusal::text(none.to_string()))
}

/// Another node for a share: one of its homes, or else anybody.
fn replacement(
    replaced: Cover,
    gone: &[Cover],
    homes: &[Vec<NodeId>],
    doors: &Doors,
) -> Result<(Share, NodeId), Refusal> {
    let Cover { share, node } = replaced;
    let answers =
        |other: &&NodeId| **other != node && gone.iter().all(|cover| cover.node != **other);
    // Every share of a plan begins in the one partition that it is of.
    let first = (share.number() as usize * homes.len()) >> share.bits();
    let of_homes = homes.get(first).into_iter().flatten().find(answers);
    let found = of_homes.or_else(|| doors.keys().find(answers));
    let none = NoShares::Uncovered {
        covered: 0,
        partitions: 1,
    };
    let other = found.ok_or_else(|| Refusal::text(none.to_string()))?;
    Ok((share, *other))
}
