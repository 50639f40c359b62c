//! One comparison of one tree with one peer's, and what follows from it.
//!
//! Everything that goes to the peer and comes back is counted in bytes, as it is encoded: what anti-entropy costs the
//! network is what it was built to keep small, so it is measured where it arises.

use super::answers::OBJECTS_BYTES;
use crate::env::Deadline;
use crate::gather::breath;
use crate::node::Node;
use bytes::BytesMut;
use ringhold_core::health::Work;
use ringhold_core::id::NodeId;
use ringhold_core::ring::TreeId;
use ringhold_core::tree::{FANOUT, Leaf, Tree, TreeBasis, differing};
use ringhold_core::version::Object;
use ringhold_wire::message::ObjectName;
use ringhold_wire::message::peer::{LeafEntry, LeavesRequest, Mended, Refusal, Reply, Request};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How long one question may take, in microseconds.
const PATIENCE_US: u64 = 10_000_000;
/// Keys that are mended with one request each way.
const KEYS_AT_ONCE: usize = 256;
/// Tries at objects that an end has no room for at the moment, and the first pause between them, in microseconds.
const TRIES: u32 = 6;
const PAUSE_US: u64 = 20_000;

/// See the module.
pub(crate) struct Exchange {
    node: Arc<Node>,
    tree: TreeId,
    peer: NodeId,
    bytes_sent: AtomicU64,
    bytes_received: AtomicU64,
}

/// A key that differs.
struct Differing {
    name: ObjectName,
    /// Whether the peer listed it.
    is_there: bool,
}

impl Exchange {
    pub(crate) fn new(node: &Arc<Node>, tree: TreeId, peer: NodeId) -> Self {
        Self {
            node: Arc::clone(node),
            tree,
            peer,
            bytes_sent: AtomicU64::new(0),
            bytes_received: AtomicU64::new(0),
        }
    }

    /// Mends what differs in two looks. Ends early where the peer does not answer: the next turn comes.
    pub(super) async fn run(&self, settle_us: u64) -> Mended {
        let turn = self.node.background.turn(Work::Repair).await;
        let first = self.differing_leaves().await;
        drop(turn);
        if first.is_some() {
            self.node.metrics.exchanges.add(1);
        }
        let first = first.unwrap_or_default();
        if first.is_empty() {
            return self.costs_of(Mended::default());
        }
        let environment = &self.node.environment;
        let settled_us = environment.now_us().saturating_add(settle_us);
        environment.sleep_until(settled_us).await;
        let leaves: Vec<u16> = first.iter().copied().map(number_of).collect();
        let never = Deadline { at_us: u64::MAX };
        self.mend_what_differs(&leaves, never).await
    }

    fn basis(&self) -> TreeBasis {
        self.node.tree_basis(self.tree)
    }

    /// With the bytes that everything so far has cost.
    fn costs_of(&self, mended: Mended) -> Mended {
        Mended {
            bytes_sent: self.bytes_sent.load(Ordering::Relaxed),
            bytes_received: self.bytes_received.load(Ordering::Relaxed),
            ..mended
        }
    }

    /// The leaves in which the two differ at this moment; none if the peer does not answer, or one of the two has yet to tell
    /// keys apart.
    pub(crate) async fn differing_leaves(&self) -> Option<BTreeSet<Leaf>> {
        let (basis, partition) = (self.basis(), self.tree.partition.0);
        let request = Request::Branches { basis, partition };
        let Some(Reply::Branches(theirs)) = self.ask(request).await else {
            return None;
        };
        let mut tree = self.node.tree(self.tree)?;
        let branches = differing(&tree.branches(), &theirs);
        if branches.is_empty() {
            return Some(BTreeSet::new());
        }
        self.leaves_under(&tree, &branches).await
    }

    /// The leaves under some branches in which the two differ.
    async fn leaves_under(&self, tree: &Tree, branches: &[usize]) -> Option<BTreeSet<Leaf>> {
        let request = Request::Leaves {
            basis: self.basis(),
            partition: self.tree.partition.0,
            branches: branches.iter().fold(0, |bits, branch| bits | 1 << branch),
        };
        let Some(Reply::Leaves(theirs)) = self.ask(request).await else {
            return None;
        };
        if theirs.len() != branches.len() {
            return None;
        }
        let mut leaves = BTreeSet::new();
        for (branch, theirs) in branches.iter().zip(&theirs) {
            let differing = differing(&tree.leaves_of(*branch), theirs).into_iter();
            leaves.extend(differing.filter_map(|at| leaf_at(*branch, at)));
        }
        Some(leaves)
    }

