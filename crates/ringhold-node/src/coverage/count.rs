//! Counting the keys of a bucket: R homes of each partition walk its rows, and only numbers travel.
//!
//! A walk over many rows takes long, so silence says little: it is a node that counts, or one that will never answer. After a while of it the next
//! home is asked as well, and whichever counts first counts. A silent node is given up when it is down by what this node hears of it otherwise.
//! Where nobody is left to ask, the answer names the partition.

use super::{CountedKeys, Coverage, KeyCount, PAGE_US, QueryFailed, class_asked};
use crate::env::{BoxFuture, CallError};
use crate::gather::{Arrival, Gather};
use ringhold_core::health::Standing;
use ringhold_core::id::NodeId;
use ringhold_core::ring::{Ring, TreeId};
use ringhold_wire::message::index::CountKeysRequest;
use ringhold_wire::message::peer::{Reply, Request};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// A node, and the partitions that it counts.
type Walk = (NodeId, Vec<u32>);

impl Coverage {
    /// Counts instead of handing out.
    pub(super) async fn count(self) -> Result<KeyCount, QueryFailed> {
        loop {
            if let Some(counted) = self.count_under(&self.node.ring()).await? {
                return Ok(counted);
            }
        }
    }

    /// By one placement; none if another one has come meanwhile.
    async fn count_under(&self, ring: &Ring) -> Result<Option<KeyCount>, QueryFailed> {
        let mut tally = self.tally(ring);
        let mut calls: Gather<Walk, Result<Reply, CallError>> =
            Gather::until(Arc::clone(&self.node.environment), self.deadline);
        loop {
            for walk in tally.next_walks() {
                let call = self.walk(&walk);
                calls.ask(walk, call);
            }
            if ring.placement_number() != self.placement_number() {
                return Ok(None);
            }
            if tally.is_settled() {
                return Ok(Some(tally.result()));
            }
            match calls.next_within(Some(PAGE_US)).await {
                Arrival::Reply((node, partitions), Ok(Reply::CountedKeys(counted))) => {
                    tally.counted(node, &partitions, &counted);
                }
                Arrival::Reply((node, partitions), _) => {
                    self.node.metrics.query_pages_failed.add(1);
                    tally.failed(node, &partitions);
                }
                Arrival::Silence => {
                    for (node, partitions) in calls.outstanding() {
                        if self.node.standing(*node) == Standing::Down {
                            tally.failed(*node, partitions);
                        } else {
                            tally.silent(*node, partitions);
                        }
                    }
                }
                Arrival::Nothing => return Err(QueryFailed::TimedOut),
            }
        }
    }

    fn tally(&self, ring: &Ring) -> Tally {
        let class = class_asked(ring, &self.query.bucket_type, self.query.bucket.as_ref());
        let partitions = ring.partition_count().partitions();
        let homes = partitions.map(|partition| {
            let tree = TreeId { partition, class };
            self.node.usable_homes(ring, tree)
        });
        Tally::of(homes, self.r)
    }

    fn walk(&self, (node, partitions): &Walk) -> BoxFuture<'static, Result<Reply, CallError>> {
        let request = Request::CountKeys(CountKeysRequest {
            partitions: partitions.clone(),
            bucket_type: self.query.bucket_type.clone(),
            bucket: self.query.bucket.clone().unwrap_or_default(),
            shows_one: self.shows_one,
        });
        self.node.call(*node, request, self.deadline)
    }
}

/// Who has counted which partition.
struct Tally {
    /// Counts that each partition needs.
    r: usize,
    partitions: Vec<Counting>,
}

/// One partition.
#[derive(Default)]
struct Counting {
    /// Homes that were not asked, the best first.
    others: VecDeque<NodeId>,
    awaited: BTreeSet<NodeId>,
    /// Those that are waited for, and have been silent for a while.
    silent: BTreeSet<NodeId>,
    counts: BTreeMap<NodeId, u64>,
}

impl Tally {
    fn of(homes: impl Iterator<Item = Vec<NodeId>>, r: usize) -> Self {
        let partitions = homes.map(|homes| Counting {
            others: homes.into(),
            ..Counting::default()
        });
        Self {
            r,
            partitions: partitions.collect(),
        }
    }

