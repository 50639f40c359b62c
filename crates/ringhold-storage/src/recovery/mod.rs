//! Opening a store: what the engine and the log say, judged first and acted on afterwards.
//!
//! [`judge()`] is pure. It takes the engine's store record and what a scan found in each segment, and
//! says which of these is the case:
//!
//! - *Create*: there is nothing. (An earlier creation that did not come to its end is nothing.)
//! - *Continue*: engine and log tell one story. Replay starts at the record's first segment. In the
//!   last segment, a fault above everything that is proven to have been flushed is the torn end of a
//!   write that nobody was promised; what is whole before it is kept.
//! - *Doubt*: something that had been flushed cannot be read any more, or is missing. All that does
//!   read is kept, but nobody can say that no dot of this store is among the rest. So the store takes
//!   a new incarnation (T2), and other replicas bring back what was lost.
//! - An error: the pieces belong to different stores or programs. Nothing is touched.
//!
//! Acting never writes into an old segment. A new one is started, whose header says how much of the
//! last one counts. Records above the proven end are said again in it: they may be in the page cache
//! only, and after a failed flush the kernel would never write them (T21). With a doubt, everything
//! goes into the engine at once, in a new lineage; that batch is the turning point,
//! before it the next opening sees the same doubt, after it the old segments are history.

mod judge;

use std::sync::{Arc, Mutex};

#[cfg(feature = "known-bad")]
use crate::known_bad::{self, Variant};

use bytes::Bytes;
use ringhold_core::id::Incarnation;

use self::judge::{Continuation, Evidence, InDoubt, Story, judge};
use crate::buffer::Buffers;
use crate::checkpoint::parts::PartLayout;
use crate::checkpoint::{at_once, write_back};
use crate::engine::Engine;
use crate::error::OpenError;
use crate::figures::count;
use crate::files::Files;
use crate::key::{KeyRange, Keyspace};
use crate::log::open_segment::OpenSegment;
use crate::log::record::RecordKind;
use crate::log::segment::{Content, FoundRecord, SegmentIdentity, scan};
use crate::meta::{Lineage, META_PLACE, StoreId, StoreMeta};
use crate::seal::unseal;
use crate::sums::load::{self, Recounted, Trust};

/// Why a store's history is in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// A part of this segment that had been flushed cannot be read.
    DamagedSegment(u64),
    /// This segment is not there, although others or the engine say that it was.
    MissingSegment(u64),
    /// The engine's store record is gone or damaged; the log's was taken.
    StoreRecordLost,
}

/// What an opening found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// The store did not exist before.
    pub created: bool,
    /// What had been flushed and is not there; empty if there is nothing of the kind.
    pub doubts: Vec<Doubt>,
    /// The store had not been closed, or there is a doubt: a new incarnation was drawn.
    pub new_incarnation: bool,
    /// Batches replayed from the log.
    pub replayed_batches: u64,
    /// Bytes read from the log.
    pub log_bytes: u64,
    /// Bytes at the end of the log that a crash had left unfinished, and that nobody was promised.
    pub torn_bytes: u64,
    /// Segments that were put aside as damaged.
    pub quarantined: Vec<u64>,
    /// Leaf sums that were made from the objects, because what was kept of them could not be used.
    pub recounted: Recounted,
}

/// A store brought back.
pub(crate) struct Recovered {
    pub(crate) meta: StoreMeta,
    pub(crate) segment: OpenSegment,
    pub(crate) segments: Vec<u64>,
    pub(crate) report: OpenReport,
}

/// Reads, judges, and does what follows; fills the buffers with what the engine lacks.
pub(crate) async fn recover(
    files: &dyn Files,
    engine: &Arc<dyn Engine>,
    buffers: &Arc<Buffers>,
    draw_random: &mut (dyn FnMut() -> u128 + Send),
) -> Result<Recovered, OpenError> {
    let evidence = gather(files, engine).await?;
    let log_bytes = evidence.segments.iter().map(|(_, scan)| scan.length).sum();
    let judgement = judge(evidence)?;
    for segment in &judgement.put_aside {
        files.quarantine(*segment).await.map_err(OpenError::Files)?;
    }
    // The process before may have ended between the engine's batch and its flush. What is seen of the engine
    // must be there for good before anything is built on it, and before the log that says the same goes.
    make_durable(files, engine).await?;
    if !judgement.discard.is_empty() {
        files
            .remove(judgement.discard)
            .await
            .map_err(OpenError::Files)?;
    }
    let quarantined = judgement.put_aside;
    let report = OpenReport {
        log_bytes,
        quarantined,
        ..OpenReport::default()
    };
    let next_segment = judgement.next_segment;
    let recovery = Recovery {
        files,
        engine,
        buffers,
        next_segment,
        report,
    };
    match judgement.story {
        Story::Create => recovery.create(draw_random).await,
        Story::Continue(story) => recovery.go_on(story, draw_random).await,
        Story::Doubt(story) => recovery.settle(story, draw_random).await,
    }
}

