//! A model of a tally that is too simple to be wrong, and the enumeration that compares the two.
//!
//! A situation is what is known of each of up to five slots (nodes): not asked, asked, or one of a
//! few outcomes. The model is given a function from a situation to the counts reached in it, and
//! finds out what is possible by going through every completion: every way in which slots that were
//! asked and not heard of may yet answer. Situations are numbered, one octal digit to a slot, so
//! that each is worked out once.
//!
//! It shares no code with the tallies. It does share their reading of the rules, which the tables in
//! `quorum.rs` pin down case by case.

use ringhold_core::id::NodeId;
use ringhold_core::quorum::{ReplicaKind, Requirement, Shortfall, Status, Target};

pub(crate) const SLOTS: usize = 5;
/// The digit of a slot that was asked and not heard of.
pub(crate) const OUTSTANDING: u8 = 0;
/// The digit of a slot that failed and whose place a stand-in took.
pub(crate) const REPLACED: u8 = 6;
/// The digit of a slot that was not asked.
pub(crate) const ABSENT: u8 = 7;

/// What is known of each slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Situation(pub(crate) [u8; SLOTS]);

impl Situation {
    /// `asked` slots outstanding, the others absent.
    pub(crate) fn fresh(asked: usize) -> Self {
        let mut digits = [ABSENT; SLOTS];
        digits[..asked].fill(OUTSTANDING);
        Self(digits)
    }

    fn with(mut self, slot: usize, digit: u8) -> Self {
        self.0[slot] = digit;
        self
    }

    fn number(self) -> usize {
        self.0
            .iter()
            .fold(0, |number, digit| number * 8 + usize::from(*digit))
    }
}

/// How far a situation has come: each requirement with what it needs and has.
pub(crate) struct Score {
    /// In the order in which a shortfall is to be reported.
    pub(crate) rows: Vec<(Requirement, u32, u32)>,
    /// Met in some way that the rows do not express.
    pub(crate) met_otherwise: bool,
}

/// Bits: 0 visited, 1 met in some completion, 2.. requirement reached in some completion.
pub(crate) struct Model<F> {
    outcomes: u8,
    score: F,
    attained: Vec<u8>,
}

impl<F: Fn(Situation) -> Score> Model<F> {
    /// `outcomes`: a reply is one of the digits `1..=outcomes`.
    pub(crate) fn new(outcomes: u8, score: F) -> Self {
        Self {
            outcomes,
            score,
            attained: vec![0; 8_usize.pow(5)],
        }
    }

    /// The verdict on a situation that has not been decided before.
    pub(crate) fn verdict(&mut self, situation: Situation) -> Status {
        let score = (self.score)(situation);
        if is_met(&score) {
            return Status::Met;
        }
        let attained = self.attained(situation);
        if attained & 2 != 0 {
            return Status::Pending;
        }
        let missed = score
            .rows
            .iter()
            .enumerate()
            .find(|(at, _)| attained & (4 << at) == 0);
        let (_, &(requirement, required, obtained)) =
            missed.expect("what cannot be met lacks something in every completion");
        Status::Impossible(Shortfall {
            requirement,
            required,
            obtained,
        })
    }

    fn attained(&mut self, situation: Situation) -> u8 {
        let number = situation.number();
        if self.attained[number] != 0 {
            return self.attained[number];
        }
        let score = (self.score)(situation);
        let mut bits = 1 | (u8::from(is_met(&score)) << 1);
        for (at, (_, required, obtained)) in score.rows.iter().enumerate() {
            bits |= u8::from(obtained >= required) << (at + 2);
        }
        for slot in 0..SLOTS {
            if situation.0[slot] == OUTSTANDING {
                for outcome in 1..=self.outcomes {
                    bits |= self.attained(situation.with(slot, outcome));
                }
            }
        }
        self.attained[number] = bits;
        bits
    }
}

fn is_met(score: &Score) -> bool {
    let all = score
        .rows
        .iter()
        .all(|(_, required, obtained)| obtained >= required);
    score.met_otherwise || all
}

/// The tally under test, or a wrong one.
pub(crate) trait Subject: Clone {
    fn status(&self) -> Status;
    fn reply(&mut self, from: Target, outcome: u8);
    fn expect_more(&mut self, target: Target);
    fn retargeted(&mut self, failed: Target, outcome: u8, stand_in: Target);
}

/// What can happen to a tally.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Reply {
        slot: usize,
        outcome: u8,
    },
    Retarget {
        slot: usize,
        outcome: u8,
        stand_in: usize,
    },
    Hedge {
        slot: usize,
    },
}

/// Which steps an enumeration takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach {
    /// Longest sequence of steps.
    pub(crate) depth: usize,
    /// Whether a node may reply again.
    pub(crate) repeats: bool,
    /// Whether slots that were not asked may join.
    pub(crate) joins: bool,
    /// Whether of several outstanding slots of one kind only the first may reply: their names are
    /// all that tells them apart.
    pub(crate) by_symmetry: bool,
}

