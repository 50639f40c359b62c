//! From an operator's wish to the next documents.
//!
//! Changes of membership are explicit (§4.8.1): somebody says that a node joins, leaves, is gone for good, weighs more. Each wish
//! is *staged* in the ring document itself, so that all operators see one list, wherever they ask, and two who stage at once
//! settle by the agreement on epochs. Nothing moves for a staged change. Then the list is committed as one:
//!
//! | step | document | what changes |
//! | --- | --- | --- |
//! | [stage](RingDocument::staging), [enrol](RingDocument::enrolling) | E | the list; a new member is known, and owns nothing |
//! | [commit](RingDocument::committing) | E+1 | the `next` table, with the changes that lead to it |
//! | (replicas are copied, and say that they are) | | |
//! | [finish](RingDocument::finishing) | E+2 | `next` becomes `owners`, the changes take effect |
//! | [part](RingDocument::parting) | E+3 | a leaver that has handed over everything is removed |
//!
//! How many replicas a bucket has is changed in the same way, alone and at once ([replicating](RingDocument::replicating)), since nobody
//! plans that together with others; or staged, as what was aborted is.
//!
//! Zone, rack and weight of a member decide about homes just as the owners do, so they too wait in the `next` table until it
//! becomes the table in use. A change under way may be [aborted](RingDocument::aborting) at any step before the finish; it is staged again
//! then. A removed identity stays listed for ever (T17).
//!
//! All of these are functions from a document to the draft of its successor. Invariants: a draft is valid and a valid
//! successor; owners change in [`finishing`](RingDocument::finishing) and nowhere else.
//!
//! Not here: agreement on the draft, copying, and when a step is due.

use super::assignment::assign;
use super::bucket_types::TypeRefused;
use super::document::{Member, MemberState, RingDocument};
use super::replication::{BucketName, Replication};
use super::share::AssignmentMember;
use super::validation::{InvalidRing, validate};
use crate::id::NodeId;
use std::collections::BTreeMap;
use std::fmt;

/// One thing that an operator wants changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Change {
    /// A joining member takes its share.
    Join { node: NodeId },
    /// A member hands over everything, then it is removed.
    Leave { node: NodeId },
    /// A member is dead for good: what it owned is filled from the others.
    Remove { node: NodeId },
    /// A joining member takes the place of one that is dead for good.
    Replace { old: NodeId, new: NodeId },
    /// A member's capacity relative to the others, at least 1.
    Weigh { node: NodeId, weight: u32 },
    /// A member stands elsewhere.
    Place {
        node: NodeId,
        zone: String,
        rack: String,
    },
    /// The keys of a bucket have so many replicas.
    Replicate { bucket: BucketName, n: u8 },
}

impl Change {
    /// The members that this is about.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> {
        let (first, second) = match self {
            Self::Join { node }
            | Self::Leave { node }
            | Self::Remove { node }
            | Self::Weigh { node, .. }
            | Self::Place { node, .. } => (Some(*node), None),
            Self::Replace { old, new } => (Some(*old), Some(*new)),
            Self::Replicate { .. } => (None, None),
        };
        first.into_iter().chain(second)
    }
}

/// A placement change under way: whose the partitions will be, and why.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Next {
    /// The owner of each partition, in order of partition.
    pub owners: Vec<NodeId>,
    /// What takes effect with it.
    pub changes: Vec<Change>,
    /// How many replicas keys will have.
    pub replication: Replication,
}

/// Why there is no such next document. The one that is held stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeRefused {
    /// No member has this identity, or it is removed.
    NoSuchMember { node: NodeId },
    /// The member is not in the state that the change is for.
    WrongState { name: String, state: MemberState },
    /// Something is staged for this member that this can't be added to.
    AlreadyStaged { name: String },
    /// Another member has this name.
    NameTaken { name: String },
    /// This identity was a member, or is one already.
    KnownIdentity { node: NodeId },
    /// The token with which it asks to join was used for another node.
    TokenSpent,
    /// A weight of 0.
    ZeroWeight { name: String },
    /// Nothing is staged.
    NothingStaged,
    /// Partitions are being moved; one placement change at a time.
    ChangeUnderWay,
    /// No partitions are being moved.
    NoChangeUnderWay,
    /// It is so already, or will be by the change under way.
    NothingChanges,
    /// A member runs a release that could not read the document.
    OlderRelease { name: String },
    /// Nobody would be left to own the ring.
    NobodyLeft,
    /// The member still owns partitions.
    StillOwns { name: String },
    /// Nobody that is named is a member who could be given up.
    NobodyLost,
    /// So many voters are left that they can agree without giving anything up.
    MajorityLives { living: usize, voters: usize },
    /// It is about a bucket type, which can't be so.
    BucketType(TypeRefused),
    /// What would come of it is no valid ring.
    Invalid(InvalidRing),
}

