//! One acceptor and one proposer, step by step.

use std::collections::BTreeSet;

use ringhold_core::id::NodeId;
use ringhold_core::membership::register::{
    Acceptance, Accepted, Ballot, Decree, Denial, NotBegun, Opening, Promise, Proposal,
    ROUND_LEAP_MAX, Receipt, Step,
};
use ringhold_core::ring::{Epoch, RingHash};

const EPOCH: Epoch = Epoch(7);

/// A document of this name with these voters. The one that everybody holds has name 0.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Document(u8, Vec<u128>);

impl Decree for Document {
    fn name(&self) -> RingHash {
        RingHash([self.0; 16])
    }

    fn epoch(&self) -> Epoch {
        match self.0 {
            0 => Epoch(6),
            100 => Epoch(8),
            _ => EPOCH,
        }
    }

    fn voters(&self) -> BTreeSet<NodeId> {
        ids(&self.1)
    }
}

fn ids(numbers: &[u128]) -> BTreeSet<NodeId> {
    numbers.iter().copied().map(NodeId).collect()
}

fn ballot(round: u64, proposer: u128) -> Ballot {
    let proposer = NodeId(proposer);
    Ballot { round, proposer }
}

fn promise(ballot: Ballot, accepted: Option<(Ballot, Document)>) -> Promise<Document> {
    Promise {
        epoch: EPOCH,
        ballot,
        accepted: accepted.map(|(ballot, value)| Accepted { ballot, value }),
    }
}

fn receipt(ballot: Ballot) -> Receipt {
    let epoch = EPOCH;
    Receipt { epoch, ballot }
}

fn fresh() -> Acceptance<Document> {
    Acceptance::after(Epoch(6))
}

fn accepts(to: &[u128], value: &Document) -> Step<Document> {
    Step::SendAccepts {
        to: ids(to),
        value: value.clone(),
    }
}

const fn outbid(by: Ballot) -> Denial {
    Denial::Outbid { by }
}

fn document(name: u8, voters: &[u128]) -> Document {
    Document(name, voters.to_vec())
}

/// The attempt of node 1 to have a document follow one with these voters, and its ballot.
fn begun(voters: &[u128], value: &Document) -> (Proposal<Document>, Step<Document>) {
    let Opening {
        persist,
        proposal,
        step,
    } = Proposal::begin(
        &fresh(),
        NodeId(1),
        &document(0, voters),
        value.clone(),
        Ballot::NONE,
    )
    .expect("a ballot is left");
    assert_eq!(persist.promised, proposal.ballot());
    assert_eq!((proposal.epoch(), proposal.ballot()), (EPOCH, MINE));
    (proposal, step)
}

const MINE: Ballot = Ballot {
    round: 1,
    proposer: NodeId(1),
};

#[test]
fn an_acceptor_keeps_its_promise() {
    let promised = fresh().prepare(EPOCH, ballot(2, 1));
    assert_eq!(promised.reply, Ok(promise(ballot(2, 1), None)));
    let acceptor = promised.persist.expect("a promise is durable");
    assert_eq!(acceptor.promised, ballot(2, 1));

    let again = acceptor.prepare(EPOCH, ballot(2, 1));
    assert_eq!(again.reply, Ok(promise(ballot(2, 1), None)));
    assert_eq!(again.persist, None);

    let value = document(1, &[1, 2, 3]);
    for lower in [ballot(1, 9), ballot(2, 0), ballot(0, 9), Ballot::NONE] {
        let denied = Err(outbid(ballot(2, 1)));
        let answer = acceptor.prepare(EPOCH, lower);
        assert_eq!(
            (answer.reply, answer.persist),
            (Err(outbid(ballot(2, 1))), None)
        );
        let answer = acceptor.accept(EPOCH, lower, value.clone());
        assert_eq!((answer.reply, answer.persist), (denied, None));
    }
}

