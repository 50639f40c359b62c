//! What a placement change does, told before it is done.
//!
//! A change of membership is cheap to commit and long to carry out: partitions move for minutes or hours, and disks fill. So an
//! operator sees first what comes of it: each member's share before and after, how many replicas are copied from whom to whom,
//! and how much of that no assignment could have spared. Partitioning by equal parts (§6.2, strategy 3) is what makes such a plan
//! a small table.
//!
//! Two measures are told apart. *Rows* are rows of the table of owners, what assignment hands out: a join of the (S+1)th equal node
//! has to change about Q/(S+1) of them. *Replicas* are what is copied: a row that changes changes the homes of up to N partitions,
//! so about N times as many.
//!
//! A partition is *at risk* while one of its homes is dead: it has a living replica fewer than it should have until the comer
//! has copied it. With a second loss in the meantime, the quorums that clients ask for may not be met, and with N losses data is gone.
//!
//! A plan is a pure function of a ring document: of what is staged in it, as if it were committed now, or else of the change
//! under way. The same document gives the same plan on every node, and committing does just what was shown.
//!
//! Not here: how many objects and bytes that is, which only the stores know, and how long it takes.

use super::change::{Change, ChangeRefused, members_after};
use super::document::{Member, MemberState, RingDocument};
use super::preference::Ring;
use super::replication::{Class, TreeId};
use super::share;
use crate::id::NodeId;
use std::collections::BTreeMap;

/// What becomes of a ring by the changes that are staged, or under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Committed already; else staged.
    pub is_under_way: bool,
    pub changes: Vec<Change>,
    /// Those that are not removed, in order of name.
    pub members: Vec<PlannedMember>,
    /// Rows of the table of owners that change.
    pub rows: usize,
    /// So many rows change in every assignment that gives each member its share.
    pub rows_least: usize,
    /// What is copied, in order of source and destination.
    pub flows: Vec<Flow>,
    /// Partitions with a home that is dead.
    pub partitions_at_risk: usize,
    /// The living homes of the partition that has the fewest.
    pub living_homes_least: usize,
}

/// A member before and after the change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedMember {
    pub id: NodeId,
    pub name: String,
    pub before: Stake,
    pub after: Stake,
}

/// What a member is and has under one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stake {
    pub state: MemberState,
    pub weight: u32,
    pub zone: String,
    pub rack: String,
    /// Rows of the table.
    pub partitions: usize,
    /// Partitions of which it is a home, of keys whose bucket has no N of its own.
    pub replicas: usize,
}

/// Replicas that one member takes over from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// None where the copy is gathered from all living homes: the one whose place is taken is dead, or there is none.
    pub from: Option<NodeId>,
    pub to: NodeId,
    /// Of which partitions, and of which keys in them.
    pub trees: Vec<TreeId>,
}

impl Plan {
    /// What is under way, or else what is staged; none if neither.
    ///
    /// # Errors
    /// If what is staged can't be committed.
    pub fn of(document: &RingDocument) -> Result<Option<Self>, ChangeRefused> {
        let is_under_way = document.placement.next.is_some();
        if !is_under_way && document.staged.is_empty() {
            return Ok(None);
        }
        let moving = if is_under_way {
            document.clone()
        } else {
            document.committing()?
        };
        let ring = Ring::new(moving).map_err(ChangeRefused::Invalid)?;
        Ok(Some(Self::of_ring(document, &ring, is_under_way)))
    }

    /// `ring` has the `next` table to which `document` leads.
    fn of_ring(document: &RingDocument, ring: &Ring, is_under_way: bool) -> Self {
        let placement = &ring.document().placement;
        let next = placement.next.as_ref();
        let next = next.expect("a placement change is under way, or was just drafted");
        let after = members_after(ring.members(), &next.changes);
        let rows = placement.owners.iter().zip(&next.owners);
        let living = ring.trees().map(|tree| {
            let homes = ring.homes_of(tree);
            (homes.len(), living(ring, homes))
        });
        let living: Vec<(usize, usize)> = living.collect();
        let at_risk = ring.partition_count().partitions().filter(|partition| {
            let mut trees = ring.trees_of(*partition);
            trees.any(|tree| ring.homes_of(tree).iter().any(|home| is_dead(ring, *home)))
        });
        Self {
            is_under_way,
            changes: next.changes.clone(),
            members: members(document, ring, &after),
            rows: rows.filter(|(before, after)| before != after).count(),
            rows_least: rows_least(ring.document(), &after),
            flows: flows(ring),
            partitions_at_risk: at_risk.count(),
            living_homes_least: living.iter().map(|(_, living)| *living).min().unwrap_or(0),
        }
    }

