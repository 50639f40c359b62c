//! Every order and outcome of up to five replies to a get, against the model.

use ringhold_core::quorum::{
    FailureKind, GetOutcome, GetQuorum, GetReply, GetTally, Requirement, Status, Target,
};

use crate::quorum_model::{
    Census, Enumeration, Model, OUTSTANDING, REPLACED, Reach, Rules, Score, Situation, Subject,
    target,
};

const FOUND: u8 = 1;
const DELETED: u8 = 2;
const NOT_FOUND: u8 = 3;
const UNKNOWN: u8 = 4;
const FAILED: u8 = 5;

const RULES: Rules = Rules {
    outcomes: 5,
    rises: |earlier, later| match earlier {
        FAILED => later != FAILED,
        UNKNOWN | REPLACED => [FOUND, DELETED, NOT_FOUND].contains(&later),
        _ => false,
    },
    unanswered: |outcome| outcome == UNKNOWN || outcome == FAILED,
};

fn outcome(digit: u8) -> GetOutcome {
    match digit {
        FOUND => GetOutcome::Found,
        DELETED => GetOutcome::Deleted,
        NOT_FOUND => GetOutcome::NotFound,
        UNKNOWN => GetOutcome::Unknown,
        FAILED => GetOutcome::Failed(FailureKind::TimedOut),
        other => panic!("{other} is not an outcome"),
    }
}

fn reply(from: Target, digit: u8) -> GetReply {
    GetReply {
        node: from.node,
        kind: from.kind,
        outcome: outcome(digit),
    }
}

impl Subject for GetTally {
    fn status(&self) -> Status {
        GetTally::status(self)
    }

    fn reply(&mut self, from: Target, digit: u8) {
        self.record(reply(from, digit));
    }

    fn expect_more(&mut self, target: Target) {
        GetTally::expect_more(self, target);
    }

    fn retargeted(&mut self, failed: Target, digit: u8, stand_in: Target) {
        GetTally::retargeted(self, reply(failed, digit), stand_in);
    }
}

/// The rules of a get, over again and from the list of outcomes alone.
fn score(quorum: GetQuorum, primaries: usize, situation: Situation) -> Score {
    let tally = |from: &[u8], wanted: &[u8]| {
        let found = from.iter().filter(|digit| wanted.contains(digit)).count();
        u32::try_from(found).expect("five at most")
    };
    let everybody = &situation.0[..];
    let at_home = &situation.0[..primaries];
    let counting: &[u8] = if quorum.notfound_ok {
        &[FOUND, DELETED, NOT_FOUND]
    } else {
        &[FOUND, DELETED]
    };
    let replies = if quorum.r == 0 { 1 } else { quorum.r };
    let rows = vec![
        (Requirement::PR, quorum.pr, tally(at_home, counting)),
        (Requirement::R, replies, tally(everybody, counting)),
        (
            Requirement::NodeConfirms,
            quorum.node_confirms,
            tally(everybody, counting),
        ),
    ];

    let hopeful = [FOUND, DELETED, NOT_FOUND, OUTSTANDING];
    let enough_speak = tally(at_home, &hopeful) >= quorum.pr
        && tally(everybody, &hopeful) >= replies
        && tally(everybody, &hopeful) >= quorum.node_confirms;
    let nothing_against = tally(everybody, &[FOUND, UNKNOWN, FAILED]) == 0;
    let all_heard = tally(everybody, &[OUTSTANDING]) == 0;
    let strictest = replies.max(quorum.pr);
    let basic = (quorum.n / 2 + 1).min(quorum.n - strictest + 1);
    let basic_heard = quorum.basic_quorum && tally(everybody, &[NOT_FOUND]) >= basic;
    Score {
        rows,
        met_otherwise: !quorum.notfound_ok
            && enough_speak
            && nothing_against
            && (all_heard || basic_heard),
    }
}

/// Every setting for `n` replicas that can differ in effect: `node_confirms` up to r adds nothing
/// while a node is a machine, so that of these only 0 is taken.
fn settings(n: u32) -> Vec<GetQuorum> {
    let mut settings = Vec::new();
    for r in 0..=n {
        for pr in 0..=n {
            for node_confirms in std::iter::once(0).chain(r + 1..=n) {
                for (notfound_ok, basic_quorum) in [(true, false), (false, false), (false, true)] {
                    settings.push(GetQuorum {
                        n,
                        r,
                        pr,
                        node_confirms,
                        basic_quorum,
                        notfound_ok,
                    });
                }
            }
        }
    }
    settings
}

/// Runs one setting with `asked` targets, of which the first `primaries` are primaries.
fn explore<S: Subject>(
    quorum: GetQuorum,
    asked: usize,
    primaries: usize,
    reach: Reach,
    census: &mut Census,
    subject: impl FnOnce(GetTally) -> S,
) {
    let targets = (0..asked).map(|slot| target(slot, primaries));
    let tally = subject(GetTally::new(quorum, targets));
    let model = Model::new(RULES.outcomes, |situation| {
        score(quorum, primaries, situation)
    });
    let mut enumeration = Enumeration {
        model,
        rules: RULES,
        reach,
        primaries,
        census,
        path: Vec::new(),
    };
    enumeration.explore(&tally, Situation::fresh(asked), Status::Pending);
}

