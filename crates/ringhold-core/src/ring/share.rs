//! How far apart owners can be kept, and how many partitions each may own.
//!
//! Two questions are answered here before a single partition is placed, by arithmetic alone.
//!
//! **How wide can windows be?** With w the width, no node may come back within w partitions, so
//! a node owns at most ⌊Q/w⌋ of them, and S nodes can fill the ring only if S·⌊Q/w⌋ ≥ Q. That is
//! also enough: `spread` builds such a ring for every set of quotas within that cap. So
//! [`node_window`] is exact: the widest window, up to the target, that can be distinct everywhere,
//! the wrap-around included. (A ring of 16 with 5 nodes allows 4, with 6 nodes 5; three nodes on
//! a power of two allow only 2, since 3 does not divide it.)
//!
//! **What is each one's share?** Progressive filling: every member's share rises in proportion to
//! its weight, until it meets the cap of its node or of its zone and stays there while the others
//! go on. Where no cap is met, that is exactly Q·weight/total. Zones that must alternate in
//! windows of z have a cap of ⌈Q/z⌉; z is the widest that the zones' nodes can fill, so one
//! small zone does not drag the whole ring to its size.
//!
//! Invariants: shares sum to Q; a quota is its share rounded down or up; no quota exceeds ⌊Q/w⌋;
//! no zone's quotas exceed its cap. All in integers: the same on every machine.
//!
//! Not here: which partitions (`spread`, `search`).

use std::cmp::{Ordering, Reverse};

use super::position::PartitionCount;
use crate::id::NodeId;

/// A member as assignment sees it: any that may own partitions after the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AssignmentMember<'a> {
    pub id: NodeId,
    /// Data centre or failure domain; members with equal text share one.
    pub zone: &'a str,
    /// Capacity relative to the others; at least 1.
    pub weight: u32,
}

/// What an assignment has to reach for these members; see the module's essay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignmentGoal {
    /// This many consecutive partitions, wherever they begin, have distinct owners. At least 1.
    pub node_window: usize,
    /// This many have owners in distinct zones, but for as few exceptions as can be. At least 1.
    pub zone_window: usize,
    /// Each member's share, in the order in which the members were given.
    pub shares: Vec<Share>,
    /// The zone of each member, as a number below `zone_caps.len()`.
    pub(super) zone_of: Vec<usize>,
    /// The most partitions that each zone may own.
    pub(super) zone_caps: Vec<usize>,
}

/// How many partitions a member should own: `whole + remainder / divisor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    whole: usize,
    remainder: u128,
    divisor: u128,
}

impl Share {
    fn of(numerator: u128, divisor: u128) -> Self {
        let whole = usize::try_from(numerator / divisor).expect("a share is at most Q");
        Self {
            whole,
            remainder: numerator % divisor,
            divisor,
        }
    }

    /// The share rounded down: the fewest partitions that are right for the member.
    pub fn at_least(&self) -> usize {
        self.whole
    }

    /// The share rounded up: the most partitions that are right for the member.
    pub fn at_most(&self) -> usize {
        self.whole + usize::from(self.remainder > 0)
    }

    /// The share in thousandths of a partition, rounded down: to show, and to add up.
    pub fn thousandths(&self) -> usize {
        let fraction = self.remainder * 1_000 / self.divisor;
        self.whole * 1_000 + usize::try_from(fraction).expect("a remainder is below its divisor")
    }

    /// Orders the fractional parts.
    fn compare_fractions(&self, other: &Self) -> Ordering {
        (self.remainder * other.divisor).cmp(&(other.remainder * self.divisor))
    }
}

/// The widest window, up to `target_n`, in which all owners can be distinct wherever it begins:
/// the greatest w with `members · ⌊Q/w⌋ ≥ Q`. Zero only without members.
pub fn node_window(members: usize, partition_count: PartitionCount, target_n: u8) -> usize {
    let rows = partition_count.rows();
    let widest = usize::from(target_n.max(1)).min(members).min(rows);
    (1..=widest)
        .rev()
        .find(|width| members * (rows / width) >= rows)
        .unwrap_or(0)
}

