//! A cluster that only gossips, in rounds, from a seed: how fast news spreads and what it costs.
//!
//! In each round every node asks one random other, in a random order, as nodes do whose clocks are not in step. Each of the three
//! messages may be lost. Used by the tests and by the example that prints the figures.

use bytes::Bytes;
use ringhold_core::id::NodeId;
use ringhold_core::membership::gossip::{Gossip, StateKey, partners};
use std::collections::BTreeSet;

/// Room for deltas in one message, in bytes; the node's own.
const MESSAGE_BYTES_MAX: usize = 64 * 1_024;
/// About what a node says of itself: four addresses, a load, a ring document's epoch, hash and placement number.
const VALUES: [(StateKey, usize); 3] = [
    (StateKey::ADDRESSES, 80),
    (StateKey::LOAD, 25),
    (StateKey::EPOCH, EPOCH_BYTES),
];
const EPOCH_BYTES: usize = 33;

/// What a node sends in a round in the mean, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traffic {
    /// While nothing changes but the heartbeats.
    pub(crate) quiet: usize,
    /// While every member says that it has the next ring document, as soon as it hears of it.
    pub(crate) changing: usize,
    /// How many rounds it takes until everybody knows that everybody has it.
    pub(crate) rounds: usize,
}

struct Cluster {
    nodes: Vec<Gossip>,
    ids: Vec<NodeId>,
    random: Random,
    loss_per_cent: u64,
    sent_bytes: usize,
}

/// How many rounds it takes until all of `n` nodes know what one of them has said.
pub(crate) fn rounds_until_everywhere(n: usize, seed: u64, loss_per_cent: u64) -> u32 {
    let mut cluster = Cluster::new(n, seed, loss_per_cent);
    let origin = cluster.ids[0];
    cluster.nodes[0].set_own(StateKey::EPOCH, epoch(2));
    let mut rounds = 0;
    while cluster.any_lacks(origin) {
        // Two nodes that know the same of the origin, and nothing else is said here, have nothing to tell each other.
        cluster.round(|a, b| a.mark(origin) != b.mark(origin));
        rounds += 1;
        assert!(rounds < 1_000, "{n} nodes with seed {seed} do not converge");
    }
    rounds
}

/// What `n` nodes send that know each other already.
pub(crate) fn traffic(n: usize, seed: u64) -> Traffic {
    let mut cluster = Cluster::new(n, seed, 0);
    cluster.meet();
    for _ in 0..8 {
        cluster.beating_round();
    }
    cluster.sent_bytes = 0;
    for _ in 0..4 {
        cluster.beating_round();
    }
    let quiet = cluster.sent_bytes / (4 * n);

    cluster.sent_bytes = 0;
    cluster.nodes[0].set_own(StateKey::EPOCH, epoch(2));
    let mut rounds = 0;
    while !cluster.all_know_that_all_have(2) {
        cluster.beating_round();
        cluster.follow(2);
        rounds += 1;
    }
    let changing = cluster.sent_bytes / (rounds * n);
    Traffic {
        quiet,
        changing,
        rounds,
    }
}

impl Cluster {
    fn new(n: usize, seed: u64, loss_per_cent: u64) -> Self {
        let mut random = Random(seed);
        let mut id = || NodeId(u128::from(random.next()) << 64 | u128::from(random.next()));
        let ids: Vec<NodeId> = (0..n).map(|_| id()).collect();
        let members: BTreeSet<NodeId> = ids.iter().copied().collect();
        let node = |id: &NodeId| {
            let mut node = Gossip::new(*id, 1);
            node.keep_only(&members);
            node
        };
        Self {
            nodes: ids.iter().map(node).collect(),
            ids,
            random,
            loss_per_cent,
            sent_bytes: 0,
        }
    }

    /// Everybody says something and knows what everybody says.
    fn meet(&mut self) {
        let nothing = self.nodes[0].digest();
        for node in &mut self.nodes {
            for (key, bytes) in VALUES {
                node.set_own(key, Bytes::from(vec![1; bytes]));
            }
        }
        let nodes = self.nodes.iter();
        let said: Vec<_> = nodes
            .map(|node| node.deltas_for(&nothing, usize::MAX))
            .collect();
        for node in &mut self.nodes {
            for deltas in &said {
                node.merge(deltas.clone());
            }
        }
    }

    fn beating_round(&mut self) {
        self.nodes.iter_mut().for_each(Gossip::beat);
        self.round(|_, _| true);
    }

    /// Every node has a round of its own, unless its two ends have nothing to tell each other.
    fn round(&mut self, is_worth_it: impl Fn(&Gossip, &Gossip) -> bool) {
        let mut order: Vec<usize> = (0..self.nodes.len()).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, self.random.below(last + 1));
        }
        let mut living = self.ids.clone();
        for asker in order {
            let me = living.swap_remove(asker);
            let chosen = partners(self.random.next(), &living, &[], &[]);
            // Back to where it was.
            living.push(me);
            let last = living.len() - 1;
            living.swap(asker, last);
            let chosen = chosen.first().expect("there are others");
            let answerer = self
                .ids
                .iter()
                .position(|id| id == chosen)
                .expect("a member");
            if is_worth_it(&self.nodes[asker], &self.nodes[answerer]) {
                self.exchange(asker, answerer);
            }
        }
    }

    fn exchange(&mut self, asker: usize, answerer: usize) {
        let digest = self.nodes[asker].digest();
        if self.is_lost(digest.wire_bytes()) {
            return;
        }
        let (deltas, wanted) = self.nodes[answerer].answer(&digest, MESSAGE_BYTES_MAX);
        if self.is_lost(deltas.wire_bytes() + wanted.wire_bytes()) {
            return;
        }
        self.nodes[asker].merge(deltas);
        let last = self.nodes[asker].deltas_for(&wanted, MESSAGE_BYTES_MAX);
        if !last.is_empty() && !self.is_lost(last.wire_bytes()) {
            self.nodes[answerer].merge(last);
        }
    }

    fn is_lost(&mut self, bytes: usize) -> bool {
        // The kind of the message.
        self.sent_bytes += 1 + bytes;
        self.random.next() % 100 < self.loss_per_cent
    }

    fn any_lacks(&self, origin: NodeId) -> bool {
        let said = self.nodes[0].mark(origin);
        self.nodes.iter().any(|node| node.mark(origin) != said)
    }

    fn all_know_that_all_have(&self, number: u8) -> bool {
        let later = epoch(number);
        let has = |node: &Gossip, of| node.state(of, StateKey::EPOCH) == Some(&later);
        let mut nodes = self.nodes.iter();
        nodes.all(|node| self.ids.iter().all(|id| has(node, *id)))
    }

    /// Whoever has heard of a later ring document fetches it, and says so.
    fn follow(&mut self, number: u8) {
        let later = epoch(number);
        for node in &mut self.nodes {
            let has_heard = |of| node.state(of, StateKey::EPOCH) == Some(&later);
            if self.ids.iter().any(|id| has_heard(*id)) {
                node.set_own(StateKey::EPOCH, later.clone());
            }
        }
    }
}

fn epoch(number: u8) -> Bytes {
    Bytes::from(vec![number; EPOCH_BYTES])
}

/// Sebastiano Vigna's SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        let drawn = (u128::from(self.next()) * bound as u128) >> 64;
        usize::try_from(drawn).expect("below a usize")
    }
}