#[test]
fn an_acceptor_tells_what_it_accepted() {
    let value = document(1, &[1, 2, 3]);
    let accepted = fresh().accept(EPOCH, ballot(2, 1), value.clone());
    assert_eq!(accepted.reply, Ok(receipt(ballot(2, 1))));
    let acceptor = accepted.persist.expect("an acceptance is durable");
    assert_eq!(acceptor.promised, ballot(2, 1));

    let again = acceptor.accept(EPOCH, ballot(2, 1), value.clone());
    assert_eq!(
        (again.reply, again.persist),
        (Ok(receipt(ballot(2, 1))), None)
    );

    let promised = acceptor.prepare(EPOCH, ballot(3, 2));
    let brings = Some((ballot(2, 1), value));
    assert_eq!(promised.reply, Ok(promise(ballot(3, 2), brings)));
    let acceptor = promised.persist.expect("a promise is durable");

    let later = acceptor.accept(EPOCH, ballot(4, 3), document(2, &[1]));
    let acceptor = later.persist.expect("an acceptance is durable");
    let kept = acceptor.accepted.expect("the later one");
    assert_eq!((kept.ballot, kept.value.0), (ballot(4, 3), 2));
}

#[test]
fn a_ballot_carries_one_value() {
    let accepted = fresh().accept(EPOCH, ballot(2, 1), document(1, &[1, 2, 3]));
    let acceptor = accepted.persist.expect("an acceptance is durable");
    let other = acceptor.accept(EPOCH, ballot(2, 1), document(2, &[1, 2, 3]));
    assert_eq!(
        (other.reply, other.persist),
        (Err(outbid(ballot(2, 1))), None)
    );
}

#[test]
fn an_acceptor_speaks_of_one_epoch() {
    let value = document(1, &[1]);
    let behind = Denial::Behind {
        committed: Epoch(6),
    };
    let ahead = Denial::Ahead { held: Epoch(6) };
    let expected = [
        (Epoch(0), behind),
        (Epoch(6), behind),
        (Epoch(8), ahead),
        (Epoch(u64::MAX), ahead),
    ];
    for (epoch, denial) in expected {
        let answer = fresh().prepare(epoch, ballot(1, 1));
        assert_eq!((answer.reply, answer.persist), (Err(denial), None));
        let answer = fresh().accept(epoch, ballot(1, 1), value.clone());
        assert_eq!((answer.reply, answer.persist), (Err(denial), None));
    }
    // No such document will ever be; still it must not end the process.
    let last = Acceptance::<Document>::after(Epoch(u64::MAX));
    assert_eq!(last.epoch, Epoch(u64::MAX));
}

#[test]
fn no_single_message_uses_the_rounds_up() {
    for round in [ROUND_LEAP_MAX + 1, u64::MAX] {
        let answer = fresh().prepare(EPOCH, ballot(round, 1));
        assert_eq!(
            (answer.reply, answer.persist),
            (Err(outbid(Ballot::NONE)), None)
        );
        let answer = fresh().accept(EPOCH, ballot(round, 1), document(1, &[1]));
        assert_eq!(
            (answer.reply, answer.persist),
            (Err(outbid(Ballot::NONE)), None)
        );
    }
    assert!(
        fresh()
            .prepare(EPOCH, ballot(ROUND_LEAP_MAX, 1))
            .reply
            .is_ok()
    );

    let begin = |own: &Acceptance<Document>, outbid_by| {
        Proposal::begin(
            own,
            NodeId(1),
            &document(0, &[1, 2]),
            document(1, &[1, 2]),
            outbid_by,
        )
        .map(|opening| opening.proposal.ballot())
    };
    assert_eq!(begin(&fresh(), ballot(5, 2)), Ok(ballot(6, 1)));
    assert_eq!(begin(&fresh(), ballot(u64::MAX, 2)), Ok(ballot(1, 1)));
    let worn = Acceptance {
        promised: ballot(u64::MAX, 2),
        ..fresh()
    };
    assert_eq!(begin(&worn, Ballot::NONE), Err(NotBegun::NoBallotLeft));
}

