//! The cluster: machines with a disk and a clock, and processes that come and go on them.
//!
//! A *machine* stays; its disk keeps what it has. A *process* is one life of a node on it: it opens the
//! store, starts the real [`Node`], takes requests, and ends by being stopped, killed, or losing power, or because
//! its store has failed. As a service manager would, the machine starts it again after a while.

mod disks;
mod life;
mod members;

pub(crate) use life::GRACE_US;

use crate::books::SharedBooks;
use crate::clock::WallClock;
use crate::disk::{Disk, DiskImage};
use crate::executor::{Executor, Group};
use crate::network::Network;
use crate::plan::Plan;
use crate::process::{CrashPoint, Trips};
use crate::random::{Random, SharedRandom};
use crate::rare::{Rare, RareCounts};
use crate::trace::{Trace, Who};
use ringhold_core::fingerprint::fingerprint;
use ringhold_core::id::{ClusterId, NodeId};
use ringhold_core::ring::{
    Addresses, Member, MemberState, PartitionCount, Ring, RingDocument, TreeId,
};
use ringhold_core::version::{Object, TokenKey};
use ringhold_node::Node;
use ringhold_storage::{Keyspace, StorageKey, Store};
use ringhold_wire::message::ObjectName;
use ringhold_wire::record::Record;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard};

/// No message is on its way for longer in a run that reaps.
const LONGEST_DELAY_US: u64 = 2_000_000;

/// The secret of the simulated cluster.
pub(crate) const SECRET: [u8; 32] = [7; 32];

/// What all parts of a run share.
#[derive(Clone)]
pub struct Surroundings {
    pub executor: Executor,
    pub trace: Trace,
    pub books: SharedBooks,
    pub rare: Arc<RareCounts>,
}

/// See the module. Clones are the same cluster.
#[derive(Clone)]
pub struct Cluster(Arc<Shared>);

struct Shared {
    around: Surroundings,
    plan: Plan,
    /// The one that the founders were founded with.
    ring: Arc<Ring>,
    /// The latest that any node was seen to serve by.
    latest: Mutex<Arc<Ring>>,
    /// The ring of the epoch before.
    old_ring: Arc<Ring>,
    document: RingDocument,
    network: Network,
    machines: Vec<Machine>,
    random: SharedRandom,
}

struct Machine {
    id: NodeId,
    disk: Disk,
    clock: WallClock,
    /// What it was enrolled with; none for a founder, and for a machine that is no member yet.
    enrolled: Mutex<Option<Arc<Ring>>>,
    /// Its node was removed from the cluster, or died for good.
    is_gone: AtomicBool,
    /// Somebody has put an old ring document into its data directory.
    has_old_ring: AtomicBool,
    /// What was on the disk before a copy took its place.
    original: Mutex<Option<DiskImage>>,
    process: Mutex<Option<Process>>,
}

struct Process {
    group: Group,
    trips: Trips,
    node: Option<Arc<Node>>,
    paused: bool,
    pauses: u64,
}

/// A stretch of a process's life in which it was there all the time. Two equal ones mean that it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence {
    group: Group,
    pauses: u64,
}

