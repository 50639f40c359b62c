//! One life of a process, from opening its store to its end.

use super::{Cluster, SECRET, Surroundings, read_record, tree_of};
use crate::books::Books;
use crate::clock::NodeEnvironment;
use crate::executor::Group;
use crate::invariants::i17_liveness::Turns;
use crate::invariants::t16_moves::{self, Taking, UnderWay};
use crate::invariants::{
    Violation, i09_hints, i16_bounded, i19_isolation, i20_recovery, index_rows, t11_reaping,
    t12_leaf_sums,
};
use crate::network::{Serving, SimPeers, keep_connected};
use crate::plan::Plan;
use crate::process::Trips;
use crate::rare::Rare;
use crate::trace::Who;
use ringhold_core::health::admission::{Settings, Target};
use ringhold_core::id::{BootId, NodeId};
use ringhold_core::ring::{MemberState, PartitionCount, Ring};
use ringhold_core::tree::TreeKey;
use ringhold_node::env::Environment;
use ringhold_node::properties::Properties;
use ringhold_node::trees::RecordDigests;
use ringhold_node::{Node, Pace, Parts, Reaping, RingRefused, StartError, Tuning};
use ringhold_storage::{OpenError, OpenReport, Opened, Store, StoreOptions};
use ringhold_wire::handshake::ProtocolRange;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How often a process is looked at from outside.
const WATCH_US: u64 = 100_000;

/// A write is with everybody to whom it was sent after this time, where nothing is in its way.
const JUST_NOW_US: u64 = 1_500_000;

/// How long the dead are kept in a run that reaps.
pub(crate) const GRACE_US: u64 = 30_000_000;
/// How long the replicas of a put are waited for in such a run.
const PUT_TAIL_US: u64 = 4_000_000;

/// Of each key: what a node was seen to keep for others.
type Kept = BTreeMap<usize, Keeping>;

/// The operations of each key that a node was seen to have on its disk.
type Own = BTreeMap<usize, BTreeSet<usize>>;

/// What a node keeps of a key, and for whom.
struct Keeping {
    operations: BTreeSet<usize>,
    homes: Vec<usize>,
}

impl Cluster {
    /// The life of a process.
    pub(super) async fn live(self, node: usize, group: Group, trips: Trips) {
        if !self.disk(node).claim(self.0.machines[node].id) {
            return self.refuses_disk(node);
        }
        let (files, engine) = self.disk(node).mount(trips.clone());
        let random = self.0.random.clone();
        let mut draw = move || random.lock().next_u128();
        let opened = Store::open(
            Arc::new(files),
            Box::new(engine),
            self.store_options(),
            Some(Arc::new(self.digests())),
            &mut draw,
        )
        .await;
        let opened = match opened {
            Ok(opened) => opened,
            Err(error) => return self.did_not_open(node, &error),
        };
        self.note_report(node, &opened.report);
        let store = Arc::clone(&opened.store);
        let now_us = self.around().executor.now_us();
        self.around()
            .books
            .lock()
            .started(node, store.identity().incarnation, now_us);
        self.check_recovery(node, &store);
        let environment = self.environment(node, group);
        let started = match self.start_node(node, opened, &environment) {
            Ok(started) => started,
            Err(error) => return self.did_not_start(node, &error),
        };
        if started.ring().document().epoch > self.ring_file(node).document().epoch {
            self.around().rare.hit(Rare::OldRing);
        }
        if let Some(process) = self.process(node).as_mut() {
            process.node = Some(Arc::clone(&started));
        }
        self.0.network.disconnect(node);
        self.0.network.set_serving(
            node,
            Some(Serving {
                node: started,
                group,
                environment,
                trips,
                protocol: self.protocol_of_start(node),
            }),
        );
        for other in (0..self.0.plan.nodes).filter(|other| *other != node) {
            let task = keep_connected(self.0.network.clone(), node, other);
            self.0.around.executor.spawn(group, Box::pin(task));
        }
        self.watch(node, group, &store).await;
    }

    /// Nodes are upgraded one by one, each with some start.
    fn protocol_of_start(&self, node: usize) -> u16 {
        let ProtocolRange { min, max } = ProtocolRange::SPOKEN;
        let is_old = self.0.plan.runs_release_before(node)
            && self.around().executor.now_us() < self.0.plan.load_us / 2;
        if is_old { min } else { max }
    }

    fn environment(&self, node: usize, group: Group) -> Arc<NodeEnvironment> {
        Arc::new(NodeEnvironment::new(
            self.0.around.executor.clone(),
            group,
            self.clock(node).clone(),
            self.0.random.clone(),
            self.disk(node).clone(),
        ))
    }