    /// Looks again at some leaves, in ascending order, and mends those that differ still, one after the other while there
    /// is time. What it says of leaves is how many of these are done; none if the peer does not answer.
    pub(super) async fn mend_what_differs(&self, leaves: &[u16], until: Deadline) -> Mended {
        let mut mended = Mended::default();
        if let Some(now) = self.differing_leaves().await {
            let left: Vec<u16> = now.into_iter().map(number_of).collect();
            let left: Vec<u16> = left
                .into_iter()
                .filter(|leaf| leaves.binary_search(leaf).is_ok())
                .collect();
            let done = self.mend(&left, until, &mut mended).await;
            let all_done = left.get(done).map_or(leaves.len(), |first_left| {
                leaves.partition_point(|leaf| leaf < first_left)
            });
            mended.leaves = u16::try_from(all_done).expect("a tree has 1,024 leaves");
        }
        self.costs_of(mended)
    }

    /// Mends some leaves, in ascending order, as far as that can be done now.
    pub(crate) async fn mend_leaves(&self, leaves: &[Leaf]) {
        let leaves: Vec<u16> = leaves.iter().copied().map(number_of).collect();
        let never = Deadline { at_us: u64::MAX };
        self.mend(&leaves, never, &mut Mended::default()).await;
    }

    /// Brings each end what the other has of the keys that differ; how many leaves are done.
    async fn mend(&self, leaves: &[u16], until: Deadline, mended: &mut Mended) -> usize {
        let mut done = 0;
        while done < leaves.len() && !until.has_passed(&*self.node.environment) {
            let Some((listed, differing)) = self.differing_keys(&leaves[done..]).await else {
                break;
            };
            for some in differing.chunks(KEYS_AT_ONCE) {
                let _turn = self.node.background.turn(Work::Repair).await;
                let keys = some.len() as u64;
                // A key that neither end takes fails twice.
                let failed = self.mend_keys(some).await.min(keys);
                let equal = keys - failed;
                self.node.metrics.keys_mended.add(equal);
                mended.keys += equal;
                mended.failed += failed;
            }
            done += listed;
        }
        done
    }

    /// The keys that differ in the first of some leaves, and how many leaves these are.
    async fn differing_keys(&self, leaves: &[u16]) -> Option<(usize, Vec<Differing>)> {
        let request = Request::LeafKeys(LeavesRequest {
            basis: self.basis(),
            partition: self.tree.partition.0,
            leaves: leaves.to_vec(),
        });
        let Some(Reply::LeafKeys(theirs)) = self.ask(request).await else {
            return None;
        };
        let listed = usize::from(theirs.leaves);
        if listed == 0 || listed > leaves.len() {
            return None;
        }
        let mut ours = BTreeMap::new();
        for leaf in &leaves[..listed] {
            let leaf = Leaf::new(*leaf)?;
            ours.extend(by_name(self.node.leaf_keys(self.tree, leaf).ok()?));
            breath().await;
        }
        let theirs: BTreeMap<_, _> = by_name(theirs.entries).collect();
        let names: BTreeSet<&ObjectName> = ours.keys().chain(theirs.keys()).collect();
        let names = names.into_iter();
        let differing = names.filter(|name| ours.get(*name) != theirs.get(*name));
        let differing = differing.map(|name| Differing {
            name: name.clone(),
            is_there: theirs.contains_key(name),
        });
        Some((listed, differing.collect()))
    }

    /// Makes some keys equal at both ends; how often one end of a key could not be.
    async fn mend_keys(&self, keys: &[Differing]) -> u64 {
        let there = keys.iter().filter(|key| key.is_there);
        let mut wanted: Vec<ObjectName> = there.map(|key| key.name.clone()).collect();
        let only_here = keys.iter().filter(|key| !key.is_there);
        let only_here = only_here.map(|key| (key.name.clone(), Object::new()));
        let mut failed = self.push(only_here.collect()).await;
        while !wanted.is_empty() {
            let request = Request::FetchMany(wanted.clone());
            let Some(Reply::FetchedMany(objects)) = self.ask(request).await else {
                return failed + wanted.len() as u64;
            };
            if objects.is_empty() || objects.len() > wanted.len() {
                return failed + wanted.len() as u64;
            }
            let names = wanted.drain(..objects.len()).collect::<Vec<_>>();
            let mut fetched = Vec::with_capacity(names.len());
            for (name, object) in names.into_iter().zip(objects) {
                match object {
                    Ok(object) => fetched.push((name, object)),
                    Err(_) => failed += 1,
                }
            }
            failed += self.merge_here(self.news(&fetched)).await;
            failed += self.push(fetched).await;
        }
        failed
    }

    /// Those of some objects that would change something here.
    pub(crate) fn news(&self, theirs: &[(ObjectName, Object)]) -> Vec<(ObjectName, Object)> {
        let news = theirs.iter().filter(|(name, theirs)| {
            let ours = self.node.replica.fetch(name);
            ours.map_or(true, |ours| has_news(&ours, theirs))
        });
        news.cloned().collect()
    }

