//! Gossip: each node's word about itself reaches everybody (§4.8.1).
//!
//! Scuttlebutt reconciliation (van Renesse, Dumitriu, Gough, Thomas: *Efficient Reconciliation and Flow Control for Anti-Entropy
//! Protocols*, LADIS 2008). Each node is the one author of a small map, and each entry of it bears a version that rises with every
//! change to the map; everybody keeps a copy of everybody's map. As versions rise, one number says how much of a map a copy
//! has: its greatest version, a [`Mark`]. So two nodes compare all they know by a line for each member, and send exactly what the
//! other lacks:
//!
//! ```text
//! asker                                              answerer
//!   digest: a mark for each member            ─→
//!                                             ←─    deltas that the asker lacks, marks of what it lacks itself
//!   deltas that the answerer lacks            ─→
//! ```
//!
//! **No gaps.** The number is enough only if a copy with mark v has *every* entry of the map up to v. So entries are sent in the order of
//! their versions, a message that has no more room leaves out the later ones, and a delta says after which mark it begins: who
//! has less than that ignores it. Messages may be lost, doubled, late or cut short, and each still takes a copy forward or
//! leaves it alone.
//!
//! **Generations.** A node that starts again has forgotten its versions, so its maps are numbered by starts: a later generation
//! replaces everything of an earlier one. A node that hears of itself more than it has ever said (its disk was wiped, its clock went
//! back, or somebody made it up) takes a generation above that, and says everything again. No two starts may share a generation, or
//! copies would take the words of the one for those of the other: so generations are moments, finer than starts can follow each other, and
//! a node rises by a step that depends on its start.
//!
//! **Room.** If not all fits, first comes the member of which the other is furthest behind, counted in versions. That is the
//! paper's scuttle-depth, which it found to keep copies fresher than dealing out the room evenly; and as every map is given a heartbeat
//! every round, to be behind in versions is to have waited long, so nobody waits for ever. Among equals the turn goes round.
//!
//! **Members only.** A node says nothing and hears nothing of who is not in its ring (T17): a removed node can't gossip itself back.
//! One that is neither told about in a digest nor a member costs no byte.
//!
//! Not here: what the values mean, when rounds are, and who is alive. The partner of a round is chosen in [`partners`].

mod map;
mod message;
pub mod partners;

pub use message::{Deltas, Digest, Entry, Mark, NodeDelta, StateKey, VALUE_BYTES_MAX};
pub use partners::partners;

use crate::id::NodeId;
use bytes::Bytes;
use map::StateMap;
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet};

/// Starts whose moments are as far apart as this, in whatever a generation counts, may rise by the same step: 71 minutes in microseconds.
const STEPS: u64 = 1 << 32;

/// An entry that a merge has changed, or removed with the generation that it belonged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    pub node: NodeId,
    pub key: StateKey,
}

/// What one node knows of all members, itself included. See the module.
#[derive(Clone, Debug)]
pub struct Gossip {
    me: NodeId,
    /// By so much it rises above what others have heard of its starts before.
    step: u64,
    /// Everybody of whom there is talk; this node is among them, whatever the ring says.
    members: BTreeSet<NodeId>,
    /// Of members only; none of one that was never heard of.
    maps: BTreeMap<NodeId, StateMap>,
}

impl Gossip {
    /// A node that has just started and knows nobody but itself. `generation` is to be one that no start before had, best the wall
    /// clock in microseconds. It should be greater than at any start before; if it is not, the others will tell.
    #[must_use]
    pub fn new(me: NodeId, generation: u64) -> Self {
        Self {
            me,
            step: 1 + generation % STEPS,
            members: BTreeSet::from([me]),
            maps: BTreeMap::from([(me, StateMap::new(generation))]),
        }
    }

    /// From here on there is talk of these nodes and of no others; what was known of others is dropped.
    pub fn keep_only(&mut self, members: &BTreeSet<NodeId>) {
        if self.members.len() == members.len() && self.members == *members {
            return;
        }
        self.members.clone_from(members);
        self.members.insert(self.me);
        self.maps.retain(|node, _| self.members.contains(node));
    }

    /// Drops a node, which is not learnt of again unless it becomes a member again.
    pub fn forget(&mut self, node: NodeId) {
        if node != self.me {
            self.members.remove(&node);
            self.maps.remove(&node);
        }
    }

