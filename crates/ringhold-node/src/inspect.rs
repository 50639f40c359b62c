//! Where a key lives and what each of its replicas holds, for an operator who asks.

use crate::env::{CallError, Deadline};
use crate::gather::Gather;
use crate::node::Node;
use ringhold_core::quorum::{ReplicaKind, Target};
use ringhold_wire::message::ObjectName;
use ringhold_wire::message::peer::{ObjectDigest, Reply, Request};
use std::sync::Arc;

/// One replica of a key, or a fallback that keeps something of it.
#[derive(Debug)]
pub struct Holding {
    pub target: Target,
    /// What it holds, or why that is not known.
    pub digest: Result<ObjectDigest, String>,
}

/// A key's place.
#[derive(Debug)]
pub struct Inspection {
    pub partition: u32,
    pub n: u32,
    pub holdings: Vec<Holding>,
}

/// Who a request about a key is sent to now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preference {
    pub partition: u32,
    /// As many as the bucket has replicas, in ring order; a fallback in the place of each primary that is down.
    pub targets: Vec<Target>,
}

impl Node {
    /// By what this node knows now. `None` for an unknown bucket type.
    #[must_use]
    pub fn preference(&self, name: ObjectName) -> Option<Preference> {
        self.properties(&name.bucket_type, &name.bucket)?;
        let placement = self.placement(name, None, false);
        let partition = placement.ring.partition_of(placement.name.position());
        let list = placement.ring.partition_preference_list(partition);
        let mut targets = placement.targets;
        targets.sort_by_key(|target| list.iter().position(|node| *node == target.node));
        Some(Preference {
            partition: partition.0,
            targets,
        })
    }

    /// Asks every primary of a key, and every other member that can be reached, what it holds; of the others
    /// only those are told that hold something. `None` for an unknown bucket type.
    pub async fn inspect(
        self: &Arc<Self>,
        name: ObjectName,
        deadline: Deadline,
    ) -> Option<Inspection> {
        self.properties(&name.bucket_type, &name.bucket)?;
        let placement = self.placement(name.clone(), None, false);
        let mut calls = Gather::until(Arc::clone(&self.environment), deadline);
        let others = placement.targets.iter().chain(&placement.spares).copied();
        let fallbacks = others.filter(|target| target.kind == ReplicaKind::Fallback);
        for target in placement.primaries().chain(fallbacks) {
            calls.ask(
                target,
                self.call(target.node, Request::Digest(name.clone()), deadline),
            );
        }
        let mut holdings = Vec::with_capacity(3);
        while let Some((target, reply)) = calls.next().await {
            let digest = match reply {
                Ok(Reply::Digested(digest)) if keeps_nothing(target, &digest) => continue,
                Ok(Reply::Digested(digest)) => Ok(digest),
                Ok(Reply::Refused(refusal)) => Err(format!("refused: {refusal:?}")),
                Ok(_) => Err("an answer to something else".to_owned()),
                Err(CallError::NotSent) => Err("unreachable".to_owned()),
                Err(CallError::NoAnswer) => Err("no answer".to_owned()),
            };
            holdings.push(Holding { target, digest });
        }
        for target in calls.outstanding() {
            holdings.push(Holding {
                target: *target,
                digest: Err("no answer".to_owned()),
            });
        }
        let partition = placement.ring.partition_of(name.position()).0;
        Some(Inspection {
            partition,
            n: placement.n,
            holdings,
        })
    }
}

/// Whether this is one of the many that have nothing to do with a key.
fn keeps_nothing(target: Target, digest: &ObjectDigest) -> bool {
    target.kind == ReplicaKind::Fallback && digest.context.is_empty() && digest.versions.is_empty()
}