/// What an assignment to these members has to reach.
///
/// Panics without members, or with a weight of 0.
pub fn goal(
    members: &[AssignmentMember<'_>],
    partition_count: PartitionCount,
    target_n: u8,
) -> AssignmentGoal {
    assert!(!members.is_empty(), "a ring needs a member to own it");
    assert!(
        members.iter().all(|member| member.weight > 0),
        "a weight is at least 1"
    );
    let rows = partition_count.rows();
    let node_window = node_window(members.len(), partition_count, target_n);
    let node_cap = rows / node_window;

    let (zone_of, zone_sizes) = number_zones(members);
    let caps_for = |width: usize| -> Vec<usize> {
        zone_sizes
            .iter()
            .map(|size| rows.div_ceil(width).min(size * node_cap))
            .collect()
    };
    let zone_window = (1..=node_window.min(zone_sizes.len()))
        .rev()
        .find(|&width| caps_for(width).iter().sum::<usize>() >= rows)
        .expect("a window of one asks nothing of zones, and the nodes alone can fill the ring");
    let zone_caps = caps_for(zone_window);

    let shares = Filling::new(members, &zone_of, node_cap, &zone_caps, rows).run();
    AssignmentGoal {
        node_window,
        zone_window,
        shares,
        zone_of,
        zone_caps,
    }
}

/// Rounds shares to whole partitions that sum to Q: up for those who then keep what they
/// `owned`, next for the greatest fractions, and up to the caps of zones.
pub(super) fn quotas(goal: &AssignmentGoal, owned: &[usize], rows: usize) -> Vec<usize> {
    let mut quotas: Vec<usize> = goal.shares.iter().map(Share::at_least).collect();
    let mut zone_totals = vec![0; goal.zone_caps.len()];
    for (quota, &zone) in quotas.iter().zip(&goal.zone_of) {
        zone_totals[zone] += quota;
    }
    let mut fractional: Vec<usize> = (0..quotas.len())
        .filter(|&member| goal.shares[member].remainder > 0)
        .collect();
    fractional.sort_by(|&a, &b| {
        let keeps = |member: usize| Reverse(owned[member] > quotas[member]);
        let fraction = goal.shares[b].compare_fractions(&goal.shares[a]);
        keeps(a).cmp(&keeps(b)).then(fraction).then(a.cmp(&b))
    });
    let mut unplaced = rows - quotas.iter().sum::<usize>();
    for member in fractional {
        let zone = goal.zone_of[member];
        if unplaced > 0 && zone_totals[zone] < goal.zone_caps[zone] {
            quotas[member] += 1;
            zone_totals[zone] += 1;
            unplaced -= 1;
        }
    }
    assert_eq!(
        unplaced, 0,
        "caps are whole, so fractional shares within them can be rounded"
    );
    quotas
}

/// Numbers the zones in the order in which members name them; with the members of each.
fn number_zones(members: &[AssignmentMember<'_>]) -> (Vec<usize>, Vec<usize>) {
    let mut names: Vec<&str> = Vec::new();
    let mut sizes: Vec<usize> = Vec::new();
    let mut zone_of = Vec::with_capacity(members.len());
    for member in members {
        let zone = names
            .iter()
            .position(|name| *name == member.zone)
            .unwrap_or(names.len());
        if zone == names.len() {
            names.push(member.zone);
            sizes.push(0);
        }
        sizes[zone] += 1;
        zone_of.push(zone);
    }
    (zone_of, sizes)
}

/// A share per unit of weight, `numerator / divisor`: the water level of the filling.
#[derive(Debug, Clone, Copy)]
struct Level {
    numerator: u128,
    divisor: u128,
}

impl Level {
    fn is_below(self, other: Self) -> bool {
        self.numerator * other.divisor < other.numerator * self.divisor
    }
}

/// What stops rising at a level.
#[derive(Debug, Clone, Copy)]
enum Stop {
    Member(usize),
    Zone(usize),
    All,
}

/// Progressive filling under way.
struct Filling<'a> {
    weights: Vec<u128>,
    zone_of: &'a [usize],
    node_cap: u128,
    zone_caps: &'a [usize],
    /// Partitions not yet given for good.
    left: u128,
    /// The same for each zone, against its cap.
    zone_left: Vec<u128>,
    shares: Vec<Option<Share>>,
}

impl<'a> Filling<'a> {
    fn new(
        members: &[AssignmentMember<'_>],
        zone_of: &'a [usize],
        node_cap: usize,
        zone_caps: &'a [usize],
        rows: usize,
    ) -> Self {
        Self {
            weights: members
                .iter()
                .map(|member| u128::from(member.weight))
                .collect(),
            zone_of,
            node_cap: widen(node_cap),
            zone_caps,
            left: widen(rows),
            zone_left: zone_caps.iter().map(|&cap| widen(cap)).collect(),
            shares: vec![None; members.len()],
        }
    }

    /// Each member's share, once all have stopped rising.
    fn run(mut self) -> Vec<Share> {
        while self.rising().next().is_some() {
            let (level, stop) = self.next_stop();
            match stop {
                Stop::Member(member) => self.settle_at_cap(member),
                Stop::Zone(zone) => self.settle_all(level, |of| of == zone),
                Stop::All => self.settle_all(level, |_| true),
            }
        }
        self.shares
            .into_iter()
            .map(|share| share.expect("none is rising"))
            .collect()
    }

    fn rising(&self) -> impl Iterator<Item = usize> {
        (0..self.shares.len()).filter(|&member| self.shares[member].is_none())
    }

    /// The lowest level at which something stops; of equal ones, the smallest thing.
    fn next_stop(&self) -> (Level, Stop) {
        let mut weight = 0;
        let mut zone_weights = vec![0; self.zone_caps.len()];
        let mut stops = Vec::new();
        for member in self.rising() {
            weight += self.weights[member];
            zone_weights[self.zone_of[member]] += self.weights[member];
            let level = Level {
                numerator: self.node_cap,
                divisor: self.weights[member],
            };
            stops.push((level, Stop::Member(member)));
        }
        for (zone, &divisor) in zone_weights
            .iter()
            .enumerate()
            .filter(|(_, weight)| **weight > 0)
        {
            stops.push((
                Level {
                    numerator: self.zone_left[zone],
                    divisor,
                },
                Stop::Zone(zone),
            ));
        }
        stops.push((
            Level {
                numerator: self.left,
                divisor: weight,
            },
            Stop::All,
        ));
        let lowest = stops
            .into_iter()
            .reduce(|low, next| if next.0.is_below(low.0) { next } else { low });
        lowest.expect("the last stop is always there")
    }

    /// Gives a member all that a node may own.
    fn settle_at_cap(&mut self, member: usize) {
        self.shares[member] = Some(Share::of(self.node_cap, 1));
        self.left -= self.node_cap;
        self.zone_left[self.zone_of[member]] -= self.node_cap;
    }

    /// Gives each rising member of the chosen zones its share at this level; together they are
    /// whole, though each need not be.
    fn settle_all(&mut self, level: Level, chosen: impl Fn(usize) -> bool) {
        let members: Vec<usize> = self.rising().filter(|&m| chosen(self.zone_of[m])).collect();
        for member in members {
            let numerator = level.numerator * self.weights[member];
            self.shares[member] = Some(Share::of(numerator, level.divisor));
        }
        self.left -= level.numerator;
    }
}

fn widen(count: usize) -> u128 {
    u128::try_from(count).expect("a u128 holds a usize")
}
