//! A node's way to the others, and the task that keeps it open.
//!
//! As in the real thing: a heartbeat now and then, a connection that is silent for too long is given up with
//! all that waits on it, and while there is none it is dialled again and again.

use super::Network;
use super::fate::Damage;
use super::handshake::Meeting;
use crate::invariants::i12_corruption;
use crate::random::Random;
use crate::rare::Rare;
use crate::trace::Who;
use ringhold_core::id::NodeId;
use ringhold_core::ring::Member;
use ringhold_node::env::{BoxFuture, CallError, Deadline, Environment, Peers};
use ringhold_wire::handshake::{NodeCard, ProtocolRange};
use ringhold_wire::message::peer::{Refusal, Reply, Request};
use std::sync::Arc;

const HEARTBEAT_US: u64 = 400_000;
const SILENCE_US: u64 = 1_500_000;
const REDIAL_US: u64 = 150_000;

/// The [`Peers`] of one life of one node.
pub struct SimPeers {
    network: Network,
    host: usize,
    environment: Arc<dyn Environment>,
}

impl SimPeers {
    #[must_use]
    pub fn new(network: Network, host: usize, environment: Arc<dyn Environment>) -> Self {
        Self {
            network,
            host,
            environment,
        }
    }

    fn host_of(&self, node: NodeId) -> Option<usize> {
        self.network.0.ids.iter().position(|id| *id == node)
    }
}

impl Peers for SimPeers {
    fn call(
        &self,
        to: NodeId,
        _placement_number: u64,
        request: Request,
        deadline: Deadline,
    ) -> BoxFuture<'static, Result<Reply, CallError>> {
        let left_us = deadline.left_us(&*self.environment);
        let until_us = self.network.0.executor.now_us().saturating_add(left_us);
        let sent = self.host_of(to).ok_or(CallError::NotSent);
        if let Ok(to) = sent
            && request.since() > self.network.protocol_between(self.host, to)
        {
            self.network.0.rare.hit(Rare::TooNewToSend);
            let refused = Ok(Reply::Refused(Refusal::OlderProtocol));
            return Box::pin(std::future::ready(refused));
        }
        match sent.and_then(|to| self.network.call(self.host, to, &request, until_us, 0)) {
            Ok(call) => Box::pin(call),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    fn connected(&self, node: NodeId) -> bool {
        let Some(to) = self.host_of(node) else {
            return false;
        };
        self.network
            .lock()
            .links
            .get(&(self.host, to))
            .is_some_and(|link| link.connected)
    }

    /// Every machine tries to reach every other one all the time.
    fn follow(&self, _members: &[Member]) {}
}

/// Keeps the link from one node to another alive, for as long as the process lives.
pub async fn keep_connected(network: Network, from: usize, to: usize) {
    let executor = network.0.executor.clone();
    loop {
        let pause_us = match network.health(from, to) {
            Health::Heard => {
                network.beat(from, to);
                HEARTBEAT_US
            }
            Health::Silent(generation) => {
                network.reset(from, to, generation);
                REDIAL_US
            }
            Health::Broken => {
                network.dial(from, to);
                REDIAL_US
            }
        };
        let jittered_us = pause_us / 2 + network.0.random.lock().below(pause_us);
        executor.sleep(jittered_us).await;
    }
}

enum Health {
    Heard,
    /// With the connection's generation.
    Silent(u64),
    Broken,
}

impl Network {
    fn health(&self, from: usize, to: usize) -> Health {
        let now_us = self.0.executor.now_us();
        let mut state = self.lock();
        let link = self.link(&mut state, from, to);
        if !link.connected {
            return Health::Broken;
        }
        if now_us.saturating_sub(link.heard_us) > SILENCE_US {
            return Health::Silent(link.generation);
        }
        Health::Heard
    }

    /// Asks for a sign of life; what it says is noted where replies arrive.
    fn beat(&self, from: usize, to: usize) {
        let until_us = self.0.executor.now_us() + SILENCE_US;
        if let Ok(call) = self.call(from, to, &Request::Ping, until_us, 0) {
            self.0.executor.spawn(
                crate::executor::Group::WORLD,
                Box::pin(async move {
                    // A late answer and none are the same to a heartbeat.
                    drop(call.await);
                }),
            );
        }
    }

