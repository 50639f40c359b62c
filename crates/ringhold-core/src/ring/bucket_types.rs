//! Bucket types: what all buckets of a kind have in common.
//!
//! A bucket is there as soon as a key is in it; a *type* has to be created, because it says what cannot be changed once there are keys: that values are
//! counters, or that they are written once. All nodes must say the same of a type, so types are a section of the ring document and change by
//! the same agreement as everything else in it.
//!
//! | step | who asks | the type is then |
//! | --- | --- | --- |
//! | [`creating`](RingDocument::creating_type), as often as one likes | an operator | created: nobody can use it |
//! | (documents spread) | | *ready*, as soon as every member serves by a document that has it |
//! | [`activating`](RingDocument::activating_type) | an operator | active, for ever |
//! | [`updating`](RingDocument::updating_type) | an operator | active, with other properties |
//!
//! **Why not active at once.** Whoever has the document in which a type is active takes writes for it, and may have another member carry them out. That member
//! may be behind by a few documents. Had it never heard of the type, it would refuse what its neighbour has just promised. So a type is
//! active only after each member has said that it serves by a document in which it was created: who is behind then knows the type as it was
//! created, and what can't be changed about it was said at creation.
//!
//! Properties are bytes here: what they mean, and which may be changed, is the node's to say. Types can't be deleted: their keys would be left.
//!
//! Invariants ([`succession`]): what is active stays active; no type goes; an active type's properties are changed by the document that says so.
//!
//! How many replicas the buckets of a type have stands in the placement (`replication`). A type that is created has no keys, so its N need not go
//! over a `next` table: it is there with the type, in the placement in use and in the one to come.
//!
//! Not here: another N for an active type, for which keys move (`change`), and who serves by which document (gossip).

use super::change::ChangeRefused;
use super::document::{Epoch, FurtherSection, RingDocument};
use super::replication::BucketName;
use crate::id::NodeId;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt;

/// The section in which the types are listed.
pub const SECTION: &str = "bucket-types";
/// So many can be created: each is in every node's ring document.
pub const TYPES_MAX: usize = 1_024;
/// The longest name, in bytes.
pub const TYPE_NAME_BYTES_MAX: usize = 256;
/// The most that its properties take, in bytes.
pub const TYPE_PROPERTIES_BYTES_MAX: usize = 64 * 1024;

/// Names that no type may have: the type that is there without being created, and the word that means every type where something is granted.
const RESERVED: [&[u8]; 2] = [b"default", b"any"];

const FORMAT: u8 = 1;

/// How far a type has come. One that is ready is still created, as far as the document goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TypeState {
    Created,
    Active,
}

/// A type that was created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketType {
    pub state: TypeState,
    /// The document in which it was created as it is, before any update: who serves by this or a later one knows it.
    pub created_in: Epoch,
    /// What was set, as the node encodes it.
    pub properties: Bytes,
}

/// All types, by name.
pub type BucketTypes = BTreeMap<Bytes, BucketType>;

/// Why a type is not created, activated or changed. It stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeRefused {
    /// A name that no type may have.
    Reserved { name: String },
    /// A name of no bytes, or of too many.
    NameLength { bytes: usize },
    /// It was activated before.
    AlreadyActive { name: String },
    /// Nobody has created it.
    Unknown { name: String },
    /// It is not active, so it is created again instead.
    NotActive { name: String },
    /// The default type is what nodes are configured to.
    DefaultType,
    /// These members have not said that they know of it.
    NotReady { name: String, missing: Vec<String> },
    /// There are as many as there may be.
    TooMany,
    /// More than its properties may take.
    TooLarge { bytes: usize },
    /// Values that the properties can't have, with the reasons.
    Properties { refusals: Vec<(String, String)> },
}