    /// Merges what the peer has into this store; how many were not taken.
    pub(crate) async fn merge_here(&self, theirs: Vec<(ObjectName, Object)>) -> u64 {
        let mut left = theirs;
        let mut failed = 0;
        for attempt in 0..TRIES {
            if left.is_empty() {
                break;
            }
            self.pause(attempt).await;
            let deadline = Deadline::after(&*self.node.environment, PATIENCE_US);
            let outcomes = self.node.merge_many(left.clone(), deadline).await;
            failed += sort_out(&mut left, &outcomes);
        }
        failed + left.len() as u64
    }

    /// Sends the peer what it lacks of some keys, given what it has of them; how many it did not take.
    async fn push(&self, theirs: Vec<(ObjectName, Object)>) -> u64 {
        let mut failed = 0;
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for (name, theirs) in theirs {
            let Ok(ours) = self.node.replica.fetch(&name) else {
                failed += 1;
                continue;
            };
            if !has_news(&theirs, &ours) {
                continue;
            }
            bytes += ours.value_bytes();
            batch.push((name, ours));
            if bytes >= OBJECTS_BYTES {
                failed += self.merge_there(std::mem::take(&mut batch)).await;
                bytes = 0;
            }
        }
        failed + self.merge_there(batch).await
    }

    async fn merge_there(&self, objects: Vec<(ObjectName, Object)>) -> u64 {
        let mut left = objects;
        let mut failed = 0;
        for attempt in 0..TRIES {
            if left.is_empty() {
                break;
            }
            self.pause(attempt).await;
            let merged = self.ask(Request::MergeMany(left.clone())).await;
            let Some(Reply::MergedMany(outcomes)) = merged else {
                break;
            };
            failed += sort_out(&mut left, &outcomes);
        }
        failed + left.len() as u64
    }

    /// Waits before another try, twice as long each time; not before the first.
    async fn pause(&self, attempt: u32) {
        if attempt > 0 {
            let environment = &self.node.environment;
            let pause_us = PAUSE_US << attempt;
            let until_us = environment.now_us().saturating_add(pause_us);
            environment.sleep_until(until_us).await;
        }
    }

    async fn ask(&self, request: Request) -> Option<Reply> {
        let sent = encoded_bytes(|out| request.encode(out));
        self.bytes_sent.fetch_add(sent, Ordering::Relaxed);
        self.node.metrics.exchange_bytes_sent.add(sent);
        let deadline = Deadline::after(&*self.node.environment, PATIENCE_US);
        let reply = self.node.call(self.peer, request, deadline).await.ok()?;
        let received = encoded_bytes(|out| reply.encode(out));
        self.bytes_received.fetch_add(received, Ordering::Relaxed);
        self.node.metrics.exchange_bytes_received.add(received);
        if reply == Reply::Refused(Refusal::OtherBasis) {
            self.node.metrics.exchanges_refused.add(1);
            tracing::warn!(
                partition = self.tree.partition.0,
                peer = %self.peer,
                "a peer's hash trees are made otherwise, or for other nodes: nothing is compared"
            );
        }
        Some(reply)
    }
}

/// Whether merging the one would change the other.
fn has_news(known: &Object, other: &Object) -> bool {
    let mut merged = known.clone();
    merged.merge(other);
    merged != *known
}

/// Keeps what may be tried again, and tells how many of the others were refused.
fn sort_out(left: &mut Vec<(ObjectName, Object)>, outcomes: &[Result<(), Refusal>]) -> u64 {
    let mut refused = 0;
    let mut outcomes = outcomes.iter();
    left.retain(|_| match outcomes.next() {
        // Whoever answers less than was asked is asked again for the rest.
        None | Some(Err(Refusal::Overloaded)) => true,
        Some(Ok(())) => false,
        Some(Err(_)) => {
            refused += 1;
            false
        }
    });
    refused
}

fn by_name(entries: Vec<LeafEntry>) -> impl Iterator<Item = (ObjectName, u128)> {
    let entries = entries.into_iter();
    entries.map(|entry| (entry.name, entry.digest))
}

fn encoded_bytes(encode: impl FnOnce(&mut BytesMut)) -> u64 {
    let mut out = BytesMut::new();
    encode(&mut out);
    out.len() as u64
}

fn leaf_at(branch: usize, at: usize) -> Option<Leaf> {
    Leaf::new(u16::try_from(branch * FANOUT + at).ok()?)
}

fn number_of(leaf: Leaf) -> u16 {
    u16::try_from(leaf.index()).expect("there are 1,024")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_overloaded_are_tried_again() {
        let name = |key: &'static str| ObjectName {
            bucket_type: "t".into(),
            bucket: "b".into(),
            key: key.into(),
        };
        let mut left: Vec<_> = ["a", "b", "c", "d"]
            .map(|key| (name(key), Object::new()))
            .into();
        let outcomes = [Ok(()), Err(Refusal::Overloaded), Err(Refusal::StoreFailed)];
        assert_eq!(sort_out(&mut left, &outcomes), 1);
        let left: Vec<_> = left.into_iter().map(|(name, _)| name.key).collect();
        assert_eq!(left, ["b", "d"]);
    }
}
