//! Documents that follow each other, by what operators ask for.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use ringhold_core::id::{ClusterId, NodeId};
use ringhold_core::ring::{
    Addresses, Change, ChangeRefused, Member, MemberState, PartitionCount, Ring, RingDocument,
    validate_succession,
};
use std::collections::{BTreeMap, BTreeSet};

const N: usize = 3;

fn member(number: u128) -> Member {
    Member {
        id: NodeId(number.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)),
        name: format!("node-{number}"),
        addresses: Addresses::default(),
        zone: String::new(),
        rack: String::new(),
        weight: 1,
        state: MemberState::Up,
    }
}

fn id(number: u128) -> NodeId {
    member(number).id
}

fn founded(members: u128, partitions: u32) -> RingDocument {
    let partitions = PartitionCount::new(partitions).expect("a power of two");
    let members = (1..=members).map(member).collect();
    RingDocument::found(ClusterId(7), members, partitions, 5).expect("equal members")
}

fn ring(document: &RingDocument) -> Ring {
    Ring::new(document.clone()).expect("drafts are valid")
}

fn grown(document: &RingDocument, number: u128) -> RingDocument {
    let staged = document.enrolling(member(number)).expect("a new name");
    let moving = staged.committing().expect("something is staged");
    moving.finishing().expect("it is under way")
}

#[test]
fn a_join_is_staged_then_under_way_then_done() {
    let first = founded(6, 64);
    let second = first.enrolling(member(7)).expect("a new name");
    assert_eq!(second.staged, [Change::Join { node: id(7) }]);
    assert_eq!(second.placement, first.placement);
    let third = second.committing().expect("a join is staged");
    assert_eq!(third.placement.owners, first.placement.owners);
    let moving = ring(&third);
    for partition in moving.partition_count().partitions() {
        assert!(!moving.partition_preference_list(partition).contains(&id(7)));
        let next = moving.next_preference_list(partition);
        assert!(next.is_some_and(|next| next.contains(&id(7)) && next.len() == 7));
    }
    let moves = moving.moves(N);
    let to_others = moves.iter().filter(|m| m.comer != id(7)).count();
    assert!(
        moves.iter().all(|m| m.goer.is_some()),
        "the number of replicas stays"
    );
    // A row that changes hands changes the homes of N partitions, of which the new owner takes most.
    let share = N * 64 / 7;
    assert!(
        (share..=share + N + to_others).contains(&moves.len()),
        "{}",
        moves.len()
    );
    let fourth = third.finishing().expect("it is under way");
    assert!(fourth.staged.is_empty() && fourth.placement.next.is_none());
    assert_eq!(fourth.member(id(7)).map(|m| m.state), Some(MemberState::Up));
    assert!(ring(&fourth).partitions_owned(id(7)) >= 64 / 7);
}

#[test]
fn a_leaver_owns_until_the_finish_stands_in_for_nobody_after_it_and_is_removed_last() {
    let document = founded(4, 16);
    let leave = Change::Leave { node: id(2) };
    let staged = document.staging(leave.clone()).expect("it is up");
    assert_eq!(
        staged.staging(leave),
        Err(ChangeRefused::AlreadyStaged {
            name: "node-2".to_owned()
        })
    );
    let moving = staged.committing().expect("a leave is staged");
    assert!(ring(&moving).partitions_owned(id(2)) > 0);
    assert!(matches!(
        moving.parting(id(2)),
        Err(ChangeRefused::StillOwns { .. })
    ));
    assert_eq!(moving.committing(), Err(ChangeRefused::ChangeUnderWay));
    let done = moving.finishing().expect("it is under way");
    let after = ring(&done);
    for partition in after.partition_count().partitions() {
        assert!(!after.partition_preference_list(partition).contains(&id(2)));
    }
    let parted = done.parting(id(2)).expect("it owns nothing");
    assert_eq!(parted.placement, done.placement);
    let back = parted.enrolling(member(2));
    assert_eq!(back, Err(ChangeRefused::KnownIdentity { node: id(2) }));
}

#[test]
fn the_dead_are_replaced_one_to_one() {
    let document = founded(5, 32);
    let enrolled = document.enrolling(member(6)).expect("a new name");
    let replace = Change::Replace {
        old: id(3),
        new: id(6),
    };
    let staged = enrolled.staging(replace.clone()).expect("up, and joining");
    assert_eq!(staged.staged, [replace], "the join is part of it");
    let moving = staged.committing().expect("it is staged");
    let moves = ring(&moving).moves(N);
    assert!(
        moves
            .iter()
            .all(|m| m.comer == id(6) && m.goer == Some(id(3))),
        "{moves:?}"
    );
    let done = moving.finishing().expect("it is under way");
    assert_eq!(
        done.member(id(3)).map(|m| m.state),
        Some(MemberState::Removed)
    );
}

