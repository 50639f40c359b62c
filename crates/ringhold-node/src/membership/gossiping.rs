//! Gossip at work: once a second, with one or two members (§4.8.1).
//!
//! What is said and believed is `ringhold_core::membership::gossip`. Here is the task that has rounds, the answers to the rounds of
//! others, and what this node says of itself: its addresses, its load, the ring document that it has, and a heartbeat.
//!
//! A round is a call with a digest, whose answer is merged, and perhaps a second call with what the other lacks. It has its own
//! task and deadline, so a partner that does not answer holds up nothing. Members believed dead are tried
//! as well, now and then (T15). A call that fails is not made again: the next round is a second away, and goes elsewhere.
//!
//! What is made of it: a member that says that it has a later ring document than this node is asked for it, with each round
//! until this node has it too; so messages of gossip are taken from members of any placement. Two documents of one epoch are a
//! fault that no merging would mend; it is said aloud (T14). Nothing else hangs on gossip. Whom requests are sent to is the node's own
//! experience, and who is a member says the ring alone.
//!
//! Everything is in memory: a node that starts hears all of it again within a few rounds. Its generation is the wall clock at its
//! start; if that went back, the others tell.
//!
//! Invariants: the mutex is never held across an await, nor while another is taken; calls under way are bounded by their deadline, which
//! is two rounds.
//!
//! Not here: how a ring document is fetched (`news`), and how one is agreed on.

use crate::env::{Deadline, Environment};
use crate::membership::Sender;
use crate::node::Node;
use bytes::Bytes;
use ringhold_core::id::NodeId;
use ringhold_core::membership::gossip::{
    Change, Deltas, Digest, Gossip, StateKey, VALUE_BYTES_MAX, partners,
};
use ringhold_core::ring::{Epoch, MemberState, Ring};
use ringhold_wire::gossiped::{
    Load, RingKnown, decode_protocols, encode_addresses, encode_protocols,
};
use ringhold_wire::handshake::ProtocolRange;
use ringhold_wire::message::peer::{Refusal, Reply, Request};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::Semaphore;

const ROUND_US: u64 = 1_000_000;
/// How long a partner is waited for.
const PATIENCE_US: u64 = 2 * ROUND_US;
/// A load is said anew every so many rounds: it changes all the time, and nobody acts upon it.
const ROUNDS_PER_LOAD: u64 = 30;
/// Room for deltas in one message, in bytes: a thousand heartbeats.
const MESSAGE_BYTES_MAX: usize = 64 * 1_024;

/// What this node has heard.
#[derive(Debug)]
pub(crate) struct Gossiping {
    heard: Mutex<Heard>,
    /// One ring document is fetched at a time.
    fetching: Arc<Semaphore>,
}

#[derive(Debug)]
struct Heard {
    gossip: Gossip,
    /// When the heartbeat of each member rose last, on this node's clock.
    heartbeats_us: BTreeMap<NodeId, u64>,
}

/// What gossip says of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberGossip {
    pub node: NodeId,
    /// The start in which it is; none if it was never heard of.
    pub generation: Option<u64>,
    /// The ring document that it has.
    pub ring: Option<RingKnown>,
    pub load: Option<Load>,
    pub protocols: Option<ProtocolRange>,
    /// How long ago its heartbeat rose, as far as this node has heard; none for itself.
    pub heartbeat_age_us: Option<u64>,
}

impl Gossiping {
    pub(crate) fn new(me: NodeId, environment: &dyn Environment) -> Self {
        let heard = Heard {
            gossip: Gossip::new(me, environment.wall_us()),
            heartbeats_us: BTreeMap::new(),
        };
        Self {
            heard: Mutex::new(heard),
            fetching: Arc::new(Semaphore::new(1)),
        }
    }

    fn digest(&self) -> Digest {
        self.lock().gossip.digest()
    }

    fn answer(&self, digest: &Digest) -> (Deltas, Digest) {
        self.lock().gossip.answer(digest, MESSAGE_BYTES_MAX)
    }