    fn start_node(
        &self,
        node: usize,
        opened: Opened,
        environment: &Arc<NodeEnvironment>,
    ) -> Result<Arc<Node>, StartError> {
        let environment = Arc::clone(environment) as Arc<dyn Environment>;
        let peers = SimPeers::new(self.0.network.clone(), node, Arc::clone(&environment));
        let boot = BootId(environment.random());
        let parts = Parts {
            id: self.0.machines[node].id,
            ring: self.ring_file(node),
            addresses: None,
            boot,
            environment,
            peers: Arc::new(peers),
            opened,
            token_key: self.token_key(),
            tree_key: TreeKey::new(&SECRET),
            tuning: self.tuning(),
        };
        Node::start(parts)
    }

    /// Looks at a process from outside until it ends: a poisoned store is the end of it.
    async fn watch(&self, node: usize, group: Group, store: &Arc<Store>) {
        let Surroundings {
            executor,
            trace,
            books,
            rare,
        } = self.around();
        let (mut kept, mut own) = (Kept::new(), Own::new());
        let mut looked_us = executor.now_us();
        let mut turns = Turns::default();
        let mut was_leaving = false;
        loop {
            executor.sleep(WATCH_US).await;
            let Some(running) = self.node(node) else {
                return;
            };
            let ring = running.ring();
            self.note_ring(node, &ring);
            self.note_types(node);
            let state = ring.member(self.id_of(node)).map(|member| member.state);
            if running.is_removed() {
                trace.event(Who::Node(node), "gone", || "it was removed".to_owned());
                if was_leaving {
                    self.check_gone(node, store);
                }
                self.set_gone(node);
                drop(running);
                return self.kill(node);
            }
            was_leaving = state == Some(MemberState::Leaving);
            self.check_hints(node, store, &ring, &mut kept);
            if self.0.plan.reaping {
                self.check_reaping(node, store, &mut own, looked_us);
            }
            // A node that is paused is not looked at meanwhile.
            looked_us = executor.now_us();
            let figures = store.figures();
            let bounded = i16_bounded::check_process(
                node,
                executor.tasks(group),
                &figures,
                self.0.plan.segment_bytes,
            );
            let waits = turns.look(node, running.metrics(), WATCH_US);
            drop(running);
            if let Err(violation) = bounded.and(waits) {
                books.lock().fail(violation);
            }
            // It may have taken another one since it was opened.
            let incarnation = store.identity().incarnation;
            books.lock().incarnates(node, incarnation);
            if let Some(poisoned) = store.poisoned() {
                rare.hit(Rare::StorePoisoned);
                trace.event(Who::Node(node), "poisoned", || poisoned.to_string());
                self.kill(node);
                self.start_later(node, 1_000_000);
                return;
            }
        }
    }

    /// What a real node does that finds another's name in its data directory.
    fn refuses_disk(&self, node: usize) {
        let Surroundings { trace, rare, .. } = self.around();
        rare.hit(Rare::ForeignDisk);
        trace.event(Who::Node(node), "no start", || {
            "the disk is another node's".to_owned()
        });
        self.kill(node);
        self.start_later(node, 500_000);
    }

    fn did_not_start(&self, node: usize, error: &StartError) {
        let Surroundings { trace, books, .. } = self.around();
        trace.event(Who::Node(node), "no start", || error.to_string());
        match error {
            // A node that missed its removal learns of it when it is over.
            StartError::Ring(RingRefused::Removed { .. }) => {
                self.set_gone(node);
                return self.kill(node);
            }
            // Reads fail now and then in some runs.
            StartError::Ring(RingRefused::Unreadable(_))
            | StartError::Properties(_)
            | StartError::Hints(_)
            | StartError::Completeness(_) => {}
            StartError::Ring(_) => books.lock().fail(Violation::new(
                "I20",
                format!("n{node} does not start: {error}"),
            )),
        }
        self.kill(node);
        self.start_later(node, 500_000);
    }

    /// Compares what a node makes of bucket types with what others make of them (T14).
    fn note_types(&self, node: usize) {
        if !self.plan().types {
            return;
        }
        let Some(served) = self.node(node) else {
            return;
        };
        let (epoch, types) = (served.ring().document().epoch, served.bucket_types());
        let mut books = self.around().books.lock();
        if let Err(violation) = books.types.note(node, epoch, &types) {
            books.fail(violation);
        }
    }

    /// Compares the ring that a node serves by with those of others and with its own of before (I10).
    fn note_ring(&self, node: usize, ring: &Arc<Ring>) {
        let mut books = self.around().books.lock();
        let now_us = self.around().executor.now_us();
        books.now_us = now_us;
        let noted = i19_isolation::check_served(node, self.0.document.cluster_id, ring.document());
        let noted = noted.and_then(|()| books.rings.note(node, ring.document()));
        let finished = books.rings.see(ring, now_us);
        let checked = noted.and_then(|()| match finished {
            Some(change) => self.check_moves(&books, &change, now_us),
            None => Ok(()),
        });
        if let Err(violation) = checked {
            books.fail(violation);
        }
    }

