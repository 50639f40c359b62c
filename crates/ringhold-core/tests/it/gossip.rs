//! Gossip under everything that a network and a restart may do to it.
//!
//! A few nodes, a network that keeps what was sent as long as it likes and delivers it in any order, twice or never, messages with
//! room for little, and restarts, some with a clock that went back. After every step: no copy has a gap, and none goes back. When the
//! network has recovered, all copies are what their authors say.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use ringhold_core::id::NodeId;
use ringhold_core::membership::gossip::{Deltas, Digest, Gossip, Mark, StateKey};
use std::collections::{BTreeMap, BTreeSet};

const NODES: usize = 4;

#[derive(Clone, Debug)]
enum Step {
    /// A node says something of itself: a key and a value.
    Say(usize, u8, u8),
    Beat(usize),
    /// A node begins a round with another.
    Ask(usize, usize),
    /// Of the messages under way, one arrives; true if it stays under way as well.
    Arrive(prop::sample::Index, bool),
    Lose(prop::sample::Index),
    /// A node starts again with nothing, its clock having gone on, or back.
    Restart(usize, bool),
}

/// What is under way, from one node to another.
#[derive(Clone, Debug)]
enum Message {
    Digest(Digest),
    Answer(Deltas, Digest),
    Deltas(Deltas),
}

struct World {
    nodes: Vec<Gossip>,
    under_way: Vec<(usize, usize, Message)>,
    /// Room for deltas in a message.
    bytes_max: usize,
    /// Starts so far: no two have the same clock.
    starts: u64,
}

fn any_step() -> impl Strategy<Value = Step> {
    let node = || 0..NODES;
    prop_oneof![
        3 => (node(), 1..6u8, any::<u8>()).prop_map(|(node, key, value)| Step::Say(node, key, value)),
        1 => node().prop_map(Step::Beat),
        4 => (node(), node()).prop_map(|(asker, answerer)| Step::Ask(asker, answerer)),
        8 => (any::<prop::sample::Index>(), prop::bool::weighted(0.2))
            .prop_map(|(which, stays)| Step::Arrive(which, stays)),
        1 => any::<prop::sample::Index>().prop_map(Step::Lose),
        1 => (node(), any::<bool>()).prop_map(|(node, went_on)| Step::Restart(node, went_on)),
    ]
}

fn id(node: usize) -> NodeId {
    NodeId(node as u128)
}

fn members() -> BTreeSet<NodeId> {
    (0..NODES).map(id).collect()
}

impl World {
    fn new(bytes_max: usize) -> Self {
        let mut world = Self {
            nodes: Vec::new(),
            under_way: Vec::new(),
            bytes_max,
            starts: 0,
        };
        world.nodes = (0..NODES).map(|node| world.start(node, true)).collect();
        world
    }

