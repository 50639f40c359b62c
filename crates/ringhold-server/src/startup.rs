//! Starting and stopping.
//!
//! In this order: the configuration is checked, the ports are taken, the directory says who this node is (or a member does, where it joins),
//! the store recovers, the node starts, members are dialled, the doors open. Stopping goes the other way: the doors
//! close, requests in flight get a little time, the store is closed cleanly. A node that left its cluster, or was removed from it, stops by itself.

use crate::config::{Config, ConfigError, Engine as EngineKind};
use crate::data_dir::{self, DataDirError, Membership};
use crate::door::NodeDoor;
use crate::edge::{Capacity, Limits};
use crate::environment::{TokioEnvironment, random_bits};
use crate::founding::{Founding, FoundingError};
use crate::http;
use crate::join::{self, Join, JoinError};
use crate::listener::{self, Stopped};
use crate::pb;
use crate::peers::{self, Dialler, Door, Identity, Links, PeerTls, Serving};
use crate::riak_stats::LastMinute;
use ringhold_core::health::Watermarks;
use ringhold_core::health::admission::{Settings as BackgroundSettings, Target};
use ringhold_core::id::BootId;
use ringhold_core::ring::{Addresses, MemberState};
use ringhold_core::tree::TreeKey;
use ringhold_core::version::TokenKey;
use ringhold_fjall::FjallEngine;
use ringhold_node::env::{Environment, Peers};
use ringhold_node::properties::{Durability, Properties};
use ringhold_node::trees::RecordDigests;
use ringhold_node::{Node, ObjectLimits, Pace, Parts, Reaping, StartError, Tuning, given_up};
use ringhold_storage::{
    Engine, EngineError, LmdbEngine, MemoryEngine, OpenError, Opened, OsFiles, Poisoned, Store,
    StoreOptions,
};
use ringhold_wire::handshake::ProtocolRange;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};

/// How often a node looks whether its store still takes writes.
const STORE_LOOK: Duration = Duration::from_millis(100);

/// What differs is looked at again after the time of a put, and so much longer.
const SETTLING_MS: u64 = 2_000;

/// Why a node does not run. Its message says what to do.
#[derive(Debug)]
pub enum ServeError {
    Runtime(io::Error),
    Config(ConfigError),
    Founding(FoundingError),
    DataDir(DataDirError),
    Join(JoinError),
    /// A port can't be taken.
    Listen {
        key: &'static str,
        address: SocketAddr,
        error: io::Error,
    },
    Files(io::Error),
    Engine(EngineError),
    Open(OpenError),
    Start(StartError),
    /// The store has failed while the node ran. Whatever was acknowledged is in the log.
    StoreFailed(Poisoned),
    /// The members have removed this node, which had not asked for it. Its store was closed cleanly.
    Removed {
        epoch: u64,
    },
    /// The others have gone on without this node. Its store was closed cleanly.
    GivenUp {
        epoch: u64,
        recovery: usize,
    },
    /// The node ran, but its store could not be closed cleanly.
    Close(Poisoned),
}

impl std::fmt::Display for ServeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Runtime(error) => write!(f, "the system gave no threads or signals: {error}"),
            Self::Config(error) => write!(f, "{error}"),
            Self::Founding(error) => write!(f, "{error}"),
            Self::DataDir(error) => write!(f, "{error}"),
            Self::Join(error) => write!(f, "{error}"),
            Self::Listen {
                key,
                address,
                error,
            } => {
                write!(
                    f,
                    "{key} = {address} can't be listened on: {error}; choose another address, or end who holds it"
                )
            }
            Self::Files(error) => write!(
                f,
                "the log's directory can't be opened: {error}; is another node running on it?"
            ),
            Self::Engine(error) => write!(f, "the storage engine can't be opened: {error}"),
            Self::Open(error) => write!(f, "the store can't be opened: {error}"),
            Self::Start(error) => write!(f, "{error}"),
            Self::StoreFailed(reason) => write!(
                f,
                "the store has failed: {reason}; a restart recovers what was acknowledged"
            ),
            Self::Removed { epoch } => write!(
                f,
                "the cluster has removed this node (epoch {epoch} says so); what it still holds nobody asks for any more. \
                 To use this machine, empty its data directory and join as a new node"
            ),
            Self::GivenUp { epoch, recovery } => f.write_str(&given_up(*epoch, *recovery)),
            Self::Close(error) => write!(
                f,
                "the store could not be closed cleanly: {error}; the next start recovers it"
            ),
        }
    }
}

