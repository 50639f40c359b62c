//! Assignment against an exhaustive search, where rings are small enough for one.

use ringhold_core::id::NodeId;
use ringhold_core::ring::share::{goal, node_window};
use ringhold_core::ring::{AssignmentGoal, AssignmentMember, PartitionCount, assign};

const TARGET_N: u8 = 5;

fn count_of(count: u32) -> PartitionCount {
    PartitionCount::new(count).expect("a power of two within bounds")
}

/// Members 1, 2, … with these zones and weights.
fn members(of: &[(&'static str, u32)]) -> Vec<AssignmentMember<'static>> {
    of.iter()
        .zip(1..)
        .map(|(&(zone, weight), id)| AssignmentMember {
            id: NodeId(id),
            zone,
            weight,
        })
        .collect()
}

/// Tries every table without a node conflict whose shares are right; keeps the least (zone
/// conflicts, moves).
struct Exhaustive<'a> {
    members: &'a [AssignmentMember<'a>],
    goal: AssignmentGoal,
    previous: Option<&'a [NodeId]>,
    rows: usize,
    table: Vec<usize>,
    owned: Vec<usize>,
    best: Option<(usize, usize)>,
}

impl<'a> Exhaustive<'a> {
    fn new(
        members: &'a [AssignmentMember<'a>],
        partition_count: PartitionCount,
        previous: Option<&'a [NodeId]>,
    ) -> Self {
        Self {
            members,
            goal: goal(members, partition_count, TARGET_N),
            previous,
            rows: partition_count.rows(),
            table: Vec::new(),
            owned: vec![0; members.len()],
            best: None,
        }
    }

    fn best(mut self) -> (usize, usize) {
        self.descend((0, 0));
        self.best
            .expect("some table has distinct windows and right shares")
    }

    fn descend(&mut self, so_far: (usize, usize)) {
        if self.best.is_some_and(|best| so_far >= best) {
            return;
        }
        let row = self.table.len();
        if row == self.rows {
            let right =
                |(owned, share): (&usize, &ringhold_core::ring::Share)| *owned >= share.at_least();
            if self.owned.iter().zip(&self.goal.shares).all(right) {
                self.best = Some(so_far);
            }
            return;
        }
        for member in 0..self.members.len() {
            if self.owned[member] == self.goal.shares[member].at_most() {
                continue;
            }
            self.table.push(member);
            self.owned[member] += 1;
            if let Some((zones, moves)) = self.added(row) {
                self.descend((so_far.0 + zones, so_far.1 + moves));
            }
            self.owned[member] -= 1;
            self.table.pop();
        }
    }

    /// What the newest row adds: zone conflicts and moves, or none if it makes a node conflict.
    fn added(&self, row: usize) -> Option<(usize, usize)> {
        let owner = self.table[row];
        let mut zones = 0;
        for distance in 1..self.goal.node_window {
            let back = row.checked_sub(distance);
            let around = (row + distance).checked_sub(self.rows);
            for near in back.into_iter().chain(around) {
                let neighbour = self.table[near];
                if neighbour == owner {
                    return None;
                }
                let one_zone = self.members[neighbour].zone == self.members[owner].zone;
                zones += usize::from(distance < self.goal.zone_window && one_zone);
            }
        }
        let stayed = self
            .previous
            .is_none_or(|previous| previous[row] == self.members[owner].id);
        Some((zones, usize::from(!stayed)))
    }
}