    /// Generations are moments of which no two are the same, in an age that goes on or one that is long past.
    fn start(&mut self, node: usize, went_on: bool) -> Gossip {
        self.starts += 1;
        let hour = self.starts + if went_on { 1 << 20 } else { 0 };
        // Without pattern, as moments are.
        let moment = (self.starts.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678) >> 32;
        let mut gossip = Gossip::new(id(node), (hour << 32) + moment);
        gossip.keep_only(&members());
        gossip
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Say(node, key, value) => {
                let value = Bytes::from(vec![*value; usize::from(*value % 40)]);
                self.nodes[*node].set_own(StateKey(*key), value);
            }
            Step::Beat(node) => self.nodes[*node].beat(),
            Step::Ask(asker, answerer) if asker != answerer => {
                let digest = Message::Digest(self.nodes[*asker].digest());
                self.under_way.push((*asker, *answerer, digest));
            }
            Step::Ask(..) => {}
            Step::Arrive(which, stays) if !self.under_way.is_empty() => {
                let at = which.index(self.under_way.len());
                let (from, to, message) = if *stays {
                    self.under_way[at].clone()
                } else {
                    self.under_way.swap_remove(at)
                };
                self.arrive(from, to, message);
            }
            Step::Lose(which) if !self.under_way.is_empty() => {
                let at = which.index(self.under_way.len());
                self.under_way.swap_remove(at);
            }
            Step::Arrive(..) | Step::Lose(_) => {}
            Step::Restart(node, went_on) => self.nodes[*node] = self.start(*node, *went_on),
        }
    }

    fn arrive(&mut self, from: usize, to: usize, message: Message) {
        match message {
            Message::Digest(digest) => {
                let (deltas, wanted) = self.nodes[to].answer(&digest, self.bytes_max);
                self.under_way
                    .push((to, from, Message::Answer(deltas, wanted)));
            }
            Message::Answer(deltas, wanted) => {
                self.merge(to, deltas);
                let last = self.nodes[to].deltas_for(&wanted, self.bytes_max);
                self.under_way.push((to, from, Message::Deltas(last)));
            }
            Message::Deltas(deltas) => self.merge(to, deltas),
        }
    }

    /// Merges, and holds against each other what is said to have changed and what has.
    fn merge(&mut self, at: usize, deltas: Deltas) {
        let before = self.nodes[at].clone();
        let changes = self.nodes[at].merge(deltas);
        for node in (0..NODES).map(id).filter(|node| *node != id(at)) {
            for key in (1..=6).map(StateKey) {
                let of = |gossip: &Gossip| {
                    let entry = gossip.entries(node).iter().find(|entry| entry.key == key);
                    (
                        entry.map(|entry| entry.value.clone()),
                        gossip.generation(node),
                    )
                };
                let is_told = changes.iter().any(|c| (c.node, c.key) == (node, key));
                assert!(
                    is_told || of(&before).0 == of(&self.nodes[at]).0,
                    "{node} {key}"
                );
            }
        }
    }

    /// Every entry of the author up to a copy's mark is in the copy.
    fn check_no_gaps(&self) {
        for (author, own) in self.nodes.iter().enumerate() {
            let author = id(author);
            for copy in &self.nodes {
                let mark = copy.mark(author);
                if mark.generation != own.mark(author).generation {
                    continue;
                }
                let said = own.entries(author).iter();
                for entry in said.filter(|entry| entry.version <= mark.version) {
                    assert!(
                        copy.entries(author).contains(entry),
                        "{author}: a gap at {entry:?}"
                    );
                }
            }
        }
    }

    fn marks(&self) -> BTreeMap<(usize, NodeId), Mark> {
        let pairs = (0..NODES).flat_map(|at| (0..NODES).map(move |of| (at, id(of))));
        pairs
            .map(|(at, of)| ((at, of), self.nodes[at].mark(of)))
            .collect()
    }

    /// Whole rounds between all, until nothing is under way any more.
    fn recover(&mut self) {
        self.under_way.clear();
        // Of who says nothing, nobody hears.
        self.nodes.iter_mut().for_each(Gossip::beat);
        // What a message has room for may be one entry, of which there are up to 28; and a node may have to hear of its former self first.
        for _ in 0..60 {
            for (asker, answerer) in (0..NODES).flat_map(|a| (0..NODES).map(move |b| (a, b))) {
                if asker != answerer {
                    let digest = Message::Digest(self.nodes[asker].digest());
                    self.under_way.push((asker, answerer, digest));
                }
                while let Some((from, to, message)) = self.under_way.pop() {
                    self.arrive(from, to, message);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn copies_have_no_gaps_never_go_back_and_converge(
        bytes_max in prop_oneof![Just(0_usize), 0..400_usize, Just(1 << 20)],
        steps in vec(any_step(), 0..160),
    ) {
        let mut world = World::new(bytes_max);
        for step in &steps {
            let before = world.marks();
            world.take(step);
            let restarted = match step {
                Step::Restart(node, _) => Some(*node),
                _ => None,
            };
            for (pair, mark) in world.marks() {
                prop_assert!(Some(pair.0) == restarted || mark >= before[&pair], "{step:?} took {pair:?} back");
            }
            world.check_no_gaps();
        }
        world.recover();
        for (author, own) in world.nodes.iter().enumerate() {
            let author = id(author);
            for copy in &world.nodes {
                prop_assert_eq!(copy.generation(author), own.generation(author));
                prop_assert_eq!(copy.entries(author), own.entries(author));
            }
        }
    }
}

/// What others have heard of the life before, whatever it was, gives way to what a node says after its restart.
#[test]
fn a_restarted_node_wins_everywhere() {
    let mut world = World::new(1 << 20);
    for step in 0..40 {
        world.nodes[0].set_own(StateKey(1), Bytes::from(vec![step]));
    }
    world.recover();
    for went_on in [true, false] {
        world.nodes[0] = world.start(0, went_on);
        world.nodes[0].set_own(StateKey(2), Bytes::from_static(b"again"));
        world.recover();
        for copy in &world.nodes {
            assert_eq!(copy.state(id(0), StateKey(1)), None);
            assert_eq!(
                copy.state(id(0), StateKey(2)),
                Some(&Bytes::from_static(b"again"))
            );
        }
    }
}
