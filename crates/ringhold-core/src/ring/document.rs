//! The ring document: all that nodes must agree on, numbered, hashed, never changed in place.
//!
//! Dynamo spread membership by gossip and let each node make up its mind (§4.8.1). Its successors
//! lost data by that: two joins at once, two owners of a partition, merges that never settled
//! (T14). So here a ring is a *document*. Each has an [`Epoch`], one more than the document it
//! replaces and whose hash it carries, so that a majority of voters can accept it as a whole or not
//! at all, and gossip only has to carry what is already agreed.
//!
//! A document is made of sections with a hash each: members, placement, staged changes, and any number of further
//! ones (bucket types, users, feature flags) which this module carries as named bytes, so that a
//! node keeps what it does not understand. The document's hash covers the sections' hashes: nodes
//! compare and send only the sections that differ. A hash is of a canonical byte form, private to
//! this module and independent of the order in which members or further sections happen to be
//! listed.
//!
//! Invariants: [`RingDocument::hash`] differs if anything in the document does; the hash of a
//! sealed document is its content's; `placement_number` rises with each change of the placement
//! section and with nothing else, since data requests wait for that section only.
//!
//! Not here: whether a document makes sense (`validation`), how it is agreed on, and how it is
//! encoded for disk and network (the wire crate).

use std::collections::BTreeSet;
use std::fmt;

use bytes::Bytes;

use super::assignment::assign;
use super::change::{Change, Next};
use super::position::PartitionCount;
use super::replication::{BucketName, Replication};
use super::share::AssignmentMember;
use super::validation::{InvalidRing, validate};
use crate::id::{ClusterId, NodeId};

/// The number of a ring document; the founding document has number 1.
///
/// The upper 32 bits are the *generation*, 0 at first: see [`generation`](super::generation).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch of a founding document.
    pub const FIRST: Self = Self(1);
}

/// The number alone in the first generation, else `2.17`: the seventeenth document after the second recovery.
impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.generation() {
            0 => self.0.fmt(f),
            generation => write!(f, "{generation}.{}", self.number()),
        }
    }
}

/// The first 16 bytes of a BLAKE3 hash: of a section, or of a document.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RingHash(pub [u8; 16]);

impl RingHash {
    /// What stands for the previous document in a founding one.
    pub const NONE: Self = Self([0; 16]);
}

impl fmt::Display for RingHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for RingHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RingHash({:08x}…)", u128::from_be_bytes(self.0) >> 96)
    }
}

/// Where a member stands between joining and being gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MemberState {
    /// Admitted; owns nothing yet, but may in the `next` table.
    Joining,
    /// A full member.
    Up,
    /// On its way out by an operator's word: owns what it has not yet handed over.
    Leaving,
    /// Declared absent by an operator: owns what it owned, and is not expected to answer.
    Down,
    /// Given up when the cluster went on without a majority: it never votes or comes back, like a removed one, and owns
    /// what it owned only until others have filled that.
    Lost,
    /// Gone for ever; listed so that it is known when it comes back (T17).
    Removed,
}

impl MemberState {
    /// Whether such a member may stand in the `owners` table, and is listed in preference lists.
    pub fn may_own(self) -> bool {
        matches!(self, Self::Up | Self::Leaving | Self::Down | Self::Lost)
    }

    /// Whether such a member may stand in the `next` table.
    pub fn may_own_next(self) -> bool {
        self.votes() || self == Self::Joining
    }

    /// Whether such a member votes on the next document.
    pub fn votes(self) -> bool {
        matches!(self, Self::Up | Self::Leaving | Self::Down)
    }

    /// Whether such a member is none any more, and is told so when it comes back (T17).
    pub fn is_gone(self) -> bool {
        matches!(self, Self::Lost | Self::Removed)
    }

    /// The number that stands for the state in the canonical byte form.
    fn canonical(self) -> u8 {
        match self {
            Self::Joining => 1,
            Self::Up => 2,
            Self::Leaving => 3,
            Self::Down => 4,
            Self::Removed => 5,
            Self::Lost => 6,
        }
    }
}