    fn deltas_for(&self, wanted: &Digest) -> Deltas {
        self.lock().gossip.deltas_for(wanted, MESSAGE_BYTES_MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heard {
    fn merge(&mut self, deltas: Deltas, now_us: u64) -> Vec<Change> {
        let changes = self.gossip.merge(deltas);
        for change in &changes {
            if change.key == StateKey::HEARTBEAT {
                self.heartbeats_us.insert(change.node, now_us);
            }
        }
        changes
    }

    /// Of each member that has said anew where it is: its start, and its word.
    fn addresses_in(&self, changes: &[Change]) -> Vec<(NodeId, u64, Bytes)> {
        let about = changes
            .iter()
            .filter(|change| change.key == StateKey::ADDRESSES);
        let word = about.filter_map(|change| {
            let generation = self.gossip.generation(change.node)?;
            let word = self.gossip.state(change.node, StateKey::ADDRESSES)?;
            Some((change.node, generation, word.clone()))
        });
        word.collect()
    }

    fn ring_of(&self, node: NodeId) -> Option<RingKnown> {
        let value = self.gossip.state(node, StateKey::EPOCH)?;
        RingKnown::decode(value.clone()).ok()
    }

    fn protocols_of(&self, node: NodeId) -> Option<ProtocolRange> {
        let value = self.gossip.state(node, StateKey::PROTOCOLS)?;
        decode_protocols(value.clone()).ok()
    }

    fn load_of(&self, node: NodeId) -> Option<Load> {
        let value = self.gossip.state(node, StateKey::LOAD)?;
        Load::decode(value.clone()).ok()
    }
}

/// Rounds without end, until the node is gone or no member any more.
pub(crate) async fn run(node: Weak<Node>, environment: Arc<dyn Environment>) {
    // Nodes that start together need not talk at the same moment.
    let offset_us = environment.random() % u128::from(ROUND_US);
    let mut due_us = environment.now_us() + u64::try_from(offset_us).expect("less than a round");
    for round in 0_u64.. {
        environment.sleep_until(due_us).await;
        let Some(node) = node.upgrade() else {
            return;
        };
        if node.is_removed() {
            return;
        }
        node.say_how_it_is(round.is_multiple_of(ROUNDS_PER_LOAD));
        for partner in node.gossip_partners() {
            environment.spawn(Box::pin(gossip_with(Arc::clone(&node), partner)));
        }
        node.metrics.gossip_rounds.add(1);
        node.look_for_ring_news();
        due_us = environment.now_us() + ROUND_US;
    }
}

/// One round with one member.
async fn gossip_with(node: Arc<Node>, partner: NodeId) {
    let deadline = Deadline::after(&*node.environment, PATIENCE_US);
    let digest = node.gossiping.digest();
    node.count_gossip(digest.wire_bytes());
    let call = node.call(partner, Request::GossipDigest(digest), deadline);
    let Ok(Reply::Gossip { deltas, wanted }) = call.await else {
        return;
    };
    node.take_gossip(deltas);
    let deltas = node.gossiping.deltas_for(&wanted);
    if deltas.is_empty() {
        return;
    }
    node.count_gossip(deltas.wire_bytes());
    let call = node.call_as_is(partner, Request::GossipDeltas(deltas), deadline);
    // Whether it was taken in shows in the marks of a later round.
    drop(call.await);
}

impl Node {
    /// Answers the first message of a member's round.
    pub(crate) fn answer_gossip(&self, from: Option<Sender>, digest: &Digest) -> Reply {
        if let Err(refusal) = self.may_gossip(from) {
            return Reply::Refused(refusal);
        }
        let (deltas, wanted) = self.gossiping.answer(digest);
        self.count_gossip(deltas.wire_bytes() + wanted.wire_bytes());
        Reply::Gossip { deltas, wanted }
    }

    /// Takes in the third message of a member's round.
    pub(crate) fn answer_deltas(self: &Arc<Self>, from: Option<Sender>, deltas: Deltas) -> Reply {
        if let Err(refusal) = self.may_gossip(from) {
            return Reply::Refused(refusal);
        }
        self.take_gossip(deltas);
        Reply::GossipTaken
    }

    /// Whoever is no client and was not removed; one that this node has not heard of yet may well be a member (T17).
    fn may_gossip(&self, from: Option<Sender>) -> Result<(), Refusal> {
        let from = from.ok_or(Refusal::Malformed)?;
        let ring = self.ring();
        let state = ring.member(from.id).map(|member| member.state);
        if state.is_some_and(MemberState::is_gone) {
            return Err(Refusal::NotAMember);
        }
        Ok(())
    }

    /// What gossip says of each member, this node included.
    #[must_use]
    pub fn gossip_view(&self) -> Vec<MemberGossip> {
        let now_us = self.environment.now_us();
        let ring = self.ring();
        let heard = self.gossiping.lock();
        let view = |node: NodeId| MemberGossip {
            node,
            generation: heard.gossip.generation(node),
            ring: heard.ring_of(node),
            load: heard.load_of(node),
            protocols: heard.protocols_of(node),
            heartbeat_age_us: heard
                .heartbeats_us
                .get(&node)
                .map(|heard_us| now_us.saturating_sub(*heard_us)),
        };
        members_of(&ring).map(view).collect()
    }

    /// Says of this node what is so now, and that it lives.
    fn say_how_it_is(&self, with_load: bool) {
        let ring = self.ring();
        let members: BTreeSet<NodeId> = members_of(&ring).collect();
        let known = RingKnown::of(ring.document()).encode();
        let own = ring.member(self.id);
        let addresses = own.map(|member| encode_addresses(&self.addresses_of(member)));
        let load = with_load.then(|| self.load(&ring).encode());
        let mut heard = self.gossiping.lock();
        heard.heartbeats_us.retain(|node, _| members.contains(node));
        heard.gossip.keep_only(&members);
        let values = [
            (StateKey::EPOCH, Some(known)),
            (StateKey::ADDRESSES, addresses),
            (StateKey::LOAD, load),
            (
                StateKey::PROTOCOLS,
                Some(encode_protocols(self.tuning.protocols)),
            ),
        ];
        for (key, value) in values {
            let fits = |value: &Bytes| value.len() <= VALUE_BYTES_MAX;
            if let Some(value) = value.filter(fits) {
                heard.gossip.set_own(key, value);
            }
        }
        heard.gossip.beat();
    }

    fn load(&self, ring: &Ring) -> Load {
        let figures = self.store().figures();
        Load {
            partitions: u32::try_from(ring.partitions_owned(self.id)).unwrap_or(u32::MAX),
            stored_bytes: figures.engine_bytes + figures.buffer_bytes,
            hint_bytes: self.hints_kept().1,
        }
    }

    fn gossip_partners(&self) -> Vec<NodeId> {
        let ring = self.ring();
        let others = members_of(&ring).filter(|node| *node != self.id);
        let (living, dead): (Vec<NodeId>, Vec<NodeId>) =
            others.partition(|node| self.is_reachable(*node));
        let random = u64::try_from(self.environment.random() >> 64).expect("half of 128 bits");
        // Who is a member is in the ring document, which is on disk: nobody has to be named as a seed.
        partners(random, &living, &dead, &[])
    }

    fn take_gossip(self: &Arc<Self>, deltas: Deltas) {
        let now_us = self.environment.now_us();
        let (changes, moved) = {
            let mut heard = self.gossiping.lock();
            let changes = heard.merge(deltas, now_us);
            let moved = heard.addresses_in(&changes);
            (changes, moved)
        };
        for (member, generation, word) in moved {
            self.heard_where(member, generation, word);
        }
        let mut about_rings = changes
            .iter()
            .filter(|change| change.key == StateKey::EPOCH);
        if about_rings.next().is_some() {
            self.look_for_ring_news();
            self.look_for_two_rings(&changes);
        }
    }

    /// If some member has a later ring document, has it fetched, from one that can be reached if there is one.
    fn look_for_ring_news(self: &Arc<Self>) {
        let ring = self.ring();
        let own = ring.document().epoch;
        let heard = self.gossiping.lock();
        let known = members_of(&ring).filter_map(|node| Some((heard.ring_of(node)?.epoch, node)));
        let later: Vec<_> = known.filter(|(epoch, _)| *epoch > own).collect();
        drop(heard);
        let news = later
            .into_iter()
            .max_by_key(|(epoch, node)| (*epoch, self.is_reachable(*node)));
        if let Some((epoch, member)) = news {
            self.heard_epoch(member, epoch);
        }
    }

    /// A member has said which ring document it serves by: if that is later than this node's, has it fetched.
    pub(crate) fn heard_epoch(self: &Arc<Self>, member: NodeId, epoch: Epoch) {
        if epoch <= self.ring().document().epoch {
            return;
        }
        let Ok(permit) = Arc::clone(&self.gossiping.fetching).try_acquire_owned() else {
            return;
        };
        let node = Arc::clone(self);
        let fetch = async move {
            node.ring_news(member, epoch.0).await;
            drop(permit);
        };
        self.environment.spawn(Box::pin(fetch));
    }

    /// One epoch is one document; if not, what is agreed on was broken.
    fn look_for_two_rings(&self, changes: &[Change]) {
        let own = RingKnown::of(self.ring().document());
        let heard = self.gossiping.lock();
        for change in changes
            .iter()
            .filter(|change| change.key == StateKey::EPOCH)
        {
            let theirs = heard.ring_of(change.node);
            if theirs.is_some_and(|theirs| theirs.epoch == own.epoch && theirs.hash != own.hash) {
                tracing::error!(
                    member = %change.node,
                    epoch = own.epoch.0,
                    "a member has another ring document of the same epoch: change nothing in the cluster until it is known why"
                );
            }
        }
    }

    fn count_gossip(&self, bytes: usize) {
        // A byte more for the kind of the message.
        self.metrics.gossip_bytes_sent.add(1 + bytes as u64);
    }
}

/// Everybody who belongs to the cluster.
fn members_of(ring: &Ring) -> impl Iterator<Item = NodeId> + '_ {
    let members = ring.members().iter();
    let members = members.filter(|member| !member.state.is_gone());
    members.map(|member| member.id)
}
