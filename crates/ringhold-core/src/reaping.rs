//! When a tombstone may go (T11).
//!
//! A tombstone says "whatever you find of these writes, it was deleted". It may go when nothing is left that it could
//! be said to, and not before: the one copy that was away brings the deleted value back. So it goes by *proof*. Every
//! member is asked about the same keys, and a key passes a [`Look`] only if each of them has said yes to it; a member
//! that says nothing has said no. Nobody's silence is ever consent, and no member is left out for having been away
//! for long.
//!
//! What is dead, and since when, is a function of the object: a tombstone since its timestamp, a value that was given
//! an end since that end (or since its timestamp, if it was written later than it was to live). An object with one
//! version that lives is alive, and so is one without versions, of which nothing is known.
//!
//! The age is only the first condition, and each primary judges it by its own wall clock, so that the
//! earliest of them decides. The proof does not rest on clocks: see `ringhold_node`'s `reaping`.
//!
//! Not here: who is asked, when, and how what was proven is carried out.

use crate::id::NodeId;
use crate::version::{Content, Object, Version};
use std::collections::BTreeSet;

/// Since when an object has nothing to show, in microseconds since 1970; none if it has, or if that is not known.
/// `expires_at_us` says from when on a value is hidden.
pub fn dead_since_us(
    object: &Object,
    expires_at_us: impl Fn(&Version) -> Option<u64>,
) -> Option<u64> {
    let end_of = |version: &Version| match version.content {
        Content::Tombstone => Some(version.timestamp.0),
        Content::Value { .. } => {
            expires_at_us(version).map(|end_us| end_us.max(version.timestamp.0))
        }
    };
    let mut last_us = None;
    for version in object.versions() {
        last_us = last_us.max(Some(end_of(version)?));
    }
    last_us
}

/// Whether what is dead since `dead_since_us` has been so for the grace, by a wall clock that shows `wall_us`.
#[must_use]
pub fn is_past_grace(dead_since_us: u64, grace_us: u64, wall_us: u64) -> bool {
    dead_since_us
        .checked_add(grace_us)
        .is_some_and(|end_us| end_us <= wall_us)
}

/// One question about some keys, put to several members.
#[derive(Clone, Debug)]
pub struct Look {
    passes: Vec<bool>,
    silent: BTreeSet<NodeId>,
}

impl Look {
    /// Nobody has answered yet.
    #[must_use]
    pub fn new(keys: usize, members: impl IntoIterator<Item = NodeId>) -> Self {
        Self {
            passes: vec![true; keys],
            silent: members.into_iter().collect(),
        }
    }

    /// A member says of each key whether it may go. An answer about another number of keys is none.
    pub fn hear(&mut self, member: NodeId, answers: &[bool]) {
        if answers.len() != self.passes.len() || !self.silent.remove(&member) {
            return;
        }
        for (passes, answer) in self.passes.iter_mut().zip(answers) {
            *passes &= answer;
        }
    }

    /// Which keys everybody has said yes to.
    ///
    /// # Errors
    /// With a member that has not answered: nothing is known of any key then.
    pub fn verdict(self) -> Result<Vec<bool>, NodeId> {
        match self.silent.first() {
            Some(member) => Err(*member),
            None => Ok(self.passes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Incarnation, OperationId};
    use crate::version::{Context, KeyEpoch, NewVersion, Timestamp, coordinate};

    fn written(object: &mut Object, wall_us: u64, content: Content) {
        let write = NewVersion {
            seen: Context::new(),
            seen_timestamp: Timestamp(0),
            operation: OperationId(u128::from(wall_us)),
            content,
            wall_us,
        };
        coordinate(
            object,
            None,
            Incarnation(u128::from(wall_us)),
            write,
            || KeyEpoch(1),
        );
    }

    fn value() -> Content {
        Content::Value {
            bytes: "v".into(),
            metadata: Vec::new(),
        }
    }

    #[test]
    fn an_object_is_dead_when_all_its_versions_are() {
        let mut object = Object::new();
        let never = |_: &Version| None;
        assert_eq!(
            dead_since_us(&object, never),
            None,
            "nothing is known of it"
        );
        written(&mut object, 10, Content::Tombstone);
        assert_eq!(dead_since_us(&object, never), Some(10));
        written(&mut object, 30, value());
        assert_eq!(dead_since_us(&object, never), None);
        assert_eq!(dead_since_us(&object, |_| Some(50)), Some(50));
        assert_eq!(
            dead_since_us(&object, |_| Some(20)),
            Some(30),
            "nothing has been dead for longer than it was there"
        );
    }

    #[test]
    fn the_grace_is_over_when_it_is_over() {
        assert!(!is_past_grace(10, 5, 14));
        assert!(is_past_grace(10, 5, 15));
        assert!(!is_past_grace(u64::MAX, 5, u64::MAX), "no overflow ends it");
    }

    #[test]
    fn silence_is_no_consent() {
        let members = [NodeId(1), NodeId(2)];
        let mut look = Look::new(2, members);
        look.hear(NodeId(1), &[true, true]);
        assert_eq!(look.clone().verdict(), Err(NodeId(2)));
        look.hear(NodeId(2), &[true]);
        assert_eq!(look.clone().verdict(), Err(NodeId(2)), "no answer to this");
        look.hear(NodeId(2), &[true, false]);
        look.hear(NodeId(2), &[true, true]);
        assert_eq!(look.verdict(), Ok(vec![true, false]));
    }

    #[test]
    fn who_was_not_asked_changes_nothing() {
        let mut look = Look::new(1, [NodeId(1)]);
        look.hear(NodeId(3), &[false]);
        look.hear(NodeId(1), &[true]);
        assert_eq!(look.verdict(), Ok(vec![true]));
    }
}