impl std::error::Error for ServeError {}

/// One node's life.
pub(crate) async fn run(config: Config, joining: Option<Join>) -> Result<(), ServeError> {
    config.check().map_err(ServeError::Config)?;
    let listeners = Listeners::bind(&config).await?;
    let membership = membership_of(&config, joining.as_ref(), &listeners).await?;
    let environment: Arc<dyn Environment> = Arc::new(TokioEnvironment::new(
        tokio::runtime::Handle::current(),
        config.data_dir.clone(),
    ));

    let opened = open_store(&config, &membership).await?;
    if config.storage.engine != EngineKind::Memory {
        let store = opened.store.identity().store_id;
        data_dir::claim_store(&config.data_dir, store.0).map_err(ServeError::DataDir)?;
    }
    let store = Arc::clone(&opened.store);
    let links = Links::new(membership.node, Arc::clone(&environment));
    let addresses = listeners.present_addresses(&membership)?;
    let node = Node::start(Parts {
        id: membership.node,
        ring: Arc::clone(&membership.ring),
        environment: Arc::clone(&environment),
        peers: Arc::clone(&links) as Arc<dyn Peers>,
        addresses,
        boot: BootId(random_bits()),
        opened,
        token_key: TokenKey::new(&membership.secret, None),
        tree_key: TreeKey::new(&membership.secret),
        tuning: tuning_of(&config),
    });
    let node = node.map_err(ServeError::Start)?;
    let tls = config.peer_tls_is_on().then(|| peer_tls(&membership));
    links.dial(Dialler {
        node: Arc::downgrade(&node),
        name: config.name.clone(),
        secret: membership.secret,
        protocols: ProtocolRange::up_to(config.peer_protocol_max),
        tls: tls.as_ref().map(|tls| tls.dialing.clone()),
        connect: Duration::from_millis(config.timeouts.connect_ms),
        silence: Duration::from_millis(config.timeouts.peer_silence_ms),
    });
    for seed in config.seed_addresses() {
        tokio::spawn(peers::seek(seed, Arc::clone(&links)));
    }

    let (stop, stopping) = watch::channel(false);
    let connections = Arc::new(Semaphore::new(
        usize::try_from(config.limits.connections).unwrap_or(usize::MAX),
    ));
    let doors = open_doors(
        &config,
        listeners,
        &node,
        membership.secret,
        tls.as_ref(),
        &connections,
        &stopping,
    );
    tracing::info!(
        name = config.name, id = %node.id(), http = %config.listen.http, peer = %config.listen.peer,
        peer_tls = config.peer_tls_is_on(),
        native = %config.listen.native, epoch = node.ring().document().epoch.0, "ready"
    );
    let removal = tokio::select! {
        signal = wait_for_signal() => signal.map(|()| None)?,
        removal = removal(&node) => Some(removal),
        reason = store_failure(&store) => {
            tracing::error!(%reason, "the store has failed: the node steps down");
            return Err(ServeError::StoreFailed(reason));
        }
    };
    if removal.is_some() {
        node.hand_on_ring().await;
    }

    tracing::info!("stopping: no new requests; those in flight are finished");
    stop.send(true).ok();
    let patience = Duration::from_millis(config.timeouts.shutdown_ms);
    if tokio::time::timeout(patience, doors).await.is_err() {
        tracing::warn!("some requests were cut off");
    }
    store.close().await.map_err(ServeError::Close)?;
    tracing::info!("stopped cleanly");
    removal.map_or(Ok(()), |removal| removal.told())
}

/// How a node's membership ended.
struct Removal {
    epoch: u64,
    /// It was told to leave, and has handed over everything.
    has_left: bool,
    /// The recovery that gave it up, if it was one.
    recovery: Option<usize>,
}

