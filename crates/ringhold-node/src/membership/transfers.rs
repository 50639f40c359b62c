//! Keys that change hands (§4.9, §6.2): what the nodes do while a ring document has a `next` table, or buckets have another N to come.
//!
//! What is taken over is said tree by tree: the keys of a partition that have as many replicas, now and next.
//!
//! 1. Whoever is to become a home, a *comer*, waits until every member that it can reach knows the change:
//!    from then on all of them write to the comers as well (`coordinator::put`), and an old coordinator is turned back
//!    by its placement number.
//! 2. It copies what its partner has, the *goer* whose place it takes, or all other homes if it has no partner or that one is
//!    dead. Where N falls, some goers have no partner; what they have, all who stay homes take over. What differs is found by comparing hash trees, so a copy that was interrupted goes on where it was, and copies that
//!    were made otherwise (writes, hints) are not made again. Merges commute: nothing has to stand still, and nothing is fenced.
//! 3. When no put can be under way any more that was begun by the old document, the trees are compared until no leaf differs in two
//!    looks a put's time apart. Then the comer has its *receipt*: a row of its
//!    store that names the placement, the tree and its hash, and holds only for the store as it is (its lineage).
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
use ringhold_core::ring::{ChangeRefused, Class, MemberState, Move, Partition, Ring, TreeId};
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
/// Receipts have fingerprints from here on, under the node's own id: a partition and a class each.
const ROWS: u128 = 1 << 64;
/// No store has it.
const NO_LINEAGE: Lineage = Lineage(0);

/// What this node has of the placement change under way.
#[derive(Default)]
pub(crate) struct Transfers(Mutex<Progress>);

#[derive(Default)]
struct Progress {
    /// By tree: the placement number, and the tree's hash when it was equal to its partner's.
    receipts: BTreeMap<TreeId, (u64, u128)>,
    /// Why copies wait, by tree.
    waits: BTreeMap<TreeId, String>,
    /// The placement that all members were seen to know last, and when that was first so.
    known: Option<(u64, u64)>,
    /// Members whose stores lack something, by their own last word.
    in_doubt: BTreeSet<NodeId>,
}