    /// Replicas of partitions that are copied.
    pub fn replicas(&self) -> usize {
        self.flows.iter().map(|flow| flow.trees.len()).sum()
    }
}

fn is_dead(ring: &Ring, node: NodeId) -> bool {
    ring.member(node)
        .is_none_or(|member| matches!(member.state, MemberState::Down | MemberState::Lost))
}

fn living(ring: &Ring, homes: &[NodeId]) -> usize {
    homes.iter().filter(|home| !is_dead(ring, **home)).count()
}

fn members(document: &RingDocument, ring: &Ring, after: &[Member]) -> Vec<PlannedMember> {
    let placement = &ring.document().placement;
    let next_owners = placement.next.as_ref().map_or(&[][..], |next| &next.owners);
    let partitions = || ring.partition_count().partitions();
    let class = Class::DEFAULT;
    let trees = || partitions().map(move |partition| TreeId { partition, class });
    let homes_now = counted(trees().flat_map(|tree| ring.homes_of(tree)));
    let homes_next = trees().flat_map(|tree| ring.next_homes_of(tree));
    let homes_next = counted(homes_next);
    let (owned_now, owned_next) = (counted(&placement.owners), counted(next_owners));
    let stake = |member: &Member, owned: &BTreeMap<_, _>, homes: &BTreeMap<_, _>| Stake {
        state: member.state,
        weight: member.weight,
        zone: member.zone.clone(),
        rack: member.rack.clone(),
        partitions: owned.get(&member.id).copied().unwrap_or(0),
        replicas: homes.get(&member.id).copied().unwrap_or(0),
    };
    let present = document.members.iter();
    let present = present.filter(|member| member.state != MemberState::Removed);
    let planned = present.filter_map(|before| {
        let mut then = after.iter().find(|member| member.id == before.id)?.clone();
        // A leaver that has handed over everything is removed by its own proposal.
        if then.state == MemberState::Leaving {
            then.state = MemberState::Removed;
        }
        Some(PlannedMember {
            id: before.id,
            name: before.name.clone(),
            before: stake(before, &owned_now, &homes_now),
            after: stake(&then, &owned_next, &homes_next),
        })
    });
    let mut planned: Vec<PlannedMember> = planned.collect();
    planned.sort_by(|a, b| a.name.cmp(&b.name));
    planned
}

fn counted<'a>(nodes: impl IntoIterator<Item = &'a NodeId>) -> BTreeMap<NodeId, usize> {
    let mut counts = BTreeMap::new();
    for node in nodes {
        *counts.entry(*node).or_insert(0) += 1;
    }
    counts
}

/// Whoever has less than its share has to get rows, and whoever has more has to give some away.
fn rows_least(moving: &RingDocument, after: &[Member]) -> usize {
    let placement = &moving.placement;
    let owning = after.iter();
    let owning = owning.filter(|m| matches!(m.state, MemberState::Up | MemberState::Down));
    let owning: Vec<_> = owning.map(Member::for_assignment).collect();
    let goal = share::goal(&owning, placement.partition_count, placement.target_n);
    let mut owned = counted(&placement.owners);
    let (mut gained, mut given) = (0, 0);
    for (member, share) in owning.iter().zip(&goal.shares) {
        let has = owned.remove(&member.id).unwrap_or(0);
        gained += share.at_least().saturating_sub(has);
        given += has.saturating_sub(share.at_most());
    }
    let by_goers: usize = owned.values().sum();
    gained.max(given + by_goers)
}

