//! The partition-aware client (§6.4): it knows the ring, and each request goes to a node that coordinates it, without a hop.
//!
//! A load balancer in front of nodes that forward costs a hop for most requests, and the nodes the work of passing them on. A client
//! that computes preference lists by itself needs neither; what it needs is the ring. It asks a node for it when it starts, another
//! one every ten seconds, and at once when a node says that the client's is old. An old ring is never wrong, only slow: a node
//! passes on what is not for it.
//!
//! | module | decides |
//! | --- | --- |
//! | [`route`] | which nodes, in which order |
//! | [`health`] | which of them can be asked now, and when again |
//! | [`hedge`] | when a second one is asked as well |
//!
//! | module | does |
//! | --- | --- |
//! | [`view`] | the ring and the nodes as of now |
//! | [`link`] | the one connection to each node |
//! | [`attempts`] | one request, until it is answered or its time is over |
//!
//! Invariants: all attempts at one write carry one operation id, which makes them one write; an error is no surer than the least sure
//! of the attempts; nothing is tried that its budget does not pay for, except what provably was not sent.
//!
//! Not here: what values mean ([`bucket`](crate::bucket)).

mod attempts;
pub(crate) mod health;
pub(crate) mod hedge;
pub(crate) mod link;
pub(crate) mod route;
pub(crate) mod view;

use crate::error::ClientError;
use crate::native::NativeClient;
use crate::retry::RetryBudget;
use hedge::{HedgeBudget, Latencies};
use link::Link;
use ringhold_core::id::{NodeId, OperationId};
use ringhold_core::ring::Ring;
pub use route::Coordination;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use tokio::task::JoinSet;
use view::View;

/// How often the ring is asked for (§6.4).
pub const REFRESH_INTERVAL: Duration = Duration::from_secs(10);
/// A ring that is not there by then is asked for elsewhere.
const RING_TIMEOUT: Duration = Duration::from_secs(2);

/// What a client does.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    pub coordination: Coordination,
    /// How long a request may take, all attempts together.
    pub timeout: Duration,
    /// Whether a second node is asked where the first takes its time to read.
    pub hedges: bool,
    /// How often the ring is asked for.
    pub refresh_interval: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            coordination: Coordination::Client,
            timeout: crate::object::TIMEOUT_DEFAULT,
            hedges: true,
            refresh_interval: REFRESH_INTERVAL,
        }
    }
}

/// What a client has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    /// Requests, however often each was tried.
    pub requests: u64,
    /// Attempts after the first.
    pub retries: u64,
    /// Reads at which a second node was asked before the first had answered.
    pub hedges: u64,
    /// Answers that the client's ring is old.
    pub stale: u64,
}

#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    retries: AtomicU64,
    hedges: AtomicU64,
    stale: AtomicU64,
}

/// A client of a whole cluster, for any number of callers; clones are one client. It ends when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    seeds: Vec<String>,
    options: ClientOptions,
    view: RwLock<Arc<View>>,
    /// Held while the ring is asked for.
    refreshing: tokio::sync::Mutex<()>,
    retries: RetryBudget,
    reads: Mutex<Reads>,
    writes: Mutex<Latencies>,
    /// Requests that go to any node.
    turn: AtomicUsize,
    counts: Counts,
    refresher: Mutex<Option<tokio::task::AbortHandle>>,
}

#[derive(Debug, Default)]
struct Reads {
    latencies: Latencies,
    hedges: HedgeBudget,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(refresher) = lock(&self.refresher).take() {
            refresher.abort();
        }
    }
}

impl Client {
    /// A client of the cluster that nodes at these addresses belong to: `host:port` of native listeners, also as
    /// `ringhold://host:port`. One that answers is enough.
    ///
    /// # Errors
    /// If nobody answers, or nobody that is a node.
    pub async fn connect<A: AsRef<str>>(seeds: &[A]) -> Result<Self, ClientError> {
        Self::connect_with(seeds, ClientOptions::default()).await
    }

    /// # Errors
    /// Likewise.
    pub async fn connect_with<A: AsRef<str>>(
        seeds: &[A],
        options: ClientOptions,
    ) -> Result<Self, ClientError> {
        let bare = |seed: &A| {
            let seed = seed.as_ref();
            seed.strip_prefix(SCHEME)
                .unwrap_or(seed)
                .trim_end_matches('/')
                .to_owned()
        };
        let inner = Arc::new(Inner {
            seeds: seeds.iter().map(bare).collect(),
            options,
            view: RwLock::default(),
            refreshing: tokio::sync::Mutex::default(),
            retries: RetryBudget::default(),
            reads: Mutex::default(),
            writes: Mutex::default(),
            turn: AtomicUsize::new(0),
            counts: Counts::default(),
            refresher: Mutex::default(),
        });
        inner.refresh(None).await?;
        inner.connect_all().await;
        let refresher = tokio::spawn(keep_fresh(Arc::downgrade(&inner)));
        *lock(&inner.refresher) = Some(refresher.abort_handle());
        Ok(Self { inner })
    }

