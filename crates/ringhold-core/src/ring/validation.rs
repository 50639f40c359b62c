//! Whether a ring document may be believed.
//!
//! Every document is checked here, where it is proposed and again by each node that receives it,
//! whoever sent it: an S3 outage of eight hours was one flipped bit in gossip that nobody checked,
//! and Riak's claim put two partitions of one preference list on one node for years because the
//! checker shared the algorithm's mistakes (T8, T14). So nothing here calls `assignment`; windows
//! are looked at one by one, the wrap-around included.
//!
//! What is demanded: an identity and a name for one member each; weights of at least 1; tables of Q
//! owners, each a member that may own; owners that are distinct in each window, as wide as the
//! members permit; section hashes that are the content's. Members that permit a window are those
//! up, and any other that the table uses: a leaver that has handed everything over no longer
//! counts. Of a table that is about to be replaced only those that it uses count: a recovery may have called back
//! a leaver that owns nothing any more.
//!
//! What is not: zones and shares. They are goals that members may make unreachable; a ring that
//! misses them is worse, not wrong. Nor whether the document was agreed on, nor whether it follows
//! the one held now except by [`validate_succession`].
//!
//! Each fault is found and named, not only the first: an operator who has to mend a plan wants the
//! whole list.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::bucket_types;
use super::document::{
    Epoch, MEMBERS_SECTION, MemberState, PLACEMENT_SECTION, RingDocument, RingHash, STAGED_SECTION,
};
use super::position::Partition;
use super::replication::{BUCKETS_MAX, N_MAX, Replication};
use super::share::node_window;
use crate::id::{ClusterId, NodeId};

/// One of a document's two tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    Owners,
    Next,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Owners => "owners",
            Self::Next => "next owners",
        })
    }
}

/// One thing that is wrong with a document. None of them has any effect: the document is refused as
/// a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RingFault {
    /// The epoch is 0; a founding document has 1.
    EpochZero,
    /// A founding document names a previous one, or a later one names none.
    PreviousMismatch { epoch: Epoch },
    /// Two members have one identity.
    DuplicateMember { id: NodeId },
    /// Two members that are not removed have one name.
    DuplicateName { name: String, ids: [NodeId; 2] },
    /// A member that is not removed has no name.
    EmptyName { id: NodeId },
    /// A member weighs nothing.
    ZeroWeight { id: NodeId },
    /// Windows of no partitions were asked for.
    ZeroTarget,
    /// Nobody may own a partition.
    NoOwningMember,
    /// A table has not one owner for each partition.
    WrongLength {
        table: Table,
        partitions: usize,
        owners: usize,
    },
    /// An owner is no member.
    UnknownOwner {
        table: Table,
        partition: Partition,
        owner: NodeId,
    },
    /// An owner is a member that may not own in its state.
    OwnerMayNotOwn {
        table: Table,
        partition: Partition,
        owner: NodeId,
        state: MemberState,
    },
    /// One owner has two partitions closer than a window that the members permit.
    WindowNotDistinct {
        table: Table,
        partitions: [Partition; 2],
        owner: NodeId,
        window: usize,
    },
    /// A number of replicas that is none, or too great.
    ReplicasOutOfRange { n: u8 },
    /// Too many buckets have an N of their own.
    TooManyBuckets { buckets: usize },
    /// A further section has a name that is empty, taken or reserved.
    SectionName { name: String },
    /// The epoch is of another generation than so many recoveries lead to.
    Generation { epoch: Epoch, recoveries: usize },
    /// The bucket types can't be read.
    BucketTypes,
    /// A section has no hash, another than its content's, or a hash has no section.
    SectionHashMismatch { name: String },
}

