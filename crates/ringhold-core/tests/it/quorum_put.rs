//! Every order and outcome of up to five acknowledgements of a put, against the model.

use ringhold_core::quorum::{
    FailureKind, PutOutcome, PutQuorum, PutReply, PutTally, Requirement, Status, Target,
};

use crate::quorum_model::{
    Census, Enumeration, Model, REPLACED, Reach, Rules, Score, Situation, Subject, target,
};

const DURABLE: u8 = 1;
const IN_MEMORY: u8 = 2;
const FAILED: u8 = 3;

const RULES: Rules = Rules {
    outcomes: 3,
    rises: |earlier, later| match earlier {
        IN_MEMORY => later == DURABLE,
        FAILED | REPLACED => later != FAILED,
        _ => false,
    },
    unanswered: |outcome| outcome == FAILED,
};

fn reply(from: Target, digit: u8) -> PutReply {
    PutReply {
        node: from.node,
        kind: from.kind,
        outcome: match digit {
            DURABLE => PutOutcome::Durable,
            IN_MEMORY => PutOutcome::InMemory,
            FAILED => PutOutcome::Failed(FailureKind::Unreachable),
            other => panic!("{other} is not an outcome"),
        },
    }
}

impl Subject for PutTally {
    fn status(&self) -> Status {
        PutTally::status(self)
    }

    fn reply(&mut self, from: Target, digit: u8) {
        self.record(reply(from, digit));
    }

    fn expect_more(&mut self, target: Target) {
        PutTally::expect_more(self, target);
    }

    fn retargeted(&mut self, failed: Target, digit: u8, stand_in: Target) {
        PutTally::retargeted(self, reply(failed, digit), stand_in);
    }
}

/// The rules of a put, over again and from the list of outcomes alone.
fn score(quorum: PutQuorum, primaries: usize, situation: Situation) -> Score {
    let tally = |from: &[u8], wanted: &[u8]| {
        let found = from.iter().filter(|digit| wanted.contains(digit)).count();
        u32::try_from(found).expect("five at most")
    };
    let everybody = tally(&situation.0, &[DURABLE, IN_MEMORY]);
    let at_home = tally(&situation.0[..primaries], &[DURABLE, IN_MEMORY]);
    let on_disk = tally(&situation.0, &[DURABLE]);
    let acknowledgements = if quorum.w == 0 { 1 } else { quorum.w };
    Score {
        rows: vec![
            (Requirement::PW, quorum.pw, at_home),
            (Requirement::DW, quorum.dw, on_disk),
            (Requirement::W, acknowledgements, everybody),
            (Requirement::NodeConfirms, quorum.node_confirms, everybody),
        ],
        met_otherwise: false,
    }
}

/// Every setting for `n` replicas that can differ in effect; see the settings of a get.
fn settings(n: u32) -> Vec<PutQuorum> {
    let mut settings = Vec::new();
    for w in 0..=n {
        for dw in 0..=n {
            for pw in 0..=n {
                for node_confirms in std::iter::once(0).chain(w + 1..=n) {
                    settings.push(PutQuorum {
                        n,
                        w,
                        dw,
                        pw,
                        node_confirms,
                    });
                }
            }
        }
    }
    settings
}

fn explore<S: Subject>(
    quorum: PutQuorum,
    asked: usize,
    primaries: usize,
    reach: Reach,
    census: &mut Census,
    subject: impl FnOnce(PutTally) -> S,
) {
    let targets = (0..asked).map(|slot| target(slot, primaries));
    let tally = subject(PutTally::new(quorum, targets));
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
    census.conclude(8_464_176);
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
    census.conclude(2_169_162);
}

#[test]
fn the_names_of_the_nodes_do_not_matter() {
    let mut census = Census::default();
    let reach = Reach {
        by_symmetry: false,
        ..EACH_ONCE
    };
    let quorum = PutQuorum {
        n: 5,
        w: 3,
        dw: 2,
        pw: 2,
        node_confirms: 0,
    };
    explore(quorum, 5, 3, reach, &mut census, |tally| tally);
    census.conclude(40_696);
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
    census.conclude(1_613_440);
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
    census.conclude(1_760_292);
}

/// Counts a node once for each of its replies: what T8 warns of.
#[derive(Clone)]
struct CountsRepliesNotNodes {
    tally: PutTally,
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

#[test]
fn the_enumeration_finds_a_tally_that_counts_a_node_twice() {
    let quorum = PutQuorum {
        n: 3,
        w: 2,
        dw: 0,
        pw: 0,
        node_confirms: 2,
    };
    let mut honest = Census::default();
    explore(quorum, 3, 3, REPEATING, &mut honest, |tally| tally);
    assert_eq!(honest.disagreements, 0);

    let mut twice = Census::default();
    explore(quorum, 3, 3, REPEATING, &mut twice, |tally| {
        CountsRepliesNotNodes { tally, replies: 0 }
    });
    assert!(twice.disagreements > 0);
}