/// A node may adopt a document between looking at the one it holds and beginning an attempt.
#[test]
fn the_votes_of_one_epoch_are_not_counted_in_the_register_of_another() {
    let (held, wanted, later) = (document(0, &[1]), document(1, &[1]), document(100, &[1]));
    let meanwhile = Acceptance::after(EPOCH);
    let begin = |own: &Acceptance<Document>, held: &Document, value: &Document| {
        let opening = Proposal::begin(own, NodeId(1), held, value.clone(), Ballot::NONE);
        opening.map(|opening| opening.proposal.epoch())
    };
    assert_eq!(begin(&fresh(), &held, &wanted), Ok(EPOCH));
    let mixed = [
        (&meanwhile, &held, &wanted),
        (&meanwhile, &held, &later),
        (&meanwhile, &wanted, &wanted),
        (&fresh(), &held, &later),
        (&fresh(), &wanted, &wanted),
        (&fresh(), &wanted, &later),
    ];
    for (own, held, value) in mixed {
        assert_eq!(begin(own, held, value), Err(NotBegun::OtherEpoch));
    }
    assert_eq!(begin(&meanwhile, &wanted, &later), Ok(Epoch(8)));
    let answer = fresh().accept(EPOCH, ballot(1, 1), later);
    assert_eq!(
        (answer.reply, answer.persist),
        (Err(outbid(Ballot::NONE)), None)
    );
}

#[test]
fn a_cluster_of_one_asks_nobody() {
    let value = document(1, &[1]);
    let (mut proposal, step) = begun(&[1], &value);
    assert_eq!(step, accepts(&[1], &value));
    let chosen = Step::Chosen { value, ours: true };
    assert_eq!(proposal.heard_accept(NodeId(1), Ok(receipt(MINE))), chosen);
    assert!(proposal.is_over());
}

#[test]
fn two_of_three_promise_and_two_of_three_accept() {
    let value = document(1, &[1, 2, 3]);
    let (mut proposal, step) = begun(&[1, 2, 3], &value);
    assert_eq!(step, Step::SendPrepares { to: ids(&[2, 3]) });
    let step = proposal.heard_prepare(NodeId(3), Ok(promise(MINE, None)));
    assert_eq!(step, accepts(&[1, 2, 3], &value));
    assert_eq!(
        proposal.heard_accept(NodeId(1), Ok(receipt(MINE))),
        Step::Wait
    );
    assert_eq!(
        proposal.heard_accept(NodeId(1), Ok(receipt(MINE))),
        Step::Wait
    );
    let chosen = Step::Chosen { value, ours: true };
    assert_eq!(proposal.heard_accept(NodeId(2), Ok(receipt(MINE))), chosen);
    assert_eq!(
        proposal.heard_accept(NodeId(3), Ok(receipt(MINE))),
        Step::Wait
    );
}

#[test]
fn of_the_values_found_the_one_of_the_highest_ballot_is_sent() {
    let all = [1, 2, 3, 4, 5];
    let (mut proposal, _) = begun(&all, &document(1, &all));
    let mine = proposal.ballot();
    assert_eq!(mine, MINE);
    let lower = promise(mine, Some((ballot(0, 4), document(4, &all))));
    let higher = promise(mine, Some((ballot(0, 5), document(5, &[1, 9]))));
    assert_eq!(proposal.heard_prepare(NodeId(3), Ok(higher)), Step::Wait);
    let step = proposal.heard_prepare(NodeId(2), Ok(lower));
    // Its own voters are asked too, whether or not they promised.
    assert_eq!(step, accepts(&[1, 2, 3, 4, 5, 9], &document(5, &[1, 9])));
    for node in [1, 2, 3] {
        assert_eq!(
            proposal.heard_accept(NodeId(node), Ok(receipt(mine))),
            Step::Wait
        );
    }
    let value = document(5, &[1, 9]);
    let chosen = Step::Chosen { value, ours: false };
    assert_eq!(proposal.heard_accept(NodeId(9), Ok(receipt(mine))), chosen);
}

