//! Listings and index queries: what has no key is asked of R homes of every partition (§4.5).
//!
//! ```text
//! plan     R usable homes of each partition, nearest first; partitions with fewer are named    ringhold_core::coverage
//! ask      each node for a page of its run: its partitions' rows in one order                  answers
//! merge    the runs into one, each row once, with how many of those asked have it              ringhold_core::coverage
//! settle   rows in which those asked don't agree: by a get of the key
//! ```
//!
//! A query is *pulled*: whoever wants more rows asks for more, and no more than a page of each node is held for it, however many rows there
//! are. A node that fails on the way is left out and another home takes its place, behind the last row that was handed out; so does every
//! node when the ring changes placement meanwhile.
//!
//! *Complete* means that R homes of each partition answered, as a get's quorum means it: all that W replicas had acknowledged when the
//! query began, and nobody changed since, is there once (R + W > N); a row that was never written is not; what is changed
//! meanwhile may be there as before or as after. Where a get would be sloppy, so is a query: what only stand-ins have is not seen before it is home.
//!
//! Queries have a bound of their own, in which they wait for each other, on the node that asks and on those that answer.

mod answers;
mod count;
mod differences;
mod mend;
mod rows;

use crate::env::{BoxFuture, Deadline};
use crate::gather::{Gather, until};
#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};
use crate::node::Node;
use crate::properties::Properties;
use bytes::Bytes;
pub(crate) use mend::run as mend_rows;
use ringhold_core::coverage::{Merge, Merged, Plan, Share, plan};
use ringhold_core::health::Standing;
use ringhold_core::id::NodeId;
use ringhold_core::index::{Row, Span, place_of, term_order};
use ringhold_core::quorum::GetSpec;
use ringhold_core::ring::{Class, Partition, Ring, TreeId};
use ringhold_core::version::Object;
use ringhold_wire::message::index::{CountedKeys, ROWS_MAX, RowsRequest};
use ringhold_wire::message::peer::{Reply, Request};
use ringhold_wire::message::{GetAnswer, GetOptions, GetRequest, ObjectName};
use ringhold_wire::metadata::index_entries;
pub(crate) use rows::rows_of;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Queries that this node coordinates at once; others wait.
const ASKING_MAX: usize = 16;
/// Pages that this node makes at once for those who coordinate.
const ANSWERING_MAX: usize = 8;
/// Rows that are handed out at once.
const BATCH_ROWS: usize = 256;
/// Who gives no page for so long is left out, in microseconds.
const PAGE_US: u64 = 3_000_000;
/// Keys that are read at once to settle what replicas don't agree on.
const GETS_AT_ONCE: usize = 16;

/// The bounds of queries on a node.
pub(crate) struct Turns {
    asking: Arc<Semaphore>,
    pub(super) answering: Semaphore,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            asking: Arc::new(Semaphore::new(ASKING_MAX)),
            answering: Semaphore::new(ANSWERING_MAX),
        }
    }
}

/// Tells whether a row is wanted.
pub type Filter = Box<dyn Fn(&Row) -> bool + Send + Sync>;

/// A query.
pub struct Query {
    pub bucket_type: Bytes,
    /// None to list the buckets of the type.
    pub bucket: Option<Bytes>,
    /// Which rows.
    pub span: Span,
    /// The place of the last row that the asker has; empty for none.
    pub after: Bytes,
    /// Of the rows in the span, which; none for all.
    pub filter: Option<Filter>,
    /// Keys of which part of the ring.
    pub share: Share,
    pub rows_max: Option<u64>,
}

/// A row that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub row: Row,
    /// Where a query goes on that has this row.
    pub place: Bytes,
}

/// Why a query has no (further) answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryFailed {
    UnknownBucketType,
    /// The deadline passed first.
    TimedOut,
    /// The bucket's R can't be met by its N.
    Violation,
}

impl fmt::Display for QueryFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownBucketType => "there is no such bucket type",
            Self::TimedOut => "the deadline passed first",
            Self::Violation => "the bucket asks for more replicas than it has",
        })
    }
}

impl std::error::Error for QueryFailed {}

/// How many keys a bucket has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyCount {
    /// Of each partition the most that one of its homes counts.
    pub keys: u64,
    /// Partitions of which fewer than R homes answered.
    pub missing: BTreeSet<u32>,
}

/// A query on its way. Ends when it is dropped.
pub struct Coverage {
    node: Arc<Node>,
    query: Query,
    shows_one: bool,
    deadline: Deadline,
    /// How many replicas of each partition are asked.
    r: usize,
    /// Who has failed at which partition.
    failed: BTreeSet<(NodeId, u32)>,
    missing: BTreeSet<u32>,
    round: Option<Round>,
    left: u64,
    _turn: OwnedSemaphorePermit,
}