impl fmt::Display for RingFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EpochZero => {
                f.write_str("epoch 0 does not exist: a founding document has epoch 1")
            }
            Self::PreviousMismatch { epoch } => {
                write!(
                    f,
                    "epoch {epoch}: only the document of epoch 1 has no previous one"
                )
            }
            Self::DuplicateMember { id } => {
                write!(f, "node {id} is listed twice: remove one entry")
            }
            Self::DuplicateName {
                name,
                ids: [first, second],
            } => {
                write!(
                    f,
                    "nodes {first} and {second} are both named {name:?}: rename one of them"
                )
            }
            Self::EmptyName { id } => write!(f, "node {id} has no name: give it one"),
            Self::ZeroWeight { id } => {
                write!(
                    f,
                    "node {id} has weight 0: give it at least 1, or let it leave"
                )
            }
            Self::ZeroTarget => f.write_str("target_n is 0: set it to at least 1 (default 5)"),
            Self::NoOwningMember => {
                f.write_str("no member is up, leaving or down: a ring needs one to own it")
            }
            Self::WrongLength {
                table,
                partitions,
                owners,
            } => {
                write!(
                    f,
                    "the table of {table} has {owners} rows for {partitions} partitions: make \
                     the plan anew"
                )
            }
            Self::UnknownOwner {
                table,
                partition,
                owner,
            } => {
                write!(
                    f,
                    "{table}: partition {partition} is given to {owner}, which is no member: \
                     join it, or make the plan anew"
                )
            }
            Self::OwnerMayNotOwn {
                table,
                partition,
                owner,
                state,
            } => {
                write!(
                    f,
                    "{table}: partition {partition} is given to {owner}, which is {state:?} \
                     and may not own it: make the plan anew"
                )
            }
            Self::WindowNotDistinct {
                table,
                partitions: [first, second],
                owner,
                window,
            } => {
                write!(
                    f,
                    "{table}: partitions {first} and {second} are both given to {owner}, but \
                     any {window} in a row must have distinct owners: make the plan anew"
                )
            }
            Self::ReplicasOutOfRange { n } => write_out_of_range(f, *n),
            Self::TooManyBuckets { buckets } => write_too_many(f, *buckets),
            Self::SectionName { name } => write_section_name(f, name),
            Self::BucketTypes => {
                f.write_str("the bucket types can't be read: fetch the document again")
            }
            Self::Generation { epoch, recoveries } => write!(
                f,
                "epoch {epoch} does not belong to a document that names {recoveries} recoveries"
            ),
            Self::SectionHashMismatch { name } => {
                write!(
                    f,
                    "section {name:?} does not have the hash that the document states: it was \
                     damaged on its way; fetch it again"
                )
            }
        }
    }
}

fn write_out_of_range(f: &mut fmt::Formatter<'_>, n: u8) -> fmt::Result {
    write!(f, "keys can't have {n} replicas: between 1 and {N_MAX}")
}

fn write_section_name(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    write!(
        f,
        "a section may not be named {name:?}: the name is empty, reserved or taken"
    )
}

fn write_too_many(f: &mut fmt::Formatter<'_>, buckets: usize) -> fmt::Result {
    write!(
        f,
        "{buckets} buckets have an n_val of their own, and {BUCKETS_MAX} may: give some the cluster's"
    )
}

/// A document that is refused, with everything that was found wrong with it; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidRing {
    pub faults: Vec<RingFault>,
}

