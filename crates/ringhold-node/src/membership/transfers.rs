//! Partitions that change hands (§4.9, §6.2): what the nodes do while a ring document has a `next` table.
//!
//! 1. Whoever is to become a home of a partition, a *comer*, waits until every member that it can reach knows the change:
//!    from then on all of them write to the comers as well (`coordinator::put`), and an old coordinator is turned back
//!    by its placement number.
//! 2. It copies what its partner has, the *goer* whose place it takes, or all other homes if it has no partner or that one is
//!    dead. What differs is found by comparing hash trees, so a copy that was interrupted goes on where it was, and copies that
//!    were made otherwise (writes, hints) are not made again. Merges commute: nothing has to stand still, and nothing is fenced.
//! 3. When no put can be under way any more that was begun by the old document, the trees are compared until no leaf differs in two
//!    looks a put's time apart. Then the comer has its *receipt*: a row of its
//!    store that names the placement, the partition and the tree's hash, and holds only for the store as it is (its lineage).
//! 4. Any member that has seen the receipts of all comers has the document agreed on in which `next` is `owners`. From then on the
//!    comers are homes; what the goers have left is owed like a hint (`strays`).
//!
//! The old homes count for every quorum until step 4. Invariants (T16): an owner changes only when all comers have a receipt; a
//! receipt is on disk before it is told; nothing is deleted for it.
//!
//! Not here: which moves there are (`ringhold_core::ring::moves`).

use super::agreement::NotAgreed;
use crate::anti_entropy::Exchange;
use crate::env::{Deadline, Environment};
use crate::gather::Gather;
#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::node::Node;
use crate::rebuild::Pull;
use crate::replica::writer::Row;
use bytes::Bytes;
use ringhold_core::id::NodeId;
use ringhold_core::ring::{ChangeRefused, MemberState, Move, Partition, Ring};
use ringhold_core::tree::Leaf;
use ringhold_storage::{KeyRange, Keyspace, Lineage, ReadError, StorageKey, Store};
use ringhold_wire::bytes_io::{DecodeError, Reader, decode_whole, encode_alone};
use ringhold_wire::message::peer::{Refusal, Reply, Request};
use ringhold_wire::message::transfer::{Receipt, Receipts};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Between two looks at what is to be done, in microseconds.
const TICK_US: u64 = 500_000;
/// Copies under way at once on this node.
const COPIES_MAX: usize = 8;
/// How long a member may take to say what it knows, in microseconds.
const PATIENCE_US: u64 = 2_000_000;
/// Each node waits so much longer than the one before it with proposing the last step, so that mostly one does.
const RANK_US: u64 = 500_000;

const ROW_VERSION: u8 = 1;
const ROW_BYTES: usize = 1 + 8 + 16 + 16;
/// Receipts have fingerprints from here on, under the node's own id.
const ROWS: u128 = 1 << 64;
/// No store has it.
const NO_LINEAGE: Lineage = Lineage(0);

/// What this node has of the placement change under way.
#[derive(Default)]
pub(crate) struct Transfers(Mutex<Progress>);

#[derive(Default)]
struct Progress {
    /// By partition: the placement number, and the hash of the partition's tree when it was equal to its partner's.
    receipts: BTreeMap<Partition, (u64, u128)>,
    /// Why copies wait, by partition.
    waits: BTreeMap<Partition, String>,
    /// The placement that all members were seen to know last, and when that was first so.
    known: Option<(u64, u64)>,
    /// Members whose stores lack something, by their own last word.
    in_doubt: BTreeSet<NodeId>,
}

/// One comer's part of the placement change under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferView {
    pub comer: NodeId,
    /// Replicas of partitions that it is to have, and those that it has.
    pub moves: usize,
    pub done: usize,
    /// What holds it up; none if it does not answer.
    pub waits: Option<Vec<String>>,
}

