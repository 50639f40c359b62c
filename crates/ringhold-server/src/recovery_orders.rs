//! Going on without a majority: what an operator is shown before, and has done then.
//!
//! Whom to give up is said by name, by default all whom the asked node can't reach. What is shown is what would be lost: the writes
//! that only those were told of, the partitions that have fewer replicas until they are copied again, and those of which nothing
//! is left. Nobody can tell from here whether the silent ones are dead, and that is said too.
//!
//! Not here: how the survivors agree (`ringhold_node`), and what a recovery is (`ringhold_core::ring::generation`).

use crate::edge::{OrderFailed, Recovery};
use crate::ring_orders::{changes_of, member_called};
use ringhold_core::id::NodeId;
use ringhold_core::ring::{Member, Partition, RecoveryPlan};
use ringhold_node::{Node, RecoveryFailed};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// So many partitions are listed by their numbers.
const LISTED_MAX: usize = 64;

/// Shows what a recovery comes to, or carries it out, to its end even if nobody waits for it any more.
pub(crate) async fn recovery(node: &Arc<Node>, asked: Recovery) -> Result<Value, OrderFailed> {
    let given_up = asked.give_up.map(|names| named(node, &names)).transpose()?;
    if !asked.carry_out {
        return Ok(told(&node.recovery_plan(given_up)));
    }
    let given_up = given_up.unwrap_or_default();
    let running = Arc::clone(node);
    let recovered = tokio::spawn(async move { running.recover(&given_up).await });
    // A panic there was told by the runtime; what it left is for the next one to see.
    let recovered = recovered.await.unwrap_or(Err(RecoveryFailed::StoreFailed));
    let document = recovered.map_err(OrderFailed::NotRecovered)?;
    let mut told = changes_of(&document);
    told["generation"] = json!(document.epoch.generation());
    Ok(told)
}

fn named(node: &Node, names: &[String]) -> Result<BTreeSet<NodeId>, OrderFailed> {
    names.iter().map(|name| member_called(node, name)).collect()
}

fn told(plan: &RecoveryPlan) -> Value {
    let names = |members: &[Member]| -> Value {
        members.iter().map(|member| member.name.as_str()).collect()
    };
    let listed = |partitions: &[Partition]| -> Value {
        partitions
            .iter()
            .take(LISTED_MAX)
            .map(|partition| partition.0)
            .collect()
    };
    let generation = plan.base.generation() + 1;
    json!({
        "epoch": plan.base.0,
        "generation_after": generation,
        "voters": plan.voters,
        "give_up": names(&plan.given_up),
        "survivors": names(&plan.survivors),
        "partitions": plan.partitions,
        "partitions_with_fewer_replicas": plan.thinned.len(),
        "partitions_without_a_living_home": plan.homeless.len(),
        "without_a_living_home": listed(&plan.homeless),
        "refused": plan.refused.as_ref().map(ToString::to_string),
    })
}