/// As long as nobody fails and the placement stays.
struct Round {
    ring: Arc<Ring>,
    plan: Plan,
    merge: Merge,
    /// The place of the last row of each node.
    places: BTreeMap<NodeId, Bytes>,
}

impl Node {
    /// Begins a query, when it is its turn.
    ///
    /// # Errors
    /// See [`QueryFailed`].
    pub async fn query(
        self: &Arc<Self>,
        query: Query,
        deadline: Deadline,
    ) -> Result<Coverage, QueryFailed> {
        let bucket = query.bucket.clone().unwrap_or_default();
        let properties = self.properties.of(&query.bucket_type, &bucket);
        let properties = properties.ok_or(QueryFailed::UnknownBucketType)?;
        let turn = Arc::clone(&self.coverage.asking).acquire_owned();
        let turn = until(&*self.environment, deadline, turn).await;
        let turn = turn.and_then(Result::ok).ok_or(QueryFailed::TimedOut)?;
        let r = self.replicas_asked(&query.bucket_type, query.bucket.as_ref(), &properties)?;
        self.metrics.queries.add(1);
        Ok(Coverage {
            node: Arc::clone(self),
            shows_one: properties.shows_last_write(),
            left: query.rows_max.unwrap_or(u64::MAX),
            query,
            deadline,
            r,
            failed: BTreeSet::new(),
            missing: BTreeSet::new(),
            round: None,
            _turn: turn,
        })
    }

    /// The R of a bucket; to list buckets, that of the fewest replicas that a bucket has.
    fn replicas_asked(
        &self,
        bucket_type: &Bytes,
        bucket: Option<&Bytes>,
        properties: &Properties,
    ) -> Result<usize, QueryFailed> {
        let ring = self.ring();
        let class = class_asked(&ring, bucket_type, bucket);
        let replicas = ring.classes().replicas(class);
        let n = replicas.map_or(1, |replicas| usize::from(replicas.now));
        let list = ring.partition_preference_list(Partition(0));
        let n = u32::try_from(n.min(list.len())).unwrap_or(1);
        let spec = if bucket.is_some() {
            properties.get
        } else {
            GetSpec::default()
        };
        let quorum = GetSpec::default().resolve(n, &spec);
        let r = quorum
            .map_err(|_| QueryFailed::Violation)?
            .replies_required();
        #[cfg(feature = "known-bad")]
        if known_bad::is(Variant::QueryAsksOne) {
            return Ok(1);
        }
        Ok(r.max(1) as usize)
    }

    /// Whom one can ask about a tree's keys, the best first.
    fn usable_homes(&self, ring: &Ring, tree: TreeId) -> Vec<NodeId> {
        let homes = ring.homes_of(tree).iter().copied();
        let mut homes: Vec<NodeId> = homes
            .filter(|home| self.standing(*home) != Standing::Down)
            .collect();
        let nearness = |home: NodeId| (self.standing(home), self.health.latency_us(home));
        homes.sort_by_key(|home| (*home != self.id, nearness(*home)));
        homes
    }

    /// Of each partition, whom one can ask about a bucket's keys there.
    #[must_use]
    pub fn homes_to_ask(&self, bucket_type: &Bytes, bucket: &Bytes) -> Vec<Vec<NodeId>> {
        let ring = self.ring();
        let class = class_asked(&ring, bucket_type, Some(bucket));
        let partitions = ring.partition_count().partitions();
        let homes =
            partitions.map(|partition| self.usable_homes(&ring, TreeId { partition, class }));
        homes.collect()
    }

    /// Counts the keys of a bucket. Costs a walk over its rows at R homes, and nothing travels.
    ///
    /// # Errors
    /// See [`QueryFailed`].
    pub async fn count_bucket(
        self: &Arc<Self>,
        bucket_type: &Bytes,
        bucket: &Bytes,
        deadline: Deadline,
    ) -> Result<KeyCount, QueryFailed> {
        let query = Query {
            bucket_type: bucket_type.clone(),
            bucket: Some(bucket.clone()),
            span: Span::of_bucket(bucket_type, bucket),
            after: Bytes::new(),
            filter: None,
            share: Share::ALL,
            rows_max: None,
        };
        self.query(query, deadline).await?.count().await
    }
}

/// The class whose homes are asked: the bucket's, or the one with the fewest replicas, whose homes are homes of all.
fn class_asked(ring: &Ring, bucket_type: &Bytes, bucket: Option<&Bytes>) -> Class {
    if let Some(bucket) = bucket {
        return ring.classes().of(bucket_type, bucket);
    }
    let classes = ring.classes();
    let replicas = |class: &Class| classes.replicas(*class).map(|replicas| replicas.now);
    classes.all().min_by_key(replicas).unwrap_or(Class::DEFAULT)
}

