//! The network: every message a frame, every frame with a fate of its own.
//!
//! Nodes and clients are *hosts*; from each host to each other there is a *way* with a condition (open or
//! blocked, fast or slow), so partitions may be one-way or partial. Over it all lies the *weather*: how many
//! messages are lost, come twice, overtake each other, take for ever or arrive with a bit flipped.
//!
//! Messages go through the encoder and the decoder that real nodes use, so a flipped bit has to be
//! caught by them: a damaged frame that decodes is a violation (I12). A host that gets one hangs up, as a real one
//! would.
//!
//! | module | |
//! | --- | --- |
//! | [`call`] | one request that waits for its reply |
//! | [`fate`] | which way a frame goes, and what happens to it there |
//! | [`handshake`] | what passes before a connection stands |
//! | [`link`] | what a caller knows of the way to another host: waiting calls, the last sign of life |
//! | [`witness`] | what passes, for the books |
//! | [`peers`] | a node's view of it all, and the task that keeps its links alive |
//!
//! Deliberately not TCP: a frame that is lost does not hold up those behind it. That is harsher on the
//! nodes, whose protocol does not rely on order, and simpler. What of TCP can hurt is here: connections that
//! break with requests on their way, also in the middle of a frame, and refused ones.

mod call;
mod fate;
mod handshake;
mod link;
mod peers;
mod witness;

pub use peers::{SimPeers, keep_connected};

use crate::books::SharedBooks;
use crate::clock::NodeEnvironment;
use crate::cluster::Surroundings;
use crate::executor::{Executor, Group};
use crate::invariants::{Violation, i12_corruption, t16_moves, t24_expired};
use crate::process::{CrashPoint, Trips};
use crate::random::SharedRandom;
use crate::rare::{Rare, RareCounts};
use crate::trace::Trace;
use bytes::{Bytes, BytesMut};
pub use call::Call;
use call::CallSlot;
use fate::{Damage, Direction};
use link::Link;
use ringhold_core::id::NodeId;
use ringhold_node::env::{CallError, Deadline, Environment};
use ringhold_node::{Node, Sender};
use ringhold_wire::frame::{self, Frame, FrameDecoder, RequestHeader};
use ringhold_wire::handshake::ProtocolRange;
use ringhold_wire::message::peer::{Reply, Request};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use witness::Asked;

/// A way between two hosts that share a rack, in microseconds.
const DELAY_US: u64 = 250;
/// No message is on its way for longer.
const DELAY_US_MAX: u64 = 20_000_000;
/// What a spike multiplies a delay by, at most.
const SPIKE_FACTOR: u64 = 400;

/// How likely each misfortune of a message is, in a million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    pub lost: u32,
    pub twice: u32,
    pub spikes: u32,
    pub flipped: u32,
    pub reset: u32,
    /// Messages of one link may overtake each other.
    pub reordering: bool,
}

/// From one host to another.
#[derive(Clone, Copy, Debug)]
struct Way {
    blocked: bool,
    /// Delays are multiplied by this.
    slowness: u64,
    /// When the last message arrives, where they may not overtake each other.
    last_arrival_us: u64,
}

/// A node that takes requests.
#[derive(Clone)]
pub struct Serving {
    pub node: Arc<Node>,
    pub group: Group,
    pub environment: Arc<NodeEnvironment>,
    pub trips: Trips,
    /// The highest protocol that it speaks.
    pub protocol: u16,
}

/// Whether a request is about what its sender takes for the homes of keys.
fn is_by_placement(request: &Request) -> bool {
    matches!(
        request,
        Request::Coordinate(_)
            | Request::Merge(_)
            | Request::Follow(_)
            | Request::Fetch(_)
            | Request::Digest(_)
    )
}

/// See the module. Clones are the same network.
#[derive(Clone)]
pub struct Network(Arc<Shared>);

struct Shared {
    executor: Executor,
    trace: Trace,
    books: SharedBooks,
    rare: Arc<RareCounts>,
    random: SharedRandom,
    ids: Vec<NodeId>,
    state: Mutex<State>,
}

struct State {
    serving: Vec<Option<Serving>>,
    /// The protocol that a node spoke when it served last; the oldest before it ever did. Clients speak all.
    spoken: Vec<u16>,
    ways: Vec<Vec<Way>>,
    links: BTreeMap<(usize, usize), Link>,
    weather: Weather,
    last_call: u64,
    messages: u64,
    longest_delay_us: u64,
}

