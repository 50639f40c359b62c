//! What an administrator does in some runs: `cluster verify` and `cluster repair`.
//!
//! Somewhere in the middle of the load a node is asked to repair everything, whatever state the cluster is in; that must do
//! no harm, and nothing more is asked of it. When all has healed, the administrator verifies, repairs and verifies again:
//!
//! - a partition that `verify` says agrees does: all its keys are equal on all their homes (T12);
//! - after one repair in which all took part, all homes of every key are equal at once, also in runs
//!   without anti-entropy (I5);
//! - and then `verify` says so, of all partitions.
//!
//! In half of these runs somebody damages index rows on all disks before that. Where objects don't have their rows, no partition is said to
//! agree, and the repair brings them back (X1).

use crate::cluster::Cluster;
use crate::executor::Group;
use crate::invariants::{Violation, i05_convergence, index_rows};
use crate::random::Random;
use crate::rare::Rare;
use crate::run::copies;
use crate::trace::Who;
use ringhold_core::ring::{Partition, TreeId};
use ringhold_node::{Agreement, Node, RepairEvent, Verdict, VerifyEvent};
use ringhold_wire::message::ObjectName;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Repairs at the end, until all took part in one: peers that were down are asked again only after a while.
const REPAIRS_MAX: u32 = 5;
/// Between two of them.
const PAUSE_US: u64 = 10_000_000;

/// Has any node that runs repair everything at some moment before `until_us`, and waits for nothing.
pub fn repair_some_time(cluster: &Cluster, until_us: u64) {
    let mut random = Random::of(cluster.plan().seed, "administrator");
    let (cluster, executor) = (cluster.clone(), cluster.around().executor.clone());
    let wait_us = random.below(until_us.saturating_sub(executor.now_us()).max(1));
    let first = random.index(cluster.plan().nodes);
    let sleeper = executor.clone();
    let task = async move {
        sleeper.sleep(wait_us).await;
        let nodes = cluster.plan().nodes;
        let mut nodes = (first..first + nodes).map(|node| node % nodes);
        if let Some((number, node)) = nodes.find_map(|number| Some((number, cluster.node(number)?)))
        {
            let trace = &cluster.around().trace;
            trace.event(Who::Node(number), "repair", String::new);
            repair(&cluster, node).await;
        }
    };
    executor.spawn(Group::WORLD, Box::pin(task));
}

/// Verifies, repairs, verifies; see the module. To be called when all nodes run and all hints are home.
pub async fn repair_everything(cluster: &Cluster) -> Result<(), Violation> {
    if cluster.plan().reaping {
        // Homes let go of a tombstone one after the other, so at no moment they have to be equal.
        return Ok(());
    }
    let running = cluster
        .members()
        .into_iter()
        .find_map(|node| cluster.node(node));
    let node = running
        .ok_or_else(|| Violation::new("I17", "no node runs although all has healed".to_owned()))?;
    let mut random = Random::of(cluster.plan().seed, "index rows");
    if random.chance(500_000) {
        let damage = |number: usize| cluster.disk(number).damage_rows(100_000, &mut random);
        cluster.members().into_iter().for_each(damage);
    }
    let before = rows_that_differ(cluster);
    let verdicts = verify(cluster, Arc::clone(&node)).await;
    check_verdicts(cluster, &verdicts)?;
    let after = rows_that_differ(cluster);
    check_rows_told(cluster, &verdicts, before.intersection(&after))?;
    if !after.is_empty() {
        cluster.around().rare.hit(Rare::RowsDamaged);
    }
    let executor = &cluster.around().executor;
    let mut complete = false;
    for _ in 0..REPAIRS_MAX {
        complete = repair(cluster, Arc::clone(&node)).await;
        if complete {
            break;
        }
        executor.sleep(PAUSE_US).await;
    }
    if !complete {
        let text = format!("{REPAIRS_MAX} repairs of a cluster without faults left something out");
        return Err(Violation::new("I17", text));
    }
    cluster.around().rare.hit(Rare::Repaired);
    for key in 0..cluster.plan().keys {
        i05_convergence::check(key, &copies(cluster, key)?)?;
    }
    if let Some((number, name)) = rows_that_differ(cluster).first() {
        let text = format!("n{number} has other index rows than those of {name:?} after a repair");
        return Err(Violation::new("X1", text));
    }
    let verdicts = verify(cluster, node).await;
    check_verdicts(cluster, &verdicts)?;
    match verdicts
        .iter()
        .find(|(_, verdict)| verdict.agreement() != Agreement::Agrees)
    {
        None => Ok(()),
        Some((tree, verdict)) => Err(Violation::new(
            "I5",
            format!("{tree:?}: after a repair, verify says {verdict:?}"),
        )),
    }
}

