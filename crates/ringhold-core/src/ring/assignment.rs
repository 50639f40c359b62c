//! Who owns which partition: a pure function of the members and of who owned what.
//!
//! The paper's strategy 3 (§6.2): Q equal partitions, Q/S to a node, and a node that comes takes
//! its share from the others, a node that goes gives its to them. [`assign`] decides which. Its
//! priorities, gravest first:
//!
//! 1. any window of consecutive partitions has distinct owners, the wrap-around included, for the
//!    widest window that so many members permit at all
//!    ([`node_window`](super::share::node_window));
//! 2. any zone window has owners in distinct zones, with as few exceptions as can be;
//! 3. each member owns its weighted share, rounded down or up;
//! 4. the fewest partitions move.
//!
//! Zones come before shares through the caps in `share`: zones that can alternate must. Once the
//! caps are set, shares hold, and the few exceptions that remain (three zones never divide a power
//! of two) are the zones'. Windows are made distinct for all or not promised: five nodes on 256
//! partitions keep windows of four everywhere, rather than windows of five but for one seam. That
//! leaves a ring some play, without which every change would have to move most of it.
//!
//! How: keep what may be kept, hand what is left to those who lack partitions, and mend by
//! `search`. If that does not reach what `spread` reaches from nothing, mend that one. What is
//! promised, and held by the property tests:
//!
//! - windows distinct and shares right: always;
//! - up to 16 partitions and few members: what an exhaustive search finds;
//! - above, zone exceptions: at most 2 + Q/64 more than a ring made from nothing has;
//! - moves, on one join or leave that leaves windows as they were, and the zones' shares to within
//!   a partition: at most twice as many as must move, and four, where there is *play*: no member's
//!   share is more than half of what the windows permit (ten equal nodes in one zone, for windows
//!   of five). In one zone with less play, with equal weights and a node more than the window: at
//!   most four times as many, and eight. What must move is about Q/(S+1) for a join, and what the
//!   leaver owned for a leave; with play, three changes in four move exactly that.
//!
//! Not promised: moves where a window grows (from five nodes to six, most of the ring has to be
//! put into another order), where zones take another share, or where a zone has no play.
//!
//! Not here: carrying partitions over (the document's `next` table), and whether a document is
//! valid.

use super::position::PartitionCount;
use super::search::{Arrangement, Cost, Search, Task};
use super::share::{AssignmentGoal, AssignmentMember, goal, quotas};
use super::spread::{spread, spread_by_zone};
use crate::id::NodeId;

/// How many partitions a search may touch for each one that there is.
const EFFORT_PER_PARTITION: usize = 1_000;
/// Rings up to this size are searched as if they had it: there it is cheap to be thorough.
const SMALL_RING: usize = 64;
/// So many searches at most, each from where the last one ended.
const ROUNDS: u32 = 4;
/// Up to this size only the best will do; above it a few zone exceptions are not worth moving the
/// ring for.
const EXACT_RING: usize = 16;

/// The owner of each partition.
///
/// `members` are those that may own afterwards, in any order; the answer does not depend on it.
/// `previous` is the table of owners until now, if there is one; those of its owners who are not
/// among the members lose all. Takes milliseconds for hundreds of partitions, a few seconds for
/// 4,096 in the worst case.
///
/// Panics without members, with two of one identity, with a weight of 0, or with a previous table
/// of another length than Q: `validation` refuses documents with any of these.
pub fn assign(
    members: &[AssignmentMember<'_>],
    partition_count: PartitionCount,
    previous: Option<&[NodeId]>,
    target_n: u8,
) -> Vec<NodeId> {
    let rows = partition_count.rows();
    let mut members = members.to_vec();
    members.sort_by_key(|member| member.id);
    assert!(
        members.windows(2).all(|pair| pair[0].id != pair[1].id),
        "identities are unique"
    );
    let goal = goal(&members, partition_count, target_n);

    let number = |owner: &NodeId| members.binary_search_by_key(owner, |member| member.id).ok();
    let previous: Vec<Option<usize>> = match previous {
        Some(owners) => owners.iter().map(number).collect(),
        None => vec![None; rows],
    };
    assert_eq!(
        previous.len(),
        rows,
        "the previous table has a row for each partition"
    );

    let owners = Assignment::new(&goal, &previous).run();
    owners
        .into_iter()
        .map(|member| members[member].id)
        .collect()
}

/// An assignment being made; members are numbers from here on.
struct Assignment<'a> {
    task: Task<'a>,
    rows: usize,
    /// What each member owned.
    owned: Vec<usize>,
    quotas: Vec<usize>,
    /// What must move whatever the arrangement, for the quotas.
    fewest_moves: usize,
}

impl<'a> Assignment<'a> {
    fn new(goal: &'a AssignmentGoal, previous: &'a [Option<usize>]) -> Self {
        let rows = previous.len();
        let mut owned = vec![0; goal.shares.len()];
        for &owner in previous.iter().flatten() {
            owned[owner] += 1;
        }
        let quotas = quotas(goal, &owned, rows);
        let stays: usize = owned
            .iter()
            .zip(&quotas)
            .map(|(owned, quota)| owned.min(quota))
            .sum();
        let accepted_zone_conflicts = if rows <= EXACT_RING { 0 } else { 2 + rows / 64 };
        let task = Task {
            goal,
            previous,
            accepted_zone_conflicts,
        };
        Self {
            task,
            rows,
            owned,
            quotas,
            fewest_moves: rows - stays,
        }
    }