impl Network {
    /// A network of these nodes, and of so many clients after them.
    #[must_use]
    pub fn new(
        around: Surroundings,
        random: SharedRandom,
        ids: Vec<NodeId>,
        clients: usize,
    ) -> Self {
        let hosts = ids.len() + clients;
        let way = Way {
            blocked: false,
            slowness: 1,
            last_arrival_us: 0,
        };
        let state = State {
            serving: vec![None; hosts],
            spoken: (0..hosts)
                .map(|host| match host < ids.len() {
                    true => ProtocolRange::SPOKEN.min,
                    false => ProtocolRange::SPOKEN.max,
                })
                .collect(),
            ways: vec![vec![way; hosts]; hosts],
            links: BTreeMap::new(),
            weather: Weather::default(),
            last_call: 0,
            messages: 0,
            longest_delay_us: DELAY_US_MAX,
        };
        let Surroundings {
            executor,
            trace,
            books,
            rare,
        } = around;
        Self(Arc::new(Shared {
            executor,
            trace,
            books,
            rare,
            random,
            ids,
            state: Mutex::new(state),
        }))
    }

    /// A node begins, or ceases, to take requests.
    pub fn set_serving(&self, host: usize, serving: Option<Serving>) {
        let mut state = self.lock();
        if let Some(serving) = &serving {
            state.spoken[host] = serving.protocol;
        }
        let before = std::mem::replace(&mut state.serving[host], serving);
        drop(state);
        drop(before);
    }

    #[must_use]
    pub fn serving(&self, host: usize) -> Option<Serving> {
        self.lock().serving[host].clone()
    }

    pub fn set_weather(&self, weather: Weather) {
        self.lock().weather = weather;
    }

    /// No message is on its way for longer from now on.
    pub fn set_longest_delay(&self, us: u64) {
        self.lock().longest_delay_us = us;
    }

    pub fn set_blocked(&self, from: usize, to: usize, blocked: bool) {
        self.lock().ways[from][to].blocked = blocked;
    }

    pub fn set_slowness(&self, from: usize, to: usize, factor: u64) {
        self.lock().ways[from][to].slowness = factor;
    }

    /// Opens all ways and clears the sky.
    pub fn heal(&self) {
        let mut state = self.lock();
        state.weather = Weather::default();
        for way in state.ways.iter_mut().flatten() {
            way.blocked = false;
            way.slowness = 1;
            way.last_arrival_us = 0;
        }
    }