/// What the three stories need to come to their end.
struct Recovery<'a> {
    files: &'a dyn Files,
    engine: &'a Arc<dyn Engine>,
    buffers: &'a Arc<Buffers>,
    next_segment: u64,
    report: OpenReport,
}

impl Recovery<'_> {
    /// A new store. The engine hears of it last: without its record, there is no store.
    async fn create(
        self,
        draw_random: &mut (dyn FnMut() -> u128 + Send),
    ) -> Result<Recovered, OpenError> {
        let meta = StoreMeta {
            store_id: StoreId(draw_random()),
            lineage: Lineage(draw_random()),
            fingerprint_key: draw_random(),
            incarnation: Incarnation(draw_random()),
            boot_number: 1,
            open: true,
            epoch_ceiling: 0,
            first_segment: self.next_segment,
        };
        let recounted = self.load_sums(Trust::New).await?;
        let segment = self.start_segment(&meta, 0, Vec::new()).await?;
        self.write_back(&meta).await?;
        let report = OpenReport {
            created: true,
            new_incarnation: true,
            recounted,
            ..self.report
        };
        Ok(Recovered {
            meta,
            segment,
            segments: vec![self.next_segment],
            report,
        })
    }

    /// The same store. Its new boot number, and its new incarnation where it was not closed, are flushed
    /// before anything else happens.
    async fn go_on(
        self,
        story: Continuation,
        draw_random: &mut (dyn FnMut() -> u128 + Send),
    ) -> Result<Recovered, OpenError> {
        let Continuation {
            mut meta,
            mut segments,
            replay,
            again,
            previous_end,
            torn_bytes,
        } = story;
        let new_incarnation = meta.open;
        #[cfg(feature = "known-bad")]
        if known_bad::is(Variant::UncleanEndForgotten) {
            meta.open = false;
        }
        meta.open_again(draw_random);
        let again = said_again(&replay[replay.len() - again..]);
        #[cfg(feature = "known-bad")]
        let replay = {
            let kept = replay.len()
                - usize::from(known_bad::is(Variant::ReplayStopsEarly) && !replay.is_empty());
            replay.into_iter().take(kept).collect()
        };
        let segment = self.start_segment(&meta, previous_end, again).await?;
        segments.push(self.next_segment);
        let replayed_batches = put_back(replay, self.buffers);
        let recounted = self.load_sums(Trust::Engine).await?;
        let report = OpenReport {
            new_incarnation,
            recounted,
            replayed_batches,
            torn_bytes,
            ..self.report
        };
        Ok(Recovered {
            meta,
            segment,
            segments,
            report,
        })
    }

    /// A new incarnation of the store in a new lineage, with everything that could be read, all of it in the
    /// engine.
    async fn settle(
        self,
        story: InDoubt,
        draw_random: &mut (dyn FnMut() -> u128 + Send),
    ) -> Result<Recovered, OpenError> {
        let InDoubt {
            mut meta,
            replay,
            doubts,
            damaged,
            superseded,
        } = story;
        meta.lineage = Lineage(draw_random());
        meta.open = true;
        meta.open_again(draw_random);
        meta.first_segment = self.next_segment;
        let replayed_batches = put_back(replay, self.buffers);
        // Before the engine's batch: sums and objects must not part ways there.
        let recounted = self.load_sums(Trust::Objects).await?;
        let segment = self.start_segment(&meta, 0, Vec::new()).await?;
        self.write_back(&meta).await?;
        for segment in &damaged {
            self.files
                .quarantine(*segment)
                .await
                .map_err(OpenError::Files)?;
        }
        self.files
            .remove(superseded)
            .await
            .map_err(OpenError::Files)?;
        let mut report = OpenReport {
            doubts,
            new_incarnation: true,
            recounted,
            replayed_batches,
            ..self.report
        };
        report.quarantined.extend(damaged);
        Ok(Recovered {
            meta,
            segment,
            segments: vec![self.next_segment],
            report,
        })
    }

    async fn start_segment(
        &self,
        meta: &StoreMeta,
        previous_end: u64,
        again: Vec<(RecordKind, Bytes)>,
    ) -> Result<OpenSegment, OpenError> {
        let started = OpenSegment::create(self.files, meta, self.next_segment, previous_end, again);
        started.await.map_err(OpenError::Files)
    }

    /// Brings the leaf sums to what engine and buffers say, off the caller's task.
    async fn load_sums(&self, trust: Trust) -> Result<Recounted, OpenError> {
        let result = Arc::new(Mutex::new(None));
        let (slot, engine) = (Arc::clone(&result), Arc::clone(self.engine));
        let buffers = Arc::clone(self.buffers);
        let job = move || {
            let loaded = load::load(&*engine, &buffers, trust);
            *slot.lock().expect("no holder of this lock panics") = Some(loaded);
        };
        self.files.offload(Box::new(job)).await;
        let loaded = result.lock().expect("no holder of this lock panics").take();
        loaded.ok_or(OpenError::JobLost)?.map_err(OpenError::Engine)
    }

    /// Brings buffers and store record into the engine before the store is open.
    async fn write_back(&self, meta: &StoreMeta) -> Result<(), OpenError> {
        self.buffers.freeze();
        let frozen = self.buffers.frozen();
        let layout = PartLayout::WHOLE;
        let written = write_back(self.files, self.engine, frozen, meta, layout, &mut at_once).await;
        written
            .ok_or(OpenError::JobLost)?
            .map_err(OpenError::Engine)?;
        self.buffers.drop_frozen();
        Ok(())
    }
}