impl fmt::Display for TypeRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reserved { name } => {
                write!(f, "The name '{name}' may not be used for bucket types")
            }
            Self::NameLength { bytes } => write!(
                f,
                "the name of a bucket type has 1 to {TYPE_NAME_BYTES_MAX} bytes, not {bytes}"
            ),
            Self::AlreadyActive { name } => write!(f, "{name} is active already"),
            Self::Unknown { name } => write!(f, "{name} is not an existing bucket type"),
            Self::NotActive { name } => write!(
                f,
                "{name} is not active: create it again as it is to be, or activate it first"
            ),
            Self::DefaultType => f.write_str("no_default_update"),
            Self::NotReady { name, missing } => write!(
                f,
                "{name} has been created and cannot be activated yet: {} has not said that it knows of it. \
                 Try again, or remove who will not come back",
                missing.join(", ")
            ),
            Self::TooMany => write!(f, "there are {TYPES_MAX} bucket types, and no more may be"),
            Self::TooLarge { bytes } => write!(
                f,
                "the properties take {bytes} bytes, and may take {TYPE_PROPERTIES_BYTES_MAX}"
            ),
            Self::Properties { refusals } => {
                for (index, (property, reason)) in refusals.iter().enumerate() {
                    let separator = if index == 0 { "" } else { "; " };
                    write!(f, "{separator}{property}: {reason}")?;
                }
                Ok(())
            }
        }
    }
}

impl From<TypeRefused> for ChangeRefused {
    fn from(refused: TypeRefused) -> Self {
        Self::BucketType(refused)
    }
}

impl RingDocument {
    /// The types; none if the section can't be read.
    pub fn bucket_types(&self) -> Option<BucketTypes> {
        let section = self.further.iter().find(|section| section.name == SECTION);
        section.map_or(Some(BucketTypes::new()), |section| decode(&section.bytes))
    }

    /// With a type created, or created anew; `n` if its buckets have another number of replicas than the cluster's.
    ///
    /// # Errors
    /// If it is active, or there can be no such type.
    pub fn creating_type(
        &self,
        name: &Bytes,
        properties: Bytes,
        n: Option<u8>,
    ) -> Result<Self, ChangeRefused> {
        let text = || String::from_utf8_lossy(name).into_owned();
        if RESERVED.contains(&&name[..]) {
            return Err(TypeRefused::Reserved { name: text() }.into());
        }
        if name.is_empty() || name.len() > TYPE_NAME_BYTES_MAX {
            let bytes = name.len();
            return Err(TypeRefused::NameLength { bytes }.into());
        }
        let mut types = self.bucket_types().unwrap_or_default();
        match types.get(name) {
            Some(known) if known.state == TypeState::Active => {
                return Err(TypeRefused::AlreadyActive { name: text() }.into());
            }
            Some(known) if known.properties == properties && self.has_n(name, n) => {
                return Err(ChangeRefused::NothingChanges);
            }
            None if types.len() >= TYPES_MAX => return Err(TypeRefused::TooMany.into()),
            _ => {}
        }
        let mut draft = self.successor();
        draft.set_n(name, n);
        let created = BucketType {
            state: TypeState::Created,
            created_in: draft.epoch,
            properties,
        };
        types.insert(name.clone(), created);
        draft.with_types(&types)
    }

    fn has_n(&self, name: &Bytes, n: Option<u8>) -> bool {
        let replication = &self.placement.replication;
        let n = n.unwrap_or(replication.default);
        replication.of(&BucketName::of_type(name)) == n
    }

    /// Gives a type without keys its N.
    fn set_n(&mut self, name: &Bytes, n: Option<u8>) {
        if self.has_n(name, n) {
            return;
        }
        let of_type = BucketName::of_type(name);
        let placement = &mut self.placement;
        let n = n.unwrap_or(placement.replication.default);
        placement.replication.set(&of_type, n);
        if let Some(next) = &mut placement.next {
            next.replication.set(&of_type, n);
        }
        placement.placement_number += 1;
    }

    /// With a type active, if every member serves by a document that has it. `serves_by` is what is known of that.
    ///
    /// # Errors
    /// If it was not created, is active, or somebody is not known to know it.
    pub fn activating_type(
        &self,
        name: &Bytes,
        serves_by: impl Fn(NodeId) -> Option<Epoch>,
    ) -> Result<Self, ChangeRefused> {
        let mut types = self.bucket_types().unwrap_or_default();
        let found = known(&mut types, name)?;
        if found.state == TypeState::Active {
            return Err(ChangeRefused::NothingChanges);
        }
        let members = self.members.iter().filter(|m| !m.state.is_gone());
        let knows = |node| serves_by(node).is_some_and(|epoch| epoch >= found.created_in);
        let missing = members.filter(|member| !knows(member.id));
        let missing: Vec<String> = missing.map(|member| member.name.clone()).collect();
        if !missing.is_empty() {
            let name = String::from_utf8_lossy(name).into_owned();
            return Err(TypeRefused::NotReady { name, missing }.into());
        }
        found.state = TypeState::Active;
        self.successor().with_types(&types)
    }

