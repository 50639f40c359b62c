//! Going on without a majority: the generations of a ring.
//!
//! A ring changes when a majority of its voters agrees ([`register`](crate::membership::register)). If a majority is lost for good
//! nothing can be agreed any more, not even that it is gone; of two nodes, one that dies is a majority. Only a person can
//! know that those who are silent will never speak again. On that person's word the *survivors*, every one of them, begin a new
//! generation: a document in which the others are [`Lost`](MemberState::Lost), and the survivors the only voters.
//!
//! **Epochs leap.** The upper half of an epoch is the generation, so the first document of generation 1 is later than all that the lost
//! majority can ever have decided, or decides yet if the word was wrong. Whoever comes back meets a later document that
//! does not count it, and goes (T17).
//!
//! **Two recoveries are two clusters.** If the survivors are themselves divided, each side may be told to go on without the other. Both
//! make a first document of one generation. So a document names its recoveries, each with random bits, and only one whose
//! recoveries begin with those of the document held *descends* from it. Everything else is refused, whatever its epoch: neither
//! side can take over the other, and people choose which one to keep.
//!
//! **Who is lost keeps its place for a while.** It owns what it owned, as a dead member does, until others have copied
//! that from the homes that live: the draft has a `next` table as every other placement change. Handing the tables over at once would
//! make homes of nodes that have nothing yet, and their "not found" would count.
//!
//! Invariants: a draft is valid; its epoch is the first of the next generation; nobody that was given up votes in it.
//!
//! Not here: how the survivors agree on it ([`recovery`](crate::membership::recovery)).

use super::assignment::assign;
use super::change::{Change, ChangeRefused, Next};
use super::document::{
    Epoch, FurtherSection, Member, MemberState, Placement, RingDocument, RingHash,
};
use super::position::Partition;
use super::preference::Ring;
use crate::id::NodeId;
use crate::membership::register::majority;
use bytes::Bytes;
use std::collections::BTreeSet;

/// Documents of one generation have this many epochs.
const EPOCHS: u64 = 1 << 32;

/// The section in which the recoveries are listed.
const SECTION: &str = "generations";

impl Epoch {
    /// How many recoveries led here.
    pub fn generation(self) -> u64 {
        self.0 / EPOCHS
    }

    /// Its number within the generation.
    pub fn number(self) -> u64 {
        self.0 % EPOCHS
    }

    /// The first epoch of the generation after this one's; none if there are no more.
    pub fn of_next_generation(self) -> Option<Self> {
        let generation = self.generation().checked_add(1)?;
        generation.checked_mul(EPOCHS).map(Self)
    }
}

/// One recovery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Random: two recoveries of one document differ.
    pub id: u128,
    /// The document that it went on from.
    pub base: Epoch,
    pub base_hash: RingHash,
    /// Whom it gave up, in order.
    pub given_up: Vec<NodeId>,
}

/// How one document stands to another that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Descent {
    /// It may follow: its recoveries begin with those of the document held.
    Follows,
    /// The cluster was recovered twice, in two ways; this many recoveries are the same.
    Parted { common: usize },
}

/// What a recovery would come to, before it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryPlan {
    /// The document that the asked node holds.
    pub base: Epoch,
    pub voters: usize,
    pub given_up: Vec<Member>,
    /// Each of them has to agree.
    pub survivors: Vec<Member>,
    pub partitions: usize,
    /// Partitions of which some homes are lost, not all.
    pub thinned: Vec<Partition>,
    /// Partitions of which no home lives.
    pub homeless: Vec<Partition>,
    /// Why it can't be done, if so.
    pub refused: Option<ChangeRefused>,
}

impl RingDocument {
    /// The recoveries that led here, in order; none if the section can't be read.
    pub fn generations(&self) -> Option<Vec<Generation>> {
        let section = self.further.iter().find(|section| section.name == SECTION);
        section.map_or(Some(Vec::new()), |section| decode(&section.bytes))
    }