impl Cluster {
    /// Machines and ways between them; nothing runs yet.
    #[must_use]
    pub fn new(around: Surroundings, plan: Plan) -> Self {
        let mut random = Random::of(plan.seed, "identities");
        let ids: Vec<NodeId> = (0..plan.nodes)
            .map(|_| NodeId(random.next_u128()))
            .collect();
        let founders = &ids[..plan.founders()];
        let old = found(ClusterId(random.next_u128()), founders, &plan);
        let document = moved_on(&old);
        let [old_ring, ring] = [old, document.clone()]
            .map(|document| Arc::new(Ring::new(document).expect("a founded ring is valid")));
        let Surroundings {
            executor,
            trace,
            books,
            rare,
        } = around.clone();
        let network_random = SharedRandom::new(Random::of(plan.seed, "network"));
        let network = Network::new(around.clone(), network_random, ids.clone(), plan.clients);
        if plan.reaping {
            network.set_longest_delay(LONGEST_DELAY_US);
        }
        let machine = |(node, id): (usize, &NodeId)| {
            let random = SharedRandom::new(Random::of(plan.seed, &format!("disk {node}")));
            let disk = Disk::new(
                node,
                executor.clone(),
                trace.clone(),
                books.clone(),
                Arc::clone(&rare),
                random,
            );
            Machine {
                id: *id,
                disk,
                clock: WallClock::default(),
                enrolled: Mutex::new(None),
                is_gone: AtomicBool::new(false),
                has_old_ring: AtomicBool::new(false),
                original: Mutex::new(None),
                process: Mutex::new(None),
            }
        };
        let machines = ids.iter().enumerate().map(machine).collect();
        let random = SharedRandom::new(Random::of(plan.seed, "nodes"));
        Self(Arc::new(Shared {
            around,
            plan,
            latest: Mutex::new(Arc::clone(&ring)),
            ring,
            old_ring,
            document,
            network,
            machines,
            random,
        }))
    }