fn flows(ring: &Ring) -> Vec<Flow> {
    let mut flows: BTreeMap<(Option<NodeId>, NodeId), Vec<TreeId>> = BTreeMap::new();
    for a_move in ring.moves() {
        let living = a_move.goers.iter().filter(|goer| !is_dead(ring, **goer));
        let mut sources: Vec<Option<NodeId>> = living.copied().map(Some).collect();
        if sources.len() < a_move.goers.len().max(1) {
            sources.push(None);
        }
        for from in sources {
            let trees = flows.entry((from, a_move.taker)).or_default();
            trees.push(a_move.tree);
        }
    }
    let flow = |((from, to), trees)| Flow { from, to, trees };
    flows.into_iter().map(flow).collect()
}

/// A change in words, for people who know the members by name.
pub fn in_words(change: &Change, members: &[Member]) -> String {
    let member = |node: &NodeId| members.iter().find(|member| member.id == *node);
    let name = |node: &NodeId| member(node).map_or_else(|| node.to_string(), |m| m.name.clone());
    match change {
        Change::Join { node } => format!("{} joins", name(node)),
        Change::Leave { node } => format!("{} leaves", name(node)),
        Change::Remove { node } => format!("{} is dead and is removed", name(node)),
        Change::Replace { old, new } => {
            format!(
                "{} takes the place of {}, which is dead",
                name(new),
                name(old)
            )
        }
        Change::Weigh { node, weight } => {
            let before = member(node).map_or_else(|| "?".to_owned(), |m| m.weight.to_string());
            format!("{} weighs {weight} instead of {before}", name(node))
        }
        Change::Place { node, zone, rack } => {
            let place = |zone: &str, rack: &str| format!("zone {zone:?}, rack {rack:?}");
            let before = member(node).map_or_else(String::new, |m| place(&m.zone, &m.rack));
            let after = place(zone, rack);
            format!("{} stands in {after} instead of {before}", name(node))
        }
        Change::Replicate { bucket, n } => {
            let (what, name) = if bucket.is_type() {
                ("bucket type", &bucket.bucket_type)
            } else {
                ("bucket", &bucket.bucket)
            };
            let name = String::from_utf8_lossy(name);
            format!("the keys of {what} {name:?} have {n} replicas")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ClusterId;
    use crate::ring::{Addresses, PartitionCount};

    const N: usize = 3;
    const PARTITIONS: usize = 256;

    fn member(number: u128, weight: u32) -> Member {
        Member {
            id: NodeId(number.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)),
            name: format!("node{number:02}"),
            addresses: Addresses::default(),
            zone: String::new(),
            rack: String::new(),
            weight,
            state: MemberState::Up,
        }
    }

    fn id(number: u128) -> NodeId {
        member(number, 1).id
    }

    fn founded(members: u128) -> RingDocument {
        let partitions = PartitionCount::new(256).expect("a power of two");
        let members = (1..=members).map(|number| member(number, 100)).collect();
        RingDocument::found(ClusterId(7), members, partitions, 5).expect("equal members")
    }

    fn staged(document: &RingDocument, change: Change) -> RingDocument {
        document.staging(change).expect("it fits")
    }

    fn plan(document: &RingDocument) -> Plan {
        let plan = Plan::of(document).expect("it can be committed");
        plan.expect("something is staged or under way")
    }

    fn of(plan: &Plan, number: u128) -> &PlannedMember {
        let mut members = plan.members.iter();
        members.find(|m| m.id == id(number)).expect("a member")
    }

    #[test]
    fn a_node_with_twice_the_weight_gets_twice_the_share() {
        let joining = founded(10).enrolling(member(11, 200)).expect("a new name");
        let plan = plan(&joining);
        let new = of(&plan, 11);
        assert_eq!(
            (new.before.state, new.after.state),
            (MemberState::Joining, MemberState::Up)
        );
        assert_eq!((new.before.partitions, new.before.replicas), (0, 0));
        // Two parts of twelve.
        assert!((42..=43).contains(&new.after.partitions), "{new:?}");
        for number in 1..=10 {
            let after = &of(&plan, number).after;
            assert!((21..=22).contains(&after.partitions), "{after:?}");
        }
        let replicas = |of: fn(&PlannedMember) -> &Stake| {
            plan.members.iter().map(|m| of(m).replicas).sum::<usize>()
        };
        assert_eq!(replicas(|m| &m.before), N * PARTITIONS);
        assert_eq!(replicas(|m| &m.after), N * PARTITIONS);
    }

    #[test]
    fn a_join_moves_little_more_than_the_new_share() {
        let joining = founded(10).enrolling(member(11, 100)).expect("a new name");
        let plan = plan(&joining);
        assert_eq!(plan.rows_least, PARTITIONS / 11);
        assert!(plan.rows >= plan.rows_least);
        assert!(plan.rows <= 2 * plan.rows_least + 4, "{}", plan.rows);
        assert!(plan.replicas() >= of(&plan, 11).after.replicas);
        assert_eq!((plan.partitions_at_risk, plan.living_homes_least), (0, N));
        assert!(plan.flows.iter().all(|flow| flow.from.is_some()));
    }

    #[test]
    fn a_removal_puts_every_partition_of_the_dead_one_at_risk() {
        let removing = staged(&founded(7), Change::Remove { node: id(3) });
        let plan = plan(&removing);
        let dead = of(&plan, 3);
        assert_eq!(plan.partitions_at_risk, dead.before.replicas);
        assert_eq!(plan.living_homes_least, N - 1);
        assert_eq!((dead.after.partitions, dead.after.replicas), (0, 0));
        assert_eq!(
            (dead.before.state, dead.after.state),
            (MemberState::Up, MemberState::Removed)
        );
        assert!(plan.flows.iter().all(|flow| flow.from != Some(id(3))));
        let gathered = plan.flows.iter().filter(|flow| flow.from.is_none());
        let gathered: usize = gathered.map(|flow| flow.trees.len()).sum();
        assert!(gathered > 0 && gathered <= dead.before.replicas);
        assert!(plan.rows_least >= dead.before.partitions);
    }

    #[test]
    fn a_leaver_is_no_risk_and_gives_everything_away() {
        let leaving = staged(&founded(7), Change::Leave { node: id(3) });
        let plan = plan(&leaving);
        assert_eq!((plan.partitions_at_risk, plan.living_homes_least), (0, N));
        let leaver = of(&plan, 3);
        assert_eq!(
            (leaver.after.replicas, leaver.after.state),
            (0, MemberState::Removed)
        );
        let given = plan.flows.iter().filter(|flow| flow.from == Some(id(3)));
        let given: usize = given.map(|flow| flow.trees.len()).sum();
        assert_eq!(given, leaver.before.replicas);
    }

    #[test]
    fn what_was_shown_is_what_is_committed() {
        let joining = founded(4).enrolling(member(5, 100)).expect("a new name");
        let joining = staged(&joining, Change::Leave { node: id(2) });
        let shown = plan(&joining);
        let committed = plan(&joining.committing().expect("something is staged"));
        assert!(!shown.is_under_way && committed.is_under_way);
        assert_eq!(shown.flows, committed.flows);
        assert_eq!(shown.changes, committed.changes);
        let after = |plan: &Plan| {
            plan.members
                .iter()
                .map(|m| m.after.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(after(&shown), after(&committed));
        assert_eq!(
            (shown.rows, shown.rows_least),
            (committed.rows, committed.rows_least)
        );
    }

    #[test]
    fn nothing_staged_is_no_plan_and_nobody_left_is_refused() {
        assert_eq!(Plan::of(&founded(3)), Ok(None));
        let leaving = staged(&founded(1), Change::Leave { node: id(1) });
        assert_eq!(Plan::of(&leaving), Err(ChangeRefused::NobodyLeft));
    }

    #[test]
    fn changes_are_told_by_name() {
        let members = founded(2).members;
        let (one, two) = (id(1), id(2));
        let (zone, rack) = ("b".to_owned(), "r1".to_owned());
        let rows = [
            (Change::Join { node: one }, "node01 joins"),
            (Change::Leave { node: one }, "node01 leaves"),
            (
                Change::Remove { node: one },
                "node01 is dead and is removed",
            ),
            (
                Change::Replace { old: one, new: two },
                "node02 takes the place of node01, which is dead",
            ),
            (
                Change::Weigh {
                    node: one,
                    weight: 50,
                },
                "node01 weighs 50 instead of 100",
            ),
            (
                Change::Place {
                    node: one,
                    zone,
                    rack,
                },
                "node01 stands in zone \"b\", rack \"r1\" instead of zone \"\", rack \"\"",
            ),
        ];
        for (change, words) in rows {
            assert_eq!(in_words(&change, &members), words);
        }
    }
}