/// One member's part of the placement change under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferView {
    pub comer: NodeId,
    /// Replicas that it is to take over, of all partitions and numbers of replicas; and those that it has.
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
            if let (Some(tree), Ok((placement_number, of, root))) = (tree_at(key), decode(row))
                && of == lineage
            {
                receipts.insert(tree, (placement_number, root));
            }
        }
        Ok(Self(Mutex::new(Progress {
            receipts,
            ..Progress::default()
        })))
    }

    /// The trees for which there is a receipt; there is none any more.
    fn take_receipts(&self) -> Vec<TreeId> {
        let receipts = std::mem::take(&mut self.lock().receipts);
        receipts.into_keys().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_done(&self, tree: TreeId, placement_number: u64) -> bool {
        let progress = self.lock();
        let receipt = progress.receipts.get(&tree);
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

    fn wait_for(&self, tree: TreeId, why: String) {
        self.lock().waits.insert(tree, why);
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
    /// What this node is to take over.
    fn coming(&self, ring: &Ring) -> Vec<Move> {
        let moves = ring.moves().into_iter();
        #[cfg(feature = "known-bad")]
        let moves = moves.filter(known_bad::is_taken_over);
        moves.filter(|a_move| a_move.taker == self.id).collect()
    }

    /// One round over the copies that are left, a few at a time.
    async fn copy_what_is_coming(self: &Arc<Self>, ring: &Arc<Ring>) {
        let placement_number = ring.placement_number();
        let mut left = self.coming(ring);
        left.retain(|a_move| !self.transfers.is_done(a_move.tree, placement_number));
        if left.is_empty() {
            return;
        }
        #[cfg(feature = "known-bad")]
        if known_bad::is(Variant::ReceiptWithoutCopy) {
            for a_move in left {
                self.give_receipt(ring, a_move.tree).await;
            }
            return;
        }
        if let Some(behind) = self.first_behind(ring).await {
            let why = format!("{} to know of the change", self.name_of(behind));
            for a_move in left {
                self.transfers.wait_for(a_move.tree, why.clone());
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
                self.give_receipt(ring, a_move.tree).await;
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
                    a_move.clone(),
                    Box::pin(act(Arc::clone(self), Arc::clone(ring), a_move.clone())),
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
            .map(|(tree, (_, root))| Receipt {
                partition: tree.partition.0,
                class: tree.class,
                root: *root,
            })
            .collect();
        let has = |tree: &TreeId| receipts.iter().any(|receipt| tree_in(receipt) == *tree);
        let waits = progress.waits.iter().filter(|(tree, _)| !has(tree));
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

    /// Brings here what the sources of a tree have; false if one of them does not answer.
    async fn copy(self: Arc<Self>, ring: Arc<Ring>, a_move: Move) -> bool {
        let tree = a_move.tree;
        let copying = "its copy, which is under way".to_owned();
        self.transfers.wait_for(tree, copying);
        let Some(sources) = self.sources(&ring, &a_move) else {
            let goer = a_move.goers.first();
            let goer = goer.map_or_else(|| "a home".to_owned(), |goer| self.name_of(*goer));
            let why = format!("{goer}, which cannot be reached");
            self.transfers.wait_for(tree, why);
            return false;
        };
        for source in &sources {
            if !Pull::new(&self, tree, *source).run().await {
                self.transfers.wait_for(tree, self.why_not(*source));
                return false;
            }
        }
        true
    }

    fn why_not(&self, source: NodeId) -> String {
        if self.store().unsorted_leaves().is_empty() {
            format!("{}, which does not answer", self.name_of(source))
        } else {
            "its keys to be sorted by their number of replicas".to_owned()
        }
    }

    /// Compares a tree with its sources until nothing differs for longer than a put takes; false if one of them does not
    /// answer.
    async fn equal(self: Arc<Self>, ring: Arc<Ring>, a_move: Move) -> bool {
        let Some(sources) = self.sources(&ring, &a_move) else {
            return false;
        };
        for source in &sources {
            if !self.equals(*source, a_move.tree).await {
                self.transfers.wait_for(a_move.tree, self.why_not(*source));
                return false;
            }
        }
        true
    }

    async fn equals(self: &Arc<Self>, source: NodeId, tree: TreeId) -> bool {
        let exchange = Exchange::new(self, tree, source);
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

    /// From whom a tree is taken over: the homes that go, in place of each that is dead or lacks something itself all others; all homes
    /// for one who takes no goer's place; nobody where all were given up. None if somebody has to be waited for.
    fn sources(&self, ring: &Ring, a_move: &Move) -> Option<Vec<NodeId>> {
        let in_doubt = self.transfers.lock().in_doubt.clone();
        let state = |id: NodeId| ring.member(id).map(|member| member.state);
        let is_lost = |id: NodeId| state(id) == Some(MemberState::Lost);
        let is_dead = |id: NodeId| is_lost(id) || state(id) == Some(MemberState::Down);
        let is_there =
            |id: NodeId| !is_dead(id) && self.is_reachable(id) && !in_doubt.contains(&id);
        let (there, away): (Vec<NodeId>, Vec<NodeId>) =
            a_move.goers.iter().partition(|goer| is_there(**goer));
        let mut sources: BTreeSet<NodeId> = there.into_iter().collect();
        if a_move.goers.is_empty() || !away.is_empty() {
            for home in ring.homes_of(a_move.tree) {
                // Of the goers each is asked for itself.
                if a_move.goers.contains(home) || *home == self.id {
                    continue;
                }
                if is_there(*home) {
                    sources.insert(*home);
                } else if !is_dead(*home) {
                    // Who is only away for a while is waited for.
                    return None;
                }
            }
        }
        // Two that are away could be the only ones who have acknowledged something, unless they are dead.
        let absent = away.iter().filter(|goer| !is_dead(**goer)).count();
        let covered = absent == 0 || (absent == 1 && !(sources.is_empty() && a_move.is_comer));
        // Where all homes were given up there is nothing to take.
        let all_lost = ring.homes_of(a_move.tree).iter().all(|home| is_lost(*home));
        let has_some = !sources.is_empty() || !a_move.is_comer || all_lost;
        (covered && has_some).then(|| sources.into_iter().collect())
    }

    /// On disk, then in memory.
    async fn give_receipt(&self, ring: &Ring, tree: TreeId) {
        // What can't be told from others at this moment is looked at again in the next round.
        let Some(mut own) = self.tree(tree) else {
            return;
        };
        let (placement_number, root) = (ring.placement_number(), own.root().0);
        let row = Row {
            keyspace: Keyspace::Members,
            key: row_key(self.id, tree),
            value: encode(placement_number, self.store().identity().lineage, root),
        };
        if self.replica.keep_row(row).await.is_ok() {
            self.metrics.partitions_received.add(1);
            let mut progress = self.transfers.lock();
            progress.receipts.insert(tree, (placement_number, root));
            progress.waits.remove(&tree);
        }
    }

    /// Takes all receipts back: this store turned out to be an old copy, and may lack what was written since it was made.
    pub(crate) async fn withdraw_receipts(&self) -> Result<(), Refusal> {
        for tree in self.transfers.take_receipts() {
            let row = Row {
                keyspace: Keyspace::Members,
                key: row_key(self.id, tree),
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
            let receipts = answers.get(&a_move.taker).map(|answer| &answer.receipts);
            let mut receipts = receipts.into_iter().flatten();
            !a_move.goers.contains(&a_move.taker)
                && receipts.any(|receipt| tree_in(receipt) == a_move.tree)
        };
        let moves = ring.moves();
        #[cfg(feature = "known-bad")]
        let moves: Vec<Move> = moves.into_iter().filter(known_bad::is_taken_over).collect();
        moves.iter().all(has)
    }

    /// How many members come before this one among those that can be reached.
    fn rank(&self, ring: &Ring) -> u64 {
        let members = ring.members().iter().filter(|member| member.state.votes());
        members
            .filter(|member| member.id < self.id && self.is_reachable(member.id))
            .count() as u64
    }

    pub(crate) fn name_of(&self, id: NodeId) -> String {
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
        for a_move in ring.moves() {
            let answer = answers.get(&a_move.taker);
            let view = views.entry(a_move.taker).or_insert_with(|| TransferView {
                comer: a_move.taker,
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
fn row_key(me: NodeId, tree: TreeId) -> StorageKey {
    let number = u128::from(tree.partition.0) << 16 | u128::from(tree.class.0);
    StorageKey::new(me.0, ROWS + number)
}

fn tree_at(key: StorageKey) -> Option<TreeId> {
    let number = key.fingerprint().checked_sub(ROWS)?;
    let class = Class(u16::try_from(number & u128::from(u16::MAX)).ok()?);
    let partition = Partition(u32::try_from(number >> 16).ok()?);
    Some(TreeId { partition, class })
}

fn tree_in(receipt: &Receipt) -> TreeId {
    TreeId {
        partition: Partition(receipt.partition),
        class: receipt.class,
    }
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