#[test]
fn the_next_voters_free_nobody_and_bring_nothing() {
    let value = document(1, &[1, 8, 9]);
    let (mut proposal, step) = begun(&[1, 2, 3], &value);
    assert_eq!(
        step,
        Step::SendPrepares {
            to: ids(&[2, 3, 8, 9])
        }
    );
    for node in [8, 9] {
        let brings = promise(MINE, Some((ballot(0, 9), document(9, &[9]))));
        assert_eq!(proposal.heard_prepare(NodeId(node), Ok(brings)), Step::Wait);
    }
    let step = proposal.heard_prepare(NodeId(2), Ok(promise(MINE, None)));
    assert_eq!(step, accepts(&[1, 2, 3, 8, 9], &value));
}

#[test]
fn a_document_is_put_forward_only_where_its_own_voters_answer() {
    let value = document(1, &[1, 8, 9]);
    let (mut proposal, _) = begun(&[1, 2, 3], &value);
    assert_eq!(
        proposal.heard_prepare(NodeId(2), Ok(promise(MINE, None))),
        Step::Wait
    );
    assert_eq!(proposal.failed(NodeId(8)), Step::Wait);
    let mut unfinished = proposal.clone();
    // The last old voter may still bring something that has to be finished…
    assert_eq!(proposal.failed(NodeId(9)), Step::Wait);
    let found = document(2, &[2, 9]);
    let brings = promise(MINE, Some((ballot(0, 3), found.clone())));
    let step = proposal.heard_prepare(NodeId(3), Ok(brings));
    assert_eq!(step, accepts(&[1, 2, 3, 9], &found));
    // … and if it does not, nothing was begun that could not be.
    assert_eq!(unfinished.failed(NodeId(9)), Step::Wait);
    assert_eq!(unfinished.failed(NodeId(3)), Step::OutOfReach);
    assert!(unfinished.is_over());
}

#[test]
fn an_attempt_is_lost_when_no_majority_is_left() {
    let all = [1, 2, 3, 4, 5];
    let (mut proposal, _) = begun(&all, &document(1, &all));
    assert_eq!(
        proposal.heard_prepare(NodeId(2), Err(outbid(ballot(4, 2)))),
        Step::Wait
    );
    assert_eq!(
        proposal.heard_prepare(NodeId(3), Err(outbid(ballot(9, 3)))),
        Step::Wait
    );
    let lost = Step::Lost { to: ballot(9, 3) };
    assert_eq!(proposal.failed(NodeId(4)), lost);
    let late = proposal.heard_prepare(NodeId(5), Ok(promise(MINE, None)));
    assert_eq!(late, Step::Wait);
}

#[test]
fn who_was_silent_or_behind_counts_when_it_answers() {
    let value = document(1, &[1, 2, 3]);
    let (mut proposal, _) = begun(&[1, 2, 3], &value);
    let ahead = Denial::Ahead { held: Epoch(5) };
    assert_eq!(proposal.heard_prepare(NodeId(2), Err(ahead)), Step::Wait);
    let step = proposal.heard_prepare(NodeId(2), Ok(promise(MINE, None)));
    assert_eq!(step, accepts(&[1, 2, 3], &value));
    assert_eq!(proposal.failed(NodeId(2)), Step::Wait);
    assert_eq!(
        proposal.heard_accept(NodeId(2), Ok(receipt(MINE))),
        Step::Wait
    );
    assert_eq!(proposal.failed(NodeId(2)), Step::Wait);
    let chosen = Step::Chosen { value, ours: true };
    assert_eq!(proposal.heard_accept(NodeId(3), Ok(receipt(MINE))), chosen);

    let (mut proposal, _) = begun(&[1, 2, 3], &document(1, &[1, 2, 3]));
    assert_eq!(proposal.failed(NodeId(2)), Step::Wait);
    assert_eq!(
        proposal.heard_prepare(NodeId(3), Err(ahead)),
        Step::OutOfReach
    );
}

