//! Do all primaries agree? A full check that an operator asks for.
//!
//! Every primary of every partition counts its objects ([`super::count`]), and what they count is compared leaf by
//! leaf. What differs is looked at again when the longest put is over, and once more, before it is called a
//! difference. Nobody is taken to agree who was not asked or did not answer: that partition is *not verified*.
//!
//! Nothing is changed here; `repair` does that.

use super::count::{NotCounted, all_leaves};
use super::look::{Look, Place};
use crate::env::Deadline;
use crate::node::Node;
use ringhold_core::id::NodeId;
use ringhold_core::ring::{Partition, TreeId};
use ringhold_core::tree::{NodeHash, Tree};
use ringhold_storage::RowFaults;
use ringhold_wire::message::ObjectName;
use ringhold_wire::message::peer::{LeavesRequest, Reply, Request};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Looks at what differs until it is called a difference.
const LOOKS: usize = 3;
/// Leaves in which differing keys are sought by name, and names that are told, for one partition.
const NAMED_LEAVES: usize = 4;
const NAMES: usize = 10;
/// How long a list of keys may take, in microseconds.
const PATIENCE_US: u64 = 5_000_000;

/// What one primary holds of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holds {
    pub keys: u64,
    /// Records that can't be read. They are no keys.
    pub unreadable: u64,
    /// Leaves of the hash tree whose kept sum said something else than the objects.
    pub wrong_sums: u64,
    /// How its index rows differ from those that its objects should have.
    pub rows: Result<RowFaults, NotCounted>,
    /// The root of the tree over what was counted.
    pub root: NodeHash,
}

/// What the comparison of a partition came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// All primaries hold the same, and their hash trees say so.
    Agrees,
    /// They don't, for longer than a put can take; or a primary has records that can't be read, or a tree that is
    /// not that of its objects, or index rows that are not.
    Differs,
    /// Those that told agree; others did not tell.
    NotVerified,
}

/// One tree: the keys of a partition that have as many replicas.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub tree: TreeId,
    /// In the order of the preference list.
    pub primaries: Vec<(NodeId, Result<Holds, NotCounted>)>,
    /// Leaves that differed in every look.
    pub differing_leaves: usize,
    /// Some of the keys that differ.
    pub differing_keys: Vec<ObjectName>,
}

impl Verdict {
    #[must_use]
    pub fn agreement(&self) -> Agreement {
        let holds = || {
            self.primaries
                .iter()
                .filter_map(|(_, held)| held.as_ref().ok())
        };
        let is_wrong = |held: &Holds| {
            let rows = held.rows.is_ok_and(|faults| !faults.is_empty());
            held.unreadable > 0 || held.wrong_sums > 0 || rows
        };
        if self.differing_leaves > 0 || holds().any(is_wrong) {
            return Agreement::Differs;
        }
        let told = |held: &Result<Holds, NotCounted>| held.is_ok_and(|held| held.rows.is_ok());
        if !self.primaries.iter().all(|(_, held)| told(held)) {
            return Agreement::NotVerified;
        }
        Agreement::Agrees
    }

    /// How the index rows of all primaries differ from those of their objects.
    #[must_use]
    pub fn row_faults(&self) -> RowFaults {
        let held = self.primaries.iter().filter_map(|(_, held)| held.ok());
        let rows = held.filter_map(|held| held.rows.ok());
        rows.fold(RowFaults::default(), |sum, faults| RowFaults {
            missing: sum.missing + faults.missing,
            strange: sum.strange + faults.strange,
        })
    }

    /// Keys of the primary that holds most.
    #[must_use]
    pub fn keys(&self) -> u64 {
        let holds = self
            .primaries
            .iter()
            .filter_map(|(_, held)| held.as_ref().ok());
        holds.map(|held| held.keys).max().unwrap_or(0)
    }
}

/// What there is to tell while partitions are verified.
#[derive(Clone, Debug)]
pub enum VerifyEvent {
    Verdict(Verdict),
    /// So many partitions differ and are looked at again after this time.
    Waiting {
        partitions: usize,
        us: u64,
    },
}

impl Node {
    /// The trees of some partitions: one for each number of replicas that keys may have.
    #[must_use]
    pub fn trees_in(&self, partitions: &[Partition]) -> Vec<TreeId> {
        let ring = self.ring();
        let partitions = partitions.iter();
        partitions
            .flat_map(|partition| ring.trees_of(*partition))
            .collect()
    }

