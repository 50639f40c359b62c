//! A ring from another: the fewest moves that keep owners apart and shares right.
//!
//! To place partitions is to colour a circle: positions within a window of each other need
//! different colours, each colour has a quota, and the fewest positions may change. Nothing exact
//! is known that is quick, so this is a local search, *threshold accepting* (Dueck and Scheuer,
//! 1990): try a small change, keep it unless it makes things worse by more than a threshold that
//! sinks to nothing. Integers and a fixed seed only: the same answer on every machine.
//!
//! Two changes are tried. A **swap** gives two partitions each other's owners. A **chain** (after
//! Kempe, who coloured maps so) takes a partition from its owner to another, which makes the
//! other's partitions nearby go the opposite way, and so on: wherever it stops, no new conflict
//! is left. In a ring with owners to spare a chain is one partition long; in a tight one it
//! is what a swap cannot do.
//!
//! The search weighs faults against moves to find its way; what it *answers* is the best
//! arrangement it saw by strict order of priorities, [`Cost`]. It may stop before the optimum:
//! `assignment` states what is promised, and falls back on `spread` where this fails to keep owners
//! apart.
//!
//! Invariant: an arrangement's `cost` and `owned` always describe its `owners`; asserted when a
//! search ends.

use super::share::AssignmentGoal;

/// What is wrong with an arrangement, gravest first; the order is the priority.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cost {
    /// Pairs of partitions within a node window that have one owner.
    pub node_conflicts: usize,
    /// Partitions by which members are above their share rounded up or below it rounded down.
    pub misplaced_shares: usize,
    /// Pairs of partitions within a zone window whose owners share a zone.
    pub zone_conflicts: usize,
    /// Partitions whose owner is not the previous one.
    pub moves: usize,
}

impl Cost {
    /// What the search minimises, with a fault weighed as so many moves.
    fn energy(&self, fault: usize) -> usize {
        let faults = 2 * self.node_conflicts + self.misplaced_shares + self.zone_conflicts;
        fault * faults + self.moves
    }
}

/// What is asked: members are numbers into the goal's shares.
#[derive(Debug, Clone, Copy)]
pub(super) struct Task<'a> {
    pub goal: &'a AssignmentGoal,
    /// The owner of each partition until now, if it may still own.
    pub previous: &'a [Option<usize>],
    /// So many zone conflicts are as good as none: not worth moving partitions for.
    pub accepted_zone_conflicts: usize,
}

/// A cost as the task judges it; the least is the best.
pub(super) type Rank = (usize, usize, usize, usize, usize);

impl Task<'_> {
    /// Gravest first, zone conflicts only so far as they are not accepted; at last the accepted
    /// ones.
    pub(super) fn rank(&self, cost: Cost) -> Rank {
        let Cost {
            node_conflicts,
            misplaced_shares,
            zone_conflicts,
            moves,
        } = cost;
        let refused = zone_conflicts.saturating_sub(self.accepted_zone_conflicts);
        (
            node_conflicts,
            misplaced_shares,
            refused,
            moves,
            zone_conflicts,
        )
    }
}

/// An arrangement, with what it costs.
#[derive(Debug, Clone)]
pub(super) struct Arrangement<'a> {
    task: Task<'a>,
    owners: Vec<usize>,
    owned: Vec<usize>,
    cost: Cost,
}

impl<'a> Arrangement<'a> {
    pub(super) fn new(task: Task<'a>, owners: Vec<usize>) -> Self {
        let mut owned = vec![0; task.goal.shares.len()];
        for &owner in &owners {
            owned[owner] += 1;
        }
        let mut arrangement = Self {
            task,
            owners,
            owned,
            cost: Cost::default(),
        };
        arrangement.cost = arrangement.count_cost();
        arrangement
    }

    pub(super) fn cost(&self) -> Cost {
        self.cost
    }

    pub(super) fn into_owners(self) -> Vec<usize> {
        self.owners
    }

    /// The cost from nothing but the owners.
    fn count_cost(&self) -> Cost {
        let mut cost = Cost::default();
        for position in 0..self.owners.len() {
            let (nodes, zones) = self.conflicts_at(position, self.owners[position]);
            cost.node_conflicts += nodes;
            cost.zone_conflicts += zones;
            cost.moves += self.move_at(position, self.owners[position]);
        }
        // Each pair was met from both its ends.
        cost.node_conflicts /= 2;
        cost.zone_conflicts /= 2;
        cost.misplaced_shares = (0..self.owned.len())
            .map(|member| self.misplaced_share(member))
            .sum();
        cost
    }

