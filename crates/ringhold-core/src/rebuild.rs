//! Whether a store may say "not found" (T18).
//!
//! A disk that was replaced, a directory that was put back from a copy, a log with a hole: a store like this lacks
//! keys that the node once promised to have, and its "not found" is worth nothing. Counted towards R it would make
//! acknowledged writes disappear from reads, although as many disks have them as were promised. So such a store
//! says "don't know" until it has compared itself with every other home of its partitions.
//!
//! A store that is merely *new*, because the cluster is, looks the same from inside: empty. The others tell. Every start
//! of a node is told to all members ([`boot`](crate::boot)), and a new store takes nothing before at least half of the others
//! remember it. So if more than half of the others have never heard of the node, and none has, it never had anything.
//!
//! The keys of a partition that have the same homes (a *tree*) are known again once an exchange with each other home is done, whether or not that home is itself being
//! rebuilt: whatever the node had acknowledged with others is at one of them, unless as many disks were lost as
//! had promised it. A home that is gone for good would be waited for for ever, so an operator may do without it.
//!
//! Not here: how the exchanges are done, and what is kept of the outcome; see `rebuild` in the node.

use crate::boot::Inquiry;
use crate::id::NodeId;
use crate::ring::{Partition, TreeId};
use std::collections::{BTreeMap, BTreeSet};

/// What the other members' words make of an empty store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Newness {
    /// Too few have answered.
    Open,
    /// The node is new: nobody knows anything that its store lacks.
    New,
    /// Somebody knew this node with another store.
    Known,
}

/// What follows for a store that was created at this start.
#[must_use]
pub fn newness(inquiry: &Inquiry) -> Newness {
    if inquiry.is_contradicted() || inquiry.confirming() > 0 {
        Newness::Known
    } else if inquiry.members() == 0 || 2 * inquiry.ignorant() > inquiry.members() {
        Newness::New
    } else {
        Newness::Open
    }
}

/// The exchanges that a rebuilding store still has before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outstanding {
    homes: BTreeMap<TreeId, BTreeSet<NodeId>>,
}

impl Outstanding {
    /// Of each tree of whose keys the node is a home, the other homes.
    #[must_use]
    pub fn new(homes: impl IntoIterator<Item = (TreeId, BTreeSet<NodeId>)>) -> Self {
        Self {
            homes: homes.into_iter().collect(),
        }
    }

    /// The trees whose keys are known by now; they are not named again.
    pub fn take_settled(&mut self) -> Vec<TreeId> {
        let settled: Vec<TreeId> = self
            .homes
            .iter()
            .filter(|(_, homes)| homes.is_empty())
            .map(|(tree, _)| *tree)
            .collect();
        for tree in &settled {
            self.homes.remove(tree);
        }
        settled
    }

    /// An exchange was done.
    pub fn done(&mut self, tree: TreeId, home: NodeId) {
        if let Some(homes) = self.homes.get_mut(&tree) {
            homes.remove(&home);
        }
    }

    /// An operator has decided that this node will not be waited for.
    pub fn without(&mut self, home: NodeId) {
        for homes in self.homes.values_mut() {
            homes.remove(&home);
        }
    }

    /// The exchanges that are left. First one of each tree, then the next one of each: whatever comes from one home
    /// need not come from the others. Where a tree begins differs, so that no home has to send nearly everything.
    #[must_use]
    pub fn pairs(&self) -> Vec<(TreeId, NodeId)> {
        let mut pairs: Vec<(usize, TreeId, NodeId)> = Vec::new();
        for (tree, homes) in &self.homes {
            let first = usize::try_from(tree.partition.0).unwrap_or(0);
            for (at, home) in homes.iter().enumerate() {
                pairs.push(((first + at) % homes.len(), *tree, *home));
            }
        }
        pairs.sort_unstable();
        pairs
            .into_iter()
            .map(|(_, tree, home)| (tree, home))
            .collect()
    }

    /// Trees whose keys are not known yet.
    #[must_use]
    pub fn trees(&self) -> usize {
        self.homes.len()
    }

