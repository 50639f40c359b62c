//! Who serves a key: preference lists, and the ring that hands them out.
//!
//! From a key's partition, walk clockwise over the owners and skip nodes already met: that is the
//! *walk order* of the partition (§4.3). The preference list is the walk order in three passes, so
//! that copies are kept apart first across zones, then across racks:
//!
//! 1. the first node of each zone;
//! 2. of the nodes left, the first of each rack that has none in the list yet;
//! 3. the nodes still left.
//!
//! Each pass keeps the walk order. A rack is known by its zone and its own name together. The first
//! N of the list are the primaries, the rest the fallbacks in the order in which they stand in
//! (§4.6). Members that serve but own nothing (more members than partitions; not a leaver that has
//! handed everything over) come last, by identity: fallbacks only.
//!
//! A [`Ring`] is one document made ready for serving: immutable, shared, replaced as a whole when
//! the next document is agreed. It holds every partition's list, Q rows of S identities (13 MB for
//! 4,096 partitions and 200 nodes), so that a request costs a shift and a slice.
//!
//! Invariants: a list names each placeable member exactly once; its first node is the partition's
//! owner; all nodes that hold one document have the same lists.
//!
//! Not here: who of them is healthy. Detection changes routing, never a list.

use std::collections::BTreeMap;

use super::change::members_after;
use super::document::{Member, MemberState, RingDocument};
use super::position::{Partition, PartitionCount, Position};
use super::replication::Classes;
use super::validation::{InvalidRing, validate};
use crate::id::NodeId;

/// The preference list of one partition under a table of owners.
///
/// All owners are listed, then the members that serve but own nothing. An owner that is not among
/// the members, or is removed, is left out: a valid document has none. Panics if the partition has
/// no row in the table.
pub fn preference_list(owners: &[NodeId], members: &[Member], partition: Partition) -> Vec<NodeId> {
    let walker = Walker::new(owners, members);
    let order = walker.walk_order(partition.index());
    let mut list = Vec::with_capacity(walker.nodes.len());
    walker.append_list(&order, &mut Taken::new(&walker), &mut list);
    list
}

/// A node as the walk sees it; zones and racks are numbers.
#[derive(Debug, Clone, Copy)]
struct PlaceableNode {
    id: NodeId,
    zone: usize,
    rack: usize,
}

/// A table of owners, prepared for walking.
struct Walker {
    /// In order of identity.
    nodes: Vec<PlaceableNode>,
    /// The owner of each partition, as a number into `nodes`.
    owners: Vec<Option<usize>>,
    /// Those of `nodes` that own nothing.
    idle: Vec<usize>,
    zones: usize,
    racks: usize,
}

impl Walker {
    fn new(owners: &[NodeId], members: &[Member]) -> Self {
        let owns: std::collections::BTreeSet<NodeId> = owners.iter().copied().collect();
        let mut placeable: Vec<&Member> = members
            .iter()
            .filter(|member| is_placeable(member.state, owns.contains(&member.id)))
            .collect();
        placeable.sort_by_key(|member| member.id);

        let mut zones: BTreeMap<&str, usize> = BTreeMap::new();
        let mut racks: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        let mut nodes = Vec::with_capacity(placeable.len());
        for member in placeable {
            let (next_zone, next_rack) = (zones.len(), racks.len());
            let zone = *zones.entry(&member.zone).or_insert(next_zone);
            let rack = *racks
                .entry((&member.zone, &member.rack))
                .or_insert(next_rack);
            nodes.push(PlaceableNode {
                id: member.id,
                zone,
                rack,
            });
        }
        let number = |owner: &NodeId| nodes.binary_search_by_key(owner, |node| node.id).ok();
        let numbered: Vec<Option<usize>> = owners.iter().map(number).collect();
        let idle = (0..nodes.len())
            .filter(|&node| !owns.contains(&nodes[node].id))
            .collect();
        Self {
            zones: zones.len(),
            racks: racks.len(),
            owners: numbered,
            idle,
            nodes,
        }
    }

    /// The owners in the order in which a walk from this row meets them.
    fn walk_order(&self, row: usize) -> Vec<usize> {
        let (before, after) = self.owners.split_at(row);
        assert!(
            !after.is_empty(),
            "row {row} is not one of {}",
            self.owners.len()
        );
        let mut met = vec![false; self.nodes.len()];
        after
            .iter()
            .chain(before)
            .flatten()
            .copied()
            .filter(|&node| !std::mem::replace(&mut met[node], true))
            .collect()
    }

    /// Appends the preference list that a walk order makes.
    fn append_list(&self, order: &[usize], taken: &mut Taken, list: &mut Vec<NodeId>) {
        taken.clear();
        for &node in order {
            let PlaceableNode { zone, rack, .. } = self.nodes[node];
            if !std::mem::replace(&mut taken.zones[zone], true) {
                taken.racks[rack] = true;
                taken.take(node, self, list);
            }
        }
        for &node in order {
            let rack = self.nodes[node].rack;
            if !taken.nodes[node] && !std::mem::replace(&mut taken.racks[rack], true) {
                taken.take(node, self, list);
            }
        }
        for &node in order.iter().chain(&self.idle) {
            if !taken.nodes[node] {
                taken.take(node, self, list);
            }
        }
    }

