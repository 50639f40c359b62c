//! How many replicas a key has, by the ring that this node serves by.
//!
//! N stands in the ring document (`ringhold_core::ring::replication`), so it changes for a request as the homes do: by placement number.
//! A request reads the ring once and takes homes, N and what is to come from that one. What this node's configuration says of N
//! counts when a cluster is founded and at no other time.
//!
//! Keys of one partition may have different homes, so everything that is done for a partition as a whole (comparing,
//! rebuilding, verifying, taking over) is done for each *tree*: a partition and a class of keys. A new ring may make classes that were one
//! before. Then the store has to look at objects to tell them apart, which a task here has it do at once, leaf by leaf;
//! until it is through, this node's trees say nothing, and whoever asks is told to come again.
//!
//! A change of N that a bucket's property asks for is committed alone and at once: nobody plans it together with others. While another change
//! of the placement is under way it waits, as long as whoever asks has time.
//!
//! Not here: taking over what is missing (`membership::transfers`), and what goes (`membership::strays`).

use crate::env::{Deadline, Environment, alive_after};
use crate::gather::until;
use crate::membership::{ChangeFailed, NotAgreed, settled};
use crate::node::Node;
use bytes::Bytes;
use ringhold_core::health::Work;
use ringhold_core::id::NodeId;
use ringhold_core::ring::{BucketName, ChangeRefused, Replicas, Ring, TreeId};
use ringhold_core::tree::{LeafSum, Tree, TreeKey, leaves_of_partition};
use ringhold_storage::{BucketTag, OnDifference, Sorting};
use ringhold_wire::handshake::ProtocolRange;
use ringhold_wire::message::ObjectName;
use std::sync::{Arc, Weak};

/// Between two looks at whether there is something to sort, in microseconds.
const TICK_US: u64 = 500_000;
/// The first protocol whose release reads documents in which buckets have an N of their own.
const PROTOCOL: u16 = 2;
/// So many changes of N may wait for the end of another one: each may be the request of a client, who holds something open for it.
pub(crate) const WAITING_MAX: usize = 16;
/// Leaves that are sorted in one turn.
const LEAVES_AT_ONCE: usize = 32;

/// How a store's sums are to be sorted under a ring.
pub(crate) fn sorting(key: &TreeKey, ring: &Ring) -> Sorting {
    let buckets = ring.classes().buckets();
    Sorting::new(buckets.map(|(bucket, class)| {
        let within =
            (!bucket.is_type()).then(|| tag(key, &BucketName::of_type(&bucket.bucket_type)));
        (tag(key, bucket), within, class)
    }))
}

/// What a store calls a bucket, or a type.
fn tag(key: &TreeKey, bucket: &BucketName) -> BucketTag {
    BucketTag(key.bucket(&bucket.bucket_type, &bucket.bucket))
}

/// Tells apart what has to be, for as long as the node lives.
pub(crate) async fn run(node: Weak<Node>, environment: Arc<dyn Environment>) {
    while let Some(node) = alive_after(&node, &*environment, TICK_US).await {
        if node.store().poisoned().is_some() {
            return;
        }
        node.sort_leaves().await;
    }
}

impl Node {
    /// Has the store sort its sums as a ring says. Before that ring is in use, so that no tree is asked for by it and told by the one
    /// before.
    pub(crate) fn sort_by(&self, ring: &Ring) {
        let sorting = Arc::new(sorting(&self.tree_key, ring));
        self.store().sort(Sorting::clone(&sorting));
        self.sorting.store(sorting);
    }

    async fn sort_leaves(&self) {
        let unsorted = self.store().unsorted_leaves();
        if !unsorted.is_empty() {
            tracing::info!(
                leaves = unsorted.len(),
                "keys are sorted into hash trees anew"
            );
        }
        for leaves in unsorted.chunks(LEAVES_AT_ONCE) {
            let _turn = self.background.turn(Work::Rebuilding).await;
            for leaf in leaves {
                // What can't be read now is looked for again at the next tick.
                let sorted = self.store().recount(*leaf..leaf + 1, OnDifference::Repair);
                if let Ok(recount) = sorted {
                    self.metrics.leaves_sorted.add(1);
                    let wrong = recount.differences.len() as u64;
                    self.metrics.leaves_set_right.add(wrong);
                }
            }
        }
    }

    /// How many replicas a key has, and will have. A request may name a number of its own, for both.
    pub(crate) fn replicas_of(ring: &Ring, name: &ObjectName, own: Option<u32>) -> Replicas {
        let replicas = ring.classes().replicas_of(&name.bucket_type, &name.bucket);
        let Some(own) = own else {
            return replicas;
        };
        let own = u8::try_from(own).unwrap_or(u8::MAX);
        Replicas {
            now: own,
            next: own.min(replicas.next),
        }
    }