    /// With other properties of an active type.
    ///
    /// # Errors
    /// If it is not active, or has these properties.
    pub fn updating_type(&self, name: &Bytes, properties: Bytes) -> Result<Self, ChangeRefused> {
        if name == "default" {
            return Err(TypeRefused::DefaultType.into());
        }
        let mut types = self.bucket_types().unwrap_or_default();
        let found = known(&mut types, name)?;
        if found.state != TypeState::Active {
            let name = String::from_utf8_lossy(name).into_owned();
            return Err(TypeRefused::NotActive { name }.into());
        }
        if found.properties == properties {
            return Err(ChangeRefused::NothingChanges);
        }
        found.properties = properties;
        self.successor().with_types(&types)
    }

    fn with_types(mut self, types: &BucketTypes) -> Result<Self, ChangeRefused> {
        let too_large = types
            .values()
            .map(|one| one.properties.len())
            .find(|bytes| *bytes > TYPE_PROPERTIES_BYTES_MAX);
        if let Some(bytes) = too_large {
            return Err(TypeRefused::TooLarge { bytes }.into());
        }
        let bytes = encode(types);
        match self.further.iter_mut().find(|s| s.name == SECTION) {
            Some(section) => section.bytes = bytes,
            None => self.further.push(FurtherSection {
                name: SECTION.to_owned(),
                bytes,
            }),
        }
        self.checked()
    }
}

fn known<'a>(types: &'a mut BucketTypes, name: &Bytes) -> Result<&'a mut BucketType, TypeRefused> {
    types.get_mut(name).ok_or_else(|| TypeRefused::Unknown {
        name: String::from_utf8_lossy(name).into_owned(),
    })
}

/// Whether the types of one document may follow those of another: the name of one that may not.
#[must_use]
pub fn succession(held: &BucketTypes, proposed: &BucketTypes) -> Option<Bytes> {
    let fits = |name: &Bytes, before: &BucketType| {
        let Some(after) = proposed.get(name) else {
            return false;
        };
        let stays = before.state == TypeState::Created
            || (after.state, after.created_in) == (TypeState::Active, before.created_in);
        // One that comes into force does so as it was created, for that is what everybody knows of it.
        let begins = (before.state, after.state) == (TypeState::Created, TypeState::Active);
        stays
            && (!begins
                || (&after.properties, after.created_in) == (&before.properties, before.created_in))
    };
    let changed = held.iter().find(|(name, before)| !fits(name, before));
    let born_active = proposed
        .iter()
        .find(|(name, after)| after.state == TypeState::Active && !held.contains_key(*name));
    changed
        .map(|(name, _)| name)
        .or(born_active.map(|(name, _)| name))
        .cloned()
}

/// `format u8 1`, then of each, by name: `length u32 │ name │ state u8 (1 created, 2 active) │ created in u64 │ length u32 │ properties`.
fn encode(types: &BucketTypes) -> Bytes {
    let mut out = vec![FORMAT];
    let mut put = |bytes: &[&[u8]]| bytes.iter().for_each(|bytes| out.extend_from_slice(bytes));
    let length = |bytes: &Bytes| {
        let length = u32::try_from(bytes.len()).expect("checked where it is set");
        length.to_be_bytes()
    };
    for (name, one) in types {
        let state = match one.state {
            TypeState::Created => 1,
            TypeState::Active => 2,
        };
        put(&[&length(name), name, &[state]]);
        put(&[
            &one.created_in.0.to_be_bytes(),
            &length(&one.properties),
            &one.properties,
        ]);
    }
    out.into()
}

fn decode(bytes: &Bytes) -> Option<BucketTypes> {
    let mut rest = bytes.strip_prefix(&[FORMAT])?;
    let mut types = BucketTypes::new();
    while !rest.is_empty() {
        let name = text(bytes, &mut rest, TYPE_NAME_BYTES_MAX)?;
        let state = match take::<1>(&mut rest)? {
            [1] => TypeState::Created,
            [2] => TypeState::Active,
            _ => return None,
        };
        let created_in = Epoch(u64::from_be_bytes(take(&mut rest)?));
        let properties = text(bytes, &mut rest, TYPE_PROPERTIES_BYTES_MAX)?;
        let is_next = types.last_key_value().is_none_or(|(last, _)| *last < name);
        if !is_next || types.len() >= TYPES_MAX {
            return None;
        }
        let one = BucketType {
            state,
            created_in,
            properties,
        };
        types.insert(name, one);
    }
    Some(types)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*first)
}

