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

use crate::id::NodeId;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

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
