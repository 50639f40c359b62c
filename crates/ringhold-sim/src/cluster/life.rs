//! One life of a process, from opening its store to its end.

use super::{Cluster, Surroundings, read_record};
use crate::clock::NodeEnvironment;
use crate::executor::Group;
use crate::invariants::{Violation, i16_bounded, i20_recovery};
use crate::network::{Serving, SimPeers, keep_connected};
use crate::process::Trips;
use crate::rare::Rare;
use crate::trace::Who;
use ringhold_node::env::Environment;
use ringhold_node::properties::{Durability, Properties};
use ringhold_node::{Node, Parts, Tuning};
use ringhold_storage::{OpenError, OpenReport, Opened, Store, StoreOptions};
use std::sync::Arc;

/// How often a process is looked at from outside.
const WATCH_US: u64 = 100_000;

impl Cluster {
    /// The life of a process.
    pub(super) async fn live(self, node: usize, group: Group, trips: Trips) {
        let (files, engine) = self.disk(node).mount(trips.clone());
        let random = self.0.random.clone();
        let mut draw = move || random.lock().next_u128();
        let opened = Store::open(
            Arc::new(files),
            Box::new(engine),
            self.store_options(),
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
        let started = self.start_node(node, group, opened);
        let environment = started.1;
        let started = started.0;
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
            }),
        );
        for other in (0..self.0.plan.nodes).filter(|other| *other != node) {
            let task = keep_connected(self.0.network.clone(), node, other);
            self.0.around.executor.spawn(group, Box::pin(task));
        }
        self.watch(node, group, &store).await;
    }

    fn start_node(
        &self,
        node: usize,
        group: Group,
        opened: Opened,
    ) -> (Arc<Node>, Arc<NodeEnvironment>) {
        let Opened {
            store,
            writers,
            flusher,
            ..
        } = opened;
        let executor = self.0.around.executor.clone();
        executor.spawn(group, Box::pin(flusher));
        let environment = NodeEnvironment::new(
            executor,
            group,
            self.clock(node).clone(),
            self.0.random.clone(),
        );
        let environment = Arc::new(environment);
        let peers = SimPeers::new(
            self.0.network.clone(),
            node,
            Arc::clone(&environment) as Arc<dyn Environment>,
        );
        let parts = Parts {
            id: self.0.machines[node].id,
            ring: Arc::clone(&self.0.ring),
            environment: Arc::clone(&environment) as Arc<dyn Environment>,
            peers: Arc::new(peers),
            store,
            writers,
            token_key: self.token_key(),
            tuning: self.tuning(),
        };
        let started = Node::start(parts).expect("no run changes bucket properties");
        (started, environment)
    }

    /// Looks at a process from outside until it ends: a poisoned store is the end of it.
    async fn watch(&self, node: usize, group: Group, store: &Arc<Store>) {
        let Surroundings {
            executor,
            trace,
            books,
            rare,
        } = self.around();
        loop {
            executor.sleep(WATCH_US).await;
            let figures = store.figures();
            let bounded = i16_bounded::check_process(
                node,
                executor.tasks(group),
                &figures,
                self.0.plan.segment_bytes,
            );
            if let Err(violation) = bounded {
                books.lock().fail(violation);
            }
            if let Some(poisoned) = store.poisoned() {
                rare.hit(Rare::StorePoisoned);
                trace.event(Who::Node(node), "poisoned", || poisoned.to_string());
                self.kill(node);
                self.start_later(node, 1_000_000);
                return;
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
        if report.new_life {
            rare.hit(Rare::NewLife);
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
        for key in 0..books.names.len() {
            // What can't be read is not known to be lost.
            let name = books.names[key].clone();
            let Ok(object) = read_record(store, &name) else {
                continue;
            };
            books.saw_object(&name, &object);
            if let Err(violation) = i20_recovery::check(&books, node, key, &object) {
                return books.fail(violation);
            }
        }
    }

    fn store_options(&self) -> StoreOptions {
        let plan = &self.0.plan;
        StoreOptions {
            groups: plan.writer_groups,
            partition_bits: plan.partitions.trailing_zeros(),
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
            durability: if plan.buffered {
                Durability::Buffered
            } else {
                Durability::Flushed
            },
            ..Properties::default()
        };
        Tuning {
            default_properties,
            ..Tuning::default()
        }
    }
}
