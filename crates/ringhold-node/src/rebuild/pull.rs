//! One exchange of a rebuilding store: everything that another home has of a tree's keys and this one lacks.

use crate::anti_entropy::Exchange;
use crate::env::Deadline;
use crate::node::Node;
use ringhold_core::health::admission::Work;
use ringhold_core::id::NodeId;
use ringhold_core::ring::TreeId;
use ringhold_core::tree::Leaf;
use ringhold_core::version::Object;
use ringhold_wire::message::peer::{PageRequest, Reply, Request};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How long one page may take, in microseconds: as long as work in the background may have to wait for its turn at the other
/// end, and longer.
const PATIENCE_US: u64 = 30_000_000;

/// See the module.
pub(crate) struct Pull {
    node: Arc<Node>,
    tree: TreeId,
    home: NodeId,
    exchange: Exchange,
}

impl Pull {
    pub(crate) fn new(node: &Arc<Node>, tree: TreeId, home: NodeId) -> Self {
        Self {
            node: Arc::clone(node),
            tree,
            home,
            exchange: Exchange::new(node, tree, home),
        }
    }

    /// True once everything that the home had when this began is here, on disk.
    pub(crate) async fn run(self) -> bool {
        let Some(leaves) = self.exchange.differing_leaves().await else {
            return false;
        };
        for (first, last) in runs(&leaves) {
            if !self.take_over(first, last).await {
                return false;
            }
        }
        true
    }

    /// The objects of some leaves, page by page.
    async fn take_over(&self, first_leaf: u16, last_leaf: u16) -> bool {
        let mut cursor = bytes::Bytes::new();
        loop {
            let request = Request::Objects(PageRequest {
                partition: self.tree.partition.0,
                class: self.tree.class,
                first_leaf,
                last_leaf,
                cursor,
            });
            let deadline = Deadline::after(&*self.node.environment, PATIENCE_US);
            let reply = self.node.call(self.home, request, deadline).await;
            let Ok(Reply::Objects(page)) = reply else {
                return false;
            };
            // The home has taken its turn; here it is the merging that costs.
            let _turn = self.node.background.turn(Work::Rebuilding).await;
            let news = self.exchange.news(&page.objects);
            if self.exchange.merge_here(news.clone()).await > 0 {
                return false;
            }
            news.iter().for_each(|(_, object)| self.note(object));
            if page.cursor.is_empty() {
                return true;
            }
            cursor = page.cursor;
        }
    }

    fn note(&self, object: &Object) {
        let bytes = object.value_bytes() as u64;
        self.node.rebuild.objects.add(1);
        self.node.rebuild.object_bytes.add(bytes);
    }
}

/// Leaves that follow each other, as (first, last).
fn runs(leaves: &BTreeSet<Leaf>) -> Vec<(u16, u16)> {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for leaf in leaves {
        let number = u16::try_from(leaf.index()).expect("there are 1,024");
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_leaves_come_together() {
        let leaves = [0, 1, 2, 5, 7, 8, 1_023];
        let leaves = leaves.into_iter().filter_map(Leaf::new).collect();
        assert_eq!(runs(&leaves), [(0, 2), (5, 5), (7, 8), (1_023, 1_023)]);
        assert!(runs(&BTreeSet::new()).is_empty());
    }
}