    /// The lists of all partitions, one after the other.
    fn all_lists(&self) -> Vec<NodeId> {
        let width = self.nodes.len();
        let mut reversed_rows = Vec::with_capacity(self.owners.len());
        // Against the clock, a row's order is the next row's with its own owner moved to the front.
        let mut order = self.walk_order(0);
        for owner in self.owners.iter().rev() {
            if let Some(place) = order.iter().position(|node| Some(*node) == *owner) {
                order[..=place].rotate_right(1);
            }
            reversed_rows.push(order.clone());
        }
        let mut taken = Taken::new(self);
        let mut lists = Vec::with_capacity(width * self.owners.len());
        for order in reversed_rows.iter().rev() {
            self.append_list(order, &mut taken, &mut lists);
        }
        assert_eq!(
            lists.len(),
            width * self.owners.len(),
            "each list names each node once"
        );
        lists
    }
}

/// A joining member is listed only where it owns: in the lists of a `next` table. Likewise one that leaves: what has handed
/// everything over stands in for nobody, nor does one that was given up.
fn is_placeable(state: MemberState, owns: bool) -> bool {
    match state {
        MemberState::Up | MemberState::Down => true,
        MemberState::Joining | MemberState::Leaving | MemberState::Lost => owns,
        MemberState::Removed => false,
    }
}

/// What a list under construction already has.
struct Taken {
    nodes: Vec<bool>,
    zones: Vec<bool>,
    racks: Vec<bool>,
}

impl Taken {
    fn new(walker: &Walker) -> Self {
        Self {
            nodes: vec![false; walker.nodes.len()],
            zones: vec![false; walker.zones],
            racks: vec![false; walker.racks],
        }
    }

    fn clear(&mut self) {
        self.nodes.fill(false);
        self.zones.fill(false);
        self.racks.fill(false);
    }

    fn take(&mut self, node: usize, walker: &Walker, list: &mut Vec<NodeId>) {
        self.nodes[node] = true;
        list.push(walker.nodes[node].id);
    }
}

/// The preference lists of all partitions under one table.
#[derive(Debug, Clone)]
struct PreferenceTable {
    /// Row after row, `width` identities each.
    lists: Vec<NodeId>,
    width: usize,
}

impl PreferenceTable {
    fn new(owners: &[NodeId], members: &[Member]) -> Self {
        let walker = Walker::new(owners, members);
        Self {
            lists: walker.all_lists(),
            width: walker.nodes.len(),
        }
    }

    fn list(&self, partition: Partition) -> &[NodeId] {
        let start = partition.index() * self.width;
        &self.lists[start..start + self.width]
    }
}

/// One agreed document, ready for serving.
#[derive(Debug, Clone)]
pub struct Ring {
    document: RingDocument,
    owners: PreferenceTable,
    next: Option<PreferenceTable>,
    classes: Classes,
    /// Where each member stands in the document, in order of identity.
    members: BTreeMap<NodeId, usize>,
    partitions_owned: BTreeMap<NodeId, usize>,
}

impl Ring {
    /// Checks a document and prepares its lists. Fails with all the document's faults.
    pub fn new(document: RingDocument) -> Result<Self, InvalidRing> {
        validate(&document)?;
        let placement = &document.placement;
        let owners = PreferenceTable::new(&placement.owners, &document.members);
        let next = placement.next.as_ref().map(|next| {
            let members = members_after(&document.members, &next.changes);
            PreferenceTable::new(&next.owners, &members)
        });
        let coming = placement.next.as_ref().map(|next| &next.replication);
        let classes = Classes::new(&placement.replication, coming);
        let members = document
            .members
            .iter()
            .enumerate()
            .map(|(row, member)| (member.id, row))
            .collect();
        let mut partitions_owned = BTreeMap::new();
        for owner in &placement.owners {
            *partitions_owned.entry(*owner).or_insert(0) += 1;
        }
        Ok(Self {
            document,
            owners,
            next,
            classes,
            members,
            partitions_owned,
        })
    }

    /// The preference list of a position: every member that serves, once; the first N are the
    /// primaries.
    pub fn preference_list(&self, position: Position) -> &[NodeId] {
        self.partition_preference_list(self.partition_of(position))
    }

    /// The preference list of a partition. Panics if the ring has no such partition.
    pub fn partition_preference_list(&self, partition: Partition) -> &[NodeId] {
        self.owners.list(partition)
    }

    /// The list that the partition will have after the placement change under way, if one is. Panics if the ring has
    /// no such partition.
    pub fn next_preference_list(&self, partition: Partition) -> Option<&[NodeId]> {
        self.next.as_ref().map(|next| next.list(partition))
    }

    /// How many replicas which keys have.
    pub fn classes(&self) -> &Classes {
        &self.classes
    }

    /// The partition that a position lies in.
    pub fn partition_of(&self, position: Position) -> Partition {
        self.partition_count().partition_of(position)
    }

    /// Q.
    pub fn partition_count(&self) -> PartitionCount {
        self.document.placement.partition_count
    }

    /// The member of this identity, removed ones included.
    pub fn member(&self, id: NodeId) -> Option<&Member> {
        self.members
            .get(&id)
            .map(|&row| &self.document.members[row])
    }

    /// All members, removed ones included, as the document lists them.
    pub fn members(&self) -> &[Member] {
        &self.document.members
    }

    /// Rises with each change of who serves which keys.
    pub fn placement_number(&self) -> u64 {
        self.document.placement.placement_number
    }

    /// The document that this ring was made from.
    pub fn document(&self) -> &RingDocument {
        &self.document
    }

    /// How many partitions a node owns now.
    pub fn partitions_owned(&self, id: NodeId) -> usize {
        self.partitions_owned.get(&id).copied().unwrap_or(0)
    }
}
