//! What is here of partitions that are not this node's own.
//!
//! A placement change takes partitions from a node, and it learns of that sooner or later; a write that was on its way then may come
//! to lie here afterwards. All of it belongs to the homes, whatever they have already. So it is treated as what it is: an
//! object kept for others, that is, a hint (§7): the row that says so is put beside each, and from there on handing over,
//! receipts and deletion are those of hints. Nothing is deleted because of a transfer (T16).
//!
//! A bucket whose N falls leaves such objects too, in partitions whose other keys stay. A sweep goes over the partitions in which some
//! keys are not this node's and the sums of these are not empty, and leaves alone what has its row
//! already. It is made when the placement has changed, again when the longest put that was under way then must have come to its end,
//! and now and then.

use crate::env::Environment;
use crate::gather::breath;
#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::node::Node;
use bytes::Bytes;
use ringhold_core::health::Work;
use ringhold_core::ring::{Partition, Ring, TreeId};
use ringhold_core::tree::leaves_of_partition;
use ringhold_storage::{KeyRange, Keyspace, ReadError, StorageKey};
use ringhold_wire::message::peer::Refusal;
use ringhold_wire::record::Record;
use std::sync::{Arc, Weak};

/// Objects read at once.
const PAGE_ROWS: usize = 256;
/// Between two looks at the placement, in microseconds.
const TICK_US: u64 = 500_000;
/// After this time anyway, in microseconds.
const AGAIN_US: u64 = 600_000_000;
/// Beyond the time of a put, in microseconds.
const LATER_US: u64 = 2_000_000;

/// Sweeps for as long as the node lives.
pub(crate) async fn run(node: Weak<Node>, environment: Arc<dyn Environment>) {
    let mut swept = None;
    let mut due_us = 0;
    loop {
        let now_us = environment.now_us();
        environment
            .sleep_until(now_us.saturating_add(TICK_US))
            .await;
        let Some(node) = node.upgrade() else {
            return;
        };
        let ring = node.ring();
        let is_new = swept != Some(ring.placement_number());
        if !is_new && environment.now_us() < due_us {
            continue;
        }
        match node.sweep(&ring).await {
            Ok(()) => {
                let pause_us = if is_new {
                    node.tuning.put_tail_us + LATER_US
                } else {
                    AGAIN_US
                };
                due_us = environment.now_us().saturating_add(pause_us);
                swept = Some(ring.placement_number());
            }
            Err(Refusal::StoreFailed) if node.store().poisoned().is_some() => return,
            // What can't be read now is looked for again at the next tick.
            Err(_) => {}
        }
    }
}

impl Node {
    /// Has all that is not this node's own marked as owed.
    async fn sweep(self: &Arc<Self>, ring: &Ring) -> Result<(), Refusal> {
        #[cfg(feature = "known-bad")]
        if known_bad::is(Variant::StraysStay) {
            return Ok(());
        }
        for partition in ring.partition_count().partitions() {
            let foreign = ring.trees_of(partition);
            let mut foreign = foreign.filter(|tree| !self.keeps(ring, *tree));
            if foreign.any(|tree| self.has_any(tree)) {
                self.sweep_partition(ring, partition).await?;
            }
        }
        Ok(())
    }

    /// By its sums, which are those of nothing where there is nothing; by those of the whole partition as long as they can't be told
    /// apart.
    fn has_any(&self, tree: TreeId) -> bool {
        let sums = self.tree_sums(tree);
        let all = || self.store().leaf_sums(leaves_of_partition(tree.partition));
        let sums = sums.unwrap_or_else(all);
        sums.iter().any(|sum| *sum != Default::default())
    }

    async fn sweep_partition(
        self: &Arc<Self>,
        ring: &Ring,
        partition: Partition,
    ) -> Result<(), Refusal> {
        let arc = ring.partition_count().arc(partition);
        let mut range = KeyRange::of_positions(arc.start().0..=arc.end().0);
        loop {
            let _turn = self.background.turn(Work::Hints).await;
            if self.ring().placement_number() != ring.placement_number() {
                return Err(Refusal::PlacementBehind);
            }
            let page = self.store().readable(Keyspace::Objects, &range, PAGE_ROWS);
            let page = page.map_err(|_| Refusal::Unreadable)?;
            let is_foreign = |row: &Bytes| {
                let name = Record::decode(row.clone()).map(|record| record.name);
                name.is_ok_and(|name| !self.keeps(ring, Self::tree_of(ring, &name)))
            };
            let foreign = page.rows.iter().filter(|(_, row)| is_foreign(row));
            let keys = foreign.map(|(key, _)| *key);
            let unmarked = keys.filter_map(|key| {
                self.is_unmarked(key)
                    .map(|is| is.then_some(key))
                    .transpose()
            });
            let unmarked: Vec<StorageKey> = unmarked
                .collect::<Result<_, _>>()
                .map_err(|_| Refusal::Unreadable)?;
            if !unmarked.is_empty() {
                self.metrics.strays_found.add(unmarked.len() as u64);
                #[cfg(feature = "known-bad")]
                if known_bad::is(Variant::DeletesAfterSwitch) {
                    self.delete(unmarked).await?;
                    return Ok(());
                }
                self.replica.owe(unmarked).await?;
            }
            match page.next {
                Some(next) => range.start = next,
                None => return Ok(()),
            }
            breath().await;
        }
    }

    /// The mistake of a variant.
    #[cfg(feature = "known-bad")]
    async fn delete(&self, keys: Vec<StorageKey>) -> Result<(), Refusal> {
        let removal = |key| {
            let record = self.replica.record_at(key).ok().flatten();
            let object = record.map(|record| record.object);
            crate::replica::removal::Removal { key, object }
        };
        let removals: Vec<_> = keys.iter().copied().map(removal).collect();
        self.replica.remove(keys[0], removals).await.map(drop)
    }

    fn is_unmarked(&self, key: StorageKey) -> Result<bool, ReadError> {
        Ok(self.store().get(Keyspace::Hints, &key)?.is_none())
    }
}