/// Where a member is reached; each `host:port`, or empty if it does not offer that service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Addresses {
    /// For other members.
    pub peer: String,
    /// For clients, over HTTP.
    pub http: String,
    /// For clients, over Riak's Protocol Buffers.
    pub pb: String,
    /// For clients, over the native protocol.
    pub native: String,
}

/// A node that is, will be or was part of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Member {
    pub id: NodeId,
    /// What operators call it; unique among members that are not removed.
    pub name: String,
    pub addresses: Addresses,
    /// Data centre or failure domain; empty is a zone like any other.
    pub zone: String,
    /// Rack within the zone; empty is a rack like any other.
    pub rack: String,
    /// Capacity relative to other members; at least 1.
    pub weight: u32,
    pub state: MemberState,
}

impl Member {
    /// All that is text of a member, in the order in which it is encoded: name, addresses, zone, rack.
    pub fn texts(&self) -> [&String; 7] {
        let Addresses {
            peer,
            http,
            pb,
            native,
        } = &self.addresses;
        [&self.name, peer, http, pb, native, &self.zone, &self.rack]
    }

    /// The member as assignment sees it.
    pub fn for_assignment(&self) -> AssignmentMember<'_> {
        AssignmentMember {
            id: self.id,
            zone: &self.zone,
            weight: self.weight,
        }
    }
}

/// Who owns each partition, and who will.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Placement {
    pub partition_count: PartitionCount,
    /// The owner of each partition, in order of partition.
    pub owners: Vec<NodeId>,
    /// What partitions are being moved to, while they are.
    pub next: Option<Next>,
    /// Rises by one with each change of this section.
    pub placement_number: u64,
    /// So many consecutive partitions should have distinct owners.
    pub target_n: u8,
    /// How many replicas the keys of each bucket have.
    pub replication: Replication,
}

impl Placement {
    /// Whether all keys have as many replicas as they have where nobody says anything, and nobody is changing that.
    pub fn has_plain_replication(&self) -> bool {
        let plain = Replication::default();
        let next = self.next.as_ref().map(|next| &next.replication);
        self.replication == plain && next.is_none_or(|next| *next == plain)
    }
}

/// A section that this module only carries.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FurtherSection {
    /// Unique in a document, and none of the names below.
    pub name: String,
    pub bytes: Bytes,
}

/// The name of the section with the members.
pub const MEMBERS_SECTION: &str = "members";
/// The name of the section with the placement.
pub const PLACEMENT_SECTION: &str = "placement";
/// The name of the section with the changes that operators have staged.
pub const STAGED_SECTION: &str = "staged";

/// A section's name and the hash of its content.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SectionHash {
    pub name: String,
    pub hash: RingHash,
}

/// One agreed state of the cluster. Immutable by custom: a change makes a
/// [`successor`](Self::successor).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RingDocument {
    pub cluster_id: ClusterId,
    pub epoch: Epoch,
    /// The hash of the document that this one replaces; [`RingHash::NONE`] in a founding one.
    pub previous: RingHash,
    pub members: Vec<Member>,
    pub placement: Placement,
    /// What operators want changed, and have not committed yet.
    pub staged: Vec<Change>,
    pub further: Vec<FurtherSection>,
    /// As received or [sealed](Self::sealed); `validation` compares them with the content.
    pub section_hashes: Vec<SectionHash>,
}

