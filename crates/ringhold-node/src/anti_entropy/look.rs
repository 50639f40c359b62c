//! One look at partitions: what each primary counts, side by side.
//!
//! A look compares leaf by leaf, and primaries do not count at one moment. So what differs in a look may have been
//! on its way: only what differs again when everything of that time has arrived (or failed) is a difference. Who
//! looks again looks only where something differed, so the second look is quick, and few writes get in its way.

use super::count::{Counted, NotCounted};
use crate::env::{BoxFuture, Deadline};
use crate::gather::Gather;
use crate::node::Node;
use ringhold_core::id::NodeId;
use ringhold_core::ring::TreeId;
use ringhold_core::tree::LeafSum;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};

/// Partitions that are counted at once.
const PARTITIONS_AT_ONCE: usize = 8;

/// What is to be looked at: some leaves of a tree.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) tree: TreeId,
    pub(super) leaves: Vec<u16>,
    /// Whether index rows are looked at as well.
    pub(super) rows: bool,
}

/// What its primaries hold there, in the order of the preference list.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) place: Place,
    pub(super) primaries: Vec<(NodeId, Result<Counted, NotCounted>)>,
}

impl Look {
    /// The leaves of which not all that counted say the same, in order.
    pub(super) fn differing(&self) -> Vec<u16> {
        let sums: Vec<&[LeafSum]> = self
            .primaries
            .iter()
            .filter_map(|(_, counted)| Some(&*counted.as_ref().ok()?.sums))
            .collect();
        let leaves = self.place.leaves.iter().enumerate();
        leaves
            .filter(|(at, _)| sums.windows(2).any(|pair| pair[0][*at] != pair[1][*at]))
            .map(|(_, leaf)| *leaf)
            .collect()
    }

    /// The leaves to look at again, in order: those that differ, and those in which a primary found something wrong.
    pub(super) fn suspicious(&self) -> Vec<u16> {
        let mut leaves: BTreeSet<u16> = self.differing().into_iter().collect();
        for (_, counted) in &self.primaries {
            leaves.extend(counted.iter().flat_map(|counted| counted.faults.keys()));
        }
        leaves.into_iter().collect()
    }

    /// Takes what a later look at some of the leaves found in place of what was found before.
    pub(super) fn update(&mut self, later: Look) {
        let leaves = later.place.leaves;
        let places: Vec<usize> = leaves
            .iter()
            .map(|leaf| self.place.leaves.binary_search(leaf))
            .map(|at| at.expect("a later look is at a part"))
            .collect();
        for ((_, known), (_, found)) in self.primaries.iter_mut().zip(later.primaries) {
            match (known, found) {
                (Ok(known), Ok(found)) => {
                    for (at, sum) in places.iter().zip(found.sums) {
                        known.sums[*at] = sum;
                    }
                    known
                        .faults
                        .retain(|leaf, _| leaves.binary_search(leaf).is_err());
                    known.faults.extend(found.faults);
                }
                (known @ Ok(_), Err(reason)) => *known = Err(reason),
                // Not asked again for what it did not tell the first time.
                (Err(_), _) => {}
            }
        }
    }
}

impl Node {
    /// Looks at places, some at once, and hands on what is found as it is found. Ends early if nobody takes it.
    pub(super) fn look_at(
        self: &Arc<Self>,
        places: Vec<Place>,
        set_right: bool,
    ) -> mpsc::Receiver<Look> {
        let (found, looks) = mpsc::channel(PARTITIONS_AT_ONCE);
        let node = Arc::clone(self);
        self.environment.spawn(Box::pin(async move {
            let at_once = Arc::new(Semaphore::new(PARTITIONS_AT_ONCE));
            for place in places {
                let Ok(permit) = Arc::clone(&at_once).acquire_owned().await else {
                    return;
                };
                if found.is_closed() {
                    return;
                }
                let (looking, found) = (Arc::clone(&node), found.clone());
                node.environment.spawn(Box::pin(async move {
                    let look = looking.look(place, set_right).await;
                    // Whoever wanted to know may be gone.
                    found.send(look).await.ok();
                    drop(permit);
                }));
            }
        }));
        looks
    }