    /// The tree that a key is in.
    pub(crate) fn tree_of(ring: &Ring, name: &ObjectName) -> TreeId {
        TreeId {
            partition: ring.partition_of(name.position()),
            class: ring.classes().of(&name.bucket_type, &name.bucket),
        }
    }

    /// The primaries of a tree's keys.
    pub(crate) fn homes_of(&self, tree: TreeId) -> Vec<NodeId> {
        self.ring().homes_of(tree).to_vec()
    }

    /// The primaries of a key.
    pub(crate) fn homes(&self, name: &ObjectName) -> Vec<NodeId> {
        let ring = self.ring();
        ring.homes_of(Self::tree_of(&ring, name)).to_vec()
    }

    /// Whether this node is a home of a tree's keys, or becomes one.
    pub(crate) fn keeps(&self, ring: &Ring, tree: TreeId) -> bool {
        ring.homes_of(tree).contains(&self.id) || ring.next_homes_of(tree).contains(&self.id)
    }

    /// The sums of a tree's leaves; none as long as its keys are not told apart from others.
    pub(crate) fn tree_sums(&self, tree: TreeId) -> Option<Vec<LeafSum>> {
        let leaves = leaves_of_partition(tree.partition);
        self.store()
            .class_sums(leaves, tree.class, &self.sorting.load())
    }

    /// The hash tree as it is in this store; none as long as it is not known.
    pub(crate) fn tree(&self, tree: TreeId) -> Option<Tree> {
        self.tree_sums(tree).map(Tree::new)
    }

    /// Gives a bucket another number of replicas: the change is under way when this returns. As many as the bucket has or gets, as far as
    /// this node knows, is no change: clients like to write back all that they have read.
    ///
    /// One change of the placement goes on at a time, so this waits for the end of another until the deadline; a few may wait at once.
    ///
    /// # Errors
    /// See [`ChangeFailed`]; that another change is under way, at the deadline or where too many wait for its end.
    pub async fn replicate(
        self: &Arc<Self>,
        bucket_type: &Bytes,
        bucket: &Bytes,
        n: u8,
        deadline: Deadline,
    ) -> Result<(), ChangeFailed> {
        let bucket = BucketName {
            bucket_type: bucket_type.clone(),
            bucket: bucket.clone(),
        };
        let mut waits = None;
        loop {
            if n == self.replicas_wanted(bucket_type, &bucket.bucket) {
                return Ok(());
            }
            if let Some(older) = self.first_older() {
                let name = self.name_of(older);
                return Err(ChangeFailed::Refused(ChangeRefused::OlderRelease { name }));
            }
            let epoch = self.ring().document().epoch.0;
            let agreed = self.agree(|held| held.replicating(&bucket, n)).await;
            let under_way = Err(NotAgreed::Refused(ChangeRefused::ChangeUnderWay));
            if agreed != under_way || deadline.has_passed(&*self.environment) {
                return settled(agreed);
            }
            // The place of one that waits is kept until it is through.
            waits = waits.or_else(|| self.replicating.try_acquire().ok());
            if waits.is_none() {
                return settled(agreed);
            }
            until(&*self.environment, deadline, self.ring_after(epoch)).await;
        }
    }

    /// A member that could not read a document in which buckets have an N of their own, as far as gossip says.
    pub(crate) fn first_older(&self) -> Option<NodeId> {
        let is_older = |range: ProtocolRange| range.max < PROTOCOL;
        let mut members = self.gossip_view().into_iter();
        let older = members.find(|member| member.protocols.is_some_and(is_older));
        older.map(|member| member.node)
    }

    /// The number of replicas that a bucket is to have once it says nothing itself.
    pub(crate) fn replicas_otherwise(&self, bucket_type: &Bytes, bucket: &Bytes) -> u8 {
        let ring = self.ring();
        let placement = &ring.document().placement;
        let next = placement.next.as_ref();
        let replication = next.map_or(&placement.replication, |next| &next.replication);
        let (bucket_type, bucket) = (bucket_type.clone(), bucket.clone());
        replication.otherwise(&BucketName {
            bucket_type,
            bucket,
        })
    }

    /// The number of replicas that a bucket is to have, by the newest ring that this node knows.
    #[must_use]
    pub fn replicas_wanted(&self, bucket_type: &Bytes, bucket: &Bytes) -> u8 {
        self.ring().classes().replicas_of(bucket_type, bucket).next
    }
}
