//! One node: its part of the ring, its replica, its way to the others.
//!
//! Everything that a node decides or does between its clients, its peers and its disk goes through here;
//! listeners, sockets and clocks are the host's.

use crate::admission::{self, Admission};
use crate::anti_entropy::{self, Pace};
use crate::background::{self, Background};
use crate::clock_guard::ClockGuard;
use crate::coordinator::plan::Placement;
use crate::coverage;
use crate::disk_guard::{self, DiskGuard};
use crate::env::{BoxFuture, CallError, Deadline, Environment, Peers};
use crate::front_door::FrontDoor;
use crate::hints::{self, Debts, HintGauge};
use crate::membership::gossiping::{self, Gossiping};
use crate::membership::{self, Agreement, Documents, RingRefused, Transfers, Whereabouts, latest};
use crate::metrics::Metrics;
use crate::peer_health::{self, PeerHealth, PeerView};
use crate::properties::Properties;
use crate::property_table::{PropertyTable, PropertyTableError};
use crate::reaping::{self, Homecomings, Reaping, ReapingView, Standstill};
use crate::rebuild::{self, Rebuild};
use crate::replica::writer::Row;
use crate::replica::{ObjectLimits, Replica};
use crate::replication;
use crate::scrub;
use arc_swap::ArcSwap;
use bytes::Bytes;
use ringhold_core::boot::Boot;
use ringhold_core::health::admission::Settings as BackgroundSettings;
use ringhold_core::health::{HedgeDelay, Standing, Watermarks};
use ringhold_core::id::{BootId, NodeId};
use ringhold_core::ring::{Addresses, Ring};
use ringhold_core::tree::TreeKey;
use ringhold_core::version::TokenKey;
use ringhold_storage::{OpenReport, Opened, ReadError, Sorting, Store};
use ringhold_wire::handshake::{NodeCard, ProtocolRange};
use ringhold_wire::message::ObjectName;
use ringhold_wire::message::peer::{Reply, Request};
use std::fmt;
use std::sync::Arc;
use tokio::sync::{Notify, Semaphore};

/// Repairs under way at once on this node. Enough to keep up with a replica that was away, few enough to
/// stay out of the way of puts.
const REPAIRS_MAX: usize = 64;

/// What an operator may set.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// What this node speaks with the others.
    pub protocols: ProtocolRange,
    /// A read whose replica is silent for longer than 95 of 100 answers take asks another one as well, within these
    /// bounds.
    pub hedge: HedgeDelay,
    /// How long the replicas of a put are waited for, whether or not its client has its answer. Microseconds.
    pub put_tail_us: u64,
    pub limits: ObjectLimits,
    /// What may be kept for other nodes, in bytes; at this bound the node stands in for nobody.
    pub hint_bytes_max: u64,
    /// How often replicas compare what they have.
    pub anti_entropy: Pace,
    /// Reads, and writes, of clients that may be under way at once, however fast they are.
    pub client_requests_max: u32,
    /// How far this node's wall clock may be from the median of its peers' before it coordinates no puts, in microseconds.
    pub clock_drift_us_max: u64,
    /// How full the disk may get before the node takes less.
    pub watermarks: Watermarks,
    /// How much of the time work that nobody waits for may have.
    pub background: BackgroundSettings,
    /// When tombstones may go.
    pub reaping: Reaping,
    /// Properties of buckets that have no overrides.
    pub default_properties: Properties,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            protocols: ProtocolRange::SPOKEN,
            hedge: HedgeDelay {
                us_min: 2_000,
                us_max: 50_000,
            },
            put_tail_us: 10_000_000,
            limits: ObjectLimits::default(),
            hint_bytes_max: 1 << 30,
            anti_entropy: Pace::default(),
            client_requests_max: 4_096,
            clock_drift_us_max: 5_000_000,
            watermarks: Watermarks::default(),
            background: BackgroundSettings::default(),
            reaping: Reaping::default(),
            default_properties: Properties::default(),
        }
    }
}