impl fmt::Display for InvalidRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the ring document is not valid")?;
        for (index, fault) in self.faults.iter().enumerate() {
            let separator = if index == 0 { ": " } else { "; " };
            write!(f, "{separator}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for InvalidRing {}

/// Checks a document by itself.
///
/// Fails with all its faults, except that of windows only the narrowest gap of each partition is
/// named.
pub fn validate(document: &RingDocument) -> Result<(), InvalidRing> {
    let mut faults = Vec::new();
    check_heading(document, &mut faults);
    check_members(document, &mut faults);
    check_table(
        document,
        Table::Owners,
        &document.placement.owners,
        &mut faults,
    );
    if let Some(next) = &document.placement.next {
        check_table(document, Table::Next, &next.owners, &mut faults);
    }
    check_sections(document, &mut faults);
    if !faults.is_empty() {
        return Err(InvalidRing { faults });
    }
    Ok(())
}

fn check_heading(document: &RingDocument, faults: &mut Vec<RingFault>) {
    let epoch = document.epoch;
    if epoch.0 == 0 {
        faults.push(RingFault::EpochZero);
    }
    if (epoch == Epoch::FIRST) != (document.previous == RingHash::NONE) {
        faults.push(RingFault::PreviousMismatch { epoch });
    }
    let recoveries = document.generations().map_or(0, |all| all.len());
    if u64::try_from(recoveries) != Ok(epoch.generation()) {
        faults.push(RingFault::Generation { epoch, recoveries });
    }
    if document.bucket_types().is_none() {
        faults.push(RingFault::BucketTypes);
    }
    if document.placement.target_n == 0 {
        faults.push(RingFault::ZeroTarget);
    }
    let next = document.placement.next.as_ref();
    let maps = [
        Some(&document.placement.replication),
        next.map(|next| &next.replication),
    ];
    for map in maps.into_iter().flatten() {
        check_replication(map, faults);
    }
}

fn check_replication(replication: &Replication, faults: &mut Vec<RingFault>) {
    let default = std::iter::once(replication.default);
    for n in default.chain(replication.buckets.values().copied()) {
        if !(1..=N_MAX).contains(&n) {
            faults.push(RingFault::ReplicasOutOfRange { n });
        }
    }
    if replication.buckets.len() > BUCKETS_MAX {
        let buckets = replication.buckets.len();
        faults.push(RingFault::TooManyBuckets { buckets });
    }
}

fn check_members(document: &RingDocument, faults: &mut Vec<RingFault>) {
    let mut ids = BTreeSet::new();
    let mut names: BTreeMap<&str, NodeId> = BTreeMap::new();
    for member in &document.members {
        let id = member.id;
        if !ids.insert(id) {
            faults.push(RingFault::DuplicateMember { id });
        }
        if member.weight == 0 {
            faults.push(RingFault::ZeroWeight { id });
        }
        if member.state == MemberState::Removed {
            continue;
        }
        if member.name.is_empty() {
            faults.push(RingFault::EmptyName { id });
        }
        if let Some(first) = names.insert(&member.name, id) {
            faults.push(RingFault::DuplicateName {
                name: member.name.clone(),
                ids: [first, id],
            });
        }
    }
    if !document.members.iter().any(|member| member.state.may_own()) {
        faults.push(RingFault::NoOwningMember);
    }
}

fn check_table(
    document: &RingDocument,
    table: Table,
    owners: &[NodeId],
    faults: &mut Vec<RingFault>,
) {
    let partition_count = document.placement.partition_count;
    if owners.len() != partition_count.rows() {
        let partitions = partition_count.rows();
        faults.push(RingFault::WrongLength {
            table,
            partitions,
            owners: owners.len(),
        });
        return;
    }
    let states: BTreeMap<NodeId, MemberState> = document
        .members
        .iter()
        .map(|member| (member.id, member.state))
        .collect();
    for (partition, &owner) in partition_count.partitions().zip(owners) {
        match states.get(&owner) {
            None => faults.push(RingFault::UnknownOwner {
                table,
                partition,
                owner,
            }),
            Some(&state) if !may_own(table, state) => {
                faults.push(RingFault::OwnerMayNotOwn {
                    table,
                    partition,
                    owner,
                    state,
                });
            }
            Some(_) => {}
        }
    }
    let used: BTreeSet<NodeId> = owners.iter().copied().collect();
    let is_replaced = table == Table::Owners && document.placement.next.is_some();
    let counts = |state: MemberState| state == MemberState::Up && !is_replaced;
    let permitting = states
        .iter()
        .filter(|(id, state)| counts(**state) || used.contains(*id))
        .count();
    let window = node_window(permitting, partition_count, document.placement.target_n);
    check_windows(table, owners, window, faults);
}

fn may_own(table: Table, state: MemberState) -> bool {
    match table {
        Table::Owners => state.may_own(),
        Table::Next => state.may_own_next(),
    }
}

/// Looks from each partition at those after it, around the circle, as far as the window reaches.
fn check_windows(table: Table, owners: &[NodeId], window: usize, faults: &mut Vec<RingFault>) {
    let rows = owners.len();
    let number = |row: usize| Partition(u32::try_from(row % rows).expect("Q is a 32-bit number"));
    for (row, &owner) in owners.iter().enumerate() {
        let again = (1..window).find(|gap| owners[(row + gap) % rows] == owner);
        if let Some(gap) = again {
            let partitions = [number(row), number(row + gap)];
            faults.push(RingFault::WindowNotDistinct {
                table,
                partitions,
                owner,
                window,
            });
        }
    }
}

fn check_sections(document: &RingDocument, faults: &mut Vec<RingFault>) {
    let mut taken = BTreeSet::from([MEMBERS_SECTION, PLACEMENT_SECTION, STAGED_SECTION]);
    for section in &document.further {
        if section.name.is_empty() || !taken.insert(&section.name) {
            faults.push(RingFault::SectionName {
                name: section.name.clone(),
            });
        }
    }
    let content = document.count_section_hashes();
    let stated = &document.section_hashes;
    let unmatched = content
        .iter()
        .filter(|section| !stated.contains(section))
        .chain(stated.iter().filter(|section| !content.contains(section)));
    let names: BTreeSet<&str> = unmatched.map(|section| section.name.as_str()).collect();
    for name in names {
        faults.push(RingFault::SectionHashMismatch {
            name: name.to_owned(),
        });
    }
    if names_twice(stated.iter().map(|section| section.name.as_str())) {
        faults.push(RingFault::SectionHashMismatch {
            name: String::new(),
        });
    }
}

fn names_twice<'a>(mut names: impl Iterator<Item = &'a str>) -> bool {
    let mut seen = BTreeSet::new();
    !names.all(|name| seen.insert(name))
}

/// Why a valid document cannot follow the one that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SuccessionFault {
    /// Another cluster's document: two clusters never merge (T19).
    OtherCluster {
        held: ClusterId,
        proposed: ClusterId,
    },
    /// Not the next epoch.
    NotNextEpoch { held: Epoch, proposed: Epoch },
    /// Made from another document than the one that is held.
    OtherPrevious { held: RingHash, proposed: RingHash },
    /// The number of partitions is fixed at founding.
    PartitionCountChanged { held: u32, proposed: u32 },
    /// The placement changed but its number did not rise by one, or the reverse.
    PlacementNumber { held: u64, proposed: u64 },
    /// A removed member is listed as anything else, or no longer: an identity stays removed for
    /// ever (T17).
    RemovedMemberBack { id: NodeId },
    /// A bucket type that is active is so no longer, or became so otherwise than it was created.
    BucketTypes,
}

