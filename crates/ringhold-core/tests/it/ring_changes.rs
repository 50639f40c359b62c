//! Documents that follow each other, by what operators ask for.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use ringhold_core::id::{ClusterId, NodeId};
use ringhold_core::ring::{
    Addresses, BucketName, Change, ChangeRefused, Member, MemberState, Move, PartitionCount, Ring,
    RingDocument, TreeId, validate_succession,
};
use std::collections::BTreeMap;

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
    let moves = moving.moves();
    let to_others = moves.iter().filter(|m| m.taker != id(7)).count();
    assert!(
        moves.iter().all(|m| m.is_comer && m.goers.len() == 1),
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
    let moves = ring(&moving).moves();
    assert!(
        moves.iter().all(|m| m.taker == id(6) && m.goers == [id(3)]),
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
    Replicate(usize, u8),
    StageReplicas(usize, u8),
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
        2 => (0..3_usize, 0..7_u8).prop_map(|(bucket, n)| Step::Replicate(bucket, n)),
        1 => (0..3_usize, 0..7_u8).prop_map(|(bucket, n)| Step::StageReplicas(bucket, n)),
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
        Step::Replicate(number, n) => document.replicating(&bucket(*number), *n),
        Step::StageReplicas(number, n) => document.staging(Change::Replicate {
            bucket: bucket(*number),
            n: *n,
        }),
        Step::Commit => document.committing(),
        Step::Finish => document.finishing(),
        Step::Abort => document.aborting(),
        Step::Unstage => document.unstaging(),
    }
}

/// What a write that every set of some homes has is on afterwards: as many of those to come, or all of them.
fn check_moves(ring: &Ring, moves: &[Move], tree: TreeId) -> Result<(), String> {
    let (homes, next) = (ring.homes_of(tree), ring.next_homes_of(tree));
    let moves = moves.iter().filter(|m| m.tree == tree);
    let moves: BTreeMap<NodeId, &Vec<NodeId>> = moves.map(|m| (m.taker, &m.goers)).collect();
    let takes = |taker: &NodeId, from: &NodeId| match moves.get(taker) {
        Some(goers) => goers.is_empty() || goers.contains(from),
        None => false,
    };
    for some in 1..1_u32 << homes.len() {
        let has = homes.iter().enumerate();
        let has: Vec<NodeId> = has
            .filter(|(at, _)| some & 1 << at != 0)
            .map(|(_, home)| *home)
            .collect();
        let after = next
            .iter()
            .filter(|home| has.contains(home) || has.iter().any(|from| takes(home, from)))
            .count();
        if !next.is_empty() && after < has.len().min(next.len()) {
            return Err(format!(
                "{tree:?}: what {has:?} had has {after} of {next:?}"
            ));
        }
    }
    Ok(())
}

/// The first is all the others' type.
fn bucket(number: usize) -> BucketName {
    let name = match number {
        0 => String::new(),
        number => format!("bucket{number}"),
    };
    BucketName {
        bucket_type: "default".into(),
        bucket: name.into(),
    }
}

fn replicas(document: &RingDocument, number: usize) -> (u8, u8) {
    let bucket = bucket(number);
    let ring = ring(document);
    let replicas = ring
        .classes()
        .replicas_of(&bucket.bucket_type, &bucket.bucket);
    (replicas.now, replicas.next)
}

#[test]
fn a_bucket_gets_another_n_over_a_next_map_like_any_other_change() {
    let first = founded(6, 16);
    let five = bucket(1);
    let growing = first.replicating(&five, 5).expect("nothing is under way");
    assert_eq!(replicas(&growing, 1), (3, 5));
    assert_eq!(replicas(&growing, 2), (3, 3));
    assert_eq!(growing.placement.owners, first.placement.owners);
    assert_eq!(
        growing.replicating(&five, 5),
        Err(ChangeRefused::NothingChanges)
    );
    assert_eq!(
        growing.replicating(&five, 4),
        Err(ChangeRefused::ChangeUnderWay)
    );
    let moves = ring(&growing).moves();
    assert_eq!(moves.len(), 2 * 16, "two more of each partition");
    assert!(moves.iter().all(|m| m.is_comer && m.goers.is_empty()));
    let grown = growing.finishing().expect("it is under way");
    assert_eq!(replicas(&grown, 1), (5, 5));
    let shrinking = grown.replicating(&five, 2).expect("nothing is under way");
    let moves = ring(&shrinking).moves();
    assert_eq!(
        moves.len(),
        2 * 16,
        "who stays takes over what the goers have"
    );
    assert!(moves.iter().all(|m| !m.is_comer && m.goers.len() == 3));
    let aborted = shrinking.aborting().expect("it is under way");
    assert_eq!(replicas(&aborted, 1), (5, 5));
    assert_eq!(
        aborted.staged,
        [Change::Replicate {
            bucket: five.clone(),
            n: 2
        }]
    );
    let again = aborted.committing().expect("it is staged");
    assert_eq!(replicas(&again, 1), (5, 2));
    let back = grown.replicating(&five, 3).expect("nothing is under way");
    let back = back.finishing().expect("it is under way");
    assert!(back.placement.replication.buckets.is_empty());
    for n in [0, 17] {
        let refused = back.replicating(&five, n);
        assert!(
            matches!(refused, Err(ChangeRefused::Invalid(_))),
            "{refused:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 60,
        rng_seed: RngSeed::Fixed(2007),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Whatever operators do, in any order: each document is a valid successor, owners change by a finish only, and
    /// what some homes have is on as many homes to come.
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
            if !matches!(step, Step::Finish) {
                prop_assert_eq!(&next.placement.replication, &document.placement.replication);
            }
            let moves = now.moves();
            for tree in now.trees() {
                prop_assert_eq!(check_moves(&now, &moves, tree), Ok(()));
            }
            document = next;
        }
    }
}