    /// Partitions with keys that are not known yet.
    #[must_use]
    pub fn partitions(&self) -> usize {
        let partitions: BTreeSet<Partition> =
            self.homes.keys().map(|tree| tree.partition).collect();
        partitions.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::{Boot, Testimony};
    use crate::id::BootId;
    use crate::ring::Class;

    fn tree(number: u32) -> TreeId {
        TreeId {
            partition: Partition(number),
            class: Class::DEFAULT,
        }
    }

    fn inquiry(members: usize, said: &[Testimony]) -> Inquiry {
        let mut inquiry = Inquiry::among(members);
        for (member, testimony) in said.iter().enumerate() {
            inquiry.hear(NodeId(member as u128), *testimony);
        }
        inquiry
    }

    #[test]
    fn a_store_is_new_if_most_have_never_heard_of_its_node_and_none_has() {
        use Testimony::{Earlier, Later, Nothing};
        let later = Later(Boot {
            number: 7,
            id: BootId(1),
        });
        for (members, said, expected) in [
            (0, &[][..], Newness::New),
            (1, &[], Newness::Open),
            (1, &[Nothing], Newness::New),
            (2, &[], Newness::Open),
            (2, &[Nothing], Newness::Open),
            (2, &[Nothing, Nothing], Newness::New),
            (4, &[Nothing, Nothing], Newness::Open),
            (4, &[Nothing, Nothing, Nothing], Newness::New),
            (4, &[Nothing, Nothing, Nothing, later], Newness::Known),
            (4, &[later], Newness::Known),
            (4, &[Earlier], Newness::Known),
        ] {
            let found = newness(&inquiry(members, said));
            assert_eq!(found, expected, "{members} others said {said:?}");
        }
    }

    #[test]
    fn every_partition_has_one_exchange_before_any_has_two() {
        let homes: BTreeSet<NodeId> = [NodeId(8), NodeId(9)].into();
        let outstanding = Outstanding::new((0..4).map(|number| (tree(number), homes.clone())));
        let pairs = outstanding.pairs();
        let (first, second) = pairs.split_at(4);
        assert!(first.iter().map(|(tree, _)| tree.partition.0).eq(0..4));
        assert!(second.iter().map(|(tree, _)| tree.partition.0).eq(0..4));
        let of_eight = first.iter().filter(|(_, home)| *home == NodeId(8)).count();
        assert_eq!(of_eight, 2, "both send something");
    }

    /// Of an earlier store of the node so many had to know before it took anything; of those who say that they never heard
    /// of the node one would be among them.
    #[test]
    fn no_store_that_took_anything_is_forgotten() {
        use Testimony::Nothing;
        for members in 0..8_usize {
            let told = (0..=members)
                .find(|&told| inquiry(members, &vec![Nothing; told]).is_known_to_half())
                .expect("all of them are enough");
            let ignorant = (0..=members)
                .find(|&said| newness(&inquiry(members, &vec![Nothing; said])) == Newness::New)
                .expect("all of them are enough");
            assert!(
                members == 0 || told + ignorant > members,
                "{members} others"
            );
        }
    }

    #[test]
    fn a_partition_is_known_after_an_exchange_with_each_other_home() {
        let homes = |ids: &[u128]| ids.iter().copied().map(NodeId).collect::<BTreeSet<_>>();
        let mut outstanding = Outstanding::new([
            (tree(1), homes(&[2, 3])),
            (tree(2), homes(&[3, 4])),
            (tree(5), homes(&[])),
        ]);
        assert_eq!(
            outstanding.take_settled(),
            [tree(5)],
            "it has no other home"
        );
        outstanding.done(tree(1), NodeId(2));
        outstanding.done(tree(1), NodeId(2));
        assert!(
            outstanding.take_settled().is_empty(),
            "one of two is not all"
        );
        outstanding.done(tree(1), NodeId(3));
        assert_eq!(outstanding.take_settled(), [tree(1)]);
        outstanding.without(NodeId(4));
        assert_eq!(outstanding.pairs(), [(tree(2), NodeId(3))]);
        outstanding.done(tree(2), NodeId(3));
        assert_eq!(outstanding.take_settled(), [tree(2)]);
        assert_eq!(outstanding.partitions(), 0);
    }
}