    fn run(mut self) -> Vec<usize> {
        let anew = self.anew();
        self.task.accepted_zone_conflicts += anew.cost().zone_conflicts;
        let best = if self.owned.iter().all(|owned| *owned == 0) {
            anew
        } else {
            self.mend(anew)
        };
        let Cost {
            node_conflicts,
            misplaced_shares,
            ..
        } = best.cost();
        assert_eq!(
            (node_conflicts, misplaced_shares),
            (0, 0),
            "at worst, it is the one from nothing"
        );
        best.into_owners()
    }

    /// The better of what is mended from the previous owners, and, if need be, from this.
    fn mend(&self, anew: Arrangement<'a>) -> Arrangement<'a> {
        let kept = self.search(Arrangement::new(self.task, self.kept()));
        if self.is_good_enough(kept.cost()) {
            return kept;
        }
        let anew = self.search(anew);
        let anew_is_better = self.task.rank(anew.cost()) < self.task.rank(kept.cost());
        if anew_is_better { anew } else { kept }
    }

    /// A ring as if nobody had owned anything, its zones as far apart as they can be brought.
    fn anew(&self) -> Arrangement<'a> {
        let AssignmentGoal {
            shares,
            zone_of,
            zone_caps,
            ..
        } = self.task.goal;
        let nobody = vec![None; self.rows];
        let task = Task {
            previous: &nobody,
            ..self.task
        };
        let quotas = quotas(self.task.goal, &vec![0; shares.len()], self.rows);
        let by_node = Arrangement::new(task, spread(&quotas));
        assert_eq!(
            by_node.cost().node_conflicts,
            0,
            "quotas within the cap can be spread"
        );
        let by_zone = Arrangement::new(task, spread_by_zone(&quotas, zone_of, zone_caps.len()));
        let mut best = if by_zone.cost() < by_node.cost() {
            by_zone
        } else {
            by_node
        };
        if best.cost().zone_conflicts > task.accepted_zone_conflicts {
            best = Search::new(best, 0).run(self.effort(), self.rows);
        }
        Arrangement::new(self.task, best.into_owners())
    }

    /// Searches round by round, each from the best so far, until that is good enough.
    fn search(&self, start: Arrangement<'a>) -> Arrangement<'a> {
        let mut best = start;
        for round in 0..ROUNDS {
            if self.is_good_enough(best.cost()) {
                break;
            }
            let found = Search::new(best.clone(), round).run(self.effort(), self.fewest_moves);
            if self.task.rank(found.cost()) < self.task.rank(best.cost()) {
                best = found;
            }
        }
        best
    }

    fn effort(&self) -> usize {
        EFFORT_PER_PARTITION * self.rows.max(SMALL_RING)
    }

    /// Whether nothing is left to win, or too little to try for.
    fn is_good_enough(&self, cost: Cost) -> bool {
        let moves = self.fewest_moves + self.fewest_moves / 8;
        let good = Cost {
            moves,
            zone_conflicts: self.task.accepted_zone_conflicts,
            ..Cost::default()
        };
        let exact = self.rows <= SMALL_RING && cost.moves > self.fewest_moves;
        !exact && self.task.rank(cost) <= self.task.rank(good)
    }

    /// The previous owners but for what they own beyond their quotas, taken evenly around the
    /// circle; that goes to those who lack partitions, wherever it conflicts least.
    fn kept(&self) -> Vec<usize> {
        let mut owners = self.released();
        let mut lacking: Vec<usize> = self
            .owned
            .iter()
            .zip(&self.quotas)
            .map(|(owned, quota)| quota.saturating_sub(*owned))
            .collect();
        for row in 0..self.rows {
            if owners[row].is_some() {
                continue;
            }
            let heir = (0..lacking.len())
                .filter(|&member| lacking[member] > 0)
                .min_by_key(|&member| {
                    let (nodes, zones) = self.conflicts(&owners, row, member);
                    (nodes, zones, std::cmp::Reverse(lacking[member]))
                })
                .expect("as many partitions are lacking as were released");
            lacking[heir] -= 1;
            owners[row] = Some(heir);
        }
        owners
            .into_iter()
            .map(|owner| owner.expect("each was kept or handed on"))
            .collect()
    }

    /// The previous table, with none where a partition has to find another owner.
    fn released(&self) -> Vec<Option<usize>> {
        let mut owners = self.task.previous.to_vec();
        let mut seen = vec![0; self.owned.len()];
        for slot in &mut owners {
            let Some(owner) = *slot else { continue };
            let owned = self.owned[owner];
            let keeps = owned.min(self.quotas[owner]);
            let kept_before = seen[owner] * keeps / owned;
            seen[owner] += 1;
            if seen[owner] * keeps / owned == kept_before {
                *slot = None;
            }
        }
        owners
    }

    /// The conflicts that a member would have in a table that is not full yet: with its like, with
    /// its zone.
    fn conflicts(&self, owners: &[Option<usize>], row: usize, member: usize) -> (usize, usize) {
        let AssignmentGoal {
            node_window,
            zone_window,
            zone_of,
            ..
        } = self.task.goal;
        let (mut nodes, mut zones) = (0, 0);
        for distance in 1..*node_window {
            for near in [
                (row + distance) % self.rows,
                (row + self.rows - distance) % self.rows,
            ] {
                let Some(neighbour) = owners[near] else {
                    continue;
                };
                nodes += usize::from(neighbour == member);
                let one_zone = zone_of[neighbour] == zone_of[member];
                zones += usize::from(distance < *zone_window && one_zone);
            }
        }
        (nodes, zones)
    }
}
