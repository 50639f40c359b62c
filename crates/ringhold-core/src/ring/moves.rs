//! Which replicas a placement change moves, and from whom.
//!
//! A change of one row of the table of owners changes the homes of several partitions, because a key's N homes are the owners
//! that a walk meets. So what moves is worked out from the preference lists, before and after: of each partition, *goers* are homes that
//! will be none, *comers* are nodes that will be. They are paired in walk order, and a comer copies from its goer what that
//! one has: so no copy of anything gets lost by the change, and the load is spread. A comer without a goer (the ring
//! had fewer members than N) takes from all homes.
//!
//! Not here: the copying.

use super::position::Partition;
use super::preference::Ring;
use crate::id::NodeId;

/// One replica of one partition that is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Move {
    pub partition: Partition,
    pub comer: NodeId,
    /// Who will not be a home any more; none where the number of replicas rises.
    pub goer: Option<NodeId>,
}

impl Ring {
    /// The first N of a preference list: the homes of a partition in the table in use.
    pub fn homes(&self, partition: Partition, n: usize) -> &[NodeId] {
        let list = self.partition_preference_list(partition);
        &list[..n.min(list.len())]
    }

    /// The homes that a partition will have; none if no placement change is under way.
    pub fn next_homes(&self, partition: Partition, n: usize) -> Option<&[NodeId]> {
        let list = self.next_preference_list(partition)?;
        Some(&list[..n.min(list.len())])
    }

    /// Those that are not homes of a partition and will be, in walk order.
    pub fn comers(&self, partition: Partition, n: usize) -> impl Iterator<Item = NodeId> {
        let homes = self.homes(partition, n);
        let next = self.next_homes(partition, n).unwrap_or_default();
        next.iter()
            .copied()
            .filter(move |node| !homes.contains(node))
    }

    /// The replicas that the placement change under way makes, by partition and in walk order.
    pub fn moves(&self, n: usize) -> Vec<Move> {
        let partitions = self.partition_count().partitions();
        partitions
            .flat_map(|partition| self.moves_of(partition, n))
            .collect()
    }

    fn moves_of(&self, partition: Partition, n: usize) -> Vec<Move> {
        let next = self.next_homes(partition, n).unwrap_or_default();
        let homes = self.homes(partition, n).iter().copied();
        let mut goers = homes.filter(|node| !next.contains(node));
        let comers = self.comers(partition, n);
        let comers: Vec<NodeId> = comers.collect();
        comers
            .into_iter()
            .map(|comer| Move {
                partition,
                comer,
                goer: goers.next(),
            })
            .collect()
    }
}