impl fmt::Display for ChangeRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchMember { node } => write!(f, "there is no member {node}"),
            Self::WrongState { name, state } => {
                write!(
                    f,
                    "{name} is {}: this is not for such a member",
                    word(*state)
                )
            }
            Self::AlreadyStaged { name } => write!(
                f,
                "something is staged for {name} already: commit it or abort it first"
            ),
            Self::NameTaken { name } => {
                write!(f, "another member is named {name:?}: choose another name")
            }
            Self::KnownIdentity { node } => write!(
                f,
                "node {node} is a member or was one: a node joins with an empty data directory and a new identity"
            ),
            Self::TokenSpent => f.write_str("the token was used for another node: draw a new one"),
            Self::ZeroWeight { name } => write!(f, "{name} can't weigh 0: let it leave instead"),
            Self::NothingStaged => f.write_str("nothing is staged"),
            Self::ChangeUnderWay => f.write_str(
                "another change of the placement is under way: wait for its end (`ringhold cluster transfers` shows how far it is), \
                 or abort it",
            ),
            Self::NoChangeUnderWay => f.write_str("no placement change is under way"),
            Self::NothingChanges => f.write_str("it is so already"),
            Self::OlderRelease { name } => write!(
                f,
                "{name} runs a release that knows one number of replicas for all buckets: upgrade it first"
            ),
            Self::NobodyLeft => f.write_str("no member would be left to own the ring"),
            Self::StillOwns { name } => write!(f, "{name} still owns partitions"),
            Self::NobodyLost => f.write_str(
                "nobody is named who is a member and could be given up: `ringhold cluster members` shows who there is",
            ),
            Self::MajorityLives { living, voters } => write!(
                f,
                "{living} of {voters} voters would be left, which is a majority: nothing has to be given up. \
                 Stage `ringhold cluster remove` for each member that is dead, and commit"
            ),
            Self::BucketType(refused) => refused.fmt(f),
            Self::Invalid(invalid) => invalid.fmt(f),
        }
    }
}

impl std::error::Error for ChangeRefused {}

/// A member's state in a word.
pub fn word(state: MemberState) -> &'static str {
    match state {
        MemberState::Joining => "joining",
        MemberState::Up => "up",
        MemberState::Leaving => "leaving",
        MemberState::Down => "down",
        MemberState::Lost => "lost",
        MemberState::Removed => "removed",
    }
}

/// The members as they are once some changes have taken effect.
pub fn members_after(members: &[Member], changes: &[Change]) -> Vec<Member> {
    let mut after: BTreeMap<NodeId, Member> = members.iter().map(|m| (m.id, m.clone())).collect();
    let mut set = |node: &NodeId, set: &dyn Fn(&mut Member)| {
        if let Some(member) = after.get_mut(node) {
            set(member);
        }
    };
    for change in changes {
        match change {
            Change::Join { node } => set(node, &|member| member.state = MemberState::Up),
            Change::Leave { node } => set(node, &|member| member.state = MemberState::Leaving),
            Change::Remove { node } => set(node, &|member| member.state = MemberState::Removed),
            Change::Replace { old, new } => {
                set(old, &|member| member.state = MemberState::Removed);
                set(new, &|member| member.state = MemberState::Up);
            }
            Change::Weigh { node, weight } => set(node, &|member| member.weight = *weight),
            Change::Place { node, zone, rack } => set(node, &|member| {
                member.zone.clone_from(zone);
                member.rack.clone_from(rack);
            }),
            Change::Replicate { .. } => {}
        }
    }
    after.into_values().collect()
}

impl RingDocument {
    /// With a new member that is known to all and owns nothing yet, and its join staged.
    ///
    /// # Errors
    /// If its name or identity is taken.
    pub fn enrolling(&self, joiner: Member) -> Result<Self, ChangeRefused> {
        let node = joiner.id;
        if self.member(node).is_some() {
            return Err(ChangeRefused::KnownIdentity { node });
        }
        let mut members = self.members.iter();
        if members.any(|m| m.state != MemberState::Removed && m.name == joiner.name) {
            return Err(ChangeRefused::NameTaken { name: joiner.name });
        }
        let mut draft = self.successor();
        draft.members.push(Member {
            state: MemberState::Joining,
            ..joiner
        });
        draft.staged.push(Change::Join { node });
        draft.checked()
    }

