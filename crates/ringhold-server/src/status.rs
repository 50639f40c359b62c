//! What a node tells about itself and its cluster, as JSON.

use crate::ring_orders::{told, under_way};
use ringhold_core::health::{DiskLevel, Standing};
use ringhold_core::id::NodeId;
use ringhold_core::ring::{Generation, Member, MemberState, Ring, RingDocument};
use ringhold_node::{ClockState, Holding, Inspection, MemberGossip, Node};
use ringhold_wire::gossiped::RingKnown;
use serde_json::{Value, json};
use std::cmp::Ordering;

/// Who this node is, whom it reaches, what its store holds.
pub(crate) fn status(node: &Node) -> Value {
    let ring = node.ring();
    let document = ring.document();
    let figures = node.store().figures();
    let identity = node.store().identity();
    let members: Vec<Value> = ring
        .members()
        .iter()
        .map(|member| member_status(node, &ring, member))
        .collect();
    json!({
        "node": { "id": node.id().to_string(), "name": node_name(node, node.id()) },
        "cluster": {
            "id": document.cluster_id.to_string(),
            "epoch": document.epoch.0,
            "generation": document.epoch.generation(),
            "recoveries": recoveries(document),
            "partitions": ring.partition_count().count(),
        },
        "staged": told(&document.staged, document),
        "placement_change_under_way": under_way(document),
        "members": members,
        "peers": peers(node),
        "gossip": gossip(node),
        "hedge_us": node.hedge_us(),
        "hints": hints(node),
        "clock": clock(node),
        "disk": disk(node),
        "rebuild": rebuild(node),
        "reaping": reaping(node),
        "storage": {
            "incarnation": identity.incarnation.to_string(),
            "boot_number": identity.boot_number,
            "failed": node.store().poisoned().map(|reason| reason.to_string()),
            "log_segments": figures.segments,
            "segment_bytes": figures.segment_bytes,
            "buffer_bytes": figures.buffer_bytes,
            "engine": node.store().engine_name(),
            "engine_bytes": figures.engine_bytes,
            "checkpoints": figures.checkpoints,
            "quarantined_segments": figures.quarantined_segments,
        },
    })
}

/// Whom the cluster went on without, recovery by recovery.
fn recoveries(document: &RingDocument) -> Value {
    let generations = document.generations().unwrap_or_default();
    let name = |node: &NodeId| {
        let member = document.member(*node);
        member.map_or_else(|| node.to_string(), |member| member.name.clone())
    };
    let row = |generation: &Generation| {
        let given_up: Vec<String> = generation.given_up.iter().map(name).collect();
        json!({ "after_epoch": generation.base.0, "given_up": given_up })
    };
    generations.iter().map(row).collect()
}

/// What each member says of itself, as far as it has reached this node.
fn gossip(node: &Node) -> Vec<Value> {
    let own = RingKnown::of(node.ring().document());
    let row = |member: MemberGossip| {
        let ring = member.ring.map(|theirs| ring_beside(own, theirs));
        json!({
            "name": node_name(node, member.node),
            "generation": member.generation,
            "epoch": member.ring.map(|ring| ring.epoch.0),
            "ring": ring,
            "protocols": member.protocols.map(|range| json!([range.min, range.max])),
            "heartbeat_age_ms": member.heartbeat_age_us.map(|age_us| age_us / 1_000),
            "partitions": member.load.map(|load| load.partitions),
            "stored_bytes": member.load.map(|load| load.stored_bytes),
            "hint_bytes": member.load.map(|load| load.hint_bytes),
        })
    };
    node.gossip_view().into_iter().map(row).collect()
}

/// The ring document of another member, beside this node's.
fn ring_beside(own: RingKnown, theirs: RingKnown) -> &'static str {
    if theirs == own {
        return "same";
    }
    match theirs.epoch.cmp(&own.epoch) {
        Ordering::Less => "behind",
        Ordering::Equal => "another of this epoch: change nothing until it is known why",
        Ordering::Greater => "ahead",
    }
}

/// How far this node's store has made up for what it lost; null if it is whole.
fn rebuild(node: &Node) -> Value {
    let Some(progress) = node.rebuild_progress() else {
        return Value::Null;
    };
    let elapsed_s = progress.elapsed_us / 1_000_000;
    let waits_for = progress.waits_for.iter();
    let waits_for: Vec<String> = waits_for.map(|home| node_name(node, *home)).collect();
    json!({
        "partitions": progress.partitions,
        "partitions_in_doubt": progress.partitions_in_doubt,
        "objects": progress.objects,
        "object_bytes": progress.object_bytes,
        "elapsed_s": elapsed_s,
        "waits_for": waits_for,
    })
}

/// Whether this node's wall clock may make timestamps.
fn clock(node: &Node) -> Value {
    let state = match node.clock() {
        ClockState::Unknown => "unknown",
        ClockState::Trusted => "trusted",
        ClockState::Off { .. } => "off: this node coordinates no puts until its clock is set right",
    };
    json!({ "state": state, "peers_ahead_ms": node.clock_offset_us() / 1_000 })
}

/// How much room the file system has, and what is taken because of it.
fn disk(node: &Node) -> Value {
    let space = node.disk_space();
    json!({
        "level": disk_level_name(node.disk_level()),
        "total_bytes": space.total_bytes,
        "available_bytes": space.available_bytes,
    })
}

