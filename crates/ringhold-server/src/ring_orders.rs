//! What operators ask of the ring, carried out on this node and told as JSON.
//!
//! Members are named by what people call them, or by their id. A plan says how many objects and bytes its moves come to. That is an
//! estimate of this node's: what it holds of a partition it has counted, for the other partitions it takes its mean,
//! since hashing spreads objects evenly; their size is that of a sample. A node that is no home of anything has no estimate.
//! How long it takes is told where objects are as small as those with which copying was measured, and else not at all.
//!
//! Not here: what an order does to the ring document (`ringhold_node`), and what a plan is (`ringhold_core::ring::plan`).

use crate::edge::{OrderFailed, RingOrder, Wish};
use crate::status::{node_name, state_name};
use ringhold_core::id::NodeId;
use ringhold_core::ring::plan::in_words;
use ringhold_core::ring::{
    Change, Flow, Member, MemberState, Plan, PlannedMember, RingDocument, Stake,
};
use ringhold_node::{ChangeFailed, Changed, Node, Stock, TransferView};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a node copied in a second where docs/performance.md measured it, and the mean size up to which that tells something.
const COPIED_OBJECTS_PER_S: u64 = 5_300;
const COPIED_OBJECT_BYTES_MAX: u64 = 1_024;

/// Carries out an order, to its end even if nobody waits for it any more.
pub(crate) async fn order(node: &Arc<Node>, order: RingOrder) -> Result<Value, OrderFailed> {
    let running = Arc::clone(node);
    let carried_out: tokio::task::JoinHandle<Changed> = match order {
        RingOrder::Stage(wish) => {
            let change = change_of(node, wish)?;
            tokio::spawn(async move { running.stage(change).await })
        }
        RingOrder::Commit => tokio::spawn(async move { running.commit_changes().await }),
        RingOrder::Abort => tokio::spawn(async move { running.abort_changes().await }),
    };
    // A panic there was told by the runtime; what it left is for the next one to see.
    let changed = carried_out.await.unwrap_or(Err(ChangeFailed::StoreFailed));
    let document = changed.map_err(OrderFailed::Failed)?;
    Ok(changes_of(&document))
}

/// With members in place of their names.
fn change_of(node: &Node, wish: Wish) -> Result<Change, OrderFailed> {
    let known = |name: &str| member_called(node, name);
    let dead = |name: &str, insists: bool| {
        let member = member_called(node, name)?;
        if !insists && (member == node.id() || node.is_reachable(member)) {
            let name = name.to_owned();
            return Err(OrderFailed::StillThere { name });
        }
        Ok(member)
    };
    Ok(match wish {
        Wish::Leave { node } => Change::Leave {
            node: known(&node)?,
        },
        Wish::Remove {
            node,
            yes_it_is_dead,
        } => Change::Remove {
            node: dead(&node, yes_it_is_dead)?,
        },
        Wish::Replace {
            old,
            new,
            yes_it_is_dead,
        } => Change::Replace {
            old: dead(&old, yes_it_is_dead)?,
            new: known(&new)?,
        },
        Wish::Weigh { node, weight } => Change::Weigh {
            node: known(&node)?,
            weight,
        },
        Wish::Place { node, zone, rack } => Change::Place {
            node: known(&node)?,
            zone,
            rack,
        },
    })
}

pub(crate) fn member_called(node: &Node, name: &str) -> Result<NodeId, OrderFailed> {
    let ring = node.ring();
    let present = ring.members().iter();
    let present = present.filter(|member| member.state != MemberState::Removed);
    let mut present: Vec<&Member> = present.collect();
    present.sort_by(|a, b| a.name.cmp(&b.name));
    let named = present.iter().find(|member| member.name == name);
    let named = named.or_else(|| present.iter().find(|m| m.id.to_string() == name));
    named
        .map(|member| member.id)
        .ok_or_else(|| OrderFailed::NoSuchMember {
            name: name.to_owned(),
            names: present.iter().map(|member| member.name.clone()).collect(),
        })
}

/// What is staged and what is under way.
pub(crate) fn changes_of(document: &RingDocument) -> Value {
    json!({
        "epoch": document.epoch.0,
        "staged": told(&document.staged, document),
        "under_way": under_way(document),
    })
}

/// The changes of the placement change under way; null if there is none.
pub(crate) fn under_way(document: &RingDocument) -> Value {
    let next = document.placement.next.as_ref();
    next.map_or(Value::Null, |next| told(&next.changes, document))
}

/// Changes, by what they say.
pub(crate) fn told(changes: &[Change], document: &RingDocument) -> Value {
    let one = |change: &Change| json!({ "change": in_words(change, &document.members) });
    changes.iter().map(one).collect()
}

