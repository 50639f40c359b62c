//! What engine and log say together, decided without touching either.
//!
//! The three stories are told in the module above: create, continue, doubt. The order of the questions
//! matters. First come refusals, while nothing has been concluded. Then a last segment that nobody can
//! have relied on is taken away: the crash came while it was being started, so the one before it is
//! the last. Then segments below the engine's first are set apart: their checkpoint is complete and
//! only their removal was not. What is left must be there without gaps and whole as far as it was
//! promised, or there is a doubt.

use super::Doubt;
use crate::error::OpenError;
use crate::log::segment::{Content, FoundRecord, HeaderFault, Scan};
use crate::meta::StoreMeta;

/// What was found.
pub(crate) struct Evidence {
    pub(crate) meta: Option<StoreMeta>,
    pub(crate) engine_is_empty: bool,
    /// Ascending.
    pub(crate) segments: Vec<(u64, Scan)>,
}

/// What follows from it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) story: Story,
    /// Segments that count for nothing, to be removed before a new one is started.
    pub(crate) discard: Vec<u64>,
    /// Damaged segments that nobody needs for replaying any more.
    pub(crate) put_aside: Vec<u64>,
    /// The number of the new segment.
    pub(crate) next_segment: u64,
}

/// See the module.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Story {
    Create,
    Continue(Continuation),
    Doubt(InDoubt),
}

/// Engine and log tell one story.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Continuation {
    pub(crate) meta: StoreMeta,
    /// The segments that stay, ascending.
    pub(crate) segments: Vec<u64>,
    pub(crate) replay: Vec<FoundRecord>,
    /// How many of the last records have to be said again.
    pub(crate) again: usize,
    /// How much of the last segment counts without them.
    pub(crate) previous_end: u64,
    pub(crate) torn_bytes: u64,
}

/// Something that had been flushed is not there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InDoubt {
    /// As last known; lineage and incarnation are to be renewed.
    pub(crate) meta: StoreMeta,
    pub(crate) replay: Vec<FoundRecord>,
    pub(crate) doubts: Vec<Doubt>,
    /// Segments to put aside.
    pub(crate) damaged: Vec<u64>,
    /// Segments to remove, when what they say is in the engine.
    pub(crate) superseded: Vec<u64>,
}

/// Decides what the evidence means. See the module.
pub(crate) fn judge(evidence: Evidence) -> Result<Judgement, OpenError> {
    let Evidence {
        meta,
        engine_is_empty,
        mut segments,
    } = evidence;
    refuse_strangers(meta.as_ref(), &segments)?;
    for (sequence, scan) in &mut segments {
        if scan
            .header
            .is_ok_and(|header| header.identity.sequence != *sequence)
        {
            scan.disown();
        }
    }
    let mut discard = Vec::new();
    if let Some((sequence, last)) = segments.last()
        && (last.is_unborn()
            || is_unfinished_start(meta.as_ref(), engine_is_empty, *sequence, last))
    {
        discard.push(*sequence);
        segments.pop();
    }
    let mut put_aside = Vec::new();
    let first_segment = meta.as_ref().map_or(0, |meta| meta.first_segment);
    segments.retain(|(sequence, scan)| {
        let superseded = *sequence < first_segment;
        if superseded {
            let damaged = scan.header.is_err() || scan.unbroken_end < scan.proven_end;
            if damaged {
                &mut put_aside
            } else {
                &mut discard
            }
            .push(*sequence);
        }
        !superseded
    });
    let next_segment = segments
        .last()
        .map_or(first_segment, |(last, _)| last + 1)
        .max(1);
    let story = match meta {
        None if segments.is_empty() && engine_is_empty => Story::Create,
        meta => tell(meta.as_ref(), segments)?,
    };
    Ok(Judgement {
        story,
        discard,
        put_aside,
        next_segment,
    })
}

/// Pieces that do not belong together are an error, before anything is concluded from them.
fn refuse_strangers(meta: Option<&StoreMeta>, segments: &[(u64, Scan)]) -> Result<(), OpenError> {
    for (segment, scan) in segments {
        if let Err(HeaderFault::UnknownVersion { version }) = scan.header {
            return Err(OpenError::UnknownSegmentVersion {
                segment: *segment,
                version,
            });
        }
    }
    let last = segments.last().map(|(sequence, _)| *sequence);
    let headers = segments
        .iter()
        .filter_map(|(sequence, scan)| Some((*sequence, scan, scan.header.ok()?)));
    let known = |segment: &StoreMeta| (segment.store_id, segment.lineage);
    let mut expected = meta.map(known);
    let first = meta.map_or(0, |meta| meta.first_segment);
    for (segment, scan, header) in headers {
        let found = header.identity;
        let (store_id, lineage) = *expected.get_or_insert((found.store_id, found.lineage));
        if found.store_id != store_id {
            return Err(OpenError::ForeignSegment {
                segment,
                found: found.store_id,
                expected: store_id,
            });
        }
        // Before the engine's first segment another lineage may have been written; a last segment with
        // nothing in it was started by an opening that did not get to tell the engine.
        let harmless = segment < first || (Some(segment) == last && scan.says_nothing());
        if found.lineage != lineage && !harmless {
            return Err(OpenError::ForeignLineage {
                segment,
                found: found.lineage,
                expected: lineage,
            });
        }
    }
    Ok(())
}

