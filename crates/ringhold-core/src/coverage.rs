//! Coverage: asking enough replicas of every partition for what all of them know together.
//!
//! A get asks R replicas of one key. A listing or an index query has no key, so it asks R homes of *every* partition (§4.5 for
//! each of them), and every asked node walks its part of an index in one order. What comes back is sorted runs, which are merged as they come: no
//! more than a page of each node is ever held.
//!
//! An acknowledged write is on W replicas, so with R + W > N one of the R that are asked has its rows. Where all R agree on a row,
//! it stands. Where they don't, one of them is behind, and a row alone does not say which: the entry may have been taken away, or not have come
//! yet. Such rows are *in question*, and settled by reading the key.
//!
//! Where fewer than R homes of a partition can be asked, the answer has what those few say, and names the partition: it is
//! never called complete.
//!
//! A client may cut a query into [shares](Share) of the ring and ask for them one by one, or all at once at different nodes. A share is an arc,
//! whoever its homes are: no change of the ring makes two of them overlap, or leaves a gap between them.

use crate::id::NodeId;
use crate::ring::{Partition, PartitionCount, Position};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

/// Who is asked for which partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// For each node its partitions, ascending.
    pub asked: BTreeMap<NodeId, Vec<u32>>,
    /// Of each partition how many nodes are asked.
    pub replicas: Vec<usize>,
    /// Partitions of which fewer than R homes can be asked.
    pub missing: BTreeSet<u32>,
}

/// Picks R homes of each partition, those that come first. `homes` has the usable homes of each partition in the order of
/// preference.
#[must_use]
pub fn plan(homes: &[Vec<NodeId>], r: usize) -> Plan {
    let mut plan = Plan::default();
    for (partition, homes) in (0..).zip(homes) {
        let picked = &homes[..homes.len().min(r)];
        for &node in picked {
            plan.asked.entry(node).or_default().push(partition);
        }
        plan.replicas.push(picked.len());
        if picked.len() < r {
            plan.missing.insert(partition);
        }
    }
    plan
}

/// The longest prefix of a share: nobody needs more shares than this makes.
pub const SHARE_BITS_MAX: u32 = 16;

/// A part of the ring that a query is about: the positions that begin with these bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share {
    bits: u32,
    number: u32,
}

impl Share {
    /// The whole ring.
    pub const ALL: Self = Self { bits: 0, number: 0 };

    /// The share with a number among the 2^`bits` equal ones; none if there is no such share.
    #[must_use]
    pub fn new(bits: u32, number: u32) -> Option<Self> {
        let exists = bits <= SHARE_BITS_MAX && number < 1 << bits;
        exists.then_some(Self { bits, number })
    }

    /// How many bits its positions begin with.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.bits
    }

    /// Which bits those are.
    #[must_use]
    pub fn number(self) -> u32 {
        self.number
    }

    /// Whether a position is in it.
    #[must_use]
    pub fn contains(self, position: Position) -> bool {
        self.bits == 0 || position.0 >> (u128::BITS - self.bits) == u128::from(self.number)
    }

    /// Whether some positions of a partition are in it.
    #[must_use]
    pub fn meets(self, partitions: PartitionCount, partition: Partition) -> bool {
        let bits = self.bits.min(partitions.bits());
        self.number >> (self.bits - bits) == partition.0 >> (partitions.bits() - bits)
    }

    /// Whether it has but some positions of the partitions that it meets.
    #[must_use]
    pub fn cuts(self, partitions: PartitionCount) -> bool {
        self.bits > partitions.bits()
    }
}

/// Why there is no plan of shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoShares {
    /// More are wanted than there can be.
    TooMany { max: u32 },
    /// So many of the partitions have somebody to ask.
    Uncovered { covered: usize, partitions: usize },
}