impl fmt::Display for SuccessionFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherCluster { held, proposed } => {
                write!(
                    f,
                    "the document is of cluster {proposed}, this is cluster {held}: check the \
                     address it came from"
                )
            }
            Self::NotNextEpoch { held, proposed } => {
                write!(
                    f,
                    "epoch {proposed} cannot follow epoch {held}: make the plan anew"
                )
            }
            Self::OtherPrevious { held, proposed } => {
                write!(
                    f,
                    "the document follows {proposed}, not {held}, which is held here: make the \
                     plan anew"
                )
            }
            Self::PartitionCountChanged { held, proposed } => {
                write!(
                    f,
                    "{held} partitions cannot become {proposed}: their number is fixed at founding"
                )
            }
            Self::PlacementNumber { held, proposed } => {
                write!(
                    f,
                    "placement number {proposed} does not fit after {held}: it rises by one \
                     with each change of placement, and only then"
                )
            }
            Self::RemovedMemberBack { id } => {
                write!(
                    f,
                    "node {id} was removed and stays so: join it with a new identity"
                )
            }
            Self::BucketTypes => f.write_str(
                "a bucket type that is active stays so, and becomes so as it was created: make the change anew",
            ),
        }
    }
}

impl std::error::Error for SuccessionFault {}

/// Checks that a document, itself valid, is a direct successor of the one held.
pub fn validate_succession(
    held: &RingDocument,
    proposed: &RingDocument,
) -> Result<(), SuccessionFault> {
    if held.cluster_id != proposed.cluster_id {
        let (held, proposed) = (held.cluster_id, proposed.cluster_id);
        return Err(SuccessionFault::OtherCluster { held, proposed });
    }
    if held.epoch.0.checked_add(1) != Some(proposed.epoch.0) {
        let (held, proposed) = (held.epoch, proposed.epoch);
        return Err(SuccessionFault::NotNextEpoch { held, proposed });
    }
    if held.hash() != proposed.previous {
        let (held, proposed) = (held.hash(), proposed.previous);
        return Err(SuccessionFault::OtherPrevious { held, proposed });
    }
    let (before, after) = (&held.placement, &proposed.placement);
    if before.partition_count != after.partition_count {
        let (held, proposed) = (
            before.partition_count.count(),
            after.partition_count.count(),
        );
        return Err(SuccessionFault::PartitionCountChanged { held, proposed });
    }
    let changed = (
        &before.owners,
        &before.next,
        before.target_n,
        &before.replication,
    ) != (
        &after.owners,
        &after.next,
        after.target_n,
        &after.replication,
    );
    let rise = u64::from(changed);
    if before.placement_number.checked_add(rise) != Some(after.placement_number) {
        let (held, proposed) = (before.placement_number, after.placement_number);
        return Err(SuccessionFault::PlacementNumber { held, proposed });
    }
    let removed = |document: &RingDocument, id| {
        document
            .member(id)
            .is_some_and(|member| member.state == MemberState::Removed)
    };
    let back = held
        .members
        .iter()
        .find(|m| removed(held, m.id) && !removed(proposed, m.id));
    match back {
        Some(member) => Err(SuccessionFault::RemovedMemberBack { id: member.id }),
        None => check_types(held, proposed),
    }
}

fn check_types(held: &RingDocument, proposed: &RingDocument) -> Result<(), SuccessionFault> {
    let types = |document: &RingDocument| document.bucket_types().unwrap_or_default();
    match bucket_types::succession(&types(held), &types(proposed)) {
        Some(_) => Err(SuccessionFault::BucketTypes),
        None => Ok(()),
    }
}