impl RingDocument {
    /// The first document of a cluster: epoch 1, with the members that may own assigned their
    /// partitions.
    ///
    /// Fails, with every fault found, if these members make no valid ring.
    pub fn found(
        cluster_id: ClusterId,
        members: Vec<Member>,
        partition_count: PartitionCount,
        target_n: u8,
    ) -> Result<Self, InvalidRing> {
        let owning: Vec<AssignmentMember<'_>> = members
            .iter()
            .filter(|member| member.state.may_own() && member.weight > 0)
            .map(Member::for_assignment)
            .collect();
        let owners = match owning.as_slice() {
            [] => Vec::new(),
            owning => assign(owning, partition_count, None, target_n),
        };
        let placement = Placement {
            partition_count,
            owners,
            next: None,
            placement_number: 1,
            target_n,
            replication: Replication::default(),
        };
        let document = Self {
            cluster_id,
            epoch: Epoch::FIRST,
            previous: RingHash::NONE,
            members,
            placement,
            staged: Vec::new(),
            further: Vec::new(),
            section_hashes: Vec::new(),
        }
        .sealed();
        validate(&document)?;
        Ok(document)
    }

    /// A founding document whose keys have so many replicas where their bucket says nothing else.
    ///
    /// Fails if that is no number of replicas.
    pub fn with_replicas(mut self, n: u8) -> Result<Self, InvalidRing> {
        self.placement.replication.default = n;
        let document = self.sealed();
        validate(&document)?;
        Ok(document)
    }

    /// A draft of the next document: this one's content, the next epoch, this one's hash. To be
    /// changed, then [sealed](Self::sealed) and validated.
    pub fn successor(&self) -> Self {
        let epoch = self
            .epoch
            .0
            .checked_add(1)
            .expect("changes are made by people, one at a time");
        Self {
            epoch: Epoch(epoch),
            previous: self.hash(),
            ..self.clone()
        }
    }

    /// The same document with the hashes that its sections have.
    pub fn sealed(mut self) -> Self {
        self.section_hashes = self.count_section_hashes();
        self
    }

    /// The hash that names this document: of cluster, epoch, previous document and section hashes.
    pub fn hash(&self) -> RingHash {
        let mut form = CanonicalForm::new("ring document");
        form.number(self.cluster_id.0);
        form.number(u128::from(self.epoch.0));
        form.bytes(&self.previous.0);
        let mut sections: Vec<&SectionHash> = self.section_hashes.iter().collect();
        sections.sort_by(|a, b| a.name.cmp(&b.name));
        form.length(sections.len());
        for section in sections {
            form.bytes(section.name.as_bytes());
            form.bytes(&section.hash.0);
        }
        form.hash()
    }

    /// The hash of each section as its content is now: members, placement, staged, then the further ones by
    /// name.
    pub fn count_section_hashes(&self) -> Vec<SectionHash> {
        let mut further: Vec<&FurtherSection> = self.further.iter().collect();
        further.sort_by(|a, b| a.name.cmp(&b.name));
        let own = [
            (MEMBERS_SECTION, self.hash_members()),
            (PLACEMENT_SECTION, self.hash_placement()),
            (STAGED_SECTION, self.hash_staged()),
        ];
        own.into_iter()
            .chain(
                further
                    .into_iter()
                    .map(|section| (section.name.as_str(), section.hash())),
            )
            .map(|(name, hash)| SectionHash {
                name: name.to_owned(),
                hash,
            })
            .collect()
    }

    /// The member of this identity.
    pub fn member(&self, id: NodeId) -> Option<&Member> {
        self.members.iter().find(|member| member.id == id)
    }

    /// Those who vote on the next document.
    pub fn voters(&self) -> BTreeSet<NodeId> {
        let voting = self.members.iter().filter(|member| member.state.votes());
        voting.map(|member| member.id).collect()
    }

    fn hash_members(&self) -> RingHash {
        let mut members: Vec<&Member> = self.members.iter().collect();
        members.sort_by_key(|member| member.id);
        let mut form = CanonicalForm::new("ring section members");
        form.length(members.len());
        for member in members {
            form.number(member.id.0);
            for text in member.texts() {
                form.bytes(text.as_bytes());
            }
            form.number(u128::from(member.weight));
            form.number(u128::from(member.state.canonical()));
        }
        form.hash()
    }

