//! Who is a member, by the latest ring that anybody serves by, and which machines should have a process.

use super::{Cluster, tree_of};
use ringhold_core::id::NodeId;
use ringhold_core::ring::Ring;
use ringhold_wire::handshake::ProtocolRange;
use ringhold_wire::message::ObjectName;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Cluster {
    /// The latest ring that any node was seen to serve by.
    #[must_use]
    pub fn ring(&self) -> Arc<Ring> {
        let mut latest = self.0.latest.lock().expect("no holder of this lock panics");
        for machine in &self.0.machines {
            let process = machine
                .process
                .lock()
                .expect("no holder of this lock panics");
            let running = process.as_ref().and_then(|process| process.node.as_ref());
            if let Some(ring) = running.map(|node| node.ring())
                && ring.document().epoch > latest.document().epoch
            {
                *latest = ring;
            }
        }
        Arc::clone(&latest)
    }

    /// The nodes that are primaries of a key, by the latest ring.
    #[must_use]
    pub fn primaries(&self, name: &ObjectName) -> Vec<usize> {
        self.primaries_by(&self.ring(), name)
    }

    /// The nodes that are primaries of a key, by some ring.
    #[must_use]
    pub fn primaries_by(&self, ring: &Ring, name: &ObjectName) -> Vec<usize> {
        let homes = ring.homes_of(tree_of(ring, name)).iter();
        homes.filter_map(|id| self.number_of(*id)).collect()
    }

    /// The machine of a node.
    #[must_use]
    pub fn number_of(&self, id: NodeId) -> Option<usize> {
        self.0.machines.iter().position(|machine| machine.id == id)
    }

    #[must_use]
    pub fn id_of(&self, node: usize) -> NodeId {
        self.0.machines[node].id
    }

    /// The machines whose nodes should run: founders and those that were enrolled, unless they are gone.
    #[must_use]
    pub fn members(&self) -> Vec<usize> {
        let all = 0..self.0.machines.len();
        all.filter(|node| self.is_member(*node)).collect()
    }

    #[must_use]
    pub fn is_member(&self, node: usize) -> bool {
        let machine = &self.0.machines[node];
        let enrolled = machine
            .enrolled
            .lock()
            .expect("no holder of this lock panics");
        let was_taken_in = node < self.0.plan.founders() || enrolled.is_some();
        was_taken_in && !machine.is_gone.load(Ordering::Relaxed)
    }

    /// A machine gets what it needs to join.
    pub fn enrol(&self, node: usize, ring: Arc<Ring>) {
        let machine = &self.0.machines[node];
        *machine
            .enrolled
            .lock()
            .expect("no holder of this lock panics") = Some(ring);
    }

    /// A machine burns down.
    pub fn die(&self, node: usize) {
        self.wipe(node);
        self.set_gone(node);
    }

    /// Whether somebody is of the release before.
    #[must_use]
    pub fn has_older_release(&self) -> bool {
        let mut serving = self
            .members()
            .into_iter()
            .filter_map(|node| self.0.network.serving(node));
        serving.any(|serving| serving.protocol < ProtocolRange::SPOKEN.max)
    }

    /// Whoever is of the release before still is stopped, and started with this one.
    pub fn upgrade_all(&self) {
        for node in self.members() {
            let serving = self.0.network.serving(node);
            if serving.is_some_and(|serving| serving.protocol < ProtocolRange::SPOKEN.max) {
                self.kill(node);
                self.start(node);
            }
        }
    }

    /// A node will not come back.
    pub fn set_gone(&self, node: usize) {
        self.0.machines[node].is_gone.store(true, Ordering::Relaxed);
        self.0.around.books.lock().gone(node);
    }
}
