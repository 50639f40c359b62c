//! What one node says of its own rows.
//!
//! A node answers for a partition if it is one of its homes by the placement that counts, and its store is whole (T18): what it
//! does not have is no answer else. The rows of several partitions go into one run, read a few at a time from each.

use super::rows;
use crate::env::Deadline;
use crate::gather::{breath, until};
use crate::node::Node;
use bytes::Bytes;
use ringhold_core::index::{PLACE_BYTES_MAX, Row, Span, after_bucket, key_row, place_of};
use ringhold_core::ring::{Class, Partition, TreeId};
use ringhold_storage::RowRange;
use ringhold_wire::message::index::{
    CountKeysRequest, CountedKeys, ROWS_MAX, RowsPage, RowsRequest,
};
use ringhold_wire::message::peer::Refusal;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};

/// Rows that are read at once from one partition.
const ROWS_AT_ONCE: usize = 32;
/// Bytes of rows after which a page ends.
const PAGE_BYTES: usize = 256 << 10;
/// Reads after which others have their turn.
const READS_AT_ONCE: usize = 16;

/// What of an index is wanted, in the words of one node.
struct Wanted<'a> {
    node: &'a Node,
    bucket: Option<&'a Bytes>,
    span: Span,
    shows_one: bool,
    wall_us: u64,
}

/// One partition's run.
struct Cursor {
    partition: u32,
    /// What was not read yet; none at the end.
    rest: Option<RowRange>,
    rows: VecDeque<Bytes>,
}

impl Node {
    /// A page of this node's rows.
    pub(crate) async fn rows_page(
        &self,
        request: &RowsRequest,
        deadline: Deadline,
    ) -> Result<RowsPage, Refusal> {
        let turn = self.coverage.answering.acquire();
        let _turn = until(&*self.environment, deadline, turn).await;
        if deadline.has_passed(&*self.environment) {
            return Err(Refusal::Expired);
        }
        if request.after.len() > PLACE_BYTES_MAX {
            return Err(Refusal::Malformed);
        }
        let wanted = Wanted {
            node: self,
            bucket: request.bucket.as_ref(),
            span: Span {
                from: request.from.clone(),
                to: request.to.clone(),
            },
            shows_one: request.shows_one,
            wall_us: self.environment.wall_us(),
        };
        let mut refused = Vec::new();
        let mut cursors = Vec::new();
        for &partition in &request.partitions {
            if !self.answers_for(&request.bucket_type, request.bucket.as_ref(), partition) {
                refused.push(partition);
                continue;
            }
            cursors.push(wanted.cursor(partition, &request.after)?);
        }
        let rows_max = request.rows_max.clamp(1, ROWS_MAX) as usize;
        let mut page = wanted.page(cursors, rows_max).await;
        page.refused.extend(refused);
        Ok(page)
    }

    /// How many keys a bucket has in some partitions, by this node's rows.
    pub(crate) async fn count_keys(
        &self,
        request: &CountKeysRequest,
        deadline: Deadline,
    ) -> Result<CountedKeys, Refusal> {
        let turn = self.coverage.answering.acquire();
        let _turn = until(&*self.environment, deadline, turn).await;
        let wanted = Wanted {
            node: self,
            bucket: Some(&request.bucket),
            span: Span::of_bucket(&request.bucket_type, &request.bucket),
            shows_one: request.shows_one,
            wall_us: self.environment.wall_us(),
        };
        let mut counts = Vec::new();
        for &partition in &request.partitions {
            let answers = self.answers_for(&request.bucket_type, Some(&request.bucket), partition);
            let mut cursor = wanted.cursor(partition, &Bytes::new())?;
            let mut count = answers.then_some(0);
            while let Some(so_far) = count
                && cursor.rest.is_some()
            {
                if deadline.has_passed(&*self.environment) {
                    return Err(Refusal::Expired);
                }
                let read = wanted.read_more(&mut cursor);
                let rows = std::mem::take(&mut cursor.rows).len() as u64;
                count = read.is_ok().then_some(so_far + rows);
                breath().await;
            }
            counts.push(count);
        }
        Ok(CountedKeys { counts })
    }

    /// Whether what this node lacks of a partition's rows does not exist, as far as one replica can tell.
    fn answers_for(&self, bucket_type: &Bytes, bucket: Option<&Bytes>, partition: u32) -> bool {
        let ring = self.ring();
        if partition >= ring.partition_count().count() {
            return false;
        }
        let partition = Partition(partition);
        let classes: Vec<Class> = match bucket {
            Some(bucket) => vec![ring.classes().of(bucket_type, bucket)],
            None => ring.classes().all().collect(),
        };
        classes.into_iter().all(|class| {
            let tree = TreeId { partition, class };
            ring.homes_of(tree).contains(&self.id) && self.vouches_for_tree(tree)
        })
    }
}