    /// With one more change staged.
    ///
    /// # Errors
    /// If it does not fit its member, or what is staged already.
    pub fn staging(&self, change: Change) -> Result<Self, ChangeRefused> {
        let mut draft = self.successor();
        match &change {
            Change::Join { node } => {
                self.in_state(*node, &[MemberState::Joining])?;
            }
            Change::Leave { node } => {
                self.in_state(*node, &[MemberState::Up])?;
            }
            Change::Remove { node } => {
                use MemberState::{Joining, Leaving, Lost, Up};
                self.in_state(*node, &[Up, Joining, Leaving, Lost])?;
                draft
                    .staged
                    .retain(|staged| staged.nodes().all(|other| other != *node));
            }
            Change::Replace { old, new } => {
                self.in_state(*old, &[MemberState::Up])?;
                self.in_state(*new, &[MemberState::Joining])?;
                draft.staged.retain(|s| *s != Change::Join { node: *new });
            }
            Change::Weigh { node, weight } => {
                let member = self.in_state(*node, &[MemberState::Up, MemberState::Joining])?;
                if *weight == 0 {
                    let name = member.name.clone();
                    return Err(ChangeRefused::ZeroWeight { name });
                }
                draft
                    .staged
                    .retain(|s| !matches!(s, Change::Weigh { node: n, .. } if n == node));
            }
            Change::Place { node, .. } => {
                self.in_state(*node, &[MemberState::Up, MemberState::Joining])?;
                draft
                    .staged
                    .retain(|s| !matches!(s, Change::Place { node: n, .. } if n == node));
            }
            Change::Replicate { bucket, .. } => {
                draft
                    .staged
                    .retain(|s| !matches!(s, Change::Replicate { bucket: b, .. } if b == bucket));
            }
        }
        draft.refuse_second(&change)?;
        draft.staged.push(change);
        draft.checked()
    }

    /// Where a member comes or goes, that is all that can be staged of its coming and going.
    fn refuse_second(&self, change: &Change) -> Result<(), ChangeRefused> {
        let moves = |change: &Change| {
            use Change::{Place, Replicate, Weigh};
            !matches!(change, Weigh { .. } | Place { .. } | Replicate { .. })
        };
        let earlier = self.staged.iter().filter(|staged| moves(staged));
        for staged in earlier {
            if let Some(node) = staged
                .nodes()
                .find(|n| moves(change) && change.nodes().any(|c| c == *n))
            {
                let name = self.name_of(node);
                return Err(ChangeRefused::AlreadyStaged { name });
            }
        }
        Ok(())
    }

    /// With nothing staged. Members that were to join are removed: they have to be enrolled anew.
    ///
    /// # Errors
    /// If nothing is staged.
    pub fn unstaging(&self) -> Result<Self, ChangeRefused> {
        if self.staged.is_empty() {
            return Err(ChangeRefused::NothingStaged);
        }
        let mut draft = self.successor();
        let moved = self
            .placement
            .next
            .as_ref()
            .map_or(&[][..], |next| &next.changes);
        let comes = |node| moved.iter().any(|change| change.nodes().any(|n| n == node));
        for member in &mut draft.members {
            if member.state == MemberState::Joining && !comes(member.id) {
                member.state = MemberState::Removed;
            }
        }
        draft.staged.clear();
        draft.checked()
    }

    /// With all that is staged under way.
    ///
    /// # Errors
    /// If nothing is staged, another change is under way, or nobody would be left.
    pub fn committing(&self) -> Result<Self, ChangeRefused> {
        if self.placement.next.is_some() {
            return Err(ChangeRefused::ChangeUnderWay);
        }
        if self.staged.is_empty() {
            return Err(ChangeRefused::NothingStaged);
        }
        let mut changes = self.staged.clone();
        changes.extend(self.unstaged_losses());
        let after = members_after(&self.members, &changes);
        let owning: Vec<AssignmentMember<'_>> = after
            .iter()
            .filter(|member| matches!(member.state, MemberState::Up | MemberState::Down))
            .map(Member::for_assignment)
            .collect();
        if owning.is_empty() {
            return Err(ChangeRefused::NobodyLeft);
        }
        let placement = &self.placement;
        let before = replaced(&placement.owners, &changes);
        let is_about_members = |change: &Change| change.nodes().next().is_some();
        let owners = if changes.iter().any(is_about_members) {
            assign(
                &owning,
                placement.partition_count,
                Some(&before),
                placement.target_n,
            )
        } else {
            before
        };
        let replication = replicated(&placement.replication, &changes);
        let mut draft = self.successor();
        for member in &mut draft.members {
            for change in &changes {
                match change {
                    Change::Leave { node } if *node == member.id => {
                        member.state = MemberState::Leaving;
                    }
                    // One that owns nothing yet stays as it is until it is removed.
                    Change::Remove { node } | Change::Replace { old: node, .. }
                        if *node == member.id && member.state.votes() =>
                    {
                        member.state = MemberState::Down;
                    }
                    _ => {}
                }
            }
        }
        draft.staged.clear();
        draft.placement.next = Some(Next {
            owners,
            changes,
            replication,
        });
        draft.placement.placement_number += 1;
        draft.checked()
    }