impl Transfers {
    /// As an opened store remembers them.
    pub(crate) fn of(store: &Store, me: NodeId) -> Result<Self, ReadError> {
        let range = KeyRange {
            start: StorageKey::new(me.0, ROWS),
            ..KeyRange::of_positions(me.0..=me.0)
        };
        let lineage = store.identity().lineage;
        let mut receipts = BTreeMap::new();
        let page = store.readable(Keyspace::Members, &range, usize::from(u16::MAX))?;
        for (key, row) in page.rows {
            let partition = u32::try_from(key.fingerprint() - ROWS).ok().map(Partition);
            if let (Some(partition), Ok((placement_number, of, root))) = (partition, decode(row))
                && of == lineage
            {
                receipts.insert(partition, (placement_number, root));
            }
        }
        Ok(Self(Mutex::new(Progress {
            receipts,
            ..Progress::default()
        })))
    }

    /// The partitions for which there is a receipt; there is none any more.
    fn take_receipts(&self) -> Vec<Partition> {
        let receipts = std::mem::take(&mut self.lock().receipts);
        receipts.into_keys().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_done(&self, partition: Partition, placement_number: u64) -> bool {
        let progress = self.lock();
        let receipt = progress.receipts.get(&partition);
        receipt.is_some_and(|(of, _)| *of == placement_number)
    }

    /// Since when all members know a placement, if they do now.
    pub(super) fn known_by_all(&self, placement_number: u64, now_us: u64) -> u64 {
        let mut progress = self.lock();
        match progress.known {
            Some((known, since_us)) if known == placement_number => since_us,
            _ => {
                progress.known = Some((placement_number, now_us));
                now_us
            }
        }
    }

    fn wait_for(&self, partition: Partition, why: String) {
        self.lock().waits.insert(partition, why);
    }
}

/// Does this node's part of placement changes, for as long as it lives.
pub(crate) async fn run(node: Weak<Node>, environment: Arc<dyn Environment>) {
    let mut due_us = None;
    loop {
        let now_us = environment.now_us();
        environment
            .sleep_until(now_us.saturating_add(TICK_US))
            .await;
        let Some(node) = node.upgrade() else {
            return;
        };
        if node.store().poisoned().is_some() {
            return;
        }
        let ring = node.ring();
        if ring.document().placement.next.is_some() {
            node.copy_what_is_coming(&ring).await;
            node.finish(&ring, &mut due_us).await;
        } else {
            due_us = None;
            node.transfers.lock().waits.clear();
            node.part(&ring).await;
        }
    }
}

impl Node {
    /// So many replicas each key has, where its bucket does not say otherwise.
    #[must_use]
    pub fn replicas(&self) -> usize {
        usize::try_from(self.tuning.default_properties.n_val).unwrap_or(usize::MAX)
    }

    /// What this node is to become a home of.
    fn coming(&self, ring: &Ring) -> Vec<Move> {
        let moves = ring.moves(self.replicas()).into_iter();
        moves.filter(|a_move| a_move.comer == self.id).collect()
    }

    /// One round over the copies that are left, a few at a time.
    async fn copy_what_is_coming(self: &Arc<Self>, ring: &Arc<Ring>) {
        let placement_number = ring.placement_number();
        let mut left = self.coming(ring);
        left.retain(|a_move| !self.transfers.is_done(a_move.partition, placement_number));
        if left.is_empty() {
            return;
        }
        #[cfg(feature = "known-bad")]
        if known_bad::is(Variant::ReceiptWithoutCopy) {
            for a_move in left {
                self.give_receipt(ring, a_move.partition).await;
            }
            return;
        }
        if let Some(behind) = self.first_behind(ring).await {
            let why = format!("{} to know of the change", self.name_of(behind));
            for a_move in left {
                self.transfers.wait_for(a_move.partition, why.clone());
            }
            return;
        }
        let settled_us = self
            .transfers
            .known_by_all(placement_number, self.environment.now_us())
            + self.tuning.anti_entropy.settle_us;
        let copied = self.each(ring, &left, Self::copy).await;
        // Puts that were under way when the last member learnt of the change were not sent to comers.
        self.environment.sleep_until(settled_us).await;
        // Who has lost its disk meanwhile proves nothing.
        self.receipts_of_all(ring).await;
        let equal = self.each(ring, &copied, Self::equal).await;
        for a_move in equal {
            if !self.rebuild.in_doubt() {
                self.give_receipt(ring, a_move.partition).await;
            }
        }
    }