    /// The recovery, counted from 1, that gave a node up.
    pub fn given_up_in(&self, node: NodeId) -> Option<usize> {
        let generations = self.generations()?;
        let index = generations
            .iter()
            .position(|generation| generation.given_up.contains(&node));
        index.map(|index| index + 1)
    }

    /// Whether this document may replace one that is held, as far as recoveries go.
    pub fn descent(&self, held: &Self) -> Descent {
        let (own, held) = (self.generations(), held.generations());
        let (own, held) = (own.unwrap_or_default(), held.unwrap_or_default());
        let pairs = own.iter().zip(&held);
        let common = pairs.take_while(|(own, held)| own == held).count();
        if common == held.len() {
            return Descent::Follows;
        }
        Descent::Parted { common }
    }

    /// The first document of the next generation, without some members. `id` is drawn for it.
    ///
    /// A placement change under way is given up and staged again, and leaves are, since whoever is left may be needed; what
    /// was staged for those who are lost is not.
    ///
    /// # Errors
    /// If nobody is named who is a member, a majority of the voters would be left, or none.
    pub fn recovering(&self, given_up: &BTreeSet<NodeId>, id: u128) -> Result<Self, ChangeRefused> {
        self.may_recover(given_up)?;
        let is_lost = |member: &Member| given_up.contains(&member.id) && !member.state.is_gone();
        let lost: Vec<NodeId> = self
            .members
            .iter()
            .filter(|m| is_lost(m))
            .map(|m| m.id)
            .collect();
        let epoch = self.epoch.of_next_generation();
        let mut draft = Self {
            epoch: epoch.expect("recoveries are counted in handfuls"),
            previous: self.hash(),
            ..self.clone()
        };
        draft.give_up_changes();
        draft
            .staged
            .retain(|change| change.nodes().all(|node| !lost.contains(&node)));
        for member in draft.members.iter_mut().filter(|member| is_lost(member)) {
            member.state = match member.state {
                MemberState::Joining => MemberState::Removed,
                _ => MemberState::Lost,
            };
        }
        draft.move_to_survivors()?;
        draft.add_generation(Generation {
            id,
            base: self.epoch,
            base_hash: self.hash(),
            given_up: lost,
        });
        draft.checked()
    }

    fn may_recover(&self, given_up: &BTreeSet<NodeId>) -> Result<(), ChangeRefused> {
        let present = self.members.iter().filter(|member| !member.state.is_gone());
        if !present.clone().any(|member| given_up.contains(&member.id)) {
            return Err(ChangeRefused::NobodyLost);
        }
        let voters = self.voters();
        let living = voters.difference(given_up).count();
        if living == 0 {
            return Err(ChangeRefused::NobodyLeft);
        }
        if living >= majority(voters.len()) {
            let voters = voters.len();
            return Err(ChangeRefused::MajorityLives { living, voters });
        }
        Ok(())
    }

    /// Stages again what is under way, leaves included: whoever is left may be needed, also who has handed everything over.
    fn give_up_changes(&mut self) {
        let under_way = self.placement.next.take().map(|next| next.changes);
        let mut staged = under_way.unwrap_or_default();
        for member in &mut self.members {
            if member.state == MemberState::Leaving {
                staged.push(Change::Leave { node: member.id });
            }
            if matches!(member.state, MemberState::Leaving | MemberState::Down) {
                member.state = MemberState::Up;
            }
        }
        staged.append(&mut self.staged);
        for change in staged {
            // A removal that was to be finished is done by the recovery, where it is one.
            if !self.staged.contains(&change) {
                self.staged.push(change);
            }
        }
    }

    fn move_to_survivors(&mut self) -> Result<(), ChangeRefused> {
        let living = self.members.iter().filter(|m| m.state == MemberState::Up);
        let owning: Vec<_> = living.map(Member::for_assignment).collect();
        if owning.is_empty() {
            return Err(ChangeRefused::NobodyLeft);
        }
        let Placement {
            partition_count,
            owners,
            target_n,
            ..
        } = &self.placement;
        let owners = assign(&owning, *partition_count, Some(owners), *target_n);
        let lost = self.members.iter().filter(|m| m.state == MemberState::Lost);
        let changes = lost
            .map(|member| Change::Remove { node: member.id })
            .collect();
        self.placement.next = Some(Next {
            owners,
            changes,
            replication: self.placement.replication.clone(),
        });
        self.placement.placement_number += 1;
        Ok(())
    }

