//! What nodes ask of each other for listings and index queries.

use bytes::Bytes;
use ringhold_core::tree::TreeBasis;

/// No page has more rows.
pub const ROWS_MAX: u32 = 1_000;

/// The rows of some partitions in a span, in the one order that all nodes have (`ringhold_core::index`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowsRequest {
    /// Ascending.
    pub partitions: Vec<u32>,
    pub bucket_type: Bytes,
    /// None to list buckets: then of each bucket of the type one row is wanted.
    pub bucket: Option<Bytes>,
    /// The first whole row that is wanted, and the first behind them.
    pub from: Bytes,
    pub to: Bytes,
    /// The place of the last row that the asker has; empty for none.
    pub after: Bytes,
    /// The bucket shows one version of each object: what is only in others does not count.
    pub shows_one: bool,
    /// At most so many, and at most [`ROWS_MAX`].
    pub rows_max: u32,
}

/// The first rows that were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowsPage {
    /// Whole rows, by their places.
    pub rows: Vec<Bytes>,
    /// Whether there are no more.
    pub ended: bool,
    /// Partitions for which this node can't answer: it is no home, its store is in doubt, or a row is damaged. None of
    /// their rows is here.
    pub refused: Vec<u32>,
}

/// How many keys with a value a bucket has in some partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountKeysRequest {
    pub partitions: Vec<u32>,
    pub bucket_type: Bytes,
    pub bucket: Bytes,
    pub shows_one: bool,
}

/// Of each partition that was asked for, in order; none where this node can't answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CountedKeys {
    pub counts: Vec<Option<u64>>,
}

/// Of a primary: are your index rows of one tree's keys those of your objects?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckRowsRequest {
    pub basis: TreeBasis,
    pub partition: u32,
    /// Where the answer before this one ended; empty at first.
    pub after: Bytes,
    /// Write anew the rows that are not.
    pub set_right: bool,
}

/// As much as was looked at in the time that there was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckedRows {
    /// Rows that objects should have and lack, or that say something else or can't be read.
    pub missing: u64,
    /// Rows that no object has.
    pub strange: u64,
    /// Where to go on, if there is more.
    pub next: Option<Bytes>,
}