impl Removal {
    fn told(&self) -> Result<(), ServeError> {
        let epoch = self.epoch;
        if let Some(recovery) = self.recovery {
            return Err(ServeError::GivenUp { epoch, recovery });
        }
        if !self.has_left {
            return Err(ServeError::Removed { epoch });
        }
        tracing::info!(
            epoch,
            "this node has left the cluster: all that it held is with others, and its data directory may be deleted"
        );
        Ok(())
    }
}

/// Ends when this node is no member any more.
async fn removal(node: &Arc<Node>) -> Removal {
    let mut has_left = false;
    loop {
        let ring = node.ring();
        let epoch = ring.document().epoch.0;
        match ring.member(node.id()).map(|member| member.state) {
            None | Some(MemberState::Removed | MemberState::Lost) => {
                return Removal {
                    epoch,
                    has_left,
                    recovery: ring.document().given_up_in(node.id()),
                };
            }
            Some(state) => has_left = state == MemberState::Leaving,
        }
        node.ring_after(epoch).await;
    }
}

/// Who this node is: its directory says so, or the founding list, or a member of the cluster that it joins.
async fn membership_of(
    config: &Config,
    joining: Option<&Join>,
    listeners: &Listeners,
) -> Result<Membership, ServeError> {
    if let Some(request) = joining {
        let addresses = listeners.addresses()?;
        let joined = join::join(config, addresses, request).await;
        return joined.map_err(ServeError::Join);
    }
    let founding = config
        .founding
        .as_deref()
        .map(Founding::load)
        .transpose()
        .map_err(ServeError::Founding)?;
    data_dir::open(&config.data_dir, founding.as_ref(), &config.name).map_err(ServeError::DataDir)
}

struct Listeners {
    http: TcpListener,
    peer: TcpListener,
    native: TcpListener,
    /// None where it is switched off.
    pb: Option<TcpListener>,
}

impl Listeners {
    async fn bind(config: &Config) -> Result<Self, ServeError> {
        let bind = async |key, address| {
            listener::bind(address).map_err(|error| ServeError::Listen {
                key,
                address,
                error,
            })
        };
        Ok(Self {
            http: bind("listen.http", config.listen.http).await?,
            peer: bind("listen.peer", config.listen.peer).await?,
            native: bind("listen.native", config.listen.native).await?,
            pb: match config.listen.pb() {
                Some(address) => Some(bind("listen.pb", address).await?),
                None => None,
            },
        })
    }
}

impl Listeners {
    /// Where the members reach this node.
    fn addresses(&self) -> Result<Addresses, ServeError> {
        let at = |listener: &TcpListener| listener.local_addr().map_err(ServeError::Runtime);
        let addresses = join::addresses_of(at(&self.http)?, at(&self.peer)?, at(&self.native)?);
        addresses.map_err(ServeError::Join)
    }

    /// Where the members reach it, by what the ring document has and where it listens now.
    fn present_addresses(&self, membership: &Membership) -> Result<Option<Addresses>, ServeError> {
        let Some(member) = membership.ring.member(membership.node) else {
            return Ok(None);
        };
        let at = |known: &str, listener: &TcpListener| {
            let listens = listener.local_addr().map_err(ServeError::Runtime)?;
            Ok(present_address(known, listens))
        };
        let Addresses {
            peer, http, native, ..
        } = &member.addresses;
        // No founding list names it: where clients reach the one API they reach the other.
        let pb = self.pb.as_ref().map(|pb| at(http, pb)).transpose()?;
        Ok(Some(Addresses {
            peer: at(peer, &self.peer)?,
            http: at(http, &self.http)?,
            pb: pb.unwrap_or_default(),
            native: at(native, &self.native)?,
        }))
    }
}

/// A node that listens everywhere, or is known by a name, keeps its host and may have another port.
fn present_address(known: &str, listens: SocketAddr) -> String {
    let port = listens.port();
    match known.rsplit_once(':') {
        Some((host, _)) if listens.ip().is_unspecified() => format!("{host}:{port}"),
        Some((host, _)) if known.parse::<SocketAddr>().is_err() => format!("{host}:{port}"),
        _ => listens.to_string(),
    }
}

