//! Whether a store that was closed cleanly may go on under its name (T2).
//!
//! The files of a store can be copied, or put back from a copy. A copy of a store that was open says so
//! itself, and takes a new incarnation. A copy of one that was closed cleanly looks exactly like the
//! original, so two of them could name different writes alike. Only others can tell: each member
//! remembers, durably, the greatest boot number that it was told by every other. A node that starts tells
//! its new number and asks what was known before.
//!
//! - More than half of the *other* members knew a smaller number: it is the one continuation of what they
//!   knew. Of two copies of one clean end only one can hear that from so many, because two such majorities
//!   share a member, and that member had been told the number of one before the other asked.
//! - Anybody knew this number of another boot, or a greater one: this store is old.
//! - Too few answer, or know nothing: nobody can say that it is not.
//!
//! In the last two cases the node takes a new incarnation, which is always safe and costs one entry in the
//! context of each key that it writes. The node itself is no witness, since its own memory is what is in
//! doubt; so a cluster of one takes a new incarnation at every start.
//!
//! Not here: asking, keeping and waiting; see `admission` in the node.

use crate::id::{BootId, NodeId};
use std::collections::BTreeSet;

/// One start of a node: the how many-th of its store, and which of several that may have this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boot {
    pub number: u64,
    pub id: BootId,
}

/// What a member remembers of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The boot with the greatest number that it was told of.
    pub boot: Boot,
    /// Whether it knew an earlier boot when it was told of this one.
    pub had_predecessor: bool,
}

/// What a member knew of a node before it was told of its present boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Testimony {
    /// Nothing at all: it is new, or has lost its memory.
    Nothing,
    /// An earlier boot.
    Earlier,
    /// A later boot, or another one with the same number.
    Later(Boot),
}

/// A member is told of a boot. Says what it knew, and what it has to keep before it says so.
#[must_use]
pub fn testify(known: Option<Remembered>, told: Boot) -> (Testimony, Option<Remembered>) {
    let keep = |had_predecessor| {
        Some(Remembered {
            boot: told,
            had_predecessor,
        })
    };
    match known {
        None => (Testimony::Nothing, keep(false)),
        Some(known) if known.boot == told => {
            // It was told before, and its answer may have been lost: it says the same again.
            let testimony = if known.had_predecessor {
                Testimony::Earlier
            } else {
                Testimony::Nothing
            };
            (testimony, None)
        }
        Some(known) if known.boot.number < told.number => (Testimony::Earlier, keep(true)),
        Some(known) => (Testimony::Later(known.boot), None),
    }
}

/// What follows from the testimonies so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// More have to answer.
    Open,
    /// The store goes on under its name.
    Confirmed,
    /// It needs a new one.
    Doubted,
}

/// The question that a node puts to the other members when it starts.
#[derive(Clone, Debug)]
pub struct Inquiry {
    members: usize,
    confirming: BTreeSet<NodeId>,
    ignorant: BTreeSet<NodeId>,
    contradicted: bool,
}

impl Inquiry {
    /// `members` is how many others there are.
    #[must_use]
    pub fn among(members: usize) -> Self {
        Self {
            members,
            confirming: BTreeSet::new(),
            ignorant: BTreeSet::new(),
            contradicted: false,
        }
    }

    /// A member has answered. What it said first counts, unless it contradicts later.
    pub fn hear(&mut self, member: NodeId, testimony: Testimony) {
        if self.has_heard(member) {
            return;
        }
        match testimony {
            Testimony::Earlier => self.confirming.insert(member),
            Testimony::Nothing => self.ignorant.insert(member),
            Testimony::Later(_) => {
                self.contradicted = true;
                self.ignorant.insert(member)
            }
        };
        assert!(
            self.confirming.len() + self.ignorant.len() <= self.members,
            "members answer once each"
        );
    }

    #[must_use]
    pub fn has_heard(&self, member: NodeId) -> bool {
        self.confirming.contains(&member) || self.ignorant.contains(&member)
    }

    /// The other members that there are.
    #[must_use]
    pub fn members(&self) -> usize {
        self.members
    }

    /// Those who knew an earlier start, and none after it.
    #[must_use]
    pub fn confirming(&self) -> usize {
        self.confirming.len()
    }

    /// Those who have answered and can't confirm anything.
    #[must_use]
    pub fn ignorant(&self) -> usize {
        self.ignorant.len()
    }