/// What a node is made of.
pub struct Parts {
    pub id: NodeId,
    /// The one that the node was founded or enrolled with; the store may know a later one.
    pub ring: Arc<Ring>,
    pub environment: Arc<dyn Environment>,
    pub peers: Arc<dyn Peers>,
    /// Where others reach it; none if that is where the ring document says.
    pub addresses: Option<Addresses>,
    /// This start of the process.
    pub boot: BootId,
    /// The store as it was opened; its flusher is spawned here.
    pub opened: Opened,
    pub token_key: TokenKey,
    /// Of the digests under the hash trees; the one that the store was opened with.
    pub tree_key: TreeKey,
    pub tuning: Tuning,
}

/// Why a node did not start. The store is as it was.
#[derive(Debug)]
pub enum StartError {
    /// The bucket properties in the store can't be read.
    Properties(PropertyTableError),
    /// The ring document is not one that this store may be served with.
    Ring(RingRefused),
    /// What the store keeps for other nodes can't be counted.
    Hints(ReadError),
    /// Whether the store is whole can't be read.
    Completeness(ReadError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Properties(error) => error.fmt(f),
            Self::Ring(error) => error.fmt(f),
            Self::Hints(error) => write!(f, "the hints in the store can't be read: {error}"),
            Self::Completeness(error) => {
                write!(
                    f,
                    "what the store says of its own completeness can't be read: {error}"
                )
            }
        }
    }
}

impl std::error::Error for StartError {}

pub struct Node {
    pub(crate) id: NodeId,
    ring: ArcSwap<Ring>,
    pub(crate) documents: Documents,
    pub(crate) agreement: Agreement,
    pub(crate) whereabouts: Whereabouts,
    pub(crate) transfers: Transfers,
    pub(crate) environment: Arc<dyn Environment>,
    pub(crate) peers: Arc<dyn Peers>,
    pub(crate) health: PeerHealth,
    pub(crate) replica: Arc<Replica>,
    pub(crate) properties: PropertyTable,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) repairs: Arc<Semaphore>,
    pub(crate) background: Arc<Background>,
    pub(crate) clock_guard: ClockGuard,
    pub(crate) disk: Arc<DiskGuard>,
    pub(crate) front_door: FrontDoor,
    pub(crate) admission: Admission,
    pub(crate) debts: Debts,
    pub(crate) rebuild: Arc<Rebuild>,
    pub(crate) homecomings: Homecomings,
    pub(crate) gossiping: Gossiping,
    pub(crate) standstill: Standstill,
    pub(crate) coverage: coverage::Turns,
    /// Places for changes of N that wait for the end of another one.
    pub(crate) replicating: Semaphore,
    pub(crate) reaping: reaping::Views,
    pub(crate) tree_key: TreeKey,
    /// How the sums under the hash trees are sorted by the ring in use.
    pub(crate) sorting: ArcSwap<Sorting>,
    pub(crate) tuning: Tuning,
    token_key: TokenKey,
}

