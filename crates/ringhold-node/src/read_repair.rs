//! Read repair: replicas that a get found behind receive what they lack (§5).
//!
//! By merge, never by overwriting, so a repair that arrives late or meets a newer write does no
//! harm (T10). In the background, bounded, and dropped when there is too much of it: a later read finds
//! the difference again.

use crate::coordinator::plan::Placement;
use crate::env::Deadline;
use crate::gather::Gather;
#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::node::Node;
use ringhold_core::quorum::{ReplicaKind, Target};
use ringhold_core::version::Object;
use ringhold_wire::message::peer::{MergeRequest, Request};
use std::sync::Arc;

impl Node {
    pub(crate) fn repair(
        self: &Arc<Self>,
        placement: &Placement,
        object: &Object,
        stale: &[Target],
    ) {
        #[cfg(feature = "known-bad")]
        let stale = if known_bad::is(Variant::NeverRepairs) {
            &[]
        } else {
            stale
        };
        // What a fallback keeps for others comes home by its hint.
        let stale: Vec<Target> = stale
            .iter()
            .copied()
            .filter(|target| target.kind == ReplicaKind::Primary)
            .collect();
        if stale.is_empty() || object.is_absent() {
            return;
        }
        let Ok(permit) = Arc::clone(&self.repairs).try_acquire_owned() else {
            self.metrics.read_repairs_dropped.add(1);
            return;
        };
        self.metrics.read_repairs.add(stale.len() as u64);
        let deadline = Deadline::after(&*self.environment, self.tuning.put_tail_us);
        let mut merges = Gather::until(Arc::clone(&self.environment), deadline);
        for target in stale {
            let (name, object) = (placement.name.clone(), object.clone());
            let request = Request::Merge(MergeRequest {
                name,
                object,
                flushed: true,
            });
            merges.ask(target, self.call(target.node, request, deadline));
        }
        self.environment.spawn(Box::pin(async move {
            while merges.next().await.is_some() {}
            drop(permit);
        }));
    }
}
