//! The promises of placement, on arbitrary clusters.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use ringhold_core::id::{ClusterId, NodeId};
use ringhold_core::ring::share::{goal, node_window};
use ringhold_core::ring::{
    Addresses, AssignmentGoal, AssignmentMember, FurtherSection, Member, MemberState, Next,
    Partition, PartitionCount, Position, Replication, Ring, RingDocument, RingFault,
    SuccessionFault, Table, assign, preference_list, validate, validate_succession,
};

const TARGET_N: u8 = 5;

/// The bounds on moves are those of a search: they are held on the same clusters each time.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(2007),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn partition_count() -> impl Strategy<Value = PartitionCount> {
    prop_oneof![4 => 3..=6_u32, 3 => 7..=8_u32, 1 => 9..=10_u32]
        .prop_map(|bits| PartitionCount::new(1 << bits).expect("within bounds"))
}

fn member(number: usize, zone: usize, rack: usize, weight: u32) -> Member {
    let id = u128::try_from(number).expect("a u128 holds a usize");
    Member {
        // Spread out, so that the order of identities is not the order of the list.
        id: NodeId(id.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)),
        name: format!("node-{number}"),
        addresses: Addresses::default(),
        zone: format!("zone-{zone}"),
        rack: format!("rack-{rack}"),
        weight,
        state: MemberState::Up,
    }
}

/// 1 to 50 members in up to 6 zones, of equal or of various weights.
fn cluster() -> impl Strategy<Value = Vec<Member>> {
    let sizes = prop_oneof![1..=12_usize, 1..=50_usize];
    let shape = (
        sizes,
        1..=6_usize,
        prop_oneof![Just(1), Just(1), 2..=10_u32],
        any::<bool>(),
    );
    shape.prop_flat_map(|(size, zones, heaviest, even)| {
        let labels = (0..zones, 0..3_usize, 1..=heaviest);
        proptest::collection::vec(labels, size).prop_map(move |labels| {
            let labels = labels.into_iter().zip(1..);
            labels
                .map(|((zone, rack, weight), number)| {
                    member(
                        number,
                        if even { number % zones } else { zone },
                        rack,
                        weight,
                    )
                })
                .collect()
        })
    })
}

fn for_assignment(members: &[Member]) -> Vec<AssignmentMember<'_>> {
    members.iter().map(Member::for_assignment).collect()
}

fn owned_by(owners: &[NodeId], id: NodeId) -> usize {
    owners.iter().filter(|owner| **owner == id).count()
}

fn moves(before: &[NodeId], after: &[NodeId]) -> usize {
    before
        .iter()
        .zip(after)
        .filter(|(before, after)| before != after)
        .count()
}

/// Windows of this width that do not have distinct owners, each counted by itself.
fn windows_not_distinct(owners: &[NodeId], width: usize) -> usize {
    (0..owners.len())
        .filter(|start| {
            let window: BTreeSet<NodeId> = (0..width)
                .map(|step| owners[(start + step) % owners.len()])
                .collect();
            window.len() < width
        })
        .count()
}