/// Flushes the engine off the caller's task.
async fn make_durable(files: &dyn Files, engine: &Arc<dyn Engine>) -> Result<(), OpenError> {
    let result = Arc::new(Mutex::new(None));
    let (slot, engine) = (Arc::clone(&result), Arc::clone(engine));
    let job = move || *slot.lock().expect("no holder of this lock panics") = Some(engine.flush());
    files.offload(Box::new(job)).await;
    let flushed = result.lock().expect("no holder of this lock panics").take();
    flushed
        .ok_or(OpenError::JobLost)?
        .map_err(OpenError::Engine)
}

async fn gather(files: &dyn Files, engine: &Arc<dyn Engine>) -> Result<Evidence, OpenError> {
    let meta = engine_meta(&**engine)?;
    let mut engine_is_empty = true;
    for keyspace in Keyspace::ALL {
        engine_is_empty &= engine
            .range(keyspace, &KeyRange::ALL, 1)
            .map_err(OpenError::Engine)?
            .is_empty();
    }
    let mut sequences = files.list().await.map_err(OpenError::Files)?;
    sequences.sort_unstable();
    let mut segments = Vec::with_capacity(sequences.len());
    for sequence in sequences {
        let bytes = files.read(sequence).await.map_err(OpenError::Files)?;
        let expected = meta
            .as_ref()
            .map(|meta| SegmentIdentity::of(meta, sequence));
        segments.push((sequence, scan(&bytes, expected)));
    }
    Ok(Evidence {
        meta,
        engine_is_empty,
        segments,
    })
}

/// The engine's store record; none if it is not there or damaged.
fn engine_meta(engine: &dyn Engine) -> Result<Option<StoreMeta>, OpenError> {
    let (keyspace, key) = META_PLACE;
    let sealed = engine.get(keyspace, &key).map_err(OpenError::Engine)?;
    let Some(bytes) = sealed.and_then(|sealed| unseal(keyspace, &key, &sealed)) else {
        return Ok(None);
    };
    StoreMeta::decode(&bytes)
        .map(Some)
        .ok_or(OpenError::UnknownMetaVersion)
}

/// The bodies of records that a new segment repeats; its own store record is newer than theirs.
fn said_again(records: &[FoundRecord]) -> Vec<(RecordKind, Bytes)> {
    let batches = records
        .iter()
        .filter(|record| matches!(record.content, Content::Writes(_)));
    batches
        .map(|record| (RecordKind::Writes, record.body.clone()))
        .collect()
}

/// Replays batches into the buffers; returns how many there were.
fn put_back(records: Vec<FoundRecord>, buffers: &Buffers) -> u64 {
    let mut batches = Vec::new();
    for record in records {
        if let Content::Writes(writes) = record.content {
            batches.push(writes);
        }
    }
    let replayed = count(batches.len());
    for writes in batches {
        buffers.replay(writes);
    }
    replayed
}