/// What is staged, or else under way, comes to.
pub(crate) async fn plan(node: &Arc<Node>) -> Result<Value, OrderFailed> {
    let ring = node.ring();
    let planning = Arc::clone(node);
    let planned = tokio::task::spawn_blocking(move || {
        let plan = Plan::of(planning.ring().document())?;
        Ok(plan.map(|plan| (plan, planning.stock())))
    });
    let refused = |reason| OrderFailed::Failed(ChangeFailed::Refused(reason));
    let planned = planned
        .await
        .map_err(|_| OrderFailed::Failed(ChangeFailed::StoreFailed))?;
    let document = ring.document();
    let Some((plan, stock)) = planned.map_err(refused)? else {
        return Ok(json!({ "epoch": document.epoch.0, "state": "nothing is staged" }));
    };
    let waiting = if plan.is_under_way {
        &document.staged[..]
    } else {
        &[]
    };
    let partitions = ring.partition_count().rows();
    let members = plan.members.iter();
    let members = members.map(|member| planned_member(member, partitions));
    Ok(json!({
        "epoch": document.epoch.0,
        "state": if plan.is_under_way { "under way" } else { "staged" },
        "changes": told(&plan.changes, document),
        "staged_for_later": told(waiting, document),
        "members": members.collect::<Value>(),
        "partitions": partitions,
        "partitions_change_owner": plan.rows,
        "partitions_change_owner_at_least": plan.rows_least,
        "replicas_copied": plan.replicas(),
        "flows": plan.flows.iter().map(|flow| flow_row(node, flow, &stock)).collect::<Value>(),
        "partitions_at_risk": plan.partitions_at_risk,
        "living_replicas_at_least": plan.living_homes_least,
        "estimate": estimate(node, &plan, &stock),
    }))
}

fn planned_member(member: &PlannedMember, partitions: usize) -> Value {
    let PlannedMember { before, after, .. } = member;
    let share = |stake: &Stake| {
        let per_mille = (stake.partitions * 1_000 + partitions / 2) / partitions.max(1);
        per_mille as f64 / 10.0
    };
    json!({
        "name": member.name,
        "id": member.id.to_string(),
        "state": state_name(before.state),
        "state_after": state_name(after.state),
        "weight": before.weight,
        "weight_after": after.weight,
        "zone": before.zone,
        "zone_after": after.zone,
        "rack": before.rack,
        "rack_after": after.rack,
        "partitions": before.partitions,
        "partitions_after": after.partitions,
        "share_percent": share(before),
        "share_percent_after": share(after),
        "replicas": before.replicas,
        "replicas_after": after.replicas,
    })
}

fn flow_row(node: &Node, flow: &Flow, stock: &Stock) -> Value {
    let objects = objects_in(flow, stock);
    json!({
        "from": flow.from.map(|from| node_name(node, from)),
        "to": node_name(node, flow.to),
        "replicas": flow.trees.len(),
        "objects": objects,
        "bytes": objects.and_then(|objects| Some(objects * stock.mean_object_bytes?)),
    })
}

/// About so many objects; none if this node can't tell.
fn objects_in(flow: &Flow, stock: &Stock) -> Option<u64> {
    let held = stock.objects.len() as u64;
    let mean = stock.objects.values().sum::<u64>().checked_div(held)?;
    let of = |tree| stock.objects.get(tree).copied().unwrap_or(mean);
    Some(flow.trees.iter().map(of).sum())
}

/// All flows together, and how long the slowest comer takes; null if this node can't tell.
fn estimate(node: &Node, plan: &Plan, stock: &Stock) -> Value {
    let mut by_comer: BTreeMap<NodeId, u64> = BTreeMap::new();
    for flow in &plan.flows {
        let Some(objects) = objects_in(flow, stock) else {
            return Value::Null;
        };
        *by_comer.entry(flow.to).or_insert(0) += objects;
    }
    let objects: u64 = by_comer.values().sum();
    let slowest = by_comer.values().max().copied().unwrap_or(0);
    let mean_bytes = stock.mean_object_bytes;
    let is_measured = mean_bytes.is_some_and(|bytes| bytes <= COPIED_OBJECT_BYTES_MAX);
    let settle_s = stock.settle_us.div_ceil(1_000_000);
    let seconds = is_measured.then(|| slowest.div_ceil(COPIED_OBJECTS_PER_S) + settle_s);
    json!({
        "objects": objects,
        "bytes": mean_bytes.map(|bytes| objects * bytes),
        "basis": format!("what {} holds of the same partitions, and its mean for others", node_name(node, node.id())),
        "seconds": seconds,
        "seconds_basis": seconds.map(|_| format!(
            "{settle_s} s for puts that are under way, and {COPIED_OBJECTS_PER_S} objects a second, as docs/performance.md measured; other machines differ"
        )),
    })
}

/// How far the placement change under way is, and who has still to hand over what it was a home of. What the asked node has copied
/// is counted by itself alone, from its start on.
pub(crate) async fn transfers(node: &Arc<Node>) -> Value {
    let views = node.transfers().await;
    let ring = node.ring();
    let document = ring.document();
    let comer = |view: &TransferView| {
        json!({
            "node": node_name(node, view.comer),
            "replicas": view.moves,
            "done": view.done,
            "waits_for": view.waits,
        })
    };
    let leaving = ring.members().iter();
    let leaving = leaving.filter(|member| member.state == MemberState::Leaving);
    json!({
        "epoch": document.epoch.0,
        "changes": under_way(document),
        "comers": views.unwrap_or_default().iter().map(comer).collect::<Value>(),
        "leaving": leaving.map(|member| member.name.as_str()).collect::<Value>(),
        "asked": node_name(node, node.id()),
        "objects_copied_by_asked": node.objects_rebuilt(),
    })
}