impl Node {
    /// Starts a node's tasks over an open store.
    ///
    /// # Errors
    /// See [`StartError`]; nothing runs then but the flusher.
    pub fn start(parts: Parts) -> Result<Arc<Self>, StartError> {
        let Parts {
            id,
            ring,
            environment,
            peers,
            addresses,
            boot,
            opened,
            token_key,
            tree_key,
            tuning,
        } = parts;
        let Opened {
            store,
            writers,
            flusher,
            report,
        } = opened;
        let (ring, new_ring) = latest(&store, id, &ring).map_err(StartError::Ring)?;
        let sorting = Arc::new(replication::sorting(&tree_key, &ring));
        store.sort(Sorting::clone(&sorting));
        let default_properties = properties_by(&ring, &tuning);
        let properties = PropertyTable::load(&store, &ring, default_properties)
            .map_err(StartError::Properties)?;
        let hints = HintGauge::count(&store).map_err(StartError::Hints)?;
        let rebuild = Rebuild::of(&store, id).map_err(StartError::Completeness)?;
        let rebuild = Arc::new(rebuild);
        let transfers = Transfers::of(&store, id).map_err(StartError::Completeness)?;
        let whereabouts =
            Whereabouts::of(&store, &ring, addresses).map_err(StartError::Completeness)?;
        let agreement = Agreement::of(&store, id, ring.document().epoch);
        let number = store.identity().boot_number;
        environment.spawn_vital(Box::pin(flusher));
        let metrics = Arc::new(Metrics::default());
        let due = Arc::new(Notify::new());
        let disk = Arc::new(DiskGuard::new(tuning.watermarks));
        let replica = Arc::new(Replica::start(
            &environment,
            store,
            writers,
            Arc::new(hints),
            Arc::clone(&disk),
            Arc::clone(&metrics),
            &due,
        ));
        environment.spawn_vital(Box::pin(crate::checkpoint::run(
            Arc::clone(&environment),
            Arc::clone(replica.store()),
            due,
            Arc::clone(&metrics),
        )));
        let others = ring.members().iter();
        let others = others.filter(|member| member.id != id && !member.state.is_gone());
        let others: Vec<NodeId> = others.map(|member| member.id).collect();
        let front_door = FrontDoor::new(&environment, tuning.client_requests_max);
        let clock_guard = ClockGuard::new(&*environment, others.len(), tuning.clock_drift_us_max);
        let health = PeerHealth::new(others.into_iter(), environment.now_us(), tuning.hedge);
        let (world, counters) = (Arc::clone(&environment), Arc::clone(&metrics));
        let background = Background::new(world, counters, tuning.background);
        let homecomings = Homecomings::since_start(&*environment);
        let gossiping = Gossiping::new(id, &*environment);
        let standstill = Standstill::since_start(&*environment, tuning.reaping.settle_us);
        let node = Arc::new(Self {
            id,
            documents: Documents::new(),
            agreement,
            whereabouts,
            transfers,
            ring: ArcSwap::new(ring),
            environment: Arc::clone(&environment),
            peers,
            health,
            replica,
            properties,
            metrics,
            background: Arc::new(background),
            clock_guard,
            disk,
            front_door,
            repairs: Arc::new(Semaphore::new(REPAIRS_MAX)),
            admission: Admission::new(Boot { number, id: boot }),
            debts: Debts::default(),
            rebuild,
            homecomings,
            gossiping,
            standstill,
            coverage: coverage::Turns::default(),
            replicating: Semaphore::new(replication::WAITING_MAX),
            reaping: reaping::Views::default(),
            tree_key,
            sorting: ArcSwap::new(sorting),
            tuning,
            token_key,
        });
        node.follow(&node.ring());
        node.spawn_tasks(new_ring, report);
        Ok(node)
    }

    /// What goes on beside requests, for as long as the node lives.
    fn spawn_tasks(self: &Arc<Self>, new_ring: Option<Row>, report: OpenReport) {
        let spawn = |task: BoxFuture<'static, ()>| self.environment.spawn(task);
        let around = || (Arc::downgrade(self), Arc::clone(&self.environment));
        let pace = self.tuning.anti_entropy;
        let (node, environment) = around();
        spawn(Box::pin(background::run(node, environment)));
        let (node, environment) = around();
        spawn(Box::pin(disk_guard::run(node, environment)));
        let (node, environment) = around();
        spawn(Box::pin(hints::run(node, environment)));
        let (node, environment) = around();
        spawn(Box::pin(anti_entropy::run(node, environment, pace)));
        let (node, environment) = around();
        let in_doubt = Arc::clone(&self.rebuild);
        spawn(Box::pin(rebuild::run(node, in_doubt, environment)));
        let (node, environment) = around();
        let pause_us = self.tuning.reaping.pause_us;
        spawn(Box::pin(reaping::run(node, environment, pause_us)));
        let (node, environment) = around();
        spawn(Box::pin(membership::run_transfers(node, environment)));
        let (node, environment) = around();
        spawn(Box::pin(membership::run_strays(node, environment)));
        let (node, environment) = around();
        spawn(Box::pin(scrub::run(node, environment, pace.scrub_us)));
        let (node, environment) = around();
        spawn(Box::pin(coverage::mend_rows(
            node,
            environment,
            pace.scrub_us,
        )));
        let (node, environment) = around();
        spawn(Box::pin(replication::run(node, environment)));
        let (node, environment) = around();
        spawn(Box::pin(gossiping::run(node, environment)));
        let node = Arc::clone(self);
        spawn(Box::pin(admission::run(node, new_ring, report)));
        let (node, environment) = around();
        spawn(Box::pin(peer_health::beat(node, environment)));
    }