    /// Asks of each new home what it has (T16). Where no message is lost and nobody falls, that is what was written a moment ago too.
    fn check_moves(&self, books: &Books, change: &UnderWay, now_us: u64) -> Result<(), Violation> {
        let before_us = if self.0.plan.loses_nothing() {
            now_us.saturating_sub(JUST_NOW_US)
        } else {
            change.since_us.saturating_sub(2 * WATCH_US)
        };
        let moves = change.ring.moves();
        for (key, name) in books.names.iter().enumerate() {
            let tree = tree_of(&change.ring, name);
            for a_move in moves.iter().filter(|a_move| a_move.tree == tree) {
                let Some(taker) = self.number_of(a_move.taker) else {
                    continue;
                };
                let is_dead = |id: &NodeId| {
                    let state = change.ring.member(*id).map(|member| member.state);
                    state == Some(MemberState::Down)
                };
                let number = |id: &NodeId| self.number_of(*id);
                let homes = change.ring.homes_of(tree).iter().filter(|id| !is_dead(id));
                let homes: Vec<usize> = homes.filter_map(number).collect();
                let goers: Vec<usize> = a_move.goers.iter().filter_map(number).collect();
                let taking = Taking {
                    key,
                    taker,
                    homes: &homes,
                    goers: &goers,
                    one_was_away: !self.0.plan.loses_nothing(),
                    n: self.0.plan.replicas_at_least(),
                };
                t16_moves::check_taken(books, &taking, before_us)?;
            }
        }
        Ok(())
    }

    /// Looks at what a member leaves with (T16).
    fn check_gone(&self, node: usize, store: &Store) {
        let mut books = self.around().books.lock();
        for key in 0..books.names.len() {
            let object = read_record(store, &books.names[key]);
            let holds_something = object.is_ok_and(|object| !object.is_absent());
            if let Err(violation) = t16_moves::check_gone(node, key, holds_something) {
                return books.fail(violation);
            }
        }
    }

    /// Looks for what a node kept for others, and asks where it is when it is gone.
    fn check_hints(&self, node: usize, store: &Store, ring: &Ring, kept: &mut Kept) {
        let mut books = self.around().books.lock();
        for key in 0..books.names.len() {
            let name = books.names[key].clone();
            let homes = self.primaries_by(ring, &name);
            let Ok(object) = read_record(store, &name) else {
                continue;
            };
            if homes.contains(&node) {
                continue;
            }
            if !object.is_absent() {
                // What is flushed a moment later is not in the store yet, so only this is asked for.
                let operations = books.durable(node, key).collect();
                kept.insert(key, Keeping { operations, homes });
            } else if let Some(before) = kept.remove(&key) {
                let dropped = |homes: &[usize]| {
                    i09_hints::check_dropped(&books, node, key, &before.operations, homes)
                };
                // It was dropped by the ring of the last look or by that of this one.
                let verdict = dropped(&before.homes).or_else(|_| dropped(&homes));
                if let Err(violation) = verdict {
                    return books.fail(violation);
                }
                books.dropped(node, key, &before.operations);
            }
        }
    }

    /// Looks for what has disappeared from a home since the last look, and asks whether it might.
    fn check_reaping(&self, node: usize, store: &Store, own: &mut Own, looked_us: u64) {
        let now_us = self.around().executor.now_us();
        let mut books = self.around().books.lock();
        books.now_us = now_us;
        for key in 0..books.names.len() {
            let name = books.names[key].clone();
            // What can't be read may still be there.
            let Ok(object) = read_record(store, &name) else {
                own.remove(&key);
                continue;
            };
            if let Err(violation) = t11_reaping::check_risen(&books, key, &object) {
                return books.fail(violation);
            }
            let homes = self.primaries(&name);
            if !homes.contains(&node) {
                continue;
            }
            let known = t11_reaping::known(&books, books.durable(node, key), &object);
            let before = own.insert(key, known).unwrap_or_default();
            let removed = t11_reaping::removed(&books, &before, &object);
            if removed.is_empty() {
                if object.has_value() && books.rises_anew(key) {
                    self.around().rare.hit(Rare::RecreatedAfterReaping);
                }
                continue;
            }
            let lost = books.has_lost(node, key, looked_us.saturating_sub(WATCH_US));
            let clocks = homes.iter().map(|home| self.clock(*home).shows_us(now_us));
            let earliest_us = clocks.min().unwrap_or(0);
            let verdict = t11_reaping::check_removed(&books, node, key, &removed, earliest_us);
            match verdict {
                Err(violation) if !lost => return books.fail(violation),
                // The disk has lost it: nobody said that it might go.
                _ if lost => {}
                Err(_) => {}
                Ok(()) => {
                    books.dropped(node, key, &removed.iter().copied().collect());
                    books.bury(key, &removed);
                }
            }
        }
    }