fn disk_level_name(level: DiskLevel) -> &'static str {
    match level {
        DiskLevel::Ample => "ample",
        DiskLevel::Low => "low: make room",
        DiskLevel::Full => {
            "full: no puts but deletes are coordinated here, nothing is kept for others"
        }
        DiskLevel::Exhausted => "exhausted: only deletes are taken",
    }
}

/// What this node keeps for others, and what the last round of deliveries left owed to whom.
fn hints(node: &Node) -> Value {
    let (rows, bytes) = node.hints_kept();
    let now_us = node.environment().wall_us();
    let debts = node.hint_debts();
    let owed: Vec<Value> = debts
        .iter()
        .filter(|_| rows > 0)
        .map(|debt| {
            json!({
                "node": node_name(node, debt.home),
                "rows": debt.rows,
                "bytes": debt.bytes,
                "oldest_s": now_us.saturating_sub(debt.oldest_us) / 1_000_000,
                "waits_for": debt.waits_for,
            })
        })
        .collect();
    json!({ "rows": rows, "bytes": bytes, "owed": owed })
}

/// How far this node has come with the tombstones of the partitions of which it is the first primary.
fn reaping(node: &Node) -> Value {
    let view = node.reaping_view();
    let waits_for: Vec<Value> = view
        .waits_for
        .iter()
        .map(|(obstacle, partitions)| {
            let name = node_name(node, obstacle.member);
            json!({
                "node": name,
                "why": format!("{name} {}", obstacle.why),
                "partitions": partitions,
            })
        })
        .collect();
    let now_us = node.environment().wall_us();
    let ago_s = |us: u64| now_us.saturating_sub(us) / 1_000_000;
    json!({
        "last_pass_s_ago": view.last_walk_us.map(ago_s),
        "reaped": node.metrics().tombstones_reaped.count(),
        "waits_for": waits_for,
    })
}

/// How requests to each other member fare, by this node's own experience.
fn peers(node: &Node) -> Vec<Value> {
    let ring = node.ring();
    let members = ring.members().iter();
    let views = members.filter_map(|member| Some((member, node.peer_view(member.id)?)));
    views
        .map(|(member, view)| {
            json!({
                "name": member.name,
                "standing": standing_name(node.standing(member.id)),
                "phi": (view.phi * 100.0).round() / 100.0,
                "latency_us": view.latency_us,
                "latency_95_us": view.high_latency_us,
                "queue_jobs": view.reported.map(|reported| reported.queue_jobs),
                "disk_latency_us": view.reported.map(|reported| reported.disk_latency_us),
                "disk": view.reported.map(|reported| disk_level_name(reported.disk)),
            })
        })
        .collect()
}

fn standing_name(standing: Standing) -> &'static str {
    match standing {
        Standing::Up => "up",
        Standing::Slow => "slow",
        Standing::Down => "down",
    }
}

pub(crate) fn state_name(state: MemberState) -> &'static str {
    ringhold_core::ring::change::word(state)
}

/// By one ring for all members: another one may come into use meanwhile.
fn member_status(node: &Node, ring: &Ring, member: &Member) -> Value {
    let addresses = node.addresses_of(member);
    json!({
        "id": member.id.to_string(),
        "name": member.name,
        "state": state_name(member.state),
        "reachable": node.is_reachable(member.id),
        "peer": addresses.peer,
        "http": addresses.http,
        "native": addresses.native,
        "zone": member.zone,
        "rack": member.rack,
        "weight": member.weight,
        "partitions": ring.partitions_owned(member.id),
    })
}

/// Who owns what.
pub(crate) fn ring(node: &Node) -> Value {
    let ring = node.ring();
    let document = ring.document();
    let owners: Vec<String> = document
        .placement
        .owners
        .iter()
        .map(|owner| node_name(node, *owner))
        .collect();
    let members: Vec<Value> = ring
        .members()
        .iter()
        .map(|member| member_status(node, &ring, member))
        .collect();
    json!({
        "cluster": document.cluster_id.to_string(),
        "epoch": document.epoch.0,
        "placement_number": document.placement.placement_number,
        "partition_count": ring.partition_count().count(),
        "members": members,
        "owners": owners,
    })
}

/// Where a key lives and what each replica holds.
pub(crate) fn inspection(node: &Node, inspection: Option<Inspection>) -> Value {
    let Some(Inspection {
        partition,
        n,
        holdings,
    }) = inspection
    else {
        return json!({ "error": "unknown bucket type" });
    };
    let replicas: Vec<Value> = holdings
        .iter()
        .map(|holding| replica(node, holding))
        .collect();
    json!({ "partition": partition, "n": n, "replicas": replicas })
}

fn replica(node: &Node, Holding { target, digest }: &Holding) -> Value {
    let name = node_name(node, target.node);
    let kind = format!("{:?}", target.kind).to_lowercase();
    match digest {
        Err(reason) => json!({ "node": name, "kind": kind, "error": reason }),
        Ok(digest) => {
            let version = |(dot, tombstone, hash): &(ringhold_core::version::Dot, bool, u128)| json!({ "dot": dot.to_string(), "tombstone": tombstone, "hash": format!("{hash:032x}") });
            let versions: Vec<Value> = digest.versions.iter().map(version).collect();
            json!({ "node": name, "kind": kind, "context_entries": digest.context.len(), "versions": versions })
        }
    }
}

pub(crate) fn node_name(node: &Node, id: NodeId) -> String {
    node.ring()
        .member(id)
        .map_or_else(|| id.to_string(), |member| member.name.clone())
}