#[test]
fn one_node_that_knows_the_outcome_is_enough() {
    let behind = |committed| Denial::Behind {
        committed: Epoch(committed),
    };
    let fetch = Step::Fetch {
        from: NodeId(2),
        epoch: Epoch(9),
    };
    let (mut proposal, _) = begun(&[1, 2, 3], &document(1, &[1, 2, 3]));
    assert_eq!(
        proposal.heard_prepare(NodeId(3), Err(behind(6))),
        Step::Wait
    );
    let mut accepting = proposal.clone();
    assert_eq!(proposal.heard_prepare(NodeId(2), Err(behind(9))), fetch);
    assert!(proposal.is_over());
    let promised = accepting.heard_prepare(NodeId(2), Ok(promise(MINE, None)));
    assert!(matches!(promised, Step::SendAccepts { .. }));
    assert_eq!(accepting.heard_accept(NodeId(2), Err(behind(9))), fetch);
}

#[test]
fn answers_to_other_questions_change_nothing() {
    let (mut proposal, _) = begun(&[1, 2, 3], &document(1, &[1, 2, 3]));
    let before = proposal.clone();
    let other_ballot = promise(ballot(1, 2), None);
    let other_epoch = Promise {
        epoch: Epoch(8),
        ..promise(MINE, None)
    };
    for stale in [other_ballot, other_epoch] {
        assert_eq!(proposal.heard_prepare(NodeId(2), Ok(stale)), Step::Wait);
    }
    assert_eq!(
        proposal.heard_accept(NodeId(2), Ok(receipt(MINE))),
        Step::Wait
    );
    let stranger = NodeId(77);
    assert_eq!(
        proposal.heard_prepare(stranger, Ok(promise(MINE, None))),
        Step::Wait
    );
    assert_eq!(
        proposal.heard_prepare(stranger, Err(outbid(ballot(9, 9)))),
        Step::Wait
    );
    assert_eq!(proposal.failed(stranger), Step::Wait);
    assert_eq!(proposal, before);

    proposal.heard_prepare(NodeId(2), Ok(promise(MINE, None)));
    let before = proposal.clone();
    let stale = receipt(ballot(1, 2));
    assert_eq!(proposal.heard_accept(NodeId(3), Ok(stale)), Step::Wait);
    assert_eq!(
        proposal.heard_prepare(NodeId(3), Ok(promise(MINE, None))),
        Step::Wait
    );
    assert_eq!(proposal, before);
}

#[test]
fn two_values_under_one_ballot_stop_everything() {
    let all = [1, 2, 3, 4, 5];
    let (mut proposal, _) = begun(&all, &document(1, &all));
    let brings = |name| promise(MINE, Some((ballot(0, 4), document(name, &all))));
    assert_eq!(proposal.heard_prepare(NodeId(2), Ok(brings(2))), Step::Wait);
    let contradiction = Step::Contradiction {
        ballot: ballot(0, 4),
        values: [RingHash([2; 16]), RingHash([3; 16])],
    };
    assert_eq!(
        proposal.heard_prepare(NodeId(3), Ok(brings(3))),
        contradiction
    );
    assert!(proposal.is_over());
}

#[test]
fn a_ballot_that_was_used_before_is_left() {
    let (mut proposal, _) = begun(&[1, 2, 3], &document(1, &[1, 2, 3]));
    let brings = promise(MINE, Some((MINE, document(2, &[1]))));
    assert_eq!(
        proposal.heard_prepare(NodeId(2), Ok(brings.clone())),
        Step::Wait
    );
    let lost = Step::Lost { to: MINE };
    assert_eq!(proposal.heard_prepare(NodeId(3), Ok(brings)), lost);
}

#[test]
fn what_has_no_voters_is_never_committed() {
    let (mut proposal, _) = begun(&[1, 2, 3], &document(1, &[]));
    assert_eq!(
        proposal.heard_prepare(NodeId(2), Ok(promise(MINE, None))),
        Step::Wait
    );
    let end = proposal.heard_prepare(NodeId(3), Ok(promise(MINE, None)));
    assert_eq!(end, Step::OutOfReach);
}
