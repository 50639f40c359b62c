//! Which replicas a placement change moves, and from whom.
//!
//! A change of one row of the table of owners changes the homes of several partitions, because a key's N homes are the owners
//! that a walk meets; a change of N changes them for some keys and not for others. So what moves is worked out from the preference lists,
//! before and after, for each partition and [class](super::replication) of keys: *goers* are homes that will be none, *comers* are
//! nodes that will be. They are paired in walk order, and a comer copies from its goer what that one has: so no copy of anything gets lost
//! by the change, and the load is spread.
//!
//! Where the number of replicas changes, pairs don't come out even. A comer without a goer (N rises, or the ring had fewer members
//! than N) takes from all homes. The copies of a goer without a comer (N falls) would be lost by the change, and with them what only such
//! goers have acknowledged: so *everybody* who will be a home takes over what it has, those too who are homes already.
//!
//! Invariant: of the homes that had something before, as many as will be homes have it after, or all.
//!
//! Not here: the copying.

use super::position::Partition;
use super::preference::Ring;
use super::replication::{Replicas, TreeId};
use crate::id::NodeId;

/// What one node has to take over before the change may be finished.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Move {
    pub tree: TreeId,
    /// Who takes it: one that will be a home, or one that stays a home when there will be fewer.
    pub taker: NodeId,
    /// The homes that will be none and whose copies it takes over; empty if it takes from all homes.
    pub goers: Vec<NodeId>,
    /// Whether it is no home yet.
    pub is_comer: bool,
}

impl Ring {
    /// The first N of a preference list: the homes of a partition in the table in use.
    pub fn homes(&self, partition: Partition, n: usize) -> &[NodeId] {
        let list = self.partition_preference_list(partition);
        &list[..n.min(list.len())]
    }

    /// The first N of the list that a partition will have; none if no placement change is under way.
    pub fn next_homes(&self, partition: Partition, n: usize) -> Option<&[NodeId]> {
        let list = self.next_preference_list(partition)?;
        Some(&list[..n.min(list.len())])
    }

    /// The homes of the keys of a tree; nobody if there is no such class.
    pub fn homes_of(&self, tree: TreeId) -> &[NodeId] {
        let replicas = self.classes().replicas(tree.class);
        replicas.map_or(&[], |replicas| {
            self.homes(tree.partition, usize::from(replicas.now))
        })
    }

    /// The homes that the keys of a tree will have; nobody if no placement change is under way.
    pub fn next_homes_of(&self, tree: TreeId) -> &[NodeId] {
        let replicas = self.classes().replicas(tree.class);
        let homes = replicas
            .and_then(|replicas| self.next_homes(tree.partition, usize::from(replicas.next)));
        homes.unwrap_or_default()
    }

    /// Those that are not homes and will be, in walk order.
    pub fn comers(&self, partition: Partition, replicas: Replicas) -> impl Iterator<Item = NodeId> {
        let homes = self.homes(partition, usize::from(replicas.now));
        let next = self.next_homes(partition, usize::from(replicas.next));
        let next = next.unwrap_or_default().iter().copied();
        next.filter(move |node| !homes.contains(node))
    }

    /// The trees of a ring: each partition's, for each class.
    pub fn trees(&self) -> impl Iterator<Item = TreeId> {
        let partitions = self.partition_count().partitions();
        partitions.flat_map(|partition| self.trees_of(partition))
    }

    /// The trees of a partition.
    pub fn trees_of(&self, partition: Partition) -> impl Iterator<Item = TreeId> {
        let classes = self.classes().all();
        classes.map(move |class| TreeId { partition, class })
    }

    /// What has to be taken over for the placement change under way, by partition, class and place in the list to come.
    pub fn moves(&self) -> Vec<Move> {
        self.trees().flat_map(|tree| self.moves_of(tree)).collect()
    }

    fn moves_of(&self, tree: TreeId) -> Vec<Move> {
        let (homes, next) = (self.homes_of(tree), self.next_homes_of(tree));
        if next.is_empty() {
            return Vec::new();
        }
        let goers = homes.iter().copied().filter(|node| !next.contains(node));
        let goers: Vec<NodeId> = goers.collect();
        let comers = next.iter().filter(|node| !homes.contains(node)).count();
        let (paired, unpaired) = goers.split_at(comers.min(goers.len()));
        let mut paired = paired.iter().copied();
        let mut moves = Vec::new();
        for &taker in next {
            let is_comer = !homes.contains(&taker);
            let mut goers: Vec<NodeId> = Vec::new();
            if is_comer {
                goers.extend(paired.next());
            }
            goers.extend_from_slice(unpaired);
            if is_comer || !goers.is_empty() {
                moves.push(Move {
                    tree,
                    taker,
                    goers,
                    is_comer,
                });
            }
        }
        moves
    }
}