    /// Does something about several moves, a few at a time; those for which it came about. None if the placement has changed.
    async fn each<F>(
        self: &Arc<Self>,
        ring: &Arc<Ring>,
        moves: &[Move],
        act: fn(Arc<Self>, Arc<Ring>, Move) -> F,
    ) -> Vec<Move>
    where
        F: Future<Output = bool> + Send + 'static,
    {
        let never = Deadline { at_us: u64::MAX };
        let mut acts = Gather::until(Arc::clone(&self.environment), never);
        let mut left = moves.iter();
        let mut begin = |acts: &mut Gather<Move, bool>| {
            if let Some(a_move) = left.next() {
                acts.ask(
                    *a_move,
                    Box::pin(act(Arc::clone(self), Arc::clone(ring), *a_move)),
                );
            }
        };
        (0..COPIES_MAX).for_each(|_| begin(&mut acts));
        let mut done = Vec::new();
        while let Some((a_move, is_done)) = acts.next().await {
            if is_done {
                done.push(a_move);
            }
            if self.ring().placement_number() != ring.placement_number() {
                return Vec::new();
            }
            begin(&mut acts);
        }
        done
    }

    /// A member that can be reached and does not know of the change yet. Whoever answers knows, because it catches up first.
    pub(super) async fn first_behind(self: &Arc<Self>, ring: &Ring) -> Option<NodeId> {
        let answers = self.receipts_of_all(ring).await;
        let others = ring.members().iter().filter(|member| member.id != self.id);
        let mut others = others.filter(|member| !member.state.is_gone());
        let behind =
            others.find(|member| self.is_reachable(member.id) && !answers.contains_key(&member.id));
        behind.map(|member| member.id)
    }

    /// Whether at least half of the other members serve by the same placement, those that can't be reached included unless an operator
    /// said to do without them: then it is not likely that this node has missed one.
    pub(crate) async fn is_in_step(self: &Arc<Self>, ring: &Ring) -> bool {
        let present = ring
            .members()
            .iter()
            .filter(|member| !member.state.is_gone());
        let others = present.filter(|member| member.id != self.id && !self.does_without(member.id));
        let answers = self.receipts_of_all(ring).await.len() - 1;
        answers * 2 >= others.count()
    }

    /// What each member says that it has; none of those that don't answer.
    async fn receipts_of_all(self: &Arc<Self>, ring: &Ring) -> BTreeMap<NodeId, Receipts> {
        let deadline = Deadline::after(&*self.environment, PATIENCE_US);
        let mut calls = Gather::until(Arc::clone(&self.environment), deadline);
        for member in ring.members() {
            if !member.state.is_gone() && member.id != self.id {
                let call = self.call(member.id, Request::Receipts, deadline);
                calls.ask(member.id, call);
            }
        }
        let mut answers = BTreeMap::from([(self.id, self.receipts())]);
        while let Some((member, reply)) = calls.next().await {
            if let Ok(Reply::Receipts(receipts)) = reply
                && receipts.placement_number == ring.placement_number()
            {
                answers.insert(member, receipts);
            }
        }
        let mut progress = self.transfers.lock();
        for (member, answer) in &answers {
            if answer.in_doubt {
                progress.in_doubt.insert(*member);
            } else {
                progress.in_doubt.remove(member);
            }
        }
        drop(progress);
        answers
    }

    /// What this node says that it has, of the placement that it knows.
    pub(crate) fn receipts(&self) -> Receipts {
        let ring = self.ring();
        let placement_number = ring.placement_number();
        let progress = self.transfers.lock();
        let receipts = progress.receipts.iter();
        let receipts = receipts.filter(|(_, (of, _))| *of == placement_number);
        let receipts: Vec<Receipt> = receipts
            .map(|(partition, (_, root))| Receipt {
                partition: partition.0,
                root: *root,
            })
            .collect();
        let has = |partition: &Partition| receipts.iter().any(|r| r.partition == partition.0);
        let waits = progress
            .waits
            .iter()
            .filter(|(partition, _)| !has(partition));
        let waits: BTreeSet<&String> = waits.map(|(_, why)| why).collect();
        // A store that lacks something has no receipts, whatever it once had.
        let receipts = if self.rebuild.in_doubt() {
            Vec::new()
        } else {
            receipts.clone()
        };
        Receipts {
            placement_number,
            in_doubt: self.rebuild.in_doubt(),
            receipts,
            waits: waits.into_iter().take(8).cloned().collect(),
        }
    }