    /// The ring that the client goes by; none if no node has told it.
    #[must_use]
    pub fn ring(&self) -> Option<Arc<Ring>> {
        self.inner.view().ring.clone()
    }

    /// What a member is called; its identity, if it is not in the ring.
    #[must_use]
    pub fn name_of(&self, node: NodeId) -> String {
        let ring = self.ring();
        let member = ring.as_ref().and_then(|ring| ring.member(node));
        member.map_or_else(|| node.to_string(), |member| member.name.clone())
    }

    /// Asks for the ring now.
    ///
    /// # Errors
    /// If no node tells it.
    pub async fn refresh(&self) -> Result<(), ClientError> {
        self.inner.refresh(None).await
    }

    #[must_use]
    pub fn done(&self) -> Done {
        let Counts {
            requests,
            retries,
            hedges,
            stale,
        } = &self.inner.counts;
        let [requests, retries, hedges, stale] =
            [requests, retries, hedges, stale].map(|count| count.load(Ordering::Relaxed));
        Done {
            requests,
            retries,
            hedges,
            stale,
        }
    }
}

/// What addresses of native listeners begin with where they could be something else.
pub const SCHEME: &str = "ringhold://";

impl Inner {
    pub(crate) fn view(&self) -> Arc<View> {
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&view)
    }

    /// Asks for the ring: the node at the other end of this connection, or else any that can be asked, or else the seeds.
    async fn refresh(&self, from: Option<&NativeClient>) -> Result<(), ClientError> {
        let before = self.view().placement_number();
        let _refreshing = self.refreshing.lock().await;
        let view = self.view();
        if from.is_some() && view.placement_number() != before {
            // Somebody else has asked while this one waited.
            return Ok(());
        }
        let turn = self.turn.load(Ordering::Relaxed);
        let any = || {
            let links: Vec<_> = view.links().collect();
            let first = turn.checked_rem(links.len()).unwrap_or(0);
            let (early, late) = links.split_at(first);
            let mut in_turn = late.iter().chain(early);
            in_turn.find_map(|link| link.ready())
        };
        let mut last = None;
        if let Some(connection) = from.cloned().or_else(any) {
            match self.learn_ring(&view, &connection).await {
                Ok(()) => return Ok(()),
                Err(error) => last = Some(error),
            }
        }
        for seed in &self.seeds {
            let dialled = NativeClient::connect_within(seed, link::nonce(), None, RING_TIMEOUT);
            let told = match dialled.await {
                Ok(connection) => self.learn_ring(&view, &connection).await,
                Err(error) => Err(error),
            };
            match told {
                Ok(()) => return Ok(()),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or(ClientError::Invalid {
            what: "the addresses of nodes",
            problem: "there are none".to_owned(),
        }))
    }

    async fn learn_ring(&self, view: &View, connection: &NativeClient) -> Result<(), ClientError> {
        let fresh = match connection.ring(view.epoch(), RING_TIMEOUT).await {
            Ok(told) => view.updated(connection, told)?,
            // Of a release that does not tell: it passes on what is not for it.
            Err(ClientError::Invalid { .. }) if view.ring.is_none() => {
                let link = Arc::new(Link::connected(connection.clone()));
                let known = view.links().filter(|known| known.node != link.node);
                Some(View::of_links(known.cloned().chain([Arc::clone(&link)])))
            }
            Err(error) => return Err(error),
        };
        if let Some(fresh) = fresh {
            *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
        }
        Ok(())
    }

    /// Has a connection to each node, or knows that there is none.
    async fn connect_all(&self) {
        let mut connecting = JoinSet::new();
        for link in self.view().links().map(Arc::clone) {
            connecting.spawn(async move { link.connect().await.ok() });
        }
        connecting.join_all().await;
    }

    fn reads(&self) -> MutexGuard<'_, Reads> {
        lock(&self.reads)
    }
}

/// Asks for the ring every so often, until the client is gone.
async fn keep_fresh(client: std::sync::Weak<Inner>) {
    loop {
        let Some(interval) = client.upgrade().map(|inner| inner.options.refresh_interval) else {
            return;
        };
        tokio::time::sleep(interval).await;
        let Some(inner) = client.upgrade() else {
            return;
        };
        // Without an answer the client goes on with the ring that it has.
        inner.refresh(None).await.ok();
        inner.turn.fetch_add(1, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A fresh name for one write.
#[must_use]
pub fn new_operation() -> OperationId {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system has randomness once it has booted");
    OperationId(u128::from_be_bytes(bytes))
}
