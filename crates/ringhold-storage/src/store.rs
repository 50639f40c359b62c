//! The store: an in-memory buffer over an engine, made safe by a log (§5, §6.1).
//!
//! ```text
//! write → log (append, one flush for all that waits) → buffer (sorted, in memory) → acknowledge
//! checkpoint: buffers → engine, an atomic batch for each run of partitions → engine flushed → old log segments dropped
//! read  → active buffer, frozen buffer, engine      open → engine as of its checkpoint + the log
//! ```
//!
//! The store spawns nothing and reads no clock. The host spawns the [`Flusher`], gives each partition
//! group's [`GroupWriter`] to one task, and drives checkpoints when they are due. Reads go past the
//! writers: whoever has the store may read, and sees what is flushed, or what was let out as
//! *buffered*.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use ringhold_core::id::Incarnation;

use crate::buffer::{Buffers, Layers, Lookup};
use crate::checkpoint::parts::PartLayout;
use crate::checkpoint::{Begin, BetweenParts, Checkpoint, Checkpoints, Pin, at_once, write_back};
use crate::engine::{Engine, EngineError};
use crate::error::{CheckpointError, OpenError, Poisoned, PoisonedStep, ReadError};
use crate::figures::{Figures, count};
use crate::files::Files;
use crate::key::{Grouping, KeyRange, Keyspace, StorageKey};
use crate::lease::EpochLease;
use crate::log::flusher::{Flusher, Service};
use crate::log::queue::{CommitLog, Item};
use crate::meta::{META_PLACE, MetaChange, StoreIdentity};
use crate::recovery::{OpenReport, Recovered, recover};
use crate::rows::{self, RowKey, RowRange};
use crate::sums::Summarize;
use crate::view::{Overlay, opened};
use crate::writer::GroupWriter;

/// Each opening adds a segment, so many short lives would make many files: with more than this a
/// checkpoint is due whatever they hold.
const SEGMENTS_MAX: usize = 16;

/// A checkpoint of a whole segment goes to the engine in so many parts, where there are as many partitions.
const PARTS_OF_A_SEGMENT: u64 = 64;

/// How a store is laid out and when it tidies up.
#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    /// Partition groups, each with one writer; about one a core. May change between openings.
    pub groups: usize,
    /// log2 of the number of partitions: a key's group is its partition modulo the groups.
    pub partition_bits: u32,
    /// A checkpoint is due when the log segment is this long, in bytes. The buffers hold about as
    /// much, twice that while a checkpoint is under way.
    pub segment_bytes: u64,
    /// Key epochs leased with one flush.
    pub epoch_lease: u64,
}

impl StoreOptions {
    pub(crate) fn part_layout(&self) -> PartLayout {
        PartLayout {
            partition_bits: self.partition_bits,
            part_bytes: self.segment_bytes / PARTS_OF_A_SEGMENT,
        }
    }
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            groups: 1,
            partition_bits: 8,
            segment_bytes: 64 << 20,
            epoch_lease: 10_000,
        }
    }
}

/// A store that was opened, in its parts.
pub struct Opened {
    /// For everybody.
    pub store: Arc<Store>,
    /// One for each group, in order.
    pub writers: Vec<GroupWriter>,
    /// To be spawned: nothing is committed unless it runs.
    pub flusher: Flusher,
    /// What the opening found.
    pub report: OpenReport,
}

/// See the module.
pub struct Store {
    /// As of the opening.
    identity: StoreIdentity,
    /// The incarnation that took the place of the opening's.
    renewed: OnceLock<Incarnation>,
    /// Whether the name is this store's alone. One that goes on after a clean close may be a copy.
    is_settled: AtomicBool,
    options: StoreOptions,
    quarantined: usize,
    pub(crate) log: Arc<CommitLog>,
    pub(crate) buffers: Arc<Buffers>,
    pub(crate) lease: Mutex<EpochLease>,
    files: Arc<dyn Files>,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) checkpoints: Arc<Checkpoints>,
}