async fn open_store(config: &Config, membership: &Membership) -> Result<Opened, ServeError> {
    let partitions = membership.ring.partition_count();
    let files = OsFiles::open(config.data_dir.join("log")).map_err(ServeError::Files)?;
    let engine = open_engine(config)?;
    let options = StoreOptions {
        groups: groups_of(config.storage.groups),
        partition_bits: partitions.bits(),
        segment_bytes: config.storage.segment_bytes,
        ..StoreOptions::default()
    };
    let digests = RecordDigests::new(TreeKey::new(&membership.secret), partitions);
    let opened = Store::open(
        Arc::new(files),
        engine,
        options,
        Some(Arc::new(digests)),
        &mut random_bits,
    )
    .await
    .map_err(ServeError::Open)?;
    tracing::info!(report = ?opened.report, "the store is open");
    Ok(opened)
}

/// The configured engine, if the data directory is new or has that one. To be called by whoever has the log's directory: the
/// engine's belongs to it.
fn open_engine(config: &Config) -> Result<Box<dyn Engine>, ServeError> {
    let (kind, path) = (config.storage.engine, config.data_dir.join("engine"));
    data_dir::claim_engine(&config.data_dir, kind.name()).map_err(ServeError::DataDir)?;
    let opened: Result<Box<dyn Engine>, EngineError> = match kind {
        EngineKind::Memory => Ok(Box::new(MemoryEngine::default())),
        EngineKind::Lmdb => {
            let map_bytes = usize::try_from(config.storage.map_size_bytes).unwrap_or(usize::MAX);
            LmdbEngine::open(&path, map_bytes).map(|engine| Box::new(engine) as _)
        }
        EngineKind::Fjall => {
            FjallEngine::open(&path, config.storage.cache_bytes).map(|engine| Box::new(engine) as _)
        }
    };
    opened.map_err(ServeError::Engine)
}

/// Partition groups: one a core, at most four, unless the operator says otherwise.
fn groups_of(configured: u32) -> usize {
    match usize::try_from(configured) {
        Ok(0) | Err(_) => {
            std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4))
        }
        Ok(groups) => groups,
    }
}

fn peer_tls(membership: &Membership) -> PeerTls {
    let identity = Identity {
        cluster: membership.ring.document().cluster_id,
        node: membership.node,
    };
    PeerTls::of_member(&membership.secret, identity)
}

fn tuning_of(config: &Config) -> Tuning {
    let default_properties = Properties {
        allow_mult: config.default_bucket.allow_mult,
        n_val: u32::from(config.default_bucket.n_val),
        durability: match config.default_bucket.durability {
            crate::config::Durability::Buffered => Durability::Buffered,
            crate::config::Durability::One => Durability::One,
            crate::config::Durability::Flushed => Durability::Flushed,
        },
        ..Properties::default()
    };
    Tuning {
        protocols: ProtocolRange::up_to(config.peer_protocol_max),
        put_tail_us: config.timeouts.put_ms.saturating_mul(1_000),
        anti_entropy: Pace {
            settle_us: (config.timeouts.put_ms + SETTLING_MS).saturating_mul(1_000),
            ..Pace::default()
        },
        limits: ObjectLimits {
            value_bytes: usize::try_from(config.limits.value_bytes).unwrap_or(usize::MAX),
            siblings: usize::try_from(config.limits.siblings).unwrap_or(usize::MAX),
            ..ObjectLimits::default()
        },
        hint_bytes_max: config.limits.hint_bytes,
        background: background_of(&config.background),
        reaping: Reaping {
            grace_us: config.reaping.grace_s.saturating_mul(1_000_000),
            settle_us: config.reaping.settle_s.saturating_mul(1_000_000),
            pause_us: config.reaping.pause_ms.saturating_mul(1_000),
        },
        client_requests_max: config.limits.requests_in_flight,
        clock_drift_us_max: config.limits.clock_drift_ms.saturating_mul(1_000),
        watermarks: watermarks_of(&config.storage),
        default_properties,
        ..Tuning::default()
    }
}

