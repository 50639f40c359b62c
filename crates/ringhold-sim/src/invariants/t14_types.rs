//! Bucket types: one ring document serves each type alike, what is active stays so, and nobody is left who has not heard of it (T14).
//!
//! A node is asked what it makes of each type, and by which epoch. Three things must hold:
//!
//! 1. Two nodes that serve by one epoch serve each type alike: as active, or not, and with the same properties.
//! 2. Once a type was active in an epoch, it is in every later one. A recovery after a lost majority goes back to what the survivors
//!    know, so this is asked within a generation.
//! 3. As soon as one node serves a type as active, each member knows it, though it may know it as created only: else one member would refuse what
//!    another has promised. A node whose disk was lost, or put back, catches up first.

use super::Violation;
use bytes::Bytes;
use ringhold_core::ring::Epoch;
use ringhold_node::properties::Properties;
use ringhold_node::{TypeStage, TypeView};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How a type was served in an epoch: whether as active, and with which properties.
type Served = (bool, Arc<Properties>);

/// What nodes were seen to make of types.
#[derive(Default)]
pub struct TypeWitness {
    served: BTreeMap<(Epoch, Bytes), Served>,
    /// All types of an epoch that was seen.
    names: BTreeMap<Epoch, BTreeSet<Bytes>>,
    /// The first epoch in which a type was seen active.
    active_since: BTreeMap<Bytes, Epoch>,
    /// Nodes that need not know what they knew, until they have caught up.
    forgetful: BTreeSet<usize>,
}

impl TypeWitness {
    /// # Errors
    /// If what a node makes of its types is not what others make of them.
    pub fn note(&mut self, node: usize, epoch: Epoch, types: &[TypeView]) -> Result<(), Violation> {
        let broken = |why: String| Err(Violation::new("T14 types", why));
        let names: BTreeSet<Bytes> = types.iter().map(|one| one.name.clone()).collect();
        let known = self.names.entry(epoch).or_insert_with(|| names.clone());
        if *known != names {
            return broken(format!(
                "n{node} has the types {names:?} in epoch {epoch}, others {known:?}"
            ));
        }
        for one in types {
            let is_active = one.stage == TypeStage::Active;
            let key = (epoch, one.name.clone());
            let serves = (is_active, Arc::clone(&one.properties));
            let served = self.served.entry(key).or_insert_with(|| serves.clone());
            if *served != serves {
                return broken(format!(
                    "n{node} serves {:?} in epoch {epoch} as {serves:?}, others as {served:?}",
                    one.name
                ));
            }
            if is_active {
                let since = self.active_since.entry(one.name.clone()).or_insert(epoch);
                *since = epoch.min(*since);
            }
        }
        self.check_active(node, epoch, types)
    }

    fn check_active(
        &mut self,
        node: usize,
        epoch: Epoch,
        types: &[TypeView],
    ) -> Result<(), Violation> {
        let broken = |why: String| Err(Violation::new("T14 types", why));
        let latest = self.active_since.values().max();
        if latest.is_none_or(|latest| *latest <= epoch) {
            self.forgetful.remove(&node);
        }
        for (name, since) in &self.active_since {
            if since.generation() != epoch.generation() {
                continue;
            }
            let known = types.iter().find(|one| one.name == *name);
            if known.is_none() && !self.forgetful.contains(&node) {
                return broken(format!(
                    "n{node} has never heard of {name:?} in epoch {epoch}, which was active in epoch {since}"
                ));
            }
            let is_active = known.is_some_and(|one| one.stage == TypeStage::Active);
            if epoch >= *since && !is_active {
                return broken(format!(
                    "{name:?} was active in epoch {since}, and n{node} does not serve it in epoch {epoch}"
                ));
            }
        }
        Ok(())
    }

    /// A node's disk does not know any more what it knew.
    pub fn forget(&mut self, node: usize) {
        self.forgetful.insert(node);
    }
}