    /// Says something of this node; nothing happens if it is what was said before.
    ///
    /// # Panics
    /// If the value is longer than [`VALUE_BYTES_MAX`]: nobody would take it.
    pub fn set_own(&mut self, key: StateKey, value: Bytes) {
        assert!(
            value.len() <= VALUE_BYTES_MAX,
            "{key} of {} bytes, the limit is {VALUE_BYTES_MAX}",
            value.len()
        );
        let own = self.own();
        if own.get(key).is_none_or(|entry| entry.value != value) {
            own.say(key, value);
        }
    }

    /// Shows that this node is alive: a heartbeat is an entry without a value whose version rises.
    pub fn beat(&mut self) {
        self.own().say(StateKey::HEARTBEAT, Bytes::new());
    }

    /// What this node has, as a mark for each member. The first of a round's three messages.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let marks = self.members.iter().map(|node| (*node, self.mark(*node)));
        Digest::new(marks.collect()).expect("a set is in ascending order")
    }

    /// The second message: what the sender of a digest lacks, in about `bytes_max` bytes, and the marks of what this node lacks. There
    /// is always room for one entry.
    pub fn answer(&mut self, digest: &Digest, bytes_max: usize) -> (Deltas, Digest) {
        let mut wanted = Vec::new();
        for &(node, theirs) in digest.marks() {
            if node == self.me {
                self.defend(theirs);
            }
            let mine = self.mark(node);
            if theirs > mine && self.members.contains(&node) {
                wanted.push((node, mine));
            }
        }
        let wanted = Digest::new(wanted).expect("a part of a digest is in its order");
        (self.deltas_for(digest, bytes_max), wanted)
    }

    /// The third message: what the owner of these marks lacks, in about `bytes_max` bytes. There is always room for one entry.
    #[must_use]
    pub fn deltas_for(&self, digest: &Digest, bytes_max: usize) -> Deltas {
        let mut deltas = Deltas::default();
        let mut left = bytes_max.saturating_sub(deltas.wire_bytes());
        for (node, after) in self.by_urgency(digest) {
            let map = &self.maps[&node];
            let later = map.later_than(after);
            let is_first = deltas.nodes().is_empty();
            let fits = how_many_fit(later, left, is_first);
            if fits > 0 {
                let entries = later[..fits].to_vec();
                let delta = NodeDelta::new(node, map.generation(), after, entries)
                    .expect("a map is in the order of its versions, a key occurs once");
                left = left.saturating_sub(delta.wire_bytes());
                deltas.push(delta);
            }
            if fits < later.len() {
                break;
            }
        }
        deltas
    }

    /// Takes in what another node has sent, as far as it goes beyond what is known, and says what is different now.
    /// Heartbeats are among it.
    pub fn merge(&mut self, deltas: Deltas) -> Vec<Change> {
        let mut changes = Vec::new();
        for delta in deltas.into_nodes() {
            let node = delta.node();
            if node == self.me {
                self.defend(delta.reaches());
                continue;
            }
            if !self.members.contains(&node) {
                continue;
            }
            let map = self.maps.entry(node).or_insert_with(|| StateMap::new(0));
            let before = map.mark();
            let changed = map.take(delta);
            assert!(map.mark() >= before, "what is known of a node only grows");
            changes.extend(changed.into_iter().map(|key| Change { node, key }));
            if map.mark() == Mark::NOTHING {
                self.maps.remove(&node);
            }
        }
        changes
    }

    /// How far the map of a node is known; [`Mark::NOTHING`] if not at all.
    #[must_use]
    pub fn mark(&self, node: NodeId) -> Mark {
        self.maps.get(&node).map_or(Mark::NOTHING, StateMap::mark)
    }

    /// The start in which a node is, as far as it is known.
    #[must_use]
    pub fn generation(&self, node: NodeId) -> Option<u64> {
        self.maps.get(&node).map(StateMap::generation)
    }

    /// What a node says of itself.
    #[must_use]
    pub fn state(&self, node: NodeId, key: StateKey) -> Option<&Bytes> {
        Some(&self.maps.get(&node)?.get(key)?.value)
    }

    /// The version of the last heartbeat that was heard of a node: while it rises, somebody hears from it.
    #[must_use]
    pub fn heartbeat(&self, node: NodeId) -> Option<u64> {
        Some(self.maps.get(&node)?.get(StateKey::HEARTBEAT)?.version)
    }

    /// All that a node says of itself, in the order in which it was said.
    #[must_use]
    pub fn entries(&self, node: NodeId) -> &[Entry] {
        self.maps.get(&node).map_or(&[], StateMap::entries)
    }

    /// Of whom something is known, this node included, in ascending order.
    pub fn known(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.maps.keys().copied()
    }

    fn own(&mut self) -> &mut StateMap {
        let own = self.maps.get_mut(&self.me);
        own.expect("a node knows itself from its start and is never dropped")
    }

    /// Others have heard more of this node than it has said in this generation: it takes a later one, which replaces that.
    fn defend(&mut self, heard: Mark) {
        let step = self.step;
        let own = self.own();
        if heard > own.mark() {
            // Nothing is above the last generation, which only a fault or a lie can be; then others keep that.
            own.rise_to(heard.generation.saturating_add(step));
        }
    }

    /// Of whom the owner of these marks lacks something and after which version, the most urgent first.
    fn by_urgency(&self, digest: &Digest) -> Vec<(NodeId, u64)> {
        let lacking = digest.marks().iter().filter_map(|&(node, theirs)| {
            let mine = self.maps.get(&node)?.mark();
            let after = match mine.generation.cmp(&theirs.generation) {
                Ordering::Greater => 0,
                Ordering::Equal => theirs.version,
                Ordering::Less => return None,
            };
            (mine.version > after).then(|| (node, after, mine.version - after))
        });
        let mut lacking: Vec<_> = lacking.collect();
        let turn = self.mark(self.me).version;
        lacking.sort_by_cached_key(|&(node, _, behind)| (Reverse(behind), place(node, turn)));
        lacking
            .into_iter()
            .map(|(node, after, _)| (node, after))
            .collect()
    }
}