fn watermarks_of(config: &crate::config::Storage) -> Watermarks {
    Watermarks {
        low_percent: config.disk_warn_percent,
        full_percent: config.disk_refuse_percent,
        exhausted_percent: config.disk_deletes_only_percent,
    }
}

fn background_of(config: &crate::config::Background) -> BackgroundSettings {
    BackgroundSettings {
        on: config.controller == crate::config::Switch::On,
        target: match config.p99_target_ms {
            0 => Target::TimesCalm(2),
            ms => Target::Absolute(ms.saturating_mul(1_000)),
        },
        ..BackgroundSettings::default()
    }
}

/// Opens all doors; the future ends when they have been told to stop and have finished.
fn open_doors(
    config: &Config,
    listeners: Listeners,
    node: &Arc<Node>,
    secret: [u8; 32],
    tls: Option<&PeerTls>,
    connections: &Arc<Semaphore>,
    stopping: &watch::Receiver<bool>,
) -> impl Future<Output = ()> + use<> {
    let serving = |door| {
        let (node, connections) = (Arc::clone(node), Arc::clone(connections));
        Arc::new(Serving {
            enrol: peers::enrolment(Arc::clone(&node)),
            node,
            name: config.name.clone(),
            secret,
            door,
            protocols: ProtocolRange::up_to(config.peer_protocol_max),
            tls: tls.map(|tls| tls.accepting.clone()),
            connections,
        })
    };
    let peers = tokio::spawn(peers::serve(
        listeners.peer,
        serving(Door::Peers),
        stopping.clone(),
    ));
    let native = tokio::spawn(peers::serve(
        listeners.native,
        serving(Door::Clients),
        stopping.clone(),
    ));
    let minute = Arc::new(LastMinute::default());
    tokio::spawn(Arc::clone(&minute).follow(Arc::downgrade(node)));
    let door = NodeDoor::new(Arc::clone(node), secret, minute);
    let limits = Limits::of(config);
    let capacity = Capacity::of(&limits);
    let pb = listeners.pb.map(|listener| {
        let edge = pb::Edge::within(door.clone(), limits, capacity.clone());
        let serve = move |stream, stopped: Stopped| {
            Arc::clone(&edge).serve_connection(stream, stopped.wait())
        };
        let (connections, stopping) = (Arc::clone(connections), stopping.clone());
        tokio::spawn(listener::serve(listener, connections, stopping, serve))
    });
    let edge = http::Edge::within(door, limits, capacity);
    let serve =
        move |stream, stopped: Stopped| Arc::clone(&edge).serve_connection(stream, stopped.wait());
    let (connections, stopping) = (Arc::clone(connections), stopping.clone());
    let http = tokio::spawn(listener::serve(
        listeners.http,
        connections,
        stopping,
        serve,
    ));
    async move {
        // The doors end by themselves; what a panic in one of them left is logged by the runtime.
        for door in [http, native, peers].into_iter().chain(pb) {
            door.await.ok();
        }
    }
}

/// Ends when the store can take no more writes, and says why.
async fn store_failure(store: &Store) -> Poisoned {
    let mut look = tokio::time::interval(STORE_LOOK);
    loop {
        look.tick().await;
        if let Some(reason) = store.poisoned() {
            return reason;
        }
    }
}

async fn wait_for_signal() -> Result<(), ServeError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Runtime)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_reached_where_it_listens_under_the_name_that_it_has() {
        let rows = [
            ("127.0.0.1:8099", "127.0.0.1:9099", "127.0.0.1:9099"),
            ("10.0.0.1:8099", "10.0.0.2:8099", "10.0.0.2:8099"),
            ("10.0.0.1:8099", "0.0.0.0:9099", "10.0.0.1:9099"),
            ("node1.example:8099", "10.0.0.1:9099", "node1.example:9099"),
            ("node1.example:8099", "0.0.0.0:8099", "node1.example:8099"),
            ("[fd00::1]:8099", "[::]:9099", "[fd00::1]:9099"),
            ("", "10.0.0.1:8098", "10.0.0.1:8098"),
        ];
        for (known, listens, reached) in rows {
            let listens = listens.parse().expect("an address");
            assert_eq!(
                present_address(known, listens),
                reached,
                "{known} {listens}"
            );
        }
    }
}