    #[must_use]
    pub fn around(&self) -> &Surroundings {
        &self.0.around
    }

    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.0.plan
    }

    #[must_use]
    pub fn network(&self) -> &Network {
        &self.0.network
    }

    #[must_use]
    pub fn document(&self) -> &RingDocument {
        &self.0.document
    }

    #[must_use]
    pub fn token_key(&self) -> TokenKey {
        TokenKey::new(&SECRET, None)
    }

    #[must_use]
    pub fn disk(&self, node: usize) -> &Disk {
        &self.0.machines[node].disk
    }

    #[must_use]
    pub fn clock(&self, node: usize) -> &WallClock {
        &self.0.machines[node].clock
    }

    /// The partition that a key lies in.
    #[must_use]
    pub fn tree_of(&self, key: usize) -> TreeId {
        tree_of(&self.ring(), &self.0.around.books.lock().names[key])
    }

    #[must_use]
    pub fn node(&self, node: usize) -> Option<Arc<Node>> {
        self.process(node).as_ref()?.node.clone()
    }

    /// Whether a node takes requests and goes about them.
    #[must_use]
    pub fn is_serving(&self, node: usize) -> bool {
        self.process(node)
            .as_ref()
            .is_some_and(|process| process.node.is_some() && !process.paused)
    }

    /// None while it does not serve.
    #[must_use]
    pub fn presence(&self, node: usize) -> Option<Presence> {
        let process = self.process(node);
        let process = process
            .as_ref()
            .filter(|process| process.node.is_some() && !process.paused)?;
        Some(Presence {
            group: process.group,
            pauses: process.pauses,
        })
    }

    #[must_use]
    pub fn is_down(&self, node: usize) -> bool {
        self.process(node).is_none()
    }

    /// Starts a process, if none is there and one should be.
    pub fn start(&self, node: usize) {
        if !self.is_down(node) || !self.is_member(node) {
            return;
        }
        let group = self.0.around.executor.new_group();
        let weak = Arc::downgrade(&self.0);
        let trips = Trips::new(move |point| {
            if let Some(shared) = weak.upgrade() {
                Self(shared).crash_at(node, point);
            }
        });
        *self.process(node) = Some(Process {
            group,
            trips: trips.clone(),
            node: None,
            paused: false,
            pauses: 0,
        });
        let cluster = self.clone();
        self.0.around.executor.spawn(
            group,
            Box::pin(async move { cluster.live(node, group, trips).await }),
        );
    }

    /// Asks of every node what is asked of one that starts: that its store has what was flushed.
    pub fn check_holdings(&self) {
        for node in self.members() {
            if let Some(started) = self.node(node) {
                self.check_recovery(node, started.store());
            }
        }
    }

    /// What a node's store holds of a key; an error if that can't be told, or if it is down.
    ///
    /// # Errors
    /// In words, for a report.
    pub fn held(&self, node: usize, name: &ObjectName) -> Result<Object, String> {
        let Some(node) = self.node(node) else {
            return Err("the node is down".to_owned());
        };
        read_record(node.store(), name)
    }

    /// Where a key's record is in a node's store.
    #[must_use]
    pub fn place(&self, node: usize, name: &ObjectName) -> Option<StorageKey> {
        Some(place_of(self.node(node)?.store(), name))
    }

    /// Ends a process at once; what it has written stays in the machine's cache.
    pub fn kill(&self, node: usize) {
        if self.end(node) {
            self.disk(node).unmount();
        }
    }

    /// The machine loses its power, whether or not a process runs on it.
    pub fn cut_power(&self, node: usize) {
        self.end(node);
        self.disk(node).cut_power();
    }

    fn crash_at(&self, node: usize, point: CrashPoint) {
        self.0
            .around
            .trace
            .event(Who::Node(node), "power cut", || point.to_string());
        self.0.around.rare.hit(Rare::CrashPoint);
        self.cut_power(node);
        self.start_later(node, 400_000);
    }

    /// Closes the store and ends the process.
    pub fn stop(&self, node: usize) {
        let Some((group, started)) = self
            .process(node)
            .as_ref()
            .map(|process| (process.group, process.node.clone()))
        else {
            return;
        };
        let Some(started) = started else {
            return self.kill(node);
        };
        self.0.network.set_serving(node, None);
        self.0.network.disconnect(node);
        let cluster = self.clone();
        self.0.around.executor.spawn(
            group,
            Box::pin(async move {
                // A store that can't be closed cleanly ends uncleanly.
                started.store().close().await.ok();
                drop(started);
                cluster.kill(node);
            }),
        );
    }

    /// Arms a trip wire of the process that runs, if one does.
    pub fn arm(&self, node: usize, point: CrashPoint, times: u32) {
        if let Some(process) = self.process(node).as_ref() {
            process.trips.arm(point, times);
        }
    }

    /// Takes up the wires that were not tripped.
    pub fn disarm(&self, node: usize) {
        if let Some(process) = self.process(node).as_ref() {
            process.trips.disarm();
        }
    }

    pub fn pause(&self, node: usize) {
        if let Some(process) = self.process(node).as_mut() {
            process.paused = true;
            process.pauses += 1;
            self.0.around.executor.pause(process.group);
        }
    }

    pub fn resume(&self, node: usize) {
        if let Some(process) = self.process(node).as_mut()
            && std::mem::take(&mut process.paused)
        {
            self.0.around.executor.resume(process.group);
        }
    }

    /// Starts a process after a while, about.
    pub fn start_later(&self, node: usize, median_us: u64) {
        let executor = &self.0.around.executor;
        let at_us = executor.now_us() + self.0.random.lock().around(median_us);
        let cluster = self.clone();
        executor.call_at(at_us, move || cluster.start(node));
    }

    /// Ends all processes, so that nothing holds on to anything.
    pub fn dissolve(&self) {
        for node in 0..self.0.plan.nodes {
            let process = self.process(node).take();
            self.0.network.set_serving(node, None);
            drop(process);
        }
        self.0.around.executor.dissolve();
    }

    /// Adds what the living processes have counted to the run's counts. Once, at the end of a run.
    pub fn harvest(&self) {
        (0..self.0.plan.nodes).for_each(|node| {
            self.node(node)
                .iter()
                .for_each(|node| self.harvest_node(node));
        });
    }

    fn harvest_node(&self, node: &Node) {
        let (metrics, rare) = (node.metrics(), &self.0.around.rare);
        rare.add(Rare::ReadRepaired, metrics.read_repairs.count());
        rare.add(Rare::PutForwarded, metrics.puts_forwarded.count());
        rare.add(Rare::StandIn, metrics.stand_ins.count());
        rare.add(Rare::HintDelivered, metrics.hints_delivered.count());
        rare.add(Rare::StoreRebuilt, metrics.stores_rebuilt.count());
        rare.add(Rare::AskedInDoubt, metrics.reads_in_doubt.count());
        rare.add(Rare::KeyMended, metrics.keys_mended.count());
        rare.add(Rare::LeafSetRight, metrics.leaves_set_right.count());
        rare.add(Rare::LeafSorted, metrics.leaves_sorted.count());
        rare.add(Rare::ReadHedged, metrics.hedged_reads.count());
        rare.add(Rare::PeerGoneDown, metrics.peers_gone_down.count());
        rare.add(Rare::OperationRepeated, metrics.operations_repeated.count());
        rare.add(Rare::EpochRestarted, metrics.epochs_restarted.count());
        rare.add(Rare::OwnDotAhead, metrics.own_dot_ahead.count());
        rare.add(Rare::TombstoneReaped, metrics.tombstones_reaped.count());
        rare.add(Rare::ReapingObstructed, metrics.reaping_obstructed.count());
        rare.add(Rare::ReapingMetStray, metrics.reaping_strays.count());
        rare.add(Rare::VersionExpired, metrics.versions_expired.count());
        rare.add(Rare::PartitionReceived, metrics.partitions_received.count());
        rare.add(Rare::StrayFound, metrics.strays_found.count());
        rare.add(Rare::PlacementBehind, metrics.placements_behind.count());
        rare.add(Rare::BootConfirmed, metrics.boots_confirmed.count());
        rare.add(Rare::BootDoubted, metrics.boots_doubted.count());
    }

    /// Takes a process away; false if there was none.
    fn end(&self, node: usize) -> bool {
        let Some(process) = self.process(node).take() else {
            return false;
        };
        self.0.network.set_serving(node, None);
        self.0.network.disconnect(node);
        match &process.node {
            Some(started) => self.harvest_node(started),
            None => self.disk(node).note_interrupted_opening(),
        }
        self.0.around.executor.kill(process.group);
        true
    }

    fn process(&self, node: usize) -> MutexGuard<'_, Option<Process>> {
        self.0.machines[node]
            .process
            .lock()
            .expect("no holder of this lock panics")
    }
}