    fn hash_placement(&self) -> RingHash {
        let placement = &self.placement;
        let mut form = CanonicalForm::new("ring section placement");
        form.number(u128::from(placement.partition_count.count()));
        form.number(u128::from(placement.placement_number));
        form.number(u128::from(placement.target_n));
        let next = placement.next.as_ref();
        let tables = [Some(&placement.owners), next.map(|next| &next.owners)];
        for table in tables.into_iter().flatten() {
            form.length(table.len());
            for owner in table {
                form.number(owner.0);
            }
        }
        if let Some(next) = next {
            form.changes(&next.changes);
        }
        // What a release does not know that came before replicas were part of this.
        if !placement.has_plain_replication() {
            form.bytes(b"replication");
            form.replication(&placement.replication);
            if let Some(next) = next {
                form.replication(&next.replication);
            }
        }
        form.hash()
    }

    fn hash_staged(&self) -> RingHash {
        let mut form = CanonicalForm::new("ring section staged");
        form.changes(&self.staged);
        form.hash()
    }
}

impl FurtherSection {
    fn hash(&self) -> RingHash {
        let mut form = CanonicalForm::new("ring section further");
        form.bytes(self.name.as_bytes());
        form.bytes(&self.bytes);
        form.hash()
    }
}

/// Bytes for hashing only: numbers of 16 bytes, texts and lists with their lengths before them, so
/// no two contents have one form.
struct CanonicalForm {
    hasher: blake3::Hasher,
}

impl CanonicalForm {
    fn new(kind: &str) -> Self {
        let mut form = Self {
            hasher: blake3::Hasher::new(),
        };
        form.bytes(kind.as_bytes());
        form
    }

    fn number(&mut self, number: u128) {
        self.hasher.update(&number.to_be_bytes());
    }

    fn length(&mut self, length: usize) {
        self.number(u128::try_from(length).expect("a u128 holds a usize"));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.hasher.update(bytes);
    }

    fn changes(&mut self, changes: &[Change]) {
        self.length(changes.len());
        for change in changes {
            match change {
                Change::Join { node } => self.kind(1, *node),
                Change::Leave { node } => self.kind(2, *node),
                Change::Remove { node } => self.kind(3, *node),
                Change::Replace { old, new } => {
                    self.kind(4, *old);
                    self.number(new.0);
                }
                Change::Weigh { node, weight } => {
                    self.kind(5, *node);
                    self.number(u128::from(*weight));
                }
                Change::Place { node, zone, rack } => {
                    self.kind(6, *node);
                    self.bytes(zone.as_bytes());
                    self.bytes(rack.as_bytes());
                }
                Change::Replicate { bucket, n } => {
                    self.number(7);
                    self.bucket(bucket, *n);
                }
            }
        }
    }

    fn replication(&mut self, replication: &Replication) {
        self.number(u128::from(replication.default));
        self.length(replication.buckets.len());
        for (bucket, n) in &replication.buckets {
            self.bucket(bucket, *n);
        }
    }

    fn bucket(&mut self, bucket: &BucketName, n: u8) {
        self.bytes(&bucket.bucket_type);
        self.bytes(&bucket.bucket);
        self.number(u128::from(n));
    }

    fn kind(&mut self, kind: u128, node: NodeId) {
        self.number(kind);
        self.number(node.0);
    }