impl Store {
    /// Opens a store, or creates it where there is none: recovers what engine and log hold, and
    /// starts a new log segment. Random numbers become the store's id, incarnation and key. With something to
    /// `summarize` objects it keeps leaf sums.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]; nothing has been changed that another attempt could need.
    pub async fn open(
        files: Arc<dyn Files>,
        engine: Box<dyn Engine>,
        options: StoreOptions,
        summarize: Option<Arc<dyn Summarize>>,
        draw_random: &mut (dyn FnMut() -> u128 + Send),
    ) -> Result<Opened, OpenError> {
        let engine: Arc<dyn Engine> = Arc::from(engine);
        let grouping = Grouping {
            groups: options.groups,
            partition_bits: options.partition_bits,
        };
        let buffers = Arc::new(Buffers::new(grouping, summarize));
        let recovered = recover(&*files, &engine, &buffers, draw_random).await?;
        let Recovered {
            meta,
            segment,
            segments,
            report,
        } = recovered;
        let log = Arc::new(CommitLog::default());
        log.counters.flushed(segment.length());
        let checkpoints = Arc::new(Checkpoints::new(segments));
        let store = Arc::new(Self {
            identity: meta.identity(),
            renewed: OnceLock::new(),
            is_settled: AtomicBool::new(report.new_incarnation),
            options,
            quarantined: report.quarantined.len(),
            log: Arc::clone(&log),
            buffers: Arc::clone(&buffers),
            lease: Mutex::new(EpochLease::new(meta.epoch_ceiling, options.epoch_lease)),
            files: Arc::clone(&files),
            engine,
            checkpoints: Arc::clone(&checkpoints),
        });
        let flusher = Flusher::new(Service {
            log,
            files,
            buffers,
            checkpoints,
            segment,
            meta,
        });
        let writers = (0..options.groups)
            .map(|group| GroupWriter::new(Arc::clone(&store), group))
            .collect();
        Ok(Opened {
            store,
            writers,
            flusher,
            report,
        })
    }

    /// Who this store is, in this opening.
    #[must_use]
    pub fn identity(&self) -> StoreIdentity {
        StoreIdentity {
            incarnation: *self.renewed.get().unwrap_or(&self.identity.incarnation),
            ..self.identity
        }
    }

    /// How keys are dealt to the groups.
    #[must_use]
    pub fn grouping(&self) -> Grouping {
        self.buffers.grouping()
    }

    /// The value of a key.
    ///
    /// # Errors
    ///
    /// The value is damaged, or the engine cannot tell. Neither is "not found".
    pub fn get(&self, keyspace: Keyspace, key: &StorageKey) -> Result<Option<Bytes>, ReadError> {
        let found = self.buffers.lookup(keyspace, key);
        value_of(found, &*self.engine, keyspace, key)
    }

    /// The first `limit` keys of a range with their values, in order. Each is as it was at some
    /// moment of the call; for one moment for all there is [`Store::snapshot`]. A scan goes on from
    /// the successor of the last key.
    ///
    /// # Errors
    ///
    /// As for [`Store::get`]; a damaged value's key is in the error.
    pub fn range(
        &self,
        keyspace: Keyspace,
        range: &KeyRange,
        limit: usize,
    ) -> Result<Vec<(StorageKey, Bytes)>, ReadError> {
        let mut overlay = Overlay::new(keyspace, *range, limit);
        match self.grouping().group_of_range(range) {
            Some(group) => overlay.add(&self.buffers.read(group)),
            None => self
                .buffers
                .read_all()
                .iter()
                .for_each(|layers| overlay.add(layers)),
        }
        overlay.read(&*self.engine)
    }

    /// The first `limit` rows of a range, which lies in one partition, with their values, in order.
    ///
    /// # Errors
    ///
    /// As for [`Store::get`]; a damaged row is [`ReadError::CorruptRow`].
    pub fn rows(&self, range: &RowRange, limit: usize) -> Result<Vec<(RowKey, Bytes)>, ReadError> {
        let group = rows::group_of(self.grouping(), &range.start);
        // What is buffered is looked at before the engine, as rows only ever move in that direction.
        let known = rows::overlay(&self.buffers.read(group), range, limit);
        rows::read(known, &*self.engine, range, limit)
    }

    /// All of the store as it is at this moment. Copies the map of the active buffers (not the
    /// values), and holds back later checkpoints while it lives: for tests, backups and short scans.
    #[must_use]
    pub fn snapshot(self: &Arc<Self>) -> Snapshot {
        let groups = self.buffers.read_all();
        // Pinned under the locks of the groups, so no freeze comes in between.
        let pin = self.checkpoints.pin();
        let layers = groups.iter().map(|layers| Layers::clone(layers)).collect();
        drop(groups);
        Snapshot {
            store: Arc::clone(self),
            layers,
            _pin: pin,
        }
    }