fn text(whole: &Bytes, rest: &mut &[u8], max: usize) -> Option<Bytes> {
    let length = usize::try_from(u32::from_be_bytes(take(rest)?)).ok()?;
    let text = rest.get(..length).filter(|_| length <= max)?;
    *rest = &rest[length..];
    Some(whole.slice_ref(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ClusterId;
    use crate::ring::{Addresses, Member, MemberState, PartitionCount, validate_succession};

    fn founded() -> RingDocument {
        let member = |number: u128| Member {
            id: NodeId(number),
            name: format!("node{number}"),
            addresses: Addresses::default(),
            zone: String::new(),
            rack: String::new(),
            weight: 1,
            state: MemberState::Up,
        };
        let members = (1..=3).map(member).collect();
        RingDocument::found(ClusterId(7), members, PartitionCount::MIN, 3).expect("equal members")
    }

    fn created(document: &RingDocument, name: &'static str, set: &'static [u8]) -> RingDocument {
        let created = document.creating_type(&name.into(), Bytes::from_static(set), None);
        let created = created.expect("it is not active");
        assert_eq!(validate_succession(document, &created), Ok(()));
        created
    }

    fn all_know(epoch: Epoch) -> impl Fn(NodeId) -> Option<Epoch> {
        move |_| Some(epoch)
    }

    fn refusal(refused: Result<RingDocument, ChangeRefused>) -> String {
        refused.expect_err("this is to be refused").to_string()
    }

    #[test]
    fn a_type_is_created_again_until_it_is_active_and_updated_from_then_on() {
        let sets: Bytes = "sets".into();
        let once = created(&founded(), "sets", b"a");
        assert_eq!(
            once.creating_type(&sets, "a".into(), None),
            Err(ChangeRefused::NothingChanges)
        );
        let twice = created(&once, "sets", b"b");
        assert!(refusal(twice.updating_type(&sets, "c".into())).contains("is not active"));
        let active = twice.activating_type(&sets, all_know(twice.epoch));
        let active = active.expect("all know it");
        assert_eq!(validate_succession(&twice, &active), Ok(()));
        assert_eq!(
            active.activating_type(&sets, all_know(active.epoch)),
            Err(ChangeRefused::NothingChanges)
        );
        assert!(refusal(active.creating_type(&sets, "d".into(), None)).contains("active already"));
        let updated = active.updating_type(&sets, "d".into()).expect("active");
        assert_eq!(validate_succession(&active, &updated), Ok(()));
        let types = updated.bucket_types().expect("just written");
        let state = (types[&sets].state, &types[&sets].properties[..]);
        assert_eq!(state, (TypeState::Active, &b"d"[..]));
    }

    #[test]
    fn a_type_may_begin_with_an_n_of_its_own_whatever_is_under_way() {
        let n_of = |document: &RingDocument| {
            let of_sets = BucketName::of_type(&"sets".into());
            let placement = &document.placement;
            let next = placement.next.as_ref();
            let next = next.map(|next| next.replication.of(&of_sets));
            (placement.replication.of(&of_sets), next)
        };
        let carts = BucketName {
            bucket_type: "default".into(),
            bucket: "carts".into(),
        };
        let moving = founded().replicating(&carts, 2).expect("nothing goes on");
        let create = |document: &RingDocument, n| {
            let created = document.creating_type(&"sets".into(), "a".into(), n);
            let created = created.expect("it is not active");
            assert_eq!(validate_succession(document, &created), Ok(()));
            created
        };
        let two = create(&moving, Some(2));
        assert_eq!(n_of(&two), (2, Some(2)));
        assert_eq!(
            two.creating_type(&"sets".into(), "a".into(), Some(2)),
            Err(ChangeRefused::NothingChanges)
        );
        let aborted = two.aborting().expect("it is under way");
        assert_eq!(n_of(&aborted), (2, None));
        let over = two.finishing().expect("it is under way");
        assert_eq!(n_of(&over), (2, None));
        assert_eq!(n_of(&create(&over, Some(5))), (5, None));
        let plain = create(&over, None);
        assert_eq!(n_of(&plain), (3, None));
        assert!(
            over.creating_type(&"sets".into(), "a".into(), Some(17))
                .is_err()
        );
    }

    #[test]
    fn a_type_waits_for_every_member_that_is_not_gone() {
        let once = created(&founded(), "sets", b"a");
        let late = |node: NodeId| match node.0 {
            1 => Some(once.epoch),
            2 => Some(Epoch(once.epoch.0 - 1)),
            _ => None,
        };
        let text = refusal(once.activating_type(&"sets".into(), late));
        assert!(text.contains("node2, node3 has not said"), "{text}");
        // Created anew, it has to be heard of anew.
        let twice = created(&once, "sets", b"b");
        assert!(
            twice
                .activating_type(&"sets".into(), all_know(once.epoch))
                .is_err()
        );
        let mut grown = twice.clone();
        grown.members.push(Member {
            id: NodeId(4),
            state: MemberState::Removed,
            ..grown.members[0].clone()
        });
        let known = |node: NodeId| (node.0 < 4).then_some(twice.epoch);
        let active = grown.sealed().activating_type(&"sets".into(), known);
        assert!(active.is_ok(), "who is gone is not waited for");
    }

    #[test]
    fn names_and_numbers_have_limits() {
        let founded = founded();
        let create = |name: Bytes| founded.creating_type(&name, Bytes::new(), None);
        assert_eq!(
            refusal(create("any".into())),
            "The name 'any' may not be used for bucket types"
        );
        for name in ["default".into(), Bytes::new(), vec![b'x'; 257].into()] {
            assert!(create(name).is_err());
        }
        assert!(create(vec![b'x'; 256].into()).is_ok());
        let huge = vec![0; TYPE_PROPERTIES_BYTES_MAX + 1];
        assert!(
            founded
                .creating_type(&"a".into(), huge.into(), None)
                .is_err()
        );
        assert_eq!(
            refusal(founded.updating_type(&"default".into(), Bytes::new())),
            "no_default_update"
        );
        assert_eq!(
            refusal(founded.updating_type(&"nope".into(), Bytes::new())),
            "nope is not an existing bucket type"
        );
    }

    #[test]
    fn what_is_active_stays_and_nothing_else_may_follow() {
        let once = created(&founded(), "sets", b"a");
        let active = once.activating_type(&"sets".into(), all_know(once.epoch));
        let held = active.expect("all know it").bucket_types().expect("read");
        let before = once.bucket_types().expect("read");
        let sets: Bytes = "sets".into();
        let with = |change: fn(&mut BucketType)| {
            let mut types = held.clone();
            change(types.get_mut(&sets).expect("it is there"));
            types
        };
        assert_eq!(succession(&held, &held), None);
        assert_eq!(succession(&before, &held), None);
        assert_eq!(
            succession(&held, &with(|t| t.properties = "z".into())),
            None
        );
        assert_eq!(
            succession(&before, &with(|t| t.properties = "z".into())),
            Some(sets.clone())
        );
        assert_eq!(succession(&held, &before), Some(sets.clone()));
        assert_eq!(succession(&held, &BucketTypes::new()), Some(sets.clone()));
        assert_eq!(succession(&BucketTypes::new(), &held), Some(sets.clone()));
        assert_eq!(
            succession(&held, &with(|t| t.created_in.0 += 1)),
            Some(sets)
        );
    }

    #[test]
    fn types_come_back_from_their_section_and_nothing_else_does() {
        let document = created(&created(&founded(), "b", b"x"), "a", b"");
        let types = document.bucket_types().expect("just written");
        let bytes = encode(&types);
        let golden = [
            &[1, 0, 0, 0, 1, b'a', 1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0][..],
            &[
                0, 0, 0, 1, b'b', 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1, b'x',
            ],
        ];
        assert_eq!(bytes, golden.concat());
        let readable = (0..bytes.len()).filter(|end| decode(&bytes.slice(..*end)).is_some());
        // Where one type ends, and where none has begun.
        assert_eq!(readable.collect::<Vec<_>>(), [1, golden[0].len()]);
        let reversed = [&[1][..], golden[1], &golden[0][1..]].concat();
        assert_eq!(decode(&reversed.into()), None);
        let mut forged = document.clone();
        forged.further[0].bytes = Bytes::from_static(&[9]);
        assert!(crate::ring::validate(&forged.sealed()).is_err());
    }
}