    fn hash(&self) -> RingHash {
        let hash = self.hasher.finalize();
        RingHash(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(number: u128) -> Member {
        Member {
            id: NodeId(number),
            name: format!("node-{number}"),
            addresses: Addresses {
                peer: format!("10.0.0.{number}:7000"),
                ..Addresses::default()
            },
            zone: "a".into(),
            rack: String::new(),
            weight: 1,
            state: MemberState::Up,
        }
    }

    fn founded() -> RingDocument {
        let members = (1..=4).map(member).collect();
        RingDocument::found(ClusterId(7), members, PartitionCount::MIN, 3)
            .expect("four full members")
    }

    #[test]
    fn a_cluster_is_founded_at_epoch_1_and_goes_on_by_successors() {
        let first = founded();
        assert_eq!((first.epoch, first.previous), (Epoch(1), RingHash::NONE));
        let second = first.successor().sealed();
        assert_eq!((second.epoch, second.previous), (Epoch(2), first.hash()));
        assert_ne!(second.hash(), first.hash());
        assert_eq!(second.section_hashes, first.section_hashes);
    }

    #[test]
    fn the_hash_does_not_depend_on_listing_order() {
        let mut document = founded();
        let section = |name: &str| FurtherSection {
            name: name.into(),
            bytes: Bytes::from_static(b"x"),
        };
        document.further = vec![section("types"), section("users")];
        let mut listed_otherwise = document.clone();
        listed_otherwise.members.reverse();
        listed_otherwise.further.reverse();
        assert_eq!(document.sealed().hash(), listed_otherwise.sealed().hash());
    }

    /// A change, and the section whose hash it changes.
    type Change = (&'static str, fn(&mut RingDocument));

    #[test]
    fn each_change_of_content_changes_its_section_and_the_document() {
        let changes: [Change; 19] = [
            (MEMBERS_SECTION, |d| d.members[0].id = NodeId(99)),
            (MEMBERS_SECTION, |d| d.members[0].name.push('x')),
            (MEMBERS_SECTION, |d| d.members[0].addresses.peer.push('1')),
            (MEMBERS_SECTION, |d| d.members[0].addresses.http.push('1')),
            (MEMBERS_SECTION, |d| d.members[0].addresses.pb.push('1')),
            (MEMBERS_SECTION, |d| d.members[0].addresses.native.push('1')),
            (MEMBERS_SECTION, |d| d.members[0].zone.push('b')),
            (MEMBERS_SECTION, |d| d.members[0].rack.push('b')),
            (MEMBERS_SECTION, |d| d.members[0].weight += 1),
            (MEMBERS_SECTION, |d| d.members[0].state = MemberState::Down),
            (MEMBERS_SECTION, |d| d.members.truncate(3)),
            (PLACEMENT_SECTION, |d| d.placement.owners.swap(0, 1)),
            (PLACEMENT_SECTION, |d| {
                d.placement.next = Some(Next {
                    owners: d.placement.owners.clone(),
                    changes: Vec::new(),
                    replication: Replication::default(),
                });
            }),
            (PLACEMENT_SECTION, |d| d.placement.replication.default = 2),
            (PLACEMENT_SECTION, |d| {
                let bucket = BucketName {
                    bucket_type: Bytes::from_static(b"default"),
                    bucket: Bytes::from_static(b"carts"),
                };
                d.placement.replication.set(&bucket, 5);
            }),
            (PLACEMENT_SECTION, |d| d.placement.placement_number += 1),
            (PLACEMENT_SECTION, |d| d.placement.target_n += 1),
            (PLACEMENT_SECTION, |d| {
                d.placement.partition_count = PartitionCount::default();
            }),
            ("types", |d| d.further[0].bytes = Bytes::from_static(b"y")),
        ];
        let mut document = founded();
        document.further = vec![FurtherSection {
            name: "types".into(),
            bytes: Bytes::from_static(b"x"),
        }];
        let document = document.sealed();
        for (index, (section, change)) in changes.into_iter().enumerate() {
            let mut changed = document.clone();
            change(&mut changed);
            let changed = changed.sealed();
            assert_ne!(changed.hash(), document.hash(), "change {index}");
            for (before, after) in document.section_hashes.iter().zip(&changed.section_hashes) {
                assert_eq!(
                    before.hash != after.hash,
                    before.name == section,
                    "change {index}"
                );
            }
        }
    }

    #[test]
    fn the_hash_covers_the_heading() {
        let document = founded();
        let others = [
            RingDocument {
                cluster_id: ClusterId(8),
                ..document.clone()
            },
            RingDocument {
                epoch: Epoch(2),
                ..document.clone()
            },
            RingDocument {
                previous: RingHash([1; 16]),
                ..document.clone()
            },
        ];
        for other in others {
            assert_ne!(other.hash(), document.hash());
        }
    }
}