/// How many of the entries there is room for, with the head that they need; at least one in a message that is still empty.
fn how_many_fit(entries: &[Entry], bytes: usize, is_first: bool) -> usize {
    let sizes = entries.iter().scan(NodeDelta::HEAD_BYTES, |sum, entry| {
        *sum += entry.wire_bytes();
        Some(*sum)
    });
    let fits = sizes.take_while(|sum| *sum <= bytes).count();
    fits.max(usize::from(is_first).min(entries.len()))
}

/// The place of a node among equals, another in each turn. Both factors are odd and without pattern, so that all
/// nodes come first equally often, whatever their ids.
fn place(node: NodeId, turn: u64) -> u128 {
    const STEP: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
    let shift = u128::from(turn).wrapping_mul(STEP);
    node.0.wrapping_add(shift).wrapping_mul(STEP | 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: NodeId = NodeId(1);
    const OTHER: NodeId = NodeId(2);
    const THIRD: NodeId = NodeId(3);
    const AMPLE: usize = 1 << 20;

    fn gossip(me: NodeId, generation: u64) -> Gossip {
        let mut gossip = Gossip::new(me, generation);
        gossip.keep_only(&BTreeSet::from([ME, OTHER, THIRD]));
        gossip
    }

    fn text(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    /// One whole round; what changed at the asker and at the answerer.
    fn round(asker: &mut Gossip, answerer: &mut Gossip) -> (Vec<Change>, Vec<Change>) {
        let (deltas, wanted) = answerer.answer(&asker.digest(), AMPLE);
        let changed = asker.merge(deltas);
        (changed, answerer.merge(asker.deltas_for(&wanted, AMPLE)))
    }

    fn change(node: NodeId, key: StateKey) -> Change {
        Change { node, key }
    }

    #[test]
    fn a_round_goes_both_ways_and_a_second_one_carries_nothing() {
        let (mut a, mut b) = (gossip(ME, 1), gossip(OTHER, 1));
        a.set_own(StateKey::LOAD, text("little"));
        a.beat();
        b.set_own(StateKey(200), text("from a later release"));
        let (at_a, at_b) = round(&mut a, &mut b);
        assert_eq!(at_a, [change(OTHER, StateKey(200))]);
        let keys = [StateKey::LOAD, StateKey::HEARTBEAT];
        assert_eq!(at_b, keys.map(|key| change(ME, key)));
        assert_eq!(b.state(ME, StateKey::LOAD), Some(&text("little")));
        assert_eq!(b.heartbeat(ME), Some(2));

        let (deltas, wanted) = b.answer(&a.digest(), AMPLE);
        assert!(deltas.nodes().is_empty() && wanted.marks().is_empty());
    }

    #[test]
    fn saying_the_same_again_says_nothing() {
        let mut a = gossip(ME, 1);
        a.set_own(StateKey::LOAD, text("little"));
        let before = a.mark(ME);
        a.set_own(StateKey::LOAD, text("little"));
        assert_eq!(a.mark(ME), before);
        a.set_own(StateKey::LOAD, text("much"));
        assert_eq!(a.entries(ME).len(), 1, "an entry replaces its key's");
        assert!(a.mark(ME) > before);
    }

    #[test]
    fn what_one_node_tells_of_a_third_is_believed() {
        let (mut a, mut b, mut c) = (gossip(ME, 1), gossip(OTHER, 1), gossip(THIRD, 1));
        a.set_own(StateKey::LOAD, text("little"));
        round(&mut a, &mut b);
        round(&mut b, &mut c);
        assert_eq!(c.state(ME, StateKey::LOAD), Some(&text("little")));
    }

    #[test]
    fn a_later_generation_replaces_all_of_the_one_before() {
        let (mut a, mut b) = (gossip(ME, 1), gossip(OTHER, 1));
        a.set_own(StateKey::LOAD, text("little"));
        a.set_own(StateKey::ADDRESSES, text("here"));
        round(&mut a, &mut b);
        let mut again = gossip(ME, 2);
        again.set_own(StateKey::ADDRESSES, text("there"));
        let (_, at_b) = round(&mut again, &mut b);
        let keys = [StateKey::LOAD, StateKey::ADDRESSES];
        assert_eq!(at_b, keys.map(|key| change(ME, key)));
        assert_eq!(b.state(ME, StateKey::LOAD), None);
        assert_eq!(b.state(ME, StateKey::ADDRESSES), Some(&text("there")));
        // The life before is still under way somewhere.
        assert_eq!(b.merge(a.deltas_for(&gossip(OTHER, 1).digest(), AMPLE)), []);
        assert_eq!(b.generation(ME), Some(2));
    }

    #[test]
    fn a_node_that_hears_of_a_later_self_rises_above_it() {
        let (mut a, mut b) = (gossip(ME, 9), gossip(OTHER, 1));
        a.set_own(StateKey::LOAD, text("little"));
        round(&mut a, &mut b);
        // Its clock went back; the others ask, it is told, and in the same round it wins.
        let mut again = gossip(ME, 3);
        again.set_own(StateKey::LOAD, text("much"));
        round(&mut b.clone(), &mut again);
        assert_eq!(again.generation(ME), Some(9 + 1 + 3));

        // When it asks itself, it is told with the answer, and wins in the next round.
        let mut again = gossip(ME, 3);
        again.set_own(StateKey::LOAD, text("much"));
        round(&mut again, &mut b);
        assert_eq!(again.generation(ME), Some(13));
        round(&mut again, &mut b);
        assert_eq!(b.state(ME, StateKey::LOAD), Some(&text("much")));

        // So it does if it has the same generation and others have heard more.
        let mut again = gossip(ME, 13);
        let (_, wanted) = again.answer(&b.digest(), AMPLE);
        assert_eq!(again.generation(ME), Some(13 + 1 + 13));
        assert!(wanted.marks().iter().all(|(node, _)| *node != ME));
    }

    /// If two starts rose to one generation, a copy could not tell their words apart.
    #[test]
    fn two_starts_that_rise_above_the_same_do_not_meet() {
        let (mut a, mut b) = (gossip(ME, 9), gossip(OTHER, 1));
        a.beat();
        round(&mut a, &mut b);
        let mut stale = b.clone();
        let mut said = |generation, value, heard_from: &mut Gossip| {
            let mut again = gossip(ME, generation);
            round(&mut again, heard_from);
            again.set_own(StateKey::LOAD, text(value));
            round(&mut again, heard_from);
            round(&mut again, &mut b);
        };
        said(3, "little", &mut stale.clone());
        said(4, "much", &mut stale);
        assert_eq!(b.state(ME, StateKey::LOAD), Some(&text("much")));
    }

    #[test]
    fn nothing_is_learnt_of_who_is_no_member() {
        let (mut a, mut b) = (gossip(ME, 1), gossip(OTHER, 1));
        a.set_own(StateKey::LOAD, text("little"));
        round(&mut a, &mut b);
        b.forget(ME);
        assert_eq!(b.mark(ME), Mark::NOTHING);
        let (deltas, wanted) = b.answer(&a.digest(), AMPLE);
        assert_eq!((deltas.nodes().len(), wanted.marks().len()), (0, 0));
        assert_eq!(b.merge(a.deltas_for(&gossip(OTHER, 1).digest(), AMPLE)), []);
        assert_eq!(b.known().collect::<Vec<_>>(), [OTHER]);

        b.keep_only(&BTreeSet::from([ME]));
        round(&mut a, &mut b);
        assert_eq!(b.known().collect::<Vec<_>>(), [ME, OTHER]);
        b.forget(OTHER);
        assert_eq!(
            b.generation(OTHER),
            Some(1),
            "a node does not forget itself"
        );
    }

    #[test]
    fn a_delta_that_would_leave_a_gap_is_ignored() {
        let (mut a, mut b) = (gossip(ME, 1), gossip(OTHER, 1));
        a.set_own(StateKey::LOAD, text("little"));
        a.set_own(StateKey::ADDRESSES, text("here"));
        let known = Digest::new(vec![(
            ME,
            Mark {
                generation: 1,
                version: 1,
            },
        )])
        .unwrap();
        let late = a.deltas_for(&known, AMPLE);
        assert_eq!(late.nodes()[0].entries().len(), 1);
        assert_eq!(b.merge(late.clone()), []);
        assert_eq!(b.mark(ME), Mark::NOTHING);

        // The same of a generation that is later than the one that is known.
        let mut before = gossip(ME, 0);
        before.beat();
        round(&mut before, &mut b);
        assert_eq!(b.merge(late), []);
        assert_eq!(b.generation(ME), Some(0));
    }

    #[test]
    fn what_does_not_fit_is_later_and_there_is_room_for_one() {
        let (mut a, mut b) = (gossip(ME, 1), gossip(OTHER, 1));
        for key in 10..20 {
            a.set_own(StateKey(key), Bytes::from(vec![key; 100]));
        }
        let mut rounds = 0;
        while b.mark(ME) < a.mark(ME) {
            let deltas = a.deltas_for(&b.digest(), 1);
            assert_eq!(deltas.nodes()[0].entries().len(), 1);
            b.merge(deltas);
            rounds += 1;
        }
        assert_eq!(rounds, 10);
        assert_eq!(a.entries(ME), b.entries(ME));

        let all = a.deltas_for(&gossip(OTHER, 1).digest(), AMPLE);
        let exactly = a.deltas_for(&gossip(OTHER, 1).digest(), all.wire_bytes());
        assert_eq!(exactly, all);
        let less = a.deltas_for(&gossip(OTHER, 1).digest(), all.wire_bytes() - 1);
        assert_eq!(less.nodes()[0].entries().len(), 9);
    }

    /// Who beats every round and is left out falls behind, and who is furthest behind is sent first.
    #[test]
    fn room_for_one_goes_round_among_all() {
        let ids: BTreeSet<NodeId> = (0..20).map(NodeId).collect();
        let mut all: Vec<Gossip> = ids.iter().map(|id| Gossip::new(*id, 1)).collect();
        let mut asker = Gossip::new(NodeId(100), 1);
        asker.keep_only(&ids);
        let mut teller = Gossip::new(NodeId(101), 1);
        teller.keep_only(&ids);
        for round in 1..=200 {
            for gossip in &mut all {
                gossip.beat();
                teller.merge(gossip.deltas_for(&teller.digest(), AMPLE));
            }
            teller.beat();
            asker.merge(teller.deltas_for(&asker.digest(), 1));
            for id in &ids {
                let behind = round - asker.mark(*id).version;
                assert!(
                    behind <= 20,
                    "{id} is {behind} rounds behind in round {round}"
                );
            }
        }
    }
}