    /// With a bucket on its way to another number of replicas. What is staged stays staged.
    ///
    /// # Errors
    /// If another change is under way, the bucket has, or is to have, that many anyway, or there is no such number of replicas.
    pub fn replicating(&self, bucket: &BucketName, n: u8) -> Result<Self, ChangeRefused> {
        let placement = &self.placement;
        let next = placement.next.as_ref();
        let target = next.map_or(&placement.replication, |next| &next.replication);
        if target.of(bucket) == n {
            return Err(ChangeRefused::NothingChanges);
        }
        if next.is_some() {
            return Err(ChangeRefused::ChangeUnderWay);
        }
        let bucket = bucket.clone();
        let changes = vec![Change::Replicate { bucket, n }];
        let mut draft = self.successor();
        draft.placement.next = Some(Next {
            owners: placement.owners.clone(),
            replication: replicated(&placement.replication, &changes),
            changes,
        });
        draft.placement.placement_number += 1;
        draft.checked()
    }

    /// With the `next` table in use.
    ///
    /// # Errors
    /// If none is under way.
    pub fn finishing(&self) -> Result<Self, ChangeRefused> {
        let mut draft = self.successor();
        let next = draft.placement.next.take();
        let next = next.ok_or(ChangeRefused::NoChangeUnderWay)?;
        draft.members = members_after(&self.members, &next.changes);
        draft.placement.owners = next.owners;
        draft.placement.replication = next.replication;
        draft.placement.placement_number += 1;
        draft.checked()
    }

    /// With the placement change under way given up and staged again.
    ///
    /// # Errors
    /// If none is under way.
    pub fn aborting(&self) -> Result<Self, ChangeRefused> {
        let mut draft = self.successor();
        let next = draft.placement.next.take();
        let next = next.ok_or(ChangeRefused::NoChangeUnderWay)?;
        for member in &mut draft.members {
            if matches!(member.state, MemberState::Leaving | MemberState::Down)
                && next
                    .changes
                    .iter()
                    .any(|change| change.nodes().any(|n| n == member.id))
            {
                member.state = MemberState::Up;
            }
        }
        let staged_since = std::mem::replace(&mut draft.staged, next.changes);
        draft.staged.extend(staged_since);
        draft.placement.placement_number += 1;
        draft.checked()
    }

    /// Whoever was given up goes with the next change, whatever that is about.
    fn unstaged_losses(&self) -> Vec<Change> {
        let lost = self.members.iter().filter(|m| m.state == MemberState::Lost);
        let removals = lost.map(|member| Change::Remove { node: member.id });
        removals
            .filter(|change| !self.staged.contains(change))
            .collect()
    }

    /// Without a leaver that owns nothing any more.
    ///
    /// # Errors
    /// If it is not leaving, or still owns something.
    pub fn parting(&self, node: NodeId) -> Result<Self, ChangeRefused> {
        let leaver = self.in_state(node, &[MemberState::Leaving])?;
        if self.placement.owners.contains(&node) {
            let name = leaver.name.clone();
            return Err(ChangeRefused::StillOwns { name });
        }
        let mut draft = self.successor();
        for member in &mut draft.members {
            if member.id == node {
                member.state = MemberState::Removed;
            }
        }
        draft.checked()
    }

    fn in_state(&self, node: NodeId, states: &[MemberState]) -> Result<&Member, ChangeRefused> {
        let member = self
            .member(node)
            .filter(|m| m.state != MemberState::Removed);
        let member = member.ok_or(ChangeRefused::NoSuchMember { node })?;
        if states.contains(&member.state) {
            return Ok(member);
        }
        Err(ChangeRefused::WrongState {
            name: member.name.clone(),
            state: member.state,
        })
    }

    fn name_of(&self, node: NodeId) -> String {
        let member = self.member(node);
        member.map_or_else(|| node.to_string(), |member| member.name.clone())
    }

    pub(super) fn checked(self) -> Result<Self, ChangeRefused> {
        let sealed = self.sealed();
        validate(&sealed).map_err(ChangeRefused::Invalid)?;
        Ok(sealed)
    }
}

/// How many replicas keys have once some changes have taken effect.
fn replicated(replication: &Replication, changes: &[Change]) -> Replication {
    let mut after = replication.clone();
    for change in changes {
        if let Change::Replicate { bucket, n } = change {
            after.set(bucket, *n);
        }
    }
    after
}

/// The owners with each replaced member's partitions given to its heir, which keeps all else where it is.
fn replaced(owners: &[NodeId], changes: &[Change]) -> Vec<NodeId> {
    let heir_of = |owner: NodeId| {
        changes.iter().find_map(|change| match change {
            Change::Replace { old, new } if *old == owner => Some(*new),
            _ => None,
        })
    };
    let owners = owners.iter();
    owners
        .map(|owner| heir_of(*owner).unwrap_or(*owner))
        .collect()
}