    async fn look(self: &Arc<Self>, place: Place, set_right: bool) -> Look {
        let homes = self.homes_of(place.tree);
        let mut calls = Gather::until(Arc::clone(&self.environment), Deadline { at_us: u64::MAX });
        for (at, home) in homes.iter().copied().enumerate() {
            let (node, place) = (Arc::clone(self), place.clone());
            let count: BoxFuture<'static, _> = Box::pin(async move {
                let counted = node.count_at(home, place.tree, &place.leaves, set_right);
                let mut counted = counted.await?;
                if place.rows {
                    counted.rows = Some(node.check_rows_at(home, place.tree, set_right).await);
                }
                Ok(counted)
            });
            calls.ask(at, count);
        }
        let mut primaries: Vec<_> = homes
            .into_iter()
            .map(|home| (home, Err(NotCounted::NoAnswer)))
            .collect();
        while let Some((at, counted)) = calls.next().await {
            primaries[at].1 = counted;
        }
        Look { place, primaries }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringhold_core::ring::{Class, Partition};
    use ringhold_wire::message::peer::LeafFault;

    fn sum(number: u128) -> LeafSum {
        LeafSum {
            sum: number,
            keys: 1,
        }
    }

    fn look(leaves: &[u16], primaries: &[Option<&[u128]>]) -> Look {
        let counted = |sums: &[u128]| Counted {
            sums: sums.iter().copied().map(sum).collect(),
            ..Counted::default()
        };
        let primaries = primaries.iter().zip(1..);
        let primaries = primaries.map(|(sums, id)| {
            let counted = sums.map(counted).ok_or(NotCounted::Unreachable);
            (NodeId(id), counted)
        });
        Look {
            place: Place {
                tree: TreeId {
                    partition: Partition(0),
                    class: Class::DEFAULT,
                },
                leaves: leaves.to_vec(),
                rows: false,
            },
            primaries: primaries.collect(),
        }
    }

    #[test]
    fn whoever_differs_makes_a_leaf_differ() {
        let equal = look(&[3, 5], &[Some(&[1, 2]), Some(&[1, 2]), Some(&[1, 2])]);
        assert!(equal.differing().is_empty());
        let third = look(&[3, 5], &[Some(&[1, 2]), Some(&[1, 2]), Some(&[1, 7])]);
        assert_eq!(third.differing(), [5]);
        let across_a_gap = look(&[3, 5], &[Some(&[1, 2]), None, Some(&[9, 2])]);
        assert_eq!(across_a_gap.differing(), [3]);
    }

    #[test]
    fn what_is_wrong_by_itself_is_looked_at_again() {
        let fault = |leaf| LeafFault {
            leaf,
            unreadable: 1,
            wrong_sum: false,
        };
        let mut first = look(&[3, 5, 6], &[Some(&[1, 2, 3]), Some(&[1, 2, 3])]);
        let counted = first.primaries[1].1.as_mut().expect("it counted");
        counted.faults.insert(5, fault(5));
        counted.faults.insert(6, fault(6));
        assert!(first.differing().is_empty());
        assert_eq!(first.suspicious(), [5, 6]);
        first.update(look(&[5], &[Some(&[2]), Some(&[2])]));
        assert_eq!(first.suspicious(), [6]);
    }

    #[test]
    fn a_later_look_counts() {
        let mut first = look(&[3, 5, 6], &[Some(&[1, 2, 3]), Some(&[1, 9, 3]), None]);
        first.update(look(&[5], &[Some(&[4]), Some(&[4]), Some(&[8])]));
        assert!(first.suspicious().is_empty());
        assert_eq!(
            first.primaries[2].1.as_ref().err(),
            Some(&NotCounted::Unreachable)
        );
        first.update(look(&[5], &[Some(&[4]), None, None]));
        assert!(first.primaries[1].1.is_err(), "silence is no agreement");
    }
}