    /// Whether at least half of the other members remember this start by now.
    #[must_use]
    pub fn is_known_to_half(&self) -> bool {
        2 * (self.confirming.len() + self.ignorant.len()) >= self.members
    }

    /// Whether somebody knew a later start: this store is an old copy, or an empty one in place of another.
    #[must_use]
    pub fn is_contradicted(&self) -> bool {
        self.contradicted
    }

    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let is_majority = |of: usize| 2 * of > self.members;
        if self.contradicted || !is_majority(self.members - self.ignorant.len()) {
            Verdict::Doubted
        } else if is_majority(self.confirming.len()) {
            Verdict::Confirmed
        } else {
            Verdict::Open
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot(number: u64, id: u128) -> Boot {
        Boot {
            number,
            id: BootId(id),
        }
    }

    #[test]
    fn a_member_says_the_same_however_often_it_is_asked() {
        for known in [
            None,
            Some(Remembered {
                boot: boot(4, 1),
                had_predecessor: false,
            }),
        ] {
            for told in [boot(3, 2), boot(4, 2), boot(5, 2)] {
                let (first, kept) = testify(known, told);
                let (again, nothing) = testify(kept.or(known), told);
                assert_eq!((again, nothing), (first, None), "{known:?}, {told:?}");
            }
        }
    }

    #[test]
    fn a_number_never_falls() {
        let known = Some(Remembered {
            boot: boot(4, 1),
            had_predecessor: true,
        });
        assert_eq!(
            testify(known, boot(4, 2)),
            (Testimony::Later(boot(4, 1)), None)
        );
        assert_eq!(
            testify(known, boot(3, 1)),
            (Testimony::Later(boot(4, 1)), None)
        );
    }

    #[test]
    fn more_than_half_of_the_others_confirm() {
        for (members, needed) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)] {
            let mut inquiry = Inquiry::among(members);
            for member in 1..=needed {
                assert_eq!(inquiry.verdict(), Verdict::Open);
                inquiry.hear(NodeId(member), Testimony::Earlier);
                inquiry.hear(NodeId(member), Testimony::Earlier);
            }
            assert_eq!(inquiry.verdict(), Verdict::Confirmed, "{members} others");
        }
        assert_eq!(Inquiry::among(0).verdict(), Verdict::Doubted, "no witness");
    }

    #[test]
    fn who_knows_nothing_confirms_nothing_and_one_contradiction_is_enough() {
        let mut inquiry = Inquiry::among(3);
        inquiry.hear(NodeId(1), Testimony::Nothing);
        assert_eq!(inquiry.verdict(), Verdict::Open);
        inquiry.hear(NodeId(2), Testimony::Nothing);
        assert_eq!(inquiry.verdict(), Verdict::Doubted);
        let mut inquiry = Inquiry::among(5);
        (1..=3).for_each(|member| inquiry.hear(NodeId(member), Testimony::Earlier));
        inquiry.hear(NodeId(4), Testimony::Later(boot(1, 1)));
        assert_eq!(inquiry.verdict(), Verdict::Doubted);
    }

    /// Every order in which two copies of one clean end can ask all members, some of which may be away: at
    /// most one goes on, whoever asks whom first.
    #[test]
    fn of_two_copies_at_most_one_goes_on() {
        for members in 1..=5_usize {
            let mut outcomes = BTreeSet::new();
            // Each member hears: nobody, the first copy, the second, the first then the second, or the reverse.
            for orders in 0..5_usize.pow(u32::try_from(members).expect("few")) {
                let mut inquiries = [Inquiry::among(members), Inquiry::among(members)];
                for member in 0..members {
                    let order = orders / 5_usize.pow(u32::try_from(member).expect("few")) % 5;
                    let asked: &[usize] = [&[][..], &[0], &[1], &[0, 1], &[1, 0]][order];
                    let mut known = Some(Remembered {
                        boot: boot(4, 0),
                        had_predecessor: true,
                    });
                    for &copy in asked {
                        let told = boot(5, 1 + copy as u128);
                        let (testimony, keep) = testify(known, told);
                        known = keep.or(known);
                        inquiries[copy].hear(NodeId(member as u128), testimony);
                    }
                }
                let going_on = inquiries
                    .iter()
                    .filter(|inquiry| inquiry.verdict() == Verdict::Confirmed)
                    .count();
                assert!(going_on <= 1, "{members} members, orders {orders}");
                outcomes.insert(going_on);
            }
            assert_eq!(outcomes, BTreeSet::from([0, 1]), "both happen");
        }
    }
}
