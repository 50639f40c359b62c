//! T26: no timestamp is far ahead of the time that most clocks show, once its node was told by enough of its peers.
//!
//! In a run whose clocks are guarded, less than half of the nodes have clocks that are astray; the others are within a second of the
//! truth, which only the simulator knows. A node that has heard two right clocks, and more right ones than others, and has done so for
//! longer than any put takes, has no excuse. A timestamp that follows one of the same key is no clock's
//! doing: it has to be later than what its writer had seen (T5).

use super::Violation;
use crate::books::Books;
use crate::clock::WALL_START_US;
use ringhold_core::version::Version;
use std::collections::{BTreeMap, BTreeSet};

/// How far a node's clock may be off, what right clocks are apart, what is uncertain about hearing of them, and some.
const AHEAD_US_MAX: u64 = 5_000_000 + 3_000_000;
/// From the making of a version until it shows itself, at most.
const SHOWS_US: u64 = 12_000_000;
/// Later than a version that was there by less than this is later because of it.
const FOLLOWS_US: u64 = 10_000;

/// Which clocks each process has heard of.
#[derive(Clone, Debug, Default)]
pub struct ClockWitnesses {
    /// The nodes whose clocks are astray; none is asked about if this is none.
    pub astray: Option<BTreeSet<usize>>,
    heard: BTreeMap<usize, BTreeMap<usize, u64>>,
}

impl ClockWitnesses {
    /// A process starts: it has heard of nothing.
    pub fn started(&mut self, node: usize) {
        self.heard.remove(&node);
    }

    /// A peer's answer tells a node what its clock shows.
    pub fn heard(&mut self, node: usize, peer: usize, at_us: u64) {
        let of_node = self.heard.entry(node).or_default();
        of_node.entry(peer).or_insert(at_us);
    }

    /// Whether a node has been able to tell for a while whether its clock is right.
    fn knows(&self, node: usize, now_us: u64) -> bool {
        let (Some(astray), Some(heard)) = (&self.astray, self.heard.get(&node)) else {
            return false;
        };
        let since = |at_us: &u64| at_us.saturating_add(SHOWS_US) <= now_us;
        let right = heard
            .iter()
            .filter(|(peer, at_us)| !astray.contains(peer) && since(at_us));
        let right = right.count();
        let wrong = heard.keys().filter(|peer| astray.contains(peer)).count();
        right >= 2 && right > wrong
    }
}

/// # Errors
/// If a node that could know better has made this version's timestamp of its own clock.
pub fn check(books: &Books, key: usize, version: &Version) -> Result<(), Violation> {
    let true_us = WALL_START_US + books.now_us;
    let made_us = version.timestamp.0;
    if made_us <= true_us + AHEAD_US_MAX {
        return Ok(());
    }
    let Some((node, _)) = books.maker_of(version.dot) else {
        return Ok(());
    };
    let known = books.dots.of_key(key).iter();
    let follows = known
        .map(|number| books.dots.named(*number).timestamp.0)
        .any(|before_us| (made_us - FOLLOWS_US..=made_us).contains(&before_us));
    if follows || !books.clocks.knows(node, books.now_us) {
        return Ok(());
    }
    let seconds = (made_us - true_us) / 1_000_000;
    Err(Violation::new(
        "T26",
        format!(
            "key {key}: n{node} made {} with a timestamp {seconds} s ahead of the time",
            version.dot
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_heard_enough_right_clocks_knows() {
        let mut clocks = ClockWitnesses {
            astray: Some(BTreeSet::from([3, 4])),
            ..ClockWitnesses::default()
        };
        assert!(!clocks.knows(0, u64::MAX));
        [1, 2].iter().for_each(|peer| clocks.heard(0, *peer, 5));
        assert!(clocks.knows(0, 5 + SHOWS_US) && !clocks.knows(0, 4 + SHOWS_US));
        [3, 4].iter().for_each(|peer| clocks.heard(0, *peer, 5));
        assert!(!clocks.knows(0, u64::MAX));
        clocks.heard(0, 5, 5);
        assert!(clocks.knows(0, u64::MAX));
        clocks.started(0);
        assert!(!clocks.knows(0, u64::MAX));
    }
}