/// Zone conflicts and moves of an answer, whose windows and shares are checked on the way.
fn measure(
    members: &[AssignmentMember<'_>],
    partition_count: PartitionCount,
    previous: Option<&[NodeId]>,
) -> ((usize, usize), Vec<NodeId>) {
    let owners = assign(members, partition_count, previous, TARGET_N);
    let mut replay = Exhaustive::new(members, partition_count, previous);
    let mut cost = (0, 0);
    for (row, owner) in owners.iter().enumerate() {
        let member = members.iter().position(|member| member.id == *owner);
        let member = member.expect("only members own");
        replay.table.push(member);
        replay.owned[member] += 1;
        let (zones, moves) = replay.added(row).expect("windows are distinct");
        cost = (cost.0 + zones, cost.1 + moves);
    }
    for (owned, share) in replay.owned.iter().zip(&replay.goal.shares) {
        assert!((share.at_least()..=share.at_most()).contains(owned));
    }
    (cost, owners)
}

/// Checks one step against the search; the answer is the next step's previous table.
fn check(
    members: &[AssignmentMember<'_>],
    partition_count: PartitionCount,
    previous: Option<&[NodeId]>,
) -> Vec<NodeId> {
    let (cost, owners) = measure(members, partition_count, previous);
    let best = Exhaustive::new(members, partition_count, previous).best();
    assert_eq!(
        cost, best,
        "(zone conflicts, moves) of {owners:?} after {previous:?}"
    );
    owners
}

#[test]
fn the_node_window_is_the_widest_that_any_table_has() {
    /// Whether some table of so many members has windows of this width.
    fn extends(table: &mut Vec<usize>, rows: usize, members: usize, width: usize) -> bool {
        let row = table.len();
        if row == rows {
            return true;
        }
        // Members that own nothing yet are alike: try one of them.
        let used = table.iter().max().map_or(0, |most| most + 1);
        (0..members.min(used + 1)).any(|member| {
            let clear = (1..width).all(|distance| {
                let back = row
                    .checked_sub(distance)
                    .is_none_or(|near| table[near] != member);
                let around = (row + distance).checked_sub(rows);
                back && around.is_none_or(|near| table[near] != member)
            });
            table.push(member);
            let found = clear && extends(table, rows, members, width);
            table.pop();
            found
        })
    }
    for count in [8, 16] {
        let partition_count = count_of(count);
        for members in 1..=9 {
            let widest = (1..=6.min(members))
                .rev()
                .find(|&width| extends(&mut Vec::new(), partition_count.rows(), members, width));
            let stated = node_window(members, partition_count, 6);
            assert_eq!(
                Some(stated),
                widest,
                "{members} members, {count} partitions"
            );
        }
    }
}

#[test]
fn growing_and_shrinking_moves_no_more_than_an_exhaustive_search() {
    let zonings: [&[(&str, u32)]; 6] = [
        &[("a", 1), ("a", 1), ("a", 1), ("a", 1), ("a", 1), ("a", 1)],
        &[("a", 3), ("a", 1), ("a", 2), ("a", 1), ("a", 1), ("a", 2)],
        &[("a", 1), ("b", 1), ("a", 1), ("b", 1), ("a", 1), ("b", 1)],
        &[("a", 1), ("b", 1), ("c", 1), ("a", 1), ("b", 1), ("c", 1)],
        &[("a", 1), ("a", 1), ("a", 1), ("b", 1), ("b", 1), ("c", 2)],
        &[("a", 2), ("b", 1), ("c", 1), ("d", 1), ("e", 3), ("f", 1)],
    ];
    for count in [8, 16] {
        for zoning in zonings {
            let members = members(zoning);
            let mut owners: Option<Vec<NodeId>> = None;
            for size in 1..=members.len() {
                owners = Some(check(&members[..size], count_of(count), owners.as_deref()));
            }
            for gone in 1..members.len() {
                owners = Some(check(&members[gone..], count_of(count), owners.as_deref()));
            }
        }
    }
}

#[test]
fn five_nodes_joining_a_ring_of_sixteen_at_once_keep_windows_distinct() {
    // Riak's own failing case: its claim left two partitions of one node at the tail of the ring
    // (T8).
    let members = members(&[("a", 1); 6]);
    let alone = assign(&members[..1], count_of(16), None, TARGET_N);
    let owners = check(&members, count_of(16), Some(&alone));
    assert_eq!(node_window(6, count_of(16), TARGET_N), 5);
    assert_eq!(
        alone
            .iter()
            .zip(&owners)
            .filter(|(before, after)| before == after)
            .count(),
        3
    );
    // And five from nothing, where windows of five cannot be: 16 is no multiple of 5.
    assert_eq!(node_window(5, count_of(16), TARGET_N), 4);
    check(&members[..5], count_of(16), None);
}
