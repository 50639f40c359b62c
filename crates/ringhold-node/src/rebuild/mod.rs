//! A store that may lack what it once had, and fills itself from the others (T18).
//!
//! Why a store is in doubt, and when a partition is known again, is decided in `ringhold_core::rebuild`. Here is the rest. As
//! long as a tree is in doubt (the keys of a partition that have the same homes), this node answers questions about them with "don't know", takes writes like any other
//! home, and serves exchanges, so two nodes with empty disks can fill each other. Meanwhile one task compares each of its
//! trees with each other home and takes over whatever it lacks: hash trees say which leaves differ, their
//! objects come in [pages](crate::pages), and enter by merge, so that nothing that was written here meanwhile is
//! overwritten (T10). What is known again is only written down at the very end; a restart in between compares anew, which costs a
//! few hashes for what is there already.
//!
//! ```text
//! created ─ most members never heard of this node ────────────────→ whole
//! created, another lineage, an old copy → in doubt ─ exchanges ───→ whole
//! ```
//!
//! Keys of which this node is no home are known again when all its trees are: what it may have kept for others as a
//! fallback nobody can tell.
//!
//! Homes that can't be reached are waited for; [`Node::rebuild_without`] does without one that will not come back.

mod pull;
mod row;

use crate::env::{Deadline, Environment};
use crate::gather::Gather;
#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::metrics::Counter;
use crate::node::Node;
pub(crate) use pull::Pull;
use ringhold_core::boot::Inquiry;
use ringhold_core::id::NodeId;
use ringhold_core::rebuild::{Newness, Outstanding, newness};
use ringhold_core::ring::{Classes, Partition, Ring, TreeId};
use ringhold_storage::{ReadError, Store};
use ringhold_wire::message::ObjectName;
use ringhold_wire::message::peer::Refusal;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::Notify;

/// Exchanges under way at once.
const EXCHANGES_MAX: usize = 4;
/// After a round that brought nothing to its end, in microseconds.
const PAUSE_US: u64 = 500_000;

/// How far rebuilding has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RebuildProgress {
    /// Partitions of which this node is a home, and those of them in doubt.
    pub partitions: usize,
    pub partitions_in_doubt: usize,
    /// Objects that were taken over since the start, and the bytes of their values.
    pub objects: u64,
    pub object_bytes: u64,
    /// How long it has taken so far, in microseconds.
    pub elapsed_us: u64,
    /// Homes that are waited for and can't be reached.
    pub waits_for: Vec<NodeId>,
}

/// What this node knows of the completeness of its own store.
pub(crate) struct Rebuild {
    in_doubt: AtomicBool,
    /// The keys that are known although the store is in doubt.
    known: Mutex<Known>,
    begun: Notify,
    /// Homes that are not waited for.
    without: Mutex<BTreeSet<NodeId>>,
    partitions: AtomicUsize,
    in_doubt_partitions: AtomicUsize,
    pub(crate) objects: Counter,
    pub(crate) object_bytes: Counter,
    since_us: AtomicU64,
}

/// Trees whose keys are known, as long as buckets have as many replicas as when that was found.
#[derive(Default)]
struct Known {
    classes: Option<Classes>,
    trees: BTreeSet<TreeId>,
}

impl Rebuild {
    /// As an opened store says of itself.
    pub(crate) fn of(store: &Store, me: NodeId) -> Result<Self, ReadError> {
        let in_doubt = !row::is_whole(store, me)?;
        #[cfg(feature = "known-bad")]
        let in_doubt = in_doubt && !known_bad::is(Variant::EmptyStoreIsWhole);
        Ok(Self {
            in_doubt: AtomicBool::new(in_doubt),
            known: Mutex::default(),
            begun: Notify::new(),
            without: Mutex::default(),
            partitions: AtomicUsize::new(0),
            in_doubt_partitions: AtomicUsize::new(0),
            objects: Counter::default(),
            object_bytes: Counter::default(),
            since_us: AtomicU64::new(0),
        })
    }

    pub(crate) fn in_doubt(&self) -> bool {
        self.in_doubt.load(Ordering::Acquire)
    }