    /// Who is asked now: so many that R counts come if all of them answer. They are waited for from then on.
    fn next_walks(&mut self) -> BTreeMap<NodeId, Vec<u32>> {
        let mut asked: BTreeMap<NodeId, Vec<u32>> = BTreeMap::new();
        for (number, partition) in (0..).zip(&mut self.partitions) {
            while partition.counts.len() + partition.awaited.len() < self.r
                && let Some(node) = partition.others.pop_front()
            {
                partition.awaited.insert(node);
                asked.entry(node).or_default().push(number);
            }
        }
        asked
    }

    /// What a node has counted, in the order of the partitions; of some it may not know.
    fn counted(&mut self, node: NodeId, partitions: &[u32], counted: &CountedKeys) {
        self.failed(node, partitions);
        for (number, count) in partitions.iter().zip(&counted.counts) {
            if let Some(count) = count {
                let counts = &mut self.partitions[*number as usize].counts;
                counts.insert(node, *count);
            }
        }
    }

    /// A node is not waited for any longer.
    fn failed(&mut self, node: NodeId, partitions: &[u32]) {
        for number in partitions {
            let partition = &mut self.partitions[*number as usize];
            partition.awaited.remove(&node);
            partition.silent.remove(&node);
        }
    }

    /// A node has said nothing for a while.
    fn silent(&mut self, node: NodeId, partitions: &[u32]) {
        for number in partitions {
            let partition = &mut self.partitions[*number as usize];
            if partition.awaited.remove(&node) {
                partition.silent.insert(node);
            }
        }
    }

    /// Whether nothing more is needed, or can come.
    fn is_settled(&self) -> bool {
        self.partitions.iter().all(|partition| {
            let nobody = partition.awaited.is_empty() && partition.silent.is_empty();
            partition.counts.len() >= self.r || (nobody && partition.others.is_empty())
        })
    }

    fn result(&self) -> KeyCount {
        let partitions = self.partitions.iter();
        let most = partitions.map(|partition| partition.counts.values().max().copied());
        let few = (0..).zip(&self.partitions);
        let few = few.filter(|(_, partition)| partition.counts.len() < self.r);
        KeyCount {
            keys: most.map(Option::unwrap_or_default).sum(),
            missing: few.map(|(number, _)| number).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId(1);
    const B: NodeId = NodeId(2);
    const C: NodeId = NodeId(3);

    fn counted(counts: &[Option<u64>]) -> CountedKeys {
        CountedKeys {
            counts: counts.to_vec(),
        }
    }

    fn asked(tally: &mut Tally) -> Vec<Walk> {
        tally.next_walks().into_iter().collect()
    }

    #[test]
    fn the_next_home_counts_beside_one_that_is_silent() {
        let homes = [vec![A, B, C], vec![B, C, A]];
        let mut tally = Tally::of(homes.into_iter(), 2);
        let first = asked(&mut tally);
        assert_eq!(first, [(A, vec![0]), (B, vec![0, 1]), (C, vec![1])]);
        tally.counted(B, &[0, 1], &counted(&[Some(7), Some(2)]));
        assert!(asked(&mut tally).is_empty() && !tally.is_settled());
        tally.silent(A, &[0]);
        tally.silent(C, &[1]);
        assert_eq!(asked(&mut tally), [(A, vec![1]), (C, vec![0])]);
        tally.counted(C, &[0], &counted(&[Some(9)]));
        assert!(!tally.is_settled(), "of the other partition there is one");
        tally.counted(C, &[1], &counted(&[Some(1)]));
        assert!(tally.is_settled(), "whoever counts first counts");
        let result = tally.result();
        assert_eq!((result.keys, result.missing.len()), (9 + 2, 0));
    }

    #[test]
    fn a_partition_that_too_few_have_counted_is_named() {
        let homes = [vec![A, B], vec![A], vec![]];
        let mut tally = Tally::of(homes.into_iter(), 2);
        assert_eq!(asked(&mut tally), [(A, vec![0, 1]), (B, vec![0])]);
        tally.counted(A, &[0, 1], &counted(&[Some(3), None]));
        tally.silent(B, &[0]);
        assert!(!tally.is_settled(), "it may be counting");
        tally.failed(B, &[0]);
        assert!(tally.is_settled());
        let result = tally.result();
        assert_eq!(result.keys, 3);
        assert_eq!(result.missing, BTreeSet::from([0, 1, 2]));
    }
}