    /// The store goes on under the name that it had when it was closed, and no copy of it does.
    pub fn confirm_incarnation(&self) {
        self.is_settled.store(true, Ordering::Release);
    }

    /// Goes on under another name, flushed before this returns: the store turned out to be a copy, or
    /// older than others remember. To be called before the store names its first write, and once.
    ///
    /// # Errors
    ///
    /// The store goes on under no name.
    ///
    /// # Panics
    ///
    /// If called again.
    pub async fn renew_incarnation(&self, incarnation: Incarnation) -> Result<(), Poisoned> {
        let change = MetaChange::Renew(incarnation);
        self.log.ask(|reply| Item::Meta { change, reply }).await?;
        let first = self.renewed.set(incarnation).is_ok();
        assert!(first, "an opening renews its incarnation once");
        self.is_settled.store(true, Ordering::Release);
        Ok(())
    }

    /// Why nothing can be written any more, if so.
    #[must_use]
    pub fn poisoned(&self) -> Option<Poisoned> {
        self.log.poisoned()
    }

    /// What the engine below is called.
    #[must_use]
    pub fn engine_name(&self) -> &'static str {
        self.engine.name()
    }

    /// Counts and sizes.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures {
            segments: count(self.checkpoints.segments()),
            buffer_bytes: count(self.buffers.bytes()),
            // A size that cannot be told is not worth an error to whoever draws a graph.
            engine_bytes: self.engine.size_bytes().unwrap_or(0),
            quarantined_segments: count(self.quarantined),
            ..self.log.counters.figures()
        }
    }

    /// Whether the log has grown enough for a checkpoint, or one waits to be finished.
    #[must_use]
    pub fn checkpoint_due(&self) -> bool {
        let grown = self.log.counters.segment_bytes() >= self.options.segment_bytes
            || self.checkpoints.segments() > SEGMENTS_MAX;
        self.checkpoints.is_frozen() || (grown && self.checkpoints.is_open())
    }

    /// Whether checkpoints are so far behind the log that taking more writes would fill memory and
    /// disk: one has not been finished although the log has grown by two segments since.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        let grown = self.log.counters.segment_bytes();
        self.checkpoints.is_frozen() && grown >= self.options.segment_bytes.saturating_mul(2)
    }

    /// How full the log segment is that is being written, in thousandths of what makes a checkpoint due.
    #[must_use]
    pub fn segment_filled(&self) -> u64 {
        let bytes = self.log.counters.segment_bytes();
        bytes.saturating_mul(1_000) / self.options.segment_bytes.max(1)
    }

    /// Starts a new log segment and freezes the buffers. None if there is nothing to write back, or
    /// if a checkpoint is under way; the same checkpoint again if one was not finished.
    ///
    /// # Errors
    ///
    /// The store is poisoned.
    pub async fn begin_checkpoint(&self) -> Result<Option<Checkpoint>, Poisoned> {
        match self.checkpoints.begin(self.buffers.is_empty()) {
            Begin::Nothing => Ok(None),
            Begin::Again(checkpoint) => Ok(Some(checkpoint)),
            Begin::Rotate => {
                self.log.ask(|reply| Item::Rotate { reply }).await?;
                Ok(self.checkpoints.frozen())
            }
        }
    }

    /// Writes what is frozen into the engine, durably, then drops it and the log behind it. Waits for
    /// snapshots that are older than the freeze.
    ///
    /// # Errors
    ///
    /// See [`CheckpointError`]; the log still holds whatever the engine lacks.
    pub async fn finish_checkpoint(&self, checkpoint: Checkpoint) -> Result<(), CheckpointError> {
        self.finish_by_parts(checkpoint, &mut at_once).await
    }

    /// As [`Store::finish_checkpoint`], doing something between two parts of it, such as waiting. Meanwhile
    /// the frozen buffers stay in memory.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn finish_by_parts(
        &self,
        checkpoint: Checkpoint,
        between: BetweenParts<'_>,
    ) -> Result<(), CheckpointError> {
        let Some(claim) = self.checkpoints.claim(&checkpoint) else {
            return Err(CheckpointError::Superseded);
        };
        claim.unpinned().await;
        #[cfg(feature = "known-bad")]
        if crate::known_bad::is(crate::known_bad::Variant::LogDroppedEarly) {
            let old = (0..claim.meta.first_segment).collect();
            self.files.remove(old).await.ok();
        }
        let layout = match self.engine.takes_parts() {
            true => self.options.part_layout(),
            false => PartLayout::WHOLE,
        };
        let written = write_back(
            &*self.files,
            &self.engine,
            self.buffers.frozen(),
            &claim.meta,
            layout,
            between,
        )
        .await;
        match written {
            Some(Ok(())) => {}
            Some(Err(EngineError::Full)) => return Err(CheckpointError::EngineFull),
            Some(Err(error)) => {
                self.log.poison(Poisoned {
                    step: PoisonedStep::Checkpoint,
                    kind: None,
                });
                return Err(CheckpointError::Engine(error));
            }
            None => {
                self.log.poison(Poisoned {
                    step: PoisonedStep::Checkpoint,
                    kind: None,
                });
                return Err(CheckpointError::JobLost);
            }
        }
        self.buffers.drop_frozen();
        self.log.counters.checkpointed();
        let old = claim.finish();
        self.files.remove(old.clone()).await.map_err(|error| {
            self.checkpoints.keep_stale(old);
            CheckpointError::OldSegments(error)
        })
    }

    /// Ends cleanly: everything submitted so far is flushed, then that the end was clean, so the next
    /// opening goes on with the same incarnation. If that is not settled to be this store's alone, the next
    /// opening takes a new one. Nothing can be committed afterwards; reads go on.
    ///
    /// # Errors
    ///
    /// The store was poisoned before, or while closing.
    pub async fn close(&self) -> Result<(), Poisoned> {
        let clean = self.is_settled.load(Ordering::Acquire);
        #[cfg(feature = "known-bad")]
        let clean = clean || crate::known_bad::is(crate::known_bad::Variant::UnsettledEndIsClean);
        self.log.ask(|reply| Item::Close { clean, reply }).await
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.log.abandon();
    }
}