    fn add_generation(&mut self, generation: Generation) {
        let mut all = self.generations().unwrap_or_default();
        all.push(generation);
        let bytes = encode(&all);
        match self
            .further
            .iter_mut()
            .find(|section| section.name == SECTION)
        {
            Some(section) => section.bytes = bytes,
            None => self.further.push(FurtherSection {
                name: SECTION.to_owned(),
                bytes,
            }),
        }
    }
}

impl RecoveryPlan {
    /// Of a recovery without these. A partition is as badly off as the keys of it that have the fewest replicas left.
    pub fn of(ring: &Ring, given_up: &BTreeSet<NodeId>) -> Self {
        let document = ring.document();
        let present = ring
            .members()
            .iter()
            .filter(|member| !member.state.is_gone());
        let (given_up, survivors): (Vec<Member>, Vec<Member>) = present
            .cloned()
            .partition(|member| given_up.contains(&member.id));
        let is_there = |home: &NodeId| survivors.iter().any(|member| member.id == *home);
        let (mut thinned, mut homeless) = (Vec::new(), Vec::new());
        for partition in ring.partition_count().partitions() {
            let left = ring.trees_of(partition).map(|tree| {
                let homes = ring.homes_of(tree);
                let living = homes.iter().filter(|home| is_there(home)).count();
                (living, homes.len())
            });
            let left: Vec<(usize, usize)> = left.collect();
            if left.iter().any(|(living, _)| *living == 0) {
                homeless.push(partition);
            } else if left.iter().any(|(living, all)| living < all) {
                thinned.push(partition);
            }
        }
        let named = given_up.iter().map(|member| member.id).collect();
        Self {
            base: document.epoch,
            voters: document.voters().len(),
            partitions: ring.partition_count().rows(),
            thinned,
            homeless,
            refused: document.recovering(&named, 0).err(),
            given_up,
            survivors,
        }
    }
}

/// Of each: `id 16 │ base u64 │ hash of the base 16 │ count u32 │ ids 16 each`.
fn encode(generations: &[Generation]) -> Bytes {
    let mut out = Vec::new();
    for generation in generations {
        let count =
            u32::try_from(generation.given_up.len()).expect("members are counted in handfuls");
        out.extend(generation.id.to_be_bytes());
        out.extend(generation.base.0.to_be_bytes());
        out.extend(generation.base_hash.0);
        out.extend(count.to_be_bytes());
        out.extend(
            generation
                .given_up
                .iter()
                .flat_map(|node| node.0.to_be_bytes()),
        );
    }
    out.into()
}