    /// Brings here what the sources of a partition have; false if one of them does not answer.
    async fn copy(self: Arc<Self>, ring: Arc<Ring>, a_move: Move) -> bool {
        let partition = a_move.partition;
        self.transfers
            .wait_for(partition, "its copy, which is under way".to_owned());
        let Some(sources) = self.sources(&ring, a_move) else {
            let goer = a_move
                .goer
                .map_or_else(|| "a home".to_owned(), |goer| self.name_of(goer));
            let why = format!("{goer}, which cannot be reached");
            self.transfers.wait_for(partition, why);
            return false;
        };
        for source in &sources {
            if !Pull::new(&self, partition, *source).run().await {
                let why = format!("{}, which does not answer", self.name_of(*source));
                self.transfers.wait_for(partition, why);
                return false;
            }
        }
        true
    }

    /// Compares a partition with its sources until nothing differs for longer than a put takes; false if one of them does not
    /// answer.
    async fn equal(self: Arc<Self>, ring: Arc<Ring>, a_move: Move) -> bool {
        let Some(sources) = self.sources(&ring, a_move) else {
            return false;
        };
        for source in &sources {
            if !self.equals(*source, a_move.partition).await {
                let why = format!("{}, which does not answer", self.name_of(*source));
                self.transfers.wait_for(a_move.partition, why);
                return false;
            }
        }
        true
    }

    async fn equals(self: &Arc<Self>, source: NodeId, partition: Partition) -> bool {
        let exchange = Exchange::new(self, partition, source);
        loop {
            let Some(first) = exchange.differing_leaves().await else {
                return false;
            };
            if first.is_empty() {
                return true;
            }
            let now_us = self.environment.now_us();
            let settled_us = now_us.saturating_add(self.tuning.anti_entropy.settle_us);
            self.environment.sleep_until(settled_us).await;
            let Some(second) = exchange.differing_leaves().await else {
                return false;
            };
            let both: Vec<Leaf> = first.intersection(&second).copied().collect();
            if both.is_empty() {
                return true;
            }
            exchange.mend_leaves(&both).await;
        }
    }

    /// From whom a partition is copied: the home whose place this node takes, or all others if that one is dead, or lacks something
    /// itself; from nobody where all homes were given up. None while somebody is waited for.
    fn sources(&self, ring: &Ring, a_move: Move) -> Option<Vec<NodeId>> {
        let in_doubt = self.transfers.lock().in_doubt.clone();
        let state = |id: NodeId| ring.member(id).map(|member| member.state);
        let is_there = |id: NodeId| {
            state(id) != Some(MemberState::Down) && self.is_reachable(id) && !in_doubt.contains(&id)
        };
        if let Some(goer) = a_move.goer.filter(|goer| is_there(*goer)) {
            return Some(vec![goer]);
        }
        let all = ring.homes(a_move.partition, self.replicas());
        let homes = all.iter().copied();
        let homes = homes.filter(|home| Some(*home) != a_move.goer);
        let (there, away): (Vec<NodeId>, Vec<NodeId>) = homes.partition(|home| is_there(*home));
        let lost = |id: &NodeId| state(*id) == Some(MemberState::Lost);
        let dead = |id: &NodeId| lost(id) || state(*id) == Some(MemberState::Down);
        // Who is only away for a while is waited for.
        let is_complete = away.iter().all(dead);
        let has_source = !there.is_empty() || all.iter().all(lost);
        (is_complete && has_source).then_some(there)
    }

    /// On disk, then in memory.
    async fn give_receipt(&self, ring: &Ring, partition: Partition) {
        let (placement_number, root) = (ring.placement_number(), self.root_of(partition));
        let row = Row {
            keyspace: Keyspace::Members,
            key: row_key(self.id, partition),
            value: encode(placement_number, self.store().identity().lineage, root),
        };
        if self.replica.keep_row(row).await.is_ok() {
            self.metrics.partitions_received.add(1);
            let mut progress = self.transfers.lock();
            progress
                .receipts
                .insert(partition, (placement_number, root));
            progress.waits.remove(&partition);
        }
    }

