//! Objects in the order of the ring, a page at a time, for a node that lacks many of them.
//!
//! Comparing key by key costs what the difference costs, which is too much where nearly everything differs: a disk that
//! was replaced gets its objects in pages instead. A page ends after so many bytes or objects, and says where the next one
//! begins, so whoever asks may stop in between and go on later, or with a page that was lost. Merges commute, so it does not
//! matter what is written meanwhile.
//!
//! A record that can't be read is left out: it is lost here, and other homes have it.

use crate::env::Deadline;
use crate::node::Node;
use bytes::Bytes;
use ringhold_core::health::Work;
use ringhold_core::ring::Partition;
use ringhold_core::tree::{Leaf, leaf_arc};
use ringhold_storage::{KeyRange, Keyspace, StorageKey};
use ringhold_wire::message::peer::{Page, PageRequest, Refusal};
use ringhold_wire::record::Record;

/// Objects in one page, at most.
const PAGE_OBJECTS: usize = 256;
/// Bytes of records after which a page ends. The last one may be as large as an object may be.
const PAGE_BYTES: usize = 1 << 20;
/// Rows read at once.
const ROWS: usize = 16;

impl Node {
    /// A page for a node that lacks many objects, when it is its turn: the clients that suffer from a rebuild are those of the nodes
    /// that send, more than of the one that is being rebuilt and is asked for nothing (§6.5).
    pub(crate) async fn page_in_turn(
        &self,
        request: &PageRequest,
        deadline: Deadline,
    ) -> Result<Page, Refusal> {
        let _turn = self.background.turn(Work::Rebuilding).await;
        if deadline.has_passed(&*self.environment) {
            return Err(Refusal::Expired);
        }
        self.page(request)
    }

    /// A page of the objects of some leaves of a tree; refused if this node is no home of its keys.
    fn page(&self, request: &PageRequest) -> Result<Page, Refusal> {
        let tree = self.own(request.partition, request.class)?;
        let ring = self.ring();
        let mut range = self
            .range_of_leaves(tree.partition, request.first_leaf, request.last_leaf)
            .ok_or(Refusal::Malformed)?;
        if !request.cursor.is_empty() {
            let cursor =
                <[u8; 32]>::try_from(&request.cursor[..]).map_err(|_| Refusal::Malformed)?;
            range.start = range.start.max(StorageKey(cursor));
        }
        let mut objects = Vec::new();
        let mut bytes = 0;
        while bytes < PAGE_BYTES && objects.len() < PAGE_OBJECTS {
            let read = self.store().readable(Keyspace::Objects, &range, ROWS);
            let read = read.map_err(|_| Refusal::StoreFailed)?;
            for (_, row) in read.rows {
                let row_bytes = row.len();
                if let Ok(record) = Record::decode(row)
                    && Self::tree_of(&ring, &record.name) == tree
                {
                    bytes += row_bytes;
                    objects.push((record.name, record.object));
                }
            }
            let Some(next) = read.next else {
                let cursor = Bytes::new();
                return Ok(Page { objects, cursor });
            };
            range.start = next;
        }
        let cursor = Bytes::copy_from_slice(&range.start.0);
        Ok(Page { objects, cursor })
    }

    /// The keys of a run of leaves; none if there is no such run.
    fn range_of_leaves(&self, partition: Partition, first: u16, last: u16) -> Option<KeyRange> {
        let count = self.ring().partition_count();
        let (first, last) = (Leaf::new(first)?, Leaf::new(last)?);
        if first > last {
            return None;
        }
        let start = leaf_arc(count, partition, first).start().0;
        let end = leaf_arc(count, partition, last).end().0;
        Some(KeyRange::of_positions(start..=end))
    }
}