/// The store as it was at one moment; see [`Store::snapshot`].
pub struct Snapshot {
    store: Arc<Store>,
    layers: Vec<Layers>,
    _pin: Pin,
}

impl Snapshot {
    /// The value that a key had.
    ///
    /// # Errors
    ///
    /// As for [`Store::get`].
    pub fn get(&self, keyspace: Keyspace, key: &StorageKey) -> Result<Option<Bytes>, ReadError> {
        let layers = &self.layers[self.store.grouping().group_of(key)];
        let found = layers.lookup(keyspace, key);
        value_of(found, &*self.store.engine, keyspace, key)
    }

    /// The first `limit` keys that a range had, with their values, in order.
    ///
    /// # Errors
    ///
    /// As for [`Store::range`].
    pub fn range(
        &self,
        keyspace: Keyspace,
        range: &KeyRange,
        limit: usize,
    ) -> Result<Vec<(StorageKey, Bytes)>, ReadError> {
        let mut overlay = Overlay::new(keyspace, *range, limit);
        self.layers.iter().for_each(|layers| overlay.add(layers));
        overlay.read(&*self.store.engine)
    }
}

/// What the buffers say of a key, or else the engine, with its seal checked and taken off.
fn value_of(
    found: Lookup,
    engine: &dyn Engine,
    keyspace: Keyspace,
    key: &StorageKey,
) -> Result<Option<Bytes>, ReadError> {
    let sealed = match found {
        Lookup::Value(sealed) => Some(sealed),
        Lookup::Removed => None,
        Lookup::Unknown => read_engine(engine, keyspace, key)?,
    };
    sealed
        .map(|sealed| opened(keyspace, *key, &sealed))
        .transpose()
}

/// A row of the engine; the store's own record is nobody else's.
fn read_engine(
    engine: &dyn Engine,
    keyspace: Keyspace,
    key: &StorageKey,
) -> Result<Option<Bytes>, ReadError> {
    if (keyspace, *key) == META_PLACE {
        return Ok(None);
    }
    engine.get(keyspace, key).map_err(ReadError::Engine)
}