fn decode(mut bytes: &[u8]) -> Option<Vec<Generation>> {
    let mut generations = Vec::new();
    while !bytes.is_empty() {
        let id = u128::from_be_bytes(take(&mut bytes)?);
        let base = Epoch(u64::from_be_bytes(take(&mut bytes)?));
        let base_hash = RingHash(take(&mut bytes)?);
        let mut given_up = Vec::new();
        for _ in 0..u32::from_be_bytes(take(&mut bytes)?) {
            given_up.push(NodeId(u128::from_be_bytes(take(&mut bytes)?)));
        }
        generations.push(Generation {
            id,
            base,
            base_hash,
            given_up,
        });
    }
    Some(generations)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ClusterId;
    use crate::ring::{Addresses, PartitionCount, validate};

    const N: usize = 3;

    fn member(number: u128) -> Member {
        Member {
            id: NodeId(number),
            name: format!("node{number}"),
            addresses: Addresses::default(),
            zone: String::new(),
            rack: String::new(),
            weight: 1,
            state: MemberState::Up,
        }
    }

    fn founded(members: u128) -> RingDocument {
        let partitions = PartitionCount::new(32).expect("a power of two");
        let members = (1..=members).map(member).collect();
        RingDocument::found(ClusterId(7), members, partitions, 5).expect("equal members")
    }

    fn ids(numbers: &[u128]) -> BTreeSet<NodeId> {
        numbers.iter().map(|number| NodeId(*number)).collect()
    }

    fn recovered(document: &RingDocument, given_up: &[u128], id: u128) -> RingDocument {
        let recovered = document.recovering(&ids(given_up), id);
        recovered.expect("a majority is lost")
    }

    #[test]
    fn one_of_two_goes_on_and_is_later_than_all_that_was_ever_decided() {
        let founded = founded(2);
        let recovered = recovered(&founded, &[2], 9);
        assert_eq!(recovered.voters(), ids(&[1]));
        assert_eq!(
            (recovered.epoch.generation(), recovered.epoch.number()),
            (1, 0)
        );
        assert_eq!(recovered.epoch.to_string(), "1.0");
        assert!(recovered.epoch > Epoch(u64::from(u32::MAX)));
        let lost = recovered.member(NodeId(2)).map(|member| member.state);
        assert_eq!(lost, Some(MemberState::Lost));
        let next = recovered.placement.next.as_ref().expect("a change");
        assert!(next.owners.iter().all(|owner| *owner == NodeId(1)));
        let done = recovered.finishing().expect("nothing has to be copied");
        let lost = done.member(NodeId(2)).map(|member| member.state);
        assert_eq!(lost, Some(MemberState::Removed));
        assert_eq!(done.given_up_in(NodeId(2)), Some(1));
        assert_eq!(done.given_up_in(NodeId(1)), None);
    }

    #[test]
    fn what_needs_no_recovery_is_refused() {
        let founded = founded(5);
        let refused = |given_up: &[u128]| founded.recovering(&ids(given_up), 1).err();
        let (living, voters) = (3, 5);
        let majority = ChangeRefused::MajorityLives { living, voters };
        assert_eq!(refused(&[4, 5]), Some(majority));
        assert_eq!(refused(&[]), Some(ChangeRefused::NobodyLost));
        assert_eq!(refused(&[77]), Some(ChangeRefused::NobodyLost));
        assert_eq!(refused(&[1, 2, 3, 4, 5]), Some(ChangeRefused::NobodyLeft));
        assert_eq!(refused(&[3, 4, 5]), None);
        // Whoever is lost already is not lost again.
        let gone = recovered(&founded, &[3, 4, 5], 1);
        let again = gone.recovering(&ids(&[3, 4, 5]), 2).err();
        assert_eq!(again, Some(ChangeRefused::NobodyLost));
    }

    #[test]
    fn two_recoveries_of_one_document_do_not_follow_each_other() {
        let founded = founded(2);
        let (one, other) = (recovered(&founded, &[2], 10), recovered(&founded, &[1], 11));
        assert_eq!(one.epoch, other.epoch);
        assert_eq!(one.descent(&founded), Descent::Follows);
        assert_eq!(founded.descent(&one), Descent::Parted { common: 0 });
        assert_eq!(one.descent(&other), Descent::Parted { common: 0 });
        let later = other.finishing().expect("nothing has to be copied");
        assert_eq!(later.descent(&one), Descent::Parted { common: 0 });
        assert_eq!(later.descent(&other), Descent::Follows);
    }

    #[test]
    fn a_change_under_way_is_staged_again_without_the_lost() {
        let joining = founded(3).enrolling(member(4)).expect("a new name");
        let leave = Change::Leave { node: NodeId(1) };
        let staged = joining.staging(leave.clone()).expect("it fits");
        let moving = staged.committing().expect("something is staged");
        let recovered = recovered(&moving, &[2, 3], 1);
        assert_eq!(recovered.staged, [Change::Join { node: NodeId(4) }, leave]);
        let state = |number| recovered.member(NodeId(number)).map(|member| member.state);
        assert_eq!(state(1), Some(MemberState::Up));
        assert_eq!(state(4), Some(MemberState::Joining));
        assert_eq!(recovered.voters(), ids(&[1]));
        assert_eq!(
            recovered.placement.placement_number,
            moving.placement.placement_number + 1
        );
    }

    #[test]
    fn who_has_left_all_but_in_name_is_needed_again() {
        let leave = Change::Leave { node: NodeId(1) };
        let left = founded(5)
            .staging(leave.clone())
            .and_then(|staged| staged.committing())
            .and_then(|moving| moving.finishing())
            .expect("a plain leave");
        assert!(!left.placement.owners.contains(&NodeId(1)));
        let recovered = recovered(&left, &[3, 4, 5], 1);
        assert_eq!(recovered.staged, [leave]);
        let state = recovered.member(NodeId(1)).map(|member| member.state);
        assert_eq!(state, Some(MemberState::Up));
        let moved = recovered.finishing().expect("two nodes share it all");
        assert!(moved.placement.owners.contains(&NodeId(1)));
    }

    #[test]
    fn whoever_was_given_up_goes_with_any_later_change() {
        let recovered = recovered(&founded(5), &[3, 4, 5], 1);
        let aborted = recovered.aborting().expect("a change is under way");
        let aborted = aborted.unstaging().expect("its removals are staged");
        assert_eq!(aborted.voters(), ids(&[1, 2]));
        let weigh = Change::Weigh {
            node: NodeId(1),
            weight: 2,
        };
        let committed = aborted
            .staging(weigh)
            .and_then(|staged| staged.committing());
        let done = committed
            .and_then(|next| next.finishing())
            .expect("it fits");
        let lost = done
            .members
            .iter()
            .filter(|m| m.state == MemberState::Removed);
        assert_eq!(lost.count(), 3);
        assert!(done.placement.owners.iter().all(|owner| owner.0 <= 2));
    }

    #[test]
    fn recoveries_come_back_from_their_section_and_nothing_else_does() {
        let once = recovered(&founded(5), &[3, 4, 5], 1);
        let twice = recovered(&once, &[2], 2);
        assert_eq!(twice.epoch.generation(), 2);
        let given_up: Vec<Vec<NodeId>> = twice
            .generations()
            .expect("it was just written")
            .into_iter()
            .map(|generation| generation.given_up)
            .collect();
        assert_eq!(
            given_up,
            [vec![NodeId(3), NodeId(4), NodeId(5)], vec![NodeId(2)]]
        );
        let bytes = encode(&twice.generations().expect("as above"));
        let cut = (1..bytes.len()).filter(|length| decode(&bytes[..*length]).is_some());
        // Only where one recovery ends.
        assert_eq!(cut.count(), 1);
        let mut forged = founded(5);
        forged.epoch = Epoch(EPOCHS + 7);
        forged.previous = RingHash([1; 16]);
        assert!(
            validate(&forged.sealed()).is_err(),
            "an epoch without its recovery"
        );
    }

    #[test]
    fn a_plan_tells_what_has_no_living_home() {
        let ring = Ring::new(founded(5)).expect("a founded ring is valid");
        let plan = RecoveryPlan::of(&ring, &ids(&[3, 4, 5]));
        assert_eq!(plan.refused, None);
        assert_eq!(
            (plan.given_up.len(), plan.survivors.len(), plan.voters),
            (3, 2, 5)
        );
        assert!(!plan.homeless.is_empty() && !plan.thinned.is_empty());
        assert!(
            plan.homeless
                .iter()
                .all(|partition| { ring.homes(*partition, N).iter().all(|home| home.0 >= 3) })
        );
        let plan = RecoveryPlan::of(&ring, &ids(&[4, 5]));
        assert!(matches!(
            plan.refused,
            Some(ChangeRefused::MajorityLives { .. })
        ));
        assert!(plan.homeless.is_empty());
    }
}
