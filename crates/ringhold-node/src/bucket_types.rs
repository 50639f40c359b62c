//! Bucket types, as operators create them and as this node serves them.
//!
//! Each order becomes the next ring document (`membership`), so all nodes serve a type alike as soon as they serve by that document. What a
//! change comes to is reckoned from the newest document with each attempt: two changes of one type at once both hold, or one of them is refused
//! with the reason.
//!
//! A type can be activated as soon as gossip has said of every member that it serves by a document in which the type is as it was created. That takes a few
//! rounds, so an order to activate waits for them for a while before it is refused with the names of those who are missing.
//!
//! Not here: which changes fit (`ringhold_core::ring::bucket_types`), what the properties are (`properties`).

use crate::env::Deadline;
#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::membership::{ChangeFailed, NotAgreed, settled};
use crate::node::Node;
use crate::properties::{Overrides, Properties, Refusal, check_type_update};
use crate::property_table::set_by;
use bytes::Bytes;
use ringhold_core::id::NodeId;
use ringhold_core::ring::{ChangeRefused, Epoch, RingDocument, TypeRefused, TypeState};
use ringhold_wire::message::DEFAULT_BUCKET_TYPE;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How long an order to activate waits until every member knows the type, in microseconds.
const READY_US: u64 = 15_000_000;
/// From one look at that to the next, in microseconds.
const LOOK_US: u64 = 200_000;

/// How far a type has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeStage {
    /// Some member may not know it yet.
    Created,
    /// Every member knows it.
    Ready,
    /// Clients can use it.
    Active,
}

/// A type as this node knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeView {
    pub name: Bytes,
    pub stage: TypeStage,
    pub properties: Arc<Properties>,
    /// By name, the members that have not said yet that they know it.
    pub missing: Vec<String>,
}

impl Node {
    /// Creates a type, or creates it anew.
    ///
    /// # Errors
    /// See [`ChangeFailed`].
    pub async fn create_bucket_type(
        self: &Arc<Self>,
        name: &Bytes,
        set: &Overrides,
    ) -> Result<(), ChangeFailed> {
        if let Some(older) = self.first_older() {
            let name = self.name_of(older);
            return Err(ChangeFailed::Refused(ChangeRefused::OlderRelease { name }));
        }
        let (n, set) = (set.replicas(), set.without_replicas().encode());
        let created = self.agree(|held| held.creating_type(name, set.clone(), n));
        settled(created.await)
    }

    /// Makes a type active, once every member is known to know it.
    ///
    /// # Errors
    /// See [`ChangeFailed`].
    pub async fn activate_bucket_type(self: &Arc<Self>, name: &Bytes) -> Result<(), ChangeFailed> {
        let until = Deadline::after(&*self.environment, READY_US);
        loop {
            let serves_by = self.epochs_served();
            let activated = self
                .agree(|held| held.activating_type(name, |node| serves_by.get(&node).copied()))
                .await;
            let waits = matches!(
                activated,
                Err(NotAgreed::Refused(ChangeRefused::BucketType(
                    TypeRefused::NotReady { .. }
                )))
            );
            if !waits || until.has_passed(&*self.environment) {
                return settled(activated);
            }
            let again_us = self.environment.now_us().saturating_add(LOOK_US);
            self.environment.sleep_until(again_us).await;
        }
    }

    /// Changes properties of an active type. Another number of replicas is on its way when this returns; whether it can begin is
    /// waited for until the deadline.
    ///
    /// # Errors
    /// See [`ChangeFailed`].
    pub async fn update_bucket_type(
        self: &Arc<Self>,
        name: &Bytes,
        change: &Overrides,
        deadline: Deadline,
    ) -> Result<(), ChangeFailed> {
        let others = change.without_replicas();
        if let Some(n) = change.replicas() {
            // What is refused of the others is refused before anything moves.
            let is_possible = updated(self.ring().document(), name, &others);
            settled(is_possible.map_err(NotAgreed::Refused))?;
            self.replicate(name, &Bytes::new(), n, deadline).await?;
        }
        settled(self.agree(|held| updated(held, name, &others)).await)
    }

    /// Every created type, by name.
    #[must_use]
    pub fn bucket_types(&self) -> Vec<TypeView> {
        let ring = self.ring();
        let types = ring.document().bucket_types().unwrap_or_default();
        let names = types.into_keys();
        names.filter_map(|name| self.bucket_type(&name)).collect()
    }

    /// A created type; the default type is none.
    #[must_use]
    pub fn bucket_type(&self, name: &Bytes) -> Option<TypeView> {
        let mut properties = self.properties.of_type(name)?;
        let n_val = u32::from(self.replicas_wanted(name, &Bytes::new()));
        if properties.n_val != n_val {
            Arc::make_mut(&mut properties).n_val = n_val;
        }
        let ring = self.ring();
        let document = ring.document();
        let known = document.bucket_types()?.remove(name)?;
        let serves_by = self.epochs_served();
        let missing = match document.activating_type(name, |node| serves_by.get(&node).copied()) {
            Err(ChangeRefused::BucketType(TypeRefused::NotReady { missing, .. })) => missing,
            _ => Vec::new(),
        };
        let stage = match known.state {
            TypeState::Active => TypeStage::Active,
            TypeState::Created if missing.is_empty() => TypeStage::Ready,
            TypeState::Created => TypeStage::Created,
        };
        Some(TypeView {
            name: name.clone(),
            stage,
            properties,
            missing,
        })
    }

    /// By which document each member says that it serves.
    fn epochs_served(&self) -> BTreeMap<NodeId, Epoch> {
        let said = self.gossip_view().into_iter();
        let said = said.filter_map(|member| Some((member.node, member.ring?.epoch)));
        let own = (self.id, self.ring().document().epoch);
        #[cfg(feature = "known-bad")]
        if known_bad::is(Variant::ActivatesUnready) {
            let ring = self.ring();
            let members = ring.members().iter();
            return members.map(|member| (member.id, Epoch(u64::MAX))).collect();
        }
        said.chain([own]).collect()
    }
}

/// The next document, in which a type is changed.
fn updated(
    held: &RingDocument,
    name: &Bytes,
    change: &Overrides,
) -> Result<RingDocument, ChangeRefused> {
    if name == DEFAULT_BUCKET_TYPE {
        return Err(TypeRefused::DefaultType.into());
    }
    let types = held.bucket_types().unwrap_or_default();
    let Some(known) = types.get(name) else {
        let name = String::from_utf8_lossy(name).into_owned();
        return Err(TypeRefused::Unknown { name }.into());
    };
    let set = check_type_update(&set_by(known), change);
    let set = set.map_err(|refusals| refused(&refusals))?;
    held.updating_type(name, set.encode())
}

/// The refusals in the words that clients are told.
fn refused(refusals: &[Refusal]) -> ChangeRefused {
    let told = |refusal: &Refusal| (refusal.property.clone(), refusal.reason.to_string());
    let refusals = refusals.iter().map(told).collect();
    TypeRefused::Properties { refusals }.into()
}