/// The objects at their homes whose index rows are not theirs.
fn rows_that_differ(cluster: &Cluster) -> BTreeSet<(usize, ObjectName)> {
    let mut differing = BTreeSet::new();
    for number in cluster.members() {
        let Some(node) = cluster.node(number) else {
            continue;
        };
        let names = index_rows::differing(node.store(), cluster.plan().partitions);
        let names = names.into_iter().flatten();
        let at_home = names.filter(|name| cluster.primaries(name).contains(&number));
        differing.extend(at_home.map(|name| (number, name)));
    }
    differing
}

/// X1: what lacked rows before a look and after it was not said to agree.
fn check_rows_told<'a>(
    cluster: &Cluster,
    verdicts: &BTreeMap<TreeId, Verdict>,
    mut differing: impl Iterator<Item = &'a (usize, ObjectName)>,
) -> Result<(), Violation> {
    let ring = cluster.ring();
    let is_overlooked = |(_, name): &&(usize, ObjectName)| {
        let tree = TreeId {
            partition: ring.partition_of(name.position()),
            class: ring.classes().of(&name.bucket_type, &name.bucket),
        };
        verdicts[&tree].agreement() == Agreement::Agrees
    };
    let Some((number, name)) = differing.find(is_overlooked) else {
        return Ok(());
    };
    let text =
        format!("n{number} has other index rows than those of {name:?}, and was said to agree");
    Err(Violation::new("X1", text))
}

fn partitions(cluster: &Cluster) -> Vec<Partition> {
    (0..cluster.plan().partitions).map(Partition).collect()
}

/// Whether a repair of everything was complete.
pub async fn repair(cluster: &Cluster, node: Arc<Node>) -> bool {
    let (events, mut told) = mpsc::channel(8);
    let all = node.trees_in(&partitions(cluster));
    let mut open = all.len();
    let task = async move { node.repair_trees(all, events).await };
    cluster
        .around()
        .executor
        .spawn(Group::WORLD, Box::pin(task));
    let mut complete = true;
    while let Some(event) = told.recv().await {
        if let RepairEvent::Repaired(repaired) = event {
            open -= 1;
            complete &= repaired.is_complete();
        }
    }
    complete && open == 0
}

/// What a node says of all trees.
pub async fn verify(cluster: &Cluster, node: Arc<Node>) -> BTreeMap<TreeId, Verdict> {
    let (events, mut told) = mpsc::channel(8);
    let all = node.trees_in(&partitions(cluster));
    let task = async move { node.verify_trees(all, events).await };
    cluster
        .around()
        .executor
        .spawn(Group::WORLD, Box::pin(task));
    let mut verdicts = BTreeMap::new();
    while let Some(event) = told.recv().await {
        if let VerifyEvent::Verdict(verdict) = event {
            verdicts.insert(verdict.tree, verdict);
        }
    }
    verdicts
}

/// Nothing is said to agree that does not. Nobody writes meanwhile; anti-entropy can only have made more agree.
fn check_verdicts(
    cluster: &Cluster,
    verdicts: &BTreeMap<TreeId, Verdict>,
) -> Result<(), Violation> {
    if verdicts.len() != cluster.ring().trees().count() {
        let text = format!("verify gave {} verdicts", verdicts.len());
        return Err(Violation::new("I17", text));
    }
    for key in 0..cluster.plan().keys {
        let tree = cluster.tree_of(key);
        let verdict = &verdicts[&tree];
        if verdict.agreement() != Agreement::Agrees {
            continue;
        }
        let agree = copies(cluster, key).and_then(|copies| i05_convergence::check(key, &copies));
        agree.map_err(|violation| {
            let text = format!("{tree:?} was said to agree; {violation}");
            Violation::new("T12", text)
        })?;
    }
    Ok(())
}