/// Whether no cap of a node or a zone keeps a member below its weighted share.
fn weights_fit(members: &[AssignmentMember<'_>], partition_count: PartitionCount) -> bool {
    let rows = partition_count.rows();
    let goal = goal(members, partition_count, TARGET_N);
    let total: usize = members.iter().map(|member| weight(member)).sum();
    let mut zones: BTreeMap<&str, usize> = BTreeMap::new();
    for member in members {
        *zones.entry(member.zone).or_insert(0) += weight(member);
    }
    let nodes_fit = members
        .iter()
        .all(|member| rows * weight(member) <= total * (rows / goal.node_window));
    nodes_fit
        && zones
            .values()
            .all(|zone| rows * zone <= total * rows.div_ceil(goal.zone_window))
}

fn weight(member: &AssignmentMember<'_>) -> usize {
    usize::try_from(member.weight).expect("a usize holds 32 bits")
}

/// Windows and shares, which hold whatever went before.
fn check_table(
    members: &[AssignmentMember<'_>],
    partition_count: PartitionCount,
    owners: &[NodeId],
) {
    let rows = partition_count.rows();
    let window = node_window(members.len(), partition_count, TARGET_N);
    assert_eq!(
        windows_not_distinct(owners, window),
        0,
        "windows of {window}"
    );

    let goal = goal(members, partition_count, TARGET_N);
    let total: usize = members.iter().map(weight).sum();
    let fit = weights_fit(members, partition_count);
    for (member, share) in members.iter().zip(&goal.shares) {
        let owned = owned_by(owners, member.id);
        assert!(
            (share.at_least()..=share.at_most()).contains(&owned),
            "{owned} of {share:?}"
        );
        if fit {
            let difference = (owned * total).abs_diff(rows * weight(member));
            assert!(
                difference < total,
                "within one partition of the weighted share"
            );
        }
    }
}

/// Pairs of partitions within a zone window whose owners share a zone.
fn zone_exceptions(members: &[AssignmentMember<'_>], owners: &[NodeId], width: usize) -> usize {
    let zones: BTreeMap<NodeId, &str> = members.iter().map(|m| (m.id, m.zone)).collect();
    let zone = |row: usize| zones[&owners[row % owners.len()]];
    let rows = 0..owners.len();
    rows.map(|row| {
        (1..width)
            .filter(|step| zone(row) == zone(row + step))
            .count()
    })
    .sum()
}

/// The fewest partitions that can move when these members take over from that table.
fn fewest_moves(
    members: &[AssignmentMember<'_>],
    count: PartitionCount,
    before: &[NodeId],
) -> usize {
    let goal = goal(members, count, TARGET_N);
    let owned = |member: &AssignmentMember<'_>| owned_by(before, member.id);
    let pairs = || members.iter().zip(&goal.shares);
    let too_many: usize = pairs()
        .map(|(m, share)| owned(m).saturating_sub(share.at_most()))
        .sum();
    let of_leavers = before.len() - members.iter().map(owned).sum::<usize>();
    let too_few: usize = pairs()
        .map(|(m, share)| share.at_least().saturating_sub(owned(m)))
        .sum();
    (too_many + of_leavers).max(too_few)
}

/// The bound stated in `assignment` for one join or leave, if one is stated.
fn moves_bound(
    before: &[AssignmentMember<'_>],
    after: &[AssignmentMember<'_>],
    partition_count: PartitionCount,
    fewest: usize,
) -> Option<usize> {
    let was = goal(before, partition_count, TARGET_N);
    let is = goal(after, partition_count, TARGET_N);
    let windows = |of: &AssignmentGoal| (of.node_window, of.zone_window);
    if windows(&was) != windows(&is) {
        return None;
    }
    let one_zone = is.zone_window == 1;
    let (zones_were, zones_are) = (zone_shares(before, &was), zone_shares(after, &is));
    let zones_stay = zones_were.len() == zones_are.len()
        && zones_were.iter().all(|(zone, share)| {
            zones_are
                .get(zone)
                .is_some_and(|now| now.abs_diff(*share) < 1_000)
        });
    let play = has_play(before, &was, partition_count) && has_play(after, &is, partition_count);
    if play && (one_zone || zones_stay) {
        return Some(2 * fewest + 4);
    }
    let equal = before
        .iter()
        .chain(after)
        .all(|member| member.weight == before[0].weight);
    let spare = before.len().min(after.len()) > is.node_window;
    (one_zone && equal && spare).then_some(4 * fewest + 8)
}

/// The share of each zone, in thousandths of a partition.
fn zone_shares<'a>(
    members: &[AssignmentMember<'a>],
    goal: &AssignmentGoal,
) -> BTreeMap<&'a str, usize> {
    let mut zones = BTreeMap::new();
    for (member, share) in members.iter().zip(&goal.shares) {
        *zones.entry(member.zone).or_insert(0) += share.thousandths();
    }
    zones
}

/// Whether each member's share is at most half of what the windows permit it.
fn has_play(
    members: &[AssignmentMember<'_>],
    goal: &AssignmentGoal,
    partition_count: PartitionCount,
) -> bool {
    let zones = zone_shares(members, goal);
    let per_zone = goal.node_window.div_ceil(goal.zone_window);
    members.iter().zip(&goal.shares).all(|(member, share)| {
        let zone = zones[member.zone].div_ceil(1_000);
        let among = if goal.zone_window == 1 {
            partition_count.rows()
        } else {
            zone
        };
        2 * share.at_least() <= among / per_zone
    })
}

/// A checked change of members.
struct Step {
    owners: Vec<NodeId>,
    /// Whether a bound is stated for its moves.
    is_bounded: bool,
}

fn check_step(
    before: &[AssignmentMember<'_>],
    after: &[AssignmentMember<'_>],
    partition_count: PartitionCount,
    owners: &[NodeId],
) -> Step {
    let now = assign(after, partition_count, Some(owners), TARGET_N);
    check_table(after, partition_count, &now);
    let width = goal(after, partition_count, TARGET_N).zone_window;
    let anew = assign(after, partition_count, None, TARGET_N);
    let accepted = zone_exceptions(after, &anew, width) + 2 + partition_count.rows() / 64;
    let exceptions = zone_exceptions(after, &now, width);
    assert!(
        exceptions <= accepted,
        "{exceptions} zone exceptions, {accepted} are accepted"
    );

    let fewest = fewest_moves(after, partition_count, owners);
    let moved = moves(owners, &now);
    assert!(moved >= fewest, "the bound from below is one");
    let bound = moves_bound(before, after, partition_count, fewest);
    if let Some(bound) = bound {
        assert!(moved <= bound, "{moved} moved, {fewest} must, {bound} may");
    }
    Step {
        owners: now,
        is_bounded: bound.is_some(),
    }
}

proptest! {
    #![proptest_config(config(64))]

    #[test]
    fn founding_gives_distinct_windows_and_weighted_shares(
        members in cluster(), partition_count in partition_count(),
    ) {
        let members = for_assignment(&members);
        let owners = assign(&members, partition_count, None, TARGET_N);
        check_table(&members, partition_count, &owners);
    }

    #[test]
    fn the_answer_does_not_depend_on_the_order_of_members(
        members in cluster(), partition_count in (3..=7_u32),
    ) {
        let partition_count = PartitionCount::new(1 << partition_count).expect("within bounds");
        let mut members = for_assignment(&members);
        let owners = assign(&members, partition_count, None, TARGET_N);
        members.reverse();
        prop_assert_eq!(assign(&members, partition_count, None, TARGET_N), owners);
    }

    #[test]
    fn one_preference_list_names_each_member_once_and_spreads_zones_then_racks(
        members in cluster(), partition_count in partition_count(), key in any::<u128>(),
    ) {
        let document = RingDocument::found(ClusterId(1), members, partition_count, TARGET_N)
            .expect("full members make a ring");
        let ring = Ring::new(document).expect("a founding document is valid");
        let partition = ring.partition_of(Position(key));
        let list = ring.preference_list(Position(key));
        check_preference_list(&ring, partition, list);
        let owners = &ring.document().placement.owners;
        prop_assert_eq!(&preference_list(owners, ring.members(), partition), list);
    }
}

proptest! {
    #![proptest_config(config(32))]

    #[test]
    fn one_join_and_one_leave_move_little_and_keep_every_promise(
        members in cluster(), partition_count in partition_count(), leaver in any::<prop::sample::Index>(),
    ) {
        let all = for_assignment(&members);
        let (_, fewer) = all.split_last().expect("a cluster has a member");
        if fewer.is_empty() {
            return Ok(());
        }
        let owners = assign(fewer, partition_count, None, TARGET_N);
        check_step(fewer, &all, partition_count, &owners);

        let owners = assign(&all, partition_count, None, TARGET_N);
        let mut left = all.clone();
        left.remove(leaver.index(all.len()));
        check_step(&all, &left, partition_count, &owners);
    }
}

/// The list against its definition, step by step.
fn check_preference_list(ring: &Ring, partition: Partition, list: &[NodeId]) {
    let owners = &ring.document().placement.owners;
    assert_eq!(
        list.first(),
        Some(&owners[partition.index()]),
        "the owner comes first"
    );
    let named: BTreeSet<NodeId> = list.iter().copied().collect();
    assert_eq!(
        (named.len(), list.len()),
        (ring.members().len(), ring.members().len())
    );

    let rows = owners.len();
    let met = |id: &NodeId| (0..rows).find(|step| owners[(partition.index() + step) % rows] == *id);
    let labels = |id: &NodeId| {
        let member = ring.member(*id).expect("only members are listed");
        (member.zone.as_str(), member.rack.as_str())
    };
    let mut left: Vec<NodeId> = named.into_iter().collect();
    left.sort_by_key(|id| (met(id).unwrap_or(rows), *id));
    let owning = left.iter().take_while(|id| met(id).is_some()).count();
    let idle = left.split_off(owning);
    let mut expected: Vec<NodeId> = Vec::new();
    while !left.is_empty() {
        let new_zone = |id: &NodeId| expected.iter().all(|e| labels(e).0 != labels(id).0);
        let new_rack = |id: &NodeId| expected.iter().all(|e| labels(e) != labels(id));
        let next = left
            .iter()
            .position(new_zone)
            .or_else(|| left.iter().position(new_rack));
        expected.push(left.remove(next.unwrap_or(0)));
    }
    expected.extend(idle);
    assert_eq!(list, expected);
}

#[test]
fn a_cluster_that_grows_and_shrinks_step_by_step_stays_within_every_bound() {
    let mut bounded = 0;
    for (bits, zones) in [(6, 1), (6, 3), (7, 2), (8, 1)] {
        let partition_count = PartitionCount::new(1 << bits).expect("within bounds");
        let members: Vec<Member> = (0..16).map(|n| member(n + 1, n % zones, 0, 1)).collect();
        let all = for_assignment(&members);
        let mut owners = assign(&all[..1], partition_count, None, TARGET_N);
        let grown = (1..all.len()).map(|size| (&all[..size], &all[..=size]));
        let shrunk = (0..all.len() - 1).map(|gone| (&all[gone..], &all[gone + 1..]));
        for (before, after) in grown.chain(shrunk) {
            let step = check_step(before, after, partition_count, &owners);
            bounded += usize::from(step.is_bounded);
            owners = step.owners;
        }
    }
    assert!(bounded > 50, "only {bounded} steps had a bound to keep");
}

#[test]
fn four_thousand_partitions_and_two_hundred_nodes() {
    let partition_count = PartitionCount::new(4096).expect("within bounds");
    let members: Vec<Member> = (0..201).map(|n| member(n + 1, n % 2, 0, 1)).collect();
    let all = for_assignment(&members);
    let owners = assign(&all[..200], partition_count, None, TARGET_N);
    check_table(&all[..200], partition_count, &owners);
    let step = check_step(&all[..200], &all, partition_count, &owners);
    assert!(step.is_bounded, "a bound is stated for it");
}

fn founded() -> RingDocument {
    let members = (1..=6).map(|n| member(n, n % 2, 0, 1)).collect();
    let partition_count = PartitionCount::new(64).expect("within bounds");
    RingDocument::found(ClusterId(1), members, partition_count, TARGET_N).expect("six full members")
}

/// The faults of a document after a change, its hashes made right.
fn faults_after(change: impl FnOnce(&mut RingDocument)) -> Vec<RingFault> {
    let mut document = founded();
    change(&mut document);
    validate(&document.sealed()).map_or_else(|invalid| invalid.faults, |()| Vec::new())
}

#[test]
fn each_fault_is_found() {
    type Check = (fn(&mut RingDocument), fn(&RingFault) -> bool);
    let checks: [Check; 14] = [
        (|d| d.epoch.0 = 0, |f| matches!(f, RingFault::EpochZero)),
        (
            |d| d.epoch.0 = 2,
            |f| matches!(f, RingFault::PreviousMismatch { .. }),
        ),
        (
            |d| d.placement.target_n = 0,
            |f| matches!(f, RingFault::ZeroTarget),
        ),
        (
            |d| d.members[0].id = d.members[1].id,
            |f| matches!(f, RingFault::DuplicateMember { .. }),
        ),
        (
            |d| d.members[0].name = d.members[1].name.clone(),
            |f| matches!(f, RingFault::DuplicateName { .. }),
        ),
        (
            |d| d.members[0].name.clear(),
            |f| matches!(f, RingFault::EmptyName { .. }),
        ),
        (
            |d| d.members[0].weight = 0,
            |f| matches!(f, RingFault::ZeroWeight { .. }),
        ),
        (
            |d| {
                for member in &mut d.members {
                    member.state = MemberState::Joining;
                }
            },
            |f| matches!(f, RingFault::NoOwningMember),
        ),
        (
            |d| d.placement.owners.truncate(63),
            |f| {
                matches!(
                    f,
                    RingFault::WrongLength {
                        owners: 63,
                        partitions: 64,
                        ..
                    }
                )
            },
        ),
        (
            |d| d.placement.owners[7] = NodeId(77),
            |f| {
                matches!(
                    f,
                    RingFault::UnknownOwner {
                        partition: Partition(7),
                        ..
                    }
                )
            },
        ),
        (
            |d| d.members[0].state = MemberState::Removed,
            |f| {
                matches!(
                    f,
                    RingFault::OwnerMayNotOwn {
                        table: Table::Owners,
                        ..
                    }
                )
            },
        ),
        (
            |d| d.placement.owners[63] = d.placement.owners[0],
            |f| {
                matches!(
                    f,
                    RingFault::WindowNotDistinct {
                        table: Table::Owners,
                        ..
                    }
                )
            },
        ),
        (
            |d| {
                d.placement.next = Some(Next {
                    owners: vec![d.placement.owners[0]; 64],
                    changes: Vec::new(),
                    replication: Replication::default(),
                });
            },
            |f| {
                matches!(
                    f,
                    RingFault::WindowNotDistinct {
                        table: Table::Next,
                        ..
                    }
                )
            },
        ),
        (
            |d| {
                d.further.push(FurtherSection {
                    name: "members".into(),
                    bytes: Default::default(),
                });
            },
            |f| matches!(f, RingFault::SectionName { .. }),
        ),
    ];
    assert_eq!(faults_after(|_| {}), []);
    for (index, (change, expected)) in checks.into_iter().enumerate() {
        let faults = faults_after(change);
        assert!(
            faults.iter().any(expected),
            "check {index} found {faults:?}"
        );
        assert!(faults.iter().all(|fault| !fault.to_string().is_empty()));
    }
}

#[test]
fn a_damaged_section_is_found_by_its_hash() {
    let mut document = founded();
    document.members[0].name.push('x');
    let faults = validate(&document).map_or_else(|invalid| invalid.faults, |()| Vec::new());
    assert_eq!(
        faults,
        [RingFault::SectionHashMismatch {
            name: "members".into()
        }]
    );
    document.section_hashes.clear();
    let faults = validate(&document).map_or_else(|invalid| invalid.faults, |()| Vec::new());
    assert_eq!(faults.len(), 3, "no section has a hash: {faults:?}");
}

#[test]
fn only_a_direct_successor_succeeds() {
    type Check = (fn(&mut RingDocument), fn(&SuccessionFault) -> bool);
    let checks: [Check; 6] = [
        (
            |d| d.cluster_id.0 += 1,
            |f| matches!(f, SuccessionFault::OtherCluster { .. }),
        ),
        (
            |d| d.epoch.0 += 1,
            |f| matches!(f, SuccessionFault::NotNextEpoch { .. }),
        ),
        (
            |d| d.previous.0[0] ^= 1,
            |f| matches!(f, SuccessionFault::OtherPrevious { .. }),
        ),
        (
            |d| d.placement.partition_count = PartitionCount::default(),
            |f| matches!(f, SuccessionFault::PartitionCountChanged { .. }),
        ),
        (
            |d| d.placement.placement_number += 1,
            |f| matches!(f, SuccessionFault::PlacementNumber { .. }),
        ),
        (
            |d| d.placement.owners.rotate_left(1),
            |f| matches!(f, SuccessionFault::PlacementNumber { .. }),
        ),
    ];
    let held = founded();
    assert_eq!(validate_succession(&held, &held.successor()), Ok(()));
    for (index, (change, expected)) in checks.into_iter().enumerate() {
        let mut proposed = held.successor();
        change(&mut proposed);
        let fault = validate_succession(&held, &proposed).expect_err("it does not fit");
        assert!(expected(&fault), "check {index} found {fault:?}");
    }
}

#[test]
fn an_identity_that_was_removed_stays_removed() {
    let mut held = founded();
    held.members.push(Member {
        state: MemberState::Removed,
        ..member(7, 0, 0, 1)
    });
    let held = held.sealed();
    assert_eq!(validate(&held), Ok(()));
    let mut back = held.successor();
    back.members[6].state = MemberState::Up;
    let fault = SuccessionFault::RemovedMemberBack {
        id: held.members[6].id,
    };
    assert_eq!(validate_succession(&held, &back), Err(fault));
    let mut forgotten = held.successor();
    forgotten.members.pop();
    assert_eq!(validate_succession(&held, &forgotten), Err(fault));
}