    /// Messages sent so far.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.lock().messages
    }

    /// Sends a request with its deadline; the future waits for the reply for a while longer.
    pub fn call(
        &self,
        from: usize,
        to: usize,
        request: &Request,
        deadline_us: u64,
        patience_us: u64,
    ) -> Result<Call, CallError> {
        let now_us = self.0.executor.now_us();
        let left_ms = deadline_us.saturating_sub(now_us).div_ceil(1_000);
        let until_us = deadline_us.saturating_add(patience_us);
        let mut state = self.lock();
        let link = self.link(&mut state, from, to);
        if !link.connected {
            return Err(CallError::NotSent);
        }
        let generation = link.generation;
        state.last_call += 1;
        let id = state.last_call;
        let slot = Arc::new(CallSlot::default());
        self.link(&mut state, from, to)
            .waiting
            .insert(id, Arc::clone(&slot));
        drop(state);

        let header = RequestHeader {
            id,
            remaining_ms: u32::try_from(left_ms).unwrap_or(u32::MAX),
            placement_number: self.placement_number_of(from),
        };
        let mut bytes = BytesMut::new();
        frame::append_request(&mut bytes, header, request)
            .expect("simulated values are far smaller than a frame");
        self.witness_request(from, request);
        self.send(from, to, generation, &bytes.freeze(), Direction::There);
        if matches!(
            request,
            Request::Merge(_) | Request::Follow(_) | Request::MergeMany(_)
        ) {
            self.trip(from, CrashPoint::AfterSend);
        }
        Ok(Call::new(
            self.clone(),
            (from, to),
            id,
            slot,
            self.0.executor.sleep_until(until_us),
        ))
    }

    /// The highest protocol that a host speaks; clients speak them all.
    pub(super) fn protocol_of(&self, host: usize) -> u16 {
        self.lock().spoken[host]
    }

    /// What two hosts agree on: connections end with the process that made them.
    pub(crate) fn protocol_between(&self, one: usize, other: usize) -> u16 {
        self.protocol_of(one).min(self.protocol_of(other))
    }

    /// By which placement a host asks; a client by none.
    fn placement_number_of(&self, host: usize) -> u64 {
        let serving = self.serving(host);
        serving.map_or(0, |serving| serving.node.ring().placement_number())
    }

    /// Decides a message's fate.
    fn send(&self, from: usize, to: usize, generation: u64, bytes: &Bytes, direction: Direction) {
        let (source, target) = direction.ends(from, to);
        if !self.is_sending(source) {
            return;
        }
        let now_us = self.0.executor.now_us();
        let mut random = self.0.random.lock();
        let mut state = self.lock();
        state.messages += 1;
        let (weather, longest_delay_us) = (state.weather, state.longest_delay_us);
        // Misfortune is for nodes; a client's way is only as long as it is.
        let between_nodes = from.max(to) < self.0.ids.len();
        let way = &mut state.ways[source][target];
        if way.blocked || (between_nodes && random.chance(weather.lost)) {
            return;
        }
        let copies = if between_nodes && random.chance(weather.twice) {
            2
        } else {
            1
        };
        let mut arrivals = Vec::with_capacity(copies);
        for _ in 0..copies {
            let mut delay_us = random.around(DELAY_US) * way.slowness;
            if between_nodes && random.chance(weather.spikes) {
                delay_us *= random.between(10, SPIKE_FACTOR);
            }
            let mut at_us = now_us + delay_us.min(longest_delay_us);
            if !weather.reordering {
                at_us = at_us.max(way.last_arrival_us + 1);
                way.last_arrival_us = at_us;
            }
            let flipped = between_nodes && random.chance(weather.flipped);
            let cut = between_nodes && random.chance(weather.reset);
            let at_byte = if bytes.is_empty() {
                0
            } else {
                random.index(bytes.len())
            };
            let damage = match (flipped, cut) {
                (_, true) => Some(Damage::Cut(at_byte)),
                (true, false) => Some(Damage::Flip(at_byte, random.index(8))),
                (false, false) => None,
            };
            arrivals.push((at_us, damage));
        }
        drop(state);
        drop(random);
        for (at_us, damage) in arrivals {
            let (network, bytes) = (self.clone(), bytes.clone());
            self.0.executor.call_at(at_us, move || {
                network.arrive(from, to, generation, &bytes, damage, direction);
            });
        }
    }

    fn arrive(
        &self,
        from: usize,
        to: usize,
        generation: u64,
        bytes: &Bytes,
        damage: Option<Damage>,
        direction: Direction,
    ) {
        let (source, target) = direction.ends(from, to);
        if self.lock().ways[source][target].blocked {
            return;
        }
        let received = damage.map_or_else(|| bytes.clone(), |damage| damage.applied_to(bytes));
        let mut decoder = FrameDecoder::new();
        decoder.established();
        decoder.feed(&received);
        let frame = decoder.next_frame();
        if damage.is_some() {
            if matches!(frame, Ok(Some(_))) {
                self.0
                    .books
                    .lock()
                    .fail(i12_corruption::unnoticed("a frame"));
            }
            self.0.rare.hit(Rare::DamagedFrame);
            return self.reset(from, to, generation);
        }
        match (frame, direction) {
            (Ok(Some(Frame::Request { header, body })), Direction::There) => {
                self.serve(from, to, generation, header, body);
            }
            (Ok(Some(Frame::Reply { id, body })), Direction::Back) => {
                self.deliver(from, to, generation, id, body);
            }
            (other, _) => panic!("a whole frame was sent, {other:?} came out"),
        }
    }

    /// Has a node carry out a request that has reached it.
    fn serve(&self, from: usize, to: usize, generation: u64, header: RequestHeader, body: Bytes) {
        let Some(serving) = self.serving(to) else {
            return self.reset(from, to, generation);
        };
        let request = Request::decode(body).expect("an undamaged request decodes");
        self.check_protocol(to, request.since());
        let asked = Asked::by(&request, self.0.executor.now_us());
        let placement_number = header.placement_number;
        let member = self.0.ids.get(from).map(|id| Sender {
            id: *id,
            placement_number,
        });
        let deadline = Deadline::after(
            &*serving.environment,
            u64::from(header.remaining_ms) * 1_000,
        );
        let network = self.clone();
        let group = serving.group;
        let task = async move {
            let was_late = serving.environment.now_us() >= deadline.at_us;
            let by_placement = member.filter(|_| is_by_placement(&request));
            let before = serving.node.ring().placement_number();
            let reply = serving.node.answer(member, request, deadline).await;
            let after = serving.node.ring().placement_number();
            drop(serving);
            if let (Some(from), false) = (by_placement, matches!(reply, Reply::Refused(_))) {
                let asked = from.placement_number;
                if let Err(violation) = t16_moves::check_in_step(to, asked, before, after) {
                    network.0.books.lock().fail(violation);
                }
            }
            if let Err(violation) = t24_expired::check(to, was_late, &reply) {
                network.0.books.lock().fail(violation);
            }
            network.reply(from, to, generation, header.id, &asked, &reply);
        };
        self.0.executor.spawn(group, Box::pin(task));
    }

    fn reply(
        &self,
        from: usize,
        to: usize,
        generation: u64,
        id: u64,
        asked: &Asked,
        reply: &Reply,
    ) {
        if matches!(asked, Asked::Put { .. }) && self.trip(to, CrashPoint::BeforeReply) {
            return;
        }
        self.witness_reply(to, asked, reply);
        let mut bytes = BytesMut::new();
        let reply = reply.clone().in_protocol(self.protocol_between(from, to));
        frame::append_reply(&mut bytes, id, &reply)
            .expect("simulated objects are far smaller than a frame");
        self.send(from, to, generation, &bytes.freeze(), Direction::Back);
    }

    /// Hands a reply to whoever waits for it, if the connection that it came on still stands.
    fn deliver(&self, from: usize, to: usize, generation: u64, id: u64, body: Bytes) {
        let reply = Reply::decode(body).expect("an undamaged reply decodes");
        self.check_protocol(from, reply.since());
        if matches!(reply, Reply::Pong(_)) && self.protocol_of(to) > 1 {
            self.0.rare.hit(Rare::SaidInOlderWords);
        }
        let now_us = self.0.executor.now_us();
        let mut state = self.lock();
        let Some(link) = state
            .links
            .get_mut(&(from, to))
            .filter(|link| link.generation == generation)
        else {
            return;
        };
        link.heard_us = now_us;
        if reply.reported().is_some() {
            self.0.books.lock().clocks.heard(from, to, now_us);
        }
        let Some(slot) = link.waiting.remove(&id) else {
            return;
        };
        drop(state);
        slot.complete(Ok(reply));
    }

    /// Nothing is said to anybody that its release does not know (T20).
    fn check_protocol(&self, host: usize, since: u16) {
        let spoken = self.protocol_of(host);
        if since > spoken {
            self.0.books.lock().fail(Violation::new(
                "T20",
                format!(
                    "n{host} speaks protocol {spoken} and was sent something of protocol {since}"
                ),
            ));
        }
    }

    /// A connection breaks: whatever waits on it has no answer.
    pub(crate) fn reset(&self, from: usize, to: usize, generation: u64) {
        let mut state = self.lock();
        let nodes = self.0.ids.len();
        let Some(link) = state
            .links
            .get_mut(&(from, to))
            .filter(|link| link.generation == generation)
        else {
            return;
        };
        link.generation += 1;
        // Clients connect anew with their next request; nodes have a task for that.
        link.connected = from >= nodes;
        let waiting = std::mem::take(&mut link.waiting);
        drop(state);
        for slot in waiting.into_values() {
            slot.complete(Err(CallError::NoAnswer));
        }
    }

    /// All connections from and to a host break.
    pub fn disconnect(&self, host: usize) {
        let links: Vec<(usize, usize, u64)> = {
            let state = self.lock();
            let touching = state
                .links
                .iter()
                .filter(|((from, to), _)| *from == host || *to == host);
            touching
                .map(|((from, to), link)| (*from, *to, link.generation))
                .collect()
        };
        for (from, to, generation) in links {
            self.reset(from, to, generation);
        }
    }

    /// Nobody waits for this call any more.
    pub(crate) fn forget(&self, (from, to): (usize, usize), id: u64) {
        let slot = self
            .lock()
            .links
            .get_mut(&(from, to))
            .and_then(|link| link.waiting.remove(&id));
        drop(slot);
    }

    /// What a host knows of the way to another one.
    fn link<'a>(&self, state: &'a mut State, from: usize, to: usize) -> &'a mut Link {
        let is_client = from >= self.0.ids.len();
        let links = &mut state.links;
        links
            .entry((from, to))
            .or_insert_with(|| Link::new(is_client))
    }

    /// A process that was killed within its own poll sends nothing more.
    fn is_sending(&self, host: usize) -> bool {
        match &self.lock().serving[host] {
            Some(serving) => self.0.executor.is_alive(serving.group),
            None => host >= self.0.ids.len(),
        }
    }

    fn trip(&self, host: usize, point: CrashPoint) -> bool {
        let trips = self.lock().serving[host]
            .as_ref()
            .map(|serving| serving.trips.clone());
        trips.is_some_and(|trips| trips.passes(point))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no holder of this lock panics")
    }
}
