//! A person who creates, activates and changes bucket types while things break.
//!
//! There are few names, so that a type is created again before it is active, activated twice, changed by what somebody else has changed
//! meanwhile; and enough of them that one is still new when a member is cut off, often activated by the same script that has created it. Whoever is told that a type is active asks the same node for its properties: they are there from then on.

use crate::cluster::Cluster;
use crate::executor::Group;
use crate::invariants::Violation;
use crate::plan::REPLICAS_CHOSEN;
use crate::random::Random;
use crate::rare::Rare;
use crate::trace::Who;
use bytes::Bytes;
use ringhold_node::env::Deadline;
use ringhold_node::properties::{Overrides, Value, propose_type};
use ringhold_node::{ChangeFailed, Node};
use std::sync::Arc;

const KINDS: [&str; 3] = ["sets", "counters", "once"];
/// Types of each kind.
const OF_EACH: u64 = 6;
/// Between two wishes, about, in microseconds.
const THINKS_US: u64 = 1_000_000;
/// How long an update may wait for a change of the placement.
const UPDATE_US: u64 = 3_000_000;

/// Sends that person, if the plan has one, until some moment.
pub fn change_types(cluster: &Cluster, until_us: u64) {
    if !cluster.plan().types {
        return;
    }
    let operator = Operator {
        cluster: cluster.clone(),
        random: Random::of(cluster.plan().seed, "types"),
    };
    let executor = &cluster.around().executor;
    executor.spawn(Group::WORLD, Box::pin(operator.work(until_us)));
}

struct Operator {
    cluster: Cluster,
    random: Random,
}

impl Operator {
    async fn work(mut self, until_us: u64) {
        let executor = self.cluster.around().executor.clone();
        loop {
            let pause_us = self.random.around(THINKS_US);
            if executor.now_us() + pause_us >= until_us {
                return;
            }
            executor.sleep(pause_us).await;
            let mut running = self.cluster.members();
            running.retain(|node| self.cluster.is_serving(*node));
            if running.is_empty() {
                continue;
            }
            let at = *self.random.pick(&running);
            if let Some(node) = self.cluster.node(at) {
                self.wish(at, node).await;
            }
        }
    }

    async fn wish(&mut self, at: usize, node: Arc<Node>) {
        let kind = *self.random.pick(&KINDS);
        let name = Bytes::from(format!("{kind}-{}", self.random.between(1, OF_EACH)));
        let r = i64::try_from(self.random.between(1, 3)).expect("a handful");
        let (what, done) = match self.random.index(4) {
            first @ (0 | 1) => {
                let set = self.properties_of(kind, r);
                match node.create_bucket_type(&name, &set).await {
                    Ok(()) if first == 1 => {
                        ("activate type", node.activate_bucket_type(&name).await)
                    }
                    created => ("create type", created),
                }
            }
            2 => ("activate type", node.activate_bucket_type(&name).await),
            _ => {
                let mut proposals = vec![("r", Value::Integer(r))];
                proposals.extend(self.replicas());
                let change = Overrides::propose_update(proposals);
                let change = change.expect("numbers of replicas");
                let deadline = Deadline::after(&**node.environment(), UPDATE_US);
                let updated = node.update_bucket_type(&name, &change, deadline).await;
                ("update type", updated)
            }
        };
        let around = self.cluster.around();
        around.trace.event(Who::Node(at), what, || match &done {
            Ok(()) => format!("{name:?}"),
            Err(reason) => format!("{name:?}: {reason}"),
        });
        match done {
            Ok(()) => {
                around.rare.hit(Rare::TypeChanged);
                if what == "activate type" {
                    self.is_served(at, &node, &name);
                }
            }
            Err(ChangeFailed::Refused(_)) => around.rare.hit(Rare::TypeRefused),
            Err(_) => {}
        }
    }

    fn properties_of(&mut self, kind: &str, r: i64) -> Overrides {
        let mut proposals = vec![("r", Value::Integer(r))];
        match kind {
            "sets" => proposals.push(("datatype", Value::Text("set".to_owned()))),
            "counters" => proposals.push(("datatype", Value::Text("counter".to_owned()))),
            "once" => proposals.push(("write_once", Value::Boolean(self.random.chance(500_000)))),
            _ => {}
        }
        proposals.extend(self.replicas());
        let set = propose_type(proposals);
        set.expect("what a type may be")
    }

    /// Where buckets have different numbers of replicas, sometimes one for all of the type.
    fn replicas(&mut self) -> Option<(&'static str, Value)> {
        if !self.cluster.plan().replicates || self.random.chance(700_000) {
            return None;
        }
        let n = *self.random.pick(&REPLICAS_CHOSEN);
        Some(("n_val", Value::Integer(i64::from(n))))
    }

    /// Whoever said that a type is active serves it.
    fn is_served(&self, at: usize, node: &Node, name: &Bytes) {
        let around = self.cluster.around();
        around.rare.hit(Rare::TypeActivated);
        if node.properties(name, &Bytes::from_static(b"b")).is_none() {
            around.books.lock().fail(Violation::new(
                "T14 types",
                format!("n{at} has said that {name:?} is active, and does not know it"),
            ));
        }
    }
}