impl fmt::Display for NoShares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany { max } => write!(f, "min_partitions is at most {max}"),
            Self::Uncovered {
                covered,
                partitions,
            } => write!(f, "{{insufficient_vnodes,{covered},need,{partitions}}}"),
        }
    }
}

/// Cuts the ring into shares for a client to ask for, each with the node that is asked: at least as many as there are partitions, so that each is
/// of one, and as the client wants. `homes` has whom one can ask about each partition; whoever has least to do is taken.
///
/// # Errors
/// See [`NoShares`].
pub fn shares(homes: &[Vec<NodeId>], shares_min: u32) -> Result<Vec<(Share, NodeId)>, NoShares> {
    let covered = homes.iter().filter(|homes| !homes.is_empty()).count();
    let partitions = homes.len();
    if covered < partitions {
        return Err(NoShares::Uncovered {
            covered,
            partitions,
        });
    }
    let max = 1 << SHARE_BITS_MAX;
    let wanted = usize::try_from(shares_min).unwrap_or(usize::MAX);
    let count = wanted.max(partitions).max(1);
    if count > max as usize {
        return Err(NoShares::TooMany { max });
    }
    let bits = count.next_power_of_two().ilog2();
    let mut work: BTreeMap<NodeId, usize> = BTreeMap::new();
    let all = 0..1_u32 << bits;
    let shared = all.map(|number| {
        let at = (number as usize * partitions) >> bits;
        let asked = |node: &&NodeId| work.get(*node).copied().unwrap_or(0);
        let node = homes[at].iter().min_by_key(asked);
        let node = *node.expect("every partition has somebody");
        *work.entry(node).or_default() += 1;
        (Share { bits, number }, node)
    });
    Ok(shared.collect())
}

/// One node's run of rows: what has come of it and was not taken yet.
#[derive(Clone, Debug, Default)]
struct Run {
    rows: VecDeque<(Bytes, Bytes)>,
    /// Whether nothing comes any more.
    ended: bool,
}

/// A row, and how many of the asked nodes have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Where it stands in the order.
    pub place: Bytes,
    pub row: Bytes,
    pub nodes: usize,
}

/// Runs on their way into one.
#[derive(Clone, Debug, Default)]
pub struct Merge {
    runs: BTreeMap<NodeId, Run>,
}

impl Merge {
    /// Of these nodes.
    #[must_use]
    pub fn of(nodes: impl Iterator<Item = NodeId>) -> Self {
        Self {
            runs: nodes.map(|node| (node, Run::default())).collect(),
        }
    }

    /// Nodes of which a page is needed before another row can be taken.
    #[must_use]
    pub fn wanting(&self) -> Vec<NodeId> {
        let runs = self.runs.iter();
        let wanting = runs.filter(|(_, run)| run.rows.is_empty() && !run.ended);
        wanting.map(|(node, _)| *node).collect()
    }

    /// A page of a node has come: rows with their places, behind all that came before, ascending.
    pub fn add(&mut self, node: NodeId, rows: impl Iterator<Item = (Bytes, Bytes)>, ended: bool) {
        let run = self.runs.entry(node).or_default();
        run.rows.extend(rows);
        run.ended = ended;
    }