    /// The conflicts that this owner has, or would have, here: with its like, with its zone.
    fn conflicts_at(&self, position: usize, owner: usize) -> (usize, usize) {
        let AssignmentGoal {
            node_window,
            zone_window,
            zone_of,
            ..
        } = self.task.goal;
        let zone = zone_of[owner];
        let (mut nodes, mut zones) = (0, 0);
        let (mut after, mut before) = (position, position);
        // No zone window is wider than the node window.
        for distance in 1..*node_window {
            after = self.clockwise(after);
            before = self.anticlockwise(before);
            for neighbour in [self.owners[after], self.owners[before]] {
                nodes += usize::from(neighbour == owner);
                zones += usize::from(distance < *zone_window && zone_of[neighbour] == zone);
            }
        }
        (nodes, zones)
    }

    fn clockwise(&self, position: usize) -> usize {
        if position + 1 == self.owners.len() {
            0
        } else {
            position + 1
        }
    }

    fn anticlockwise(&self, position: usize) -> usize {
        if position == 0 {
            self.owners.len() - 1
        } else {
            position - 1
        }
    }

    fn move_at(&self, position: usize, owner: usize) -> usize {
        usize::from(self.task.previous[position] != Some(owner))
    }

    fn misplaced_share(&self, member: usize) -> usize {
        let share = &self.task.goal.shares[member];
        let owned = self.owned[member];
        owned.saturating_sub(share.at_most()) + share.at_least().saturating_sub(owned)
    }

    fn is_at_fault(&self, position: usize) -> bool {
        let owner = self.owners[position];
        self.move_at(position, owner) > 0 || self.conflicts_at(position, owner) != (0, 0)
    }

    /// Gives one partition to a member, and keeps the accounts.
    fn give(&mut self, position: usize, to: usize) {
        let from = self.owners[position];
        if from == to {
            return;
        }
        self.cost.misplaced_shares -= self.misplaced_share(from) + self.misplaced_share(to);
        self.owned[from] -= 1;
        self.owned[to] += 1;
        self.cost.misplaced_shares += self.misplaced_share(from) + self.misplaced_share(to);

        let (nodes_gone, zones_gone) = self.conflicts_at(position, from);
        let (nodes_new, zones_new) = self.conflicts_at(position, to);
        self.cost.node_conflicts = self.cost.node_conflicts + nodes_new - nodes_gone;
        self.cost.zone_conflicts = self.cost.zone_conflicts + zones_new - zones_gone;
        self.cost.moves =
            self.cost.moves + self.move_at(position, to) - self.move_at(position, from);
        self.owners[position] = to;
    }
}

/// A search under way: tries changes on `now`, remembers the best.
pub(super) struct Search<'a> {
    now: Arrangement<'a>,
    best_rank: Rank,
    best_owners: Vec<usize>,
    /// How many moves a fault weighs.
    fault: usize,
    random: Random,
    /// The change that is being tried: positions, and the owners they had.
    tried: Vec<(usize, usize)>,
    /// For each position, the last chain that took it in.
    taken_in: Vec<u64>,
    chains: u64,
}

impl<'a> Search<'a> {
    /// Later rounds take other ways, and would rather move more than leave a fault. A fault never
    /// outweighs a whole ring of moves, or the search could not leave the first valley it finds.
    pub(super) fn new(start: Arrangement<'a>, round: u32) -> Self {
        let rows = start.owners.len();
        Self {
            best_rank: start.task.rank(start.cost),
            best_owners: start.owners.clone(),
            now: start,
            fault: 4 << round.min(4),
            random: Random::new(round),
            tried: Vec::new(),
            taken_in: vec![0; rows],
            chains: 0,
        }
    }