impl Coverage {
    /// Partitions of which fewer than R homes have answered so far.
    #[must_use]
    pub fn missing(&self) -> &BTreeSet<u32> {
        &self.missing
    }

    /// How many homes of each partition are asked.
    #[must_use]
    pub fn replicas_asked(&self) -> usize {
        self.r
    }

    /// Whether as many rows were handed out as were asked for.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.left == 0
    }

    /// The next rows in the order; none at the end.
    ///
    /// # Errors
    /// See [`QueryFailed`]. Nothing more comes then.
    pub async fn next_rows(&mut self) -> Result<Option<Vec<Found>>, QueryFailed> {
        while self.left > 0 {
            if self.deadline.has_passed(&*self.node.environment) {
                return Err(QueryFailed::TimedOut);
            }
            let mut round = match self.round.take() {
                Some(round) if round.ring.placement_number() == self.placement_number() => round,
                _ => self.begin_round(),
            };
            if !self.fetch(&mut round).await? {
                continue;
            }
            let taken = self.take(&mut round);
            let Some(last) = taken.last().map(|merged| merged.place.clone()) else {
                return Ok(None);
            };
            let found = self.settle(&round, taken).await?;
            self.query.after = last;
            self.round = Some(round);
            if !found.is_empty() {
                self.left = self.left.saturating_sub(found.len() as u64);
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn placement_number(&self) -> u64 {
        self.node.ring().placement_number()
    }

    fn begin_round(&mut self) -> Round {
        let ring = self.node.ring();
        let plan = self.plan(&ring);
        self.missing.extend(&plan.missing);
        let merge = Merge::of(plan.asked.keys().copied());
        Round {
            ring,
            plan,
            merge,
            places: BTreeMap::new(),
        }
    }

    fn plan(&self, ring: &Ring) -> Plan {
        let Query {
            bucket_type,
            bucket,
            share,
            ..
        } = &self.query;
        let class = class_asked(ring, bucket_type, bucket.as_ref());
        let count = ring.partition_count();
        let is_asked = |partition| share.meets(count, partition);
        let homes = count.partitions().map(|partition| {
            if !is_asked(partition) {
                return Vec::new();
            }
            let mut homes = self.node.usable_homes(ring, TreeId { partition, class });
            homes.retain(|home| !self.failed.contains(&(*home, partition.0)));
            homes
        });
        let mut plan = plan(&homes.collect::<Vec<_>>(), self.r);
        plan.missing.retain(|at| is_asked(Partition(*at)));
        plan
    }

    /// Gets a page of each node that is wanting. False if one of them failed: then another round takes this one's place.
    async fn fetch(&mut self, round: &mut Round) -> Result<bool, QueryFailed> {
        let environment = Arc::clone(&self.node.environment);
        let patience = Deadline::after(&*environment, PAGE_US).min(self.deadline);
        let mut calls = Gather::until(environment, patience);
        for node in round.merge.wanting() {
            let after = round.places.get(&node).unwrap_or(&self.query.after);
            let request = RowsRequest {
                partitions: round.plan.asked[&node].clone(),
                bucket_type: self.query.bucket_type.clone(),
                bucket: self.query.bucket.clone(),
                from: self.query.span.from.clone(),
                to: self.query.span.to.clone(),
                after: after.clone(),
                shows_one: self.shows_one,
                rows_max: self.rows_wanted(),
            };
            let call = self.node.call(node, Request::Rows(request), patience);
            calls.ask(node, call);
        }
        while let Some((node, reply)) = calls.next().await {
            let Ok(Reply::Rows(page)) = reply else {
                self.fail(node, &round.plan.asked[&node].clone());
                return Ok(false);
            };
            if !page.refused.is_empty() {
                self.fail(node, &page.refused);
                return Ok(false);
            }
            let rows = page.rows.into_iter().map(|row| (place_of(&row), row));
            let rows: Vec<_> = rows.collect();
            if let Some((place, _)) = rows.last() {
                round.places.insert(node, place.clone());
            }
            // Who gives nothing and does not end would be asked for ever.
            let ended = page.ended || rows.is_empty();
            round.merge.add(node, rows.into_iter(), ended);
        }
        let silent: Vec<NodeId> = calls.outstanding().copied().collect();
        for node in &silent {
            self.fail(*node, &round.plan.asked[node].clone());
        }
        let in_step = round.ring.placement_number() == self.placement_number();
        Ok(silent.is_empty() && in_step)
    }

    /// No more than a little beyond what is left: some may be filtered out.
    fn rows_wanted(&self) -> u32 {
        let left = u32::try_from(self.left).unwrap_or(u32::MAX);
        left.saturating_add(8).min(ROWS_MAX)
    }

    fn fail(&mut self, node: NodeId, partitions: &[u32]) {
        self.node.metrics.query_pages_failed.add(1);
        self.failed.extend(partitions.iter().map(|at| (node, *at)));
    }

    /// The rows that can be taken now, without those that nobody wants. At least one, unless all is over.
    fn take(&self, round: &mut Round) -> Vec<Merged> {
        let mut taken = Vec::new();
        while taken.len() < BATCH_ROWS
            && let Some(merged) = round.merge.next_row()
        {
            taken.push(merged);
        }
        taken
    }

    /// What of the rows stands.
    async fn settle(
        &mut self,
        round: &Round,
        taken: Vec<Merged>,
    ) -> Result<Vec<Found>, QueryFailed> {
        let mut found = Vec::new();
        let mut in_question = Vec::new();
        // Else only nodes with partitions of the share were asked, for those.
        let is_cut = self.query.share.cuts(round.ring.partition_count());
        for Merged { place, row, nodes } in taken {
            let Some(row) = Row::read(&row) else { continue };
            if is_cut && !self.query.share.contains(name_of(&row).position()) {
                continue;
            }
            if self
                .query
                .filter
                .as_ref()
                .is_some_and(|wanted| !wanted(&row))
            {
                continue;
            }
            if !self.is_agreed(round, &row, nodes) {
                in_question.push(found.len());
            }
            found.push(Found { row, place });
        }
        let mut gone = BTreeSet::new();
        for some in in_question.chunks(GETS_AT_ONCE) {
            gone.extend(self.read_keys(round, &found, some).await?);
        }
        let mut at = 0..;
        found.retain(|_| !at.next().is_some_and(|at| gone.contains(&at)));
        found.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        Ok(found)
    }

    /// Whether all that were asked have the row. That a bucket has keys is no question of one row.
    fn is_agreed(&self, round: &Round, row: &Row, nodes: usize) -> bool {
        if self.query.bucket.is_none() {
            return true;
        }
        let partition = round.ring.partition_of(name_of(row).position());
        round.plan.replicas.get(partition.index()) == Some(&nodes)
    }

    /// Reads keys whose replicas don't agree; which of the rows are gone.
    async fn read_keys(
        &mut self,
        round: &Round,
        found: &[Found],
        some: &[usize],
    ) -> Result<Vec<usize>, QueryFailed> {
        let environment = Arc::clone(&self.node.environment);
        let mut calls: Gather<usize, Option<Object>> = Gather::until(environment, self.deadline);
        for &at in some {
            let (node, name) = (Arc::clone(&self.node), name_of(&found[at].row));
            let deadline = self.deadline;
            let call: BoxFuture<'static, Option<Object>> = Box::pin(async move {
                // Of primaries alone: a stand-in that knows nothing of the key is no reason to leave it out.
                let options = GetOptions {
                    primaries_only: true,
                    ..GetOptions::default()
                };
                let request = GetRequest {
                    name,
                    options,
                    explain: false,
                };
                let answer = node.get(request, deadline).await.ok();
                answer.map(|GetAnswer { object, .. }| object)
            });
            calls.ask(at, call);
        }
        self.node.metrics.query_rows_settled.add(some.len() as u64);
        let mut gone = Vec::new();
        while let Some((at, object)) = calls.next().await {
            let row = &found[at].row;
            match object {
                Some(object) if stands(&object, self.shows_one, row) => {}
                Some(_) => gone.push(at),
                None => {
                    let partition = round.ring.partition_of(name_of(row).position());
                    self.missing.insert(partition.0);
                }
            }
        }
        if calls.outstanding().next().is_some() {
            return Err(QueryFailed::TimedOut);
        }
        Ok(gone)
    }
}

fn name_of(row: &Row) -> ObjectName {
    ObjectName {
        bucket_type: row.bucket_type.clone(),
        bucket: row.bucket.clone(),
        key: row.key.clone(),
    }
}

/// Whether an object, as it is shown to clients, has a row.
fn stands(object: &Object, shows_one: bool, row: &Row) -> bool {
    let last = object.last_write().map(|version| version.dot);
    let mut versions = object.versions().iter();
    versions.any(|version| {
        if version.content.is_tombstone() || (shows_one && Some(version.dot) != last) {
            return false;
        }
        let Some((field, term)) = &row.entry else {
            return true;
        };
        index_entries(version).any(|entry| {
            entry.name.eq_ignore_ascii_case(field)
                && term_order(field, &entry.value).as_ref() == Some(term)
        })
    })
}