/// Whether the last segment was started for a creation, or for a new lineage, of which the
/// engine never heard.
fn is_unfinished_start(
    meta: Option<&StoreMeta>,
    engine_is_empty: bool,
    sequence: u64,
    last: &Scan,
) -> bool {
    let Ok(header) = last.header else {
        return false;
    };
    let unheard_of = match meta {
        Some(meta) => meta.lineage != header.identity.lineage,
        None => engine_is_empty && sequence == 1,
    };
    unheard_of && last.says_nothing()
}

/// Continue or doubt, with everything that is to be replayed.
fn tell(engine_meta: Option<&StoreMeta>, segments: Vec<(u64, Scan)>) -> Result<Story, OpenError> {
    let mut doubts = missing(engine_meta, &segments);
    let sequences: Vec<u64> = segments.iter().map(|(sequence, _)| *sequence).collect();
    let weighed = weigh(segments);
    doubts.extend(weighed.damaged.iter().copied().map(Doubt::DamagedSegment));
    let Weighed {
        replay,
        again,
        previous_end,
        torn_bytes,
        damaged,
    } = weighed;
    let Some(mut meta) = last_meta(&replay).or(engine_meta).cloned() else {
        return Err(OpenError::MetaLost);
    };
    match engine_meta {
        Some(engine_meta) => meta.first_segment = engine_meta.first_segment,
        None => doubts.push(Doubt::StoreRecordLost),
    }
    if doubts.is_empty() {
        let segments = sequences;
        let story = Continuation {
            meta,
            segments,
            replay,
            again,
            previous_end,
            torn_bytes,
        };
        return Ok(Story::Continue(story));
    }
    let whole = sequences
        .into_iter()
        .filter(|sequence| !damaged.contains(sequence));
    let superseded = whole.collect();
    Ok(Story::Doubt(InDoubt {
        meta,
        replay,
        doubts,
        damaged,
        superseded,
    }))
}

/// What the log says, as far as it counts.
#[derive(Default)]
struct Weighed {
    replay: Vec<FoundRecord>,
    again: usize,
    previous_end: u64,
    torn_bytes: u64,
    damaged: Vec<u64>,
}

fn weigh(segments: Vec<(u64, Scan)>) -> Weighed {
    let mut weighed = Weighed::default();
    let mut following = segments
        .iter()
        .skip(1)
        .map(|(_, next)| next.header.ok())
        .collect::<Vec<_>>()
        .into_iter();
    for (sequence, scan) in segments {
        let next = following
            .next()
            .map(|header| header.map(|header| header.previous_end));
        let counted = count_on(&scan, next);
        if counted.damaged {
            weighed.damaged.push(sequence);
        }
        // What reads of a damaged segment is kept, wherever it stands.
        let end = if counted.damaged {
            scan.length
        } else {
            counted.end
        };
        let before = weighed.replay.len();
        weighed
            .replay
            .extend(scan.records.into_iter().filter(|record| record.end <= end));
        let unproven = weighed.replay[before..]
            .iter()
            .filter(|record| record.offset >= scan.proven_end);
        weighed.again = unproven.count();
        weighed.previous_end = scan.proven_end;
        weighed.torn_bytes = scan.length.saturating_sub(scan.unbroken_end);
    }
    weighed
}

fn last_meta(records: &[FoundRecord]) -> Option<&StoreMeta> {
    records
        .iter()
        .rev()
        .find_map(|record| match &record.content {
            Content::Meta(meta) => Some(meta),
            Content::Mark(_) | Content::Writes(_) => None,
        })
}

/// The segments that should be there and are not. Where the engine's record is lost, nobody can say
/// where they should begin.
fn missing(meta: Option<&StoreMeta>, segments: &[(u64, Scan)]) -> Vec<Doubt> {
    let Some(first) = meta
        .map(|meta| meta.first_segment)
        .or(segments.first().map(|(first, _)| *first))
    else {
        return Vec::new();
    };
    let last = segments.last().map_or(first, |(last, _)| *last);
    let there: Vec<u64> = segments.iter().map(|(sequence, _)| *sequence).collect();
    // Only the ends of gaps are of interest: a wrong file name must not make a list of 2^64 numbers.
    let mut doubts = Vec::new();
    if there.first() != Some(&first) {
        doubts.push(Doubt::MissingSegment(first));
    }
    doubts.extend(
        there
            .windows(2)
            .filter(|pair| pair[1] != pair[0] + 1)
            .map(|pair| Doubt::MissingSegment(pair[0] + 1)),
    );
    assert!(last >= first, "older segments were set apart");
    doubts
}

struct Counted {
    end: u64,
    damaged: bool,
}

/// How far a segment counts. `next` is none for the last segment, else what the next one's header
/// says, as far as it can be read.
fn count_on(scan: &Scan, next: Option<Option<u64>>) -> Counted {
    let (end, promised) = match next {
        // The last one: what is whole counts, and what is proven must be whole.
        None => (scan.unbroken_end, scan.proven_end),
        Some(Some(stated)) => (stated, stated),
        // The next one is damaged itself; whatever reads, counts.
        Some(None) => (scan.length, scan.proven_end),
    };
    Counted {
        end,
        damaged: scan.header.is_err() || scan.unbroken_end < promised,
    }
}