    #[must_use]
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The ring that this node serves by. Another one may be in its place a moment later, so whatever belongs together
    /// asks once.
    #[must_use]
    pub fn ring(&self) -> Arc<Ring> {
        self.ring.load_full()
    }

    pub(crate) fn set_ring(&self, ring: Arc<Ring>) {
        self.ring.store(ring);
    }

    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        self.replica.store()
    }

    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    #[must_use]
    pub fn token_key(&self) -> &TokenKey {
        &self.token_key
    }

    #[must_use]
    pub fn environment(&self) -> &Arc<dyn Environment> {
        &self.environment
    }

    /// This start of the process.
    #[must_use]
    pub fn boot(&self) -> BootId {
        self.admission.boot().id
    }

    /// What this node says of itself when it connects, or is connected to.
    #[must_use]
    pub fn card(&self, name: &str) -> NodeCard {
        let ring = self.ring();
        let document = ring.document();
        NodeCard {
            cluster: document.cluster_id,
            node: self.id,
            incarnation: self.store().identity().incarnation,
            boot: self.boot(),
            epoch: document.epoch.0,
            placement_number: document.placement.placement_number,
            ring: document.hash().0,
            name: Bytes::copy_from_slice(name.as_bytes()),
        }
    }

    /// Whether this node knows under which name it may coordinate writes.
    #[must_use]
    pub fn is_admitted(&self) -> bool {
        self.admission.is_admitted()
    }

    /// How requests to `node` fare, as far as this node knows.
    #[must_use]
    pub fn standing(&self, node: NodeId) -> Standing {
        if node == self.id {
            return Standing::Up;
        }
        if !self.peers.connected(node) {
            return Standing::Down;
        }
        self.health.standing(node)
    }

    /// Whether requests to `node` are answered, as far as this node knows.
    #[must_use]
    pub fn is_reachable(&self, node: NodeId) -> bool {
        self.standing(node) != Standing::Down
    }

    /// What this node's experience says of a peer; `None` for itself and for strangers.
    #[must_use]
    pub fn peer_view(&self, node: NodeId) -> Option<PeerView> {
        self.health.view(node, self.environment.now_us())
    }

    /// How far this node has come with the tombstones that it is to reap.
    #[must_use]
    pub fn reaping_view(&self) -> ReapingView {
        self.reaping.view()
    }

    /// How long a read waits for a replica before it asks another one as well, in microseconds.
    #[must_use]
    pub fn hedge_us(&self) -> u64 {
        self.health.hedge_us()
    }

    /// The part of the ring that a request has, with the replicas that its bucket has, or that it names itself.
    pub(crate) fn placement(
        &self,
        name: ObjectName,
        own_n: Option<u32>,
        primaries_only: bool,
    ) -> Placement {
        let ring = self.ring();
        let replicas = Self::replicas_of(&ring, &name, own_n);
        let nearness = |node| (self.standing(node), self.health.latency_us(node));
        Placement::new(ring, self.id, nearness, name, replicas, primaries_only)
    }

    /// Asks a node, which may be this one, to do something by the newest placement that either knows.
    pub(crate) fn call(
        self: &Arc<Self>,
        to: NodeId,
        request: Request,
        deadline: Deadline,
    ) -> BoxFuture<'static, Result<Reply, CallError>> {
        if to != self.id {
            return self.call_in_step(to, request, deadline);
        }
        let node = Arc::clone(self);
        Box::pin(async move { Ok(node.answer(None, request, deadline).await) })
    }

    /// Asks another node, whatever placement it knows.
    pub(crate) fn call_as_is(
        self: &Arc<Self>,
        to: NodeId,
        request: Request,
        deadline: Deadline,
    ) -> BoxFuture<'static, Result<Reply, CallError>> {
        peer_health::call(self, to, request, deadline)
    }
}

/// What buckets have that set nothing: as this node is configured, but for the replicas, of which the ring says how many.
fn properties_by(ring: &Ring, tuning: &Tuning) -> Properties {
    let n = u32::from(ring.document().placement.replication.default);
    let configured = tuning.default_properties.n_val;
    if configured != n {
        tracing::warn!(
            configured,
            n,
            "the configured default_bucket.n_val is not the cluster's, which is followed: it counts when a cluster is founded"
        );
    }
    Properties {
        n_val: n,
        ..tuning.default_properties.clone()
    }
}