/// The rules of one operation, as the enumeration needs them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) outcomes: u8,
    /// Whether a reply `later` of a node that said `earlier` replaces it.
    pub(crate) rises: fn(earlier: u8, later: u8) -> bool,
    /// Whether a stand-in may be asked for a node with this outcome.
    pub(crate) unanswered: fn(u8) -> bool,
}

/// What an enumeration saw.
#[derive(Debug, Default)]
pub(crate) struct Census {
    /// Statuses compared, one for each step of each sequence.
    pub(crate) cases: u64,
    pub(crate) met: u64,
    pub(crate) impossible: u64,
    pub(crate) disagreements: u64,
    pub(crate) first: Option<String>,
}

impl Census {
    /// The tally was right in all of this many cases, and some were decided each way.
    pub(crate) fn conclude(&self, cases: u64) {
        assert_eq!(self.first, None, "one of {}", self.disagreements);
        assert!(self.met > 0 && self.impossible > 0, "{self:?}");
        assert_eq!(self.cases, cases, "the enumeration itself changed");
    }
}

pub(crate) fn target(slot: usize, primaries: usize) -> Target {
    let kind = if slot < primaries {
        ReplicaKind::Primary
    } else {
        ReplicaKind::Fallback
    };
    // Far apart and not in order, so that nothing can depend on the names.
    let node = NodeId(u128::from([7_u8, 2, 9, 4, 1][slot]) << 96);
    Target { node, kind }
}

pub(crate) struct Enumeration<'a, F> {
    pub(crate) model: Model<F>,
    pub(crate) rules: Rules,
    pub(crate) reach: Reach,
    pub(crate) primaries: usize,
    pub(crate) census: &'a mut Census,
    pub(crate) path: Vec<Step>,
}

impl<F: Fn(Situation) -> Score> Enumeration<'_, F> {
    /// Compares the tally with the model here and after every sequence of steps from here.
    pub(crate) fn explore<S: Subject>(&mut self, tally: &S, situation: Situation, before: Status) {
        let expected = match before {
            Status::Pending => self.model.verdict(situation),
            decided => decided,
        };
        self.compare(expected, tally.status(), before);
        if self.path.len() == self.reach.depth {
            return;
        }
        for slot in 0..SLOTS {
            if self.may_reply(situation, slot) {
                for outcome in 1..=self.rules.outcomes {
                    self.take(Step::Reply { slot, outcome }, tally, situation, expected);
                }
            }
        }
        let newcomer = situation.0.iter().position(|digit| *digit == ABSENT);
        if let (true, Some(stand_in)) = (self.reach.joins, newcomer) {
            self.take(Step::Hedge { slot: stand_in }, tally, situation, expected);
            for slot in 0..SLOTS {
                for outcome in 1..=self.rules.outcomes {
                    let step = Step::Retarget {
                        slot,
                        outcome,
                        stand_in,
                    };
                    if situation.0[slot] == OUTSTANDING && (self.rules.unanswered)(outcome) {
                        self.take(step, tally, situation, expected);
                    }
                }
            }
        }
    }

    fn take<S: Subject>(&mut self, step: Step, tally: &S, situation: Situation, before: Status) {
        let mut tally = tally.clone();
        let mut situation = situation;
        let of = |slot| target(slot, self.primaries);
        match step {
            Step::Reply { slot, outcome } => {
                tally.reply(of(slot), outcome);
                let earlier = situation.0[slot];
                if earlier == OUTSTANDING || (self.rules.rises)(earlier, outcome) {
                    situation = situation.with(slot, outcome);
                }
            }
            Step::Retarget {
                slot,
                outcome,
                stand_in,
            } => {
                tally.retargeted(of(slot), outcome, of(stand_in));
                situation = situation.with(stand_in, OUTSTANDING).with(slot, REPLACED);
            }
            Step::Hedge { slot } => {
                tally.expect_more(of(slot));
                situation = situation.with(slot, OUTSTANDING);
            }
        }
        self.path.push(step);
        self.explore(&tally, situation, before);
        self.path.pop();
    }

    fn may_reply(&self, situation: Situation, slot: usize) -> bool {
        let asked = situation.0[slot] != ABSENT;
        let heard = asked && situation.0[slot] != OUTSTANDING;
        let alike = |other: &usize| {
            situation.0[*other] == OUTSTANDING
                && (*other < self.primaries) == (slot < self.primaries)
        };
        let second = self.reach.by_symmetry && (0..slot).any(|other| alike(&other));
        asked && (self.reach.repeats || !heard) && (heard || !second)
    }

    fn compare(&mut self, expected: Status, actual: Status, before: Status) {
        let census = &mut *self.census;
        census.cases += 1;
        if before == Status::Pending {
            census.met += u64::from(expected == Status::Met);
            census.impossible += u64::from(matches!(expected, Status::Impossible(_)));
        }
        if expected != actual {
            census.disagreements += 1;
            let path = &self.path;
            let primaries = self.primaries;
            census.first.get_or_insert_with(|| {
                format!("{primaries} primaries, {path:?}: expected {expected:?}, got {actual:?}")
            });
        }
    }
}