    /// Compares what the primaries of these trees' keys hold, and tells each verdict as soon as it is known. Ends
    /// early if nobody listens.
    pub async fn verify_trees(
        self: &Arc<Self>,
        trees: Vec<TreeId>,
        events: mpsc::Sender<VerifyEvent>,
    ) {
        let leaves = all_leaves();
        let place = |tree| Place {
            tree,
            leaves: leaves.clone(),
            rows: true,
        };
        let places = trees.into_iter().map(place).collect();
        let mut open = BTreeMap::new();
        let mut looks = self.look_at(places, false);
        while let Some(look) = looks.recv().await {
            if look.suspicious().is_empty() {
                if events
                    .send(VerifyEvent::Verdict(verdict(&look)))
                    .await
                    .is_err()
                {
                    return;
                }
            } else {
                open.insert(look.place.tree, look);
            }
        }
        for _ in 1..LOOKS {
            if open.is_empty() {
                return;
            }
            if self.wait_and_look_again(&mut open, &events).await.is_err() {
                return;
            }
        }
        for look in open.into_values() {
            let mut verdict = verdict(&look);
            verdict.differing_keys = self.differing_keys(&look).await;
            if events.send(VerifyEvent::Verdict(verdict)).await.is_err() {
                return;
            }
        }
    }

    /// Looks again at what differs when the longest put is over; what agrees by then is told.
    async fn wait_and_look_again(
        self: &Arc<Self>,
        open: &mut BTreeMap<TreeId, Look>,
        events: &mpsc::Sender<VerifyEvent>,
    ) -> Result<(), mpsc::error::SendError<VerifyEvent>> {
        let us = self.tuning.anti_entropy.settle_us;
        let partitions = open.len();
        events.send(VerifyEvent::Waiting { partitions, us }).await?;
        let until_us = self.environment.now_us().saturating_add(us);
        self.environment.sleep_until(until_us).await;
        let places = open.values().map(|look| Place {
            tree: look.place.tree,
            leaves: look.suspicious(),
            rows: false,
        });
        let mut looks = self.look_at(places.collect(), false);
        while let Some(later) = looks.recv().await {
            let tree = later.place.tree;
            let look = open.get_mut(&tree).expect("it was looked at before");
            look.update(later);
            if look.suspicious().is_empty() {
                events.send(VerifyEvent::Verdict(verdict(look))).await?;
                open.remove(&tree);
            }
        }
        Ok(())
    }

    /// Names of some keys in which the primaries differ.
    async fn differing_keys(self: &Arc<Self>, look: &Look) -> Vec<ObjectName> {
        let mut differing = BTreeSet::new();
        for leaf in look.differing().into_iter().take(NAMED_LEAVES) {
            let mut digests: BTreeMap<ObjectName, Vec<u128>> = BTreeMap::new();
            let mut lists = 0;
            for (home, counted) in &look.primaries {
                if counted.is_err() {
                    continue;
                }
                let request = Request::LeafKeys(LeavesRequest {
                    basis: self.tree_basis(look.place.tree),
                    partition: look.place.tree.partition.0,
                    leaves: vec![leaf],
                });
                let deadline = Deadline::after(&*self.environment, PATIENCE_US);
                let Ok(Reply::LeafKeys(keys)) = self.call(*home, request, deadline).await else {
                    continue;
                };
                lists += 1;
                for entry in keys.entries {
                    digests.entry(entry.name).or_default().push(entry.digest);
                }
            }
            let is_same = |digests: &[u128]| {
                digests.len() == lists && digests.windows(2).all(|pair| pair[0] == pair[1])
            };
            let names = digests.into_iter().filter(|(_, digests)| !is_same(digests));
            differing.extend(names.map(|(name, _)| name));
        }
        differing.into_iter().take(NAMES).collect()
    }
}

fn verdict(look: &Look) -> Verdict {
    let held = |counted: &super::count::Counted| Holds {
        keys: counted.sums.iter().map(|sum| sum.keys).sum(),
        unreadable: counted.unreadable(),
        wrong_sums: counted.wrong_sums(),
        rows: counted.rows.unwrap_or(Err(NotCounted::NoAnswer)),
        root: Tree::new(counted.sums.clone()).root(),
    };
    let primaries = look.primaries.iter();
    let primaries = primaries
        .map(|(node, counted)| (*node, counted.as_ref().map(held).map_err(|reason| *reason)));
    Verdict {
        tree: look.place.tree,
        primaries: primaries.collect(),
        differing_leaves: look.differing().len(),
        differing_keys: Vec::new(),
    }
}