    /// The best arrangement found by touching about `effort` partitions, or the first that has no
    /// fault but accepted ones and `fewest_moves`.
    pub(super) fn run(mut self, effort: usize, fewest_moves: usize) -> Arrangement<'a> {
        let task = self.now.task;
        let accepted = task.accepted_zone_conflicts;
        let perfect = Cost {
            moves: fewest_moves,
            zone_conflicts: accepted,
            ..Cost::default()
        };
        // At first as much as one fault and a half is put up with.
        let first_threshold = self.fault * 3 / 2;
        let mut spent = 0;
        while spent < effort && self.best_rank > task.rank(perfect) {
            let threshold = self
                .random
                .below(first_threshold * (effort - spent) / effort + 1);
            let energy = self.now.cost.energy(self.fault);
            self.tried.clear();
            self.try_change();
            spent += 1 + self.tried.len();
            if self.now.cost.energy(self.fault) > energy + threshold {
                self.take_back();
            }
            let rank = task.rank(self.now.cost);
            if rank < self.best_rank {
                self.best_rank = rank;
                self.best_owners.copy_from_slice(&self.now.owners);
            }
        }
        let best = Arrangement::new(task, self.best_owners);
        assert_eq!(
            task.rank(best.cost),
            self.best_rank,
            "the accounts follow the owners"
        );
        best
    }

    fn try_change(&mut self) {
        let position = self.faulty_position();
        let heir = self.heir(position);
        if self.random.below(2) == 0 {
            return self.swap(position, heir);
        }
        self.chain(position, heir);
    }

    /// A position where something is wrong if a few throws find one, else any.
    fn faulty_position(&mut self) -> usize {
        let rows = self.now.owners.len();
        let throws = 8;
        (0..throws)
            .map(|_| self.random.below(rows))
            .find(|&position| self.now.is_at_fault(position))
            .unwrap_or_else(|| self.random.below(rows))
    }

    /// Whom to give a partition to: as often as not back to its previous owner.
    fn heir(&mut self, position: usize) -> usize {
        let anyone = self.random.below(self.now.owned.len());
        let back = self.random.below(2) == 0;
        self.now.task.previous[position]
            .filter(|_| back)
            .unwrap_or(anyone)
    }

    /// Gives the partition to the heir, and one of the heir's, if a few throws find one, to its
    /// owner.
    fn swap(&mut self, position: usize, heir: usize) {
        let rows = self.now.owners.len();
        let throws = 16;
        let owner = self.now.owners[position];
        let other = (0..throws)
            .map(|_| self.random.below(rows))
            .find(|&other| self.now.owners[other] == heir);
        self.change(position, heir);
        if let Some(other) = other {
            self.change(other, owner);
        }
    }

    /// Gives the partition to the heir; wherever that brings one of the heir's within a window of
    /// it, gives that one to the owner, and so on between these two.
    fn chain(&mut self, position: usize, heir: usize) {
        let owner = self.now.owners[position];
        if owner == heir {
            return;
        }
        self.chains += 1;
        self.taken_in[position] = self.chains;
        let rows = self.now.owners.len();
        let mut links = vec![position];
        let mut next = 0;
        while let Some(&link) = links.get(next) {
            let opposite = if self.now.owners[link] == owner {
                heir
            } else {
                owner
            };
            for distance in 1..self.now.task.goal.node_window {
                for near in [(link + distance) % rows, (link + rows - distance) % rows] {
                    if self.now.owners[near] == opposite && self.taken_in[near] != self.chains {
                        self.taken_in[near] = self.chains;
                        links.push(near);
                    }
                }
            }
            next += 1;
        }
        for link in links {
            let opposite = if self.now.owners[link] == owner {
                heir
            } else {
                owner
            };
            self.change(link, opposite);
        }
    }

    fn change(&mut self, position: usize, to: usize) {
        self.tried.push((position, self.now.owners[position]));
        self.now.give(position, to);
    }

    fn take_back(&mut self) {
        while let Some((position, owner)) = self.tried.pop() {
            self.now.give(position, owner);
        }
    }
}

/// Numbers without a pattern that matters here (Marsaglia's xorshift), the same in every run.
struct Random {
    state: u64,
}

impl Random {
    fn new(round: u32) -> Self {
        Self {
            state: 0x9E37_79B9_7F4A_7C15 ^ u64::from(round).wrapping_mul(0xD1B5_4A32_D192_ED03),
        }
    }

    /// A number from 0 to `bound` − 1.
    fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let bound = u128::try_from(bound).expect("a u128 holds a usize");
        let scaled = (u128::from(self.state) * bound) >> u64::BITS;
        usize::try_from(scaled).expect("below a usize")
    }
}
