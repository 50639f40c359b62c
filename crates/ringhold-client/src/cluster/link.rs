//! The one connection to one node: made when it is wanted, made again after it broke, by one caller for all.
//!
//! A request uses a connection that is there. If there is none, it has one made in the background and goes to another node meanwhile;
//! only a request that finds no node connected waits for connecting. So a node that is down costs nobody time.
//!
//! Whoever answers at an address has to be the node that is wanted: an address is only where a node is reached, and another
//! one may have it now.

use super::health::Health;
use crate::error::{ClientError, Doubt};
use crate::native::NativeClient;
use ringhold_core::id::{ClusterId, NodeId};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Whoever is not connected by then is tried again later.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A node, as far as connections go.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) node: NodeId,
    pub(crate) address: String,
    cluster: Option<ClusterId>,
    started: Instant,
    state: Mutex<State>,
    /// Held while one is made.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    connection: Option<NativeClient>,
    health: Health,
    is_connecting: bool,
}

impl Link {
    pub(crate) fn new(node: NodeId, address: &str, cluster: Option<ClusterId>) -> Self {
        Self {
            node,
            address: address.to_owned(),
            cluster,
            started: Instant::now(),
            state: Mutex::default(),
            connecting: tokio::sync::Mutex::new(()),
        }
    }

    /// With a connection that was made before anybody knew whose it is.
    pub(crate) fn connected(connection: NativeClient) -> Self {
        let card = connection.card();
        let link = Self::new(card.node, connection.address(), Some(card.cluster));
        link.state().connection = Some(connection);
        link
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The connection, if there is one and the node is worth asking. If there is none, one is made in the background.
    pub(crate) fn ready(self: &Arc<Self>) -> Option<NativeClient> {
        let now_us = self.now_us();
        let mut state = self.state();
        let connection = open(&mut state, now_us);
        if connection.is_some() {
            return connection.filter(|_| state.health.admits(now_us));
        }
        if !state.is_connecting && state.health.admits(now_us) {
            state.is_connecting = true;
            let link = Arc::clone(self);
            tokio::spawn(async move {
                // Who wants the node next is told what came of it.
                link.connect().await.ok();
                link.state().is_connecting = false;
            });
        }
        None
    }

    /// The connection, or a new one, whatever is known of the node.
    pub(crate) async fn connect(&self) -> Result<NativeClient, ClientError> {
        let _connecting = self.connecting.lock().await;
        if let Some(connection) = open(&mut self.state(), self.now_us()) {
            return Ok(connection);
        }
        let dialled =
            NativeClient::connect_within(&self.address, nonce(), self.cluster, CONNECT_TIMEOUT);
        let dialled = dialled.await.and_then(|connection| self.check(connection));
        let mut state = self.state();
        match &dialled {
            Ok(connection) => {
                state.health.answered();
                state.connection = Some(connection.clone());
            }
            Err(_) => state.health.failed(self.now_us(), chance()),
        }
        dialled
    }

    fn check(&self, connection: NativeClient) -> Result<NativeClient, ClientError> {
        let found = connection.card().node;
        if found == self.node {
            return Ok(connection);
        }
        let problem = format!("the node there is {found}, and not {}", self.node);
        Err(ClientError::Unreachable {
            url: self.address.clone(),
            error: io::Error::other(problem),
        })
    }

    /// Learns from how a request ended on a connection of this link.
    pub(crate) fn learn<T>(&self, result: &Result<T, ClientError>) {
        let now_us = self.now_us();
        let mut state = self.state();
        match result {
            Ok(_) => state.health.answered(),
            Err(ClientError::Unknown {
                doubt: Doubt::TimedOut { .. },
                ..
            }) => state.health.was_silent(now_us, chance()),
            // Many requests may have been on it; it broke once.
            Err(_) => drop(open(&mut state, now_us)),
        }
    }

    /// Another node answered what this one was asked first.
    pub(crate) fn was_overtaken(&self) {
        let now_us = self.now_us();
        self.state().health.was_silent(now_us, chance());
    }
}

/// The connection, if it stands; one that has ended goes, once.
fn open(state: &mut State, now_us: u64) -> Option<NativeClient> {
    if state
        .connection
        .as_ref()
        .is_some_and(NativeClient::is_closed)
    {
        state.connection = None;
        state.health.failed(now_us, chance());
    }
    state.connection.clone()
}

pub(crate) fn nonce() -> [u8; 32] {
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce).expect("the operating system has randomness once it has booted");
    nonce
}

fn chance() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the operating system has randomness once it has booted");
    u64::from_be_bytes(bytes)
}