impl Wanted<'_> {
    /// Before the first row of a partition that comes after a place.
    fn cursor(&self, partition: u32, after: &Bytes) -> Result<Cursor, Refusal> {
        let (from, to) = self.span.places();
        let behind = match self.bucket {
            _ if after.is_empty() => Bytes::new(),
            Some(_) => [&after[..], &[0]].concat().into(),
            None => {
                let row = Row::read(after).ok_or(Refusal::Malformed)?;
                after_bucket(&row.bucket_type, &row.bucket)
            }
        };
        let from = from.max(behind);
        let bits = self.node.ring().partition_count().bits();
        let range = (from < to && from.len() <= PLACE_BYTES_MAX + 1)
            .then(|| RowRange::new(partition, bits, &from, Some(&to)));
        Ok(Cursor {
            partition,
            rest: range,
            rows: VecDeque::new(),
        })
    }

    /// The first rows of all cursors in one order.
    async fn page(&self, cursors: Vec<Cursor>, rows_max: usize) -> RowsPage {
        let mut page = RowsPage::default();
        let mut cursors = cursors;
        let mut heads = BinaryHeap::new();
        let mut bytes = 0;
        let mut empty: Vec<usize> = (0..cursors.len()).collect();
        let mut reads = 0;
        let mut refused = BTreeSet::new();
        loop {
            for at in empty.drain(..) {
                let cursor = &mut cursors[at];
                while cursor.rows.is_empty() && cursor.rest.is_some() {
                    reads += 1;
                    if reads % READS_AT_ONCE == 0 {
                        breath().await;
                    }
                    if self.read_more(cursor).is_err() {
                        refused.insert(cursor.partition);
                        cursor.rest = None;
                    }
                }
                if let Some(row) = cursor.rows.front() {
                    heads.push(Reverse((place_of(row), at)));
                }
            }
            let Some(Reverse((_, at))) = heads.pop() else {
                page.ended = true;
                break;
            };
            let row = cursors[at].rows.pop_front().expect("it was at the front");
            if page.rows.last() != Some(&row) {
                bytes += row.len();
                page.rows.push(row);
            }
            if page.rows.len() >= rows_max || bytes >= PAGE_BYTES {
                break;
            }
            match cursors[at].rows.front() {
                Some(row) => heads.push(Reverse((place_of(row), at))),
                None => empty.push(at),
            }
        }
        page.refused.extend(refused);
        page
    }

    /// Reads the next few rows of a cursor; maybe none of them counts.
    fn read_more(&self, cursor: &mut Cursor) -> Result<(), Refusal> {
        let Some(range) = cursor.rest.take() else {
            return Ok(());
        };
        let read = self.node.store().rows(&range, ROWS_AT_ONCE);
        let read = read.map_err(|error| {
            tracing::error!(%error, "index rows can't be read");
            Refusal::Unreadable
        })?;
        let is_full = read.len() == ROWS_AT_ONCE;
        let mut last = None;
        for (key, value) in read {
            last = Some(key.tail());
            let shows_one = self.shows_one;
            let row = rows::read(&key, value, shows_one, self.wall_us);
            let row = row.map_err(|_| Refusal::Unreadable)?;
            let Some(row) = row.filter(|row| self.span.contains(row)) else {
                continue;
            };
            if self.bucket.is_some() {
                cursor.rows.push_back(row);
                continue;
            }
            let Row {
                bucket_type,
                bucket,
                ..
            } = Row::read(&row).ok_or(Refusal::Unreadable)?;
            let next = after_bucket(&bucket_type, &bucket);
            cursor.rest = self.behind(cursor.partition, &next);
            cursor.rows.push_back(key_row(&bucket_type, &bucket, b""));
            return Ok(());
        }
        if is_full && let Some(last) = last {
            cursor.rest = self.behind(cursor.partition, &[&last[..], &[0]].concat());
        }
        Ok(())
    }

    fn behind(&self, partition: u32, from: &[u8]) -> Option<RowRange> {
        let (_, to) = self.span.places();
        let bits = self.node.ring().partition_count().bits();
        // The type and the bucket of a listing are short enough.
        let from = &from[..from.len().min(PLACE_BYTES_MAX + 1)];
        (*from < to[..]).then(|| RowRange::new(partition, bits, from, Some(&to)))
    }
}