    /// The next row in the order; none as long as a node is wanting, and after the last.
    pub fn next_row(&mut self) -> Option<Merged> {
        if !self.wanting().is_empty() {
            return None;
        }
        let heads = self.runs.values().filter_map(|run| run.rows.front());
        let (place, row) = heads.min()?.clone();
        let mut nodes = 0;
        for run in self.runs.values_mut() {
            while run
                .rows
                .pop_front_if(|(other, _)| *other <= place)
                .is_some()
            {
                nodes += 1;
            }
        }
        Some(Merged { place, row, nodes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    fn rows(text: &'static str) -> impl Iterator<Item = (Bytes, Bytes)> {
        text.split_terminator(' ')
            .map(|row| (bytes(row), bytes(row)))
    }

    #[test]
    fn r_homes_of_each_partition_are_asked() {
        let [a, b, c] = [NodeId(1), NodeId(2), NodeId(3)];
        let homes = [vec![a, b, c], vec![c, a], vec![b], vec![]];
        let plan = plan(&homes, 2);
        assert_eq!(plan.asked[&a], [0, 1]);
        assert_eq!(plan.asked[&b], [0, 2]);
        assert_eq!(plan.asked[&c], [1]);
        assert_eq!(plan.replicas, [2, 2, 1, 0]);
        assert_eq!(plan.missing, BTreeSet::from([2, 3]));
    }

    #[test]
    fn every_position_is_in_one_share_and_the_shares_of_a_plan_are_all() {
        let [a, b, c] = [NodeId(1), NodeId(2), NodeId(3)];
        let partitions = PartitionCount::new(8).expect("a power of two");
        let homes: Vec<Vec<NodeId>> = (0..8)
            .map(|at| if at % 2 == 0 { vec![a, b] } else { vec![b, c] })
            .collect();
        for (wanted, count) in [(0, 8), (8, 8), (9, 16), (100, 128)] {
            let plan = shares(&homes, wanted).expect("all are covered");
            assert_eq!(plan.len(), count);
            let mut work = BTreeMap::new();
            for (share, node) in &plan {
                *work.entry(*node).or_insert(0) += 1;
                let met: Vec<Partition> = partitions
                    .partitions()
                    .filter(|partition| share.meets(partitions, *partition))
                    .collect();
                let [partition] = met[..] else {
                    panic!("{share:?} meets {met:?}");
                };
                assert!(homes[partition.index()].contains(node));
            }
            let (least, most) = (work.values().min(), work.values().max());
            assert!(most <= least.map(|least| 2 * least).as_ref(), "{work:?}");
            for number in 0..1_000_u128 {
                let position = Position(number.wrapping_mul(u128::MAX / 997));
                let partition = partitions.partition_of(position);
                let has_it: Vec<Share> = plan
                    .iter()
                    .map(|(share, _)| *share)
                    .filter(|share| share.contains(position))
                    .collect();
                assert_eq!(has_it.len(), 1, "{position:?}: {has_it:?}");
                assert!(has_it[0].meets(partitions, partition));
            }
        }
        assert!(Share::ALL.contains(Position(u128::MAX)));
        assert!(Share::ALL.meets(partitions, Partition(7)));
    }

    #[test]
    fn there_is_no_plan_without_somebody_for_each_partition() {
        let homes = [vec![NodeId(1)], vec![]];
        let refused = shares(&homes, 1).map_err(|none| none.to_string());
        assert_eq!(refused, Err("{insufficient_vnodes,1,need,2}".to_owned()));
        let refused = shares(&homes[..1], u32::MAX);
        assert_eq!(refused, Err(NoShares::TooMany { max: 65_536 }));
        assert!(Share::new(4, 16).is_none() && Share::new(17, 0).is_none());
    }

    #[test]
    fn runs_become_one_in_order_and_each_row_comes_once() {
        let [a, b] = [NodeId(1), NodeId(2)];
        let mut merge = Merge::of([a, b].into_iter());
        assert_eq!(merge.wanting(), [a, b]);
        merge.add(a, rows("b d"), false);
        assert_eq!(merge.next_row(), None, "b may have something before it");
        merge.add(b, rows("a b"), true);
        let mut taken = Vec::new();
        loop {
            while let Some(Merged { row, nodes, .. }) = merge.next_row() {
                taken.push((row, nodes));
            }
            match merge.wanting()[..] {
                [] => break,
                [node] => merge.add(node, rows("e "), true),
                _ => panic!("b has ended"),
            }
        }
        let expected = [("a", 1), ("b", 2), ("d", 1), ("e", 1)];
        assert_eq!(taken, expected.map(|(row, nodes)| (bytes(row), nodes)));
    }
}