#[test]
fn an_aborted_change_is_staged_again_and_may_be_dropped() {
    let document = founded(4, 16);
    let staged = document.enrolling(member(5)).expect("a new name");
    let staged = staged
        .staging(Change::Leave { node: id(1) })
        .expect("it is up");
    let moving = staged.committing().expect("two are staged");
    let aborted = moving.aborting().expect("it is under way");
    assert_eq!(aborted.staged, staged.staged);
    assert_eq!(aborted.placement.owners, document.placement.owners);
    assert_eq!(aborted.members, staged.members);
    let dropped = aborted.unstaging().expect("two are staged");
    assert_eq!(
        dropped.member(id(5)).map(|m| m.state),
        Some(MemberState::Removed)
    );
    assert_eq!(
        dropped.staging(Change::Weigh {
            node: id(1),
            weight: 0
        }),
        Err(ChangeRefused::ZeroWeight {
            name: "node-1".to_owned()
        })
    );
}

#[test]
fn a_new_zone_of_a_member_changes_homes_only_with_the_finish() {
    let document = (2..=5).fold(founded(1, 16), |document, number| grown(&document, number));
    let place = Change::Place {
        node: id(4),
        zone: "b".to_owned(),
        rack: String::new(),
    };
    let moving = document
        .staging(place)
        .expect("it is up")
        .committing()
        .expect("it is staged");
    let (before, during) = (ring(&document), ring(&moving));
    for partition in before.partition_count().partitions() {
        assert_eq!(
            before.partition_preference_list(partition),
            during.partition_preference_list(partition)
        );
    }
    let after = ring(&moving.finishing().expect("it is under way"));
    for partition in after.partition_count().partitions() {
        assert!(
            after.homes(partition, N).contains(&id(4)),
            "each zone has a replica"
        );
        assert_eq!(
            Some(after.homes(partition, N)),
            during.next_homes(partition, N)
        );
    }
}

#[derive(Debug, Clone)]
enum Step {
    Join,
    Leave(usize),
    Remove(usize),
    Weigh(usize, u32),
    Commit,
    Finish,
    Abort,
    Unstage,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Join),
        2 => (0..20_usize).prop_map(Step::Leave),
        1 => (0..20_usize).prop_map(Step::Remove),
        1 => (0..20_usize, 1..4_u32).prop_map(|(member, weight)| Step::Weigh(member, weight)),
        4 => Just(Step::Commit),
        4 => Just(Step::Finish),
        1 => Just(Step::Abort),
        1 => Just(Step::Unstage),
    ]
}

fn taken(
    document: &RingDocument,
    step: &Step,
    joined: &mut u128,
) -> Result<RingDocument, ChangeRefused> {
    let nth = |n: usize| document.members[n % document.members.len()].id;
    match step {
        Step::Join => {
            *joined += 1;
            document.enrolling(member(*joined))
        }
        Step::Leave(n) => document.staging(Change::Leave { node: nth(*n) }),
        Step::Remove(n) => document.staging(Change::Remove { node: nth(*n) }),
        Step::Weigh(n, weight) => document.staging(Change::Weigh {
            node: nth(*n),
            weight: *weight,
        }),
        Step::Commit => document.committing(),
        Step::Finish => document.finishing(),
        Step::Abort => document.aborting(),
        Step::Unstage => document.unstaging(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 60,
        rng_seed: RngSeed::Fixed(2007),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Whatever operators do, in any order: each document is a valid successor, owners change by a finish only, and a
    /// comer is paired with as many goers as there are.
    #[test]
    fn documents_follow_each_other(steps in proptest::collection::vec(step(), 1..40)) {
        let mut document = founded(3, 16);
        let mut joined = 3;
        for step in &steps {
            let Ok(next) = taken(&document, step, &mut joined) else {
                continue;
            };
            prop_assert_eq!(validate_succession(&document, &next), Ok(()));
            if !matches!(step, Step::Finish) {
                prop_assert_eq!(&next.placement.owners, &document.placement.owners);
            }
            let now = ring(&next);
            let mut paired: BTreeMap<_, BTreeSet<NodeId>> = BTreeMap::new();
            for a_move in now.moves(N) {
                if let Some(goer) = a_move.goer {
                    prop_assert!(paired.entry(a_move.partition).or_default().insert(goer));
                }
            }
            for partition in now.partition_count().partitions() {
                let Some(homes) = now.next_homes(partition, N) else { continue };
                let before = now.homes(partition, N).iter();
                let goers = before.filter(|home| !homes.contains(home)).count();
                let comers = now.comers(partition, N).count();
                prop_assert_eq!(paired.get(&partition).map_or(0, BTreeSet::len), goers.min(comers));
            }
            document = next;
        }
    }
}