    /// Takes all receipts back: this store turned out to be an old copy, and may lack what was written since it was made.
    pub(crate) async fn withdraw_receipts(&self) -> Result<(), Refusal> {
        for partition in self.transfers.take_receipts() {
            let row = Row {
                keyspace: Keyspace::Members,
                key: row_key(self.id, partition),
                value: encode(0, NO_LINEAGE, 0),
            };
            self.replica.keep_row(row).await?;
        }
        Ok(())
    }

    /// Has the change finished once all receipts are in.
    async fn finish(self: &Arc<Self>, ring: &Arc<Ring>, due_us: &mut Option<u64>) {
        let answers = self.receipts_of_all(ring).await;
        if !self.all_received(ring, &answers) {
            *due_us = None;
            return;
        }
        let now_us = self.environment.now_us();
        let due = *due_us.get_or_insert_with(|| now_us + RANK_US * self.rank(ring));
        if now_us < due {
            return;
        }
        let placement_number = ring.placement_number();
        let finished = self.agree(|held| {
            // Another change may be under way by then.
            if held.placement.placement_number != placement_number {
                return Err(ChangeRefused::NoChangeUnderWay);
            }
            held.finishing()
        });
        match finished.await {
            Ok(_) | Err(NotAgreed::Refused(_)) => {}
            Err(reason) => tracing::warn!(?reason, "a placement change could not be finished yet"),
        }
    }

    fn all_received(&self, ring: &Ring, answers: &BTreeMap<NodeId, Receipts>) -> bool {
        #[cfg(feature = "known-bad")]
        if known_bad::is(Variant::FinishesWithoutReceipts) {
            return true;
        }
        let has = |a_move: &Move| {
            let receipts = answers.get(&a_move.comer).map(|answer| &answer.receipts);
            let mut receipts = receipts.into_iter().flatten();
            a_move.goer != Some(a_move.comer)
                && receipts.any(|receipt| receipt.partition == a_move.partition.0)
        };
        ring.moves(self.replicas()).iter().all(has)
    }

    /// How many members come before this one among those that can be reached.
    fn rank(&self, ring: &Ring) -> u64 {
        let members = ring.members().iter().filter(|member| member.state.votes());
        members
            .filter(|member| member.id < self.id && self.is_reachable(member.id))
            .count() as u64
    }

    pub(super) fn name_of(&self, id: NodeId) -> String {
        let ring = self.ring();
        ring.member(id)
            .map_or_else(|| id.to_string(), |member| member.name.clone())
    }

    /// How far each comer of the placement change under way is; none if there is no change.
    pub async fn transfers(self: &Arc<Self>) -> Option<Vec<TransferView>> {
        let ring = self.ring();
        ring.document().placement.next.as_ref()?;
        let answers = self.receipts_of_all(&ring).await;
        let mut views: BTreeMap<NodeId, TransferView> = BTreeMap::new();
        for a_move in ring.moves(self.replicas()) {
            let answer = answers.get(&a_move.comer);
            let view = views.entry(a_move.comer).or_insert_with(|| TransferView {
                comer: a_move.comer,
                moves: 0,
                done: answer.map_or(0, |answer| answer.receipts.len()),
                waits: answer.map(|answer| answer.waits.clone()),
            });
            view.moves += 1;
        }
        Some(views.into_values().collect())
    }
}

/// Behind the node's other rows.
fn row_key(me: NodeId, partition: Partition) -> StorageKey {
    StorageKey::new(me.0, ROWS + u128::from(partition.0))
}

/// `version u8 │ placement number u64 │ lineage 16 │ root 16`
fn encode(placement_number: u64, lineage: Lineage, root: u128) -> Bytes {
    encode_alone(ROW_BYTES, |writer| {
        writer.u8(ROW_VERSION);
        writer.u64(placement_number);
        writer.u128(lineage.0);
        writer.u128(root);
    })
}

fn decode(row: Bytes) -> Result<(u64, Lineage, u128), DecodeError> {
    decode_whole("receipt row", row, |reader: &mut Reader| {
        match reader.u8("receipt row")? {
            ROW_VERSION => Ok((
                reader.u64("placement number")?,
                Lineage(reader.u128("lineage")?),
                reader.u128("root")?,
            )),
            version => Err(DecodeError::UnknownVersion {
                what: "receipt row",
                version,
            }),
        }
    })
}