    /// Tries to connect: there and back must be open, and somebody must take the call.
    fn dial(&self, from: usize, to: usize) {
        let (there_us, back_us) = {
            let mut random = self.0.random.lock();
            let state = self.lock();
            let slowness = (state.ways[from][to].slowness, state.ways[to][from].slowness);
            (
                random.around(super::DELAY_US) * slowness.0,
                random.around(super::DELAY_US) * slowness.1,
            )
        };
        let now_us = self.0.executor.now_us();
        let network = self.clone();
        self.0.executor.call_at(now_us + there_us, move || {
            let accepted = !network.lock().ways[from][to].blocked
                && network
                    .serving(to)
                    .is_some_and(|serving| network.0.executor.is_running(serving.group))
                && network.shake_hands(from, to);
            if accepted {
                let caller = network.clone();
                network
                    .0
                    .executor
                    .call_at(now_us + there_us + back_us, move || {
                        caller.connected(from, to);
                    });
            }
        });
    }

    /// The handshake of two nodes; false if no connection comes of it.
    fn shake_hands(&self, from: usize, to: usize) -> bool {
        let (Some(dialer), Some(listener)) = (self.serving(from), self.serving(to)) else {
            return false;
        };
        let flipped = self.lock().weather.flipped;
        let mut random = self.0.random.lock();
        let damage = random.chance(flipped).then(|| {
            let damage = Damage::Flip(random.index(1 << 16), random.index(8));
            (random.index(3), damage)
        });
        let mut nonce = || {
            let mut nonce = [0; 32];
            nonce[..16].copy_from_slice(&random.next_u128().to_le_bytes());
            nonce
        };
        let nonces = [nonce(), nonce()];
        drop(random);
        let ring = listener.node.ring();
        let members: Vec<NodeId> = ring.members().iter().map(|member| member.id).collect();
        let meeting = Meeting {
            dialer: &dialer.node.card(&format!("n{from}")),
            wanted: self.0.ids[to],
            listener: &listener.node.card(&format!("n{to}")),
            protocols: [from, to].map(|host| ProtocolRange::up_to(self.protocol_of(host))),
            members: &members,
            nonces,
            damage,
        };
        match meeting.succeeds() {
            Ok(()) => {
                if damage.is_some() {
                    self.0
                        .books
                        .lock()
                        .fail(i12_corruption::unnoticed("a handshake"));
                }
                true
            }
            Err(reason) => {
                self.0.rare.hit(Rare::HandshakeFailed);
                self.0.trace.event(Who::Node(from), "turned away", || {
                    format!("by n{to}: {reason}")
                });
                false
            }
        }
    }

    /// The handshake of a node with one that it takes for another; why no connection comes of it.
    ///
    /// # Errors
    /// Says who refused whom.
    pub fn meet_by_mistake(
        &self,
        dialer: &NodeCard,
        listener: &NodeCard,
        random: &mut Random,
    ) -> Result<(), String> {
        let mut nonce = || {
            let mut nonce = [0; 32];
            nonce[..16].copy_from_slice(&random.next_u128().to_le_bytes());
            nonce
        };
        let meeting = Meeting {
            dialer,
            wanted: listener.node,
            listener,
            protocols: [ProtocolRange::SPOKEN; 2],
            members: &self.0.ids,
            nonces: [nonce(), nonce()],
            damage: None,
        };
        meeting.succeeds()
    }

    fn connected(&self, from: usize, to: usize) {
        let now_us = self.0.executor.now_us();
        let mut state = self.lock();
        let Some(caller) = state.serving[from].clone() else {
            return;
        };
        if state.ways[to][from].blocked || state.serving[to].is_none() {
            return;
        }
        let link = self.link(&mut state, from, to);
        link.connected = true;
        link.heard_us = now_us;
        drop(state);
        // Who was away may have missed what members are told.
        let (member, group) = (self.0.ids[to], caller.group);
        let greeting = async move { caller.node.greet(member).await };
        self.0.executor.spawn(group, Box::pin(greeting));
    }
}