fn place_of(store: &Store, name: &ObjectName) -> StorageKey {
    let ObjectName {
        bucket_type,
        bucket,
        key,
    } = name;
    let print = fingerprint(store.identity().fingerprint_key, bucket_type, bucket, key);
    StorageKey::new(name.position().0, print)
}

pub(crate) fn read_record(store: &Store, name: &ObjectName) -> Result<Object, String> {
    let bytes = store
        .get(Keyspace::Objects, &place_of(store, name))
        .map_err(|error| error.to_string())?;
    let Some(bytes) = bytes else {
        return Ok(Object::new());
    };
    Record::decode(bytes)
        .map(|record| record.object)
        .map_err(|error| error.to_string())
}

fn found(cluster_id: ClusterId, ids: &[NodeId], plan: &Plan) -> RingDocument {
    let member = |(number, id): (usize, &NodeId)| Member {
        id: *id,
        name: format!("n{number}"),
        addresses: Addresses::default(),
        zone: String::new(),
        rack: String::new(),
        weight: 1,
        state: MemberState::Up,
    };
    let members = ids.iter().enumerate().map(member).collect();
    let partitions = PartitionCount::new(plan.partitions).expect("a power of two");
    let n = u8::try_from(plan.replicas).expect("a handful");
    RingDocument::found(cluster_id, members, partitions, 5)
        .and_then(|document| document.with_replicas(n))
        .expect("equal members make a valid ring")
}

/// The tree that a key is in.
pub(crate) fn tree_of(ring: &Ring, name: &ObjectName) -> TreeId {
    TreeId {
        partition: ring.partition_of(name.position()),
        class: ring.classes().of(&name.bucket_type, &name.bucket),
    }
}

/// The document after one change: every partition has moved on to the next owner.
fn moved_on(document: &RingDocument) -> RingDocument {
    let mut next = document.successor();
    next.placement.owners.rotate_left(1);
    next.placement.placement_number += 1;
    next.sealed()
}