    fn did_not_open(&self, node: usize, error: &OpenError) {
        self.0
            .around
            .trace
            .event(Who::Node(node), "no start", || error.to_string());
        let excusable = matches!(
            error,
            OpenError::Files(_) | OpenError::Engine(_) | OpenError::JobLost
        );
        if !excusable {
            let violation = Violation::new(
                "I20",
                format!("the store of n{node} refuses to open: {error}"),
            );
            self.0.around.books.lock().fail(violation);
        }
        self.kill(node);
        self.start_later(node, 500_000);
    }

    fn note_report(&self, node: usize, report: &OpenReport) {
        let Surroundings {
            trace, rare, books, ..
        } = self.around();
        trace.event(Who::Node(node), "start", || format!("{report:?}"));
        if report.torn_bytes > 0 {
            rare.hit(Rare::TornTail);
        }
        if report.new_incarnation && !report.created {
            rare.hit(Rare::NewIncarnation);
        }
        if report.doubts.is_empty() {
            return;
        }
        rare.hit(Rare::HistoryDoubted);
        if !self.disk(node).may_be_doubted() {
            // No other fault of a run damages what the log had flushed.
            books.lock().fail(Violation::new(
                "I20",
                format!("n{node} doubts its history: {:?}", report.doubts),
            ));
        }
    }

    pub(super) fn check_recovery(&self, node: usize, store: &Store) {
        let mut books = self.around().books.lock();
        books.now_us = self.around().executor.now_us();
        for key in 0..books.names.len() {
            // What can't be read is not known to be lost.
            let name = books.names[key].clone();
            // What a fallback keeps for others goes when it has come home.
            if !self.primaries(&name).contains(&node) {
                continue;
            }
            let Ok(object) = read_record(store, &name) else {
                continue;
            };
            books.saw_object(&name, &object);
            if let Err(violation) = i20_recovery::check(&books, node, key, &object) {
                return books.fail(violation);
            }
        }
        if let Err(violation) = index_rows::check(&books, node, store, self.0.plan.partitions) {
            return books.fail(violation);
        }
        if let Err(violation) = t12_leaf_sums::check(&books, node, store, self.partitions()) {
            books.fail(violation);
        }
    }

    fn digests(&self) -> RecordDigests {
        RecordDigests::new(TreeKey::new(&SECRET), self.partitions())
    }

    fn partitions(&self) -> PartitionCount {
        PartitionCount::new(self.0.plan.partitions).expect("plans have powers of two")
    }

    fn store_options(&self) -> StoreOptions {
        let plan = &self.0.plan;
        StoreOptions {
            groups: plan.writer_groups,
            partition_bits: self.partitions().bits(),
            segment_bytes: plan.segment_bytes,
            epoch_lease: plan.epoch_lease,
        }
    }

    fn tuning(&self) -> Tuning {
        let plan = &self.0.plan;
        let default_properties = Properties {
            n_val: plan.replicas,
            last_write_wins: plan.last_write_wins,
            allow_mult: !plan.last_write_wins,
            durability: plan.durability,
            blocking_repair: plan.blocking_repair,
            ..Properties::default()
        };
        let put_tail_us = if plan.reaping {
            PUT_TAIL_US
        } else {
            Tuning::default().put_tail_us
        };
        Tuning {
            anti_entropy: pace_of(plan),
            background: background_of(plan),
            reaping: reaping_of(plan),
            put_tail_us,
            clock_drift_us_max: plan.astray.as_ref().map_or(u64::MAX, |_| 5_000_000),
            default_properties,
            ..Tuning::default()
        }
    }
}

/// In some runs no request is ever fast enough.
fn background_of(plan: &Plan) -> Settings {
    let target = if plan.pressed {
        Target::Absolute(1)
    } else {
        Target::TimesCalm(2)
    };
    Settings {
        target,
        ..Settings::default()
    }
}

/// Longer than a message can live that goes out at the end of a get or a put, and is worked on for as long as it says:
/// a get, a repair, the way there.
fn reaping_of(plan: &Plan) -> Reaping {
    Reaping {
        grace_us: GRACE_US,
        settle_us: 18_000_000,
        pause_us: if plan.reaping { 20_000 } else { 0 },
    }
}

/// Fast, because a run is short; or not at all.
fn pace_of(plan: &Plan) -> Pace {
    if plan.anti_entropy {
        return Pace {
            pause_us: 100_000,
            settle_us: 2_000_000,
            scrub_us: 50_000,
        };
    }
    Pace {
        pause_us: 0,
        scrub_us: 0,
        ..Pace::default()
    }
}
