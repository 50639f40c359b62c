//! The register of an epoch: step by step, and in every execution that a few nodes can have.
//!
//! With optimisation, in `cargo test --release -p ringhold-core --test it register::`, the bounds are wider; that takes minutes.

mod model;
mod steps;

use model::{ALL_VIOLATIONS, Mistake, Model, Nodes, Scenario, Violation};

/// Each proposer wants another document at each of its attempts, with these voters.
fn scenario(name: &'static str, voters: &[u8], proposers: &[(u8, &[&[u8]])]) -> Scenario {
    let nodes = |numbers: &[u8]| Nodes::of(numbers.iter().copied());
    let proposers = proposers.iter().map(|(node, documents)| {
        let documents = documents.iter().map(|voters| nodes(voters));
        (*node, documents.collect())
    });
    Scenario {
        name,
        voters: nodes(voters),
        proposers: proposers.collect(),
    }
}

const A: &[u8] = &[0];
const AB: &[u8] = &[0, 1];
const ABC: &[u8] = &[0, 1, 2];
const ABD: &[u8] = &[0, 1, 3];
const ABCD: &[u8] = &[0, 1, 2, 3];
const ABCDE: &[u8] = &[0, 1, 2, 3, 4];

/// Nothing that must never be is; but what should be possible is.
fn holds(scenario: &Scenario) {
    let explored = Model::explore(scenario, Mistake::None, &ALL_VIOLATIONS);
    if let Some((violation, story)) = &explored.violation {
        panic!("{}: {violation:?} after\n{story}", scenario.name);
    }
    assert!(
        explored.announcements > 0,
        "{}: {explored:?}",
        scenario.name
    );
    let met = explored.finished_for_another > 0 && explored.fetches > 0;
    assert!(met, "{}: {explored:?}", scenario.name);
}

#[test]
fn the_same_voters() {
    holds(&scenario("three", ABC, &[(0, &[ABC, ABC]), (1, &[ABC])]));
}

#[test]
fn one_member_is_added() {
    holds(&scenario(
        "three and one",
        ABC,
        &[(0, &[ABCD, ABC]), (1, &[ABC])],
    ));
}

#[test]
fn a_member_that_is_added_proposes() {
    holds(&scenario(
        "three and one",
        ABC,
        &[(3, &[ABCD]), (1, &[ABC])],
    ));
}

#[test]
fn one_member_is_removed() {
    holds(&scenario(
        "three less one",
        ABC,
        &[(0, &[AB, ABC]), (2, &[ABC])],
    ));
}

#[test]
fn two_members_are_removed() {
    holds(&scenario(
        "three less two",
        ABC,
        &[(0, &[A, ABC]), (2, &[ABC])],
    ));
}

#[test]
fn one_member_is_replaced() {
    holds(&scenario(
        "one for another",
        ABC,
        &[(0, &[ABD]), (1, &[ABC])],
    ));
}

#[test]
fn one_is_added_to_four_and_one_removed_from_them() {
    holds(&scenario("four", ABCD, &[(0, &[ABC]), (1, &[ABCDE])]));
}

#[test]
#[cfg(not(debug_assertions))]
fn two_attempts_each_and_more_nodes() {
    holds(&scenario(
        "three",
        ABC,
        &[(0, &[ABC, ABC]), (1, &[ABC, ABC])],
    ));
    holds(&scenario(
        "three and one",
        ABC,
        &[(3, &[ABCD]), (1, &[ABC, ABC])],
    ));
    holds(&scenario(
        "one for another",
        ABC,
        &[(0, &[ABD, ABC]), (1, &[ABC])],
    ));
    holds(&scenario(
        "three of them",
        ABC,
        &[(0, &[ABC]), (1, &[ABC]), (2, &[ABC])],
    ));
    holds(&scenario("four", ABCD, &[(0, &[ABC, ABCD]), (1, &[ABCDE])]));
}

/// Each broken rule, where it shows, and as what.
#[test]
fn every_mistake_is_found() {
    let same = scenario("three", ABC, &[(0, &[ABC, ABC]), (1, &[ABC])]);
    let four = scenario("four", ABCD, &[(0, &[ABCD]), (1, &[ABCD])]);
    let replaced = scenario("one for another", ABC, &[(0, &[ABD]), (1, &[ABC])]);
    let shrunk = scenario("three less two", ABC, &[(0, &[A]), (1, &[ABC])]);
    let three = scenario("three", ABC, &[(0, &[ABC, ABC]), (1, &[ABC, ABC])]);
    let two_documents = Violation::TwoDocuments;
    let mistakes = [
        (Mistake::PromiseForgotten, &same, two_documents),
        (Mistake::PromiseForgotten, &four, two_documents),
        (Mistake::AcceptanceForgotten, &same, two_documents),
        (Mistake::PromiseIgnored, &same, two_documents),
        (Mistake::FoundIgnored, &same, two_documents),
        (Mistake::FoundIgnored, &four, two_documents),
        (Mistake::NoPrepare, &same, two_documents),
        (Mistake::PreparedByNextVoters, &replaced, two_documents),
        (Mistake::CommittedByNextVoters, &replaced, two_documents),
        (
            Mistake::CommittedByPreviousVoters,
            &replaced,
            Violation::NotKept,
        ),
        (
            Mistake::CommittedByPreviousVoters,
            &shrunk,
            Violation::NotKept,
        ),
        (Mistake::RemovedStillVote, &shrunk, Violation::NotKept),
        (Mistake::BallotUsedTwice, &same, Violation::Contradiction),
        (Mistake::BallotUsedTwice, &three, two_documents),
    ];
    for (mistake, scenario, violation) in mistakes {
        let explored = Model::explore(scenario, mistake, &[violation]);
        let found = explored.violation.as_ref().map(|(violation, _)| *violation);
        assert_eq!(found, Some(violation), "{mistake:?}, {}", scenario.name);
    }
}

/// What looks like a mistake, or is one for another reason, and can't lead to two documents.
#[test]
fn what_is_not_unsafe() {
    let added = scenario("three and one", ABC, &[(0, &[ABCD]), (1, &[ABC])]);
    let removed = scenario("three less one", ABC, &[(0, &[AB]), (2, &[ABC])]);
    let replaced = scenario("one for another", ABC, &[(0, &[ABD]), (1, &[ABC])]);
    let (two_documents, not_kept) = (Violation::TwoDocuments, Violation::NotKept);
    let harmless = [
        // A majority with one voter more or less meets every majority without: only a change of several is unsafe.
        (Mistake::PreparedByNextVoters, &added, two_documents),
        (Mistake::PreparedByNextVoters, &removed, two_documents),
        (Mistake::RemovedStillVote, &removed, not_kept),
        // The first majority alone decides what it can be; the second decides who knows.
        (Mistake::CommittedByPreviousVoters, &replaced, two_documents),
        (Mistake::RemovedStillVote, &replaced, two_documents),
    ];
    for (mistake, scenario, violation) in harmless {
        let explored = Model::explore(scenario, mistake, &[violation]);
        assert!(explored.violation.is_none(), "{mistake:?}: {explored:?}");
    }
}
