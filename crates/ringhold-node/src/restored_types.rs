//! Bucket types of a backup, which enter before its objects.
//!
//! Objects of a type that nobody has created are of no use to anybody: their keys answer "no such type". So a backup holds the types that
//! its cluster had, created or active, and a restore makes those that are missing what they were. What is here stays as it is: a type of the
//! name may have been changed since, and the operators of this cluster have the last word on what can be changed.
//!
//! What cannot be changed has to be the same. A type whose values are counters here and sets in the backup would hold objects that nobody can read,
//! so the backup is refused as a whole, before anything of it has entered.
//!
//! Not here: how a type is agreed on (`bucket_types`), and the block in the file (`ringhold_wire::backup`).

use crate::backup::RestoreRefused;
use crate::membership::ChangeFailed;
use crate::node::Node;
use crate::properties::{Overrides, Properties};
use crate::property_table::set_by;
use bytes::Bytes;
use ringhold_core::crdt::Kind;
use ringhold_core::ring::{BucketType, BucketTypes, TypeState};
use ringhold_wire::backup::BackedUpType;
use std::sync::Arc;

/// What became of the types of a backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RestoredTypes {
    pub created: u64,
    /// Of those that were created now or before.
    pub activated: u64,
    /// Were here as far as they were there.
    pub present: u64,
}

impl Node {
    /// The types of this node's ring document, for a backup.
    pub(crate) fn types_to_back_up(&self) -> Vec<BackedUpType> {
        let types = self.types_here().into_iter();
        let backed_up = types.map(|(name, one)| BackedUpType {
            name,
            is_active: one.state == TypeState::Active,
            properties: one.properties,
        });
        backed_up.collect()
    }

    fn types_here(&self) -> BucketTypes {
        let ring = self.ring();
        ring.document().bucket_types().unwrap_or_default()
    }

    /// Creates and activates the types of a backup that are not here. Doing it again does no harm.
    ///
    /// # Errors
    /// If a type of one of the names is something else, nothing has changed. If a change of the ring does not come about, types before it may have
    /// been created.
    pub async fn restore_types(
        self: &Arc<Self>,
        types: Vec<BackedUpType>,
    ) -> Result<RestoredTypes, RestoreRefused> {
        let here = self.types_here();
        let mut wanted = Vec::with_capacity(types.len());
        for one in types {
            let set = Overrides::decode(one.properties.clone());
            let set = set.map_err(|_| RestoreRefused::TypeUnreadable {
                name: text(&one.name),
            })?;
            if let Some(known) = here.get(&one.name) {
                check_same(&one.name, &set, known)?;
            }
            wanted.push((one, set));
        }
        let mut restored = RestoredTypes::default();
        for (one, set) in &wanted {
            if here.contains_key(&one.name) {
                continue;
            }
            let created = self.create_bucket_type(&one.name, set).await;
            created.map_err(|reason| not_restored(&one.name, reason))?;
            restored.created += 1;
        }
        // All are created by then, so the members' knowing of them is waited for once.
        for (one, _) in wanted {
            let known = here.get(&one.name);
            let is_active = known.is_some_and(|known| known.state == TypeState::Active);
            if !one.is_active || is_active {
                restored.present += u64::from(known.is_some());
                continue;
            }
            let activated = self.activate_bucket_type(&one.name).await;
            activated.map_err(|reason| not_restored(&one.name, reason))?;
            restored.activated += 1;
        }
        Ok(restored)
    }
}

/// Whether a type is here what it was there, as far as that can't be changed.
fn check_same(name: &Bytes, theirs: &Overrides, here: &BucketType) -> Result<(), RestoreRefused> {
    // How many replicas there are says nothing about these.
    let theirs = Properties::of_type(1, theirs);
    let ours = Properties::of_type(1, &set_by(here));
    let datatype = |properties: &Properties| {
        let kind = properties.datatype.map(Kind::name);
        kind.unwrap_or("none").to_owned()
    };
    let write_once = |properties: &Properties| properties.write_once.to_string();
    let fixed = [
        ("datatype", datatype(&theirs), datatype(&ours)),
        ("write_once", write_once(&theirs), write_once(&ours)),
    ];
    let conflict = fixed.into_iter().find(|(_, theirs, ours)| theirs != ours);
    match conflict {
        None => Ok(()),
        Some((property, theirs, ours)) => Err(RestoreRefused::OtherType {
            name: text(name),
            property,
            theirs,
            ours,
        }),
    }
}

fn not_restored(name: &Bytes, reason: ChangeFailed) -> RestoreRefused {
    let name = text(name);
    RestoreRefused::TypeNotRestored { name, reason }
}

fn text(name: &Bytes) -> String {
    String::from_utf8_lossy(name).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::{Value, propose_type};
    use ringhold_core::ring::Epoch;

    fn set(properties: &[(&str, &str)]) -> Overrides {
        let value = |text: &str| Value::Text(text.to_owned());
        let proposals = properties.iter().map(|(name, text)| (*name, value(text)));
        propose_type(proposals).expect("a type may be so")
    }

    #[test]
    fn what_can_be_changed_may_differ_and_nothing_else() {
        let check = |theirs: &[(&str, &str)], ours: &[(&str, &str)]| {
            let here = BucketType {
                state: TypeState::Created,
                created_in: Epoch(2),
                properties: set(ours).encode(),
            };
            let checked = check_same(&Bytes::from_static(b"t"), &set(theirs), &here);
            checked.map_err(|refused| refused.to_string())
        };
        let sets = [("datatype", "set")];
        let checked = [
            check(&sets, &sets),
            check(&sets, &[("datatype", "set"), ("r", "one")]),
            check(&[("allow_mult", "false")], &[]),
        ];
        assert_eq!(checked, [Ok(()), Ok(()), Ok(())]);
        let refused = check(&sets, &[]).expect_err("values would be of no use");
        assert!(
            refused.contains("t has datatype set in the backup and none here"),
            "{refused}"
        );
        let refused = check(&[], &[("write_once", "true")]);
        assert!(refused.is_err_and(|text| text.contains("write_once")));
    }
}