    fn is_known(&self, ring: &Ring, tree: TreeId) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.classes.as_ref() == Some(ring.classes()) && known.trees.contains(&tree)
    }

    fn set_known(&self, ring: &Ring, trees: Vec<TreeId>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.classes.as_ref() != Some(ring.classes()) {
            known.trees.clear();
            known.classes = Some(ring.classes().clone());
        }
        known.trees.extend(trees);
    }

    fn forget_known(&self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Known::default();
    }

    fn without(&self) -> BTreeSet<NodeId> {
        let without = self.without.lock();
        without.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Node {
    /// Whether this node's "not found" can be believed for a key.
    pub(crate) fn vouches_for(&self, name: &ObjectName) -> bool {
        if !self.rebuild.in_doubt() {
            return true;
        }
        let ring = self.ring();
        self.rebuild.is_known(&ring, Self::tree_of(&ring, name))
    }

    /// Whether anything may be entrusted to this store: not to a new one of which too few know.
    pub(crate) fn takes_writes(&self) -> bool {
        self.admission.is_admitted() || !self.rebuild.in_doubt()
    }

    /// Whether a condition on a key can be judged here.
    pub(crate) fn judges_conditions_of(&self, name: &ObjectName) -> bool {
        #[cfg(feature = "known-bad")]
        if known_bad::is(Variant::RebuildingJudgesConditions) {
            return true;
        }
        self.vouches_for(name)
    }

    /// The same for all keys of a tree.
    pub(crate) fn vouches_for_tree(&self, tree: TreeId) -> bool {
        !self.rebuild.in_doubt() || self.rebuild.is_known(&self.ring(), tree)
    }

    /// Draws the conclusions from what the other members have said of this start.
    pub(crate) async fn reconsider(&self, inquiry: &Inquiry, created: bool) -> Result<(), Refusal> {
        let rebuild = &self.rebuild;
        if rebuild.in_doubt() {
            let newness = newness(inquiry);
            #[cfg(feature = "known-bad")]
            let newness = known_bad::newness(newness, inquiry);
            if created && newness == Newness::New {
                self.replica
                    .keep_row(row::whole(self.store(), self.id))
                    .await?;
                rebuild.in_doubt.store(false, Ordering::Release);
            }
            return Ok(());
        }
        #[cfg(feature = "known-bad")]
        if known_bad::is(Variant::EmptyStoreIsWhole) {
            return Ok(());
        }
        if inquiry.is_contradicted() {
            tracing::warn!(
                "this store is older than the others remember: it is compared with theirs before it counts"
            );
            rebuild.forget_known();
            rebuild.in_doubt.store(true, Ordering::Release);
            self.withdraw_receipts().await?;
            self.replica.keep_row(row::in_doubt(self.id)).await?;
            rebuild.begun.notify_one();
        }
        Ok(())
    }

    /// How far rebuilding has come; none if there is nothing to rebuild.
    #[must_use]
    pub fn rebuild_progress(&self) -> Option<RebuildProgress> {
        let rebuild = &self.rebuild;
        rebuild.in_doubt().then(|| RebuildProgress {
            partitions: rebuild.partitions.load(Ordering::Relaxed),
            partitions_in_doubt: rebuild.in_doubt_partitions.load(Ordering::Relaxed),
            objects: rebuild.objects.count(),
            object_bytes: rebuild.object_bytes.count(),
            elapsed_us: self
                .environment
                .now_us()
                .saturating_sub(rebuild.since_us.load(Ordering::Relaxed)),
            waits_for: self.waited_for(),
        })
    }

    /// Objects that were taken over since this start.
    #[must_use]
    pub fn objects_rebuilt(&self) -> u64 {
        self.rebuild.objects.count()
    }

    fn waited_for(&self) -> Vec<NodeId> {
        let without = self.rebuild.without();
        let mut waited_for = BTreeSet::new();
        let ring = self.ring();
        for (tree, others) in self.other_homes(&ring) {
            if !self.rebuild.is_known(&ring, tree) {
                waited_for.extend(others);
            }
        }
        let mut waited_for: Vec<NodeId> = waited_for.into_iter().collect();
        waited_for.retain(|home| !without.contains(home) && !self.is_reachable(*home));
        waited_for
    }

    /// Goes on without a home that will not come back: what only that one had is lost, and missing keys are "not found"
    /// from then on. Holds until this node starts again.
    pub fn rebuild_without(&self, home: NodeId) {
        tracing::warn!(%home, "rebuilding does without this node, as an operator said");
        let without = self.rebuild.without.lock();
        without.unwrap_or_else(PoisonError::into_inner).insert(home);
        self.rebuild.begun.notify_one();
    }

    /// Whether an operator said that this store is rebuilt without a home.
    pub(crate) fn does_without(&self, home: NodeId) -> bool {
        self.rebuild.without().contains(&home)
    }

    /// The trees of whose keys this node is a home, each with its other homes.
    fn other_homes(&self, ring: &Ring) -> Vec<(TreeId, BTreeSet<NodeId>)> {
        let own = ring.trees().filter_map(|tree| {
            let homes = ring.homes_of(tree);
            let others = homes.iter().copied().filter(|home| *home != self.id);
            homes.contains(&self.id).then(|| (tree, others.collect()))
        });
        own.collect()
    }
}

/// Rebuilds whenever the store is in doubt, for as long as the node lives.
pub(crate) async fn run(
    node: Weak<Node>,
    rebuild: Arc<Rebuild>,
    environment: Arc<dyn Environment>,
) {
    loop {
        while !rebuild.in_doubt() {
            rebuild.begun.notified().await;
        }
        let Some(node) = node.upgrade() else {
            return;
        };
        rebuild
            .since_us
            .store(environment.now_us(), Ordering::Relaxed);
        if fill(&node).await.is_err() {
            // The store has failed, and this process with it.
            return;
        }
    }
}

/// Exchanges with all homes of all partitions, until none is left. Another placement has other homes, and begins it anew.
async fn fill(node: &Arc<Node>) -> Result<(), Refusal> {
    #[cfg(feature = "known-bad")]
    if known_bad::is(Variant::WholeBeforeRebuilt) {
        node.replica
            .keep_row(row::whole(node.store(), node.id))
            .await?;
    }
    let rebuild = &node.rebuild;
    while rebuild.in_doubt() {
        let ring = node.ring();
        let filled = fill_by(node, &ring).await;
        // A node that was away may have become a home of more than it knows of.
        if filled && rebuild.in_doubt() && node.is_in_step(&ring).await {
            tracing::info!(
                objects = rebuild.objects.count(),
                elapsed_ms = node
                    .environment
                    .now_us()
                    .saturating_sub(rebuild.since_us.load(Ordering::Relaxed))
                    / 1_000,
                "the store has been compared with every other home: its answers count again"
            );
            let whole = row::whole(node.store(), node.id);
            node.replica.keep_row(whole).await?;
            node.metrics.stores_rebuilt.add(1);
            rebuild.in_doubt.store(false, Ordering::Release);
        } else {
            pause(node).await;
        }
    }
    Ok(())
}

/// The same by one ring; false if another one took its place meanwhile.
async fn fill_by(node: &Arc<Node>, ring: &Ring) -> bool {
    let rebuild = &node.rebuild;
    let homes = node.other_homes(ring);
    let partitions: BTreeSet<Partition> = homes.iter().map(|(tree, _)| tree.partition).collect();
    rebuild
        .partitions
        .store(partitions.len(), Ordering::Relaxed);
    #[cfg(feature = "known-bad")]
    let homes = known_bad::one_each(homes);
    let mut outstanding = Outstanding::new(homes);
    loop {
        rebuild
            .without()
            .into_iter()
            .for_each(|home| outstanding.without(home));
        rebuild.set_known(ring, outstanding.take_settled());
        rebuild
            .in_doubt_partitions
            .store(outstanding.partitions(), Ordering::Relaxed);
        if node.ring().placement_number() != ring.placement_number() {
            return false;
        }
        if outstanding.trees() == 0 || !rebuild.in_doubt() {
            return true;
        }
        if !round(node, ring, &mut outstanding).await {
            pause(node).await;
        }
    }
}

async fn pause(node: &Node) {
    let until_us = node.environment.now_us().saturating_add(PAUSE_US);
    node.environment.sleep_until(until_us).await;
}

/// One attempt at each exchange that is left, a few at a time. Whether any was done.
async fn round(node: &Arc<Node>, ring: &Ring, outstanding: &mut Outstanding) -> bool {
    let pairs = outstanding.pairs().into_iter();
    let mut left = pairs.filter(|(_, home)| node.is_reachable(*home));
    let never = Deadline { at_us: u64::MAX };
    let mut exchanges = Gather::until(Arc::clone(&node.environment), never);
    let mut ask = |exchanges: &mut Gather<_, bool>| {
        if let Some((tree, home)) = left.next() {
            let pull = Pull::new(node, tree, home);
            exchanges.ask((tree, home), Box::pin(pull.run()));
        }
    };
    (0..EXCHANGES_MAX).for_each(|_| ask(&mut exchanges));
    let mut progressed = false;
    while let Some(((tree, home), is_done)) = exchanges.next().await {
        if is_done {
            progressed = true;
            outstanding.done(tree, home);
            node.rebuild.set_known(ring, outstanding.take_settled());
            let left = outstanding.partitions();
            node.rebuild
                .in_doubt_partitions
                .store(left, Ordering::Relaxed);
        }
        ask(&mut exchanges);
    }
    progressed
}