const EACH_ONCE: Reach = Reach {
    depth: 5,
    repeats: false,
    joins: false,
    by_symmetry: true,
};

#[test]
fn five_replies_in_every_order_under_every_setting() {
    let mut census = Census::default();
    for quorum in settings(5) {
        for primaries in 0..=5 {
            explore(quorum, 5, primaries, EACH_ONCE, &mut census, |tally| tally);
        }
    }
    census.conclude(46_666_368);
}

#[test]
fn fewer_or_more_targets_than_replicas() {
    let mut census = Census::default();
    for (n, asked) in [
        (1, 1),
        (1, 2),
        (2, 2),
        (2, 3),
        (3, 0),
        (3, 1),
        (3, 2),
        (3, 3),
        (3, 4),
        (3, 5),
    ] {
        for quorum in settings(n) {
            for primaries in 0..=asked {
                explore(quorum, asked, primaries, EACH_ONCE, &mut census, |tally| {
                    tally
                });
            }
        }
    }
    census.conclude(16_536_228);
}

/// All 120 orders of five distinguishable nodes, so that the symmetry which the enumeration of
/// settings relies on is itself tested.
#[test]
fn the_names_of_the_nodes_do_not_matter() {
    let mut census = Census::default();
    let reach = Reach {
        by_symmetry: false,
        ..EACH_ONCE
    };
    let majority = GetQuorum {
        n: 5,
        r: 3,
        pr: 2,
        node_confirms: 0,
        basic_quorum: false,
        notfound_ok: true,
    };
    explore(majority, 5, 3, reach, &mut census, |tally| tally);
    let wary = GetQuorum {
        notfound_ok: false,
        basic_quorum: true,
        ..majority
    };
    explore(wary, 5, 3, reach, &mut census, |tally| tally);
    census.conclude(916_052);
}

const REPEATING: Reach = Reach {
    depth: 4,
    repeats: true,
    joins: false,
    by_symmetry: true,
};

#[test]
fn a_node_that_replies_again_counts_once() {
    let mut census = Census::default();
    for quorum in settings(3) {
        for primaries in 0..=3 {
            explore(quorum, 3, primaries, REPEATING, &mut census, |tally| tally);
        }
    }
    census.conclude(8_866_080);
}

#[test]
fn hedges_and_stand_ins_join() {
    let mut census = Census::default();
    let reach = Reach {
        depth: 4,
        repeats: true,
        joins: true,
        by_symmetry: false,
    };
    for quorum in settings(2) {
        for primaries in 0..=2 {
            explore(quorum, 2, primaries, reach, &mut census, |tally| tally);
        }
    }
    census.conclude(12_117_114);
}

/// Counts a node once for each of its replies: what T8 warns of.
#[derive(Clone)]
struct CountsRepliesNotNodes {
    tally: GetTally,
    replies: u128,
}

impl Subject for CountsRepliesNotNodes {
    fn status(&self) -> Status {
        self.tally.status()
    }

    fn reply(&mut self, mut from: Target, digit: u8) {
        let known = self.tally.outstanding().any(|target| target == from);
        if !known {
            self.replies += 1;
            from.node.0 = self.replies;
        }
        self.tally.record(reply(from, digit));
    }

    fn expect_more(&mut self, target: Target) {
        self.tally.expect_more(target);
    }

    fn retargeted(&mut self, failed: Target, digit: u8, stand_in: Target) {
        self.tally.retargeted(reply(failed, digit), stand_in);
    }
}

/// Takes "don't know" for "not found".
#[derive(Clone)]
struct UnknownIsNotFound(GetTally);

impl Subject for UnknownIsNotFound {
    fn status(&self) -> Status {
        self.0.status()
    }

    fn reply(&mut self, from: Target, digit: u8) {
        let digit = if digit == UNKNOWN { NOT_FOUND } else { digit };
        self.0.record(reply(from, digit));
    }

    fn expect_more(&mut self, target: Target) {
        self.0.expect_more(target);
    }

    fn retargeted(&mut self, failed: Target, digit: u8, stand_in: Target) {
        self.0.retargeted(reply(failed, digit), stand_in);
    }
}

#[test]
fn the_enumeration_finds_known_bad_tallies() {
    let quorum = GetQuorum {
        n: 3,
        r: 2,
        pr: 0,
        node_confirms: 0,
        basic_quorum: false,
        notfound_ok: true,
    };
    let mut honest = Census::default();
    explore(quorum, 3, 3, REPEATING, &mut honest, |tally| tally);
    assert_eq!(honest.disagreements, 0);

    let mut twice = Census::default();
    explore(quorum, 3, 3, REPEATING, &mut twice, |tally| {
        CountsRepliesNotNodes { tally, replies: 0 }
    });
    assert!(twice.disagreements > 0);

    let mut credulous = Census::default();
    explore(quorum, 3, 3, EACH_ONCE, &mut credulous, UnknownIsNotFound);
    assert!(credulous.disagreements > 0);
}
